"""Configurations of the recipes, without heavy imports."""

import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from calco.errors import UsageError
from calco.records import check_numbers, check_ranges

AUTO: Final = "auto"


def _check_choice(what: str, value: str, kind: object) -> None:
    choices = get_args(kind)
    if value not in choices:
        raise UsageError(f"{what} is {value!r}; choose {', '.join(choices[:-1])} or {choices[-1]}")


GreySpace: TypeAlias = Literal["luminance", "lab"]


@dataclass(frozen=True, kw_only=True)
class ColorizeConfig:
    """Conversion to grey, and the space in which colour is added."""

    space: GreySpace = "luminance"
    """luminance takes 0.299 R + 0.587 G + 0.114 B; lab the grey of the same CIE lightness, to which a* and b* are
    added."""

    def __post_init__(self) -> None:
        _check_choice("colorize space", self.space, GreySpace)


@dataclass(frozen=True, kw_only=True)
class CompositeConfig:
    """Objects to paste on photographs, and their look."""

    cutouts: str | None = None
    """Folder of cut-outs: images with transparency, in subfolders named after their classes, or with names that
    begin with them, such as dog_1.png."""

    cutout_masks: str | None = None
    """Folder of masks with the names of the images in --cutouts, white where the object is; the images then need
    no transparency."""

    cutout_class: str = ""
    """Class of all cut-outs; by default the name of their subfolder, or the beginning of their own."""

    pasted: tuple[int, int] = (1, 4)
    """Fewest and most objects in an image; fewer where there is no room."""

    cutout_size: tuple[float, float] = (0.2, 0.6)
    """Longer side of an object, from and to, as a share of the photograph's short side."""

    cutout_turn: float = 15.0
    """Turn objects by up to this many degrees, either way."""

    cutout_flip: float = 0.5
    """Share of objects that are mirrored."""

    cutout_light: float = 0.25
    """Make objects lighter or darker, as a whole and from one side to the other, by up to this share."""

    cutout_match: float = 0.5
    """Move the colours of an object towards those of its place, by up to this share of the way."""

    cutout_blur: tuple[float, float] = (0.0, 1.0)
    """Blur of an object, from and to: the deviation in pixels."""

    cutout_edge: tuple[float, float] = (0.3, 1.2)
    """Softness of its edge, from and to: the deviation in pixels."""

    cutout_shadow: float = 0.4
    """Darkest shadow of an object; 0 for none."""

    cutout_hidden: float = 0.2
    """Share of objects that something in the photograph partly hides."""

    least_visible: float = 0.4
    """Smallest visible share of an object, whatever lies over it or beyond the border."""

    def __post_init__(self) -> None:
        check_numbers(
            self, cutout_flip=(0, 1), cutout_light=(0, 1), cutout_match=(0, 1), cutout_shadow=(0, 1),
            cutout_hidden=(0, 1), least_visible=(0, 1), cutout_turn=(0, 180),
        )  # fmt: skip
        bounds: dict[str, tuple[float, float, str]] = {
            "pasted": (0, 100, "1 4"), "cutout_size": (0.01, 2, "0.2 0.6"), "cutout_blur": (0, 20, "0 1"),
            "cutout_edge": (0, 20, "0.3 1.2"),
        }  # fmt: skip
        check_ranges(self, "composite", bounds)
        if self.cutout_masks and not self.cutouts:
            raise UsageError(f"composite cutout_masks {self.cutout_masks} belong to images; name them with --cutouts")


DAMAGES: Final = ("scratches", "blur", "downscale", "noise", "jpeg")
"""Kinds of damage, in the order in which they are applied."""


@dataclass(frozen=True, kw_only=True)
class DegradeConfig:
    """Damage to an image; each range gives a new random value for every image and epoch."""

    damage: str = "any"
    """Kinds of damage, in this order: scratches, blur, downscale, noise, jpeg, or some of them such as blur+noise;
    any applies one or more of them each time."""

    scratched: tuple[int, int] = (1, 8)
    """Fewest and most scratches, light or dark."""

    blur: tuple[float, float] = (0.5, 2.5)
    """Weakest and strongest blur, the sigma of a Gaussian in pixels."""

    downscale: tuple[float, float] = (2.0, 4.0)
    """Factor by which the image is reduced, before it is enlarged to its size again."""

    noise: tuple[float, float] = (0.02, 0.12)
    """Weakest and strongest noise, its deviation in mid grey as a share of the range from black to white."""

    jpeg: tuple[int, int] = (10, 60)
    """Lowest and highest quality of JPEG, 1 to 100."""

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.damage != "any":
            damages_of(self.damage)
        bounds = {
            "scratched": (1, 100, "1 8"), "blur": (0, 50, "0.5 2.5"), "downscale": (1, 64, "2 4"),
            "noise": (0, 1, "0.02 0.12"), "jpeg": (1, 100, "10 60"),
        }  # fmt: skip
        check_ranges(self, "degrade", bounds)


