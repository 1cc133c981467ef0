"""Detectors of the transformers library: RT-DETRv2, D-FINE and all others that it has.

RT-DETRv2: Lv et al., arXiv 2407.17140. D-FINE: Peng et al., arXiv 2410.13842. Their losses are those of the library.

A configuration is plain data, but the library obeys some of it: it imports Python files that `auto_map` names, fetches
backbones, kernels and adapters by name from the hub, and builds any number of layers. Calco takes detectors
that the library itself knows, built from numbers alone; their weights come from the safetensors file beside them.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from calco.detection.network import DetectionNetwork, TargetObjects
from calco.errors import CalcoError

ABSENT: Final = "detectors of transformers need that library: pip install 'calco[detect]', or take --model lite"
NOT_FROM_HERE: Final = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "architectures")
_BRIGHTEST: Final = 1e6  # of the mean and the deviation of a colour
# Keys by which a configuration makes the library import, fetch or convert something.
_LOADS: Final = frozenset(
    {"auto_map", "custom_pipelines", "quantization_config", "kernel_config", "backbone", "transformers_weights",
     "configuration_files", "gguf_file", "adapter_kwargs", "per_layer_config"}
)  # fmt: skip
_ATTENTION: Final = frozenset(
    {"attn_implementation", "_attn_implementation", "_attn_implementation_internal", "experts_implementation",
     "_experts_implementation", "_experts_implementation_internal"}
)  # fmt: skip
# What the library's own attention is called; any other name is looked for on the hub.
_OWN_ATTENTION: Final = (None, "eager", "sdpa")
# Of no use to a network whose weights lie beside it, or a change of what it returns.
_LEFT_OUT: Final = frozenset(
    {"model_type", "use_pretrained_backbone", "use_timm_backbone", "backbone_kwargs", "name_or_path", "architectures",
     "transformers_version", "torch_dtype", "dtype", "return_dict", "use_return_dict", "output_attentions",
     "output_hidden_states", "torchscript", "tie_word_embeddings"}
)  # fmt: skip
_COUNTS: Final = ("layers", "depth", "blocks", "stages", "repeat")  # in the names of numbers of layers
_MOST_LAYERS: Final = 200
_MOST: Final = 100_000
_LONGEST: Final = 20_000  # entries of a list or mapping
_DEEPEST: Final = 12


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
    with _building(architecture):
        made.num_labels = num_classes
        model: nn.Module = transformers().AutoModelForObjectDetection.from_config(made, trust_remote_code=False)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            # The library begins some of them (of RT-DETRv2) near 0, where every place of an image looks alike.
            part.reset_parameters()
    return model


def config_of(architecture: str, config: Mapping[str, Any]) -> Any:
    """Return the library's configuration of a detector, from plain data of any origin."""
    library = transformers()
    kept = checked(architecture, config)
    with _building(architecture):
        made = library.AutoConfig.for_model(architecture, **kept)
    # Its own defaults may name a backbone to fetch too.
    if str(getattr(getattr(made, "backbone_config", None), "model_type", "")).startswith("timm"):
        raise CalcoError(
            "the backbone of this detector is one of timm, which is loaded by name from elsewhere; take a detector "
            "whose backbone is one of transformers, such as rt-detr-v2 or d-fine"
        )
    return made


@contextlib.contextmanager
def _building(architecture: str) -> Iterator[None]:
    try:
        with no_network():
            yield
    except Exception as error:  # the library raises what it likes
        raise CalcoError(f"transformers cannot build the detector {architecture!r} ({reason_of(error)})") from error


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


def check_colours(mean: object, std: object) -> None:
    """Check the mean and the deviation of each colour; both may be absent."""
    for name, values, least in (("mean", mean, -_BRIGHTEST), ("std", std, 0.0)):
        if values is None:
            continue
        numbers = values if isinstance(values, list | tuple) else []
        good = [value for value in numbers if type(value) in (int, float) and least < value < _BRIGHTEST]
        if len(numbers) != 3 or len(good) != 3:
            raise CalcoError(f"{name} is {str(values)[:80]}; it must be three finite numbers, and std above 0")


def checked(architecture: object, config: object) -> dict[str, Any]:
    """Return a configuration without what is of no use, fit to be given to the library."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES

    if architecture not in MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES:
        raise CalcoError(
            f"{str(architecture)[:80]!r} is not a detector that transformers knows, and Calco runs no other code; "
            "choose another model, such as lite, rt-detr-v2 or d-fine"
        )
    if not isinstance(config, Mapping):
        raise CalcoError(f"the settings of the detector {architecture} must be a mapping; copy the whole folder again")
    return _checked(config, "config", 0)


def _checked(config: Mapping[str, Any], path: str, deep: int) -> dict[str, Any]:
    if deep > _DEEPEST or len(config) > _LONGEST:
        raise CalcoError(f"{path} is deeper or longer than the configuration of any detector; copy the folder again")
    kept = {}
    for name, value in config.items():
        where = f"{path}.{name}"
        if name in _ATTENTION and value not in _OWN_ATTENTION:
            raise CalcoError(f"{where} is {str(value)[:80]!r}, which is code from elsewhere; use eager or sdpa")
        if name in _LOADS and value not in (None, {}, [], ""):
            raise CalcoError(
                f"{where} names {str(value)[:80]!r} to be loaded, and Calco loads nothing that a model names; take one "
                "that is whole in its folder, such as rt-detr-v2 or d-fine"
            )
        if name not in _LEFT_OUT and name not in _LOADS and not name.startswith("_"):
            kept[name] = _value(value, where, deep)
    _check_backbone(config, path, deep)
    if "use_timm_backbone" in config:
        kept["use_timm_backbone"] = False  # absent, the library takes it for True
    if deep and "model_type" in config:
        kept["model_type"] = config["model_type"]
    return kept


def _check_backbone(config: Mapping[str, Any], path: str, deep: int) -> None:
    """Refuses a part of a detector that is not one of the library's own backbones, or ours."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING_NAMES

    from calco.detection.backbone import KIND

    kind = config.get("model_type")
    known = {*MODEL_FOR_BACKBONE_MAPPING_NAMES, KIND} - {"timm_backbone", "timm_wrapper"}
    if deep and kind is not None and kind not in known:
        raise CalcoError(
            f"{path}.model_type is {str(kind)[:80]!r}, which is not a backbone of transformers itself; take a detector "
            "whose backbone is, such as rt-detr-v2 or d-fine"
        )


def _value(value: Any, where: str, deep: int) -> Any:
    """A value within its bounds; mappings and lists by their entries."""
    if isinstance(value, Mapping):
        return _checked(value, where, deep + 1)
    if isinstance(value, list | tuple):
        if len(value) > _LONGEST or deep > _DEEPEST:
            raise CalcoError(f"{where} has {len(value):,} entries; a detector's has at most {_LONGEST:,}")
        return [_value(each, where, deep + 1) for each in value]
    if type(value) in (int, float):
        most = _MOST_LAYERS if any(part in where.rsplit(".", 1)[-1] for part in _COUNTS) else _MOST
        if not -most <= value <= most:  # true of what is not a number too
            raise CalcoError(f"{where} is {value}; it must be a number from {-most:,} to {most:,}")
    elif not isinstance(value, str | bool | type(None)) or (isinstance(value, str) and len(value) > _LONGEST):
        raise CalcoError(f"{where} is {str(value)[:80]!r}; it must be a number, a short text or true or false")
    return value


@contextlib.contextmanager
def no_network() -> Iterator[None]:
    """Keep the hub's library from asking the network while something foreign is built or loaded."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
