"""Mask encodings: which values of the pixels in mask files stand for which class."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

from calco.data.palettes import Colour, Indices, Palette
from calco.errors import CalcoError
from calco.imaging import PEAKS, Image, as_dtype
from calco.imaging.reading import StoredLabels, decode_labels, read_labels

Codes: TypeAlias = npt.NDArray[np.int32]  # a number for each value that a pixel of a mask can have
Bools: TypeAlias = npt.NDArray[np.bool_]
By: TypeAlias = Literal["number", "level", "colour", "alpha"]

TRANSPARENT: Final = -1  # code of pixels that are less than half opaque
OPAQUE: Final = -2  # code of every pixel that is not transparent, whatever its colour
_WIDE: Final = 1 << 24  # numbers above 255 stand behind all colours
_GREY: Final = 0x010101
# Distance in RGB within which the pixels of an area have a known colour: as it is, where compression moved the
# colours, and where two levels are cut at half.
EXACT, COMPRESSED, HALF = 0, 24, 255
FOREIGN: Final = 0.01  # share of a mask that may have unknown values where colours blend, before the mask is refused
PAINTED: Final = "painted"
"""Encoding of masks that Calco painted itself: the colours of the palette, each pixel by the nearest."""


class EncodingError(CalcoError):
    """Raised if the values of masks stand for no classes."""


def grey_code(value: int) -> int:
    """Return the code of a number or grey level: that of the colour of three equal channels up to 255."""
    return value * _GREY if value <= 255 else _WIDE + value


def colour_code(colour: Colour) -> int:
    """Return the code of a colour."""
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def value_name(code: int, *, as_colour: bool = False) -> str:
    """Return a code in words: 7, #ff0000, transparent; greys as colours too, if asked."""
    if code in (TRANSPARENT, OPAQUE):
        return "transparent" if code == TRANSPARENT else "opaque"
    grey = grey_of_code(code)
    return f"#{code:06x}" if as_colour or grey is None else str(grey)


def grey_of_code(code: int) -> int | None:
    """Return the number or grey level that a code stands for; None for colours and transparency."""
    if code >= _WIDE:
        return code - _WIDE
    return code // _GREY if code >= 0 and code % _GREY == 0 else None


def colours_of(values: Sequence[int] | npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """Codes N => red, green and blue, N x 3; what is no colour lies far from every one and from each other."""
    codes = np.asarray(values, np.int64)
    rgb = np.stack([codes >> 16 & 255, codes >> 8 & 255, codes & 255], axis=-1).astype(np.float32)
    other = (codes < 0) | (codes >= _WIDE)
    rgb[other] = (1e4 + 1e3 * (codes[other] % _WIDE).astype(np.float32))[:, None]
    return rgb


def codes_of(mask: Image) -> Codes:
    """Return the code of each pixel of a mask, HW.

    The mask is HW1 (numbers or levels), HW2 (with alpha), HW3 (colours) or HW4 (with alpha), `uint8`, or HW1 `uint16`.
    """
    alpha = mask[..., -1] if mask.shape[2] in (2, 4) else None
    shown = mask if alpha is None else mask[..., :-1]
    wide = shown.astype(np.int32)
    if shown.shape[2] == 3:
        codes = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    else:
        codes = np.where(wide <= 255, wide * _GREY, wide + _WIDE)[..., 0]
    if alpha is not None:
        codes[alpha < 128] = TRANSPARENT
    return codes


def solid_of(codes: Codes) -> Bools:
    """Return the pixels whose four neighbours have the same value: those inside an area, not on a smoothed edge."""
    padded = np.pad(codes, 1, mode="edge")
    across = (padded[1:-1, :-2] == codes) & (padded[1:-1, 2:] == codes)
    return np.asarray(across & (padded[:-2, 1:-1] == codes) & (padded[2:, 1:-1] == codes))


@dataclass(frozen=True, slots=True)
class MaskEncoding:
    """Values of the pixels that stand for each class of a palette."""

    by: By  # "number": each value as it is; "level" and "colour": the nearest known one; "alpha": opaque or not
    classes: tuple[tuple[int, ...], ...]  # codes of each class of the palette; none where its value is not known
    void: tuple[int, ...] = ()  # codes of pixels that belong to no class
    within: int = EXACT  # distance in RGB within which areas have a known level or colour

    def __str__(self) -> str:
        """One line, which `encoding_of` reads, such as "number 0 1 2; void 255"."""
        word = partial(value_name, as_colour=self.by == "colour")
        text = " ".join([self.by, *("+".join(map(word, codes)) or "-" for codes in self.classes)])
        text += " ".join(["; void", *map(word, self.void)]) if self.void else ""
        return text + (f"; within {self.within}" if self.within != EXACT else "")

    def known(self, codes: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.intp], Bools]:
        """Return the class of each of N codes, -1 for void, and which codes the encoding does not have."""
        table = [(code, place) for place, each in enumerate((*self.classes, self.void)) for code in each]
        known = np.array([code for code, _ in table], np.int64)
        places = np.array([place if place < len(self.classes) else -1 for _, place in table], np.intp)
        if self.by == "alpha":
            opaque = np.where(codes == TRANSPARENT, TRANSPARENT, OPAQUE)
            return places[(opaque[:, None] == known).argmax(axis=1)], np.zeros(len(codes), np.bool_)
        exact = codes[:, None] == known
        if self.by == "number":
            return places[exact.argmax(axis=1)], ~exact.any(axis=1)
        away = np.linalg.norm(colours_of(codes)[:, None] - colours_of(known)[None], axis=2)
        away[exact] = 0
        away[:, known == TRANSPARENT] = np.where(codes == TRANSPARENT, 0, np.inf)[:, None]
        return places[away.argmin(axis=1)], away.min(axis=1) > self.within * 3**0.5

    def read(self, mask: Image) -> tuple[Indices, Bools | None]:
        """Return class indices HW `uint8` (0 where void) of a mask as of `codes_of`, and its void pixels, if any.

        Raises:
            CalcoError: If it has values that the encoding does not know.
        """
        codes = codes_of(mask)
        values, where = np.unique(codes, return_inverse=True)
        where = where.reshape(codes.shape)
        classes, unknown = self.known(values)
        if unknown.any():
            foreign = unknown[where]
            share = float((foreign if self.by == "number" else foreign & solid_of(codes)).mean())
            if share > (0 if self.by == "number" else FOREIGN):
                counts = np.bincount(where[foreign], minlength=len(values))
                commonest = [place for place in np.argsort(-counts, kind="stable")[:3] if counts[place]]
                raise CalcoError(
                    f"{share:.2%} of the mask has values that stand for no class "
                    f"({', '.join(value_name(int(values[place])) for place in commonest)}; classes are {self}); "
                    "correct the mask, or name a --palette that has them"
                )
        found = classes[where]
        void = found < 0
        return np.where(void, 0, found).astype(np.uint8), void if void.any() else None


