"""The losses: adversarial for both networks, and pixel by pixel under a weight map."""

import math
from collections.abc import Callable

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


ADVERSARIAL: dict[str, Callable[[Tensor, bool], Tensor]] = {
    "cross-entropy": _cross_entropy,
    "least-squares": _least_squares,
    "hinge": _hinge,
}

_SURE = 1e-6  # of a probability: the logarithm of less is left alone

# What the discriminator pays for one of its two sums when it cannot tell real from drawn at all.
UNDECIDED = {"cross-entropy": math.log(2), "least-squares": 0.25, "hinge": 1.0}


def discriminator_loss(config: ObjectiveConfig, real: Tensor, fake: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The two parts of the discriminator's loss, each scaled as the convention has it.

    Args:
        config: Which loss, and whether the two are averaged ("halved") or added ("sum").
        real: Logits N, 1, h, w of targets.
        fake: Logits N, 1, h, w of drawings.
        weight: N, 1, H, W: where a pixel counts more, so does the judgement of the patches around it.
    """
    return judging_loss(config, real, True, weight), judging_loss(config, fake, False, weight)


def judging_loss(config: ObjectiveConfig, logits: Tensor, real: bool, weight: Tensor) -> Tensor:
    """One of the two parts of `discriminator_loss`: for targets (`real`), or for drawings."""
    return weighted(ADVERSARIAL[config.gan](logits, real), weight) * (0.5 if config.d_loss == "halved" else 1.0)


def generator_gan_loss(config: ObjectiveConfig, fake: Tensor, weight: Tensor) -> Tensor:
    """The generator's adversarial loss, not yet multiplied with its factor, of logits N, 1, h, w."""
    return weighted(-fake if config.gan == "hinge" else ADVERSARIAL[config.gan](fake, True), weight)


def weighted(losses: Tensor, weight: Tensor) -> Tensor:
    """The mean of losses N, 1, h, w under a map N, 1, H, W that is averaged to their size."""
    weight = F.interpolate(weight, losses.shape[-2:], mode="area")
    return (losses * weight).sum() / weight.sum().clamp(min=1e-6)  # void pixels weigh nothing


def pixel_loss(config: ObjectiveConfig, drawn: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean of the pixels' errors, not yet multiplied with the paper's lambda.

    Args:
        config: Which error: absolute, squared, sqrt(d^2 + 1e-6) (Charbonnier, arXiv 1710.01992), or the cross-entropy
            of each channel, with -1 to 1 for the probability of white.
        drawn: N, C, H, W in [-1, 1].
        target: N, C, H, W in [-1, 1].
        weight: N, 1, H, W, above or equal to 0, with mean 1 where nothing is weighed more.
    """
    if config.pixel == "cross-entropy":
        # The drawing is tanh of z, so its share of white is the sigmoid of 2 z.
        shares = _shares(drawn).clamp(_SURE, 1 - _SURE)
        return (F.binary_cross_entropy(shares, _shares(target), reduction="none") * weight).mean()
    difference = drawn - target
    if config.pixel == "l1":
        error = difference.abs()
    elif config.pixel == "l2":
        error = difference.square()
    else:
        error = (difference.square() + 1e-6).sqrt()
    return (error * weight).mean()


def overlap_loss(drawn: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """How little the drawn areas cover the target's: the soft Jaccard distance, mean over images, channels and sides.

    Each channel is read twice, for where it is light and for where it is dark, so that background counts as a class
    too. The sums of |a - b| make it a distance for colours between, where that of products is not at its least
    when both are equal (Wang et al., Jaccard Metric Losses, arXiv 2302.05666, equation 7).

    Args:
        drawn: N, C, H, W in [-1, 1].
        target: N, C, H, W in [-1, 1].
        weight: N, 1, H, W: how much each pixel counts.
    """
    light, wanted = _shares(drawn), _shares(target)
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
    """A plain-words reading of how the two networks stand, from the discriminator's two losses (as configured)."""
    undecided = UNDECIDED[config.gan] * (1.0 if config.d_loss == "halved" else 2.0)
    total = d_real + d_fake
    rule = {"cross-entropy": "ln 2" if config.d_loss == "halved" else "2 ln 2"}.get(config.gan, "its undecided value")
    reading = f"The discriminator pays {total:.3f}; one that cannot tell real from drawn pays {undecided:.3f} ({rule})"
    share = total / undecided
    if share > 1.05:
        return f"{reading}. It does worse than guessing: lower its learning rate or give it more filters."
    if share > 0.8:
        return f"{reading}. It can hardly tell them apart: the two are in balance, or it is too weak to teach more."
    if share > 0.25:
        return f"{reading}. It tells many drawings from targets and still has something to teach: a healthy balance."
    return f"{reading}. It tells nearly all drawings from targets: the generator learns by the pixel loss alone."
