"""Models as files for other programs: a trial file, its comparison with the model, and then the file itself.

Translators and detectors are exported alike.
"""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from calco import imaging
from calco.data.sources import remembered
from calco.errors import CalcoError, needs
from calco.files import explain, make_folder, replacing
from calco.inference.folder import EXPORTED, is_exported
from calco.inference.graphs import write_openvino
from calco.inference.runtimes import KEY

if TYPE_CHECKING:
    import onnx
    from _typeshed import DataclassInstance

_LIBRARIES: Final = {
    "onnx": ("export", ("onnx", "onnxscript", "onnxruntime")),
    "openvino": ("export,openvino", ("onnx", "onnxscript", "onnxruntime", "openvino")),
}


D = TypeVar("D", bound="DataclassInstance")
"""Description in an exported file: a dataclass with the field `compared`."""


@dataclass(frozen=True)
class Exported(Generic[D]):
    """Result of an export."""

    path: Path  # the file
    description: D  # the description in it
    said: tuple[str, ...]  # results of the comparison, a sentence each


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Differences between a file and its model: within the tolerance or not, in words, and as plain data."""

    near: bool
    words: str
    record: dict[str, Any]


def target_path(model: str | Path, to: str, out: str | Path | None, folder_of: Callable[[str | Path], Path]) -> Path:
    """Return the file that an export writes; by default it has the model's name and lies in the current folder."""
    if is_exported(model):
        raise CalcoError(f"{model} is an exported model already; name the run or the model folder that it was made of")
    ending = next((end for end, kind in EXPORTED.items() if kind == to), None)
    if ending is None:
        raise CalcoError(f"there is no export to {to}; choose {' or '.join(EXPORTED.values())}")
    folder = folder_of(model).resolve()
    in_run = folder.name == "model" and (folder.parent / "config.yaml").is_file()
    path = Path(out) if out else Path(f"{folder.parent.name if in_run else folder.name}{ending}")
    if path.suffix != ending:
        raise CalcoError(f"the file is {path}, and {to} is written as {ending}; name it {path.with_suffix(ending)}")
    extra, libraries = _LIBRARIES[to]
    needs(*libraries, extra=extra)
    return path


def named_images(folder: str | Path, most: int) -> list[Path]:
    """Return the first images of a folder."""
    found = imaging.list_images(Path(folder))[:most]
    if not found:
        raise CalcoError(f"{folder} holds no image; name a folder that does")
    return found


@contextlib.contextmanager
def training_images(provenance: Mapping[str, Any]) -> Iterator[str]:
    """Yield the address of the images of the training; errors in the block get the remedy to name others."""
    root = remembered(provenance, "to try it on: --images FOLDER")
    try:
        yield root
    except CalcoError as error:
        raise CalcoError(f"the training images cannot be used: {error}; name others: --images FOLDER") from error


def write(path: Path, to: str, graph: "onnx.ModelProto", description: Any) -> None:
    """Write a graph with its description as ONNX or OpenVINO."""
    from onnx import helper

    text = json.dumps(asdict(description), ensure_ascii=False)
    helper.set_model_props(graph, {KEY: text})
    if to == "onnx":
        path.write_bytes(graph.SerializeToString())
    else:
        write_openvino(graph, path, text)


def export_graph(
    path: Path, to: str, graph: "onnx.ModelProto", description: D, compare: Callable[[Path], Comparison], where: str,
    narrow: Callable[[Path, D], tuple["onnx.ModelProto", D, str]] | None = None,
) -> Exported[D]:  # fmt: skip
    """Write a graph as a file, after a trial file was compared with the model on the images that `where` names.

    `narrow` takes the trial file and its description, and returns the graph in fewer bits, its description, and a
    sentence on what it costs.
    """
    make_folder(path.parent)
    try:
        with tempfile.TemporaryDirectory(prefix="calco-export-") as folder:
            trial = Path(folder) / f"trial{path.suffix}"
            write(trial, to, graph, description)
            found = compare(trial)
            said = [f"on {where}, {found.words}"]
            if not found.near:
                raise CalcoError(
                    f"the export differs from its model, so no file is written ({said[0]}); please report this"
                )
            description = replace(description, compared={**found.record, "on": where})
            if narrow is not None:
                graph, description, sentence = narrow(trial, description)
                said.append(sentence)
            with replacing(path) as temporary:
                write(temporary, to, graph, description)
    except OSError as error:
        raise explain(error, path, "write") from error
    return Exported(path, description, (*said, f"{path} is written"))
