"""Thumbnail and statistics of an image: all of its bytes are read, and as few pixels decoded as the check needs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.checking.similarity import frequencies
from calco.data.source import Item, Source
from calco.files import explain
from calco.imaging import Image, as_channels
from calco.imaging.reading import read_draft

SIDE: Final = 160  # pixels of the longer side, to which images are reduced
_CHANNELS: Final = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGB and alpha"}
_BITS: Final = {"uint8": "8 bits", "uint16": "16 bits", "float32": "floats"}


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """Reduced image, with the facts of its file."""

    image: Image  # HWC `uint8`, grey or RGB, upright, reduced
    size_wh: tuple[int, int]  # of the whole image, upright
    mode: str  # channels and bits as they stand in the file, such as "RGB, 8 bits"
    digest: bytes  # of the file's bytes, or of the pixels where there is no file


def read_thumbnail(path: str, *, halves: bool = False) -> Thumbnail:
    """Read a file; with `halves` it holds two images side by side: the reduced width is even and twice as large."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise explain(error, path, "read") from error
    draft = read_draft(path, data, 2 * SIDE)
    mode = f"{draft.mode}, {_BITS[str(draft.image.dtype)]}"
    return Thumbnail(reduced(draft.image, SIDE, halves=halves), draft.size_wh, mode, _digest(data))


def thumbnail_of(image: Image) -> Thumbnail:
    """Reduce an image that has been read already."""
    mode = f"{_CHANNELS.get(image.shape[2], f'{image.shape[2]} bands')}, {_BITS[str(image.dtype)]}"
    return Thumbnail(reduced(image, SIDE), (image.shape[1], image.shape[0]), mode, _digest(image.tobytes()))


def entry_images(source: Source, item: Item, side: int) -> dict[str, Image]:
    """Return the images of an entry, to be shown: grey or RGB `uint8`, at most `side` pixels long."""
    image = source.load(item)
    if image.partner is None:
        return {"image": reduced(image.image, side)}
    return {"input": reduced(image.image, side), "target": reduced(image.partner, side)}


