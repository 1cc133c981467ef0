"""`calco detect export`: a detector as one file for other programs, tried on real images before it gets its name."""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from calco import imaging
from calco.data.sources import open_source, remembered
from calco.data.splits import split_items
from calco.detection.comparing import Compared, compare
from calco.detection.config import DetectExportConfig
from calco.detection.exported import ENDINGS, EXPORT_FORMAT, Description, load_exported, opened
from calco.detection.graph import onnx_of
from calco.detection.model import Detector, detector_folder, load_detector
from calco.detection.queries import Following, telling_choices
from calco.errors import CalcoError
from calco.export.target import Exported, differs, target
from calco.files import explain, make_folder, replacing
from calco.imaging import Image
from calco.inference.graph_files import KEY, needs
from calco.outputs import writing_file
from calco.records import to_record
from calco.version import __version__

if TYPE_CHECKING:
    import onnx

Kind = Literal["onnx", "openvino"]
COMPARED: Final = 8
"""Images that an export is tried on."""


def export_detector(config: DetectExportConfig) -> Exported[Description]:
    """Write a detector as one file, from bytes to boxes and scores, with its description.

    File and detector are compared on real images; the file gets its name only when both find the same.

    Args:
        config: Detector, format and options.

    Returns:
        The file, its description, and how far both lie apart.

    Raises:
        CalcoError: When the model or the images cannot be used, a library is missing, the file cannot be written, or
            the two find other objects.
    """
    to = config.to
    path = target(config.model, to, config.out or None, ENDINGS, detector_folder)
    libraries = ("onnx", "onnxscript", "onnxruntime") + (("openvino",) if to == "openvino" else ())
    needs(*libraries, extra="export,openvino" if to == "openvino" else "export")
    with writing_file(path, "calco detect export"):
        detector = load_detector(config.model, device="cpu", precision="fp32")
        return export_loaded(detector, to, path, config.images or None, config.licence)


def export_loaded(
    detector: Detector, to: Kind, path: Path, images: str | Path | None = None, licence: str = ""
) -> Exported[Description]:
    """As `export_detector`, of a detector that is loaded already: on the CPU, in float32."""
    make_folder(path.parent)
    shown, where = examples(detector, images)
    described = Description(
        format=EXPORT_FORMAT, calco=__version__, model=to_record(detector.info), licence=licence,
        overlapping=detector.network.overlapping,
    )  # fmt: skip
    graph = onnx_of(detector)
    try:
        with tempfile.TemporaryDirectory(prefix="calco-export-") as folder:
            trial = Path(folder) / f"trial{path.suffix}"
            _write(trial, to, graph, described)
            apart = compare(detector, load_exported(trial), shown)
            if not apart.near:
                apart = _compare_choices(detector, trial, to, graph, described, shown) or apart
            words = f"on {where}, {apart.words()}"
            if not apart.near:
                raise differs(words)
            described = replace(described, compared={**asdict(apart), "on": where})
            with replacing(path) as temporary:
                _write(temporary, to, graph, described)
    except OSError as error:
        raise explain(error, path, "write") from error
    return Exported(path, described, (words, f"{path} is written"))


def _compare_choices(
    detector: Detector, trial: Path, to: Kind, graph: "onnx.ModelProto", description: Description,
    images: Sequence[Image],
) -> Compared | None:  # fmt: skip
    """Compares a file with its model once more, which goes on with the places that the file has chosen.

    Returns:
        None where the graph chooses nothing, or what no sorting could choose.
    """
    telling, told = telling_choices(graph)
    if not told:
        return None
    path = trial.with_name(f"telling{trial.suffix}")
    _write(path, to, telling, description)
    following = Following(detector.network, opened(path, "onnxruntime" if to == "onnx" else "openvino"), told)
    found = compare(Detector(detector.info, following), load_exported(trial), images)
    apart = replace(found, otherwise=following.otherwise, tie=following.behind)
    return apart if math.isfinite(apart.tie) else None


def _write(path: Path, to: Kind, graph: "onnx.ModelProto", description: Description) -> None:
    from onnx import helper

    text = json.dumps(asdict(description), ensure_ascii=False)
    helper.set_model_props(graph, {KEY: text})
    if to == "onnx":
        path.write_bytes(graph.SerializeToString())
        return
    from calco.export.graph import write_openvino

    with tempfile.TemporaryDirectory(prefix="calco-export-") as folder:
        plain = Path(folder) / "model.onnx"
        plain.write_bytes(graph.SerializeToString())
        write_openvino(plain, path, text)


def examples(detector: Detector, images: str | Path | None) -> tuple[list[Image], str]:
    """Images to try an export on, and what they are, in words.

    Args:
        detector: The model.
        images: A folder; None for images of the training's source that were kept apart.

    Raises:
        CalcoError: When there are none.
    """
    if images is not None:
        found = imaging.list_images(Path(images))[:COMPARED]
        if not found:
            raise CalcoError(f"{images} holds no image; name a folder that does")
        return [imaging.read(path) for path in found], f"{len(found)} images of {images}"
    info = detector.info
    root = remembered(info.provenance, "to try it on: --images FOLDER")
    try:
        source = open_source(root, info.source)
        splits = split_items(source.items, info.split)
        kept = (splits["test"] or splits["val"] or splits["train"])[:COMPARED]
        shown = [source.load(item).image for item in kept]
    except CalcoError as error:
        raise CalcoError(f"the training images cannot be used: {error}; name others: --images FOLDER") from error
    return shown, f"{len(shown)} images of {root} that were kept apart"
