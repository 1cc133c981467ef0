"""Quality against minutes: the models of a run's validations, scored like the final one, on the same images."""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from calco import journal
from calco.evaluation.metrics import METRICS
from calco.files import make_folder
from calco.training.task import Validation
from calco.training.translation import Translation

SHOWN: Final = ("l1", "psnr", "psnr_inside", "ssim", "st_lpips", "iou")
"""Metrics that have a curve."""
NUM_IMAGES: Final = 32
"""Largest number of images for a curve: many models are scored on each."""
MOST_MODELS: Final = 32
"""Models that a run keeps for its curve. When there are more, every second one is removed: they stay spread."""


class SampledTranslation(Translation):
    """Training of a translator that keeps the model of each validation.

    A run's own validation has the run's own size and recipe, so that its scores are not comparable with those of
    another variant. The models are scored after the training, which they take no time from.
    """

    def validate(self, step: int, epoch: int) -> Validation:
        """Score the generator, and keep it."""
        result = super().validate(step, epoch)
        folder = make_folder(_folder(Path(self.config.out)))
        self.save_model(folder / f"step-{step:09d}", step, result.scores, {})
        if len(kept := sorted(folder.glob("step-*"))) > MOST_MODELS:
            for each in kept[1::2]:
                shutil.rmtree(each)
        return result


def _folder(run: Path) -> Path:
    return run / "curve"


def models(run: Path) -> dict[int, tuple[float, Path]]:
    """Return step => minutes of training and folder of the models that a run has kept for its curve.

    Only steps of the log count: others were trained again after a kill.
    """
    rows = [row for row in journal.read(run / "log.jsonl") if "validation" in row]
    places = {row["step"]: (row["time"] / 60, _folder(run) / f"step-{row['step']:09d}") for row in rows}
    return {step: (minutes, folder) for step, (minutes, folder) in places.items() if folder.is_dir()}


def remove_models(run: Path) -> None:
    """Remove them once they are scored."""
    shutil.rmtree(_folder(run), ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Scores of one run on the same images, over its training."""

    setting: Mapping[str, str]  # how the pairs were made and chosen, name and value
    points: Sequence[tuple[float, Mapping[str, float]]]  # minutes of training; metric => mean over the images
    final: Mapping[str, float]  # metric => that of the model that the run has kept

    def line(self, metric: str) -> list[tuple[float, float]]:
        """Return minutes and values of a metric."""
        return [(minutes, scores[metric]) for minutes, scores in self.points if metric in scores]

    def minutes_until(self, metric: str, value: float) -> float:
        """Return the minutes after which a score is at least as good as a value for the first time; else infinity."""
        sign = 1 if METRICS[metric].better == "higher" else -1
        return next((minutes for minutes, ours in self.line(metric) if sign * (ours - value) >= 0), math.inf)

    def record(self) -> dict[str, Any]:
        """Return plain data."""
        points = [{"minutes": minutes, "scores": dict(scores)} for minutes, scores in self.points]
        return {"setting": dict(self.setting), "points": points, "final": dict(self.final)}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Curve":
        """Return the curve of plain data."""
        points = [(float(each["minutes"]), each["scores"]) for each in record["points"]]
        return cls(setting=record["setting"], points=points, final=record["final"])


Curves = Mapping[str, Mapping[int, Curve]]
"""Variant, seed, curve."""


def shared_metrics(curves: Curves) -> list[str]:
    """Return the metrics that all curves have."""
    every = [curve for by_seed in curves.values() for curve in by_seed.values()]
    return [name for name in SHOWN if every and all(curve.line(name) and name in curve.final for curve in every)]


@dataclass(frozen=True, kw_only=True)
class TimeToQuality:
    """Minutes that one variant needs for the final score of another."""

    variant: str
    other: str
    minutes: Mapping[str, Sequence[float]]  # metric => by seed that both have; infinite where it was not reached

    def text(self, metric: str) -> str:
        """Return the mean over the seeds, or that the score was not reached."""
        values = self.minutes[metric]
        reached = [value for value in values if math.isfinite(value)]
        if not reached:
            return "not reached"
        some = f" ({len(reached)} of {len(values)} seeds)" if len(reached) < len(values) else ""
        return f"{np.mean(reached):.2f}{some}"


def times_to_quality(curves: Curves) -> list[TimeToQuality]:
    """Compare each variant with the first one, both ways, seed by seed."""
    if not curves:
        return []
    first, *others = curves
    metrics, found = shared_metrics(curves), []
    for ours, theirs in (pair for other in others for pair in ((other, first), (first, other))):
        seeds = [seed for seed in curves[ours] if seed in curves[theirs]]
        minutes = {
            name: [curves[ours][seed].minutes_until(name, curves[theirs][seed].final[name]) for seed in seeds]
            for name in metrics
        }
        if seeds and metrics:
            found.append(TimeToQuality(variant=ours, other=theirs, minutes=minutes))
    return found
