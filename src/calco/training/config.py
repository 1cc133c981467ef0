"""Everything that a training run can be told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, Suppress, arg

from calco.data.config import AugmentConfig, JitterConfig, SourceConfig, SplitConfig
from calco.data.recipes import RecipeConfig
from calco.errors import CalcoError
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.records import check_numbers
from calco.training.shared_config import ComputeConfig, LimitConfig, RunKeepConfig

__all__ = ["ComputeConfig", "KeepConfig", "LimitConfig", "ObjectiveConfig", "OptimiserConfig", "TrainConfig"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What the two networks are asked to do."""

    gan: Literal["cross-entropy", "least-squares", "hinge", "none"] = "cross-entropy"
    """Adversarial loss; none trains the generator by the pixel loss alone."""
    gan_weight: float = 1.0
    """Weight of the adversarial loss in the generator's sum."""
    pixel: Literal["l1", "l2", "charbonnier", "cross-entropy"] = "l1"
    """Loss between drawing and target, under the recipe's weight map; cross-entropy takes each channel for the
    probability of white, which suits painted masks."""
    pixel_weight: float = 100.0
    """Weight of the pixel loss (the paper's lambda)."""
    overlap_weight: float = 0.0
    """Weight of the soft Jaccard distance of the drawn areas from the target's, for painted masks: small objects count
    as much as large ones."""
    d_loss: Literal["halved", "sum"] = "halved"
    """Whether the discriminator's two losses are averaged (PyTorch) or added (TensorFlow)."""
    order: Literal["d-then-g", "together"] = "d-then-g"
    """The generator learns from the discriminator after its update, or both from one forward pass."""

    def __post_init__(self) -> None:
        """Checks the weights."""
        check_numbers(self)
        if self.gan_weight < 0 or self.pixel_weight < 0 or self.gan_weight + self.pixel_weight == 0:
            raise CalcoError(
                f"gan weight {self.gan_weight} and pixel weight {self.pixel_weight}: neither may be negative, "
                "nor both 0; the paper has 1 and 100"
            )
        if self.overlap_weight < 0:
            raise CalcoError(f"overlap weight is {self.overlap_weight}; it must be 0 (off) or more: try 1")


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """How the weights are changed."""

    batch: int = 1
    """Pairs a forward pass."""
    accumulate: int = 1
    """Forward passes whose gradients are added up before one step."""
    learning_rate: float = 2e-4
    """Adam's step size."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's two decay rates."""
    decay_from: float = 1.0
    """Share of the run after which the rate falls linearly to 0; 1 keeps it constant, the PyTorch reference has 0.5."""
    ema: float = 0.0
    """Decay of the averaged generator that is validated and kept; 0 keeps the last weights."""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_numbers(self, batch=65_536, accumulate=65_536)
        if self.batch < 1 or self.accumulate < 1:
            raise CalcoError(f"batch {self.batch} and accumulate {self.accumulate} must both be at least 1")
        if not self.learning_rate > 0:
            raise CalcoError(f"learning rate {self.learning_rate} must be above 0; the paper has 0.0002")
        if not (0 <= self.betas[0] < 1 and 0 <= self.betas[1] < 1):
            raise CalcoError(f"betas {self.betas} must lie in [0, 1); the paper has 0.5 0.999")
        if not 0 <= self.decay_from <= 1 or not 0 <= self.ema < 1:
            raise CalcoError(f"decay from {self.decay_from} must lie in [0, 1] and ema {self.ema} in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class KeepConfig(RunKeepConfig):
    """What is measured, shown and kept while training."""

    validation_pairs: int = 32
    """Pairs a validation looks at, at most."""
    best_by: Literal["l1", "psnr", "ssim", "iou"] = "l1"
    """Validation metric by which the best model is kept; iou is for recipes that paint classes."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole training run: from images to a model."""

    images: Annotated[str, Positional, arg(metavar="IMAGES")] = ""
    """Images, videos or shards: a folder, a file or an address; hub:owner/name; or the built-in drawings, openmoji."""
    out: str = ""
    """The run's folder; by default a new one under runs/."""
    seed: int = 0
    """From which every chance derives."""
    preset: Annotated[str, Suppress] = "pix2pix"
    """The named configuration that this one started from."""
    source: Annotated[SourceConfig, OmitArgPrefixes] = field(default_factory=SourceConfig)
    recipe: Annotated[RecipeConfig, OmitArgPrefixes] = field(default_factory=RecipeConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    jitter: Annotated[JitterConfig, OmitArgPrefixes] = field(default_factory=JitterConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimiser: Annotated[OptimiserConfig, OmitArgPrefixes] = field(default_factory=OptimiserConfig)
    limit: Annotated[LimitConfig, OmitArgPrefixes] = field(default_factory=LimitConfig)
    keep: Annotated[KeepConfig, OmitArgPrefixes] = field(default_factory=KeepConfig)
    compute: Annotated[ComputeConfig, OmitArgPrefixes] = field(default_factory=ComputeConfig)

    def __post_init__(self) -> None:
        """Checks what only the parts together can tell."""
        check_numbers(self)
        multiple = self.generator.multiple
        if self.jitter.size % multiple:
            deep = self.generator.architecture == "unet"
            kind = f"of depth {self.generator.depth}" if deep else self.generator.architecture
            raise CalcoError(
                f"size {self.jitter.size} is not a multiple of {multiple}, as a generator {kind} needs; give "
                f"--size {max(multiple, self.jitter.size // multiple * multiple)}"
                + (" or a smaller --generator.depth" if deep else "")
            )


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
