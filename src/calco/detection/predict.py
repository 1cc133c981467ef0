"""`calco detect predict`: a detector on images, videos and cameras."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from calco import imaging
from calco.data.sources.folders import nothing_in
from calco.detection.config import PredictConfig
from calco.detection.network import DetectorProtocol
from calco.detection.predict_images import LINES, ImageOutputs, ImageRun
from calco.detection.predict_video import VideoOutputs, live_source, predict_live, predict_video
from calco.detection.prediction import VERB, ConfiguredDetector, InputFile, Prediction
from calco.detection.slicing import Slices
from calco.errors import CalcoError, DiskError
from calco.files import list_files, read_json, write_json
from calco.imaging import Image
from calco.inference.results import same_inputs, stamps_of
from calco.outputs import Outputs, locked_file, new_file, settings_digest, writing_folder
from calco.video.encoding import written_as
from calco.video.names import is_moving, is_video, result_folder
from calco.video.sources import LiveStatus

MANIFEST: Final = "prediction.json"
FORMAT: Final = 2
_KNOWN: Final = "images (.jpg, .png ...), videos (.mp4, .avi ...)"

Progress = Callable[[str, float, int | None], None]
"""Called with what is processed ("images", or the name of a video), how much of it is done, and of how much."""


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
