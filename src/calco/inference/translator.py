"""The Translator: a loaded model at work on one image."""

import math
from typing import Any, NamedTuple

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
from calco.inference.inputs import adapted, as_mask
from calco.inference.large import draw
from calco.inference.network import Network, class_planes, dropout
from calco.networks.generator import Generator


class _View(NamedTuple):
    """An image as the network sees it."""

    dtype: np.dtype[Any]  # of the image
    prepared: Tensor  # 1, C, H, W, at its own size
    seen: Tensor  # 1, C, h, w, at the network's


class Translator(Network):
    """A loaded model: `translator(image) -> image`, any size in, the same size and type out, deterministic.

    A network recognises objects at the size at which it learned them. An image is therefore brought to the scale of
    training, and what the network draws back to the image's own size, where it is composed with the untouched input;
    a model trained at native scale (`resize` 0) sees images as they are, in tiles when they are large.

    Attributes:
        info: Description of the model.
        device: Device of the computation.
        mean_target: Mean of the targets of the training, HWC uint8, or None.
        overlay: How painted masks are laid over the image; None gives the masks alone.
    """

    def __init__(
        self,
        info: ModelInfo,
        generator: Generator,
        *,
        mean_target: Image | None = None,
        device: str | torch.device = "cpu",
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(info, generator, torch.device(device), precision)
        self.mean_target = mean_target

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

    def _resized(self, image: Image, prepared: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """What the network sees of an image at another size, resampled as the images of the training were."""
        how = self.info.jitter.resampling
        if self.generator.holes is None:
            return self.tensor(imaging.resize(image, size_wh, how))
        # The colour of the holes must not bleed into its surroundings: filled first, then resized.
        filled = imaging.resize(imaging.to_image(prepared[0, :-1].cpu(), np.float32), size_wh, how)
        holes = F.interpolate(prepared[:, -1:], size_wh[::-1], mode="area")
        return torch.cat([self.tensor(filled), holes], 1)
