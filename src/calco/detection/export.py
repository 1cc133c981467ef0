"""`calco detect export`: a detector as one file for other programs, tried on real pictures before it gets its name."""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from calco import __version__, images
from calco.annotations.detections import Detections
from calco.detection.exported import (
    BOXES,
    ENDINGS,
    EXPORT_FORMAT,
    INPUT,
    SCORES,
    Description,
    is_exported,
    load_exported,
)
from calco.detection.model import Detector, detector_folder, load_detector
from calco.detection.network import DetectionNetwork
from calco.errors import CalcoError
from calco.export.network import portable
from calco.export.onnx_file import OPSET, silent
from calco.files import explain, make_folder, replacing
from calco.images import Image
from calco.inference.runtimes import KEY, needs
from calco.pairs.opening import open_source
from calco.pairs.splits import split_items
from calco.records import to_record

if TYPE_CHECKING:
    import onnx

Kind = Literal["onnx", "openvino"]
COMPARED: Final = 8
"""Pictures that an export is tried on."""
LEAST: Final = 0.01
"""The score from which on boxes are compared."""
SCORE_TOLERANCE, BOX_TOLERANCE = 0.002, 0.25
"""How far scores may lie apart, and the edges of boxes, in pixels of the square."""
_CHECKS: Final = "TRANSFORMERS_DISABLE_TORCH_CHECK"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """How far a file lies from its model.

    Attributes:
        pictures: That both have looked at, alone and together.
        boxes: That both have found.
        missing: Those that one of them alone has found, though they score clearly enough.
        score: The largest difference of two scores.
        edge: The largest difference of two edges, in pixels of the square.
    """

    pictures: int
    boxes: int
    missing: int
    score: float
    edge: float

    def words(self) -> str:
        """In one sentence."""
        return (
            f"{self.pictures} pictures looked at by both, alone and together: {self.boxes} boxes, {self.missing} found "
            f"by one alone; largest difference of scores {self.score:.5f} (of at most {SCORE_TOLERANCE}), of edges "
            f"{self.edge:.4f} pixels (of at most {BOX_TOLERANCE})"
        )

    @property
    def near(self) -> bool:
        """Whether that is within the tolerance."""
        return not self.missing and self.score <= SCORE_TOLERANCE and self.edge <= BOX_TOLERANCE


@dataclass(frozen=True)
class Exported:
    """What came of an export.

    Attributes:
        path: The file.
        description: What stands in it.
        said: What was found, a sentence each.
    """

    path: Path
    description: Description
    said: tuple[str, ...]


def export_detector(
    model: str | Path,
    to: Kind = "onnx",
    out: str | Path | None = None,
    *,
    pictures: str | Path | None = None,
    licence: str = "",
) -> Exported:
    """Writes a detector as one file, from bytes to boxes and scores, with what it is.

    The file is tried on real pictures beside the model, and gets its name only when both find the same.

    Args:
        model: A run or a model folder.
        to: What reads it: ONNX Runtime or OpenVINO.
        out: The file; None names it after the model, in the present folder.
        pictures: What it is tried on; None takes pictures of the training's source that were kept apart.
        licence: Under which the model may be used, in words or by name; stands in the file.

    Raises:
        CalcoError: When the model or the pictures cannot be used, a library is missing, the file cannot be written, or
            the two find other things.
    """
    if is_exported(model):
        raise CalcoError(f"{model} is an exported model already; name the run or the model folder that it was made of")
    ending = next(end for end, kind in ENDINGS.items() if kind == to)
    path = Path(out) if out is not None else Path(f"{_name(model)}{ending}")
    if path.suffix != ending:
        raise CalcoError(f"the file is {path}, and {to} is written as {ending}; name it {path.with_suffix(ending)}")
    libraries = ("onnx", "onnxscript", "onnxruntime") + (("openvino",) if to == "openvino" else ())
    needs(*libraries, extra="export,openvino" if to == "openvino" else "export")
    return export_loaded(load_detector(model, device="cpu", precision="fp32"), to, path, pictures, licence)


