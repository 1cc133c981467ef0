"""The three parts of an exported translator: what stands before the network, the network, and what stands behind it.

Between them are two tensors with names, `seen` and `maps`. So a program can run the network alone, after it has brought
images to the scale of the training, and compose at full size, as `calco.load` does.
"""

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.data.recipes import steps_of
from calco.inference.folder import ModelInfo
from calco.inference.graphs import graphs_in, network_graph, portable, to_onnx
from calco.inference.runtimes import INPUT, MAPS, OUTPUT, PREPARED, SEEN
from calco.inference.translator import Translator
from calco.networks.generator import HOLE_TOLERANCE, Generator, output_channels, two_guesses
from calco.version import __version__

if TYPE_CHECKING:
    import onnx

LEVELS: Final = 13  # 2 ** 13 pixels: no hole is taken to be deeper
LUMINANCE: Final = (0.299, 0.587, 0.114)
REC_709: Final = (0.2126, 0.7152, 0.0722)


def torch_parts(model: Translator) -> tuple[nn.Module, nn.Module, nn.Module, Tensor]:
    """Return the parts as modules on the CPU, and example images of odd sides, so that no size is taken for fixed."""
    info, generator = model.info, model.generator
    side = 2 * max(generator.multiple, 8)
    image = torch.full((2, side - 3, side + 3, image_channels(info)), 200, dtype=torch.uint8)
    image[:, ::2] = 60
    return Before(info, generator).eval(), portable(generator.backbone), After(info, generator).eval(), image


@torch.no_grad()
def onnx_parts(model: Translator) -> "dict[str, onnx.ModelProto]":
    """Return the parts "before", "network" and "after" of a model as ONNX."""
    before, _, after, image = torch_parts(model)
    generator = model.generator
    prepared, seen = before(image)
    maps = seen.new_zeros(
        len(seen), output_channels(generator.composition, generator.out_channels, generator.holes), *seen.shape[2:]
    )
    free: Any = torch.export.Dim.DYNAMIC
    anywhere = {0: free, 2: free, 3: free}
    return {
        "before": to_onnx(before, (image,), ({0: free, 1: free, 2: free},), [INPUT], [PREPARED, SEEN]),
        "network": network_graph(generator.backbone, seen.shape[1], generator.multiple),
        "after": to_onnx(after, (prepared, maps), (anywhere, anywhere), [PREPARED, MAPS], [OUTPUT]),
    }


def joined(parts: "dict[str, onnx.ModelProto]") -> "onnx.ModelProto":
    """Return one ONNX model of the three parts, joined at the tensors with names."""
    import onnx
    from onnx import helper

    kept = {"", INPUT, PREPARED, SEEN, MAPS, OUTPUT}
    copies = {}
    for name, part in parts.items():
        graph = onnx.GraphProto()
        graph.CopyFrom(part.graph)
        for inner in graphs_in(graph):
            _rename(inner, f"{name}/", kept)
        copies[name] = graph
    graph = helper.make_graph(
        [node for each in copies.values() for node in each.node], "calco", list(copies["before"].input),
        list(copies["after"].output), [tensor for each in copies.values() for tensor in each.initializer],
    )  # fmt: skip
    opsets = {entry.domain: entry.version for part in parts.values() for entry in part.opset_import}
    whole: onnx.ModelProto = helper.make_model(
        graph, producer_name="Calco", producer_version=__version__,
        ir_version=min(10, *(part.ir_version for part in parts.values())),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in opsets.items()],
    )  # fmt: skip
    onnx.checker.check_model(whole)
    return whole


