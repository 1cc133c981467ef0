"""Parts that an earlier call wrote: kept where their images and their own bytes are still the same."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from calco.data import remote
from calco.data.manifest import INDEX, Index, load_index
from calco.data.preparing.annotating import IMAGES, kept_records
from calco.data.sources import Item, Source
from calco.errors import CalcoError
from calco.files import digest


def stamp_of(items: Iterable[Item]) -> str:
    """Sixteen hex digits of the names, sizes and times of images: while they stay, the contents need not be read.

    Of images at an address, the name alone. Empty where an image is no file of its own: its contents are compared.
    """
    total = hashlib.sha256()
    for item in items:
        here = [path for path in item.paths if not remote.is_url(path)]
        if not item.paths or not all(map(os.path.isfile, here)):
            return ""
        marks = [(stat.st_size, stat.st_mtime_ns) for stat in map(os.stat, here)]
        total.update(repr((item.key, item.place, marks)).encode("utf-8", "backslashreplace"))
    return total.hexdigest()[:16]


def stamp_place(folder: str, part: str) -> str:
    """Where the stamp of a part's images is; hidden and outside the index, which depends on no clock."""
    return remote.joined(folder, f"{INDEX}/.{part}.stamp")


def kept_part(folder: str, part: str, items: tuple[Item, ...], format: str, source: Source) -> tuple[Index | None, str]:
    """The index of a part that was written before and need not be written again.

    Args:
        folder: Where the parts are.
        part: Its name.
        items: The images that it is made of.
        format: What is written of a pair.
        source: What tells their digests.

    Returns:
        The index, or None and, where a whole part was there, the reason why it is written again.
    """
    try:
        index = load_index(folder, part)
        if index is None:
            return None, ""
        stamp, place = stamp_of(items), stamp_place(folder, part)
        same = stamp and remote.exists(place) and remote.read(place) == stamp.encode()
        if reason := ("" if same else _changed(index, items, source)) or _damaged(folder, index, format):
            return None, reason
        return index, ""
    except (CalcoError, OSError) as error:
        return None, str(error)


def _changed(index: Index, items: tuple[Item, ...], source: Source) -> str:
    """Which image is not the one that the part was made of; empty when all are."""
    made = {pair.key: pair.digest for pair in index.pairs}
    for item in items:
        known = made.get(item.key) or made.get(f"{item.key}@0")
        if known is None or known != source.digest(item):
            return f"{item.key} is not the image that it was made of"
    return ""


def _damaged(folder: str, index: Index, format: str) -> str:
    """Which file of a part is not as it was written, or empty. Of what lies elsewhere, only the size is compared."""
    if not index.pairs:
        return ""
    if format != "webdataset":
        return _damaged_files(Path(folder), index, format)
    place = remote.joined(folder, f"{index.part}.tar")
    if remote.size(place) != index.bytes or (not remote.is_url(place) and _sha256(Path(place)) != index.sha256):
        return f"{place} is not as it was written"
    return ""


def _damaged_files(folder: Path, index: Index, format: str) -> str:
    total = hashlib.sha256()
    for pair in index.pairs:
        for name, written in pair.members.items():
            if not (folder / name).is_file():
                return f"{name} is missing"
            if (found := digest(folder / name)) != written:
                return f"{name} is not as it was written"
            total.update(f"{name}\n{found}\n".encode())
    if format in IMAGES:
        total.update(kept_records(folder, index.part))
    return "" if total.hexdigest() == index.sha256 else "its index or its annotations are not as they were written"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
