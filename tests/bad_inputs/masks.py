"""Masks whose values are no classes, or mark nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from bad_inputs.making import Bad

TRAIN = "train set --dry-run --source masks --input images --target masks"


def masked(encode: Callable[[int], np.ndarray], ending: str = "png") -> Callable[[Path], None]:
    """Gives each of the six images a mask."""

    def make(folder: Path) -> None:
        for name in ("images", "masks"):
            (folder / "set" / name).mkdir()
        for number, path in enumerate(sorted((folder / "set").glob("*.png"))):
            path.rename(folder / "set/images" / path.name)
            Pillow.fromarray(encode(number)).save(folder / f"set/masks/{path.stem}.{ending}")

    return make


def shapes(number: int) -> np.ndarray:
    """Class numbers 0 to 3, HW."""
    mask = np.zeros((96, 96), np.uint8)
    for k in (1, 2, 3):
        mask[8 * k + number : 8 * k + 30, 20 * k : 20 * k + 18] = k
    return mask


def soft(_number: int) -> np.ndarray:
    return np.tile(np.arange(96, dtype=np.uint8) * 2, (96, 1))


def stray(number: int) -> np.ndarray:
    return shapes(number) * np.uint8(60 if number == 5 else 1)


def noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (96, 96, 3), np.uint8)


def beside(folder: Path) -> None:
    """Puts another photograph beside each of the six images."""
    for number, path in enumerate(sorted((folder / "set").glob("*.png"))):
        image = np.asarray(Pillow.open(path).convert("RGB"))
        other = np.random.default_rng(number).integers(0, 255, image.shape, np.uint8)
        Pillow.fromarray(np.hstack([image, other])).save(path)


CASES = (
    Bad("masks that are photographs", masked(noise),
        command=TRAIN, code=2, says=("no classes", "--palette")),
    Bad("masks that are grey gradients", masked(soft), command=TRAIN, code=2, says=("no classes", "--palette binary")),
    Bad("a target half that is a photograph, to segment", beside, code=2, says=("no classes", "--palette"),
        command="train set --dry-run --source side-by-side --recipe segment"),
    Bad("class numbers in JPEG masks", masked(shapes, "jpg"), command=TRAIN, code=2, says=("export them as PNG",)),
    Bad("masks of more classes than the palette", masked(shapes), command=f"{TRAIN} --palette binary", code=2,
        says=("do not fit the palette binary",)),
    Bad("a mask with values outside the palette", masked(stray), command="check set --palette voc --out page --jobs 1",
        says=("values",), about="f"),
    Bad("an encoding of masks that is none", masked(shapes), command=f"{TRAIN} --mask-encoding numbers", code=2,
        says=("mask encoding 'numbers' is unknown",)),
)  # fmt: skip
