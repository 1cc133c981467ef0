"""A classifier for the windows of a sliding window: histograms of oriented gradients and a softmax regression."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections
from calco.data.config import SourceConfig, SplitConfig
from calco.data.sample import fraction, generator
from calco.data.source import Item
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.detection.boxes import iou
from calco.detection.drawing import as_scene
from calco.errors import CalcoError
from calco.imaging import Image

Floats = npt.NDArray[np.float32]
Boxes = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]
Progress = Callable[[str, float, int | None], None]

BACKGROUND: Final = "background"
_CELL, _BINS = 8, 9
_AREA: Final = 64 * 64  # pixels to which every window is resized, in its own proportions
_IMAGES: Final = 300  # images to learn from at most, and as many again for the accuracy
_OBJECTS, _VIEWS = 6, 3  # the largest objects of an image, and windows around each
_OTHERS: Final = 12  # windows of each image without an object
_MARGIN: Final = 1.1  # of a window around an object
_APART: Final = 0.3  # IoU with every object's window below which a window counts as background
_DECAY: Final = 0.03  # of half the squared weights, beside the mean log-loss
_STEPS: Final = 400
_HARD: Final = 0.2  # the probability of an object from which a background window is a hard negative


@dataclass(frozen=True, eq=False)
class WindowClassifier:
    """A softmax over background and the classes, on HOG features of mean 0 and deviation 1."""

    classes: tuple[str, ...]  # C names, without background
    size_wh: tuple[int, int]  # width and height to which windows are resized, pixels
    weight: Floats  # D x (1 + C)
    bias: Floats  # 1 + C
    mean: Floats  # D, of the features
    deviation: Floats  # D, of the features
    examples: int = 0  # number of windows that it learned from
    held_out: int = 0  # number of windows of other images that the accuracy is measured on
    accuracy: float = 0.0  # share of those windows that are classified correctly; 0 without any
    background: float = 0.0  # share of those windows that are background: the accuracy of always answering "background"

    def from_features(self, features: Floats) -> Floats:
        """Return the probabilities of background and each class: N x D => N x (1 + C)."""
        logits = ((features - self.mean) / self.deviation) @ self.weight + self.bias
        return _softmax(logits.astype(np.float32))


def learn_classifier(
    images: str, window_wh: tuple[int, int], *, source: SourceConfig, seed: int, progress: Progress
) -> tuple[WindowClassifier, list[str]]:
    """Learn a classifier from images with boxes: twice, the second time with the hard negatives of the first.

    Returns:
        The classifier, and a sentence for each image that cannot be used.
    """
    opened = open_source(images, source)
    sides = split_items(opened.items, SplitConfig(validation=0.1, test=0.1))
    ratio = window_wh[0] / window_wh[1]
    # A fixed area in the proportions of the window, in whole cells.
    across, down = (max(2, round((_AREA * each) ** 0.5 / _CELL)) * _CELL for each in (ratio, 1 / ratio))
    notes: list[str] = []

    def described(items: Sequence[Item]) -> tuple[Floats, list[str]]:
        chosen = sorted(items, key=lambda item: fraction("examples", seed, item.key))[:_IMAGES]
        features, names = list[Floats](), list[str]()
        for number, item in enumerate(chosen, 1):
            try:
                sample = opened.load(item)
                if sample.detections is None:
                    raise CalcoError("it has no boxes; --examples needs images with boxes")
            except CalcoError as error:
                notes.append(f"{item.key}: {error}")
                continue
            if examples := list(_examples(as_scene(sample.image), sample.detections, item.key, ratio, seed)):
                features.append(hog([crop for crop, _ in examples], (across, down)))
                names += [name for _, name in examples]
            progress("examples", number, len(chosen))
        return np.concatenate(features) if features else np.zeros((0, 1), np.float32), names

    features, names = described(sides["train"])
    classes = tuple(sorted(set(names) - {BACKGROUND}))
    if not classes:
        reason = f" (the first image left out: {notes[0]})" if notes else ""
        raise CalcoError(f"{images}: no image shows an object to learn from{reason}; name other --examples")
    order = (BACKGROUND, *classes)
    labels = np.array([order.index(name) for name in names], np.int64)
    if not (labels == 0).any():
        raise CalcoError(f"{images}: no window without an object is left; give images with more background")
    used = labels > 0
    used[np.flatnonzero(labels == 0)[::2]] = True  # half of the background waits to be found hard
    made = _fit(features[used], labels[used], classes, (across, down))
    used |= 1 - made.from_features(features)[:, 0] >= _HARD
    made = _fit(features[used], labels[used], classes, (across, down))
    features, names = described(sides["val"] + sides["test"])
    known = [place for place, name in enumerate(names) if name in order]
    if not known:
        return made, notes
    truth = np.array([order.index(names[place]) for place in known])
    accuracy = float((made.from_features(features[known]).argmax(1) == truth).mean())
    return replace(made, held_out=len(known), accuracy=accuracy, background=float((truth == 0).mean())), notes


def hog(crops: Sequence[Image], size_wh: tuple[int, int]) -> Floats:
    """Return histograms of oriented gradients (Dalal and Triggs, CVPR 2005): N windows, HW3 `uint8` => N x D.

    As recommended there: the colour with the strongest gradient counts at each pixel, nine directions without sign,
    cells of 8 pixels, overlapping blocks of 2 x 2 cells, each of length 1, clipped at 0.2 and normalised again.
    """
    images = np.empty((len(crops), size_wh[1], size_wh[0], 3), np.uint8)
    for place, crop in enumerate(crops):
        smaller = crop.shape[0] * crop.shape[1] > size_wh[0] * size_wh[1]
        images[place] = cv2.resize(crop, size_wh, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    padded = np.pad(np.sqrt(images.astype(np.float32) / 255), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    strength = np.hypot(across, down)
    best = strength.argmax(3)[..., None]
    across, down, strength = (np.take_along_axis(part, best, 3)[..., 0] for part in (across, down, strength))
    turn = (np.arctan2(down, across) % np.pi) * (_BINS / np.pi) - 0.5
    low = np.floor(turn)
    share = (turn - low).astype(np.float32)
    bins = low.astype(np.int64) % _BINS
    count, height, width = strength.shape
    cells = np.zeros((count, height // _CELL, width // _CELL, _BINS), np.float32)
    for number in range(_BINS):  # each gradient is shared between the two directions that it lies between
        votes = strength * ((bins == number) * (1 - share) + ((bins + 1) % _BINS == number) * share)
        cells[..., number] = votes.reshape(count, height // _CELL, _CELL, width // _CELL, _CELL).sum((2, 4))
    blocks = np.concatenate([cells[:, :-1, :-1], cells[:, :-1, 1:], cells[:, 1:, :-1], cells[:, 1:, 1:]], 3)
    return _unit(np.minimum(_unit(blocks), 0.2)).reshape(count, -1).astype(np.float32)


def cut(image: Image, box: Sequence[float] | npt.NDArray[np.generic]) -> Image:
    """Return the pixels of a box that lies in the image, one at least."""
    left, top, right, bottom = (round(float(value)) for value in box)
    left, top = min(left, image.shape[1] - 1), min(top, image.shape[0] - 1)
    return image[top : max(bottom, top + 1), left : max(right, left + 1)]


def _unit(blocks: Floats) -> Floats:
    lengths: Floats = np.sqrt((blocks**2).sum(-1, keepdims=True) + 1e-4)
    return blocks / lengths


def _softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    shares: Floats = raised / raised.sum(1, keepdims=True)
    return shares


def _fit(features: Floats, labels: Labels, classes: tuple[str, ...], size_wh: tuple[int, int]) -> WindowClassifier:
    """A softmax regression near its optimum; the same for the same examples.

    By Nesterov's method for functions of known curvature (Introductory Lectures on Convex Optimization, 2004, scheme
    2.2.9), which needs neither a step size nor a library.
    """
    mean, deviation = features.mean(0), np.maximum(features.std(0), 1e-3)
    x = np.hstack([(features - mean) / deviation, np.ones((len(features), 1), np.float32)])  # the bias is a weight
    wanted = np.eye(len(classes) + 1, dtype=np.float32)[labels]
    direction = np.ones(x.shape[1], np.float32)
    for _ in range(30):  # the largest eigenvalue of x' x, by the power method
        direction = x.T @ (x @ (direction / np.linalg.norm(direction)))
    steepest = 1.05 * float(np.linalg.norm(direction)) / (2 * len(x)) + _DECAY
    root = (_DECAY / steepest) ** 0.5
    weights = ahead = np.zeros((x.shape[1], len(classes) + 1), np.float32)
    for _ in range(_STEPS):
        error = _softmax(x @ ahead) - wanted
        before, weights = weights, ahead - (x.T @ error / len(x) + _DECAY * ahead) / steepest
        ahead = weights + (1 - root) / (1 + root) * (weights - before)
    return WindowClassifier(classes, size_wh, weights[:-1], weights[-1], mean, deviation, examples=len(x))


def _examples(image: Image, objects: Detections, key: str, ratio: float, seed: int) -> Iterator[tuple[Image, str]]:
    """Yield windows of an image with their classes; they depend on the seed and the key alone."""
    height, width = image.shape[:2]
    solid = objects.select(np.argsort(-objects.areas(), kind="stable")).clipped(width, height)
    rng = generator(seed, 0, key, "windows around objects")
    for box, name in zip(solid.boxes[:_OBJECTS], solid.classes, strict=False):
        for view in range(_VIEWS):
            grown, shift = (rng.uniform(0.85, 1.3), rng.uniform(-0.1, 0.1, 2)) if view else (1.0, np.zeros(2))
            crop = cut(image, _around(box, ratio, width, height, grown, shift))
            yield crop[:, ::-1] if rng.random() < 0.5 else crop, name
    taken = np.array([_around(box, ratio, width, height, 1.0, np.zeros(2)) for box in solid.boxes]).reshape(-1, 4)
    rng = generator(seed, 0, key, "other windows")
    whole = min(width, height * ratio)
    for _ in range(_OTHERS):
        for _ in range(8):  # tries to find a window of random size without an object
            across = whole * np.exp(rng.uniform(np.log(0.15), 0))
            size = np.array([across, across / ratio])
            corner = rng.uniform(0, 1, 2) * (np.array([width, height]) - size)
            box = np.concatenate([corner, corner + size])
            if not len(taken) or iou(box[None], taken).max() < _APART:
                yield cut(image, box), BACKGROUND
                break


def _around(box: Boxes, ratio: float, width: int, height: int, grown: float, shift: Boxes) -> Boxes:
    """Return the window around an object: of the window's proportions and inside the image, as far as it reaches."""
    left, top, right, bottom = (float(value) for value in box)
    across = max(right - left, (bottom - top) * ratio) * _MARGIN * grown
    size = np.minimum([across, across / ratio], [width, height])
    centre = np.array([left + right, top + bottom]) / 2 + shift * size
    corner = np.clip(centre - size / 2, 0, np.array([width, height]) - size)
    return np.concatenate([corner, corner + size])
