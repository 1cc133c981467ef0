"""Annotated frames: faces blurred, crops painted by a translator, zones, boxes, trails and alarms."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections
from calco.data.palettes import Palette, decode, paint
from calco.detection.drawing import Drawer, Sizes, draw_label, draw_labels, numbered_colour
from calco.errors import CalcoError
from calco.imaging import Image, as_channels, as_dtype
from calco.video.reading import clock
from calco.watch.rules import Rules
from calco.watch.tracking import Floats, Track

PEOPLE: Final = ("person", "people", "human", "pedestrian", "man", "woman", "face", "head", "persona")
"""Names of classes that have a head."""
_CELLS: Final = 5  # cells across a head: an average over each cannot be undone
_FACE_SCORE: Final = 0.5  # lower than usual: a shadow that is blurred in vain does no harm


def head_of(box: Floats, name: str = "person") -> Floats:
    """Return the part of a person's box that holds the head, with room for a box that is not quite right.

    A head is a seventh of a standing person and nearly a half of one who is cut at the breast, whose box is wide: so
    the part is as high as most of the box is wide, a quarter of it at least and all of it where somebody lies.
    """
    left, top, right, bottom = (float(end) for end in box)
    width, height = right - left, bottom - top
    whole = name in ("face", "head") or width > 1.2 * height
    tall = height if whole else min(height, max(0.25 * height, 0.8 * width))
    return np.array([left - 0.1 * width, top - 0.08 * height, right + 0.1 * width, top + tall])


def blur(image: Image, box: Floats) -> None:
    """Average the inside of a box over a few cells, and smooth them: HWC `uint8`, changed in place."""
    height, width = image.shape[:2]
    left, right = (int(end) for end in np.clip([np.floor(box[0]), np.ceil(box[2])], 0, width))
    top, bottom = (int(end) for end in np.clip([np.floor(box[1]), np.ceil(box[3])], 0, height))
    if right <= left or bottom <= top:
        return
    part = image[top:bottom, left:right]
    across = min(_CELLS, right - left)
    down = max(1, min(bottom - top, round(across * (bottom - top) / (right - left))))
    cells = cv2.resize(part, (across, down), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(cells, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    image[top:bottom, left:right] = smooth.reshape(part.shape)


class FaceBlur:
    """Blurs the heads of people and, with a YuNet detector of faces in an ONNX file, the faces that it finds."""

    def __init__(self, people: tuple[str, ...], model: str = "") -> None:
        """Load the detector; `people` are the classes whose boxes have a head."""
        self.people = people
        self._detector: Any = None
        if not model:
            return
        if not Path(model).is_file():
            raise CalcoError(f"--face-model {model} is not there; name the ONNX file of a YuNet face detector")
        try:
            self._detector = cv2.FaceDetectorYN.create(model, "", (64, 64), _FACE_SCORE)
            self._detector.setInputSize((64, 64))
            self._detector.detect(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as error:
            raise CalcoError(
                f"--face-model {model} is no YuNet face detector that OpenCV {cv2.__version__} reads; name the ONNX "
                "file of one"
            ) from error

    def __call__(self, image: Image, people: Iterable[tuple[str, Floats]]) -> Image:
        """Return a copy of an image (HW3 `uint8`) without faces, given class and box of each object."""
        blurred = image.copy()
        for name, box in people:
            if name in self.people:
                blur(blurred, head_of(box, name))
        if self._detector is not None:
            self._detector.setInputSize((image.shape[1], image.shape[0]))
            _, faces = self._detector.detect(np.ascontiguousarray(image[..., ::-1]))
            for left, top, width, height in () if faces is None else faces[:, :4].astype(np.float64):
                more = 0.15 * np.array([width, height])
                blur(blurred, np.array([left - more[0], top - more[1], left + width + more[0], top + height + more[1]]))
        return blurred


_FEATHER: Final = 0.08  # share of a crop's shorter side over which an output fades into the image
_LEAST: Final = 8  # pixels of a crop's side below which nothing can be seen in it
_ALARM: Final = (230, 30, 40)
_SHOWN: Final = 3.0  # seconds for which an event stays in the image
_ZONE: Final = (255, 255, 255)
_TINT: Final = 0.12


@dataclass(slots=True)
class Painted:
    """The output of a translator for a crop."""

    image: Image  # HW3 `uint8`
    share: npt.NDArray[np.uint8]  # HW `uint8`, its opacity, up to 255
    # left, top, right, bottom of the crop, as shares of the track's box counted from its corner
    window: tuple[float, float, float, float]
    frame: int  # number of the frame


@dataclass
class Painter:
    """Paints tracked objects: each anew after some frames, and in between as before, moved with its box."""

    translator: Callable[[Image], Image]  # HWC `uint8` => HWC of the same height and width
    # its classes and colours if it segments; the first one is background, and left as it is
    palette: Palette | None = None
    classes: tuple[str, ...] = ()  # classes that are painted; none for all
    margin: float = 0.15  # share of a box's width and height that is added on each side
    every: int = 8  # frames after which an object is painted anew
    most: int = 2  # objects that are painted in one frame at most; the others keep what they have and come next
    _kept: dict[int, Painted] = field(default_factory=dict)

    def __call__(self, image: Image, tracks: Sequence[Track], frame: int) -> dict[int, Painted]:
        """Return the paint of each track in view, given the image (HW3 `uint8`) and the number of the frame."""
        wanted = {track.id: track for track in tracks if not self.classes or track.name in self.classes}
        self._kept = {number: each for number, each in self._kept.items() if number in wanted}
        due = [
            (self._kept[number].frame if number in self._kept else -1, number)
            for number in wanted
            if number not in self._kept or frame - self._kept[number].frame >= self.every
        ]
        for _, number in sorted(due)[: self.most]:
            if (fresh := self._paint(image, wanted[number], frame)) is not None:
                self._kept[number] = fresh
        return dict(self._kept)

    def _paint(self, image: Image, track: Track, frame: int) -> Painted | None:
        box = track.box
        left, top, right, bottom = window_of(box, self.margin, image.shape[1], image.shape[0])
        if right - left < _LEAST or bottom - top < _LEAST:
            return None
        output = as_channels(as_dtype(self.translator(image[top:bottom, left:right]), np.uint8), 3)
        if self.palette is not None:
            indices = decode(output, self.palette)
            # The colour of the track tells people apart, where one class alone is painted.
            one = (self.palette[0], (self.palette[1][0], numbered_colour(track.id))) if len(self.palette) == 2 else None
            output = paint(indices, one or self.palette)
            share = np.where(indices > 0, np.uint8(128), np.uint8(0))
            share = np.asarray(cv2.GaussianBlur(share, (3, 3), 0), np.uint8)
        else:
            height, width = output.shape[:2]  # opaque within, fading to the borders
            down, across = (np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5) for side in (height, width))
            fade = max(1.0, _FEATHER * min(height, width))
            share = np.asarray(np.round(255 * np.clip(np.minimum(down[:, None], across) / fade, 0, 1)), np.uint8)
        size = np.maximum(box[2:] - box[:2], 1e-3)
        low, high = (np.array([left, top]) - box[:2]) / size, (np.array([right, bottom]) - box[:2]) / size
        return Painted(output, share, (float(low[0]), float(low[1]), float(high[0]), float(high[1])), frame)


def window_of(box: Floats, margin: float, width: int, height: int) -> tuple[int, int, int, int]:
    """Return a box with its margin, in whole pixels of an image: left, top, right, bottom; empty if it lies outside."""
    more = (box[2:] - box[:2]) * margin
    low = np.clip(np.floor(box[:2] - more), 0, [width, height]).astype(int)
    high = np.clip(np.ceil(box[2:] + more), 0, [width, height]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def lay_over(image: Image, tracks: Sequence[Track], painted: Mapping[int, Painted]) -> None:
    """Lay paint over an image (HW3 `uint8`, in place), the nearest objects (those that reach lowest) last."""
    for track in sorted(tracks, key=lambda each: float(each.box[3])):
        cover = painted.get(track.id)
        place = None if cover is None else _place(image, track.box, cover)
        if cover is None or place is None:
            continue
        x, y, wide, tall = place
        left, top, right, bottom = max(0, x), max(0, y), min(image.shape[1], x + wide), min(image.shape[0], y + tall)
        if left >= right or top >= bottom:
            continue
        over, share = cover.image, cover.share
        if over.shape[:2] != (tall, wide):
            over = cv2.resize(over, (wide, tall), interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False)
            share = cv2.resize(share, (wide, tall), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
        part = slice(top - y, bottom - y), slice(left - x, right - x)
        weight = share[part][..., None].astype(np.uint16)
        under = image[top:bottom, left:right].astype(np.uint16)
        mixed = (over[part].astype(np.uint16) * weight + under * (255 - weight) + 127) // 255
        image[top:bottom, left:right] = mixed.astype(np.uint8)


def _outline(image: Image, box: Floats, painted: Painted, colour: tuple[int, int, int]) -> None:
    """Draw a line around paint, so that it is seen on any ground; in place."""
    place = _place(image, box, painted)
    if place is None:
        return
    x, y, wide, tall = place
    share = cv2.resize(painted.share, (wide, tall), interpolation=cv2.INTER_LINEAR)
    rings, _ = cv2.findContours((share > share.max() / 2).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    moved = [(ring + np.array([x, y], np.int32)).astype(np.int32) for ring in rings]
    cv2.polylines(image, moved, True, colour, 1, cv2.LINE_AA)


def _place(image: Image, box: Floats, painted: Painted) -> tuple[int, int, int, int] | None:
    """Return left, top, width, height of paint in pixels, where the box is now; None if that is absurd."""
    size = box[2:] - box[:2]
    low = np.round(box[:2] + np.array(painted.window[:2]) * size).astype(int)
    high = np.round(box[:2] + np.array(painted.window[2:]) * size).astype(int)
    wide, tall = (int(side) for side in high - low)
    if not (0 < wide <= 4 * image.shape[1] and 0 < tall <= 4 * image.shape[0]):
        return None
    return int(low[0]), int(low[1]), wide, tall


class Scene:
    """Draws zones, tracks and alarms (seconds, track and rule of an event) on frames of one size (pixels)."""

    def __init__(self, rules: Rules, size_wh: tuple[int, int], classes: tuple[str, ...]) -> None:
        self.alarms: list[tuple[float, int, str]] = []
        self._size_wh = size_wh
        self._drawer = Drawer(classes, by="track")
        self._zones = {name: np.round(zone.pixels(*size_wh)).astype(np.int32) for name, zone in rules.zones.items()}

    def __call__(self, image: Image, tracks: Sequence[Track], painted: Mapping[int, Painted], time: float) -> Image:
        """Draw on a frame, HW3 `uint8` with the paint in it, changed in place."""
        self.alarms = [alarm for alarm in self.alarms if time - _SHOWN < alarm[0] <= time]
        sizes = Sizes.of(image)
        width = max(1, sizes.line)
        self._draw_zones(image, sizes)
        alarmed = {track for _, track, _ in self.alarms}
        for track in tracks:
            colour = _ALARM if track.id in alarmed else numbered_colour(track.id)
            if track.id in painted:
                _outline(image, track.box, painted[track.id], colour)
            if len(track.trail) > 1:
                trail = np.round(np.array(track.trail)).astype(np.int32)
                cv2.polylines(image, [trail], False, colour, width, cv2.LINE_AA)
            if track.id in alarmed:  # below the labels, which must stay readable
                left, top, right, bottom = (round(float(end)) for end in track.box)
                cv2.rectangle(image, (left, top), (right, bottom), _ALARM, 4 * sizes.line + 1)
        if tracks:
            found = Detections(
                boxes=np.array([track.box for track in tracks], np.float32).reshape(-1, 4),
                classes=tuple(track.name for track in tracks),
                scores=np.array([track.score for track in tracks], np.float32),
                track_ids=np.array([track.id for track in tracks], np.int64),
            ).clipped(*self._size_wh)
            numbers = () if found.track_ids is None else found.track_ids
            labels = [f"{name} {number}" for name, number in zip(found.classes, numbers, strict=False)]
            image = self._drawer(image, found, labels)
        draw_label(image, clock(time), (0, 0), (20, 20, 20), sizes)
        for n, (_, number, rule) in enumerate(reversed(self.alarms[-4:]), 1):
            draw_label(image, f"{rule}: #{number}", (0, n * round(2.1 * 22 * sizes.scale + sizes.gap)), _ALARM, sizes)
        return image

    def _draw_zones(self, image: Image, sizes: Sizes) -> None:
        boxes = []
        for corners in self._zones.values():
            left, top, width, height = cv2.boundingRect(corners)
            boxes.append((left, top, left + width, top + height))
            part = image[max(0, top) : top + height, max(0, left) : left + width]
            over = part.copy()
            moved = corners - np.array([max(0, left), max(0, top)], np.int32)
            cv2.fillPoly(over, [moved.astype(np.int32)], _ZONE)
            part[:] = cv2.addWeighted(over, _TINT, part, 1 - _TINT, 0)
            cv2.polylines(image, [corners], True, _ZONE, max(1, sizes.line), cv2.LINE_AA)
        places = np.array(boxes, np.float32).reshape(-1, 4)
        draw_labels(image, places, list(self._zones), [_ZONE] * len(boxes), sizes)
