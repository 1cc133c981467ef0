"""What is known of a served model without its weights: its name, what it is for, which options serve it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from calco.data.recipe_config import steps_of
from calco.files import read_json

if TYPE_CHECKING:
    from calco.inference.folder import ModelInfo

JobName: TypeAlias = Literal["sketch", "repair", "colour", "colour-repair", "segment", "translate", "detect"]
_REPORT: Final = "report/report.html"


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """What the pages and the API show of a model.

    Attributes:
        name: Unique and safe in addresses, from the name of its folder.
        kind: What it makes of an image: another image, or detections.
        job: What people use it for, from its recipe.
        path: Run, model folder or exported file.
        uses_noise: Another seed gives another image.
        classes: Names and colours of the classes of a mask, or of a detector's boxes.
        report: Report of its run; None if there is none.
        licence: Licence that its description names; empty if none.
        threshold: Lowest score of an object, of a detector.
    """

    name: str
    kind: Literal["translator", "detector"]
    job: JobName
    path: Path
    uses_noise: bool = False
    classes: tuple[tuple[str, tuple[int, int, int]], ...] = ()
    report: Path | None = None
    licence: str = ""
    threshold: float = 0.5

    @property
    def takes_mask(self) -> bool:
        """Whether a mask tells it what to redraw: it fills holes."""
        return self.job in ("repair", "colour-repair")

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the fields of `JobOptions` that serve it; `steady` is for videos alone."""
        if self.kind == "detector":
            return ("threshold",)
        having = {"noise_seed": self.uses_noise, "overlay": self.job == "segment", "steady": True}
        return tuple(name for name, there in having.items() if there)


def describe(path: str | Path, taken: Sequence[str] = ()) -> ServedModel:
    """Describe a model without its weights.

    Args:
        path: A run, a model folder, or a file that calco export or calco detect export wrote.
        taken: Names of other models, which this one must not have.

    Raises:
        CalcoError: If it is not a model, or of another format.
    """
    from calco.inference.folder import DESCRIPTION, find_folder, is_exported
    from calco.inference.runtimes import read_record

    given = Path(path)
    names = "a run, a model folder, or a file that calco export or calco detect export wrote"
    if is_exported(given):
        record, report = read_record(given, "calco export").get("model"), None
    else:
        folder = find_folder(given, command="calco train", names=names)
        record, report = read_json(folder / DESCRIPTION), folder.parent / _REPORT
    found = report if report is not None and report.is_file() else None
    name = _unique(given, taken)
    if isinstance(record, dict) and record.get("kind") == "detector":
        from calco.detection.drawing import numbered_colour
        from calco.detection.exported import describe as describe_exported
        from calco.detection.model import load_detector_info

        detector = describe_exported(given).info if is_exported(given) else load_detector_info(given)
        classes = tuple((each, numbered_colour(number)) for number, each in enumerate(detector.classes))
        return ServedModel(name=name, kind="detector", job="detect", path=given, classes=classes, report=found,
                           threshold=detector.threshold)  # fmt: skip
    from calco.inference.translator import load_info

    info = load_info(given)
    generator, job = info.generator, _job_of(info)
    return ServedModel(
        name=name, kind="translator", job=job, path=given, classes=info.palette or (), report=found,
        uses_noise=not is_exported(given) and bool(generator.bridge_steps or generator.dropout),
        licence=str(info.provenance.get("licence") or ""),
    )  # fmt: skip


def _unique(path: Path, taken: Sequence[str]) -> str:
    """Return a name for addresses: runs/faces, runs/faces/model and faces.onnx => faces, a second one faces-2."""
    path = path.resolve()
    stem = path.parent.name if path.name in ("model", ".model.old") else path.stem if path.suffix else path.name
    name = re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-")[:60] or "model"
    number = 1
    while (name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return name if number == 1 else f"{name}-{number}"


def _job_of(info: "ModelInfo") -> JobName:
    """Return what people use a translator for."""
    steps = set() if info.recipe.recipe == "auto" else set(steps_of(info.recipe.recipe))
    if {"colorize", "erase"} <= steps:
        return "colour-repair"
    if "erase" in steps:
        return "repair"
    if "colorize" in steps:
        return "colour"
    if info.palette is not None:
        return "segment"
    drawings = "openmoji" in (info.source.source, info.provenance.get("source"))  # the pairs are lines and colour
    return "sketch" if "sketch" in steps or drawings else "translate"


def description_of(model: ServedModel) -> dict[str, Any]:
    """Return the content of a model's `model.json`, or what an exported file holds of it."""
    from calco.inference.folder import DESCRIPTION, find_folder, is_exported
    from calco.inference.runtimes import read_record

    if is_exported(model.path):
        record: Any = read_record(model.path, "calco export").get("model")
        return record if isinstance(record, dict) else {}
    return read_json(find_folder(model.path, command="calco train", names="a model") / DESCRIPTION)
