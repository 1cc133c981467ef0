"""Learning curves: the rows of a training log as small SVG charts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from calco.evaluation.metrics import METRICS

Point = tuple[float, float]
"""Step and value."""

WIDTH, HEIGHT = 320.0, 168.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 8.0, 8.0, 22.0
MAX_POINTS = 300
MIN_SMOOTHED = 40
"""Points; a curve of fewer is drawn as it is."""
SMOOTHING_SHARE = 0.04
"""Share of a curve's points over which it is smoothed (time constant of the moving average)."""

_PARTS = {"g": "Generator", "d": "Discriminator", "l1": "L1", "l2": "L2", "gan": "adversarial", "psnr": "PSNR"}


@dataclass(frozen=True, slots=True)
class Chart:
    """A family of curves that share one image."""

    title: str
    curves: Mapping[str, Sequence[Point]]
    along: str = "step"
    """What the points stand along."""


def charts(rows: Iterable[Mapping[str, Any]]) -> list[Chart]:
    """One chart for the discriminator's losses, one for each other loss, one for each validation score.

    Args:
        rows: With "step" and mappings of numbers, of any name, under "train" and "validation".
    """
    found: dict[str, dict[str, list[Point]]] = {}
    for row in rows:
        step = row.get("step")
        for kind in ("train", "validation"):
            values = row.get(kind)
            for name, value in values.items() if isinstance(values, Mapping) else ():
                if step is not None and _is_number(step) and _is_number(value):
                    title, label = _family(kind, str(name))
                    found.setdefault(title, {}).setdefault(label, []).append((float(step), float(value)))
    order = sorted(found, key=lambda title: (title.startswith("Validation"), title.startswith("Discriminator"), title))
    return [Chart(title, {name: sorted(points) for name, points in found[title].items()}) for title in order]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _family(kind: str, name: str) -> tuple[str, str]:
    """The chart that a curve belongs to, and its name there."""
    words = [_PARTS.get(part, part) for part in name.split("_")]
    if kind == "validation":
        return f"Validation {METRICS[name].label if name in METRICS else ' '.join(words)}", "validation"
    if name.startswith("d_"):
        return "Discriminator", " ".join(words[1:])
    return " ".join(words), "training"


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most `MAX_POINTS`, each the mean of its neighbours, so that nothing is left to the chance of sampling."""
    size = math.ceil(len(points) / MAX_POINTS)
    bins = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(p[0] for p in part) / len(part), sum(p[1] for p in part) / len(part)) for part in bins]


def _smoothed(points: Sequence[Point]) -> list[Point]:
    """An exponential moving average, corrected at the start; the points themselves where they are few."""
    if len(points) < MIN_SMOOTHED:
        return list(points)
    keep = math.exp(-1 / max(1.0, SMOOTHING_SHARE * len(points)))
    total = weight = 0.0
    result = []
    for step, value in points:
        total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
        result.append((step, total / weight))
    return result


def ticks(low: float, high: float, num: int = 4) -> list[float]:
    """About `num` round numbers between `low` and `high`."""
    if high <= low:
        return [low]
    rough = (high - low) / num
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """Such as 0.05, 12.5, 4k."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g}M"
    return f"{value / 1e3:.3g}k" if abs(value) >= 1e4 else f"{value:.4g}"


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """A range that stray values cannot blow up: all but the highest and lowest hundredth, with a margin."""
    ordered = sorted(values)
    cut = len(ordered) // 100
    low, high = ordered[cut], ordered[len(ordered) - 1 - cut]
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return (0.0 if 0 <= low < (high - low) * 0.5 else low - margin), high + margin


def _anchor(x: float) -> str:
    return "end" if x > WIDTH - RIGHT - 14 else "middle"


def draw(chart: Chart) -> str:
    """The chart as an HTML figure with an inline SVG and a sentence for those who cannot see it."""
    curves = {name: _thinned(points) for name, points in chart.curves.items()}
    steps = [step for points in curves.values() for step, _ in points]
    low, high = _limits([value for points in curves.values() for _, value in points])
    first, last = min(steps), max(*steps, min(steps) + 1)

    def x(step: float) -> float:
        return LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        inside = min(max(value, low), high)
        return TOP + (high - inside) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts, keys, said = [], [], []
    parts += [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{short(value)}</text>'
        for value in ticks(low, high)
    ]
    parts += [
        f'<text x="{x(step):.1f}" y="{HEIGHT - 5}" text-anchor="{_anchor(x(step))}">{short(step)}</text>'
        for step in ticks(first, last)
    ]
    for index, (name, points) in enumerate(curves.items()):
        colour, smooth = f"c{index % 4}", _smoothed(points)
        if len(points) == 1:
            parts.append(f'<circle class="{colour}" cx="{x(points[0][0]):.1f}" cy="{y(points[0][1]):.1f}" r="3"/>')
        for kind, line in (("raw", points), ("smooth", smooth)):
            steps_text = "L".join(f"{x(step):.1f} {y(value):.1f}" for step, value in line)
            parts.append(f'<path class="{kind} {colour}" d="M{steps_text}"/>')
        shown = f"{escape(name)} " if len(curves) > 1 else ""
        keys.append(f'<span class="key"><i class="{colour}"></i>{shown}{short(round(smooth[-1][1], 5))}</span>')
        said.append(f"{name} goes from {short(points[0][1])} to {short(points[-1][1])}")
    told = escape(f"{chart.title} from {chart.along} {first:.0f} to {last:.0f}: {'; '.join(said)}.")
    return (
        f'<figure class="chart"><figcaption><span>{escape(chart.title)}</span><span>{" ".join(keys)}</span>'
        f'</figcaption><svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{told}">'
        f"{''.join(parts)}</svg></figure>"
    )
