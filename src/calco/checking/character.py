"""What a set is like: counts, sizes, channels, colours, classes, as HTML."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from calco.checking.image_statistics import ImageStatistics
from calco.checking.survey import Facts
from calco.data.source import Source
from calco.report.html import img_tag

_TOP = 8
_COLUMNS = 24
_SWATCHES = 96


def character(source: Source, facts: Sequence[Facts], split: Mapping[str, str]) -> str:
    """The section of charts; nothing where no image can be read."""
    seen = [fact for fact in facts if fact.sides]
    if not seen:
        return ""
    sides = list(seen[0].sides)
    parts = Counter(split.values())
    charts = [_chart("Splits", _bars({name: parts[name] for name in ("train", "val", "test")}))]
    for chart in (_sizes, _shapes, _modes, _lightness, _colours):
        for side in sides:
            of = f" of the {side}s" if len(sides) > 1 else ""
            title, content = chart([fact.sides[side] for fact in seen if side in fact.sides])
            charts += [_chart(title.format(of), content)] if content else []
    charts += [_chart("The mean of all", _means(seen, sides)), *_classes(seen)]
    notes = "".join(f"<li>{escape(note)}</li>" for note in source.notes)
    return (
        f'<section><h2>What the set is like</h2><div class="charts">{"".join(charts)}</div>'
        f"{f'<ul class=notes>{notes}</ul>' if notes else ''}</section>"
    )


def _sizes(shown: Sequence[ImageStatistics]) -> tuple[str, str]:
    sizes = Counter("{}x{}".format(*each.size_wh) for each in shown)
    return "Sizes{}", _bars(dict(sizes.most_common(_TOP)), len(sizes))


def _shapes(shown: Sequence[ImageStatistics]) -> tuple[str, str]:
    shapes = [float(np.log2(each.size_wh[0] / each.size_wh[1])) for each in shown]
    differ = max(shapes) - min(shapes) > 0.01
    return "Shapes{}", _histogram(shapes, ("high", "square", "wide"), (-2, 2)) if differ else ""


def _modes(shown: Sequence[ImageStatistics]) -> tuple[str, str]:
    return "Channels and bits{}", _bars(dict(Counter(each.mode for each in shown).most_common(_TOP)))


def _lightness(shown: Sequence[ImageStatistics]) -> tuple[str, str]:
    light = [float(np.dot(each.colour, (0.299, 0.587, 0.114))) for each in shown]
    return "Lightness{}", _histogram(light, ("dark", "", "light"), (0, 255))


def _colours(shown: Sequence[ImageStatistics]) -> tuple[str, str]:
    return "Colours{}, a stripe an image", _swatches([each.colour for each in shown])


def _chart(title: str, content: str) -> str:
    return f'<figure class="chart"><figcaption>{escape(title)}</figcaption>{content}</figure>'


def _bars(counts: Mapping[str, float], of: int = 0) -> str:
    """Named bars, the largest as long as there is room; `of` tells how many names there are in all."""
    largest = max(counts.values(), default=1) or 1
    rows = "".join(
        f'<li><span>{escape(name)}</span><i style="width:{100 * value / largest:.1f}%"></i><b>{_number(value)}</b></li>'
        for name, value in counts.items()
    )
    more = f'<div class="ends"><span>and {of - len(counts):,} others</span></div>' if of > len(counts) else ""
    return f'<ul class="bars">{rows}</ul>{more}'


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.1%}"


def _histogram(values: Sequence[float], words: tuple[str, str, str], ends: tuple[float, float]) -> str:
    counts, _ = np.histogram(np.clip(values, *ends), bins=_COLUMNS, range=ends)
    columns = "".join(f'<i style="height:{100 * count / counts.max():.0f}%"></i>' for count in counts)
    legend = "".join(f"<span>{word}</span>" for word in words)
    return f'<div class="columns" aria-hidden="true">{columns}</div><div class="ends">{legend}</div>'


def _swatches(colours: Sequence[tuple[float, float, float]]) -> str:
    """Mean colours of an even choice of images, from dark to light."""
    ordered = sorted(colours, key=sum)
    chosen = [ordered[place] for place in np.linspace(0, len(ordered) - 1, min(_SWATCHES, len(ordered))).astype(int)]
    stripes = "".join('<i style="background:rgb({:.0f},{:.0f},{:.0f})"></i>'.format(*colour) for colour in chosen)
    return f'<div class="swatches" aria-hidden="true">{stripes}</div>'


def _means(seen: Sequence[Facts], sides: Sequence[str]) -> str:
    """The mean thumbnail of each side: what is always at the same place can be seen in it."""
    figures = []
    for side in sides:
        mean = np.mean([fact.sides[side].thumb for fact in seen if side in fact.sides], axis=0)
        large = np.repeat(np.repeat(mean.round().astype(np.uint8), 4, axis=0), 4, axis=1)[..., None]
        image = img_tag(large, f"mean {side}")
        figures.append(f"<figure>{image}<figcaption>{escape(side)}</figcaption></figure>")
    return f'<div class="means">{"".join(figures)}</div>'


def _classes(seen: Sequence[Facts]) -> list[str]:
    """Boxes of each class, or the share of pixels that each class has."""
    labels = [fact.labels for fact in seen if fact.labels is not None]
    if not labels:
        return []
    totals: Counter[str] = Counter()
    for each in labels:
        totals.update(each.classes)
    if any(isinstance(value, float) for value in totals.values()):
        shares = {name: float(value) / len(labels) for name, value in totals.most_common(2 * _TOP)}
        return [_chart("Share of each class in the masks", _bars(shares, len(totals)))]
    counts = Counter(min(10, int(sum(each.classes.values()))) for each in labels)
    each_number = {f"{number}{'+' if number == 10 else ''} boxes": counts[number] for number in sorted(counts)}
    return [
        _chart("Boxes of each class", _bars(dict(totals.most_common(2 * _TOP)), len(totals))),
        _chart("Boxes of an image", _bars(each_number)),
    ]
