"""The three parts of an exported file: what stands before the network, the network, and what stands behind it.

Between them lie two tensors with names, `seen` and `maps`. So the part in the middle can be run alone, by who brings
images to the scale of the training and composes at full size, as `calco.load` does.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.data.recipes import steps_of
from calco.inference.folder import ModelInfo
from calco.networks.generator import HOLE_TOLERANCE, Generator

LEVELS: Final = 13  # 2 ** 13 pixels: no hole is taken to be deeper


def surroundings(x: Tensor, known: Tensor) -> Tensor:
    """Fills what is not known with the nearest pixel that is, smoothed by one mean over 3x3.

    Args:
        x: N, C, H, W.
        known: N, 1, H, W, 1 where a pixel is known and 0 where it is not.

    Returns:
        N, C, H, W.
    """
    here = _row_and_column(known)
    far = -4.0 * (here.max() + 2)
    seeds = torch.where(known > 0, here, far)
    reach = _reaches(known)
    seeds = (_flooded_in_graph if torch.compiler.is_exporting() else flooded)(seeds, here, reach)
    nearest = torch.where(seeds >= 0, seeds, here).long()
    places = (nearest[:, :1] * x.shape[3] + nearest[:, 1:]).flatten(1)[:, None].expand(-1, x.shape[1], -1)
    copied = x.flatten(2).gather(2, places).view_as(x)
    smoothed = F.avg_pool2d(copied, 3, 1, padding=1, count_include_pad=False)
    return torch.where(known > 0, x, smoothed)


def _row_and_column(known: Tensor) -> Tensor:
    """Row and column of every pixel: N, 1, H, W => 1, 2, H, W."""
    ones = torch.ones_like(known[:1])
    return torch.cat([ones.cumsum(2), ones.cumsum(3)], 1) - 1


def _reaches(known: Tensor) -> Tensor:
    """The first step of the flood for each image, N: a power of two that no hole is deeper than."""
    step = torch.ones_like(known[:, 0, 0, 0])
    for _ in range(LEVELS):
        step = torch.where(known.amin((1, 2, 3)) == 0, 2 * step, step)
        known = F.max_pool2d(F.pad(known, (0, 1, 0, 1)), 2)  # whole blocks of 2x2, beyond the edge nothing known
    return step


def _flooded_in_graph(seeds: Tensor, here: Tensor, reach: Tensor) -> Tensor:
    from torch._higher_order_ops.while_loop import while_loop

    def more(step: Tensor, _seeds: Tensor, _here: Tensor, _reach: Tensor) -> Tensor:
        return step >= 1

    def body(step: Tensor, seeds: Tensor, here: Tensor, reach: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return torch.floor(step / 2), asked(step, seeds, here, reach), here.clone(), reach.clone()

    return while_loop(more, body, (reach.max(), seeds, here, reach))[1]  # type: ignore[no-any-return]


def flooded(seeds: Tensor, here: Tensor, reach: Tensor) -> Tensor:
    """Jump flooding at ever smaller steps."""
    step = reach.max()
    while bool(step >= 1):
        seeds = asked(step, seeds, here, reach)
        step = torch.floor(step / 2)
    return seeds


def asked(step: Tensor, seeds: Tensor, here: Tensor, reach: Tensor) -> Tensor:
    """Every pixel asks its eight neighbours at a distance which known pixel they know of, and keeps the nearest.

    Args:
        step: The distance; an image whose holes are less deep is left as it is.
        seeds: N, 2, H, W: row and column of the nearest known pixel so far, far away where none is known of.
        here: 1, 2, H, W: row and column.
        reach: N.
    """
    rows, columns = here[0, 0, :, 0], here[0, 1, 0, :]
    height, width = rows.max(), columns.max()
    far = -4.0 * (here.max() + 2)
    at_work = (reach >= step).view(-1, 1, 1, 1)
    found = seeds
    nearest = (seeds - here).square().sum(1, keepdim=True)
    for down in (-1, 0, 1):
        row = rows + down * step
        line = seeds_at(seeds, 2, row, height)
        inside = ((row >= 0) & (row <= height)).view(-1, 1)
        for right in (-1, 0, 1):
            column = columns + right * step
            there = seeds_at(line, 3, column, width)
            there = torch.where(inside & (column >= 0) & (column <= width), there, far)
            distance = (there - here).square().sum(1, keepdim=True)
            nearer = (distance < nearest) & at_work
            found = torch.where(nearer, there, found)
            nearest = torch.where(nearer, distance, nearest)
    return found


def seeds_at(seeds: Tensor, dim: int, place: Tensor, last: Tensor) -> Tensor:
    """Rows or columns by their places, the outermost for what lies outside."""
    return seeds.index_select(dim, torch.minimum(place.clamp(min=0), last).long())


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
