"""Everything that `calco detect predict` can be told."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Final, Literal

from tyro.conf import Positional, arg

from calco.errors import CalcoError
from calco.records import check_numbers
from calco.video.reading import seconds_of

Format = Literal["drawn", "jsonl", "coco", "csv"]
Runtime = Literal["auto", "torch", "onnxruntime", "openvino"]
FORMATS: Final = ("drawn", "jsonl", "coco", "csv")


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Finds objects in images, videos and what cameras see: drawn, and as JSON lines, COCO or CSV."""

    model: Annotated[str, Positional, arg(metavar="MODEL")] = ""
    """A run of calco detect train, a model folder, or a file that calco detect export wrote."""

    sources: Annotated[tuple[str, ...], Positional, arg(metavar="SOURCE")] = ()
    """Images, videos, and folders of them, which are read with their sub-folders. Live, one alone: camera, camera:1,
    /dev/video0; an address such as rtsp://...; - for stdin, or a named pipe; with --live, a video at its own pace."""

    out: str = ""
    """The folder to write into; for one image or video also the file to write, drawn. Live: a folder, a video, - for
    stdout, a named pipe or a virtual camera such as /dev/video9."""

    format: tuple[Format, ...] = ("drawn", "jsonl")
    """drawn: images and videos with boxes; jsonl: a line for each image or frame; coco: one file for all images;
    csv: a row for each thing."""

    threshold: float | None = None
    """Only what scores as much is told, from 0 to 1; by default the model's own, the best one on its validation
    images."""

    classes: tuple[str, ...] = ()
    """Only these are told; by default all that the model knows."""

    slice: int = 0
    """Looks at large images in slices of this side too, in pixels, for objects that are small in them; 0 for the whole
    alone. The side at which the model was trained is a good one."""

    overlap: float = 0.2
    """Of slices: the share of their side that neighbours have in common; as large as the objects sought."""

    batch: int = 1
    """Images, frames or slices that the model is shown at once; more are quicker on a GPU."""

    scale: float = 1.0
    """Lines and letters so many times as large as usual."""

    overwrite: bool = False
    """Begins anew where there are results; otherwise they are kept, and what is missing is added."""

    runtime: Runtime = "auto"
    """What computes: torch for a run or a model folder, onnxruntime or openvino for an exported file."""

    device: str = "auto"
    """cpu, cuda, or auto for the GPU where there is one."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """What convolutions compute in; auto takes bf16 where the machine has instructions for it, fp16 is for GPUs."""

    codec: str | None = None
    """Of videos: h264, h265, vp9 or av1; by default vp9 in .webm and h264 elsewhere."""

    quality: int | None = None
    """Of videos: the encoder's constant rate factor, 0 for the best; by default one at which little is to be seen."""

    from_: Annotated[str, arg(name="from")] = ""
    """Where in videos to begin: seconds, mm:ss or hh:mm:ss."""

    to: str = ""
    """Where in videos to end."""

    live: bool = False
    """Plays a video, or the stream at an http address: always its newest image, others are dropped and counted."""

    window: bool = False
    """Shows live images in a window; q closes it."""

    page: int | None = None
    """Shows live images in a browser, on this port of this machine; 0 for any that is free."""

    size: str | None = None
    """Asks the camera for images of this size, such as 1280x720; of a pipe it tells that of bare RGB images."""

    rate: float = 0.0
    """Asks the camera for so many frames in a second, or tells those of bare images in a pipe."""

    patience: float = 60.0
    """Seconds for which a lost camera is looked for; 0 for ever."""

    seconds: float = 0.0
    """Stops live images after so many seconds; 0 for never."""

    def __post_init__(self) -> None:
        """Checks what does not need model or images."""
        check_numbers(self, batch=65_536, page=(0, 65_535), rate=(0, 1000))
        if not self.model:
            raise CalcoError("no MODEL is named; name a run of calco detect train, a model folder or an exported file")
        if not self.sources:
            raise CalcoError("no SOURCE is named; name images, videos or folders, or camera")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise CalcoError(f"--threshold {self.threshold:g} is no score; give one from 0 to 1")
        if not self.format:
            raise CalcoError(f"--format names nothing to write; choose among {', '.join(FORMATS)}")
        if not 0 < self.scale <= 20:
            raise CalcoError(f"--scale {self.scale:g} cannot be drawn; give a number such as 0.5 or 2")
        if self.slice < 0 or self.batch < 1:
            raise CalcoError(f"--slice {self.slice} and --batch {self.batch}: give 0 (no slices) or a side in pixels, "
                             "and 1 image or more")  # fmt: skip
        for name in ("patience", "seconds"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise CalcoError(f"--{name} is {getattr(self, name):g}; give seconds, or 0 for no limit")
        start, stop = self.times()
        if stop is not None and stop <= start:
            raise CalcoError(f"--to {self.to} lies not behind --from {self.from_ or 0}; give a later time")

    def times(self) -> tuple[Fraction, Fraction | None]:
        """Of videos: the seconds at which they begin and end; None for their own end."""
        return seconds_of(self.from_ or "0"), seconds_of(self.to) if self.to else None

    def live_options(self) -> dict[str, Any]:
        """What is told to a live source and its sinks."""
        names = ("live", "window", "page", "size", "rate", "patience", "seconds", "model")
        return {name: getattr(self, name) for name in names} | {"out": self.out or None}


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Writes a detector as one file for other programs, tried on real images before it gets its name."""

    model: Annotated[str, Positional, arg(metavar="MODEL")] = ""
    """A run of calco detect train, or a model folder."""

    to: Literal["onnx", "openvino"] = "onnx"
    """What reads it: ONNX Runtime, or OpenVINO."""

    out: str = ""
    """The file; by default the model's name in the present folder, ending in .onnx or .zip."""

    images: str = ""
    """The folder of images that it is tried on; by default images of the training that were kept apart."""

    licence: str = ""
    """Under which the model may be used; stands in the file."""

    def __post_init__(self) -> None:
        """Checks that a model is named."""
        if not self.model:
            raise CalcoError("no MODEL is named; name a run of calco detect train, or a model folder")
