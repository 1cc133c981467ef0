"""The small U-Net of the lessons on segmentation: its data, its training, and the scores of its masks."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from calco import imaging
from calco.data.palettes import Palette, decode, paint, palette_for
from calco.files import make_folder
from calco.lessons.scenes import DRAWINGS, kept, scenes, waiting

PALETTE: Final[Palette] = palette_for(tuple(DRAWINGS))
"""Background and the classes of the scenes, each with the colour that masks have for it."""
CLASSES: Final = tuple(name for name, _ in PALETTE)
"""Names of the classes; the place of a name is the number of the class."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Scenes of one split, with the class of each pixel."""

    names: tuple[str, ...]
    images: npt.NDArray[np.uint8]  # N, H, W, 3
    classes: npt.NDArray[np.uint8]  # N, H, W

    def batch(self, chosen: Sequence[int] | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Return images N, 3, H, W in [-1, 1] and classes N, H, W `int64`."""
        images = torch.from_numpy(np.ascontiguousarray(self.images[chosen])).permute(0, 3, 1, 2)
        return images.float() / 127.5 - 1, torch.from_numpy(self.classes[chosen].astype(np.int64))


def labelled(split: str, side: int = 96, *, folder: Path | None = None) -> Labelled:
    """Return a split (train, val or test) of a folder of scenes, by default `scenes()`, in `side` x `side` pixels.

    Images are averaged; masks take the nearest pixel, since between two classes there is none.
    """
    folder = folder or scenes()
    paths = imaging.list_images(folder / "images" / split)
    images = [imaging.resize(imaging.read(path, channels=3), (side, side)) for path in paths]
    masks = [
        imaging.resize(imaging.read(folder / "masks" / split / path.name, channels=3), (side, side), "nearest")
        for path in paths
    ]
    classes = np.stack([decode(mask, PALETTE) for mask in masks]).astype(np.uint8)
    return Labelled(tuple(path.stem for path in paths), np.stack(images).astype(np.uint8), classes)


def painted(classes: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Return classes HW as an image in the colours of the palette, HW3."""
    return np.asarray(paint(classes, PALETTE), np.uint8)


class SmallUNet(nn.Module):
    """A U-Net of two 3x3 convolutions at each size; without skips it is a plain encoder and decoder.

    Source: Ronneberger et al., arXiv 1505.04597, with margins, batch normalisation, and few channels.
    """

    def __init__(self, *, widths: Sequence[int] = (8, 16, 32, 64), skips: bool = True, num_classes: int = 4) -> None:
        super().__init__()
        self.skips = skips
        ins = [3, *widths[:-1]]
        self.encoder = nn.ModuleList([self._double(a, b) for a, b in zip(ins, widths, strict=True)])
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for deep, shallow in zip(widths[:0:-1], widths[-2::-1], strict=True):
            self.up.append(nn.ConvTranspose2d(deep, shallow, 2, stride=2))
            self.decoder.append(self._double(2 * shallow if skips else shallow, shallow))
        self.head = nn.Conv2d(widths[0], num_classes, 1)

    @staticmethod
    def _double(channels: int, width: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """N, 3, H, W in [-1, 1] => logits N, classes, H, W; H and W are multiples of 8."""
        kept: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
            kept.append(x)
        kept.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            x = up(x)
            skip = kept.pop()
            x = block(torch.cat([skip, x], 1) if self.skips else x)
        logits: Tensor = self.head(x)
        return logits


def confusion(truth: npt.NDArray[np.integer], found: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return how many pixels of each true class (row) were given to each class (column)."""
    count = len(CLASSES)
    pairs = truth.astype(np.int64).ravel() * count + found.ravel()
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


def ious(table: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the IoU of each class from a table of `confusion`; NaN for a class that neither side has."""
    both = np.diag(table)
    covered = table.sum(0) + table.sum(1) - both
    return np.where(covered > 0, both / np.maximum(covered, 1), np.nan)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Settings of a training of the small U-Net."""

    skips: bool = True
    epochs: int = 14
    batch: int = 8
    rate: float = 4e-3
    side: int = 96
    seed: int = 0


def fit(schedule: Schedule) -> tuple[SmallUNet, list[dict[str, float]]]:
    """Train a small U-Net on the scenes, and return it with a row of losses and scores for each epoch."""
    train, validation = labelled("train", schedule.side), labelled("val", schedule.side)
    with torch.random.fork_rng():
        torch.manual_seed(schedule.seed)
        net = SmallUNet(skips=schedule.skips)
        optimiser = torch.optim.Adam(net.parameters(), schedule.rate)
        steps = schedule.epochs * (len(train.names) // schedule.batch)
        falling = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.rate, total_steps=steps)
        history = []
        for epoch in range(1, schedule.epochs + 1):
            losses = []
            for chosen in torch.randperm(len(train.names)).split(schedule.batch):
                if len(chosen) < schedule.batch:
                    continue  # batch normalisation wants a whole batch
                images, classes = train.batch(chosen.tolist())
                if torch.rand(()) < 0.5:
                    images, classes = images.flip(3), classes.flip(2)
                loss = F.cross_entropy(net(images), classes)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                falling.step()
                losses.append(loss.item())
            history.append({"epoch": epoch, "train": float(np.mean(losses)), **validate(net, validation)})
    return net.eval(), history


def validate(net: nn.Module, data: Labelled) -> dict[str, float]:
    """Return the loss and the mean IoU of the classes without the background; the network is in `train` mode after."""
    net.eval()
    with torch.no_grad():
        images, classes = data.batch()
        logits = net(images)
    net.train()
    scores = ious(confusion(data.classes, logits.argmax(1).numpy()))
    return {"val": F.cross_entropy(logits, classes).item(), "iou": float(np.nanmean(scores[1:]))}


def trained(schedule: Schedule) -> tuple[SmallUNet, list[dict[str, float]]]:
    """Return what `fit` returns; two lessons need it, so it is kept in the lessons' folder under its settings."""
    folder = kept("unet", asdict(schedule))
    if (folder / "history.json").is_file():
        net = SmallUNet(skips=schedule.skips)
        net.load_state_dict(load_file(folder / "net.safetensors"))
        history: list[dict[str, Any]] = json.loads((folder / "history.json").read_text(encoding="utf-8"))
        return net.eval(), history
    with waiting("La primera vez se entrena la red: un minuto", "The network is trained the first time: a minute"):
        net, history = fit(schedule)
    make_folder(folder)
    save_file(net.state_dict(), folder / "net.safetensors")
    (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")
    return net, history
