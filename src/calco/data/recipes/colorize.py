"""Recipe `colorize`: images in grey, by luminance or by CIE lightness."""

from typing import Final

import numpy as np

from calco.data.recipe_config import ColorizeConfig
from calco.data.sample import Pair, Sample
from calco.imaging import PEAKS, Image, as_channels

REC_709: Final = np.array([0.2126, 0.7152, 0.0722])  # Y of linear red, green and blue (IEC 61966-2-1)


def grey_of(image: Image, config: ColorizeConfig) -> Image:
    """Return the image in grey, HWC => HW1 of the same dtype."""
    return lightness_grey(as_channels(image, 3)) if config.space == "lab" else as_channels(image, 1)


def lightness_grey(image: Image) -> Image:
    """Return the sRGB grey that has the CIE lightness L* of each pixel: a grey photograph, not a map of L*.

    Lightness depends on the relative luminance Y alone, so this is Y of the linear colours, coded as sRGB is. HW3 or
    HW1 => HW1 of the same dtype.
    """
    if image.shape[2] == 1:
        return image
    peak = PEAKS[str(image.dtype)]
    coded = image.astype(np.float64) / peak
    y = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4) @ REC_709
    grey = np.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055).clip(0, 1) * peak
    coded_grey: Image = (grey if image.dtype == np.float32 else np.rint(grey)).astype(image.dtype)
    return coded_grey[..., None]


def colorize_pair(sample: Sample, _rng: np.random.Generator, config: ColorizeConfig) -> Pair:
    """Return the image in grey (HW1) as the input and in colour (HW3) as the target."""
    colour = as_channels(sample.whole, 3)
    return Pair(input=grey_of(colour, config), target=colour, key=sample.key, group=sample.group)
