"""The two networks of a translator, and the step that updates them."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence

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
    """Generator, discriminator, their optimisers and the averaged generator.

    Args:
        config: Configuration of the run; its seed determines the first weights.
        in_channels: Channels of the input.
        out_channels: Channels of the target.
        device: Device of the networks.
        group: Processes that train together; one by default.

    Attributes:
        generator, discriminator: Networks themselves.
        from_imagenet: Whether the generator's encoder starts with ImageNet weights.
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
        self.generator.to(device)
        self.generator.to(memory_format=layout)  # type: ignore[call-overload]
        self.discriminator: PatchGAN | None = None
        if config.objective.gan != "none":
            self.discriminator = build_discriminator(config.discriminator, in_channels + out_channels).to(device)
            self.discriminator.to(memory_format=layout)  # type: ignore[call-overload]
        for part in (self.generator.backbone, self.discriminator):
            if part is not None:
                part.recompute = config.compute.activation_checkpointing
        self.live, self.averaged = self.generator, copy.deepcopy(self.generator) if self.ema else None
        parts = {"generator": self.generator, "discriminator": self.discriminator, "averaged": self.averaged}
        self.modules = {name: part for name, part in parts.items() if part is not None}
        self.wrapped_generator = group.wrap(self.generator)
        self.wrapped_discriminator = group.wrap(self.discriminator) if self.discriminator else None
        self.g_optimiser = self._adam(self.generator)
        self.d_optimiser = self._adam(self.discriminator) if self.discriminator else None
        optimisers = {"g_optimiser": self.g_optimiser, "d_optimiser": self.d_optimiser}
        self.optimisers = {name: each for name, each in optimisers.items() if each is not None}
        self.generate: Callable[[Tensor], Tensor] = self.wrapped_generator
        self.discriminate: Callable[[Tensor, Tensor], Tensor] | None = self.wrapped_discriminator
        self.frozen_discriminator: Callable[[Tensor, Tensor], Tensor] | None = self.discriminator
        if config.compute.compile:
            need_compiler(device)
            self.generate = torch.compile(self.wrapped_generator)
            if self.discriminator and self.wrapped_discriminator:
                self.discriminate = torch.compile(self.wrapped_discriminator)
                self.frozen_discriminator = torch.compile(self.discriminator)

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        options = self.config.optimiser
        return torch.optim.Adam(network.parameters(), lr=options.learning_rate, betas=options.betas, fused=True)

    @property
    def kept(self) -> Generator:
        """Generator that is validated and kept."""
        return self.averaged or self.generator

    def update(self, optimiser: torch.optim.Optimizer) -> None:
        """Update the weights of an optimiser, and release their gradients."""
        self.scaler.step(optimiser)
        optimiser.zero_grad(set_to_none=True)

    @contextlib.contextmanager
    def stepping_in_backward(self, num_batches: int) -> Iterator[None]:
        """Update each weight of the generator as soon as its gradient is there, and release the gradient.

        So there are never gradients of all weights at once; the result is the same to the bit. It does not apply to
        accumulated or scaled gradients, to a GPU, where one large kernel is faster, or to several processes, which
        exchange their gradients first.
        """
        single = not (torch.distributed.is_available() and torch.distributed.is_initialized())
        adam = type(self.g_optimiser) is torch.optim.Adam
        if self.device.type != "cpu" or num_batches > 1 or not single or not adam:
            yield
            return
        hooks = [p.register_post_accumulate_grad_hook(self._step_one) for p in self.generator.parameters()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _step_one(self, weight: Tensor) -> None:
        """Make Adam's step for one weight of the generator."""
        group, state, gradient = self.g_optimiser.param_groups[0], self.g_optimiser.state[weight], weight.grad
        assert gradient is not None
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        # Seen with the channels last they are contiguous; otherwise torch copies each gradient first.
        ours = [weight, gradient, state["exp_avg"], state["exp_avg_sq"]]
        if all(t.dim() == 4 and t.is_contiguous(memory_format=torch.channels_last) for t in ours):
            ours = [t.permute(0, 2, 3, 1) for t in ours]
        with torch.no_grad():
            state["step"] += 1
            torch._fused_adam_(
                ours[:1], ours[1:2], ours[2:3], ours[3:], [], [state["step"]],
                lr=group["lr"], beta1=group["betas"][0], beta2=group["betas"][1], weight_decay=0.0, eps=group["eps"],
                amsgrad=False, maximize=False,
            )  # fmt: skip
        weight.grad = None


def training_step(networks: Networks, batches: Sequence[Batch]) -> dict[str, float]:
    """Update both networks once from one or more batches (of each process), whose gradients are averaged.

    Source: arXiv 1611.07004, section 3.3. With several batches the generator runs on each of them once for the
    discriminator and once for itself, so that the activations of only one batch are held at a time.

    Returns:
        Mean losses of this process before their weights: g_pixel, g_gan, d_real, d_fake.
    """
    d, d_optimiser = networks.discriminator, networks.d_optimiser
    losses = dict.fromkeys(("g_pixel", "g_gan", "d_real", "d_fake"), 0.0)
    tensors = [batch.to(networks.device, networks.memory_format) for batch in batches]
    together = networks.config.objective.order == "together"
    output = _discriminator_backward(networks, tensors, losses)
    if d is not None and d_optimiser is not None:
        if not together:
            networks.update(d_optimiser)
        d.requires_grad_(False)  # the generator's loss passes through, and leaves no gradients behind
    _generator_backward(networks, tensors, output, losses)
    networks.update(networks.g_optimiser)
    if d is not None and d_optimiser is not None:
        d.requires_grad_(True)
        if together:
            networks.update(d_optimiser)
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
    """Compute the generator's gradients and, on a CPU, update it."""
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
            with networks.stepping_in_backward(len(tensors)):
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
