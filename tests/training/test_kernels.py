"""The kernels that a step calls on a CPU: none of torch's slow convolutions, not even with one thread."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from calco.detection.learning import DetectTrainConfig
from calco.detection.learning.setup import DetectionBatch
from calco.detection.learning.train import DetectorNetworks
from calco.detection.lite import LiteDetector
from calco.detection.network import TargetObjects
from calco.networks.machine import has_bfloat16
from calco.training.config import PRESETS, ComputeConfig, preset
from calco.training.pairs import Batch
from calco.training.step import Networks, training_step

CPU = torch.device("cpu")
SLOW = ("slow_conv", "thnn_conv", "slow_dilated")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """With several threads, torch itself takes oneDNN for more convolutions."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def kernels(step: Callable[[], object]) -> set[str]:
    """Names of the operations of a step."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    return {event.key for event in found.key_averages()}


def pairs(batch: int, side: int) -> Batch:
    images = torch.zeros(batch, 3, side, side, dtype=torch.uint8)
    return Batch(images, images, torch.ones(batch, 1, side, side))


@pytest.mark.parametrize("name", PRESETS)
def test_a_step_of_each_preset_computes_its_convolutions_by_onednn(name: str) -> None:
    config = preset(name, "aligned")
    config = replace(
        config, compute=ComputeConfig(precision="fp32", device="cpu"),
        generator=replace(config.generator, composition="plain", labels="none", filters=8),
    )  # fmt: skip
    networks = Networks(config, 3, 3, CPU)
    batch = pairs(config.optimiser.batch, 256 if config.generator.architecture == "unet" else 64)
    called = kernels(lambda: training_step(networks, [batch]))
    assert "aten::mkldnn_convolution" in called
    assert [name for name in called if any(slow in name for slow in SLOW)] == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_so_does_a_step_of_a_detector(precision: str) -> None:
    if precision == "bf16" and not has_bfloat16(CPU):
        pytest.skip("beyond this machine: a processor with bfloat16")
    config = DetectTrainConfig(images="shapes", compute=ComputeConfig(precision=precision, device="cpu"))
    networks = DetectorNetworks(config, LiteDetector(1, width=16, depth=1), CPU)
    objects = TargetObjects(torch.tensor([0]), torch.tensor([[0.5, 0.5, 0.4, 0.4]]), torch.empty(0, 4))
    batch = DetectionBatch(torch.zeros(4, 3, 64, 64, dtype=torch.uint8), [objects] * 4)
    called = kernels(lambda: networks.step([batch]))
    assert "aten::mkldnn_convolution" in called
    assert [name for name in called if any(slow in name for slow in SLOW)] == []
