"""Charts of reports as small SVGs that take their colours from the page, in light and in dark."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from calco.report.numbers import Language, measure_name, number

WIDTH, HEIGHT = 320.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 10.0, 8.0, 34.0
COLOURS: Final = 4
"""Lines that can be told apart in one chart."""
MAX_POINTS: Final = 300
"""Points of one line; of longer ones neighbours are averaged."""
MIN_SMOOTHED: Final = 40
"""Points; a shorter line is drawn as it is."""
SMOOTHING_SHARE: Final = 0.04
"""Share of a line's points over which it is smoothed (time constant of the moving average)."""

Points = Sequence[tuple[float, float]]
Ends = tuple[float, float]


class _Axes(NamedTuple):
    """Ends of both axes, in the units of the data, and the language of their numbers."""

    x_ends: Ends
    y_ends: Ends
    language: Language = "en"

    def x(self, value: float) -> float:
        low, high = self.x_ends
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_ends
        return TOP + (high - min(max(value, low), high)) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def short(self, value: float) -> str:
        return short(round(value, 6), self.language)

    def drawn(self, x_label: str, y_label: str, *, x_ticks: bool = True, whole: bool = False) -> str:
        """Return grid, ticks and labels."""
        rows = [v for v in ticks(*self.y_ends) if not whole or v == int(v)]
        parts = [
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(v):.1f}" y2="{self.y(v):.1f}"/>'
            f'<text x="{LEFT - 6}" y="{self.y(v) + 4:.1f}" text-anchor="end">{self.short(v)}</text>'
            for v in rows
        ]
        parts += [_text(self.x(v), HEIGHT - BOTTOM + 15, self.short(v)) for v in ticks(*self.x_ends) if x_ticks]
        parts.append(
            f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}" text-anchor="middle">{_(x_label)}</text>'
        )
        if y_label:
            middle = (TOP + HEIGHT - BOTTOM) / 2
            turned = f'transform="rotate(-90 9 {middle})"'
            parts.append(f'<text x="9" y="{middle}" text-anchor="middle" {turned}>{_(y_label)}</text>')
        return "".join(parts)


def _(text: str) -> str:
    return str(escape(text))


def _text(x: float, y: float, text: str) -> str:
    anchor = "end" if x > WIDTH - RIGHT - 14 else "middle"
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_(text)}</text>'


def figure(title: str, inner: str, note: str = "", keys: str = "") -> Markup:
    """Return a chart in its frame; `inner` and `keys` are HTML."""
    words = f"<p>{_(note)}</p>" if note else ""
    head = f"<figcaption><span>{_(title)}</span><span>{keys}</span></figcaption>"
    return Markup(f'<figure class="chart">{head}{inner}{words}</figure>')


def _svg(inner: str, described: str, height: float = HEIGHT) -> str:
    return f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label="{_(described)}">{inner}</svg>'


