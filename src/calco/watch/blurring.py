"""Faces made unknowable: the head of every person, and every face that a face detector finds."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from calco.errors import CalcoError
from calco.imaging import Image
from calco.watch.tracking import Floats

PEOPLE: Final = ("person", "people", "human", "pedestrian", "man", "woman", "face", "head", "persona")
"""Names of classes that have a head."""
_CELLS: Final = 5  # cells across a head that are left: what is averaged within them cannot be brought back
_FACE_SCORE: Final = 0.5  # below what the detector of faces takes for sure: a shadow blurred too much does no harm


def head_of(box: Floats, name: str = "person") -> Floats:
    """The part of a person's box in which the head is, with room for a box that is not quite right.

    A head is a seventh of a standing person and nearly a half of one who is cut at the breast, whose box is wide: so
    the part is as high as most of the box is wide, a quarter of it at least and all of it where somebody lies.
    """
    left, top, right, bottom = (float(end) for end in box)
    width, height = right - left, bottom - top
    whole = name in ("face", "head") or width > 1.2 * height
    tall = height if whole else min(height, max(0.25 * height, 0.8 * width))
    return np.array([left - 0.1 * width, top - 0.08 * height, right + 0.1 * width, top + tall])


def blur(image: Image, box: Floats) -> None:
    """Averages what lies in a box over a few cells, and smooths them: HWC `uint8`, changed in place."""
    height, width = image.shape[:2]
    left, top = (int(np.clip(np.floor(end), 0, side)) for end, side in zip(box[:2], (width, height), strict=True))
    right, bottom = (int(np.clip(np.ceil(end), 0, side)) for end, side in zip(box[2:], (width, height), strict=True))
    if right <= left or bottom <= top:
        return
    part = image[top:bottom, left:right]
    across = min(_CELLS, right - left)
    down = max(1, min(bottom - top, round(across * (bottom - top) / (right - left))))
    cells = cv2.resize(part, (across, down), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(cells, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    image[top:bottom, left:right] = smooth.reshape(part.shape)


@dataclass
class FaceBlur:
    """Blurs the heads of people and, with a detector of faces, what that finds.

    Attributes:
        people: Classes whose boxes have a head.
        model: The ONNX file of a YuNet detector of faces; empty for none.
    """

    people: tuple[str, ...]
    model: str = ""
    _detector: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Loads the detector.

        Raises:
            CalcoError: When it is not there, or OpenCV cannot read it.
        """
        if not self.model:
            return
        if not Path(self.model).is_file():
            raise CalcoError(f"--face-model {self.model} is not there; name the ONNX file of a YuNet face detector")
        try:
            self._detector = cv2.FaceDetectorYN.create(self.model, "", (64, 64), _FACE_SCORE)
            self._detector.setInputSize((64, 64))
            self._detector.detect(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as error:
            raise CalcoError(
                f"--face-model {self.model} is no YuNet face detector that OpenCV {cv2.__version__} reads; name the "
                "ONNX file of one"
            ) from error

    def __call__(self, image: Image, people: Iterable[tuple[str, Floats]]) -> Image:
        """The image without faces.

        Args:
            image: HW3 `uint8`; it stays as it is.
            people: Class and box of whatever was found or is followed.
        """
        blurred = image.copy()
        for name, box in people:
            if name in self.people:
                blur(blurred, head_of(box, name))
        if self._detector is not None:
            self._detector.setInputSize((image.shape[1], image.shape[0]))
            _, faces = self._detector.detect(np.ascontiguousarray(image[..., ::-1]))
            for left, top, width, height in () if faces is None else faces[:, :4].astype(np.float64):
                more = 0.15 * np.array([width, height])
                blur(blurred, np.array([left - more[0], top - more[1], left + width + more[0], top + height + more[1]]))
        return blurred
