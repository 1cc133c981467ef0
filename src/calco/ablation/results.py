"""Scores of an ablation: means over seeds and images, intervals, differences from the first variant.

They are shown in tables, as curves in SVG, and as the same images side by side.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np

from calco import imaging
from calco.ablation.scoring import SHOWN, Curves, TimeToQuality, shared_metrics, times_to_quality
from calco.ablation.variants import SHARE
from calco.console import Table as TerminalTable
from calco.console import cell
from calco.evaluation.baselines import MODEL
from calco.evaluation.metrics import METRICS
from calco.evaluation.scorecard import Case, Scorecard
from calco.evaluation.scores import Bootstrap, Floats, Metric, Score, interval, plain, terminal_table
from calco.imaging import Image
from calco.report.charts import line_panels
from calco.report.page import count

_SET_SCORES: Final = ("iou", "dice", "pixel_accuracy", "fid", "kid", "inception_score")
"""Scores over all images at once, which are no means of the images' own."""
_GAP: Final = 4
_BAND: Final = 22  # height of a line of text, pixels
_HEIGHT: Final = 128  # least height of an image in the grid, pixels


@dataclass(frozen=True, kw_only=True)
class VariantScores:
    """Scores of one variant on one data set."""

    seeds: tuple[int, ...]  # that were scored
    pairs: int  # that it learned from
    scores: Mapping[str, Score]  # metric => mean over seeds and images, with the interval over images
    by_seed: Mapping[str, tuple[float, ...]]  # metric => mean over images of each seed
    # Metric => value minus that of the first variant in the same resamples; none for the first one
    differences: Mapping[str, Score] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "seeds": self.seeds,
            "pairs": self.pairs,
            "scores": {name: _score_record(score) for name, score in self.scores.items()},
            "by_seed": {name: list(values) for name, values in self.by_seed.items()},
            "differences": {name: _score_record(score) for name, score in self.differences.items()},
        }


@dataclass(frozen=True, kw_only=True)
class DataScores:
    """Scores of all variants on one data set."""

    data: str  # short name of the data set
    variants: Mapping[str, VariantScores]
    baselines: Mapping[str, Mapping[str, Score]]  # system, metric, score
    num_images: int
    # System, metric, value minus that of the first variant in the same resamples
    baseline_differences: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)
    notes: Sequence[str] = ()  # why scores do not compare, or are missing
    curves: Curves = field(default_factory=dict)  # those that compare

    @property
    def metrics(self) -> dict[str, Metric]:
        """Metrics that all variants have, in the order in which they are shown."""
        rows = [each.scores for each in self.variants.values()]
        return {key: metric for key, metric in METRICS.items() if rows and all(key in row for row in rows)}

    def table(self) -> TerminalTable:
        """Return a table for the terminal: metrics in rows, variants and baselines in columns."""
        systems: dict[str, Mapping[str, Score]] = {
            f"{name}\n{count(len(each.seeds), 'seed')}": each.scores for name, each in self.variants.items()
        }
        title = f"{self.data}: {count(self.num_images)}"
        return terminal_table(
            {**systems, **self.baselines}, self.metrics, title=title, caption="mean and 95% interval; the best in bold"
        )

    @property
    def times(self) -> list[TimeToQuality]:
        """Minutes that variants need for each other's final scores, the first variant against each of the others."""
        return times_to_quality(self.curves)

    def times_table(self) -> TerminalTable | None:
        """Return these minutes as a table for the terminal; None if there are none."""
        if not (times := self.times):
            return None
        table = TerminalTable(title=f"{self.data}: minutes of training until a final score was reached")
        for heading in ("variant", "final score of"):
            table.add_column(heading)
        for metric in times[0].minutes:
            table.add_column(cell(METRICS[metric].heading), justify="right")
        for each in times:
            table.add_row(cell(each.variant), cell(each.other), *(cell(each.text(name)) for name in each.minutes))
        return table

    @property
    def by_pairs(self) -> dict[str, dict[str, list[tuple[float, float]]]]:
        """Scores against pairs: metric => name => numbers of pairs and scores; empty where all learned from as many."""
        if len({each.pairs for each in self.variants.values()}) < 2:
            return {}
        by_name: dict[str, list[VariantScores]] = {}
        for name, each in self.variants.items():
            by_name.setdefault(name.split(SHARE)[0], []).append(each)
        return {
            key: {
                name: sorted((float(each.pairs), each.scores[key].mean) for each in several)
                for name, several in by_name.items()
            }
            for key in SHOWN
            if key in self.metrics
        }

    def winners(self) -> str:
        """Describe in one sentence in which scores a variant differs from the first one for certain."""
        first, *others = self.variants
        parts = []
        for name in others:
            better, worse = list[str](), list[str]()
            for key, metric in self.metrics.items():
                score = self.variants[name].differences.get(key)
                if score is None or score.low is None or score.high is None or metric.better is None:
                    continue
                if score.low < score.high and (score.low > 0 or score.high < 0):
                    (better if (score.mean > 0) == (metric.better == "higher") else worse).append(metric.label)
            said = [
                f"{word} on {', '.join(labels)}" for word, labels in (("better", better), ("worse", worse)) if labels
            ]
            parts.append(f"{name} is {' and '.join(said) or 'not clearly different'}")
        return f"against {first}, {'; '.join(parts)}" if parts else ""

    def record(self) -> dict[str, Any]:
        """Return plain data; what is not a number is None."""
        variants = {name: each.record() for name, each in self.variants.items()}
        baselines, leads = (
            {name: {key: _score_record(score) for key, score in row.items()} for name, row in each.items()}
            for each in (self.baselines, self.baseline_differences)
        )
        curves = {
            name: {str(seed): curve.record() for seed, curve in each.items()} for name, each in self.curves.items()
        }
        times = [{"variant": each.variant, "other": each.other, "minutes": dict(each.minutes)} for each in self.times]
        result: dict[str, Any] = plain(
            {"num_images": self.num_images, "notes": list(self.notes), "variants": variants, "baselines": baselines,
             "baseline_differences": leads, "curves": curves, "minutes_until": times}
        )  # fmt: skip
        return result


