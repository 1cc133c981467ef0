"""A training on shards makes the same model as one on the images that they were made of."""

from pathlib import Path

import numpy as np

from calco import imaging
from calco.data.config import JitterConfig, PrepareConfig
from calco.data.prepare import prepare
from calco.data.recipes import EraseConfig, RecipeConfig
from calco.inference.translator import load_info
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.training.config import ComputeConfig, KeepConfig, LimitConfig, TrainConfig
from calco.training.translation import train


def test_the_model_carries_the_recipe_that_made_the_shards(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "p").mkdir()
    for i in range(6):
        imaging.write(tmp_path / "p" / f"{i}.png", rng.integers(0, 256, (40, 36, 3), dtype=np.uint8))
    recipe = RecipeConfig(recipe="erase", erase=EraseConfig(fill="black", weight=3))
    wanted = PrepareConfig(images=str(tmp_path / "p"), out=str(tmp_path / "s"), recipe=recipe, jobs=1, variants=2)
    prepare(wanted, progress=False)

    def run(images: Path, asked: RecipeConfig) -> Path:
        config = TrainConfig(
            images=str(images),
            out=str(tmp_path / f"run-{images.name}"),
            recipe=asked,
            jitter=JitterConfig(size=16, resize=20),
            generator=GeneratorConfig(depth=3, filters=4),
            discriminator=DiscriminatorConfig(patch=16, filters=4),
            limit=LimitConfig(epochs=0, steps=2),
            keep=KeepConfig(validation_pairs=1, samples=1, tensorboard=False),
            compute=ComputeConfig(threads=1),
        )
        return train(config, progress=False)

    made, raw = load_info(run(tmp_path / "s", RecipeConfig())), load_info(run(tmp_path / "p", recipe))
    assert made.recipe == raw.recipe == recipe
    assert made.generator == raw.generator
    assert (made.generator.composition, made.generator.hole) == ("filled", (0, 0, 0))
    assert made.provenance["source"] == "shards"
    # By the digests of the images, evaluation knows what either model has seen.
    assert set(made.provenance["trained_on"]) == set(raw.provenance["trained_on"])
