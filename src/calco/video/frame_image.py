"""A decoded frame as an image, and the way back: colours by their tags, HDR to SDR, on a background, upright."""

import contextlib
import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError
from calco.imaging import Image

if TYPE_CHECKING:
    import av
    from av.video.codeccontext import VideoCodecContext
    from av.video.reformatter import VideoReformatter

# The numbers of ITU-T H.273, which FFmpeg uses.
BT709: Final = 1
UNSPECIFIED: Final = 2
BT601: Final = 6
_MATRICES: Final = (1, 4, 5, 6, 7, 9)  # those that swscale computes
_OPEN: Final = (0, UNSPECIFIED, 3)  # those that say nothing of luma and chroma
_STRANGE: Final = {8: "YCgCo", 10: "BT.2020 with constant luminance", 11: "SMPTE 2085", 14: "ICtCp", 15: "IPT-C2"}
BT2020: Final = 9
HDR: Final = {16: "PQ", 18: "HLG"}
"""Transfer functions of HDR: 255 would stand for a light that no SDR screen shows."""
TV: Final = 1
FULL: Final = 2
_HD: Final = 720  # lines from which players take BT.709 where nothing is said


@dataclass(frozen=True, slots=True)
class Colours:
    """What stands in a video's tags, by the numbers of ITU-T H.273."""

    matrix: int = BT709  # from RGB to luma and chroma
    full: bool = False  # whether 0 and 255 are black and white, and not 16 and 235
    primaries: int = BT709  # of the colours
    transfer: int = BT709  # the curve

    def tag(self, context: "VideoCodecContext") -> None:
        """Has an encoder write them into what it makes."""
        context.color_range = FULL if self.full else TV
        context.colorspace = self.matrix
        context.color_primaries, context.color_trc = self.primaries, self.transfer

    @property
    def hdr(self) -> str:
        """PQ or HLG; empty for SDR."""
        return HDR.get(self.transfer, "")

    @property
    def shown(self) -> "Colours":
        """Of what `to_rgb` gives: HDR has become SDR by then."""
        return Colours() if self.hdr else self

    def to_rgb(
        self, frame: "av.VideoFrame", reformatter: "VideoReformatter", size_wh: tuple[int, int], *,
        alpha: bool = False, deep: bool = False,
    ) -> Image:  # fmt: skip
        """Convert a frame to SDR of some size: HW3, or HW4 with `alpha`; `uint8`, or `uint16` with `deep`.

        HDR always becomes 8 bits, since it is compressed to the range of a screen.
        """
        plain = frame.format.is_rgb
        wide = deep or bool(self.hdr)
        pixels = ("rgba64le" if wide else "rgba") if alpha else ("rgb48le" if wide else "rgb24")
        shown = reformatter.reformat(
            frame, *size_wh, pixels, interpolation=_precise(),
            src_colorspace=None if plain else self.matrix,
            src_color_range=None if plain else FULL if self.full else TV, threads=1,
        )  # fmt: skip
        image: Image = shown.to_ndarray()
        if not self.hdr:
            return image
        seen = tone_mapped(image[..., :3], self.hdr, wide_gamut=self.primaries == BT2020)
        return np.dstack([seen, (image[..., 3] >> 8).astype(np.uint8)]) if alpha else seen

    def from_rgb(self, image: Image, reformatter: "VideoReformatter", pixels: str) -> "av.VideoFrame":
        """HW3 `uint8` as a frame in a pixel format of luma and chroma."""
        import av

        return reformatter.reformat(
            av.VideoFrame.from_ndarray(image, format="rgb24"), format=pixels, interpolation=_precise(),
            dst_colorspace=self.matrix, dst_color_range=FULL if self.full else TV, threads=1,
        )  # fmt: skip


def _precise() -> int:
    """By default swscale repeats chroma and rounds down, which darkens by a level."""
    from av.video.reformatter import Interpolation as How

    return How.BILINEAR | How.ACCURATE_RND | How.FULL_CHR_H_INT | How.FULL_CHR_H_INP


