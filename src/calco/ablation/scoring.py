"""Scores of the runs of an ablation: all on the same pairs of one split, made in one way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from calco.ablation.curves import NUM_IMAGES, Curve, models, remove_models
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
from calco.evaluation.metrics import mean_class_scores, nan_mean
from calco.evaluation.perceptual import weight_file
from calco.evaluation.scorecard import SCORES, Scorecard
from calco.evaluation.scoring import Examiner, Known, evaluate
from calco.files import read_json, write_json
from calco.inference.translator import Translator, load
from calco.training.config import TrainConfig

SPLIT_NAMES = {"validation": "val", "test": "test"}
CURVE: Final = "curve.json"


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
