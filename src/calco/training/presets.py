"""Named configurations, as functions."""

from collections.abc import Callable

from calco.data.config import AugmentConfig, JitterConfig
from calco.data.recipes import RecipeConfig
from calco.errors import CalcoError
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.training.config import KeepConfig, LimitConfig, ObjectiveConfig, OptimiserConfig, TrainConfig


def pix2pix() -> TrainConfig:
    """The paper to the letter: U-Net 256, PatchGAN 70, batch 1, 200 epochs (arXiv 1611.07004, sections 3.3 and 6)."""
    return TrainConfig(
        preset="pix2pix",
        jitter=JitterConfig(size=256, resize=286, fit="stretch", resampling="bicubic"),
        generator=GeneratorConfig(convention="paper", composition="plain"),
        limit=LimitConfig(epochs=200),
    )


def tutorial() -> TrainConfig:
    """TensorFlow's tutorial: its U-Net and PatchGAN, summed losses, both updates from one forward, 40,000 steps."""
    return TrainConfig(
        preset="tutorial",
        jitter=JitterConfig(size=256, resize=286, fit="stretch", resampling="nearest"),
        generator=GeneratorConfig(convention="tensorflow", composition="plain"),
        discriminator=DiscriminatorConfig(convention="tensorflow"),
        objective=ObjectiveConfig(d_loss="sum", order="together"),
        limit=LimitConfig(epochs=0, steps=40_000),
    )


def small() -> TrainConfig:
    """Minutes on a laptop: a slim U-Net at 128 pixels, larger batches, an averaged generator, a falling rate."""
    return TrainConfig(
        preset="small",
        jitter=JitterConfig(size=128, resize=143, fit="stretch"),
        generator=GeneratorConfig(depth=6, filters=32, up="resize", convention="paper"),
        discriminator=DiscriminatorConfig(patch=34, filters=32),
        objective=ObjectiveConfig(gan="least-squares"),
        optimiser=OptimiserConfig(batch=8, learning_rate=1e-3, decay_from=0.4, ema=0.995),
        limit=LimitConfig(epochs=0, minutes=10),
    )


def segment() -> TrainConfig:
    """Masks from a few hundred images, in minutes on a laptop: an encoder from ImageNet, no discriminator."""
    return TrainConfig(
        preset="segment",
        recipe=RecipeConfig(recipe="segment"),
        jitter=JitterConfig(size=256, resize=286, fit="stretch", resampling="bicubic"),
        augment=AugmentConfig(rotate=10, scale=0.2, brightness=0.2, contrast=0.2, gamma=0.2, saturation=0.3, hue=10),
        generator=GeneratorConfig(architecture="efficientnet-unet", up="resize", dropout=0, composition="plain"),
        objective=ObjectiveConfig(gan="none", pixel="cross-entropy", pixel_weight=1, overlap_weight=1),
        optimiser=OptimiserConfig(batch=8, learning_rate=6e-4, betas=(0.9, 0.999), decay_from=0.3, ema=0.99),
        limit=LimitConfig(epochs=60, minutes=15),
        keep=KeepConfig(best_by="iou"),
    )


PRESETS: dict[str, Callable[[], TrainConfig]] = {
    "pix2pix": pix2pix,
    "tutorial": tutorial,
    "small": small,
    "segment": segment,
}


def preset(name: str) -> TrainConfig:
    """The configuration of that name.

    Raises:
        CalcoError: When there is none.
    """
    if name not in PRESETS:
        raise CalcoError(f"there is no preset {name}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]()
