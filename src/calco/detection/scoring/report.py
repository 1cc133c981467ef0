"""The report of a detector: a single HTML file that opens from disk without a network."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calco.detection import plots
from calco.detection.boxed import DIALOG, script, style, switches
from calco.detection.scoring import tables
from calco.detection.scoring.card import MEASURES, MODEL, SYSTEMS, DetectionCard
from calco.detection.scoring.gallery import gallery
from calco.detection.scoring.words import few, percent, range_of, sentences, shown
from calco.evaluation import curves
from calco.report.html import definitions, write_page

if TYPE_CHECKING:
    from calco.detection.scoring.evaluate import Evaluated

REPORT: Final = "report.html"
_LOOKS: Final = (
    ("right", "found rightly"), ("wrong", "false alarm"), ("missed", "missed"), ("thing", "what is there"),
    ("passed", "counts neither way"),
)  # fmt: skip


def write_report(
    done: "Evaluated", out: str | Path, *, log: Iterable[Mapping[str, Any]] = (), about: Mapping[str, str] | None = None
) -> Path:
    """Writes the page.

    Args:
        done: What `evaluate_detector` gives.
        out: The file, or a folder to put `report.html` in.
        log: Rows of the training's log, for the learning curves.
        about: What the detector was trained on and how.

    Returns:
        The path of the page.
    """
    card = done.card
    images = f'<section><div class="bar"><h2>Images</h2>{switches(_LOOKS)}</div>{gallery(done)}</section>'
    parts = [
        tables.scores(card), _in_use(card), _curves(card), tables.classes(card), tables.confusion(card), images,
        _learning(log), _about(card, about or {}),
    ]  # fmt: skip
    return write_page(
        out, f"{card.name} · Calco report", _header(card), "\n".join(filter(None, parts)), name=REPORT, css=style(),
        js=script(), after=DIALOG,
    )  # fmt: skip


def _header(card: DetectionCard) -> str:
    objects = card.scores.num_objects
    facts = [
        f"finds {', '.join(card.classes[:6])}"
        + (f" and {len(card.classes) - 6} more" if len(card.classes) > 6 else ""),
        f"scored on {len(card.images):,} images with {objects:,} thing{'' if objects == 1 else 's'}",
        *([f"{card.num_seen:,} images of the training passed over"] if card.num_seen else []),
        f"{1000 * card.seconds:,.0f} ms an image on this machine",
    ]
    listed = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    verdict = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences(card))
    warning = (
        '<p class="warn">Every image here was part of the training. The scores say how well the detector remembers, '
        "not how well it works.</p>"
        if card.only_seen
        else ""
    )
    return (
        f'<h1>{escape(card.name)}</h1><ul class="facts">{listed}</ul><div class="verdict">{verdict}</div>{warning}'
        f'<ul class="tiles">{"".join(_tiles(card))}</ul>'
    )


def _tiles(card: DetectionCard) -> list[str]:
    model = card.systems[MODEL]
    tiles = [
        (MEASURES[name].label, shown(model[name].mean), range_of(model[name]))
        for name in ("map50", "map", "map75", "f1")
    ]
    rates = card.rates
    tiles.append(("Missed", percent(rates.miss_rate).split(" (")[0], "of the objects, at the threshold"))
    tiles.append(("False alarms", shown(rates.wrong.mean, 2), "boxes an image, at the threshold"))
    return [
        f'<li class="tile"><span class="name">{escape(name)}</span><span class="value">{value}</span>'
        f'<span class="than">{escape(than)}</span></li>'
        for name, value, than in tiles
    ]


def _in_use(card: DetectionCard) -> str:
    """Errors where people pass."""
    rates, place = card.rates, card.place
    alarmed = (
        "of the images with nothing in them raise a false alarm"
        if rates.of_empty
        else "of the images have a box at nothing of its class"
    )
    entries = [
        (few(rates.wrong), "false boxes an image"), (few(rates.missed), "missed objects an image"),
        (percent(rates.miss_rate), "of the objects are missed"),
        (percent(rates.alarm_rate), alarmed),
    ]  # fmt: skip
    if rates.wrong_an_hour is not None:
        entries.append(
            (few(rates.wrong_an_hour), f"false boxes an hour, at {place.frames_per_second:g} frames a second")
        )
    entries += [(few(score), name) for name, score in rates.people.items()]
    if rates.right_alarms is not None:
        entries.append(
            (percent(rates.right_alarms), f"of the alarms are right, where {place.prevalence:.2%} are sought")
        )
    items = "".join(f"<li>{_split(value)}<span>{escape(words)}</span></li>" for value, words in entries)
    told = (
        "Tell how many people pass and how often one looks, and they stand here by the hour: "
        if not rates.people
        else ""
    )
    options = "<code>--people-per-hour 200 --frames-per-second 5 --prevalence 0.001</code>." if told else ""
    assumed = (
        f"For {place.people_per_hour:,.0f} people an hour it is assumed that each is looked at once, on images such "
        "as these. " if rates.people else ""
    )  # fmt: skip
    return (
        f'<section><h2>In use</h2><p class="lead">At the threshold {card.threshold:.2f}, with 95% intervals. '
        f"{escape(assumed)}Frames of a video that follow each other err together: a mistake lasts, and looking twice "
        f"does not halve what is missed. {escape(told)}{options}</p>"
        f'<ul class="people">{items}</ul></section>'
    )


def _split(value: str) -> str:
    number, _, ends = value.partition(" (")
    return f"<b>{escape(number)}</b>" + (f"<span>95%: {escape(ends.removesuffix(')'))}</span>" if ends else "")


def _curves(card: DetectionCard) -> str:
    order = sorted(card.curves, key=lambda name: -card.by_class[name].num_objects)
    charts = [
        plots.lines(
            "Precision over recall" + (f", {number // plots.COLOURS + 1}" if len(order) > plots.COLOURS else ""),
            {name: [(r, p) for r, p, _ in card.curves[name]] for name in order[number : number + plots.COLOURS]},
            "recall", "precision", steps=True, values={name: shown(card.by_class[name].ap50) for name in order},
            note="At an overlap of 0.5; behind each name its mAP 50.",
        )
        for number in range(0, min(len(order), 3 * plots.COLOURS), plots.COLOURS)
    ]  # fmt: skip
    if card.thresholds:
        named = {"precision": 1, "recall": 2, "F1": 3}
        charts.append(
            plots.lines(
                "What a threshold does",
                {name: [(row[0], row[place]) for row in card.thresholds] for name, place in named.items()},
                "threshold", "share", at=card.threshold,
                note=f"Dashed: the detector's threshold {card.threshold:.2f}. On these images "
                f"{card.best_threshold:.2f} has the best F1.",
            )
        )  # fmt: skip
    if sum(card.kinds.values()):
        charts.append(
            plots.bars(
                "What the false alarms are", card.kinds, note="At the threshold, by their overlap with what is there."
            )
        )
    return f'<section><h2>Curves</h2><div class="charts">{"".join(charts)}</div></section>' if charts else ""


def _learning(log: Iterable[Mapping[str, Any]]) -> str:
    figures = "".join(curves.draw(chart) for chart in curves.charts(log))
    if not figures:
        return ""
    return (
        '<section><h2>Learning curves</h2><p class="lead">By training step. Thin: as measured; thick: smoothed, with '
        f'its last value above.</p><div class="charts">{figures}</div></section>'
    )


def _about(card: DetectionCard, about: Mapping[str, str]) -> str:
    trained = definitions(about) if about else '<p class="soft">This detector does not say what it was trained on.</p>'
    meanings = {measure.label: measure.meaning for measure in MEASURES.values()}
    left = {"Left out": [f"{key}: {reason}" for key, reason in card.left_out.items()]} if card.left_out else {}
    notes = "".join(f"<li>{escape(note)}.</li>" for note in card.notes)
    method = (
        "Mean average precision is counted by faster-coco-eval after COCO's protocol. Intervals hold the value with "
        f"95% certainty: they come from images drawn again by chance (seed {card.seed}), where those of one group "
        "are drawn together, and from COCO's counting on them."
    )
    systems: dict[str, str | Sequence[str]] = {**meanings, **SYSTEMS, **left}
    return (
        f"<section><h2>What it was trained on</h2>{trained}</section>"
        f'<section><h2>How it was measured</h2><p class="lead">{method}</p>'
        f"{f'<ul class=notes>{notes}</ul>' if notes else ''}{definitions(systems, 'about metrics')}</section>"
    )
