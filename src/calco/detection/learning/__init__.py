"""`calco detect train`: from images with boxes to a run with a detector in it."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.data.config import BoxAugmentConfig, SourceConfig, SplitConfig
from calco.detection.config import check_lite, check_side
from calco.errors import UsageError
from calco.records import check_numbers
from calco.training.shared_config import ComputeConfig, LimitConfig, RunKeepConfig, SharedOptimiserConfig


@dataclass(frozen=True, kw_only=True)
class LiteConfig:
    """Compact detector."""

    width: int = 96
    """Number of channels in the pyramid and the head, a multiple of 16."""
    depth: int = 2
    """Number of convolutions in each of the head's two towers."""

    def __post_init__(self) -> None:
        check_numbers(self)
        check_lite(self.width, self.depth)


@dataclass(frozen=True, kw_only=True)
class DetectOptimiserConfig(SharedOptimiserConfig):
    """How the weights are updated."""

    batch: int = 8
    """Number of images in a forward pass."""
    learning_rate: float = 1e-3
    """AdamW's highest step size."""
    backbone_rate: float = 0.3
    """Learning rate of the pretrained backbone, as a share of the rest's."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's two decay rates."""
    weight_decay: float = 0.01
    """AdamW's weight decay."""
    warm_up: int = 60
    """Number of steps over which the learning rate rises from 0."""
    final: float = 0.02
    """Learning rate at the end as a share of the highest; it falls like a cosine."""
    clip: float = 10.0
    """Largest norm of the gradient; 0 does not clip."""
    ema: float = 0.998
    """Decay of the exponential moving average of the weights, which is validated and kept; 0 keeps the last weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        least_0 = (0, 1_000_000)
        check_numbers(self, backbone_rate=(0, 10), final=(0, 1), weight_decay=least_0, warm_up=least_0, clip=least_0)


@dataclass(frozen=True, kw_only=True)
class DetectKeepConfig(RunKeepConfig):
    """What is measured, logged and kept during training."""

    validate_steps: int = 200
    """Smallest number of steps between validations, so that small sets train more than they validate."""
    validation_images: int = 500
    """Largest number of images in a validation."""
    best_by: Literal["map50", "map", "f1"] = "map50"
    """Validation metric that selects the best model."""


@dataclass(frozen=True, kw_only=True)
class DetectTrainConfig:
    """Whole configuration of the training of a detector."""

    images: Annotated[str, Positional, arg(metavar="IMAGES")] = ""
    """Folder of images with boxes."""
    model: str = "lite"
    """Detector to train: lite, rt-detr-v2, d-fine, or a detector of transformers by its hub name or its folder."""
    weights: Literal["auto", "scratch"] = "auto"
    """First weights: pretrained where they are available (auto), or random (scratch)."""
    start: str = ""
    """Run or model folder of a detector to start from: its architecture and weights; classes are matched by name."""
    out: str = ""
    """Folder of the run; by default a new one under runs/."""
    seed: int = 0
    """Seed of all random number generators."""
    size: int = 320
    """Side of the square that images are fitted into, in pixels; a multiple of 32."""
    freeze: int = 5
    """Number of stages of lite's backbone, of seven, that keep their ImageNet weights; fewer where thousands of images
    teach them something better, 0 trains all of it."""
    calm: float = 0.15
    """Last share of the run, with weak augmentation and without mosaics, so that it ends on realistic images."""
    lite: LiteConfig = field(default_factory=LiteConfig)
    source: Annotated[SourceConfig, OmitArgPrefixes] = field(default_factory=SourceConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    augment: BoxAugmentConfig = field(default_factory=BoxAugmentConfig)
    optimiser: Annotated[DetectOptimiserConfig, OmitArgPrefixes] = field(default_factory=DetectOptimiserConfig)
    limit: Annotated[LimitConfig, OmitArgPrefixes] = field(default_factory=lambda: LimitConfig(epochs=80))
    keep: Annotated[DetectKeepConfig, OmitArgPrefixes] = field(default_factory=DetectKeepConfig)
    compute: Annotated[ComputeConfig, OmitArgPrefixes] = field(default_factory=ComputeConfig)

    def __post_init__(self) -> None:
        check_numbers(self, freeze=(0, 7), calm=(0, 1))
        check_side(self.size, least=64, multiple=32)
        if self.start and (self.model != "lite" or self.weights == "scratch"):
            raise UsageError(
                f"--start {self.start} brings its own architecture and weights; leave out --model {self.model} and "
                f"--weights {self.weights}"
            )
        if self.compute.activation_checkpointing:
            raise UsageError("--activation-checkpointing is for translators; give a smaller --batch or --size instead")
