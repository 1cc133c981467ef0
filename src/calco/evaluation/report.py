"""Reports of one run and of several side by side: single HTML files that open from disk without a network."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from calco.console import Table as TerminalTable
from calco.console import cell
from calco.evaluation.baselines import INPUT_COPIED, MEAN_TARGET, MODEL, NAVIER_STOKES, TELEA
from calco.evaluation.metrics import METRICS, RESAMPLES, Score
from calco.evaluation.scorecard import SYSTEM_NAMES, Case, Scorecard, interval_text, number
from calco.evaluation.steadiness import MEASURES, TRUTH, FrameScores, VideoScores
from calco.report.charts import learning_curves, lines
from calco.report.page import About, count, write_page
from calco.report.tables import Column, Row, Table, score_cells

NUM_TILES: Final = 5
_TILES = ("l1", "ssim", "st_lpips", "psnr_inside", "psnr", "iou", "dice", "pixel_accuracy", "ms_ssim", "fid")
_CLASS_TILES = ("iou", "dice", "pixel_accuracy", "l1", "ssim")
_SYSTEMS = {
    INPUT_COPIED: "The input, returned unchanged. A model that does not beat it has learnt nothing.",
    MEAN_TARGET: "The mean of all training targets, the same for every image.",
    TELEA: "OpenCV's inpainting of the erased region after Telea (2004), without any training.",
    NAVIER_STOKES: "The same by fluid dynamics, after Bertalmio et al. (2001).",
}
_MOST_VIDEOS: Final = 6  # whose curves are shown

Systems = Mapping[str, Mapping[str, Score]]


def write_report(
    card: Scorecard, out: str | Path, *, log: Iterable[Mapping[str, Any]] = (), about: About | None = None
) -> Path:
    """Write the report of one run.

    Args:
        card: Scores with their cases, as `evaluate` or `Scorecard.load` gives them.
        out: The file, or a folder to put `report.html` in.
        log: Lines of the training log for the learning curves, as `calco.files.read_json_lines` gives them.
        about: Facts about the model and its training.

    Returns:
        The path of the file.
    """
    facts = [f"recipe: {card.recipe}"] if card.recipe else []
    return write_page(
        out,
        "evaluation",
        title=f"{card.name} · Calco report",
        card=card,
        facts=[*facts, f"scored on {count(card.num_counted)}", _seen_fact(card)],
        verdict=card.verdict().replace(". It ", ".\nIt ").replace(". Scores ", ".\nScores ").split("\n"),
        tiles=_tiles(card),
        typical=_typical(card),
        scores=score_table(card.systems, list(card.metrics), f"Scores on {count(card.num_counted)}"),
        notes=_notes(card),
        classes=_classes(card),
        video=_video(card.video) if card.video else None,
        curves=learning_curves(log, {name: metric.label for name, metric in METRICS.items()}),
        galleries=_galleries(card),
        about=about or {},
        method=f"Intervals come from {RESAMPLES:,} bootstrap resamples of the images (seed {card.seed}), where those "
        "of one group are drawn together; whether the model is ahead depends on the difference in the same resamples.",
        meanings={METRICS[metric].label: METRICS[metric].meaning for metric in card.metrics}
        | {name: text for name, text in _SYSTEMS.items() if name in card.systems},
    )


def _seen_fact(card: Scorecard) -> str:
    if not card.training_known:
        return "the model does not record what it was trained on: these images may be among it"
    if not card.num_seen:
        return "the model was trained on none of them"
    if card.only_seen:
        return "the model was trained on all of them"
    return f"{count(card.num_seen)} of training shown but left out of the means"


def _tiles(card: Scorecard) -> list[tuple[str, str, str, str, str, str]]:
    wanted = _CLASS_TILES if "iou" in card.metrics else _TILES
    tiles = []
    for metric in [metric for metric in wanted if metric in card.systems[MODEL]][:NUM_TILES]:
        baseline, mark, below, way = card.best_baseline(metric), "", "", ""
        if baseline is not None and metric in card.systems[baseline]:
            better = card.gains[metric][baseline].value > 0
            way, mark = ("up", "better than") if better else ("down", "no better than")
            value = number(metric, card.systems[baseline][metric].mean)
            below = f"{SYSTEM_NAMES.get(baseline, baseline)}, {value}"
        shown = number(metric, card.systems[MODEL][metric].mean)
        tiles.append((METRICS[metric].label, shown, METRICS[metric].unit, mark, below, way))
    return tiles


def _typical(card: Scorecard) -> list[tuple[str, Any, str]]:
    """The three images of the chosen case in the middle of the ranking."""
    pool = [case for case in card.cases if case.role == "chosen" and not case.seen] or list(card.cases)
    if not pool:
        return []
    ranked = sorted(pool, key=lambda case: case.scores[MODEL].get(card.rank_by, 0.0))
    case = ranked[len(ranked) // 2]
    return [(side, getattr(case, side), f"{side} of {case.key}") for side in ("input", "output", "target")]


def score_table(systems: Systems, metrics: Sequence[str], caption: str, highlight: Sequence[str] = (MODEL,)) -> Table:
    """Systems in rows, metrics in columns; the best of a column marked, each value with its interval.

    Args:
        systems: System, metric, score.
        metrics: The columns.
        caption: Text for screen readers.
        highlight: Rows to stand out; without any, the best is not marked either.
    """
    columns = [
        score_cells(
            {name: row.get(metric) for name, row in systems.items()},
            METRICS[metric].better,
            lambda value, metric=metric: number(metric, value),  # type: ignore[misc]
            lambda score, metric=metric: interval_text(metric, score),  # type: ignore[misc]
            mark=bool(highlight),
        )
        for metric in metrics
    ]
    heads = [Column(METRICS[metric].label, METRICS[metric].meaning, METRICS[metric].better) for metric in metrics]
    rows = [Row(name, [column[name] for column in columns], highlight=name in highlight) for name in systems]
    return Table(caption, heads, rows)


def _notes(card: Scorecard) -> list[str]:
    notes = [f"Left out: {reason}." for reason in card.left_out_metrics.values()]
    if "colourfulness" in card.metrics:
        notes.append(f"The targets' own colourfulness is {number('colourfulness', card.target_colourfulness)}.")
    return notes + [f"Not scored: {key} ({reason})." for key, reason in list(card.left_out_images.items())[:20]]


def _classes(card: Scorecard) -> Table | None:
    if not card.classes:
        return None
    rows = [
        Row(name, [number("iou", scores[key]) for key in ("iou", "dice", "accuracy")])
        for name, scores in card.classes[MODEL].items()
        if not math.isnan(scores["iou"])  # a class that occurs in no image is no row
    ]
    heads = [Column("IoU", better="higher"), Column("Dice", better="higher"), Column("Pixels found", better="higher")]
    return Table("Scores of the classes", heads, rows, corner="Class")


def _galleries(card: Scorecard) -> list[tuple[str, str, list[tuple[Case, str, Table]]]]:
    """Title, note and cards (case, its main scores, the table of all) of each group of images."""
    if not card.cases:
        return []
    metrics = [metric for metric in card.metrics if metric in card.cases[0].scores[MODEL]]
    shown = list(dict.fromkeys((card.rank_by, "psnr" if card.rank_by != "psnr" else "ssim")))
    by = f"by {METRICS[card.rank_by].label}"
    groups = (
        ("chosen", "Random choice", "the same images for every model"),
        ("best", "Best", by),
        ("worst", "Worst", by),
    )
    return [
        (title, note, [_card(case, metrics, shown) for case in card.cases if case.role == role])
        for role, title, note in groups
    ]


def _card(case: Case, metrics: Sequence[str], shown: Sequence[str]) -> tuple[Case, str, Table]:
    ours = case.scores[MODEL]
    text = " · ".join(f"{METRICS[metric].label} {number(metric, ours[metric])}" for metric in shown if metric in ours)
    systems = {name: {m: Score(v) for m, v in row.items() if m in metrics} for name, row in case.scores.items()}
    return case, text, score_table(systems, [m for m in metrics if m in ours], f"Scores of {case.key}")


def _measure(name: str, value: float) -> str:
    about = MEASURES[name]
    return "–" if math.isnan(value) else f"{value * about.times:.{about.decimals}f}"


def _between(name: str, score: Score) -> str:
    if math.isnan(score.mean) or score.low is None or score.high is None:
        return ""
    return f"{_measure(name, score.low)}–{_measure(name, score.high)}"


def video_table(video: VideoScores) -> TerminalTable:
    """Table for the terminal: measures in rows, systems in columns, 95% intervals below the means."""
    result = TerminalTable(title="steadiness", caption="mean and 95% interval", title_style="bold")
    result.add_column("")
    for system in video.systems:
        result.add_column(system, justify="right")
    for name in _names(video):
        found = [scores.get(name) for scores in video.systems.values()]
        shown = (("–",) if s is None else filter(None, (_measure(name, s.mean), _between(name, s))) for s in found)
        result.add_row(MEASURES[name].label, *(cell(*each) for each in shown))
    return result


def _names(video: VideoScores) -> list[str]:
    return [name for name in MEASURES if any(name in scores for scores in video.systems.values())]


def _video(video: VideoScores) -> dict[str, Any]:
    """Table, charts and definitions of steadiness."""
    names = _names(video)
    columns = [
        score_cells(
            {system: scores.get(name) for system, scores in video.systems.items()},
            None,
            lambda value, name=name: _measure(name, value),  # type: ignore[misc]
            lambda score, name=name: _between(name, score),  # type: ignore[misc]
        )
        for name in names
    ]
    rows = [Row(system, [column[system] for column in columns]) for system in video.systems]
    return {
        "table": Table("Steadiness", [Column(MEASURES[name].label) for name in names], rows),
        "charts": _video_charts(video),
        "meanings": {MEASURES[name].label: MEASURES[name].meaning for name in names if not name.endswith("times")},
    }


def _video_charts(video: VideoScores) -> list[Markup]:
    videos: dict[str, list[FrameScores]] = {}
    for row in video.frames:
        videos.setdefault(row.video, []).append(row)
    charts = []
    for name, rows in list(videos.items())[:_MOST_VIDEOS]:
        for measure in ("psnr", "flicker", "colour"):
            curves = {
                system: [
                    (float(row.number), value * MEASURES[measure].times)
                    for row in rows
                    if math.isfinite(value := row.values[system].get(measure, math.nan))
                ]
                # The truth last, since it has no PSNR: so each system keeps its colour.
                for system in sorted(rows[0].values, key=lambda system: system == TRUTH)
            }
            if found := {system: points for system, points in curves.items() if points}:
                charts.append(lines(f"{name}: {MEASURES[measure].label}", found, "frame"))
    return charts
