"""One pass over the images of a data set, on all cores; a few numbers and thumbnails are kept of each."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.annotations.detections import Detections
from calco.data.mask_encoding import MaskEncoding, MaskSurvey, codes_of, read_mask
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.files import explained
from calco.imaging import Image, as_channels
from calco.imaging.reading import read_draft
from calco.work import Engine, results

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Hues = Literal["grey", "tinted", "colour"]

SIDE: Final = 160  # pixels of the longer side, to which images are reduced
THUMB: Final = 32  # pixels of a thumbnail's sides
TONES: Final = 16  # pixels of the sides of a thumbnail in colour
NUM_FREQUENCIES: Final = 8  # along each axis
CUTS: Final = (
    *((share, 0.5, 0.5) for share in (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)),
    *((share, x / 2, y / 2) for share in (0.9, 0.8) for x in range(3) for y in range(3) if (x, y) != (1, 1)),
    *((0.7, x / 3, y / 3) for x in range(4) for y in range(4)),
)
"""Parts of an image that others are compared with: their share of its sides, and where they lie (0 to 1)."""
MOST_CUT: Final = 20_000  # entries of a data set, at most, for which parts of images are compared
ALIGNED: Final = 128  # pixels of the sides of images whose outlines are compared
TURNED: Final = "the mask is turned"
STRETCHED: Final = "the stretched mask"
CONSTANT: Final = 1.0  # grey levels of standard deviation under which an image shows nothing
_CHANNELS: Final = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGB and alpha"}
_BITS: Final = {"uint8": "8 bits", "uint16": "16 bits", "float32": "floats"}
_GREY: Final = 8  # levels between channels of a grey image that compression leaves
_TINT: Final = 3.0  # levels by which the colours of one grey level differ in an image of one tint
_PEAK: Final = 5  # pixels around the best place that belong to it
_LARGEST: Final = 384  # pixels of a mask's longer side from which it is reduced before its classes are counted
_BY_FILE: Final = ("photographs", "side-by-side", "parallel", "masks")
_CHUNK: Final = 32


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """Reduced image, with the facts of its file."""

    image: Image  # HWC `uint8`, grey or RGB, upright, reduced
    size_wh: tuple[int, int]  # of the whole image, upright
    mode: str  # channels and bits as they stand in the file, such as "RGB, 8 bits"
    digest: bytes  # of the file's bytes, or of the pixels where there is no file


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
    hues: Hues
    shown: bytes  # a digest of its reduced pixels: the same for two files of one image


@dataclass(frozen=True, slots=True)
class Alignment:
    """Best fit of the outlines of the target on those of the input."""

    fit: float  # correlation of the outlines there, in [-1, 1]
    in_place: float  # the same without a shift
    shift: tuple[float, float]  # to the right and downwards, as fractions of width and height
    rival: float  # the best correlation at another shift: high where the image repeats itself
    turned: tuple[float, ...]  # the best correlation of the target mirrored left to right, upside down, turned by 180°


@dataclass(frozen=True, slots=True)
class Labels:
    """The classes of one entry."""

    classes: dict[str, float]  # name and number of boxes, or name and share of the mask's pixels
    faults: tuple[str, ...] = ()  # must be fixed
    remarks: tuple[str, ...] = ()  # odd, but usable


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is known of one entry."""

    key: str
    error: str = ""  # why it cannot be read
    misfit: str = ""  # why its two sides do not belong together as they are
    sides: dict[str, ImageStatistics] = field(default_factory=dict)  # "image", or "input" and "target", if readable
    alignment: Alignment | None = None  # how the two sides lie on each other
    labels: Labels | None = None  # the content of its mask or its boxes


def survey(source: Source, jobs: int, progress: Callable[[int], None] = lambda _done: None) -> list[Facts]:
    """Return the facts of all entries in their order, whatever the number of processes (0 for all cores)."""
    facts: list[Facts] = []
    chunks = [source.items[start : start + _CHUNK] for start in range(0, len(source.items), _CHUNK)]
    # Light enough for every process.
    masks = None if source.masks is None else replace(source.masks, survey=MaskSurvey())
    bare, cuts = replace(source, items=(), problems=(), masks=masks), len(source.items) <= MOST_CUT
    engine = Engine(jobs=jobs if len(chunks) > 4 else 1)
    with closing(results(engine, partial(partial, _facts_of_all, bare, cuts), chunks)) as done:
        for _, some in done:
            facts += some
            progress(len(facts))
    return facts


