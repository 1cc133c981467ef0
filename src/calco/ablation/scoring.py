"""Scores of the runs of an ablation: all on the same pairs of one split, made in one way.

The models of a run's validations are scored like the final one: its curve is quality against minutes.
"""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from calco import journal
from calco.data.config import JitterConfig, SourceConfig, SplitConfig
from calco.data.curation import limited
from calco.data.dataset import PairDataset
from calco.data.palettes import named_palette
from calco.data.recipe_config import RecipeConfig
from calco.data.recipes import build_recipe, recipe_title
from calco.data.source import Item, Source, settled
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.errors import CalcoError, DataError
from calco.evaluation.baselines import MODEL
from calco.evaluation.evaluate import pair_setting
from calco.evaluation.metrics import METRICS, mean_class_scores, nan_mean
from calco.evaluation.perceptual import weight_file
from calco.evaluation.scorecard import SCORES, Scorecard
from calco.evaluation.scoring import Examiner, Known, evaluate
from calco.files import make_folder, read_json, write_json
from calco.inference.translator import Translator, load
from calco.training.config import TrainConfig
from calco.training.task import Validation
from calco.training.translation import Translation

SHOWN: Final = ("l1", "psnr", "psnr_inside", "ssim", "st_lpips", "iou")
"""Metrics that have a curve."""
NUM_IMAGES: Final = 32
"""Largest number of images for a curve: many models are scored on each."""
MOST_MODELS: Final = 32
"""Models that a run keeps for its curve. When there are more, every second one is removed: they stay spread."""
SPLIT_NAMES = {"validation": "val", "test": "test"}
CURVE: Final = "curve.json"


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


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The pairs that all runs on a data set are scored on."""

    images: str
    part: str  # "validation" or "test"
    num_scored: int  # largest number of images; 0 takes all
    source: SourceConfig
    split: SplitConfig
    recipe: RecipeConfig
    jitter: JitterConfig  # of the pairs
    known: Known = field(default_factory=dict, compare=False, repr=False)  # scores of the baselines of earlier runs

    @property
    def setting(self) -> dict[str, str]:
        """How the pairs are made and chosen, name and value."""
        return pair_setting(self.recipe, self.jitter) | {
            "split": self.part, "largest number of images": str(self.num_scored or "all"),
        }  # fmt: skip

    def trained_otherwise(self, config: TrainConfig) -> str:
        """Describe how the pairs of a run's training differ from those that it is scored on; empty if not at all."""
        ours, theirs = pair_setting(self.recipe, self.jitter), pair_setting(config.recipe, config.jitter)
        return ", ".join(
            f"{name} {theirs.get(name)} (scored: {value})" for name, value in ours.items() if value != theirs.get(name)
        )

    def items(self) -> tuple[Source, tuple[Item, ...]]:
        """Open the source; return it with the images to score on.

        Raises:
            CalcoError: If the images cannot be listed, or the split is empty.
        """
        source = open_source(self.images, self.source)
        chosen = split_items(source.items, self.split)[SPLIT_NAMES[self.part]]
        if not chosen:
            other = "test" if self.part == "validation" else "validation"
            raise DataError(
                f"{self.images} has no images for {self.part}; give --part {other}, or a share for {self.part} with "
                f'--options "--split.{self.part} 0.1"'
            )
        return source, limited(tuple(chosen), self.num_scored)

    def score(self, run: Path, out: Path, name: str) -> Scorecard:
        """Score a run, beside the baselines, and write `scores.json` and images to a folder.

        A model that was trained at another size sees the pairs at its own size, as `calco translate` shows them.

        Raises:
            CalcoError: If no image can be scored.
        """
        source, items = self.items()
        dataset, recipe = self._dataset(source, items)
        source, translator = dataset.source, load(run)
        native = translator.info.jitter == self.jitter
        by_key = {item.key: item for item in items}
        trained_on = translator.info.provenance.get("trained_on")
        known = None if trained_on is None else set(trained_on)
        mean_target = translator.mean_target
        return evaluate(
            lambda image: translator(image, native=native),
            dataset.scored_pairs(),
            name=name,
            recipe=recipe_title(recipe.recipe),
            palette=recipe.segment.palette if translator.info.palette is not None else None,
            seen=None if known is None else lambda key: not known.isdisjoint(source.digests(by_key[key])),
            digest=lambda key: source.digest(by_key[key]),
            setting=self.setting,
            learned_from_alexnet=translator.info.provenance.get("perceptual") == "alexnet",
            mean_target=None if mean_target is None else (mean_target / 255).astype(np.float32),
            out=out,
            known=self.known,
        )

    def _dataset(self, source: Source, items: tuple[Item, ...]) -> tuple[PairDataset, RecipeConfig]:
        """Return the pairs of images, and the recipe that makes them."""
        source, recipe = settled(source, self.recipe, items, resolved=True)
        make = build_recipe(recipe, source.kind, source.recipe)
        return PairDataset(source, items, make, self.jitter, 0, train=False), recipe

    def read(self, folder: Path) -> Scorecard | None:
        """Read the scores of an earlier call; None if there are none, or others were asked for."""
        try:
            if read_json(folder / SCORES).get("setting") == self.setting:
                return Scorecard.load(folder)
        except (CalcoError, KeyError):  # a kill while they were written
            return None
        return None

    def curve(self, run: Path, out: Path) -> Curve:
        """Score the models of a run's validations and the one it has kept; write the curve to a folder.

        The models are removed when they are scored; a later call reads the curve.

        Raises:
            CalcoError: If no image can be scored.
        """
        if (out / CURVE).is_file():
            found = Curve.of(read_json(out / CURVE))
        else:
            source, items = self.items()
            dataset, _recipe = self._dataset(source, limited(items, NUM_IMAGES))
            points = [(minutes, self._means(load(folder), dataset)) for minutes, folder in models(run).values()]
            found = Curve(setting=self.setting, points=points, final=self._means(load(run), dataset))
            write_json(out / CURVE, found.record())
        remove_models(run)
        return found

    def _means(self, translator: Translator, dataset: PairDataset) -> Mapping[str, float]:
        """Return the mean of each metric over the images that have it."""
        info = translator.info
        palette = named_palette(self.recipe.segment.palette) if info.palette is not None else None
        examine = Examiner(
            palette=palette, mean_target=None, perceptual=weight_file() is not None, everything=False,
            kind=(False, False),
        )  # fmt: skip
        native = info.jitter == self.jitter
        found = examine.each(dataset.scored_pairs(), lambda image: translator(image, native=native))
        rows = [row for _key, row in found if not isinstance(row, str)]
        if not rows:
            raise DataError(f"none of the images of {self.images} can be scored")
        means = {name: float(nan_mean([row.scores[MODEL][name] for row in rows])) for name in rows[0].scores[MODEL]}
        if palette:  # over all pixels at once, as in the table
            total = np.sum([row.confusions[MODEL] for row in rows], axis=0)
            means |= {name: float(value) for name, value in mean_class_scores(total).items()}
        return {name: value for name, value in means.items() if np.isfinite(value)}
