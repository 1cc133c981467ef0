"""A generator: a backbone, and the composition of its output with the input."""

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.errors import CalcoError
from calco.networks.bridge import Backbone, Bridge
from calco.networks.config import Composition

TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
TO_RGB = torch.linalg.inv(torch.tensor(TO_XYZ, dtype=torch.float64)).tolist()
WHITE = [sum(row) for row in TO_XYZ]  # so that grey is exactly grey
EPSILON, KAPPA = 216 / 24389, 24389 / 27


def lightness(x: Tensor) -> Tensor:
    """L* of sRGB in [-1, 1]: N, 3, H, W (or grey: N, 1, H, W) => 0 to 100, N, 1, H, W."""
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
    """Multiply the channels by a matrix, written out: autocast would multiply matrices in sixteen bits."""
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
    """A translator's network: the backbone's output is composed with the input.

    - "plain": the output is the image, as in pix2pix.
    - "residual": twice the output is added to the input, so that any change is possible and 0 keeps the image: for
      inputs that are near the target already (Zhang et al., arXiv 1608.03981).
    - "luminance": the output gives the colour, the input the luminance, which is therefore kept exactly.
    - "lab": the output is a* and b*, the input gives the CIE lightness L*, which is kept exactly too.
    - "filled": holes are filled from their surroundings, and there the output is added; all other pixels are kept as
      they are. The backbone sees the filled image and where the holes were.

    Where holes are marked, luminance and lab fill them first, and the output adds what lightness is missing there.
    `prepare` and `compose` are apart so that an image may be composed at its full size from an output at a smaller.
    A trained backbone's output lies in [-1, 1]; it takes `input_channels` and gives `output_channels`.
    """

    def __init__(
        self,
        backbone: Backbone | Bridge,
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
        """Divisor of the height and width that the backbone takes."""
        return int(2**self.backbone.depth)

    def forward(self, x: Tensor, *noised: Tensor) -> Tensor:
        """N, in, H, W in [-1, 1] => N, out, H, W, in [-1, 1] but for what the sums overshoot.

        `noised` are start, state and share of the noise, for a bridge that learns.
        """
        prepared = self.prepare(x)
        return self.compose(prepared, self.backbone(prepared, *noised))

    def prepare(self, x: Tensor) -> Tensor:
        """N, in, H, W => input of the backbone: the same; or with holes filled, and a last map, 1 in them."""
        if self.holes is None:
            return x
        with torch.no_grad():
            x, known = self.shown(x)
            return torch.cat([surroundings(x, known), 1 - known], 1)

    def shown(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """N, in, H, W => image, and where it is known: N, C, H, W and N, 1, H, W, 1 or 0."""
        if self.holes == "channel":
            return x[:, :-1], (x[:, -1:] > 0).to(x.dtype)
        colour = torch.tensor(self.holes or (), dtype=x.dtype, device=x.device).view(1, -1, 1, 1)
        away = (x[:, : colour.shape[1]] - colour).abs().amax(1, keepdim=True)
        return x, (away > HOLE_TOLERANCE).to(x.dtype)

    def compose(self, prepared: Tensor, maps: Tensor) -> Tensor:
        """Compose what `prepare` gave with an output of the same size: N, ., H, W; N, output, H, W => N, out, H, W."""
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
        return base + (2 if hole is None else hole) * maps


SMOOTHINGS = 16
"""How often the smooth guess for a hole is smoothed; each time its pixels depend on the next ones around."""


def surroundings(x: Tensor, known: Tensor, step: int | None = None, deep: Tensor | None = None) -> Tensor:
    """Fill what is not `known` (N, 1, H, W) with the mean of two guesses: N, C, H, W.

    One is the nearest pixel that is known, smoothed by a 3x3 mean: copies keep the grain of their surroundings. The
    other passes smoothly from one side of the hole to the other, as heat would: the first, smoothed again and again. In
    squares their mean is nearer than either. For parts of a larger image with deeper holes, `step` is the largest first
    step of the search, and `deep` (N, C, H, W) stands where nothing known is in reach.
    """
    width = x.shape[-1]
    rows, columns = nearest_known(known, step).unbind(1)
    places = (rows * width + columns).flatten(1)[:, None]
    copied = x.flatten(2).gather(2, places.expand(-1, x.shape[1], -1)).view(x.shape)
    if deep is not None:
        itself = (places == torch.arange(places.shape[2], device=x.device)).view(known.shape)
        copied = torch.where(itself & (known == 0), deep, copied)
    return two_guesses(copied, x, known)


def two_guesses(copied: Tensor, x: Tensor, known: Tensor) -> Tensor:
    """The mean of the two guesses of `surroundings`, from the copies of the nearest known pixels: N, C, H, W."""
    filled = copied = _smoothed(copied, x, known)
    for _ in range(SMOOTHINGS):
        filled = _smoothed(filled, x, known)
    return (copied + filled) / 2


def _smoothed(filled: Tensor, x: Tensor, known: Tensor) -> Tensor:
    """The 3x3 mean of what fills the holes; `x` elsewhere."""
    return torch.where(known > 0, x, F.avg_pool2d(filled, 3, 1, padding=1, count_include_pad=False))


def nearest_known(known: Tensor, step: int | None = None) -> Tensor:
    """N, 1, H, W => row and column of the nearest known pixel of every pixel: N, 2, H, W, int64.

    By jump flooding (Rong and Tan, Jump Flooding in GPU with Applications to Voronoi Diagram and Distance Transform,
    I3D 2006): every pixel asks its neighbours at ever smaller steps for their nearest seed. Where nothing is known at
    all, every pixel is its own. A pixel depends on those less than two first steps away, in rows and in columns.
    """
    height, width = known.shape[-2:]
    axes = (torch.arange(size, device=known.device, dtype=torch.float32) for size in (height, width))
    here = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
    far = 4.0 * (height + width)
    seeds = torch.where(known > 0, here, -far)
    nearest = (seeds - here).square().sum(1, keepdim=True)
    reach, covered = 1, known  # a power of two that no hole is deeper than
    while covered.amin() == 0 and max(covered.shape[-2:]) > 1:
        covered = F.max_pool2d(covered.float(), 2, ceil_mode=True)
        reach *= 2
    step = reach if step is None else min(step, reach)
    while step:
        padded = F.pad(seeds, (step, step, step, step), value=-far)
        for down, right in itertools.product((0, step, 2 * step), repeat=2):
            asked = padded[..., down : down + height, right : right + width]
            distance = (asked - here).square().sum(1, keepdim=True)
            seeds = torch.where(distance < nearest, asked, seeds)
            nearest = torch.minimum(distance, nearest)
        step //= 2
    return torch.where(seeds >= 0, seeds, here).long()


def base_luminance(x: Tensor) -> Tensor:
    """N, 3, H, W (or N, 1, H, W: itself) => luminance, N, 1, H, W."""
    if x.shape[1] == 1:
        return x
    weights = torch.tensor(LUMINANCE, dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def input_channels(composition: Composition, in_channels: int, out_channels: int, holes: Holes) -> int:
    """Number of channels that the backbone takes; input and output that do not fit the composition are an error."""
    shown = in_channels - (holes == "channel")
    if composition in ("filled", "residual") and shown != out_channels and {shown, out_channels} != {1, 3}:
        raise CalcoError(
            f"composition {composition} keeps parts of the input, which has {shown} channels and the target "
            f"{out_channels}; give it images of equal channels, or choose composition plain"
        )
    if composition in ("luminance", "lab") and (out_channels != 3 or shown not in (1, 3)):
        raise CalcoError(
            f"composition {composition} makes colour of grey, but the input has {shown} channels and the target "
            f"{out_channels}; choose plain"
        )
    return shown + (holes is not None)


def output_channels(composition: Composition, out_channels: int, holes: Holes) -> int:
    """Number of channels that the backbone gives: the image's, or for "lab" a*, b* and, for holes, L*."""
    return 2 + (holes is not None) if composition == "lab" else out_channels
