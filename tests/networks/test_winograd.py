"""Convolutions with fewer multiplications compute what torch's own do."""

import pytest
import torch
from torch.nn import functional as F

from calco.networks.cpu.winograd import WinogradConv


@pytest.mark.parametrize(("side", "padding"), [(3, 1), (3, 0), (5, 2)])
@pytest.mark.parametrize("size", [(1, 7, 5), (3, 31, 32), (2, 90, 70)])
def test_computes_what_torch_computes(side: int, padding: int, size: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    num, height, width = size
    x = torch.randn(num, 24, height, width).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(16, 24, side, side) / side / 24**0.5, torch.randn(16)
    exact = F.conv2d(x.double(), weight.double(), bias.double(), padding=padding).relu()
    ours = WinogradConv(weight, bias, padding)(x)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=5e-5)
    torch_error = (F.conv2d(x, weight, bias, padding=padding).relu() - exact).abs().mean()
    assert (ours - exact).abs().mean() < 10 * torch_error
