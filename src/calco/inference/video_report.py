"""Report of a side-by-side video: the PSNR of every frame as a table and as a curve on a page."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from calco.files import atomic_write
from calco.imaging import Image
from calco.inference.video_rendering import NAMES, ComparisonSheet
from calco.report.charts import lines
from calco.report.page import write_page
from calco.video.reading import Video, clock

_A_MOMENT: Final = 0.002  # seconds: times are rounded in some containers


def report_files(video: Path) -> tuple[Path, Path]:
    """The table of PSNR and the page beside a video."""
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
            if (images := _frame(video, sheet, scores[number][0]))
        ],
    )


def _frame(video: Path, sheet: ComparisonSheet, time: float) -> list[tuple[str, Image, str]]:
    """Caption, image and alternative text of the three parts of one frame."""
    frame = next(Video(video).frames(time + _A_MOMENT, time + 1), None)
    if frame is None:
        return []
    cells = zip(NAMES, sheet.cells(frame.image), strict=True)
    return [(name, image, f"{name} at {_clock(time)}") for name, image in cells]


def _clock(seconds: float) -> str:
    """A time; of the first minute with tenths."""
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)