_WORD: Final = r"(?:\d{1,5}|#[0-9a-f]{6}|transparent|opaque)"
_TEXT: Final = re.compile(
    rf"(number|level|colour|alpha)((?: (?:-|{_WORD}(?:\+{_WORD})*)){{2,255}})(?:; void((?: {_WORD})+))?"
    r"(?:; within (\d{1,3}))?"
)


@lru_cache(maxsize=64)
def encoding_of(text: str) -> MaskEncoding:
    """Return the encoding that a line describes.

    >>> encoding_of("number 0 15; void 255").classes
    ((0,), (986895,))

    Raises:
        CalcoError: If it describes none.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise CalcoError(
            f'mask encoding {text!r} is unknown; give auto, or the values of all classes such as "number 0 1 2; void '
            '255", "level 0 255", "colour #000000 #ff0000" or "alpha transparent opaque"'
        )
    by, classes, void, within = found.groups()
    parts = tuple(() if word == "-" else tuple(map(_code, word.split("+"))) for word in classes.split())
    return MaskEncoding(cast(By, by), parts, tuple(map(_code, (void or "").split())), int(within or EXACT))


def _code(word: str) -> int:
    if word in ("transparent", "opaque"):
        return TRANSPARENT if word == "transparent" else OPAQUE
    return int(word[1:], 16) if word.startswith("#") else grey_code(int(word))


def painted_encoding(palette: Palette, within: int = HALF) -> MaskEncoding:
    """Return the encoding of masks in the colours of a palette."""
    return MaskEncoding("colour", tuple((colour_code(colour),) for _, colour in palette), within=within)


def stored_values(image: Image) -> Image:
    """Return the pixels of a mask file (HW1 to HW4, any dtype) in their simplest form; different ones stay different.

    Three equal channels become one, alpha that is opaque everywhere goes, and 16 bits become 8 where 8 hold them.
    """
    if image.shape[2] in (2, 4) and (image[..., -1] >= PEAKS[str(image.dtype)]).all():
        image = image[..., :-1]
    if image.shape[2] >= 3 and (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all():
        image = np.concatenate([image[..., :1], image[..., 3:]], axis=2)
    if image.dtype == np.uint16:
        if int(image[..., : 1 if image.shape[2] <= 2 else 3].max()) < 256:
            alpha = as_dtype(image[..., -1:], np.uint8) if image.shape[2] in (2, 4) else image[..., :0]
            image = np.concatenate([image[..., : image.shape[2] - alpha.shape[2]], alpha], axis=2).astype(np.uint8)
        elif image.shape[2] == 1 and (image % 257).any():
            return image  # numbers above 255
    return np.ascontiguousarray(as_dtype(image, np.uint8))


def read_mask(path: str | Path) -> Image:
    """Return a mask file's values as they stand: HW1, HW2 (with alpha), HW3 or HW4 (with alpha).

    `uint8`, or `uint16` for numbers above 255. A palette file gives its colours, or its numbers where colours repeat.

    Raises:
        CalcoError: If it cannot be read.
    """
    return stored_values(read_labels(path).image)


def decode_mask(data: bytes, name: str) -> Image:
    """Return the values of a mask file's bytes; messages call it `name`."""
    return stored_values(decode_labels(data, name).image)


