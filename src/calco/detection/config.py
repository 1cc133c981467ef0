"""Options of the verbs `calco detect explore`, `predict`, `export` and `slide`."""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Final, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.data.config import SourceConfig, SplitConfig
from calco.errors import UsageError
from calco.records import check_numbers
from calco.video.names import is_video, seconds_of

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
    csv: a row for each object."""

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
            raise UsageError("no MODEL is named; name a run of calco detect train, a model folder or an exported file")
        if not self.sources:
            raise UsageError("no SOURCE is named; name images, videos or folders, or camera")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"--threshold {self.threshold:g} is no score; give one from 0 to 1")
        if not self.format:
            raise UsageError(f"--format names nothing to write; choose among {', '.join(FORMATS)}")
        if not 0 < self.scale <= 20:
            raise UsageError(f"--scale {self.scale:g} cannot be drawn; give a number such as 0.5 or 2")
        if self.slice < 0 or self.batch < 1:
            raise UsageError(f"--slice {self.slice} and --batch {self.batch}: give 0 (no slices) or a side in pixels, "
                             "and 1 image or more")  # fmt: skip
        for name in ("patience", "seconds"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"--{name} is {getattr(self, name):g}; give seconds, or 0 for no limit")
        start, stop = self.times()
        if stop is not None and stop <= start:
            raise UsageError(f"--to {self.to} must be later than --from {self.from_ or 0}; give a later time")

    def times(self) -> tuple[Fraction, Fraction | None]:
        """Of videos: the seconds at which they begin and end; None for their own end."""
        return seconds_of(self.from_ or "0"), seconds_of(self.to) if self.to else None


@dataclass(frozen=True, kw_only=True)
class DetectExportConfig:
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
            raise UsageError("no MODEL is named; name a run of calco detect train, or a model folder")


@dataclass(frozen=True, kw_only=True)
class ExploreConfig:
    """Describe a set of images with boxes."""

    images: Annotated[str, Positional, arg(metavar="IMAGES")] = ""
    """A folder of images with boxes, or what else tells boxes."""

    out: str = "explore"
    """The folder of explore.html and explore.json."""

    samples: int = 18
    """Images that chance chooses to be shown."""

    double: float = 0.85
    """The overlap (IoU) from which on two boxes of one class are probably one object that was marked twice."""

    source: Annotated[SourceConfig, OmitArgPrefixes] = field(default_factory=SourceConfig)
    split: SplitConfig = field(default_factory=SplitConfig)

    def __post_init__(self) -> None:
        check_numbers(self)
        if not 0 < self.double <= 1:
            raise UsageError(f"--double is {self.double:g}; an overlap lies above 0, up to 1: try 0.85")
        if self.samples < 0:
            raise UsageError(f"--samples is {self.samples}; it must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class SlideConfig:
    """Makes the video of a window that moves over an image, and looks through it with a classifier."""

    image: Annotated[str, Positional, arg(metavar="IMAGE")] = ""
    """The image."""

    out: str = ""
    """The video: a name that ends in .gif, .mp4 or as another video. The boxes go beside it, as JSON lines."""

    window: str = "128x128"
    """Width and height of the window, in pixels of the image."""

    step: int = 32
    """Pixels from one window to the next, across and down."""

    scales: tuple[float, ...] = (1.0,)
    """Sizes of the window: 1 1.5 2 adds windows one and a half times and twice as large, with steps as much larger.
    This equals a pyramid of smaller and smaller images."""

    rate: float = 20.0
    """Windows per second in the video. Of more than 400 windows the video shows every n-th."""

    examples: str | None = None
    """Images with boxes from which a classifier is learned first, in seconds: their objects against windows that
    hold none."""

    threshold: float = 0.9
    """Probability of an object from which a window is a hit."""

    suppression: Literal["nms", "soft-linear", "soft-gaussian", "matrix"] = "nms"
    """How overlapping hits become boxes: keep the best (nms), lower the scores of the others (soft-linear,
    soft-gaussian), or lower all at once (matrix)."""

    iou: float = 0.3
    """Overlap with a better hit above which nms drops a hit and soft-linear lowers it."""

    seed: int = 0
    """Seed of the random windows that the classifier learns from."""

    source: Annotated[SourceConfig, OmitArgPrefixes] = field(default_factory=SourceConfig)

    def __post_init__(self) -> None:
        check_numbers(self)
        if not self.image or not self.out:
            raise UsageError("no image or no --out is named; such as calco detect slide IMAGE --out window.gif")
        if not (self.is_gif or is_video(self.out)):
            raise UsageError(f"--out {self.out}: it must end in .gif or as a video; such as window.gif or window.mp4")
        if not re.fullmatch(r"\d{1,5}x\d{1,5}", self.window) or min(self.window_wh) < 8:
            raise UsageError(f"--window {self.window!r}: give width and height of 8 pixels or more, such as 128x96")
        if self.step < 1:
            raise UsageError(f"--step {self.step}: it must be at least 1")
        if not self.scales or not all(0.05 <= scale <= 50 for scale in self.scales):
            scales = " ".join(f"{scale:g}" for scale in self.scales)
            raise UsageError(f"--scales {scales}: give one or more numbers from 0.05 to 50")
        if not 0.1 <= self.rate <= 50:
            raise UsageError(f"--rate {self.rate:g}: it must be from 0.1 to 50 windows per second")
        for name in ("threshold", "iou"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"--{name} {getattr(self, name):g}: it must be from 0 to 1")

    @property
    def window_wh(self) -> tuple[int, int]:
        """Width and height of the window, pixels."""
        width, _, height = self.window.partition("x")
        return int(width), int(height)

    @property
    def is_gif(self) -> bool:
        """Whether the video is a GIF."""
        return self.out.lower().endswith(".gif")

    @property
    def boxes_path(self) -> Path:
        """File of the boxes."""
        return Path(self.out).with_suffix(".jsonl")
