"""Configurations of sources, splits, augmentation and `calco prepare`, without heavy imports."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, get_args

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.data.recipe_config import RecipeConfig, steps_of
from calco.errors import UsageError, needs
from calco.records import check_numbers, check_ranges
from calco.work import Engine, Name

Kind: TypeAlias = Literal[
    "auto", "side-by-side", "parallel", "masks", "photographs", "annotations", "video", "shards", "hub", "openmoji"
]


_FRAMES: Final = re.compile(r"scene|0*[1-9]\d{0,8}|(?=.*[1-9])\d{1,9}(\.\d{1,9})?s")


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Which images, and which of them is the input."""

    source: Kind = "auto"
    """Kind of the images: side-by-side files, two parallel folders, images with masks, photographs, images with
    boxes or outlines, the frames of videos, shards, a data set on the Hugging Face hub, the built-in drawings; auto
    recognises and reports it."""

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
    """Frames that are taken of a video: 10 is every tenth, 2s one every two seconds, scene the first of each scene."""

    video_groups: Literal["auto", "video", "block"] = "auto"
    """Part of a video that stays on one side of a split: the whole video, or each block of its time, with seconds
    left out between blocks on different sides; auto takes blocks where there are fewer than ten videos."""

    background: str = "white"
    """Background of transparent images (white, black, #rrggbb), or channel to keep transparency as a channel."""

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
    """Shares of the images that are kept apart from training."""

    validation: float = 0.1
    """Share of groups that validates the training."""

    test: float = 0.1
    """Share of groups that is kept for the final score."""

    training: float = 1.0
    """Share of all other groups that is trained on, to learn what fewer images suffice for; validation and test stay
    as they are."""

    def __post_init__(self) -> None:
        check_numbers(self, validation=(0, 1), test=(0, 1), training=(0, 1))
        if self.training == 0:
            raise UsageError("training is 0, so that nothing is learned from; give a share such as 0.5, or 1 for all")
        if self.validation + self.test >= 1:
            total = self.validation + self.test
            raise UsageError(f"validation and test take {total:g} of the images; training gets none: try 0.1 each")


MOST_SIDE: Final = 4096
"""The largest side that networks are trained at, pixels."""

Resampling: TypeAlias = Literal["auto", "nearest", "bilinear", "bicubic", "area"]


@dataclass(frozen=True, kw_only=True)
class JitterConfig:
    """Size that networks are trained at, and the random crop."""

    size: int = 256
    """Side of the crop that the networks see, pixels."""

    resize: int = 286
    """Side that images are first resized to, pixels; 0 crops at their native scale."""

    fit: Literal["stretch", "cover"] = "stretch"
    """Resizing: stretch brings both sides to the size, cover the shorter one and keeps the aspect."""

    resampling: Resampling = "auto"
    """Interpolation; auto averages when they shrink and is bicubic when they grow."""

    crop: Literal["anywhere", "holes"] = "anywhere"
    """Place of the crop in training: anywhere, or around a pixel that the recipe erased, so that most of a batch
    counts."""

    flip: bool = True
    """Mirror half of the pairs."""

    def __post_init__(self) -> None:
        check_numbers(self, size=(1, MOST_SIDE), resize=(0, 2 * MOST_SIDE))
        if 0 < self.resize < self.size:
            raise UsageError(f"resize is {self.resize}; use 0 (native scale), or at least the size {self.size}")
        if self.fit not in ("stretch", "cover"):
            raise UsageError(f"jitter fit is {self.fit!r}; choose stretch or cover")
        if self.crop not in ("anywhere", "holes"):
            raise UsageError(f"jitter crop is {self.crop!r}; choose anywhere or holes")
        if self.resampling not in get_args(Resampling):
            raise UsageError(f"jitter resampling is {self.resampling!r}; choose {', '.join(get_args(Resampling))}")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation in training; everything is off at 0. Needs kornia for the first five."""

    rotate: float = 0.0
    """Turn the image by up to this many degrees, either way; input, target, mask and boxes alike."""

    scale: float = 0.0
    """Scale it by up to this share; 0.1 from nine to eleven tenths."""

    shear: float = 0.0
    """Shear it by up to this many degrees, across and down."""

    perspective: float = 0.0
    """Move each corner inwards by up to this share of the sides, as if seen at an angle."""

    elastic: float = 0.0
    """Bend it: largest distance that a point moves, as a share of the short side."""

    brightness: float = 0.0
    """Make the input alone lighter or darker by up to this share."""

    contrast: float = 0.0
    """Give the input alone more or less contrast, by up to this share."""

    gamma: float = 0.0
    """Lighten or darken the input's middle tones: the exponent goes up to 1 + gamma, and down to its inverse."""

    saturation: float = 0.0
    """Make the input's colours stronger or weaker by up to this share."""

    hue: float = 0.0
    """Shift the input's hues by up to this many degrees, either way."""

    noise: float = 0.0
    """Most noise in the input, its deviation as a share of the range from black to white."""

    def __post_init__(self) -> None:
        check_numbers(
            self, rotate=(0, 180), scale=(0, 0.9), shear=(0, 60), perspective=(0, 0.4), elastic=(0, 0.2),
            brightness=(0, 1), contrast=(0, 1), gamma=(0, 4), saturation=(0, 1), hue=(0, 180), noise=(0, 1),
        )  # fmt: skip
        if self.moves:
            needs("kornia", extra="augment")

    @property
    def moves(self) -> bool:
        """True if images are turned, scaled or bent."""
        return any((self.rotate, self.scale, self.shear, self.perspective, self.elastic))

    @property
    def recolours(self) -> bool:
        """True if the light of inputs changes."""
        return any((self.brightness, self.contrast, self.gamma, self.saturation, self.hue, self.noise))


