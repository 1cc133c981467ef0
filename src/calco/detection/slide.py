"""`calco detect slide`: a window moves over an image, and a classifier learned from examples looks through it."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from calco import imaging
from calco.annotations.detections import Detections
from calco.detection.boxes import matrix_nms, nms, soft_nms
from calco.detection.config import SlideConfig
from calco.detection.drawing import Sizes, colour_of, draw_labels
from calco.detection.tables import as_rows
from calco.detection.window_classifier import Progress, WindowClassifier, as_seen, cut, learn_classifier
from calco.errors import CalcoError
from calco.files import atomic_write, make_folder, replacing
from calco.imaging import Image
from calco.outputs import writing_file
from calco.video.writing import VideoWriter

Places = npt.NDArray[np.int64]

MOST: Final = 500_000
"""Windows of an image; more would take hours with any classifier."""
_BATCH: Final = 64  # windows that the classifier sees at once
_SHOWN: Final = 400  # windows that the video shows at most
_SIDE: Final = 640  # pixels of the longer side of the image in the video
_LARGEST: Final = 4.0  # times that a small image is enlarged
_HOLD: Final = 4.0  # seconds of the last frame
_DIM: Final = 0.35  # brightness outside the window
_BAR, _GAP = 30, 8  # pixels of the line of text, and between the two panels
_WHITE, _PAPER, _INK = (255, 255, 255), (24, 24, 28), (235, 235, 235)


@dataclass(frozen=True, eq=False)
class Level:
    """The windows of one size.

    Attributes:
        scale: Size relative to the window that was asked for.
        size_wh: Width and height of the window, pixels.
        step: Pixels from one window to the next.
        boxes: N x 4 `int64`, left, top, right, bottom, row by row.
    """

    scale: float
    size_wh: tuple[int, int]
    step: int
    boxes: Places


@dataclass(frozen=True, eq=False)
class SlideResult:
    """Result of `slide`.

    Attributes:
        image_wh: Width and height of the image, pixels.
        levels: The windows, by their size.
        too_large: Scales at which the window is larger than the image.
        frames: Number of windows that the video shows.
        hits: Windows at or above the threshold, the best first; None without a classifier.
        boxes: The hits that suppression keeps; None without a classifier.
        classifier: The classifier that was learned; None without examples.
        notes: A sentence for each example that could not be used.
    """

    image_wh: tuple[int, int]
    levels: tuple[Level, ...]
    too_large: tuple[float, ...]
    frames: int
    hits: Detections | None = None
    boxes: Detections | None = None
    classifier: WindowClassifier | None = None
    notes: tuple[str, ...] = ()

    @property
    def windows(self) -> int:
        """Number of windows."""
        return sum(len(level.boxes) for level in self.levels)


def slide(config: SlideConfig, progress: Progress = lambda _what, _done, _of: None) -> SlideResult:
    """Move a window over an image, classify what it shows if examples are given, and write video and boxes.

    Args:
        config: The image, the window, the examples and the video.
        progress: Called with what is being done ("examples", "windows" or "frames"), how many are done, and of how
            many.

    Returns:
        Windows, boxes, and the video that was written.

    Raises:
        CalcoError: The image cannot be read, no window fits, the examples cannot be used, or a file cannot be written.
    """
    image = imaging.read(config.image)
    if os.path.exists(config.out) and os.path.samefile(config.out, config.image):
        raise CalcoError(f"--out {config.out} is the image that is read; choose another name")
    size_wh = (image.shape[1], image.shape[0])
    rounds, too_large = levels(size_wh, config.window_wh, config.step, config.scales)
    windows = np.concatenate([level.boxes for level in rounds])
    classifier, hits, boxes, notes = None, None, None, list[str]()
    with writing_file(config.out, "calco detect slide", beside=[config.boxes_path] if config.examples else []):
        if config.examples:
            classifier, notes = learn_classifier(
                config.examples, config.window_wh, source=config.source, seed=config.seed, progress=progress
            )
            hits = classify(image, windows, classifier, config.threshold, progress)
            boxes = suppress(hits, config)
            row = {"image": Path(config.image).name, "width": size_wh[0], "height": size_wh[1]}
            line = json.dumps(row | {"detections": as_rows(boxes)}, ensure_ascii=False)
            atomic_write(config.boxes_path, line + "\n")
        frames = _write(config, _Scene(image, hits, boxes), rounds, progress)
    return SlideResult(size_wh, tuple(rounds), tuple(too_large), frames, hits, boxes, classifier, tuple(notes))


def levels(
    size_wh: tuple[int, int], window_wh: tuple[int, int], step: int, scales: Sequence[float]
) -> tuple[list[Level], list[float]]:
    """Return the windows of each scale, smaller ones first.

    A last window ends at the right border and at the lower one where the steps do not, so that each pixel is seen.

    Args:
        size_wh: Width and height of the image, pixels.
        window_wh: Width and height of the window at scale 1, pixels.
        step: Pixels from one window to the next at scale 1.
        scales: Sizes relative to the window.

    Returns:
        The windows, and the scales at which the window is larger than the image.

    Raises:
        CalcoError: No window fits, or there would be more than `MOST`.
    """
    rounds, too_large, total = [], [], 0
    for scale in sorted(set(scales)):
        width, height = (max(1, round(side * scale)) for side in window_wh)
        if width > size_wh[0] or height > size_wh[1]:
            too_large.append(scale)
            continue
        stride = max(1, round(step * scale))
        lefts, tops = _stops(size_wh[0], width, stride), _stops(size_wh[1], height, stride)
        total += len(lefts) * len(tops)
        if total > MOST:
            raise CalcoError(f"--step {step}: there would be more than {MOST:,} windows; give a larger step")
        corners = np.stack(np.meshgrid(lefts, tops), -1).reshape(-1, 2)
        rounds.append(Level(scale, (width, height), stride, np.hstack([corners, corners + np.array([width, height])])))
    if not rounds:
        raise CalcoError(
            f"--window {window_wh[0]}x{window_wh[1]} does not fit into the image of {size_wh[0]}x{size_wh[1]} pixels; "
            "give a smaller window"
        )
    return rounds, too_large


def _stops(whole: int, part: int, step: int) -> Places:
    stops = np.arange(0, whole - part + 1, step, dtype=np.int64)
    return stops if stops[-1] == whole - part else np.append(stops, whole - part)


def classify(
    image: Image, windows: Places, classifier: WindowClassifier, threshold: float, progress: Progress
) -> Detections:
    """Return the windows in which the classifier sees an object, the best first.

    Args:
        image: HWC of any type.
        windows: N x 4 in pixels.
        classifier: The classifier.
        threshold: Lowest probability of a hit, in [0, 1].
        progress: Called with "windows", the windows done, and their number.
    """
    seen = as_seen(image)
    scores, labels = np.zeros(len(windows), np.float32), np.zeros(len(windows), np.int64)
    for start in range(0, len(windows), _BATCH):
        some = slice(start, start + _BATCH)
        found = classifier.probabilities([cut(seen, box) for box in windows[some]])[:, 1:]
        scores[some], labels[some] = found.max(1), found.argmax(1)
        progress("windows", min(start + _BATCH, len(windows)), len(windows))
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= threshold]
    classes = tuple(classifier.classes[labels[place]] for place in order)
    return Detections(boxes=windows[order].astype(np.float32), classes=classes, scores=scores[order])


def suppress(hits: Detections, config: SlideConfig) -> Detections:
    """Return what suppression leaves of overlapping hits; where scores are lowered, those that stay hits."""
    scores = np.zeros(0, np.float32) if hits.scores is None else hits.scores
    if config.suppression == "nms":
        return hits.select(nms(hits.boxes, scores, config.iou, hits.classes))
    if config.suppression == "matrix":
        kept, lowered = matrix_nms(hits.boxes, scores, hits.classes, least=config.threshold)
    else:
        kept, lowered = soft_nms(
            hits.boxes, scores, config.iou, hits.classes, least=config.threshold,
            method="linear" if config.suppression == "soft-linear" else "gaussian",
        )  # fmt: skip
    chosen = hits.select(kept)
    return Detections(boxes=chosen.boxes, classes=chosen.classes, scores=lowered.astype(np.float32))


class _Scene:
    """Draws the frames: the window over the dimmed image, and beside it the hits."""

    def __init__(self, image: Image, hits: Detections | None, boxes: Detections | None) -> None:
        seen = as_seen(image)
        self.hits, self.boxes = hits, boxes
        self.scale = min(_SIDE / max(seen.shape[:2]), _LARGEST)
        self.wide, self.high = (max(2, round(length * self.scale / 2) * 2) for length in seen.shape[1::-1])
        how = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_CUBIC
        self.bright: Image = cv2.resize(seen, (self.wide, self.high), interpolation=how).astype(np.uint8)
        self.font = ImageFont.load_default(max(11, min(16, self.wide // 22)))
        self.classes = sorted(set(hits.classes)) if hits is not None else []

    def window(self, windows: Places, number: int, text: str) -> Image:
        """The frame of one window, and the hits among the windows up to it."""
        panel = (self.bright * _DIM).astype(np.uint8)
        left, top, right, bottom = self._place(windows[number])
        panel[top:bottom, left:right] = self.bright[top:bottom, left:right]
        cv2.rectangle(panel, (left, top), (right - 1, bottom - 1), _WHITE, max(2, self.wide // 240))
        if self.hits is None:
            return self._frame([panel], [text])
        seen = {tuple(box) for box in windows[: number + 1].tolist()}
        shown = np.array([tuple(box) in seen for box in self.hits.boxes.astype(int).tolist()], np.bool_)
        return self._frame([panel, self._outlined(self.hits.select(shown))], [text, f"hits: {int(shown.sum())}"])

    def last(self, text: Sequence[str]) -> Image:
        """All hits, and beside them the boxes that are left of them; without a classifier the image."""
        if self.hits is None or self.boxes is None:
            return self._frame([self.bright], text)
        kept = self._outlined(self.boxes)
        scores = np.ones(len(self.boxes)) if self.boxes.scores is None else self.boxes.scores
        texts = [f"{name} {score:.2f}" for name, score in zip(self.boxes.classes, scores, strict=True)]
        places = np.array([self._place(box) for box in self.boxes.boxes], np.float32).reshape(-1, 4)
        draw_labels(kept, places, texts, [colour_of(name, self.classes) for name in self.boxes.classes], Sizes.of(kept))
        return self._frame([self._outlined(self.hits), kept], text)

    def _outlined(self, found: Detections) -> Image:
        panel = self.bright.copy()
        for box, name in zip(found.boxes[::-1], found.classes[::-1], strict=True):
            left, top, right, bottom = self._place(box)
            cv2.rectangle(panel, (left, top), (right - 1, bottom - 1), colour_of(name, self.classes), 2)
        return panel

    def _place(self, box: npt.NDArray[np.generic]) -> tuple[int, int, int, int]:
        """A box in pixels of the panel, one at least."""
        left, top, right, bottom = (round(float(value) * self.scale) for value in box)
        left, top = min(left, self.wide - 1), min(top, self.high - 1)
        return left, top, max(left + 1, min(right, self.wide)), max(top + 1, min(bottom, self.high))

    def _frame(self, panels: Sequence[Image], texts: Sequence[str]) -> Image:
        frame = np.empty((self.high + _BAR, len(panels) * (self.wide + _GAP) - _GAP, 3), np.uint8)
        frame[:] = _PAPER
        strip = Pillow.new("RGB", (frame.shape[1], _BAR), _PAPER)
        pen = ImageDraw.Draw(strip)
        for place, (panel, text) in enumerate(zip(panels, texts, strict=True)):
            left = place * (self.wide + _GAP)
            frame[: self.high, left : left + self.wide] = panel
            pen.text((4 + left, _BAR // 2), text, fill=_INK, font=self.font, anchor="lm")
        frame[self.high :] = np.asarray(strip)
        return frame


def _write(config: SlideConfig, scene: _Scene, rounds: Sequence[Level], progress: Progress) -> int:
    """Write the video; return the number of windows that it shows."""
    windows = np.concatenate([level.boxes for level in rounds])
    shown = list(range(0, len(windows), -(-len(windows) // _SHOWN)))
    ends = np.cumsum([len(level.boxes) for level in rounds])
    texts = [f"{len(windows)} windows"]
    if scene.hits is not None and scene.boxes is not None:
        how = {"nms": f"NMS at IoU {config.iou:g}", "matrix": "matrix NMS"}.get(config.suppression, config.suppression)
        texts = [f"hits: {len(scene.hits)} of {len(windows)} windows", f"boxes after {how}: {len(scene.boxes)}"]
    last = scene.last(texts)

    def frames() -> Iterator[Image]:
        for number, place in enumerate(shown):
            level = rounds[int(np.searchsorted(ends, place, side="right"))]
            size = f"{level.size_wh[0]}x{level.size_wh[1]}"
            yield scene.window(windows, place, f"window {place + 1} of {len(windows)}, {size}, step {level.step}")
            progress("frames", number + 1, len(shown))

    if config.is_gif:
        _write_gif(Path(config.out), frames(), last, len(shown), config.rate)
        return len(shown)
    rate = Fraction(config.rate).limit_denominator(1000)
    with VideoWriter(config.out, (last.shape[1], last.shape[0]), rate=rate) as writer:
        for number, frame in enumerate(frames()):
            writer.write(frame, number / rate)
        for number in range(max(1, round(_HOLD * rate))):
            writer.write(last, (len(shown) + number) / rate)
    return len(shown)


def _write_gif(path: Path, frames: Iterator[Image], last: Image, count: int, rate: float) -> None:
    """Write a GIF that repeats for ever; all frames share one palette, so that what stands still is stored once."""
    make_folder(path.parent)
    first = next(frames)
    palette = Pillow.fromarray(np.concatenate([first, last])).quantize(255)
    made = (
        Pillow.fromarray(frame).quantize(palette=palette, dither=Pillow.Dither.NONE)
        for frame in chain([first], frames, [last])
    )
    step = max(20, round(100 / rate) * 10)  # a GIF counts in hundredths of a second
    spans = [step] * count + [max(step, round(_HOLD * 1000))]
    with replacing(path) as temporary:
        next(made).save(temporary, "GIF", save_all=True, append_images=made, duration=spans, loop=0, optimize=True)
