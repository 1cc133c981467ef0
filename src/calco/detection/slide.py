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

from calco import imaging
from calco.annotations.detections import Detections
from calco.detection.boxes import matrix_nms, nms, soft_nms
from calco.detection.config import SlideConfig
from calco.detection.drawing import Colour, Sizes, as_scene, draw_detections, draw_label
from calco.detection.prediction import as_rows
from calco.detection.window_classifier import Progress, WindowClassifier, cut, hog, learn_classifier
from calco.errors import CalcoError
from calco.files import atomic_write, make_folder, replacing
from calco.imaging import Image
from calco.outputs import writing_file
from calco.video.writing import VideoWriter

Ints = npt.NDArray[np.int64]

_BATCH: Final = 64  # windows per call of the classifier
_SHOWN: Final = 400  # windows that the video shows at most
_SIDE: Final = 640  # pixels of the longer side of the image in the video
_LARGEST: Final = 4.0  # factor by which a small image is enlarged at most
_HOLD: Final = 4.0  # seconds of the last frame
_DIM: Final = 0.35  # brightness outside the window
_BAR, _GAP = 30, 8  # pixels of the line of text, and between the two panels
_PAPER: Final[Colour] = (24, 24, 28)


@dataclass(frozen=True, eq=False)
class Level:
    """The windows of one size."""

    scale: float  # size relative to the window that was asked for
    size_wh: tuple[int, int]  # width and height of the window, pixels
    step: int  # pixels from one window to the next
    boxes: Ints  # N x 4, left, top, right, bottom, row by row


