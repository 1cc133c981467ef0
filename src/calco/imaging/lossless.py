"""Whether a file's compression keeps every value: told by its header, as far as that tells."""

from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from calco.imaging.formats import FORMATS

EXACT: Final = ("PNG", "BMP", "TIFF", "PPM", "TGA", "JPEG2000", "WEBP")
"""Formats that Calco can write without any loss; HEIF too, where its library is installed."""
_BEGINNINGS: Final = (
    b"\x89PNG", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"RIFF", b"\xff\x4f\xff\x51",
    *(b"P%d" % number for number in range(1, 8)),
)  # fmt: skip
_HEAD: Final = 1 << 16  # bytes in which the boxes of AVIF and HEIF stand that are looked for


def is_lossless(path: str | Path) -> bool:
    """Whether a file keeps every value; a file that cannot be read, or is no image by its first bytes, does not."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(12)
            return (head.startswith(_BEGINNINGS) or head[4:8] in (b"ftyp", b"jP  ")) and keeps_values(file)
    except OSError:
        return False


def keeps_values(file: BinaryIO) -> bool:
    """Whether an open image file keeps every value of its pixels.

    JPEG never does. WebP, JPEG 2000, AVIF and HEIF say it in their headers: by the kind of their bitstream, the
    reversible wavelet, and the identity in place of a colour matrix.
    """
    file.seek(0)
    head = file.read(12)
    if head[:3] == b"\xff\xd8\xff":
        return False
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp(file)
    if head[4:8] == b"jP  " or head[:4] == b"\xff\x4f\xff\x51":
        return _jpeg2000(file)
    return _identity_matrix(file) if head[4:8] == b"ftyp" else True


def _webp(file: BinaryIO) -> bool:
    """Whether its image chunk is VP8L; of an animation, that of the first frame."""
    file.seek(12)
    while len(chunk := file.read(8)) == 8:
        kind, size = chunk[:4], int.from_bytes(chunk[4:], "little")
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        # The chunks of a frame stand inside it, after its 16 bytes of place and size.
        file.seek(16 if kind == b"ANMF" else size + size % 2, 1)
    return False


def _jpeg2000(file: BinaryIO) -> bool:
    """Whether its coding style (marker COD) has the reversible 5-3 wavelet."""
    file.seek(0)
    head = file.read(_HEAD)
    start = head.find(b"\xff\x4f\xff\x51")
    place = head.find(b"\xff\x52", start)
    # Marker, length, style, progression, layers, transform, levels, two code-block exponents, block style, wavelet.
    return start >= 0 and place >= 0 and len(head) > place + 13 and head[place + 13] == 1


def _identity_matrix(file: BinaryIO) -> bool:
    """Whether its colour box names the identity as matrix: green, blue and red are coded as they are."""
    file.seek(0)
    head = file.read(_HEAD)
    place = head.find(b"colrnclx")
    return place >= 0 and head[place + 12 : place + 14] == b"\0\0"


def exact_name(name: str, like: str | Path | None = None) -> str:
    """The name under which an image is written without loss: its own, or the same ending in .png.

    Args:
        name: A file's name.
        like: The image that it is made of, where only what is made of lossless files must be; None for every image.
    """
    kind = FORMATS.get(PurePosixPath(name).suffix.lower(), "")
    holds = kind in EXACT or (kind == "HEIF" and like is not None)
    if holds or (like is not None and not is_lossless(like)):
        return name
    return f"{name[: len(name) - len(PurePosixPath(name).suffix)]}.png"
