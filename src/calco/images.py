"""Reading, writing and converting pictures: the only module that does.

A picture is a NumPy array HWC with one channel (grey) or three (RGB), `uint8`, `uint16` or `float32` in [0, 1].
Inside the networks it is a tensor CHW, `float32` in [-1, 1].
"""

import contextlib
import os
import struct
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from calco.errors import CalcoError
from calco.files import explain, replacing

if TYPE_CHECKING:
    import torch

Image: TypeAlias = npt.NDArray[Any]  # HWC, C = 1 or 3, uint8 | uint16 | float32 in [0, 1]
Channels: TypeAlias = int  # 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; other numbers are bands
Resampling: TypeAlias = Literal["auto", "nearest", "bilinear", "bicubic", "area"]

# The format that Pillow writes for each ending; what is not here is not a picture to Calco.
FORMATS: Final[dict[str, str]] = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP",
    ".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM",
    ".tga": "TGA", ".avif": "AVIF", ".jp2": "JPEG2000",
}  # fmt: skip
PICTURE_SUFFIXES: Final[frozenset[str]] = frozenset(FORMATS)

PEAKS: Final[dict[str, float]] = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
FILTERS: Final[dict[str, Pillow.Resampling]] = {
    "nearest": Pillow.Resampling.NEAREST,
    "bilinear": Pillow.Resampling.BILINEAR,
    "bicubic": Pillow.Resampling.BICUBIC,
    "area": Pillow.Resampling.BOX,
}
ORIENTATION: Final = 0x0112  # the EXIF tag
UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, OverflowError, struct.error,
              Pillow.DecompressionBombError)  # fmt: skip


def is_picture(path: str | Path) -> bool:
    """Whether the ending is that of a picture, in upper or lower case; the file is not opened."""
    return Path(path).suffix.lower() in PICTURE_SUFFIXES


def list_pictures(folder: str | Path) -> list[Path]:
    """All pictures in a folder and below it, sorted by path; hidden files and linked folders are passed over.

    Raises:
        CalcoError: When the folder is absent, is no folder, or may not be read.
    """

    def refuse(error: OSError) -> None:
        raise explain(error, error.filename or folder, "read the folder") from error

    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".") and is_picture(name)]
    return sorted(found, key=lambda path: unicodedata.normalize("NFC", path.as_posix()))


