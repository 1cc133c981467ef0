"""PatchGAN: a discriminator of the patches of an image."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from calco.errors import CalcoError
from calco.networks.config import Convention, Norm
from calco.networks.layers import has_bias, initialise, norm_layer, segment

# Receptive field in pixels => number of strided convolutions (arXiv 1611.07004, section 6.1.2).
PATCH_LAYERS = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}


class PatchGAN(nn.Module):
    """Classifies (input, image) as real or generated with one logit for every patch; `in_channels` counts both.

    Without arguments it is the 70x70 discriminator of the reference implementation. The convention "tensorflow" has a
    bias in the last convolution only and leaks 0.3; the others 0.2.

    Source: Isola et al., arXiv 1611.07004, sections 3.2.2 and 6.1.2.
    """

    def __init__(
        self,
        in_channels: int = 6,
        *,
        patch: int = 70,
        filters: int = 64,
        norm: Norm = "batch",
        convention: Convention = "pytorch",
    ) -> None:
        super().__init__()
        if patch not in PATCH_LAYERS:
            known = ", ".join(map(str, PATCH_LAYERS))
            raise CalcoError(f"no PatchGAN has a receptive field of {patch} pixels; choose one of {known}")
        keras = convention == "tensorflow"
        slope, bias = (0.3 if keras else 0.2), has_bias(norm)

        def normed(channels: int) -> list[nn.Module]:
            layer = norm_layer(norm, channels, eps=1e-3 if keras else 1e-5, momentum=0.01 if keras else 0.1)
            return [layer, nn.LeakyReLU(slope, inplace=True)]

        if patch == 1:
            layers: list[nn.Module] = [
                nn.Conv2d(in_channels, filters, 1),
                nn.LeakyReLU(slope, inplace=True),
                nn.Conv2d(filters, 2 * filters, 1, bias=bias),
                *normed(2 * filters),
                nn.Conv2d(2 * filters, 1, 1, bias=bias),
            ]
        else:
            num_layers = PATCH_LAYERS[patch]
            layers = [nn.Conv2d(in_channels, filters, 4, 2, 1, bias=not keras), nn.LeakyReLU(slope, inplace=True)]
            width = filters
            for layer in range(1, num_layers + 1):
                stride = 2 if layer < num_layers else 1
                wider = filters * min(2**layer, 8)
                layers += [nn.Conv2d(width, wider, 4, stride, 1, bias=bias), *normed(wider)]
                width = wider
            layers.append(nn.Conv2d(width, 1, 4, 1, 1))
        self.recompute = False  # feature maps in the backward pass, to save memory
        self.body = nn.Sequential(*layers)
        initialise(self, norm_std=0.0 if keras else 0.02)

    def forward(self, condition: Tensor, image: Tensor, features: Sequence[Tensor] = ()) -> list[list[Tensor]]:  # noqa: ARG002
        """Condition N, A, H, W and image N, B, H, W, A + B = `in_channels` => the maps of all layers, in one list.

        The last map holds the logits, N, 1, h, w.
        """
        maps = [torch.cat([condition, image], 1)]
        layers = list(self.body)
        starts = [place for place, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
        for start, end in zip(starts, [*starts[1:], len(layers)], strict=True):
            maps.append(segment(self.body[start:end], maps[-1], recompute=self.recompute))
        return [maps[1:]]
