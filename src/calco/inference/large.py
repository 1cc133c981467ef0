"""Images that are large: read, translated and written some rows at a time.

What comes out is what the Translator makes of the whole image, but for rounding. Two ways lead there, as for every
image. At the scale of training, rows are narrowed as they come, the network draws once, and its maps are enlarged
and joined with the untouched input, row by row. At the image's own scale the network draws bands of tiles.
"""

from collections import abc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from calco import imaging
from calco.data.augmentation import fitted_size, whole_side
from calco.data.recipe_config import PER_IMAGE
from calco.data.recipes import steps_of
from calco.imaging import Image
from calco.imaging.strips import Shrinking, Strips, Whole
from calco.inference.inputs import adapted, region_of, transparency_tells
from calco.inference.network import Network, class_planes, dropout
from calco.inference.tiling import Rows
from calco.networks.generator import Generator, surroundings

_PASS: Final = 512  # rows that are looked at together; a power of two
_SIDE: Final = 512  # of the areas that are filled one by one
_DEEPEST: Final = 512  # pixels up to which the nearest known one is looked for
_COARSE: Final = 16  # of what stands in deeper holes, which is drawn so many times smaller


class Filled:
    """What `Generator.prepare` makes of an image whose holes are filled, from its rows.

    The nearest known pixel is looked for in a window around each area with holes, as wide as the search in the whole
    image reaches: so it finds the same. In holes deeper than `_DEEPEST` pixels, what is out of reach comes from a
    small copy of the image that is filled whole.

    Args:
        rows: The rows of what the model takes, 1, C, rows, W; asked for again and again.
        generator: The network.
        size_wh: Width and height of the image.
    """

    def __init__(self, rows: Rows, generator: Generator, size_wh: tuple[int, int]) -> None:
        self._given, self._generator = rows, generator
        self._width, self._height = size_wh
        step, coarse = self._surveyed()
        self._step = min(step, _DEEPEST)
        self._coarse = coarse if step > _DEEPEST else None

    def rows(self, top: int, bottom: int) -> Tensor:
        """The rows from one on and before another, filled, and in a last channel 1 where they were: 1, C, rows, W."""
        margin = 2 * self._step
        above, below = max(0, top - margin), min(self._height, bottom + margin)
        x, known = self._generator.shown(self._given(above, below))
        inside = slice(top - above, bottom - above)
        filled = x[:, :, inside].clone()
        for left in range(0, self._width, _SIDE):
            right = min(left + _SIDE, self._width)
            if not known[:, :, inside, left:right].amin():
                before, after = max(0, left - margin), min(self._width, right + margin)
                area = (..., slice(before, after))
                deep = None if self._coarse is None else self._deep(above, below, before, after)
                found = surroundings(x[area], known[area], self._step, deep)
                filled[..., left:right] = found[:, :, inside, left - before : right - before]
        return torch.cat([filled, 1 - known[:, :, inside]], 1)

    def _surveyed(self) -> tuple[int, Tensor]:
        """The first step of a search in the whole image, and a small copy of it, filled."""
        levels = range(1, _PASS.bit_length())
        full = dict.fromkeys([0, *levels], True)
        rests, sums, counts = [], [], []
        for top in range(0, self._height, _PASS):
            x, known = self._generator.shown(self._given(top, min(top + _PASS, self._height)))
            sums.append(_added(x * known))
            counts.append(_added(known))
            full[0] &= bool(known.amin() > 0)
            for level in levels:
                known = F.max_pool2d(known, 2, ceil_mode=True)
                full[level] &= bool(known.amin() > 0)
            rests.append(known)
        step = next((1 << level for level, all_known in full.items() if all_known), 0)
        if not step:
            rest, step = torch.cat(rests, 2), _PASS
            while rest.amin() == 0 and max(rest.shape[-2:]) > 1:
                rest, step = F.max_pool2d(rest, 2, ceil_mode=True), 2 * step
        count = torch.cat(counts, 2)
        return step, surroundings(torch.cat(sums, 2) / count.clamp(min=1), (count > 0).to(count.dtype))

    def _deep(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        """An area of the small copy, enlarged."""
        assert self._coarse is not None
        places = [
            _places(start, end, size, self._coarse.device)
            for (start, end), size in zip(((top, bottom), (left, right)), self._coarse.shape[-2:], strict=True)
        ]
        grid = torch.stack(torch.meshgrid(*places, indexing="ij")[::-1], -1)[None]
        return F.grid_sample(self._coarse, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _places(start: int, end: int, cells: int, device: torch.device) -> Tensor:
    """Where pixels lie in the small copy, in grid_sample's numbers: -1 to 1 from border to border."""
    return (torch.arange(start, end, device=device) + 0.5) * (2 / (cells * _COARSE)) - 1


def _added(x: Tensor) -> Tensor:
    """Sums over cells; those at the border may be cut."""
    return F.avg_pool2d(x, _COARSE, ceil_mode=True, divisor_override=1)


_PIXELS: Final = 1 << 20  # that are worked on together
Moved: TypeAlias = Callable[[float], None]
"""Is told how much of an image is done, 0 to 1."""


@dataclass(frozen=True)
class Drawing:
    """An image that is drawn as its rows are asked for.

    Attributes:
        shape: Height, width and channels.
        dtype: Of its rows.
        strips: HWC from the top down; may be gone through once.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    strips: abc.Generator[Image, None, None]

    def whole(self, dtype: np.dtype[Any] | None = None) -> Image:
        """All of it, HWC, in its own or another depth."""
        image, top = np.empty(self.shape, dtype or self.dtype), 0
        for strip in self.strips:
            image[top : top + len(strip)] = imaging.as_dtype(strip, image.dtype)
            top += len(strip)
        return image


def draw(
    network: Network,
    source: Strips,
    *,
    mask: Image | None = None,
    noise_seed: int | None = None,
    native: bool = False,
    moved: Moved | None = None,
) -> Drawing:
    """Translates an image some rows at a time.

    Args:
        network: The network of the model.
        source: The image.
        mask: As of the Translator.
        noise_seed: As of the Translator.
        native: As of the Translator.
        moved: Is told how much is done.

    Raises:
        CalcoError: When a mask has another size, or is missing; the rest as the rows are asked for.
    """
    height, width, _ = source.shape
    strips = _drawn(network, _Input(network, source, mask, moved), noise_seed, native)
    return Drawing((height, width, network.info.out_channels), source.dtype, strips)


class _Input:
    """What the model takes of an image, from its rows."""

    def __init__(self, network: Network, source: Strips, mask: Image | None, moved: Moved | None) -> None:
        info = network.info
        self._network, self._info, self._source = network, info, source
        self.paper = imaging.background_colour(info.source.background) or imaging.WHITE
        self._region = None if mask is None else region_of(mask, source.shape, info.recipe)
        self._tells = transparency_tells(source.shape[2], info.recipe, info.in_channels, info.source.background)
        self._moved, self._pass, self._passes, self._ended = moved, 0, 1, False
        self._kept: tuple[int, Image] = 0, np.empty((0, *source.shape[1:]), source.dtype)
        self._holed: bool | None = None
        self._ready = False  # whether the rows are what the recipe makes of them
        if "erase" in steps_of(info.recipe.recipe) and (self._tells or self._region is not None):
            if info.recipe.erase.fill in PER_IMAGE:
                # A mean and a noise are those of the whole image.
                whole = source.rows(0, source.shape[0])
                self._source = Whole(self._made(whole, self._region))
                self._region, self._ready = None, True
            else:
                self._holed = self._any_hole()

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height."""
        return self._source.shape[1], self._source.shape[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the image."""
        return self._source.dtype

    def expect(self, passes: int) -> None:
        """Tells how often the rows will be gone through, for the progress."""
        self._pass, self._passes, self._ended = 0, passes, False

    def images(self, top: int, bottom: int) -> Image:
        """The rows from one on and before another: HWC with the channels that the model takes."""
        if top == 0 and self._ended:
            self._pass += 1
        self._ended = bottom == self._source.shape[0]
        region = None if self._region is None else self._region[top:bottom]
        rows = imaging.as_channels(self._made(self._read(top, bottom), region), self._info.in_channels, self.paper)
        if self._moved is not None:
            self._moved(min(1.0, (self._pass + bottom / self._source.shape[0]) / self._passes))
        return rows

    def tensors(self, top: int, bottom: int) -> Tensor:
        """The same as 1, C, rows, W in [-1, 1]."""
        return self._network.tensor(self.images(top, bottom))

    def _made(self, rows: Image, region: Image | None) -> Image:
        info = self._info
        if self._ready:
            return rows
        return adapted(rows, region, info.recipe, info.in_channels, info.source.background, holed=self._holed)

    def _any_hole(self) -> bool:
        if self._region is not None and self._region.any():
            return True
        height, width, _ = self._source.shape
        peak = imaging.PEAKS[str(self.dtype)]
        return self._tells and any(
            bool((self._source.rows(top, bottom)[..., -1] < peak).any()) for top, bottom in strips_of(height, width)
        )

    def _read(self, top: int, bottom: int) -> Image:
        """Rows of the source; those that were read just now are not unpacked again."""
        if isinstance(self._source, Whole):
            return self._source.rows(top, bottom)
        start, kept = self._kept
        end = start + len(kept)
        if start <= top < end:
            parts = [kept[top - start : bottom - start]]
            if bottom > end:
                parts.append(self._source.rows(end, bottom))
            # What stands below stays, in case that less is asked for than the last time.
            whole = np.concatenate(parts) if len(parts) > 1 else kept[top - start :]
        else:
            whole = self._source.rows(top, bottom)
        self._kept = top, whole
        return whole[: bottom - top]


def strips_of(height: int, width: int) -> Iterator[tuple[int, int]]:
    """The strips that are worked on together: first row, and the one after the last."""
    rows = max(1, _PIXELS // width)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def _drawn(network: Network, given: _Input, noise_seed: int | None, native: bool) -> abc.Generator[Image, None, None]:
    """The strips of the image."""
    info, generator = network.info, network.generator
    size = fitted_size(given.size_wh, 0 if native else whole_side(info.jitter), info.jitter)
    with torch.inference_mode(), dropout(network.backbone, noise_seed):
        at_once = size == given.size_wh
        given.expect(2 + (generator.holes is not None))
        rows: Rows = given.tensors
        if generator.holes is not None:
            rows = Filled(given.tensors, generator, given.size_wh).rows
        if at_once:
            for band in network.bands(rows, given.size_wh):
                for top, bottom in strips_of(band.maps.shape[2], given.size_wh[0]):
                    seen, maps = band.seen[:, :, top:bottom], band.maps[:, :, top:bottom]
                    yield network.finished(seen, maps, given.dtype)
            return
        maps = network.maps(_seen(network, given, rows, size))
        if network.resizes_classes:
            classes = network.classes_of(maps)
            held = np.unique(classes)
            planes = Enlarged(class_planes(classes, held).to(maps.device), given.size_wh)
            for top, bottom in strips_of(*given.size_wh[::-1]):
                chosen = held[planes.rows(top, bottom)[0].argmax(0).cpu().numpy()]
                yield network.coloured(rows(top, bottom), chosen, given.dtype)
            return
        enlarged = Enlarged(maps, given.size_wh)
        for top, bottom in strips_of(*given.size_wh[::-1]):
            yield network.finished(rows(top, bottom), enlarged.rows(top, bottom), given.dtype)


def _seen(network: Network, given: _Input, rows: Rows, size_wh: tuple[int, int]) -> Tensor:
    """What the network sees of an image at another size: 1, C, h, w."""
    info, (width, height) = network.info, given.size_wh
    how, holes = info.jitter.resampling, network.generator.holes
    dtype = given.dtype if holes is None else np.dtype(np.float32)
    channels = info.in_channels - (holes == "channel")
    shrinking = Shrinking((height, width, channels), dtype, size_wh, how)
    shares = []
    for top, bottom in strips_of(height, width):
        if holes is None:
            shrinking.add(given.images(top, bottom))
            continue
        prepared = rows(top, bottom)
        shrinking.add(imaging.to_image(prepared[0, :-1].cpu(), np.float32))
        shares.append(_averaged(prepared[0, -1].double(), size_wh[0]))
    small = network.tensor(shrinking.done())
    if holes is None:
        return small
    hidden = _averaged(torch.cat(shares).T, size_wh[1]).T
    return torch.cat([small, hidden[None, None].float()], 1)


def _averaged(x: Tensor, length: int) -> Tensor:
    """Rows, W => rows, `length`: means of areas, as `F.interpolate` takes them."""
    have = x.shape[1]
    sums = F.pad(x.cumsum(1), (1, 0))
    starts = torch.arange(length, device=x.device) * have // length
    ends = -(-(torch.arange(1, length + 1, device=x.device) * have) // length)
    return (sums[:, ends] - sums[:, starts]) / (ends - starts)


class Enlarged:
    """Maps at another size, some rows at a time: bicubic and antialiased, as torch and Pillow have it.

    Args:
        maps: 1, D, h, w.
        size_wh: Width and height that are wanted.
    """

    def __init__(self, maps: Tensor, size_wh: tuple[int, int]) -> None:
        self._height = size_wh[1]
        # The columns are no matter: maps are seldom high.
        self._maps = F.interpolate(maps.contiguous(), (maps.shape[2], size_wh[0]), mode="bicubic", antialias=True)

    def rows(self, top: int, bottom: int) -> Tensor:
        """The rows from one on and before another, 1, D, rows, W, in [-1, 1]: bicubic overshoots at edges."""
        have = self._maps.shape[2]
        scale = have / self._height
        wide = max(1.0, scale)  # of the filter, in rows of the maps; it grows where these shrink
        centres = (torch.arange(top, bottom, dtype=torch.float64) + 0.5) * scale
        first = max(0, int(float(centres[0]) - 2 * wide))
        last = min(have, int(float(centres[-1]) + 2 * wide) + 2)
        away = (torch.arange(first, last, dtype=torch.float64) + 0.5 - centres[:, None]).abs() / wide
        weights = _cubic(away)
        weights = (weights / weights.sum(1, keepdim=True)).float().to(self._maps.device)
        return torch.einsum("rh,ndhw->ndrw", weights, self._maps[:, :, first:last]).clamp(-1, 1)


def _cubic(x: Tensor) -> Tensor:
    """Keys' kernel with a = -0.5 (IEEE ASSP 29, 1981), at distances of 0 and more."""
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