def _score_record(score: Score) -> dict[str, float | None]:
    return {"mean": score.mean, "low": score.low, "high": score.high}


def summarise(
    data: str, cards: Mapping[str, Mapping[int, Scorecard]], notes: Sequence[str] = (), seed: int = 0,
    curves: Curves | None = None, pairs: Mapping[str, int] | None = None,
) -> DataScores:  # fmt: skip
    """Put the scores of all runs on a data set together.

    Intervals come from bootstrap resamples of the images, in which those of one group stay together; differences are
    taken in the same resamples. With several seeds, an image counts with its mean over them: an interval says how far
    other images may lie, not other seeds.

    Args:
        data: Short name of the data set.
        cards: Variant, seed, scores; the first variant is the one that others are compared with.
        notes: What is to be said of the scores.
        seed: Seed of the bootstrap.
        curves: Curves of the runs; those of other pairs than the first one's do not compare, and are left out.
        pairs: Variant, number of pairs that it learned from.
    """
    curves, others = _comparable(curves or {})
    if others:
        notes = [
            *notes,
            f"{', '.join(others)}: scored on other pairs in an earlier call, so that curve and minutes do not compare; "
            "for these, repeat the ablation in another folder",
        ]
    all_cards = [card for by_seed in cards.values() for card in by_seed.values()]
    first = all_cards[0]
    keys = sorted(set.intersection(*({key for key, _ in card.counted} for card in all_cards)))
    groups = {row.key: row.group for row in first.images}
    # In the order of the card, so that one run alone gets the intervals of `calco evaluate`.
    keys = [row.key for row in first.images if row.key in set(keys)]
    if len(keys) < max(card.num_counted for card in all_cards):
        notes = [*notes, f"the means are over {count(len(keys))} that all runs could score; the others do not count"]
    bootstrap = Bootstrap([groups[key] for key in keys], seed)
    variants: dict[str, VariantScores] = {}
    base: tuple[Mapping[str, Score], Mapping[str, Floats]] | None = None
    for name, by_seed in cards.items():
        scores, by_metric, resampled = _of_system(by_seed, keys, bootstrap)
        differences = {} if base is None else _differences(scores, resampled, *base)
        base = base or (scores, resampled)
        variants[name] = VariantScores(
            seeds=tuple(by_seed), pairs=(pairs or {}).get(name, 0), scores=scores, by_seed=by_metric,
            differences=differences,
        )  # fmt: skip
    baselines = {name: first.systems[name] for name in first.baselines}
    leads: dict[str, Mapping[str, Score]] = {}
    for name in baselines:
        scores, _by_seed, resampled = _of_system({0: first}, keys, bootstrap, name)
        leads[name] = {} if base is None else _differences(scores, resampled, *base)
    return DataScores(data=data, variants=variants, baselines=baselines, baseline_differences=leads,
                      num_images=len(keys), notes=notes, curves=curves)  # fmt: skip


