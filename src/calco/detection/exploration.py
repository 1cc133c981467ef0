"""`calco detect explore`: statistics and oddities of a set of images with boxes, as a page and as JSON."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from calco.data.sample import fraction
from calco.data.sources import open_annotated
from calco.data.splits import split_names
from calco.detection.config import ExploreConfig
from calco.detection.metrics import Floats
from calco.detection.survey import HARD, SIZES, OddBox, Oddity, Survey, sentences, survey
from calco.errors import CalcoError
from calco.files import write_json
from calco.outputs import writing_folder
from calco.report import charts
from calco.report.page import Column, Look, Mark, Row, Table, boxed, count, write_page

FORMAT: Final = 1
LISTED: Final = 200
"""Number of faults on the page; explore.json has all."""
SHOWN: Final = 9
"""Number of images for each kind of oddity."""
_FEW: Final = 6  # images with the most boxes, the smallest ones, nothing
_BOXES: Final = 150  # in one image
_LOOKS: Final[tuple[tuple[Look, str], ...]] = (
    ("right", "boxes"), ("double", "to be looked at"), ("passed", "crowds and difficult objects"),
)  # fmt: skip
_TITLES: Final[dict[Oddity, tuple[str, str]]] = {
    "twice": ("Probably marked twice", "two boxes of one class lie on each other: one of them should go"),
    "two classes": ("Two classes on one object", "boxes of two classes lie on each other: is it both?"),
    "tiny": ("Tiny", "boxes of less than three pixels: a slip of the hand, or another unit"),
    "thin": ("Very thin", "boxes twenty times as long as wide: a slip of the hand, or exchanged numbers"),
    "whole image": ("Over the whole image", "does the object fill the image, or does the box mark all of it?"),
}
MAPS: Final = 3
"""Number of classes with a map of their own."""
GRID: Final = 32
"""Cells of a map in both directions."""
_COMMONEST: Final = 8  # sizes of images
_DOTS: Final = 1500
_ROWS: Final = 60  # classes in the table
_BINS: Final = 24

Cards: TypeAlias = list[tuple[str, Markup, str, str]]


@dataclass(frozen=True, kw_only=True)
class ExploreResult:
    """Result of `explore`."""

    name: str
    found: Survey
    page: Path

    def verdict(self) -> str:
        """Return the summary of the set and its oddities."""
        return " ".join(sentences(self.found))


def explore(config: ExploreConfig) -> ExploreResult:
    """Collect the boxes of a set, and write explore.html and explore.json into `config.out`.

    Args:
        config: The images and the folder.

    Returns:
        Counts, faults, and the page.

    Raises:
        CalcoError: There are no images with boxes, or the page cannot be written.
    """
    if not config.images:
        raise CalcoError("no images are named; give a folder with boxes: calco detect explore IMAGES")
    source = open_annotated(config.images, config.source)
    name = Path(config.images).resolve().name or config.images
    with writing_folder(config.out, "calco detect explore") as outputs:
        folder = outputs.folder
        outputs.check(folder / each for each in ("explore.json", "explore.html"))
        found = survey(source, split_names(source.items, config.split), config.double)
        write_json(folder / "explore.json", to_json(found))
        page = write_explore_page(found, name, folder, config.samples)
    return ExploreResult(name=name, found=found, page=page)


def to_json(found: Survey) -> dict[str, Any]:
    """Return the statistics as plain data."""
    parts = Counter(found.split.values())
    rows = {
        name: {"boxes": each.boxes, "images": each.images, "median_width": each.median[0],
               "median_height": each.median[1]}
        for name, each in found.by_class.items()
    }  # fmt: skip
    return {
        "format": FORMAT,
        "images": found.source.root,
        "source": found.source.kind,
        "story": found.source.story,
        "splits": {name: parts[name] for name in ("train", "val", "test")},
        "num_images": len(found.items),
        "num_boxes": len(found.boxes),
        "num_empty": int((found.per_image == 0).sum()),
        "classes": rows,
        "seen": {
            str(size): float((found.seen_at(size) >= HARD).mean()) if len(found.boxes) else None for size in SIZES
        },
        "crowded": found.crowded,
        "odd": [{"kind": o.kind, "image": o.key, "boxes": list(o.boxes), "words": o.words} for o in found.odd],
        "faults": [{"where": p.where, "fault": p.fault, "reason": p.reason} for p in found.faults],
        "left_out": [{"name": name, "reason": reason} for name, reason in found.left_out],
    }


def write_explore_page(found: Survey, name: str, out: str | Path, samples: int) -> Path:
    """Write explore.html; it needs no other file, and no network."""
    faults = found.all_faults
    parts = Counter(found.split.values())
    words = {"train": "to train", "val": "to validate", "test": "to test", "gap": "left out between them"}
    any_boxes = len(found.boxes) > 0
    heads = [Column("File and line", css="file"), Column("What is wrong", css="words")]
    rows = [Row(fault, rest, badge=True) for fault, *rest in faults[:LISTED]]
    return write_page(
        out,
        "explore",
        name="explore.html",
        title=f"{name} · Calco explore",
        heading=name,
        facts=[
            found.source.story or found.source.kind,
            ", ".join(f"{parts[part]:,} {text}" for part, text in words.items() if parts[part]),
        ],
        verdict=sentences(found),
        tiles=_tiles(found),
        fault_counts=", ".join(f"{n:,} {fault}" for fault, n in Counter(row[0] for row in faults).most_common()),
        faults=Table("Faults", heads, rows, corner="Fault") if faults else None,
        fault_rest=len(faults) - LISTED,
        looks=_LOOKS,
        odd=_odd(found),
        classes=_classes(found) if any_boxes else None,
        class_rest=len(found.names) - _ROWS,
        crowded=found.crowded,
        charts=_charts(found) if any_boxes else [],
        hard=HARD,
        seen=_seen(found) if any_boxes else None,
        samples=_samples(found, samples),
    )


def _tiles(found: Survey) -> list[tuple[str, str, str, str, str, str]]:
    per = found.per_image
    tiles = (
        ("Images", f"{len(found.items):,}", ""), ("Boxes", f"{len(found.boxes):,}", ""),
        ("Classes", f"{len(np.unique(found.classes)):,}", ""),
        ("Boxes an image", f"{per.mean():.1f}", f"at most {int(per.max(initial=0)):,}"),
        ("Empty images", f"{int((per == 0).sum()):,}", ""),
        ("Faults", f"{len(found.faults) + len(found.left_out):,}", ""),
    )  # fmt: skip
    return [(name, value, unit, "", "", "") for name, value, unit in tiles]


def _odd(found: Survey) -> list[tuple[str, Cards, str]]:
    """Return title, cards and note of each kind of odd boxes."""
    groups = []
    for kind, (title, note) in _TITLES.items():
        mine = [one for one in found.odd if one.kind == kind]
        by_image: dict[str, list[OddBox]] = {}
        for one in mine:
            by_image.setdefault(one.key, []).append(one)
        left = f"; {len(by_image) - SHOWN:,} more images in explore.json" if len(by_image) > SHOWN else ""
        cards: Cards = []
        for key, ones in list(by_image.items())[:SHOWN]:
            place = next(place for place, item in enumerate(found.items) if item.key == key)
            text = "; ".join(one.words for one in ones[:3]) + ("; ..." if len(ones) > 3 else "")
            cards += _card(found, place, {box for one in ones for box in one.boxes}, text)
        if cards:
            groups.append((f"{title} ({len(mine):,})", cards, note + left))
    return groups


def _card(found: Survey, place: int, odd: set[int], text: str) -> Cards:
    """Return the card of one image with its boxes; nothing if it cannot be read."""
    item = found.items[place]
    try:
        image = found.source.load(item).image
    except CalcoError:
        return []
    mine = np.flatnonzero(found.images == place)
    order = sorted(range(len(mine)), key=lambda i: i in odd)[-_BOXES:]
    looks: list[Look] = ["double" if i in odd else "passed" if found.ignored[mine[i]] else "right" for i in order]
    boxes, names = found.boxes[mine[order]].tolist(), found.classes[mine[order]].tolist()
    marks = [Mark(*each) for each in zip(boxes, names, looks, strict=True)]
    return [(item.key, boxed(image, marks, f"{item.key} with its boxes"), text, found.split[item.key])]


def _samples(found: Survey, number: int) -> list[tuple[str, Cards, str]]:
    """Return cards of a random choice of images, then of the extremes."""
    per = found.per_image
    places = range(len(found.items))
    chosen = sorted(places, key=lambda place: fraction("explored", found.items[place].key))[:number]
    full = [place for place in np.argsort(-per, kind="stable")[:_FEW].tolist() if per[place] > 1]
    sides = found.sides.min(axis=1) if len(found.boxes) else np.zeros(0)
    small = list(dict.fromkeys(found.images[np.argsort(sides, kind="stable")].tolist()))[:_FEW]
    empty = [place for place in places if per[place] == 0][:_FEW]
    groups = (
        ("Random choice", chosen, ""), ("The most boxes", full, ""), ("The smallest boxes", small, ""),
        ("Empty images", empty, "they teach a detector where nothing is"),
    )  # fmt: skip

    def card(place: int) -> Cards:
        width, height = found.sizes[place]
        return _card(found, place, set(), f"{count(int(found.per_image[place]), 'box')}, {width:.0f} × {height:.0f}")

    return [(title, [one for place in shown for one in card(place)], note) for title, shown, note in groups]


def _classes(found: Survey) -> Table:
    titles = ("Boxes", "Share", "Images", "Width × height", "Small", "Medium", "Large", "Train", "Val", "Test")
    rows = []
    for name, each in list(found.by_class.items())[:_ROWS]:
        width, height = each.median
        middle = "–" if width is None or height is None else f"{width:.0f} × {height:.0f}"
        numbers = [*each.by_size, *(each.by_split[part] for part in ("train", "val", "test"))]
        cells = [f"{each.boxes:,}", f"{each.boxes / len(found.boxes):.1%}", f"{each.images:,}", middle]
        rows.append(Row(name, [*cells, *(f"{number:,}" for number in numbers)]))
    return Table("Classes", [Column(title) for title in titles], rows, corner="Class")


def _charts(found: Survey) -> list[Markup]:
    """Return charts of places, sizes, shapes and numbers of the boxes."""
    shares = found.shares
    sides = shares[:, 2:] - shares[:, :2]
    chosen = np.random.default_rng(0).permutation(len(sides))[:_DOTS]
    dots = [(float(w), float(h)) for w, h in np.clip(sides[chosen], 0, 1)]
    top = found.names[:MAPS] if len(np.unique(found.classes)) > 1 else []
    in_pixels = np.maximum(found.sides, 1e-3)
    ratios, powers = np.histogram(np.log2(in_pixels[:, 0] / in_pixels[:, 1]).clip(-4, 4), _BINS, (-4, 4))
    sizes, edges = np.histogram(np.sqrt(sides.prod(axis=1)), _BINS, (0, 1))
    images = Counter(f"{width:.0f} × {height:.0f}" for width, height in found.sizes)
    some = f"The {_COMMONEST} most frequent of {len(images):,}, in pixels."
    return [
        charts.heat_map("Where boxes are", _map(shares), "All classes, images stretched to one square."),
        *(charts.heat_map(f"Where {name} is", _map(shares[found.classes == name])) for name in top),
        charts.scatter("Widths and heights", dots, "width", "height", "As shares of the image."),
        charts.histogram(
            "Sizes", sizes.tolist(), edges.tolist(), "root of the box's share of the image",
            "0.1 is a box of a tenth of the image's width and height."),
        charts.histogram(
            "Shapes", ratios.tolist(), (2.0**powers).tolist(), "width / height", "Left upright, right lying."),
        _numbers(found.per_image),
        charts.bars("Sizes of the images", dict(images.most_common(_COMMONEST)),
                    some if len(images) > _COMMONEST else "In pixels."),
    ]  # fmt: skip


def _map(shares: Floats) -> Floats:
    """Return the number of boxes over each cell: sums over corners, cumulated (a summed-area table backwards)."""
    grid = np.zeros((GRID + 1, GRID + 1))
    left, top = np.floor(np.clip(shares[:, :2], 0, 1) * GRID).astype(int).clip(0, GRID - 1).T
    right, bottom = np.ceil(np.clip(shares[:, 2:], 0, 1) * GRID).astype(int).clip(1, GRID).T
    for rows, columns, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        np.add.at(grid, (rows, columns), sign)
    whole: Floats = grid.cumsum(axis=0).cumsum(axis=1)[:GRID, :GRID]
    return whole


def _numbers(per: npt.NDArray[np.int64]) -> Markup:
    most = int(per.max(initial=0))
    if most <= 8:
        return charts.bars(
            "Boxes an image", {str(n): int((per == n).sum()) for n in range(most + 1)}, "Images with so many boxes."
        )
    counts, edges = np.histogram(per, min(_BINS, most + 1), (0, most + 1))
    return charts.histogram("Boxes an image", counts.tolist(), edges.tolist(), "boxes")


def _seen(found: Survey) -> Table:
    """Return the sizes of the boxes for a detector that fits images into a square."""
    rows = []
    for size in SIZES:
        sides = found.seen_at(size)
        shares = (f"{(sides < limit).mean():.0%}" for limit in (HARD, 2 * HARD))
        rows.append(Row(f"{size} pixels", [f"{np.median(sides):.0f}", *shares]))
    titles = ("Shorter side, median", f"Under {HARD} pixels", f"Under {2 * HARD}")
    return Table("What a detector sees", [Column(title) for title in titles], rows, corner="Square")
