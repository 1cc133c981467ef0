"""A diffusion bridge: a second network refines the output of a first one in several steps, from noisy states."""

import math
from typing import Final

import torch
from torch import Tensor, nn

from calco.networks.efficientnet_unet import EfficientNetUNet
from calco.networks.resnet import DRUNet, ResnetGenerator
from calco.networks.unet import UNet

Backbone = UNet | ResnetGenerator | EfficientNetUNet | DRUNet

# The square root of the noise's rate rises linearly in the first half and falls in the second, as the authors of the
# bridge have it in their experiments: 0.1 at the ends, and 0.3 where the rise would have led in the whole time.
_LOW: Final = math.sqrt(0.1)
_SLOPE: Final = math.sqrt(0.3) - _LOW
VARIANCE: Final = 2 * ((_LOW + _SLOPE / 2) ** 3 - _LOW**3) / (3 * _SLOPE)
"""Variance of all noise between both ends."""
_TIME_MEAN: Final = 0.8  # of the logit of the time in training
_TIME_SPREAD: Final = 0.8
_UNIFORM: Final = 0.1  # share of the times that are drawn uniformly, so that none is missing
_EMPHASIS: Final = 5.0


def noise_share(time: Tensor) -> Tensor:
    """Share of the variance between time 0 (target) and `time`, in [0, 1]: 0 at the target, 1 at the start."""
    half = torch.minimum(time, 1 - time)
    low = ((_LOW + _SLOPE * half) ** 3 - _LOW**3) / (3 * _SLOPE * VARIANCE)
    return torch.where(time <= 0.5, low, 1 - low).clamp(0, 1)


def training_shares(count: int) -> Tensor:
    """Random shares of the noise for a batch, by torch's global generator on the CPU: count, 1, 1, 1.

    Most times are logistic-normal and lie in the middle and towards the start (Esser et al., arXiv 2403.03206, section
    3.1), where the output is decided.
    """
    time = torch.sigmoid(_TIME_MEAN + _TIME_SPREAD * torch.randn(count))
    uniform, chosen = torch.rand(2, count)
    return noise_share(torch.where(chosen < _UNIFORM, uniform, time)).view(-1, 1, 1, 1)


def between(target: Tensor, start: Tensor, share: Tensor, noise: Tensor) -> Tensor:
    """State between target and start (N, C, H, W) at shares of the noise (N, 1, 1, 1): N, C, H, W.

    Source: Liu et al., arXiv 2302.05872, equation 11. With s² = share * V and s̄² = (1 - share) * V, its mean is
    (s̄² target + s² start) / V and its variance s² s̄² / V.
    """
    return target + share * (start - target) + (VARIANCE * share * (1 - share)).sqrt() * noise


def step_back(state: Tensor, target: Tensor, now: float, then: float, noise: Tensor) -> Tensor:
    """State at the smaller share `then`, from that at `now` and a prediction of the target: N, C, H, W.

    Source: Liu et al., arXiv 2302.05872, equation 4, the posterior of DDPM on the bridge's schedule.
    """
    kept = then / now
    return target + kept * (state - target) + math.sqrt(VARIANCE * kept * (now - then)) * noise


def emphasis(share: Tensor) -> Tensor:
    """Weight of the pixel loss at a share of the noise: one at the start, more near the target, at most 5.

    The error of the predicted noise is that of the predicted target over the variance so far; the bound is that of
    Hang et al., arXiv 2303.09556, which keeps the last steps from governing the training.
    """
    return (1 / share.clamp(min=1e-6)).clamp(max=_EMPHASIS)


def pixel_noise(like: Tensor, seed: int, step: int, origin: tuple[int, int] = (0, 0)) -> Tensor:
    """Standard normal noise in the shape of N, C, H, W, equal for all N, on any device.

    A value depends on the seed, the step, the channel and the pixel's row and column alone, so that neighbouring tiles
    of an image, whose first pixel is `origin` (row, column), have the same noise where they overlap.
    """
    _, channels, height, width = like.shape

    def count(first: int, number: int) -> Tensor:
        return torch.arange(first, first + number, device=like.device)

    key = torch.tensor(0, device=like.device)
    for part in (seed & _BITS, seed >> 32, step):
        key = _mixed(key ^ part)
    key = _mixed(key ^ count(0, channels).view(-1, 1, 1))
    key = _mixed(_mixed(key ^ count(origin[0], height).view(-1, 1)) ^ count(origin[1], width))
    # Box and Muller, Annals of Mathematical Statistics 29 (1958).
    radius = (-2 * ((key.double() + 0.5) / (_BITS + 1)).log()).sqrt()
    angle = _mixed(key ^ 0x9E3779B9).double() * (2 * math.pi / (_BITS + 1))
    return (radius * angle.cos()).float().expand(like.shape)


