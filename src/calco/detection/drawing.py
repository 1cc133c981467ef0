"""Drawing of detections: boxes, outlines, and labels that avoid each other."""

import colorsys
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.annotations.detections import Detections, Outline
from calco.imaging import Image

Colour: TypeAlias = tuple[int, int, int]
Rectangle: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom, pixels

# Far from each other, for people with weak red or green as well, and from what photographs are full of.
_FIRST: Final[tuple[Colour, ...]] = (
    (255, 149, 0), (0, 212, 255), (255, 45, 149), (124, 252, 0), (255, 235, 59), (186, 104, 255), (255, 59, 48),
    (0, 230, 170), (120, 144, 255), (255, 180, 190),
)  # fmt: skip
_RIM: Final[Colour] = (20, 20, 20)
_GOLDEN: Final = 0.61803398875  # turns of the hue from one colour to the next, which keep far from all before
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL: Final = 22.0  # pixels of a capital letter at scale 1
_LEAST_TEXT: Final = 8.0  # pixels of a capital letter, below which nobody reads it
_SMALL_BOX: Final = 20  # times the side of a usual box is the image's for which letters are a third of that side
_SHADE: Final = 0.35  # of the colour over an outlined object


def numbered_colour(number: int) -> Colour:
    """Return the colour of the n-th class or track, RGB; always the same, and unlike those before."""
    if 0 <= number < len(_FIRST):
        return _FIRST[number]
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1.0, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def colour_of(name: str, classes: Sequence[str] = ()) -> Colour:
    """Return the colour of a class, RGB: by its place among the classes, by its name if it is not among them."""
    place = list(classes).index(name) if name in classes else len(_FIRST) + zlib.crc32(name.encode()) % 10_000
    return numbered_colour(place)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of lines and letters that can be seen in an image of any size."""

    line: int  # thickness of a box's line, pixels
    scale: float  # scale of the letters, as OpenCV has it
    pen: int  # thickness of a letter's line, pixels
    gap: int  # space around a label's letters, pixels

    @classmethod
    def of(cls, image: Image, share: float = 1.0, boxes: npt.NDArray[np.float32] | None = None) -> "Sizes":
        """Return the sizes for an image, times `share`.

        With boxes (N x 4), small ones make labels and lines smaller, down to two fifths: they would cover the objects.
        """
        side = float(np.sqrt(image.shape[0] * image.shape[1])) * share
        if boxes is not None and len(boxes):
            usual = float(np.median(np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))) * share
            side = min(side, max(0.4 * side, _SMALL_BOX * usual))
        capital = max(_LEAST_TEXT, side / 60)
        scale = capital / _CAPITAL
        return cls(max(1, round(side / 350)), scale, max(1, round(1.6 * scale)), max(2, round(capital / 3)))


@dataclass(frozen=True, slots=True)
class Drawer:
    """Draws on the images of one kind, or on the frames of a video."""

    classes: Sequence[str] = ()  # names of all classes; the n-th always has the same colour
    by: Literal["class", "track"] = "class"  # meaning of a colour: the class, or the track if there is one
    share: float = 1.0  # factor for lines and letters
    fit: bool = False  # make them smaller where the boxes are small; on the frames of a video they would change size

    def __call__(self, image: Image, found: Detections, labels: Sequence[str] | None = None) -> Image:
        """Return an HW3 `uint8` RGB copy of an image with its objects; see `draw_detections`."""
        scene = as_scene(image)
        if not len(found):
            return scene
        sizes = Sizes.of(scene, self.share, found.boxes if self.fit else None)
        colours = self.colours(found)
        if found.outlines:
            scene = _shaded(scene, found.outlines, colours, sizes)
        # The middle of a line runs along pixels: half of its thickness stands outside the box.
        height, width = scene.shape[:2]
        inset = sizes.line // 2
        lines = np.clip(found.boxes - (0, 0, 1, 1), inset, [width - 1 - inset, height - 1 - inset] * 2).astype(int)
        # A dark rim first: a box must be seen before a background of its own colour.
        rim = sizes.line + 2 * max(1, sizes.line // 3)
        for thickness, inks in ((rim, [_RIM] * len(found)), (sizes.line, colours)):
            for (left, top, right, bottom), ink in zip(lines.tolist(), inks, strict=True):
                cv2.rectangle(scene, (left, top), (right, bottom), ink, thickness)
        draw_labels(scene, found.boxes, label_texts(found) if labels is None else labels, colours, sizes)
        return scene

    def colours(self, found: Detections) -> list[Colour]:
        """Return the colour of each object, RGB."""
        if self.by == "track" and found.track_ids is not None:
            return [numbered_colour(int(track)) for track in found.track_ids]
        return [colour_of(name, self.classes) for name in found.classes]


def draw_detections(
    image: Image,
    found: Detections,
    classes: Sequence[str] = (),
    *,
    labels: Sequence[str] | None = None,
    share: float = 1.0,
) -> Image:
    """Draw boxes, outlines and labels on a copy of an image.

    Args:
        image: HWC, `uint8`, `uint16` or `float32` in [0, 1]; it stays as it is.
        found: Boxes in its pixels.
        classes: Names of all classes; the n-th always has the same colour.
        labels: Label of each object, in place of name, track and score.
        share: Factor for lines and letters.

    Returns:
        HW3 `uint8`, RGB, of the same size.
    """
    return Drawer(classes, share=share, fit=True)(image, found, labels)


def label_texts(found: Detections) -> list[str]:
    """Return the label of each object, such as "pistol #3 0.91"."""
    texts = []
    for i, name in enumerate(found.classes):
        track = "" if found.track_ids is None else f" #{int(found.track_ids[i])}"
        score = "" if found.scores is None else f" {float(found.scores[i]):.2f}"
        texts.append(f"{name}{track}{score}")
    return texts


def as_scene(image: Image) -> Image:
    """Return a copy of an image to draw on: HW3 `uint8`, RGB."""
    image = imaging.as_image(image)
    shown = image if image.dtype == np.uint8 and image.shape[2] == 3 else imaging.visible(image)
    return np.array(imaging.as_channels(imaging.as_dtype(shown, np.uint8), 3), order="C", copy=True)


def enlarged(image: Image, found: Detections, least: int) -> tuple[Image, Detections]:
    """Enlarge an image by the whole factor that makes its longer side `least` pixels or more, with its boxes."""
    times = -(-least // max(image.shape[:2]))
    if times <= 1:
        return image, found
    return image.repeat(times, 0).repeat(times, 1), found.scaled(times, times)


def draw_labels(
    scene: Image,
    boxes: npt.NDArray[np.float32],
    texts: Sequence[str],
    colours: Sequence[Colour],
    sizes: Sizes | None = None,
) -> None:
    """Write beside boxes (N x 4, pixels) on an HW3 `uint8` scene, each label where it covers the least of the others.

    The first boxes have the first choice; an empty text is not drawn.
    """
    sizes = sizes or Sizes.of(scene)
    height, width = scene.shape[:2]
    taken: list[Rectangle] = []
    for box, text, colour in zip(boxes.tolist(), texts, colours, strict=True):
        if shown := fitting(text, width, sizes):
            place = _free(box, _label_wh(shown, sizes), (width, height), taken)
            taken.append(place)
            draw_label(scene, shown, place[:2], colour, sizes)


def draw_label(scene: Image, text: str, corner: tuple[int, int], colour: Colour, sizes: Sizes) -> None:
    """Write one line on a coloured background (RGB), whose left upper corner is given in pixels."""
    width, height = _label_wh(text, sizes)
    left, top = corner
    cv2.rectangle(scene, (left, top), (left + width - 1, top + height - 1), colour, -1)
    # Rec. 601's luma; people read black on anything but dark colours.
    ink = (0, 0, 0) if np.dot(colour, (0.299, 0.587, 0.114)) > 110 else (255, 255, 255)
    base = top + sizes.gap + round(_CAPITAL * sizes.scale)
    cv2.putText(scene, _written(text), (left + sizes.gap, base), _FONT, sizes.scale, ink, sizes.pen, cv2.LINE_AA)


def fitting(text: str, width: int, sizes: Sizes) -> str:
    """Shorten a text until its label is at most `width` pixels wide."""
    if _label_wh(text, sizes)[0] <= width:
        return text
    for length in range(len(text) - 1, 0, -1):
        shorter = text[:length].rstrip() + ".."
        if _label_wh(shorter, sizes)[0] <= width:
            return shorter
    return ""


def _label_wh(text: str, sizes: Sizes) -> tuple[int, int]:
    """Size of a label's background: as much space above capitals as below the lines of g and p."""
    width = cv2.getTextSize(_written(text), _FONT, sizes.scale, sizes.pen)[0][0]
    return int(width) + 2 * sizes.gap, round(_CAPITAL * sizes.scale * 1.3) + 2 * sizes.gap


