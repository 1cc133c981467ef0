"""One pass over the images of a data set, on all cores; a few numbers and thumbnails are kept of each."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import numpy as np

from calco.annotations.detections import Detections
from calco.checking.alignment import Alignment, align
from calco.checking.image_statistics import ImageStatistics, Thumbnail, read_thumbnail, statistics_of, thumbnail_of
from calco.data.mask_encoding import MaskDecision, MaskEncoding, MaskSurvey, codes_of, read_mask
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.imaging import Image
from calco.work import Engine, results

TURNED: Final = "the mask is turned"
STRETCHED: Final = "the stretched mask"
_LARGEST: Final = 384  # pixels of a mask's longer side from which it is reduced before its classes are counted


@dataclass(frozen=True, slots=True)
class Labels:
    """The classes of one entry."""

    classes: dict[str, float]  # name and number of boxes, or name and share of the mask's pixels
    faults: tuple[str, ...] = ()  # must be fixed
    remarks: tuple[str, ...] = ()  # odd, but usable


def mask_labels(mask: Image, encoding: MaskEncoding | None, names: Sequence[str], size_wh: tuple[int, int]) -> Labels:
    """Return the classes of a mask as `read_mask` gives it; without an encoding its proportions alone are compared."""
    remarks: tuple[str, ...] = ()
    width, height = mask.shape[1], mask.shape[0]
    sizes = f"of {width}x{height} pixels"
    if (height, width) == size_wh != (width, height):
        remarks = (f"{TURNED}: {sizes}, its image upright has {size_wh[0]}x{size_wh[1]}",)
    elif abs(width / height - size_wh[0] / size_wh[1]) > 0.02 * size_wh[0] / size_wh[1]:
        remarks = (f"{STRETCHED} {sizes} has other proportions than its image of {size_wh[0]}x{size_wh[1]}",)
    if encoding is None:
        return Labels({}, remarks=remarks)
    step = max(1, max(height, width) // _LARGEST)
    codes, counts = np.unique(codes_of(np.ascontiguousarray(mask[::step, ::step])), return_counts=True)
    places, unknown = encoding.known(codes)
    known = ~unknown & (places >= 0)
    shares = np.bincount(places[known], counts[known], len(names)) / counts.sum()
    return Labels({name: float(share) for name, share in zip(names, shares, strict=True) if share}, remarks=remarks)


def box_labels(detections: Detections, size_wh: tuple[int, int]) -> Labels:
    """Return the classes of the boxes of an image, and which boxes lie outside it."""
    width, height = size_wh
    faults, remarks = [], []
    for box, name in zip(detections.boxes, detections.classes, strict=True):
        left, top, right, bottom = (float(end) for end in box)
        shown = f"the box {name} {left:g},{top:g},{right:g},{bottom:g}"
        if right <= left or bottom <= top:
            faults.append(f"{shown} is empty")
        elif right <= 0 or bottom <= 0 or left >= width or top >= height:
            faults.append(f"{shown} lies outside the image of {width}x{height}")
        elif min(left, top) < -1 or right > width + 1 or bottom > height + 1:
            remarks.append(f"{shown} reaches beyond the image of {width}x{height}")
    return Labels(dict(Counter(detections.classes)), tuple(faults), tuple(remarks))


MOST_CUT: Final = 20_000  # entries of a data set, at most, for which parts of images are compared
_BY_FILE: Final = ("photographs", "side-by-side", "parallel", "masks")
_CHUNK: Final = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """Scope of a survey."""

    masks: MaskDecision | None = None  # the meaning of the masks
    cuts: bool = False  # parts of images will be compared


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is known of one entry."""

    key: str
    error: str = ""  # why it cannot be read
    misfit: str = ""  # why its two sides do not belong together as they are
    sides: dict[str, ImageStatistics] = field(default_factory=dict)  # "image", or "input" and "target", if readable
    alignment: Alignment | None = None  # how the two sides lie on each other
    labels: Labels | None = None  # the content of its mask or its boxes


