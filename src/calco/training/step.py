"""The two networks, and the one step that changes them."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from calco.networks.build import build_discriminator, build_generator
from calco.networks.efficientnet_unet import begin_with_imagenet
from calco.networks.generator import Generator
from calco.networks.machine import choose_precision
from calco.networks.patchgan import PatchGAN
from calco.training.checkpoint import flatten_optimiser, restore_optimiser
from calco.training.config import TrainConfig
from calco.training.objectives import generator_gan_loss, judging_loss, overlap_loss, pixel_loss
from calco.training.pairs import Batch
from calco.training.processes import ALONE, Team, need_compiler


class Networks:
    """Generator, discriminator, their optimisers and the averaged generator.

    Args:
        config: The run's configuration; its seed draws the first weights.
        in_channels: Channels of the input.
        out_channels: Channels of the target.
        device: Where they live.
        team: The processes that learn together; by default this one is alone.

    Attributes:
        generator, discriminator: The networks themselves.
        from_imagenet: Whether the generator's encoder begins with ImageNet's weights.
        shared_generator, shared_discriminator: What is called for gradients that all processes shall have: their
            backward pass averages them. The same as the networks where there is one process.
    """

    def __init__(
        self, config: TrainConfig, in_channels: int, out_channels: int, device: torch.device, team: Team = ALONE
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.device, self.team = config, device, team
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
        self.averaged: Generator | None = copy.deepcopy(self.generator) if config.optimiser.ema else None
        self.shared_generator = team.share(self.generator)
        self.shared_discriminator = team.share(self.discriminator) if self.discriminator else None
        self.dtype = choose_precision(config.compute.precision, device)
        self.g_optimiser = self._adam(self.generator)
        self.d_optimiser = self._adam(self.discriminator) if self.discriminator else None
        # Half floats end at 6e-5: their gradients are scaled up, and steps whose gradients overflow are left out.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.draw: Callable[[Tensor], Tensor] = self.shared_generator
        self.judge: Callable[[Tensor, Tensor], Tensor] | None = self.shared_discriminator
        # In the generator's turn the discriminator learns nothing, so its gradients are nobody's business.
        self.critic: Callable[[Tensor, Tensor], Tensor] | None = self.discriminator
        if config.compute.compile:
            need_compiler(device)
            self.draw = torch.compile(self.shared_generator)
            self.judge = torch.compile(self.shared_discriminator) if self.shared_discriminator else None
            self.critic = torch.compile(self.discriminator) if self.discriminator else None

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        options = self.config.optimiser
        return torch.optim.Adam(network.parameters(), lr=options.learning_rate, betas=options.betas, fused=True)

    @property
    def shown(self) -> Generator:
        """The generator that is validated and kept."""
        return self.averaged or self.generator

    def autocast(self) -> torch.autocast:
        """The context in which the networks compute."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def set_rate(self, rate: float) -> None:
        """Sets both optimisers' step size."""
        for optimiser in (self.g_optimiser, self.d_optimiser):
            for group in optimiser.param_groups if optimiser else ():
                group["lr"] = rate

    @contextlib.contextmanager
    def stepping_in_backward(self, num_batches: int) -> Iterator[None]:
        """Changes each weight of the generator as soon as its gradient is there, and lets that go.

        So there are never gradients of all weights at once; the result is the same to the bit. It is not done where
        gradients are added up over batches, nor scaled, nor on a GPU, where one large kernel is faster, nor by several
        processes, which exchange their gradients first.
        """
        alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
        if self.device.type != "cpu" or num_batches > 1 or not alone:
            yield
            return
        hooks = [p.register_post_accumulate_grad_hook(self._step_one) for p in self.generator.parameters()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _step_one(self, weight: Tensor) -> None:
        """Adam's step for one of the generator's weights."""
        group, state, gradient = self.g_optimiser.param_groups[0], self.g_optimiser.state[weight], weight.grad
        assert gradient is not None
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        # Seen with the channels last they are contiguous; seen otherwise, torch copies each gradient first.
        ours = [weight, gradient, state["exp_avg"], state["exp_avg_sq"]]
        if all(t.dim() == 4 and t.is_contiguous(memory_format=torch.channels_last) for t in ours):
            ours = [t.permute(0, 2, 3, 1) for t in ours]
        with torch.no_grad():
            state["step"] += 1
            torch._fused_adam_(
                ours[:1],
                ours[1:2],
                ours[2:3],
                ours[3:],
                [],
                [state["step"]],
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=0.0,
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )
        weight.grad = None

    def average(self, step: int) -> None:
        """Moves the averaged generator towards the current one; faster at first, when little is averaged yet."""
        if self.averaged is None:
            return
        decay = min(self.config.optimiser.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            mine, theirs = self.averaged.state_dict(), self.generator.state_dict()
            floats = [name for name, tensor in mine.items() if tensor.is_floating_point()]
            torch._foreach_lerp_([mine[n] for n in floats], [theirs[n] for n in floats], 1 - decay)
            for name in mine.keys() - set(floats):
                mine[name].copy_(theirs[name])

    def _parts(self) -> Iterator[tuple[str, nn.Module]]:
        parts = (("generator", self.generator), ("discriminator", self.discriminator), ("averaged", self.averaged))
        return ((name, part) for name, part in parts if part is not None)

    def weights(self) -> dict[str, Tensor]:
        """The weights of all networks, by name."""
        return {f"{name}.{key}": t for name, part in self._parts() for key, t in part.state_dict().items()}

    def state(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold of them, chance included."""
        tensors = self.weights()
        tensors |= flatten_optimiser(self.g_optimiser, "g_optimiser")
        if self.d_optimiser:
            tensors |= flatten_optimiser(self.d_optimiser, "d_optimiser")
        if self.scaler.is_enabled():
            tensors |= {f"scaler.{name}": torch.tensor(value) for name, value in self.scaler.state_dict().items()}
        tensors["chance.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["chance.cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Puts back what `state` gave."""
        for name, part in self._parts():
            prefix = name + "."
            part.load_state_dict({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
        restore_optimiser(self.g_optimiser, tensors, "g_optimiser")
        if self.d_optimiser:
            restore_optimiser(self.d_optimiser, tensors, "d_optimiser")
        if self.scaler.is_enabled() and "scaler.scale" in tensors:
            self.scaler.load_state_dict({name: tensors[f"scaler.{name}"].item() for name in self.scaler.state_dict()})
        torch.set_rng_state(tensors["chance.cpu"])
        if self.device.type == "cuda" and "chance.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["chance.cuda"], self.device)


def training_step(networks: Networks, batches: Sequence[Batch]) -> dict[str, float]:
    """One update of both networks from one or more batches (of each process), whose gradients are averaged.

    Source: arXiv 1611.07004, section 3.3. With several batches each is drawn once for the discriminator and once more
    for the generator, so that only one batch's activations are held at a time. Of several processes, each calls this
    with batches of its own, and all make the same update.

    Returns:
        The mean losses of this process: g_pixel, g_gan, d_real, d_fake, as they are before their weights.
    """
    d, objective, scaler = networks.discriminator, networks.config.objective, networks.scaler
    losses = dict.fromkeys(("g_pixel", "g_gan", "d_real", "d_fake"), 0.0)
    tensors = [batch.to(networks.device, networks.memory_format) for batch in batches]
    drawn = _judge(networks, tensors, losses)
    if d is not None and networks.d_optimiser is not None:
        if objective.order == "d-then-g":
            scaler.step(networks.d_optimiser)
            networks.d_optimiser.zero_grad(set_to_none=True)
        d.requires_grad_(False)  # the generator's loss passes through, and leaves nothing behind
    _draw(networks, tensors, drawn, losses)
    scaler.step(networks.g_optimiser)
    networks.g_optimiser.zero_grad(set_to_none=True)
    if d is not None and networks.d_optimiser is not None:
        d.requires_grad_(True)
        if objective.order == "together":
            scaler.step(networks.d_optimiser)
            networks.d_optimiser.zero_grad(set_to_none=True)
    scaler.update()
    return losses


Tensors = tuple[Tensor, Tensor, Tensor]  # input, target, weight


def _judge(networks: Networks, tensors: Sequence[Tensors], losses: dict[str, float]) -> Tensor | None:
    """The discriminator's gradients; returns what was drawn where the generator can learn from it too."""
    objective, scaler, shared = networks.config.objective, networks.scaler, networks.shared_discriminator
    if shared is None or networks.judge is None:
        return None
    share, last, drawn = 1 / len(tensors), len(tensors) - 1, None
    for number, (x, y, weight) in enumerate(tensors):
        # One after the other: while the maps of one half are kept, those of the other are gone.
        with networks.team.together(shared, now=False):
            with networks.autocast():
                real = networks.judge(x, y)
            d_real = judging_loss(objective, real.float(), True, weight)
            scaler.scale(d_real * share).backward()
        with networks.team.together(shared, now=number == last):
            with networks.autocast():
                with torch.set_grad_enabled(len(tensors) == 1):
                    drawn = networks.draw(x)
                fake = networks.judge(x, drawn.detach())
            d_fake = judging_loss(objective, fake.float(), False, weight)
            scaler.scale(d_fake * share).backward()
        losses["d_real"] += d_real.item() * share
        losses["d_fake"] += d_fake.item() * share
    return drawn if len(tensors) == 1 else None


def _draw(networks: Networks, tensors: Sequence[Tensors], drawn: Tensor | None, losses: dict[str, float]) -> None:
    """The generator's gradients, and on a CPU its step."""
    objective, share, last = networks.config.objective, 1 / len(tensors), len(tensors) - 1
    for number, (x, y, weight) in enumerate(tensors):
        with networks.team.together(networks.shared_generator, now=number == last):
            with networks.autocast():
                out = networks.draw(x) if drawn is None else drawn
                judged = networks.critic(x, out) if networks.critic is not None else None
            g_pixel = pixel_loss(objective, out.float(), y, weight)
            g_gan = g_pixel.new_zeros(())
            if judged is not None:
                g_gan = generator_gan_loss(objective, judged.float(), weight)
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
    """The learning rate at a share of the run: constant, then linear to 0 from `decay_from` on."""
    start, rate = config.optimiser.decay_from, config.optimiser.learning_rate
    if progress <= start or start >= 1:
        return rate
    # A rate of exactly 0 would make the last steps idle; the reference counts one step past the end too.
    return rate * max(1e-3, (1 - progress) / (1 - start))
