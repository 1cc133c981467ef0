"""A Translator from whatever a user names: a run, a model folder, or a file that `calco export` wrote."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from calco import imaging
from calco.errors import CalcoError
from calco.imaging import Image
from calco.inference.folder import (
    DESCRIPTION,
    FORMAT,
    ModelInfo,
    find_folder,
    fitting,
    info_of,
    mean_name,
    read_description,
)
from calco.inference.graph_files import as_description, ends_as, explained, read_record
from calco.inference.runtimes import OnnxFile, OpenvinoFile, Runtime
from calco.inference.translator import Translator
from calco.networks.build import build_generator
from calco.networks.generator import Generator, output_channels
from calco.networks.machine import choose_device, choose_precision


def model_folder(path: str | Path) -> Path:
    """The model folder that `path` means: itself, or the one inside a run.

    Raises:
        CalcoError: When there is none.
    """
    return find_folder(path, command="calco train", names="a run, a model folder, or a file that calco export wrote")


def load_info(path: str | Path) -> ModelInfo:
    """Reads `model.json`, or what stands in an exported file.

    Raises:
        CalcoError: When it is missing, of a newer format or damaged.
    """
    if is_exported(path):
        return describe(path).info
    folder = model_folder(path)
    record = read_description(folder, FORMAT)
    file = folder / DESCRIPTION
    if record.get("kind") == "detector":
        raise CalcoError(f"{file} describes a detector, not a translator; use it by calco detect predict or evaluate")
    return info_of(record, file)


def _fitting(info: ModelInfo, folder: Path) -> Generator:
    """The network that a folder describes, with its weights.

    Raises:
        CalcoError: When they are missing, damaged, or those of another network.
    """
    return fitting(folder, lambda: build_generator(info.generator, info.in_channels, info.out_channels))


def load(path: str | Path, *, device: str = "auto", precision: str = "fp32") -> Translator:
    """Loads a model for use.

    Args:
        path: A run, a model folder, or a file that `calco export` wrote.
        device: "cpu", "cuda", or "auto" for the GPU where there is one.
        precision: fp32; or bf16 (on a GPU fp16 too), where speed counts more than half a level of a byte; or auto for
            bf16 where the machine has instructions for it.

    Returns:
        The model.

    Raises:
        CalcoError: When a file is missing, damaged, of a newer format, or does not fit the description; when the device
            does not exist or lacks the precision.
    """
    if is_exported(path):
        return load_exported(path, device=device, precision=precision)
    chosen = choose_device(device)
    dtype = choose_precision(precision, chosen)
    folder = model_folder(path)
    info = load_info(folder)
    generator = _fitting(info, folder)
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = folder / mean_name(info)
    return Translator(
        info,
        generator,
        mean_target=imaging.read(mean, background="channel") if mean.is_file() else None,
        device=chosen,
        precision=dtype,
    )


__all__ = ["Description", "ExportedTranslator", "describe", "is_exported", "load_exported"]

EXPORT_FORMAT: Final = 1
ENDINGS: Final = {".onnx": "onnx", ".zip": "openvino"}
PRECISIONS: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}


@dataclass(frozen=True, kw_only=True)
class Description:
    """What stands in an exported file beside its graph.

    Attributes:
        format: Of this description.
        calco: The version that wrote it.
        model: The whole `model.json`.
        kind: onnx or openvino.
        precision: fp32, bf16 or int8.
        licence: Under which the model may be used; empty where nobody said.
        compared: How far the file's images lie from the model's, and on what.
        mean_target: The mean of the training targets as PNG in base 64, or None.
    """

    format: int
    calco: str
    model: dict[str, Any]
    kind: str
    precision: str
    licence: str = ""
    compared: dict[str, Any] = field(default_factory=dict)
    mean_target: str | None = None

    @property
    def info(self) -> ModelInfo:
        """Of the model."""
        return info_of(self.model, "the model in it")


def is_exported(path: str | Path) -> bool:
    """Whether a path means an exported file, by its ending."""
    return ends_as(path, ENDINGS)


def describe(path: str | Path) -> Description:
    """What an exported file says of itself.

    Raises:
        CalcoError: When it is not there, damaged, of a newer format or not Calco's, or a library is missing.
    """
    file = Path(path)
    record = read_record(file, "calco export")
    if record.get("kind") == "detector":
        raise CalcoError(f"{file} holds a detector, not a translator; calco detect predict takes it")
    found = as_description(record, file, Description, (EXPORT_FORMAT, FORMAT))
    if found.kind != ENDINGS[file.suffix]:
        raise CalcoError(f"{file} is damaged (it says that it is {found.kind}); export the model again")
    if found.precision not in PRECISIONS:
        raise CalcoError(f"{file} is of precision {found.precision}; known are {', '.join(PRECISIONS)}")
    return found


def load_exported(path: str | Path, *, device: str = "auto", precision: str = "fp32") -> "ExportedTranslator":
    """Opens an exported file for use, as `load` does.

    Args:
        path: A file that `calco export` wrote.
        device: As of `load`; ONNX Runtime and OpenVINO compute on the CPU.
        precision: The file's own, or fp32 or auto, which take what the file has.

    Raises:
        CalcoError: When it cannot be used, or has another precision.
    """
    file = Path(path)
    found = describe(file)
    if precision not in ("auto", "fp32", found.precision):
        raise CalcoError(
            f"{file} computes in {found.precision}, and {precision} was asked for; leave --precision out, or export "
            f"the model again with --precision {precision}"
        )
    if device not in ("auto", "cpu"):
        raise CalcoError(f"{file} is computed on the CPU, and the device is {device}; name the model's folder for that")
    with explained(file):
        return ExportedTranslator(found, opened(file, found), file)


def opened(file: Path, found: Description) -> Runtime:
    """A file in the runtime of its kind.

    Raises:
        ValueError: When it is damaged.
    """
    if found.kind == "onnx":
        return OnnxFile(file)
    return OpenvinoFile(file, "bf16" if found.precision == "bf16" else "f32")


class _Elsewhere(nn.Module):
    """A backbone whose weights another runtime holds."""

    def __init__(self, runtime: Runtime, depth: int, channels: int, file: Path) -> None:
        super().__init__()
        self.runtime, self.depth, self.channels, self.file = runtime, depth, channels, file

    def forward(self, x: Tensor) -> Tensor:
        maps = self.runtime.maps(x)
        fits = (x.shape[0], self.channels, *x.shape[2:])
        if maps.shape != fits or not maps.is_floating_point():
            given = f"{maps.dtype} {tuple(maps.shape)}"
            raise CalcoError(f"{self.file} is damaged (its network gives {given}, not {fits}); export the model again")
        return maps


class ExportedTranslator(Translator):
    """A file that `calco export` wrote, at work: the same interface, and the same images within its tolerance.

    The file's network is run; what stands around it is the Translator's own, so that images of any size and depth are
    seen at the scale of the training and composed at their own.

    Attributes:
        description: What the file says of itself.
        runtime: What runs it.
    """

    def __init__(self, description: Description, runtime: Runtime, file: Path) -> None:
        info = description.info
        with torch.device("meta"):
            like = build_generator(info.generator, info.in_channels, info.out_channels)
        drawn = output_channels(like.composition, like.out_channels, like.holes)
        generator = Generator(
            _Elsewhere(runtime, like.backbone.depth, drawn, file),  # type: ignore[arg-type]
            composition=like.composition,
            out_channels=like.out_channels,
            holes=like.holes,
        )
        super().__init__(
            info,
            generator,
            mean_target=_mean(description.mean_target),
            device=runtime.device,
            precision=PRECISIONS[description.precision],
        )
        self.description = description
        self.runtime = runtime

    def __call__(
        self, image: Image, *, mask: Image | None = None, noise_seed: int | None = None, native: bool = False
    ) -> Image:
        """As of `Translator`, without chance.

        Raises:
            CalcoError: When the array is no image, or variety is asked for.
        """
        if noise_seed is not None:
            raise CalcoError("an exported model has no dropout, so there is no variety; leave --noise-seed out")
        return super().__call__(image, mask=mask, native=native)

    @property
    def backbone(self) -> nn.Module:
        """What draws: the file's network. Of a large image it draws blended tiles: its levels are not apart."""
        return self.generator.backbone

    def _applied(self, part: Callable[..., Tensor], x: Tensor) -> Tensor:
        return part(x).float()


def _mean(encoded: str | None) -> Image | None:
    if encoded is None:
        return None
    try:
        return imaging.decode(base64.b64decode(encoded), "mean_target.png")
    except (binascii.Error, CalcoError):
        return None