@dataclass(frozen=True, eq=False)
class SlideResult:
    """Result of `slide`."""

    image_wh: tuple[int, int]  # width and height of the image, pixels
    levels: tuple[Level, ...]  # the windows, by their size
    too_large: tuple[float, ...]  # scales at which the window is larger than the image
    frames: int  # number of windows that the video shows
    hits: Detections | None = None  # windows at or above the threshold, the best first; None without a classifier
    boxes: Detections | None = None  # the hits that suppression keeps; None without a classifier
    classifier: WindowClassifier | None = None
    notes: tuple[str, ...] = ()  # a sentence for each example that could not be used

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
    image = as_scene(imaging.read(config.image))
    if os.path.exists(config.out) and os.path.samefile(config.out, config.image):
        raise CalcoError(f"--out {config.out} is the image that is read; choose another name")
    size_wh = (image.shape[1], image.shape[0])
    rounds, too_large = levels(size_wh, config.window_wh, config.step, config.scales)
    windows = np.concatenate([level.boxes for level in rounds])
    shown = range(0, len(windows), -(-len(windows) // _SHOWN))
    classifier, hits, boxes, numbers, notes = None, None, None, np.zeros(0, np.int64), list[str]()
    with writing_file(config.out, "calco detect slide", beside=[config.boxes_path] if config.examples else []):
        if config.examples:
            classifier, notes = learn_classifier(
                config.examples, config.window_wh, source=config.source, seed=config.seed, progress=progress
            )
            hits, numbers = classify(image, windows, classifier, config.threshold, progress)
            boxes = suppress(hits, config)
            row = {"image": Path(config.image).name, "width": size_wh[0], "height": size_wh[1]}
            line = json.dumps(row | {"detections": as_rows(boxes)}, ensure_ascii=False)
            atomic_write(config.boxes_path, line + "\n")
        scene = _Scene(image, hits, boxes)
        texts = [f"{len(windows)} windows"]
        if hits is not None and boxes is not None:
            texts = [f"hits: {len(hits)} of {len(windows)} windows", f"boxes after {config.suppression}: {len(boxes)}"]

        def frames() -> Iterator[Image]:
            ends = np.cumsum([len(level.boxes) for level in rounds])
            for count, number in enumerate(shown, 1):
                level = rounds[int(np.searchsorted(ends, number, side="right"))]
                text = f"window {number + 1} of {len(windows)}, {level.size_wh[0]}x{level.size_wh[1]}"
                yield scene.window(windows[number], numbers <= number, text)
                progress("frames", count, len(shown))

        if config.is_gif:
            _write_gif(config, frames(), scene.last(texts), len(shown))
        else:
            _write_video(config, frames(), scene.last(texts))
    return SlideResult(size_wh, tuple(rounds), tuple(too_large), len(shown), hits, boxes, classifier, tuple(notes))


def levels(
    size_wh: tuple[int, int], window_wh: tuple[int, int], step: int, scales: Sequence[float]
) -> tuple[list[Level], list[float]]:
    """Return the windows of each scale, smaller ones first, and the scales at which the window exceeds the image.

    A last window ends at the right border and at the lower one where the steps do not, so that each pixel is seen.
    """
    rounds, too_large = [], []
    for scale in sorted(set(scales)):
        width, height = (max(1, round(side * scale)) for side in window_wh)
        if width > size_wh[0] or height > size_wh[1]:
            too_large.append(scale)
            continue
        stride = max(1, round(step * scale))
        lefts, tops = (
            np.append(np.arange(0, whole - part, stride), whole - part)
            for whole, part in zip(size_wh, (width, height), strict=True)
        )
        corners = np.stack(np.meshgrid(lefts, tops), -1).reshape(-1, 2)
        rounds.append(Level(scale, (width, height), stride, np.hstack([corners, corners + np.array([width, height])])))
    if not rounds:
        raise CalcoError(
            f"--window {window_wh[0]}x{window_wh[1]} does not fit into the image of {size_wh[0]}x{size_wh[1]} pixels; "
            "give a smaller window"
        )
    return rounds, too_large


def classify(
    image: Image, windows: Ints, classifier: WindowClassifier, threshold: float, progress: Progress
) -> tuple[Detections, Ints]:
    """Return the windows whose probability of an object reaches the threshold, the best first, and their numbers."""
    scores, labels = np.zeros(len(windows), np.float32), np.zeros(len(windows), np.int64)
    for start in range(0, len(windows), _BATCH):
        some = slice(start, start + _BATCH)
        features = hog([cut(image, box) for box in windows[some]], classifier.size_wh)
        found = classifier.from_features(features)[:, 1:]
        scores[some], labels[some] = found.max(1), found.argmax(1)
        progress("windows", min(start + _BATCH, len(windows)), len(windows))
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= threshold]
    classes = tuple(classifier.classes[label] for label in labels[order])
    return Detections(boxes=windows[order].astype(np.float32), classes=classes, scores=scores[order]), order


def suppress(hits: Detections, config: SlideConfig) -> Detections:
    """Return the hits that suppression keeps; where it lowers scores, those that stay hits."""
    boxes, scores, classes = hits.boxes, np.array(hits.scores, np.float32), hits.classes
    if config.suppression == "nms":
        return hits.select(nms(boxes, scores, config.iou, classes))
    if config.suppression == "matrix":
        kept, lowered = matrix_nms(boxes, scores, classes, least=config.threshold)
    else:
        kept, lowered = soft_nms(
            boxes, scores, config.iou, classes, least=config.threshold,
            method="linear" if config.suppression == "soft-linear" else "gaussian",
        )  # fmt: skip
    return Detections(
        boxes=boxes[kept], classes=tuple(classes[place] for place in kept), scores=lowered.astype(np.float32)
    )


class _Scene:
    """Draws the frames: the window over the dimmed image, and beside it the hits."""

    def __init__(self, image: Image, hits: Detections | None, boxes: Detections | None) -> None:
        factor = min(_SIDE / max(image.shape[:2]), _LARGEST)
        self.wide, self.high = (max(2, round(length * factor / 2) * 2) for length in image.shape[1::-1])
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        self.bright: Image = cv2.resize(image, (self.wide, self.high), interpolation=how).astype(np.uint8)
        self.scale = (self.wide / image.shape[1], self.high / image.shape[0])
        self.hits, self.boxes = (None if each is None else each.scaled(*self.scale) for each in (hits, boxes))
        self.classes = sorted(set(hits.classes)) if hits is not None else []

    def window(self, window: Ints, reached: npt.NDArray[np.bool_], text: str) -> Image:
        """Return the frame of one window, with the hits that are reached."""
        panel = (self.bright * _DIM).astype(np.uint8)
        left, top, right, bottom = (round(value) for value in window * (self.scale * 2))
        panel[top:bottom, left:right] = self.bright[top:bottom, left:right]
        cv2.rectangle(panel, (left, top), (right - 1, bottom - 1), (255, 255, 255), max(2, self.wide // 240))
        if self.hits is None:
            return self._frame([panel], [text])
        return self._frame([panel, self._outlined(self.hits.select(reached))], [text, f"hits: {int(reached.sum())}"])

    def last(self, texts: Sequence[str]) -> Image:
        """Return all hits beside the boxes that are left of them; without a classifier the image."""
        if self.hits is None or self.boxes is None:
            return self._frame([self.bright], texts)
        kept = draw_detections(self.bright, self.boxes, self.classes)
        return self._frame([self._outlined(self.hits), kept], texts)

    def _outlined(self, found: Detections) -> Image:
        best_last = found.select(range(len(found))[::-1])
        return draw_detections(self.bright, best_last, self.classes, labels=[""] * len(found))

    def _frame(self, panels: Sequence[Image], texts: Sequence[str]) -> Image:
        frame = np.full((self.high + _BAR, len(panels) * (self.wide + _GAP) - _GAP, 3), _PAPER, np.uint8)
        for number, (panel, text) in enumerate(zip(panels, texts, strict=True)):
            left = number * (self.wide + _GAP)
            frame[: self.high, left : left + self.wide] = panel
            draw_label(frame, text, (left, self.high + 4), _PAPER, Sizes(line=1, scale=0.45, pen=1, gap=4))
        return frame


def _write_video(config: SlideConfig, frames: Iterator[Image], last: Image) -> None:
    rate = Fraction(config.rate).limit_denominator(1000)
    hold = max(1, round(_HOLD * rate))
    with VideoWriter(config.out, (last.shape[1], last.shape[0]), rate=rate) as writer:
        for number, frame in enumerate(chain(frames, [last] * hold)):
            writer.write(frame, number / rate)


def _write_gif(config: SlideConfig, frames: Iterator[Image], last: Image, count: int) -> None:
    """Write a GIF that repeats for ever; all frames share one palette, so that what stands still is stored once."""
    path = Path(config.out)
    make_folder(path.parent)
    first = next(frames)
    palette = Pillow.fromarray(np.concatenate([first, last])).quantize(255)
    made = (
        Pillow.fromarray(frame).quantize(palette=palette, dither=Pillow.Dither.NONE)
        for frame in chain([first], frames, [last])
    )
    step = max(20, round(100 / config.rate) * 10)  # a GIF counts in hundredths of a second
    spans = [step] * count + [max(step, round(_HOLD * 1000))]
    with replacing(path) as temporary:
        next(made).save(temporary, "GIF", save_all=True, append_images=made, duration=spans, loop=0, optimize=True)