def damages_of(damage: str) -> list[str]:
    """Return the damages of a chain such as "blur+noise", in the order in which they happen."""
    names = [name.strip() for name in damage.split("+")]
    if wrong := [name for name in names if name not in DAMAGES]:
        raise UsageError(f"damage {wrong[0]!r} is unknown; choose any, or of {', '.join(DAMAGES)}, joined by +")
    return [name for name in DAMAGES if name in names]


KINDS: Final = ("masks", "boxes", "brush", "scratches", "stains")
"""Kinds of holes that can be generated."""


PER_IMAGE: Final = ("mean", "noise")
"""Fills without a single colour, by which a hole could be found."""

Place: TypeAlias = Literal["random", "center"]
MaskErases: TypeAlias = Literal["white", "black"]


@dataclass(frozen=True, kw_only=True)
class EraseConfig:
    """Holes in an image, and their fill."""

    holes: str = "auto"
    """Kind of holes: masks (hand-drawn strokes), boxes, brush, scratches, stains, several such as brush+scratches, any
    (one of them for each image) or given (the masks beside the images); auto takes masks where there is a folder
    of them and boxes otherwise."""

    share: float = 0.0
    """Erase about this share of each image, such as 0.3, with any number of shapes; 0 follows their
    counts."""

    masks: str | None = None
    """Folder of hand-drawn strokes, black where they erase."""

    strokes: tuple[int, int] = (1, 2)
    """Fewest and most strokes in an image."""

    stroke_scale: tuple[float, float] = (1.0, 5.0)
    """Smallest and largest enlargement of a stroke; never beyond the image."""

    boxes: tuple[int, int] = (1, 1)
    """Fewest and most rectangles in an image."""

    box_size: tuple[float, float] = (0.2, 0.4)
    """Smallest and largest side of a rectangle, as a share of the image's short side; 0.3 0.3 fixes it."""

    brush: tuple[int, int] = (1, 4)
    """Fewest and most brush strokes in an image."""

    brush_width: tuple[float, float] = (0.03, 0.12)
    """Thinnest and thickest brush, as a share of the image's short side."""

    scratches: tuple[int, int] = (3, 10)
    """Fewest and most scratches in an image."""

    scratch_width: tuple[float, float] = (0.003, 0.012)
    """Thinnest and thickest scratch, as a share of the image's short side; never below a pixel."""

    stains: tuple[int, int] = (1, 3)
    """Fewest and most stains in an image."""

    stain_size: tuple[float, float] = (0.15, 0.5)
    """Diameter of the smallest and of the largest stain, as a share of the image's short side."""

    place: Place = "random"
    """Place of the holes: anywhere inside, or in the middle."""

    mask_erases: MaskErases = "white"
    """Colour of given masks that erases."""

    fill: str = "magenta"
    """Fill of the holes: black, white, grey, magenta or #rrggbb, mean (the mean colour of the rest) or noise."""

    mask_channel: bool = False
    """Give the network one more channel that marks what is erased: 0 there, opaque elsewhere."""

    weight: float = 10.0
    """Weight of an erased pixel in the loss, where every other one has 1."""

    def __post_init__(self) -> None:
        check_numbers(self)
        counts = ("strokes", "boxes", "brush", "scratches", "stains")
        check_ranges(self, "erase", {
            "stroke_scale": (0.01, 100, "1 5"),
            **dict.fromkeys(counts, (0, 10_000, "1 2")),
            **dict.fromkeys(("box_size", "brush_width", "scratch_width", "stain_size"), (0.0001, 1, "0.2 0.4")),
        })  # fmt: skip
        if none := [name for name in counts if getattr(self, name)[1] == 0]:
            raise UsageError(f"erase {none[0]} is 0 to 0; give the fewest and the most, such as 1 2")
        _check_choice("erase place", self.place, Place)
        _check_choice("erase mask_erases", self.mask_erases, MaskErases)
        if self.weight <= 0:
            raise UsageError(f"erase weight is {self.weight}; it must be above 0: 1 weighs all pixels alike")
        self._check_holes()
        if self.fill not in PER_IMAGE:
            fill_colour(self.fill)

    def _check_holes(self) -> None:
        """Refuse holes that do not exist or contradict another field."""
        kinds = self.kinds
        if unknown := [kind for kind in kinds if kind not in KINDS and kinds != ("given",)]:
            raise UsageError(
                f"erase holes {self.holes!r} holds {unknown[0]!r}; choose {', '.join(KINDS)}, several such as "
                "brush+scratches, any, or given alone"
            )
        if "masks" in kinds and not self.masks:
            raise UsageError("erase holes masks need a folder of strokes; name it with --masks FOLDER")
        if self.masks and "masks" not in kinds:
            raise UsageError(
                f"erase holes {self.holes} do not use the strokes of {self.masks}; "
                "leave --masks out, or give --holes masks"
            )
        if not 0 <= self.share <= 0.9:
            raise UsageError(f"erase share is {self.share}; give a share up to 0.9, such as 0.3, or 0 for the counts")
        if self.share and (self.place == "center" or kinds == ("given",)):
            other = "place center" if self.place == "center" else "holes given"
            raise UsageError(f"erase share {self.share} does not go with {other}; leave one of them out")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of holes: those of `KINDS`, or "given" alone."""
        if self.holes == "auto":
            return ("masks",) if self.masks else ("boxes",)
        if self.holes == "any":
            return tuple(kind for kind in KINDS if kind != "masks" or self.masks)
        return tuple(kind.strip() for kind in self.holes.split("+"))


def fill_colour(name: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of a colour's name or #rrggbb."""
    if name == "magenta":  # the default, without Pillow
        return 255, 0, 255
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        known = f"black, white, grey, magenta, #rrggbb, {' or '.join(PER_IMAGE)}"
        raise UsageError(f"fill colour {name!r} is unknown; try {known}") from error
    return red, green, blue


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """Colours in which masks are painted."""

    palette: str = "auto"
    """Colour of each class: binary, voc, facades, cityscapes, or a file with a line such as "person, #ff0000" for
    each; auto takes the classes of the annotations, or those that the values of the masks show."""

    def __post_init__(self) -> None:
        if self.palette != AUTO:
            from calco.data.palettes import named_palette

            named_palette(self.palette)


