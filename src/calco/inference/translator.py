"""The Translator: a loaded model at work on one image."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco import imaging
from calco.data.augmentation import fitted_size, whole_side
from calco.data.palettes import Indices, Palette, decode, paint
from calco.data.recipes import recipe_title
from calco.errors import CalcoError, enough_memory
from calco.imaging import Image
from calco.imaging.strips import Whole
from calco.inference.folder import ModelInfo
from calco.inference.inputs import adapted, as_mask
from calco.inference.tiling import Band, Padded, Rows, blended, split_tiles, whole_tiles
from calco.networks.generator import Generator
from calco.networks.packed import can_pack, packed
from calco.networks.pieces import Split, pieces_of
from calco.records import check_numbers

BACKGROUND: Final = ("background", "unlabelled")
ACCENTS: Final = ((230, 57, 70), (29, 133, 231), (242, 169, 0), (46, 160, 67), (163, 76, 201), (0, 176, 176))
"""What takes the place of grey, which on a photograph looks like haze."""


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """How painted masks are laid over images."""

    alpha: float = 0.45
    """Of the colour's opacity, 0 to 1."""
    contour: int = 2
    """Width of the line around each area, in pixels of an image whose short side has 480; 0 draws none."""

    def __post_init__(self) -> None:
        check_numbers(self)
        if not 0 <= self.alpha <= 1:
            raise CalcoError(f"the overlay's alpha is {self.alpha}; it must lie in 0 (nothing) to 1 (the mask alone)")
        if not 0 <= self.contour <= 100:
            raise CalcoError(f"the overlay's contour is {self.contour} pixels; it must lie in 0 (none) to 100")


def colours_over(palette: Palette) -> list[tuple[int, int, int] | None]:
    """The colour that each class has over an image: its own, or one of `ACCENTS` where that is grey.

    None for the background, which is left as it is; where the palette names none, every class has a colour.
    """
    accents = iter(ACCENTS * len(palette))
    found: list[tuple[int, int, int] | None] = []
    for name, (red, green, blue) in palette:
        grey = max(red, green, blue) - min(red, green, blue) < 32
        found.append(None if name in BACKGROUND else next(accents) if grey else (red, green, blue))
    return found


def overlaid(image: Image, indices: Indices, palette: Palette, overlay: Overlay) -> Image:
    """An image with what was found in it in colour.

    Args:
        image: HWC, grey or RGB, of any depth; transparency is left out.
        indices: The class of each pixel, HW.
        palette: The classes and their colours.
        overlay: How.

    Returns:
        HW3 of the image's depth.
    """
    own = colours_over(palette)
    shown = imaging.as_dtype(imaging.as_channels(imaging.visible(image), 3), np.float32)
    colours = paint(indices, tuple((name, own[i] or (0, 0, 0)) for i, (name, _) in enumerate(palette)))
    tinted = np.isin(indices, [i for i, colour in enumerate(own) if colour is not None])
    opacity = np.where(tinted, np.float32(overlay.alpha), np.float32(0))
    if overlay.contour:
        width = max(1, round(overlay.contour * min(indices.shape) / 480))
        opacity[_edges(indices, width) & tinted] = 1
    mixed = shown + (imaging.as_dtype(colours, np.float32) - shown) * opacity[..., None]
    return imaging.as_dtype(np.clip(mixed, 0, 1), image.dtype)


def _edges(indices: Indices, width: int) -> npt.NDArray[np.bool_]:
    """Pixels within so many of one of another class, HW."""
    # In eight directions, and not over the image's border, where nothing ends.
    kernel: Any = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    low, high = (move(indices, kernel, borderType=cv2.BORDER_REPLICATE) for move in (cv2.erode, cv2.dilate))
    return np.asarray(low != high)


TILE, OVERLAP = 1024, 128


class _View(NamedTuple):
    """An image as the network sees it."""

    dtype: np.dtype[Any]  # of the image
    prepared: Tensor  # 1, C, H, W, at its own size
    seen: Tensor  # 1, C, h, w, at the network's


