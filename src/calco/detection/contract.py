"""What the parts of detection ask of a detector."""

from collections.abc import Sequence
from typing import Protocol

from calco.annotations.detections import Detections
from calco.images import Image


class FindsThings(Protocol):
    """A detector, whatever is inside.

    Attributes:
        classes: The names of what it finds.
        threshold: The score from which on it is believed, found on its validation pictures.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """As above."""

    @property
    def threshold(self) -> float:
        """As above."""

    def many(self, pictures: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """What is in each of some pictures.

        Args:
            pictures: HWC, of any sizes, grey or RGB, `uint8`, `uint16` or `float32`.
            threshold: Only what scores as much is told; None for `self.threshold`.

        Returns:
            For each picture the boxes in its own pixels, with scores, the highest first, clipped to it.
        """