STYLES: Final = ("pencil", "xdog", "canny", "contour", "hatching", "charcoal", "stipple")


@dataclass(frozen=True, kw_only=True)
class SketchConfig:
    """Conversion of a photograph to a sketch; each range gives a new random value for every image and epoch."""

    style: str = "pencil"
    """Style: pencil shades softly, xdog inks lines and dark areas, canny draws thin lines, contour few thick ones,
    hatching strokes in several directions, charcoal rubs tones, stipple sets dots; several such as pencil+canny, or
    any, choose one of them each time."""

    softness: float = 0.02
    """Width of the blur that pencil's lines come from, as a share of the short side; larger gives broader strokes."""

    line_weight: tuple[float, float] = (1.0, 1.0)
    """Thinnest and thickest line, as a multiple of the style's own; 0.6 2 varies it."""

    wobble: tuple[float, float] = (0.0, 0.0)
    """Steadiest and shakiest hand: the deviation of a line, as a share of the short side; 0 0.02 varies it."""

    paper: tuple[float, float] = (0.0, 0.0)
    """Smoothest and roughest paper, 0 to 1: its grain darkens the sheet and breaks the strokes."""

    def __post_init__(self) -> None:
        check_numbers(self)
        if unknown := [each for each in self.styles if each not in STYLES]:
            raise UsageError(
                f"sketch style {self.style!r} holds {unknown[0]!r}; choose {', '.join(STYLES)}, several such as "
                "pencil+canny, or any"
            )
        if not 0 < self.softness <= 0.5:
            raise UsageError(f"sketch softness is {self.softness}; it must lie above 0 and up to 0.5: try 0.02")
        bounds = {"line_weight": (0.2, 10, "0.6 2"), "wobble": (0, 0.1, "0 0.02"), "paper": (0, 1, "0 0.5")}
        check_ranges(self, "sketch", bounds)

    @property
    def styles(self) -> tuple[str, ...]:
        """Styles of `STYLES` to choose from."""
        return STYLES if self.style == "any" else tuple(each.strip() for each in self.style.split("+"))


