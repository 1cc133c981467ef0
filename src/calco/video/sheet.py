"""Truth, input and output of a frame beside each other, with their names, and the curve of the PSNR below."""

from typing import Final

import cv2
import numpy as np

from calco.imaging import Image

NAMES: Final = ("truth", "input", "output")
GAP: Final = 4
_DARK, _LINE, _TEXT, _CURVE = (22, 24, 28), (58, 62, 70), (226, 226, 222), (130, 183, 234)
_LOW, _HIGH = 10.0, 45.0  # dB, of the curve


class Sheet:
    """Makes the frames of a side-by-side video.

    Attributes:
        size: Width and height of a frame, pixels, even.
    """

    def __init__(self, size: tuple[int, int], frames: int) -> None:
        """Lays it out.

        Args:
            size: Width and height of each of the three images.
            frames: How many frames the curve has place for, as far as that is known; 0 where not.
        """
        self._cell = width, height = size
        self._band = max(22, round(height / 14) // 2 * 2)
        self._strip = max(56, round(height / 4) // 2 * 2)
        full = (3 * width + 2 * GAP, self._band + height + self._strip)
        self.size = (full[0] + full[0] % 2, full[1] + full[1] % 2)
        self._frames = max(2, frames)
        self._sheet = np.full((self.size[1], self.size[0], 3), _DARK, np.uint8)
        self._last: tuple[int, int] | None = None
        self._number = 0
        self._rule()

    def _rule(self) -> None:
        """The lines of the curve's field, with their values."""
        self._write(NAMES[0], 0)
        self._write(NAMES[1], 1)
        for level in (20, 40):
            y = self._y(level)
            cv2.line(self._sheet, (0, y), (self.size[0], y), _LINE, 1)
            self._put(f"{level} dB", (4, y - 3), 0.7)

    def _write(self, text: str, place: int) -> None:
        left = place * (self._cell[0] + GAP)
        self._sheet[: self._band, left : left + self._cell[0]] = _DARK
        self._put(text, (left + 6, round(self._band * 0.72)))

    def _put(self, text: str, where: tuple[int, int], share: float = 1.0) -> None:
        scale = self._band / 44 * share
        cv2.putText(self._sheet, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT, 1, cv2.LINE_AA)

    def _y(self, score: float) -> int:
        share = (min(max(score, _LOW), _HIGH) - _LOW) / (_HIGH - _LOW)
        return round(self.size[1] - 4 - share * (self._strip - 8))

    def cells(self, frame: Image) -> list[Image]:
        """The three images in a frame that was drawn so."""
        width, height = self._cell
        return [
            frame[self._band : self._band + height, left : left + width]
            for left in range(0, 3 * (width + GAP), width + GAP)
        ]

    def recall(self, scores: list[float]) -> None:
        """Draws the curve of frames that were written before."""
        for score in scores:
            self._continue(score)

    def _continue(self, score: float) -> None:
        x = min(self.size[0] - 1, round((self.size[0] - 1) * self._number / (self._frames - 1)))
        here = (x, self._y(score))
        cv2.line(self._sheet, self._last or here, here, _CURVE, 1, cv2.LINE_AA)
        self._last, self._number = here, self._number + 1

    def drawn(self, truth: Image, shown: Image, output: Image, score: float) -> Image:
        """A frame of the video.

        Args:
            truth: HW3 `uint8`.
            shown: What the model saw, the same.
            output: What it drew, the same.
            score: PSNR of the output, dB.
        """
        self._continue(score)
        self._write(f"{NAMES[2]}   {score:.2f} dB", 2)
        for place, image in enumerate((truth, shown, output)):
            left = place * (self._cell[0] + GAP)
            self._sheet[self._band : self._band + self._cell[1], left : left + self._cell[0]] = image
        return self._sheet.copy()
