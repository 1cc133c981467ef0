"""One pass over the images of a data set, on all cores; a few numbers and thumbnails are kept of each."""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

import cv2
import numpy as np

from calco.annotations.detections import Detections
from calco.checking.alignment import Alignment, align
from calco.checking.image_statistics import ImageStatistics, Thumbnail, read_thumbnail, statistics_of, thumbnail_of
from calco.data.mask_encoding import MaskDecision, MaskEncoding, MaskSurvey, codes_of, read_mask
from calco.data.sample import Sample
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.imaging import Image

TURNED: Final = "the mask is turned"
STRETCHED: Final = "the stretched mask"
_LARGEST: Final = 384


@dataclass(frozen=True, slots=True)
class Labels:
    """The classes of one entry.

    Attributes:
        classes: Name and number of boxes, or name and share of the mask's pixels.
        faults: Faults that must be fixed, in words.
        remarks: What is odd, in words.
    """

    classes: dict[str, float]
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def mask_labels(mask: Image, encoding: MaskEncoding | None, names: Sequence[str], size_wh: tuple[int, int]) -> Labels:
    """Return the classes of a mask.

    Args:
        mask: As `read_mask` gives it.
        encoding: Of the masks of its set; None where it is not known.
        names: Of the classes.
        size_wh: Of the image that it belongs to.
    """
    remarks = []
    width, height = mask.shape[1], mask.shape[0]
    sizes = f"of {width}x{height} pixels"
    if (height, width) == size_wh != (width, height):
        remarks.append(f"{TURNED}: {sizes}, its image upright has {size_wh[0]}x{size_wh[1]}")
    elif abs(width / height - size_wh[0] / size_wh[1]) > 0.02 * size_wh[0] / size_wh[1]:
        remarks.append(f"{STRETCHED} {sizes} has other proportions than its image of {size_wh[0]}x{size_wh[1]}")
    if encoding is None:
        return Labels({}, remarks=tuple(remarks))
    step = max(1, max(height, width) // _LARGEST)
    codes, counts = np.unique(codes_of(np.ascontiguousarray(mask[::step, ::step])), return_counts=True)
    places, unknown = encoding.known(codes)
    known = ~unknown & (places >= 0)
    shares = np.bincount(places[known], counts[known], len(names)) / counts.sum()
    return Labels(
        {name: float(share) for name, share in zip(names, shares, strict=True) if share}, remarks=tuple(remarks)
    )


def box_labels(detections: Detections, size_wh: tuple[int, int]) -> Labels:
    """What the boxes of an image hold, and which lie outside it."""
    width, height = size_wh
    faults, remarks = [], []
    for box, name in zip(detections.boxes, detections.classes, strict=True):
        left, top, right, bottom = (float(end) for end in box)
        said = f"{name} {left:g},{top:g},{right:g},{bottom:g}"
        if right <= left or bottom <= top:
            faults.append(f"the box {said} is empty")
        elif right <= 0 or bottom <= 0 or left >= width or top >= height:
            faults.append(f"the box {said} lies outside the image of {width}x{height}")
        elif min(left, top) < -1 or right > width + 1 or bottom > height + 1:
            remarks.append(f"the box {said} reaches beyond the image of {width}x{height}")
    return Labels(dict(Counter(detections.classes)), tuple(faults), tuple(remarks))


MOST_CUT: Final = 20_000
"""Largest number of entries of a data set for which parts of images are compared."""
_BY_FILE: Final = ("photographs", "side-by-side", "parallel", "masks")
_CHUNK: Final = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """Scope of a survey.

    Attributes:
        masks: What the masks were recognised as, or None.
        cuts: Whether parts of images will be compared.
    """

    masks: MaskDecision | None = None
    cuts: bool = False

    def labels(self, mask: Image, size_wh: tuple[int, int]) -> Labels:
        """Return the classes of a mask."""
        known = self.masks
        encoding, names = (None, ()) if known is None else (known.encoding, known.names)
        return mask_labels(mask, encoding, names, size_wh)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is known of one entry.

    Attributes:
        key: Its name.
        error: Why it cannot be read, or "".
        misfit: Why its two sides do not belong together as they are, or "".
        sides: "image", or "input" and "target"; empty when it cannot be read.
        alignment: How the two sides lie on each other, or None.
        labels: What its mask or its boxes hold, or None.
    """

    key: str
    error: str = ""
    misfit: str = ""
    sides: dict[str, ImageStatistics] = field(default_factory=dict)
    alignment: Alignment | None = None
    labels: Labels | None = None


def wanted_masks(source: Source) -> MaskDecision | None:
    """What the masks of a source were recognised as, without the values of each: light enough for every process."""
    return None if source.masks is None else replace(source.masks, survey=MaskSurvey())


def survey(source: Source, jobs: int, progress: Callable[[int], None] = lambda _done: None) -> list[Facts]:
    """Read at every entry of a source.

    Args:
        source: What is to be looked at.
        jobs: Processes; 1 works in this one.
        progress: Called with the number done.

    Returns:
        The facts in the order of the source's items, whatever the number of processes.

    Raises:
        CalcoError: If a process was ended from outside, as for want of memory.
    """
    facts: list[Facts] = []
    wanted = Wanted(wanted_masks(source), cuts=len(source.items) <= MOST_CUT)
    for chunk in _surveyed(source, wanted, jobs):
        facts += chunk
        progress(len(facts))
    return facts


def _surveyed(source: Source, wanted: Wanted, jobs: int) -> Iterator[list[Facts]]:
    chunks = [source.items[start : start + _CHUNK] for start in range(0, len(source.items), _CHUNK)]
    if jobs == 1 or len(chunks) <= 4:
        yield from (facts_of_all(source, wanted, chunk) for chunk in chunks)
        return
    # Nothing of the parent's threads may be copied into the processes, so they start afresh.
    context = multiprocessing.get_context("spawn")
    bare = replace(source, items=(), problems=(), masks=None)
    with ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(bare, wanted)) as pool:
        waiting = iter(chunks)
        running: list[Future[list[Facts]]] = [pool.submit(_work, chunk) for chunk in islice(waiting, 4 * jobs)]
        try:
            while running:
                yield running.pop(0).result()
                running += [pool.submit(_work, chunk) for chunk in islice(waiting, 1)]
        except BrokenProcessPool as error:
            raise CalcoError(
                f"a process was ended while it looked at {source.root}, perhaps for want of memory; try --jobs 1 (in "
                'a script of your own: jobs=1, or call it under if __name__ == "__main__":)'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_state: dict[str, Any] = {}


def _begin(source: Source, wanted: Wanted) -> None:
    cv2.setNumThreads(1)
    _state.update(source=source, wanted=wanted)


def _work(items: Sequence[Item]) -> list[Facts]:
    return facts_of_all(_state["source"], _state["wanted"], items)


def facts_of_all(source: Source, wanted: Wanted, items: Sequence[Item]) -> list[Facts]:
    """Return the facts of some items, in this process."""
    return [facts_of(source, wanted, item) for item in items]


def facts_of(source: Source, wanted: Wanted, item: Item) -> Facts:
    """Return the facts of one item; if it cannot be read, they hold the reason."""
    try:
        if source.kind in _BY_FILE and item.paths:  # rows of a data set have none
            return _look_at_files(source, wanted, item)
        return _look_at_image(source.load(item), wanted)
    except CalcoError as error:
        return Facts(item.key, error=str(error))


def _look_at_files(source: Source, wanted: Wanted, item: Item) -> Facts:
    if source.kind == "side-by-side":
        return _halves(read_thumbnail(item.paths[0], halves=True), item, source.direction, wanted)
    first = read_thumbnail(item.paths[0])
    if source.kind == "photographs":
        return Facts(item.key, sides={"image": statistics_of(first, cuts=wanted.cuts)})
    if source.kind == "masks":
        labels = wanted.labels(read_mask(item.paths[1]), first.size_wh)
        return Facts(item.key, sides={"image": statistics_of(first, cuts=wanted.cuts)}, labels=labels)
    return _pair(item.key, first, read_thumbnail(item.paths[1]), wanted)


def _look_at_image(sample: Sample, wanted: Wanted) -> Facts:
    first = thumbnail_of(sample.image)
    if sample.partner is not None:
        return _pair(sample.key, first, thumbnail_of(sample.partner), wanted)
    labels = None
    if sample.detections is not None:
        labels = box_labels(sample.detections, first.size_wh)
    elif sample.mask is not None:
        labels = wanted.labels(sample.mask, first.size_wh)
    return Facts(sample.key, sides={"image": statistics_of(first, cuts=wanted.cuts)}, labels=labels)


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
        sizes = ["{}x{}".format(*glance.size_wh) for glance in (first, second)]
        misfit = f"the input has {sizes[0]} pixels, the target {sizes[1]}"
    elif not any(side.constant for side in sides.values()):
        alignment = align(first.image, second.image)
    return Facts(key, misfit=misfit, sides=sides, alignment=alignment)


def modes(facts: Sequence[Facts], side: str) -> Counter[str]:
    """How often each mode occurs on a side."""
    return Counter(fact.sides[side].mode for fact in facts if side in fact.sides)
