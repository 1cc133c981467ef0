"""Blurring of faces: the head of every person, and every face that a face detector finds."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from calco.errors import CalcoError
from calco.imaging import Image
from calco.watch.tracking import Floats

PEOPLE: Final = ("person", "people", "human", "pedestrian", "man", "woman", "face", "head", "persona")
"""Names of classes that have a head."""
_CELLS: Final = 5  # cells across a head: an average over each cannot be undone
_FACE_SCORE: Final = 0.5  # lower than usual: a shadow that is blurred in vain does no harm


def head_of(box: Floats, name: str = "person") -> Floats:
    """Return the part of a person's box that holds the head, with room for a box that is not quite right.

    A head is a seventh of a standing person and nearly a half of one who is cut at the breast, whose box is wide: so
    the part is as high as most of the box is wide, a quarter of it at least and all of it where somebody lies.
    """
    left, top, right, bottom = (float(end) for end in box)
    width, height = right - left, bottom - top
    whole = name in ("face", "head") or width > 1.2 * height
    tall = height if whole else min(height, max(0.25 * height, 0.8 * width))
    return np.array([left - 0.1 * width, top - 0.08 * height, right + 0.1 * width, top + tall])


def blur(image: Image, box: Floats) -> None:
    """Average the inside of a box over a few cells, and smooth them: HWC `uint8`, changed in place."""
    height, width = image.shape[:2]
    left, right = (int(end) for end in np.clip([np.floor(box[0]), np.ceil(box[2])], 0, width))
    top, bottom = (int(end) for end in np.clip([np.floor(box[1]), np.ceil(box[3])], 0, height))
    if right <= left or bottom <= top:
        return
    part = image[top:bottom, left:right]
    across = min(_CELLS, right - left)
    down = max(1, min(bottom - top, round(across * (bottom - top) / (right - left))))
    cells = cv2.resize(part, (across, down), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(cells, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    image[top:bottom, left:right] = smooth.reshape(part.shape)


class FaceBlur:
    """Blurs the heads of people and, with a YuNet detector of faces in an ONNX file, the faces that it finds."""

    def __init__(self, people: tuple[str, ...], model: str = "") -> None:
        """Load the detector; `people` are the classes whose boxes have a head."""
        self.people = people
        self._detector: Any = None
        if not model:
            return
        if not Path(model).is_file():
            raise CalcoError(f"--face-model {model} is not there; name the ONNX file of a YuNet face detector")
        try:
            self._detector = cv2.FaceDetectorYN.create(model, "", (64, 64), _FACE_SCORE)
            self._detector.setInputSize((64, 64))
            self._detector.detect(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as error:
            raise CalcoError(
                f"--face-model {model} is no YuNet face detector that OpenCV {cv2.__version__} reads; name the ONNX "
                "file of one"
            ) from error

    def __call__(self, image: Image, people: Iterable[tuple[str, Floats]]) -> Image:
        """Return a copy of an image (HW3 `uint8`) without faces, given class and box of each object."""
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
