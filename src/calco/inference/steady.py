"""What a model draws frame by frame, made steady along the motion of the video."""

from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np

from calco.errors import CalcoError
from calco.imaging import PEAKS, Image, as_dtype
from calco.video.motion import LUMA, Bools, CutFinder, Floats, Follower, chroma_of, luma

if TYPE_CHECKING:
    from calco.inference.folder import ModelInfo

What = Literal["chroma", "image"]

STRENGTH: Final[dict[What, float]] = {"chroma": 0.8, "image": 0.5}
"""What is taken unless another is asked for: the most that costs no PSNR (docs/video.md has the figures)."""
_AGREES: Final = 20.0  # levels of brightness by which the moved frame before may differ until it counts little


class Steadier(Protocol):
    """Steadies a video: it gets each frame with the model's output, in order, and finds cuts by itself."""

    def __call__(self, shown: Image, output: Image, /) -> Image:
        """Return the steadied output, HWC `uint8`.

        Args:
            shown: The model's input, HWC `uint8`, of the output's size.
            output: The model's output, HWC `uint8`.
        """

    def reset(self) -> None:
        """Forget the frames before, as at a cut."""


class Steady:
    """Blends each drawing with the steadied one before it, moved along the flow of the video that is shown.

    How much of the frame before is taken is decided in each pixel by the *shown* frames: where the one before, moved to
    now, does not look like the one now, or could not be seen then, the fresh drawing is taken as it is. So what moves
    in a way that the flow does not find leaves no trail. With a cut it begins anew.

    `chroma` blends colour alone, at half the size, as a correction of the fresh drawing: the brightness and the
    outlines of colours stay those of the frame. `image` blends everything, save where the drawing is the shown frame
    itself.

    Attributes:
        strength: How much of a pixel comes from before where all agrees, 0 to below 1.
        what: "chroma" or "image".
    """

    def __init__(self, strength: float | None = None, what: What = "image") -> None:
        """Begins before the first frame.

        Args:
            strength: 0 changes nothing; near 1 colours follow a change of the drawing slowly. None takes `STRENGTH`.
            what: What is blended.

        Raises:
            CalcoError: When the strength is out of its range.
        """
        strength = STRENGTH[what] if strength is None else strength
        if not 0 <= strength < 1:
            raise CalcoError(f"the strength of steadying is {strength}; it must lie in [0, 1): try {STRENGTH[what]}")
        self.strength = strength
        self.what: What = what
        self._follow = Follower(careful=False)
        self.reset()

    @classmethod
    def of(cls, info: "ModelInfo", strength: float | None = None) -> "Steady":
        """What suits a model: colour alone where it keeps the brightness of its input."""
        keeps = info.generator.composition in ("luminance", "lab") and info.out_channels == 3
        return cls(strength, "chroma" if keeps else "image")

    def reset(self) -> None:
        """Forgets the frames before, as at a cut."""
        self._cut = CutFinder()
        self._grey: Image | None = None
        self._drawn: Floats | None = None
        self._shape: tuple[int, ...] = ()

    def __call__(self, shown: Image, drawn: Image) -> Image:
        """The next frame, steadied.

        Args:
            shown: HWC, what the model was given.
            drawn: HWC of the same height and width, what it made of it.

        Returns:
            The shape and dtype of `drawn`.
        """
        if self.strength == 0:
            return drawn
        whole = luma(shown)
        if self._cut(whole) or self._shape != drawn.shape:
            self._grey = self._drawn = None
        self._shape = drawn.shape
        chroma = self.what == "chroma" and drawn.shape[2] == 3
        grey = _smaller(whole) if chroma else whole
        before, self._grey = (self._grey, self._drawn), grey
        fresh = _chroma(drawn) if chroma else as_dtype(drawn, np.float32)
        if before[0] is None or before[1] is None:
            self._drawn = fresh
            return drawn
        change = self._change(before[0], grey, before[1], fresh, sharp=not chroma)
        if not chroma and shown.shape == drawn.shape:
            change[_same(shown, drawn)] = 0  # what a model leaves as it is needs no steadying
        self._drawn = fresh + change
        return _recoloured(drawn, change) if chroma else as_dtype(np.clip(self._drawn, 0, 1), drawn.dtype)

    def _change(self, seen: Image, now: Image, drawn: Floats, fresh: Floats, *, sharp: bool) -> Floats:
        """What has to be added to the fresh drawing, HWC."""
        import cv2

        motion = self._follow(seen, now)
        apart = np.abs(motion.warp(np.asarray(seen, dtype=np.float32)) - now)
        apart = np.asarray(cv2.blur(apart, (3, 3)), dtype=np.float32)
        share = self.strength * np.exp(-np.square(apart / _AGREES)) * motion.visible
        return np.asarray((motion.warp(drawn, sharp=sharp) - fresh) * share[..., None], dtype=np.float32)


def _smaller(grey: Image) -> Image:
    """Half the size, rounded up."""
    import cv2

    height, width = grey.shape
    return np.asarray(cv2.resize(grey, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA))


def _chroma(drawn: Image) -> Floats:
    """RGB => red and blue less brightness, at half the size, in [-1, 1]."""
    import cv2

    height, width = drawn.shape[:2]
    half = cv2.resize(drawn, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    return chroma_of(np.asarray(half))


def _recoloured(drawn: Image, change: Floats) -> Image:
    """The drawing with red and blue changed against its brightness, and green so that the brightness stays."""
    import cv2

    # The change of each channel, from those of red and blue, in the drawing's own levels.
    green = (-LUMA[0] / LUMA[1], -LUMA[2] / LUMA[1])
    rows = np.array([[1, 0], green, [0, 1]], np.float32) * PEAKS[drawn.dtype.name]
    height, width = drawn.shape[:2]
    more = cv2.resize(cv2.transform(change, rows), (width, height), interpolation=cv2.INTER_LINEAR)
    depth = {"uint8": cv2.CV_8U, "uint16": cv2.CV_16U}.get(drawn.dtype.name, cv2.CV_32F)
    changed = np.asarray(cv2.add(drawn, more, dtype=depth))  # rounded, and kept within the levels
    return np.asarray(changed.clip(0, 1), dtype=drawn.dtype) if depth == cv2.CV_32F else changed


def _same(shown: Image, drawn: Image) -> Bools:
    """HW: the pixels that the drawing took from the shown frame."""
    apart = np.abs(as_dtype(shown, np.float32) - as_dtype(drawn, np.float32)).max(axis=2)
    return np.asarray(apart < 1.5 / 255)
