"""Which images are taken, how they are split, and how they vary in training: configurations without heavy imports."""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, get_args

from tyro.conf import Positional, arg

from calco.errors import MissingExtraError, UsageError
from calco.records import check_numbers, check_ranges

Kind: TypeAlias = Literal[
    "auto", "side-by-side", "parallel", "masks", "photographs", "annotations", "video", "shards", "hub", "openmoji"
]


_FRAMES: Final = re.compile(r"scene|0*[1-9]\d{0,8}|(?=.*[1-9])\d{1,9}(\.\d{1,9})?s")


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Which images, and which of them is the input."""

    source: Kind = "auto"
    """What the images are: side-by-side files, two parallel folders, images with masks, photographs, images with
    boxes or outlines, the frames of videos, shards, a data set on the Hugging Face hub, the built-in drawings; auto
    looks and says what it saw."""

    input: str | None = None
    """The folder of the inputs, inside the images' folder or anywhere else; in shards the ending of the inputs."""

    target: str | None = None
    """The folder of the targets (or masks), with the same file names as the inputs."""

    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """AtoB takes the left half (or the first folder) as input, BtoA the other."""

    annotations: str | None = None
    """The file or folder of boxes and outlines, where it does not lie beside the images."""

    classes: tuple[str, ...] = ()
    """Names of classes: what YOLO's numbers mean, what boxes without a class are, for all other annotations the ones
    that are taken."""

    frames: str = "10"
    """Which frames of a video: 10 is every tenth, 2s one every two seconds, scene the first of each scene."""

    video_groups: Literal["auto", "video", "block"] = "auto"
    """What of a video stays on one side of a split: the whole video, or each block of its time, with seconds
    left out between blocks on different sides; auto takes blocks where there are fewer than ten videos."""

    background: str = "white"
    """What transparent images are laid over (white, black, #rrggbb), or channel to keep transparency as a channel."""

    groups: str | None = None
    """A table (key,group) of images that belong together; by default groups.csv in the images' folder."""

    drop: str | None = None
    """A table (key,reason) of images to leave out; by default dropped.csv in the images' folder."""

    limit: int = 0
    """Take only so many images, whole groups, always the same ones; 0 takes all."""

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.limit < 0:
            raise UsageError(f"limit is {self.limit}; it must be 0 (all) or more: leave it out to take every image")
        if not _FRAMES.fullmatch(self.frames):
            raise UsageError(
                f"frames is {self.frames!r}; it must be a number above 0 (10: every tenth), seconds above 0 (2s: one "
                "every two seconds), or scene (the first of each scene)"
            )


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How much is kept apart from training."""

    validation: float = 0.1
    """The share of groups that training is watched on."""

    test: float = 0.1
    """The share of groups that is kept for the final score."""

    def __post_init__(self) -> None:
        check_numbers(self)
        for name, share in (("validation", self.validation), ("test", self.test)):
            if not 0 <= share < 1:
                raise UsageError(f"the {name} share is {share}; it must lie in [0, 1): try 0.1")
        if self.validation + self.test >= 1:
            total = self.validation + self.test
            raise UsageError(f"validation and test take {total:g} of the images; training gets none: try 0.1 each")


MOST_SIDE: Final = 4096
"""The largest side that networks are trained at, pixels."""


Resampling: TypeAlias = Literal["auto", "nearest", "bilinear", "bicubic", "area"]


@dataclass(frozen=True, kw_only=True)
class JitterConfig:
    """The size that networks are trained at, and the play around it."""

    size: int = 256
    """The side of the crop that the networks see, pixels."""

    resize: int = 286
    """The side that images are first brought to, pixels; 0 crops at their native scale."""

    fit: Literal["stretch", "cover"] = "stretch"
    """stretch brings both sides to the size, cover the shorter one and keeps the aspect."""

    resampling: Resampling = "auto"
    """How images are resized; auto averages when they shrink and is bicubic when they grow."""

    flip: bool = True
    """Whether half of the pairs are mirrored."""

    def __post_init__(self) -> None:
        check_numbers(self)
        if not 1 <= self.size <= MOST_SIDE:
            raise UsageError(f"jitter size is {self.size}; it must be from 1 to {MOST_SIDE} pixels: try 256")
        if self.resize and not self.size <= self.resize <= 2 * MOST_SIDE:
            raise UsageError(
                f"jitter resize is {self.resize}; use 0 (native scale), or from the size {self.size} to {2 * MOST_SIDE}"
            )
        if self.fit not in ("stretch", "cover"):
            raise UsageError(f"jitter fit is {self.fit!r}; choose stretch or cover")
        if self.resampling not in get_args(Resampling):
            raise UsageError(f"jitter resampling is {self.resampling!r}; choose {', '.join(get_args(Resampling))}")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Play in training; everything is off at 0. Needs kornia for the first five."""

    rotate: float = 0.0
    """Turns the image by up to so many degrees, either way; input, target, mask and boxes alike."""

    scale: float = 0.0
    """Makes it larger or smaller by up to this share; 0.1 from nine to eleven tenths."""

    shear: float = 0.0
    """Slants it by up to so many degrees, across and down."""

    perspective: float = 0.0
    """Moves each corner inwards by up to this share of the sides, as if seen at an angle."""

    elastic: float = 0.0
    """Bends it: how far a point strays at most, as a share of the short side."""

    brightness: float = 0.0
    """Makes the input alone lighter or darker by up to this share."""

    contrast: float = 0.0
    """Gives the input alone more or less contrast, by up to this share."""

    gamma: float = 0.0
    """Lights or darkens the input's middle tones: the exponent goes up to 1 + gamma, and down to its inverse."""

    saturation: float = 0.0
    """Makes the input's colours stronger or weaker by up to this share."""

    hue: float = 0.0
    """Turns the input's colours by up to so many degrees, either way."""

    noise: float = 0.0
    """Adds up to so much noise to the input, its deviation as a share of the range from black to white."""

    def __post_init__(self) -> None:
        check_numbers(self)
        for name, most in LARGEST_CHANGES.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise UsageError(f"augment {name} is {value}; it must lie in 0 (off) to {most:g}")
        if self.moves and importlib.util.find_spec("kornia") is None:
            raise MissingExtraError("augment turns and bends images through kornia; pip install 'calco[augment]'")

    @property
    def moves(self) -> bool:
        """Whether images are turned, scaled or bent."""
        return any((self.rotate, self.scale, self.shear, self.perspective, self.elastic))

    @property
    def recolours(self) -> bool:
        """Whether inputs are shown in another light."""
        return any((self.brightness, self.contrast, self.gamma, self.saturation, self.hue, self.noise))


