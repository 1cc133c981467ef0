"""The two networks of a translator, and the step that updates them."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.evaluation.perceptual import Perceptual, features
from calco.networks.bridge import Bridge, between, emphasis, training_shares
from calco.networks.build import build_discriminator, build_generator
from calco.networks.cpu import prefer_onednn
from calco.networks.discriminators import FixedFeatures, Judgements, MultiScale, PatchGAN, Projected
from calco.networks.efficientnet_unet import begin_with_imagenet
from calco.networks.generator import Generator
from calco.training.checkpoint import TrainableNetworks
from calco.training.config import TrainConfig
from calco.training.objectives import (
    colourfulness,
    discriminator_loss,
    generator_gan_loss,
    matching_loss,
    overlap_loss,
    perceptual_loss,
    pixel_loss,
    slope_penalty,
    ssim_loss,
)
from calco.training.pairs import Batch
from calco.training.processes import SINGLE, ProcessGroup, need_compiler

Discriminator = PatchGAN | MultiScale | Projected
Judge = Callable[[Tensor, Tensor, Sequence[Tensor]], Judgements]


class Networks(TrainableNetworks):
    """Generator, discriminator, their optimisers and the averaged generator; the seed determines the first weights.

    Attributes:
        generate, discriminate: Networks to call for gradients that all processes share.
        refines: The refining network of a bridge learns, and not its regression.
        frozen_discriminator: Discriminator to call for the generator's loss, without gradients of its own.
    """

    averaged: Generator | None
    refines = False

    def __init__(
        self, config: TrainConfig, in_channels: int, out_channels: int, device: torch.device,
        group: ProcessGroup = SINGLE,
    ) -> None:  # fmt: skip
        super().__init__(config.compute, device, config.optimiser.ema)
        if config.compute.compile:
            need_compiler(device)
        torch.manual_seed(config.seed)
        self.config, self.group = config, group
        layout = torch.channels_last if config.compute.channels_last else torch.contiguous_format
        self.memory_format: torch.memory_format = layout
        self.generator = build_generator(config.generator, in_channels, out_channels)
        begun = config.generator.pretrained and [begin_with_imagenet(part) for part in self.generator.modules()]
        self.from_imagenet = any(begun or ())
        self.discriminator: Discriminator | None = None
        if config.objective.gan != "none":
            self.discriminator = build_discriminator(config.discriminator, in_channels, out_channels)
        self.generator.backbone.recompute = config.compute.activation_checkpointing
        parts: dict[str, nn.Module] = {"generator": self.generator}
        if self.discriminator is not None:
            for part in self.discriminator.modules():
                if isinstance(part, PatchGAN):
                    part.recompute = config.compute.activation_checkpointing
            parts["discriminator"] = self.discriminator
        for part in parts.values():
            part.to(device).to(memory_format=layout)  # type: ignore[call-overload]
            prefer_onednn(part)
        self.adversarial = True  # whether the adversary takes part in a step
        self.augments = self.halves = False
        self.look = fixed_features(config, device, layout)
        self.live, self.averaged = self.generator, copy.deepcopy(self.generator) if self.ema else None
        self.modules = parts | ({} if self.averaged is None else {"averaged": self.averaged})
        self.wrapped_discriminator = group.wrap(self.discriminator) if self.discriminator else None
        options = config.optimiser
        self.optimisers = {
            f"{name[0]}_optimiser": torch.optim.Adam(
                _groups(part, options.encoder_rate if self.from_imagenet else 1.0),
                lr=options.learning_rate, betas=options.betas, fused=True,
            )
            for name, part in parts.items()
        }  # fmt: skip
        self.discriminate: Judge | None = self.wrapped_discriminator
        self.frozen_discriminator: Judge | None = self.discriminator
        self._begin(refining=self.bridge is not None and self.bridge.regression is None)
        if config.compute.compile and self.discriminator and self.wrapped_discriminator:
            self.discriminate = torch.compile(self.wrapped_discriminator)
            self.frozen_discriminator = torch.compile(self.discriminator)

    @property
    def bridge(self) -> Bridge | None:
        """The generator's backbone if it is a bridge."""
        return self.generator.backbone if isinstance(self.generator.backbone, Bridge) else None

    def refine(self, refining: bool) -> bool:
        """Let the refining network of a bridge learn, or its regression; return whether that is a change."""
        changes = self.bridge is not None and refining != self.refines
        if changes:
            self._begin(refining=refining)
        return changes

    def _begin(self, *, refining: bool) -> None:
        """Prepare the part of the generator that learns from now on."""
        self.refines = refining
        if (bridge := self.bridge) is not None:
            regression, average = bridge.regression, self.averaged and self.averaged.backbone
            bridge.refiner.requires_grad_(refining)
            if regression is not None:
                regression.requires_grad_(not refining)
                if refining and isinstance(average, Bridge) and average.regression is not None:
                    # The refining network learns from the starts that the model will have.
                    regression.load_state_dict(average.regression.state_dict())
            for part in (bridge, average):
                if isinstance(part, Bridge):
                    part.refines = refining
                    part.train(part.training)
        self.wrapped_generator = self.group.wrap(self.generator)  # which averages the gradients of what learns
        self.generate: Callable[..., Tensor] = self.wrapped_generator
        if self.config.compute.compile:
            self.generate = torch.compile(self.wrapped_generator)

    @property
    def adversary(self) -> Discriminator | None:
        """The discriminator if it takes part in this step."""
        return self.discriminator if self.adversarial else None

    @property
    def kept(self) -> Generator:
        """Generator that is validated and kept."""
        return self.averaged or self.generator

    def update(self, name: str) -> None:
        """Update the weights of an optimiser, and release their gradients."""
        optimiser = self.optimisers[name]
        if clip := self.config.optimiser.clip:
            self.scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], clip)
        self.scaler.step(optimiser)
        optimiser.zero_grad(set_to_none=True)