def usual(height: int) -> Colours:
    """What players take where nothing is said: BT.709 for large images, BT.601 for small ones."""
    return Colours() if height >= _HD else Colours(BT601, False, BT601, BT601)


def colours_of(frame: "av.VideoFrame", name: str) -> Colours:
    """Return what a frame's tags say; what they leave open as players take it. `name` is the video's, for errors."""
    guess = usual(frame.height)
    matrix = int(frame.colorspace)
    full = int(frame.color_range) == FULL or frame.format.name.startswith("yuvj")
    if not frame.format.is_rgb and matrix not in (*_MATRICES, *_OPEN):
        strange = _STRANGE.get(matrix, f"number {matrix} of ITU-T H.273")
        raise CalcoError(f"cannot read {name}: its colours are coded by the matrix {strange}, which is not converted "
                         "here; convert it to BT.709 first")  # fmt: skip
    if frame.format.is_rgb or matrix not in _MATRICES:
        matrix, full = guess.matrix, full and not frame.format.is_rgb
    tags = [int(tag) for tag in (frame.color_primaries, frame.color_trc)]
    known = [usual_tag if tag in (0, UNSPECIFIED) else tag
             for tag, usual_tag in zip(tags, (guess.primaries, guess.transfer), strict=True)]  # fmt: skip
    if known[1] in HDR:  # whose tags sometimes name the curve alone
        matrix = BT2020 if int(frame.colorspace) in _OPEN and not frame.format.is_rgb else matrix
        known[0] = BT2020 if tags[0] in (0, UNSPECIFIED) else known[0]
    return Colours(matrix, full, known[0], known[1])


# ---- HDR ----

Floats = npt.NDArray[np.float32]
_WHITE: Final = 203.0  # cd/m2 of a white surface in HDR (ITU-R BT.2408), which becomes the white of SDR
_PEAK: Final = 1000.0  # cd/m2 of the brightest light that is kept apart; HLG is defined on such a screen
_STEPS: Final = 1 << 12  # of the tables by the square root of light, which are finer than eight bits everywhere
# Linear light with the primaries of BT.2020 => with those of BT.709 (ITU-R BT.2407).
_TO_709: Final = np.array([[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349],
                           [-0.018151, -0.100579, 1.118730]], np.float32)  # fmt: skip
_LUMA_2020: Final = np.array([0.2627, 0.6780, 0.0593], np.float32)


def tone_mapped(image: Image, transfer: str, *, wide_gamut: bool = True) -> Image:
    """Convert HDR to SDR: R'G'B' by PQ or HLG (ITU-R BT.2100), HW3 `uint16` => R'G'B' of BT.709, HW3 `uint8`.

    Light up to about the white of paper stays as it is; brighter light is compressed by the curve of ITU-R BT.2390-8
    (section 5.4.1), applied to the brightest channel, so that hues stay. With `wide_gamut` the primaries are those of
    BT.2020, else those of BT.709.
    """
    light = _light_table(transfer)[image]  # of 1.0 for white
    if transfer == "HLG":  # the light of the scene => of a screen of 1000 cd/m2 (the OOTF of BT.2100)
        luma = np.maximum(light @ _LUMA_2020, 1e-6)
        light = light * np.float32(_PEAK / _WHITE) * (luma ** np.float32(0.2))[..., None]
    if wide_gamut:
        light = np.maximum(cv2.transform(light, _TO_709), 0)
    peak = np.float32(_PEAK / _WHITE)
    scale, code = _sdr_tables()
    brightest = np.sqrt(np.minimum(light.max(axis=2), peak) / peak)
    light = light * scale[np.rint(brightest * _STEPS).astype(np.int32)][..., None]
    seen: Image = code[np.rint(np.sqrt(np.clip(light, 0, 1)) * _STEPS).astype(np.int32)]
    return seen


@lru_cache(maxsize=2)
def _light_table(transfer: str) -> Floats:
    """Light of each number of 16 bits: of PQ by the white of paper, of HLG that of the scene, up to 1."""
    code = np.arange(1 << 16, dtype=np.float64) / 65535
    if transfer == "PQ":
        return (_pq_to_light(code) / _WHITE).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)


