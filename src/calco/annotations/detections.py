"""Objects in an image: boxes, classes, scores, tracks, and outlines where they are known.

Coordinates are continuous: pixel i covers [i, i + 1), so a box over the whole of an image is (0, 0, width, height).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.annotations.geometry import Mask, Polygon, clip, fill
from calco.errors import CalcoError

Boxes: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """The pixels of one object, as one or more polygons or as an exact mask.

    Attributes:
        polygons: Outer rings, each K x 2 `float32`; an object that is cut in two has two.
        mask: HW `bool` over the whole image, or None; it counts where both are given.
    """

    polygons: tuple[Polygon, ...] = ()
    mask: Mask | None = None

    def __bool__(self) -> bool:
        return bool(self.polygons) if self.mask is None else bool(self.mask.any())

    def scaled(self, across: float, down: float) -> "Outline":
        """Return the outline in an image scaled by these factors; a mask takes the nearest pixels."""
        polygons = tuple((polygon * (across, down)).astype(np.float32) for polygon in self.polygons)
        return Outline(polygons, None if self.mask is None else _resampled(self.mask, across, down))

    def cropped(self, left: int, top: int, width: int, height: int) -> "Outline":
        """Return the part in a window, relative to the window's corner; the window may reach beyond the image."""
        corner = np.array([left, top], np.float32)
        moved = (clip(polygon - corner, width, height) for polygon in self.polygons)
        mask = None
        if self.mask is not None:
            mask = np.zeros((height, width), np.bool_)
            seen = self.mask[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
            mask[max(0, -top) :, max(0, -left) :][: seen.shape[0], : seen.shape[1]] = seen
        return Outline(tuple(polygon for polygon in moved if len(polygon)), mask)

    def mirrored(self, width: int) -> "Outline":
        """Return them with left and right exchanged in an image of this width."""
        far, turned = np.array([width, 0], np.float32), np.array([-1, 1], np.float32)
        return Outline(
            tuple(far + polygon * turned for polygon in self.polygons),
            None if self.mask is None else np.ascontiguousarray(self.mask[:, ::-1]),
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Detections:
    """Objects in one image; all parts have one entry an object, in the same order.

    Attributes:
        boxes: N x 4 `float32`, left, top, right, bottom in pixels; right and bottom are exclusive.
        classes: N names.
        scores: N `float32` in [0, 1], or None for annotations.
        track_ids: N `int64`, or None without tracking.
        ignored: N `bool`, crowds (COCO) and difficult objects (VOC), which evaluations do not count; None for none.
        outlines: N outlines, each None where only the box is known; or empty where no outline is known at all.
    """

    boxes: Boxes
    classes: tuple[str, ...]
    scores: npt.NDArray[np.float32] | None = None
    track_ids: npt.NDArray[np.int64] | None = None
    ignored: npt.NDArray[np.bool_] | None = None
    outlines: tuple[Outline | None, ...] = ()

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise CalcoError(f"boxes have the shape {self.boxes.shape}; they need N x 4: left, top, right, bottom")
        parts: dict[str, Any] = {name: getattr(self, name) for name in ("classes", "scores", "track_ids", "ignored")}
        parts |= {"outlines": self.outlines} if self.outlines else {}
        for name, part in parts.items():
            if part is not None and len(part) != len(self.boxes):
                raise CalcoError(f"{len(self.boxes)} boxes have {len(part)} {name}; each box needs one")

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def is_ignored(self) -> npt.NDArray[np.bool_]:
        """N `bool`: `ignored`, and False for all where that is None."""
        return np.zeros(len(self), np.bool_) if self.ignored is None else self.ignored

    def select(self, chosen: Sequence[int] | npt.NDArray[Any]) -> "Detections":
        """Return the objects at these indices (or where a boolean array of length N is true), in that order."""
        places = np.arange(len(self))[np.asarray(chosen, dtype=None if len(chosen) else np.int64)]
        return replace(
            self,
            boxes=self.boxes[places],
            classes=tuple(self.classes[i] for i in places),
            scores=None if self.scores is None else self.scores[places],
            track_ids=None if self.track_ids is None else self.track_ids[places],
            ignored=None if self.ignored is None else self.ignored[places],
            outlines=tuple(self.outlines[i] for i in places) if self.outlines else (),
        )

    def areas(self) -> npt.NDArray[np.float32]:
        """Return the area of each box in square pixels; 0 for an inverted one."""
        sides: npt.NDArray[np.float32] = np.clip(self.boxes[:, 2:] - self.boxes[:, :2], 0, None)
        return sides[:, 0] * sides[:, 1]

    def scaled(self, across: float, down: float) -> "Detections":
        """Return the objects in an image scaled by these factors."""
        boxes = (self.boxes * (across, down, across, down)).astype(np.float32)
        return replace(self, boxes=boxes, outlines=tuple(o and o.scaled(across, down) for o in self.outlines))

    def cropped(self, left: int, top: int, width: int, height: int, *, least: float = 0.0) -> "Detections":
        """Return the objects in a window, relative to the window's corner.

        Args:
            left: Left of the window in pixels; it may reach beyond the image.
            top: Top of the window in pixels.
            width: Width of the window in pixels.
            height: Height of the window in pixels.
            least: Least share of a box that must lie in the window; objects outside it are always dropped.
        """
        corner, edges = np.array([left, top] * 2, np.float32), np.array([width, height] * 2, np.float32)
        boxes = np.clip(self.boxes - corner, 0, edges)
        outlines = tuple(o and o.cropped(left, top, width, height) for o in self.outlines)
        cut = replace(self, boxes=boxes, outlines=outlines)
        kept = (cut.areas() > 0) & (cut.areas() >= least * self.areas())
        if outlines:
            kept &= [outline is None or bool(outline) for outline in outlines]
        return cut.select(kept)

    def clipped(self, width: int, height: int) -> "Detections":
        """Return the objects clipped to an image of this size."""
        return self.cropped(0, 0, width, height)

    def mirrored(self, width: int) -> "Detections":
        """Return them with left and right exchanged in an image of this width."""
        boxes = self.boxes.copy()
        boxes[:, [0, 2]] = width - self.boxes[:, [2, 0]]
        return replace(self, boxes=boxes, outlines=tuple(o and o.mirrored(width) for o in self.outlines))


def nothing() -> Detections:
    """Return the detections of an empty image."""
    return Detections(boxes=np.zeros((0, 4), np.float32), classes=())


def outline_mask(outline: Outline, height: int, width: int) -> Mask:
    """Return the pixels whose centre lies in one of the polygons of an outline, or its mask, HW `bool`."""
    if outline.mask is None:
        parts = [fill(polygon, height, width) for polygon in outline.polygons]
        return np.logical_or.reduce(parts) if parts else np.zeros((height, width), np.bool_)
    if outline.mask.shape != (height, width):
        seen = f"{outline.mask.shape[1]}x{outline.mask.shape[0]}"
        raise CalcoError(f"a mask of {seen} pixels lies on an image of {width}x{height}; both need the same size")
    return outline.mask


def _resampled(mask: Mask, across: float, down: float) -> Mask:
    """Scale a mask by the nearest pixels."""
    height, width = mask.shape
    new_height, new_width = max(1, round(height * down)), max(1, round(width * across))
    rows = ((np.arange(new_height) + 0.5) * height / new_height).astype(np.int64)
    columns = ((np.arange(new_width) + 0.5) * width / new_width).astype(np.int64)
    return np.ascontiguousarray(mask[rows][:, columns])
