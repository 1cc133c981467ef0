"""What a bad input is, and what many of them are made of."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from support import NO_SMALL_DISK, mount_disk

CHECK = "check set --out page --jobs 1"
PREPARE = "prepare set --recipe erase --out pairs --jobs 1"
TRANSLATE = "translate {} set --out out"


class Impossible(Exception):
    """This machine cannot make the bad input."""


@dataclass(frozen=True)
class Bad:
    """A bad input.

    Attributes:
        what: What is wrong, for the table.
        make: Makes it in the present folder, beside six images in the folder `set`.
        command: What is called, without `calco`.
        code: The exit code.
        says: Words that the answer must hold.
        about: The key or file of which the answer is taken, where the command goes on; nothing takes the one line of
            an error.
        fine: What happens, in words, where there is nothing to be said: all seven images are used, every row is.
        before: What the command is called by.
    """

    what: str
    make: Callable[[Path], None]
    command: str = CHECK
    code: int = 1
    says: tuple[str, ...] = ()
    about: str = ""
    fine: str = ""
    before: tuple[str, ...] = ()


def photo(seed: int = 0, side: int = 96) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return np.kron(chance.integers(0, 256, (6, 6, 3), dtype=np.uint8), np.ones((side // 6, side // 6, 1), np.uint8))


def encoded(kind: str, seed: int = 9, side: int = 96) -> bytes:
    Pillow.fromarray(photo(seed, side)).save(buffer := io.BytesIO(), format=kind)
    return buffer.getvalue()


def as_it_is(_room: Path) -> None:
    """Nothing is wrong with the images."""


def file(name: str, data: bytes | str) -> Callable[[Path], None]:
    """Puts a file beside the six images."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)

    return make


def mount_small(place: Path, kilobytes: int) -> None:
    if not mount_disk(place, kilobytes):
        raise Impossible(NO_SMALL_DISK)
