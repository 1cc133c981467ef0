"""`calco detect predict`: a detector on images, videos and what cameras see."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from calco import imaging
from calco.annotations.detections import Detections
from calco.detection.config import PredictConfig
from calco.detection.contract import DetectorProtocol
from calco.detection.predict_images import LINES, Given, Places, listed, predict_images
from calco.detection.predict_video import (
    VERB,
    VideoOutputs,
    VideoPrediction,
    is_live,
    predict_live,
    predict_video,
    predicted_video,
)
from calco.detection.slicing import ConfiguredDetector, DetectionCounts, Slices
from calco.errors import CalcoError, DiskError
from calco.files import read_json, write_json
from calco.inference.results import same_inputs, stamps_of
from calco.locks import locked_file
from calco.outputs import Outputs, new_file, settings_digest, writing_folder
from calco.video.encoding import written_as
from calco.video.frames import result_folder
from calco.video.live import LiveStatus
from calco.video.names import is_video

MANIFEST: Final = "prediction.json"
FORMAT: Final = 2


@dataclass
class Prediction:
    """What came of a call.

    Attributes:
        out: The folder or file that was written; empty where live images were only shown.
        images: What was found in images.
        frames: What was found in frames of videos, or live.
        written: Images that were looked at now.
        kept: Images and videos that an earlier call had done.
        videos: What came of each video.
        left_out: Name and reason of everything that could not be used.
        only: What is in the image, where it was a single one.
        notes: What of the images is not used, a sentence each.
        summary: Of live frames, how it went, a sentence.
        files: Of live frames, the files that were written.
    """

    out: str
    images: DetectionCounts = field(default_factory=DetectionCounts)
    frames: DetectionCounts = field(default_factory=DetectionCounts)
    written: int = 0
    kept: int = 0
    videos: list[VideoPrediction] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    only: Detections | None = None
    notes: list[str] = field(default_factory=list)
    summary: str = ""
    files: list[Path] = field(default_factory=list)


Progress = Callable[[str, float, int | None], None]
"""Is told what is looked at ("images", or the name of a video), how much is done, and of how much."""


def predict(
    config: PredictConfig,
    detector: DetectorProtocol | None = None,
    *,
    made_by: str = "",
    progress: Progress = lambda _what, _done, _of: None,
    status: Callable[[LiveStatus], None] = lambda _status: None,
) -> Prediction:
    """Finds objects in images, videos and what cameras see.

    Args:
        config: What is wanted.
        detector: What finds them; None loads the model that is named.
        made_by: What tells the detector from another one; by default the digest of its weights.
        progress: Is told how far it is.
        status: Live, called after each frame.

    Returns:
        What was found, written and left out.

    Raises:
        CalcoError: When model or sources cannot be used, `out` holds what another model found, or nothing was done.
    """
    plays = is_live(config)
    given, left_out = ([], []) if plays else listed(config.sources, config.out)
    if not plays:
        _check_formats(config, given)
    if detector is None:
        from calco.detection.loading import detector_digest, open_detector

        detector = open_detector(config.model, runtime=config.runtime, device=config.device, precision=config.precision)
        made_by = made_by or detector_digest(config.model)
    look = ConfiguredDetector(
        detector=detector, threshold=config.threshold, classes=config.classes, batch=config.batch,
        slices=Slices(side=config.slice, overlap=config.overlap, batch=config.batch) if config.slice else None,
    )  # fmt: skip
    done = Prediction(config.out)
    done.left_out |= dict(left_out)
    if note := imaging.note_on_several(
        [each.path for each in given if each.kind == "image"], "--out NAME.mp4 looks at all frames of one animation"
    ):
        done.notes.append(note)
    if plays:
        live = predict_live(look, config, status=status)
        done.frames, done.summary, done.files = live.tally, live.summary, live.written
        return done
    record = {"format": FORMAT, "model": made_by or "python", **look.record(), "precision": config.precision,
              "scale": config.scale}  # fmt: skip
    try:
        _Files(config, look, record, done, progress).work(given)
    except DiskError as error:
        command = "the same command without --overwrite" if config.overwrite else "the same command"
        raise DiskError(f"{error}; what is done is kept, and {command} goes on from there") from error
    return done


def _check_formats(config: PredictConfig, given: list[Given]) -> None:
    videos = [each for each in given if each.kind == "video"]
    if videos and len(videos) == len(given) and set(config.format) == {"coco"}:
        raise CalcoError("COCO names image files, which frames of videos are not; choose --format jsonl or csv")
    if not videos and (config.from_ or config.to or config.codec or config.quality is not None):
        raise CalcoError(f"--from, --to, --codec and --quality are for videos, and {config.sources[0]} is none; "
                         "leave them out")  # fmt: skip
    if not config.out:
        raise CalcoError("--out is missing; name the folder to write into")


class _Files:
    """Images and videos of one call."""

    def __init__(
        self,
        config: PredictConfig,
        look: ConfiguredDetector,
        record: dict[str, Any],
        done: Prediction,
        progress: Progress,
    ) -> None:
        self.config, self.look, self.record, self.done, self.progress = config, look, record, done, progress
        self.out = Path(config.out)

    def work(self, given: list[Given]) -> None:
        """Looks at all of them."""
        images = [each for each in given if each.kind == "image"]
        videos = [each for each in given if each.kind == "video"]
        if self._one_file(given):
            if videos:
                targets = self._video_outputs(self.out, self.out.with_suffix(".jsonl"))
                self._video(videos[0], targets)
            else:
                self._image(given[0])
            return
        folder = result_folder(self.out)
        with writing_folder(folder, VERB, overwrite=self.config.overwrite, growing=(LINES,)) as outputs:
            self._in_folder(outputs, images, videos)
        if not (self.done.written or self.done.kept or self.done.videos):
            name, reason = next(iter(self.done.left_out.items()))
            raise CalcoError(f"nothing of {len(given)} could be looked at; the first, {name}: {reason}")

    def _in_folder(self, outputs: Outputs, images: list[Given], videos: list[Given]) -> None:
        places = Places.in_folder(self.out, self.config.format)
        targets = {
            video.name: self._video_outputs(
                self.out / written_as(video.name, self.config.codec), self.out / f"{video.name}.jsonl"
            )
            for video in videos
        }
        for each in (*images, *videos):
            if os.path.realpath(each.path) in {os.path.realpath(path) for path in self._results(each, places, targets)}:
                raise CalcoError(f"the result would replace {each.path}; choose another --out")
        # Nothing is written before it is clear that all of it may be.
        outputs.check([self.out / MANIFEST, *(places.tables() if images else ())])
        outputs.check(path for each in (*images, *videos) for path in self._results(each, places, targets))
        self._claim(outputs)
        if images:
            self._images(images, places, outputs)
        for video in videos:
            try:
                self._one_video(video, targets[video.name], outputs)
            except DiskError:  # nor can those that follow be written
                raise
            except CalcoError as error:
                self.done.left_out[video.name] = str(error)
        write_json(self.out / MANIFEST, {**self.record, "left_out": self.done.left_out})

    def _results(self, given: Given, places: Places, targets: dict[str, VideoOutputs]) -> list[Path]:
        """The files of one image or video, beside the tables of all images."""
        if given.kind == "video":
            return targets[given.name].results()
        return [] if places.drawn is None else [places.drawn(given.name)]

    def _one_file(self, given: list[Given]) -> bool:
        """Whether `out` names the drawn image or video."""
        for kind, fits in (("image", imaging.is_image(self.out)), ("video", is_video(str(self.out)))):
            if fits and not self.out.is_dir():
                if len(given) != 1 or given[0].kind != kind:
                    raise CalcoError(f"--out {self.out} is one {kind}, and the source is not; name a folder")
                return True
        return False

    def _image(self, given: Given) -> None:
        """The one image whose result is named by its file."""
        if self.out.exists() and self.out.samefile(given.path):
            raise CalcoError(f"the result would replace {given.path}; choose another --out")
        places = Places.one(self.out, self.config.format)
        with new_file(self.out, VERB, beside=places.tables(), overwrite=self.config.overwrite):
            places.lines.unlink(missing_ok=True)
            try:
                self._images([given], places, None)
            finally:
                if "jsonl" not in self.config.format:
                    places.lines.unlink(missing_ok=True)

    def _images(self, images: list[Given], places: Places, outputs: Outputs | None) -> None:
        done = predict_images(
            self.look, images, places, scale=self.config.scale, outputs=outputs,
            settings=settings_digest(self.record),
            progress=lambda count, of: self.progress("images", count, of),
        )  # fmt: skip
        self.done.images, self.done.written = done.tally, done.written
        self.done.kept += done.kept
        self.done.left_out |= done.left_out
        self.done.only = done.only if len(images) == 1 else None
        if len(images) == 1 and done.left_out:
            raise CalcoError(next(iter(done.left_out.values())))

    def _video_outputs(self, target: Path, lines: Path) -> VideoOutputs:
        start, stop = self.config.times()
        return VideoOutputs(
            drawn=target if "drawn" in self.config.format else None, lines=lines, formats=self.config.format,
            start=start, stop=stop, codec=self.config.codec, quality=self.config.quality, scale=self.config.scale,
            made_by=self.record, overwrite=self.config.overwrite,
        )  # fmt: skip

    def _one_video(self, video: Given, targets: VideoOutputs, outputs: Outputs) -> None:
        """One of the videos, unless its results are there."""
        settings = settings_digest([self.record, str(targets.start), str(targets.stop), targets.codec, targets.quality])
        before, results = outputs.stamps(video.name, settings), targets.results()
        kept = before is not None and same_inputs([video.path], before) and all(map(outputs.owns, results))
        if kept and results and not targets.overwrite:
            self.done.kept += 1
            return
        with locked_file(targets.lines, VERB):
            stamps = stamps_of([video.path])
            self._video(video, targets, replaces=True)
            outputs.note_done(video.name, settings, stamps)

    def _video(self, video: Given, targets: VideoOutputs, *, replaces: bool = False) -> None:
        predicted = partial(predicted_video if replaces else predict_video, self.look, video.path, targets)
        done = predicted(progress=lambda count, of: self.progress(video.name, count, of))
        self.done.videos.append(done)
        self.done.frames.join(done.tally)

    def _claim(self, outputs: Outputs) -> None:
        """Notes what writes into the folder, and refuses to mix two."""
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
