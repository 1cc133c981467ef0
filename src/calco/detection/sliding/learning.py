"""Learns a classifier of windows from annotated images, in seconds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from calco.console import bar, warn
from calco.data.config import SplitConfig
from calco.data.source import Item, Source
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.data.types import fraction
from calco.detection.sliding.classifier import (
    BACKGROUND,
    ClassifierInfo,
    Describe,
    Vectors,
    Weights,
    WindowClassifier,
    chosen_features,
    describer,
    input_size,
)
from calco.detection.sliding.config import SlideConfig
from calco.detection.sliding.examples import Example, examples_of
from calco.errors import CalcoError

_DECAY: Final = 0.03  # of the squared weights, against the mean log-loss
_STEPS: Final = 400
_MORE: Final = 12  # windows without a thing, of each image, among which the second round looks for hard ones
_HARD: Final = 0.2  # the probability of a thing from which on a window without one is a hard one

Labels = npt.NDArray[np.int64]


def learn(config: SlideConfig) -> tuple[WindowClassifier, str, list[tuple[str, str]]]:
    """Learns from `config.examples`: twice, the second time with the windows that deceived the first.

    Returns:
        The classifier, what the images were recognised as, and name and reason of those that could not be used.

    Raises:
        CalcoError: When there are no images with objects, or they leave too few windows.
    """
    assert config.examples is not None
    source = open_source(config.examples, config.source)
    sides = split_items(source.items, SplitConfig(validation=0.1, test=0.1))
    train, held = (_some(items, config) for items in (sides["train"], sides["val"] + sides["test"]))
    features = chosen_features(config.features)
    size_wh = input_size(features, config.window_wh)
    describe = describer(features, size_wh, config.device)
    left_out: list[tuple[str, str]] = []
    vectors, names = _described(source, train, describe, config, _MORE, left_out)
    classes = tuple(sorted(set(names) - {BACKGROUND}))
    if not classes:
        reason = f"; the first image left out: {left_out[0][0]}, {left_out[0][1]}" if left_out else ""
        raise CalcoError(f"no image in {config.examples} shows a thing to learn from{reason}; name other --examples")
    labels = np.array([classes.index(name) + 1 if name != BACKGROUND else 0 for name in names], np.int64)
    if not (labels == 0).any():
        raise CalcoError(f"the objects fill the images in {config.examples} so that no window without one is left; "
                         "give images with some surroundings")  # fmt: skip
    first = _first_round(labels)
    weights = fit(vectors[first], labels[first], len(classes))
    hard = ~first & (1 - weights.probabilities(vectors)[:, 0] >= _HARD)
    weights = fit(vectors[first | hard], labels[first | hard], len(classes))
    info = ClassifierInfo(
        classes=classes, features=features, size_wh=size_wh, window_wh=config.window_wh,
        examples=int((first | hard).sum()), images=config.examples, seed=config.seed,
    )  # fmt: skip
    if held:
        info = _scored(info, weights, *_described(source, held, describe, config, None, left_out))
    for name, reason in left_out[:3]:
        warn(f"left out {name}: {reason}")
    return WindowClassifier(info, weights, describe), source.summary(), left_out


def fit(vectors: Vectors, labels: Labels, classes: int, decay: float = _DECAY) -> Weights:
    """A softmax regression with weight decay, near its optimum; the same for the same examples.

    By Nesterov's method for functions as curved as this one (Introductory Lectures on Convex Optimization, 2004, scheme
    2.2.9), which needs neither a step size nor a library.

    Args:
        vectors: N x D.
        labels: N, 0 for background, up to `classes`.
        classes: Without background.
        decay: Of half the squared weights, beside the mean log-loss.
    """
    mean = vectors.mean(0)
    deviation = np.maximum(vectors.std(0), 1e-3)
    x = np.hstack([(vectors - mean) / deviation, np.ones((len(vectors), 1), np.float32)])  # the bias is a weight too
    wanted = np.eye(classes + 1, dtype=np.float32)[labels]
    steepest = _largest_square(x) / (2 * len(x)) + decay  # the softmax bends by half of its features' squares at most
    root = (decay / steepest) ** 0.5
    weights = ahead = np.zeros((x.shape[1], classes + 1), np.float32)
    for _ in range(_STEPS):
        raised = np.exp((logits := x @ ahead) - logits.max(1, keepdims=True))
        error = raised / raised.sum(1, keepdims=True) - wanted
        before, weights = weights, ahead - (x.T @ error / len(x) + decay * ahead) / steepest
        ahead = weights + (1 - root) / (1 + root) * (weights - before)
    return Weights(weights[:-1], weights[-1], mean, deviation)


def _largest_square(x: Vectors) -> float:
    """The largest eigenvalue of x' x, or a little more, by the power method."""
    direction = np.ones(x.shape[1], np.float32)
    for _ in range(30):
        direction = x.T @ (x @ (direction / np.linalg.norm(direction)))
    return 1.05 * float(np.linalg.norm(direction))


def _some(items: Sequence[Item], config: SlideConfig) -> list[Item]:
    """As many as are wanted, always the same ones."""
    wanted = config.example_images or len(items)
    chosen = sorted(items, key=lambda item: fraction("examples", config.seed, item.key))[:wanted]
    return sorted(chosen, key=lambda item: item.key)


def _described(
    source: Source,
    items: Sequence[Item],
    describe: Describe,
    config: SlideConfig,
    others: int | None,
    left_out: list[tuple[str, str]],
) -> tuple[Vectors, list[str]]:
    """Features and names of the windows of some images."""
    vectors: list[Vectors] = []
    names: list[str] = []
    waiting: list[Example] = []
    more = {} if others is None else {"others": others}
    with bar("looking at examples", len(items), unit="images/s") as advance:
        told: Callable[[int], None] = advance
        for example in examples_of(
            source, items, config.window_wh, config.seed, left_out=left_out, advance=told, **more
        ):
            names.append(example.label)
            waiting.append(example)
            if len(waiting) == config.batch:
                vectors.append(describe([each.crop for each in waiting]))
                waiting.clear()
        if waiting:
            vectors.append(describe([each.crop for each in waiting]))
    return np.concatenate(vectors) if vectors else np.zeros((0, 1), np.float32), names


def _first_round(labels: Labels) -> npt.NDArray[np.bool_]:
    """All windows with objects, and every second without: the rest waits to be found hard."""
    chosen: npt.NDArray[np.bool_] = labels > 0
    chosen[np.flatnonzero(labels == 0)[::2]] = True
    return chosen


def _scored(info: ClassifierInfo, weights: Weights, vectors: Vectors, names: list[str]) -> ClassifierInfo:
    """With its accuracy on windows that were not learnt from."""
    known = [place for place, name in enumerate(names) if name in info.classes or name == BACKGROUND]
    if not known:
        return info
    truth = np.array([0 if names[place] == BACKGROUND else info.classes.index(names[place]) + 1 for place in known])
    said = weights.probabilities(vectors[known]).argmax(1)
    objects = truth > 0
    return replace(
        info, held_out=len(known), accuracy=float((said == truth).mean()), background=float((~objects).mean()),
        recall=float((said == truth)[objects].mean()) if objects.any() else None,
    )  # fmt: skip
