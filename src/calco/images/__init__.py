"""Reading, writing and converting pictures: the only place that does.

A picture is a NumPy array HWC with C >= 1 channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha, else bands;
`uint8`, `uint16` or `float32` in [0, 1]; its colours are sRGB. Inside the networks it is a tensor CHW, `float32` in
[-1, 1].
"""

from calco.images.animation import note_on_several, several_in
from calco.images.arrays import (
    FILTERS,
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
from calco.images.formats import FORMATS, LARGE, MAX_PIXELS, PICTURE_SUFFIXES, UNREADABLE, is_picture, list_pictures
from calco.images.reading import common_channels, decode, header_size_wh, orientation, read, true_ending, turned_with
from calco.images.tiff import ORIENTATION
from calco.images.writing import encode, write

__all__ = [
    "FILTERS",
    "FORMATS",
    "LARGE",
    "MAX_PIXELS",
    "ORIENTATION",
    "PEAKS",
    "PICTURE_SUFFIXES",
    "UNREADABLE",
    "WHITE",
    "Channels",
    "Image",
    "Resampling",
    "as_channels",
    "as_dtype",
    "as_image",
    "background_colour",
    "common_channels",
    "converts",
    "decode",
    "encode",
    "header_size_wh",
    "is_picture",
    "list_pictures",
    "luminance",
    "note_on_several",
    "orientation",
    "read",
    "resize",
    "several_in",
    "to_image",
    "to_tensor",
    "true_ending",
    "turned_with",
    "upright",
    "visible",
    "write",
]
