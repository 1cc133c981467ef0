"""Reading, writing and converting images: the only place that does.

An image is a NumPy array HWC with C >= 1 channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha, else bands;
`uint8`, `uint16` or `float32` in [0, 1]; its colours are sRGB. Inside the networks it is a tensor CHW, `float32` in
[-1, 1].
"""

from calco.imaging.arrays import (
    PEAKS,
    WHITE,
    Channels,
    Image,
    Resampling,
    as_channels,
    as_dtype,
    as_image,
    background_colour,
    converts,
    luminance,
    resize,
    to_image,
    to_tensor,
    upright,
    visible,
)
from calco.imaging.formats import (
    FORMATS,
    IMAGE_SUFFIXES,
    LARGE,
    MAX_PIXELS,
    MAX_STRIPPED,
    is_image,
    list_images,
    note_on_several,
    several_in,
)
from calco.imaging.reading import common_channels, decode, header_size_wh, read, true_ending, turned_with
from calco.imaging.writing import encode, write

__all__ = [
    "FORMATS", "IMAGE_SUFFIXES", "LARGE", "MAX_PIXELS", "MAX_STRIPPED", "PEAKS", "WHITE",
    "Channels", "Image", "Resampling", "as_channels", "as_dtype", "as_image", "background_colour", "common_channels",
    "converts", "decode", "encode", "header_size_wh", "is_image", "list_images", "luminance", "note_on_several",
    "read", "resize", "several_in", "to_image", "to_tensor", "true_ending", "turned_with", "upright",
    "visible", "write",
]  # fmt: skip
