"""Configuration of `calco detect evaluate`."""

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TypeAlias

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.data.config import Kind
from calco.errors import UsageError
from calco.records import check_numbers

MOST: Final = 2**31 - 1  # of a count
Part: TypeAlias = Literal["auto", "unseen", "val", "test", "train", "all"]


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
    """Score a detector beside baselines; write scores.json and report.html."""

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
        check_numbers(self, threshold=(0, 1), limit=(0, MOST), resamples=(0, MOST), batch=(1, 65_536))
