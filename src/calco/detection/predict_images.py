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
from calco.detection.prediction import ConfiguredDetector, InputFile, Prediction, as_rows, from_rows, write_csv
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


@dataclass
class _Item:
    """An image on its way through the threads."""

    file: InputFile
    image: Image | None = None
    found: Detections | None = None
    error: str = ""
    stamps: list[Stamp] = field(default_factory=list)


@dataclass(kw_only=True)
class ImageRun:
    """The images of one call; `find` runs in the caller's thread, `read` and `keep` each in one of their own.

    The lines are written image by image, so an interrupted call resumes after the last one.
    """

    detector: ConfiguredDetector
    targets: ImageOutputs
    result: Prediction  # takes the counts and the images that were left out
    scale: float  # factor for lines and letters
    outputs: Outputs | None  # folder whose log tells what an earlier call found with the same settings
    settings: str  # their digest
    progress: Callable[[float, int], None]  # gets the number of images done, with a fraction in slices, and of how many

    def run(self, files: Sequence[InputFile]) -> None:
        """Find objects in images, and write them; the results of an earlier call are kept."""
        targets, outputs, result = self.targets, self.outputs, self.result
        self.lines = Journal(targets.lines)
        self.drawer = None if targets.drawn is None else Drawer(self.detector.classes, share=self.scale, fit=True)
        self.known: dict[str, Detections] = {}
        waiting = list(files)
        if outputs is not None:
            outputs.record(targets.lines, grows=True)
            made = {file.name: outputs.stamps(file.name, self.settings) for file in files}
            same = {file.name for file in files if (stamps := made[file.name]) and same_inputs([file.path], stamps)}
            rows = [row for row in self.lines.rows() if row.get("image") in same]
            self.known = {row["image"]: from_rows(row["detections"]) for row in rows}
            waiting = [
                file for file in files
                if file.name not in self.known or (targets.drawn and not outputs.owns(targets.drawn(file.name)))
            ]  # fmt: skip
        for result.only in self.known.values():
            result.images.add(result.only)
        result.kept += len(self.known)
        self.done, self.total = len(files) - len(waiting), len(files)
        ahead = _AHEAD * self.detector.batch
        run(Recorded(map(self.read, waiting), ahead), self.find, [self.keep], batch=self.detector.batch, length=ahead)
        self._finish(files)
        if len(files) > 1:
            result.only = None

    def read(self, file: InputFile) -> _Item:
        """Read an image, unless that fails."""
        stamps = stamps_of([file.path])  # before it is read: a version that comes meanwhile is processed next time
        try:
            return _Item(file, imaging.read(file.path), self.known.get(file.name), stamps=stamps)
        except CalcoError as error:
            return _Item(file, error=str(error))

    def find(self, items: Sequence[_Item]) -> Sequence[_Item]:
        """Find the objects of those images whose objects are not known."""
        new = [(item, item.image) for item in items if item.image is not None and item.found is None]
        if new:
            results = self.detector.many(
                [image for _, image in new], lambda share: self.progress(self.done + min(share, 0.999), self.total)
            )
            for (item, _), found in zip(new, results, strict=True):
                item.found = found
        return items

    def keep(self, item: _Item) -> None:
        """Draw and note the objects of an image; it is noted after its drawing is there."""
        self.done += 1
        name, image, found = item.file.name, item.image, item.found
        if image is not None and found is not None and self.drawer is not None and self.targets.drawn is not None:
            path = self.targets.drawn(name)
            try:
                make_folder(path.parent)
                imaging.write(path, self.drawer(*enlarged(image, found, _LEAST)), like=item.file.path)
            except DiskError:  # nor can those that follow be written
                raise
            except CalcoError as error:
                item.error = str(error)
        if item.error:
            self.result.left_out[name] = item.error
        elif image is not None and found is not None:
            if name not in self.known:
                height, width = image.shape[:2]
                self.lines.add({"image": name, "width": width, "height": height, "detections": as_rows(found)})
                self.result.written += 1
                self.result.images.add(found)
                self.result.only = found
            if self.outputs is not None:
                self.outputs.note_done(name, self.settings, item.stamps)
        self.progress(self.done, self.total)

    def _finish(self, files: Sequence[InputFile]) -> None:
        """Sort the lines by the order of the images, and make the other tables from them."""
        order = {file.name: number for number, file in enumerate(files)}
        rows: list[dict[str, Any]] = list(self.lines.rows())
        newest = {row["image"]: row for row in rows if "image" in row}
        # Lines of other images are from other calls, and stay.
        ordered = sorted(newest.values(), key=lambda row: order.get(row["image"], len(order)))
        if ordered != rows:
            write_rows(self.lines.path, ordered)
        if "csv" in self.targets.formats:
            write_csv(self.targets.table("csv"), ordered)
        if "coco" in self.targets.formats:
            records = [
                Record(name=row["image"], objects=from_rows(row["detections"]), size_wh=(row["width"], row["height"]))
                for row in ordered
            ]
            write_coco(self.targets.table("coco"), records, self.detector.classes)
