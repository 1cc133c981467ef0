"""Tensors in safetensors files: written whole, with a digest of what they hold. Nothing is unpickled."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from calco.files import explain, replacing


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Writes tensors to a safetensors file, whole or not at all.

    Args:
        path: The file.
        tensors: By name; no two may share memory.
        metadata: Text for the file's header.

    Raises:
        WriteError: When it cannot be written; what was there before is still there.
    """
    try:
        with replacing(path) as temporary:
            save_file(on_cpu(tensors), temporary, metadata=metadata)
    except SafetensorError as error:
        raise explain(as_os_error(error), path, "write") from error


def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as a file holds them: on the CPU, each in one piece; those that are so already are not copied."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def contents_digest(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """The first 16 hex digits of the SHA-256 over a text and tensors: names, types, shapes and values.

    Args:
        tensors: On the CPU, each contiguous.
        text: What belongs to them, such as the position of a run.
    """
    total = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()[:16]


def as_os_error(error: SafetensorError) -> OSError:
    """The error of the operating system that stands behind one of safetensors."""
    found = re.search(r"os error (\d+)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else OSError(str(error))