LARGEST_CHANGES: Final = {
    "rotate": 180.0, "scale": 0.9, "shear": 60.0, "perspective": 0.4, "elastic": 0.2,
    "brightness": 1.0, "contrast": 1.0, "gamma": 4.0, "saturation": 1.0, "hue": 180.0, "noise": 1.0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BoxAugmentConfig:
    """Play with images and their boxes in the training of detectors."""

    flip: float = 0.5
    """The share of images that are mirrored; 0 where left and right mean something."""

    scale: tuple[float, float] = (0.7, 1.6)
    """How large an image is shown, from and to, as a share of the largest that fits; above 1 it is cropped."""

    shift: float = 1.0
    """How freely it is placed (or the crop is taken): 0 in the middle, 1 anywhere."""

    rotate: float = 3.0
    """Turns it by up to so many degrees, either way; boxes without outlines grow with it, so keep it small."""

    mosaic: float = 0.5
    """The share of images that are put together of four (YOLOv4, arXiv 2004.10934)."""

    mosaic_scale: tuple[float, float] = (0.5, 1.2)
    """How large the images of a mosaic are shown, from and to, as a share of the largest that fits alone."""

    light: float = 0.3
    """Changes brightness, contrast and middle tones by up to this share."""

    colour: float = 0.3
    """Changes the strength of colours by up to this share, and hues by a twentieth of the circle times it."""

    damage: float = 0.15
    """The share of images that each of blur, noise and JPEG falls on."""

    blur: float = 1.5
    """The most that images are blurred: the deviation in pixels; 0 for never."""

    noise: float = 0.04
    """The most noise: its deviation as a share of the range from black to white; 0 for none."""

    jpeg: int = 40
    """The lowest quality that images are compressed to, 1 to 100; 0 for no compression."""

    erase: float = 0.15
    """The share of images with patches of noise in them, none of which hides more than half of an object."""

    least_seen: float = 0.2
    """Objects of whose box a smaller share stays in the image are dropped."""

    def __post_init__(self) -> None:
        check_numbers(self)
        for name, most in LARGEST_BOX_CHANGES.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise UsageError(f"augment {name} is {value}; it must lie in 0 (off) to {most:g}")
        check_ranges(self, "augment", {"scale": (0.05, 20, "0.7 1.6"), "mosaic_scale": (0.05, 20, "0.5 1.2")})


LARGEST_BOX_CHANGES: Final = {
    "flip": 1.0, "shift": 1.0, "rotate": 45.0, "mosaic": 1.0, "light": 1.0, "colour": 1.0, "damage": 1.0, "blur": 20.0,
    "noise": 1.0, "jpeg": 100, "erase": 1.0, "least_seen": 1.0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RecipesConfig:
    """Write a sheet for each recipe: what it makes of an image, with each of its settings."""

    image: Annotated[str | Path | None, Positional, arg(metavar="IMAGE")] = None
    """Any image; by default a drawing of the built-in set."""

    out: Annotated[str | Path, arg(metavar="FOLDER")] = "recipes"
    """Folder to write into, one sheet per recipe."""

    only: Annotated[str | None, arg(metavar="SHEET")] = None
    """One sheet alone: aligned, colorize, erase, sketch, degrade, segment, composite or augment."""
