"""The network of a loaded model: applied in tiles to images of any size, and what becomes of its maps."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from calco import imaging
from calco.data.palettes import Indices, decode, paint
from calco.data.recipes import recipe_title
from calco.errors import CalcoError
from calco.imaging import Image
from calco.inference.folder import ModelInfo
from calco.inference.overlay import Overlay, overlaid
from calco.inference.tiling import Band, Padded, Rows, blended, split_tiles, whole_tiles
from calco.networks import cpu
from calco.networks.cpu.packed import packed
from calco.networks.generator import Generator
from calco.networks.pieces import Split, pieces_of

TILE: Final = 1024  # pixels of a tile's side
OVERLAP: Final = 128  # pixels that tiles share where their borders are blended


class Network:
    """The network of a loaded model, and the way from its maps to an image.

    Attributes:
        info: Description of the model.
        generator: The network.
        device: Device of the computation.
        precision: Type of the numbers that it computes with.
        overlay: How painted masks are laid over the image; None gives the masks alone.
    """

    overlay: Overlay | None = None

    def __init__(self, info: ModelInfo, generator: Generator, device: torch.device, precision: torch.dtype) -> None:
        self.info = info
        self.device = device
        self.precision = precision
        self.generator = generator.to(device).eval()
        self._packed: nn.Module | None = None

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
        if self._packed is None and cpu.applies(self.device, self.precision):
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