def _groups(network: nn.Module, encoder_rate: float) -> list[dict[str, Any]]:
    """Parameters of a network, those of a pretrained encoder apart: it knows much already, which large steps undo.

    At a rate of 0 they are fixed, and no time is lost on their gradients.
    """
    parts: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        scale = encoder_rate if ".encoder." in name else 1.0
        if scale:
            parts.setdefault(scale, []).append(parameter)
        else:
            parameter.requires_grad_(False)
    return [{"params": parameters, "rate_scale": scale} for scale, parameters in parts.items()]


@dataclass(frozen=True)
class Seen:
    """What the losses see of images: the images, augmented or not, and their fixed features."""

    image: Tensor
    features: list[Tensor]
    """For the discriminator."""
    perceptual: list[Tensor]
    """For the perceptual loss."""

    def detach(self) -> "Seen":
        """The same without the way to the generator."""
        detached = ([each.detach() for each in maps] for maps in (self.features, self.perceptual))
        return Seen(self.image.detach(), *detached)


class _Pass:
    """One batch on its way through a step."""

    def __init__(self, networks: Networks, batch: Batch) -> None:
        self.networks = networks
        self.x, self.y, self.weight = batch.to(networks.device, networks.memory_format)
        if networks.halves:
            # What marks holes or classes must not be mixed.
            marked = networks.generator.holes is not None or networks.config.generator.labels != "none"
            self.x = self.x[..., ::2, ::2] if marked else F.avg_pool2d(self.x, 2)
            self.y, self.weight = F.avg_pool2d(self.y, 2), F.avg_pool2d(self.weight, 2)
        self.change: Callable[[Tensor], Tensor] = draw(self.x) if networks.augments else lambda x: x
        with torch.no_grad():
            self.condition, self.real = self.change(self.x), self.seen(self.y)
        self.noised: tuple[Tensor, ...] = ()
        self.emphasis: Tensor | float = 1.0
        if networks.refines and networks.bridge is not None:
            with torch.no_grad(), networks.autocast():
                start = networks.bridge.start(self.x)
            share, noise = training_shares(len(self.x)).to(self.x.device), torch.randn(self.y.shape).to(self.y.device)
            self.noised = start, between(self.y, start, share, noise), share
            self.emphasis = emphasis(share)
        self.output: Tensor | None = None
        self.fake: Seen | None = None

    def seen(self, image: Tensor) -> Seen:
        """Look at images."""
        image = self.change(image)
        with self.networks.autocast():
            return Seen(image, *self.networks.look(image))

    def generate(self) -> Tensor:
        """Generate, and look at it, unless that was done for the discriminator."""
        if self.output is None or (torch.is_grad_enabled() and not self.output.requires_grad):
            with self.networks.autocast():
                self.output = self.networks.generate(self.x, *self.noised)
            self.fake = self.seen(self.output)
        return self.output


