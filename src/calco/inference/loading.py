"""A Translator from whatever a user names: a run, a model folder, or a file that `calco export` wrote."""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from calco import imaging
from calco.errors import CalcoError
from calco.files import digest
from calco.imaging import Image
from calco.inference.folder import (
    DESCRIPTION,
    EXPORTED,
    FORMAT,
    ModelInfo,
    find_folder,
    fitting,
    info_of,
    is_exported,
    mean_name,
    read_description,
)
from calco.inference.runtimes import OnnxFile, OpenvinoFile, Runtime, as_description, explained, read_record
from calco.inference.translator import Translator
from calco.networks.build import build_generator
from calco.networks.generator import Generator, output_channels
from calco.networks.machine import choose_device, choose_precision
from calco.records import to_record


def model_folder(path: str | Path) -> Path:
    """Return the model folder that `path` means: itself, or the one inside a run."""
    return find_folder(path, command="calco train", names="a run, a model folder, or a file that calco export wrote")


def load_info(path: str | Path) -> ModelInfo:
    """Read `model.json`, or the description in an exported file."""
    if is_exported(path):
        return describe(path).info
    folder = model_folder(path)
    record = read_description(folder, FORMAT)
    file = folder / DESCRIPTION
    if record.get("kind") == "detector":
        raise CalcoError(f"{file} describes a detector, not a translator; use it by calco detect predict or evaluate")
    return info_of(record, file)


def load(path: str | Path, *, device: str = "auto", precision: str = "fp32") -> Translator:
    """Load a model for use.

    Args:
        path: A run, a model folder, or a file that `calco export` wrote.
        device: "cpu", "cuda", or "auto" for the GPU if there is one.
        precision: "fp32"; "bf16" (on a GPU also "fp16"), which is faster and differs by about half a level of a byte;
            or "auto" for bf16 where the machine has instructions for it.

    Returns:
        The model.

    Raises:
        CalcoError: If a file is missing, damaged, of a newer format, or does not fit the description; if the device
            does not exist or lacks the precision.
    """
    if is_exported(path):
        return load_exported(path, device=device, precision=precision)
    chosen = choose_device(device)
    dtype = choose_precision(precision, chosen)
    folder = model_folder(path)
    info = load_info(folder)
    generator = fitting(folder, lambda: build_generator(info.generator, info.in_channels, info.out_channels))
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = folder / mean_name(info)
    return Translator(
        info, generator, device=chosen, precision=dtype,
        mean_target=lambda: imaging.read(mean, background="channel") if mean.is_file() else None,
    )  # fmt: skip


def weights_digest(model: str | Path | Translator) -> str:
    """Return a digest of a model: of its weights and of its description."""
    if isinstance(model, Translator):
        total = hashlib.sha256(repr(to_record(replace(model.info, provenance={}, scores={}))).encode())
        for name, tensor in sorted(model.generator.state_dict().items()):
            total.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return total.hexdigest()[:16]
    if is_exported(model):
        return digest(model)
    folder = model_folder(model)
    return digest(folder / DESCRIPTION)  # it holds the digest of the weights, which loading checks


EXPORT_FORMAT: Final = 1
PRECISIONS: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}


@dataclass(frozen=True, kw_only=True)
class Description:
    """Description that an exported file holds beside its graph."""

    format: int
    calco: str  # version that wrote it
    model: dict[str, Any]  # the whole `model.json`
    kind: str  # onnx or openvino
    precision: str  # fp32, bf16 or int8
    licence: str = ""  # of the model, if it was given
    compared: dict[str, Any] = field(default_factory=dict)  # differences from the model's images
    mean_target: str | None = None  # PNG in base 64

    @property
    def info(self) -> ModelInfo:
        """Description of the model."""
        return info_of(self.model, "the model in it")


def describe(path: str | Path) -> Description:
    """Read the description in an exported file."""
    file = Path(path)
    record = read_record(file, "calco export")
    if record.get("kind") == "detector":
        raise CalcoError(f"{file} holds a detector, not a translator; calco detect predict takes it")
    found = as_description(record, file, Description, (EXPORT_FORMAT, FORMAT))
    if found.kind != EXPORTED[file.suffix]:
        raise CalcoError(f"{file} is damaged (it says that it is {found.kind}); export the model again")
    if found.precision not in PRECISIONS:
        raise CalcoError(f"{file} is of precision {found.precision}; known are {', '.join(PRECISIONS)}")
    return found


def load_exported(path: str | Path, *, device: str = "auto", precision: str = "fp32") -> "ExportedTranslator":
    """Open an exported file for use, as `load` does; fp32 and auto take the precision that it has."""
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
        hint = "bf16" if found.precision == "bf16" else "f32"
        return ExportedTranslator(found, OnnxFile(file) if found.kind == "onnx" else OpenvinoFile(file, hint), file)


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
    """A file that `calco export` wrote, with the interface of the Translator and its images within a tolerance.

    Only the network runs elsewhere: images of any size and depth are shown at the scale of the training and composed
    at their own.
    """

    def __init__(self, description: Description, runtime: Runtime, file: Path) -> None:
        info = description.info
        with torch.device("meta"):
            like = build_generator(info.generator, info.in_channels, info.out_channels)
        channels = output_channels(like.composition, like.out_channels, like.holes)
        generator = Generator(
            _Elsewhere(runtime, like.backbone.depth, channels, file),  # type: ignore[arg-type]
            composition=like.composition, out_channels=like.out_channels, holes=like.holes,
        )  # fmt: skip
        super().__init__(
            info, generator, device=runtime.device, precision=PRECISIONS[description.precision],
            mean_target=lambda: _decoded(description.mean_target),
        )  # fmt: skip
        self.description = description
        self.runtime = runtime

    def __call__(
        self, image: Image, *, mask: Image | None = None, noise_seed: int | None = None, native: bool = False
    ) -> Image:
        """Translate an image as `Translator` does; there is no dropout."""
        if noise_seed is not None:
            raise CalcoError("an exported model has no dropout, so there is no variety; leave --noise-seed out")
        return super().__call__(image, mask=mask, native=native)

    @property
    def backbone(self) -> nn.Module:
        """The file's network."""
        return self.generator.backbone

    def _applied(self, network: nn.Module, x: Tensor, origin: tuple[int, int] = (0, 0)) -> Tensor:  # noqa: ARG002
        return torch.as_tensor(network(x)).float()


def _decoded(encoded: str | None) -> Image | None:
    if encoded is None:
        return None
    try:
        return imaging.decode(base64.b64decode(encoded), "mean_target.png")
    except (binascii.Error, CalcoError):
        return None
