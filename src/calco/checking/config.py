"""What the check can be told."""

from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.errors import CalcoError
from calco.pairs.boxes_play import BoxAugmentConfig
from calco.pairs.recipes import RecipeConfig
from calco.pairs.sources import SourceConfig
from calco.pairs.splits import SplitConfig
from calco.records import check_numbers

BESIDE = "beside"
"""In the place of a file's name: beside the pictures, where training finds it."""


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """What is wrong with a set of pictures, before anyone trains on it."""

    pictures: Annotated[str, Positional, arg(metavar="PICTURES")] = ""
    """A folder of pictures, or what else `calco train` takes."""

    out: str = "check"
    """The folder of check.html and check.json."""

    write_groups: str = ""
    """The table to write of twins and variants as groups; `beside` is groups.csv in the pictures' folder."""

    write_drop: str = ""
    """The table to write of the pictures to leave out; `beside` is dropped.csv in the pictures' folder."""

    jobs: int = 0
    """Processes that look at pictures; 0 for as many as there are cores."""

    source: Annotated[SourceConfig, OmitArgPrefixes] = field(default_factory=SourceConfig)
    recipe: Annotated[RecipeConfig, OmitArgPrefixes] = field(default_factory=RecipeConfig)
    split: SplitConfig = field(default_factory=SplitConfig)

    augment: BoxAugmentConfig = field(default_factory=BoxAugmentConfig)
    """How pictures with boxes are played with, as the page shows them."""

    def __post_init__(self) -> None:
        """Checks the counts."""
        check_numbers(self, jobs=1024)
        if self.jobs < 0:
            raise CalcoError(f"jobs is {self.jobs}; it must be 0 (all cores) or more")