def lines(
    title: str, curves: Mapping[str, Points], x_label: str, y_label: str = "", *, unit: bool = False,
    at: float | None = None, note: str = "", values: Mapping[str, str] | None = None, steps: bool = False,
    language: Language = "en",
) -> Markup:  # fmt: skip
    """Draw lines over each other, with their smoothed last values beside their names.

    Numbers, and what a screen reader says of them, are in the `language` in which the names are given.
    """
    shown = {name: _thinned(points) if not unit else list(points) for name, points in list(curves.items())[:COLOURS]}
    xs = [x for points in shown.values() for x, _y in points]
    axes = _Axes((0.0, 1.0), (0.0, 1.0), language)
    if not unit:
        ends = (min(xs), max(*xs, min(xs) + 1)), _limits([y for p in shown.values() for _x, y in p])
        axes = _Axes(*ends, language)
    parts, keys, described = [axes.drawn(x_label, y_label)], [], []
    if at is not None:
        x = f"{axes.x(at):.1f}"
        parts.append(f'<line class="at" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    for place, (name, points) in enumerate(shown.items()):
        smooth = points if unit else _smoothed(points)
        parts.append(_line(axes, points, smooth, f"c{place}", steps=steps))
        value = (values or {}).get(name, "" if unit or not smooth else short(round(smooth[-1][1], 5), language))
        label = f"{name} {value}".strip() if unit or len(curves) > 1 else value
        keys.append(f'<span class="key"><i class="c{place}"></i>{_(label)}</span>')
        if points:
            begin, end = short(points[0][1], language), short(points[-1][1], language)
            described.append(f"{name} goes from {begin} to {end}" if language == "en" else
                             f"{name} va de {begin} a {end}")  # fmt: skip
    first, last = map(axes.short, axes.x_ends)
    span = f"from {x_label} {first} to {last}" if language == "en" else f"de {x_label} {first} a {last}"
    over = f"{title} {span}: {'; '.join(described)}."
    return figure(title, _svg("".join(parts), over), note, " ".join(keys))


def _line(axes: _Axes, points: Points, smooth: Points, colour: str, *, steps: bool) -> str:
    if not points:
        return ""
    if len(points) == 1 and not steps:
        return f'<circle class="{colour}" cx="{axes.x(points[0][0]):.1f}" cy="{axes.y(points[0][1]):.1f}" r="3"/>'
    if steps:
        path = f"M{axes.x(0):.1f} {axes.y(points[0][1]):.1f}"
        path += "".join(f"H{axes.x(x):.1f}V{axes.y(y):.1f}" for x, y in points)
        return f'<path class="smooth {colour}" d="{path}"/>'
    drawn = (("raw", points), ("smooth", smooth)) if smooth is not points else (("smooth", points),)
    return "".join(
        f'<path class="{css} {colour}" d="M{"L".join(f"{axes.x(x):.1f} {axes.y(y):.1f}" for x, y in line)}"/>'
        for css, line in drawn
    )


def _thinned(points: Points) -> list[tuple[float, float]]:
    """Return at most `MAX_POINTS`, each the mean of its neighbours, so that nothing depends on a sample."""
    size = math.ceil(len(points) / MAX_POINTS) or 1
    bins = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(p[0] for p in part) / len(part), sum(p[1] for p in part) / len(part)) for part in bins]


def _smoothed(points: Points) -> list[tuple[float, float]]:
    """Return an exponential moving average, corrected at the start; a few points stay as they are."""
    if len(points) < MIN_SMOOTHED:
        return list(points)
    keep = math.exp(-1 / max(1.0, SMOOTHING_SHARE * len(points)))
    total = weight = 0.0
    result = []
    for x, value in points:
        total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
        result.append((x, total / weight))
    return result


def _limits(values: Sequence[float]) -> Ends:
    """Return a range that ignores outliers: all but the highest and lowest hundredth, with a margin."""
    ordered = sorted(values)
    cut = len(ordered) // 100
    low, high = ordered[cut], ordered[len(ordered) - 1 - cut]
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return (0.0 if 0 <= low < (high - low) * 0.5 else low - margin), high + margin


def ticks(low: float, high: float, num: int = 4) -> list[float]:
    """About `num` round numbers between `low` and `high`."""
    if high <= low:
        return [low]
    rough = (high - low) / num
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def short(value: float, language: Language = "en") -> str:
    """Such as 0.05, 12.5, 40k."""
    if abs(value) >= 1e6:
        return number(value / 1e6, language, ".3g") + "M"
    return number(value / 1e3, language, ".3g") + "k" if abs(value) >= 1e4 else number(value, language, ".4g")


_PARTS: Final = {"g": "Generator", "d": "Discriminator", "l1": "L1", "l2": "L2", "gan": "adversarial"}


_SPANISH: Final = {
    "Generator": "Generador", "Discriminator": "Discriminador", "Validation": "Validación", "validation": "validación",
    "training": "entrenamiento", "step": "paso", "adversarial": "antagónica", "matching": "comparación",
    "colour": "color", "pixel": "píxel", "overlap": "superposición", "fake": "generadas", "real": "reales",
    "slope": "pendiente",
}  # fmt: skip
"""Words of the titles of learning curves, in Spanish; those that are the same are left out."""


