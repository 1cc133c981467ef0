"""Draws what was found: boxes with their names and scores, outlines, and the ways of tracks.

Boxes and traces are drawn by supervision. Labels are our own: supervision puts each above its box, where those of
neighbours cover each other and one at the upper border is cut, or pushes them apart until nobody knows whose they are.
"""

import colorsys
import importlib.util
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.annotations.detections import Detections, Outline
from calco.annotations.geometry import Mask
from calco.errors import MissingExtraError
from calco.imaging import Image

Colour: TypeAlias = tuple[int, int, int]
Rectangle: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom, pixels

# Far from each other, for people with weak red or green as well, and from what photographs are full of.
_FIRST: Final[tuple[Colour, ...]] = (
    (255, 149, 0), (0, 212, 255), (255, 45, 149), (124, 252, 0), (255, 235, 59), (186, 104, 255), (255, 59, 48),
    (0, 230, 170), (120, 144, 255), (255, 180, 190),
)  # fmt: skip
_GOLDEN: Final = 0.61803398875  # turns of the hue from one colour to the next, which keep far from all before
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL: Final = 22.0  # pixels of a capital letter at scale 1
_LEAST_TEXT: Final = 8.0  # pixels of a capital letter, below which nobody reads it
_SMALL_BOX: Final = 20  # times the side of a usual box is the image's for which letters are a third of that side


def numbered_colour(number: int) -> Colour:
    """The colour of the n-th class or track, RGB; the same always, and unlike those before."""
    if 0 <= number < len(_FIRST):
        return _FIRST[number]
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1.0, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def colour_of(name: str, classes: Sequence[str] = ()) -> Colour:
    """The colour of a class, RGB: by its place among the classes, by its name where it is not among them."""
    place = list(classes).index(name) if name in classes else len(_FIRST) + zlib.crc32(name.encode()) % 10_000
    return numbered_colour(place)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How thick and large objects are drawn, so that they can be seen in an image of any size.

    Attributes:
        line: Pixels of a box's line.
        scale: Of the letters, as OpenCV has it.
        pen: Pixels of a letter's line.
        gap: Pixels around a label's letters.
    """

    line: int
    scale: float
    pen: int
    gap: int

    @classmethod
    def of(cls, image: Image, share: float = 1.0, boxes: npt.NDArray[np.float32] | None = None) -> "Sizes":
        """Those for an image; `share` times the usual ones.

        With boxes (N x 4), where these are small, labels and lines are too, down to two fifths: they would cover what
        they name.
        """
        side = float(np.sqrt(image.shape[0] * image.shape[1])) * share
        if boxes is not None and len(boxes):
            usual = float(np.median(np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))) * share
            side = min(side, max(0.4 * side, _SMALL_BOX * usual))
        capital = max(_LEAST_TEXT, side / 60)
        scale = capital / _CAPITAL
        return cls(max(1, round(side / 350)), scale, max(1, round(1.6 * scale)), max(2, round(capital / 3)))


def draw_labels(
    scene: Image,
    boxes: npt.NDArray[np.float32],
    texts: Sequence[str],
    colours: Sequence[Colour],
    sizes: Sizes | None = None,
) -> None:
    """Writes beside boxes, where a label covers the least of the others.

    Args:
        scene: HW3 `uint8`, RGB; it is drawn on.
        boxes: N x 4, left, top, right, bottom, pixels; those that come first have the first choice.
        texts: One a box; an empty one writes nothing.
        colours: Behind each.
        sizes: Of the letters; by default those that fit the image.
    """
    sizes = sizes or Sizes.of(scene)
    height, width = scene.shape[:2]
    taken: list[Rectangle] = []
    for box, text, colour in zip(boxes.tolist(), texts, colours, strict=True):
        if shown := fitting(text, width, sizes):
            place = _free(box, _label_wh(shown, sizes), (width, height), taken)
            taken.append(place)
            draw_label(scene, shown, place[:2], colour, sizes)


def draw_label(scene: Image, text: str, corner: tuple[int, int], colour: Colour, sizes: Sizes | None = None) -> None:
    """Writes on a coloured ground.

    Args:
        scene: HW3 `uint8`, RGB; it is drawn on.
        text: One line.
        corner: Left and top of the ground, pixels.
        colour: Of the ground, RGB; the letters are black or white, whatever is seen better on it.
        sizes: Of the letters; by default those that fit the image.
    """
    sizes = sizes or Sizes.of(scene)
    width, height = _label_wh(text, sizes)
    left, top = corner
    cv2.rectangle(scene, (left, top), (left + width - 1, top + height - 1), colour, -1)
    # Rec. 601's luma; people read black on anything but dark colours.
    ink = (0, 0, 0) if np.dot(colour, (0.299, 0.587, 0.114)) > 110 else (255, 255, 255)
    base = top + sizes.gap + round(_CAPITAL * sizes.scale)
    cv2.putText(scene, _written(text), (left + sizes.gap, base), _FONT, sizes.scale, ink, sizes.pen, cv2.LINE_AA)


def fitting(text: str, width: int, sizes: Sizes) -> str:
    """A text that is at most so many pixels wide as a label: its end is left out where it must be."""
    if _label_wh(text, sizes)[0] <= width:
        return text
    for length in range(len(text) - 1, 0, -1):
        shorter = text[:length].rstrip() + ".."
        if _label_wh(shorter, sizes)[0] <= width:
            return shorter
    return ""


def _label_wh(text: str, sizes: Sizes) -> tuple[int, int]:
    """Of the ground: with as much space above capitals as below the lines of g and p."""
    width = cv2.getTextSize(_written(text), _FONT, sizes.scale, sizes.pen)[0][0]
    return int(width) + 2 * sizes.gap, round(_CAPITAL * sizes.scale * 1.3) + 2 * sizes.gap


def _written(text: str) -> str:
    """OpenCV writes all letters from 5.0 on; before, those of ASCII alone, and question marks for others."""
    if text.isascii() or int(cv2.__version__.split(".")[0]) >= 5:
        return text
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _free(box: Sequence[float], size_wh: tuple[int, int], scene_wh: tuple[int, int],
          taken: Sequence[Rectangle]) -> Rectangle:  # fmt: skip
    """The place for a label that covers the least of those before; above the box where nothing speaks against it."""
    left, top, right, bottom = (round(value) for value in box)
    width, height = size_wh
    corners = (
        (left, top - height), (left, top), (left, bottom), (right - width, top - height), (right - width, bottom),
        (right, top), (left - width, top), (left, bottom - height),
    )  # fmt: skip
    best, least = (0, 0, width, height), float("inf")
    for x, y in corners:
        x0 = min(max(x, 0), max(0, scene_wh[0] - width))
        y0 = min(max(y, 0), max(0, scene_wh[1] - height))
        place = (x0, y0, x0 + width, y0 + height)
        # What had to be moved into the image covers its own box, which costs a little.
        cost = sum(_shared(place, other) for other in taken) + 0.1 * (abs(x - x0) * height + abs(y - y0) * width)
        if cost < least:
            best, least = place, cost
        if cost == 0:
            break
    return best


def _shared(one: Rectangle, other: Rectangle) -> int:
    """Square pixels that two rectangles share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, across) * max(0, down)


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
    "label_texts",
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
            raise MissingExtraError(
                "supervision is not installed, and drawing boxes needs it; pip install 'calco[detect]'"
            )
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
            texts = label_texts(found) if labels is None else list(labels)
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


def label_texts(found: Detections) -> list[str]:
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
