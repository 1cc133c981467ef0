"""How the recipe `sketch` draws a photograph."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from calco.errors import CalcoError
from calco.images import Image, as_dtype, luminance


@dataclass(frozen=True, kw_only=True)
class SketchConfig:
    """How a photograph becomes a sketch."""

    style: Literal["pencil"] = "pencil"
    """The style: pencil keeps edges and soft shading."""

    softness: float = 0.02
    """Width of the blur that the lines come from, as a share of the short side; larger gives broader strokes."""

    def __post_init__(self) -> None:
        if self.style not in SKETCHES:
            raise CalcoError(f"sketch style {self.style!r} is unknown; choose one of {', '.join(SKETCHES)}")
        if not 0 < self.softness <= 0.5:
            raise CalcoError(f"sketch softness is {self.softness}; it must lie above 0 and up to 0.5: try 0.02")


def pencil(image: Image, config: SketchConfig) -> Image:
    """Grey divided by its own blur ("colour dodge"): paper where it is even, dark where it falls. HWC => HW1."""
    import cv2

    grey = as_dtype(luminance(image), np.float32)[..., 0]
    blurred = cv2.GaussianBlur(grey, (0, 0), max(0.5, config.softness * min(grey.shape)))
    # The constant keeps the noise of black areas from turning into strokes.
    dodged = np.clip((grey + 0.02) / (blurred + 0.02), 0, 1).astype(np.float32)
    return as_dtype((dodged**2)[..., None], image.dtype)


SKETCHES: Final[dict[str, Callable[[Image, SketchConfig], Image]]] = {"pencil": pencil}