_BITS: Final = (1 << 32) - 1


def _mixed(x: Tensor) -> Tensor:
    """Scatter integers of 32 bits, one to one: the last steps of MurmurHash3 (Appleby, public domain)."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> shift)) * factor & _BITS
    return x ^ (x >> 16)


class Bridge(nn.Module):
    """A backbone of two: a regression, and a network that refines its output in several steps.

    The image goes from the regression's output (or from the input) to the target through states that Gaussian noise was
    added to. In each step the refining network sees the state, the input, the start, and how much noise there is, and
    predicts the target; the next state lies nearer to it. Before it has learned, it predicts the start itself.

    Source: Liu et al., Image-to-Image Schroedinger Bridge, arXiv 2302.05872, with the target predicted in place of the
    noise.

    Args:
        refiner: Network of `refiner_channels` inputs and the image's outputs.
        regression: Network of the start, of the same depth; None starts at the input, which has the output's channels.
        steps: Number of steps, unless `sample` is given another.

    Attributes:
        seed: Seed of the noise.
        refines: The refining network takes part; before it is trained, the regression's output is the result.
    """

    def __init__(self, refiner: Backbone, regression: Backbone | None, *, steps: int) -> None:
        super().__init__()
        self.regression, self.refiner = regression, refiner
        self.depth, self.steps = refiner.depth, steps
        self.seed, self.refines = 0, True
        last = [part for part in refiner.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)][-1]
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)

    @property
    def recompute(self) -> bool:
        """Compute feature maps again in the backward pass, to save memory."""
        return self.refiner.recompute

    @recompute.setter
    def recompute(self, value: bool) -> None:
        for part in (self.regression, self.refiner):
            if part is not None:
                part.recompute = value

    def train(self, mode: bool = True) -> "Bridge":
        """Switch to training; the regression is fixed once the refining network learns."""
        super().train(mode)
        if self.refines and self.regression is not None:
            self.regression.train(False)
        return self

    def forward(self, x: Tensor, *noised: Tensor) -> Tensor:
        """N, in, H, W => N, out, H, W: the result, or with start, state and share the prediction from that state."""
        return self.predict(x, *noised) if noised else self.sample(x)

    def start(self, x: Tensor) -> Tensor:
        """N, in, H, W => where the bridge starts: N, out, H, W, float32."""
        start: Tensor = x if self.regression is None else self.regression(x)
        return start.float()

    def predict(self, x: Tensor, start: Tensor, state: Tensor, share: Tensor) -> Tensor:
        """Predict the target from a state at a share (N, 1, 1, 1) of the noise: N, out, H, W, float32."""
        level = (2 * share - 1).to(state).expand(len(x), 1, *x.shape[2:])
        starts = [] if self.regression is None else [start]
        seen = torch.cat([state, x.float(), *starts, level], 1).to(x.dtype)
        if x.is_contiguous(memory_format=torch.channels_last):
            seen = seen.contiguous(memory_format=torch.channels_last)
        correction: Tensor = self.refiner(seen)
        return start + 2 * correction.float()  # from black to white, if need be

    def sample(self, x: Tensor, *, steps: int | None = None, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """Refine the start in a number of steps: N, in, H, W => N, out, H, W in [-1, 1], the same for the same seed.

        `origin` is the row and column of the first pixel in the image that `x` is a tile of.
        """
        start = state = self.start(x)
        if not self.refines:
            return start
        steps = steps or self.steps
        shares = noise_share(torch.linspace(0, 1, steps + 1, dtype=torch.float64)).tolist()
        for number in range(steps, 0, -1):
            now = state.new_full((1, 1, 1, 1), shares[number])
            target = self.predict(x, start, state, now).clamp(-1, 1)
            if number > 1:
                noise = pixel_noise(state, self.seed, number, origin)
                state = step_back(state, target, shares[number], shares[number - 1], noise)
        return target


def refiner_channels(in_channels: int, out_channels: int, *, regression: bool) -> int:
    """Number of channels that the refining network sees: state, input, start if it is another, and share."""
    return out_channels + in_channels + out_channels * regression + 1
