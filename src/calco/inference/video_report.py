"""The report of a side-by-side video: the PSNR of every frame as a table and as a curve on a page."""

import math
import statistics
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from calco.files import atomic_write
from calco.inference.video_rendering import NAMES, Sheet
from calco.report.html import img_tag, write_page
from calco.video.reading import Video, clock

WIDTH: Final = 1000
HEIGHT: Final = 260
_LEFT: Final = 52
_BOTTOM: Final = 30
_A_MOMENT: Final = 0.002  # seconds: times are rounded in some containers
_SHORT: Final = 60  # seconds
_POINTS: Final = 2000  # of the curve; each of them the mean of its frames
_CSS: Final = (
    "svg.curve{width:100%;height:auto;background:var(--card);border:1px solid var(--faint);border-radius:var(--round)}"
    "svg.curve text{fill:var(--soft);font:12px var(--sans)}figure{margin:18px 0 0}figcaption{color:var(--soft)}"
    ".three{display:grid;grid-template-columns:repeat(3,1fr);gap:4px}.three img{width:100%}"
)


def report_files(video: Path) -> tuple[Path, Path]:
    """The table of PSNR and the page beside a video."""
    return video.with_name(f"{video.stem}.psnr.csv"), video.with_suffix(".html")


def write_report(video: Path, source: str, scores: Sequence[tuple[float, float]], sheet: Sheet) -> Path:
    """Writes NAME.psnr.csv and NAME.html beside a video; returns the page.

    Args:
        video: The finished side-by-side video.
        source: The video that it was made of.
        scores: Second and PSNR in dB of every frame, in order.
        sheet: How its frames are laid out.
    """
    rows = [f"{number},{time:.4f},{score:.4f}" for number, (time, score) in enumerate(scores)]
    table, page = report_files(video)
    atomic_write(table, "\n".join(["frame,seconds,psnr", *rows]) + "\n")
    values = [score for _, score in scores]
    ordered = sorted(range(len(scores)), key=lambda number: values[number])
    shown = {"the lowest": ordered[0], "the median": ordered[len(ordered) // 2], "the highest": ordered[-1]}
    tiles = {"mean PSNR": statistics.fmean(values), "lowest": min(values), "highest": max(values)}
    told = "".join(
        f'<li class="tile"><span class="name">{name}</span><span class="value">{value:.2f} '
        "<small>dB</small></span></li>"
        for name, value in tiles.items()
    )
    body = (
        f'<ul class="tiles">{told}</ul>\n<section><h2>PSNR of each frame</h2>'
        f'<p class="soft">Higher is better; 100 dB stands for identical frames. The numbers are in '
        f"{escape(video.stem)}.psnr.csv.</p>{_curve(scores)}</section>\n<section><h2>Frames</h2>"
        f"{''.join(_frame(video, sheet, words, *scores[number]) for words, number in shown.items())}</section>"
    )
    header = (
        f"<h1>{escape(Path(source).name)}</h1><p class='lead'>truth, input and output of {len(scores):,} frames</p>"
    )
    return write_page(page, f"{Path(source).name}: PSNR", header, body, name="report.html", css=_CSS)


def _frame(video: Path, sheet: Sheet, words: str, time: float, score: float) -> str:
    """One frame of the video with its figures."""
    frame = next(Video(video).frames(time + _A_MOMENT, time + 1), None)
    if frame is None:
        return ""
    cells = zip(NAMES, sheet.cells(frame.image), strict=True)
    name = f"{words} PSNR, {score:.2f} dB, at {_clock(time, 0)}"
    shown = "".join(img_tag(cell, f"{what} of {name}") for what, cell in cells)
    return f"<figure><div class='three'>{shown}</div><figcaption>{name}</figcaption></figure>"


def _curve(scores: Sequence[tuple[float, float]]) -> str:
    """An SVG of PSNR over time."""
    size = math.ceil(len(scores) / _POINTS)
    parts = [scores[start : start + size] for start in range(0, len(scores), size)]
    points = [(statistics.fmean(t for t, _ in part), statistics.fmean(s for _, s in part)) for part in parts]
    end = max(scores[-1][0], 1e-9)
    low = 5 * math.floor(min(s for _, s in points) / 5)
    high = max(low + 5, 5 * math.ceil(max(s for _, s in points) / 5))

    def x(time: float) -> float:
        return _LEFT + (WIDTH - _LEFT - 10) * time / end

    def y(score: float) -> float:
        return 10 + (HEIGHT - _BOTTOM - 10) * (high - score) / (high - low)

    lines = []
    for level in range(low, high + 1, 5 if high - low <= 30 else 10):
        line = f'x1="{_LEFT}" x2="{WIDTH - 10}" y1="{y(level):.1f}" y2="{y(level):.1f}"'
        lines.append(f'<line {line} stroke="var(--faint)"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y(level) + 4:.1f}" text-anchor="end">{level} dB</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        place = f'x="{x(share * end):.1f}" y="{HEIGHT - 8}" text-anchor="{"end" if share == 1 else "middle"}"'
        lines += [f"<text {place}>{_clock(share * end, end)}</text>"]
    path = " ".join(f"{x(time):.1f},{y(score):.1f}" for time, score in points)
    return (
        f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="PSNR of each frame">'
        f'{"".join(lines)}<polyline points="{path}" fill="none" stroke="var(--s0)" stroke-width="1.5"/></svg>'
    )


def _clock(seconds: float, of: float) -> str:
    """A time; of short videos with tenths."""
    return clock(seconds) if of >= _SHORT else f"{seconds:.1f} s" if seconds < _SHORT else clock(seconds)
