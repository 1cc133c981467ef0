"""Page of the check: findings with images and commands, then charts of the data set and of the augmentation."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from markupsafe import Markup

from calco.annotations.detections import Detections
from calco.checking.result import CheckReport, Finding
from calco.checking.survey import Facts, ImageStatistics, entry_images, grey_of, reduced
from calco.data.box_augmentation import augmented, letterbox
from calco.data.config import BoxAugmentConfig
from calco.data.palettes import paint, palette_for
from calco.data.sample import generator
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.imaging import Image, as_channels, as_dtype, visible
from calco.report import charts
from calco.report.page import img_tag, write_page

SHOWN = {"must": 18, "should": 12, "note": 6}  # cases of a finding that are shown with images
LISTED = 60  # further cases that are listed in words; check.json has all
MEMBERS = 6  # images of one case
SAMPLES = 30
SIDE = 240  # pixels of the longer side of an image on the page
_WITHOUT_IMAGES = ("unreadable", "sizes-differ", "left-out", "dropped", "boxes-order")
_SPLITS = {"train": "to train", "val": "to validate", "test": "to test", "gap": "left out between them"}
_TOP = 8
_COLUMNS = 24
_SWATCHES = 96
_AUGMENTED: Final = 6
_EPOCHS: Final = 5
_SQUARE: Final = 320  # pixels of the squares that are shown
_TRIED: Final = 200  # images that are looked at for some with objects in them
_COLOURS: Final = (
    (230, 75, 50), (0, 140, 220), (40, 170, 80), (240, 180, 0), (150, 90, 210), (0, 175, 175), (235, 110, 175),
    (140, 110, 60),
)  # fmt: skip

Figures = list[tuple[str, Image | None, str]]
"""Caption, image (none where it cannot be read) and alternative text of images beside each other."""


def write_check_page(report: CheckReport) -> Path:
    """Write the page of a check to `report.page`; it needs no other file."""
    name = Path(report.config.images).resolve().name or report.config.images
    parts = Counter(report.split.values())
    groups = len({item.group for item in report.source.items})
    items = {item.key: item for item in report.source.items}
    readable = [item for item, fact in zip(report.source.items, report.facts, strict=True) if not fact.error]
    trained = [item for item in readable if report.split[item.key] == "train"]
    chosen = sorted(generator(0, 0, "samples").permutation(len(readable))[:SAMPLES]) if readable else []
    classes = report.source.classes
    return write_page(
        report.page,
        "check",
        name="check.html",
        title=f"{name} · Calco check",
        heading=name,
        report=report,
        facts=[
            report.source.story or report.source.kind,
            f"{len(report.facts):,} entries" + (f" in {groups:,} groups" if groups < len(report.facts) else ""),
            ", ".join(f"{parts[split]:,} {text}" for split, text in _SPLITS.items() if parts[split]),
        ],
        findings=[_finding(report, items, finding) for finding in report.findings],
        charts=_charts([fact for fact in report.facts if fact.sides], parts),
        notes=report.source.notes,
        samples=[_figures(report, readable[place], False, many=False) for place in chosen],
        augmented=_augmented(report.source, trained, report.config.augment),
        augmentation_note=f"The first of each row is the image as it is, the others are its first {_EPOCHS} epochs of "
        "training, with the seed 0. Options such as --augment.mosaic 0 are the same as in training and can be tried "
        "here.",
        legend=[(name, f"rgb{_COLOURS[place % len(_COLOURS)]}") for place, name in enumerate(classes[:24])],
        legend_rest=len(classes) - 24,
    )


def _finding(report: CheckReport, items: dict[str, Item], finding: Finding) -> tuple[Any, ...]:
    """Return the finding, its badge, its cases with images, those listed in words, and the number of the others."""
    fixed = finding.severity == "must" and finding not in report.open
    number = 0 if finding.kind in _WITHOUT_IMAGES else SHOWN[finding.severity]
    paired = finding.kind in ("shifted", "mirrored", "swapped", "all-shifted", "masks-shifted", "mask-shifted")
    shown = []
    for case in finding.cases[:number]:
        seen = [items[key] for key in case.keys[:MEMBERS] or tuple(items)[:1] if key in items]
        figures = [each for item in seen for each in _figures(report, item, paired, many=len(case.keys) > 1)]
        left = len(case.keys) - MEMBERS
        shown.append((figures, case.words + (f" and {left} more like these" if left > 0 else "")))
    rest = finding.cases[number : number + LISTED]
    further = len(finding.cases) - len(shown) - len(rest)
    return finding, "fixed" if fixed else finding.severity, shown, rest, further


def _figures(report: CheckReport, item: Item, paired: bool, *, many: bool) -> Figures:
    try:
        shown = _shown_sides(report, item)
    except CalcoError as error:
        return [(f"{item.key}: {error}", None, "")]
    if paired and "mask" in shown:
        shown["outlines of the mask"] = _outlined(shown["image"], shown["mask"])
    elif paired and len(shown) == 2:
        # The input in red, the target in blue and green: grey where they agree.
        a, b = map(grey_of, shown.values())
        b = np.asarray(cv2.resize(b, (a.shape[1], a.shape[0]), interpolation=cv2.INTER_AREA), np.uint8)
        shown["one over the other"] = np.stack([a, b, b], axis=2)
    where = f" · {_SPLITS[report.split[item.key]]}" if many else ""
    return [
        (f"{item.key}{where}" if n == 0 else name, image, f"{name} of {item.key}")
        for n, (name, image) in enumerate(shown.items())
    ]


def _outlined(image: Image, mask: Image) -> Image:
    """Return the image with the boundaries of its mask in red."""
    result = as_channels(image, 3).copy()
    parts = np.asarray(cv2.resize(mask, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_NEAREST), np.uint8)
    steep = cv2.morphologyEx(parts, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    result[np.atleast_3d(steep).max(axis=2) > 64] = (255, 0, 0)
    return result


def _shown_sides(report: CheckReport, item: Item) -> dict[str, Image]:
    """Return the images of an entry: its sides, its mask, its boxes drawn in."""
    whole = report.source.load(item)
    shown = entry_images(report.source, item, SIDE)
    if whole.mask is not None:
        shown["mask"] = reduced(_visible_mask(report.source, whole.mask), SIDE)
    if whole.detections is not None:
        scale = shown["image"].shape[1] / whole.image.shape[1]
        objects = whole.detections.scaled(scale, scale)
        shown["image"] = _boxed(as_channels(shown["image"], 3), objects, report.source.classes)
    return shown


def _visible_mask(source: Source, mask: Image) -> Image:
    """Return a mask with each class in its own colour, HW3; unchanged if Calco does not understand it."""
    if source.masks is not None:
        with suppress(CalcoError):
            return paint(source.masks.encoding.read(mask)[0], palette_for(source.masks.names))
    shown = visible(as_dtype(mask, np.uint8))
    return shown * (255 // max(1, int(shown.max()))) if shown.max() < 128 else shown


def _charts(seen: Sequence[Facts], parts: Mapping[str, int]) -> list[Markup]:
    """Return charts of sizes, shapes, channels, colours and classes; none where no image can be read."""
    if not seen:
        return []
    sides = list(seen[0].sides)
    found = [charts.bars("Splits", {name: parts.get(name, 0) for name in ("train", "val", "test")})]
    columns = []
    for side in sides:
        of = f" of the {side}s" if len(sides) > 1 else ""
        columns.append(_charts_of([fact.sides[side] for fact in seen if side in fact.sides], of))
    for row in zip(*columns, strict=True):  # the same chart of both sides
        found += filter(None, row)
    return [*found, _means(seen, sides), *_classes(seen)]


def _others(num: int, most: int) -> str:
    return f"and {num - most:,} others" if num > most else ""


def _charts_of(shown: Sequence[ImageStatistics], of: str) -> list[Markup | None]:
    """Chart sizes, shapes if they differ, modes, lightness and the mean colours from dark to light."""
    sizes = Counter("{}x{}".format(*each.size_wh) for each in shown)
    modes = Counter(each.mode for each in shown)
    shapes = [float(np.log2(each.size_wh[0] / each.size_wh[1])) for each in shown]
    differ = max(shapes) - min(shapes) > 0.01
    light = [float(np.dot(each.colour, (0.299, 0.587, 0.114))) for each in shown]
    ordered = sorted((each.colour for each in shown), key=sum)
    places = np.linspace(0, len(ordered) - 1, min(_SWATCHES, len(ordered))).astype(int)
    return [
        charts.bars(f"Sizes{of}", dict(sizes.most_common(_TOP)), _others(len(sizes), _TOP)),
        _histogram(f"Shapes{of}", shapes, ("high", "square", "wide"), (-2, 2)) if differ else None,
        charts.bars(f"Channels and bits{of}", dict(modes.most_common(_TOP))),
        _histogram(f"Lightness{of}", light, ("dark", "", "light"), (0, 255)),
        charts.stripes(f"Colours{of}, a stripe an image", [ordered[place] for place in places]),
    ]


def _histogram(title: str, values: Sequence[float], names: Sequence[str], ends: tuple[float, float]) -> Markup:
    counts, edges = np.histogram(np.clip(values, *ends), bins=_COLUMNS, range=ends)
    return charts.histogram(title, counts.tolist(), edges.tolist(), "", names=names)


def _means(seen: Sequence[Facts], sides: Sequence[str]) -> Markup:
    """Chart the mean thumbnail of each side: what is always at the same place can be seen in it."""
    images = []
    for side in sides:
        mean = np.mean([fact.sides[side].thumb for fact in seen if side in fact.sides], axis=0)
        large = np.repeat(np.repeat(mean.round().astype(np.uint8), 4, axis=0), 4, axis=1)[..., None]
        images.append(img_tag(large, f"mean {side}"))
    return charts.figure("The mean of all", "".join(images), ", ".join(sides) if len(sides) > 1 else "")


def _classes(seen: Sequence[Facts]) -> list[Markup]:
    """Chart the boxes of each class, or the share of pixels that each class has."""
    labels = [fact.labels for fact in seen if fact.labels is not None]
    if not labels:
        return []
    totals: Counter[str] = Counter()
    for each in labels:
        totals.update(each.classes)
    note = _others(len(totals), 2 * _TOP)
    top = totals.most_common(2 * _TOP)
    if any(isinstance(value, float) for value in totals.values()):
        shares = {name: float(value) / len(labels) for name, value in top}
        texts = {name: f"{share:.1%}" for name, share in shares.items()}
        return [charts.bars("Share of each class in the masks", shares, note, texts)]
    counts = Counter(min(10, int(sum(each.classes.values()))) for each in labels)
    each_number = {f"{number}{'+' if number == 10 else ''} boxes": counts[number] for number in sorted(counts)}
    return [charts.bars("Boxes of each class", dict(top), note), charts.bars("Boxes of an image", each_number)]


def _augmented(source: Source, items: Sequence[Item], config: BoxAugmentConfig) -> list[Figures]:
    """Return some images with boxes as they are and as some epochs of training show them; none of any other source."""
    if source.kind != "annotations" or not items:
        return []
    load = lru_cache(maxsize=64)(lambda place: source.load(items[place]))

    def has_objects(place: int) -> bool:
        with suppress(CalcoError):
            return len(load(place).detections or ()) > 0
        return False

    order = map(int, generator(0, 0, "play").permutation(len(items))[:_TRIED])
    rows: list[Figures] = []
    for place in sorted(islice(filter(has_objects, order), _AUGMENTED)):
        whole = load(place)
        square, scale, (left, top) = letterbox(whole.image, _SQUARE)
        assert whole.detections is not None
        shown = [(whole.key, square, whole.detections.scaled(scale, scale).cropped(-left, -top, _SQUARE, _SQUARE))]
        for epoch in range(_EPOCHS):
            with suppress(CalcoError):  # an image of its mosaic cannot be read; the findings name it
                found = augmented(load, place, len(items), _SQUARE, config, seed=0, epoch=epoch, outlines=False)
                shown.append((f"epoch {epoch + 1}", *found))
        rows.append(
            [(name, _boxed(each, boxes, source.classes), f"{name}: {whole.key}") for name, each, boxes in shown]
        )
    return rows


def _boxed(image: Image, objects: Detections, classes: Sequence[str]) -> Image:
    """Return the image with its boxes in the colours of their classes."""
    shown = image.copy()
    for box, name in zip(objects.boxes, objects.classes, strict=True):
        left, top, right, bottom = (round(float(end)) for end in box)
        colour = _COLOURS[classes.index(name) % len(_COLOURS)] if name in classes else _COLOURS[0]
        cv2.rectangle(shown, (left, top), (right - 1, bottom - 1), (255, 255, 255), 4)
        cv2.rectangle(shown, (left, top), (right - 1, bottom - 1), colour, 2)
    return shown
