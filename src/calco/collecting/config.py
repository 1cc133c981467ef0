"""Configurations of `calco collect`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from calco.errors import UsageError
from calco.records import check_numbers


@dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """Limits and repetitions of downloads."""

    jobs: int = 8
    """Number of images that are fetched at once."""

    timeout: float = 10.0
    """Seconds of silence after which an attempt is given up."""

    patience: float = 120.0
    """Seconds that one attempt may take in all."""

    retries: int = 3
    """Number of repetitions after silence, a broken connection or an error of the server."""

    largest: float = 100.0
    """Megabytes above which a file is refused."""

    pause: float = 0.5
    """Seconds before the first repetition, about doubled with each further one; chance comes from the seed."""

    private: bool = False
    """Return whether addresses of this machine's network may be asked that the list itself names."""

    seed: int = 0
    """From which the chance in the pauses derives."""

    def __post_init__(self) -> None:
        check_numbers(self, jobs=1024)
        for name in ("jobs", "timeout", "patience", "largest"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("retries", "pause"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """Boxes that are cut out, and their margin."""

    labels: tuple[str, ...]
    """The classes to cut out; `all` takes every box."""

    margin: float = 0.25
    """Margin on each side, as a share of the box's width and height."""

    min_size: int = 64
    """Pixels that the shorter side of a crop must have."""

    square: bool = False
    """Return whether the shorter side is widened until the crop is a square, as far as the photograph reaches."""

    def __post_init__(self) -> None:
        check_numbers(self)
        if not 0 <= self.margin < math.inf:
            raise UsageError(f"margin is {self.margin}; it must be 0 or more, as a share of the box's side: 0.25")
        if self.min_size < 1:
            raise UsageError(f"min-size is {self.min_size}; it must be 1 pixel or more")


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
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

    timeout: float = 10.0
    """Seconds of silence after which an attempt is given up."""

    patience: float = 120.0
    """Seconds that one attempt may take in all."""

    retries: int = 3
    """Number of further attempts after silence, a broken connection or an error of the server."""

    largest: float = 100.0
    """Largest size of a file, megabytes."""

    allow_private: bool = False
    """Allow addresses of this machine's network that the list itself names."""

    def __post_init__(self) -> None:
        """Check the numbers, and that there is something to do."""
        self.download()
        cropping = self.cropping()
        if self.images and cropping is None:
            raise UsageError(
                f"the images are in {self.images} already; name what to cut out of them: --crop LABEL, or all"
            )

    def download(self) -> DownloadConfig:
        """Return how images are downloaded."""
        return DownloadConfig(
            jobs=self.jobs, timeout=self.timeout, patience=self.patience, retries=self.retries, largest=self.largest,
            private=self.allow_private,
        )  # fmt: skip

    def cropping(self) -> CropConfig | None:
        """Return which boxes are cut out; None if none are."""
        crop = CropConfig(labels=self.crop, margin=self.margin, min_size=self.min_size, square=self.square)
        return crop if self.crop else None