def _written(text: str) -> str:
    """OpenCV writes all letters from 5.0 on; before, those of ASCII alone, and question marks for others."""
    if text.isascii() or int(cv2.__version__.split(".")[0]) >= 5:
        return text
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _free(box: Sequence[float], size_wh: tuple[int, int], scene_wh: tuple[int, int],
          taken: Sequence[Rectangle]) -> Rectangle:  # fmt: skip
    """Place of a label that covers the least of those before; above the box if nothing is in the way."""
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
        # A label that had to be moved into the image covers its own box, which costs a little.
        cost = 0.1 * (abs(x - x0) * height + abs(y - y0) * width)
        for a, b, c, d in taken:
            cost += max(0, min(place[2], c) - max(x0, a)) * max(0, min(place[3], d) - max(y0, b))
        if cost < least:
            best, least = place, cost
        if cost == 0:
            break
    return best


def _shaded(scene: Image, outlines: Sequence[Outline | None], colours: Sequence[Colour], sizes: Sizes) -> Image:
    """Shade the pixels of each object in its colour, with a line around them."""
    shade = scene.copy()
    rings = [
        (_rings(outline), colour) for outline, colour in zip(outlines, colours, strict=True) if outline is not None
    ]
    for polygons, colour in rings:
        cv2.fillPoly(shade, polygons, colour)
    shaded: Image = cv2.addWeighted(shade, _SHADE, scene, 1 - _SHADE, 0).astype(np.uint8, copy=False)
    for polygons, colour in rings:
        cv2.polylines(shaded, polygons, True, colour, max(1, sizes.line // 2), cv2.LINE_AA)
    return shaded


def _rings(outline: Outline) -> list[npt.NDArray[np.int32]]:
    if outline.mask is None:
        return [np.round(polygon).astype(np.int32) for polygon in outline.polygons if len(polygon)]
    rings, _ = cv2.findContours(outline.mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [ring.astype(np.int32, copy=False) for ring in rings]
