"""Configuration of the training of a translator, and its presets."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, Suppress, arg

from calco.data.config import AugmentConfig, JitterConfig, SourceConfig, SplitConfig
from calco.data.recipe_config import RecipeConfig, SketchConfig
from calco.errors import UsageError
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.records import check_numbers
from calco.training.shared_config import ComputeConfig, LimitConfig, RunKeepConfig, SharedOptimiserConfig

__all__ = ["ComputeConfig", "KeepConfig", "LimitConfig", "ObjectiveConfig", "OptimiserConfig", "TrainConfig"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Losses of the two networks."""

    gan: Literal["cross-entropy", "least-squares", "hinge", "relativistic", "none"] = "cross-entropy"
    """Adversarial loss; relativistic compares a real with a generated image; none has no adversary."""
    gan_weight: float = 1.0
    """Weight of the adversarial loss in the generator's loss."""
    gan_from: float = 0.0
    """Share of the run after which the adversary begins; before, the generator learns from the other losses alone."""
    bridge_from: float = 0.5
    """Share of the run after which the regression of a bridge is fixed, and the refining network learns; 0 for a
    regression that --start brings."""
    matching_weight: float = 0.0
    """Weight of feature matching: the distance between the discriminator's maps of output and target."""
    perceptual: Literal["none", "efficientnet", "alexnet"] = "none"
    """Network whose fixed features of output and target are compared: EfficientNet-Lite0 (calco[backbone]), or the
    AlexNet of ST-LPIPS (calco[perceptual]), which then scores its own pupil."""
    perceptual_weight: float = 0.0
    """Weight of the distance between these features."""
    colour_weight: float = 0.0
    """Weight of the difference in colourfulness of output and target, against one tone for everything."""
    ssim_weight: float = 0.0
    """Weight of 1 - SSIM between output and target, in windows of 11 pixels: edges and texture count as in that
    score."""
    gradient_penalty: float = 0.0
    """Weight of the penalties R1 and R2 on the discriminator's slope at real and generated images."""
    pixel: Literal["l1", "l2", "charbonnier", "psnr", "cross-entropy"] = "l1"
    """Loss between output and target, under the recipe's weight map; psnr takes the logarithm of each image's mean
    square, so that easy images count as much as difficult ones; cross-entropy reads each channel as the probability of
    white, which suits painted masks."""
    pixel_weight: float = 100.0
    """Weight of the pixel loss (the paper's lambda)."""
    overlap_weight: float = 0.0
    """Weight of the soft Jaccard distance of the output's areas from the target's, for painted masks: small objects
    count as much as large ones."""
    d_loss: Literal["halved", "sum"] = "halved"
    """Average the discriminator's two losses (halved, PyTorch) or add them (sum, TensorFlow)."""
    order: Literal["d-then-g", "together"] = "d-then-g"
    """Update the generator after the discriminator, or both from one forward pass."""

    def __post_init__(self) -> None:
        """Check the weights."""
        check_numbers(self)
        check_numbers(
            self,
            gan_from=(0, 1),
            bridge_from=(0, 1),
            matching_weight=(0, 1e6),
            perceptual_weight=(0, 1e6),
            colour_weight=(0, 1e6),
            ssim_weight=(0, 1e6),
            gradient_penalty=(0, 1e6),
        )
        if self.gan_weight < 0 or self.pixel_weight < 0 or self.gan_weight + self.pixel_weight == 0:
            raise UsageError(
                f"gan weight {self.gan_weight} and pixel weight {self.pixel_weight}: neither may be negative, "
                "nor both 0; the paper has 1 and 100"
            )
        if (self.perceptual == "none") != (self.perceptual_weight == 0):
            raise UsageError(
                f"perceptual {self.perceptual} with perceptual weight {self.perceptual_weight}: give both, for example "
                "--objective.perceptual efficientnet --objective.perceptual-weight 20, or neither"
            )
        if self.overlap_weight < 0:
            raise UsageError(f"overlap weight is {self.overlap_weight}; it must be 0 (off) or more: try 1")

    @property
    def joint(self) -> bool:
        """Whether the discriminator judges targets and generated images in one batch."""
        return self.gan == "relativistic" or self.gradient_penalty > 0


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig(SharedOptimiserConfig):
    """How the weights are updated."""

    decay_from: float = 1.0
    """Share of the run after which the rate falls linearly to 0; 1 keeps it constant, the PyTorch reference has 0.5."""

    warm_up: int = 0
    """Number of steps over which the rate rises to its full value."""

    clip: float = 0.0
    """Largest norm of each network's gradient; 0 does not clip."""

    half_size_until: float = 0.0
    """Share of the run in which images are trained at half the size, at a quarter of the cost."""

    encoder_rate: float = 1.0
    """Learning rate of an encoder pretrained on ImageNet, as a share of that of the other layers; 0 fixes it, which
    saves time."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        check_numbers(
            self,
            half_size_until=(0, 1),
            encoder_rate=(0, 100),
            clip=(0, 1e6),
            warm_up=(0, 10**9),
            batch=65_536,
            accumulate=65_536,
        )
        if not 0 <= self.decay_from <= 1:
            raise UsageError(f"decay from {self.decay_from} must lie in [0, 1]; 1 keeps the rate constant")


@dataclass(frozen=True, kw_only=True)
class KeepConfig(RunKeepConfig):
    """What is measured, logged and kept during training."""

    validation_pairs: int = 32
    """Largest number of pairs in a validation."""
    best_by: Literal["l1", "psnr", "ssim", "st_lpips", "iou"] = "l1"
    """Validation metric that selects the best model; st_lpips (calco[perceptual]) favours the sharp one, iou is for
    recipes that paint classes."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Whole configuration of the training of a translator."""

    images: Annotated[str, Positional, arg(metavar="IMAGES")] = ""
    """Images, videos or shards: a folder, a file or an address; hub:owner/name; or the built-in drawings, openmoji."""
    start: str = ""
    """Run or model folder whose weights the networks start with, where names and shapes agree."""
    out: str = ""
    """Folder of the run; by default a new one under runs/."""
    seed: int = 0
    """Seed of all random number generators."""
    preset: Annotated[str, Suppress] = "pix2pix"
    """Preset that this configuration started from."""
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
        """Check the parts against each other."""
        check_numbers(self)
        multiple = self.generator.multiple * (2 if self.optimiser.half_size_until else 1)
        if self.jitter.size % multiple:
            deep = self.generator.architecture in ("unet", "drunet")
            kind = f"of depth {self.generator.depth}" if deep else self.generator.architecture
            raise UsageError(
                f"size {self.jitter.size} is not a multiple of {multiple}, as a generator {kind} needs; give "
                f"--size {max(multiple, self.jitter.size // multiple * multiple)}"
                + (" or a smaller --generator.depth" if deep else "")
            )
        if self.generator.mirrored and not self.jitter.flip:
            raise UsageError(
                "generator mirrored shows the network mirror images too, which it never sees in training with "
                "--no-flip; give --generator.no-mirrored too"
            )
        if self.generator.bridge_steps:
            self._check_bridge()

    @property
    def bridge_begins(self) -> float:
        """Share of the run after which the refining network of a bridge learns."""
        return self.objective.bridge_from if self.generator.bridge_start == "regression" else 0.0

    def _check_bridge(self) -> None:
        """Check what a bridge cannot do."""
        if self.objective.pixel == "cross-entropy":
            raise UsageError(
                "a bridge refines images, and the pixel loss cross-entropy is for painted masks; give --preset segment "
                "for masks, or --objective.pixel l1"
            )
        if self.bridge_begins == 1:
            raise UsageError("bridge from is 1, so that the bridge would never learn; it must be below 1: try 0.5")
        if self.bridge_begins == 0 and self.generator.bridge_start == "regression" and not self.start:
            raise UsageError(
                "bridge from is 0, and there is no regression to refine; name a trained model with --start, or give "
                "--objective.bridge-from 0.5"
            )


