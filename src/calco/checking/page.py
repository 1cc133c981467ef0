"""Page of the check: findings with images and commands, then charts of the data set and of the augmentation."""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from markupsafe import Markup

from calco.annotations.detections import Detections
from calco.checking.image_statistics import ImageStatistics, entry_images, grey_of, reduced
from calco.checking.result import Case, CheckReport, Finding
from calco.checking.survey import Facts
from calco.data.box_augmentation import augmented, letterbox
from calco.data.config import BoxAugmentConfig
from calco.data.palettes import paint, palette_for
from calco.data.sample import Sample, generator
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.imaging import Image, as_channels, as_dtype, visible
from calco.report import charts
from calco.report.page import img_tag, write_page

SHOWN = {"must": 18, "should": 12, "note": 6}
"""Cases of a finding that are shown with images."""
LISTED = 60
"""Further cases that are listed in words; check.json has all."""
MEMBERS = 6
"""Images of one case."""
SAMPLES = 30
SIDE = 240
"""Pixels of the longer side of an image on the page."""
_WITHOUT_IMAGES = ("unreadable", "sizes-differ", "left-out", "dropped", "boxes-order")
_BOX_COLOUR = (255, 80, 40)
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
    """The finding, its badge, its cases with images, those listed in words, and the number of the others."""
    fixed = finding.severity == "must" and finding not in report.open
    number = 0 if finding.kind in _WITHOUT_IMAGES else SHOWN[finding.severity]
    shown = [_case(report, items, finding.kind, case) for case in finding.cases[:number]]
    rest = finding.cases[number : number + LISTED]
    further = len(finding.cases) - len(shown) - len(rest)
    return finding, "fixed" if fixed else finding.severity, shown, rest, further


def _case(report: CheckReport, items: dict[str, Item], kind: str, case: Case) -> tuple[Figures, str]:
    """The images of one case side by side, and its words."""
    paired = kind in ("shifted", "mirrored", "swapped", "all-shifted")
    keys = case.keys[:MEMBERS] or tuple(list(items)[:1])
    figures: Figures = []
    for key in keys:
        figures += _figures(report, items[key], paired, many=len(case.keys) > 1) if key in items else []
    left = len(case.keys) - MEMBERS
    return figures, case.words + (f" and {left} more like these" if left > 0 else "")


def _figures(report: CheckReport, item: Item, paired: bool, *, many: bool) -> Figures:
    try:
        shown = shown_sides(report, item)
    except CalcoError as error:
        return [(f"{item.key}: {error}", None, "")]
    if paired and len(shown) == 2:
        shown["one over the other"] = _overlay(*shown.values())
    where = f" · {_SPLITS[report.split[item.key]]}" if many else ""
    return [
        (f"{item.key}{where}" if n == 0 else name, image, f"{name} of {item.key}")
        for n, (name, image) in enumerate(shown.items())
    ]


def shown_sides(report: CheckReport, item: Item) -> dict[str, Image]:
    """What is shown of an entry: its sides, its mask, its boxes drawn in."""
    whole = report.source.load(item)
    shown = entry_images(report.source, item, SIDE)
    if whole.mask is not None:
        shown["mask"] = reduced(visible_mask(report.source, whole.mask), SIDE)
    if whole.detections is not None:
        image = as_channels(shown["image"], 3).copy()
        scale = image.shape[1] / whole.image.shape[1]
        for box in whole.detections.boxes:
            left, top, right, bottom = (round(float(end) * scale) for end in box)
            cv2.rectangle(image, (left, top), (right, bottom), _BOX_COLOUR, 2)
        shown["image"] = image
    return shown


