"""What the parts of detection ask of a detector."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from calco.annotations.detections import Detections
from calco.detection.slicing import Slices, find_in_slices
from calco.errors import CalcoError
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


@dataclass(frozen=True, kw_only=True)
class Look:
    """How images are looked at.

    Attributes:
        detector: What finds objects.
        threshold: Only what scores as much is told; None for the detector's own.
        classes: Only these are told; empty for all.
        slices: How large images are cut; None for the whole alone.
        batch: Images that the detector is shown at once.
    """

    detector: DetectorProtocol
    threshold: float | None = None
    classes: tuple[str, ...] = ()
    slices: Slices | None = None
    batch: int = 1

    def __post_init__(self) -> None:
        known = self.detector.classes
        if strange := [name for name in self.classes if name not in known]:
            raise CalcoError(f"the model knows no {strange[0]!r}; it finds {', '.join(known)}")

    @property
    def least(self) -> float:
        """The score from which on something is told."""
        return self.detector.threshold if self.threshold is None else self.threshold

    def many(self, images: Sequence[Image], progress: Callable[[float], None] | None = None) -> list[Detections]:
        """What is in each of some images, HWC, in their own pixels.

        Args:
            images: HWC, of any sizes and types.
            progress: Is told the share of an image in slices that is done.
        """
        if self.slices is None:
            found = self.detector.many(images, threshold=self.least)
        else:
            found = [
                find_in_slices(self.detector, image, self.slices, threshold=self.least, progress=progress)
                for image in images
            ]
        return [self._wanted(objects) for objects in found]

    def _wanted(self, objects: Detections) -> Detections:
        if not self.classes:
            return objects
        return objects.select(np.array([name in self.classes for name in objects.classes], np.bool_))

    def record(self) -> dict[str, Any]:
        """As plain data: what a result depends on, beside the model."""
        slices = None if self.slices is None else [self.slices.side, self.slices.overlap]
        return {"threshold": self.least, "classes": list(self.classes), "slices": slices}


@dataclass
class Tally:
    """What was found.

    Attributes:
        objects: How many of each class.
        seen: Images or frames.
        empty: Those in which nothing was found.
    """

    objects: Counter[str] = field(default_factory=Counter)
    seen: int = 0
    empty: int = 0

    def add(self, found: Detections) -> None:
        """Counts what is in one more."""
        self.objects.update(found.classes)
        self.seen += 1
        self.empty += not len(found)

    def join(self, other: "Tally") -> None:
        """Counts what another one counted."""
        self.objects.update(other.objects)
        self.seen += other.seen
        self.empty += other.empty

    def words(self, of: str = "images") -> str:
        """Such as "3 knife, 12 pistol; nothing in 4 of 20 images"."""
        if not self.objects:
            return f"nothing was found in {self.seen} {of}"
        told = ", ".join(f"{count} {name}" for name, count in sorted(self.objects.items()))
        return f"{told}; nothing in {self.empty} of {self.seen} {of}"
