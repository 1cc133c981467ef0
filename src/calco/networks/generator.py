"""A backbone, and how what it draws is joined with its input."""

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.errors import CalcoError
from calco.networks.config import Composition
from calco.networks.efficientnet_unet import EfficientNetUNet
from calco.networks.resnet import ResnetGenerator
from calco.networks.unet import UNet

TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
TO_RGB = torch.linalg.inv(torch.tensor(TO_XYZ, dtype=torch.float64)).tolist()
WHITE = [sum(row) for row in TO_XYZ]  # so that grey is exactly grey
EPSILON, KAPPA = 216 / 24389, 24389 / 27


def lightness(x: Tensor) -> Tensor:
    """The L* of sRGB in [-1, 1]: N, 3, H, W (or grey: N, 1, H, W) => 0 to 100, N, 1, H, W."""
    linear = _decoded(x)
    return 116 * _root(linear if x.shape[1] == 1 else _mixed(linear, TO_XYZ[1:2])) - 16


def lab_to_rgb(lightness: Tensor, ab: Tensor) -> Tensor:
    """L* (N, 1, H, W) with a* and b* (N, 2, H, W) => sRGB in [-1, 1], N, 3, H, W, of the very same lightness.

    A colour that sRGB cannot show becomes paler, towards the grey of its luminance, until it can; cutting its channels
    off would change the lightness.
    """
    fy = (lightness + 16) / 116
    y = _cube(fy)
    roots = torch.cat([fy + ab[:, :1] / 500, fy, fy - ab[:, 1:] / 200], 1)
    white = torch.tensor(WHITE, dtype=roots.dtype, device=roots.device).view(1, 3, 1, 1)
    chroma = _mixed(_cube(roots) * white, TO_RGB) - y
    room = torch.where(chroma > 0, 1 - y, y) / chroma.abs().clamp(min=1e-9)
    return _coded(y + chroma * room.amin(1, keepdim=True).clamp(0, 1))


def _mixed(x: Tensor, rows: Sequence[Sequence[float]]) -> Tensor:
    """A matrix times the channels; written out, for autocast would multiply matrices in sixteen bits."""
    return torch.stack(
        [sum((w * c for w, c in zip(row, x.unbind(1), strict=True)), x.new_zeros(())) for row in rows], 1
    )


def _decoded(x: Tensor) -> Tensor:
    """Linear light in [0, 1] of sRGB in [-1, 1]."""
    coded = (x.float() + 1) / 2
    return torch.where(coded <= 0.04045, coded / 12.92, ((coded.clamp(min=0.04) + 0.055) / 1.055) ** 2.4)


def _coded(linear: Tensor) -> Tensor:
    """The sRGB in [-1, 1] of linear light in [0, 1]; the clamp keeps the slope finite where it is not taken."""
    coded = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=0.003) ** (1 / 2.4) - 0.055)
    return 2 * coded - 1


def _root(t: Tensor) -> Tensor:
    """CIE 15's f: the cube root, straight near black."""
    return torch.where(t > EPSILON, t.clamp(min=EPSILON / 2) ** (1 / 3), (KAPPA * t + 16) / 116)


def _cube(f: Tensor) -> Tensor:
    """The inverse of `_root`."""
    cubed = f * f * f
    return torch.where(cubed > EPSILON, cubed, (116 * f - 16) / KAPPA)


LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in the recipe that takes colour away
CHROMA = 110.0  # a* and b* for a map of 1: about the most that sRGB holds (Zhang et al., arXiv 1603.08511)
HOLE_TOLERANCE = 8 / 127.5  # eight levels of a byte: what a mild JPEG does to a flat colour

Holes = tuple[float, ...] | Literal["channel"] | None
"""How holes are marked: by a colour, one value in [-1, 1] per channel; by the input's last channel; or not at all."""