Maps = list[Tensor]


def fixed_features(
    config: TrainConfig, device: torch.device, layout: torch.memory_format
) -> Callable[[Tensor], tuple[Maps, Maps]]:
    """Return what looks at images for a projected discriminator and for the perceptual loss, each with its own network.

    Where both look through EfficientNet, the maps are computed once; for one that does not ask there are none.
    """
    objective = config.objective
    projected = objective.gan != "none" and config.discriminator.architecture == "projected"
    perceptual = objective.perceptual if objective.perceptual_weight else "none"
    networks: dict[str, Callable[[Tensor], Maps]] = {"none": lambda _image: []}
    if projected or perceptual == "efficientnet":
        fixed = FixedFeatures()
        fixed.to(device).to(memory_format=layout)  # type: ignore[call-overload]
        prefer_onednn(fixed)
        networks["efficientnet"] = fixed
    if perceptual == "alexnet":
        weights = {name: tensor.to(device) for name, tensor in Perceptual.load().weights.items()}
        networks["alexnet"] = lambda image: features(image, weights)
    judge = "efficientnet" if projected else "none"

    def look(image: Tensor) -> tuple[Maps, Maps]:
        maps = {name: networks[name](image) for name in {judge, perceptual}}
        return maps[judge], maps[perceptual]

    return look


def draw(like: Tensor) -> Callable[[Tensor], Tensor]:
    """Draw one change for each image of a batch, and return the function that applies it to tensors N, ., H, W.

    Images are shifted by up to an eighth, lit and recoloured, and a square of half the size is cut out (Zhao et al.,
    Differentiable Augmentation, arXiv 2006.10738). Everything that the discriminator sees of a pair is changed alike.
    """
    count, _, height, width = like.shape
    random = torch.rand(7, count, 1, 1, 1).to(like.device)
    light, contrast, saturation = random[0] - 0.5, random[1] + 0.5, random[2] * 2
    down, right = (((random[n] * 2 - 1) / 8 * side).round() for n, side in ((3, height), (4, width)))
    top, left = (random[n] * side - side / 4 for n, side in ((5, height), (6, width)))
    rows = torch.arange(height, device=like.device).view(1, 1, -1, 1)
    columns = torch.arange(width, device=like.device).view(1, 1, 1, -1)
    inside = (rows - down >= 0) & (rows - down < height) & (columns - right >= 0) & (columns - right < width)
    cut = (rows >= top) & (rows < top + height / 2) & (columns >= left) & (columns < left + width / 2)
    kept = (inside & ~cut).to(like.dtype)
    from_rows = (rows - down).clamp(0, height - 1).long()
    from_columns = (columns - right).clamp(0, width - 1).long()
    number = torch.arange(count, device=like.device).view(-1, 1, 1)

    def change(x: Tensor) -> Tensor:
        x = x + light
        x = (x - x.mean((1, 2, 3), keepdim=True)) * contrast + x.mean((1, 2, 3), keepdim=True)
        if x.shape[1] == 3:
            grey = x.mean(1, keepdim=True)
            x = grey + (x - grey) * saturation
        moved = x.permute(0, 2, 3, 1)[number, from_rows[:, 0], from_columns[:, 0]].permute(0, 3, 1, 2)
        return moved * kept

    return change


