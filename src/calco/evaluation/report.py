"""Reports of one run and of several side by side: single HTML files that open from disk without a network."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from calco.evaluation.baselines import INPUT_COPIED, MEAN_TARGET, MODEL, NAVIER_STOKES, TELEA
from calco.evaluation.face_search import FACE_METRICS, GENERATED, INPUT, FaceScores
from calco.evaluation.landmarks import LANDMARK_METRICS, LandmarkScores
from calco.evaluation.metrics import METRICS
from calco.evaluation.readback import GENERATED as READ
from calco.evaluation.readback import LABEL_METRICS, REAL, LabelScores
from calco.evaluation.scorecard import SYSTEM_NAMES, Case, Scorecard
from calco.evaluation.scores import RESAMPLES, Metric, Score, score_table
from calco.evaluation.steadiness import MEASURES, TRUTH, FrameScores, VideoScores
from calco.report.charts import learning_curves, lines
from calco.report.page import About, Column, Row, Table, count, write_page

NUM_TILES: Final = 5
_TILES = ("l1", "ssim", "st_lpips", "psnr_inside", "psnr", "iou", "dice", "pixel_accuracy", "ms_ssim", "fid")
_CLASS_TILES = ("iou", "dice", "pixel_accuracy", "l1", "ssim")
_SYSTEMS = {
    INPUT_COPIED: "The input, returned unchanged. A model that does not beat it has learnt nothing.",
    MEAN_TARGET: "The mean of all training targets, the same for every image.",
    TELEA: "OpenCV's inpainting of the erased region after Telea (2004), without any training.",
    NAVIER_STOKES: "The same by fluid dynamics, after Bertalmio et al. (2001).",
}
_MOST_RANKS: Final = 30  # that the curve of the search shows
_MOST_VIDEOS: Final = 6  # whose curves are shown


def write_report(
    card: Scorecard, out: str | Path, *, log: Iterable[Mapping[str, Any]] = (), about: About | None = None
) -> Path:
    """Write the report of one run.

    Args:
        card: Scores with their cases, from `evaluate` or `Scorecard.load`.
        out: The file, or a folder to put `report.html` in.
        log: Lines of the training log for the learning curves, from `calco.files.read_json_lines`.
        about: Facts about the model and its training.

    Returns:
        The path of the file.
    """
    facts = [f"recipe: {card.recipe}"] if card.recipe else []
    at = f" at {card.size}" if card.size else ""
    return write_page(
        out,
        "evaluation",
        title=f"{card.name} · Calco report",
        card=card,
        facts=[*facts, f"scored on {count(card.num_counted)}{at}", _seen_fact(card)],
        verdict=card.verdict().replace(". It ", ".\nIt ").replace(". Scores ", ".\nScores ").split("\n"),
        tiles=_tiles(card),
        typical=_typical(card),
        scores=score_table(card.systems, card.metrics, f"Scores on {count(card.num_counted)}", [MODEL]),
        notes=_notes(card),
        classes=Table(
            "Scores of the classes",
            [Column(title, better="higher") for title in ("IoU", "Dice", "Pixels found")],
            [Row(name, cells) for name, cells in card.class_rows()],
            "Class",
        )
        if card.classes
        else None,
        labels=_labels(card.labels) if card.labels else None,
        faces=_faces(card.faces) if card.faces else None,
        landmarks=_landmarks(card.landmarks) if card.landmarks else None,
        video=_video(card.video) if card.video else None,
        curves=learning_curves(log),
        galleries=_galleries(card),
        about=about or {},
        method=f"Intervals come from {RESAMPLES:,} bootstrap resamples of the images (seed {card.seed}), in which "
        "those of one group stay together; whether the model is ahead depends on the difference in the same resamples.",
        meanings={metric.label: metric.meaning for metric in card.metrics.values()}
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
    for key in [key for key in wanted if key in card.systems[MODEL]][:NUM_TILES]:
        metric, baseline = METRICS[key], card.best_baseline(key)
        mark, below, way = "", "", ""
        if baseline is not None and key in card.systems[baseline]:
            better = card.gains[key][baseline].value > 0
            way, mark = ("up", "better than") if better else ("down", "no better than")
            below = f"{SYSTEM_NAMES.get(baseline, baseline)}, {metric.text(card.systems[baseline][key].mean)}"
        tiles.append((metric.label, metric.text(card.systems[MODEL][key].mean), metric.unit, mark, below, way))
    return tiles


def _typical(card: Scorecard) -> list[tuple[str, Any, str]]:
    """Return the three images of the chosen case in the middle of the ranking."""
    pool = [case for case in card.cases if case.role == "chosen" and not case.seen] or list(card.cases)
    if not pool:
        return []
    ranked = sorted(pool, key=lambda case: case.scores[MODEL].get(card.rank_by, 0.0))
    case = ranked[len(ranked) // 2]
    return [(side, getattr(case, side), f"{side} of {case.key}") for side in ("input", "output", "target")]


def _notes(card: Scorecard) -> list[str]:
    notes = [f"Left out: {reason}." for reason in card.left_out_metrics.values()]
    if note := card.colour_note():
        notes.append(note)
    notes += card.notes
    return notes + [f"Not scored: {key} ({reason})." for key, reason in list(card.left_out_images.items())[:20]]


def _galleries(card: Scorecard) -> list[tuple[str, str, list[tuple[Case, str, Table]]]]:
    """Return title, note and cards (case, its main scores, the table of all) of each group of images."""
    if not card.cases:
        return []
    metrics = {key: metric for key, metric in card.metrics.items() if key in card.cases[0].scores[MODEL]}
    shown = list(dict.fromkeys((card.rank_by, "psnr" if card.rank_by != "psnr" else "ssim")))
    by = f"by {METRICS[card.rank_by].label}"
    judged = _judged(card)
    groups = (
        ("chosen", "Random choice", "the same images for every model"),
        ("best", "Best", by),
        ("worst", "Worst", by),
    )
    return [
        (
            title,
            note,
            [_card(case, metrics, shown, judged.get(case.key, "")) for case in card.cases if case.role == role],
        )
        for role, title, note in groups
    ]


def _judged(card: Scorecard) -> dict[str, str]:
    """Return by key what the judge says of an image."""
    said = {}
    if card.labels is not None:
        for row in card.labels.images:
            parts = [
                f"{metric.label} {metric.text(row.generated[key])} ({metric.text(row.real[key])})"
                for key, metric in LABEL_METRICS.items()
            ]
            said[row.key] = f"read back: {', '.join(parts)}"
    if card.faces is not None:
        for rank in card.faces.images:
            ours, theirs = rank.ranks[GENERATED], rank.ranks[INPUT]
            said[rank.key] = f"rank {ours} of {card.faces.num_persons}; input itself {theirs}"
    if card.landmarks is not None:
        nme = LANDMARK_METRICS["nme"].text
        for each in card.landmarks.images:
            said[each.key] = f"landmarks {nme(each.errors[GENERATED])}%; input itself {nme(each.errors[INPUT])}%"
    return said


def _labels(labels: LabelScores) -> dict[str, Any]:
    """Return the tables, notes and definitions of the label read-back."""
    columns = [
        Column(f"{title}, {system}", better="higher") for system in (READ, REAL) for title in ("pixels found", "IoU")
    ]
    text = LABEL_METRICS["class_iou"].text
    rows = [
        Row(name, [text(labels.classes[system][name][key]) for system in (READ, REAL) for key in ("accuracy", "iou")])
        for name in labels.classes[READ]
    ]
    return {
        "judge": labels.judge,
        "table": score_table(labels.systems, LABEL_METRICS, "Label read-back", [READ], mark=False),
        "classes": Table("Classes of the label read-back", columns, rows, "Class"),
        "notes": [labels.sentence(), *labels.notes],
        "meanings": {metric.label: metric.meaning for metric in LABEL_METRICS.values()},
    }


def _faces(faces: FaceScores) -> dict[str, Any]:
    """Return the table, chart, notes and definitions of the search for the person."""
    curves = {
        name: [(float(rank), share) for rank, share in enumerate(shares[:_MOST_RANKS], 1)]
        for name, shares in faces.curves.items()
    }
    values = {name: f"{shares[0]:.2f} at rank 1" for name, shares in faces.curves.items()}
    return {
        "judge": faces.judge,
        "table": score_table(faces.systems, FACE_METRICS, "Search for the person", [GENERATED], mark=False),
        "charts": [lines("Cumulative match", curves, "rank", "share of persons found", values=values)],
        "notes": [faces.sentence(), *faces.notes],
        "meanings": {metric.label: metric.meaning for metric in FACE_METRICS.values()},
    }


def _landmarks(landmarks: LandmarkScores) -> dict[str, Any]:
    """Return the table, notes and definitions of the comparison of landmarks."""
    return {
        "judge": landmarks.judge,
        "table": score_table(landmarks.systems, LANDMARK_METRICS, "Facial landmarks", [GENERATED], mark=False),
        "notes": [landmarks.sentence(), *landmarks.notes],
        "meanings": {metric.label: metric.meaning for metric in LANDMARK_METRICS.values()},
    }


def _card(case: Case, metrics: Mapping[str, Metric], shown: Sequence[str], judged: str) -> tuple[Case, str, Table]:
    ours = case.scores[MODEL]
    text = " · ".join(f"{METRICS[key].label} {METRICS[key].text(ours[key])}" for key in shown if key in ours)
    text += f" · {judged}" if judged else ""
    systems = {name: {key: Score(row[key]) for key in metrics if key in row} for name, row in case.scores.items()}
    own = {key: metric for key, metric in metrics.items() if key in ours}
    return case, text, score_table(systems, own, f"Scores of {case.key}", [MODEL])


def _video(video: VideoScores) -> dict[str, Any]:
    """Return table, charts and definitions of steadiness."""
    measures = video.measures
    return {
        "table": score_table(video.systems, measures, "Steadiness"),
        "charts": _video_charts(video),
        "meanings": {each.label: each.meaning for name, each in measures.items() if not name.endswith("times")},
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
                    (float(row.number), value * MEASURES[measure].factor)
                    for row in rows
                    if math.isfinite(value := row.values[system].get(measure, math.nan))
                ]
                # The truth last, since it has no PSNR: so each system keeps its colour.
                for system in sorted(rows[0].values, key=lambda system: system == TRUTH)
            }
            if found := {system: points for system, points in curves.items() if points}:
                charts.append(lines(f"{name}: {MEASURES[measure].label}", found, "frame"))
    return charts
