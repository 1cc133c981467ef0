"""Images that are large: read, translated and written some rows at a time.

At the scale of training, rows are narrowed as they come, the network runs once, and its maps are enlarged and joined
with the untouched input, row by row. At the image's own scale the network works on bands of blended tiles.
"""

from collections import abc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor
from torch.nn import functional as F

from calco import imaging
from calco.data.augmentation import fitted_size, whole_side
from calco.data.recipe_config import PER_IMAGE
from calco.data.recipes import steps_of
from calco.imaging import Image, Resampling
from calco.imaging.arrays import FILTERS
from calco.imaging.strips import Strips, Whole
from calco.inference.network import Network, Rows, adapted, region_of, transparency_tells, varied
from calco.networks.generator import SMOOTHINGS, Generator, surroundings

_PIXELS: Final = 1 << 20  # that are worked on together
_SIDE: Final = 512  # of the areas that are filled one by one
_REACH: Final = 128  # first step of the search for the nearest known pixel, which reaches twice as far
_COARSE: Final = 16  # scale of the small copy from which deeper holes are filled
Moved: TypeAlias = Callable[[float], None]
"""Called with the share of an image that is done, 0 to 1."""


@dataclass(frozen=True)
class Drawing:
    """An image that is translated as its rows are asked for; `strips` are HWC, from the top down, and come once."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    strips: abc.Generator[Image, None, None]

    def whole(self, dtype: np.dtype[Any] | None = None) -> Image:
        """Return all of it, HWC, in its own or another depth."""
        image, top = np.empty(self.shape, dtype or self.dtype), 0
        for strip in self.strips:
            image[top : top + len(strip)] = imaging.as_dtype(strip, image.dtype)
            top += len(strip)
        return image


def draw(
    network: Network, source: Strips, *, mask: Image | None = None, noise_seed: int | None = None,
    native: bool = False, moved: Moved | None = None,
) -> Drawing:  # fmt: skip
    """Translate an image some rows at a time; the arguments are those of the Translator."""
    height, width, _ = source.shape
    size = fitted_size((width, height), 0 if native else whole_side(network.info.jitter), network.info.jitter)
    passes = 1 + (size != (width, height)) + (network.generator.holes is not None)
    images = _inputs(network, source, mask, moved, passes)
    strips = _strips(network, images, source, size, noise_seed)
    return Drawing((height, width, network.info.out_channels), source.dtype, strips)


def _inputs(
    network: Network, source: Strips, mask: Image | None, moved: Moved | None, passes: int
) -> Callable[[int, int], Image]:
    """Return the function that gives rows of the model's input, HWC, and reports progress over a number of passes."""
    info, height, rows_done = network.info, source.shape[0], 0
    recipe, background = info.recipe, info.source.background
    paper = imaging.background_colour(background) or imaging.WHITE
    region = None if mask is None else region_of(mask, source.shape, recipe)
    tells = transparency_tells(source.shape[2], recipe, info.in_channels, background)
    ready = False
    holed = region is not None and bool(region.any())
    if "erase" in steps_of(recipe.recipe) and (tells or region is not None):
        if recipe.erase.fill in PER_IMAGE:  # a mean and a noise are those of the whole image
            whole = adapted(source.rows(0, height), region, recipe, info.in_channels, background)
            source, region, ready = Whole(whole), None, True
        elif tells and not holed:
            peak = imaging.PEAKS[str(source.dtype)]
            holed = any(bool((source.rows(*span)[..., -1] < peak).any()) for span in _spans(source.shape))

    def images(top: int, bottom: int) -> Image:
        nonlocal rows_done
        rows = source.rows(top, bottom)
        if not ready:
            marked = None if region is None else region[top:bottom]
            rows = adapted(rows, marked, recipe, info.in_channels, background, holed=holed)
        rows_done += bottom - top
        if moved is not None:
            moved(min(1.0, rows_done / (passes * height)))
        return imaging.as_channels(rows, info.in_channels, paper)

    return images


