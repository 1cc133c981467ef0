"""The charts and tables of a set of images with boxes."""

from collections import Counter
from html import escape
from typing import Final

import numpy as np

from calco.detection import plots
from calco.detection.exploring.survey import HARD, SIZES, Survey
from calco.detection.matching import Floats

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