@dataclass(frozen=True, kw_only=True)
class BoxAugmentConfig:
    """Augmentation of images and their boxes in the training of detectors."""

    flip: float = 0.5
    """Share of images that are mirrored; 0 where left and right mean something."""

    scale: tuple[float, float] = (0.7, 1.6)
    """Scale of an image, from and to, as a share of the largest that fits; above 1 it is cropped."""

    shift: float = 1.0
    """Place of the image (or of the crop): 0 in the middle, 1 anywhere."""

    rotate: float = 3.0
    """Turn it by up to this many degrees, either way; boxes without outlines grow with it, so keep it small."""

    mosaic: float = 0.5
    """Share of images that are mosaics of four (YOLOv4, arXiv 2004.10934)."""

    mosaic_scale: tuple[float, float] = (0.5, 1.2)
    """Scale of the images of a mosaic, from and to, as a share of the largest that fits alone."""

    light: float = 0.3
    """Change brightness, contrast and middle tones by up to this share."""

    colour: float = 0.3
    """Change the strength of colours by up to this share, and hues by a twentieth of the circle times it."""

    damage: float = 0.15
    """Share of images with each of blur, noise and JPEG compression."""

    blur: float = 1.5
    """Strongest blur: the deviation in pixels; 0 for none."""

    noise: float = 0.04
    """Strongest noise: its deviation as a share of the range from black to white; 0 for none."""

    jpeg: int = 40
    """Lowest JPEG quality, 1 to 100; 0 for no compression."""

    erase: float = 0.15
    """Share of images with patches of noise in them, none of which hides more than half of an object."""

    least_seen: float = 0.2
    """Smallest share of a box that must stay in the image; other objects are dropped."""

    def __post_init__(self) -> None:
        check_numbers(
            self, flip=(0, 1), shift=(0, 1), rotate=(0, 45), mosaic=(0, 1), light=(0, 1), colour=(0, 1), damage=(0, 1),
            blur=(0, 20), noise=(0, 1), jpeg=(0, 100), erase=(0, 1), least_seen=(0, 1),
        )  # fmt: skip
        check_ranges(self, "augment", {"scale": (0.05, 20, "0.7 1.6"), "mosaic_scale": (0.05, 20, "0.5 1.2")})


