"""The pixels of plain JPEG files by libjpeg-turbo itself, straight into an array.

Pillow has the same decoder, but keeps pixels in a format of its own and hands them on in pieces, which costs half as
much again.
"""

from typing import BinaryIO, Final

import simplejpeg
from PIL import Image as Pillow

from calco.imaging.arrays import Image

_SPACES: Final = {"L": "GRAY", "RGB": "RGB"}


def jpeg_pixels(file: BinaryIO, image: Pillow.Image) -> Image | None:
    """The pixels of a grey or coloured JPEG, as they are stored: HW1 or HW3 `uint8`.

    Args:
        file: The file.
        image: The same, opened by Pillow, which has looked at its header alone.

    Returns:
        None for every other image, and for a JPEG with anything unusual in it, down to one byte that the decoder did
        not expect: whether that can be read after all is for Pillow to say.
    """
    if image.format != "JPEG" or image.mode not in _SPACES:
        return None
    file.seek(0)
    try:
        pixels: Image = simplejpeg.decode_jpeg(file.read(), _SPACES[image.mode], strict=True)
    except (ValueError, MemoryError):
        return None
    return pixels if pixels.shape[1::-1] == image.size else None
