"""Faults of a data set that would spoil training."""

from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.data.config import BoxAugmentConfig, SourceConfig, SplitConfig
from calco.data.recipe_config import RecipeConfig
from calco.records import check_numbers

BESIDE = "beside"  # in the place of a file's name: beside the images, where training finds it


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """Find the faults of a data set before training on it."""

    images: Annotated[str, Positional, arg(metavar="IMAGES")] = ""
    """Folder of images, or anything else that `calco train` takes."""

    out: str = "check"
    """Folder of check.html and check.json."""

    write_groups: str = ""
    """Table of duplicates and variants as groups to write; `beside` is groups.csv in the images' folder."""

    write_drop: str = ""
    """Table of entries to leave out to write; `beside` is dropped.csv in the images' folder."""

    jobs: int = 0
    """Processes that read images; 0 for one per core."""

    source: Annotated[SourceConfig, OmitArgPrefixes] = field(default_factory=SourceConfig)
    recipe: Annotated[RecipeConfig, OmitArgPrefixes] = field(default_factory=RecipeConfig)
    split: SplitConfig = field(default_factory=SplitConfig)

    augment: BoxAugmentConfig = field(default_factory=BoxAugmentConfig)
    """Augmentation of images with boxes, as the page shows it."""

    def __post_init__(self) -> None:
        check_numbers(self, jobs=(0, 1024))
