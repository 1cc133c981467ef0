"""Interface of a detector."""

from collections.abc import Sequence
from typing import Protocol

from calco.annotations.detections import Detections
from calco.imaging import Image


class DetectorProtocol(Protocol):
    """A detector of any kind."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes."""

    @property
    def threshold(self) -> float:
        """Default threshold of the scores, found on its validation images."""

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """Return the objects in each image, in its pixels, with scores, the highest first, clipped to it.

        Images are HWC, of any sizes, grey or RGB, `uint8`, `uint16` or `float32`. `threshold` is the lowest score that
        is returned; None is `self.threshold`.
        """
