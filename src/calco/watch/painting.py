"""Crops of what was found, painted by a translator and put back into the image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from calco.data.palettes import Palette, decode, paint
from calco.detection.drawing import numbered_colour
from calco.imaging import Image, as_channels, as_dtype
from calco.watch.tracking import Floats, Track

_FEATHER: Final = 0.08  # share of a crop's shorter side over which a drawing fades into the image
_LEAST: Final = 8  # pixels of a crop's side below which nothing can be seen in it

Draw = Callable[[Image], Image]
"""What paints: HWC `uint8` => HWC of the same height and width."""


@dataclass(slots=True)
class Painted:
    """What a translator drew of a crop.

    Attributes:
        drawn: HW3 `uint8`.
        share: HW `uint8`, how much of it covers the image, to 255.
        window: Left, top, right, bottom of the crop, as shares of the track's box counted from its corner.
        frame: In which it was drawn.
    """

    drawn: Image
    share: npt.NDArray[np.uint8]
    window: tuple[float, float, float, float]
    frame: int


@dataclass
class Painter:
    """Paints what is followed: each thing anew after some frames, and in between as it was, moved with its box.

    Attributes:
        draw: The translator.
        palette: Its classes and colours where it segments; the first of them is background, and left as it is.
        classes: What is painted; none for everything.
        margin: What is added on each side of a box, as a share of its width and height.
        every: Frames after which a thing is painted anew.
        most: Objects that are painted in one frame at most; the others keep what they have and come next.
        strength: How much of the colour covers the image, from 0 to 1.
    """

    draw: Draw
    palette: Palette | None = None
    classes: tuple[str, ...] = ()
    margin: float = 0.15
    every: int = 8
    most: int = 2
    strength: float = 0.5
    painted: int = 0
    _kept: dict[int, Painted] = field(default_factory=dict)

    def __call__(self, image: Image, tracks: Sequence[Track], frame: int) -> dict[int, Painted]:
        """What covers each track now; crops are drawn where they are due.

        Args:
            image: HW3 `uint8`.
            tracks: Those in view.
            frame: Number of the frame.
        """
        wanted = {track.id: track for track in tracks if not self.classes or track.name in self.classes}
        self._kept = {number: each for number, each in self._kept.items() if number in wanted}
        due = [
            (self._kept[number].frame if number in self._kept else -1, number)
            for number in wanted
            if number not in self._kept or frame - self._kept[number].frame >= self.every
        ]
        for _, number in sorted(due)[: self.most]:
            if (fresh := self._drawn(image, wanted[number], frame)) is not None:
                self._kept[number] = fresh
                self.painted += 1
        return dict(self._kept)

    def _drawn(self, image: Image, track: Track, frame: int) -> Painted | None:
        box = track.box
        left, top, right, bottom = window_of(box, self.margin, image.shape[1], image.shape[0])
        if right - left < _LEAST or bottom - top < _LEAST:
            return None
        drawn = as_channels(as_dtype(self.draw(image[top:bottom, left:right]), np.uint8), 3)
        if self.palette is not None:
            indices = decode(drawn, self.palette)
            # Two classes are in it or not: the colour of the track tells people apart, white would tell nothing.
            one = (self.palette[0], (self.palette[1][0], numbered_colour(track.id))) if len(self.palette) == 2 else None
            drawn = paint(indices, one or self.palette)
            share = np.where(indices > 0, np.uint8(round(255 * self.strength)), np.uint8(0))
            share = np.asarray(cv2.GaussianBlur(share, (3, 3), 0), np.uint8)
        else:
            share = feathered(drawn.shape[0], drawn.shape[1])
        size = np.maximum(box[2:] - box[:2], 1e-3)
        low, high = (np.array([left, top]) - box[:2]) / size, (np.array([right, bottom]) - box[:2]) / size
        return Painted(drawn, share, (float(low[0]), float(low[1]), float(high[0]), float(high[1])), frame)

    def state(self) -> dict[str, Any]:
        """When each thing was painted, so that a watch that goes on paints in the same frames."""
        return {"painted": self.painted}

    def recall(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave; what was painted is painted anew."""
        self.painted, self._kept = state["painted"], {}


def window_of(box: Floats, margin: float, width: int, height: int) -> tuple[int, int, int, int]:
    """A box with its margin, in whole pixels of an image: left, top, right, bottom; empty where it lies outside."""
    more = (box[2:] - box[:2]) * margin
    low = np.clip(np.floor(box[:2] - more), 0, [width, height]).astype(int)
    high = np.clip(np.ceil(box[2:] + more), 0, [width, height]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def feathered(height: int, width: int) -> npt.NDArray[np.uint8]:
    """255 within, sinking to the borders: HW `uint8`."""
    fade = max(1.0, _FEATHER * min(height, width))
    down = np.minimum(np.arange(height) + 0.5, height - np.arange(height) - 0.5)
    across = np.minimum(np.arange(width) + 0.5, width - np.arange(width) - 0.5)
    shares = np.clip(np.minimum(down[:, None], across[None]) / fade, 0, 1)
    return np.asarray(np.round(255 * shares), np.uint8)


def put_back(scene: Image, box: Floats, painted: Painted) -> None:
    """Lays what was painted over an image, where the box is now: HW3 `uint8`, changed in place."""
    place = _place(scene, box, painted)
    if place is None:
        return
    x, y, wide, tall = place
    left, top, right, bottom = max(0, x), max(0, y), min(scene.shape[1], x + wide), min(scene.shape[0], y + tall)
    if left >= right or top >= bottom:
        return
    drawn, share = painted.drawn, painted.share
    if drawn.shape[:2] != (tall, wide):
        drawn = cv2.resize(drawn, (wide, tall), interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False)
        share = cv2.resize(share, (wide, tall), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    part = slice(top - y, bottom - y), slice(left - x, right - x)
    weight = share[part][..., None].astype(np.uint16)
    under = scene[top:bottom, left:right].astype(np.uint16)
    mixed = (drawn[part].astype(np.uint16) * weight + under * (255 - weight) + 127) // 255
    scene[top:bottom, left:right] = mixed.astype(np.uint8)


def outlined(scene: Image, box: Floats, painted: Painted, colour: tuple[int, int, int]) -> None:
    """A line around what was painted, so that it is seen on any ground; changed in place."""
    place = _place(scene, box, painted)
    if place is None:
        return
    x, y, wide, tall = place
    share = cv2.resize(painted.share, (wide, tall), interpolation=cv2.INTER_LINEAR)
    rings, _ = cv2.findContours((share > share.max() / 2).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    moved = [(ring + np.array([x, y], np.int32)).astype(np.int32) for ring in rings]
    cv2.polylines(scene, moved, True, colour, 1, cv2.LINE_AA)


def _place(scene: Image, box: Floats, painted: Painted) -> tuple[int, int, int, int] | None:
    """Left, top, width, height of what was painted, in pixels, where the box is now; None where that is absurd."""
    size = box[2:] - box[:2]
    low = np.round(box[:2] + np.array(painted.window[:2]) * size).astype(int)
    high = np.round(box[:2] + np.array(painted.window[2:]) * size).astype(int)
    wide, tall = (int(side) for side in high - low)
    if not (0 < wide <= 4 * scene.shape[1] and 0 < tall <= 4 * scene.shape[0]):
        return None
    return int(low[0]), int(low[1]), wide, tall
