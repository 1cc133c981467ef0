"""Options of the verbs of `calco detect` except train and watch, and limits of a detector."""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.data.config import Kind, SourceConfig, SplitConfig
from calco.errors import CalcoError, UsageError
from calco.records import check_numbers
from calco.video.names import LIVE_RANGES, LiveOptions, is_video, seconds_of

Format = Literal["drawn", "jsonl", "coco", "csv"]
Runtime = Literal["auto", "torch", "onnxruntime", "openvino"]
FORMATS: Final = ("drawn", "jsonl", "coco", "csv")
Part: TypeAlias = Literal["auto", "unseen", "val", "test", "train", "all"]
SIDES: Final = (32, 4096)
"""Least and largest side of the square that images are fitted into, in pixels."""
MULTIPLE: Final = 32
"""Divisor of the side of the compact detector."""
MOST_CLASSES: Final = 10_000
MOST_BOXES: Final = 10_000
LITE_WIDTHS: Final = (16, 1024)
LITE_DEPTHS: Final = (0, 16)
_COUNT: Final = (0, 2**31 - 1)


def check_side(size: int, *, least: int = SIDES[0], multiple: int = 1) -> None:
    """Check the side of the square."""
    if not least <= size <= SIDES[1] or size % multiple:
        near = min(max(size, least), SIDES[1]) // multiple * multiple
        rule = f"a multiple of {multiple} " if multiple > 1 else ""
        raise CalcoError(f"size is {size}; it must be {rule}from {least} to {SIDES[1]} pixels, such as {near}")


def check_lite(width: object, depth: object) -> None:
    """Check the two settings of the compact detector."""
    if (
        not (isinstance(width, int) and isinstance(depth, int))
        or not LITE_WIDTHS[0] <= width <= LITE_WIDTHS[1]
        or width % LITE_WIDTHS[0]
        or not LITE_DEPTHS[0] <= depth <= LITE_DEPTHS[1]
    ):
        raise CalcoError(
            f"lite width {width} must be a multiple of 16 from {LITE_WIDTHS[0]} to {LITE_WIDTHS[1]}, and lite depth "
            f"{depth} from {LITE_DEPTHS[0]} to {LITE_DEPTHS[1]}"
        )


