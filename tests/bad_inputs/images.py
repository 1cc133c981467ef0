"""Damaged images, and what only claims to be one."""

import io
import struct
import zlib

import numpy as np
import tifffile

from bad_inputs.making import Bad, encoded, file, photo


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png() -> bytes:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(3 * 60_000 + 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def floats(value: float) -> bytes:
    numbers = (photo(9) / 255).astype(np.float32)
    numbers[3, 3] = value
    tifffile.imwrite(buffer := io.BytesIO(), numbers, photometric="rgb")
    return buffer.getvalue()


CASES = (
    Bad("a JPEG cut short", file("set/x.jpg", encoded("JPEG")[:700]), says=("cut short",), about="x"),
    Bad("a PNG cut short", file("set/x.png", encoded("PNG")[:200]), says=("cut short",), about="x"),
    Bad("a PNG that claims 60,000×60,000 pixels", file("set/x.png", huge_png()), says=("too many pixels",), about="x"),
    Bad("a JPEG whose name ends in .png", file("set/x.png", encoded("JPEG")), code=0,
        fine="read as what it is"),
    Bad("a page named .jpg", file("set/x.jpg", "<html>Not found</html>"), says=("not an image",), about="x"),
    Bad("a program in PostScript named .jpg", file("set/x.jpg", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        says=("not an image",), about="x"),
    Bad("a file of zero bytes", file("set/x.png", b""), says=("empty",), about="x"),
    Bad("NaN in a float image", file("set/x.tif", floats(np.nan)), says=("NaN",), about="x"),
    Bad("infinity in a float image", file("set/x.tif", floats(np.inf)), says=("infinite",), about="x"),
    Bad("floats from 0 to 255", file("set/x.tif", floats(255.0)), says=("[0, 1]",), about="x"),
)  # fmt: skip
