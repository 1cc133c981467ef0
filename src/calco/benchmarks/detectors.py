"""Row of `calco bench`: the training step of the default detector, beside that of the same network in plain torch."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import torch

from calco.benchmarks.setting import Setting, Timed, count_operations, scene
from calco.benchmarks.speed import Rows
from calco.data.sample import generator
from calco.detection.initial import initial_network
from calco.detection.learning import DetectTrainConfig
from calco.detection.learning.setup import DetectionBatch
from calco.detection.learning.train import DetectorNetworks
from calco.detection.lite import LiteDetector
from calco.detection.model import LITE
from calco.detection.network import TargetObjects

_CLASSES: Final = ("red", "blue")


def detectors(setting: Setting) -> Rows:
    """Steps of the default detector, with its average, on generated photographs with boxes."""
    side, batch = setting.sizes.detector
    images = boxed_scenes(setting.config.seed, batch, side)
    plain = detector_step(setting, images, precision="fp32", fixed_norms=False)

    def reference() -> None:
        with torch_kernels():
            plain()

    yield Timed(
        name=f"detector training step at {side}x{side}, batch {batch}", unit="images/s", count=batch,
        ours=detector_step(setting, images, precision=setting.config.precision), reference=reference,
        against="the same network in plain torch, float32", operations=count_operations(reference) / batch,
        precision=setting.precision,
    )  # fmt: skip


def detector_step(
    setting: Setting, images: DetectionBatch, *, precision: Literal["auto", "fp32", "bf16"], fixed_norms: bool = True
) -> Callable[[], object]:
    """Return one step of the default detector on the same images each time.

    Args:
        setting: The measurement.
        images: The batch.
        precision: Of the convolutions.
        fixed_norms: Keep the statistics of the backbone's norms, as training does if it has ImageNet's; otherwise they
            are those of the batch.
    """
    torch.manual_seed(setting.config.seed)
    config = DetectTrainConfig(size=images.images.shape[-1])
    config = replace(config, compute=replace(setting.compute, precision=precision))
    lite = {"width": config.lite.width, "depth": config.lite.depth}
    network = initial_network(LITE, _CLASSES, scratch=False, lite=lite, freeze=config.freeze).network
    if isinstance(network, LiteDetector) and network.fixed_norms and not fixed_norms:
        network.freeze(config.freeze, norms=False)
    networks = DetectorNetworks(config, network, setting.device)
    networks.set_rate(config.optimiser.learning_rate)

    def step() -> None:
        networks.step([images])
        networks.average(1000)

    return step


@contextmanager
def torch_kernels() -> Iterator[None]:
    """Leave networks to torch's own kernels."""
    before = os.environ.get("CALCO_CPU_KERNELS")
    os.environ["CALCO_CPU_KERNELS"] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CALCO_CPU_KERNELS"]
        else:
            os.environ["CALCO_CPU_KERNELS"] = before


def boxed_scenes(seed: int, count: int, side: int) -> DetectionBatch:
    """Generated photographs with one to six filled rectangles of two classes, and their boxes."""
    rng, images, objects = generator(seed, 0, "boxed", "bench"), list[np.ndarray](), list[TargetObjects]()
    for number in range(count):
        image = scene(seed, f"boxed {number}", (side, side))
        labels = rng.integers(0, len(_CLASSES), int(rng.integers(1, 7)))
        boxes = []
        for label in labels:
            width, height = (int(each) for each in rng.integers(side // 8, side // 2, 2))
            left, top = int(rng.integers(0, side - width)), int(rng.integers(0, side - height))
            image[top : top + height, left : left + width] = (200, 40, 40) if label else (40, 40, 200)
            boxes.append((left + width / 2, top + height / 2, width, height))
        found = torch.tensor(boxes, dtype=torch.float32) / side
        objects.append(TargetObjects(torch.from_numpy(labels), found, torch.zeros(0, 4)))
        images.append(image)
    return DetectionBatch(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), objects)
