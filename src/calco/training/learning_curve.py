"""What the learning curve of a run shows at its end: when it stopped improving, and what would help."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from calco.evaluation.metrics import METRICS
from calco.training.log import duration

LEAST: Final = 3
"""Validations that each of the last two thirds of a run must have."""
CERTAIN: Final = 2.0
"""Standard errors by which the means of two thirds must differ."""
WORTHWHILE: Final = 0.05
"""Share of the whole improvement of the validation score that the last third must bring."""
FALLING: Final = 0.02
"""Share of its own level by which the training loss must fall."""
LABELS: Final = {name: metric.label for name, metric in METRICS.items()} | {"map50": "mAP50", "map": "mAP", "f1": "F1"}

Points: TypeAlias = Sequence[tuple[int, float]]
"""Steps and values, in order."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What the curve of a run shows: the validation that is best, what would help, and why in one sentence."""

    helps: Literal["minutes", "pairs", "unclear"]
    remark: str
    best: float | None = None
    best_step: int | None = None
    best_time: float | None = None  # seconds of training

    def record(self) -> dict[str, Any]:
        """Return plain data without what is unknown."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def advise(
    rows: Iterable[Mapping[str, Any]], metric: str, *, lower_is_better: bool, loss: str = "", items: str = "pairs"
) -> Advice:
    """Read the log of a run that has ended.

    The last third of the run is compared with the third before, by steps. The validation score still improves if its
    mean is better by more than two standard errors, and by a twentieth of all improvement since the first validation or
    more: then more minutes would help. If it does not, and the mean training loss fell by more than two standard errors
    and 2%, more pairs would help. Standard errors come from the differences between neighbours, which a slow trend
    hardly changes.

    Args:
        rows: Rows of `log.jsonl`.
        metric: Validation score that selects the best model.
        lower_is_better: Of this score.
        loss: Training loss that shows how well the training items are fitted; empty for the sum of all.
        items: Plural noun for the training items.

    Returns:
        What would help, with one sentence that holds the figures.
    """
    rows = list(rows)
    label = LABELS.get(metric, metric)
    scores = [(row["step"], value) for row in rows if (value := _number(row.get("validation"), metric)) is not None]
    losses = [(row["step"], value) for row in rows if (value := _number(row.get("train"), loss)) is not None]
    neither = f"whether more minutes or more {items} would help"
    if not scores:
        return Advice(helps="unclear", remark=f"there is no validation score that shows {neither}")
    sign = -1.0 if lower_is_better else 1.0
    step, best = max(scores, key=lambda point: sign * point[1])
    seconds = next((row.get("time") for row in rows if "validation" in row and row["step"] == step), None)
    known = {"best": best, "best_step": step, "best_time": seconds}
    end = max(row["step"] for row in rows)
    when = f"at step {step:,} of {end:,}" + ("" if seconds is None else f", after {duration(seconds)}")
    reached = f"validation {label} was best ({best:.4g}) {when}"
    if (change := _change(scores, end, LEAST)) is None:
        remark = f"{reached}; {len(scores)} validations are too few to show {neither}"
        return Advice(helps="unclear", remark=remark, **known)
    before, after, error = change
    gain, whole = sign * (after - before), abs(best - scores[0][1])
    between = f"{before:.4g} on average in the second third of the run, {after:.4g} in the last"
    if gain > CERTAIN * error and gain >= WORTHWHILE * whole:
        remark = f"{reached}, and was still improving ({between}): more minutes are likely to help"
        return Advice(helps="minutes", remark=remark, **known)
    stalled = f"{'got worse' if -gain > CERTAIN * error else 'hardly changed'} at the end ({between})"
    fitted = _change(losses, end, 2)
    if fitted is None:
        remark = f"{reached}, and {stalled}: nothing shows {neither}"
        return Advice(helps="unclear", remark=remark, **known)
    loss_before, loss_after, loss_error = fitted
    fall = loss_before - loss_after
    falls = fall > CERTAIN * loss_error and fall > FALLING * abs(loss_before)
    course = f"the training loss {'still fell' if falls else 'did not fall'} ({loss_before:.4g}, {loss_after:.4g})"
    remark = f"{reached}, and {stalled}, while {course}: "
    if falls:
        return Advice(helps="pairs", remark=f"{remark}more {items} are likely to help, more minutes are not", **known)
    return Advice(helps="unclear", remark=f"{remark}nothing shows {neither}", **known)


def _number(values: Any, name: str) -> float | None:
    """Return a value of a row by name, or the sum of all without a name; None if there is none."""
    if not isinstance(values, Mapping) or not values:
        return None
    value = values.get(name) if name else sum(values.values())
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _change(points: Points, end: int, least: int) -> tuple[float, float, float] | None:
    """Return the means of the last two thirds of a run, and the standard error of their difference.

    None if one of the thirds has fewer than `least` points.
    """
    early = [value for step, value in points if end / 3 < step <= 2 * end / 3]
    late = [value for step, value in points if step > 2 * end / 3]
    if min(len(early), len(late)) < least:
        return None
    both = [*early, *late]
    # Von Neumann's estimate of the variance, by neighbours.
    variance = sum((b - a) ** 2 for a, b in itertools.pairwise(both)) / (2 * (len(both) - 1))
    error = math.sqrt(variance * (1 / len(early) + 1 / len(late)))
    return sum(early) / len(early), sum(late) / len(late), error
