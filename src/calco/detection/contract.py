"""What the parts of detection ask of a detector."""

from collections.abc import Sequence
from typing import Protocol

from calco.annotations.detections import Detections
from calco.imaging import Image


class DetectorProtocol(Protocol):
    """A detector, whatever is inside.

    Attributes:
        classes: The names of what it finds.
        threshold: The score from which on it is believed, found on its validation images.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """As above."""

    @property
    def threshold(self) -> float:
        """As above."""

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """What is in each of some images.

        Args:
            images: HWC, of any sizes, grey or RGB, `uint8`, `uint16` or `float32`.
            threshold: Only what scores as much is told; None for `self.threshold`.

        Returns:
            For each image the boxes in its own pixels, with scores, the highest first, clipped to it.
        """
