"""The annotated frame: zones, what was painted, tracks with their ways, and what raised an event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from calco.annotations.detections import Detections
from calco.detection.drawing import Drawer, Sizes, draw_label, draw_labels
from calco.detection.labelling import numbered_colour
from calco.imaging import Image
from calco.video.reading import clock
from calco.watch.painting import Painted, outlined, put_back
from calco.watch.rules import Rules
from calco.watch.track import Track

ALARM: Final = (230, 30, 40)
_SHOWN: Final = 3.0  # seconds for which an event stays in the image
_ZONE: Final = (255, 255, 255)
_TINT: Final = 0.12


@dataclass
class Scene:
    """Draws frames.

    Attributes:
        rules: Whose zones are drawn.
        size_wh: Of the images, pixels.
        classes: Of the detector, for the colours.
    """

    rules: Rules
    size_wh: tuple[int, int]
    classes: tuple[str, ...]
    alarms: list[tuple[float, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._drawer = Drawer(self.classes, by="track")
        corners = {name: zone.pixels(*self.size_wh) for name, zone in self.rules.zones.items()}
        self._zones = {name: np.round(points).astype(np.int32) for name, points in corners.items()}
        self._tint: tuple[Image, tuple[slice, slice]] | None = None

    def alarm(self, time: float, track: int, rule: str) -> None:
        """Notes an event, which is shown for some seconds."""
        self.alarms.append((time, track, rule))

    def __call__(self, image: Image, tracks: Sequence[Track], painted: Mapping[int, Painted],
                 running: Mapping[int, float], time: float) -> Image:  # fmt: skip
        """Draws a frame.

        Args:
            image: HW3 `uint8`; it is drawn on.
            tracks: Those in view.
            painted: What covers them, by track; it lies in the image already.
            running: For how long a rule has held for them that waits for its seconds, by track.
            time: Seconds.
        """
        self.alarms = [alarm for alarm in self.alarms if time - _SHOWN < alarm[0] <= time]
        sizes = Sizes.of(image)
        self._draw_zones(image, sizes)
        alarmed = {track: rule for _, track, rule in self.alarms}
        for track in tracks:
            colour = ALARM if track.id in alarmed else numbered_colour(track.id)
            if track.id in painted:
                outlined(image, track.box, painted[track.id], colour)
            self._draw_way(image, track, colour, sizes)
        image = self._draw_boxes(image, tracks, alarmed, running, sizes)
        draw_label(image, clock(time), (0, 0), (20, 20, 20), sizes)
        if self.alarms:
            lines = [f"{rule}: #{track}" for _, track, rule in self.alarms[-4:]]
            for n, line in enumerate(reversed(lines)):
                draw_label(image, line, (0, (n + 1) * round(2.1 * 22 * sizes.scale + sizes.gap)), ALARM, sizes)
        return image

    def _draw_zones(self, image: Image, sizes: Sizes) -> None:
        for corners in self._zones.values():
            left, top, width, height = cv2.boundingRect(corners)
            part = image[max(0, top) : top + height, max(0, left) : left + width]
            over = part.copy()
            moved = corners - np.array([max(0, left), max(0, top)], np.int32)
            cv2.fillPoly(over, [moved.astype(np.int32)], _ZONE)
            part[:] = cv2.addWeighted(over, _TINT, part, 1 - _TINT, 0)
            cv2.polylines(image, [corners], True, _ZONE, max(1, sizes.line), cv2.LINE_AA)
        frames = [cv2.boundingRect(corners) for corners in self._zones.values()]
        boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in frames], np.float32).reshape(-1, 4)
        draw_labels(image, boxes, list(self._zones), [_ZONE] * len(boxes), sizes)

    def _draw_way(self, image: Image, track: Track, colour: tuple[int, int, int], sizes: Sizes) -> None:
        if len(track.trail) > 1:
            way = np.round(np.array(track.trail)).astype(np.int32)
            cv2.polylines(image, [way], False, colour, max(1, sizes.line), cv2.LINE_AA)

    def _draw_boxes(self, image: Image, tracks: Sequence[Track], alarmed: Mapping[int, str],
                    running: Mapping[int, float], sizes: Sizes) -> Image:  # fmt: skip
        if not tracks:
            return image
        found = detections_of(tracks).clipped(*self.size_wh)
        labels = []
        for number, name in zip(found.track_ids if found.track_ids is not None else (), found.classes, strict=False):
            seconds = f" {running[int(number)]:.1f} s" if int(number) in running else ""
            labels.append(f"{name} {number}{seconds}")
        for track in tracks:
            if track.id in alarmed:  # below the labels, which must stay readable
                left, top, right, bottom = (round(float(end)) for end in track.box)
                cv2.rectangle(image, (left, top), (right, bottom), ALARM, 4 * sizes.line + 1)
        return self._drawer(image, found, labels)


def detections_of(tracks: Sequence[Track]) -> Detections:
    """Tracks as detections with ids."""
    return Detections(
        boxes=np.array([track.box for track in tracks], np.float32).reshape(-1, 4),
        classes=tuple(track.name for track in tracks),
        scores=np.array([track.score for track in tracks], np.float32),
        track_ids=np.array([track.id for track in tracks], np.int64),
    )


def lay_over(scene: Image, tracks: Sequence[Track], painted: Mapping[int, Painted]) -> None:
    """Puts what was painted back into the image, the nearest objects (those that reach lowest) last."""
    for track in sorted(tracks, key=lambda each: float(each.box[3])):
        if track.id in painted:
            put_back(scene, track.box, painted[track.id])
