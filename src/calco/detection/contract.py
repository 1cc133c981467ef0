"""Interface of a detector."""

from collections.abc import Sequence
from typing import Protocol

from calco.annotations.detections import Detections
from calco.imaging import Image


class DetectorProtocol(Protocol):
    """A detector of any kind.

    Attributes:
        classes: Names of its classes.
        threshold: Default threshold of the scores, found on its validation images.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """As above."""

    @property
    def threshold(self) -> float:
        """As above."""

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """Return the objects in each image.

        Args:
            images: HWC, of any sizes, grey or RGB, `uint8`, `uint16` or `float32`.
            threshold: Lowest score that is returned; None for `self.threshold`.

        Returns:
            For each image the boxes in its own pixels, with scores, the highest first, clipped to it.
        """