@dataclass(frozen=True, kw_only=True)
class RecipesConfig:
    """Write a sheet for each recipe: what it makes of an image, with each of its settings."""

    image: Annotated[str | Path | None, Positional, arg(metavar="IMAGE")] = None
    """Any image; by default a drawing of the built-in set."""

    out: Annotated[str | Path, arg(metavar="FOLDER")] = "recipes"
    """Folder to write into, one sheet per recipe."""

    only: Annotated[str | None, arg(metavar="SHEET")] = None
    """One sheet alone: aligned, colorize, erase, sketch, degrade, segment, composite or augment."""


Format: TypeAlias = Literal["webdataset", "side-by-side", "parallel", "coco", "voc", "yolo"]

FORMATS: Final[tuple[str, ...]] = get_args(Format)


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Pairs that are made once and kept: from images to shards, or to files for other tools."""

    images: Annotated[str, Positional, arg(metavar="IMAGES")] = ""
    """Images, videos or shards: a folder, a file or an address; hub:owner/name; or the built-in drawings, openmoji."""

    out: str = ""
    """Folder to write into; an interrupted command is continued there."""

    format: Format | Literal["auto"] = "auto"
    """webdataset: tar files; side-by-side: one image of both halves; parallel: two folders, input and target; coco,
    voc, yolo: the images as they are, with their boxes and outlines in that format; auto takes coco for the recipe
    composite, webdataset for all others."""

    size: int = 0
    """Side that images are resized to, pixels; 0 keeps their own."""

    fit: Literal["stretch", "cover"] = "stretch"
    """Resizing: stretch brings both sides to the size, cover the shorter one and keeps the aspect."""

    variants: int = 1
    """Number of differently made pairs of each image; they stay in one group."""

    count: int = 0
    """Number of images that the recipe composite makes, spread over the photographs; 0 makes one (or `variants`) of
    each."""

    shard_pairs: int = 1000
    """Pairs in a tar file, at most."""

    jobs: int = 0
    """Number of processes; 0 for all cores. The files do not depend on it."""

    engine: Name = "local"
    """local: processes of this machine; ray: Ray Data, whole parts at a time. The files are the same."""

    address: str = ""
    """Address of a Ray cluster: auto, ray://host:10001 or host:6379; without one, a Ray of its own on this machine."""

    overwrite: bool = False
    """Begin anew where something was prepared before."""

    seed: int = 0
    """Seed of all random number generators."""

    source: Annotated[SourceConfig, OmitArgPrefixes] = field(default_factory=SourceConfig)
    recipe: Annotated[RecipeConfig, OmitArgPrefixes] = field(default_factory=RecipeConfig)
    split: SplitConfig = field(default_factory=SplitConfig)

    def __post_init__(self) -> None:
        check_numbers(self, jobs=(0, 1024), size=(0, 65_536), count=(0, 1 << 31))
        if self.format not in (*FORMATS, "auto"):
            raise UsageError(f"format is {self.format!r}; choose one of {', '.join(FORMATS)}")
        if self.count and (not self.composes or self.variants > 1):
            wanted = "leave --variants out" if self.composes else "it goes with --recipe composite"
            raise UsageError(f"count {self.count} tells how many composites are made; {wanted}")
        self.workers()
        if self.variants < 1 or self.shard_pairs < self.variants:
            raise UsageError(
                f"variants {self.variants} and shard_pairs {self.shard_pairs}: there must be at least one variant, and "
                "all of an image must fit into one tar file"
            )
        if self.annotated and self.variants > 1 and not self.composes:
            raise UsageError(f"{self.format} keeps images as they are, in one variant; leave --variants out")

    def workers(self) -> Engine:
        """Return the engine that makes the pairs, checked."""
        return Engine(name=self.engine, jobs=self.jobs, address=self.address)

    @property
    def written(self) -> Format:
        """The format, "auto" settled."""
        if self.format == "auto":
            return "coco" if self.composes else "webdataset"
        return self.format

    @property
    def composes(self) -> bool:
        """True if cut-outs are pasted on photographs."""
        return self.recipe.recipe != "auto" and steps_of(self.recipe.recipe)[0] == "composite"

    @property
    def annotated(self) -> bool:
        """True if images with boxes are written, not pairs."""
        return self.written in ("coco", "voc", "yolo")