def _rename(graph: "onnx.GraphProto", prefix: str, kept: set[str]) -> None:
    """Give the values of a graph names that no other part has."""
    del graph.value_info[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = value.name if value.name in kept else prefix + value.name
    for node in graph.node:
        node.name = prefix + node.name
        for names in (node.input, node.output):
            names[:] = [name if name in kept else prefix + name for name in names]


def surroundings(x: Tensor, known: Tensor) -> Tensor:
    """Fill unknown pixels as `Generator.prepare` does, in operators that a graph can hold.

    N, C, H, W and a mask N, 1, H, W (1 where a pixel is known) => N, C, H, W.
    """
    ones = torch.ones_like(known[:1])
    here = torch.cat([ones.cumsum(2), ones.cumsum(3)], 1) - 1  # 1, 2, H, W: row and column of every pixel
    far = -4.0 * (here.max() + 2)
    seeds = torch.where(known > 0, here, far)
    reach = _reaches(known)
    seeds = (_flooded_in_graph if torch.compiler.is_exporting() else flooded)(seeds, here, reach)
    nearest = torch.where(seeds >= 0, seeds, here).long()
    places = (nearest[:, :1] * x.shape[3] + nearest[:, 1:]).flatten(1)[:, None].expand(-1, x.shape[1], -1)
    return two_guesses(x.flatten(2).gather(2, places).view_as(x), x, known)


def _reaches(known: Tensor) -> Tensor:
    """Return the first step of the flood for each image, N: a power of two that no hole is deeper than."""
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

    found: Tensor = while_loop(more, body, (reach.max(), seeds, here, reach))[1]
    return found


def flooded(seeds: Tensor, here: Tensor, reach: Tensor) -> Tensor:
    """Jump flooding at ever smaller steps."""
    step = reach.max()
    while bool(step >= 1):
        seeds = asked(step, seeds, here, reach)
        step = torch.floor(step / 2)
    return seeds


def asked(step: Tensor, seeds: Tensor, here: Tensor, reach: Tensor) -> Tensor:
    """Let every pixel ask its eight neighbours at a distance for the known pixel that they found; keep the nearest.

    Images whose holes are less deep than the step stay as they are. `seeds` are N, 2, H, W: row and column of the
    nearest known pixel so far, far away where none was found.
    """
    rows, columns = here[0, 0, :, 0], here[0, 1, 0, :]
    height, width = rows.max(), columns.max()
    far = -4.0 * (here.max() + 2)
    at_work = (reach >= step).view(-1, 1, 1, 1)
    found = seeds
    nearest = (seeds - here).square().sum(1, keepdim=True)
    for down in (-1, 0, 1):
        row = rows + down * step
        line = _seeds_at(seeds, 2, row, height)
        inside = ((row >= 0) & (row <= height)).view(-1, 1)
        for right in (-1, 0, 1):
            column = columns + right * step
            there = _seeds_at(line, 3, column, width)
            there = torch.where(inside & (column >= 0) & (column <= width), there, far)
            distance = (there - here).square().sum(1, keepdim=True)
            nearer = (distance < nearest) & at_work
            found = torch.where(nearer, there, found)
            nearest = torch.where(nearer, distance, nearest)
    return found


def _seeds_at(seeds: Tensor, dim: int, place: Tensor, last: Tensor) -> Tensor:
    """Return rows or columns by their places, the outermost ones for places outside."""
    return seeds.index_select(dim, torch.minimum(place.clamp(min=0), last).long())


def image_channels(info: ModelInfo) -> int:
    """Return the channels of the images that the file takes: colour also where the model needs only grey."""
    alpha = info.generator.hole_channel
    return info.in_channels if info.in_channels - alpha != 1 else 3 + alpha


class Before(nn.Module):
    """The generator's `prepare`: N, H, W, C of bytes => its result, N, ., H, W, and the same mirrored to a multiple."""

    def __init__(self, info: ModelInfo, generator: Generator) -> None:
        super().__init__()
        self.holes, self.multiple = generator.holes, generator.multiple
        steps = steps_of(info.recipe.recipe)
        self.alpha = info.generator.hole_channel
        self.grey = info.in_channels - self.alpha == 1
        # As `inference.adapt`: an image to be coloured loses its colour; with holes of a colour it has lost it already.
        self.taken = steps[0] == "colorize" and ("erase" not in steps or self.alpha)
        self.lab = self.taken and info.recipe.colorize.space == "lab"
        levels = torch.arange(256, dtype=torch.float64) / 255
        self.register_buffer(
            "linear", torch.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return `prepared` and `seen`."""
        x = image.permute(0, 3, 1, 2)
        known: Tensor | None = None
        if self.alpha:
            shown, known = _scaled(self._levels(x[:, :-1], x[:, -1:])), (x[:, -1:] == 255).float()
        else:
            shown = _scaled(self._levels(x, None))
            if self.holes is not None:
                assert self.holes != "channel"
                colour = torch.tensor(self.holes, dtype=shown.dtype).view(1, -1, 1, 1)
                away = (shown[:, : colour.shape[1]] - colour).abs().amax(1, keepdim=True)
                known = (away > HOLE_TOLERANCE).float()
        if known is None:
            prepared = shown
        elif self.holes is None:  # marked, but filled by the network alone
            prepared = torch.cat([shown, 2 * known - 1], 1)
        else:
            prepared = torch.cat([surroundings(shown, known), 1 - known], 1)
        rows, columns = (_mirrored(prepared, dim, self.multiple) for dim in (2, 3))
        return prepared, prepared.index_select(2, rows).index_select(3, columns)

    def _levels(self, x: Tensor, alpha: Tensor | None) -> Tensor:
        """Return levels in the colours of the training, 0 to 255, rounded as the recipe colorize does."""
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
    """The generator's `compose`: the result of `prepare` and the network's maps => N, H, W, D of bytes."""

    def __init__(self, info: ModelInfo, generator: Generator) -> None:
        super().__init__()
        self.composer = Generator(
            nn.Identity(),  # type: ignore[arg-type]
            composition=generator.composition,
            out_channels=generator.out_channels,
            holes=generator.holes,
        )
        self.painted = info.palette is not None and generator.out_channels == 3
        colours = [colour for _, colour in info.palette or ()]
        self.register_buffer("colours", torch.tensor(colours or [(0, 0, 0)], dtype=torch.float32))

    def forward(self, prepared: Tensor, maps: Tensor) -> Tensor:
        """Return the image."""
        for dim in (2, 3):
            maps = maps.index_select(dim, _places(prepared, dim))
        shares = (self.composer.compose(prepared, maps).float().clamp(-1, 1) + 1) / 2
        levels: Tensor = (shares.double() * 255).round().permute(0, 2, 3, 1)
        if not self.painted:
            return levels.to(torch.uint8)
        colours = torch.as_tensor(self.colours)
        distances = colours.square().sum(1) - 2 * levels.float() @ colours.t()
        return colours[distances.argmin(3)].to(torch.uint8)


def _sum(x: Tensor, weights: tuple[float, float, float]) -> Tensor:
    return (x * torch.tensor(weights, dtype=x.dtype).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _scaled(levels: Tensor) -> Tensor:
    """0 to 255 => [-1, 1]."""
    return levels * torch.tensor(2 / 255, dtype=torch.float32) - 1


def _places(x: Tensor, dim: int) -> Tensor:
    """Return the indices along a side, whose size is known only when the graph runs."""
    line = x[0, 0, :, 0] if dim == 2 else x[0, 0, 0, :]
    return torch.ones_like(line).cumsum(0).long() - 1


def _mirrored(x: Tensor, dim: int, multiple: int) -> Tensor:
    """Return the indices along a side as `inference.network.Padded` takes them: there and back, again and again."""
    length = x.shape[dim]
    along = torch.arange(length + (-length) % multiple)
    # A tensor, whose value the graph computes when it runs.
    turn = (2 * (_places(x, dim).max())).clamp(min=1)
    there = along.remainder(turn)
    return torch.minimum(there, turn - there)
