"""The losses: adversarial for both networks, and pixel by pixel under a weight map."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from calco.training.config import ObjectiveConfig


def _cross_entropy(logits: Tensor, real: bool) -> Tensor:
    # Goodfellow et al., arXiv 1406.2661; the generator's non-saturating form is the same with real=True.
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)), reduction="none")


def _least_squares(logits: Tensor, real: bool) -> Tensor:
    # Mao et al., arXiv 1611.04076, equation 9.
    return (logits - float(real)).square()


def _hinge(logits: Tensor, real: bool) -> Tensor:
    # Lim and Ye, arXiv 1705.02894, equation 14.
    return F.relu(1 - logits if real else 1 + logits)


def _apart(logits: Tensor, real: bool) -> Tensor:
    # Jolicoeur-Martineau, arXiv 1807.00734: `logits` are those of an image less those of its opposite.
    return F.softplus(-logits if real else logits)


ADVERSARIAL: dict[str, Callable[[Tensor, bool], Tensor]] = {
    "cross-entropy": _cross_entropy,
    "least-squares": _least_squares,
    "hinge": _hinge,
    "relativistic": _apart,
}

_EXACT = 1e-5  # mean square, in [-1, 1], below which an image is as good as exact: half a level of a byte
_SURE = 1e-6  # smallest probability whose logarithm is taken

# One of the discriminator's two losses when it cannot tell real from generated.
UNDECIDED = {"cross-entropy": math.log(2), "least-squares": 0.25, "hinge": 1.0, "relativistic": math.log(2)}


def discriminator_loss(config: ObjectiveConfig, logits: Tensor, real: bool, weight: Tensor) -> Tensor:
    """One part of the discriminator's loss, for logits N, 1, h, w of targets (`real`) or generated images.

    The weight N, 1, H, W of each pixel is that of the patches around it.
    """
    return weighted(ADVERSARIAL[config.gan](logits, real), weight) * (0.5 if config.d_loss == "halved" else 1.0)


def generator_gan_loss(config: ObjectiveConfig, fake: Tensor, weight: Tensor) -> Tensor:
    """Adversarial loss of the generator before its weight, from logits N, 1, h, w."""
    return weighted(-fake if config.gan == "hinge" else ADVERSARIAL[config.gan](fake, True), weight)


def weighted(losses: Tensor, weight: Tensor) -> Tensor:
    """Mean of losses N, 1, h, w under a weight map N, 1, H, W, which is averaged to their size."""
    weight = F.interpolate(weight, losses.shape[-2:], mode="area")
    return (losses * weight).sum() / weight.sum().clamp(min=1e-6)  # void pixels weigh nothing


def matching_loss(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    """Mean distance of a discriminator's maps of generated images from those of targets, without its logits.

    Source: Wang et al., arXiv 1711.11585, equation 4.
    """
    pairs = [
        (ours.float(), theirs.float())
        for one, other in zip(fake, real, strict=True)
        for ours, theirs in zip(one[:-1], other[:-1], strict=True)
    ]
    return torch.stack([F.l1_loss(ours, theirs.detach()) for ours, theirs in pairs]).mean()


def perceptual_loss(fake: Sequence[Tensor], real: Sequence[Tensor], weight: Tensor) -> Tensor:
    """Mean distance of fixed features, layer by layer: maps N, C, h, w; weight N, 1, H, W.

    Each map's distance is divided by the mean size of the target's values, so that all layers count alike. After
    Johnson et al., arXiv 1603.08155, section 3.2.
    """
    parts = []
    for ours, theirs in zip(fake, real, strict=True):
        wanted = theirs.float()
        apart = (ours.float() - wanted).abs().mean(1, keepdim=True) / wanted.abs().mean().clamp(min=1e-6)
        parts.append(weighted(apart, weight))
    return torch.stack(parts).mean()


def colourfulness(x: Tensor) -> Tensor:
    """How colourful images are, N, 3, H, W in [-1, 1] => N: Hasler and Suesstrunk, SPIE 5007 (2003), in levels of 255.

    The spread of red against green and of yellow against blue, and three tenths of their mean.
    """
    red, green, blue = (x.float() * 127.5).unbind(1)
    axes = torch.stack([red - green, (red + green) / 2 - blue], 1).flatten(2)
    spread = axes.var(2, correction=0).sum(1).clamp(min=1e-6).sqrt()
    return spread + 0.3 * axes.mean(2).square().sum(1).clamp(min=1e-6).sqrt()


def ssim_loss(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean of 1 - SSIM under a weight map, from windows that lie wholly inside: N, C, H, W in [-1, 1]; N, 1, H, W.

    Source: Wang et al., IEEE TIP 13 (2004), equation 13, with its Gaussian of sigma 1.5, as a loss after Zhao et al.,
    arXiv 1511.08861, section III-B. Images of fewer than 11 pixels have no window: they are compared as a whole.
    """
    ours, theirs = _shares(output), _shares(target)
    down, across = (_window_means(side, output) for side in output.shape[-2:])
    stacked = torch.cat([ours, theirs, ours * theirs, ours * ours + theirs * theirs], 1)
    a, b, products, squares = (down @ stacked @ across.mT).chunk(4, 1)
    c1, c2 = 0.01**2, 0.03**2  # as in the score
    means, mean_squares = a * b, a * a + b * b
    contrast = (2 * (products - means) + c2) / (squares - mean_squares + c2)
    similarity = contrast * (2 * means + c1) / (mean_squares + c1)
    return weighted(1 - similarity.mean(1, keepdim=True), down @ weight @ across.mT)