def pix2pix(_recipe: str = "auto", _holes: str = "auto") -> TrainConfig:
    """The paper to the letter: U-Net 256, PatchGAN 70, batch 1, 200 epochs (arXiv 1611.07004, sections 3.3 and 6)."""
    return TrainConfig(
        preset="pix2pix",
        jitter=JitterConfig(size=256, resize=286, fit="stretch", resampling="bicubic"),
        generator=GeneratorConfig(convention="paper", composition="plain"),
        limit=LimitConfig(epochs=200),
    )


def tutorial(_recipe: str = "auto", _holes: str = "auto") -> TrainConfig:
    """TensorFlow's tutorial: its U-Net and PatchGAN, summed losses, both updates from one forward, 40,000 steps."""
    return TrainConfig(
        preset="tutorial",
        jitter=JitterConfig(size=256, resize=286, fit="stretch", resampling="nearest"),
        generator=GeneratorConfig(convention="tensorflow", composition="plain"),
        discriminator=DiscriminatorConfig(convention="tensorflow"),
        objective=ObjectiveConfig(d_loss="sum", order="together"),
        limit=LimitConfig(epochs=0, steps=40_000),
    )


def small(_recipe: str = "auto", _holes: str = "auto") -> TrainConfig:
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


def segment(_recipe: str = "auto", _holes: str = "auto") -> TrainConfig:
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


