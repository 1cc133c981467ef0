"""Values of all mask files of a data set, counted: what a decision on their encoding is made from."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from calco import imaging
from calco.data.encoding import Codes, MaskEncoding, codes_of, grey_code, solid_of, stored_values
from calco.errors import CalcoError
from calco.imaging import Image
from calco.imaging.labels import StoredLabels, decode_labels, read_labels

_OF_ONE: Final = 256  # values of one mask that are kept
_OF_ALL: Final = 1 << 16  # values of a data set that are kept
_FEW: Final = 64  # values that the signature of a mask has at most
_AT_ONCE: Final = 64
T = TypeVar("T")
R = TypeVar("R")


def read_mask(path: str | Path) -> Image:
    """Return a mask file's values as they stand: HW1, HW2 (with alpha), HW3 or HW4 (with alpha).

    `uint8`, or `uint16` for numbers above 255. A palette file gives its colours, or its numbers where colours repeat.

    Raises:
        CalcoError: When it cannot be read.
    """
    return stored_values(read_labels(path).image)


def decode_mask(data: bytes, name: str) -> Image:
    """The same of a file's bytes, which messages call `name`."""
    return stored_values(decode_labels(data, name).image)


@dataclass
class MaskSurvey:
    """The values of a set of masks.

    Attributes:
        files: Key of each mask => its values, sorted by their codes; None where they are too many to be classes.
        total: Pixels of each value.
        solid: Those of them inside areas of one value.
        occurs: Masks in which each value has an area.
        numbers: Of palette files: the numbers behind each value.
        lossy: How many were compressed with loss.
        pixels: Of all masks.
        unread: Key and reason of each mask that could not be read.
    """

    files: dict[str, tuple[int, ...] | None] = field(default_factory=dict)
    total: Counter[int] = field(default_factory=Counter)
    solid: Counter[int] = field(default_factory=Counter)
    occurs: Counter[int] = field(default_factory=Counter)
    numbers: dict[int, set[int]] = field(default_factory=dict)
    lossy: int = 0
    pixels: int = 0
    unread: dict[str, str] = field(default_factory=dict)
    _signatures: dict[tuple[int, ...], tuple[int, ...]] = field(default_factory=dict, repr=False)

    def add(self, key: str, counted: "MaskCounts") -> None:
        """Adds the values of one mask."""
        values = tuple(sorted(counted.total))
        areas = [value for value, count in counted.solid.items() if count]
        self.files[key] = (
            self._signatures.setdefault(values, values) if counted.complete and len(values) <= _FEW else None
        )
        self.total.update(counted.total)
        self.solid.update(counted.solid)
        self.occurs.update(areas)
        for value, number in counted.numbers.items():
            self.numbers.setdefault(value, set()).add(number)
        self.lossy += counted.lossy
        self.pixels += counted.pixels
        if len(self.total) > 2 * _OF_ALL:
            self.total = Counter(dict(self.total.most_common(_OF_ALL)))
            self.solid = Counter({value: count for value, count in self.solid.items() if value in self.total})


@dataclass(frozen=True, slots=True)
class MaskDecision:
    """What the masks of a set were recognised as.

    Attributes:
        survey: The values of all of them.
        encoding: Which values stand for which class.
        names: Of the classes.
        story: The same in words.
    """

    survey: MaskSurvey
    encoding: MaskEncoding
    names: tuple[str, ...]
    story: str


@dataclass(frozen=True, slots=True)
class MaskCounts:
    """The values of one mask: pixels of each, and those inside areas; `complete` where no value is left out."""

    total: dict[int, int]
    solid: dict[int, int]
    numbers: dict[int, int]
    pixels: int
    complete: bool
    lossy: bool = False


def count_values(mask: Image, numbers: dict[int, int] | None = None, *, lossy: bool = False) -> MaskCounts:
    """Count the values of a mask.

    Args:
        mask: As `read_mask` gives it.
        numbers: The number behind each value of a palette file.
        lossy: Whether its file was compressed with loss.
    """
    codes = codes_of(mask)
    solid = _counts(np.where(solid_of(codes), codes, np.int32(np.iinfo(np.int32).min)))
    solid.pop(np.iinfo(np.int32).min, None)
    total = _counts(codes)
    complete = len(total) <= _OF_ONE
    if not complete:
        commonest = sorted(total, key=lambda value: (-total[value], value))[:_OF_ONE]
        areas = sorted(solid, key=lambda value: (-solid[value], value))[:_OF_ONE]
        total = {value: total[value] for value in {*commonest, *areas}}
        solid = {value: solid[value] for value in areas}
    return MaskCounts(total, solid, numbers or {}, codes.size, complete, lossy)


def _counts(codes: Codes) -> dict[int, int]:
    """How often each code occurs, by runs: masks are even areas, and a run counts all of its pixels at once."""
    flat = codes.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    values, where = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(where, lengths, len(values))
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def count_file(labels: StoredLabels) -> MaskCounts:
    """The values of a mask file."""
    numbers = {_code(colour): number for colour, number in labels.numbers.items()}
    return count_values(stored_values(labels.image), numbers, lossy=labels.lossy)


def _code(colour: tuple[int, ...]) -> int:
    """The code of a palette file's colour, with alpha or without."""
    pixel = np.array(colour, np.uint8).reshape(1, 1, -1)
    return int(codes_of(pixel)[0, 0]) if len(set(colour[:3])) > 1 or len(colour) == 4 else grey_code(colour[0])


def survey_masks(
    masks: Iterable[T], key: Callable[[T], str], count: Callable[[T], MaskCounts], progress: Callable[[int], None]
) -> MaskSurvey:
    """Count the values of all masks, several at once, in bounded memory.

    Args:
        masks: What `count` takes.
        key: The name of a mask.
        count: Reads a mask and counts its values; called in threads.
        progress: Is called with the number done.

    Returns:
        The survey, the same for any number of threads. Masks that cannot be read stand in its `unread`.
    """

    def counted(mask: T) -> MaskCounts | str:
        try:
            return count(mask)
        except CalcoError as error:
            return str(error)

    survey, waiting = MaskSurvey(), iter(masks)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        while some := list(islice(waiting, _AT_ONCE)):
            for mask, found in zip(some, pool.map(counted, some), strict=True):
                if isinstance(found, str):
                    survey.unread[key(mask)] = found
                else:
                    survey.add(key(mask), found)
            progress(len(survey.files) + len(survey.unread))
    return survey


def survey_files(paths: Iterable[tuple[str, str]], progress: Callable[[int], None] = lambda _done: None) -> MaskSurvey:
    """Count the values of mask files, each a key and a path."""
    return survey_masks(paths, lambda each: each[0], lambda each: count_file(read_labels(each[1])), progress)


def survey_array(mask: Image) -> MaskSurvey:
    """The survey of one mask that has been read."""
    survey = MaskSurvey()
    survey.add("", count_values(stored_values(imaging.as_dtype(mask, np.uint8) if mask.dtype == np.bool_ else mask)))
    return survey
