"""What `calco detect evaluate` can be told."""

from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.data.config import Kind
from calco.errors import UsageError
from calco.records import check_numbers

Part: TypeAlias = Literal["auto", "unseen", "val", "test", "train", "all"]


@dataclass(frozen=True, kw_only=True)
class PlaceConfig:
    """Where the detector is to work."""

    people_per_hour: float = 0
    """People who pass there in an hour; 0 leaves errors per image."""

    frames_per_second: float = 0
    """Frames of a second that are looked at; 0 leaves errors per image."""

    prevalence: float | None = None
    """Share of those people who are sought, or carry what is sought, such as 0.001; with it, the share of alarms that
    are right is told."""

    def __post_init__(self) -> None:
        check_numbers(self)
        for name in ("people_per_hour", "frames_per_second"):
            value = getattr(self, name)
            if not 0 <= value < 1e9:
                option = "--" + name.replace("_", "-")
                raise UsageError(f"{option} is {value:g}; it must be 0 (not told) or more: try 200 people, 5 frames")
        if self.prevalence is not None and not 0 <= self.prevalence <= 1:
            raise UsageError(f"--prevalence is {self.prevalence:g}; it is a share, in [0, 1]: 1 in 1,000 is 0.001")
        if self.prevalence is not None and not self.people_per_hour:
            raise UsageError("--prevalence is the share of people who pass; tell how many: --people-per-hour 200")


@dataclass(frozen=True, kw_only=True)
class DetectEvaluateConfig:
    """Which detector is scored, on which images, and for which place."""

    model: Annotated[str, Positional, arg(metavar="RUN")] = ""
    """A run of calco detect train, or a model folder."""

    images: Annotated[str, Positional, arg(metavar="IMAGES")] = ""
    """Images with boxes; without it those of the training."""

    part: Part = "auto"
    """Which of them: unseen leaves out what the detector was trained on (by its contents), val, test and train are the
    parts of the training's own division (val and test without what it was trained on), all takes everything; auto is
    unseen, or test where no images are named."""

    out: str = ""
    """The folder of report.html and scores.json; without it `report` in the run, or beside the model."""

    threshold: float | None = None
    """The score from which on boxes are believed; without it the one that the training found on its validation part."""

    limit: int = 0
    """Scores at most so many images, whole groups, always the same ones; 0 scores all."""

    seed: int = 0
    """Of the intervals."""

    resamples: int = 1000
    """How often the images are drawn again for the intervals; 0 makes none."""

    batch: int = 8
    """Images that the detector is given at once."""

    device: str = "auto"
    """cpu, cuda, or auto for the GPU where there is one."""

    precision: str = "auto"
    """What the network computes in: fp32, bf16, fp16 (GPUs), or auto for what is fast here."""

    place: Annotated[PlaceConfig, OmitArgPrefixes] = field(default_factory=PlaceConfig)

    source: Kind | None = None
    """How the images are read, where not as in the training; see calco check --help."""

    annotations: str | None = None
    """The file or folder of boxes, where it does not lie beside the images."""

    classes: tuple[str, ...] | None = None
    """Names of classes, where not as in the training: what YOLO's numbers mean, what boxes without a class are."""

    def __post_init__(self) -> None:
        check_numbers(self, batch=65_536)
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"--threshold is {self.threshold:g}; scores lie in [0, 1]: try 0.5")
        for name, least in (("limit", 0), ("resamples", 0), ("batch", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"--{name} is {getattr(self, name)}; it must be {least} or more")
