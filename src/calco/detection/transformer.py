"""Detectors of the transformers library: RT-DETRv2, D-FINE and all others that it has.

RT-DETRv2: Lv et al., arXiv 2407.17140. D-FINE: Peng et al., arXiv 2410.13842. Their losses are those of the library.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from calco.detection.foreign import check_built, checked, no_network
from calco.detection.limits import check_colours
from calco.detection.network import DetectionNetwork, TargetObjects
from calco.errors import CalcoError

ABSENT: Final = "detectors of transformers need that library: pip install 'calco[detect]', or take --model lite"
NOT_FROM_HERE: Final = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "architectures")


class TransformerDetector(DetectionNetwork):
    """A detector of transformers, whose architecture has the library's name, such as "rt_detr_v2".

    The settings are `config`, the content of the library's config.json, and `mean` and `std` of each colour, in [0, 1],
    for models that normalise images. A built `model` may be given; None builds it with random weights.
    """

    def __init__(
        self, architecture: str, settings: Mapping[str, Any], num_classes: int, model: nn.Module | None = None
    ) -> None:
        super().__init__()
        check_colours(settings.get("mean"), settings.get("std"))
        self.mean: Tensor
        self.std: Tensor
        self.model = model if model is not None else from_config(architecture, settings.get("config", {}), num_classes)
        mean, std = settings.get("mean") or [0.0] * 3, settings.get("std") or [1.0] * 3
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.num_classes = num_classes

    def _pixels(self, images: Tensor) -> Tensor:
        """Normalise images in [-1, 1] as the model expects them."""
        return ((images + 1) / 2 - self.mean) / self.std

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See `DetectionNetwork.forward`; Q is the number of the model's queries."""
        output = self.model(pixel_values=self._pixels(images))
        logits: Tensor = output.logits
        if logits.shape[-1] == self.num_classes + 1:  # DETR, YOLOS: the last one is "nothing"
            named = logits.float().log_softmax(-1)[..., :-1].clamp(max=-1e-6)
            logits = named - torch.log(-torch.expm1(named))
        return logits, output.pred_boxes

    def losses(self, images: Tensor, objects: Sequence[TargetObjects]) -> dict[str, Tensor]:
        """See `DetectionNetwork.losses`: `loss`, the library's weighted sum."""
        labels = [{"class_labels": each.labels, "boxes": each.boxes} for each in objects]
        output = self.model(pixel_values=self._pixels(images), labels=labels)
        return {"loss": output.loss}

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """Return the weights with "backbone" in their names."""
        return (weight for name, weight in self.model.named_parameters() if "backbone" in name)

    def compile_steady(self) -> None:
        """Compile the backbone; the number of the decoder's queries depends on the objects."""
        for name, part in self.model.named_modules():
            if name.split(".")[-1] == "backbone":
                part.compile()


def from_config(architecture: str, config: Mapping[str, Any], num_classes: int) -> nn.Module:
    """Build a detector of transformers with random weights; nothing that the configuration names is loaded."""
    made = config_of(architecture, config)
    try:
        made.num_labels = num_classes
        with no_network():
            model: nn.Module = transformers().AutoModelForObjectDetection.from_config(made, trust_remote_code=False)
    except Exception as error:  # the library raises what it likes
        raise CalcoError(f"transformers cannot build the detector {architecture!r} ({reason_of(error)})") from error
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            # The library begins some of them (of RT-DETRv2) near 0, where every place of an image looks alike.
            part.reset_parameters()
    return model


def config_of(architecture: str, config: Mapping[str, Any]) -> Any:
    """Return the library's configuration of a detector, from plain data of any origin."""
    library = transformers()
    kept = checked(architecture, config)
    try:
        with no_network():
            made = library.AutoConfig.for_model(architecture, **kept)
    except Exception as error:  # the library raises what it likes
        raise CalcoError(f"transformers cannot build the detector {architecture!r} ({reason_of(error)})") from error
    check_built(made)
    return made


def reason_of(error: Exception) -> str:
    """Return the message of another library's error in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def settings_of(model: Any, mean: Sequence[float] | None = None, std: Sequence[float] | None = None) -> dict[str, Any]:
    """Return the settings to build a model of transformers again, as plain data."""
    config = {name: value for name, value in model.config.to_dict().items() if name not in NOT_FROM_HERE}
    return {"config": config} | ({"mean": list(mean), "std": list(std)} if mean and std else {})


def transformers() -> Any:
    """Return the library, with our backbone registered and its own messages off."""
    try:
        import transformers as library

        import calco.detection.backbone  # noqa: F401
    except ImportError as error:
        raise CalcoError(ABSENT) from error
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    return library