def read(path: str | Path, *, channels: Channels | None = None, indices: bool = False) -> Image:
    """Reads the first frame of a picture, upright.

    EXIF rotation is applied, palettes are expanded, transparency is laid over white, CMYK becomes RGB; 16 bits stay.

    Args:
        path: The file.
        channels: 3 repeats grey, 1 takes the luminance, None keeps what the file has.
        indices: Gives the indices of a palette file (HW1, uint8) in place of its colours.

    Returns:
        HWC, `uint8`, `uint16` or (TIFF) `float32` in [0, 1].

    Raises:
        CalcoError: When the file is absent, empty, cut short, or no picture.
    """
    try:
        image = _decode(Path(path), indices)
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise explain(error, path, "read") from error
        raise CalcoError(f"cannot read {path}: {_reason(Path(path), error)}; replace or remove it") from error
    if image.dtype == np.float32 and not (float(image.min()) >= 0 and float(image.max()) <= 1):
        raise CalcoError(f"cannot read {path}: its numbers leave [0, 1]; divide them by their peak")
    return image if channels is None else as_channels(image, channels)


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[Pillow.Image]:
    """A file in Pillow, which warns of odd metadata and of large pictures: neither is an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Pillow.open(path) as opened:
            yield opened


def _reason(path: Path, error: Exception) -> str:
    """Says in plain words what is wrong with a file that is there but cannot be decoded."""
    if path.is_file() and path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "it is not a picture, whatever its name says"
    if isinstance(error, Pillow.DecompressionBombError):
        return "it has too many pixels"
    return "the file is damaged or cut short" + (f" ({str(error).splitlines()[0]})" if str(error) else "")


def _decode(path: Path, indices: bool) -> Image:
    """A file => HWC, upright, one or three channels."""
    with _opened(path) as opened:
        opened.load()
        # The tag may stand behind the pixels, and the TIFF reader turns the picture by itself: only now is it known.
        orientation = _orientation(opened)
        if indices and opened.mode == "P":
            return _upright(np.array(opened)[..., None], orientation)
        deep = _deep_colour(path, opened)
        return _upright(_flatten(opened) if deep is None else deep, orientation)


def _orientation(opened: Pillow.Image) -> int:
    """The EXIF orientation, 1 to 8; broken metadata must not cost a picture whose pixels are whole."""
    try:
        return int(opened.getexif().get(ORIENTATION, 1) or 1)
    except UNREADABLE:
        return 1


def _flatten(opened: Pillow.Image) -> Image:
    """A Pillow picture of any mode => HWC with one or three channels, over white."""
    mode = opened.mode
    if mode.startswith("I"):
        deep: Image = np.clip(np.array(opened), 0, 65535).astype(np.uint16)
        return deep[..., None]
    if mode == "F":
        return np.array(opened, dtype=np.float32)[..., None]
    if opened.has_transparency_data:
        return _over_white(np.array(opened.convert("LA" if mode in ("L", "LA", "La", "1") else "RGBA")))
    return np.atleast_3d(np.array(opened.convert("L" if mode in ("L", "1") else "RGB")))


def _over_white(image: Image) -> Image:
    """HW(C+1) with straight alpha last => HWC, as seen on white paper."""
    peak = PEAKS[str(image.dtype)]
    alpha = image[..., -1:].astype(np.float64) / peak
    mixed: Image = np.rint(image[..., :-1] * alpha + peak * (1 - alpha)).astype(image.dtype)
    return mixed


def _deep_colour(path: Path, opened: Pillow.Image) -> Image | None:
    """Colour with sixteen bits a channel, which Pillow would cut to eight; None for every other picture."""
    if opened.format == "PNG":
        with path.open("rb") as file:
            header = file.read(26)
        deep = header[24] == 16 and header[25] in (2, 4, 6)  # bit depth, colour type: RGB, grey + alpha, RGB + alpha
    else:
        deep = opened.format == "TIFF" and set(getattr(opened, "tag_v2", {}).get(258, ())) == {16}
        deep = deep and opened.mode in ("RGB", "RGBA", "RGBX")
    if not deep:
        return None
    import cv2

    raw = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if raw is None or raw.dtype != np.uint16 or raw.ndim != 3:
        return None
    if raw.shape[2] == 4:
        raw = _over_white(raw)
    # Grey with alpha comes back as three equal channels.
    return np.ascontiguousarray(raw[..., :1] if opened.mode == "LA" else raw[..., ::-1])


def _upright(image: Image, orientation: int) -> Image:
    """Undoes the eight EXIF orientations. HWC => HWC or WHC."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def write(path: str | Path, image: Image, *, like: str | Path | None = None) -> None:
    """Writes a picture whole or not at all, in the format of its ending.

    JPEG is written at quality 95 without chroma subsampling. 16 bits and floats become 8 where the
    format has no more.

    Args:
        path: The file; its ending chooses the format.
        image: HWC, any dtype of this module.
        like: A picture whose EXIF (orientation set to upright) and colour profile are copied.

    Raises:
        CalcoError: When the ending is unknown or the file cannot be written.
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise CalcoError(f"{path.name} ends in no known picture format; use one of {' '.join(sorted(FORMATS))}")
    image = np.ascontiguousarray(image)
    if image.dtype == np.uint16 and kind in ("PNG", "TIFF"):
        _write_deep(path, image)
        return
    options: dict[str, Any] = dict(OPTIONS.get(kind, {}))
    options |= {} if like is None else _metadata(Path(like), image.shape[2])
    flat = as_dtype(image, np.uint8)
    picture = Pillow.fromarray(flat[..., 0] if flat.shape[2] == 1 else flat)
    with replacing(path) as temporary:
        try:
            picture.save(temporary, format=kind, **options)
        except (ValueError, KeyError, struct.error) as error:
            raise CalcoError(f"cannot write {path} as {kind}: {error}; choose another ending, such as .png") from error


OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 95},
    "PNG": {"compress_level": 4},
    "TIFF": {"compression": "tiff_lzw"},
}


def _write_deep(path: Path, image: Image) -> None:
    """Sixteen bits a channel, HW1 or HW3, which Pillow writes for grey only."""
    import cv2

    done, data = cv2.imencode(path.suffix.lower(), image[..., ::-1] if image.shape[2] == 3 else image)
    if not done:
        raise CalcoError(f"cannot write {path} with 16 bits; choose the ending .png")
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _metadata(like: Path, channels: int) -> dict[str, Any]:
    """EXIF and colour profile of a file as options to save; nothing when it has none or cannot be read."""
    options: dict[str, Any] = {}
    try:
        with _opened(like) as opened:
            exif = opened.getexif()
            if len(exif):
                exif[ORIENTATION] = 1
                options["exif"] = exif.tobytes()
            profile = opened.info.get("icc_profile")
            # The profile of a CMYK file would lie about the RGB that was made of it.
            if profile and profile[16:20] == (b"RGB " if channels == 3 else b"GRAY"):
                options["icc_profile"] = profile
    except UNREADABLE:
        return {}
    return options


def luminance(image: Image) -> Image:
    """The grey of a picture: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601). HW3 or HW1 => HW1, same dtype."""
    if image.shape[2] == 1:
        return image
    exact = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    grey: Image = (exact if image.dtype == np.float32 else np.rint(exact)).astype(image.dtype)
    return grey[..., None]


def as_channels(image: Image, channels: Channels) -> Image:
    """HW1 or HW3 => HW1 (luminance) or HW3 (grey repeated), same dtype."""
    if image.shape[2] == channels:
        return image
    return luminance(image) if channels == 1 else np.repeat(image, 3, axis=2)


def as_dtype(image: Image, dtype: npt.DTypeLike) -> Image:
    """Rescales between `uint8`, `uint16` and `float32` black and white stay; the same dtype is not copied."""
    wanted = np.dtype(dtype)
    if image.dtype == wanted:
        return image
    if str(wanted) not in PEAKS or str(image.dtype) not in PEAKS:
        raise CalcoError(f"a picture cannot go from {image.dtype} to {wanted}; use one of {', '.join(PEAKS)}")
    scaled = image.astype(np.float64) * (PEAKS[str(wanted)] / PEAKS[str(image.dtype)])
    if wanted == np.float32:
        return scaled.astype(np.float32)
    return np.rint(np.clip(scaled, 0, PEAKS[str(wanted)])).astype(wanted)


def resize(image: Image, size_wh: tuple[int, int], how: Resampling = "auto") -> Image:
    """Brings a picture to a size, with antialiasing when it shrinks.

    Args:
        image: HWC.
        size_wh: Width and height in pixels, at least 1.
        how: "auto" averages areas along a side that shrinks and is bicubic along one that grows.

    Returns:
        HWC of that size, same dtype and channels, clipped to the range of the dtype.
    """
    height, width = image.shape[:2]
    if (width, height) == tuple(size_wh):
        return image
    if how != "auto":
        return _resample(image, size_wh, FILTERS[how])
    smaller = min(width, size_wh[0]), min(height, size_wh[1])
    return _resample(_resample(image, smaller, FILTERS["area"]), size_wh, FILTERS["bicubic"])


def _resample(image: Image, size_wh: tuple[int, int], how: Pillow.Resampling) -> Image:
    """Pillow's antialiased resize; what is not 8 bits goes channel by channel as floats."""
    if (image.shape[1], image.shape[0]) == tuple(size_wh):
        return image
    if image.dtype == np.uint8:
        flat = Pillow.fromarray(image[..., 0] if image.shape[2] == 1 else np.ascontiguousarray(image))
        return np.atleast_3d(np.array(flat.resize(size_wh, how)))
    planes = [Pillow.fromarray(np.ascontiguousarray(image[..., c], dtype=np.float32)) for c in range(image.shape[2])]
    result = np.stack([np.array(plane.resize(size_wh, how)) for plane in planes], axis=2)
    result = np.clip(result, 0, PEAKS[str(image.dtype)])
    rounded: Image = (result if image.dtype == np.float32 else np.rint(result)).astype(image.dtype)
    return rounded