def best(recipe: str = "auto", holes: str = "auto") -> TrainConfig:
    """What few pairs suffice for, in a quarter of an hour on two cores: everything starts with knowledge of images.

    An encoder from ImageNet, and a discriminator and a perceptual loss on fixed features of such a network, which see
    augmented images; at half the size first. Masks have the preset `segment`, with the mean of both mirror images;
    colour and holes are learned from crops, since what is kept of the input is sharp already, those of narrow holes
    from smaller ones.
    """
    steps = recipe.split("+")
    if steps == ["segment"]:
        masks = segment()
        return replace(masks, preset="best", generator=replace(masks.generator, mirrored=True))
    config = TrainConfig(
        preset="best",
        recipe=RecipeConfig(sketch=SketchConfig(style="any", line_weight=(0.6, 2.0), wobble=(0, 0.01), paper=(0, 0.5))),
        jitter=JitterConfig(size=256, resize=286, fit="stretch"),
        generator=GeneratorConfig(architecture="efficientnet-unet", filters=32, up="resize", dropout=0, labels="auto"),
        discriminator=DiscriminatorConfig(architecture="projected"),
        objective=ObjectiveConfig(gan="hinge", pixel_weight=30, perceptual="efficientnet", perceptual_weight=20),
        optimiser=OptimiserConfig(
            batch=4, learning_rate=1e-3, decay_from=0.4, ema=0.99, half_size_until=0.25, encoder_rate=0.3
        ),
        limit=LimitConfig(epochs=0, minutes=15),
        keep=KeepConfig(best_by="st_lpips", validate_steps=150),
    )
    if "colorize" in steps:
        # Lightness is given, so there is nothing for an adversary to sharpen: it would only move the colours about.
        return replace(
            config,
            jitter=JitterConfig(size=128, resize=176, fit="cover"),
            generator=replace(config.generator, mirrored=True),
            objective=replace(config.objective, gan="none", pixel_weight=60, colour_weight=15),
            optimiser=replace(config.optimiser, batch=8, half_size_until=0, ema=0.995),
            # After so many steps a few hundred images are learned by heart; holes leave more to learn.
            limit=LimitConfig(epochs=0, steps=480 if "erase" in steps else 250, minutes=15),
        )
    if "erase" in steps:
        # The middle of all that could stand in a hole has the least error; an adversary would draw one of them.
        narrow = set(holes.split("+")) <= {"masks", "scratches"}
        return replace(
            config,
            jitter=JitterConfig(size=64 if narrow else 128, resize=256, fit="cover", crop="holes"),
            generator=GeneratorConfig(
                architecture="drunet",
                depth=2 if narrow else 4,
                filters=32,
                blocks=1,
                norm="none",
                dropout=0,
                mirrored=True,
            ),
            objective=ObjectiveConfig(gan="none", pixel="psnr", pixel_weight=1),
            optimiser=replace(
                config.optimiser,
                batch=16 if narrow else 8,
                half_size_until=0,
                encoder_rate=1,
                warm_up=100,
                clip=1,
                ema=0.995,
            ),
            keep=KeepConfig(best_by="psnr", validate_steps=300),
        )
    return config


def bridge(recipe: str = "auto", holes: str = "auto") -> TrainConfig:
    """The preset best for half of the time, then a second network that refines its output in several steps."""
    config = best(recipe, holes)
    return replace(
        config,
        preset="bridge",
        generator=replace(config.generator, bridge_steps=8, composition="plain", mirrored=False),
        optimiser=replace(config.optimiser, half_size_until=min(0.35, config.optimiser.half_size_until)),
    )


PRESETS: dict[str, Callable[[str, str], TrainConfig]] = {
    "best": best,
    "pix2pix": pix2pix,
    "tutorial": tutorial,
    "small": small,
    "segment": segment,
    "bridge": bridge,
}


def preset(name: str, recipe: str = "auto", holes: str = "auto") -> TrainConfig:
    """Return the configuration of a preset.

    Args:
        name: best, pix2pix, tutorial, small, segment or bridge.
        recipe: Recipe that it will train, on which best and bridge depend.
        holes: Kinds of holes that it will erase, as `EraseConfig.holes` names them: masks and scratches are narrow.

    Returns:
        The configuration.

    Raises:
        CalcoError: If there is none of this name.
    """
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name](recipe, holes)


def named_in(words: Sequence[str]) -> tuple[str, str]:
    """Return the recipe and the kinds of holes that options of `calco train` name; the last ones count."""
    found = {"--recipe": "auto", "--holes": "auto"}
    for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
        option, equals, value = word.partition("=")
        if option in found:
            found[option] = value if equals else following
    masks = any(word.partition("=")[0] == "--masks" for word in words)
    return found["--recipe"], "masks" if masks and found["--holes"] == "auto" else found["--holes"]
