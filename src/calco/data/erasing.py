"""The options of the recipe `erase`, and what is left in the place of what it takes away."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import ImageColor

from calco.data.encoding import MaskEncoding, stored_values
from calco.data.mask_survey import survey_array
from calco.data.recognising import marks_of
from calco.data.strokes import Bools
from calco.errors import CalcoError
from calco.imaging import PEAKS, Image
from calco.records import check_numbers

KINDS: Final = ("masks", "boxes", "brush", "scratches", "stains")
"""Holes that can be drawn; `holes.py` draws them."""

PER_IMAGE: Final = ("mean", "noise")
"""Fills that are no one colour, so that a hole cannot be found by it."""


@dataclass(frozen=True, kw_only=True)
class EraseConfig:
    """What is erased from an image."""

    holes: str = "auto"
    """What they are: masks (hand-drawn strokes), boxes, brush, scratches, stains, several such as brush+scratches, any
    (one of them for each image) or given (the masks beside the images); auto takes masks where there is a folder
    of them and boxes otherwise."""

    share: float = 0.0
    """About this share of each image is erased, such as 0.3, however many shapes that takes; 0 follows their
    counts."""

    masks: str | None = None
    """A folder of hand-drawn strokes, black where they erase."""

    strokes: tuple[int, int] = (1, 2)
    """The fewest and the most strokes in an image."""

    stroke_scale: tuple[float, float] = (1.0, 5.0)
    """The smallest and the largest enlargement of a stroke; never beyond the image."""

    boxes: tuple[int, int] = (1, 1)
    """The fewest and the most rectangles in an image."""

    box_size: tuple[float, float] = (0.2, 0.4)
    """The smallest and the largest side of a rectangle, as a share of the image's short side; 0.3 0.3 fixes it."""

    brush: tuple[int, int] = (1, 4)
    """The fewest and the most brush strokes in an image."""

    brush_width: tuple[float, float] = (0.03, 0.12)
    """The thinnest and the thickest brush, as a share of the image's short side."""

    scratches: tuple[int, int] = (3, 10)
    """The fewest and the most scratches in an image."""

    scratch_width: tuple[float, float] = (0.003, 0.012)
    """The thinnest and the thickest scratch, as a share of the image's short side; never below a pixel."""

    stains: tuple[int, int] = (1, 3)
    """The fewest and the most stains in an image."""

    stain_size: tuple[float, float] = (0.15, 0.5)
    """How far the smallest and the largest stain reach across, as a share of the image's short side."""

    place: Literal["random", "center"] = "random"
    """Where they stand: anywhere inside, or in the middle."""

    mask_erases: Literal["white", "black"] = "white"
    """Where given masks erase."""

    fill: str = "magenta"
    """What is left: black, white, grey, magenta or #rrggbb, mean (the mean colour of the rest) or noise."""

    mask_channel: bool = False
    """Gives the network one more channel that tells what is erased: transparency, none where the image stands."""

    weight: float = 10.0
    """How much an erased pixel counts in the loss, where every other one counts 1."""

    def __post_init__(self) -> None:
        check_numbers(self)
        for name in ("strokes", "boxes", "brush", "scratches", "stains"):
            low, high = getattr(self, name)
            if not 0 <= low <= high or high < 1:
                raise CalcoError(f"erase {name} is {low} to {high}; give the fewest and the most, such as 1 2")
        if not 0 < self.stroke_scale[0] <= self.stroke_scale[1]:
            raise CalcoError(f"erase stroke_scale is {self.stroke_scale}; give two rising numbers above 0, such as 1 5")
        for name in ("box_size", "brush_width", "scratch_width", "stain_size"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 1:
                raise CalcoError(f"erase {name} is {low} to {high}; give two rising shares up to 1, such as 0.2 0.4")
        for name, choices in (("place", ("random", "center")), ("mask_erases", ("white", "black"))):
            if getattr(self, name) not in choices:
                raise CalcoError(f"erase {name} is {getattr(self, name)!r}; choose {' or '.join(choices)}")
        if self.weight <= 0:
            raise CalcoError(f"erase weight is {self.weight}; it must be above 0: 1 weighs all pixels alike")
        _check_holes(self)
        if self.fill not in PER_IMAGE:
            fill_colour(self.fill)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What `holes` means: those of `KINDS`, or "given" alone."""
        if self.holes == "auto":
            return ("masks",) if self.masks else ("boxes",)
        if self.holes == "any":
            return tuple(kind for kind in KINDS if kind != "masks" or self.masks)
        return tuple(kind.strip() for kind in self.holes.split("+"))


def _check_holes(config: EraseConfig) -> None:
    """Refuses holes that do not exist or contradict another field."""
    kinds = config.kinds
    if unknown := [kind for kind in kinds if kind not in KINDS and kinds != ("given",)]:
        raise CalcoError(
            f"erase holes {config.holes!r} holds {unknown[0]!r}; choose {', '.join(KINDS)}, several such as "
            "brush+scratches, any, or given alone"
        )
    if "masks" in kinds and not config.masks:
        raise CalcoError("erase holes masks need a folder of strokes; name it with --masks FOLDER")
    if config.masks and "masks" not in kinds:
        raise CalcoError(
            f"erase holes {config.holes} do not use the strokes of {config.masks}; "
            "leave --masks out, or give --holes masks"
        )
    if not 0 <= config.share <= 0.9:
        raise CalcoError(f"erase share is {config.share}; give a share up to 0.9, such as 0.3, or 0 for the counts")
    if config.share and (config.place == "center" or kinds == ("given",)):
        other = "place center" if config.place == "center" else "holes given"
        raise CalcoError(f"erase share {config.share} does not go with {other}; leave one of them out")


def fill_colour(name: str) -> tuple[int, int, int]:
    """A colour's name or #rrggbb => red, green, blue, 0 to 255."""
    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        known = f"black, white, grey, magenta, #rrggbb, {' or '.join(PER_IMAGE)}"
        raise CalcoError(f"fill colour {name!r} is unknown; try {known}") from error
    return red, green, blue


def given_region(mask: Image, config: EraseConfig, encoding: MaskEncoding | None = None) -> Bools:
    """The pixels to erase that a mask marks, HW bool.

    Args:
        mask: As `read_mask` gives it, or HW1 or HW3 `uint8`.
        config: Tells whether white or black erases. Where a mask is transparent beside what it marks, what is opaque
            erases, whatever its colour.
        encoding: That was decided for all masks; None takes what this mask alone shows.

    Raises:
        CalcoError: When the mask has values that mark nothing known.
    """
    mask = stored_values(mask)
    encoding = encoding or marks_of(survey_array(mask)).encoding
    indices, _ = encoding.read(mask)
    marked = np.asarray(indices > 0)
    return marked if config.mask_erases == "white" or encoding.by == "alpha" else ~marked


def erased(image: Image, region: Bools, config: EraseConfig, rng: np.random.Generator) -> Image:
    """The image with the region filled, as the network sees it.

    A grey image with a coloured fill becomes a colour image. Transparency that the image has is opaque in the
    region.

    Args:
        image: HWC.
        region: HW, what is erased.
        config: Tells `fill` and `mask_channel`.
        rng: Draws noise.

    Returns:
        HWC of the same dtype; with `mask_channel` one channel more, 0 in the region and the dtype's peak elsewhere.

    Raises:
        CalcoError: When a colour shall fill an image that has neither one channel nor three, but for transparency.
    """
    peak = PEAKS[str(image.dtype)]
    holed = _coloured(image, config).copy()
    holed[region] = _filling(holed, region, config, rng)
    if not config.mask_channel:
        return holed
    known = np.where(region, 0, peak).astype(holed.dtype)
    return np.concatenate([holed, known[..., None]], axis=2)


def _coloured(image: Image, config: EraseConfig) -> Image:
    """In colour where the fill is."""
    if config.fill in PER_IMAGE or len(set(fill_colour(config.fill))) == 1 or image.shape[2] in (3, 4):
        return image
    if image.shape[2] > 4:
        raise CalcoError(
            f"fill {config.fill} is a colour, and the image has {image.shape[2]} bands; "
            "choose black, white, mean or noise"
        )
    return np.concatenate([image[..., :1]] * 3 + [image[..., 1:]], axis=2)


def _filling(holed: Image, region: Bools, config: EraseConfig, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """What stands in the region: N x C or C, in the range of the image's dtype."""
    peak = PEAKS[str(holed.dtype)]
    channels = holed.shape[2]
    if config.fill == "mean":
        known = holed[~region]
        values = known.mean(axis=0, dtype=np.float64) if known.size else np.full(channels, peak / 2)
    elif config.fill == "noise":
        values = rng.uniform(0, peak, (int(np.count_nonzero(region)), channels))
    else:
        colour = fill_colour(config.fill)
        values = np.array((*colour, *(colour[:1] * channels))[:channels], np.float64) * (peak / 255)
    if channels in (2, 4):
        values[..., -1] = peak
    return values if holed.dtype == np.float32 else np.rint(values)