def _window_means(side: int, like: Tensor) -> Tensor:
    """Matrix whose product with a column of `side` pixels is the Gaussian mean in each window of 11: side - 10, side.

    Two such products are as fast as anything else that a CPU could do, and so are their gradients.
    """
    window = min(11, side)
    offsets = torch.arange(side)[None] - torch.arange(side - window + 1)[:, None] - (window - 1) / 2
    gaussian = torch.exp(-((offsets / 1.5) ** 2) / 2) * (offsets.abs() <= window / 2)
    return (gaussian / gaussian.sum(1, keepdim=True)).to(like)


def slope_penalty(logits: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """Half the mean squared slope of a discriminator at its inputs.

    Source: Mescheder et al., arXiv 1801.04406, equation 9; at real and generated images as in arXiv 2501.05441.
    """
    # A projected discriminator passes over the finest of the fixed features.
    slopes: Sequence[Tensor | None] = torch.autograd.grad(
        [each.sum() for each in logits], list(inputs), create_graph=True, allow_unused=True
    )
    squares = [each.float().square().flatten(1).sum(1).mean() for each in slopes if each is not None]
    return torch.stack(squares).sum() / 2


def pixel_loss(config: ObjectiveConfig, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the pixels' errors before the paper's lambda: N, C, H, W in [-1, 1]; weight N, 1, H, W >= 0.

    The error is absolute, squared, sqrt(d^2 + 1e-6) (Charbonnier, arXiv 1710.01992), the negative PSNR of each image
    (Chen et al., HINet, arXiv 2105.06086, equation 4), or the cross-entropy of each channel, with -1 to 1 for the
    probability of white.
    """
    if config.pixel == "cross-entropy":
        # The output is tanh of z, so its probability of white is the sigmoid of 2 z.
        shares = _shares(output).clamp(_SURE, 1 - _SURE)
        return (F.binary_cross_entropy(shares, _shares(target), reduction="none") * weight).mean()
    difference = output - target
    if config.pixel == "l1":
        error = difference.abs()
    elif config.pixel == "l2":
        error = difference.square()
    elif config.pixel == "psnr":
        squared = (difference.square() * weight).mean((1, 2, 3)) / weight.mean((1, 2, 3)).clamp(min=1e-6)
        return 10 * ((squared + _EXACT) / 4).log10().mean()
    else:
        error = (difference.square() + 1e-6).sqrt()
    return (error * weight).mean()


def overlap_loss(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Soft Jaccard distance of the output's areas from the target's, mean over images, channels and both readings.

    Each channel is read twice, for where it is light and for where it is dark, so that background counts as a class
    too. The sums of |a - b| make it a distance for colours between, where that of products is not at its least
    when both are equal (Wang et al., Jaccard Metric Losses, arXiv 2302.05666, equation 7). N, C, H, W in [-1, 1].
    """
    light, wanted = _shares(output), _shares(target)
    apart = ((light - wanted).abs() * weight).sum((2, 3))
    sides = []
    for ours, theirs in ((light, wanted), (1 - light, 1 - wanted)):
        both = ((ours + theirs) * weight).sum((2, 3))
        # |A or B| = (|A| + |B| + |A - B|) / 2, and what is not in both is |A - B|; one pixel more, for empty areas.
        sides.append(apart / ((both + apart) / 2 + 1))
    return torch.stack(sides).mean()


def _shares(x: Tensor) -> Tensor:
    """[-1, 1] => [0, 1]."""
    return (x + 1) / 2


def balance(config: ObjectiveConfig, d_real: float, d_fake: float) -> str:
    """Describe the balance of the two networks from the discriminator's two losses (as configured)."""
    undecided = UNDECIDED[config.gan] * (1.0 if config.d_loss == "halved" else 2.0)
    total = d_real + d_fake
    reading = f"Discriminator loss {total:.3f} ({undecided:.3f} = cannot tell real from generated)"
    share = total / undecided
    if share > 1.05:
        return f"{reading}. It is worse than guessing: lower the learning rate or give it more filters."
    if share > 0.8:
        return (
            f"{reading}. It can hardly tell them apart: the networks are in balance, or it is too weak to teach more."
        )
    if share > 0.25:
        return f"{reading}. It recognises many generated images and still has something to teach: a healthy balance."
    return f"{reading}. It recognises nearly all generated images: the generator learns from the pixel loss alone."
