"""Image files that hold several frames or pages, told from their headers: `read` gives the first one alone."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final, Literal

_LOOKED_AT: Final = (".gif", ".webp", ".png", ".avif", ".tif", ".tiff")
_MOST_PARTS: Final = 10_000  # chunks, blocks or directories of a file that are looked at


def several_in(path: str | Path) -> Literal["frames", "pages", ""]:
    """Return what an image file holds several of: frames (an animation) or pages; empty for one image.

    Only headers are read. A file that cannot be read counts as one image: whoever reads it reports what is wrong.
    """
    if os.path.splitext(path)[1].lower() not in _LOOKED_AT:
        return ""
    try:
        with Path(path).open("rb") as file:
            head = file.read(64)
            if head[:6] in (b"GIF87a", b"GIF89a"):
                return "frames" if _has_second_image(file, head) else ""
            if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
                return "frames" if head[20] & 2 else ""
            if head[:8] == b"\x89PNG\r\n\x1a\n":
                return "frames" if _has_animation_chunk(file) else ""
            if head[4:8] == b"ftyp" and head[8:12] == b"avis":
                return "frames"
            if head[:4] in (b"II*\0", b"MM\0*"):
                return "pages" if _has_second_page(file, "little" if head[:2] == b"II" else "big") else ""
    except (OSError, IndexError, ValueError):
        pass
    return ""


def note_on_several(paths: Iterable[str | Path], remedy: str = "") -> str:
    """Return a sentence on the image files of which only the first frame or page is used; empty if there is none.

    Args:
        paths: Image files.
        remedy: How to use all frames, if there is a way.
    """
    found = [(str(path), kind) for path in paths if (kind := several_in(path))]
    if not found:
        return ""
    kinds = " or ".join(sorted({kind for _, kind in found}))
    remedy = f"; {remedy}" if remedy and "frames" in kinds else ""
    if len(found) == 1:
        return f"{found[0][0]} holds several {kinds}: only the first is used{remedy}"
    return f"{len(found)} images hold several {kinds}, such as {found[0][0]}: only the first of each is used{remedy}"


def _has_second_image(file: BinaryIO, head: bytes) -> bool:
    """Whether a GIF has two image descriptors (GIF89a, section 20)."""
    file.seek(13 + (3 << (head[10] & 7) + 1 if head[10] & 0x80 else 0))
    images = 0
    for _ in range(_MOST_PARTS):
        kind = file.read(1)
        if kind == b"!":
            file.read(1)
        elif kind == b",":
            images += 1
            flags = file.read(9)[8]
            file.seek((3 << (flags & 7) + 1 if flags & 0x80 else 0) + 1, os.SEEK_CUR)
        else:
            return images > 1
        if images > 1:
            return True
        while length := file.read(1)[0]:  # of a block of data; 0 ends them
            file.seek(length, os.SEEK_CUR)
    return True


def _has_animation_chunk(file: BinaryIO) -> bool:
    """Whether a PNG has an acTL chunk of two frames or more before its pixels (PNG, third edition, 11.3.6.1)."""
    file.seek(8)
    for _ in range(_MOST_PARTS):
        head = file.read(8)
        if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
            return False
        if head[4:] == b"acTL":
            return int.from_bytes(file.read(4), "big") > 1
        file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return False


def _has_second_page(file: BinaryIO, order: Literal["little", "big"]) -> bool:
    """Whether a TIFF has two directories that are pages of their own: no thumbnails, smaller copies or masks."""
    file.seek(4)
    pages, at, seen = 0, int.from_bytes(file.read(4), order), set[int]()
    while at and at not in seen and len(seen) < _MOST_PARTS:
        seen.add(at)
        file.seek(at)
        count = int.from_bytes(file.read(2), order)
        entries = file.read(12 * count)
        at = int.from_bytes(file.read(4), order)
        kinds = [int.from_bytes(entries[i + 8 : i + 12], order) for i in range(0, 12 * count, 12)
                 if int.from_bytes(entries[i : i + 2], order) == 254]  # fmt: skip
        pages += not kinds or kinds[0] & 5 == 0  # NewSubfileType: 1 a smaller copy, 4 a mask
        if pages > 1:
            return True
    return False
