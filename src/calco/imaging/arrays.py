"""Images as arrays: channels, depth, transparency, size, and the way into tensors and back."""

import math
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageColor

from calco.errors import CalcoError

if TYPE_CHECKING:
    import torch

Image: TypeAlias = npt.NDArray[Any]  # HWC, C >= 1, uint8 | uint16 | float32 in [0, 1]
Channels: TypeAlias = int  # 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; other numbers are bands
Colour: TypeAlias = tuple[int, int, int]  # red, green, blue, 0 to 255
Resampling: TypeAlias = Literal["auto", "nearest", "bilinear", "bicubic", "area"]

PEAKS: Final[dict[str, float]] = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
FILTERS: Final[dict[str, Pillow.Resampling]] = {
    "nearest": Pillow.Resampling.NEAREST,
    "bilinear": Pillow.Resampling.BILINEAR,
    "bicubic": Pillow.Resampling.BICUBIC,
    "area": Pillow.Resampling.BOX,
}
WHITE: Final[Colour] = (255, 255, 255)
_STRIP: Final = 1 << 21  # pixels that are worked on at once
_ROUNDING: Final = 1e-4  # by which floats may miss [0, 1]


def as_image(value: object, what: str = "the image") -> Image:
    """Check an array that a caller gives as an image, which messages call `what`.

    Args:
        value: HWC, or HW for one channel; `uint8`, `uint16` or `float32` in [0, 1], in any byte order and layout.
        what: Name of the array in messages.

    Returns:
        HWC in the byte order of the machine, the same memory where that is possible.
    """
    if not isinstance(value, np.ndarray):
        kind, package = type(value).__name__, type(value).__module__.partition(".")[0]
        kind = kind if package == "builtins" else f"{package} {kind}"
        raise CalcoError(f"{what} is a {kind}; it must be a NumPy array{_conversion(value)}")
    if hasattr(value, "mask"):  # a masked array; looking for its class would import numpy.ma
        if np.ma.is_masked(value):
            raise CalcoError(f"{what} has masked pixels; every pixel needs a value: fill them with array.filled(0)")
        value = np.ma.getdata(value)
    _check_shape(value, what)
    if value.dtype.name not in PEAKS:
        raise CalcoError(
            f"{what} is an array of {value.dtype}; it must be uint8, uint16 or float32 in [0, 1]: convert it, "
            f"for example with {_CONVERSIONS.get(value.dtype.kind, 'array.astype(np.uint8)')}"
        )
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    image = value[..., None] if value.ndim == 2 else value
    return _in_range(image, what) if image.dtype == np.float32 else image


_CONVERSIONS: Final = {"f": "array.astype(np.float32)", "b": "array.astype(np.uint8) * 255"}


def _conversion(value: object) -> str:
    """Return the way from a common type to an array, as the end of a sentence."""
    package = type(value).__module__.partition(".")[0]
    if isinstance(value, str | bytes | PurePath):
        return ": read the file with calco.read_image(path)"
    if package == "PIL":
        return ': convert it with np.asarray(image.convert("RGB"))'
    if package == "torch":
        return " of height x width x channels: convert it with tensor.permute(1, 2, 0).cpu().numpy()"
    return " of height x width x channels: convert it with np.asarray(value, np.uint8)"


def _check_shape(array: npt.NDArray[Any], what: str) -> None:
    shape = " x ".join(map(str, array.shape)) or "no dimensions"
    rule = f"{what} is an array of {shape}; it must be height x width x channels"
    if array.ndim == 4:
        raise CalcoError(f"{rule}: give the images of a batch one by one, such as batch[0]")
    if array.ndim not in (2, 3):
        raise CalcoError(f"{rule}, or height x width")
    if not array.size:
        raise CalcoError(f"{rule}, each at least 1")
    if array.ndim == 3 and array.shape[0] <= 4 < min(array.shape[1:]):
        raise CalcoError(f"{rule}: where the channels come first, give array.transpose(1, 2, 0)")


