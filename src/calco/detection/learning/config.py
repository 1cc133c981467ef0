"""Everything that the training of a detector can be told."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.data.config import BoxAugmentConfig, SourceConfig, SplitConfig
from calco.detection.limits import check_lite, check_side
from calco.errors import CalcoError
from calco.records import check_numbers
from calco.training.shared_config import ComputeConfig, LimitConfig, RunKeepConfig


@dataclass(frozen=True, kw_only=True)
class LiteConfig:
    """The compact detector."""

    width: int = 96
    """Channels of its pyramid and head, a multiple of 16."""
    depth: int = 2
    """Convolutions of each of its head's two towers."""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_numbers(self)
        check_lite(self.width, self.depth)


@dataclass(frozen=True, kw_only=True)
class DetectOptimiserConfig:
    """How the weights are changed."""

    batch: int = 8
    """Images a forward pass."""
    accumulate: int = 1
    """Forward passes whose gradients are added up before one step."""
    learning_rate: float = 1e-3
    """AdamW's largest step size for what is new."""
    backbone_rate: float = 0.3
    """The backbone's step size as a share of that: it has learned elsewhere and is changed with care."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's two decay rates."""
    weight_decay: float = 0.01
    """AdamW's pull towards 0."""
    warm_up: int = 60
    """Steps over which the rate rises from 0."""
    final: float = 0.02
    """The share of the largest rate at the end; in between it falls like a cosine."""
    clip: float = 10.0
    """The longest gradient that is followed in full; 0 follows any."""
    ema: float = 0.998
    """Decay of the averaged weights that are validated and kept; 0 keeps the last weights."""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_numbers(self, batch=65_536, accumulate=65_536)
        if self.batch < 1 or self.accumulate < 1:
            raise CalcoError(f"batch {self.batch} and accumulate {self.accumulate} must both be at least 1")
        if not self.learning_rate > 0 or not 0 <= self.backbone_rate <= 10:
            raise CalcoError(
                f"learning rate {self.learning_rate} must be above 0, backbone rate {self.backbone_rate} in [0, 10]: "
                "for example 0.001 and 0.3"
            )
        if not (0 <= self.betas[0] < 1 and 0 <= self.betas[1] < 1):
            raise CalcoError(f"betas {self.betas} must lie in [0, 1); for example 0.9 0.999")
        if not 0 <= self.final <= 1 or not 0 <= self.ema < 1:
            raise CalcoError(f"final {self.final} must lie in [0, 1] and ema {self.ema} in [0, 1)")
        if self.weight_decay < 0 or self.warm_up < 0 or self.clip < 0:
            raise CalcoError(
                f"weight decay {self.weight_decay}, warm up {self.warm_up} and clip {self.clip} must be at least 0"
            )


@dataclass(frozen=True, kw_only=True)
class DetectKeepConfig(RunKeepConfig):
    """What is measured, shown and kept while training."""

    validate_steps: int = 200
    """Steps that lie between two validations at least, so that small sets train more than they validate."""
    validation_images: int = 500
    """Images a validation looks at, at most."""
    best_by: Literal["map50", "map", "f1"] = "map50"
    """Validation metric by which the best model is kept."""


@dataclass(frozen=True, kw_only=True)
class DetectTrainConfig:
    """The training of a detector: from images with boxes to a model."""

    images: Annotated[str, Positional, arg(metavar="IMAGES")] = ""
    """Images with boxes: a folder."""
    model: str = "lite"
    """What learns: lite; rt-detr-v2 or d-fine; any detector of transformers by its name on the hub, or its folder."""
    weights: Literal["auto", "scratch"] = "auto"
    """The first weights: those that learned elsewhere, as far as they can be had (auto), or of chance (scratch)."""
    out: str = ""
    """The run's folder; by default a new one under runs/."""
    seed: int = 0
    """From which every chance derives."""
    size: int = 320
    """The side of the square that images are brought into, in pixels; a multiple of 32."""
    freeze: int = 2
    """Stages of lite's backbone, of seven, that stay as ImageNet made them; 0 lets all of it learn."""
    calm: float = 0.15
    """The last share of the run without mosaics and with little play, so that it ends on images as they are."""
    lite: LiteConfig = field(default_factory=LiteConfig)
    source: Annotated[SourceConfig, OmitArgPrefixes] = field(default_factory=SourceConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    augment: BoxAugmentConfig = field(default_factory=BoxAugmentConfig)
    optimiser: Annotated[DetectOptimiserConfig, OmitArgPrefixes] = field(default_factory=DetectOptimiserConfig)
    limit: Annotated[LimitConfig, OmitArgPrefixes] = field(default_factory=lambda: LimitConfig(epochs=80))
    keep: Annotated[DetectKeepConfig, OmitArgPrefixes] = field(default_factory=DetectKeepConfig)
    compute: Annotated[ComputeConfig, OmitArgPrefixes] = field(default_factory=ComputeConfig)

    def __post_init__(self) -> None:
        """Checks what only the parts together can tell."""
        check_numbers(self)
        check_side(self.size, least=64, multiple=32)
        if not 0 <= self.freeze <= 7:
            raise CalcoError(f"freeze is {self.freeze}; lite's backbone has seven stages: give 0 to 7")
        if not 0 <= self.calm <= 1:
            raise CalcoError(f"calm is {self.calm}; it is a share of the run, in [0, 1]: for example 0.15")
        if self.compute.activation_checkpointing:
            raise CalcoError("--activation-checkpointing is for translators; give a smaller --batch or --size instead")
