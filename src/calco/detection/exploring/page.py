"""The page of a set of images with boxes: what must be looked at, then what the set is like."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

import numpy as np

from calco.data.sample import fraction
from calco.detection import plots
from calco.detection.boxed import DIALOG, Look, Mark, boxed, card, cards, script, style, switches
from calco.detection.exploring.survey import HARD, SIZES, Odd, Oddity, Survey, sentences
from calco.detection.metrics import Floats
from calco.errors import CalcoError
from calco.report.html import write_page

LISTED: Final = 200
"""Faults that the page lists; explore.json has all."""
SHOWN: Final = 9
"""Images of one kind of oddity."""
_FEW: Final = 6  # images with the most boxes, the smallest ones, nothing
_BOXES: Final = 150  # drawn in one image
_LOOKS: Final[tuple[tuple[Look, str], ...]] = (
    ("right", "boxes"), ("double", "to be looked at"), ("passed", "crowds and difficult objects"),
)  # fmt: skip
_TITLES: Final[dict[Oddity, tuple[str, str]]] = {
    "twice": ("Probably marked twice", "two boxes of one class lie on each other: one of them should go"),
    "two classes": ("Two classes on one thing", "boxes of two classes lie on each other: is it both?"),
    "tiny": ("Tiny", "boxes of less than three pixels: a slip of the hand, or another unit"),
    "thin": ("Very thin", "boxes twenty times as long as wide: a slip of the hand, or exchanged numbers"),
    "whole image": ("Over the whole image", "is it the thing that fills the image, or a mark for all of it?"),
}


def write_explore_page(found: Survey, name: str, out: str | Path, samples: int) -> Path:
    """Writes explore.html; it needs no other file, and no network."""
    parts = _faults(found), _odd(found), classes(found), charts(found), seen(found), _samples(found, samples)
    body = "\n".join(filter(None, parts))
    return write_page(
        out, f"{name} · Calco explore", _header(found, name), body, name="explore.html", css=style(), js=script(),
        after=DIALOG,
    )  # fmt: skip


def _header(found: Survey, name: str) -> str:
    parts = Counter(found.split.values())
    words = {"train": "to train", "val": "to validate", "test": "to test", "gap": "left out between them"}
    split = ", ".join(f"{parts[part]:,} {text}" for part, text in words.items() if parts[part])
    facts = "".join(f"<li>{escape(fact)}</li>" for fact in (found.source.story or found.source.kind, split))
    verdict = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences(found))
    per = found.per_image
    tiles = (
        ("Images", f"{len(found.items):,}"), ("Boxes", f"{len(found.boxes):,}"),
        ("Classes", f"{len(np.unique(found.classes)):,}"),
        ("Boxes an image", f"{per.mean():.1f} <small>at most {int(per.max(initial=0)):,}</small>"),
        ("With nothing in them", f"{int((per == 0).sum()):,}"),
        ("Faults", f"{len(found.faults) + len(found.left_out):,}"),
    )  # fmt: skip
    listed = "".join(
        f'<li class="tile"><span class="name">{t}</span><span class="value">{v}</span></li>' for t, v in tiles
    )
    return (
        f'<h1>{escape(name)}</h1><ul class="facts">{facts}</ul><div class="verdict">{verdict}</div>'
        f'<ul class="tiles">{listed}</ul>'
    )


def _faults(found: Survey) -> str:
    """What was wrong with the annotations, each with its file and line."""
    root = f"{found.source.root.rstrip('/')}/"
    rows: list[tuple[str, str, str]] = [(p.fault, p.where.removeprefix(root), p.reason) for p in found.faults]
    rows += [("not used", where.removeprefix(root), reason) for where, reason in found.left_out]
    if not rows:
        return ""
    counted = ", ".join(f"{number:,} {fault}" for fault, number in Counter(row[0] for row in rows).most_common())
    body = "".join(
        f'<tr><td><span class="badge must">{escape(fault)}</span></td><td class="file">{escape(where)}</td>'
        f'<td class="words">{escape(reason)}</td></tr>'
        for fault, where, reason in rows[:LISTED]
    )
    more = (
        f'<p class="soft">and {len(rows) - LISTED:,} more, all of them in explore.json</p>'
        if len(rows) > LISTED
        else ""
    )
    return (
        f'<section><h2>Faults</h2><p class="lead">{escape(counted)}. What could be mended was, the rest is left out; a '
        "detector learns from what is left.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Faults"><table><thead><tr>'
        '<th scope="col">Fault</th><th scope="col" class="words">File and line</th>'
        '<th scope="col" class="words">What is wrong</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}</section>"
    )


def _odd(found: Survey) -> str:
    """Boxes that somebody should look at, in their images."""
    parts = []
    for kind, (title, note) in _TITLES.items():
        mine = [one for one in found.odd if one.kind == kind]
        by_image: dict[str, list[Odd]] = {}
        for one in mine:
            by_image.setdefault(one.key, []).append(one)
        shown = list(by_image.items())[:SHOWN]
        left = f"; {len(by_image) - SHOWN:,} more images in explore.json" if len(by_image) > SHOWN else ""
        made = [
            made
            for key, ones in shown
            if (made := _card(found, key, {place for one in ones for place in one.boxes},
                              "; ".join(one.words for one in ones[:3]) + ("; ..." if len(ones) > 3 else "")))
        ]  # fmt: skip
        parts.append(cards(f"{title} ({len(mine):,})", made, note + left))
    if not any(parts):
        return ""
    return f"<section><h2>To be looked at</h2>{switches(_LOOKS)}{''.join(parts)}</section>"


def _card(found: Survey, key: str, odd: set[int], words: str) -> str:
    """One image with its boxes; nothing where it cannot be read."""
    place = next(place for place, item in enumerate(found.items) if item.key == key)
    return _drawn(found, place, odd, words)


def _drawn(found: Survey, place: int, odd: set[int], words: str) -> str:
    item = found.items[place]
    try:
        image = found.source.load(item).image
    except CalcoError:
        return ""
    mine = np.flatnonzero(found.images == place)
    order = sorted(range(len(mine)), key=lambda i: i in odd)[-_BOXES:]
    marks = [
        Mark(
            found.boxes[mine[i]].tolist(),
            str(found.classes[mine[i]]),
            "double" if i in odd else "passed" if found.ignored[mine[i]] else "right",
        )
        for i in order
    ]
    return card(item.key, boxed(image, marks, f"{item.key} with its boxes"), words, found.split[item.key])


def _samples(found: Survey, number: int) -> str:
    """Some images by chance, then those at the ends."""
    per = found.per_image
    places = range(len(found.items))
    chance = sorted(places, key=lambda place: fraction("explored", found.items[place].key))[:number]
    full = [place for place in np.argsort(-per, kind="stable")[:_FEW].tolist() if per[place] > 1]
    sides = found.sides.min(axis=1) if len(found.boxes) else np.zeros(0)
    small = list(dict.fromkeys(found.images[np.argsort(sides, kind="stable")].tolist()))[:_FEW]
    empty = [place for place in places if per[place] == 0][:_FEW]
    parts = (
        ("Chosen by chance", "", chance), ("The most boxes", "", full), ("The smallest boxes", "", small),
        ("Nothing in them", "a detector learns from them where nothing is", empty),
    )  # fmt: skip
    groups = "".join(cards(title, _all(found, chosen), note) for title, note, chosen in parts)
    return f'<section><div class="bar"><h2>Samples</h2>{switches(_LOOKS)}</div>{groups}</section>'


def _all(found: Survey, places: Sequence[int]) -> list[str]:
    made = []
    for place in places:
        number = int(found.per_image[place])
        words = (
            f"{number:,} box{'' if number == 1 else 'es'}, {found.sizes[place][0]:.0f} × {found.sizes[place][1]:.0f}"
        )
        made += [drawn] if (drawn := _drawn(found, place, set(), words)) else []
    return made


MAPS: Final = 3
"""Classes that have a map of their own."""
GRID: Final = 32
"""Cells of a map in both directions."""
_DOTS: Final = 1500
_ROWS: Final = 60  # classes in the table
_BINS: Final = 24


def classes(found: Survey) -> str:
    """A row for each class."""
    if not len(found.boxes):
        return ""
    titles = ("Boxes", "Share", "Images", "Width × height", "Small", "Medium", "Large", "Train", "Val", "Test")
    head = '<th scope="col">Class</th>' + "".join(f'<th scope="col">{title}</th>' for title in titles)
    names = found.names
    rows = "".join(_row(found, name) for name in names[:_ROWS])
    more = (
        f'<p class="soft">and {len(names) - _ROWS:,} more, all of them in explore.json</p>'
        if len(names) > _ROWS
        else ""
    )
    crowded = (
        f" Boxes that overlap another of their class by more than 0.6: {found.crowded:,}. Detectors that drop the "
        "lesser of two such boxes cannot find them all." if found.crowded else ""
    )  # fmt: skip
    return (
        '<section><h2>Classes</h2><p class="lead">Width and height are medians in pixels. Small is less than 32 × 32 '
        "pixels, large more than 96 × 96, as COCO counts. The last columns are boxes in each part of the division."
        f"{crowded}</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Classes"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>{more}</section>"
    )


def _row(found: Survey, name: str) -> str:
    mine = found.classes == name
    sides, number = found.sides[mine], int(mine.sum())
    areas = sides.prod(axis=1)
    parts = Counter(found.split[found.items[place].key] for place in found.images[mine].tolist())
    middle = f"{np.median(sides[:, 0]):.0f} × {np.median(sides[:, 1]):.0f}" if number else "–"
    cells = (
        f"{number:,}", f"{number / len(found.boxes):.1%}", f"{len(np.unique(found.images[mine])):,}", middle,
        f"{int((areas < 32**2).sum()):,}", f"{int(((areas >= 32**2) & (areas <= 96**2)).sum()):,}",
        f"{int((areas > 96**2).sum()):,}", *(f"{parts[part]:,}" for part in ("train", "val", "test")),
    )  # fmt: skip
    return f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def charts(found: Survey) -> str:
    """Where the boxes are, how large, of which shape, how many."""
    if not len(found.boxes):
        return ""
    shares = found.shares
    sides = shares[:, 2:] - shares[:, :2]
    chosen = np.random.default_rng(0).permutation(len(sides))[:_DOTS]
    dots = [(float(w), float(h)) for w, h in np.clip(sides[chosen], 0, 1)]
    parts = [plots.heat("Where boxes are", _map(shares), "All classes, images stretched to one square.")]
    top = found.names[:MAPS] if len(np.unique(found.classes)) > 1 else []
    parts += [plots.heat(f"Where {name} is", _map(shares[found.classes == name])) for name in top]
    parts += [
        plots.scatter("Widths and heights", dots, "width", "height", "As shares of the image."),
        _sizes(sides),
        _shapes(found),
        _numbers(found),
        _images(found),
    ]
    return f'<section><h2>Sizes and places</h2><div class="charts">{"".join(parts)}</div></section>'


def _map(shares: Floats) -> Floats:
    """How many boxes cover each cell: the sums over corners, cumulated (a summed-area table backwards)."""
    grid = np.zeros((GRID + 1, GRID + 1))
    left, top = np.floor(np.clip(shares[:, :2], 0, 1) * GRID).astype(int).clip(0, GRID - 1).T
    right, bottom = np.ceil(np.clip(shares[:, 2:], 0, 1) * GRID).astype(int).clip(1, GRID).T
    for rows, columns, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        np.add.at(grid, (rows, columns), sign)
    whole: Floats = grid.cumsum(axis=0).cumsum(axis=1)[:GRID, :GRID]
    return whole


def _sizes(sides: Floats) -> str:
    share = np.sqrt(sides.prod(axis=1))
    counts, edges = np.histogram(share, _BINS, (0, 1))
    return plots.columns(
        "Sizes", edges.tolist(), counts.tolist(), "root of the box's share of the image",
        "0.1 is a box of a tenth of the image's width and height.",
    )  # fmt: skip


def _shapes(found: Survey) -> str:
    """Width over height in powers of two."""
    sides = np.maximum(found.sides, 1e-3)
    ratio = np.log2(sides[:, 0] / sides[:, 1]).clip(-4, 4)
    counts, edges = np.histogram(ratio, _BINS, (-4, 4))
    return plots.columns(
        "Shapes", (2.0**edges).tolist(), counts.tolist(), "width / height", "Left upright, right lying."
    )


def _numbers(found: Survey) -> str:
    per = found.per_image
    most = int(per.max(initial=0))
    if most <= 8:
        return plots.bars(
            "Boxes an image", {str(n): int((per == n).sum()) for n in range(most + 1)}, "Images with so many boxes."
        )
    counts, edges = np.histogram(per, min(_BINS, most + 1), (0, most + 1))
    return plots.columns("Boxes an image", edges.tolist(), counts.tolist(), "boxes")


def _images(found: Survey) -> str:
    sizes = Counter(f"{width:.0f} × {height:.0f}" for width, height in found.sizes)
    note = f"The {8} commonest of {len(sizes):,}, in pixels." if len(sizes) > 8 else "In pixels."
    return plots.bars("Sizes of the images", dict(sizes.most_common(8)), note)


def seen(found: Survey) -> str:
    """How large the boxes are to a detector that sees images in a square."""
    if not len(found.boxes):
        return ""
    head = '<th scope="col">Square</th>' + "".join(
        f'<th scope="col">{title}</th>'
        for title in ("Shorter side, median", f"Under {HARD} pixels", f"Under {2 * HARD}")
    )
    rows = ""
    for size in SIZES:
        sides = found.seen_at(size)
        rows += (
            f'<tr><th scope="row">{size} pixels</th><td>{np.median(sides):.0f}</td><td>{(sides < HARD).mean():.0%}</td>'
            f"<td>{(sides < 2 * HARD).mean():.0%}</td></tr>"
        )
    return (
        '<section><h2>What a detector sees</h2><p class="lead">A detector brings each image into a square. How large '
        f"the boxes are there: what is less than {HARD} pixels wide or high is hardly found.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="What a detector sees"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )
