"""The three parts of an exported file: what stands before the network, the network, and what stands behind it.

Between them lie two tensors with names, `seen` and `maps`. So the part in the middle can be run alone, by who brings
images to the scale of the training and composes at full size, as `calco.load` does.
"""

from typing import Final

import torch
from torch import Tensor, nn

from calco.data.recipes import steps_of
from calco.export.flood import surroundings
from calco.inference.model import ModelInfo
from calco.networks.generator import HOLE_TOLERANCE, Generator

LUMINANCE: Final = (0.299, 0.587, 0.114)
REC_709: Final = (0.2126, 0.7152, 0.0722)


def image_channels(info: ModelInfo) -> int:
    """Channels of the images that the file takes: colour where the model is content with grey."""
    alpha = info.generator.hole_channel
    return info.in_channels if info.in_channels - alpha != 1 else 3 + alpha


class Before(nn.Module):
    """N, H, W, C of bytes => what composition needs, N, ., H, W, and what the network sees, mirrored to its multiple.

    Args:
        info: Of the model.
        generator: Whose `prepare` is done here.
    """

    def __init__(self, info: ModelInfo, generator: Generator) -> None:
        super().__init__()
        self.holes, self.multiple = generator.holes, generator.multiple
        steps = steps_of(info.recipe.recipe)
        self.alpha = info.generator.hole_channel
        self.grey = info.in_channels - self.alpha == 1
        # As `inference.adapt`: what is coloured loses its colour, and with holes of a colour it has lost it already.
        self.taken = steps[0] == "colorize" and ("erase" not in steps or self.alpha)
        self.lab = self.taken and info.recipe.colorize.space == "lab"
        levels = torch.arange(256, dtype=torch.float64) / 255
        self.register_buffer(
            "linear", torch.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """`prepared` and `seen`."""
        x = image.permute(0, 3, 1, 2)
        if self.alpha:
            prepared = self._filled(self._levels(x[:, :-1], x[:, -1:]), (x[:, -1:] == 255).float())
        elif self.holes is None:
            prepared = _scaled(self._levels(x, None))
        else:
            assert self.holes != "channel"
            shown = _scaled(self._levels(x, None))
            colour = torch.tensor(self.holes, dtype=shown.dtype).view(1, -1, 1, 1)
            away = (shown[:, : colour.shape[1]] - colour).abs().amax(1, keepdim=True)
            known = (away > HOLE_TOLERANCE).float()
            prepared = torch.cat([surroundings(shown, known), 1 - known], 1)
        rows, columns = (_mirrored(prepared, dim, self.multiple) for dim in (2, 3))
        return prepared, prepared.index_select(2, rows).index_select(3, columns)

    def _filled(self, levels: Tensor, known: Tensor) -> Tensor:
        if self.holes is None:  # told, but filled by the network alone
            return torch.cat([_scaled(levels), 2 * known - 1], 1)
        return torch.cat([surroundings(_scaled(levels), known), 1 - known], 1)

    def _levels(self, x: Tensor, alpha: Tensor | None) -> Tensor:
        """Levels in the colours that the network learned from, 0 to 255, as `images` and `pairs.colouring` round."""
        if x.shape[1] != 3 or not (self.grey or self.taken):
            return x.float()
        grey = (self._lightness(x) if self.lab else _sum(x.double(), LUMINANCE)).round().float()
        if self.grey:
            return grey
        grey = grey.expand(-1, 3, -1, -1)
        if alpha is None:
            return grey
        return torch.where((alpha != 255).flatten(1).any(1).view(-1, 1, 1, 1), grey, x.float())

    def _lightness(self, x: Tensor) -> Tensor:
        linear = torch.as_tensor(self.linear)
        y = _sum(linear[x.long()], REC_709)
        coded = torch.where(y <= 0.0031308, 12.92 * y, 1.055 * y.clamp(min=0.003) ** (1 / 2.4) - 0.055)
        return coded.clamp(0, 1) * 255


class After(nn.Module):
    """What `prepare` gave and the network's maps => N, H, W, D of bytes.

    Args:
        info: Of the model.
        generator: Whose `compose` is done here.
    """

    def __init__(self, info: ModelInfo, generator: Generator) -> None:
        super().__init__()
        self.joint = Composer(generator)
        self.painted = info.palette is not None and generator.out_channels == 3
        colours = [colour for _, colour in info.palette or ()]
        self.register_buffer("colours", torch.tensor(colours or [(0, 0, 0)], dtype=torch.float32))

    def forward(self, prepared: Tensor, maps: Tensor) -> Tensor:
        """The image."""
        for dim in (2, 3):
            maps = maps.index_select(dim, _places(prepared, dim))
        drawn = self.joint(prepared, maps).float()
        shares = (drawn.clamp(-1, 1) + 1) / 2
        levels: Tensor = (shares.double() * 255).round().permute(0, 2, 3, 1)
        if not self.painted:
            return levels.to(torch.uint8)
        colours = torch.as_tensor(self.colours)
        distances = colours.square().sum(1) - 2 * levels.float() @ colours.t()
        return colours[distances.argmin(3)].to(torch.uint8)


class Composer(nn.Module):
    """A generator's `compose` without its weights."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = Generator(
            nn.Identity(),  # type: ignore[arg-type]
            composition=generator.composition,
            out_channels=generator.out_channels,
            holes=generator.holes,
        )

    def forward(self, prepared: Tensor, maps: Tensor) -> Tensor:
        """The image that maps make, in [-1, 1]."""
        joined: Tensor = self.generator.compose(prepared, maps)
        return joined


def _sum(x: Tensor, weights: tuple[float, float, float]) -> Tensor:
    return (x * torch.tensor(weights, dtype=x.dtype).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _scaled(levels: Tensor) -> Tensor:
    """0 to 255 => [-1, 1]."""
    return levels * torch.tensor(2 / 255, dtype=torch.float32) - 1


def _places(x: Tensor, dim: int) -> Tensor:
    """The indices along a side, of a size that is known when the graph is run."""
    line = x[0, 0, :, 0] if dim == 2 else x[0, 0, 0, :]
    return torch.ones_like(line).cumsum(0).long() - 1


def _mirrored(x: Tensor, dim: int, multiple: int) -> Tensor:
    """The indices along a side that `inference.tiling.pad_to_multiple` takes: there and back, again and again."""
    length = x.shape[dim]
    along = torch.arange(length + (-length) % multiple)
    # A tensor, whose value the graph finds out when it is run.
    turn = (2 * (_places(x, dim).max())).clamp(min=1)
    there = along.remainder(turn)
    return torch.minimum(there, turn - there)
