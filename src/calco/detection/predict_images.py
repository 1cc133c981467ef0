"""A detector on images: read, detect and write in three threads, and keep what an earlier call found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from calco import imaging
from calco.annotations.coco import write_coco
from calco.annotations.detections import Detections
from calco.annotations.record import Record
from calco.detection.drawing import Drawer, enlarged
from calco.detection.prediction import ConfiguredDetector, InputFile, Prediction
from calco.detection.tables import as_rows, from_rows, write_csv
from calco.errors import CalcoError, DiskError
from calco.files import make_folder, temporary_path
from calco.imaging import Image
from calco.inference.results import same_inputs, stamps_of
from calco.journal import Journal
from calco.journal import write as write_rows
from calco.outputs import Outputs, Stamp
from calco.video.pipeline import Recorded, run

LINES: Final = "detections.jsonl"
_ENDINGS: Final = {"csv": ".csv", "coco": ".coco.json"}
_LEAST: Final = 320  # pixels of the longer side of a drawn image: a label needs some room
_AHEAD: Final = 3  # batches that wait between two threads


@dataclass(frozen=True, kw_only=True)
class ImageOutputs:
    """Files that images are written to."""

    base: Path  # path of the tables without their endings
    lines: Path  # the JSON lines, from which the other tables are made
    drawn: Callable[[str], Path] | None  # returns the path of the drawn image of a name; None if none is drawn
    formats: tuple[str, ...]  # formats that are written

    @classmethod
    def in_folder(cls, out: Path, formats: tuple[str, ...]) -> "ImageOutputs":
        """Tables in a folder, and drawn images under their own names below it."""
        drawn = (lambda name: out / "drawn" / name) if "drawn" in formats else None
        return cls(base=out / "detections", lines=out / LINES, drawn=drawn, formats=formats)

    @classmethod
    def one(cls, out: Path, formats: tuple[str, ...]) -> "ImageOutputs":
        """One drawn image, and the tables beside it."""
        lines = out.with_name(f"{out.stem}.jsonl")
        return cls(base=out.with_suffix(""), lines=lines if "jsonl" in formats else temporary_path(lines),
                   drawn=lambda _name: out, formats=formats)  # fmt: skip

    def table(self, name: str) -> Path:
        """Return the path of the table in a format, csv or coco."""
        return self.base.with_name(self.base.name + _ENDINGS[name])

    def tables(self) -> list[Path]:
        """Return the paths of the tables that are written."""
        return [self.lines, *(self.table(name) for name in _ENDINGS if name in self.formats)]


def predict_images(
    detector: ConfiguredDetector,
    files: Sequence[InputFile],
    targets: ImageOutputs,
    result: Prediction,
    *,
    scale: float,
    outputs: Outputs | None,
    settings: str,
    progress: Callable[[float, int], None],
) -> None:
    """Find objects in images, and write them; the results of an earlier call are kept.

    The lines are written image by image, so an interrupted call resumes after the last one.

    `result` takes the counts and the images that were left out. `outputs` is the folder whose log tells what an earlier
    call found with the same `settings` (a digest), or None. `progress` gets the number of images done, with a fraction
    within an image in slices, and of how many.
    """
    lines = Journal(targets.lines)
    known: dict[str, Detections] = {}
    if outputs is not None:
        outputs.record(targets.lines, grows=True)
        made = {file.name: outputs.stamps(file.name, settings) for file in files}
        same = {file.name for file in files if (stamps := made[file.name]) and same_inputs([file.path], stamps)}
        known = {row["image"]: from_rows(row["detections"]) for row in lines.rows() if row.get("image") in same}
    for result.only in known.values():
        result.images.add(result.only)
    result.kept += len(known)
    waiting = [
        file for file in files
        if file.name not in known
        or (targets.drawn is not None and (outputs is None or not outputs.owns(targets.drawn(file.name))))
    ]  # fmt: skip
    drawer = None if targets.drawn is None else Drawer(detector.classes, share=scale, fit=True)
    call = _ImageRun(
        detector, targets, drawer, lines, known, result, outputs, settings, lambda done: progress(done, len(files)),
        done=len(files) - len(waiting),
    )  # fmt: skip
    ahead = _AHEAD * detector.batch
    run(Recorded(map(call.read, waiting), ahead), call.find, [call.keep], batch=detector.batch, length=ahead)
    _finish(lines, targets, files, detector.classes)
    if len(files) > 1:
        result.only = None


@dataclass
class _Item:
    """An image on its way through the threads."""

    file: InputFile
    image: Image | None = None
    found: Detections | None = None
    error: str = ""
    stamps: list[Stamp] = field(default_factory=list)


@dataclass
class _ImageRun:
    """One call; `find` runs in the caller's thread, `read` and `keep` each in one of their own."""

    detector: ConfiguredDetector
    targets: ImageOutputs
    drawer: Drawer | None
    lines: Journal
    known: dict[str, Detections]
    result: Prediction
    outputs: Outputs | None
    settings: str
    progress: Callable[[float], None]
    done: int

    def read(self, file: InputFile) -> _Item:
        stamps = stamps_of([file.path])  # before it is read: a version that comes meanwhile is processed next time
        try:
            return _Item(file, imaging.read(file.path), self.known.get(file.name), stamps=stamps)
        except CalcoError as error:
            return _Item(file, error=str(error))

    def find(self, items: Sequence[_Item]) -> Sequence[_Item]:
        new = [item for item in items if item.image is not None and item.found is None]
        images = [item.image for item in new if item.image is not None]
        if images:
            results = self.detector.many(images, lambda share: self.progress(self.done + min(share, 0.999)))
            for item, found in zip(new, results, strict=True):
                item.found = found
        return items

    def keep(self, item: _Item) -> None:
        """Draw and note the objects of an image; it is noted after its drawing is there."""
        self.done += 1
        name = item.file.name
        if item.image is not None and item.found is not None:
            try:
                self._draw(item.file, item.image, item.found)
            except DiskError:  # nor can those that follow be written
                raise
            except CalcoError as error:
                item.error = str(error)
        if item.error:
            self.result.left_out[name] = item.error
        elif item.image is not None and item.found is not None:
            if name not in self.known:
                height, width = item.image.shape[:2]
                row = {"image": name, "width": width, "height": height, "detections": as_rows(item.found)}
                self.lines.add(row)
                self.result.written += 1
                self.result.images.add(item.found)
                self.result.only = item.found
            if self.outputs is not None:
                self.outputs.note_done(name, self.settings, item.stamps)
        self.progress(self.done)

    def _draw(self, file: InputFile, image: Image, found: Detections) -> None:
        if self.drawer is not None and self.targets.drawn is not None:
            path = self.targets.drawn(file.name)
            make_folder(path.parent)
            imaging.write(path, self.drawer(*enlarged(image, found, _LEAST)), like=file.path)


def _finish(lines: Journal, targets: ImageOutputs, files: Sequence[InputFile], classes: tuple[str, ...]) -> None:
    """Sort the lines by the order of the images, and make the other tables from them."""
    order = {file.name: number for number, file in enumerate(files)}
    rows: list[dict[str, Any]] = list(lines.rows())
    newest = {row["image"]: row for row in rows if "image" in row}
    # Lines of other images are from other calls, and stay.
    ordered = sorted(newest.values(), key=lambda row: order.get(row["image"], len(order)))
    if ordered != rows:
        write_rows(lines.path, ordered)
    if "csv" in targets.formats:
        write_csv(targets.table("csv"), ordered)
    if "coco" in targets.formats:
        records = [
            Record(name=row["image"], objects=from_rows(row["detections"]), size_wh=(row["width"], row["height"]))
            for row in ordered
        ]
        write_coco(targets.table("coco"), records, classes)
