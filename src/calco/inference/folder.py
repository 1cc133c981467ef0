"""The folder of a model of any kind: written whole, found, and read."""

import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from calco import imaging
from calco.data.config import JitterConfig, SourceConfig, SplitConfig
from calco.data.palettes import Palette, named_palette
from calco.data.recipe_config import AUTO
from calco.data.recipes import RecipeConfig, has_class_targets
from calco.errors import CalcoError
from calco.files import digest, explain, read_json, replacing, temporary_path, write_json
from calco.imaging import Image
from calco.networks.config import GeneratorConfig
from calco.records import from_record, to_record


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors, no two of which share memory, to a safetensors file, whole or not at all."""
    try:
        with replacing(path) as temporary:
            save_file(on_cpu(tensors), temporary, metadata=metadata)
    except SafetensorError as error:
        raise explain(as_os_error(error), path, "write") from error


def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors on the CPU, each contiguous; those that are so already are not copied."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def contents_digest(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """Return 16 hex digits of the SHA-256 over a text and contiguous tensors on the CPU: names, types and values."""
    total = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()[:16]


def as_os_error(error: SafetensorError) -> OSError:
    """Return the error of the operating system behind one of safetensors."""
    found = re.search(r"os error (\d+)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else OSError(str(error))


N = TypeVar("N", bound=nn.Module)

DESCRIPTION: Final = "model.json"
WEIGHTS: Final = "model.safetensors"
DIGEST: Final = "weights_digest"
"""Field of `model.json`: the digest of `model.safetensors`."""
EXPORTED: Final = {".onnx": "onnx", ".zip": "openvino"}
"""Kinds of exported files by their endings."""
RUNS_CODE: Final = frozenset(
    {".pt", ".pth", ".ts", ".torchscript", ".jit", ".pt2", ".ckpt", ".pkl", ".pickle", ".joblib"}
)
"""Endings of files (TorchScript, pickles) that torch or Python runs when it opens them. Calco opens none."""


def save_folder(
    folder: Path, record: dict[str, Any], weights: dict[str, Tensor], beside: Callable[[Path], None] = lambda _: None
) -> None:
    """Write a model folder whole, in place of an older one, which stays if that fails.

    `record` is the content of `model.json`; no two `weights` may share memory; `beside` writes further files into the
    folder that it is given.
    """
    fresh = temporary_path(folder)
    old = folder.with_name(f".{folder.name}.old")
    try:
        fresh.mkdir(parents=True)
        write_tensors(fresh / WEIGHTS, weights)
        beside(fresh)
        write_json(fresh / DESCRIPTION, {**record, DIGEST: digest(fresh / WEIGHTS)})
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    except OSError as error:
        raise explain(error, folder, "write") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def find_folder(path: str | Path, *, command: str, names: str) -> Path:
    """Return the model folder that `path` means: itself, or the one inside a run.

    `command` trains such a model, and `names` describes what may be named, for the messages.
    """
    given = Path(path)
    if given.is_file():
        if given.suffix.lower() in RUNS_CODE:
            raise CalcoError(
                f"{given} is a file of torch or Python ({given.suffix}), and opening one may run code that is in it; "
                "name the run or the model folder that it was made of, or an ONNX (.onnx) or OpenVINO (.zip) file of it"
            )
        raise CalcoError(f"{given} is not a model; name {names}")
    for folder in (given, given / "model", given / ".model.old"):
        if (folder / DESCRIPTION).is_file():
            return folder
    if not given.exists():
        raise CalcoError(f"there is no {given}; name {names}")
    if (given / "config.yaml").is_file():
        resume = f"{command} --resume {shlex.quote(str(given))}"
        raise CalcoError(f"the run {given} has no model yet; train it to its end with: {resume}")
    raise CalcoError(f"{given} holds no {DESCRIPTION}, so it is neither a run nor a model; name the folder that does")


def is_exported(path: str | Path) -> bool:
    """Return whether a path means an exported file, by its ending."""
    return Path(path).suffix in EXPORTED and not Path(path).is_dir()


def read_description(folder: Path, form: int) -> dict[str, Any]:
    """Read `model.json` of the format `form`, without the digest of the weights, which `read_weights` checks."""
    file = folder / DESCRIPTION
    record = read_json(file)
    if not isinstance(record.get("format"), int):
        raise CalcoError(f"{file} names no format, so Calco did not write it; name a model that it did")
    if record["format"] != form:
        remedy = "update Calco: pip install --upgrade calco" if record["format"] > form else "train the model anew"
        raise CalcoError(f"{file} is of format {record['format']}, and this Calco reads {form}; {remedy}")
    record.pop(DIGEST, None)
    return record


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a model folder, by name."""
    file = _weights_file(folder)
    if digest(file) != read_json(folder / DESCRIPTION).get(DIGEST):
        raise CalcoError(
            f"{file} is damaged (its contents are not those that {DESCRIPTION} was written for); copy the whole folder "
            "again"
        )
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise CalcoError(f"{file} is damaged ({error}); copy the whole folder again") from error
    if not all(map(_is_finite, tensors.values())):
        raise CalcoError(f"{file} is damaged (some weights are no finite numbers); copy the whole folder again")
    return tensors


