"""What the check can be told."""

from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.data.config import BoxAugmentConfig, SourceConfig, SplitConfig
from calco.data.recipes import RecipeConfig
from calco.errors import CalcoError
from calco.records import check_numbers

BESIDE = "beside"
"""In the place of a file's name: beside the images, where training finds it."""


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """What is wrong with a set of images, before anyone trains on it."""

    images: Annotated[str, Positional, arg(metavar="IMAGES")] = ""
    """A folder of images, or what else `calco train` takes."""

    out: str = "check"
    """The folder of check.html and check.json."""

    write_groups: str = ""
    """The table to write of twins and variants as groups; `beside` is groups.csv in the images' folder."""

    write_drop: str = ""
    """The table to write of the images to leave out; `beside` is dropped.csv in the images' folder."""

    jobs: int = 0
    """Processes that look at images; 0 for as many as there are cores."""

    source: Annotated[SourceConfig, OmitArgPrefixes] = field(default_factory=SourceConfig)
    recipe: Annotated[RecipeConfig, OmitArgPrefixes] = field(default_factory=RecipeConfig)
    split: SplitConfig = field(default_factory=SplitConfig)

    augment: BoxAugmentConfig = field(default_factory=BoxAugmentConfig)
    """How images with boxes are played with, as the page shows them."""

    def __post_init__(self) -> None:
        """Checks the counts."""
        check_numbers(self, jobs=1024)
        if self.jobs < 0:
            raise CalcoError(f"jobs is {self.jobs}; it must be 0 (all cores) or more")
