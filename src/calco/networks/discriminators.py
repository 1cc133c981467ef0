"""Discriminators: PatchGAN, alone and on a pyramid, and heads on fixed features of EfficientNet."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from calco.errors import CalcoError
from calco.networks.config import Convention, Norm
from calco.networks.efficientnet_lite import EfficientNetLite, load_imagenet
from calco.networks.layers import has_bias, initialise, norm_layer, segment

Judgements = list[list[Tensor]]
"""By scale, the maps of all layers, each N, C, h, w; the last of each scale holds the logits, N, 1, h, w."""


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


class MultiScale(nn.Module):
    """PatchGANs of one shape on the image and on copies of half the size each, as in pix2pixHD.

    Source: Wang et al., arXiv 1711.11585, section 3.2.
    """

    def __init__(self, scales: Sequence[PatchGAN]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(scales)

    def forward(self, condition: Tensor, image: Tensor, features: Sequence[Tensor] = ()) -> Judgements:
        """Condition N, A, H, W and image N, B, H, W => judgements, finest scale first."""
        judgements: Judgements = []
        for number, scale in enumerate(self.scales):
            if number:
                condition, image = (F.avg_pool2d(x, 2) for x in (condition, image))
            judgements += scale(condition, image, features)
        return judgements


class FixedFeatures(nn.Module):
    """The first maps of an EfficientNet-Lite0 from ImageNet, which no training changes.

    Raises:
        CalcoError: If the package of the weights is missing or damaged.
    """

    CHANNELS = (16, 24, 40, 112)

    def __init__(self) -> None:
        super().__init__()
        self.body = EfficientNetLite(3)
        load_imagenet(self.body)
        self.body.stages = self.body.stages[:5]  # the later ones see a tenth of the image at once
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "FixedFeatures":  # noqa: ARG002
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Image N, 1 or 3, H, W in [-1, 1] => maps of `CHANNELS` channels at 1/2, 1/4, 1/8 and 1/16 of the size."""
        maps: list[Tensor] = self.body(image[:, :3] if image.shape[1] >= 3 else image[:, :1].expand(-1, 3, -1, -1))
        return maps


class Projected(nn.Module):
    """One small head on each of the fixed features of the image, and on the condition at its size.

    The heads learn, the features do not: from few pairs a discriminator that starts with knowledge of images teaches
    from its first steps (Sauer et al., Projected GANs Converge Faster, arXiv 2111.01007; here without random
    projections, and with the condition beside the features).

    Args:
        in_channels: Of the condition.
        filters: Channels of each head.
    """

    def __init__(self, in_channels: int, filters: int = 64) -> None:
        super().__init__()
        self.conditions, self.heads = nn.ModuleList(), nn.ModuleList()
        given = 16 * in_channels
        for number, channels in enumerate(FixedFeatures.CHANNELS[1:]):  # one at half the size costs too much
            self.conditions.append(_layer(given, filters, 3, stride=2 if number else 1))
            self.heads.append(
                nn.ModuleList(
                    [
                        _layer(channels + filters, filters, 1),
                        _layer(filters, filters, 3),
                        spectral_norm(nn.Conv2d(filters, 1, 3, padding=1)),
                    ]
                )
            )
            given = filters

    def forward(self, condition: Tensor, image: Tensor, features: Sequence[Tensor] = ()) -> Judgements:  # noqa: ARG002
        """Condition N, A, H, W and `FixedFeatures` of the image => judgements, finest scale first."""
        known = F.pixel_unshuffle(condition, 4)
        judgements: Judgements = []
        for given, head, seen in zip(self.conditions, self.heads, features[1:], strict=True):
            known = given(known)
            x, maps = torch.cat([seen.to(known.dtype), known], 1), []
            for layer in head:  # type: ignore[attr-defined]
                x = layer(x)
                maps.append(x)
            judgements.append(maps)
        return judgements


def _layer(channels: int, width: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2)
    return nn.Sequential(spectral_norm(conv), nn.LeakyReLU(0.2, inplace=True))
