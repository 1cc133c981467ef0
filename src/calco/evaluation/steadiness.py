"""How steady a model's video is: flicker and PSNR of consecutive frames, beside the truth's and the input's own."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.data.recipes import Recipe
from calco.data.sample import generator
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.evaluation import metrics
from calco.evaluation.baselines import MODEL
from calco.evaluation.scores import Bootstrap, Metric, Score
from calco.imaging import Image
from calco.inference.steady import Steady
from calco.report.page import count
from calco.video.motion import CutFinder, Follower, Motion, chroma_of, luma, warping_error

TRUTH, INPUT, STEADIED = "truth", "input", "model, steadied"
PIECE: Final = 50
"""Frames in one stretch, where a video is measured in stretches."""
MOVING: Final = 2.0
"""Pixels from frame to frame from which on a region counts as moving."""


MEASURES: Final = {
    "flicker": Metric(
        "Flicker · 10⁻⁴", None, 2,
        "Warping error (Lai et al. 2018): the mean squared difference between a frame and the one before, moved along "
        "the truth's optical flow, over the pixels seen in both; values in [0, 1], cuts left out.", factor=1e4),
    "times": Metric(
        "Flicker × the truth's", None, 2, "As a multiple of the truth's own, which holds noise and light."),
    "colour": Metric("Flicker of colour · 10⁻⁴", None, 2, "The same of red and blue less brightness.", factor=1e4),
    "colour_times": Metric("Of colour × the truth's", None, 2, "Flicker of colour as a multiple of the truth's own."),
    "psnr": Metric("PSNR, dB", None, 2, "Against the truth, mean over the frames at the video's own size."),
    "psnr_moving": Metric(
        "PSNR where it moves, dB", None, 2,
        f"The same over pixels that move by {MOVING:g} or more from frame to frame: smeared ones lose here."),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameScores:
    """Scores of one frame: system, measure, value (NaN where there is none, as for flicker at a cut)."""

    video: str
    number: int
    group: str
    values: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """Steadiness of videos."""

    # System ("truth", "input", "model", "model, steadied"), measure, mean with its interval
    systems: Mapping[str, Mapping[str, Score]]
    frames: Sequence[FrameScores]  # every frame that was measured
    notes: Sequence[str] = field(default=())  # remarks, a sentence each

    @property
    def measures(self) -> dict[str, Metric]:
        """Measures that have a value."""
        return {name: each for name, each in MEASURES.items() if any(name in row for row in self.systems.values())}


def stretches(frames: Sequence[Item], wanted: Sequence[Item] | None, most: int) -> list[list[Item]]:
    """Return stretches of consecutive frames to measure, in order.

    Of a split (`wanted`) only its groups are taken, from the first to the last frame of each. At most `most` frames are
    taken, in stretches of `PIECE` that are spread evenly; 0 takes all.
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
        if runs and runs[-1][-1].paths == item.paths and _number(item) == _number(runs[-1][-1]) + 1:
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
    runs: Sequence[Sequence[Item]], source: Source, recipe: Recipe, translator: Callable[[Image], Image], *,
    steady: Steady | None = None, seed: int = 0, progress: Callable[[int], None] = lambda _done: None,
) -> VideoScores:  # fmt: skip
    """Measure stretches of consecutive frames at the videos' own size."""
    rows: list[FrameScores] = []
    damaged: list[str] = []
    done = 0
    for run in runs:
        follower = _Stretch(steady)
        for item in run:
            done += 1
            try:
                pair = recipe(source.load(item), generator(seed, 0, item.key, "recipe"))
                values = follower.add({TRUTH: pair.target, INPUT: pair.input, MODEL: translator(pair.input)})
            except CalcoError as error:
                damaged.append(f"{item.key}: {error}")
                follower = _Stretch(steady)
                continue
            name = item.key.rpartition("/")[0]
            rows.append(FrameScores(video=name, number=_number(item), group=item.group, values=values))
            progress(done)
    if not any(math.isfinite(row.values[TRUTH].get("flicker", math.nan)) for row in rows):
        first = damaged[0] if damaged else "flicker needs two frames of a scene that follow each other"
        raise CalcoError(f"flicker could not be measured: {first}; name a longer video, or one that is whole")
    notes = [f"{len(rows):,} frames in {count(len(runs), 'stretch')} of consecutive frames, at their own size."]
    cuts = sum(math.isnan(row.values[TRUTH]["flicker"]) for row in rows) - len(runs)
    notes += [f"{count(cuts, 'cut')} found; no flicker is measured across a cut."] if cuts > 0 else []
    notes += [f"{len(damaged)} frames could not be measured: {damaged[0]}."] if damaged else []
    return VideoScores(systems=_summary(rows, seed), frames=tuple(rows), notes=tuple(notes))


class _Stretch:
    """One stretch, frame by frame."""

    def __init__(self, steady: Steady | None) -> None:
        self.steady = steady
        if steady is not None:
            steady.reset()
        self.follow = Follower()
        self.cut = CutFinder()
        self.before: tuple[npt.NDArray[np.uint8], dict[str, Image]] | None = None

    def add(self, shown: dict[str, Image]) -> dict[str, dict[str, float]]:
        """Return system, measure, value of the next frame."""
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
        resampled = {name: bootstrap.means(values) for name, values in measures.items()}
        for name, ratio in (("flicker", "times"), ("colour", "colour_times")):
            if name in means and (truth := float(metrics.nan_mean(columns[TRUTH][name]))) > 0:
                means[ratio] = means[name] / truth
                with np.errstate(invalid="ignore", divide="ignore"):
                    resampled[ratio] = resampled[name] / bootstrap.means(columns[TRUTH][name])
        found[system] = {name: Score.of(means[name], resampled[name], len(rows)) for name in MEASURES if name in means}
    return found


def _number(item: Item) -> int:
    return int(item.key.rpartition("/")[2])
