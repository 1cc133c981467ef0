"""Masks that lie beside what they mark: found for a whole set and for single masks, without false alarms."""

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from calco.checking import CheckConfig
from calco.checking.check import check, quick_findings
from calco.checking.mask_positions import EdgeFits, common_mask_shift, edge_strengths, single_mask_shifts
from calco.checking.result import CheckReport
from calco.data.config import SourceConfig
from calco.data.recipe_config import RecipeConfig
from calco.data.source import settled, with_masks
from calco.data.sources import open_source
from calco.imaging import Image
from checking.conftest import Write, photo

Labels = npt.NDArray[np.uint8]
SHIFTED = {"masks-shifted", "mask-shifted"}


def scene(seed: int, side: int = 128, *, blur: float = 0.0) -> tuple[Image, Labels]:
    """Return a textured ellipse and polygon before another texture, HW3, and their mask, HW."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((side, side), np.uint8)
    middle = tuple(int(each) for each in rng.integers(side // 3, 2 * side // 3, 2))
    axes = tuple(int(each) for each in rng.integers(side // 8, side // 4, 2))
    cv2.ellipse(mask, middle, axes, float(rng.integers(180)), 0, 360, 1, -1)
    corners = rng.integers(side // 5, 4 * side // 5, (3, 2)).astype(np.int32)
    cv2.fillPoly(mask, [corners], 1)
    ground, thing = photo(seed, side, side).astype(float), photo(seed + 1000, side, side).astype(float)
    image = np.where(mask[..., None] > 0, 0.5 * thing + 120, 0.5 * ground)
    image = image if blur == 0 else cv2.GaussianBlur(image, (0, 0), blur)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def moved(mask: Labels, x: int, y: int) -> Labels:
    return np.asarray(np.roll(mask, (y, x), (0, 1)), np.uint8)


def fits_of(shifts: list[tuple[int, int]], scale: float = 1.0, side: int = 128) -> EdgeFits:
    strengths = []
    for n, (x, y) in enumerate(shifts):
        image, mask = scene(n, side)
        each = edge_strengths(image, moved(mask, x, y), scale)
        assert each is not None
        strengths.append(each)
    return EdgeFits(tuple(f"{n:02}" for n in range(len(shifts))), np.stack(strengths), scale)


@pytest.fixture
def run(write: Write, tmp_path: Path) -> Callable[..., CheckReport]:
    """Write so many scenes with their masks, moved by so much, and check them."""

    def run(count: int, x: int, y: int, single: tuple[int, int] | None = None, **given: object) -> CheckReport:
        for n in range(count):
            image, mask = scene(n, **given)
            shift = single if single is not None and n == 5 else (x, y)
            write(f"photo/{n:02}.png", image)
            write(f"mask/{n:02}.png", 255 * moved(mask, *shift)[..., None])
        source = SourceConfig(input="photo", target="mask")
        return check(CheckConfig(images=str(tmp_path / "set"), out=str(tmp_path / "out"), jobs=1, source=source))

    return run


@pytest.mark.parametrize("shift", [(2, 0), (0, -2), (3, -2), (-6, 5), (8, 8)])
def test_a_set_whose_masks_are_shifted_is_reported_with_the_shift(shift: tuple[int, int]) -> None:
    found = common_mask_shift(fits_of([shift] * 24))
    assert found is not None
    assert (found.x, found.y) == shift
    assert found.compared == 24 and len(found.keys) > 18


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (-1, 1)])
def test_masks_within_a_pixel_lie_on_their_images(shift: tuple[int, int]) -> None:
    fits = fits_of([shift] * 24)
    assert common_mask_shift(fits) is None
    assert single_mask_shifts(fits) == []


def test_masks_that_agree_on_no_shift_are_not_reported() -> None:
    rng = np.random.default_rng(0)
    fits = fits_of([(int(x), int(y)) for x, y in rng.integers(-12, 13, (24, 2))])
    assert common_mask_shift(fits) is None
    assert single_mask_shifts(fits) == []


def test_a_shift_is_told_in_pixels_of_the_images_where_they_are_reduced() -> None:
    found = common_mask_shift(fits_of([(12, -8)] * 12, scale=2.0, side=256))
    assert found is not None
    assert abs(found.x - 12) <= 2 and abs(found.y + 8) <= 2


def test_too_few_masks_and_too_little_to_compare() -> None:
    fits = fits_of([(5, 5)] * 7)
    assert common_mask_shift(fits) is None and single_mask_shifts(fits) == []
    assert common_mask_shift(EdgeFits()) is None and single_mask_shifts(EdgeFits()) == []
    image, mask = scene(0)
    assert edge_strengths(image, np.zeros_like(mask)) is None  # no boundary
    assert edge_strengths(image[:40], mask[:40]) is None  # too small


def test_the_check_reports_the_shift_and_the_remedy(run: Callable[..., CheckReport]) -> None:
    report = run(16, 5, -3)
    (finding,) = (each for each in report.findings if each.kind in SHIFTED)
    assert finding.kind == "masks-shifted" and finding.severity == "should"
    assert finding.title.startswith("The masks are shifted against their images by about 5 px right and 3 px up, in 1")
    assert finding.title.endswith(" of 16 compared pairs")
    assert "Move the masks by (-5, 3) px" in finding.text
    assert len(finding.cases) > 12 and all(len(case.keys) == 1 for case in finding.cases)
    assert report.ok
    assert "outlines of the mask" in report.page.read_text(encoding="utf-8")


def test_the_check_names_a_single_shifted_mask(run: Callable[..., CheckReport]) -> None:
    report = run(24, 0, 0, single=(9, 7))
    (finding,) = (each for each in report.findings if each.kind in SHIFTED)
    assert finding.kind == "mask-shifted"
    (case,) = finding.cases
    assert case.keys == ("05",)
    assert re.fullmatch("the mask lies about (8|9|10) px right and [678] px down", case.words)


@pytest.mark.parametrize("blur", [0.0, 3.0])
def test_masks_in_place_are_left_in_peace(run: Callable[..., CheckReport], blur: float) -> None:
    assert not SHIFTED & {each.kind for each in run(16, 0, 0, blur=blur).findings}


def test_smooth_images_without_edges_are_left_in_peace(write: Write, tmp_path: Path) -> None:
    for n in range(16):
        rows, columns = np.mgrid[:128, :128]
        ramp = 60 + columns * (0.3 + 0.02 * n) + rows * (0.5 - 0.02 * n)
        write(f"photo/{n:02}.png", np.repeat(ramp.astype(np.uint8)[..., None], 3, axis=2))
        write(f"mask/{n:02}.png", 255 * scene(n)[1][..., None])
    source = SourceConfig(input="photo", target="mask")
    report = check(CheckConfig(images=str(tmp_path / "set"), out=str(tmp_path / "out"), jobs=1, source=source))
    assert not SHIFTED & {each.kind for each in report.findings}


def test_training_warns_of_shifted_masks(run: Callable[..., CheckReport], tmp_path: Path) -> None:
    run(16, 5, -3)
    recipe = RecipeConfig(recipe="segment")
    source = open_source(str(tmp_path / "set"), SourceConfig(input="photo", target="mask"))
    source, recipe = settled(with_masks(source, recipe), recipe)
    findings, _ = quick_findings(source, {"train": source.items[4:], "val": source.items[:4]}, recipe)
    assert "masks-shifted" in {each.kind for each in findings}


@pytest.mark.slow
def test_real_masks_are_left_in_peace(real_data: Path, tmp_path: Path) -> None:
    source = SourceConfig(input="Training_Images", target="Ground_Truth")
    report = check(CheckConfig(images=str(real_data / "humans"), out=str(tmp_path / "out"), source=source))
    assert not SHIFTED & {each.kind for each in report.findings}
