"""Output of a model, frame by frame, made steady along the motion of the video."""

from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from calco.errors import CalcoError
from calco.imaging import PEAKS, Image, as_dtype
from calco.video.motion import LUMA, CutFinder, Floats, Follower, chroma_of, luma

if TYPE_CHECKING:
    from calco.inference.folder import ModelInfo

What = Literal["chroma", "image"]

STRENGTH: Final[dict[What, float]] = {"chroma": 0.8, "image": 0.5}
"""Defaults: the most that costs no PSNR (docs/video.md has the figures)."""
_AGREES: Final = 20.0  # levels of brightness by which the moved frame before may differ until it counts little


class Steady:
    """Blends each output with the steadied one before it, moved along the optical flow of the input.

    The input decides in each pixel how much of the previous frame is blended: where that, moved to now, does not look
    like the present frame, or was hidden, the output stays as it is, so that motion which the flow misses leaves no
    trail. At a cut it begins anew.

    `chroma` blends colour alone, at half the size, as a correction of the output: brightness and outlines stay those
    of the frame. `image` blends everything, except where the output equals the input.

    Attributes:
        strength: Share of a pixel that comes from the previous frame where all agrees, 0 to below 1.
        what: "chroma" or "image".
    """

    def __init__(self, strength: float | None = None, what: What = "image") -> None:
        """Begin before the first frame.

        Args:
            strength: 0 changes nothing; near 1 colours follow a change of the output slowly. None takes `STRENGTH`.
            what: "chroma" or "image".

        Raises:
            CalcoError: If the strength is out of its range.
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
        """Return the steadier for a model: colour alone where it keeps the brightness of its input."""
        keeps = info.generator.composition in ("luminance", "lab") and info.out_channels == 3
        return cls(strength, "chroma" if keeps else "image")

    def reset(self) -> None:
        """Forget the frames before, as at a cut."""
        self._cut = CutFinder()
        self._grey: Image | None = None
        self._output: Floats | None = None
        self._shape: tuple[int, ...] = ()

    def __call__(self, shown: Image, drawn: Image) -> Image:
        """Steady the next frame.

        Args:
            shown: HWC, the model's input.
            drawn: HWC of the same height and width, the model's output.

        Returns:
            The shape and dtype of `drawn`.
        """
        if self.strength == 0:
            return drawn
        whole = luma(shown)
        if self._cut(whole) or self._shape != drawn.shape:
            self._grey = self._output = None
        self._shape = drawn.shape
        chroma = self.what == "chroma" and drawn.shape[2] == 3
        grey = _halved(whole) if chroma else whole
        before, self._grey = (self._grey, self._output), grey
        fresh = chroma_of(_halved(drawn)) if chroma else as_dtype(drawn, np.float32)
        if before[0] is None or before[1] is None:
            self._output = fresh
            return drawn
        change = self._change(before[0], grey, before[1], fresh, sharp=not chroma)
        if not chroma and shown.shape == drawn.shape:
            # Pixels that the model leaves as they are need no steadying.
            apart = np.abs(as_dtype(shown, np.float32) - as_dtype(drawn, np.float32)).max(axis=2)
            change[apart < 1.5 / 255] = 0
        self._output = fresh + change
        return _recoloured(drawn, change) if chroma else as_dtype(np.clip(self._output, 0, 1), drawn.dtype)

    def _change(self, seen: Image, now: Image, before: Floats, fresh: Floats, *, sharp: bool) -> Floats:
        """Return the correction of the fresh output, HWC."""
        import cv2

        motion = self._follow(seen, now)
        apart = np.abs(motion.warp(np.asarray(seen, dtype=np.float32)) - now)
        apart = np.asarray(cv2.blur(apart, (3, 3)), dtype=np.float32)
        share = self.strength * np.exp(-np.square(apart / _AGREES)) * motion.visible
        return np.asarray((motion.warp(before, sharp=sharp) - fresh) * share[..., None], dtype=np.float32)


def _halved(image: Image) -> Image:
    """Halve the size, rounded up."""
    import cv2

    height, width = image.shape[:2]
    return np.asarray(cv2.resize(image, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA))


def _recoloured(drawn: Image, change: Floats) -> Image:
    """Change red and blue against the brightness of an output, and green so that the brightness stays."""
    import cv2

    # The change of each channel, from those of red and blue, in the output's own levels.
    green = (-LUMA[0] / LUMA[1], -LUMA[2] / LUMA[1])
    rows = np.array([[1, 0], green, [0, 1]], np.float32) * PEAKS[drawn.dtype.name]
    height, width = drawn.shape[:2]
    more = cv2.resize(cv2.transform(change, rows), (width, height), interpolation=cv2.INTER_LINEAR)
    depth = {"uint8": cv2.CV_8U, "uint16": cv2.CV_16U}.get(drawn.dtype.name, cv2.CV_32F)
    changed = np.asarray(cv2.add(drawn, more, dtype=depth))  # rounded, and kept within the levels
    return np.asarray(changed.clip(0, 1), dtype=drawn.dtype) if depth == cv2.CV_32F else changed