def _is_finite(tensor: Tensor) -> bool:
    """Return whether all values are finite numbers: their sum is not, if one is not, and is computed without copies."""
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def fitting(folder: Path, build: Callable[[], N], *, channels_last: bool = False) -> N:
    """Build the network that a description claims, with the weights of the folder.

    It is first built without memory, and compared with the names and shapes in the header of the file of weights: a
    description may claim more memory than the machine has, and the file bounds it.

    Args:
        folder: Folder of the model.
        build: Builds the network.
        channels_last: Whether filters lie in memory with the channels last; those of the file are copied once then.

    Raises:
        CalcoError: If the file is damaged, or is of another network.
    """
    held = _weight_shapes(folder)
    try:
        with torch.device("meta"), _WithoutInitialisation():
            wanted = {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}
    except CalcoError as error:
        raise CalcoError(f"{folder / DESCRIPTION}: {error}") from error
    except (RuntimeError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
        raise _unfitting(folder, str(error).strip().splitlines()[-1] if str(error).strip() else "") from error
    for name in (*wanted, *held):
        if held.get(name) != wanted.get(name):
            shapes = [str(list(each[name])) if name in each else "nothing" for each in (held, wanted)]
            raise _unfitting(folder, f"{name[:80]} is {shapes[0]}, and the description asks for {shapes[1]}")
    with _WithoutInitialisation():
        network = build()
    if channels_last:
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.data = torch.empty_like(parameter, memory_format=torch.channels_last)
    network.load_state_dict(read_weights(folder))
    return network


class _WithoutInitialisation(TorchFunctionMode):
    """Leaves new weights as they are, since others are loaded; random ones on "meta" import torch._dynamo, slowly."""

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init" or func is Tensor.normal_:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _weight_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights of a model folder, from the file's header."""
    file = _weights_file(folder)
    try:
        with safe_open(file, "pt") as opened:
            names: list[str] = opened.keys()
            return {name: tuple(opened.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError) as error:
        raise CalcoError(f"{file} is damaged ({error}); copy the whole folder again") from error


def _weights_file(folder: Path) -> Path:
    file = folder / WEIGHTS
    if not file.is_file():
        raise CalcoError(f"{file} is missing, so the model cannot be loaded; copy the whole folder again")
    return file


def _unfitting(folder: Path, reason: str) -> CalcoError:
    """Return the error for weights of another network than `model.json` describes."""
    return CalcoError(f"{folder / WEIGHTS} does not fit its {DESCRIPTION} ({reason}); copy the whole folder again")


FORMAT: Final = 2
MOST_CHANNELS: Final = 4096


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Content of `model.json`."""

    generator: GeneratorConfig
    recipe: RecipeConfig
    jitter: JitterConfig
    in_channels: int
    out_channels: int
    source: SourceConfig = field(default_factory=SourceConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    seed: int = 0
    step: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Check the ranges, before anything is allocated for what the description claims."""
        for name in ("in_channels", "out_channels"):
            if not 1 <= getattr(self, name) <= MOST_CHANNELS:
                raise CalcoError(f"{name} is {getattr(self, name)}; a model has 1 to {MOST_CHANNELS:,} channels")

    @property
    def palette(self) -> Palette | None:
        """Colours that the model paints with, if its recipe ends in `segment`."""
        return named_palette(self.recipe.segment.palette) if has_class_targets(self.recipe) else None


def save_model(folder: Path, info: ModelInfo, weights: dict[str, Tensor], mean_target: Image | None) -> None:
    """Write a model folder whole, in place of an older one, which stays if that fails.

    `mean_target`, HWC `uint8`, is the mean of the training targets, a baseline of the evaluation.
    """

    def beside(fresh: Path) -> None:
        if mean_target is not None:
            imaging.write(fresh / mean_name(info), mean_target)

    save_folder(folder, to_record(info), weights, beside)


def mean_name(info: ModelInfo) -> str:
    """Return the file name of the mean target: a PNG, unless that cannot hold the channels."""
    return "mean_target.png" if info.out_channels <= 4 else "mean_target.tif"


def info_of(record: dict[str, Any], where: str | Path) -> ModelInfo:
    """Interpret the content of a `model.json` of any origin, without reading a file that it names."""
    place: Any = record
    for name in ("recipe", "segment", "palette"):
        place = place.get(name) if isinstance(place, dict) else None
    if isinstance(place, str) and place != AUTO:
        try:
            named_palette(place, files=False)
        except CalcoError as error:
            raise CalcoError(f"{where}: {error}") from error
    return from_record(ModelInfo, record, where)
