"""`calco ablate`: variants of a training on the same data, with the same seeds and equal time, side by side."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from calco.errors import UsageError
from calco.records import check_numbers


@dataclass(frozen=True, kw_only=True)
class AblateConfig:
    """Train variants on the same data for the same time, and compare their scores."""

    images: Annotated[tuple[str, ...], Positional, arg(metavar="DATA")] = ()
    """One or more data sets, each as calco train takes it."""

    out: Annotated[str, arg(metavar="FOLDER")] = "ablation"
    """Folder of the runs, scores and figures; the same command resumes it."""

    presets: tuple[str, ...] = ()
    """Presets of calco train to compare."""

    variants: Annotated[tuple[str, ...], arg(metavar="NAME=OPTIONS")] = ()
    """More variants: a name, then a preset and options of calco train, such as "l1=small --objective.gan none"."""

    options: str = ""
    """Options of calco train for every variant, such as "--recipe colorize"; on the command line also after --."""

    shares: tuple[float, ...] = (1.0,)
    """Shares of the training images that each variant learns from; several give the curve of scores against pairs."""

    seeds: tuple[int, ...] = (0,)
    """Seeds that each variant is trained with."""

    minutes: float = 5.0
    """Minutes of training for each run."""

    steps: int = 0
    """Number of updates for each run, instead of minutes."""

    part: Literal["validation", "test"] = "validation"
    """Split that every run is scored on."""

    num_scored: int = 0
    """Largest number of images to score on, chosen by hash; 0 takes all."""

    num_shown: int = 6
    """Number of images in the grid."""

    def __post_init__(self) -> None:
        """Check numbers and names."""
        check_numbers(
            self, seeds=(0, 2**63 - 1), minutes=(0, 1e6), steps=(0, 2**31 - 1), num_scored=(0, 2**31 - 1),
            num_shown=(1, 1000), shares=(0, 1),
        )  # fmt: skip
        if not self.steps and not self.minutes:
            raise UsageError("minutes and steps are both 0; give each run a limit, such as --minutes 5")
        for name, values in (
            ("DATA", self.images),
            ("seeds", self.seeds),
            ("presets", self.presets),
            ("shares", self.shares),
        ):
            if twice := [value for value in map(str, values) if list(map(str, values)).count(value) > 1]:
                raise UsageError(f"{twice[0]} stands twice in {name}; give it once")
        if not self.shares or 0 in self.shares:
            raise UsageError("shares are above 0 and up to 1; give one or more, such as --shares 0.25 0.5 1")
        if not self.seeds:
            raise UsageError("no seeds; give one or more, such as --seeds 0 1")