@dataclass(frozen=True, kw_only=True)
class RecipeConfig:
    """Recipe that makes a pair of an image."""

    recipe: str = "auto"
    """What is to be learned: aligned, colorize, erase, sketch, degrade, segment, composite, a function in a file of
    your own (my.py:fade), or a chain such as colorize+erase; auto follows the kind of images."""

    colorize: ColorizeConfig = field(default_factory=ColorizeConfig)
    """Options of the recipe colorize."""

    erase: EraseConfig = field(default_factory=EraseConfig)
    """Options of the recipe erase."""

    sketch: SketchConfig = field(default_factory=SketchConfig)
    """Options of the recipe sketch."""

    degrade: DegradeConfig = field(default_factory=DegradeConfig)
    """Options of the recipe degrade."""

    segment: SegmentConfig = field(default_factory=SegmentConfig)
    """Options of the recipes segment and composite for masks."""

    composite: CompositeConfig = field(default_factory=CompositeConfig)
    """Options of the recipe composite."""

    mask_encoding: str = AUTO
    """Values of the classes in mask files, in the order of the palette, such as "number 0 1 2; void 255", "colour
    #000000 #ff0000" or "alpha transparent opaque"; auto decides once, from the values of all masks."""

    def __post_init__(self) -> None:
        if self.mask_encoding != AUTO:
            from calco.data.mask_encoding import PAINTED, encoding_of

            if self.mask_encoding != PAINTED:
                encoding_of(self.mask_encoding)
        names = [] if self.recipe == "auto" else steps_of(self.recipe)
        if self.erase.mask_channel and "erase" in names[:-1]:
            raise UsageError(f"recipe {self.recipe!r}: with a mask channel, erase must come last; put it there")


RECIPE_NAMES: Final = ("aligned", "colorize", "erase", "sketch", "degrade", "segment", "composite")

# Recipes that take their target from the source can only stand first in a chain; by them, the kinds of source with one.
NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "aligned": ("side-by-side", "parallel", "openmoji", "shards"),
    "segment": ("masks", "annotations"),
    "composite": ("photographs", "video", "hub", "openmoji"),
}


def steps_of(recipe: str) -> list[str]:
    """Return the steps of a chain, checked: names of recipes, and functions in files (`my.py:fade`)."""
    names: list[str] = []
    open_path = ""
    for part in recipe.split("+"):
        # A path may hold a plus itself: it ends where the name of a function stands.
        text = f"{open_path}+{part}" if open_path else part
        step = text.strip()
        known = step in RECIPE_NAMES or is_code(step)
        names += [step] if known else []
        open_path = "" if known else text
    if open_path or not names:
        known_names = ", ".join(RECIPE_NAMES)
        raise UsageError(
            f"recipe {recipe!r} is unknown; choose one of {known_names}, a function in a file such as my.py:fade, or a "
            "chain such as colorize+erase"
        )
    for name in names[1:]:
        if name in NEEDS:
            raise UsageError(f"recipe {recipe!r}: {name} takes its target from the source; put it first in the chain")
    if len(set(names)) < len(names):
        raise UsageError(f"recipe {recipe!r} names a step twice; name each once")
    if "degrade" in names and "erase" in names[: names.index("degrade")]:
        raise UsageError(f"recipe {recipe!r}: degrade would blur the marks of the holes; put erase after it")
    return names


def has_class_targets(config: RecipeConfig) -> bool:
    """Return True if the targets are maps of classes, whose colours may not be mixed."""
    return config.recipe != "auto" and steps_of(config.recipe)[0] in ("segment", "composite")


def recipe_title(recipe: str) -> str:
    """Return a recipe without paths and digests, for titles: `/home/ana/my.py:fade@0123456789abcdef` => `fade`."""
    return recipe if recipe == "auto" else "+".join(map(short_name, steps_of(recipe)))


CODE_STEP: Final = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)(@(?P<digest>[0-9a-f]{16}))?")


def is_code(step: str) -> bool:
    """Return True for a function in a file: `my.py:fade`, or `my.py:fade@` and a digest."""
    return CODE_STEP.fullmatch(step) is not None


def short_name(step: str) -> str:
    """Return the name of a function in a file, and any other step as it is."""
    found = CODE_STEP.fullmatch(step)
    return found["name"] if found else step