def learning_curves(rows: Iterable[Mapping[str, Any]], language: Language = "en") -> list[Markup]:
    """One chart for the discriminator's losses, one for each other loss, one for each validation score.

    The chart of the score that selects the model bears the remark on the end of the run, which is English and stands
    in English charts alone.
    """

    def said(text: str) -> str:
        return text if language == "en" else " ".join(_SPANISH.get(word, word) for word in text.split(" "))

    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    remarks: dict[str, str] = {}
    for row in rows:
        step = row.get("step")
        if isinstance(end := row.get("end"), Mapping):
            title, _label = _family("validation", str(end.get("metric")), language)
            remarks[title] = "; ".join(str(end[name]) for name in ("reason", "remark") if name in end)
        for kind in ("train", "validation"):
            values = row.get(kind)
            for name, value in values.items() if isinstance(values, Mapping) else ():
                if step is not None and _is_number(step) and _is_number(value):
                    title, label = _family(kind, str(name), language)
                    found.setdefault(title, {}).setdefault(label, []).append((float(step), float(value)))
    # A loss that is zero throughout has no part in the run, such as that of an adversary that there is not.
    shown = (
        t for t, curves in found.items() if t.startswith("Validation") or any(y for c in curves.values() for _, y in c)
    )
    order = sorted(shown, key=lambda title: (title.startswith("Validation"), title.startswith("Discriminator"), title))
    return [
        lines(
            said(title),
            {said(name): sorted(points) for name, points in found[title].items()},
            said("step"),
            note=remarks.get(title, "") if language == "en" else "",
            language=language,
        )
        for title in order
    ]


_DARK: Final = "background:#14171b;--soft:#a0a7b1;--faint:#31363e;--s0:#82b7ea;--s1:#f0a268;--s2:#6fccb9;--s3:#c4a1ea"
_LIGHT: Final = "background:#fff;--soft:#5c6470;--faint:#e4e1d9;--s0:#1f5f99;--s1:#c05a17;--s2:#2a8273;--s3:#7a4fa3"
_MARKS: Final = (
    "text{font:11px system-ui,'Noto Sans','Liberation Sans',sans-serif;fill:var(--soft)}.title{font-weight:600}"
    ".grid{stroke:var(--faint)}path,line.key{fill:none;stroke-width:1.5;stroke-linejoin:round}"
    ".dashed{stroke-dasharray:4 3}"
    ".c0{stroke:var(--s0)}.c1{stroke:var(--s1)}.c2{stroke:var(--s2)}.c3{stroke:var(--s3)}"
    "circle.c0{fill:var(--s0)}circle.c1{fill:var(--s1)}circle.c2{fill:var(--s2)}circle.c3{fill:var(--s3)}"
)
_FILE_STYLE: Final = f"svg{{{_LIGHT}}}{_MARKS}@media(prefers-color-scheme:dark){{svg{{{_DARK}}}}}"
# A notebook has its own theme, whatever the system's: JupyterLab, VS Code and Colab each mark a dark one; elsewhere the
# charts keep to their white ground.
_DARK_NOTEBOOKS: Final = "[data-jp-theme-light=false],body.vscode-dark,html[theme=dark]"
_NOTEBOOK_STYLE: Final = (
    f"{_DARK_NOTEBOOKS}{{.calco-charts{{{_DARK};color:#e8e6e1}}}}"
    f".calco-charts{{{_LIGHT};color:#1d2126;display:flex;flex-wrap:wrap;gap:12px;padding:8px;"
    "figure{width:300px;margin:0}figcaption{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 10px;"
    "font-size:13px;font-weight:600}"
    ".key{font-weight:400;color:var(--soft)}p{font-size:12px;color:var(--soft)}.raw{opacity:.28}"
    "i{display:inline-block;width:14px;height:3px;margin-right:5px;vertical-align:3px}"
    f"i.c0{{background:var(--s0)}}i.c1{{background:var(--s1)}}i.c2{{background:var(--s2)}}i.c3{{background:var(--s3)}}{_MARKS}}}"
)


def in_notebook(charts: Sequence[Markup]) -> str:
    """Return charts beside each other as HTML with their own style, for a notebook; nothing for none."""
    if not charts:
        return ""
    return f'<style>{_NOTEBOOK_STYLE}</style><div class="calco-charts">{"".join(charts)}</div>'