def training_step(networks: Networks, batches: Sequence[Batch]) -> dict[str, float]:
    """Update both networks once from one or more batches (of each process), whose gradients are averaged.

    Source: arXiv 1611.07004, section 3.3. With several batches the generator runs on each of them once for the
    discriminator and once for itself, so that the activations of only one batch are held at a time.

    Returns:
        Mean losses of this process before their weights: g_pixel, g_gan, d_real, d_fake, and others in use.
    """
    d, together = networks.adversary, networks.config.objective.order == "together"
    losses = dict.fromkeys(("g_pixel", "g_gan", "d_real", "d_fake"), 0.0)
    passes = [_Pass(networks, batch) for batch in batches]
    if d is not None:
        _discriminator_backward(networks, passes, losses)
        if not together:
            networks.update("d_optimiser")
        d.requires_grad_(False)  # the generator's loss passes through, and leaves no gradients behind
    _generator_backward(networks, passes, losses)
    networks.update("g_optimiser")
    if d is not None:
        d.requires_grad_(True)
        if together:
            networks.update("d_optimiser")
    networks.scaler.update()
    return losses


def _discriminator_backward(networks: Networks, passes: Sequence[_Pass], losses: dict[str, float]) -> None:
    """Compute the discriminator's gradients."""
    wrapped, share, last = networks.wrapped_discriminator, 1 / len(passes), len(passes) - 1
    assert wrapped is not None
    parts = _at_once if networks.config.objective.joint else _one_after_the_other
    for number, each in enumerate(passes):
        with torch.set_grad_enabled(len(passes) == 1):
            each.generate()
        for part in parts:
            with networks.group.averaging(wrapped, now=number == last and part is parts[-1]):
                terms = part(networks, each)
                networks.scaler.scale(torch.stack(list(terms.values())).sum() * share).backward()
            for name, term in terms.items():
                losses[name] = losses.get(name, 0.0) + term.item() * share


def _real_term(networks: Networks, each: _Pass) -> dict[str, Tensor]:
    return {"d_real": _judged(networks, each, each.real, real=True)}


def _fake_term(networks: Networks, each: _Pass) -> dict[str, Tensor]:
    assert each.fake is not None
    return {"d_fake": _judged(networks, each, each.fake.detach(), real=False)}


def _judged(networks: Networks, each: _Pass, seen: Seen, *, real: bool) -> Tensor:
    """The discriminator's loss for targets, or for generated images."""
    assert networks.discriminate is not None
    with networks.autocast():
        judged = networks.discriminate(each.condition, seen.image, seen.features)
    objective = networks.config.objective
    return torch.stack([discriminator_loss(objective, maps[-1].float(), real, each.weight) for maps in judged]).mean()


def _both_terms(networks: Networks, each: _Pass) -> dict[str, Tensor]:
    """The discriminator's loss for targets and generated images in one batch, which some losses compare."""
    assert networks.discriminate is not None
    assert each.fake is not None
    objective, fake = networks.config.objective, each.fake.detach()
    image = torch.cat([each.real.image, fake.image])
    features = [torch.cat(pair) for pair in zip(each.real.features, fake.features, strict=True)]
    inputs = features or [image]
    for tensor in inputs if objective.gradient_penalty else ():
        tensor.requires_grad_()
    with networks.autocast():
        judged = networks.discriminate(torch.cat([each.condition] * 2), image, features)
    logits = [maps[-1].float() for maps in judged]
    terms: dict[str, list[Tensor]] = {"d_real": [], "d_fake": []}
    for ours, theirs in (each_logits.chunk(2) for each_logits in logits):
        compared = objective.gan == "relativistic"
        real, generated = (ours - theirs, theirs - ours) if compared else (ours, theirs)
        terms["d_real"].append(discriminator_loss(objective, real, True, each.weight))
        terms["d_fake"].append(discriminator_loss(objective, generated, False, each.weight))
    means = {name: torch.stack(values).mean() for name, values in terms.items()}
    if objective.gradient_penalty:
        means["d_slope"] = objective.gradient_penalty * slope_penalty(logits, inputs)
    return means


