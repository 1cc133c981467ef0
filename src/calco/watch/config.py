"""Options of `calco detect watch`."""

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.errors import UsageError
from calco.records import check_numbers
from calco.video.names import LIVE_RANGES, LiveOptions

_MOST: Final = 10**9  # seconds, frames


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """Settings of the tracker."""

    gap: float = 2.0
    """Seconds for which an object may be hidden and keep its number."""

    weak: float = 0.4
    """Detections below the threshold still continue a track, down to this share of the threshold."""

    overlap: float = 0.2
    """The least overlap (IoU) of a track's predicted box and a detection, in the first round."""

    overlap_weak: float = 0.5
    """The same for detections below the threshold."""

    return_like: float = 0.75
    """Least similarity of colours, from 0 to 1, by which a hidden object is recognised; above 1 never."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        share = (0.001, 1)
        check_numbers(self, gap=(0, _MOST), weak=share, overlap=share, overlap_weak=share, return_like=(0.001, _MOST))


@dataclass(frozen=True, kw_only=True)
class WatchConfig(LiveOptions):
    """Watches a video or a camera: finds, tracks and paints objects, checks rules, and reports events."""

    source: Annotated[str, Positional, arg(metavar="VIDEO_OR_CAMERA")] = ""
    """A video; or live: camera, camera:1, /dev/video0, an address such as rtsp://..., - for stdin, or a named pipe."""

    model: str = ""
    """The detector: a run of calco detect train, its model folder, or a file that calco detect export wrote."""

    out: str = ""
    """The folder to write into."""

    rules: str = ""
    """The YAML file of rules and zones; without one, objects are tracked and no event is raised."""

    paint: str = ""
    """A segmentation model (a run of calco train --recipe segment) that paints the objects; none by default."""

    paint_classes: tuple[str, ...] = ()
    """The classes that are painted; by default all."""

    paint_every: int = 8
    """Frames after which an object is painted again; in between, its paint moves with it."""

    paint_most: int = 2
    """The most objects that are painted in one frame."""

    margin: float = 0.15
    """Margin of crops on each side of the box, as a share of its width and height."""

    score: float = 0.0
    """The score from which on a detection begins a track; 0 takes the detector's own threshold."""

    every: int = 1
    """Runs the detector on every n-th frame; positions in between are predicted."""

    blur_faces: bool = False
    """Blurs the heads of people in everything that is written: video, crops, page."""

    face_model: str = ""
    """With blur-faces, the ONNX file of a YuNet face detector, which also finds faces outside the boxes of people."""

    people: tuple[str, ...] = ()
    """With blur-faces, the classes that have a head; by default those with names such as person."""

    hook: str = ""
    """A command that is run for each event and gets it as JSON on its standard input."""

    webhook: str = ""
    """An address that each event is sent to as JSON (POST)."""

    hook_seconds: float = 10.0
    """The time limit of one try to deliver an event."""

    hook_retries: int = 2
    """The number of further tries to deliver an event."""

    video: bool = True
    """Writes the video with zones, tracks and masks drawn in."""

    video_minutes: float = 60.0
    """Live, the minutes after which a new video file begins."""

    keep_hours: float = 0.0
    """Live, the hours after which crops and parts of the video are removed; 0 keeps them, and the disk fills."""

    loops: int = 1
    """The number of times that a video is played, to test long runs."""

    resume: bool = False
    """Resumes the watch in the folder after an interruption."""

    overwrite: bool = False
    """Starts again if the folder holds a watch; its events, crops and video are removed."""

    device: str = "auto"
    """cpu, cuda, or auto for the GPU where there is one."""

    runtime: Literal["auto", "torch", "onnxruntime", "openvino"] = "auto"
    """Runtime of the detector: torch for a run, onnxruntime or openvino for an exported file."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of the networks; auto takes bf16 on machines that have instructions for it."""

    backend: Literal["auto", "calco"] = "calco"
    """What computes the model of --paint: calco for Calco's own kernels; auto takes a backend that calco translate has
    built for it on this machine, if there is one."""

    track: Annotated[TrackConfig, OmitArgPrefixes] = field(default_factory=TrackConfig)

    def __post_init__(self) -> None:
        """Check what can be checked without reading anything."""
        count, limit, positive = (1, _MOST), (0, _MOST), (0.001, _MOST)
        check_numbers(
            self, every=count, paint_every=count, paint_most=count, loops=count,
            hook_seconds=positive, video_minutes=(0.1, _MOST), keep_hours=limit,
            hook_retries=(0, 20), margin=(0, 2), score=(0, 1), **LIVE_RANGES,
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
