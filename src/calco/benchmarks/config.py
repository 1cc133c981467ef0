"""What `calco bench` can be told, and how large its work is."""

import os
from dataclasses import dataclass
from typing import Final, Literal

from calco.errors import CalcoError
from calco.records import check_numbers

GROUPS: Final = (
    "training",
    "inference",
    "video",
    "data",
    "build",
    "memory",
    "large",
    "processes",
    "boxes",
    "crime",
    "start",
    "exact",
)
"""The groups of rows, in the order of the table."""


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure how fast this machine trains, translates, reads and builds, beside a plain reference loop."""

    only: str = ""
    """Groups of rows, with commas between them: training, inference, video, data, build, memory, large, processes,
    boxes, crime, start, exact; by default all of them."""

    repeats: int = 5
    """How often each is measured, ours and the reference in turns; the medians count."""

    device: str = "auto"
    """cpu, cuda, or auto for the GPU where there is one."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """What ours computes in, as in training; the reference computes in fp32."""

    threads: int = 0
    """Threads of the CPU for both; 0 for as many as there are cores."""

    seed: int = 0
    """From which images and weights are drawn."""

    json: str | None = None
    """The file for all figures."""

    plot: str | None = None
    """SVG file for a bar chart of the ratios, such as bench.svg."""

    markdown: str | None = None
    """A page whose table, between the two markers of `calco bench`, is replaced by this one."""

    def __post_init__(self) -> None:
        """Checks what would otherwise be found after minutes of work."""
        check_numbers(self, repeats=100_000, threads=1024)
        unknown = [name for name in self.groups if name not in GROUPS]
        if unknown or not self.groups:
            raise CalcoError(f"only names {unknown[0] if unknown else 'nothing'!r}; choose among {', '.join(GROUPS)}")
        cores = len(os.sched_getaffinity(0))
        if self.repeats < 1 or not 0 <= self.threads <= cores or not 0 <= self.seed < 1 << 63:
            raise CalcoError(
                f"repeats {self.repeats}, threads {self.threads}, seed {self.seed}: repeats must be 1 or more, threads "
                f"0 to the {cores} cores there are, the seed 0 or more (63 bits); leave them out for 5, 0 and 0"
            )
        if self.plot is not None and not self.plot.lower().endswith(".svg"):
            raise CalcoError(f"--plot {self.plot}: the chart must be an SVG file; name it such as bench.svg")

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that are asked for, in the order of the table where they are known."""
        asked = [name.strip() for name in self.only.split(",")] if self.only else list(GROUPS)
        known = [name for name in GROUPS if name in asked]
        return (*known, *(name for name in asked if name and name not in GROUPS))


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large the work is; as it stands, that of the published pix2pix.

    Attributes:
        size: Side of the images in training, pixels.
        depth: Of the U-Net.
        filters: Of both networks.
        batches: Pairs a step.
        large: Side of large images in inference.
        drawn: Images of `size` that one measurement of inference draws; of large ones, an eighth of them.
        video_wh: Width and height of the video.
        video_frames: Frames of the video.
        pairs: Files of pairs for the data pipeline.
        together: Pairs a step, of one process and of two.
        steps: Steps of such a training; with larger batches fewer.
        large_wh: Width and height of the images that are translated strip by strip.
        boxes: Boxes to suppress.
        crime_rows: Rows of crimes that are asked.
        photographs: Files for the build.
        photograph_wh: Their width and height.
        exact_size: Side of the images of the loss curves.
        exact_filters: Of both networks there.
        exact_steps: Steps of each curve.
        exact_seeds: Curves of each kind.
        started: Commands whose start is measured.
    """

    size: int = 256
    depth: int = 8
    filters: int = 64
    batches: tuple[int, ...] = (8, 1)
    large: int = 1024
    drawn: int = 16
    video_wh: tuple[int, int] = (640, 272)
    video_frames: int = 100
    pairs: int = 160
    together: tuple[int, ...] = (8, 32)
    large_wh: tuple[int, int] = (11_585, 8_632)
    steps: int = 10
    boxes: int = 10_000
    crime_rows: int = 2_000_000
    photographs: int = 240
    photograph_wh: tuple[int, int] = (640, 480)
    exact_size: int = 64
    exact_filters: int = 16
    exact_steps: int = 300
    exact_seeds: int = 3
    started: tuple[str, ...] = ("--help", "train --help", "evaluate --help", "translate --help", "detect train --help")