_Part = Callable[[Networks, _Pass], dict[str, Tensor]]
# One after the other, the activations of one half are released before those of the other.
_one_after_the_other: tuple[_Part, ...] = (_real_term, _fake_term)
_at_once: tuple[_Part, ...] = (_both_terms,)


def _generator_backward(networks: Networks, passes: Sequence[_Pass], losses: dict[str, float]) -> None:
    """Compute the generator's gradients."""
    share, last = 1 / len(passes), len(passes) - 1
    for number, each in enumerate(passes):
        with networks.group.averaging(networks.wrapped_generator, now=number == last):
            terms = _generator_terms(networks, each)
            loss = torch.stack([weight * term for weight, term in terms.values()]).sum() * share
            networks.scaler.scale(loss).backward()
        for name, (_, term) in terms.items():
            losses[name] = losses.get(name, 0.0) + term.item() * share


def _generator_terms(networks: Networks, each: _Pass) -> dict[str, tuple[float, Tensor]]:
    """Weights and losses of the generator, by name."""
    objective, judge = networks.config.objective, networks.adversary and networks.frozen_discriminator
    out, weight = each.generate().float(), each.weight
    fake, real, given = each.fake, each.real, each.condition
    assert fake is not None
    terms = {"g_pixel": (objective.pixel_weight, pixel_loss(objective, out, each.y, weight * each.emphasis))}
    if judge:
        with networks.autocast():
            judged = judge(given, fake.image, fake.features)
            if objective.matching_weight or objective.gan == "relativistic":
                with torch.no_grad():
                    wanted = judge(given, real.image, real.features)
        logits = [maps[-1].float() for maps in judged]
        if objective.gan == "relativistic":
            logits = [ours - maps[-1].float() for ours, maps in zip(logits, wanted, strict=True)]
        gan = torch.stack([generator_gan_loss(objective, each_logits, weight) for each_logits in logits]).mean()
        terms["g_gan"] = objective.gan_weight, gan
        if objective.matching_weight:
            terms["g_matching"] = objective.matching_weight, matching_loss(judged, wanted)
    if objective.perceptual_weight:
        terms["g_perceptual"] = objective.perceptual_weight, perceptual_loss(fake.perceptual, real.perceptual, weight)
    if objective.colour_weight:
        apart = (colourfulness(out) - colourfulness(each.y)).abs().mean() / 100
        terms["g_colour"] = objective.colour_weight, apart
    if objective.ssim_weight:
        terms["g_ssim"] = objective.ssim_weight, ssim_loss(out, each.y, weight)
    if objective.overlap_weight:
        terms["g_overlap"] = objective.overlap_weight, overlap_loss(out, each.y, weight)
    return terms


def rate_at(config: TrainConfig, step: int, progress: float) -> float:
    """Learning rate of a step: linear from 0 in the first `warm_up`, constant, and linear to 0 from `decay_from` on."""
    start, rate = config.optimiser.decay_from, config.optimiser.learning_rate
    rate *= min(1.0, (step + 1) / max(1, config.optimiser.warm_up))
    if progress <= start or start >= 1:
        return rate
    # A rate of exactly 0 would waste the last steps; the reference counts one step past the end too.
    return rate * max(1e-3, (1 - progress) / (1 - start))
