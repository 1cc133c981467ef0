"""Recipe `segment`: masks, outlines and boxes painted in the colours of a palette."""

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections, Outline, outline_mask
from calco.data.mask_encoding import MaskEncoding, survey_array
from calco.data.mask_recognition import recognise_masks
from calco.data.palettes import Indices, Palette, paint, palette_name
from calco.data.sample import Pair, Sample
from calco.errors import CalcoError
from calco.imaging import Image


def painted(
    sample: Sample, palette: Palette, encoding: MaskEncoding | None = None
) -> tuple[Image, npt.NDArray[np.float32] | None]:
    """Paint the mask of a sample, or else its outlines and boxes, in the colours of a palette.

    Without an encoding of all masks, this mask alone is recognised.

    Returns:
        The painted classes, HW3 `uint8`, and the weight of each pixel, HW `float32`: 0 where the mask is void; None
        without void pixels.
    """
    height, width = sample.image.shape[:2]
    try:
        if sample.mask is not None:
            if encoding is None:
                encoding = recognise_masks(survey_array(sample.mask), palette, palette_name(palette)).encoding
            indices, void = encoding.read(sample.mask)
            if void is not None and "unlabelled" in (names := [name for name, _ in palette]):
                indices[void], void = names.index("unlabelled"), None
            return paint(indices, palette), None if void is None else np.where(void, np.float32(0), np.float32(1))
        if sample.detections is not None:
            return paint(class_indices(sample.detections, height, width, palette), palette), None
    except CalcoError as error:
        raise CalcoError(f"{sample.key}: {error}") from error
    raise CalcoError(f"{sample.key} has no mask, which the recipe segment needs; choose another --recipe")


def class_indices(objects: Detections, height: int, width: int, palette: Palette) -> Indices:
    """Return the class of each pixel, HW: from outlines, or else boxes, small objects over large ones.

    Pixels that no object covers are background (or unlabelled, or the first class, where the palette has no such name).
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


def segment_pair(
    sample: Sample, _rng: np.random.Generator, palette: Palette, encoding: MaskEncoding | None = None
) -> Pair:
    """Return the image as the input and its painted mask (HW3 `uint8`) as the target; void pixels have weight 0."""
    target, weight = painted(sample, palette, encoding)
    if weight is not None and sample.weight is not None:
        weight = weight * sample.weight
    return Pair(
        input=sample.image, target=target, key=sample.key, group=sample.group,
        weight=sample.weight if weight is None else weight, region=sample.region,
    )  # fmt: skip
