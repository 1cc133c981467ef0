"""A detector with what a person wants of it: a threshold, some classes, slices."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from calco.annotations.detections import Detections
from calco.detection.contract import FindsThings
from calco.detection.slicing import Slices, find_in_slices
from calco.errors import CalcoError
from calco.images import Image


@dataclass(frozen=True, kw_only=True)
class Look:
    """How pictures are looked at.

    Attributes:
        detector: What finds things.
        threshold: Only what scores as much is told; None for the detector's own.
        classes: Only these are told; empty for all.
        slices: How large pictures are cut; None for the whole alone.
        batch: Pictures that the detector is shown at once.
    """

    detector: FindsThings
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

    def many(self, pictures: Sequence[Image], progress: Callable[[float], None] | None = None) -> list[Detections]:
        """What is in each of some pictures, HWC, in their own pixels.

        Args:
            pictures: HWC, of any sizes and types.
            progress: Is told the share of a picture in slices that is done.
        """
        if self.slices is None:
            found = self.detector.many(pictures, threshold=self.least)
        else:
            found = [
                find_in_slices(self.detector, picture, self.slices, threshold=self.least, progress=progress)
                for picture in pictures
            ]
        return [self._wanted(things) for things in found]

    def _wanted(self, things: Detections) -> Detections:
        if not self.classes:
            return things
        return things.select(np.array([name in self.classes for name in things.classes], np.bool_))

    def record(self) -> dict[str, Any]:
        """As plain data: what a result depends on, beside the model."""
        slices = None if self.slices is None else [self.slices.side, self.slices.overlap]
        return {"threshold": self.least, "classes": list(self.classes), "slices": slices}


@dataclass
class Tally:
    """What was found.

    Attributes:
        things: How many of each class.
        seen: Pictures or frames.
        empty: Those in which nothing was found.
    """

    things: Counter[str] = field(default_factory=Counter)
    seen: int = 0
    empty: int = 0

    def add(self, found: Detections) -> None:
        """Counts what is in one more."""
        self.things.update(found.classes)
        self.seen += 1
        self.empty += not len(found)

    def join(self, other: "Tally") -> None:
        """Counts what another one counted."""
        self.things.update(other.things)
        self.seen += other.seen
        self.empty += other.empty

    def words(self, of: str = "pictures") -> str:
        """Such as "3 knife, 12 pistol; nothing in 4 of 20 pictures"."""
        if not self.things:
            return f"nothing was found in {self.seen} {of}"
        told = ", ".join(f"{count} {name}" for name, count in sorted(self.things.items()))
        return f"{told}; nothing in {self.empty} of {self.seen} {of}"
