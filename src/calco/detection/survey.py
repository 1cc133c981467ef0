"""All boxes of a set in a few arrays, and their oddities."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Boxes, Detections
from calco.annotations.record import COSTS_A_IMAGE, Problem
from calco.data.source import Item, Source
from calco.data.sources.annotated import record_of
from calco.detection.metrics import Bools, Floats, overlap, size_counts
from calco.errors import CalcoError
from calco.report.page import count

Oddity: TypeAlias = Literal["twice", "two classes", "tiny", "whole image", "thin"]

SIZES: Final = (320, 416, 512, 640, 800, 1024)
"""Sides of a detector's input square, pixels."""
HARD: Final = 8
"""Shorter side of a box below which a detector hardly finds it, pixels."""
_TINY: Final = 3  # pixels of the shorter side
_WHOLE: Final = 0.95  # of the image's area
_THIN: Final = 20  # times as long as it is wide
_CLASSES_APART: Final = 0.9  # overlap from which boxes of two classes are on one object
_SUPPRESSED: Final = 0.6  # overlap above which most detectors drop the weaker of two boxes


@dataclass(frozen=True, slots=True)
class OddBox:
    """Boxes that should be checked."""

    kind: Oddity
    key: str
    boxes: tuple[int, ...]  # indices of the boxes in the image
    words: str


@dataclass(frozen=True, kw_only=True)
class ClassCounts:
    """Counts of one class."""

    boxes: int
    images: int  # number of images with such a box
    median: tuple[float, float] | tuple[None, None]  # median width and height, pixels; None without boxes
    by_size: tuple[int, int, int]  # number of small, medium and large boxes, as COCO divides them
    by_split: Mapping[str, int]  # number of boxes in each split


@dataclass(frozen=True, eq=False, kw_only=True)
class Survey:
    """All boxes of a set."""

    source: Source
    items: Sequence[Item]  # its P images
    split: Mapping[str, str]  # key => "train", "val", "test", or "gap"
    sizes: Floats  # P x 2, width and height of the images, pixels
    boxes: Boxes  # N x 4, left, top, right, bottom, pixels
    classes: npt.NDArray[np.str_]  # N names
    images: npt.NDArray[np.int64]  # N, index of the image of each box
    ignored: Bools  # N `bool`, crowds and difficult objects
    odd: Sequence[OddBox]  # boxes that should be checked
    faults: Sequence[Problem]  # faults in the annotations, fixed or left out by the reader
    left_out: Sequence[tuple[str, str]]  # name and reason of each file that is not used
    crowded: int  # number of boxes that overlap another of their class by more than most detectors allow

    @property
    def names(self) -> list[str]:
        """Names of the classes, the most frequent first; unused ones last."""
        number = Counter(self.classes.tolist())
        return sorted({*number, *self.source.classes}, key=lambda name: (-number[name], name))

    @property
    def by_class(self) -> dict[str, ClassCounts]:
        """Counts of each class, in the order of `names`."""
        counts = {}
        for name in self.names:
            mine = self.classes == name
            sides = self.sides[mine]
            width, height = np.median(sides, axis=0).tolist() if len(sides) else (None, None)
            counts[name] = ClassCounts(
                boxes=len(sides), images=len(np.unique(self.images[mine])), median=(width, height),
                by_size=size_counts(sides.prod(axis=1)),
                by_split=Counter(self.split[self.items[place].key] for place in self.images[mine].tolist()),
            )  # fmt: skip
        return counts

    @property
    def all_faults(self) -> list[tuple[str, str, str]]:
        """Kind, file with line, and reason of every fault and of every file that is not used."""
        root = f"{self.source.root.rstrip('/')}/"
        rows = [(each.fault, each.where.removeprefix(root), each.reason) for each in self.faults]
        return [*rows, *(("not used", name.removeprefix(root), reason) for name, reason in self.left_out)]

    @property
    def sides(self) -> Floats:
        """Width and height of the boxes, N x 2, pixels."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]).astype(np.float64)

    @property
    def shares(self) -> Floats:
        """Boxes as shares of their images, N x 4."""
        return self.boxes / np.tile(self.sizes[self.images], 2)

    @property
    def per_image(self) -> npt.NDArray[np.int64]:
        """Number of boxes in each image, P."""
        return np.bincount(self.images, minlength=len(self.items)).astype(np.int64)

    def seen_at(self, size: int) -> Floats:
        """Return the shorter side of each box when its image is fitted into a square of this side, N, pixels."""
        shrunk: Floats = self.sides.min(axis=1) * (size / self.sizes.max(axis=1))[self.images]
        return shrunk


def survey(source: Source, split: Mapping[str, str], double: float) -> Survey:
    """Collect the boxes, without decoding images whose sizes are annotated; `double` is the IoU of duplicates."""
    items: list[Item] = []
    sizes: list[tuple[int, int]] = []
    objects: list[Detections] = []
    left_out = list(source.left_out)
    for item in source.items:
        try:
            record = record_of(source, item) if source.kind == "annotations" else None
            if record is not None and record.size_wh:
                found, size = record.detections, record.size_wh
            else:
                image = source.load(item)
                if image.detections is None:
                    raise CalcoError(
                        f"{source.root} was read as {source.kind}, which has no boxes; name their file: "
                        "--annotations FILE"
                    )
                found, size = image.detections, (image.image.shape[1], image.image.shape[0])
        except CalcoError as error:
            left_out.append((item.key, str(error)))
            continue
        items.append(item)
        sizes.append(size)
        objects.append(found)
    if not items:
        first = left_out[0] if left_out else (source.root, "there are no images")
        raise CalcoError(f"no image of {source.root} can be read; the first reason: {first[0]}: {first[1]}")
    odd: list[OddBox] = []
    crowded = 0
    for item, size, each in zip(items, sizes, objects, strict=True):
        overlaps, same = _pairs(each)
        odd += _odd(item.key, size, each, overlaps, np.where(same, double, _CLASSES_APART))
        crowded += int(((overlaps > _SUPPRESSED) & same).any(axis=0).sum())
    return Survey(
        source=source, items=items, split=split, sizes=np.array(sizes, np.float64),
        boxes=np.concatenate([each.boxes for each in objects]),
        classes=np.array([name for each in objects for name in each.classes], np.str_),
        images=np.repeat(np.arange(len(objects)), [len(each) for each in objects]),
        ignored=np.concatenate([each.is_ignored for each in objects]), odd=odd,
        faults=[p for p in source.problems if p.fault not in COSTS_A_IMAGE], left_out=left_out, crowded=crowded,
    )  # fmt: skip


def similar_names(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of class names that differ only in capitals, spaces, hyphens or a plural s."""
    seen: dict[str, str] = {}
    pairs = []
    for name in names:
        plain = "".join(letter for letter in name.casefold() if letter.isalnum())
        plain = plain.removesuffix("s") if len(plain) > 3 else plain
        if plain in seen:
            pairs.append((seen[plain], name))
        seen.setdefault(plain, name)
    return pairs