@dataclass(frozen=True, kw_only=True)
class PredictConfig(LiveOptions):
    """Detector, sources, outputs and options of a prediction."""

    model: Annotated[str, Positional, arg(metavar="MODEL")] = ""
    """Run of calco detect train, model folder, or file that calco detect export wrote."""

    sources: Annotated[tuple[str, ...], Positional, arg(metavar="SOURCE")] = ()
    """Images, videos, and folders of them with their sub-folders. Live, one alone: camera, camera:1, /dev/video0; an
    address such as rtsp://...; - for stdin, or a named pipe; with --live, a video at its own pace."""

    out: str = ""
    """Folder to write into; for one image or video also the file to write, with its boxes. Live: a folder, a video, -
    for stdout, a named pipe or a virtual camera such as /dev/video9."""

    format: tuple[Format, ...] = ("drawn", "jsonl")
    """drawn: images and videos with boxes; jsonl: a line for each image or frame; coco: one file for all images;
    csv: a row for each object."""

    threshold: float | None = None
    """Lowest score of an object that is reported, from 0 to 1; by default the model's own, the best one on its
    validation images."""

    classes: tuple[str, ...] = ()
    """Classes that are reported; by default all that the model knows."""

    slice: int = 0
    """Side of the slices in pixels that large images are also cut into, for objects that are small in them; 0 detects
    in the whole image alone. The side at which the model was trained is a good one."""

    overlap: float = 0.2
    """Share of their side that neighbouring slices have in common; as large as the objects sought."""

    batch: int = 1
    """Images, frames or slices per call of the model; more are quicker on a GPU."""

    scale: float = 1.0
    """Factor for the size of lines and letters."""

    overwrite: bool = False
    """Replace earlier results; otherwise they are kept, and what is missing is added."""

    runtime: Runtime = "auto"
    """Runtime: torch for a run or a model folder, onnxruntime or openvino for an exported file."""

    device: str = "auto"
    """cpu, cuda, or auto for the GPU if there is one."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of convolutions; auto takes bf16 if the machine has instructions for it, fp16 is for GPUs."""

    codec: str | None = None
    """Codec of videos: h264, h265, vp9 or av1; by default vp9 in .webm and h264 elsewhere."""

    quality: int | None = None
    """The video encoder's constant rate factor, 0 for the best; by default one with hardly visible losses."""

    from_: Annotated[str, arg(name="from")] = ""
    """Time at which to begin in videos: seconds, mm:ss or hh:mm:ss."""

    to: str = ""
    """Time at which to end in videos."""

    window: bool = False
    """Show live images in a window; q closes it."""

    def __post_init__(self) -> None:
        if not self.model:
            raise UsageError("no MODEL is named; name a run of calco detect train, a model folder or an exported file")
        if not self.sources:
            raise UsageError("no SOURCE is named; name images, videos or folders, or camera")
        if not self.format:
            raise UsageError(f"--format names nothing to write; choose among {', '.join(FORMATS)}")
        check_numbers(
            self, threshold=(0, 1), slice=(0, 1 << 20), batch=(1, 65_536), scale=(0, 20), **LIVE_RANGES
        )  # fmt: skip
        if not self.scale:
            raise UsageError("scale is 0; give a factor such as 0.5 or 2")
        start, stop = self.times()
        if stop is not None and stop <= start:
            raise UsageError(f"--to {self.to} must be later than --from {self.from_ or 0}; give a later time")

    def times(self) -> tuple[Fraction, Fraction | None]:
        """Seconds at which videos begin and end; None for their own end."""
        return seconds_of(self.from_ or "0"), seconds_of(self.to) if self.to else None


@dataclass(frozen=True, kw_only=True)
class DetectExportConfig:
    """Detector, format and options of an export."""

    model: Annotated[str, Positional, arg(metavar="MODEL")] = ""
    """Run of calco detect train, or model folder."""

    to: Literal["onnx", "openvino"] = "onnx"
    """Format: for ONNX Runtime, or for OpenVINO."""

    out: str = ""
    """File to write; by default the model's name in the present folder, ending in .onnx or .zip."""

    images: str = ""
    """Folder of images on which file and model are compared; by default held-out images of the training."""

    licence: str = ""
    """Licence of the model, written into the file."""

    def __post_init__(self) -> None:
        if not self.model:
            raise UsageError("no MODEL is named; name a run of calco detect train, or a model folder")


@dataclass(frozen=True, kw_only=True)
class ExploreConfig:
    """Images with boxes, and options of their description."""

    images: Annotated[str, Positional, arg(metavar="IMAGES")] = ""
    """Folder of images with boxes, or another source of boxes."""

    out: str = "explore"
    """Folder of explore.html and explore.json."""

    samples: int = 18
    """Number of random images to show."""

    double: float = 0.85
    """Overlap (IoU) from which two boxes of one class are probably one object that was marked twice."""

    source: Annotated[SourceConfig, OmitArgPrefixes] = field(default_factory=SourceConfig)
    split: SplitConfig = field(default_factory=SplitConfig)

    def __post_init__(self) -> None:
        check_numbers(self, samples=(0, 1 << 20))
        if not 0 < self.double <= 1:
            raise UsageError(f"--double is {self.double:g}; an overlap lies above 0, up to 1: try 0.85")