def export_loaded(
    detector: Detector, to: Kind, path: Path, pictures: str | Path | None = None, licence: str = ""
) -> Exported:
    """As `export_detector`, of a detector that is loaded already: on the CPU, in float32."""
    make_folder(path.parent)
    shown, where = examples(detector, pictures)
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
            words = f"on {where}, {apart.words()}"
            if not apart.near:
                raise CalcoError(
                    f"the export differs from its model, so no file is written ({words}); please report this"
                )
            described = replace(described, compared={**asdict(apart), "on": where})
            with replacing(path) as temporary:
                _write(temporary, to, graph, described)
    except OSError as error:
        raise explain(error, path, "write") from error
    return Exported(path, described, (words, f"{path} is written"))


class Whole(nn.Module):
    """A detector from bytes to boxes in pixels and scores.

    Args:
        network: What it is made of.
        size: The side of the square, pixels.
    """

    def __init__(self, network: DetectionNetwork, size: int) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """N, S, S, 3 `uint8` => boxes N, Q, 4 (left, top, right, bottom in pixels) and scores N, Q, C."""
        logits, boxes = self.network(pictures.permute(0, 3, 1, 2).float() / 127.5 - 1)
        middle, half = boxes[..., :2] * self.size, boxes[..., 2:] * (self.size / 2)
        return torch.cat([middle - half, middle + half], -1), logits.sigmoid()


