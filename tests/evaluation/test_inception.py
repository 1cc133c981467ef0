"""The Inception network has the published shapes, loads safely, and feeds FID, KID and the Inception score."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from calco.errors import CalcoError
from calco.evaluation import inception
from calco.evaluation.inception import Inception
from evaluation.formula_images import wave

LEARNT = ("conv.weight", "bn.weight", "bn.bias", "fc.weight", "fc.bias")


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Random ones whose activations neither vanish nor explode."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, shape in inception.shapes().items():
        ones = "bn.weight" in name or "running_var" in name
        scale = math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else 0.1
        made[name] = torch.ones(shape) if ones else scale * torch.randn(shape, generator=generator)
    return made


def test_has_the_published_number_of_parameters() -> None:
    # InceptionV3 without its auxiliary head, with 1008 classes.
    total = sum(math.prod(shape) for name, shape in inception.shapes().items() if name.endswith(LEARNT))
    assert total == 23_850_960


def test_blocks_have_the_published_channels() -> None:
    shapes = inception.shapes()
    into = {"Mixed_5b": 192, "Mixed_5c": 256, "Mixed_5d": 288, "Mixed_6b": 768, "Mixed_7b": 1280, "Mixed_7c": 2048}
    assert {block: shapes[f"{block}.branch1x1.conv.weight"][1] for block in into} == into
    assert shapes["Mixed_6c.branch7x7dbl_2.conv.weight"] == (160, 160, 7, 1)
    assert shapes["Mixed_7c.branch3x3_2a.conv.weight"] == (384, 384, 1, 3)


def test_gives_features_and_class_scores(weights: dict[str, torch.Tensor]) -> None:
    features, logits = Inception(weights)(torch.rand(1, 3, 40, 60) * 255)
    assert features.shape == (1, 2048)
    assert logits.shape == (1, 1008)
    assert features.std() > 0
    assert torch.isfinite(features).all()
    assert torch.allclose(logits, features @ weights["fc.weight"].T)


def test_loads_safetensors(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    extra = {"Conv2d_1a_3x3.bn.num_batches_tracked": torch.tensor(0)}
    save_file(weights | extra, tmp_path / "inception.safetensors")
    loaded = inception.open_inception(tmp_path / "inception.safetensors")
    assert set(loaded.weights) == set(inception.shapes())
    assert torch.equal(loaded.weights["fc.weight"], weights["fc.weight"])


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("this must not run",))


def test_what_does_not_serve_is_one_clear_line(
    weights: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"fc.weight": Malicious()}, tmp_path / "evil.pth")
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "short.pth")
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(CalcoError, match=r"evil\.pth cannot be read as tensors by name"):
        inception.open_inception(tmp_path / "evil.pth")
    assert "must not run" not in capsys.readouterr().out
    with pytest.raises(CalcoError, match=r"short\.pth lacks Conv2d_1a_3x3\.conv\.weight"):
        inception.open_inception(tmp_path / "short.pth")
    with pytest.raises(CalcoError, match=r"text\.safetensors cannot be read"):
        inception.open_inception(tmp_path / "text.safetensors")
    with pytest.raises(CalcoError, match=r"absent\.pth is not a file"):
        inception.open_inception(tmp_path / "absent.pth")
    with pytest.raises(CalcoError, match=r"fc\.weight has shape \(1000, 2048\), not \(1008, 2048\)"):
        inception.from_tensors(weights | {"fc.weight": torch.zeros(1000, 2048)}, "x")


class Flat:
    """In place of the network: 64 features that depend on the mean colour; fast."""

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = images.mean(dim=(1, 2, 3))
        features = torch.sin(mean[:, None] * torch.arange(1, 65) / 12)
        return features, features


@pytest.fixture(scope="module")
def sets() -> inception.SetScores:
    gathered = inception.SetScores(Flat())
    rng = np.random.default_rng(0)
    for level in rng.integers(40, 200, 12):
        target = np.full((8, 8, 3), level, np.uint8)
        gathered.add({"same": target, "far": target + 50}, target)
    return gathered


def test_set_scores_rank_systems(sets: inception.SetScores) -> None:
    state = torch.random.get_rng_state()
    found = sets.compute(range(12))
    assert found["same"]["fid"] == pytest.approx(0, abs=1e-3)
    assert found["far"]["fid"] > 1
    assert found["same"]["kid"] < found["far"]["kid"]
    assert found["same"]["inception_score"] >= 1
    assert sets.compute(range(12)) == found, "KID's subsets must not depend on earlier chance"
    assert torch.equal(torch.random.get_rng_state(), state), "nor disturb anybody else's"


def test_fid_equals_the_formula(sets: inception.SetScores) -> None:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 sqrt(C1 C2)), the trace of the root by eigenvalues."""
    real = torch.stack([row[0] for row in sets._targets]).double()
    fake = torch.stack([row[0] for row in sets._outputs["far"]]).double()
    one, two = torch.cov(real.T), torch.cov(fake.T)
    # tr sqrt(C1 C2) = sum of the singular values of A1' A2 / (n - 1), with A the centred features: far smaller.
    left, right = real - real.mean(0), fake - fake.mean(0)
    root = torch.linalg.svdvals(left @ right.T).sum() / (len(real) - 1)
    expected = (real.mean(0) - fake.mean(0)).square().sum() + one.trace() + two.trace() - 2 * root
    assert sets.compute(range(12))["far"]["fid"] == pytest.approx(float(expected), rel=1e-3)


def test_pixels_run_from_0_to_255() -> None:
    image = wave(5, 7, 0.5, 0.4)
    assert torch.allclose(inception._pixels(image), torch.from_numpy(image).permute(2, 0, 1).float(), atol=1e-3)
    assert inception._pixels(image[..., :1]).shape == (3, 5, 7)
