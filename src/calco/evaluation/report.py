"""The report of one run: a single HTML file that opens from disk without a network."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calco.console import Table, cell
from calco.evaluation import curves
from calco.evaluation.baselines import INPUT_COPIED, MEAN_TARGET, MODEL, NAVIER_STOKES, TELEA
from calco.evaluation.metrics import METRICS, RESAMPLES, Score
from calco.evaluation.scorecard import SYSTEM_NAMES, Case, Scorecard, arrow, count, interval_text, number
from calco.evaluation.steadiness import MEASURES, TRUTH, FrameScores, VideoScores
from calco.report.html import asset, definitions, img_tag, write_page

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
        log: Rows of the training log for the learning curves, as `calco.journal.read` gives them.
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


if TYPE_CHECKING:
    from calco.evaluation.metrics import Score

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


REPORT = "report.html"
SIDES = ("input", "output", "target")

Systems = Mapping[str, Mapping[str, Score]]


def write_report_page(out: str | Path, title: str, header: str, body: str) -> Path:
    """Writes a page with sliders between images, which a dialog enlarges; the arguments are those of `write_page`."""
    css, js = asset("calco.evaluation", "report.css"), asset("calco.evaluation", "report.js")
    return write_page(out, title, header, body, name=REPORT, css=css, js=js, after=_DIALOG)


_DIALOG = (
    '<dialog aria-labelledby="case-name"><div class="bar"><h2 id="case-name"></h2>'
    '<button type="button" class="close">Close</button></div>'
    '<div class="trio">'
    + "".join(f'<figure><img class="{side}" alt="{side}"><figcaption>{side}</figcaption></figure>' for side in SIDES)
    + '</div><div class="each"></div></dialog>'
)


def score_table(systems: Systems, metrics: Sequence[str], caption: str, highlight: Sequence[str] = (MODEL,)) -> str:
    """Systems in rows, metrics in columns; the best of a column marked, each value with its place and interval.

    Args:
        systems: System, metric, score.
        metrics: The columns.
        caption: For those who cannot see the table.
        highlight: Rows to stand out; without any, the best is not marked either.
    """
    head = "".join(
        f'<th scope="col"><abbr title="{escape(METRICS[metric].meaning)}">{METRICS[metric].label}</abbr> '
        f"{_direction(metric)}</th>"
        for metric in metrics
    )
    columns = {metric: _column(systems, metric) for metric in metrics}
    if not highlight:
        columns = {metric: (set(), low, high) for metric, (_, low, high) in columns.items()}
    rows = []
    for name, scores in systems.items():
        cells = "".join(_cell(metric, name, scores.get(metric), *columns[metric]) for metric in metrics)
        css = ' class="model"' if name in highlight else ""
        rows.append(f'<tr{css}><th scope="row">{escape(name)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f'<caption class="hidden">{escape(caption)}</caption>'
        f'<thead><tr><th scope="col"><span class="hidden">System</span></th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _direction(metric: str) -> str:
    better = METRICS[metric].better
    return f'<span aria-label="{better} is better">{arrow(metric)}</span>' if better else ""


def _column(systems: Systems, metric: str) -> tuple[set[str], float, float]:
    """The best systems (as far as the digits shown tell), and the ends of the column's scale."""
    scores = {name: row[metric] for name, row in systems.items() if metric in row and math.isfinite(row[metric].mean)}
    ends = [end for s in scores.values() for end in (s.mean, s.low, s.high) if end is not None]
    better = METRICS[metric].better
    if better is None or not scores:
        return set(), min(ends, default=0.0), max(ends, default=1.0)
    top = (min if better == "lower" else max)(score.mean for score in scores.values())
    best = {name for name, score in scores.items() if number(metric, score.mean) == number(metric, top)}
    return best, min(ends), max(ends)


def _cell(metric: str, name: str, score: Score | None, best: set[str], low: float, high: float) -> str:
    if score is None:
        return "<td>–</td>"

    def at(value: float) -> float:
        return 4 + 92 * (value - low) / (high - low) if high > low else 50.0

    mark, said = (' class="best"', '<span class="hidden"> best</span>') if name in best else ("", "")
    track = f'<b style="left:{at(score.mean):.1f}%"></b>'
    text = interval_text(metric, score)
    said_range = f'<span class="range"><span class="hidden">95% interval </span>{text}</span>' if text else ""
    if score.low is not None and score.high is not None:
        width = at(score.high) - at(score.low)
        track = f'<i style="left:{at(score.low):.1f}%;width:{width:.1f}%"></i>{track}'
    return (
        f'<td{mark}><span class="num">{number(metric, score.mean)}</span>{said}'
        f'{said_range}<span class="track" aria-hidden="true">{track}</span></td>'
    )


def case_card(case: Case, metrics: Sequence[str], shown: Sequence[str]) -> str:
    """Input beside a slider between output and target, with the name (a button that enlarges) and the scores.

    Args:
        case: What to show.
        metrics: All scores for the enlarged view.
        shown: The one or two that stand on the card.
    """
    key = escape(case.key)
    scores = " · ".join(
        f"{METRICS[metric].label} {number(metric, case.scores[MODEL][metric])}"
        for metric in shown
        if metric in case.scores[MODEL]
    )
    systems = {name: {m: Score(v) for m, v in row.items() if m in metrics} for name, row in case.scores.items()}
    each = score_table(systems, [m for m in metrics if m in case.scores[MODEL]], f"Scores of {case.key}")
    seen = '<span class="seen" title="The model was trained on this image">seen</span>' if case.seen else ""
    return (
        f'<li class="case"><div class="sides"><div class="plain">{img_tag(case.input, f"input of {case.key}", "input")}'
        f'<span class="tag l">input</span></div>'
        f'<div class="compare">{img_tag(case.target, f"target of {case.key}", "target")}'
        f"{img_tag(case.output, f'output of {case.key}', 'output over')}"
        '<span class="line"></span><span class="tag l">output</span><span class="tag r">target</span>'
        f'<input type="range" min="0" max="100" value="50" aria-label="{key}: output or target" '
        'aria-valuetext="50% output, 50% target"></div></div>'
        f'<div class="foot"><button type="button" class="title" title="{key}: enlarge">{key}</button>{seen}'
        f'<span class="scores">{scores}</span></div><template>{each}</template></li>'
    )


def gallery(title: str, cases: Sequence[Case], metrics: Sequence[str], shown: Sequence[str], note: str = "") -> str:
    """A titled grid of cards; nothing without cases."""
    if not cases:
        return ""
    cards = "".join(case_card(case, metrics, shown) for case in cases)
    text = f' <span class="soft" style="font-weight:400">{escape(note)}</span>' if note else ""
    return f'<h3>{escape(title)}{text}</h3><ul class="cases">{cards}</ul>'


def switch() -> str:
    """Buttons that move all sliders at once."""
    choices = (("Output", 100, "false"), ("Half and half", 50, "true"), ("Target", 0, "false"))
    buttons = "".join(
        f'<button type="button" data-at="{at}" aria-pressed="{pressed}">{name}</button>'
        for name, at, pressed in choices
    )
    return f'<div class="switch" role="group" aria-label="Show in every image">{buttons}</div>'
