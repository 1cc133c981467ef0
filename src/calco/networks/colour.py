"""Between sRGB and CIE Lab, with gradients: IEC 61966-2-1 (sRGB), CIE 15 (Lab), daylight D65."""

from collections.abc import Sequence

import torch
from torch import Tensor

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
