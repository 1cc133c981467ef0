"""The network of a loaded model, applied in tiles to images of any size, and the images made of its maps."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from calco import imaging
from calco.data.palettes import Indices, decode, paint
from calco.data.recipes import recipe_title
from calco.errors import CalcoError
from calco.imaging import Image
from calco.inference.folder import ModelInfo
from calco.inference.overlay import Overlay, overlaid
from calco.inference.tiling import Band, Padded, Rows, blended
from calco.networks import cpu
from calco.networks.cpu.packed import packed
from calco.networks.generator import Generator

TILE: Final = 1024  # pixels of a tile's side
OVERLAP: Final = 128  # pixels that tiles share where their borders are blended
_BAND: Final = 1 << 24  # pixels of a band of tiles, about: those of a wide image are lower


class Network:
    """The network of a loaded model, and the way from its maps to an image."""

    overlay: Overlay | None = None  # how painted masks are laid over the image; None gives the masks alone

    def __init__(self, info: ModelInfo, generator: Generator, device: torch.device, precision: torch.dtype) -> None:
        self.info = info
        self.device = device
        self.precision = precision
        self.generator = generator.to(device).eval()
        self._packed: nn.Module | None = None

    @property
    def resizes_classes(self) -> bool:
        """True if maps become classes before they are resized: a mixture of two colours may be that of a third."""
        return self.info.palette is not None and self.info.generator.composition == "plain"

    def classes_of(self, maps: Tensor) -> Indices:
        """Return the class of each pixel of the maps, HW, by the nearest colour of the palette."""
        assert self.info.palette is not None
        return decode(imaging.to_image(maps[0]), self.info.palette)

    def resized_classes(self, classes: Indices, resize: Callable[[Tensor], Tensor]) -> Indices:
        """Resize classes, HW, by a function that resizes a plane, 1, 1, H, W, for each of them; the largest wins."""
        best, chosen = torch.zeros(0), torch.zeros(0)
        for number, value in enumerate(np.unique(classes)):  # one at a time: all planes would take much memory
            plane = resize(torch.from_numpy((classes == value).astype(np.float32))[None, None].to(self.device))
            if not number:
                best, chosen = plane, torch.full(plane.shape, int(value), dtype=torch.uint8, device=self.device)
            chosen[plane > best] = int(value)
            best = torch.maximum(best, plane)
        return np.asarray(chosen[0, 0].cpu().numpy())

    def finished(self, prepared: Tensor, maps: Tensor, dtype: np.dtype[Any]) -> Image:
        """Compose an image, or rows of it, from what was prepared and maps of its size: 1, C, H, W twice => HWC."""
        composed = self.generator.compose(prepared, maps)[0]
        if self.info.palette is not None and composed.shape[0] == 3:
            return self.coloured(prepared, decode(imaging.to_image(composed), self.info.palette), dtype)
        return imaging.to_image(composed, dtype)

    def coloured(self, prepared: Tensor, classes: Indices, dtype: np.dtype[Any]) -> Image:
        """Return classes HW in the colours of the palette, or laid over the image: HWC."""
        assert self.info.palette is not None
        if self.overlay is not None:
            return overlaid(imaging.to_image(prepared[0], dtype), classes, self.info.palette, self.overlay)
        return imaging.as_dtype(paint(classes, self.info.palette), dtype)

    def tensor(self, image: Image) -> Tensor:
        """Convert HWC to 1, C, H, W in [-1, 1] on the device."""
        return imaging.to_tensor(image)[None].to(self.device)

    def lay_over(self, overlay: Overlay | None) -> None:
        """Lay painted classes over the images from now on; None gives the painted mask alone again."""
        if overlay is not None and (self.info.palette is None or self.info.out_channels != 3):
            raise CalcoError(
                f"--overlay lays the colours of classes over images, and the model learned "
                f"{recipe_title(self.info.recipe.recipe)}; leave it out, or take a model of --recipe segment"
            )
        self.overlay = overlay

    @property
    def backbone(self) -> nn.Module:
        """The generator's backbone, or its packed copy."""
        if self._packed is None and cpu.applies(self.device, self.precision):
            self._packed = packed(self.generator.backbone, self.precision)
        return self._packed or self.generator.backbone

    def maps(self, seen: Tensor) -> Tensor:
        """Apply the network to what it sees of an image: 1, C, H, W => 1, D, H, W."""
        size_wh = (seen.shape[3], seen.shape[2])
        return torch.cat([band.maps for band in self.bands(lambda top, end: seen[:, :, top:end], size_wh)], 2)

    def bands(self, rows: Rows, size_wh: tuple[int, int]) -> Iterator[Band]:
        """Apply the network to an image whose rows are asked for; yields bands of rows."""
        multiple, network = self.generator.multiple, self.backbone
        padded = Padded(rows, size_wh, multiple)
        width, height = (max(multiple, side // multiple * multiple) for side in (TILE, min(TILE, _BAND // size_wh[0])))
        if padded.height <= height and padded.width <= width:
            seen = padded.rows(0, padded.height)
            yield Band(padded.cut(seen, 0), padded.cut(self._applied(network, seen).float(), 0))
            return
        tile_wh = width, height
        yield from blended(lambda x: self._applied(network, x).float(), padded, tile_wh=tile_wh, overlap=OVERLAP)

    def _applied(self, network: nn.Module, x: Tensor) -> Tensor:
        """Apply the backbone in its precision."""
        x = x.contiguous(memory_format=torch.channels_last)
        if self._packed is not None:
            return torch.as_tensor(network(x.to(self.precision)))
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            return torch.as_tensor(network(x))


@contextlib.contextmanager
def dropout(generator: nn.Module, noise_seed: int | None) -> Iterator[None]:
    """Keep dropout on inside, with random numbers from a seed; None leaves it off."""
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
