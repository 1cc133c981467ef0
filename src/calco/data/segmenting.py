"""How the recipe `segment` paints what is where: masks, outlines and boxes in the colours of a palette."""

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections, Outline, outline_mask
from calco.data.encoding import PAINTED, MaskEncoding, encoding_of, painted_encoding
from calco.data.mask_survey import survey_array
from calco.data.palettes import Indices, Palette, named_palette, paint
from calco.data.recipe_config import AUTO, SegmentConfig
from calco.data.recognising import recognise_masks
from calco.data.types import Sample
from calco.errors import CalcoError
from calco.imaging import Image


def painted(
    sample: Sample, config: SegmentConfig, mask_encoding: str = AUTO
) -> tuple[Image, npt.NDArray[np.float32] | None]:
    """The image's mask, or else its outlines and boxes, in the palette's colours: HW3 `uint8`.

    Args:
        sample: With a mask as its file has it, or with objects.
        config: Names the palette.
        mask_encoding: Of the mask, as of `RecipeConfig`; "auto" recognises this mask alone.

    Returns:
        The painted classes, and the weight of each pixel, HW `float32`: 0 where the mask is void; None without void.

    Raises:
        CalcoError: When it has neither, or a class or value that the palette or the encoding does not have.
    """
    palette = named_palette(config.palette)
    height, width = sample.image.shape[:2]
    try:
        if sample.mask is not None:
            indices, void = encoding_for(sample.mask, mask_encoding, config.palette).read(sample.mask)
            if void is not None and "unlabelled" in (names := [name for name, _ in palette]):
                indices[void], void = names.index("unlabelled"), None
            return paint(indices, palette), None if void is None else np.where(void, np.float32(0), np.float32(1))
        if sample.detections is not None:
            return paint(class_indices(sample.detections, height, width, palette), palette), None
    except CalcoError as error:
        raise CalcoError(f"{sample.key}: {error}") from error
    raise CalcoError(f"{sample.key} has no mask, which the recipe segment needs; choose another --recipe")


def encoding_for(mask: Image, mask_encoding: str, palette: str) -> MaskEncoding:
    """The encoding of a mask: the one that was decided for its data set, or what the mask alone shows.

    Raises:
        CalcoError: When nothing was decided and the mask alone shows no classes.
    """
    if mask_encoding == PAINTED:
        return painted_encoding(named_palette(palette))
    if mask_encoding != AUTO:
        return encoding_of(mask_encoding)
    return recognise_masks(survey_array(mask), named_palette(palette), palette).encoding


def class_indices(objects: Detections, height: int, width: int, palette: Palette) -> Indices:
    """The class of each pixel, HW: what has an outline by its outline, the rest by its box, small over large.

    What no thing covers is background (or unlabelled, or the first class, where the palette has no such name).

    Raises:
        CalcoError: When a thing's class is not in the palette.
    """
    names = [name for name, _ in palette]
    if unknown := sorted(set(objects.classes) - set(names)):
        raise CalcoError(
            f"class {unknown[0]!r} is not in the palette ({', '.join(names[:8])}{', ...' if len(names) > 8 else ''}); "
            "add it to the palette file, or take --palette auto"
        )
    rest = next((names.index(name) for name in ("background", "unlabelled") if name in names), 0)
    indices = np.full((height, width), rest, np.uint8)
    for place in np.argsort(-objects.areas(), kind="stable"):
        outline = objects.outlines[place] if objects.outlines else None
        if outline is None:
            outline = Outline((objects.boxes[place][[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2),))
        indices[outline_mask(outline, height, width)] = names.index(objects.classes[place])
    return indices
