"""How steady a model's video is: flicker and PSNR of consecutive frames, beside the truth's and the input's own."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.data.recipes import Recipe
from calco.data.sample import generator
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.evaluation import metrics
from calco.evaluation.baselines import MODEL
from calco.evaluation.metrics import Bootstrap, Score, interval
from calco.imaging import Image
from calco.inference.steady import Steady
from calco.video.motion import CutFinder, Follower, Motion, chroma_of, luma, warping_error

TRUTH, INPUT, STEADIED = "truth", "input", "model, steadied"
PIECE: Final = 50
"""Frames in one stretch, where a video is measured in stretches."""
MOVING: Final = 2.0
"""Pixels from frame to frame from which on a region counts as moving."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What a reader must know of a value: its name, how it is shown, and what it is."""

    label: str
    decimals: int
    times: float
    meaning: str


MEASURES: Final = {
    "flicker": Measure(
        "Flicker · 10⁻⁴", 2, 1e4,
        "Warping error (Lai et al. 2018): the mean squared difference between a frame and the one before, moved along "
        "the truth's optical flow, over the pixels seen in both; values in [0, 1], cuts left out."),
    "times": Measure("Flicker × the truth's", 2, 1, "As a multiple of the truth's own, which holds noise and light."),
    "colour": Measure("Flicker of colour · 10⁻⁴", 2, 1e4, "The same of red and blue less brightness."),
    "colour_times": Measure("Of colour × the truth's", 2, 1, "Flicker of colour as a multiple of the truth's own."),
    "psnr": Measure("PSNR, dB", 2, 1, "Against the truth, mean over the frames at the video's own size."),
    "psnr_moving": Measure(
        "PSNR where it moves, dB", 2, 1,
        f"The same over pixels that move by {MOVING:g} or more from frame to frame: what smears loses here."),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameScores:
    """One frame: which one, and system, measure, value (NaN where there is none, as for flicker at a cut)."""

    video: str
    number: int
    group: str
    values: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """How steady videos are.

    Attributes:
        systems: System ("truth", "input", "model", "model, steadied"), measure, mean with its interval.
        frames: Every frame that was measured.
        notes: What has to be said of it, a sentence each.
    """

    systems: Mapping[str, Mapping[str, Score]]
    frames: Sequence[FrameScores]
    notes: Sequence[str] = field(default=())

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "VideoScores":
        """The inverse of what `Scorecard.to_json` writes: null is NaN."""

        def numbers(row: Mapping[str, float | None]) -> dict[str, float]:
            return {name: math.nan if value is None else value for name, value in row.items()}

        return cls(
            systems={
                system: {name: Score(**(score | {"mean": numbers(score)["mean"]})) for name, score in row.items()}
                for system, row in content["systems"].items()
            },
            frames=tuple(
                FrameScores(**(row | {"values": {system: numbers(each) for system, each in row["values"].items()}}))
                for row in content["frames"]
            ),
            notes=tuple(content["notes"]),
        )


def stretches(frames: Sequence[Item], wanted: Sequence[Item] | None, most: int) -> list[list[Item]]:
    """Consecutive frames to measure, in order.

    Args:
        frames: All frames of the videos.
        wanted: Those of a split: then no others than its groups' are taken, from the first to the last of each.
        most: At most about so many frames, in stretches of `PIECE` that are spread evenly; 0 takes all.
    """
    ends: dict[tuple[str, str], tuple[str, str]] = {}
    for item in wanted or ():
        first, last = ends.get((item.paths[0], item.group), (item.key, item.key))
        ends[item.paths[0], item.group] = min(first, item.key), max(last, item.key)
    runs: list[list[Item]] = []
    for item in sorted(frames, key=lambda item: item.key):
        if wanted is not None:
            first, last = ends.get((item.paths[0], item.group), ("", ""))
            if not first <= item.key <= last:
                continue
        follows = runs and runs[-1][-1].paths == item.paths and _number(item) == _number(runs[-1][-1]) + 1
        if follows:
            runs[-1].append(item)
        else:
            runs.append([item])
    if not most or sum(map(len, runs)) <= most:
        return runs
    pieces = [run[start : start + PIECE] for run in runs for start in range(0, len(run), PIECE)]
    pieces = [piece for piece in pieces if len(piece) > 1] or pieces
    chosen = np.linspace(0, len(pieces) - 1, min(len(pieces), max(1, most // PIECE))).round().astype(int)
    return [pieces[place] for place in dict.fromkeys(chosen.tolist())]


def measure(
    runs: Sequence[Sequence[Item]],
    source: Source,
    recipe: Recipe,
    translator: Callable[[Image], Image],
    *,
    steady: Steady | None = None,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _done: None,
) -> VideoScores:
    """Measures stretches of consecutive frames at the videos' own size.

    Args:
        runs: As `stretches` gives them.
        source: What reads the frames.
        recipe: What makes input and truth of a frame.
        translator: The model, as `calco translate` uses it.
        steady: What steadies its drawings; None leaves that out.
        seed: Of the recipe's chance and the bootstrap.
        progress: Told how many frames are done.

    Raises:
        CalcoError: When no two frames that follow each other could be measured.
    """
    rows: list[FrameScores] = []
    damaged: list[str] = []
    done = 0
    for run in runs:
        course = _Course(steady)
        for item in run:
            done += 1
            try:
                pair = recipe(source.load(item), generator(seed, 0, item.key, "recipe"))
                shown = {TRUTH: pair.target, INPUT: pair.input, MODEL: translator(pair.input)}
                values = course.add(shown)
            except CalcoError as error:
                damaged.append(f"{item.key}: {error}")
                course = _Course(steady)
                continue
            rows.append(
                FrameScores(
                    video=item.key.rpartition("/")[0],
                    number=_number(item),
                    group=item.group,
                    values=values,
                )
            )
            progress(done)
    if not any(math.isfinite(row.values[TRUTH].get("flicker", math.nan)) for row in rows):
        first = damaged[0] if damaged else "flicker needs two frames of a scene that follow each other"
        raise CalcoError(f"flicker could not be measured: {first}; name a longer video, or one that is whole")
    notes = [f"{len(rows):,} frames in {_count(len(runs), 'stretch')} of consecutive frames, at their own size."]
    cuts = sum(math.isnan(row.values[TRUTH]["flicker"]) for row in rows) - len(runs)
    notes += [f"{_count(cuts, 'cut')} found; no flicker is measured across a cut."] if cuts > 0 else []
    notes += [f"{len(damaged)} frames could not be measured: {damaged[0]}."] if damaged else []
    return VideoScores(systems=_summary(rows, seed), frames=tuple(rows), notes=tuple(notes))


class _Course:
    """One stretch, frame by frame."""

    def __init__(self, steady: Steady | None) -> None:
        self.steady = steady
        if steady is not None:
            steady.reset()
        self.follow = Follower()
        self.cut = CutFinder()
        self.before: tuple[npt.NDArray[np.uint8], dict[str, Image]] | None = None

    def add(self, shown: dict[str, Image]) -> dict[str, dict[str, float]]:
        """System, measure, value of the next frame."""
        if self.steady is not None:
            shown = shown | {STEADIED: self.steady(shown[INPUT], shown[MODEL])}
        grey = luma(shown[TRUTH])
        cut, before = self.cut(grey), self.before
        self.before = (grey, shown)
        motion = None
        if before is not None and not cut and before[0].shape == grey.shape:
            motion = self.follow(before[0], grey)
        return {
            name: _values(name, image, shown[TRUTH], motion, None if before is None else before[1][name])
            for name, image in shown.items()
        }


def _values(name: str, now: Image, truth: Image, motion: Motion | None, before: Image | None) -> dict[str, float]:
    found = {"flicker": math.nan}
    if motion is not None and before is not None:
        found["flicker"] = warping_error(before, now, motion)
        if truth.shape[2] == 3:
            found["colour"] = warping_error(chroma_of(before), chroma_of(now), motion) if now.shape[2] == 3 else 0.0
    if name != TRUTH and imaging.converts(now.shape[2], truth.shape[2]):
        found["psnr"] = metrics.psnr(now, truth)
        if motion is not None and (moving := motion.speed >= MOVING).any():
            found["psnr_moving"] = metrics.psnr_inside(now, truth, moving)
    return found


def _summary(rows: Sequence[FrameScores], seed: int) -> dict[str, dict[str, Score]]:
    bootstrap = Bootstrap([f"{row.video} {row.group}" for row in rows], seed)
    columns: dict[str, dict[str, list[float]]] = {}
    for system in rows[0].values:
        names = [name for name in MEASURES if any(name in row.values[system] for row in rows)]
        columns[system] = {name: [row.values[system].get(name, math.nan) for row in rows] for name in names}
    found: dict[str, dict[str, Score]] = {}
    for system, measures in columns.items():
        means = {name: float(metrics.nan_mean(values)) for name, values in measures.items()}
        drawn = {name: bootstrap.means(values) for name, values in measures.items()}
        for name, ratio in (("flicker", "times"), ("colour", "colour_times")):
            if name in means and (truth := float(metrics.nan_mean(columns[TRUTH][name]))) > 0:
                means[ratio] = means[name] / truth
                with np.errstate(invalid="ignore", divide="ignore"):
                    drawn[ratio] = drawn[name] / bootstrap.means(columns[TRUTH][name])
        found[system] = {}
        for name in [name for name in MEASURES if name in means]:
            low, high = interval(drawn[name]) or (None, None)
            found[system][name] = Score(means[name], low, high, len(rows))
    return found


def _number(item: Item) -> int:
    return int(item.key.rpartition("/")[2])


def _count(num: int, noun: str) -> str:
    return f"{num} {noun}" + ("" if num == 1 else "es" if noun.endswith("h") else "s")