def _pq_to_light(code: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Numbers of PQ from 0 to 1 => cd/m2 (SMPTE ST 2084)."""
    power = np.maximum(code, 0) ** (32 / 2523)
    light: npt.NDArray[np.float64] = np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)
    return 10_000 * light ** (8192 / 1305)


def _light_to_pq(light: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The way back."""
    power = (np.maximum(light, 0) / 10_000) ** (1305 / 8192)
    code: npt.NDArray[np.float64] = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    return code


@lru_cache(maxsize=1)
def _sdr_tables() -> tuple[Floats, Image]:
    """By the square root of light in `_STEPS`: its factor up to the peak, and its number in SDR up to white."""
    steps = np.arange(_STEPS + 1, dtype=np.float64) / _STEPS
    light = np.maximum(steps**2 * _PEAK, 1e-6)
    top = float(_light_to_pq(np.array(_PEAK)))
    most = float(_light_to_pq(np.array(_WHITE))) / top
    code = _light_to_pq(light) / top
    knee = 1.5 * most - 0.5
    part = np.clip((code - knee) / (1 - knee), 0, 1)
    curve = ((2 * part**3 - 3 * part**2 + 1) * knee + (part**3 - 2 * part**2 + part) * (1 - knee)
             + (-2 * part**3 + 3 * part**2) * most)  # fmt: skip
    mapped = _pq_to_light(np.where(code < knee, code, curve) * top)
    # A screen of SDR shows its numbers by the power 2.4 (ITU-R BT.1886).
    return (mapped / light).astype(np.float32), np.rint(255 * (steps**2) ** (1 / 2.4)).astype(np.uint8)


WHITE: Final = (255, 255, 255)
_NEAR: Final = 0.01  # of the matrix's entries, within which an angle counts as a right one


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight orientations: the axes are exchanged first, then the sides."""

    exchanged: bool = False  # whether rows become columns
    left_right: bool = False  # whether left and right are exchanged then
    top_bottom: bool = False  # whether top and bottom are
    odd: str = ""  # what the matrix asks for beyond that, in words; empty for nothing

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the upright image, given those of the coded one, or the other way round."""
        return (height, width) if self.exchanged else (width, height)

    def upright(self, image: Image) -> Image:
        """Turn a coded image, HWC => HWC."""
        turned = image.transpose(1, 0, 2) if self.exchanged else image
        turned = turned[:, ::-1] if self.left_right else turned
        turned = turned[::-1] if self.top_bottom else turned
        return np.ascontiguousarray(turned)


def marks_of(frame: "av.VideoFrame") -> dict[str, Any]:
    """Return what a container or codec says of a frame beside its pixels (AVFrameSideData), by its name in FFmpeg."""
    found: Any = frame.side_data  # which gives its values where a mapping would give its keys
    return {data.type.name: data for data in found}


def orientation_of(frame: "av.VideoFrame") -> Orientation:
    """Read the display matrix of a frame (ISO/IEC 14496-12, 8.3.2): x' = a x + c y, y' = b x + d y, y downwards."""
    data = marks_of(frame).get("DISPLAYMATRIX")
    if data is None:
        return Orientation()
    a, b, _, c, d, *_ = (number / 65536 for number in struct.unpack("<9i", bytes(data)[:36]))
    across, down = math.hypot(a, b), math.hypot(c, d)
    if not across or not down:
        return Orientation(odd="a matrix without an inverse")
    a, b, c, d = a / across, b / across, c / down, d / down
    exchanged = abs(b) + abs(c) > abs(a) + abs(d)
    across_sign, down_sign = (c, b) if exchanged else (a, d)
    rest = max(abs(a), abs(d)) if exchanged else max(abs(b), abs(c))
    odd = f"an angle of {math.degrees(math.atan2(b, a)):.1f} degrees" if rest > _NEAR else ""
    return Orientation(exchanged, across_sign < 0, down_sign < 0, odd)


def image_of(
    frame: "av.VideoFrame", reformatter: "VideoReformatter", name: str, *, colours: Colours | None = None,
    background: tuple[int, int, int] = WHITE, size_wh: tuple[int, int] | None = None, deep: bool = False,
) -> Image:  # fmt: skip
    """Convert a frame to an upright image, HW3 `uint8` or (with `deep`, of more than 8 bits and no HDR) `uint16`.

    Colours are by default the frame's own; `background` is the RGB behind transparent parts, `size_wh` the size of the
    result in pixels. The reformatter keeps its tables from one frame to the next, for one thread; `name` is the
    video's, for errors.
    """
    orientation = orientation_of(frame)
    coded = (frame.width, frame.height) if size_wh is None else orientation.size(*size_wh)
    alpha = has_alpha(frame.format.name)
    deep = deep and bits_of(frame.format.name) > 8
    image = (colours or colours_of(frame, name)).to_rgb(frame, reformatter, coded, alpha=alpha, deep=deep)
    if alpha:  # HW4 => HW3
        most = np.iinfo(image.dtype).max
        share = image[..., 3:].astype(np.uint64 if most > 255 else np.uint16)
        ground = (np.array(background) * (most // 255)).astype(share.dtype)
        image = ((image[..., :3] * share + ground * (most - share) + most // 2) // most).astype(image.dtype)
    return orientation.upright(image)


@lru_cache(maxsize=64)
def has_alpha(pixels: str) -> bool:
    """Whether a pixel format of FFmpeg has alpha."""
    import av

    return any(component.is_alpha for component in av.VideoFormat(pixels).components)


@lru_cache(maxsize=64)
def bits_of(pixels: str) -> int:
    """Return the most bits that a channel of a pixel format of FFmpeg has."""
    import av

    return max(component.bits for component in av.VideoFormat(pixels).components)


# bwdif looks at the frames before and after, so what rests keeps all its lines. estdif looks at one frame alone.
_WITH_NEIGHBOURS: Final = ("bwdif", "mode=send_frame:deint=interlaced")
_ALONE: Final = ("estdif", "mode=frame:deint=interlaced")


def deinterlaced(frames: "Iterable[av.VideoFrame]") -> "Iterator[av.VideoFrame]":
    """Deinterlace the frames that are marked as interlaced; as many come as are given, in order, at the same times."""
    graph: _Graph | None = None
    for frame in frames:
        if graph is not None and graph.shape != (frame.width, frame.height, frame.format.name):
            yield from graph.put(None)
            graph = None
        if graph is None and not frame.interlaced_frame:  # before the first interlaced one nothing is filtered
            yield frame
            continue
        graph = graph or _Graph(frame, *_WITH_NEIGHBOURS)
        yield from graph.put(frame)
    if graph is not None:
        yield from graph.put(None)


def deinterlaced_alone(frame: "av.VideoFrame") -> "av.VideoFrame":
    """Deinterlace a frame without its neighbours; one that is not interlaced is returned as it is.

    The result does not depend on which frames were read before, and nothing is held back.
    """
    if not frame.interlaced_frame:
        return frame
    graph = _Graph(frame, *_ALONE)
    return next(iter([*graph.put(frame), *graph.put(None)]), frame)


class _Graph:
    """A filter of FFmpeg for frames of one size and format."""

    def __init__(self, frame: "av.VideoFrame", name: str, options: str) -> None:
        from av.filter import Graph

        self.shape = frame.width, frame.height, frame.format.name
        self._base = Fraction(frame.time_base or Fraction(1, 1000))
        self._graph: Any = Graph()
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=self._base
        )
        self._graph.link_nodes(source, self._graph.add(name, options), self._graph.add("buffersink"))
        self._graph.configure()

    def put(self, frame: "av.VideoFrame | None") -> "Iterator[av.VideoFrame]":
        """Give it a frame, or None after the last one; yield those that are ready."""
        import av

        self._graph.vpush(frame)
        with contextlib.suppress(av.BlockingIOError, av.EOFError):
            while True:
                ready = self._graph.vpull()
                if ready.pts is not None:  # the filter counts in halves of the unit, for two frames of each
                    ready.pts = round(ready.pts * ready.time_base / self._base)
                    ready.duration = round(ready.duration * ready.time_base / self._base)
                ready.time_base = self._base
                yield ready
