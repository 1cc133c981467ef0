"""Everything that `calco detect watch` can be told."""

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.errors import UsageError
from calco.records import check_numbers

_MOST: Final = 10**9  # seconds, frames


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """Settings of the tracker."""

    gap: float = 2.0
    """Seconds for which something may be hidden and keep its number."""

    weak: float = 0.4
    """What scores less than the threshold still goes on with a track, down to this share of the threshold."""

    overlap: float = 0.2
    """The least overlap (IoU) of a track's expected place and what was found, in the first round."""

    overlap_weak: float = 0.5
    """The same for what scores less."""

    return_like: float = 0.75
    """How alike colours must be for something hidden to be known again, from 0 to 1; above 1 knows nothing again."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        share = (0.001, 1)
        check_numbers(self, gap=(0, _MOST), weak=share, overlap=share, overlap_weak=share, return_like=(0.001, _MOST))


@dataclass(frozen=True, kw_only=True)
class WatchConfig:
    """Watches a video or a camera: finds, paints, follows, judges by rules, and reports events."""

    source: Annotated[str, Positional, arg(metavar="VIDEO_OR_CAMERA")] = ""
    """A video; or live: camera, camera:1, /dev/video0, an address such as rtsp://..., - for stdin, or a named pipe."""

    model: str = ""
    """The detector: a run of calco detect train, its model folder, or a file that calco detect export wrote."""

    out: str = ""
    """The folder to write into."""

    rules: str = ""
    """The YAML file of rules and zones; without one everything is followed and nothing raises an event."""

    paint: str = ""
    """A segmentation model (a run of calco train --recipe segment) that paints what was found; none by default."""

    paint_classes: tuple[str, ...] = ()
    """The classes that are painted; by default all."""

    paint_every: int = 8
    """Frames after which an object is painted anew; in between what was painted moves with it."""

    paint_most: int = 2
    """How many objects are painted anew in one frame at most."""

    margin: float = 0.15
    """What crops have on each side beside the box, as a share of its width and height."""

    score: float = 0.0
    """The score from which on a detection begins a track; 0 takes the detector's own threshold."""

    every: int = 1
    """Looks for objects in every n-th frame; in those between they are expected where their way leads them."""

    blur_faces: bool = False
    """Blurs the heads of people in everything that is written: video, crops, page."""

    face_model: str = ""
    """With blur-faces, the ONNX file of a YuNet detector of faces, which finds those too that no person's box has."""

    people: tuple[str, ...] = ()
    """With blur-faces, the classes that have a head; by default those whose names say so, such as person."""

    hook: str = ""
    """A command that is run for each event and gets it as JSON on its standard input."""

    webhook: str = ""
    """An address that each event is sent to as JSON (POST)."""

    hook_seconds: float = 10.0
    """The time limit of one try to deliver an event."""

    hook_retries: int = 2
    """How often a delivery is tried again."""

    video: bool = True
    """Writes the video with zones, tracks and masks drawn in."""

    video_minutes: float = 60.0
    """Live, the minutes after which a new file of the video is begun."""

    keep_hours: float = 0.0
    """Live, the hours after which crops and parts of the video are removed; 0 keeps them, and the disk fills."""

    loops: int = 1
    """Plays a video so many times over, as a trial of many hours."""

    resume: bool = False
    """Goes on with the watch in the folder where it stopped, by whatever."""

    overwrite: bool = False
    """Begins anew where a watch is in the folder; its events, crops and video are removed."""

    live: bool = False
    """Plays a video at its own pace as if it were a camera: always the newest frame, others are dropped."""

    page: int | None = None
    """Live, shows what is seen in a browser, on this port of this machine; 0 for any that is free."""

    size: str | None = None
    """Asks the camera for images of this size, such as 1280x720; of a pipe it tells that of bare RGB images."""

    rate: float = 0.0
    """Asks the camera for so many frames in a second, or tells those of bare images in a pipe."""

    patience: float = 60.0
    """Seconds for which a lost camera is looked for; 0 for ever."""

    seconds: float = 0.0
    """Live, stops after so many seconds; 0 for never."""

    device: str = "auto"
    """cpu, cuda, or auto for the GPU where there is one."""

    runtime: Literal["auto", "torch", "onnxruntime", "openvino"] = "auto"
    """What computes the detector: torch for a run, onnxruntime or openvino for an exported file."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """What the networks compute in; auto takes bf16 where the machine has instructions for it."""

    track: Annotated[TrackConfig, OmitArgPrefixes] = field(default_factory=TrackConfig)

    def __post_init__(self) -> None:
        """Check what can be checked without reading anything."""
        count, limit, positive = (1, _MOST), (0, _MOST), (0.001, _MOST)
        check_numbers(
            self, page=(0, 65_535), rate=(0, 1000), every=count, paint_every=count, paint_most=count, loops=count,
            hook_seconds=positive, video_minutes=positive, patience=limit, seconds=limit, keep_hours=limit,
            hook_retries=(0, 20), margin=(0, 2), score=(0, 1),
        )  # fmt: skip
        if self.hook and self.webhook:
            raise UsageError("hook and webhook are both given; choose one of them")
        if self.resume and self.overwrite:
            raise UsageError("resume goes on and overwrite begins anew; give one of them")
        if not self.blur_faces and (self.face_model or self.people):
            raise UsageError("face_model and people serve blur_faces; give --blur-faces too, or leave them out")
        if self.blur_faces and self.every > 1:
            raise UsageError(
                f"every is {self.every}, and with blur_faces a face that comes between two looks would be seen; leave "
                "--every out"
            )
