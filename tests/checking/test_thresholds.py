"""Each documented threshold of the check: one case just below it and one just above."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from calco.annotations.detections import Detections
from calco.checking.duplicates import find_certain_duplicates, find_similar
from calco.checking.findings import Inspection, common_shift, find, mask_set_findings, mirrored, shifted, swapped
from calco.checking.survey import Alignment, Facts, box_labels, hues_of, mask_labels, statistics_of, thumbnail_of
from calco.data.mask_encoding import MaskDecision, MaskEncoding, MaskSurvey, colour_code, count_values, grey_code
from calco.data.recipes import RecipeConfig
from calco.data.sample import Sample
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.imaging import Image
from checking.conftest import photo


def fact(key: str, image: Image) -> Facts:
    return Facts(key, sides={"image": statistics_of(thumbnail_of(image), cuts=False)})


def severities(facts: Sequence[Facts], recipe: str = "auto") -> dict[str, str]:
    """Severity of each finding by its kind."""

    def load(source: Source, item: Item) -> Sample:
        raise NotImplementedError

    source = Source("photographs", "set", tuple(Item(each.key, each.key, ()) for each in facts), load)
    inspection = Inspection(source=source, facts=facts, recipe=RecipeConfig(recipe=recipe))
    return {finding.kind: finding.severity for finding in find(inspection)}


@pytest.mark.parametrize(("share", "constant"), [(0.45, True), (0.5, False)])
def test_an_image_is_constant_below_one_level_of_deviation(share: float, constant: bool) -> None:
    image = np.full((100, 100, 1), 128, np.uint8)
    image.reshape(-1)[: int(10_000 * share)] += 2  # the deviation of two levels 2 apart is 2 sqrt(share (1 - share))
    assert fact("a", image).sides["image"].constant == constant


@pytest.mark.parametrize(("step", "constant"), [(15, True), (16, False)])
def test_an_image_is_constant_below_a_range_of_sixteen_levels(step: int, constant: bool) -> None:
    image = np.full((100, 100, 1), 100, np.uint8)
    image[50, 50] += step
    assert fact("a", image).sides["image"].constant == constant


@pytest.mark.parametrize(("side", "small"), [(63, True), (64, False)])
def test_an_image_is_small_below_64_pixels(side: int, small: bool) -> None:
    assert ("small" in severities([fact("a", photo(1, width=side, height=90))])) == small


@pytest.mark.parametrize(("entries", "severity"), [(19, "must"), (20, "should")])
def test_more_than_a_twentieth_of_grey_images_spoils_colours(entries: int, severity: str) -> None:
    facts = [fact(str(n), photo(n, 64, 64)) for n in range(entries - 1)]
    facts.append(fact("grey", photo(99, 64, 64)[..., :1]))
    assert severities(facts, "colorize")["grey"] == severity


@pytest.mark.parametrize(("chroma", "hues"), [(8, "grey"), (9, "colour")])
def test_grey_images_have_channels_within_eight_levels(chroma: int, hues: str) -> None:
    image = np.full((64, 64, 3), 100, np.uint8)
    image[::2, :, 0] += chroma
    image[1::2, :, 0] -= chroma
    assert hues_of(image, np.full((64, 64), 100, np.uint8)) == hues


@pytest.mark.parametrize(("deviation", "hues"), [(3, "tinted"), (4, "colour")])
def test_tinted_images_have_one_colour_for_each_grey_level(deviation: int, hues: str) -> None:
    image = np.full((64, 64, 3), 100, np.uint8)
    image[::2, :, 0] = 120 + deviation
    image[1::2, :, 0] = 120 - deviation
    assert hues_of(image, np.full((64, 64), 100, np.uint8)) == hues


@pytest.mark.parametrize(("entries", "found"), [(3, False), (4, True)])
def test_four_equal_inputs_are_no_coincidence(entries: int, found: bool) -> None:
    same = statistics_of(thumbnail_of(photo(5)), cuts=False)
    facts = [
        Facts(str(n), sides={"input": same, "target": statistics_of(thumbnail_of(photo(n)), cuts=False)})
        for n in range(entries)
    ]
    assert ("one-image" in severities(facts)) == found


@pytest.mark.parametrize(("width", "stretched"), [(1019, False), (1021, True)])
def test_a_mask_may_differ_by_two_per_cent_in_its_proportions(width: int, stretched: bool) -> None:
    labels = mask_labels(np.zeros((1000, width, 1), np.uint8), None, (), (1000, 1000))
    assert bool(labels.remarks) == stretched


@pytest.mark.parametrize(("right", "beyond"), [(101.0, False), (101.5, True)])
def test_a_box_may_reach_one_pixel_beyond_its_image(right: float, beyond: bool) -> None:
    boxes = Detections(boxes=np.array([[10, 10, right, 50]], np.float32), classes=("cup",))
    labels = box_labels(boxes, (100, 100))
    assert (bool(labels.remarks), labels.faults) == (beyond, ())


def binary(values: Sequence[int]) -> MaskEncoding:
    return MaskEncoding("number", tuple((grey_code(value),) for value in values))


@pytest.mark.parametrize(("masks", "found"), [(2, False), (3, True)])
def test_a_class_is_rare_in_one_of_three_masks(masks: int, found: bool) -> None:
    survey = MaskSurvey()
    for n in range(masks):
        mask = np.zeros((20, 20, 1), np.uint8)
        mask[:, 5:10] = 1
        mask[:, 15:] = 2 if n == 0 else 0
        survey.add(str(n), count_values(mask))
    palette = (("background", (0, 0, 0)), ("cup", (255, 0, 0)), ("pen", (0, 255, 0)))
    findings = mask_set_findings(MaskDecision(binary((0, 1, 2)), palette, "", survey))
    cases = [case for finding in findings if finding.kind == "classes-rare" for case in finding.cases]
    assert [case.words for case in cases] == (["class pen"] if found else [])


@pytest.mark.parametrize(("side", "refused"), [(11, False), (13, True)])  # 9 x 9 and 11 x 11 pixels inside the area
def test_a_mask_may_have_one_per_cent_of_unknown_colours(side: int, refused: bool) -> None:
    encoding = MaskEncoding("colour", ((colour_code((0, 0, 0)),), (colour_code((255, 255, 255)),)))
    mask = np.zeros((100, 100, 3), np.uint8)
    mask[20 : 20 + side, 20 : 20 + side] = (200, 0, 0)
    if refused:
        with pytest.raises(CalcoError, match=r"1.21% of the mask has values that stand for no class \(#c80000"):
            encoding.read(mask)
    else:
        encoding.read(mask)


def details(thumb: Image) -> np.ndarray:
    """A thumbnail minus its blur (sigma 2, weights that sum to 1 at the borders), by plain loops over the rows."""
    places = np.arange(32)
    total = np.zeros((32, 32))
    for row in range(32):
        for column in range(32):
            weights = np.outer(np.exp(-((places - row) ** 2) / 8), np.exp(-((places - column) ** 2) / 8))
            total[row, column] = thumb[row, column] - (weights * thumb).sum() / weights.sum()
    return total - total.mean()


@pytest.mark.parametrize("found", [False, True])
def test_thumbnails_are_similar_from_a_correlation_of_nine_tenths(found: bool) -> None:
    first = cv2.resize(photo(3)[..., 1], (32, 32), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(0).standard_normal((32, 32))

    def noisy(strength: float) -> Image:
        return np.clip(np.rint(first + strength * noise), 0, 255).astype(np.uint8)

    wanted = (0.9, 0.93) if found else (0.87, 0.9)
    correlations = {
        strength: float(np.corrcoef(details(first).ravel(), details(noisy(strength)).ravel())[0, 1])
        for strength in np.arange(1.0, 14.0, 0.5)
    }
    strength = next(each for each, value in correlations.items() if wanted[0] < value < wanted[1])
    others = [cv2.resize(photo(seed)[..., 1], (32, 32), interpolation=cv2.INTER_AREA) for seed in range(100, 140)]
    assert bool(find_similar(np.stack([*others, first, noisy(strength)]))) == found


def how(second: Image, first: Image) -> list[str]:
    """How two images among forty others are the same."""
    others = [fact(str(seed), photo(seed)) for seed in range(100, 140)]
    return [each.how for each in find_certain_duplicates([*others, fact("a", first), fact("b", second)])]


@pytest.mark.parametrize(("levels", "expected"), [(7, "duplicate"), (9, "variant")])
def test_duplicates_have_tones_within_eight_levels(levels: int, expected: str) -> None:
    image = (photo(8) * 0.7 + 30).astype(np.uint8)
    assert how(image + np.uint8(levels), image) == [expected]


@pytest.mark.parametrize(("step", "expected"), [(29, ["variant"]), (31, [])])
def test_variants_have_colours_within_fourteen_levels_of_an_affine_map(step: int, expected: list[str]) -> None:
    image = (photo(8) * 0.6 + 50).astype(np.float64)
    signs = np.random.default_rng(0).choice([-1, 1], (16, 16)).repeat(6, axis=0).repeat(6, axis=1)
    # Red rises where green falls, so the luminance stays; the best maps leave 13.8 levels at a step of 29, 14.3 at 31.
    change = np.stack([signs * step, -signs * step * 0.299 / 0.587, np.zeros((96, 96))], axis=-1)
    changed = np.clip(np.rint(image + change), 0, 255).astype(np.uint8)
    assert how(changed, image.astype(np.uint8)) == expected


def lying(
    fit: float = 0.6, in_place: float | None = None, shift: float = 0.0, rival: float = 0.2,
    turned: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Alignment:  # fmt: skip
    return Alignment(fit, fit if in_place is None else in_place, (shift, 0.0), rival, turned)


def beside(odd: Alignment) -> dict[str, Alignment]:
    """Ten pairs whose sides lie on each other, and one more."""
    return {**{str(n): lying() for n in range(10)}, "odd": odd}


@pytest.mark.parametrize(
    ("odd", "found"),
    [
        (lying(in_place=0.44, shift=0.05), True),  # gains 0.16
        (lying(in_place=0.46, shift=0.05), False),
        (lying(fit=0.46, in_place=0.2, shift=0.05), True),  # 0.75 of the usual fit is 0.45
        (lying(fit=0.44, in_place=0.2, shift=0.05), False),
        (lying(in_place=0.2, shift=0.05, rival=0.46), True),  # 1.3 times the rival is 0.598
        (lying(in_place=0.2, shift=0.05, rival=0.47), False),
        (lying(in_place=0.2, shift=0.016), True),
        (lying(in_place=0.2, shift=0.014), False),
        (lying(in_place=0.2, shift=0.19), True),
        (lying(in_place=0.2, shift=0.21), False),
    ],
)
def test_a_pair_is_shifted(odd: Alignment, found: bool) -> None:
    assert list(shifted(beside(odd))) == (["odd"] if found else [])


@pytest.mark.parametrize(
    ("alignments", "found"),
    [
        ([lying(in_place=0.3, shift=0.05)] * 2, False),
        ([lying(in_place=0.3, shift=0.05)] * 3, True),
        ([lying(in_place=0.3, shift=0.011)] * 5, False),
        ([lying(in_place=0.3, shift=0.013)] * 5, True),
        ([lying(in_place=0.51, shift=0.05)] * 5, False),
        ([lying(in_place=0.49, shift=0.05)] * 5, True),
        ([lying(in_place=0.3, shift=0.05)] * 6 + [lying(in_place=0.3, shift=0.09)] * 4, False),
        ([lying(in_place=0.3, shift=0.05)] * 7 + [lying(in_place=0.3, shift=0.09)] * 3, True),
    ],
)
def test_a_whole_set_is_shifted(alignments: list[Alignment], found: bool) -> None:
    assert bool(common_shift({str(n): each for n, each in enumerate(alignments)})) == found


@pytest.mark.parametrize(
    ("turned", "expected"),
    [
        ((0.67, 0, 0), {}),
        ((0.69, 0, 0), {"odd": "mirrored left to right"}),
        ((0, 0.74, 0), {}),
        ((0, 0.76, 0), {"odd": "upside down"}),
        ((0, 0, 0.74), {}),
        ((0, 0, 0.76), {"odd": "turned half round"}),
    ],
)
def test_a_pair_is_mirrored_or_turned(turned: tuple[float, float, float], expected: dict[str, str]) -> None:
    assert mirrored(beside(lying(turned=turned))) == expected


@pytest.mark.parametrize(("fit", "found"), [(0.29, False), (0.31, True)])
def test_a_mirrored_pair_fits_half_as_well_as_the_others(fit: float, found: bool) -> None:
    assert bool(mirrored(beside(lying(fit=0.1, turned=(fit, 0, 0))))) == found


@pytest.mark.parametrize(
    ("usual", "odd", "entries", "found"),
    [
        (1.0, -0.49, 9, False),
        (1.0, -0.51, 9, True),
        (0.079, -0.079, 9, False),  # 7 squared deviations of 0.03 are 0.0794
        (0.080, -0.080, 9, True),
        (1.0, -1.0, 3, False),
        (1.0, -1.0, 4, True),
    ],
)
def test_sides_are_swapped(usual: float, odd: float, entries: int, found: bool) -> None:
    traits = {str(n): ((usual,), (0.0,)) for n in range(entries)} | {"odd": ((odd,), (0.0,))}
    assert swapped(traits) == (["odd"] if found else [])
