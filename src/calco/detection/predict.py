"""`calco detect predict`: a detector on images, videos and cameras.

Images are read, looked through and written in three threads, and what an earlier call found is kept.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from calco import imaging
from calco.annotations.coco import write_coco
from calco.annotations.detections import Detections
from calco.annotations.record import Record
from calco.data.sources.folders import nothing_in
from calco.detection.config import PredictConfig
from calco.detection.drawing import Drawer, enlarged
from calco.detection.network import DetectorProtocol
from calco.detection.predict_video import VideoOutputs, live_source, predict_live, predict_video
from calco.detection.prediction import VERB, ConfiguredDetector, InputFile, Prediction, as_rows, from_rows, write_csv
from calco.detection.slicing import Slices
from calco.errors import CalcoError, DiskError
from calco.files import list_files, make_folder, read_json, temporary_path, write_json
from calco.imaging import Image
from calco.inference.results import same_inputs, stamps_of
from calco.journal import Journal
from calco.journal import write as write_rows
from calco.outputs import Outputs, Stamp, locked_file, new_file, settings_digest, writing_folder
from calco.video.encoding import written_as
from calco.video.names import is_moving, is_video, result_folder
from calco.video.pipeline import Recorded, run
from calco.video.sources import LiveStatus

MANIFEST: Final = "prediction.json"
FORMAT: Final = 2
_KNOWN: Final = "images (.jpg, .png ...), videos (.mp4, .avi ...)"

Progress = Callable[[str, float, int | None], None]
"""Called with what is processed ("images", or the name of a video), how much of it is done, and of how much."""
LINES: Final = "detections.jsonl"
_ENDINGS: Final = {"csv": ".csv", "coco": ".coco.json"}
_LEAST: Final = 320  # pixels of the longer side of a drawn image: a label needs some room
_AHEAD: Final = 3  # batches that wait between two threads


def predict(
    config: PredictConfig,
    detector: DetectorProtocol | None = None,
    *,
    made_by: str = "",
    progress: Progress = lambda _what, _done, _of: None,
    status: Callable[[LiveStatus], None] = lambda _status: None,
    shown: Callable[[Image], None] = lambda _image: None,
) -> Prediction:
    """Find objects in images, videos and cameras; write drawn images and tables.

    Args:
        config: Sources, outputs and options.
        detector: The detector; None loads the model that the configuration names.
        made_by: Text that identifies the detector; by default the digest of its weights.
        progress: Called with what is processed, how much of it is done, and of how much.
        status: Called after each live frame.
        shown: Called with each frame of a video in files that is written, HWC `uint8`.

    Returns:
        Objects, files, and what was left out.

    Raises:
        CalcoError: When model or sources cannot be used, `out` holds results of another model, or nothing was done.
    """
    live = live_source(config)
    files, left_out = ([], {}) if live else _list_inputs(config.sources, config.out)
    if not live:
        _check_formats(config, files)
    if detector is None:
        from calco.detection.exported import detector_digest, open_detector

        detector = open_detector(config.model, runtime=config.runtime, device=config.device, precision=config.precision)
        made_by = made_by or detector_digest(config.model)
    configured = ConfiguredDetector(
        detector=detector, threshold=config.threshold, only=config.classes, batch=config.batch,
        slices=Slices(side=config.slice, overlap=config.overlap, batch=config.batch) if config.slice else None,
    )  # fmt: skip
    result = Prediction(config.out, left_out=left_out)
    if live:
        predict_live(configured, live, config, result, status=status)
        return result
    images = [each.path for each in files if each.kind == "image"]
    if note := imaging.note_on_several(images, "--out NAME.mp4 looks at all frames of one animation"):
        result.notes.append(note)
    record = {"format": FORMAT, "model": made_by or "python", **configured.record(), "precision": config.precision,
              "scale": config.scale}  # fmt: skip
    try:
        _FileRun(config, configured, record, result, progress, shown).run(files)
    except DiskError as error:
        command = "the same command without --overwrite" if config.overwrite else "the same command"
        raise DiskError(f"{error}; what is done is kept, and {command} goes on from there") from error
    return result


def _list_inputs(sources: tuple[str, ...], out: str) -> tuple[list[InputFile], dict[str, str]]:
    """Return the images and videos of files and folders, and what in the folders cannot be read, with its reason."""
    files: list[InputFile] = []
    left_out: dict[str, str] = {}
    inside = os.path.join(os.path.realpath(out), "")  # results are no sources
    for source in sources:
        if not os.path.exists(source):
            raise CalcoError(f"there is no {source}; name {_KNOWN} or folders of them")
        if os.path.isdir(source):
            listing = list_files(source, lambda name: imaging.is_image(name) or is_video(name))
            paths = [path for path in listing.paths if not os.path.realpath(path).startswith(inside)]
            if not paths:
                raise CalcoError(nothing_in(Path(source), listing.left_out, "image"))
            files += [InputFile(path, path[len(listing.root) :].replace(os.sep, "/")) for path in paths]
            left_out |= dict(listing.left_out)
        elif imaging.is_image(source) or is_video(source):
            files.append(InputFile(source, os.path.basename(source), is_moving(source, out)))
        else:
            raise CalcoError(f"{source} is neither image nor video by its ending; name {_KNOWN} or folders of them")
    seen: dict[str, InputFile] = {}
    for file in files:
        if seen.setdefault(file.name, file).path != file.path:
            first = seen[file.name].path
            raise CalcoError(
                f"{first} and {file.path} would both be written as {file.name}; look at them in two calls, with "
                "another --out"
            )
    return list(seen.values()), left_out


def _check_formats(config: PredictConfig, files: list[InputFile]) -> None:
    kinds = {each.kind for each in files}
    if kinds == {"video"} and set(config.format) == {"coco"}:
        raise CalcoError("COCO names image files, which frames of videos are not; choose --format jsonl or csv")
    if "video" not in kinds and (config.from_ or config.to or config.codec or config.quality is not None):
        raise CalcoError(f"--from, --to, --codec and --quality are for videos, and {config.sources[0]} is none; "
                         "leave them out")  # fmt: skip
    if not config.out:
        raise CalcoError("--out is missing; name the folder to write into")


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


@dataclass
class _FileRun:
    """Images and videos of one call."""

    config: PredictConfig
    detector: ConfiguredDetector
    record: dict[str, Any]
    result: Prediction
    progress: Progress
    shown: Callable[[Image], None]

    def __post_init__(self) -> None:
        self.out = Path(self.config.out)

    def run(self, files: list[InputFile]) -> None:
        for kind, named in (("image", imaging.is_image(self.out)), ("video", is_video(str(self.out)))):
            if named and not self.out.is_dir():
                if len(files) != 1 or files[0].kind != kind:
                    raise CalcoError(f"--out {self.out} is one {kind}, and the source is not; name a folder")
                self._into_file(files[0])
                return
        with writing_folder(
            result_folder(self.out), VERB, overwrite=self.config.overwrite, growing=(LINES,)
        ) as outputs:
            self._into_folder(outputs, files)
        if not (self.result.written or self.result.kept or self.result.videos):
            name, reason = next(iter(self.result.left_out.items()))
            raise CalcoError(f"none of {len(files)} inputs could be used; the first, {name}: {reason}")

    def _into_file(self, file: InputFile) -> None:
        """Process the one image or video whose result `out` names."""
        if self.out.exists() and self.out.samefile(file.path):
            raise CalcoError(f"the result would replace {file.path}; choose another --out")
        if file.kind == "video":
            video = VideoOutputs(self.out, self.out.with_suffix(".jsonl"), self.config.format)
            first, *others = video.results()
            with new_file(first, VERB, beside=others, overwrite=self.config.overwrite):
                self._video(file, video)
            return
        image = ImageOutputs.one(self.out, self.config.format)
        with new_file(self.out, VERB, beside=image.tables(), overwrite=self.config.overwrite):
            image.lines.unlink(missing_ok=True)
            try:
                self._images([file], image, None)
            finally:
                if "jsonl" not in self.config.format:
                    image.lines.unlink(missing_ok=True)

    def _into_folder(self, outputs: Outputs, files: list[InputFile]) -> None:
        images = [each for each in files if each.kind == "image"]
        targets = ImageOutputs.in_folder(self.out, self.config.format)
        videos = [
            (each, VideoOutputs(self.out / written_as(each.name, self.config.codec), self.out / f"{each.name}.jsonl",
                                self.config.format))
            for each in files if each.kind == "video"
        ]  # fmt: skip
        results = {each.path: [] if targets.drawn is None else [targets.drawn(each.name)] for each in images}
        results |= {each.path: video.results() for each, video in videos}
        for path, written in results.items():
            if os.path.realpath(path) in map(os.path.realpath, written):
                raise CalcoError(f"the result would replace {path}; choose another --out")
        # Nothing is written before it is clear that all of it may be.
        outputs.check([self.out / MANIFEST, *(targets.tables() if images else ())])
        outputs.check(path for written in results.values() for path in written)
        self._claim(outputs)
        if images:
            self._images(images, targets, outputs)
        for each, video in videos:
            try:
                self._folder_video(each, video, outputs)
            except DiskError:  # nor can those that follow be written
                raise
            except CalcoError as error:
                self.result.left_out[each.name] = str(error)
        write_json(self.out / MANIFEST, {**self.record, "left_out": self.result.left_out})

    def _claim(self, outputs: Outputs) -> None:
        """Record what writes into the folder; refuse to mix results of two."""
        manifest = self.out / MANIFEST
        if self.config.overwrite:
            outputs.remove(self.out / LINES)
        elif manifest.exists():
            before = read_json(manifest)
            before.pop("left_out", None)
            if before != self.record:
                raise CalcoError(
                    f"{self.out} holds what another model or other options found; choose another --out, or --overwrite"
                )
        write_json(manifest, self.record)

    def _images(self, files: list[InputFile], targets: ImageOutputs, outputs: Outputs | None) -> None:
        ImageRun(
            detector=self.detector, targets=targets, result=self.result, scale=self.config.scale, outputs=outputs,
            settings=settings_digest(self.record), progress=lambda done, of: self.progress("images", done, of),
        ).run(files)  # fmt: skip
        if len(files) == 1 and (reason := self.result.left_out.get(files[0].name)):
            raise CalcoError(reason)

    def _folder_video(self, file: InputFile, video: VideoOutputs, outputs: Outputs) -> None:
        """Process one of the videos, unless its results are there."""
        start, stop = self.config.times()
        settings = settings_digest([self.record, str(start), str(stop), self.config.codec, self.config.quality])
        before, results = outputs.stamps(file.name, settings), video.results()
        kept = before is not None and same_inputs([file.path], before) and all(map(outputs.owns, results))
        if kept and results and not self.config.overwrite:
            self.result.kept += 1
            return
        with locked_file(video.lines, VERB):
            stamps = stamps_of([file.path])
            self._video(file, video)
            outputs.note_done(file.name, settings, stamps)

    def _video(self, file: InputFile, video: VideoOutputs) -> None:
        done = predict_video(
            self.detector, file.path, video, self.config, self.record, self.result.frames,
            progress=lambda done, of: self.progress(file.name, done, of), shown=self.shown,
        )  # fmt: skip
        self.result.videos.append(done)
