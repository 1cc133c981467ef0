"""The plain loop that Calco is measured against: pix2pix as its published implementations do it.

Single precision, NCHW, eager, Adam as it comes, three passes of the discriminator a step, images one by one. Nothing
of Calco's own networks, loop or images is used here, and nothing is slower than it is published.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor, nn


class SkipBlock(nn.Module):
    """One size of the U-Net: down, what lies within, up, and the input beside it (arXiv 1611.07004, section 6.1.1)."""

    def __init__(
        self, outer: int, inner: int, within: nn.Module | None, *, channels: int | None = None, dropout: bool = False
    ) -> None:
        super().__init__()
        self.outermost = channels is not None
        down = nn.Conv2d(channels or outer, inner, 4, 2, 1, bias=False)
        if channels is not None:
            assert within is not None
            up = nn.ConvTranspose2d(inner * 2, outer, 4, 2, 1)
            layers: list[nn.Module] = [down, within, nn.ReLU(True), up, nn.Tanh()]
        elif within is None:
            up = nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=False)
            layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, nn.BatchNorm2d(outer)]
        else:
            up = nn.ConvTranspose2d(inner * 2, outer, 4, 2, 1, bias=False)
            layers = [nn.LeakyReLU(0.2, True), down, nn.BatchNorm2d(inner), within, nn.ReLU(True), up]
            layers += [nn.BatchNorm2d(outer)] + [nn.Dropout(0.5)] * dropout
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """N, outer, H, W => N, 2 outer, H, W; of the outermost block N, outer, H, W."""
        out: Tensor = self.model(x)
        return out if self.outermost else torch.cat([x, out], 1)


def unet(depth: int = 8, filters: int = 64) -> nn.Module:
    """The generator, three channels in and out; depth 8 and 64 filters are the published U-Net 256."""
    block = SkipBlock(filters * 8, filters * 8, None)
    for _ in range(depth - 5):
        block = SkipBlock(filters * 8, filters * 8, block, dropout=True)
    for factor in (4, 2, 1):
        block = SkipBlock(filters * factor, filters * factor * 2, block)
    return _initialised(SkipBlock(3, filters, block, channels=3))


def patchgan(layers: int = 3, filters: int = 64) -> nn.Module:
    """The discriminator of input and image, six channels; three layers see the published 70 pixels."""
    parts: list[nn.Module] = [nn.Conv2d(6, filters, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    width = filters
    for layer in range(1, layers + 1):
        wider = filters * min(2**layer, 8)
        stride = 2 if layer < layers else 1
        parts += [nn.Conv2d(width, wider, 4, stride, 1, bias=False), nn.BatchNorm2d(wider), nn.LeakyReLU(0.2, True)]
        width = wider
    return _initialised(nn.Sequential(*parts, nn.Conv2d(width, 1, 4, 1, 1)))


def _initialised(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
    return network


class Reference:
    """Both networks and their optimisers; `layers` counts the discriminator's strided convolutions."""

    def __init__(self, depth: int = 8, filters: int = 64, layers: int = 3, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.generator = unet(depth, filters).to(self.device)
        self.discriminator = patchgan(layers, filters).to(self.device)
        self.g_optimiser = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.d_optimiser = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.gan, self.l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()

    def step(self, given: Tensor, wanted: Tensor) -> dict[str, float]:
        """Update the discriminator, then the generator: N, 3, H, W, float32 in [-1, 1] => losses before weights."""
        given, wanted = given.to(self.device), wanted.to(self.device)
        drawn = self.generator(given)
        self.discriminator.requires_grad_(True)
        self.d_optimiser.zero_grad()
        fake = self.discriminator(torch.cat([given, drawn], 1).detach())
        d_fake = self.gan(fake, torch.zeros_like(fake))
        real = self.discriminator(torch.cat([given, wanted], 1))
        d_real = self.gan(real, torch.ones_like(real))
        ((d_fake + d_real) * 0.5).backward()
        self.d_optimiser.step()
        self.discriminator.requires_grad_(False)
        self.g_optimiser.zero_grad()
        judged = self.discriminator(torch.cat([given, drawn], 1))
        g_gan = self.gan(judged, torch.ones_like(judged))
        g_pixel = self.l1(drawn, wanted)
        (g_gan + 100 * g_pixel).backward()
        self.g_optimiser.step()
        losses = {"g_pixel": g_pixel, "g_gan": g_gan, "d_real": d_real, "d_fake": d_fake}
        return {name: loss.item() for name, loss in losses.items()}

    def draw(self, image: Pillow.Image) -> Pillow.Image:
        """One image => its translation, by the batch's own statistics and with dropout, as published."""
        with torch.no_grad():
            drawn = self.generator(to_tensor(image)[None].to(self.device))[0].cpu()
        bytes_ = ((drawn.permute(1, 2, 0).numpy() + 1) / 2 * 255).clip(0, 255).astype(np.uint8)
        return Pillow.fromarray(bytes_)


def to_tensor(image: Pillow.Image) -> Tensor:
    """An image in RGB => CHW, float32 in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return (pixels.float().div(255) - 0.5) / 0.5


def load_pair(path: str | Path, size: int, resize: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A file with the input on its left and the target on its right => both, resized, cropped and mirrored alike."""
    with Pillow.open(path) as file:
        both = file.convert("RGB")
    width, height = both.size
    left, top = (int(rng.integers(0, resize - size + 1)) for _ in range(2))
    mirrored = rng.random() < 0.5
    halves = []
    for half in (both.crop((0, 0, width // 2, height)), both.crop((width // 2, 0, width, height))):
        cut = half.resize((resize, resize), Pillow.Resampling.BICUBIC).crop((left, top, left + size, top + size))
        halves.append(to_tensor(cut.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT) if mirrored else cut))
    return halves[0], halves[1]


def batches(
    paths: Sequence[str | Path], size: int, resize: int, batch: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """The whole batches of a pass over the files in a random order, one after another."""
    order = rng.permutation(len(paths))
    for start in range(0, len(paths) // batch * batch, batch):
        pairs = [load_pair(paths[index], size, resize, rng) for index in order[start : start + batch]]
        yield torch.stack([given for given, _ in pairs]), torch.stack([wanted for _, wanted in pairs])


def build(paths: Sequence[str | Path], out: Path, side: int) -> None:
    """A data set for colouring, image by image: the grey image and the coloured one, as two PNG files."""
    for folder in ("input", "target"):
        (out / folder).mkdir(parents=True)
    for path in paths:
        with Pillow.open(path) as file:
            image = file.convert("RGB").resize((side, side), Pillow.Resampling.BICUBIC)
        image.convert("L").save(out / "input" / f"{Path(path).stem}.png")
        image.save(out / "target" / f"{Path(path).stem}.png")
