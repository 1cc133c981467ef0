"""The options of the recipe `composite`."""

from dataclasses import dataclass

from calco.data.chance import check_ranges
from calco.errors import CalcoError
from calco.records import check_numbers


@dataclass(frozen=True, kw_only=True)
class CompositeConfig:
    """What is pasted on photographs, and how."""

    cutouts: str | None = None
    """A folder of cut-outs: images with transparency, in subfolders named after their classes, or with names that
    begin with them, such as dog_1.png."""

    cutout_masks: str | None = None
    """A folder of masks with the names of the images in --cutouts, white where the thing is; the images then need
    no transparency."""

    cutout_class: str = ""
    """The class of all cut-outs; by default their subfolder's name, or the begin of their own."""

    pasted: tuple[int, int] = (1, 4)
    """The fewest and the most objects in an image; where there is no room for them, there are fewer."""

    cutout_size: tuple[float, float] = (0.2, 0.6)
    """The longer side of a thing, from and to, as a share of the photograph's short side."""

    cutout_turn: float = 15.0
    """Turns a thing by up to so many degrees, either way."""

    cutout_flip: float = 0.5
    """The share of objects that are mirrored."""

    cutout_light: float = 0.25
    """Makes a thing lighter or darker, as a whole and from one side to the other, by up to this share."""

    cutout_match: float = 0.5
    """Brings the colours of a thing nearer to those of the place where it lies, by up to this share of the way."""

    cutout_blur: tuple[float, float] = (0.0, 1.0)
    """How blurred a thing is, from and to: the deviation in pixels."""

    cutout_edge: tuple[float, float] = (0.3, 1.2)
    """How soft its edge is, from and to: the deviation in pixels."""

    cutout_shadow: float = 0.4
    """How dark the shadow of a thing is at the most; 0 for none."""

    cutout_hidden: float = 0.2
    """The share of objects behind something of the photograph, which hides a part of them."""

    least_visible: float = 0.4
    """The share of a thing that stays visible at the least, whatever lies over it or beyond the border."""

    def __post_init__(self) -> None:
        check_numbers(self)
        shares = ("cutout_flip", "cutout_light", "cutout_match", "cutout_shadow", "cutout_hidden", "least_visible")
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise CalcoError(f"composite {name} is {getattr(self, name)}; it must be a share, 0 to 1")
        if not 0 <= self.cutout_turn <= 180:
            raise CalcoError(f"composite cutout_turn is {self.cutout_turn}; it must lie in 0 (off) to 180 degrees")
        bounds: dict[str, tuple[float, float, str]] = {
            "pasted": (0, 100, "1 4"), "cutout_size": (0.01, 2, "0.2 0.6"), "cutout_blur": (0, 20, "0 1"),
            "cutout_edge": (0, 20, "0.3 1.2"),
        }  # fmt: skip
        check_ranges(self, "composite", bounds)
        if self.cutout_masks and not self.cutouts:
            raise CalcoError(f"composite cutout_masks {self.cutout_masks} belong to images; name them with --cutouts")