def _facts_of_all(source: Source, cuts: bool, items: Sequence[Item]) -> list[Facts]:
    return [facts_of(source, item, cuts=cuts) for item in items]


def facts_of(source: Source, item: Item, *, cuts: bool = False) -> Facts:
    """Return the facts of one item, with those of its parts (`cuts`) or without; or the reason why it is unreadable."""
    mask: Image | None = None
    labels: Labels | None = None
    misfit = ""
    try:
        halves = source.kind == "masks" and len(item.paths) == 1
        if source.kind not in _BY_FILE or not item.paths or halves:  # rows of a data set have no files
            sample = source.load(item)
            shown = [thumbnail_of(image) for image in (sample.image, sample.partner) if image is not None]
            if sample.detections is not None:
                labels = box_labels(sample.detections, shown[0].size_wh)
            elif sample.partner is None:
                mask = sample.mask
        elif source.kind == "side-by-side":
            shown, misfit = _halves(read_thumbnail(item.paths[0], halves=True), source.direction)
        else:
            shown = [read_thumbnail(path) for path in item.paths[: 1 + (source.kind == "parallel")]]
            mask = read_mask(item.paths[1]) if source.kind == "masks" else None
    except CalcoError as error:
        return Facts(item.key, error=str(error))
    if mask is not None:
        encoding, names = (source.masks.encoding, source.masks.names) if source.masks else (None, ())
        labels = mask_labels(mask, encoding, names, shown[0].size_wh)
    named = zip(("input", "target") if len(shown) == 2 else ("image",), shown, strict=True)
    sides = {name: statistics_of(image, cuts=cuts) for name, image in named}
    alignment = None
    if len(shown) == 2:
        if shown[0].size_wh != shown[1].size_wh:
            misfit = "the input has {}x{} pixels, the target {}x{}".format(*shown[0].size_wh, *shown[1].size_wh)
        elif not any(side.constant for side in sides.values()):
            alignment = align(shown[0].image, shown[1].image)
    return Facts(item.key, misfit=misfit, sides=sides, alignment=alignment, labels=labels)


