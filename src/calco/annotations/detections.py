"""What is where in a picture: boxes, classes, scores, tracks, and outlines where they are known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError

Boxes: TypeAlias = npt.NDArray[np.float32]
Polygon: TypeAlias = npt.NDArray[np.float32]  # K x 2 corners, x and y in pixels, K >= 3


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """The pixels of one thing, as one or more polygons or as an exact mask.

    Attributes:
        polygons: Outer rings, each K x 2 `float32`; a thing that is cut in two has two.
        mask: HW `bool` over the whole picture, or None; it counts where both are given.
    """

    polygons: tuple[Polygon, ...] = ()
    mask: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Detections:
    """The things in one picture; all parts have one entry a thing, in the same order.

    Attributes:
        boxes: N x 4 `float32`, left, top, right, bottom in pixels; right and bottom are exclusive.
        classes: N names.
        scores: N `float32` in [0, 1], or None where a person said it.
        track_ids: N `int64`, or None where nothing was followed.
        outlines: N outlines, each None where only the box is known; or empty where no outline is known at all.
    """

    boxes: Boxes
    classes: tuple[str, ...]
    scores: npt.NDArray[np.float32] | None = None
    track_ids: npt.NDArray[np.int64] | None = None
    outlines: tuple[Outline | None, ...] = ()

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise CalcoError(f"boxes have the shape {self.boxes.shape}; they need N x 4: left, top, right, bottom")
        parts: dict[str, Any] = {"classes": self.classes, "scores": self.scores, "track_ids": self.track_ids}
        parts |= {"outlines": self.outlines} if self.outlines else {}
        for name, part in parts.items():
            if part is not None and len(part) != len(self.boxes):
                raise CalcoError(f"{len(self.boxes)} boxes have {len(part)} {name}; each box needs one")

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, chosen: Sequence[int] | npt.NDArray[Any]) -> "Detections":
        """Those at these places (or where a boolean array of length N is true), in that order."""
        places = np.arange(len(self))[np.asarray(chosen, dtype=None if len(chosen) else np.int64)]
        return replace(
            self,
            boxes=self.boxes[places],
            classes=tuple(self.classes[i] for i in places),
            scores=None if self.scores is None else self.scores[places],
            track_ids=None if self.track_ids is None else self.track_ids[places],
            outlines=tuple(self.outlines[i] for i in places) if self.outlines else (),
        )
