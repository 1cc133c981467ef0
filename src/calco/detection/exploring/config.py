"""What `calco detect explore` can be told."""

from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.data.config import SourceConfig, SplitConfig
from calco.errors import CalcoError
from calco.records import check_numbers


@dataclass(frozen=True, kw_only=True)
class ExploreConfig:
    """What a set of images with boxes is like."""

    images: Annotated[str, Positional, arg(metavar="IMAGES")] = ""
    """A folder of images with boxes, or what else tells boxes."""

    out: str = "explore"
    """The folder of explore.html and explore.json."""

    samples: int = 18
    """Images that chance chooses to be shown."""

    double: float = 0.85
    """The overlap (IoU) from which on two boxes of one class are probably one thing that was marked twice."""

    source: Annotated[SourceConfig, OmitArgPrefixes] = field(default_factory=SourceConfig)
    split: SplitConfig = field(default_factory=SplitConfig)

    def __post_init__(self) -> None:
        check_numbers(self)
        if not 0 < self.double <= 1:
            raise CalcoError(f"--double is {self.double:g}; an overlap lies above 0, up to 1: try 0.85")
        if self.samples < 0:
            raise CalcoError(f"--samples is {self.samples}; it must be 0 or more")
