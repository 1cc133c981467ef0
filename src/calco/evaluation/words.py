"""Scores in words and in the terminal."""

import math
from typing import TYPE_CHECKING

from calco.console import Table, cell
from calco.evaluation.baselines import MODEL
from calco.evaluation.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from calco.evaluation.intervals import Score
    from calco.evaluation.scorecard import Scorecard

SYSTEM_NAMES = {
    "model": "the model",
    "input copied": "the copied input",
    "mean target": "the mean target",
    "Telea": "Telea",
    "Navier-Stokes": "Navier-Stokes",
}


def number(metric: str, value: float) -> str:
    """A value with the digits that suit its metric; an en dash for what is not a number."""
    return "–" if math.isnan(value) else f"{value:.{METRICS[metric].decimals}f}"


def count(num: int, noun: str = "image") -> str:
    """Such as "1 image" or "1,200 images"."""
    return f"{num:,} {noun}" + ("" if num == 1 else "s")


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _against(card: "Scorecard", metric: str) -> str:
    """Such as "L1 (0.0501 against 0.0742 for the copied input, 32% less)"."""
    baseline = card.best_baseline(metric)
    assert baseline is not None
    ours, theirs = card.systems[MODEL][metric].mean, card.systems[baseline][metric].mean
    text = f"{number(metric, ours)} against {number(metric, theirs)} for {SYSTEM_NAMES.get(baseline, baseline)}"
    # A share of decibels, or of something near zero or below, says nothing.
    if METRICS[metric].unit != "dB" and theirs > 0 and abs(ours / theirs - 1) < 2:
        share = round(abs(ours / theirs - 1) * 100)
        text += f", {share}% {'less' if ours < theirs else 'more'}" if share else ""
    elif METRICS[metric].unit == "dB":
        text += f", {abs(ours - theirs):.1f} dB {'less' if ours < theirs else 'more'}"
    return f"{METRICS[metric].label} ({text})"


def verdict(card: "Scorecard") -> str:
    """On what the model beats every baseline and by how much, in two to four sentences."""
    sure: list[str] = []
    likely: list[str] = []
    lost: list[str] = []
    for metric, beaten in card.beats_baselines.items():
        gains = card.gains[metric].values()
        # Set scores such as FID have no interval: their sign is all there is.
        certain = all(gain.certain for gain in gains) or all(gain.low is None for gain in gains)
        (lost if not beaten else sure if certain else likely).append(metric)
    where = f"On {count(card.num_counted)} that it " + ("was trained on" if card.only_seen else "never saw")
    if not card.training_known:
        where = f"On {count(card.num_counted)}, some of which it may have been trained on"
    sentences = []
    if sure:
        everything = "" if likely or lost else "every baseline on every measure: "
        head = f"{where}, the model beats " + (everything or "every baseline on ")
        sentences.append(head + _listed([_against(card, metric) for metric in sure]) + ".")
    if likely:
        head = "It is ahead" if sure else f"{where}, the model is ahead"
        names = _listed([_against(card, metric) for metric in likely])
        sentences.append(f"{head} on {names}, but by less than these images can tell for certain.")
    if lost:
        head = "It does not beat" if sentences else f"{where}, the model does not beat"
        sentences.append(f"{head} the best baseline on {_listed([_against(card, metric) for metric in lost])}.")
    if not sentences:
        sentences.append(f"{where}, there is no baseline to compare the model with.")
    if card.only_seen:
        sentences.append("Scores on images from training flatter a model: evaluate it on others before you trust it.")
    return " ".join(sentences)


def interval_text(metric: str, score: "Score") -> str:
    """Such as "0.0471–0.0533"; empty without an interval."""
    if score.low is None or score.high is None:
        return ""
    return f"{number(metric, score.low)} – {number(metric, score.high)}"


def arrow(metric: str) -> str:
    """↓ where lower is better, ↑ where higher is, nothing where neither is."""
    return {"lower": "↓", "higher": "↑", None: ""}[METRICS[metric].better]


def table(card: "Scorecard") -> Table:
    """Metrics in rows, systems in columns, the best of each in bold, 95% intervals below the means."""
    seen = f" ({card.num_seen} of training left out)" if card.num_seen and not card.only_seen else ""
    title = f"{card.name}: {count(card.num_counted)}{seen}"
    result = Table(title=title, caption="mean and 95% interval; the best in bold", title_style="bold")
    result.add_column("")
    for system in card.systems:
        result.add_column(system, justify="right")
    for metric in card.metrics:
        best = card.best_system(metric)
        cells = [cell(f"{METRICS[metric].label} {arrow(metric)}".strip())]
        for system, scores in card.systems.items():
            shown = cell()
            if metric in scores:
                shown.append(number(metric, scores[metric].mean), style="bold green" if best == system else "")
                if text := interval_text(metric, scores[metric]):
                    shown.append("\n" + text.replace(" ", ""), style="dim")
            cells.append(shown)
        result.add_row(*cells)
    return result


def class_table(card: "Scorecard") -> Table:
    """Each class that occurs: its IoU, its Dice, and how many of its pixels the model found."""
    result = Table(title="classes", caption="over all pixels; IoU and Dice above are the means of these")
    for heading in ("", "IoU ↑", "Dice ↑", "pixels found ↑"):
        result.add_column(heading, justify="right" if heading else "left")
    for name, scores in card.classes[MODEL].items():
        if not math.isnan(scores["iou"]):
            result.add_row(name, *(number("iou", scores[key]) for key in ("iou", "dice", "accuracy")))
    return result


def comparison_table(cards: "Mapping[str, Scorecard]", *, comparable: bool) -> Table:
    """Metrics in rows, runs in columns; where the runs can be compared, the best of each in bold."""
    result = Table(caption="means; the best in bold" if comparable else "means, which do not compare")
    result.add_column("")
    for name, card in cards.items():
        result.add_column(cell(name, count(card.num_counted)), justify="right")
    shared = [metric for metric in METRICS if all(metric in card.systems[MODEL] for card in cards.values())]
    for metric in shared:
        means = [card.systems[MODEL][metric].mean for card in cards.values()]
        better = METRICS[metric].better if comparable else None
        best = {"lower": min(means), "higher": max(means), None: None}[better]
        style = ["bold green" if mean == best else "" for mean in means]
        cells = (cell(number(metric, mean), style=look) for mean, look in zip(means, style, strict=True))
        result.add_row(f"{METRICS[metric].label} {arrow(metric)}".strip(), *cells)
    return result
