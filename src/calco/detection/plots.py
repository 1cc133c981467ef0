"""Charts of pages about detection, as small SVGs that take their colours from the page, in light and in dark."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from calco.detection.metrics import Floats
from calco.evaluation.curves import short, ticks

WIDTH, HEIGHT = 320.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 10.0, 8.0, 34.0
COLOURS = 4
"""Lines that can be told apart in one chart."""

Points = Sequence[tuple[float, float]]


def figure(title: str, inner: str, note: str = "", keys: str = "") -> str:
    """A chart in its frame."""
    words = f"<p>{escape(note)}</p>" if note else ""
    return f'<figure class="chart"><figcaption>{escape(title)}{keys}</figcaption>{inner}{words}</figure>'


def _svg(inner: str, told: str, height: float = HEIGHT, width: float = WIDTH) -> str:
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(told)}">{inner}</svg>'


def _x(value: float, ends: tuple[float, float]) -> float:
    return LEFT + (value - ends[0]) / (ends[1] - ends[0]) * (WIDTH - LEFT - RIGHT)


def _y(value: float, ends: tuple[float, float]) -> float:
    return TOP + (ends[1] - value) / (ends[1] - ends[0]) * (HEIGHT - TOP - BOTTOM)


def _axes(x_ends: tuple[float, float], y_ends: tuple[float, float], x_label: str, y_label: str) -> str:
    parts = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(v, y_ends):.1f}" y2="{_y(v, y_ends):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{_y(v, y_ends) + 4:.1f}" text-anchor="end">{short(round(v, 6))}</text>'
        for v in ticks(*y_ends)
    ]
    parts += [
        f'<text x="{_x(v, x_ends):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{short(round(v, 6))}</text>'
        for v in ticks(*x_ends)
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x_label)}</text>')
    across = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="9" y="{across}" text-anchor="middle" transform="rotate(-90 9 {across})">{escape(y_label)}</text>'
    )
    return "".join(parts)


def lines(
    title: str, curves: Mapping[str, Points], x_label: str, y_label: str, *, at: float | None = None, note: str = "",
    values: Mapping[str, str] | None = None, steps: bool = False,
) -> str:  # fmt: skip
    """Lines over [0, 1] in both directions.

    Args:
        title: Of the chart.
        curves: At most `COLOURS`, each by its name.
        x_label: What runs to the right.
        y_label: What runs upward.
        at: Where a dashed upright stands.
        note: Below.
        values: What stands beside a curve's name.
        steps: Whether a value holds until the next point.
    """
    ends = (0.0, 1.0)
    parts, keys = [_axes(ends, ends, x_label, y_label)], []
    if at is not None:
        parts.append(
            f'<line class="at" x1="{_x(at, ends):.1f}" x2="{_x(at, ends):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        )
    for number, (name, points) in enumerate(list(curves.items())[:COLOURS]):
        path = "M" + "L".join(f"{_x(x, ends):.1f} {_y(y, ends):.1f}" for x, y in points)
        if steps and len(points):
            path = f"M{_x(0, ends):.1f} {_y(points[0][1], ends):.1f}" + "".join(
                f"H{_x(x, ends):.1f}V{_y(y, ends):.1f}" for x, y in points
            )
        parts.append(f'<path class="line c{number}" d="{path}"/>' if len(points) else "")
        shown = (values or {}).get(name, "")
        keys.append(f'<span class="key"><i class="c{number}"></i>{escape(f"{name} {shown}".strip())}</span>')
    told = f"{title}: {y_label} over {x_label} of {', '.join(curves)}."
    return figure(title, _svg("".join(parts), told), note, "".join(keys))


def columns(title: str, edges: Sequence[float], counts: Sequence[int], x_label: str, note: str = "") -> str:
    """A histogram; the edges are one more than the counts, and are named at both ends and in the middle."""
    most = max(1, *counts) if len(counts) else 1
    ends = (0.0, float(len(counts) or 1))
    parts = [_axes_y(most)]
    for place, number in enumerate(counts):
        left, right, top = _x(place, ends), _x(place + 1, ends), _y(number / most, (0, 1))
        parts.append(
            f'<rect class="bar-v" x="{left + 0.6:.1f}" y="{top:.1f}" width="{max(0.8, right - left - 1.2):.1f}" '
            f'height="{HEIGHT - BOTTOM - top:.1f}"><title>{short(edges[place])} to {short(edges[place + 1])}: '
            f"{number:,}</title></rect>"
        )
    for place in sorted({0, len(counts) // 2, len(counts)}):
        anchor = "start" if place == 0 else "end" if place == len(counts) else "middle"
        parts.append(
            f'<text x="{_x(place, ends):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="{anchor}">'
            f"{short(round(edges[place], 4))}</text>"
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x_label)}</text>')
    return figure(title, _svg("".join(parts), f"{title}: a histogram, {x_label}."), note)


def _axes_y(most: float) -> str:
    ends = (0.0, float(most))
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(v, ends):.1f}" y2="{_y(v, ends):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{_y(v, ends) + 4:.1f}" text-anchor="end">{short(v)}</text>'
        for v in ticks(0, most)
        if v == int(v)
    )


def scatter(title: str, points: Points, x_label: str, y_label: str, note: str = "") -> str:
    """Dots over [0, 1] in both directions."""
    ends = (0.0, 1.0)
    dots = "".join(f'<circle class="dot" cx="{_x(x, ends):.1f}" cy="{_y(y, ends):.1f}" r="2.2"/>' for x, y in points)
    told = f"{title}: {len(points):,} dots, {y_label} over {x_label}."
    return figure(title, _svg(_axes(ends, ends, x_label, y_label) + dots, told), note)


def heat(title: str, grid: Floats, note: str = "") -> str:
    """A map of an image's places: the fuller, the more often something is there. The grid is rows x columns."""
    rows, across = grid.shape
    most = float(grid.max(initial=0.0)) or 1.0
    size, height = WIDTH / across, WIDTH / across * rows
    cells = "".join(
        f'<rect class="cell" x="{column * size:.2f}" y="{row * size:.2f}" width="{size + 0.15:.2f}" '
        f'height="{size + 0.15:.2f}" fill-opacity="{grid[row, column] / most:.3f}"/>'
        for row, column in np.argwhere(grid > 0.004 * most).tolist()
    )
    frame = f'<rect class="frame" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.1f}"/>'
    return figure(title, _svg(cells + frame, f"{title}: where in the image.", height), note)


def bars(title: str, numbers: Mapping[str, float], note: str = "", shown: Mapping[str, str] | None = None) -> str:
    """Names, bars and numbers below each other."""
    most = max(numbers.values(), default=0) or 1
    rows = "".join(
        f'<li><span>{escape(name)}</span><i style="width:{100 * number / most:.1f}%"></i>'
        f"<b>{escape((shown or {}).get(name, f'{number:,.0f}'))}</b></li>"
        for name, number in numbers.items()
    )
    return figure(title, f'<ul class="bars">{rows}</ul>', note)
