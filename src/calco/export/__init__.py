"""Models that leave the house: one file for other programs, with all that stands before and behind the network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from tyro.conf import Positional, arg

Kind: TypeAlias = Literal["onnx", "openvino"]
Precision: TypeAlias = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write a model as one file for other programs, after comparing both on real images."""

    model: Annotated[str | Path, Positional, arg(metavar="MODEL")]
    """Run or model folder."""

    to: Kind = "onnx"
    """Format: ONNX (ONNX Runtime, browsers) or OpenVINO."""

    out: Annotated[str | Path | None, arg(metavar="FILE")] = None
    """File to write; by default the model's name in the current folder, ending in .onnx or .zip."""

    precision: Precision = "fp32"
    """Precision of the network; int8 is calibrated on images of the training."""

    images: Annotated[str | Path | None, arg(metavar="IMAGES")] = None
    """Images on which file and model are compared; by default those of the training."""

    licence: str = ""
    """Licence of the model, stored in the file."""
