"""The report of one run: a single HTML file that opens from disk without a network."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from calco.evaluation import curves
from calco.evaluation.baselines import INPUT_COPIED, MEAN_TARGET, MODEL, NAVIER_STOKES, TELEA
from calco.evaluation.intervals import RESAMPLES
from calco.evaluation.metrics import METRICS
from calco.evaluation.page import gallery, score_table, switch, write_report_page
from calco.evaluation.scorecard import Scorecard
from calco.evaluation.videopage import video_section
from calco.evaluation.words import SYSTEM_NAMES, count, number
from calco.report.html import definitions, img_tag

NUM_TILES = 5
_TILES = ("l1", "ssim", "st_lpips", "psnr_inside", "psnr", "iou", "dice", "pixel_accuracy", "ms_ssim", "fid")
_CLASS_TILES = ("iou", "dice", "pixel_accuracy", "l1", "ssim")
_SYSTEMS = {
    INPUT_COPIED: "The input, handed back as it is. Who cannot beat it has learnt nothing.",
    MEAN_TARGET: "The mean of all targets of training, the same for every image.",
    TELEA: "OpenCV's inpainting of the erased region after Telea (2004), without any training.",
    NAVIER_STOKES: "The same by fluid dynamics, after Bertalmio et al. (2001).",
}

About = Mapping[str, str | Sequence[str]]


def write_report(
    card: Scorecard, out: str | Path, *, log: Iterable[Mapping[str, Any]] = (), about: About | None = None
) -> Path:
    """Writes one self-contained HTML page.

    Args:
        card: With its cases, as `evaluate` or `Scorecard.load` gives it.
        out: The file, or a folder to put `report.html` in.
        log: Rows of the training log for the learning curves, as `calco.files.read_json_lines` gives them.
        about: What the model was trained on and how, name and text in the order to be shown; a list of names is folded.

    Returns:
        The path of the file.
    """
    body = "\n".join(
        part
        for part in (
            _typical(card),
            _scores(card),
            _classes(card),
            video_section(card.video) if card.video else "",
            _curves(log),
            _gallery(card),
            _about(card, about or {}),
        )
        if part
    )
    facts = [f"recipe: {card.recipe}"] if card.recipe else []
    facts += [f"scored on {count(card.num_counted)}", _seen_fact(card)]
    return write_report_page(out, f"{card.name} · Calco report", _header(card, facts), body)


def _seen_fact(card: Scorecard) -> str:
    if not card.training_known:
        return "the model does not name what it was trained on: these images may be among it"
    if not card.num_seen:
        return "the model was trained on none of them"
    if card.only_seen:
        return "the model was trained on all of them"
    return f"{count(card.num_seen)} of training shown but left out of the means"


def _header(card: Scorecard, facts: Sequence[str]) -> str:
    listed = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    sentences = card.verdict().replace(". It ", ".\nIt ").replace(". Scores ", ".\nScores ").split("\n")
    verdict = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    warning = (
        '<p class="warn">Every image here was part of the training. The scores say how well the model remembers, not '
        "how well it works.</p>"
        if card.only_seen
        else ""
    )
    return (
        f'<h1>{escape(card.name)}</h1><ul class="facts">{listed}</ul><div class="verdict">{verdict}</div>'
        f"{warning}{_tiles(card)}"
    )


def _tiles(card: Scorecard) -> str:
    wanted = _CLASS_TILES if "iou" in card.metrics else _TILES
    tiles = []
    for metric in [metric for metric in wanted if metric in card.systems[MODEL]][:NUM_TILES]:
        mean, baseline, than = card.systems[MODEL][metric].mean, card.best_baseline(metric), ""
        if baseline is not None and metric in card.systems[baseline]:
            better = card.gains[metric][baseline].value > 0
            css, word = ("up", "better than") if better else ("down", "no better than")
            value = number(metric, card.systems[baseline][metric].mean)
            other = escape(SYSTEM_NAMES.get(baseline, baseline))
            than = f'<span class="than"><span class="{css}">{word}</span> {other}, {value}</span>'
        unit = f" <small>{METRICS[metric].unit}</small>" if METRICS[metric].unit else ""
        tiles.append(
            f'<li class="tile"><span class="name">{METRICS[metric].label}</span>'
            f'<span class="value">{number(metric, mean)}{unit}</span>{than}</li>'
        )
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


def _typical(card: Scorecard) -> str:
    """Three images at a glance: of the chosen cases, the one in the middle of the ranking."""
    pool = [case for case in card.cases if case.role == "chosen" and not case.seen] or list(card.cases)
    if not pool:
        return ""
    ranked = sorted(pool, key=lambda case: case.scores[MODEL].get(card.rank_by, 0.0))
    case = ranked[len(ranked) // 2]
    sides = {"input": case.input, "output": case.output, "target": case.target}
    figures = "".join(
        f"<figure>{img_tag(image, f'{side} of {case.key}')}<figcaption>{side}</figcaption></figure>"
        for side, image in sides.items()
    )
    return f'<div class="trio" role="group" aria-label="A typical image: {escape(case.key)}">{figures}</div>'


def _scores(card: Scorecard) -> str:
    metrics = list(card.metrics)
    notes = [f"Left out: {reason}." for reason in card.left_out_metrics.values()]
    if "colourfulness" in metrics:
        notes.append(f"The targets' own colourfulness is {number('colourfulness', card.target_colourfulness)}.")
    notes += [f"Not scored: {key} ({reason})." for key, reason in list(card.left_out_images.items())[:20]]
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    caption = f"Scores on {count(card.num_counted)}"
    return (
        '<section><h2>Scores</h2><p class="lead">'
        f"Means over {count(card.num_counted)}, beside systems that learnt nothing. "
        "Below each mean, the interval that holds it with 95% certainty, and both drawn on the column's own scale. "
        "★ marks the best; ↓ lower is better, ↑ higher is better.</p>"
        f'{score_table(card.systems, metrics, caption)}<ul class="notes">{listed}</ul></section>'
    )


def _classes(card: Scorecard) -> str:
    if not card.classes:
        return ""
    model = card.classes[MODEL]
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{number('iou', scores[key])}</td>" for key in ("iou", "dice", "accuracy"))
        + "</tr>"
        for name, scores in model.items()
        if scores["iou"] == scores["iou"]  # a class that occurs in no image is no row
    )
    return (
        '<section><h2>Classes</h2><p class="lead">'
        "The model's scores for each class, over all pixels of all images after "
        "each pixel took the class of the nearest colour.</p>"
        '<div class="scroll"><table><thead><tr><th scope="col">Class</th><th scope="col">IoU ↑</th>'
        f'<th scope="col">Dice ↑</th><th scope="col">Pixels found ↑</th></tr></thead><tbody>{rows}</tbody>'
        "</table></div></section>"
    )


def _curves(log: Iterable[Mapping[str, Any]]) -> str:
    figures = "".join(curves.draw(chart) for chart in curves.charts(log))
    if not figures:
        return ""
    return (
        '<section><h2>Learning curves</h2><p class="lead">'
        "By training step. Thin: as measured; thick: smoothed, with its "
        f'last value above.</p><div class="charts">{figures}</div></section>'
    )


def _gallery(card: Scorecard) -> str:
    if not card.cases:
        return ""
    metrics = [metric for metric in card.metrics if metric in card.cases[0].scores[MODEL]]
    shown = list(dict.fromkeys((card.rank_by, "psnr" if card.rank_by != "psnr" else "ssim")))
    by_role = {role: [case for case in card.cases if case.role == role] for role in ("best", "worst", "chosen")}
    label = METRICS[card.rank_by].label
    parts = [
        gallery("Chosen by chance", by_role["chosen"], metrics, shown, "the same images for every model"),
        gallery("Best", by_role["best"], metrics, shown, f"by {label}"),
        gallery("Worst", by_role["worst"], metrics, shown, f"by {label}"),
    ]
    return (
        f'<section><div class="bar"><h2>Images</h2>{switch()}</div><p class="lead">'
        "Left the input; right the output over the target: drag the line, or move it with the arrow keys. "
        "An image's name enlarges it.</p>"
        f"{''.join(parts)}</section>"
    )


def _about(card: Scorecard, about: About) -> str:
    trained = definitions(about) if about else '<p class="soft">This model does not say what it was trained on.</p>'
    meanings = {METRICS[metric].label: METRICS[metric].meaning for metric in card.metrics}
    systems = {name: text for name, text in _SYSTEMS.items() if name in card.systems}
    method = (
        f"Intervals come from {RESAMPLES:,} bootstrap resamples of the images (seed {card.seed}), where those of one "
        "group are drawn together; whether the model is ahead is judged on the difference in the same resamples."
    )
    return (
        f"<section><h2>What it was trained on</h2>{trained}</section>"
        f'<section><h2>How it was measured</h2><p class="lead">{method}</p>'
        f"{definitions(meanings | systems, 'about metrics')}</section>"
    )
