"""The Translator: a loaded model, applied to one image."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from calco import imaging
from calco.data.augmentation import fitted_size, whole_side
from calco.errors import CalcoError, enough_memory
from calco.imaging import Image
from calco.imaging.strips import Whole
from calco.inference.folder import ModelInfo
from calco.inference.large import draw
from calco.inference.network import Network, adapted, varied
from calco.networks.generator import Generator


class Translator(Network):
    """A loaded model: `translator(image) -> image`, any size in, the same size and type out, deterministic.

    A network recognises objects at the size at which it learned them. An image is therefore resized to the scale of the
    training, and the network's output to the image's own size, where it is composed with the untouched input; a model
    trained at native scale (`resize` 0) sees images as they are, in tiles if they are large.

    Attributes:
        info: Description of the model.
        device: Device of the computation.
        overlay: How painted masks are laid over the image; None gives the masks alone.
    """

    def __init__(
        self, info: ModelInfo, generator: Generator, *, mean_target: Callable[[], Image | None] = lambda: None,
        device: str | torch.device = "cpu", precision: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        super().__init__(info, generator, torch.device(device), precision)
        self._mean_target = mean_target

    @cached_property
    def mean_target(self) -> Image | None:
        """Mean of the targets of the training, HWC uint8; None if the model does not hold it."""
        return self._mean_target()

    def __call__(
        self, image: Image, *, mask: Image | None = None, noise_seed: int | None = None, native: bool = False
    ) -> Image:
        """Translate one image.

        Args:
            image: HWC or HW, uint8, uint16 or float32 in [0, 1], of any size; grey and RGB, with or without alpha, are
                converted to each other, while a model of bands needs as many as it learned from.
            mask: Area to redraw, for a model that learned to fill holes: HW bool, or an image that is white there.
                Without it, transparent pixels and those of the fill colour of the training are redrawn.
            noise_seed: Keep dropout on, with random numbers from this seed, for variety; None for the deterministic
                result.
            native: Show the network the image at its own scale, whatever the scale of the training was.

        Returns:
            HWC of the same height, width and dtype, with the channels of the training targets.

        Raises:
            CalcoError: If the array is not an image (see `imaging.as_image`), the mask does not fit, or there is not
                enough memory.
        """
        image = imaging.as_image(image)
        if noise_seed is not None and not 0 <= noise_seed < 1 << 63:
            raise CalcoError(f"noise seed is {noise_seed}; it must lie between 0 and 2**63 - 1: for example 7")
        if mask is not None and not (getattr(mask, "dtype", None) == np.bool_ and mask.ndim in (2, 3)):
            mask = imaging.as_image(mask, "the mask")
        height, width = image.shape[:2]
        with enough_memory(f"the image has {width}x{height} pixels: close other programs, or give a smaller one"):
            if height * width > imaging.LARGE:
                return draw(self, Whole(image), mask=mask, noise_seed=noise_seed, native=native).whole()
            with torch.inference_mode(), varied(self.backbone, noise_seed):
                prepared, seen = self._prepared(image, mask, native)
                return self._composed(prepared, self.maps(seen), image.dtype)

    def _prepared(self, image: Image, mask: Image | None, native: bool) -> tuple[Tensor, Tensor]:
        """Prepare an image for the network: 1, C, H, W at its own size, and 1, C, h, w at the network's."""
        height, width = image.shape[:2]
        jitter = self.info.jitter
        image = adapted(image, mask, self.info.recipe, self.info.in_channels, self.info.source.background)
        paper = imaging.background_colour(self.info.source.background) or imaging.WHITE
        image = imaging.as_channels(image, self.info.in_channels, paper)
        size = fitted_size((width, height), 0 if native else whole_side(jitter), jitter)
        prepared = self.generator.prepare(self.tensor(image))
        return prepared, prepared if size == (width, height) else self._resized(image, prepared, size)

    def _composed(self, prepared: Tensor, maps: Tensor, dtype: np.dtype[Any]) -> Image:
        """Compose the network's maps with the image, at its size."""
        size = prepared.shape[2:]
        if maps.shape[2:] != size:
            if self.resizes_classes:
                classes = self.resized_classes(
                    self.classes_of(maps),
                    lambda plane: F.interpolate(plane.contiguous(), size, mode="bicubic", antialias=True),
                )
                return self.coloured(prepared, classes, dtype)
            # Bicubic overshoots at edges; the maps' own range is [-1, 1].
            # With the channels last, torch 2 is wrong by up to a quarter where the result is one pixel wide.
            maps = F.interpolate(maps.contiguous(), size, mode="bicubic", antialias=True).clamp(-1, 1)
        return self.finished(prepared, maps, dtype)

    def _resized(self, image: Image, prepared: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """Resize a prepared image for the network, resampled as the images of the training were."""
        how = self.info.jitter.resampling
        if self.generator.holes is None:
            return self.tensor(imaging.resize(image, size_wh, how))
        # The colour of the holes must not bleed into its surroundings: filled first, then resized.
        filled = imaging.resize(imaging.to_image(prepared[0, :-1].cpu(), np.float32), size_wh, how)
        holes = F.interpolate(prepared[:, -1:], size_wh[::-1], mode="area")
        return torch.cat([self.tensor(filled), holes], 1)
