"""A detector's scores in words and in the terminal."""

import math
from typing import TYPE_CHECKING

from calco.console import Table, cell
from calco.detection.scoring.card import MEAN_BOX, MEASURES, MODEL, DetectionCard

if TYPE_CHECKING:
    from calco.evaluation.intervals import Score


def shown(value: float | None, decimals: int = 3) -> str:
    """A number with so many digits; an en dash for what is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:,.{decimals}f}"


def range_of(score: "Score", decimals: int = 3) -> str:
    """Such as "0.31 to 0.44"; nothing without an interval, or where it is narrower than the digits."""
    if score.low is None or score.high is None:
        return ""
    low, high = shown(score.low, decimals), shown(score.high, decimals)
    return f"{low} to {high}" if low != high else ""


def with_range(score: "Score", decimals: int = 3) -> str:
    """Such as "0.378 (0.310 to 0.440)"."""
    ends = range_of(score, decimals)
    return shown(score.mean, decimals) + (f" ({ends})" if ends else "")


def few(score: "Score", unit: str = "") -> str:
    """A number as people say it: with more digits where it is small."""
    largest = max(abs(score.mean), abs(score.high or 0.0)) if math.isfinite(score.mean) else 0.0
    decimals = 0 if largest >= 100 else 1 if largest >= 10 else 2
    ends = range_of(score, decimals)
    return shown(score.mean, decimals) + unit + (f" ({ends})" if ends else "")


def percent(score: "Score") -> str:
    """A share and its interval in hundredths; with more digits where it is small."""
    if not math.isfinite(score.mean):
        return "–"
    decimals = 0 if score.mean >= 0.1 or not score.mean else 1 if score.mean >= 0.01 else 2

    def said(share: float) -> str:
        return f"{share:.{decimals}%}"

    if score.low is None or score.high is None or said(score.low) == said(score.high):
        return said(score.mean)
    return f"{said(score.mean)} ({said(score.low)} to {said(score.high)})"


def table(card: DetectionCard) -> Table:
    """The scores of the detector and the baselines, for the terminal."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column("")
    for measure in MEASURES.values():
        made.add_column(f"{measure.label} {'↓' if measure.better == 'lower' else '↑'}", justify="right", no_wrap=True)
    for system, row in card.systems.items():
        cells = [shown(row[name].mean, measure.decimals) for name, measure in MEASURES.items()]
        made.add_row(system, *cells, style="bold" if system == MODEL else "")
        ends = [range_of(row[name], measure.decimals).replace(" to ", "–") for name, measure in MEASURES.items()]
        if system == MODEL and any(ends):
            made.add_row(*(cell(each, style="dim") for each in ("  95%", *ends)))
    return made


def class_table(card: DetectionCard) -> Table:
    """The detector's scores of each class, for the terminal."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("class", "objects", "mAP 50:95 ↑", "mAP 50 ↑", "mAP 75 ↑", "found among 100 ↑"):
        made.add_column(title, justify="left" if title == "class" else "right")
    for name, each in card.by_class.items():
        made.add_row(name, f"{each.num_objects:,}", *map(shown, (each.ap, each.ap50, each.ap75, each.recall)))
    return made


def verdict(card: DetectionCard) -> str:
    """How good it is, in a few sentences."""
    return " ".join([*sentences(card), *(f"{note}." for note in card.notes)])


def sentences(card: DetectionCard) -> list[str]:
    """What the scores say."""
    model = card.systems[MODEL]
    counted = f"{len(card.images):,} image{'' if len(card.images) == 1 else 's'}"
    counted += f" ({card.num_seen:,} of the training left out)" if card.num_seen else ""
    where = f"On {counted}" + (
        " that it was trained on" if card.only_seen else " that it never saw" if card.unseen else ""
    )
    if not card.scores.num_objects:
        return [f"{where}, nothing is to be found: {few(card.rates.wrong)} false alarms an image."]
    told = [
        f"{where}, the detector's mAP 50 is {with_range(model['map50'])}, its mAP 50:95 {with_range(model['map'])}."
    ]
    if card.gain is not None and math.isfinite(card.gain.mean):
        ends = range_of(card.gain, 1)
        told.append(f"That is {card.gain.mean:,.1f} times the mean box's mAP 50{f' ({ends})' if ends else ''}.")
    elif MEAN_BOX in card.systems:
        told.append("The mean box finds none of the objects.")
    rates = card.rates
    told.append(
        f"At the threshold {card.threshold:.2f} it misses {percent(rates.miss_rate)} of the objects and raises "
        f"{few(rates.wrong)} false alarms an image."
    )
    if abs(card.best_threshold - card.threshold) > 0.1:
        told.append(f"On these images {card.best_threshold:.2f} would have served best.")
    return told + hourly(card)


def hourly(card: DetectionCard) -> list[str]:
    """The errors in an hour, where somebody told how many people pass and how often one looks."""
    rates, place = card.rates, card.place
    told = []
    if rates.people:
        listed = "; ".join(f"{few(score)} {name}" for name, score in rates.people.items())
        told.append(f"Of {place.people_per_hour:,.0f} people an hour, each looked at once: {listed}.")
        if not rates.of_empty:
            told.append(
                "What people set off who have none of the objects is a guess: too few of these images have nothing in "
                "them."
            )
    if rates.right_alarms is not None and math.isfinite(rates.right_alarms.mean):
        told.append(f"Of those who set off an alarm, {percent(rates.right_alarms)} are sought.")
    if rates.wrong_an_hour is not None:
        told.append(
            f"At {place.frames_per_second:g} frames a second, each by itself, that is {few(rates.wrong_an_hour)} false "
            "boxes an hour."
        )
    return told
