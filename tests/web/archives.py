"""Uploads that tests send to the studio: archives of images, and those that are refused."""

import io
import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image as Pillow


def image_bytes(number: int = 0, size_wh: tuple[int, int] = (48, 32), form: str = "PNG") -> bytes:
    """An image file whose colours tell its number."""
    pixels = np.random.default_rng(number).integers(0, 256, (size_wh[1], size_wh[0], 3)).astype(np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, form)
    return file.getvalue()


def zip_bytes(files: Mapping[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP of files by their names."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def with_link() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo("photo.png")
        entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return file.getvalue()


def encrypted() -> bytes:
    """A ZIP whose entry says that it is encrypted, here and in its directory."""
    data = bytearray(zip_bytes({"a.png": image_bytes()}))
    directory = data.rindex(b"PK\x01\x02")
    data[6] |= 1
    data[directory + 8] |= 1
    return bytes(data)


def bomb() -> bytes:
    return zip_bytes({"white.bmp": b"\xff" * (40 << 20)})


def many(count: int) -> bytes:
    return zip_bytes({f"{number}.png": b"x" for number in range(count)}, zipfile.ZIP_STORED)


def lying(size: int) -> bytes:
    """A ZIP whose directory says that a file is smaller than it is."""
    data = bytearray(zip_bytes({"a.png": image_bytes(0, (200, 200))}))
    directory = data.rindex(b"PK\x01\x02")
    struct.pack_into("<L", data, directory + 24, size)
    return bytes(data)


# Name => the ZIP, and what its refusal says.
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "parent": (lambda: zip_bytes({"../../etc/a.png": image_bytes()}), "names a file outside itself (../../etc/a.png)"),
    "absolute": (lambda: zip_bytes({"/etc/a.png": image_bytes()}), "names a file outside itself (/etc/a.png)"),
    "drive": (lambda: zip_bytes({"C:\\a.png": image_bytes()}), "names a file outside itself"),
    "backslashes": (lambda: zip_bytes({"a\\..\\..\\b.png": image_bytes()}), "names a file outside itself"),
    "link": (with_link, "holds a link or a device (photo.png)"),
    "encrypted": (encrypted, "is encrypted (a.png)"),
    "nested": (lambda: zip_bytes({"in.zip": zip_bytes({"a.png": image_bytes()})}), "holds another archive (in.zip)"),
    "bomb": (bomb, "times its size (white.bmp)"),
    "many": (lambda: many(2001), "holds more than 2,000 files"),
    "empty": (lambda: zip_bytes({}), "holds no image"),
    "hidden": (lambda: zip_bytes({"__MACOSX/._a.png": b"x", ".DS_Store": b"x"}), "holds no image"),
    "cut off": (lambda: zip_bytes({"a.png": image_bytes()})[:-30], "is cut off or damaged"),
    "no directory": (lambda: b"PK\x03\x04" + bytes(400), "is cut off or damaged"),
}  # fmt: skip


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
