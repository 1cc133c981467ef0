"""TIFF as it is written: of any depth and any number of channels, whole or strip by strip."""

import io
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np

from calco.imaging.arrays import Image
from calco.imaging.tiff import ORIENTATION, PROFILE, SIGNATURES

_PER_WIDTH, _PER_HEIGHT, _PER = 282, 283, 296  # pixels in an inch or a centimetre
_STRIP: Final = 1 << 18  # bytes of a strip before it is packed, about
_LEVEL: Final = 4  # of deflate's nine: a little larger than by default, in half the time
_CLASSIC: Final = (1 << 32) - (1 << 25)  # bytes that the offsets of a common TIFF reach, with room for the rest
# Tags that tell how the pixels are stored, which no other file shares: the rest may be copied.
STRUCTURE: Final = frozenset(
    {*range(254, 260), *range(262, 267), *range(273, 282), 284, 288, 289, 292, 293, *range(317, 326), 330, 332, 333,
     334, *range(336, 348), *range(512, 522), *range(529, 533), PROFILE}
)  # fmt: skip
_DIRECTORIES: Final = frozenset({34665, 34853, 40965})  # EXIF, GPS, interoperability: they lie elsewhere in the file
Tag: TypeAlias = tuple[int, int, int, Any, bool]  # code, type, count, value, whether on the first page alone


def tags(file: BinaryIO) -> list[Tag]:
    """What a TIFF says of itself but for how its pixels are stored, as `encode` takes it; nothing for other files.

    EXIF's and GPS's own directories are not among it: they lie elsewhere in the file.
    """
    file.seek(0)
    if file.read(4) not in SIGNATURES:
        return []
    import tifffile

    file.seek(0)
    with np.errstate(all="ignore"), tifffile.TiffFile(file) as whole:
        kept = [tag for tag in whole.pages.first.tags if tag.code not in {*STRUCTURE, *_DIRECTORIES, ORIENTATION}]
        return [
            (tag.code, tag.dtype, 0, tag.value.encode(), True)  # tifffile itself takes no text but ASCII
            if isinstance(tag.value, str)
            else (tag.code, tag.dtype, tag.count, tag.value, True)
            for tag in kept
        ]


def encode(image: Image, *, alpha: bool, extra: list[Tag]) -> bytes:
    """A TIFF of any depth and any number of channels, packed by deflate."""
    import tifffile

    data = io.BytesIO()
    many = image.shape[2] > 1
    tifffile.imwrite(
        data,
        image if many else image[..., 0],
        predictor=image.dtype.kind == "u",
        **_said(image.shape[2], alpha, extra),
    )
    return data.getvalue()


def _said(channels: int, alpha: bool, extra: list[Tag]) -> dict[str, Any]:
    """What a TIFF that is written says of itself, as tifffile takes it."""
    said = {code: value for code, _, _, value, _ in extra}
    return {
        "photometric": "rgb" if channels - alpha == 3 else "minisblack",
        "planarconfig": "contig" if channels > 1 else None,
        "extrasamples": ["unassalpha"] if alpha else None,
        "compression": "zlib",
        "metadata": None,
        "software": False,
        "resolution": (said[_PER_WIDTH], said[_PER_HEIGHT]) if {_PER_WIDTH, _PER_HEIGHT} <= set(said) else None,
        "resolutionunit": said.get(_PER),
        "extratags": [tag for tag in extra if tag[0] not in (_PER_WIDTH, _PER_HEIGHT, _PER)],
    }


def write_strips(
    path: Path, strips: Iterable[Image], shape: tuple[int, int, int], dtype: np.dtype[Any], *, extra: list[Tag]
) -> None:
    """Writes a TIFF of strips that come one after another, packed by deflate; above four gigabytes as BigTIFF.

    Args:
        path: The file.
        strips: HWC from the top down, of any height.
        shape: Height, width and channels of the whole; an even number of up to four channels ends in alpha.
        dtype: Of the whole.
        extra: What it says of itself besides.
    """
    import tifffile

    height, width, channels = shape
    row = width * channels * dtype.itemsize
    rows = min(height, max(1, _STRIP // row))
    with tifffile.TiffWriter(path, bigtiff=height * row > _CLASSIC, byteorder="<") as file:
        file.write(
            _packed(strips, rows),
            shape=shape if channels > 1 else shape[:2],
            dtype=dtype,
            rowsperstrip=rows,
            predictor=dtype.kind == "u",
            **_said(channels, channels in (2, 4), extra),
        )


def _packed(strips: Iterable[Image], rows: int) -> Iterator[bytes]:
    """Strips of any height => packed ones of so many rows, several at once."""
    with ThreadPoolExecutor(2, "calco-pack") as packers:
        waiting: deque[Future[bytes]] = deque()
        rest: list[Image] = []
        for strip in strips:
            rest.append(strip)
            if sum(map(len, rest)) < rows:
                continue
            whole = np.concatenate(rest) if len(rest) > 1 else strip
            end = len(whole) // rows * rows
            for top in range(0, end, rows):
                waiting.append(packers.submit(_deflated, whole[top : top + rows]))
                while len(waiting) > 4:
                    yield waiting.popleft().result()
            rest = [whole[end:].copy()]
        if rest and sum(map(len, rest)):
            waiting.append(packers.submit(_deflated, np.concatenate(rest)))
        while waiting:
            yield waiting.popleft().result()


def _deflated(strip: Image) -> bytes:
    """As TIFF packs by deflate; whole numbers as differences from their left neighbours (TIFF 6.0, section 14)."""
    little = strip.astype(strip.dtype.newbyteorder("<"))
    if strip.dtype.kind == "u":
        little[:, 1:] -= strip[:, :-1]
    return zlib.compress(little.tobytes(), _LEVEL)
