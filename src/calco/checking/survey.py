"""One pass over the pictures, on all cores: what is kept of each is a few numbers and a thumbnail."""

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
import numpy.typing as npt

from calco.checking.alignment import Alignment, align
from calco.checking.glance import Glance, glance_at, glance_of, grey_of
from calco.checking.labels import Labels, of_boxes, of_mask
from calco.checking.twins import frequencies
from calco.errors import CalcoError
from calco.images import Image, as_channels
from calco.pairs.folders import read_mask
from calco.pairs.palettes import Palette
from calco.pairs.sources import Item, Source
from calco.pairs.types import Picture

Bytes = npt.NDArray[np.uint8]
THUMB: Final = 32
"""Pixels of a thumbnail's sides."""
TONES: Final = 16
"""Pixels of the sides of a thumbnail in colour."""
CUTS: Final = (
    *((share, 0.5, 0.5) for share in (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)),
    *((share, x / 2, y / 2) for share in (0.9, 0.8) for x in range(3) for y in range(3) if (x, y) != (1, 1)),
    *((0.7, x / 3, y / 3) for x in range(4) for y in range(4)),
)
"""Parts of a picture that others are compared with: their share of its sides, and where they lie (0 to 1)."""
MOST_CUT: Final = 20_000
"""Entries of a set in which such parts are looked for, at most."""
CONSTANT: Final = 1.0
"""Grey levels of standard deviation under which a picture shows nothing."""
_BY_FILE: Final = ("photographs", "side-by-side", "parallel", "masks")
_CHUNK: Final = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be looked for.

    Attributes:
        palette: What masks are held against.
        cuts: Whether parts of pictures will be compared.
    """

    palette: Palette
    cuts: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """One picture of an entry, as it was seen.

    Attributes:
        size_wh: Upright, in pixels.
        mode: Channels and bits, such as "RGB, 8 bits".
        digest: Of its bytes.
        thumb: 32 x 32 `uint8`, grey, stretched.
        tones: 16 x 16 x 3 `uint8`, in colour, stretched.
        cuts: K x 8 x 8, the frequencies of parts of it, or K = 0.
        colour: Mean red, green and blue in [0, 255].
        traits: What tells a drawing from a photograph: see `_traits`.
        constant: Whether it shows nothing.
    """

    size_wh: tuple[int, int]
    mode: str
    digest: bytes
    thumb: Bytes
    tones: Bytes
    cuts: npt.NDArray[np.float16]
    colour: tuple[float, float, float]
    traits: tuple[float, ...]
    constant: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one entry after it was looked at.

    Attributes:
        key: Its name.
        error: Why it cannot be read, or "".
        misfit: Why its two sides do not belong together as they are, or "".
        sides: "picture", or "input" and "target"; empty when it cannot be read.
        alignment: How the two sides lie on each other, or None.
        labels: What its mask or its boxes hold, or None.
    """

    key: str
    error: str = ""
    misfit: str = ""
    sides: dict[str, Side] = field(default_factory=dict)
    alignment: Alignment | None = None
    labels: Labels | None = None


def survey(
    source: Source, palette: Palette, jobs: int, progress: Callable[[int], None] = lambda _done: None
) -> list[Facts]:
    """Looks at every entry of a source.

    Args:
        source: What is to be looked at.
        palette: What masks are held against.
        jobs: Processes; 1 works in this one.
        progress: Is told how many are done.

    Returns:
        The facts in the order of the source's items, whatever the number of processes.

    Raises:
        CalcoError: When a process was ended from outside, as for want of memory.
    """
    facts: list[Facts] = []
    wanted = Wanted(palette, cuts=len(source.items) <= MOST_CUT)
    for chunk in _surveyed(source, wanted, jobs):
        facts += chunk
        progress(len(facts))
    return facts


