"""How the numbers of a film stand for colours, and the way from them to RGB and back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from calco.images import Image

if TYPE_CHECKING:
    import av
    from av.video.codeccontext import VideoCodecContext
    from av.video.reformatter import VideoReformatter

# The numbers of ITU-T H.273, which FFmpeg uses.
BT709: Final = 1
UNSPECIFIED: Final = 2
BT601: Final = 6
_MATRICES: Final = (1, 4, 5, 6, 7, 9)  # those that swscale computes
TV: Final = 1
FULL: Final = 2
_HD: Final = 720  # lines from which players take BT.709 where nothing is said


@dataclass(frozen=True, slots=True)
class Colours:
    """What stands in a film's tags, by the numbers of ITU-T H.273.

    Attributes:
        matrix: From RGB to luma and chroma.
        full: Whether 0 and 255 are black and white, and not 16 and 235.
        primaries: Of the colours.
        transfer: The curve.
    """

    matrix: int = BT709
    full: bool = False
    primaries: int = BT709
    transfer: int = BT709

    def tag(self, context: "VideoCodecContext") -> None:
        """Has an encoder write them into what it makes."""
        context.color_range = FULL if self.full else TV
        context.colorspace = self.matrix
        context.color_primaries, context.color_trc = self.primaries, self.transfer

    def to_rgb(
        self, frame: "av.VideoFrame", reformatter: "VideoReformatter", size_wh: tuple[int, int], *, alpha: bool = False
    ) -> Image:
        """A frame as HW3 (with alpha HW4) `uint8`."""
        plain = frame.format.is_rgb
        shown = reformatter.reformat(
            frame, *size_wh, "rgba" if alpha else "rgb24", interpolation=_precise(),
            src_colorspace=None if plain else self.matrix,
            src_color_range=None if plain else FULL if self.full else TV, threads=1,
        )  # fmt: skip
        image: Image = shown.to_ndarray()
        return image

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
    """What players take where nothing is said: BT.709 for large pictures, BT.601 for small ones."""
    return Colours() if height >= _HD else Colours(BT601, False, BT601, BT601)


def colours_of(frame: "av.VideoFrame") -> Colours:
    """What a frame's tags say; what they leave open as players take it."""
    guess = usual(frame.height)
    matrix = int(frame.colorspace)
    full = int(frame.color_range) == FULL or frame.format.name.startswith("yuvj")
    if frame.format.is_rgb or matrix not in _MATRICES:
        matrix, full = guess.matrix, full and not frame.format.is_rgb
    tags = [int(tag) for tag in (frame.color_primaries, frame.color_trc)]
    known = [usual_tag if tag in (0, UNSPECIFIED) else tag
             for tag, usual_tag in zip(tags, (guess.primaries, guess.transfer), strict=True)]  # fmt: skip
    return Colours(matrix, full, known[0], known[1])