@dataclass(frozen=True, kw_only=True)
class SlideConfig:
    """Image, window, examples and video of a sliding window."""

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
        check_numbers(self, step=(1, 1 << 20), threshold=(0, 1), iou=(0, 1))
        if not self.image or not self.out:
            raise UsageError("no image or no --out is named; such as calco detect slide IMAGE --out window.gif")
        if not (self.is_gif or is_video(self.out)):
            raise UsageError(f"--out {self.out}: it must end in .gif or as a video; such as window.gif or window.mp4")
        if not re.fullmatch(r"\d{1,5}x\d{1,5}", self.window) or min(self.window_wh) < 8:
            raise UsageError(f"--window {self.window!r}: give width and height of 8 pixels or more, such as 128x96")
        if not self.scales or not all(0.05 <= scale <= 50 for scale in self.scales):
            scales = " ".join(f"{scale:g}" for scale in self.scales)
            raise UsageError(f"--scales {scales}: give one or more numbers from 0.05 to 50")
        if not 0.1 <= self.rate <= 50:
            raise UsageError(f"--rate {self.rate:g}: it must be from 0.1 to 50 windows per second")

    @property
    def window_wh(self) -> tuple[int, int]:
        """Width and height of the window, pixels."""
        width, _, height = self.window.partition("x")
        return int(width), int(height)

    @property
    def is_gif(self) -> bool:
        """Return whether the video is a GIF."""
        return self.out.lower().endswith(".gif")

    @property
    def boxes_path(self) -> Path:
        """File of the boxes."""
        return Path(self.out).with_suffix(".jsonl")


@dataclass(frozen=True, kw_only=True)
class PlaceConfig:
    """Place where the detector is used."""

    people_per_hour: float = 0
    """People who pass there in an hour; 0 leaves errors per image."""

    frames_per_second: float = 0
    """Frames per second that the detector gets; 0 leaves errors per image."""

    prevalence: float | None = None
    """Share of those people who are sought, or carry what is sought, such as 0.001; adds the share of right alarms."""

    def __post_init__(self) -> None:
        check_numbers(self, people_per_hour=(0, 1e9), frames_per_second=(0, 1e9), prevalence=(0, 1))
        if self.prevalence is not None and not self.people_per_hour:
            raise UsageError("--prevalence is the share of people who pass; give their number: --people-per-hour 200")


@dataclass(frozen=True, kw_only=True)
class DetectEvaluateConfig:
    """Score a detector beside baselines, in the images' own pixels; write scores.json and report.html."""

    model: Annotated[str, Positional, arg(metavar="RUN")] = ""
    """Run of calco detect train, or model folder."""

    images: Annotated[str, Positional, arg(metavar="IMAGES")] = ""
    """Images with boxes; by default those of the training."""

    part: Part = "auto"
    """Part of the images: unseen leaves out the training images (by their contents); val, test and train are the
    training's own splits (val and test without training images); all takes everything; auto is unseen, or test if no
    images are named."""

    out: str = ""
    """Folder of report.html and scores.json; by default `report` in the run, or beside the model."""

    threshold: float | None = None
    """Lowest score of the boxes that count; by default the threshold that training found on its validation split."""

    limit: int = 0
    """Largest number of images, in whole groups, always the same ones; 0 takes all."""

    seed: int = 0
    """Seed of the intervals."""

    resamples: int = 1000
    """Number of bootstrap resamples for the intervals; 0 makes none."""

    batch: int = 8
    """Number of images that the detector gets at once."""

    device: str = "auto"
    """cpu, cuda, or auto for the GPU if there is one."""

    precision: str = "auto"
    """Precision of the network: fp32, bf16, fp16 (on a GPU), or auto for the fastest here."""

    place: Annotated[PlaceConfig, OmitArgPrefixes] = field(default_factory=PlaceConfig)

    source: Kind | None = None
    """Kind of the images; by default as in training; see calco check --help."""

    annotations: str | None = None
    """File or folder of the boxes, if it does not lie beside the images."""

    classes: tuple[str, ...] | None = None
    """Names of the classes, for YOLO's numbers and boxes without a class; by default as in training."""

    def __post_init__(self) -> None:
        check_numbers(self, threshold=(0, 1), limit=_COUNT, resamples=_COUNT, batch=(1, 65_536))