def _in_range(image: Image, what: str) -> Image:
    """Check that the values lie in [0, 1], and clip what rounding adds to the ends."""
    low, high = float(image.min()), float(image.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise CalcoError(
            f"{what} has NaN or infinite values; floats must lie in [0, 1]: replace them with np.nan_to_num(array)"
        )
    if low >= 0 and high <= 1:
        return image
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        remedy = "(array + 1) / 2" if -1.01 <= low < 0 and high <= 1.01 else "array / 255"
        raise CalcoError(
            f"{what} has values from {low:g} to {high:g}; floats must lie in [0, 1]: scale them, "
            f"for example with {remedy}"
        )
    return np.clip(image, 0, 1)


def background_colour(background: str) -> Colour | None:
    """Return the colour under transparent images, from its name or #rrggbb; None for "channel"."""
    if background == "channel":
        return None
    try:
        red, green, blue = ImageColor.getrgb(background)[:3]
    except ValueError as error:
        raise CalcoError(
            f"background {background!r} is no colour; give white, black or #rrggbb, or channel to keep transparency"
        ) from error
    return red, green, blue


def lay_over(image: Image, colour: Colour = WHITE) -> Image:
    """Lay an image with straight alpha, HW2 or HW4, over paper of one colour.

    Returns:
        HW3, or HW1 for a grey image on grey paper; same dtype.
    """
    peak = PEAKS[str(image.dtype)]
    paper = np.array(colour, np.float64) * (peak / 255)
    if image.shape[2] == 2 and len(set(colour)) == 1:
        paper = paper[:1]

    def mixed(strip: Image) -> Image:
        alpha = strip[..., -1:].astype(np.float64) / peak
        return _rounded(strip[..., :-1] * alpha + paper * (1 - alpha), image.dtype)

    return in_strips(mixed, image)


def in_strips(work: Callable[[Image], Image], image: Image) -> Image:
    """Apply `work`, which treats each pixel by itself, to some rows at a time, which takes less memory."""
    rows = max(1, _STRIP // image.shape[1])
    if image.shape[0] <= rows:
        return work(image)
    first = work(image[:rows])
    whole = np.empty((image.shape[0], *first.shape[1:]), first.dtype)
    whole[:rows] = first
    for top in range(rows, image.shape[0], rows):
        whole[top : top + rows] = work(image[top : top + rows])
    return whole


def _rounded(exact: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> Image:
    return (exact if dtype == np.float32 else np.rint(exact)).astype(dtype)


def converts(have: Channels, wanted: Channels) -> bool:
    """Return whether `as_channels` makes an image of `wanted` channels from one of `have` channels."""
    return have == wanted or (1 <= have <= 4 and 1 <= wanted <= 4)


def as_channels(image: Image, channels: Channels, paper: Colour = WHITE) -> Image:
    """Convert between grey, grey and alpha, RGB, RGB and alpha; the same number of channels is not copied.

    Colour becomes luminance, and grey three equal channels; unwanted alpha is laid over `paper`, and missing alpha is
    opaque. Bands cannot be converted.
    """
    have = image.shape[2]
    if have == channels:
        return image
    if not converts(have, channels):
        raise CalcoError(
            f"an image of {have} channels cannot become one of {channels}; only 1 (grey), 2 (grey, alpha), 3 (RGB) "
            "and 4 (RGB, alpha) turn into each other: give images of one kind"
        )
    alpha: Image | None = None
    if have in (2, 4):
        alpha = image[..., -1:] if channels in (2, 4) else None
        image = lay_over(image, paper) if alpha is None else image[..., :-1]
    image = luminance(image) if channels <= 2 else image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)
    if channels in (1, 3):
        return image
    if alpha is None:
        alpha = np.full((*image.shape[:2], 1), PEAKS[str(image.dtype)], image.dtype)
    return np.concatenate([image, alpha], axis=2)


def luminance(image: Image) -> Image:
    """Return the grey of an image, HW1: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601); alpha lies over white."""
    if image.shape[2] == 1:
        return image
    if image.shape[2] != 3:
        return as_channels(image, 1)
    weights = np.array([0.299, 0.587, 0.114])
    return in_strips(lambda strip: _rounded(strip.astype(np.float64) @ weights, image.dtype)[..., None], image)


def visible(image: Image) -> Image:
    """Return an image as a person sees it, HW1 or HW3: alpha over white, the first three of many bands."""
    if image.shape[2] > 4:
        return image[..., :3]
    return lay_over(image) if image.shape[2] in (2, 4) else image


def as_dtype(image: Image, dtype: npt.DTypeLike) -> Image:
    """Rescale between `uint8`, `uint16` and `float32`; black and white stay; the same dtype is not copied."""
    wanted = np.dtype(dtype)
    if image.dtype == wanted:
        return image
    if str(wanted) not in PEAKS or str(image.dtype) not in PEAKS:
        raise CalcoError(f"an image cannot go from {image.dtype} to {wanted}; use one of {', '.join(PEAKS)}")
    factor, peak = PEAKS[str(wanted)] / PEAKS[str(image.dtype)], PEAKS[str(wanted)]

    def scaled(strip: Image) -> Image:
        exact = strip.astype(np.float64) * factor
        return exact.astype(np.float32) if wanted == np.float32 else np.rint(np.clip(exact, 0, peak)).astype(wanted)

    return in_strips(scaled, image)


def resize(image: Image, size_wh: tuple[int, int], how: Resampling = "auto") -> Image:
    """Resize an image, with antialiasing when it shrinks; each channel for itself.

    Args:
        image: HWC.
        size_wh: Width and height, pixels, at least 1.
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
    """Resize by Pillow with antialiasing; channel by channel unless it is grey or RGB of 8 bits."""
    height, width = image.shape[:2]
    if (width, height) == tuple(size_wh):
        return image
    if how == Pillow.Resampling.BICUBIC and size_wh[0] >= width and size_wh[1] >= height:
        import cv2

        # OpenCV's bicubic has no antialiasing, which growing does not need, and takes a sixth of the time.
        planes = [image] if image.shape[2] <= 4 else [image[..., c] for c in range(image.shape[2])]
        parts = [np.atleast_3d(cv2.resize(plane, size_wh, interpolation=cv2.INTER_CUBIC)) for plane in planes]
        grown: Image = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
        return np.clip(grown, 0, 1, out=grown) if image.dtype == np.float32 else grown
    if image.dtype == np.uint8 and image.shape[2] in (1, 3):
        flat = Pillow.fromarray(image[..., 0] if image.shape[2] == 1 else np.ascontiguousarray(image))
        return np.atleast_3d(np.array(flat.resize(size_wh, how)))
    held = np.uint8 if image.dtype == np.uint8 else np.float32
    bands = [Pillow.fromarray(np.ascontiguousarray(image[..., c], dtype=held)) for c in range(image.shape[2])]
    result = np.stack([np.array(band.resize(size_wh, how)) for band in bands], axis=2)
    if image.dtype == np.uint8:
        return result
    return _rounded(np.clip(result, 0, PEAKS[str(image.dtype)]), image.dtype)


def upright(image: Image, orientation: int) -> Image:
    """Undo an EXIF orientation. HWC => HWC or WHC."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def to_tensor(image: Image) -> "torch.Tensor":
    """HWC of any dtype => CHW `float32` in [-1, 1]."""
    import torch

    scaled = image.astype(np.float32) * np.float32(2 / PEAKS[str(image.dtype)]) - np.float32(1)
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))


def to_image(tensor: "torch.Tensor", dtype: npt.DTypeLike = np.uint8) -> Image:
    """CHW in [-1, 1], of any float type and device => HWC, clamped and rounded."""
    import torch

    if np.dtype(dtype) == np.uint8:  # the common case: the same numbers as below, by all cores
        shares = tensor.detach().permute(1, 2, 0).float().clamp(-1, 1).add_(1).div_(2)
        return shares.double().mul_(255).round_().to(torch.uint8).contiguous().cpu().numpy()
    array = tensor.detach().float().cpu().numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(as_dtype(((np.clip(array, -1, 1) + 1) / 2).astype(np.float32), dtype))
