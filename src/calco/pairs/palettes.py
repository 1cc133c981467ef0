"""Named palettes: class indices to colours, and back by the nearest colour."""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError
from calco.images import Image, as_channels, as_dtype

Colour: TypeAlias = tuple[int, int, int]
Palette: TypeAlias = tuple[tuple[str, Colour], ...]
Indices: TypeAlias = npt.NDArray[np.uint8]

UNLABELLED: Final = 255  # what VOC and Cityscapes write where nobody said what it is

PALETTES: Final[dict[str, Palette]] = {
    "binary": (("background", (0, 0, 0)), ("object", (255, 255, 255))),
    # PASCAL VOC: the bits of the index spread over the high bits of red, green and blue.
    "voc": (
        ("background", (0, 0, 0)), ("aeroplane", (128, 0, 0)), ("bicycle", (0, 128, 0)), ("bird", (128, 128, 0)),
        ("boat", (0, 0, 128)), ("bottle", (128, 0, 128)), ("bus", (0, 128, 128)), ("car", (128, 128, 128)),
        ("cat", (64, 0, 0)), ("chair", (192, 0, 0)), ("cow", (64, 128, 0)), ("diningtable", (192, 128, 0)),
        ("dog", (64, 0, 128)), ("horse", (192, 0, 128)), ("motorbike", (64, 128, 128)), ("person", (192, 128, 128)),
        ("pottedplant", (0, 64, 0)), ("sheep", (128, 64, 0)), ("sofa", (0, 192, 0)), ("train", (128, 192, 0)),
        ("tvmonitor", (0, 64, 128)),
    ),
    # CMP facades as the pix2pix authors published them.
    "facades": (
        ("background", (0, 0, 222)), ("facade", (0, 48, 255)), ("window", (0, 128, 255)), ("door", (0, 207, 255)),
        ("cornice", (32, 255, 224)), ("sill", (112, 255, 143)), ("balcony", (192, 255, 63)), ("blind", (255, 240, 0)),
        ("deco", (255, 160, 0)), ("molding", (255, 80, 0)), ("pillar", (255, 0, 0)), ("shop", (174, 0, 0)),
    ),
    "cityscapes": (
        ("road", (128, 64, 128)), ("sidewalk", (244, 35, 232)), ("building", (70, 70, 70)), ("wall", (102, 102, 156)),
        ("fence", (190, 153, 153)), ("pole", (153, 153, 153)), ("traffic light", (250, 170, 30)),
        ("traffic sign", (220, 220, 0)), ("vegetation", (107, 142, 35)), ("terrain", (152, 251, 152)),
        ("sky", (70, 130, 180)), ("person", (220, 20, 60)), ("rider", (255, 0, 0)), ("car", (0, 0, 142)),
        ("truck", (0, 0, 70)), ("bus", (0, 60, 100)), ("train", (0, 80, 100)), ("motorcycle", (0, 0, 230)),
        ("bicycle", (119, 11, 32)), ("unlabelled", (0, 0, 0)),
    ),
}  # fmt: skip


def named_palette(name: str) -> Palette:
    """A palette by its name.

    Raises:
        CalcoError: When there is none of that name.
    """
    if name not in PALETTES:
        raise CalcoError(f"palette {name!r} is unknown; choose one of {', '.join(PALETTES)}")
    return PALETTES[name]


def paint(indices: npt.NDArray[np.integer], palette: Palette) -> Image:
    """Class indices HW => colours HW3 `uint8`.

    Raises:
        CalcoError: When an index has no colour.
    """
    if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < len(palette):
        worst = int(indices.max() if indices.max() >= len(palette) else indices.min())
        raise CalcoError(f"class {worst} has no colour; the palette has 0 to {len(palette) - 1}: choose another")
    painted: Image = np.array([colour for _, colour in palette], np.uint8)[indices]
    return painted


def decode(image: Image, palette: Palette) -> Indices:
    """HWC of any dtype => class indices HW `uint8`, each pixel by its nearest colour (Euclidean in RGB)."""
    pixels = as_channels(as_dtype(image, np.uint8), 3).astype(np.float32)
    colours = np.array([colour for _, colour in palette], np.float32)
    # |p - c|^2 without |p|^2, which is the same for every class.
    distances = (colours**2).sum(axis=1) - 2 * pixels @ colours.T
    return np.asarray(distances.argmin(axis=2), np.uint8)


def mask_to_indices(mask: Image, palette: Palette) -> Indices:
    """A mask file's contents => class indices HW `uint8`.

    Colours go to the nearest of the palette. One channel holds indices, or (two classes) grey levels cut at half.

    Args:
        mask: HW1 or HW3 `uint8`.
        palette: The classes that are meant.

    Raises:
        CalcoError: When one channel holds numbers that are no class of the palette.
    """
    if mask.shape[2] == 3:
        return decode(mask, palette)
    numbers = mask[..., 0]
    if len(palette) == 2:
        return (numbers >= 128).astype(np.uint8) if numbers.max() > 1 else numbers.astype(np.uint8)
    numbers = np.where(numbers == UNLABELLED, _unlabelled(palette), numbers)
    if numbers.max() >= len(palette):
        raise CalcoError(
            f"the mask has class {int(numbers.max())}, the palette 0 to {len(palette) - 1}; choose another --palette"
        )
    return numbers.astype(np.uint8)


def _unlabelled(palette: Palette) -> int:
    """The class that pixels nobody labelled go to."""
    names = [name for name, _ in palette]
    return names.index("unlabelled") if "unlabelled" in names else 0
