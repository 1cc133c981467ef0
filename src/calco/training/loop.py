"""The two networks, and the one step that changes them."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from calco.errors import CalcoError
from calco.networks import Generator, PatchGAN, build_discriminator, build_generator
from calco.training.checkpoint import flatten_optimiser, restore_optimiser
from calco.training.config import TrainConfig
from calco.training.objectives import discriminator_loss, generator_gan_loss, pixel_loss
from calco.training.processes import ALONE, Team


@dataclass(frozen=True)
class Batch:
    """Pairs on their way into the networks."""

    input: Tensor  # N, in, H, W, uint8, or float32 in [-1, 1]
    target: Tensor  # N, out, H, W, the same
    weight: Tensor  # N, 1, H, W, float32

    def to(self, device: torch.device, memory_format: torch.memory_format) -> tuple[Tensor, Tensor, Tensor]:
        """Input and target as float32 in [-1, 1] on the device; the weight as it is."""
        x, y = (
            signed(t.to(device, non_blocking=True)).contiguous(memory_format=memory_format)
            for t in (self.input, self.target)
        )
        return x, y, self.weight.to(device, non_blocking=True)


def signed(pictures: Tensor) -> Tensor:
    """uint8 => float32 in [-1, 1], on the same device; floats lie there already."""
    return pictures.float().div_(127.5).sub_(1) if pictures.dtype == torch.uint8 else pictures


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
        self.generator = build_generator(config.generator, in_channels, out_channels).to(device)
        self.generator.to(memory_format=layout)  # type: ignore[call-overload]
        self.discriminator: PatchGAN | None = None
        if config.objective.gan != "none":
            self.discriminator = build_discriminator(config.discriminator, in_channels + out_channels).to(device)
            self.discriminator.to(memory_format=layout)  # type: ignore[call-overload]
        self.averaged: Generator | None = copy.deepcopy(self.generator) if config.optimiser.ema else None
        self.shared_generator = team.share(self.generator)
        self.shared_discriminator = team.share(self.discriminator) if self.discriminator else None
        self.g_optimiser = self._adam(self.generator)
        self.d_optimiser = self._adam(self.discriminator) if self.discriminator else None
        self.dtype = choose_precision(config, device)

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

    def state(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold of them, chance included."""
        tensors = {f"{name}.{key}": t for name, part in self._parts() for key, t in part.state_dict().items()}
        tensors |= flatten_optimiser(self.g_optimiser, "g_optimiser")
        if self.d_optimiser:
            tensors |= flatten_optimiser(self.d_optimiser, "d_optimiser")
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
    g, d, objective = networks.shared_generator, networks.discriminator, networks.config.objective
    shared_d, team, last = networks.shared_discriminator, networks.team, len(batches) - 1
    share, losses = 1 / len(batches), dict.fromkeys(("g_pixel", "g_gan", "d_real", "d_fake"), 0.0)
    drawn: Tensor | None = None
    tensors = [batch.to(networks.device, networks.memory_format) for batch in batches]

    if d is not None and shared_d is not None and networks.d_optimiser is not None:
        for number, (x, y, weight) in enumerate(tensors):
            with team.together(shared_d, now=number == last):
                with networks.autocast():
                    with torch.set_grad_enabled(len(batches) == 1):
                        drawn = g(x)
                    real, fake = shared_d(x, y), shared_d(x, drawn.detach())
                d_real, d_fake = discriminator_loss(objective, real.float(), fake.float(), weight)
                ((d_real + d_fake) * share).backward()
            losses["d_real"] += d_real.item() * share
            losses["d_fake"] += d_fake.item() * share
        if objective.order == "d-then-g":
            networks.d_optimiser.step()
        d.requires_grad_(False)  # the generator's loss passes through, and leaves nothing behind

    for number, (x, y, weight) in enumerate(tensors):
        with team.together(g, now=number == last):
            with networks.autocast():
                out = g(x) if drawn is None or len(batches) > 1 else drawn
                judged = d(x, out) if d is not None else None
            g_pixel = pixel_loss(objective, out.float(), y, weight)
            g_gan = g_pixel.new_zeros(())
            if judged is not None:
                g_gan = generator_gan_loss(objective, judged.float(), weight)
            (share * (objective.gan_weight * g_gan + objective.pixel_weight * g_pixel)).backward()
        losses["g_pixel"] += g_pixel.item() * share
        losses["g_gan"] += g_gan.item() * share

    networks.g_optimiser.step()
    networks.g_optimiser.zero_grad(set_to_none=True)
    if d is not None and networks.d_optimiser is not None:
        d.requires_grad_(True)
        if objective.order == "together":
            networks.d_optimiser.step()
        networks.d_optimiser.zero_grad(set_to_none=True)
    return losses


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" takes the GPU where there is one.

    Raises:
        CalcoError: When it does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise CalcoError(f"the device {name} cannot be used ({reason}); choose cpu, cuda or auto") from error
    return device


def choose_precision(config: TrainConfig, device: torch.device) -> torch.dtype:
    """bfloat16 where the machine has instructions for it and it is not refused, float32 otherwise."""
    asked = config.compute.precision
    if asked != "auto":
        return torch.bfloat16 if asked == "bf16" else torch.float32
    return torch.bfloat16 if has_bfloat16(device) else torch.float32


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware (on a CPU: AVX512-BF16 or AMX)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes)


def rate_at(config: TrainConfig, progress: float) -> float:
    """The learning rate at a share of the run: constant, then linear to 0 from `decay_from` on."""
    start, rate = config.optimiser.decay_from, config.optimiser.learning_rate
    if progress <= start or start >= 1:
        return rate
    # A rate of exactly 0 would make the last steps idle; the reference counts one step past the end too.
    return rate * max(1e-3, (1 - progress) / (1 - start))
