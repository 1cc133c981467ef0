"""Scores of the runs of an ablation: all on the same pairs of one split, made in one way."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calco.data.augmentation import whole_side
from calco.data.config import JitterConfig, SourceConfig, SplitConfig
from calco.data.curation import limited
from calco.data.dataset import PairDataset
from calco.data.recipe_config import RecipeConfig
from calco.data.recipes import build_recipe, recipe_title
from calco.data.sample import Pair
from calco.data.source import Item, Source, settled
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.errors import CalcoError, DataError
from calco.evaluation.scorecard import SCORES, Scorecard
from calco.evaluation.scoring import evaluate
from calco.files import read_json
from calco.inference.loading import load

SPLIT_NAMES = {"validation": "val", "test": "test"}


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

    @property
    def setting(self) -> dict[str, str]:
        """How the pairs are made and chosen, name and value."""
        size = f"{whole_side(self.jitter) or 'native'} pixels, {self.jitter.fit}"
        return {
            "recipe": recipe_title(self.recipe.recipe), "size": size, "split": self.part,
            "largest number of images": str(self.num_scored or "all"),
        }  # fmt: skip

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
        translator = load(run)
        source, recipe = settled(source, self.recipe, items, resolved=True)
        make = build_recipe(recipe, source.kind, source.recipe)
        dataset = PairDataset(source, items, make, self.jitter, 0, train=False)
        native = translator.info.jitter == self.jitter
        by_key = {item.key: item for item in items}
        trained_on = translator.info.provenance.get("trained_on")
        known = None if trained_on is None else set(trained_on)
        mean_target = translator.mean_target
        return evaluate(
            lambda image: translator(image, native=native),
            _pairs(dataset),
            name=name,
            recipe=recipe_title(recipe.recipe),
            palette=recipe.segment.palette if translator.info.palette is not None else None,
            seen=None if known is None else lambda key: not known.isdisjoint(source.digests(by_key[key])),
            digest=lambda key: source.digest(by_key[key]),
            setting=self.setting,
            mean_target=None if mean_target is None else (mean_target / 255).astype(np.float32),
            out=out,
        )

    def read(self, folder: Path) -> Scorecard | None:
        """Read the scores of an earlier call; None if there are none, or others were asked for."""
        try:
            if read_json(folder / SCORES).get("setting") == self.setting:
                return Scorecard.load(folder)
        except (CalcoError, KeyError):  # a kill while they were written
            return None
        return None


def _pairs(dataset: PairDataset) -> Iterator[Pair]:
    """Yield the pairs of the images that can be read."""
    for index in range(len(dataset)):
        pair = dataset.pair(index, 0)
        if pair.key == dataset.items[index].key:  # else its neighbour, in place of a damaged one
            yield pair