class Generator(nn.Module):
    """A translator's network: the backbone draws maps, `compose` makes the image of them.

    - "plain": the maps are the image, as in pix2pix.
    - "luminance": the maps give the colour, the input gives the luminance, which is therefore kept exactly.
    - "lab": the maps are a* and b*, the input gives the CIE lightness L*, which is kept exactly too.
    - "filled": holes are filled from their surroundings, and there the maps are added; all other pixels are kept as
      they are. The backbone sees the filled image and where the holes were.

    Where holes are marked, luminance and lab fill them first, and the maps add what lightness is missing there.
    `prepare` and `compose` are apart so that an image may be composed at its full size from maps drawn at a smaller.

    Args:
        backbone: A network whose outputs lie in [-1, 1]; it takes `channels_seen` and gives `maps_drawn` channels.
        composition: One of the four above.
        out_channels: Channels of the image.
        holes: How holes are marked.
    """

    def __init__(
        self,
        backbone: UNet | ResnetGenerator | EfficientNetUNet,
        *,
        composition: Composition,
        out_channels: int,
        holes: Holes = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.composition: Composition = composition
        self.out_channels = out_channels
        self.holes = holes

    @property
    def multiple(self) -> int:
        """Height and width of what the backbone sees must be multiples of this."""
        return int(2**self.backbone.depth)

    def forward(self, x: Tensor) -> Tensor:
        """N, in, H, W in [-1, 1] => N, out, H, W, in [-1, 1] but for what the sums overshoot."""
        prepared = self.prepare(x)
        return self.compose(prepared, self.backbone(prepared))

    def prepare(self, x: Tensor) -> Tensor:
        """What the backbone sees of N, in, H, W: the same; or holes filled, and a last map, 1 in them."""
        if self.holes is None:
            return x
        with torch.no_grad():
            x, known = self.shown(x)
            return torch.cat([surroundings(x, known), 1 - known], 1)

    def shown(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """N, in, H, W => what is shown, and where it is known: N, C, H, W and N, 1, H, W, 1 or 0."""
        if self.holes == "channel":
            return x[:, :-1], (x[:, -1:] > 0).to(x.dtype)
        colour = torch.tensor(self.holes or (), dtype=x.dtype, device=x.device).view(1, -1, 1, 1)
        away = (x[:, : colour.shape[1]] - colour).abs().amax(1, keepdim=True)
        return x, (away > HOLE_TOLERANCE).to(x.dtype)

    def compose(self, prepared: Tensor, maps: Tensor) -> Tensor:
        """Joins what `prepare` gave with maps of the same size: N, ., H, W and N, drawn, H, W => N, out, H, W."""
        if self.composition == "plain":
            return maps
        maps = maps.float()
        base, hole = (prepared, None) if self.holes is None else (prepared[:, :-1], prepared[:, -1:])
        if self.composition == "lab":
            light = lightness(base) if hole is None else lightness(base) + hole * 100 * maps[:, 2:]
            return lab_to_rgb(light.clamp(0, 100), CHROMA * maps[:, :2])
        if self.composition == "luminance":
            kept = base_luminance(maps)
            return base_luminance(base) + maps - (kept if hole is None else (1 - hole) * kept)
        if base.shape[1] != self.out_channels:
            base = base_luminance(base).expand(-1, self.out_channels, -1, -1)
        return base + prepared[:, -1:] * maps


def surroundings(x: Tensor, known: Tensor, step: int | None = None, deep: Tensor | None = None) -> Tensor:
    """Fills what is not known with the nearest pixel that is, smoothed by one mean over 3x3.

    Copies keep the grain of their surroundings; smoother fills come nearer in squares and look worse.

    Args:
        x: N, C, H, W.
        known: N, 1, H, W, 1 where a pixel is known and 0 where it is not.
        step: The first step of the search, where these are parts of a larger image with deeper holes.
        deep: N, C, H, W, what stands where nothing known is in reach.

    Returns:
        N, C, H, W.
    """
    width = x.shape[-1]
    rows, columns = nearest_known(known, step).unbind(1)
    places = (rows * width + columns).flatten(1)[:, None]
    copied = x.flatten(2).gather(2, places.expand(-1, x.shape[1], -1)).view(x.shape)
    if deep is not None:
        itself = (places == torch.arange(places.shape[2], device=x.device)).view(known.shape)
        copied = torch.where(itself & (known == 0), deep, copied)
    smoothed = F.avg_pool2d(copied, 3, 1, padding=1, count_include_pad=False)
    return torch.where(known > 0, x, smoothed)


def nearest_known(known: Tensor, step: int | None = None) -> Tensor:
    """Where the nearest known pixel of every pixel is: N, 1, H, W => N, 2, H, W, row and column, int64.

    By jump flooding (Rong and Tan, Jump Flooding in GPU with Applications to Voronoi Diagram and Distance Transform,
    I3D 2006): every pixel asks its neighbours at ever smaller steps which seed they know of. Where nothing is known at
    all, every pixel is its own.

    A pixel depends on those that are less than two first steps away, in rows and in columns.
    """
    height, width = known.shape[-2:]
    axes = (torch.arange(size, device=known.device, dtype=torch.float32) for size in (height, width))
    here = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
    far = 4.0 * (height + width)
    seeds = torch.where(known > 0, here, -far)
    nearest = (seeds - here).square().sum(1, keepdim=True)
    step = _reach(known) if step is None else step
    while step:
        padded = F.pad(seeds, (step, step, step, step), value=-far)
        for down, right in itertools.product((0, step, 2 * step), repeat=2):
            asked = padded[..., down : down + height, right : right + width]
            distance = (asked - here).square().sum(1, keepdim=True)
            seeds = torch.where(distance < nearest, asked, seeds)
            nearest = torch.minimum(distance, nearest)
        step //= 2
    return torch.where(seeds >= 0, seeds, here).long()


def _reach(known: Tensor) -> int:
    """The first step of the flood: a power of two that no hole is deeper than."""
    step = 1
    while known.amin() == 0 and max(known.shape[-2:]) > 1:
        known = F.max_pool2d(known.float(), 2, ceil_mode=True)
        step *= 2
    return step


def base_luminance(x: Tensor) -> Tensor:
    """The luminance of N, 3, H, W (or of N, 1, H, W: itself) => N, 1, H, W."""
    if x.shape[1] == 1:
        return x
    weights = torch.tensor(LUMINANCE, dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def channels_seen(composition: Composition, in_channels: int, out_channels: int, holes: Holes) -> int:
    """How many channels the backbone takes.

    Raises:
        CalcoError: When input and output do not fit the composition.
    """
    shown = in_channels - (holes == "channel")
    if composition == "filled" and shown != out_channels and {shown, out_channels} != {1, 3}:
        raise CalcoError(
            f"composition filled keeps parts of the input, which has {shown} channels and the target "
            f"{out_channels}; give it images of equal channels, or choose composition plain"
        )
    if composition in ("luminance", "lab") and (out_channels != 3 or shown not in (1, 3)):
        raise CalcoError(
            f"composition {composition} makes colour of grey, but the input has {shown} channels and the target "
            f"{out_channels}; choose plain"
        )
    return shown + (holes is not None)


def maps_drawn(composition: Composition, out_channels: int, holes: Holes) -> int:
    """How many maps the backbone gives: the image's channels, or for "lab" a*, b* and, for holes, L*."""
    return 2 + (holes is not None) if composition == "lab" else out_channels