def line_panels(title: str, panels: Mapping[str, Mapping[str, Sequence[Points]]], x_label: str) -> str:
    """Return charts beside each other as the text of an SVG file.

    Args:
        title: Title of the file.
        panels: Label of the vertical axis => name => lines, which have one colour; later names are dashed. All panels
            have the same names, which stand once below them.
        x_label: Label of the horizontal axis.
    """
    top, row = 20.0, 16.0
    across = min(2, len(panels))
    names = list(dict.fromkeys(name for groups in panels.values() for name in groups))
    css = {name: f"c{place % COLOURS}" + (" dashed" if place >= COLOURS else "") for place, name in enumerate(names)}
    parts = []
    for place, (y_label, groups) in enumerate(panels.items()):
        known = {name: [line for line in group if line] for name, group in groups.items()}
        points = [point for group in known.values() for line in group for point in line]
        axes = _Axes((0.0, max(x for x, _y in points) or 1.0), _limits([y for _x, y in points]))
        drawn = [_line(axes, line, line, css[name], steps=False) for name, group in known.items() for line in group]
        left, down = place % across * WIDTH, top + place // across * HEIGHT
        inner = axes.drawn(x_label, y_label) + "".join(drawn)
        parts.append(f'<g class="panel" transform="translate({left:.0f} {down:.0f})">{inner}</g>')
    base = top + -(-len(panels) // across) * HEIGHT
    for place, name in enumerate(names):
        y = base + row * (place + 0.7)
        parts.append(
            f'<line class="key {css[name]}" x1="{LEFT}" x2="{LEFT + 22}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT + 28}" y="{y + 4:.1f}">{_(name)}</text>'
        )
    width, height = across * WIDTH, base + row * len(names) + 6
    head = f'<text class="title" x="{LEFT}" y="14">{_(title)}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{2 * width:.0f}" '
        f'role="img" aria-label="{_(title)}"><style>{_FILE_STYLE}</style>{head}{"".join(parts)}</svg>\n'
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _family(kind: str, name: str, language: Language) -> tuple[str, str]:
    """Return the chart that a curve belongs to, and its name there."""
    if kind == "validation":
        return f"Validation {measure_name(name, language)}", "validation"
    words = [_PARTS.get(part, part) for part in name.split("_")]
    if name.startswith("d_"):
        return "Discriminator", " ".join(words[1:])
    return " ".join(words), "training"


def histogram(
    title: str, counts: Sequence[int], edges: Sequence[float], x_label: str, note: str = "",
    names: Sequence[str] = (),
) -> Markup:  # fmt: skip
    """Columns; the edges are one more than the counts, and are named at both ends and in the middle."""
    most = max(1, *counts) if len(counts) else 1
    axes = _Axes((0.0, float(len(counts) or 1)), (0.0, float(most)))
    parts = [axes.drawn(x_label, "", x_ticks=False, whole=True)]
    for place, counted in enumerate(counts):
        left, right, top = axes.x(place), axes.x(place + 1), axes.y(counted)
        parts.append(
            f'<rect class="fill" x="{left + 0.6:.1f}" y="{top:.1f}" width="{max(0.8, right - left - 1.2):.1f}" '
            f'height="{HEIGHT - BOTTOM - top:.1f}"><title>{short(edges[place])} to {short(edges[place + 1])}: '
            f"{number(counted)}</title></rect>"
        )
    places = [0, len(counts) // 2, len(counts)]
    shown = names or [short(round(edges[place], 4)) for place in places]
    for place, name, anchor in zip(places, shown, ("start", "middle", "end"), strict=True):
        parts.append(
            f'<text x="{axes.x(place):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="{anchor}">{_(name)}</text>'
        )
    described = f"{title}: a histogram, {x_label or ' to '.join(filter(None, names))}."
    return figure(title, _svg("".join(parts), described), note)


def scatter(title: str, points: Points, x_label: str, y_label: str, note: str = "") -> Markup:
    """Draw dots over [0, 1] in both directions."""
    axes = _Axes((0.0, 1.0), (0.0, 1.0))
    dots = "".join(f'<circle class="dot" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="2.2"/>' for x, y in points)
    described = f"{title}: {number(len(points))} dots, {y_label} over {x_label}."
    return figure(title, _svg(axes.drawn(x_label, y_label) + dots, described), note)


def heat_map(title: str, grid: npt.NDArray[np.float64], note: str = "") -> Markup:
    """Draw how often objects are at each place of an image (rows x columns)."""
    rows, across = grid.shape
    most = float(grid.max(initial=0.0)) or 1.0
    size, height = WIDTH / across, WIDTH / across * rows
    cells = "".join(
        f'<rect class="fill" x="{column * size:.2f}" y="{row * size:.2f}" width="{size + 0.15:.2f}" '
        f'height="{size + 0.15:.2f}" fill-opacity="{grid[row, column] / most:.3f}"/>'
        for row, column in np.argwhere(grid > 0.004 * most).tolist()
    )
    frame = f'<rect class="frame" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.1f}"/>'
    return figure(title, _svg(cells + frame, f"{title}: where in the image.", height), note)


def bars(title: str, numbers: Mapping[str, float], note: str = "", shown: Mapping[str, str] | None = None) -> Markup:
    """Draw names, bars and numbers below each other."""
    most = max(numbers.values(), default=0) or 1
    rows = "".join(
        f'<li><span>{_(name)}</span><i style="width:{100 * value / most:.1f}%"></i>'
        f"<b>{_((shown or {}).get(name, number(value, spec=',.0f')))}</b></li>"
        for name, value in numbers.items()
    )
    return figure(title, f'<ul class="bars">{rows}</ul>', note)


def stripes(title: str, colours: Sequence[tuple[float, float, float]]) -> Markup:
    """Draw colours (red, green, blue, 0..255) beside each other."""
    drawn = "".join('<i style="background:rgb({:.0f},{:.0f},{:.0f})"></i>'.format(*colour) for colour in colours)
    return figure(title, f'<div class="swatches" role="img" aria-label="{_(title)}">{drawn}</div>')


def ratios(rows: Sequence[tuple[str, float, float, float, str]], head: Sequence[str]) -> str:
    """Return a whole SVG file: bars from 1 to a ratio on a scale of doublings, with their intervals."""
    width, left, right, step, top = 1200, 380, 290, 42, 28
    low = min([-1, *(math.floor(math.log2(row[2])) for row in rows)])
    high = max([1, *(math.ceil(math.log2(row[3])) for row in rows)])
    bottom = top + len(rows) * step

    def x(ratio: float) -> float:
        return left + (math.log2(ratio) - low) / (high - low) * (width - left - right)

    parts = []
    stride = 1 + (high - low) // 12
    for power in range(low // stride * stride, high + 1, stride):
        at, css = x(2.0**power), "one" if power == 0 else "grid"
        parts.append(f'<line class="{css}" x1="{at:.1f}" x2="{at:.1f}" y1="{top - 8}" y2="{bottom}"/>')
        parts.append(f'<text class="soft" x="{at:.1f}" y="{bottom + 20}" text-anchor="middle">{2.0**power:g}×</text>')
    for place, (name, ratio, lowest, highest, text) in enumerate(rows):
        y = top + place * step
        start, end = sorted((x(1), x(ratio)))
        parts.append(f'<rect x="{start:.1f}" y="{y}" width="{max(1, end - start):.1f}" height="26"/>')
        parts.append(f'<line class="one" x1="{x(lowest):.1f}" x2="{x(highest):.1f}" y1="{y + 13}" y2="{y + 13}"/>')
        parts.append(f'<text x="{left - 14}" y="{y + 19}" text-anchor="end">{_(name)}</text>')
        parts.append(f'<text x="{width - right + 14}" y="{y + 19}">{_(text)}</text>')
    parts += [f'<text class="soft" x="20" y="{bottom + 52 + 22 * n}">{_(line)}</text>' for n, line in enumerate(head)]
    style = (
        "svg{background:#fff}text{font:16px sans-serif;fill:#202020}.soft{font-size:14px;fill:#787878}"
        "rect{fill:#2f6fab}.grid{stroke:#dedede}.one{stroke:#202020;stroke-width:2}"
    )
    height = bottom + 60 + 22 * len(head)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="Ratios of calco bench"><style>{style}</style>{"".join(parts)}</svg>\n'
    )