def onnx_of(detector: Detector) -> "onnx.ModelProto":
    """A detector as ONNX; the number of pictures is free, their side is that of the training.

    Raises:
        CalcoError: When its network cannot be written as ONNX.
    """
    size = detector.info.size
    whole = Whole(portable(detector.network), size).eval()  # type: ignore[arg-type]
    example = torch.full((2, size, size, 3), 114, dtype=torch.uint8)
    with torch.no_grad(), silent(), _free_lengths(whole):
        try:
            exported = torch.export.export(
                whole, (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=False
            )
            program = torch.onnx.export(
                exported, input_names=[INPUT], output_names=[BOXES, SCORES], opset_version=OPSET, dynamo=True,
                external_data=False, verbose=False,
            )  # fmt: skip
        except Exception as error:  # torch raises what it likes
            reason = " ".join(str(error).split())[:200]
            raise CalcoError(
                f"the {detector.info.architecture} detector cannot be written as ONNX ({reason}); use its folder"
            ) from error
    assert program is not None
    made: onnx.ModelProto = program.model_proto
    for node in made.graph.node:
        del node.metadata_props[:]  # lines of source code, by which nobody is served
        node.doc_string = ""
    return made


@contextlib.contextmanager
def _free_lengths(network: nn.Module) -> Iterator[None]:
    """Has the code of a network's modules take the length of a tensor from its shape.

    `len` must give a number, so while a graph is written down it would fix the number of pictures; transformers asks
    for it. A name in a module comes before the built-in one, in that module alone.
    """
    names = {type(part).__module__ for part in network.modules()}
    modules = [vars(sys.modules[name]) for name in names if name.startswith("transformers.models.")]
    changed = [module for module in modules if "len" not in module]
    before = os.environ.get(_CHECKS)
    os.environ[_CHECKS] = "1"  # its checks of shapes would become nodes that ONNX does not know
    for module in changed:
        module["len"] = lambda what: what.shape[0] if isinstance(what, Tensor) else len(what)
    try:
        yield
    finally:
        for module in changed:
            del module["len"]
        if before is None:
            del os.environ[_CHECKS]
        else:
            os.environ[_CHECKS] = before


def _write(path: Path, to: Kind, graph: "onnx.ModelProto", description: Description) -> None:
    from onnx import helper

    text = json.dumps(asdict(description), ensure_ascii=False)
    helper.set_model_props(graph, {KEY: text})
    if to == "onnx":
        path.write_bytes(graph.SerializeToString())
        return
    from calco.export.openvino_file import write_openvino

    with tempfile.TemporaryDirectory(prefix="calco-export-") as folder:
        plain = Path(folder) / "model.onnx"
        plain.write_bytes(graph.SerializeToString())
        write_openvino(plain, path, text)


def examples(detector: Detector, pictures: str | Path | None) -> tuple[list[Image], str]:
    """Pictures to try an export on, and what they are, in words.

    Args:
        detector: The model.
        pictures: A folder; None for pictures of the training's source that were kept apart.

    Raises:
        CalcoError: When there are none.
    """
    if pictures is not None:
        found = images.list_pictures(Path(pictures))[:COMPARED]
        if not found:
            raise CalcoError(f"{pictures} holds no picture; name a folder that does")
        return [images.read(path) for path in found], f"{len(found)} pictures of {pictures}"
    info = detector.info
    root = info.provenance.get("pictures")
    if not root:
        raise CalcoError("the model does not say what it was trained on; name pictures to try it on: --pictures FOLDER")
    try:
        source = open_source(root, info.source)
        splits = split_items(source.items, info.split)
        kept = (splits["test"] or splits["val"] or splits["train"])[:COMPARED]
        shown = [source.load(item).image for item in kept]
    except CalcoError as error:
        raise CalcoError(f"the training pictures cannot be used: {error}; name others: --pictures FOLDER") from error
    return shown, f"{len(shown)} pictures of {root} that were kept apart"


def compare(model: Detector, file: Detector, pictures: Sequence[Image]) -> Compared:
    """Has both look at the same pictures, one by one and all together.

    Args:
        model: The model.
        file: Of it.
        pictures: HWC.
    """
    side = model.info.size
    alone = [file(picture, threshold=LEAST) for picture in pictures]
    together = file.many(pictures, threshold=LEAST)
    wanted = [model(picture, threshold=LEAST) for picture in pictures]
    apart = [
        _apart(one, two, side / max(picture.shape[:2]))
        for picture, one, *twos in zip(pictures, wanted, alone, together, strict=True)
        for two in twos
    ]
    return Compared(
        pictures=len(pictures),
        boxes=sum(len(each) for each in wanted),
        missing=sum(missing for missing, _, _ in apart),
        score=max((score for _, score, _ in apart), default=0.0),
        edge=max((edge for _, _, edge in apart), default=0.0),
    )


def _apart(one: Detections, two: Detections, scale: float) -> tuple[int, float, float]:
    """How many boxes of either have none in the other, and how far scores and edges of the others lie apart."""
    pairs, score, edge = 0, 0.0, 0.0
    free = np.ones(len(two), np.bool_)
    lone = []
    assert one.scores is not None
    assert two.scores is not None
    for i in range(len(one)):
        away = np.abs(two.boxes - one.boxes[i]).max(1) * scale if len(two) else np.zeros(0)
        fits = free & (np.array(two.classes) == one.classes[i]) & (away <= 4 * BOX_TOLERANCE)
        if not fits.any():
            lone.append(float(one.scores[i]))
            continue
        # Queries of one thing may lie on each other: the one of the same score is meant.
        order = np.where(fits, np.abs(two.scores - one.scores[i]), np.inf)
        j = int(order.argmin())
        free[j] = False
        pairs, score, edge = pairs + 1, max(score, float(order[j])), max(edge, float(away[j]))
    lone += [float(value) for value in two.scores[free]]
    # What scores as little as the last box that is told may be told by one and not by the other.
    last = LEAST if len(one) < 1 else max(LEAST, float(one.scores.min()))
    return sum(value > last + 2 * SCORE_TOLERANCE for value in lone), score, edge


def _name(model: str | Path) -> str:
    """The run's name, or the model folder's."""
    folder = detector_folder(model).resolve()
    return folder.parent.name if folder.name == "model" and (folder.parent / "config.yaml").is_file() else folder.name