def to_tensor(image: Image) -> "torch.Tensor":
    """HWC of any dtype => CHW `float32` in [-1, 1]."""
    import torch

    scaled = image.astype(np.float32) * np.float32(2 / PEAKS[str(image.dtype)]) - np.float32(1)
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))


def to_image(tensor: "torch.Tensor", dtype: npt.DTypeLike = np.uint8) -> Image:
    """CHW in [-1, 1], of any float type and device => HWC, clamped and rounded."""
    array = tensor.detach().float().cpu().numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(as_dtype(((np.clip(array, -1, 1) + 1) / 2).astype(np.float32), dtype))


def common_channels(paths: list[str], looked_at: int = 64) -> Channels:
    """1 when all pictures of an even sample are grey, else 3; only headers are read, unreadable files do not count."""
    step = max(1, len(paths) // looked_at)
    modes = {mode for path in paths[::step] if (mode := _header(path)[0])}
    return 1 if modes and all(mode in ("1", "L", "LA", "F") or mode.startswith("I") for mode in modes) else 3


def header_size_wh(path: str | Path) -> tuple[int, int] | None:
    """Width and height as they stand in the file, before any rotation; None when it cannot be read."""
    return _header(path)[1]


def _header(path: str | Path) -> tuple[str, tuple[int, int] | None]:
    try:
        with _opened(path) as opened:
            return opened.mode, opened.size
    except UNREADABLE:
        return "", None
