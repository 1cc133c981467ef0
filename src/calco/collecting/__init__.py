"""Images from a list of annotations: fetched, checked, and cut into what the boxes name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from calco.errors import UsageError
from calco.records import check_numbers

_LONGEST = 10**9  # seconds or megabytes


@dataclass(frozen=True, kw_only=True)
class FetchConfig:
    """Limits and repetitions of downloads."""

    timeout: float = 10.0
    """Seconds of silence after which an attempt is given up."""

    patience: float = 120.0
    """Seconds that one attempt may take in all."""

    retries: int = 3
    """Number of further attempts after silence, a broken connection or an error of the server."""

    pause: float = 0.5
    """Seconds before the second attempt; doubled with each further one."""

    largest: float = 100.0
    """Largest size of a file, megabytes."""

    def __post_init__(self) -> None:
        above_zero = (0.001, _LONGEST)
        check_numbers(
            self, timeout=above_zero, patience=above_zero, largest=above_zero, retries=(0, 1000), pause=(0, _LONGEST)
        )


@dataclass(frozen=True, kw_only=True)
class CollectConfig(FetchConfig):
    """Download the images that a list names, and cut out what its boxes name."""

    annotations: Annotated[str | Path, Positional, arg(metavar="ANNOTATIONS")]
    """JSON lines whose `content` is an address; with --images, annotations of any kind."""

    out: Annotated[str | Path, arg(metavar="FOLDER")]
    """Folder to write into."""

    images: Annotated[str | Path | None, arg(metavar="FOLDER")] = None
    """Folder of the images, if they are here already; nothing is downloaded then."""

    crop: tuple[str, ...] = ()
    """Labels to cut out; all takes every box. By default nothing is cut out."""

    margin: float = 0.25
    """Margin on each side of a box, as a share of its width and height."""

    min_size: int = 64
    """Least length of the shorter side of a crop, pixels."""

    square: bool = False
    """Widen the shorter side of a crop, as far as the image reaches."""

    jobs: int = 8
    """Number of images downloaded at once."""

    allow_private: bool = False
    """Allow addresses of this machine's network that the list itself names."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, jobs=(1, 1024), margin=(0, 1000), min_size=(1, 2**31 - 1))
        if self.images and not self.crop:
            raise UsageError(
                f"the images are in {self.images} already; name what to cut out of them: --crop LABEL, or all"
            )