def wanted_masks(source: Source) -> MaskDecision | None:
    """Return the meaning of the masks of a source without the values of each: light enough for every process."""
    return None if source.masks is None else replace(source.masks, survey=MaskSurvey())


def survey(source: Source, jobs: int, progress: Callable[[int], None] = lambda _done: None) -> list[Facts]:
    """Return the facts of all entries in their order, whatever the number of processes (0 for all cores)."""
    facts: list[Facts] = []
    wanted = Wanted(wanted_masks(source), cuts=len(source.items) <= MOST_CUT)
    chunks = [source.items[start : start + _CHUNK] for start in range(0, len(source.items), _CHUNK)]
    bare = replace(source, items=(), problems=(), masks=None)
    engine = Engine(jobs=jobs if len(chunks) > 4 else 1)
    with closing(results(engine, partial(partial, _facts_of_all, bare, wanted), chunks)) as done:
        for _, some in done:
            facts += some
            progress(len(facts))
    return facts


def _facts_of_all(source: Source, wanted: Wanted, items: Sequence[Item]) -> list[Facts]:
    return [facts_of(source, wanted, item) for item in items]


def facts_of(source: Source, wanted: Wanted, item: Item) -> Facts:
    """Return the facts of one item; if it cannot be read, they hold the reason."""
    try:
        if source.kind not in _BY_FILE or not item.paths:  # rows of a data set have no files
            sample = source.load(item)
            first = thumbnail_of(sample.image)
            if sample.partner is not None:
                return _pair(item.key, first, thumbnail_of(sample.partner), wanted)
            facts = _single(item.key, first, None if sample.detections is not None else sample.mask, wanted)
            if sample.detections is None:
                return facts
            return replace(facts, labels=box_labels(sample.detections, first.size_wh))
        if source.kind == "side-by-side":
            return _halves(read_thumbnail(item.paths[0], halves=True), item, source.direction, wanted)
        first = read_thumbnail(item.paths[0])
        if source.kind == "parallel":
            return _pair(item.key, first, read_thumbnail(item.paths[1]), wanted)
        return _single(item.key, first, read_mask(item.paths[1]) if source.kind == "masks" else None, wanted)
    except CalcoError as error:
        return Facts(item.key, error=str(error))


def _single(key: str, image: Thumbnail, mask: Image | None, wanted: Wanted) -> Facts:
    encoding, names = (wanted.masks.encoding, wanted.masks.names) if wanted.masks else (None, ())
    labels = None if mask is None else mask_labels(mask, encoding, names, image.size_wh)
    return Facts(key, sides={"image": statistics_of(image, cuts=wanted.cuts)}, labels=labels)


def _halves(whole: Thumbnail, item: Item, direction: str, wanted: Wanted) -> Facts:
    width, height = whole.size_wh
    misfit = f"{width}x{height} pixels do not part into two halves of one width" if width % 2 else ""
    middle = whole.image.shape[1] // 2
    halves = [
        replace(whole, image=np.ascontiguousarray(half), size_wh=(width // 2, height), digest=whole.digest + bytes([n]))
        for n, half in enumerate((whole.image[:, :middle], whole.image[:, middle:]))
    ]
    first, second = halves if direction == "AtoB" else halves[::-1]
    return replace(_pair(item.key, first, second, wanted), misfit=misfit)


def _pair(key: str, first: Thumbnail, second: Thumbnail, wanted: Wanted) -> Facts:
    misfit, alignment = "", None
    sides = {"input": statistics_of(first, cuts=wanted.cuts), "target": statistics_of(second, cuts=wanted.cuts)}
    if first.size_wh != second.size_wh:
        misfit = "the input has {}x{} pixels, the target {}x{}".format(*first.size_wh, *second.size_wh)
    elif not any(side.constant for side in sides.values()):
        alignment = align(first.image, second.image)
    return Facts(key, misfit=misfit, sides=sides, alignment=alignment)