class Translator:
    """A loaded model: `translator(image) -> image`, any size in, the same size and type out, deterministic.

    A network recognises objects at the size at which it learned them. An image is therefore brought to the scale of
    training, and what the network draws back to the image's own size, where it is composed with the untouched input;
    a model trained at native scale (`resize` 0) sees images as they are, in tiles when they are large.

    Attributes:
        info: What the model is.
        device: Where it computes.
        mean_target: The mean of the targets it was trained on, HWC uint8, or None.
        overlay: How what it paints is laid over the image; None gives the painted mask alone.
    """

    overlay: Overlay | None = None

    def __init__(
        self,
        info: ModelInfo,
        generator: Generator,
        *,
        mean_target: Image | None = None,
        device: str | torch.device = "cpu",
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.info = info
        self.device = torch.device(device)
        self.precision = precision
        self.generator = generator.to(self.device).eval()
        self.mean_target = mean_target
        self._packed: nn.Module | None = None

    def __call__(
        self, image: Image, *, mask: Image | None = None, noise_seed: int | None = None, native: bool = False
    ) -> Image:
        """Translates one image.

        Args:
            image: HWC or HW, uint8, uint16 or float32 in [0, 1], of any size; grey and RGB, with alpha or without,
                become each other, while a model of bands takes as many as it learned from.
            mask: For a model that learned to fill holes, what is to be redrawn: HW bool, or an image that is white
                there. Without it, what is transparent, or has the colour of the holes of the training.
            noise_seed: Leaves dropout on, drawn from this seed, for variety; None for the one deterministic result.
            native: Shows the network the image at its own scale, whatever the scale of training was.

        Returns:
            HWC of the same height, width and dtype, with the channels of the training targets.

        Raises:
            CalcoError: When the array is not an image (see `imaging.as_image`), the mask does not fit, or the memory
                does not suffice.
        """
        image = imaging.as_image(image)
        if noise_seed is not None and not 0 <= noise_seed < 1 << 63:
            raise CalcoError(f"noise seed is {noise_seed}; it must lie between 0 and 2**63 - 1: for example 7")
        mask = None if mask is None else as_mask(mask)
        height, width = image.shape[:2]
        with enough_memory(f"the image has {width}x{height} pixels: close other programs, or give a smaller one"):
            if height * width > imaging.LARGE:
                from calco.inference.large import draw  # which knows the Translator

                return draw(self, Whole(image), mask=mask, noise_seed=noise_seed, native=native).whole()
            with torch.inference_mode(), dropout(self.backbone, noise_seed):
                view = self._view(image, mask, native)
                return self._drawn(view, self.maps(view.seen))

    def _view(self, image: Image, mask: Image | None, native: bool) -> "_View":
        """An image on its way into the network."""
        height, width = image.shape[:2]
        jitter = self.info.jitter
        image = adapted(image, mask, self.info.recipe, self.info.in_channels, self.info.source.background)
        paper = imaging.background_colour(self.info.source.background) or imaging.WHITE
        image = imaging.as_channels(image, self.info.in_channels, paper)
        size = fitted_size((width, height), 0 if native else whole_side(jitter), jitter)
        prepared = self.generator.prepare(self.tensor(image))
        seen = prepared if size == (width, height) else self._resized(image, prepared, size)
        return _View(image.dtype, prepared, seen)

    def _drawn(self, view: "_View", maps: Tensor) -> Image:
        """The image that the network's maps make, at the size that was given."""
        size = view.prepared.shape[2:]
        if maps.shape[2:] != size:
            if self.resizes_classes:
                classes = self.classes_of(maps)
                held = np.unique(classes)
                planes = class_planes(classes, held).to(self.device)
                best = torch.full((1, 1, *size), -math.inf, device=self.device)
                chosen = torch.zeros((1, 1, *size), dtype=torch.uint8, device=self.device)
                for place in range(len(held)):  # one at a time: many classes of a large image are many planes
                    plane = planes[:, place : place + 1].contiguous()
                    plane = F.interpolate(plane, size, mode="bicubic", antialias=True)
                    chosen[plane > best] = int(held[place])
                    best = torch.maximum(best, plane)
                return self.coloured(view.prepared, chosen[0, 0].cpu().numpy(), view.dtype)
            # Bicubic overshoots at edges; the maps' own range is [-1, 1].
            # With the channels last, torch 2 is wrong by up to a quarter where the result is one pixel wide.
            maps = F.interpolate(maps.contiguous(), size, mode="bicubic", antialias=True).clamp(-1, 1)
        return self.finished(view.prepared, maps, view.dtype)

    @property
    def resizes_classes(self) -> bool:
        """Whether maps become classes before they are resized: a mixture of two colours may be that of a third."""
        return self.info.palette is not None and self.info.generator.composition == "plain"

    def classes_of(self, maps: Tensor) -> Indices:
        """The class of each pixel of the maps, HW, by the nearest colour of the palette."""
        assert self.info.palette is not None
        return decode(imaging.to_image(maps[0]), self.info.palette)

    def finished(self, prepared: Tensor, maps: Tensor, dtype: np.dtype[Any]) -> Image:
        """The image, or rows of it, that maps of its size make of what was prepared: 1, C, H, W twice => HWC."""
        drawn = self.generator.compose(prepared, maps)[0]
        if self.info.palette is not None and drawn.shape[0] == 3:
            return self.coloured(prepared, decode(imaging.to_image(drawn), self.info.palette), dtype)
        return imaging.to_image(drawn, dtype)

    def coloured(self, prepared: Tensor, classes: Indices, dtype: np.dtype[Any]) -> Image:
        """Classes HW in the colours of the palette, or laid over the image: HWC."""
        assert self.info.palette is not None
        if self.overlay is not None:
            return overlaid(imaging.to_image(prepared[0], dtype), classes, self.info.palette, self.overlay)
        return imaging.as_dtype(paint(classes, self.info.palette), dtype)

    def _resized(self, image: Image, prepared: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """What the network sees of an image at another size, resampled as the images of the training were."""
        how = self.info.jitter.resampling
        if self.generator.holes is None:
            return self.tensor(imaging.resize(image, size_wh, how))
        # The colour of the holes must not bleed into its surroundings: filled first, then resized.
        filled = imaging.resize(imaging.to_image(prepared[0, :-1].cpu(), np.float32), size_wh, how)
        holes = F.interpolate(prepared[:, -1:], size_wh[::-1], mode="area")
        return torch.cat([self.tensor(filled), holes], 1)

    def tensor(self, image: Image) -> Tensor:
        """HWC => 1, C, H, W in [-1, 1] on the Translator's device."""
        return imaging.to_tensor(image)[None].to(self.device)

    def lay_over(self, overlay: Overlay | None) -> None:
        """From now on gives the image with what it paints laid over it; None for the painted mask again.

        Raises:
            CalcoError: When the model paints no classes.
        """
        if overlay is not None and (self.info.palette is None or self.info.out_channels != 3):
            raise CalcoError(
                f"--overlay lays the colours of classes over images, and the model learned "
                f"{recipe_title(self.info.recipe.recipe)}; leave it out, or take a model of --recipe segment"
            )
        self.overlay = overlay

    @property
    def backbone(self) -> nn.Module:
        """What draws: the generator's backbone, or its packed copy."""
        if self._packed is None and can_pack(self.device):
            self._packed = packed(self.generator.backbone, self.precision)
        return self._packed or self.generator.backbone

    def maps(self, seen: Tensor) -> Tensor:
        """What the network draws of what it sees: 1, C, H, W => 1, D, H, W."""
        size_wh = (seen.shape[3], seen.shape[2])
        return torch.cat([band.maps for band in self.bands(lambda top, end: seen[:, :, top:end], size_wh)], 2)

    def bands(self, rows: Rows, size_wh: tuple[int, int]) -> Iterator[Band]:
        """What the network draws of an image whose rows are asked for: some rows of it after others."""
        multiple, network = self.generator.multiple, self.backbone
        padded = Padded(rows, size_wh, multiple)
        tile = max(multiple, TILE // multiple * multiple)
        if padded.height <= tile and padded.width <= tile:
            seen = padded.rows(0, padded.height)
            yield Band(padded.cut(seen, 0), padded.cut(self._applied(network, seen).float(), 0))
            return
        pieces = pieces_of(network, padded.height * padded.width, self.precision.itemsize)
        if isinstance(pieces, Split):
            yield from split_tiles(pieces, self._applied, padded, tile=tile)
        elif pieces is not None:
            rim = -(-pieces.rim // multiple) * multiple
            yield from whole_tiles(lambda x: self._applied(network, x).float(), padded, tile=tile, rim=rim)
        else:
            yield from blended(lambda x: self._applied(network, x).float(), padded, tile=tile, overlap=OVERLAP)

    def _applied(self, part: Callable[..., Tensor], x: Tensor) -> Tensor:
        """A part of the network, or the whole, in the Translator's precision."""
        x = x.contiguous(memory_format=torch.channels_last)
        if self._packed is not None:
            return part(x.to(self.precision))
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            return part(x)


def class_planes(classes: Indices, held: npt.NDArray[np.uint8]) -> Tensor:
    """Classes HW => 1, K, H, W: a plane for each of the classes `held`, 1 where it is."""
    return torch.from_numpy((classes[None] == held[:, None, None]).astype(np.float32))[None]


@contextlib.contextmanager
def dropout(generator: nn.Module, noise_seed: int | None) -> Iterator[None]:
    """Leaves dropout on, drawn from a seed; None leaves it off."""
    if noise_seed is None:
        yield
        return
    layers = [m for m in generator.modules() if isinstance(m, nn.Dropout)]
    with torch.random.fork_rng():
        torch.manual_seed(noise_seed)
        for layer in layers:
            layer.train()
        try:
            yield
        finally:
            for layer in layers:
                layer.eval()