_OF_ONE: Final = 256  # values of one mask that are kept
_OF_ALL: Final = 1 << 16  # values of a data set that are kept
_FEW: Final = 64  # values that the signature of a mask has at most
_AT_ONCE: Final = 64  # masks whose counts are in memory
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MaskCounts:
    """The values of one mask."""

    total: dict[int, int]  # pixels of each value
    solid: dict[int, int]  # those of them inside areas of one value
    numbers: dict[int, int]  # of a palette file: the number behind each value
    pixels: int
    complete: bool  # no value is left out
    lossy: bool  # compressed with loss


@dataclass
class MaskSurvey:
    """Values of a set of masks, counted."""

    # Key of each mask => its values, sorted by their codes; None where they are too many to be classes.
    files: dict[str, tuple[int, ...] | None] = field(default_factory=dict)
    total: Counter[int] = field(default_factory=Counter)  # pixels of each value
    solid: Counter[int] = field(default_factory=Counter)  # those of them inside areas of one value
    numbers: dict[int, set[int]] = field(default_factory=dict)  # of palette files: the numbers behind each value
    lossy: int = 0  # masks that were compressed with loss
    pixels: int = 0  # of all masks
    unread: dict[str, str] = field(default_factory=dict)  # key and reason of each mask that could not be read
    _signatures: dict[tuple[int, ...], tuple[int, ...]] = field(default_factory=dict, repr=False)

    def add(self, key: str, counted: MaskCounts) -> None:
        """Add the values of one mask."""
        values = tuple(sorted(counted.total))
        few = counted.complete and len(values) <= _FEW
        self.files[key] = self._signatures.setdefault(values, values) if few else None
        self.total.update(counted.total)
        self.solid.update(counted.solid)
        for value, number in counted.numbers.items():
            self.numbers.setdefault(value, set()).add(number)
        self.lossy += counted.lossy
        self.pixels += counted.pixels
        if len(self.total) > 2 * _OF_ALL:
            self.total = Counter(dict(self.total.most_common(_OF_ALL)))
            self.solid = Counter({value: count for value, count in self.solid.items() if value in self.total})


@dataclass(frozen=True, slots=True)
class MaskDecision:
    """Encoding that was recognised for a set of masks."""

    encoding: MaskEncoding
    palette: Palette  # the classes and the colours that they are painted in
    story: str  # the same in words
    survey: MaskSurvey = field(default_factory=MaskSurvey, repr=False)  # the values of all masks

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(name for name, _ in self.palette)


def count_values(mask: Image, numbers: dict[int, int] | None = None, *, lossy: bool = False) -> MaskCounts:
    """Count the values of a mask as `read_mask` gives it; of a palette file with the number behind each value."""
    codes = codes_of(mask)
    edge = np.iinfo(np.int32).min
    solid = _counts(np.where(solid_of(codes), codes, np.int32(edge)))
    solid.pop(edge, None)
    total = _counts(codes)
    complete = len(total) <= _OF_ONE
    if not complete:
        commonest = sorted(total, key=lambda value: (-total[value], value))[:_OF_ONE]
        areas = sorted(solid, key=lambda value: (-solid[value], value))[:_OF_ONE]
        total = {value: total[value] for value in {*commonest, *areas}}
        solid = {value: solid[value] for value in areas}
    return MaskCounts(total, solid, numbers or {}, codes.size, complete, lossy)


def _counts(codes: Codes) -> dict[int, int]:
    """Count each code, by runs: masks are even areas, and a run counts all of its pixels at once."""
    flat = codes.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    values, where = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(where, lengths, len(values))
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def count_file(labels: StoredLabels) -> MaskCounts:
    """Return the values of a mask file."""
    numbers = {int(codes_of(np.array([[c]], np.uint8))[0, 0]): number for c, number in labels.numbers.items()}
    return count_values(stored_values(labels.image), numbers, lossy=labels.lossy)


def survey_masks(
    masks: Iterable[T], key: Callable[[T], str], count: Callable[[T], MaskCounts], progress: Callable[[int], None]
) -> MaskSurvey:
    """Count the values of all masks in threads and in bounded memory; the result does not depend on the threads.

    `count` reads a mask and counts its values. Masks that cannot be read stand in `unread`.
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
    """Return the survey of one mask that has been read."""
    survey = MaskSurvey()
    survey.add("", count_values(stored_values(as_dtype(mask, np.uint8) if mask.dtype == np.bool_ else mask)))
    return survey
