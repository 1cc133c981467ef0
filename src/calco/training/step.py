"""The two networks of a translator, and the step that updates them."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from calco.networks.build import build_discriminator, build_generator
from calco.networks.efficientnet_unet import begin_with_imagenet
from calco.networks.generator import Generator
from calco.networks.patchgan import PatchGAN
from calco.training.checkpoint import TrainableNetworks
from calco.training.config import TrainConfig
from calco.training.objectives import discriminator_loss, generator_gan_loss, overlap_loss, pixel_loss
from calco.training.pairs import Batch
from calco.training.processes import SINGLE, ProcessGroup, need_compiler

Tensors = tuple[Tensor, Tensor, Tensor]  # input, target, weight


class Networks(TrainableNetworks):
    """Generator, discriminator, their optimisers and the averaged generator; the seed determines the first weights.

    Attributes:
        generate, discriminate: Networks to call for gradients that all processes share.
        frozen_discriminator: Discriminator to call for the generator's loss, without gradients of its own.
    """

    averaged: Generator | None

    def __init__(
        self, config: TrainConfig, in_channels: int, out_channels: int, device: torch.device,
        group: ProcessGroup = SINGLE,
    ) -> None:  # fmt: skip
        super().__init__(config.compute, device, config.optimiser.ema)
        torch.manual_seed(config.seed)
        self.config, self.group = config, group
        layout = torch.channels_last if config.compute.channels_last else torch.contiguous_format
        self.memory_format: torch.memory_format = layout
        self.generator = build_generator(config.generator, in_channels, out_channels)
        self.from_imagenet = config.generator.pretrained and begin_with_imagenet(self.generator.backbone)
        self.discriminator: PatchGAN | None = None
        if config.objective.gan != "none":
            self.discriminator = build_discriminator(config.discriminator, in_channels + out_channels)
        self.generator.backbone.recompute = config.compute.activation_checkpointing
        parts: dict[str, nn.Module] = {"generator": self.generator}
        if self.discriminator is not None:
            self.discriminator.recompute = config.compute.activation_checkpointing
            parts["discriminator"] = self.discriminator
        for part in parts.values():
            part.to(device).to(memory_format=layout)  # type: ignore[call-overload]
        self.live, self.averaged = self.generator, copy.deepcopy(self.generator) if self.ema else None
        self.modules = parts | ({} if self.averaged is None else {"averaged": self.averaged})
        self.wrapped_generator = group.wrap(self.generator)
        self.wrapped_discriminator = group.wrap(self.discriminator) if self.discriminator else None
        options = config.optimiser
        self.optimisers = {
            f"{name[0]}_optimiser": torch.optim.Adam(
                part.parameters(), lr=options.learning_rate, betas=options.betas, fused=True
            )
            for name, part in parts.items()
        }
        self.generate: Callable[[Tensor], Tensor] = self.wrapped_generator
        self.discriminate: Callable[[Tensor, Tensor], Tensor] | None = self.wrapped_discriminator
        self.frozen_discriminator: Callable[[Tensor, Tensor], Tensor] | None = self.discriminator
        if config.compute.compile:
            need_compiler(device)
            self.generate = torch.compile(self.wrapped_generator)
            if self.discriminator and self.wrapped_discriminator:
                self.discriminate = torch.compile(self.wrapped_discriminator)
                self.frozen_discriminator = torch.compile(self.discriminator)

    @property
    def kept(self) -> Generator:
        """Generator that is validated and kept."""
        return self.averaged or self.generator

    def update(self, name: str) -> None:
        """Update the weights of an optimiser, and release their gradients."""
        optimiser = self.optimisers[name]
        self.scaler.step(optimiser)
        optimiser.zero_grad(set_to_none=True)


def training_step(networks: Networks, batches: Sequence[Batch]) -> dict[str, float]:
    """Update both networks once from one or more batches (of each process), whose gradients are averaged.

    Source: arXiv 1611.07004, section 3.3. With several batches the generator runs on each of them once for the
    discriminator and once for itself, so that the activations of only one batch are held at a time.

    Returns:
        Mean losses of this process before their weights: g_pixel, g_gan, d_real, d_fake.
    """
    d, together = networks.discriminator, networks.config.objective.order == "together"
    losses = dict.fromkeys(("g_pixel", "g_gan", "d_real", "d_fake"), 0.0)
    tensors = [batch.to(networks.device, networks.memory_format) for batch in batches]
    output = _discriminator_backward(networks, tensors, losses)
    if d is not None:
        if not together:
            networks.update("d_optimiser")
        d.requires_grad_(False)  # the generator's loss passes through, and leaves no gradients behind
    _generator_backward(networks, tensors, output, losses)
    networks.update("g_optimiser")
    if d is not None:
        d.requires_grad_(True)
        if together:
            networks.update("d_optimiser")
    networks.scaler.update()
    return losses


def _discriminator_backward(networks: Networks, tensors: Sequence[Tensors], losses: dict[str, float]) -> Tensor | None:
    """Compute the discriminator's gradients; return the generator's output if its own loss can use it too."""
    objective, scaler, wrapped = networks.config.objective, networks.scaler, networks.wrapped_discriminator
    if wrapped is None or networks.discriminate is None:
        return None
    share, last, output = 1 / len(tensors), len(tensors) - 1, None
    for number, (x, y, weight) in enumerate(tensors):
        # One after the other: the activations of one half are released before those of the other.
        with networks.group.averaging(wrapped, now=False):
            with networks.autocast():
                real = networks.discriminate(x, y)
            d_real = discriminator_loss(objective, real.float(), True, weight)
            scaler.scale(d_real * share).backward()
        with networks.group.averaging(wrapped, now=number == last):
            with networks.autocast():
                with torch.set_grad_enabled(len(tensors) == 1):
                    output = networks.generate(x)
                fake = networks.discriminate(x, output.detach())
            d_fake = discriminator_loss(objective, fake.float(), False, weight)
            scaler.scale(d_fake * share).backward()
        losses["d_real"] += d_real.item() * share
        losses["d_fake"] += d_fake.item() * share
    return output if len(tensors) == 1 else None


def _generator_backward(
    networks: Networks, tensors: Sequence[Tensors], output: Tensor | None, losses: dict[str, float]
) -> None:
    """Compute the generator's gradients."""
    objective, share, last = networks.config.objective, 1 / len(tensors), len(tensors) - 1
    for number, (x, y, weight) in enumerate(tensors):
        with networks.group.averaging(networks.wrapped_generator, now=number == last):
            with networks.autocast():
                out = networks.generate(x) if output is None else output
                fake = networks.frozen_discriminator(x, out) if networks.frozen_discriminator is not None else None
            g_pixel = pixel_loss(objective, out.float(), y, weight)
            g_gan = g_pixel.new_zeros(()) if fake is None else generator_gan_loss(objective, fake.float(), weight)
            loss = share * (objective.gan_weight * g_gan + objective.pixel_weight * g_pixel)
            if objective.overlap_weight:
                g_overlap = overlap_loss(out.float(), y, weight)
                loss = loss + share * objective.overlap_weight * g_overlap
                losses["g_overlap"] = losses.get("g_overlap", 0.0) + g_overlap.item() * share
            networks.scaler.scale(loss).backward()
        losses["g_pixel"] += g_pixel.item() * share
        losses["g_gan"] += g_gan.item() * share


def rate_at(config: TrainConfig, progress: float) -> float:
    """Learning rate at a share of the run: constant, then linear to 0 from `decay_from` on."""
    start, rate = config.optimiser.decay_from, config.optimiser.learning_rate
    if progress <= start or start >= 1:
        return rate
    # A rate of exactly 0 would waste the last steps; the reference counts one step past the end too.
    return rate * max(1e-3, (1 - progress) / (1 - start))
