"""Tiles: nothing is lost, nothing shows."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from calco.data.config import JitterConfig
from calco.data.recipes import RecipeConfig
from calco.inference.folder import ModelInfo
from calco.inference.tiling import Padded, blended, starts
from calco.inference.translator import Translator
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig


def padded_image(x, multiple):
    return Padded(lambda top, bottom: x[:, :, top:bottom], (x.shape[3], x.shape[2]), multiple)


def tiled(network, x, *, multiple, tile, overlap):
    padded = padded_image(x, multiple)
    return torch.cat([band.maps for band in blended(network, padded, tile=tile, overlap=overlap)], 2)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (5, 64), (63, 65), (64, 64), (200, 3)])
def test_padding_reaches_the_multiple_and_keeps_the_image(size):
    x = torch.rand(1, 2, *size)
    padded = padded_image(x, 64)
    whole = padded.rows(0, padded.height)
    assert whole.shape[2] % 64 == 0
    assert whole.shape[3] % 64 == 0
    assert torch.equal(whole[..., : size[0], : size[1]], x)
    assert torch.equal(padded.rows(padded.height // 2, padded.height), whole[:, :, padded.height // 2 :])


def test_padding_mirrors():
    padded = padded_image(torch.arange(6.0).view(1, 1, 1, 6), 8)
    assert padded.rows(0, 1)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 4, 3]


@pytest.mark.parametrize(("length", "tile", "overlap"), [(100, 64, 16), (64, 64, 16), (1000, 96, 33), (129, 128, 64)])
def test_tiles_cover_everything_and_overlap(length, tile, overlap):
    begins = starts(length, tile, overlap)
    assert begins[0] == 0
    assert begins[-1] + min(tile, length) == length
    assert all(b - a <= tile - overlap for a, b in pairwise(begins))


def test_a_local_network_gives_the_same_tiled_as_whole():
    kernel = torch.rand(1, 1, 9, 9) / 81

    def blur(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(x, (4, 4, 4, 4), mode="reflect"), kernel)

    x = torch.rand(1, 1, 300, 333)
    whole = blur(x)
    pieces = tiled(blur, x, multiple=4, tile=128, overlap=32)
    # What a tile's border spoils lies under the low end of its ramp, and is blended away almost wholly.
    assert (whole - pieces)[..., 4:-4, 4:-4].abs().max() < 0.02
    assert (whole - pieces).abs().mean() < 1e-3


def test_blending_shows_no_seam():
    """Tiles that disagree by a constant meet in a ramp, not in a step."""
    calls = iter(range(100))

    def disagreeing(x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x) + next(calls) % 2

    out = tiled(disagreeing, torch.zeros(1, 1, 64, 400), multiple=8, tile=128, overlap=64)
    assert out.diff(dim=3).abs().max() < 0.05


@pytest.mark.parametrize(
    ("config", "size_wh"),
    [
        (GeneratorConfig(depth=8, filters=4), (1400, 1300)),  # outer levels in tiles, inner ones whole
        (GeneratorConfig(depth=7, filters=4, convention="tensorflow", up="resize"), (1300, 700)),
        (GeneratorConfig(depth=4, filters=4, norm="none"), (1210, 1100)),  # whole in tiles
        (GeneratorConfig(architecture="resnet", filters=4, blocks=6), (1130, 1040)),
    ],
)
def test_tiles_of_a_large_image_are_what_the_network_draws_at_once(monkeypatch, config, size_wh):
    translator = drawing(config)
    x = torch.rand(1, 3, *size_wh[::-1]) * 2 - 1
    with torch.inference_mode():
        pieces = translator.maps(x)
        monkeypatch.setattr("calco.inference.network.TILE", 2048)
        whole = translator.maps(x)
    assert whole.std() > 0.1
    # Nothing but rounding: a level of a byte is 0.0078.
    assert (pieces - whole).abs().max() < 1e-4


def drawing(config):
    """A translator whose network draws something, with statistics as after a training."""
    torch.manual_seed(0)
    network = build_generator(config, 3, 3)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            module.weight.data.mul_(8)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    network.train()
    with torch.no_grad():
        network(torch.rand(2, 3, 256, 256) * 2 - 1)
    info = ModelInfo(
        generator=config, recipe=RecipeConfig(recipe="aligned"), jitter=JitterConfig(size=256, resize=0),
        in_channels=3, out_channels=3,
    )  # fmt: skip
    return Translator(info, network)