def _spans(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield the strips that are worked on together: first row, and the one after the last."""
    rows = max(1, _PIXELS // shape[1])
    for top in range(0, shape[0], rows):
        yield top, min(top + rows, shape[0])


def _strips(
    network: Network, images: Callable[[int, int], Image], source: Strips, size_wh: tuple[int, int],
    noise_seed: int | None,
) -> abc.Generator[Image, None, None]:  # fmt: skip
    """Yield the strips of the translated image."""
    height, width, _ = source.shape
    with torch.inference_mode(), varied(network.backbone, noise_seed):

        def tensors(top: int, bottom: int) -> Tensor:
            return network.tensor(images(top, bottom))

        rows: Rows = tensors
        if network.generator.holes is not None:
            rows = Filled(tensors, network.generator, (width, height)).rows
        if size_wh == (width, height):
            for band in network.bands(rows, size_wh):
                for top, bottom in _spans((band.maps.shape[2], width)):
                    yield network.finished(band.seen[:, :, top:bottom], band.maps[:, :, top:bottom], source.dtype)
            return
        maps = network.maps(_narrowed(network, images, rows, source.shape, size_wh))
        classes = network.classes_of(maps) if network.resizes_classes else None
        for top, bottom in _spans(source.shape):

            def enlarged(x: Tensor, top: int = top, bottom: int = bottom) -> Tensor:
                scale = x.shape[2] / height
                return _resampled(x, (0, top * scale, x.shape[3], bottom * scale), (width, bottom - top))

            if classes is not None:
                yield network.coloured(rows(top, bottom), network.resized_classes(classes, enlarged), source.dtype)
            else:
                yield network.finished(rows(top, bottom), enlarged(maps).clamp(-1, 1), source.dtype)


def _narrowed(
    network: Network, images: Callable[[int, int], Image], rows: Rows, shape: tuple[int, ...], size_wh: tuple[int, int]
) -> Tensor:
    """Return what the network sees of an image at another size, 1, C, h, w, narrowed strip by strip."""
    how, holes = network.info.jitter.resampling, network.generator.holes is not None
    strips, hidden = [], []
    for top, bottom in _spans(shape):
        if holes:
            prepared = rows(top, bottom)
            strip = imaging.to_image(prepared[0, :-1].cpu(), np.float32)
            hidden.append(F.interpolate(prepared[:, -1:], (bottom - top, size_wh[0]), mode="area"))
        else:
            strip = images(top, bottom)
        strips.append(imaging.resize(strip, (size_wh[0], bottom - top), how))
    small = network.tensor(imaging.resize(np.concatenate(strips), size_wh, how))
    if not holes:
        return small
    return torch.cat([small, F.interpolate(torch.cat(hidden, 2), size_wh[::-1], mode="area")], 1)


def _resampled(x: Tensor, box: Sequence[float], size_wh: tuple[int, int], how: Resampling = "bicubic") -> Tensor:
    """Resample the area `box` (left, top, right, bottom) of maps, 1, D, h, w, to a size.

    Pillow also looks at the pixels around the area, so that neighbouring areas fit together.
    """
    left, top, right, bottom = box
    area = (left, top, min(right, x.shape[3]), min(bottom, x.shape[2]))
    planes = [
        np.asarray(Pillow.fromarray(np.ascontiguousarray(plane)).resize(size_wh, FILTERS[how], box=area))
        for plane in x[0].float().cpu().numpy()
    ]
    return torch.from_numpy(np.stack(planes))[None].to(x.device)


class Filled:
    """Fills the holes of an image whose rows are asked for, as `Generator.prepare` does.

    The nearest known pixel is searched in a window around each area with holes, which is so wide that the window does
    not matter. Deeper holes are filled from a small copy of the image, which is smoother.
    """

    def __init__(self, rows: Rows, generator: Generator, size_wh: tuple[int, int]) -> None:
        """Make the small copy from the rows of the model's input, which are asked for again and again."""
        self._rows, self._generator = rows, generator
        self._width, self._height = size_wh
        sums, counts = [], []
        step = max(1, _PIXELS // self._width // _COARSE) * _COARSE
        for top in range(0, self._height, step):
            x, known = generator.shown(rows(top, min(top + step, self._height)))
            sums.append(_pooled(x * known))
            counts.append(_pooled(known))
        count = torch.cat(counts, 2)
        self._coarse = surroundings(torch.cat(sums, 2) / count.clamp(min=1), (count > 0).to(count.dtype))

    def rows(self, top: int, bottom: int) -> Tensor:
        """Return rows, filled, and in a last channel 1 where the holes were: 1, C, rows, W."""
        margin = 2 * _REACH + SMOOTHINGS
        above, below = max(0, top - margin), min(self._height, bottom + margin)
        x, known = self._generator.shown(self._rows(above, below))
        inside = slice(top - above, bottom - above)
        filled = x[:, :, inside].clone()
        for left in range(0, self._width, _SIDE):
            right = min(left + _SIDE, self._width)
            if not known[:, :, inside, left:right].amin():
                before, after = max(0, left - margin), min(self._width, right + margin)
                area, box = (..., slice(before, after)), (before, above, after, below)
                size_wh = (after - before, below - above)
                deep = _resampled(self._coarse, [side / _COARSE for side in box], size_wh, "bilinear")
                found = surroundings(x[area], known[area], _REACH, deep)
                filled[..., left:right] = found[:, :, inside, left - before : right - before]
        return torch.cat([filled, 1 - known[:, :, inside]], 1)


def _pooled(x: Tensor) -> Tensor:
    """Add up the pixels of each cell; cells at the border may be cut."""
    return F.avg_pool2d(x, _COARSE, ceil_mode=True, divisor_override=1)
