"""Draws what was found: boxes with their names and scores, outlines, and the ways of tracks.

Boxes and traces are drawn by supervision. Labels are our own: supervision puts each above its box, where those of
neighbours cover each other and one at the upper border is cut, or pushes them apart until nobody knows whose they are.
"""

import importlib.util
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.annotations.detections import Detections, Outline
from calco.annotations.geometry import Mask
from calco.detection.labelling import Colour, Sizes, colour_of, draw_label, draw_labels, numbered_colour
from calco.errors import CalcoError
from calco.imaging import Image

if TYPE_CHECKING:
    import supervision as sv

__all__ = [
    "Colour",
    "Drawer",
    "Sizes",
    "as_scene",
    "colour_of",
    "draw_detections",
    "draw_label",
    "draw_labels",
    "enlarged",
    "labels_of",
    "numbered_colour",
]

_SHADE: Final = 0.35  # of the colour over an outlined thing


class Drawer:
    """Draws on the images of one kind, or on the frames of a video; keeps the ways of tracks between them."""

    def __init__(
        self,
        classes: Sequence[str] = (),
        *,
        by: Literal["class", "track"] = "class",
        labels: bool = True,
        trace: int = 0,
        share: float = 1.0,
        fit: bool = False,
    ) -> None:
        """Prepares it.

        Args:
            classes: The names of all classes; the n-th always has the same colour.
            by: What a colour stands for: the class, or the track where there is one.
            labels: Writes name, score and track beside each box.
            trace: Over how many frames the way of a track is shown; 0 for none.
            share: Lines and letters so many times as large as usual.
            fit: Makes them smaller where the boxes are small; on the frames of a video they would not stay the same.

        Raises:
            CalcoError: When supervision is missing.
        """
        if importlib.util.find_spec("supervision") is None:
            raise CalcoError("supervision is not installed, and drawing boxes needs it; pip install 'calco[detect]'")
        import supervision

        self._sv: Any = supervision
        self.classes, self.by, self.labels, self.share, self.fit = tuple(classes), by, labels, share, fit
        self._trace = trace
        self._traces: Any = None

    def __call__(self, image: Image, found: Detections, labels: Sequence[str] | None = None) -> Image:
        """Draws what is in an image.

        Args:
            image: HWC, `uint8`, `uint16` or `float32` in [0, 1]; it stays as it is.
            found: Boxes in its pixels; frames of a video come in order, those without any too.
            labels: What is written beside each, in place of name, score and track.

        Returns:
            HW3 `uint8`, RGB, of the same size.
        """
        scene = as_scene(image)
        if not len(found) and self._traces is None:
            return scene
        sizes = Sizes.of(scene, self.share, found.boxes if self.fit else None)
        colours = self.colours(found)
        if found.outlines:
            scene = _shaded(scene, found.outlines, colours, sizes)
        told = self._told(found, colours, scene, sizes)
        if self._trace and (found.track_ids is not None or self._traces is not None):
            scene = self._ways(scene, told, colours, sizes)
        if not len(found):
            return scene
        # A dark rim, for a box must be seen before a background of its own colour.
        rim, box = (self._sv.BoxAnnotator(colour, sizes.line + more, self._sv.ColorLookup.INDEX)
                    for colour, more in ((self._sv.Color(20, 20, 20), 2 * max(1, sizes.line // 3)),
                                         (self._palette(colours), 0)))  # fmt: skip
        scene = np.asarray(box.annotate(rim.annotate(scene, told), told))
        if self.labels:
            texts = labels_of(found) if labels is None else list(labels)
            draw_labels(scene, found.boxes, texts, colours, sizes)
        return scene

    def colours(self, found: Detections) -> list[Colour]:
        """The colour of each thing, RGB."""
        if self.by == "track" and found.track_ids is not None:
            return [numbered_colour(int(track)) for track in found.track_ids]
        return [colour_of(name, self.classes) for name in found.classes]

    def reset(self) -> None:
        """Forgets the ways of tracks: another video begins."""
        self._traces = None

    def _palette(self, colours: Sequence[Colour]) -> "sv.ColorPalette":
        """Supervision writes blue first, and our images have red first."""
        palette: sv.ColorPalette = self._sv.ColorPalette([self._sv.Color(r=b, g=g, b=r) for r, g, b in colours])
        return palette

    def _told(self, found: Detections, colours: Sequence[Colour], scene: Image, sizes: Sizes) -> "sv.Detections":
        """The same for supervision, whose lines run along pixels: half of one stands outside the box."""
        height, width = scene.shape[:2]
        inset = sizes.line // 2
        boxes = found.boxes - np.array([0, 0, 1, 1], np.float32)
        boxes = np.clip(boxes, inset, np.array([width - 1 - inset, height - 1 - inset] * 2, np.float32))
        told: sv.Detections = self._sv.Detections(
            xyxy=boxes, class_id=np.arange(len(colours)),
            tracker_id=None if found.track_ids is None else found.track_ids.astype(np.int64),
        )  # fmt: skip
        return told

    def _ways(self, scene: Image, told: "sv.Detections", colours: Sequence[Colour], sizes: Sizes) -> Image:
        """Where the middle of each thing's lower edge, its feet, has been."""
        if self._traces is None:
            self._traces = self._sv.TraceAnnotator(
                position=self._sv.Position.BOTTOM_CENTER, trace_length=self._trace, thickness=sizes.line,
                color_lookup=self._sv.ColorLookup.INDEX,
            )  # fmt: skip
        self._traces.color = self._palette(colours or [(0, 0, 0)])
        if told.tracker_id is None and len(told):
            return scene
        drawn: Image = self._traces.annotate(scene, told)
        return drawn


def draw_detections(
    image: Image,
    found: Detections,
    classes: Sequence[str] = (),
    *,
    labels: Sequence[str] | None = None,
    share: float = 1.0,
) -> Image:
    """Draws what is in an image: see `Drawer`.

    Args:
        image: HWC, `uint8`, `uint16` or `float32` in [0, 1]; it stays as it is.
        found: Boxes in its pixels.
        classes: The names of all classes; the n-th always has the same colour.
        labels: What is written beside each, in place of name, score and track.
        share: Lines and letters so many times as large as usual.

    Returns:
        HW3 `uint8`, RGB, of the same size.
    """
    return Drawer(classes, share=share, fit=True)(image, found, labels)


def labels_of(found: Detections) -> list[str]:
    """What is written beside each thing: its name, its track and its score, such as "pistol #3 0.91"."""
    texts = []
    for i, name in enumerate(found.classes):
        track = "" if found.track_ids is None else f" #{int(found.track_ids[i])}"
        score = "" if found.scores is None else f" {float(found.scores[i]):.2f}"
        texts.append(f"{name}{track}{score}")
    return texts


def as_scene(image: Image) -> Image:
    """An image to draw on: a copy, HW3 `uint8`, RGB."""
    image = imaging.as_image(image)
    shown = image if image.dtype == np.uint8 and image.shape[2] == 3 else imaging.visible(image)
    scene = imaging.as_channels(imaging.as_dtype(shown, np.uint8), 3)
    return np.array(scene, order="C", copy=True)


def enlarged(image: Image, found: Detections, least: int) -> tuple[Image, Detections]:
    """An image so many whole times as large that its longer side is at least `least`, with its boxes.

    In an image of a hundred pixels a label covers everything.
    """
    times = -(-least // max(image.shape[:2]))
    if times <= 1:
        return image, found
    return image.repeat(times, 0).repeat(times, 1), found.scaled(times, times)


def _shaded(scene: Image, outlines: Iterable[Outline | None], colours: Sequence[Colour], sizes: Sizes) -> Image:
    """With the pixels of each thing in its colour, and a line around them."""
    shade = scene.copy()
    rings: list[tuple[list[npt.NDArray[np.int32]], Colour]] = []
    for outline, colour in zip(outlines, colours, strict=True):
        if outline is None:
            continue
        found = _rings(outline)
        cv2.fillPoly(shade, found, colour)
        rings.append((found, colour))
    drawn: Image = cv2.addWeighted(shade, _SHADE, scene, 1 - _SHADE, 0).astype(np.uint8, copy=False)
    for found, colour in rings:
        cv2.polylines(drawn, found, True, colour, max(1, sizes.line // 2), cv2.LINE_AA)
    return drawn


def _rings(outline: Outline) -> list[npt.NDArray[np.int32]]:
    if outline.mask is None:
        return [np.round(polygon).astype(np.int32) for polygon in outline.polygons if len(polygon)]
    return _contours(outline.mask)


def _contours(mask: Mask) -> list[npt.NDArray[np.int32]]:
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [ring.astype(np.int32, copy=False) for ring in found]
