"""Small whole images of every format that is read, as bytes."""

import io
from collections.abc import Iterator

import numpy as np
import tifffile
from PIL import Image as Pillow


def _saved(image: Pillow.Image, kind: str, **options: object) -> bytes:
    image.save(buffer := io.BytesIO(), format=kind, **options)
    return buffer.getvalue()


def _tiff(array: np.ndarray, **options: object) -> bytes:
    tifffile.imwrite(buffer := io.BytesIO(), array, **options)
    return buffer.getvalue()


def images() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each."""
    chance = np.random.default_rng(7)
    colour = np.kron(chance.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    deep = (colour.astype(np.uint16) << 8) + 77
    photo = Pillow.fromarray(colour)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    yield "colour.jpg", _saved(photo, "JPEG", quality=90)
    yield "turned.jpg", _saved(photo, "JPEG", exif=exif)
    yield "waves.jpg", _saved(photo, "JPEG", progressive=True)
    yield "inks.jpg", _saved(photo.convert("CMYK"), "JPEG")
    yield "colour.png", _saved(photo, "PNG")
    yield "clear.png", _saved(Pillow.fromarray(np.dstack([colour, colour[..., 0]])), "PNG")
    yield "palette.png", _saved(photo.quantize(9), "PNG", transparency=3)
    yield "bits.png", _saved(photo.convert("1"), "PNG")
    yield "deep-grey.png", _saved(Pillow.fromarray(deep[..., 0]), "PNG")
    yield "deep.png", _deep_png(deep)
    yield "deep.tif", _tiff(deep, photometric="rgb")
    yield "squeezed.tif", _saved(photo, "TIFF", compression="tiff_lzw")
    yield "floats.tif", _tiff((colour / 255).astype(np.float32), photometric="rgb")
    yield "grey-floats.tif", _tiff((colour[..., 0] / 255).astype(np.float32))
    yield "bands.tif", _tiff(np.dstack([colour, colour[..., :2]]), photometric="minisblack", planarconfig="contig")
    frames = [photo.quantize(5), photo.rotate(180).quantize(5)]
    yield "moving.gif", _saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield "colour.webp", _saved(photo, "WEBP")
    yield "exact.webp", _saved(photo, "WEBP", lossless=True)
    yield "colour.avif", _saved(photo, "AVIF")
    yield "colour.bmp", _saved(photo, "BMP")
    yield "few.bmp", _saved(photo.quantize(9), "BMP")
    yield "colour.tga", _saved(photo, "TGA", compression="tga_rle")
    yield "colour.ppm", _saved(photo, "PPM")
    yield "colour.jp2", _saved(photo, "JPEG2000")


def _deep_png(deep: np.ndarray) -> bytes:
    import cv2

    return bytes(cv2.imencode(".png", deep)[1])
