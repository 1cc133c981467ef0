"""Configurations of transformers' detectors, checked before the library sees them.

A configuration is plain data, but the library obeys some of it: it imports Python files that `auto_map` names, fetches
backbones, kernels and adapters by name from the hub, and builds any number of layers. Calco takes detectors
that the library itself knows, built from numbers alone; their weights come from the safetensors file beside them.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from calco.errors import CalcoError

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


def check_built(config: Any) -> None:
    """Check what the library made of a configuration: its own defaults may name a backbone to fetch too."""
    backbone = getattr(config, "backbone_config", None)
    if str(getattr(backbone, "model_type", "")).startswith("timm"):
        raise CalcoError(
            "the backbone of this detector is one of timm, which is loaded by name from elsewhere; take a detector "
            "whose backbone is one of transformers, such as rt-detr-v2 or d-fine"
        )


@contextlib.contextmanager
def no_network() -> Iterator[None]:
    """Keep the hub's library from asking the network while something foreign is built or loaded."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
