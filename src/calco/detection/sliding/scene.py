"""What the video of the sliding window shows: the window over the dimmed image, and what was found through it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from calco.annotations.detections import Detections
from calco.detection.drawing import Colour, Sizes, colour_of, draw_labels
from calco.detection.sliding.examples import as_seen
from calco.files import make_folder, replacing
from calco.imaging import Image
from calco.video.writing import VideoWriter

_DIM: Final = 0.35  # of the light, outside the window
_SHADE: Final = 0.6  # of the light, below the heat
_WINDOW: Final = (255, 255, 255)
_PAPER, _INK = (24, 24, 28), (235, 235, 235)
_BAR: Final = 30  # pixels of the line of words
_GAP: Final = 8
_COLOURS: Final = 20  # classes whose colours a GIF keeps exactly
_LARGEST: Final = 4.0  # times that a small image is enlarged


@dataclass(frozen=True, eq=False)
class Hits:
    """What the classifier said of all windows.

    Attributes:
        boxes: N x 4, the windows, pixels of the image.
        scores: N, the highest probability of a class.
        labels: N names.
        threshold: From which on a window is a hit.
        classes: All names.
    """

    boxes: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    labels: tuple[str, ...]
    threshold: float
    classes: tuple[str, ...]

    @property
    def found(self) -> Detections:
        """The hits, the best first."""
        order = np.argsort(-self.scores, kind="stable")
        order = order[self.scores[order] >= self.threshold]
        return Detections(
            boxes=self.boxes[order].astype(np.float32), classes=tuple(self.labels[i] for i in order),
            scores=self.scores[order],
        )  # fmt: skip


class Scene:
    """Draws the frames, in the order of the windows.

    Attributes:
        size_wh: Of the frames, pixels: even numbers, as videos want them.
    """

    def __init__(self, image: Image, side: int, hits: Hits | None = None) -> None:
        """Prepares it.

        Args:
            image: HWC of any type.
            side: The longer side of the image in the video, pixels.
            hits: What the classifier said; None for the window alone.
        """
        seen = as_seen(image)
        self.hits = hits
        self.scale = min(side / max(seen.shape[:2]), _LARGEST)
        size = [max(2, round(length * self.scale / 2) * 2) for length in seen.shape[1::-1]]
        self._wide, self._high = size
        how = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_CUBIC
        self._bright: Image = cv2.resize(seen, (self._wide, self._high), interpolation=how).astype(np.uint8)
        self._dim = (self._bright * _DIM).astype(np.uint8)
        panels = 1 if hits is None else 2
        self.size_wh = (panels * self._wide + (panels - 1) * _GAP, self._high + _BAR)
        self._font = ImageFont.load_default(max(11, min(16, self._wide // 22)))
        self._done = 0  # windows whose heat is in the map
        if hits is not None:
            self._heat = np.zeros((self._high, self._wide), np.float32)
            self._grey = cv2.cvtColor(cv2.cvtColor(self._bright, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            self._map = (self._grey * _SHADE).astype(np.uint8)

    def window(self, boxes: npt.NDArray[np.int64], number: int, words: str) -> Image:
        """The frame of one window: it over the dimmed image, and the heat of all up to it.

        Args:
            boxes: Of all windows, N x 4.
            number: Which one; not below that of the frame before.
            words: What stands below the image.
        """
        frame = self._paper()
        panel = frame[: self._high, : self._wide]
        left, top, right, bottom = self._place(boxes[number])
        panel[:] = self._dim
        panel[top:bottom, left:right] = self._bright[top:bottom, left:right]
        line = max(2, self._wide // 240)
        cv2.rectangle(panel, (left, top), (right - 1, bottom - 1), _WINDOW, line)
        said = [words]
        if self.hits is not None:
            self._warm(number + 1)
            shown = self._map.copy()
            upto = np.flatnonzero(self.hits.scores[: number + 1] >= self.hits.threshold)
            for place in upto:
                colour = colour_of(self.hits.labels[place], self.hits.classes)
                one = self._place(boxes[place])
                cv2.rectangle(shown, one[:2], (one[2] - 1, one[3] - 1), colour, max(1, line // 2))
            frame[: self._high, self._wide + _GAP :] = shown
            said.append(f"this window {self.hits.scores[number]:.2f}, {len(upto)} hits from {self.hits.threshold:g} on")
        return self._with_words(frame, said)

    def last(self, kept: Detections | None, words: Sequence[str]) -> Image:
        """The last frame: all hits, and beside them the boxes that are left of them; without a classifier the image.

        Args:
            kept: The boxes after suppression.
            words: What stands below each panel.
        """
        frame = self._paper()
        frame[: self._high, : self._wide] = self._bright
        if self.hits is not None and kept is not None:
            line = max(1, self._wide // 480)
            for box, name in zip(self.hits.found.boxes[::-1], self.hits.found.classes[::-1], strict=True):
                left, top, right, bottom = self._place(box)
                colour = colour_of(name, self.hits.classes)
                cv2.rectangle(frame, (left, top), (min(right, self._wide) - 1, bottom - 1), colour, line)
            frame[: self._high, self._wide + _GAP :] = self._boxed(kept)
        return self._with_words(frame, words)

    @property
    def colours(self) -> list[Colour]:
        """Those of lines and letters, which a palette must have."""
        classes = [] if self.hits is None else self.hits.classes
        return [_WINDOW, _PAPER, _INK, *(colour_of(name, classes) for name in classes[:_COLOURS])]

    def sample(self, frames: Sequence[Image]) -> Image:
        """What the video will show, for a palette: bright, dimmed, warm, and some frames."""
        rows = [self._bright, self._dim]
        if self.hits is not None:
            rows.append(self._heated(self._grey, self._heat_of(len(self.hits.scores))))
        wide = max(part.shape[1] for part in (*rows, *frames))
        padded = [np.pad(part, ((0, 0), (0, wide - part.shape[1]), (0, 0))) for part in (*rows, *frames)]
        return np.concatenate(padded)

    def _boxed(self, kept: Detections) -> Image:
        assert self.hits is not None
        panel = self._bright.copy()
        boxes = np.array([self._place(box) for box in kept.boxes], np.float32).reshape(-1, 4)
        colours = [colour_of(name, self.hits.classes) for name in kept.classes]
        sizes = Sizes.of(panel)
        for box, colour in zip(boxes.astype(int).tolist(), colours, strict=True):
            cv2.rectangle(panel, tuple(box[:2]), (box[2] - 1, box[3] - 1), colour, sizes.line)
        scores = kept.scores if kept.scores is not None else np.ones(len(kept))
        texts = [f"{name} {score:.2f}" for name, score in zip(kept.classes, scores, strict=True)]
        draw_labels(panel, boxes, texts, colours, sizes)
        return panel

    def _warm(self, done: int) -> None:
        """Lets the windows up to here warm the map, where the hottest counts."""
        assert self.hits is not None
        for place in range(self._done, done):
            left, top, right, bottom = self._place(self.hits.boxes[place])
            part = self._heat[top:bottom, left:right]
            np.maximum(part, self.hits.scores[place], out=part)
            self._map[top:bottom, left:right] = self._heated(self._grey[top:bottom, left:right], part)
        self._done = max(self._done, done)

    def _heat_of(self, count: int) -> npt.NDArray[np.float32]:
        assert self.hits is not None
        heat = np.zeros((self._high, self._wide), np.float32)
        for place in range(count):
            left, top, right, bottom = self._place(self.hits.boxes[place])
            part = heat[top:bottom, left:right]
            np.maximum(part, self.hits.scores[place], out=part)
        return heat

    @staticmethod
    def _heated(grey: Image, heat: npt.NDArray[np.float32]) -> Image:
        """Grey where nothing was found, and the warmer the surer the classifier was."""
        levels = np.round(heat * 20) / 20  # few colours, which a GIF can hold
        bgr = cv2.applyColorMap((levels * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
        share = (0.75 * levels)[..., None]
        mixed: Image = (grey * _SHADE * (1 - share) + bgr[..., ::-1] * share).astype(np.uint8)
        return mixed

    def _place(self, box: npt.NDArray[np.generic]) -> tuple[int, int, int, int]:
        """A box in pixels of the panel, one at least."""
        left, top, right, bottom = (round(float(value) * self.scale) for value in box)
        left, top = min(left, self._wide - 1), min(top, self._high - 1)
        return left, top, max(left + 1, min(right, self._wide)), max(top + 1, min(bottom, self._high))

    def _paper(self) -> Image:
        frame = np.empty((self.size_wh[1], self.size_wh[0], 3), np.uint8)
        frame[:] = _PAPER
        return frame

    def _with_words(self, frame: Image, words: Sequence[str]) -> Image:
        strip = Pillow.new("RGB", (frame.shape[1], _BAR), _PAPER)
        pen = ImageDraw.Draw(strip)
        for place, text in enumerate(words):
            pen.text((4 + place * (self._wide + _GAP), _BAR // 2), text, fill=_INK, font=self._font, anchor="lm")
        frame[self._high :] = np.asarray(strip)
        return frame


def write_gif(
    path: Path,
    frames: Iterator[Image],
    *,
    rate: float,
    hold: float,
    count: int,
    sample: Image,
    colours: Sequence[tuple[int, int, int]] = (),
) -> None:
    """Writes an animated GIF that repeats for ever.

    All frames share one palette, so that what stands still is stored once.

    Args:
        path: The file.
        frames: HW3 `uint8`, all of one size.
        rate: Frames a second; a GIF counts in hundredths of a second.
        hold: Seconds of the last frame.
        count: How many frames there are.
        sample: An image with the colours of all frames.
        colours: Those that must be there exactly.

    Raises:
        CalcoError: When it cannot be written.
    """
    make_folder(path.parent)
    palette = _palette(sample, colours)
    made = (Pillow.fromarray(frame).quantize(palette=palette, dither=Pillow.Dither.NONE) for frame in frames)
    step = max(20, round(100 / rate) * 10)
    spans = [step] * (count - 1) + [max(step, round(hold * 100) * 10)]
    first = next(made)
    with replacing(path) as temporary:
        first.save(temporary, "GIF", save_all=True, append_images=made, duration=spans, loop=0, optimize=True)


def _palette(sample: Image, colours: Sequence[tuple[int, int, int]]) -> Pillow.Image:
    """An image with 255 colours: one is left for what does not change."""
    exact = [value for colour in colours for value in colour]
    count = 255 - len(colours)
    common = Pillow.fromarray(sample).quantize(count, Pillow.Quantize.MEDIANCUT).getpalette() or []
    palette = Pillow.new("P", (1, 1))
    palette.putpalette((exact + common)[: 3 * 255])
    return palette


def write_video(path: Path, frames: Iterator[Image], *, rate: float, hold: float) -> None:
    """Writes a video of any kind; the last frame is repeated for as long as it is held.

    Args:
        path: The file, whose ending tells the kind.
        frames: HW3 `uint8`, all of one size of even numbers.
        rate: Frames a second.
        hold: Seconds of the last frame.

    Raises:
        CalcoError: When it cannot be encoded or written.
    """
    exact = Fraction(rate).limit_denominator(1000)
    first = next(frames)
    with VideoWriter(path, (first.shape[1], first.shape[0]), rate=exact) as writer:
        for number, frame in enumerate(_held(chain([first], frames), max(1, round(hold * rate)))):
            writer.write(frame, number / exact)


def _held(frames: Iterable[Image], times: int) -> Iterator[Image]:
    """The frames, the last of them so many times."""
    last = None
    for frame in frames:
        last = frame
        yield frame
    if last is not None:
        yield from repeat(last, times - 1)
