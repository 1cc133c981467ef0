"""The options of the recipe `erase`, and what is left in the place of what it takes away."""

import numpy as np
import numpy.typing as npt

from calco.data.encoding import MaskEncoding, stored_values
from calco.data.mask_survey import survey_array
from calco.data.recipe_config import PER_IMAGE, EraseConfig, fill_colour
from calco.data.recognising import marks_of
from calco.data.strokes import Bools
from calco.errors import CalcoError
from calco.imaging import PEAKS, Image


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
