"""How the recipe `segment` paints what is where: masks, outlines and boxes in the colours of a palette."""

from dataclasses import dataclass

import numpy as np

from calco.annotations.detections import Detections, Outline, outline_mask
from calco.errors import CalcoError
from calco.images import Image
from calco.pairs.palettes import Indices, Palette, mask_to_indices, named_palette, paint
from calco.pairs.types import Picture


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """How masks are painted."""

    palette: str = "auto"
    """The colour of each class: binary, voc, facades, cityscapes, or a file with a line such as "person, #ff0000" for
    each; auto takes the classes of the annotations, and binary for masks."""

    def __post_init__(self) -> None:
        named_palette(self.palette)


def painted(picture: Picture, config: SegmentConfig) -> Image:
    """The picture's mask, or else its outlines and boxes, in the palette's colours: HW3 `uint8`.

    Raises:
        CalcoError: When it has neither, or a class that the palette does not have.
    """
    palette = named_palette(config.palette)
    height, width = picture.image.shape[:2]
    try:
        if picture.mask is not None:
            return paint(mask_to_indices(picture.mask, palette), palette)
        if picture.detections is not None:
            return paint(class_indices(picture.detections, height, width, palette), palette)
    except CalcoError as error:
        raise CalcoError(f"{picture.key}: {error}") from error
    raise CalcoError(f"{picture.key} has no mask, which the recipe segment needs; choose another --recipe")


def class_indices(things: Detections, height: int, width: int, palette: Palette) -> Indices:
    """The class of each pixel, HW: what has an outline by its outline, the rest by its box, small over large.

    What no thing covers is background (or unlabelled, or the first class, where the palette has no such name).

    Raises:
        CalcoError: When a thing's class is not in the palette.
    """
    names = [name for name, _ in palette]
    if unknown := sorted(set(things.classes) - set(names)):
        raise CalcoError(
            f"class {unknown[0]!r} is not in the palette ({', '.join(names[:8])}{', ...' if len(names) > 8 else ''}); "
            "add it to the palette file, or take --palette auto"
        )
    rest = next((names.index(name) for name in ("background", "unlabelled") if name in names), 0)
    indices = np.full((height, width), rest, np.uint8)
    for place in np.argsort(-things.areas(), kind="stable"):
        outline = things.outlines[place] if things.outlines else None
        if outline is None:
            outline = Outline((things.boxes[place][[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2),))
        indices[outline_mask(outline, height, width)] = names.index(things.classes[place])
    return indices
