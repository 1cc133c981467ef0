"""FID, KID and the Inception score over a whole set of images, with weights that the user has.

The three compare sets, not images, through the features of one network. They are left out, with a reason, unless the
user names a weight file or asks for the download. With few images FID is biased upward: compare it only between sets
of the same size.
"""

import importlib
import urllib.error
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from calco import imaging
from calco.errors import CalcoError
from calco.evaluation import inception
from calco.evaluation.inception import Inception
from calco.imaging import Image

DOWNLOAD = "download"
ABSENT = "needs the FID Inception weights: --inception FILE, or --inception download where torch-fidelity is installed"
MIN_IMAGES = 2
KID_SUBSET = 100
"""Images in each of KID's 100 subsets, or all where there are fewer."""
FEW_IMAGES = 2048
"""Below this number, the covariance of 2048 features is not of full rank."""


def open_inception(source: str | Path) -> Inception:
    """The network from a weight file, or, for "download", from the address that torch-fidelity names.

    Raises:
        CalcoError: When the file does not serve, torch-fidelity is absent, or the network cannot be reached.
    """
    if str(source) != DOWNLOAD:
        return inception.load(source)
    try:
        address = str(importlib.import_module("torch_fidelity.feature_extractor_inceptionv3").URL_INCEPTION_V3)
    except (ImportError, AttributeError, RuntimeError) as error:
        raise CalcoError(
            "--inception download needs torch-fidelity: pip install torch-fidelity, or give the weight file itself"
        ) from error
    try:
        # Loaded here and not by torch-fidelity, which would unpickle it. The name holds the hash that is checked.
        weights = torch.hub.load_state_dict_from_url(
            address, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise CalcoError(f"the Inception weights could not be downloaded ({error}); give --inception FILE") from error
    return inception.from_tensors(weights, address)


class _Features(nn.Module):
    """Hands torchmetrics features that are computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


class SetScores:
    """Gathers the features of targets and of each system's outputs, then compares them.

    Args:
        network: From `open_inception`.
        seed: Of KID's subsets and the Inception score's order.
    """

    def __init__(self, network: Inception, seed: int = 0) -> None:
        self.network = network
        self.seed = seed
        self._targets: list[tuple[Tensor, Tensor]] = []
        self._outputs: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def add(self, outputs: dict[str, Image], target: Image) -> None:
        """Adds one image: its target and what each system made of it, HWC of one size."""
        names = list(outputs)
        stacked = torch.stack([_pixels(image) for image in (*(outputs[name] for name in names), target)])
        features, logits = self.network(stacked)
        for name, feature, logit in zip(names, features, logits, strict=False):
            self._outputs.setdefault(name, []).append((feature, logit))
        self._targets.append((features[-1], logits[-1]))

    def compute(self, chosen: Sequence[int]) -> dict[str, dict[str, float]]:
        """The "fid", "kid" and "inception_score" of each system.

        Args:
            chosen: The images, by the order in which they were added, that count.
        """
        if len(chosen) < MIN_IMAGES:
            return {}
        real = torch.stack([self._targets[index][0] for index in chosen])
        with torch.random.fork_rng(devices=[]):
            return {name: self._compare(real, [rows[i] for i in chosen]) for name, rows in self._outputs.items()}

    def _compare(self, real: Tensor, rows: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.inception import InceptionScore
        from torchmetrics.image.kid import KernelInceptionDistance

        torch.manual_seed(self.seed)
        fake, logits = (torch.stack(part) for part in zip(*rows, strict=True))
        num = real.shape[1]
        with warnings.catch_warnings():
            # That all features stay in memory, and that one split has no spread, is known and meant.
            warnings.filterwarnings("ignore", message=".*will save all extracted features.*")
            warnings.filterwarnings("ignore", message=r"std\(\): degrees of freedom.*")
            fid = FrechetInceptionDistance(feature=_Features(num))
            kid = KernelInceptionDistance(feature=_Features(num), subset_size=min(KID_SUBSET, len(real)))
            score = InceptionScore(feature=_Features(num), splits=1)
            for metric in (fid, kid):
                metric.update(real, real=True)
                metric.update(fake, real=False)
            score.update(logits)
            return {
                # Rounding may bring the distance of equal sets below zero.
                "fid": max(0.0, float(fid.compute())),
                "kid": float(kid.compute()[0]),
                "inception_score": float(score.compute()[0]),
            }


def _pixels(image: Image) -> Tensor:
    """HWC of any dtype and channels, as a person is shown it => 3HW float32 in [0, 255]."""
    return (imaging.to_tensor(imaging.as_channels(imaging.visible(image), 3)) + 1) * 127.5
