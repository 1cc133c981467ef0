"""Scores against independent formulas, other libraries and known values."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from calco.errors import CalcoError
from calco.evaluation import metrics
from evaluation.formula_images import wave

A, B = wave(48, 40, 0.13, 0.07), wave(48, 40, 0.11, 0.09)


def test_l1_in_units_of_one() -> None:
    black, white = np.zeros((4, 5, 3), np.uint8), np.full((4, 5, 3), 255, np.uint8)
    assert metrics.l1(black, white) == 1
    assert metrics.l1(A, B) == pytest.approx(np.abs(A.astype(float) - B).mean() / 255)


def test_l1_across_dtypes_and_channels() -> None:
    grey8, grey16 = np.full((3, 3, 1), 51, np.uint8), np.full((3, 3, 1), 51 * 257, np.uint16)
    assert metrics.l1(grey8, grey16) == pytest.approx(0)
    assert metrics.l1(grey8, np.full((3, 3, 3), 0.2, np.float32)) == pytest.approx(0, abs=1e-7)


def test_psnr_equals_scikit_image_and_is_finite_for_equals() -> None:
    assert metrics.psnr(A, B) == pytest.approx(peak_signal_noise_ratio(B, A, data_range=255))
    assert metrics.psnr(A, A) == metrics.PSNR_LIMIT


@pytest.mark.parametrize("other", [B, np.clip(A.astype(int) + 9, 0, 255).astype(np.uint8), 255 - A])
def test_ssim_equals_scikit_image(other: np.ndarray) -> None:
    expected = structural_similarity(
        A, other, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert metrics.ssim(other, A) == pytest.approx(expected, abs=1e-9)


def test_similarity_of_equals_is_one_and_of_the_tiny_undefined() -> None:
    assert metrics.ssim(A, A) == pytest.approx(1, abs=1e-6)
    assert math.isnan(metrics.ssim(A[:10], B[:10]))
    big = wave(176, 180, 0.1, 0.2)
    assert metrics.ms_ssim(big, big) == pytest.approx(1, abs=1e-5)
    assert 0 <= metrics.ms_ssim(255 - big, big) < 0.5
    assert math.isnan(metrics.ms_ssim(big[:175], big[:175]))


def test_psnr_inside_sees_the_region_alone() -> None:
    region = np.zeros((48, 40), bool)
    region[5:15, 5:15] = True
    changed = A.copy()
    changed[~region] = 0
    assert metrics.psnr_inside(changed, A, region) == metrics.PSNR_LIMIT
    expected = peak_signal_noise_ratio(A[5:15, 5:15], B[5:15, 5:15], data_range=255)
    assert metrics.psnr_inside(B, A, region) == pytest.approx(expected)
    assert math.isnan(metrics.psnr_inside(B, A, np.zeros_like(region)))


def test_colourfulness_of_grey_and_of_two_known_colours() -> None:
    assert metrics.colourfulness(np.full((4, 4, 1), 90, np.uint8)) == 0
    assert metrics.colourfulness(np.full((4, 4, 3), 90, np.uint8)) == 0
    # Pure red: rg = 255, yb = 127.5 everywhere, so no spread and a mean of hypot(255, 127.5).
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    assert metrics.colourfulness(red) == pytest.approx(0.3 * math.hypot(255, 127.5))
    # Half red, half its opposite in rg and yb: the means vanish, the spreads are the values themselves.
    red[:2] = (0, 255, 255)
    rg, yb = np.array([255, -255]), np.array([127.5, 127.5 - 255])
    expected = math.hypot(rg.std(), yb.std()) + 0.3 * math.hypot(rg.mean(), yb.mean())
    assert metrics.colourfulness(red) == pytest.approx(expected)


def test_class_scores_by_hand() -> None:
    true = np.array([[0, 0, 1, 1]])
    predicted = np.array([[0, 1, 1, 1]])
    counts = metrics.confusion(predicted, true, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    each = metrics.class_scores(counts)
    assert each["iou"][:2] == pytest.approx([1 / 2, 2 / 3])
    assert each["dice"][:2] == pytest.approx([2 / 3, 4 / 5])
    assert each["accuracy"][:2] == pytest.approx([1 / 2, 1])
    assert np.isnan([each[name][2] for name in each]).all()
    mean = metrics.mean_class_scores(counts)
    assert float(mean["iou"]) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert float(mean["pixel_accuracy"]) == pytest.approx(3 / 4)


def test_dice_follows_from_iou() -> None:
    rng = np.random.default_rng(3)
    each = metrics.class_scores(metrics.confusion(rng.integers(0, 4, (30, 30)), rng.integers(0, 4, (30, 30)), 4))
    assert each["dice"] == pytest.approx(2 * each["iou"] / (1 + each["iou"]))


def test_sizes_that_differ_are_an_error_with_both() -> None:
    with pytest.raises(CalcoError, match=r"40x48 .* 40x47; resize"):
        metrics.l1(A, B[:47])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_shared_target_gives_the_same_scores(channels: int) -> None:
    target, region = wave(181, 190, 0.1, 0.2)[..., :channels], np.zeros((181, 190), bool)
    region[20:60, 30:70] = True
    reference = metrics.Reference(target)
    for output in (wave(181, 190, 0.2, 0.1), target // 2, target.astype(np.uint16) * 257):
        scores = reference.scores(output, region)
        alone = {name: getattr(metrics, name)(output, target) for name in ("l1", "psnr", "ssim", "ms_ssim")}
        assert scores == alone | {"psnr_inside": metrics.psnr_inside(output, target, region)}
    assert math.isnan(reference.scores(target, region & False)["psnr_inside"])
    with pytest.raises(CalcoError, match="resize"):
        reference.scores(target[1:])


def test_similarities_equal_torchmetrics() -> None:
    from torchmetrics.functional import image as theirs

    rng = np.random.default_rng(0)
    for shape in ((200, 230, 3), (180, 177, 1)):
        a = rng.random(shape, dtype=np.float32)
        b = np.clip(a + rng.normal(0, 0.2, shape), 0, 1).astype(np.float32)
        tensors = [torch.from_numpy(side.transpose(2, 0, 1)[None].copy()).double() for side in (a, b)]
        _, whole = theirs.structural_similarity_index_measure(*tensors, data_range=1.0, return_full_image=True)
        assert metrics.ssim(a, b) == pytest.approx(float(whole[..., 5:-5, 5:-5].mean()), abs=1e-9)
        multiscale = theirs.multiscale_structural_similarity_index_measure(*tensors, data_range=1.0, normalize="relu")
        assert metrics.ms_ssim(a, b) == pytest.approx(float(multiscale), abs=1e-7)


def test_scoring_starts_without_the_libraries_of_set_scores() -> None:
    code = (
        "import sys, calco.evaluation.evaluate, calco.evaluation.scoring, calco.evaluation.report; "
        "assert not {'torchmetrics', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
