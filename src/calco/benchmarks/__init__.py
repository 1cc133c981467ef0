"""What Calco is measured against, and how: the rows of `calco bench`."""

import os
from dataclasses import dataclass
from typing import Final, Literal

from calco.errors import CalcoError
from calco.records import check_numbers

GROUPS: Final = (
    "training", "presets", "detectors", "busy", "inference", "backends", "video", "data", "build", "memory", "large",
    "processes", "boxes", "crime", "start", "evaluation", "exact", "quality",
)  # fmt: skip
"""Groups of rows, in the order of the table."""


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure how fast this machine trains, translates, reads and builds, beside a plain reference loop."""

    only: str = ""
    """Groups of rows, with commas between them: training, presets, detectors, busy, inference, backends, video, data,
    build, memory, large, processes, boxes, crime, start, evaluation, exact, quality; by default all of them."""

    repeats: int = 5
    """Number of measurements of each, ours and the reference in turns; the medians count."""

    device: str = "auto"
    """cpu, cuda, or auto for the GPU where there is one."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of ours, as in training; the reference computes in fp32."""

    threads: int = 0
    """Number of CPU threads for both; 0 takes all cores."""

    seed: int = 0
    """Seed of all random number generators."""

    json: str | None = None
    """JSON file for all figures."""

    plot: str | None = None
    """SVG file for a bar chart of the ratios, such as bench.svg."""

    markdown: str | None = None
    """Markdown page whose table, between the two markers of `calco bench`, is replaced by this one."""

    def __post_init__(self) -> None:
        """Check what would otherwise fail after minutes of work."""
        check_numbers(self, repeats=(1, 100_000), threads=(0, len(os.sched_getaffinity(0))))
        unknown = [name for name in self.groups if name not in GROUPS]
        if unknown or not self.groups:
            raise CalcoError(f"only names {unknown[0] if unknown else 'nothing'!r}; choose among {', '.join(GROUPS)}")
        if self.plot is not None and not self.plot.lower().endswith(".svg"):
            raise CalcoError(f"--plot {self.plot}: the chart must be an SVG file; name it such as bench.svg")

    @property
    def groups(self) -> tuple[str, ...]:
        """Chosen groups, in the order of the table where they are known."""
        asked = [name.strip() for name in self.only.split(",")] if self.only else list(GROUPS)
        known = [name for name in GROUPS if name in asked]
        return (*known, *(name for name in asked if name and name not in GROUPS))


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of the work; the defaults are those of the published pix2pix."""

    size: int = 256  # side of images, pixels
    depth: int = 8  # of the U-Net
    filters: int = 64  # of both networks
    batches: tuple[int, ...] = (8, 1)
    preset_sizes: tuple[int, int] = (128, 256)  # side of images of the presets small and best
    detector: tuple[int, int] = (320, 8)  # side of images and batch of the detector
    large: int = 1024  # side of large images in inference
    product: int = 2048  # side of the matrices whose product shows the processor's peak
    drawn: int = 16  # images of `size` in one measurement of inference; of large ones an eighth
    video_wh: tuple[int, int] = (640, 272)
    video_frames: int = 100
    pairs: int = 160  # files for the data pipeline
    together: tuple[int, ...] = (8, 32)  # pairs a step, of one process and of two
    large_wh: tuple[int, int] = (11_585, 8_632)  # of the images that are translated strip by strip
    steps: int = 10  # of the training in one process and in two; with larger batches fewer
    boxes: int = 10_000
    crime_rows: int = 2_000_000
    photographs: int = 240  # files for the build
    photograph_wh: tuple[int, int] = (640, 480)
    scored: int = 100  # images of `size` in an evaluation
    exact_size: int = 64  # side of the images of the loss curves
    exact_filters: int = 16
    exact_steps: int = 300
    exact_seeds: int = 3
    quality_size: int = 128  # side of the drawings of which trainings are compared
    quality_depth: int = 5  # of the U-Net of ours
    quality_depth_reference: int = 7  # the published U-Net 128
    quality_drawings: int = 400
    quality_steps: int = 25  # between two validations
    quality_l1: float = 0.1  # which both must reach
    quality_seconds: float = 600  # after which they are given up
    started: tuple[str, ...] = ("--help", "train --help", "evaluate --help", "translate --help", "detect train --help")
