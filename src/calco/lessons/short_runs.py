"""Short trainings of translators for the lessons, each made once and kept in the lessons' folder."""

from dataclasses import replace

from calco.data.config import JitterConfig
from calco.data.recipe_config import RecipeConfig
from calco.inference.translator import Translator, load
from calco.lessons.scenes import kept, waiting
from calco.networks.config import GeneratorConfig
from calco.records import to_record
from calco.training.config import KeepConfig, LimitConfig, ObjectiveConfig, OptimiserConfig, TrainConfig
from calco.training.translation import train


def short_config(recipe: RecipeConfig, images: str, *, steps: int = 200, side: int = 64) -> TrainConfig:
    """Return a configuration that takes well under a minute: a U-Net of 16 filters at 64 pixels, without adversary."""
    return TrainConfig(
        images=images,
        recipe=recipe,
        jitter=JitterConfig(size=side, resize=side + side // 8),
        generator=GeneratorConfig(depth=4, filters=16, up="resize", convention="paper", dropout=0),
        objective=ObjectiveConfig(gan="none", pixel_weight=100),
        optimiser=OptimiserConfig(batch=8, learning_rate=2e-3, decay_from=0.4, ema=0.98),
        limit=LimitConfig(epochs=0, steps=steps),
        keep=KeepConfig(validate_steps=steps, samples=1, checkpoints=1, tensorboard=False),
    )


def trained(name: str, config: TrainConfig) -> Translator:
    """Return the model of a run, and train it first where it is absent; a run that was interrupted is resumed."""
    out = kept(name, to_record(config))
    if not (out / "finished").is_file():
        with waiting("La primera vez se entrena la red: un minuto", "The network is trained the first time: a minute"):
            train(replace(config, out=str(out)), resume=(out / "config.yaml").is_file())
        (out / "finished").touch()
    return load(out)
