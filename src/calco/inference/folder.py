"""The folder of a model, whatever the model does: written whole, found, and read."""

import shlex
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from calco.errors import CalcoError
from calco.files import digest, explain, read_json, write_json
from calco.networks.tensor_files import write_tensors

DESCRIPTION: Final = "model.json"
WEIGHTS: Final = "model.safetensors"
DIGEST: Final = "weights_digest"
"""Field of `model.json`: the digest of `model.safetensors`."""
RUNS_CODE: Final = frozenset(
    {".pt", ".pth", ".ts", ".torchscript", ".jit", ".pt2", ".ckpt", ".pkl", ".pickle", ".joblib"}
)
"""Endings of files (TorchScript, pickles) that torch or Python runs when it opens them. Calco opens none."""


def save_folder(
    folder: Path,
    record: dict[str, Any],
    weights: dict[str, Tensor],
    beside: Callable[[Path], None] = lambda _: None,
) -> None:
    """Writes a model folder whole, in place of the one that may stand there.

    Args:
        folder: The model folder.
        record: What `model.json` says.
        weights: By name; no two may share memory.
        beside: Writes what else belongs into the folder that it is given.

    Raises:
        CalcoError: When it cannot be written; what stood there before then still stands.
    """
    fresh = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
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
    """The model folder that `path` means: itself, or the one inside a run.

    Args:
        path: A run or a model folder.
        command: The verb that trains such a model.
        names: What a person may name, for the messages.

    Raises:
        CalcoError: When there is none.
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


def read_description(folder: Path, form: int) -> dict[str, Any]:
    """What `model.json` says, without the digest of the weights, which `read_weights` checks.

    Args:
        folder: The model folder.
        form: The format of it that can be read.

    Raises:
        CalcoError: When it is missing, of another format or damaged.
    """
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
    """The weights of a model folder, by name.

    Raises:
        CalcoError: When they are missing or damaged.
    """
    file = folder / WEIGHTS
    if not file.is_file():
        raise CalcoError(f"{file} is missing, so the model cannot be loaded; copy the whole folder again")
    if digest(file) != read_json(folder / DESCRIPTION).get(DIGEST):
        raise CalcoError(
            f"{file} is damaged (its contents are not those that {DESCRIPTION} was written for); copy the whole folder "
            "again"
        )
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise CalcoError(f"{file} is damaged ({error}); copy the whole folder again") from error
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise CalcoError(f"{file} is damaged (some weights are no finite numbers); copy the whole folder again")
    return tensors


def unfitting(folder: Path, error: RuntimeError) -> CalcoError:
    """What to say when weights are those of another network than `model.json` describes."""
    reason = str(error).splitlines()[-1].strip()
    return CalcoError(f"{folder / WEIGHTS} does not fit its {DESCRIPTION} ({reason}); copy the whole folder again")