def _pairs(objects: Detections) -> tuple[Floats, Bools]:
    """Return the overlap of each pair of boxes once (N x N), and whether they are of one class."""
    names = np.array(objects.classes)
    overlaps = np.triu(overlap(objects.boxes, objects.boxes, np.zeros(len(objects), np.bool_)), 1)
    overlaps[objects.is_ignored] = overlaps[:, objects.is_ignored] = 0
    return overlaps, names[:, None] == names[None]


def _odd(key: str, size: tuple[int, int], objects: Detections, overlaps: Floats, limits: Floats) -> list[OddBox]:
    found = []
    for first, second in np.argwhere(overlaps >= limits).tolist():
        share, (one, other) = overlaps[first, second], (objects.classes[first], objects.classes[second])
        if one == other:
            found.append(OddBox("twice", key, (first, second), f"two boxes of {one} overlap by {share:.2f}"))
        else:
            found.append(OddBox("two classes", key, (first, second), f"{one} and {other} overlap by {share:.2f}"))
    whole = float(size[0] * size[1])
    for place, (box, name) in enumerate(zip(objects.boxes, objects.classes, strict=True)):
        width, height = float(box[2] - box[0]), float(box[3] - box[1])
        small, large = min(width, height), max(width, height)
        if small < _TINY:
            found.append(OddBox("tiny", key, (place,), f"{name} of {width:g} x {height:g} pixels"))
        elif large >= _THIN * small:
            found.append(OddBox("thin", key, (place,), f"{name} of {width:.0f} x {height:.0f} pixels"))
        if width * height >= _WHOLE * whole:
            found.append(OddBox("whole image", key, (place,), f"{name} over {width * height / whole:.0%} of the image"))
    return found


def sentences(found: Survey) -> list[str]:
    """Describe the set, and what should be checked."""
    boxes, images = len(found.boxes), len(found.items)
    empty = int((found.per_image == 0).sum())
    names = [name for name in found.names if (found.classes == name).any()]
    first = f"{count(boxes, 'box')} of {count(len(names), 'class')} in {count(images)}"
    if empty:
        first += f", {empty:,} of which {'has nothing in it' if empty == 1 else 'have nothing in them'}"
    text = [f"{first}."]
    if not boxes:
        return [*text, "There is nothing to train a detector on."]
    if found.ignored.all():
        text.append("All of them are crowds or difficult objects, which training and scoring ignore.")
    hard = {size: float((found.seen_at(size) < HARD).mean()) for size in SIZES}
    enough = next((size for size, share in hard.items() if share <= 0.05), None)
    text.append(
        f"In a square of {enough} pixels, {1 - hard[enough]:.0%} of the boxes are {HARD} pixels wide and high or more."
        if enough
        else f"Even in a square of {SIZES[-1]} pixels, {hard[SIZES[-1]]:.0%} of the boxes are less than {HARD} pixels "
        "wide or high."
    )
    kinds = Counter(one.kind for one in found.odd)
    words: dict[Oddity, str] = {
        "twice": "probably marked twice", "two classes": "under two classes", "tiny": "tiny", "thin": "very thin",
        "whole image": "over the whole image",
    }  # fmt: skip
    odd = [f"{kinds[kind]:,} {text}" for kind, text in words.items() if kinds[kind]]
    if odd:
        text.append(f"To be checked: {', '.join(odd)}.")
    if found.faults:
        were = "was" if len(found.faults) == 1 else "were"
        text.append(f"{count(len(found.faults), 'fault')} {were} found in the annotations, and fixed or left out.")
    if found.left_out:
        text.append(f"{count(len(found.left_out), 'file')} {'is' if len(found.left_out) == 1 else 'are'} not used.")
    text += [f"The classes {one!r} and {other!r} may be one." for one, other in similar_names(names)]
    return text