def grey_of(image: Image) -> npt.NDArray[np.uint8]:
    """HW1 or HW3 `uint8` => HW."""
    return np.asarray(image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def reduced(image: Image, side: int, *, halves: bool = False) -> Image:
    """HWC of any dtype and channels => HW1 or HW3 `uint8`, at most `side` pixels long, or each of its two halves."""
    height, width = image.shape[:2]
    columns = 2 if halves else 1
    scale = min(1.0, side / max(height, width / columns))
    size_wh = columns * max(1, round(width / columns * scale)), max(1, round(height * scale))
    shown = image[..., :1] if image.shape[2] < 3 else image[..., :3]
    if size_wh != (width, height):
        shown = np.atleast_3d(cv2.resize(np.ascontiguousarray(shown), size_wh, interpolation=cv2.INTER_AREA))
    return imaging.as_dtype(shown, np.uint8)


Bytes = npt.NDArray[np.uint8]
THUMB: Final = 32  # pixels of a thumbnail's sides
TONES: Final = 16  # pixels of the sides of a thumbnail in colour
CUTS: Final = (
    *((share, 0.5, 0.5) for share in (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)),
    *((share, x / 2, y / 2) for share in (0.9, 0.8) for x in range(3) for y in range(3) if (x, y) != (1, 1)),
    *((0.7, x / 3, y / 3) for x in range(4) for y in range(4)),
)
"""Parts of an image that others are compared with: their share of its sides, and where they lie (0 to 1)."""
Hues = Literal["grey", "tinted", "colour"]
_GREY: Final = 8  # levels between channels of a grey image that compression leaves
_TINT: Final = 3.0  # levels by which the colours of one grey level differ in an image of one tint
CONSTANT: Final = 1.0  # grey levels of standard deviation under which an image shows nothing


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """Statistics of one image of an entry."""

    size_wh: tuple[int, int]  # upright, in pixels
    mode: str  # channels and bits, such as "RGB, 8 bits"
    digest: bytes  # of its bytes
    thumb: Bytes  # 32 x 32 `uint8`, grey, stretched
    tones: Bytes  # 16 x 16 x 3 `uint8`, in colour, stretched
    cuts: npt.NDArray[np.float16]  # K x 8 x 8, the frequencies of K parts of it, or of none
    colour: tuple[float, float, float]  # mean red, green and blue in [0, 255]
    traits: tuple[float, ...]  # numbers that distinguish a drawing from a photograph: see `_traits`
    constant: bool  # of one colour
    hues: Hues = "colour"
    shown: bytes = b""  # a digest of its reduced pixels: the same for two files of one image


def statistics_of(seen: Thumbnail, *, cuts: bool) -> ImageStatistics:
    """Return the statistics of an image, with the frequencies of its parts or without."""
    image = seen.image
    grey = grey_of(image)
    means = cv2.mean(image)[: image.shape[2]]
    red, green, blue = means if len(means) == 3 else means * 3
    return ImageStatistics(
        seen.size_wh, seen.mode, seen.digest,
        thumb=np.asarray(cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.uint8),
        tones=np.asarray(cv2.resize(as_channels(image, 3), (TONES, TONES), interpolation=cv2.INTER_AREA), np.uint8),
        cuts=_cuts(grey) if cuts else np.zeros((0, 8, 8), np.float16),
        colour=(red, green, blue), traits=_traits(image, grey), hues=hues_of(image, grey),
        constant=float(grey.std()) < CONSTANT and int(np.ptp(grey)) < 16,
        shown=_digest(as_channels(image, 3).tobytes()),
    )  # fmt: skip


def hues_of(image: Image, grey: Bytes) -> Hues:
    """Return whether an image has colours: "grey" without any, "tinted" where every grey level has one colour alone."""
    if image.shape[2] == 1:
        return "grey"
    chroma = np.stack([image[..., 0].astype(np.int16) - image[..., 1], image[..., 2].astype(np.int16) - image[..., 1]])
    if float(np.quantile(np.abs(chroma).max(axis=0), 0.99)) <= _GREY:
        return "grey"
    levels = (grey >> 4).ravel()
    counts = np.maximum(np.bincount(levels, minlength=16), 1)
    for part in chroma.reshape(2, -1).astype(np.float64):
        means = np.bincount(levels, part, 16) / counts
        if float(np.sqrt(np.mean((part - means[levels]) ** 2))) > _TINT:
            return "colour"
    return "tinted"


def _cuts(grey: Bytes) -> npt.NDArray[np.float16]:
    """Return the frequencies of `CUTS` of an image."""
    height, width = grey.shape
    parts = []
    for share, x, y in CUTS:
        h, w = max(1, round(height * share)), max(1, round(width * share))
        top, left = round((height - h) * y), round((width - w) * x)
        parts.append(cv2.resize(grey[top : top + h, left : left + w], (THUMB, THUMB), interpolation=cv2.INTER_AREA))
    return frequencies(np.array(parts, np.uint8)).astype(np.float16)


def _traits(image: Image, grey: Bytes) -> tuple[float, ...]:
    """Return saturation, spread, steepness, white, black and the bits of the grey histogram, each about in [0, 1]."""
    saturation = 0.0 if image.shape[2] == 1 else float(np.mean(image.max(axis=2) - image.min(axis=2))) / 255
    histogram = np.bincount(grey.ravel() >> 3, minlength=32) / grey.size
    bits = -float(np.sum(histogram * np.log2(histogram, where=histogram > 0, out=np.zeros(32)))) / 5
    steep = float(np.mean(cv2.absdiff(grey[:, 1:], grey[:, :-1]))) / 32 if grey.shape[1] > 1 else 0.0
    white, black = float(histogram[30:].sum()), float(histogram[:2].sum())
    return saturation, float(grey.std()) / 128, steep, white, black, bits