def _comparable(curves: Curves) -> tuple[Curves, list[str]]:
    """Return the curves that were scored on the pairs of the first one, and the names of the others."""
    first = next((curve for by_seed in curves.values() for curve in by_seed.values()), None)
    alike = {
        name: {seed: curve for seed, curve in by_seed.items() if first and curve.setting == first.setting}
        for name, by_seed in curves.items()
    }
    others = [
        f"{name}, seed {seed}" for name, by_seed in curves.items() for seed in by_seed.keys() - alike[name].keys()
    ]
    return {name: by_seed for name, by_seed in alike.items() if by_seed}, others


def _of_system(
    cards: Mapping[int, Scorecard], keys: Sequence[str], bootstrap: Bootstrap, system: str = MODEL
) -> tuple[dict[str, Score], dict[str, tuple[float, ...]], dict[str, Floats]]:
    """Return scores, means by seed and resampled means of one variant, or of a baseline, by metric."""
    scores: dict[str, Score] = {}
    by_seed: dict[str, tuple[float, ...]] = {}
    resampled: dict[str, Floats] = {}
    rows = [{row.key: row.scores[system] for row in card.images} for card in cards.values()]
    for metric in METRICS:
        if not all(metric in card.systems[system] for card in cards.values()):
            continue
        if metric in _SET_SCORES:
            own = [card.systems[system][metric] for card in cards.values()]
            by_seed[metric] = tuple(score.mean for score in own)
            # The counts of each image are not kept: only one run has an interval, its own.
            scores[metric] = own[0] if len(own) == 1 else Score(float(np.mean(by_seed[metric])), num=len(keys))
            continue
        values = np.array([[row[key].get(metric, math.nan) for key in keys] for row in rows])
        if np.isnan(values).all():
            continue
        known = ~np.isnan(values)
        totals = known.sum(0)
        means = np.where(totals > 0, np.where(known, values, 0).sum(0) / np.maximum(totals, 1), math.nan)
        resampled[metric] = bootstrap.means(means)
        by_seed[metric] = tuple(float(np.nanmean(row)) for row in values)
        scores[metric] = Score.of(float(np.nanmean(means)), resampled[metric], int(np.count_nonzero(totals)))
    return scores, by_seed, resampled


def _differences(
    scores: Mapping[str, Score], resampled: Mapping[str, Floats], first: Mapping[str, Score],
    first_resampled: Mapping[str, Floats],
) -> dict[str, Score]:  # fmt: skip
    """Return the lead of a variant over the first one, with paired intervals where there are resamples."""
    found = {}
    for metric in scores.keys() & first.keys():
        ends = None
        if metric in resampled and metric in first_resampled:
            ends = interval(resampled[metric] - first_resampled[metric])
        low, high = ends or (None, None)
        found[metric] = Score(scores[metric].mean - first[metric].mean, low, high, scores[metric].num)
    return {metric: found[metric] for metric in METRICS if metric in found}


def markdown_table(table: DataScores) -> str:
    """Return the scores as Markdown: variants in rows, metrics in columns, intervals in brackets."""
    metrics = table.metrics
    lines = ["| | seeds | pairs | " + " | ".join(metric.heading for metric in metrics.values()) + " |"]
    lines.append("|---|---|---|" + "---|" * len(metrics))
    for name, each in table.variants.items():
        lines.append(
            f"| {name} | {len(each.seeds)} | {each.pairs} | " + " | ".join(_cells(each.scores, metrics)) + " |"
        )
    for name, row in table.baselines.items():
        lines.append(f"| {name} | | | " + " | ".join(_cells(row, metrics)) + " |")
    return "\n".join(lines)


def markdown_differences(table: DataScores) -> str:
    """Return the paired differences of the other variants and the baselines from the first variant as Markdown."""
    first, *others = table.variants
    differences = {**{name: table.variants[name].differences for name in others}, **table.baseline_differences}
    if not differences:
        return ""
    metrics = table.metrics
    lines = [f"| minus {first} | " + " | ".join(metric.heading for metric in metrics.values()) + " |"]
    lines.append("|---|" + "---|" * len(metrics))
    lines += [f"| {name} | {' | '.join(_cells(row, metrics, sign=True))} |" for name, row in differences.items()]
    return "\n".join(lines)


def markdown_times(table: DataScores) -> str:
    """Return the minutes until final scores as Markdown; empty if there are none."""
    if not (times := table.times):
        return ""
    metrics = shared_metrics(table.curves)
    lines = ["| variant | final score of | " + " | ".join(METRICS[name].heading for name in metrics) + " |"]
    lines.append("|---|---|" + "---|" * len(metrics))
    lines += [
        f"| {each.variant} | {each.other} | {' | '.join(each.text(name) for name in metrics)} |" for each in times
    ]
    return "\n".join(lines)