def _surveyed(source: Source, wanted: Wanted, jobs: int) -> Iterator[list[Facts]]:
    chunks = [source.items[start : start + _CHUNK] for start in range(0, len(source.items), _CHUNK)]
    if jobs == 1 or len(chunks) <= 4:
        yield from (look_at_all(source, wanted, chunk) for chunk in chunks)
        return
    # Nothing of the parent's threads may be copied into the processes, so they start afresh.
    context = multiprocessing.get_context("spawn")
    bare = replace(source, items=(), problems=())
    with ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(bare, wanted)) as pool:
        waiting = iter(chunks)
        running: list[Future[list[Facts]]] = [pool.submit(_work, chunk) for chunk in islice(waiting, 4 * jobs)]
        try:
            while running:
                yield running.pop(0).result()
                running += [pool.submit(_work, chunk) for chunk in islice(waiting, 1)]
        except BrokenProcessPool as error:
            raise CalcoError(
                f"a process was ended while it looked at {source.root}, perhaps for want of memory; try --jobs 1"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_state: dict[str, Any] = {}


def _begin(source: Source, wanted: Wanted) -> None:
    cv2.setNumThreads(1)
    _state.update(source=source, wanted=wanted)


def _work(items: Sequence[Item]) -> list[Facts]:
    return look_at_all(_state["source"], _state["wanted"], items)


def look_at_all(source: Source, wanted: Wanted, items: Sequence[Item]) -> list[Facts]:
    """The facts of some items, in this process."""
    return [look(source, wanted, item) for item in items]


def look(source: Source, wanted: Wanted, item: Item) -> Facts:
    """The facts of one item; what cannot be read is told, not raised."""
    try:
        if source.kind in _BY_FILE and item.paths:  # rows of a data set have none
            return _look_at_files(source, wanted, item)
        return _look_at_picture(source.load(item), wanted)
    except CalcoError as error:
        return Facts(item.key, error=str(error))


def _look_at_files(source: Source, wanted: Wanted, item: Item) -> Facts:
    if source.kind == "side-by-side":
        return _halves(glance_at(item.paths[0], halves=True), item, source.direction, wanted)
    first = glance_at(item.paths[0])
    if source.kind == "photographs":
        return Facts(item.key, sides={"picture": _side(first, wanted)})
    if source.kind == "masks":
        labels = of_mask(read_mask(item.paths[1]), wanted.palette, first.size_wh)
        return Facts(item.key, sides={"picture": _side(first, wanted)}, labels=labels)
    return _pair(item.key, first, glance_at(item.paths[1]), wanted)


def _look_at_picture(picture: Picture, wanted: Wanted) -> Facts:
    first = glance_of(picture.image)
    if picture.partner is not None:
        return _pair(picture.key, first, glance_of(picture.partner), wanted)
    labels = None
    if picture.detections is not None:
        labels = of_boxes(picture.detections, first.size_wh)
    elif picture.mask is not None:
        labels = of_mask(picture.mask, wanted.palette, first.size_wh)
    return Facts(picture.key, sides={"picture": _side(first, wanted)}, labels=labels)


def _halves(whole: Glance, item: Item, direction: str, wanted: Wanted) -> Facts:
    width, height = whole.size_wh
    misfit = f"{width}x{height} pixels do not part into two halves of one width" if width % 2 else ""
    middle = whole.image.shape[1] // 2
    halves = [
        replace(whole, image=np.ascontiguousarray(half), size_wh=(width // 2, height), digest=whole.digest + bytes([n]))
        for n, half in enumerate((whole.image[:, :middle], whole.image[:, middle:]))
    ]
    first, second = halves if direction == "AtoB" else halves[::-1]
    return replace(_pair(item.key, first, second, wanted), misfit=misfit)


def _pair(key: str, first: Glance, second: Glance, wanted: Wanted) -> Facts:
    misfit, alignment = "", None
    sides = {"input": _side(first, wanted), "target": _side(second, wanted)}
    if first.size_wh != second.size_wh:
        sizes = ["{}x{}".format(*glance.size_wh) for glance in (first, second)]
        misfit = f"the input has {sizes[0]} pixels, the target {sizes[1]}"
    elif not any(side.constant for side in sides.values()):
        alignment = align(first.image, second.image)
    return Facts(key, misfit=misfit, sides=sides, alignment=alignment)


def _side(seen: Glance, wanted: Wanted) -> Side:
    image = seen.image
    grey = grey_of(image)
    means = cv2.mean(image)[: image.shape[2]]
    red, green, blue = means if len(means) == 3 else means * 3
    return Side(
        seen.size_wh,
        seen.mode,
        seen.digest,
        np.asarray(cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.uint8),
        np.asarray(cv2.resize(as_channels(image, 3), (TONES, TONES), interpolation=cv2.INTER_AREA), np.uint8),
        _cuts(grey) if wanted.cuts else np.zeros((0, 8, 8), np.float16),
        (red, green, blue),
        _traits(image, grey),
        float(grey.std()) < CONSTANT and int(np.ptp(grey)) < 16,
    )


def _cuts(grey: Bytes) -> npt.NDArray[np.float16]:
    """The frequencies of `CUTS` of a picture."""
    height, width = grey.shape
    parts = []
    for share, x, y in CUTS:
        h, w = max(1, round(height * share)), max(1, round(width * share))
        top, left = round((height - h) * y), round((width - w) * x)
        parts.append(cv2.resize(grey[top : top + h, left : left + w], (THUMB, THUMB), interpolation=cv2.INTER_AREA))
    return frequencies(np.array(parts, np.uint8)).astype(np.float16)


def _traits(image: Image, grey: Bytes) -> tuple[float, ...]:
    """Saturation, spread, steepness, white, black and the bits of the grey histogram, each about in [0, 1]."""
    saturation = 0.0 if image.shape[2] == 1 else float(np.mean(image.max(axis=2) - image.min(axis=2))) / 255
    histogram = np.bincount(grey.ravel() >> 3, minlength=32) / grey.size
    bits = -float(np.sum(histogram * np.log2(histogram, where=histogram > 0, out=np.zeros(32)))) / 5
    steep = float(np.mean(cv2.absdiff(grey[:, 1:], grey[:, :-1]))) / 32 if grey.shape[1] > 1 else 0.0
    white, black = float(histogram[30:].sum()), float(histogram[:2].sum())
    return saturation, float(grey.std()) / 128, steep, white, black, bits


def modes(facts: Sequence[Facts], side: str) -> Counter[str]:
    """How often each mode occurs on a side."""
    return Counter(fact.sides[side].mode for fact in facts if side in fact.sides)
