"""`calco detect slide`: the window's video, and what a classifier finds through it."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.annotations.detections import Detections
from calco.console import bar, say
from calco.detection.boxes import matrix_nms, nms, soft_nms
from calco.detection.sliding.classifier import LooksThrough, WindowClassifier, load_classifier, save_classifier
from calco.detection.sliding.config import SlideConfig
from calco.detection.sliding.examples import as_seen, cut
from calco.detection.sliding.learning import learn
from calco.detection.sliding.scene import Hits, Scene, write_gif, write_video
from calco.detection.tables import as_rows
from calco.errors import CalcoError
from calco.files import atomic_write
from calco.imaging import Image
from calco.outputs import writing_file, writing_folder

MOST: Final = 500_000
"""Windows in an image; more would take hours with any classifier."""


@dataclass(frozen=True, eq=False)
class Level:
    """One round of the window at one size.

    Attributes:
        scale: How many times as large as the first window it is.
        size_wh: Of the window, pixels.
        step: Pixels from one to the next.
        boxes: N x 4 `int64`, left, top, right, bottom, row by row.
    """

    scale: float
    size_wh: tuple[int, int]
    step: int
    boxes: npt.NDArray[np.int64]


def levels(
    size_wh: tuple[int, int], window_wh: tuple[int, int], step: int, scales: Sequence[float]
) -> tuple[list[Level], list[float]]:
    """The rounds of a window over an image, smaller windows first.

    A last window ends at the right border and at the lower one where the steps do not, so that each pixel is seen.

    Args:
        size_wh: Of the image, pixels.
        window_wh: Of the window at scale 1, pixels.
        step: Pixels from one window to the next at scale 1.
        scales: Of the rounds.

    Returns:
        The rounds, and the scales at which the window is larger than the image.

    Raises:
        CalcoError: When no window fits, or there would be more than `MOST`.
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
            raise CalcoError(f"there would be more than {MOST:,} windows; give a larger --step than {step}")
        corners = np.stack(np.meshgrid(lefts, tops), -1).reshape(-1, 2)
        rounds.append(Level(scale, (width, height), stride, np.hstack([corners, corners + np.array([width, height])])))
    if not rounds:
        raise CalcoError(
            f"the window of {window_wh[0]}x{window_wh[1]} pixels does not fit into the image of "
            f"{size_wh[0]}x{size_wh[1]}; give a smaller --window"
        )
    return rounds, too_large


def _stops(whole: int, part: int, step: int) -> npt.NDArray[np.int64]:
    """Where windows begin along one side."""
    stops = np.arange(0, whole - part + 1, step, dtype=np.int64)
    return stops if stops[-1] == whole - part else np.append(stops, whole - part)


VERB: Final = "calco detect slide"


@dataclass(frozen=True, eq=False)
class Slid:
    """What a window has shown.

    Attributes:
        image_wh: Width and height of the image.
        rounds: The windows, by their size.
        too_large: Scales at which the window was larger than the image.
        frames: Windows that the video shows.
        before: The hits, before suppression; None without a classifier.
        after: What is left of them.
        seconds: That the classifier took for all windows.
        classifier: What was learnt or loaded; None without one.
        images: What the examples were recognised as.
        left_out: Examples that could not be used: name and reason.
    """

    image_wh: tuple[int, int]
    rounds: tuple[Level, ...]
    too_large: tuple[float, ...]
    frames: int
    before: Detections | None = None
    after: Detections | None = None
    seconds: float = 0.0
    classifier: LooksThrough | None = None
    images: str = ""
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def windows(self) -> int:
        """How many windows there were."""
        return sum(len(level.boxes) for level in self.rounds)


def slide(config: SlideConfig) -> Slid:
    """Moves the window, classifies what it shows if that is asked for, and writes video, boxes and classifier.

    Raises:
        CalcoError: When the image cannot be read, no window fits, the examples or the classifier cannot be used, or a
            file cannot be written.
    """
    image = imaging.read(config.image)
    _refuse_overwriting(config)
    size_wh = (image.shape[1], image.shape[0])
    rounds, too_large = levels(size_wh, config.window_wh, config.step, config.scales)
    boxes = np.concatenate([level.boxes for level in rounds])
    with _held(config):
        looker, summary, left_out = _looker(config)
        hits, after, seconds = None, None, 0.0
        if looker is not None:
            start = time.perf_counter()
            hits = scored(image, boxes, looker, config.threshold, config.batch)
            seconds = time.perf_counter() - start
            after = suppressed(hits.found, config)
            row = {"image": Path(config.image).name, "width": size_wh[0], "height": size_wh[1]}
            line = json.dumps(row | {"detections": as_rows(after)}, ensure_ascii=False)
            atomic_write(config.boxes_path, line + "\n")
        shown = _video(config, image, rounds, hits, after)
    return Slid(
        size_wh, tuple(rounds), tuple(too_large), shown, None if hits is None else hits.found, after, seconds, looker,
        summary, tuple(left_out),
    )  # fmt: skip