def _cells(scores: Mapping[str, Score], metrics: Mapping[str, Metric], *, sign: bool = False) -> list[str]:
    cells = []
    for key, metric in metrics.items():
        score = scores.get(key)
        if score is None or not math.isfinite(score.mean):
            cells.append("–")
            continue
        plus = "+" if sign and score.mean > 0 else ""
        ends = metric.between(score, " to ")
        cells.append(f"{plus}{metric.text(score.mean)}" + (f" ({ends})" if ends else ""))
    return cells


def markdown_seeds(table: DataScores) -> str:
    """Return the mean over images of each seed as Markdown; empty if no variant has several."""
    if all(len(each.seeds) < 2 for each in table.variants.values()):
        return ""
    metrics = table.metrics
    lines = ["| | seed | " + " | ".join(metric.heading for metric in metrics.values()) + " |"]
    lines.append("|---|---|" + "---|" * len(metrics))
    for name, each in table.variants.items():
        for place, seed in enumerate(each.seeds):
            cells = " | ".join(metric.text(each.by_seed[key][place]) for key, metric in metrics.items())
            lines.append(f"| {name} | {seed} | {cells} |")
    return "\n".join(lines)


def against_minutes(data: str, found: Curves) -> str:
    """Return the curves of all runs on a data set as SVG: a panel for each metric, one colour for each variant."""
    panels = {
        METRICS[metric].heading: {
            name: [curve.line(metric) for curve in by_seed.values()] for name, by_seed in found.items()
        }
        for metric in shared_metrics(found)
    }
    return line_panels(f"{data}: scores of the same images over the training", panels, "minutes of training")


def against_pairs(scores: DataScores) -> str:
    """Return the scores on a data set against the number of pairs as SVG: a panel for each metric."""
    panels = {
        METRICS[metric].heading: {name: [line] for name, line in lines.items()}
        for metric, lines in scores.by_pairs.items()
    }
    return line_panels(f"{scores.data}: scores of the same images by number of pairs", panels, "pairs to learn from")


def grid(cards: Mapping[str, Scorecard], num: int) -> Image | None:
    """Lay out the same images in rows: input, the output of each variant, target.

    Returns:
        HW3 uint8 RGB; None if the variants have no image in common.
    """
    by_variant: dict[str, dict[str, Case]] = {name: {case.key: case for case in card.cases} for name, card in
                                              cards.items()}  # fmt: skip
    common = sorted(set.intersection(*map(set, by_variant.values())))
    if not common:
        return None
    chosen = [common[place] for place in np.unique(np.linspace(0, len(common) - 1, num).round().astype(int))]
    first = next(iter(by_variant.values()))
    rows = [
        (key, [first[key].input, *(cases[key].output for cases in by_variant.values()), first[key].target])
        for key in chosen
    ]
    heads = ["input", *by_variant, "target"]
    sizes = [_shown_size(images[-1]) for _, images in rows]
    cell = max(width for width, _ in sizes)
    height = sum(tall for _, tall in sizes) + len(rows) * (_BAND + _GAP) + _BAND
    sheet = np.full((height, len(heads) * (cell + _GAP) + _GAP, 3), 255, np.uint8)
    for place, head in enumerate(heads):
        _write(sheet, head, _GAP + place * (cell + _GAP), _BAND - 7, cell)
    top = _BAND
    for (key, images), (width, tall) in zip(rows, sizes, strict=True):
        for place, image in enumerate(images):
            left = _GAP + place * (cell + _GAP)
            shown = imaging.as_channels(imaging.as_dtype(imaging.visible(image), np.uint8), 3)
            sheet[top : top + tall, left : left + width] = imaging.resize(shown, (width, tall))
        _write(sheet, key, _GAP, top + tall + _BAND - 7, sheet.shape[1] - 2 * _GAP)
        top += tall + _BAND + _GAP
    return sheet


def _shown_size(image: Image) -> tuple[int, int]:
    """Return width and height of an image in the grid: small ones are enlarged by a whole number."""
    height, width = image.shape[:2]
    factor = max(1, -(-_HEIGHT // height))
    return width * factor, height * factor


def _write(sheet: Image, text: str, left: int, base: int, room: int) -> None:
    """Write a text that is shortened to `room` pixels."""
    shown = text.encode("ascii", "replace").decode()  # what OpenCV's font has
    while len(shown) > 1 and cv2.getTextSize(shown, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0][0] > room:
        shown = shown[:-1]
    cv2.putText(sheet, shown, (left, base), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (60, 60, 60), 1, cv2.LINE_AA)