def _halves(whole: Thumbnail, direction: str) -> tuple[list[Thumbnail], str]:
    """Return input and target of an image with both, and why it does not part into halves, if so."""
    width, height = whole.size_wh
    middle = whole.image.shape[1] // 2
    halves = [
        replace(whole, image=np.ascontiguousarray(half), size_wh=(width // 2, height), digest=whole.digest + bytes([n]))
        for n, half in enumerate((whole.image[:, :middle], whole.image[:, middle:]))
    ]
    misfit = f"{width}x{height} pixels do not part into two halves of one width" if width % 2 else ""
    return halves if direction == "AtoB" else halves[::-1], misfit


def read_thumbnail(path: str, *, halves: bool = False) -> Thumbnail:
    """Read a file; with `halves` it holds two images side by side: the reduced width is even and twice as large."""
    with explained(path, "read"):
        data = Path(path).read_bytes()
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


def grey_of(image: Image) -> Bytes:
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
        shown = np.atleast_3d(_shrunk(np.ascontiguousarray(shown), *size_wh))
    return imaging.as_dtype(shown, np.uint8)


def _shrunk(image: Image, width: int, height: int) -> Image:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def statistics_of(seen: Thumbnail, *, cuts: bool) -> ImageStatistics:
    """Return the statistics of an image, with the frequencies of its parts or without."""
    image = seen.image
    grey = grey_of(image)
    means = cv2.mean(image)[: image.shape[2]]
    red, green, blue = means if len(means) == 3 else means * 3
    parts = []
    for share, x, y in CUTS if cuts else ():
        h, w = (max(1, round(extent * share)) for extent in grey.shape)
        top, left = round((grey.shape[0] - h) * y), round((grey.shape[1] - w) * x)
        parts.append(_shrunk(grey[top : top + h, left : left + w], THUMB, THUMB))
    return ImageStatistics(
        seen.size_wh, seen.mode, seen.digest, thumb=_shrunk(grey, THUMB, THUMB),
        tones=_shrunk(as_channels(image, 3), TONES, TONES),
        cuts=frequencies(np.array(parts, np.uint8).reshape(-1, THUMB, THUMB)).astype(np.float16),
        colour=(red, green, blue), traits=_traits(image, grey), hues=hues_of(image, grey),
        constant=float(grey.std()) < CONSTANT and int(np.ptp(grey)) < 16,
        shown=_digest(as_channels(image, 3).tobytes()),
    )  # fmt: skip


def frequencies(thumbs: Bytes) -> Floats:
    """Return the lowest frequencies of the cosine transform without the mean: N x 32 x 32 => N x 8 x 8 of norm 1."""
    places = (np.arange(THUMB) + 0.5) * np.pi / THUMB
    basis = np.cos(np.outer(np.arange(NUM_FREQUENCIES), places)).astype(np.float32)
    parts = [basis @ part.astype(np.float32) @ basis.T for part in np.array_split(thumbs, len(thumbs) // 4096 + 1)]
    result = np.concatenate(parts)
    result[:, 0, 0] = 0
    return np.asarray(result / np.maximum(np.linalg.norm(result, axis=(1, 2), keepdims=True), 1e-6), np.float32)


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


def _traits(image: Image, grey: Bytes) -> tuple[float, ...]:
    """Return saturation, spread, steepness, white, black and the bits of the grey histogram, each about in [0, 1]."""
    saturation = 0.0 if image.shape[2] == 1 else float(np.mean(image.max(axis=2) - image.min(axis=2))) / 255
    histogram = np.bincount(grey.ravel() >> 3, minlength=32) / grey.size
    bits = -float(np.sum(histogram * np.log2(histogram, where=histogram > 0, out=np.zeros(32)))) / 5
    steep = float(np.mean(cv2.absdiff(grey[:, 1:], grey[:, :-1]))) / 32 if grey.shape[1] > 1 else 0.0
    return saturation, float(grey.std()) / 128, steep, float(histogram[30:].sum()), float(histogram[:2].sum()), bits


def align(first: Image, second: Image) -> Alignment:
    """Correlate the outlines of two images of one shape (HWC `uint8`) at every shift, by the Fourier transform."""
    a, b = _outlines(first), _outlines(second)
    spectrum, other, mirrored = (np.fft.rfft2(each) for each in (a, b, b[:, ::-1]))
    # Turned half round is the complex conjugate; the mirrored images are turned versions of each other.
    straight, *turned = (
        np.fft.irfft2(np.conj(spectrum) * moved, s=a.shape)
        for moved in (other, mirrored, np.conj(mirrored), np.conj(other))
    )
    row, column = np.unravel_index(int(straight.argmax()), straight.shape)
    dy, dx = (int(place) - ALIGNED if place >= ALIGNED // 2 else int(place) for place in (row, column))
    near = np.r_[0 : ALIGNED // 8 + 1, -ALIGNED // 8 : 0]
    fits = tuple(float(each[np.ix_(near, near)].max()) for each in turned)
    fit, in_place = float(straight.max()), float(straight[0, 0])
    around = np.r_[-_PEAK : _PEAK + 1]
    straight[np.ix_((row + around) % ALIGNED, (column + around) % ALIGNED)] = -1
    return Alignment(fit, in_place, (dx / ALIGNED, dy / ALIGNED), float(straight.max()), fits)


def _outlines(image: Image) -> Floats:
    """Return the steepness of the grey image, under a window, with mean 0 and norm 1."""
    grey = cv2.GaussianBlur(_shrunk(grey_of(image), ALIGNED, ALIGNED).astype(np.float32), (0, 0), 1.0)
    steep = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    # Strong and weak outlines count alike: a drawing has other strengths than a photograph.
    even = steep / (cv2.GaussianBlur(steep, (0, 0), 8.0) + 4.0)
    window = np.hanning(ALIGNED).astype(np.float32)
    weights = np.outer(window, window)
    even = (even - float((even * weights).sum() / weights.sum())) * weights
    return np.asarray(even / (np.linalg.norm(even) + 1e-6), np.float32)


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
