"""Side-by-side videos: frames of truth, input and output with a curve of the PSNR, and the report beside the video."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from calco.files import atomic_write
from calco.imaging import Image
from calco.report.charts import lines
from calco.video.reading import Video, clock

NAMES: Final = ("truth", "input", "output")
_IDENTICAL: Final = 100.0  # dB, as in the evaluation
_GAP: Final = 4
_DARK, _LINE, _TEXT, _CURVE = (22, 24, 28), (58, 62, 70), (226, 226, 222), (130, 183, 234)
_LOW, _HIGH = 10.0, 45.0  # dB, of the curve
_A_MOMENT: Final = 0.002  # seconds: times are rounded in some containers


class ComparisonSheet:
    """Makes the frames of a side-by-side video; `size` is their even width and height."""

    def __init__(self, size: tuple[int, int], frames: int) -> None:
        """Lay out three images of a width and height, and a curve of a number of frames; 0 if it is unknown."""
        self._cell = width, height = size
        self._band = max(22, round(height / 14) // 2 * 2)
        self._strip = max(56, round(height / 4) // 2 * 2)
        full = (3 * width + 2 * _GAP, self._band + height + self._strip)
        self.size = (full[0] + full[0] % 2, full[1] + full[1] % 2)
        self._frames = max(2, frames)
        self._sheet = np.full((self.size[1], self.size[0], 3), _DARK, np.uint8)
        self._last: tuple[int, int] | None = None
        self._number = 0
        self._caption(NAMES[0], 0)
        self._caption(NAMES[1], 1)
        for level in (20, 40):
            y = self._y(level)
            cv2.line(self._sheet, (0, y), (self.size[0], y), _LINE, 1)
            self._put(f"{level} dB", (4, y - 3), 0.7)

    def _caption(self, text: str, place: int) -> None:
        left = place * (self._cell[0] + _GAP)
        self._sheet[: self._band, left : left + self._cell[0]] = _DARK
        self._put(text, (left + 6, round(self._band * 0.72)))

    def _put(self, text: str, where: tuple[int, int], share: float = 1.0) -> None:
        scale = self._band / 44 * share
        cv2.putText(self._sheet, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT, 1, cv2.LINE_AA)

    def _y(self, score: float) -> int:
        share = (min(max(score, _LOW), _HIGH) - _LOW) / (_HIGH - _LOW)
        return round(self.size[1] - 4 - share * (self._strip - 8))

    def cells(self, frame: Image) -> list[Image]:
        """Return the three images in a frame."""
        width, height = self._cell
        lefts = range(0, 3 * (width + _GAP), width + _GAP)
        return [frame[self._band : self._band + height, left : left + width] for left in lefts]

    def extend(self, score: float) -> None:
        """Extend the curve by the score of the next frame, dB."""
        x = min(self.size[0] - 1, round((self.size[0] - 1) * self._number / (self._frames - 1)))
        here = (x, self._y(score))
        cv2.line(self._sheet, self._last or here, here, _CURVE, 1, cv2.LINE_AA)
        self._last, self._number = here, self._number + 1

    def render(self, images: tuple[Image, Image, Image], score: float) -> Image:
        """Return a frame of truth, input and output, HW3 `uint8`, and the PSNR of the output, dB."""
        self.extend(score)
        self._caption(f"{NAMES[2]}   {score:.2f} dB", 2)
        for cell, image in zip(self.cells(self._sheet), images, strict=True):
            cell[:] = image
        return self._sheet.copy()


def psnr(one: Image, other: Image) -> float:
    """Peak signal-to-noise ratio of two HWC `uint8` images, dB; 100 where they are identical."""
    error = float(cv2.norm(one, other, cv2.NORM_L2SQR)) / one.size
    return _IDENTICAL if error == 0 else min(_IDENTICAL, 10 * float(np.log10(255**2 / error)))


def report_files(video: Path) -> tuple[Path, Path]:
    """Return the table of PSNR and the page beside a video."""
    return video.with_name(f"{video.stem}.psnr.csv"), video.with_suffix(".html")


def write_report(video: Path, source: str, scores: Sequence[tuple[float, float]], sheet: ComparisonSheet) -> Path:
    """Write NAME.psnr.csv and NAME.html beside a video; return the page.

    Args:
        video: The finished side-by-side video.
        source: The video that it was made of.
        scores: Second and PSNR in dB of every frame, in order.
        sheet: Layout of its frames.
    """
    rows = [f"{number},{time:.4f},{score:.4f}" for number, (time, score) in enumerate(scores)]
    table, page = report_files(video)
    atomic_write(table, "\n".join(["frame,seconds,psnr", *rows]) + "\n")
    values = [score for _, score in scores]
    ordered = sorted(range(len(scores)), key=lambda number: values[number])
    shown = {"Lowest": ordered[0], "Median": ordered[len(ordered) // 2], "Highest": ordered[-1]}
    tiles = {"mean PSNR": statistics.fmean(values), "lowest": min(values), "highest": max(values)}
    from calco.report.page import write_page  # with Jinja2: images are translated without it

    return write_page(
        page,
        "video",
        title=f"{Path(source).name}: PSNR",
        name_of_source=Path(source).name,
        frames=len(scores),
        tiles=[(name, f"{value:.2f}", "dB", "", "", "") for name, value in tiles.items()],
        table=table.name,
        curve=lines("PSNR in dB", {"PSNR": list(scores)}, "second"),
        shown=[
            (f"{text} PSNR, {values[number]:.2f} dB, at {_clock(scores[number][0])}", images)
            for text, number in shown.items()
            if (images := _figures(video, sheet, scores[number][0]))
        ],
    )


def _figures(video: Path, sheet: ComparisonSheet, time: float) -> list[tuple[str, Image, str]]:
    """Return caption, image and alternative text of the three parts of one frame."""
    frame = next(Video(video).frames(time + _A_MOMENT, time + 1), None)
    if frame is None:
        return []
    cells = zip(NAMES, sheet.cells(frame.image), strict=True)
    return [(name, image, f"{name} at {_clock(time)}") for name, image in cells]


def _clock(seconds: float) -> str:
    """Return a time; within the first minute with tenths."""
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)
