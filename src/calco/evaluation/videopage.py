"""Steadiness in the terminal and in the report."""

import math
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Final

from calco.console import Table, cell
from calco.evaluation import curves
from calco.evaluation.steadiness import MEASURES, TRUTH, FrameScores, VideoScores
from calco.report.html import definitions

if TYPE_CHECKING:
    from calco.evaluation.intervals import Score

MOST_DRAWN: Final = 6
"""Videos whose curves are drawn."""
_DRAWN: Final = ("psnr", "flicker", "colour")


def shown(name: str, score: "Score") -> tuple[str, str]:
    """A mean in the digits that suit it, and its interval; an en dash, and nothing, for what is not a number."""
    about = MEASURES[name]
    if math.isnan(score.mean):
        return "–", ""
    mean = f"{score.mean * about.times:.{about.decimals}f}"
    if score.low is None or score.high is None:
        return mean, ""
    return mean, f"{score.low * about.times:.{about.decimals}f}–{score.high * about.times:.{about.decimals}f}"


def video_table(video: VideoScores) -> Table:
    """Measures in rows, systems in columns, 95% intervals below the means."""
    result = Table(title="steadiness", caption="mean and 95% interval", title_style="bold")
    result.add_column("")
    for system in video.systems:
        result.add_column(system, justify="right")
    for name in _names(video):
        pairs = (shown(name, scores[name]) if name in scores else ("–", "") for scores in video.systems.values())
        result.add_row(MEASURES[name].label, *(cell(*filter(None, pair)) for pair in pairs))
    return result


def video_section(video: VideoScores) -> str:
    """The report's section: the table, and curves along each video."""
    names = _names(video)
    head = "".join(f'<th scope="col">{escape(MEASURES[name].label)}</th>' for name in names)
    rows = []
    for system, scores in video.systems.items():
        cells = []
        for name in names:
            mean, between = shown(name, scores[name]) if name in scores else ("–", "")
            cells.append(f'<td><span class="num">{mean}</span><span class="range">{between}</span></td>')
        rows.append(f'<tr><th scope="row">{escape(system)}</th>{"".join(cells)}</tr>')
    figures = "".join(curves.draw(chart) for chart in _charts(video))
    notes = "".join(f"<li>{escape(note)}</li>" for note in video.notes)
    return (
        '<section><h2>Steadiness</h2><p class="lead">How much a video changes from frame to frame beyond its motion. '
        "The truth's own flicker is noise, light and what the flow does not find. A video below it is calmer than the "
        "truth, or has lost detail: see its PSNR.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Steadiness"><table><thead><tr>'
        f'<th scope="col"><span class="hidden">System</span></th>{head}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div><ul class="notes">{notes}</ul>'
        f'<div class="charts">{figures}</div>{definitions(_meanings(names), "about metrics")}</section>'
    )


def _meanings(names: list[str]) -> dict[str, str]:
    return {MEASURES[name].label: MEASURES[name].meaning for name in names if not name.endswith("times")}


def _names(video: VideoScores) -> list[str]:
    return [name for name in MEASURES if any(name in scores for scores in video.systems.values())]


def _charts(video: VideoScores) -> list[curves.Chart]:
    videos: dict[str, list[FrameScores]] = {}
    for row in video.frames:
        videos.setdefault(row.video, []).append(row)
    found = []
    for name, rows in list(videos.items())[:MOST_DRAWN]:
        for measure in _DRAWN:
            drawn: Mapping[str, list[curves.Point]] = {
                system: [
                    (row.number, value * MEASURES[measure].times)
                    for row in rows
                    if math.isfinite(value := row.values[system].get(measure, math.nan))
                ]
                for system in sorted(rows[0].values, key=lambda system: system == TRUTH)
            }  # the truth last, since it has no PSNR: so each system keeps its colour
            if any(points for points in drawn.values()):
                title = f"{name}: {MEASURES[measure].label}"
                kept = {system: points for system, points in drawn.items() if points}
                found.append(curves.Chart(title, kept, along="frame"))
    return found