@contextmanager
def _held(config: SlideConfig) -> Iterator[None]:
    """Locks what is written: video, boxes and classifier."""
    classifies = bool(config.classifier or config.examples)
    with ExitStack() as held:
        held.enter_context(writing_file(config.out, VERB, beside=[config.boxes_path] if classifies else []))
        if config.examples and not config.classifier:
            outputs = held.enter_context(writing_folder(config.saved_path, VERB))
            outputs.check(config.saved_path / name for name in ("classifier.json", "classifier.safetensors"))
        yield


def scored(image: Image, boxes: npt.NDArray[np.int64], looker: LooksThrough, threshold: float, batch: int = 32) -> Hits:
    """What a classifier says of each window of an image.

    Args:
        image: HWC of any type.
        boxes: N x 4, the windows.
        looker: The classifier.
        threshold: From which on a window is a hit.
        batch: Windows that it sees at once.
    """
    seen = as_seen(image)
    scores = np.zeros(len(boxes), np.float32)
    places = np.zeros(len(boxes), np.int64)
    with bar("looking through the window", len(boxes), unit="windows/s") as advance:
        for start in range(0, len(boxes), batch):
            found = looker.probabilities([cut(seen, box) for box in boxes[start : start + batch]])
            scores[start : start + batch] = found.max(1)
            places[start : start + batch] = found.argmax(1)
            advance(min(start + batch, len(boxes)))
    return Hits(boxes, scores, tuple(looker.classes[place] for place in places), threshold, tuple(looker.classes))


def suppressed(found: Detections, config: SlideConfig) -> Detections:
    """What is left of overlapping hits; where scores are lowered, those that stay hits."""
    scores = np.zeros(0, np.float32) if found.scores is None else found.scores
    if config.suppression == "nms":
        return found.select(nms(found.boxes, scores, config.iou, found.classes))
    if config.suppression == "matrix":
        kept, now = matrix_nms(found.boxes, scores, found.classes, least=config.threshold)
    else:
        kept, now = soft_nms(
            found.boxes, scores, config.iou, found.classes, least=config.threshold,
            method="linear" if config.suppression == "soft-linear" else "gaussian",
        )  # fmt: skip
    chosen = found.select(kept)
    return Detections(boxes=chosen.boxes, classes=chosen.classes, scores=now.astype(np.float32))


def _looker(config: SlideConfig) -> tuple[LooksThrough | None, str, list[tuple[str, str]]]:
    """The classifier that is asked for, learnt or loaded."""
    if config.classifier:
        return load_classifier(config.classifier, config.device), "", []
    if not config.examples:
        return None, "", []
    learnt, summary, left_out = learn(config)
    save_classifier(config.saved_path, learnt)
    for line in (summary, learnt_words(learnt), f"{config.saved_path} is written"):
        say(line)
    return learnt, summary, left_out


def learnt_words(learnt: WindowClassifier) -> str:
    """How good a classifier is, in a sentence."""
    info = learnt.info
    text = f"learnt {', '.join(info.classes)} from {info.examples} windows by {info.features}"
    if info.accuracy is None or info.background is None:
        return f"{text}; no images were left to try it on"
    text += f"; of {info.held_out} windows of other images {info.accuracy:.1%} are told right"
    text += f" (background everywhere would be right for {info.background:.1%})"
    return text + (f", of those with a thing {info.recall:.1%}" if info.recall is not None else "")


def _video(
    config: SlideConfig, image: Image, rounds: Sequence[Level], hits: Hits | None, after: Detections | None
) -> int:
    """Writes the video; returns how many windows it shows."""
    scene = Scene(image, config.side, hits)
    boxes = np.concatenate([level.boxes for level in rounds])
    every = -(-len(boxes) // config.video_windows)
    shown = list(range(0, len(boxes), every))
    ends = np.cumsum([len(level.boxes) for level in rounds])
    last = scene.last(after, _last_words(config, len(boxes), hits, after))

    def frames() -> Iterator[Image]:
        with bar("drawing", len(shown) + 1, unit="frames/s") as advance:
            for number, place in enumerate(shown):
                level = rounds[int(np.searchsorted(ends, place, side="right"))]
                size = f"{level.size_wh[0]}x{level.size_wh[1]}"
                yield scene.window(boxes, place, f"window {place + 1} of {len(boxes)}, {size}, step {level.step}")
                advance(number + 1)
            yield last

    path = Path(config.out)
    if config.is_gif:
        write_gif(path, frames(), rate=config.rate, hold=config.hold, count=len(shown) + 1,
                  sample=scene.sample([last]), colours=scene.colours)  # fmt: skip
    else:
        write_video(path, frames(), rate=config.rate, hold=config.hold)
    return len(shown)


def _last_words(config: SlideConfig, windows: int, hits: Hits | None, after: Detections | None) -> list[str]:
    if hits is None or after is None:
        return [f"{windows} windows"]
    how = {"nms": f"NMS at IoU {config.iou:g}", "matrix": "matrix NMS"}.get(config.suppression, config.suppression)
    boxes = "1 box" if len(after) == 1 else f"{len(after)} boxes"
    return [f"hits: {len(hits.found)} of {windows} windows", f"{boxes} after {how}"]


def _refuse_overwriting(config: SlideConfig) -> None:
    if os.path.exists(config.out) and os.path.samefile(config.out, config.image):
        raise CalcoError(f"--out {config.out} is the image that is read; choose another name")