def visible_mask(source: Source, mask: Image) -> Image:
    """A mask as it is understood, class by class in its own colour, HW3; as it stands where it is not."""
    if source.masks is not None:
        with contextlib.suppress(CalcoError):
            return paint(source.masks.encoding.read(mask)[0], palette_for(source.masks.names))
    shown = visible(as_dtype(mask, np.uint8))
    return shown * (255 // max(1, int(shown.max()))) if shown.max() < 128 else shown


def _overlay(first: Image, second: Image) -> Image:
    """The input in red, the target in blue and green: grey where they agree."""
    a, b = grey_of(first), grey_of(second)
    b = np.asarray(cv2.resize(b, (a.shape[1], a.shape[0]), interpolation=cv2.INTER_AREA), np.uint8)
    return np.stack([a, b, b], axis=2)


def _charts(seen: Sequence[Facts], parts: Mapping[str, int]) -> list[Markup]:
    """Charts of sizes, shapes, channels, colours and classes; none where no image can be read."""
    if not seen:
        return []
    sides = list(seen[0].sides)
    drawn = [charts.bars("Splits", {name: parts.get(name, 0) for name in ("train", "val", "test")})]
    for chart in (_sizes, _shapes, _modes, _lightness, _colours):
        for side in sides:
            of = f" of the {side}s" if len(sides) > 1 else ""
            drawn += chart([fact.sides[side] for fact in seen if side in fact.sides], of)
    return [*drawn, _means(seen, sides), *_classes(seen)]


def _sizes(shown: Sequence[ImageStatistics], of: str) -> list[Markup]:
    sizes = Counter("{}x{}".format(*each.size_wh) for each in shown)
    return [charts.bars(f"Sizes{of}", dict(sizes.most_common(_TOP)), _others(len(sizes), _TOP))]


def _others(num: int, most: int) -> str:
    return f"and {num - most:,} others" if num > most else ""


def _shapes(shown: Sequence[ImageStatistics], of: str) -> list[Markup]:
    shapes = [float(np.log2(each.size_wh[0] / each.size_wh[1])) for each in shown]
    differ = max(shapes) - min(shapes) > 0.01
    return [_histogram(f"Shapes{of}", shapes, ("high", "square", "wide"), (-2, 2))] if differ else []


def _modes(shown: Sequence[ImageStatistics], of: str) -> list[Markup]:
    return [charts.bars(f"Channels and bits{of}", dict(Counter(each.mode for each in shown).most_common(_TOP)))]


def _lightness(shown: Sequence[ImageStatistics], of: str) -> list[Markup]:
    light = [float(np.dot(each.colour, (0.299, 0.587, 0.114))) for each in shown]
    return [_histogram(f"Lightness{of}", light, ("dark", "", "light"), (0, 255))]


def _colours(shown: Sequence[ImageStatistics], of: str) -> list[Markup]:
    """Mean colours of an even choice of images, from dark to light."""
    ordered = sorted((each.colour for each in shown), key=sum)
    places = np.linspace(0, len(ordered) - 1, min(_SWATCHES, len(ordered))).astype(int)
    return [charts.stripes(f"Colours{of}, a stripe an image", [ordered[place] for place in places])]


def _histogram(title: str, values: Sequence[float], names: Sequence[str], ends: tuple[float, float]) -> Markup:
    counts, edges = np.histogram(np.clip(values, *ends), bins=_COLUMNS, range=ends)
    return charts.histogram(title, counts.tolist(), edges.tolist(), "", names=names)


def _means(seen: Sequence[Facts], sides: Sequence[str]) -> Markup:
    """The mean thumbnail of each side: what is always at the same place can be seen in it."""
    images = []
    for side in sides:
        mean = np.mean([fact.sides[side].thumb for fact in seen if side in fact.sides], axis=0)
        large = np.repeat(np.repeat(mean.round().astype(np.uint8), 4, axis=0), 4, axis=1)[..., None]
        images.append(img_tag(large, f"mean {side}"))
    return charts.figure("The mean of all", "".join(images), ", ".join(sides) if len(sides) > 1 else "")


def _classes(seen: Sequence[Facts]) -> list[Markup]:
    """Boxes of each class, or the share of pixels that each class has."""
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
    """Some images with boxes as they are and as some epochs of training show them; none of any other source."""
    if source.kind != "annotations" or not items:
        return []
    load = _Kept(source, items)
    order = generator(0, 0, "play").permutation(len(items))[:_TRIED]
    chosen = [int(place) for place in order if load.has_objects(int(place))][:_AUGMENTED]
    return [_epochs(load, place, source.classes, config) for place in sorted(chosen)]


class _Kept:
    """Reads images by their place, each once; one that cannot be read gives way to the next."""

    def __init__(self, source: Source, items: Sequence[Item]) -> None:
        self.source, self.items = source, items
        self._kept: dict[int, Sample] = {}

    def __call__(self, place: int) -> Sample:
        if place not in self._kept:
            self._kept[place] = self.source.load(self.items[place])
        return self._kept[place]

    def has_objects(self, place: int) -> bool:
        """Whether an image can be read and has something in it; if not, it is not kept."""
        try:
            objects = self(place).detections
        except CalcoError:
            return False
        if objects is None or not len(objects):
            del self._kept[place]
            return False
        return True


def _epochs(load: _Kept, place: int, classes: Sequence[str], config: BoxAugmentConfig) -> Figures:
    """One image, and what some epochs make of it."""
    whole = load(place)
    square, scale, (left, top) = letterbox(whole.image, _SQUARE)
    objects = whole.detections
    assert objects is not None
    shown = [("the image", square, objects.scaled(scale, scale).cropped(-left, -top, _SQUARE, _SQUARE))]
    for epoch in range(_EPOCHS):
        try:
            image, moved = augmented(load, place, len(load.items), _SQUARE, config, seed=0, epoch=epoch, outlines=False)
        except CalcoError:
            continue  # an image of its mosaic cannot be read; the findings name it
        shown.append((f"epoch {epoch + 1}", image, moved))
    return [
        (whole.key if n == 0 else name, _boxed(image, found, classes), f"{name}: {whole.key}")
        for n, (name, image, found) in enumerate(shown)
    ]


def _boxed(image: Image, objects: Detections, classes: Sequence[str]) -> Image:
    """The boxes drawn in the colours of their classes."""
    drawn = image.copy()
    for box, name in zip(objects.boxes, objects.classes, strict=True):
        left, top, right, bottom = (round(float(end)) for end in box)
        colour = _COLOURS[classes.index(name) % len(_COLOURS)] if name in classes else _COLOURS[0]
        cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), (255, 255, 255), 4)
        cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), colour, 2)
    return drawn
