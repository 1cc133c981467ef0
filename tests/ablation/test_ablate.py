"""Variants side by side: the same scores as an evaluation, resumable, and one line for what cannot be."""

import json
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import calco.ablation.ablate
from calco import AblateConfig, CalcoError, EvaluateConfig, ablate, evaluate, imaging
from calco.ablation.results import markdown_differences, markdown_seeds, markdown_table, summarise
from calco.ablation.scoring import Curve, times_to_quality
from calco.ablation.variants import all_variants
from calco.cli import main
from calco.evaluation.baselines import MODEL
from calco.evaluation.scorecard import ImageScores, Scorecard
from calco.evaluation.scores import Score
from calco.training.config import preset
from calco.training.trainer import Trainer

SVG = "{http://www.w3.org/2000/svg}"
TINY = (
    "--recipe colorize --size 16 --resize 18 --generator.depth 3 --generator.filters 4 --discriminator.filters 4 "
    "--discriminator.patch 16 --batch 4 --validate-steps 2 --log-steps 2 --validation-pairs 2 --samples 1 "
    "--split.test 0 --split.validation 0.4 --no-tensorboard --threads 1 --device cpu"
)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    for number in range(14):
        image = np.broadcast_to(rng.integers(0, 255, 3), (24, 20, 3)).astype(np.uint8).copy()
        image[4:16, 3 + number % 5 : 14] = rng.integers(0, 255, 3)
        imaging.write(folder / f"{number:02d}.png", image)
    return folder


def config(images: Path, out: Path, **changes) -> AblateConfig:
    base = AblateConfig(
        images=(str(images),), out=str(out), presets=("small",), variants=("l1=small --objective.gan none",),
        options=TINY, steps=6, num_shown=3,
    )  # fmt: skip
    return replace(base, **changes)


@pytest.fixture(scope="module")
def done(images, tmp_path_factory):
    """A finished ablation of two variants; tests do not change it."""
    return ablate(config(images, tmp_path_factory.mktemp("done") / "ablation"))


@pytest.fixture
def untrained(monkeypatch) -> list[str]:
    """Names of the runs that are trained, which is an error."""
    names: list[str] = []
    monkeypatch.setattr(calco.ablation.ablate, "run_task", lambda _, each, **_o: names.append(Path(each.out).name))
    return names


def test_the_figures_are_those_of_evaluate(done):
    (table,) = done.data
    assert [*table.variants] == ["small", "l1"]
    assert table.num_images > 2
    for name, each in table.variants.items():
        card = evaluate(EvaluateConfig(model=done.folder / "runs" / f"{table.data}-{name}-seed0"))
        ours, theirs = dict(each.scores), dict(card.systems[MODEL])
        assert ours.keys() == theirs.keys() >= {"l1", "psnr", "ssim"}
        for metric, score in theirs.items():
            got = ours[metric]
            assert (got.mean, got.low, got.high) == pytest.approx((score.mean, score.low, score.high), rel=1e-9)
            assert each.by_seed[metric] == pytest.approx((score.mean,), rel=1e-9)
    first, other = table.variants.values()
    assert not first.differences
    lead = other.differences["l1"]
    assert lead.mean == pytest.approx(other.scores["l1"].mean - first.scores["l1"].mean)
    assert lead.low is not None and lead.high is not None and lead.low <= lead.mean <= lead.high


def test_the_folder_shows_what_was_found(done):
    (table,) = done.data
    text = done.report.read_text()
    assert markdown_table(table) in text and markdown_differences(table) in text
    svg = ElementTree.fromstring((done.folder / f"{table.data}-curves.svg").read_text())
    panels = [each for each in svg.iter(f"{SVG}g") if each.get("class") == "panel"]
    assert len(panels) >= 3, "L1, PSNR and SSIM, whatever the variants choose their best model by"
    for panel in panels:
        assert sorted(each.get("class") for each in panel.iter(f"{SVG}path")) == ["smooth c0", "smooth c1"]
    texts = [each.text for each in svg.iter(f"{SVG}text")]
    assert {"small", "l1", "L1 ↓", "PSNR ↑", "SSIM ↑"} <= {*texts}
    assert texts.count("small") == 1, "the names stand once, below all panels"
    sheet = imaging.read(done.folder / f"{table.data}-images.png")
    assert sheet.shape[1] > 4 * 100, "input, two outputs, target"
    record = json.loads((done.folder / "ablation.json").read_text())
    results = record["results"][table.data]["variants"]
    assert results["l1"]["scores"]["l1"]["mean"] == table.variants["l1"].scores["l1"].mean
    assert record["steps"] == 6


def test_a_finished_ablation_is_not_repeated(images, done, tmp_path, untrained, monkeypatch):
    folder = Path(shutil.copytree(done.folder, tmp_path / "copied"))
    monkeypatch.setattr("calco.ablation.scoring.evaluate", None)  # nothing is scored again either
    again = ablate(config(images, folder))
    assert untrained == []
    assert again.report.read_text() == done.report.read_text()
    assert again.data == done.data


def test_scores_of_another_split_are_made_anew(images, done, tmp_path):
    folder = Path(shutil.copytree(done.folder, tmp_path / "copied"))
    again = ablate(config(images, folder, num_scored=2))
    assert again.data[0].num_images == 2
    with pytest.raises(CalcoError, match="has no images for test; give --part validation"):
        ablate(config(images, folder, part="test"))


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def test_resumed_after_a_kill_the_table_is_that_of_an_undisturbed_call(images, done, tmp_path, monkeypatch):
    save = Trainer.save

    def stop(self: Trainer) -> None:
        save(self)
        if self.folder.name.endswith("-l1-seed0") and self.step == 4:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "save", stop)
        with pytest.raises(Killed):
            ablate(config(images, tmp_path / "cut"))
    started: list[tuple[str, bool]] = []
    run_task = calco.ablation.ablate.run_task

    def noted(kind, each, *, resume=False, progress=True):
        started.append((Path(each.out).name.rpartition("-")[0].rpartition("-")[2], resume))
        return run_task(kind, each, resume=resume, progress=progress)

    monkeypatch.setattr(calco.ablation.ablate, "run_task", noted)
    again = ablate(config(images, tmp_path / "cut"))
    assert started == [("l1", True)]
    assert markdown_table(again.data[0]) == markdown_table(done.data[0])
    assert markdown_differences(again.data[0]) == markdown_differences(done.data[0])
    ours, theirs = (each.data[0].curves["l1"][0] for each in (again, done))
    assert [scores for _, scores in ours.points] == [scores for _, scores in theirs.points], "but for the minutes"


def test_a_run_that_fails_is_reported_and_the_others_count(images, done, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(done.folder, tmp_path / "copied"))

    def fails(_kind, each, **_options):
        raise CalcoError(f"step 3: g_pixel nan, with seed {each.seed}")

    monkeypatch.setattr(calco.ablation.ablate, "run_task", fails)
    again = ablate(config(images, folder, seeds=(0, 1)))
    name = f"{again.data[0].data}-l1-seed1"
    assert again.failed[name] == "step 3: g_pixel nan, with seed 1"
    assert len(again.failed) == 2
    assert [each.seeds for each in again.data[0].variants.values()] == [(0,), (0,)]
    assert f"- {name}: step 3: g_pixel nan" in again.report.read_text()


def test_the_command_prints_a_line_for_each_run_and_the_table(images, done, tmp_path, capsys):
    folder = Path(shutil.copytree(done.folder, tmp_path / "copied"))
    words = ["--variants", "l1=small --objective.gan none", "--steps", "6", "--out", str(folder), "--", *TINY.split()]
    main(["ablate", str(images), "--presets", "small", *words])
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("run ")]
    data = done.data[0].data
    assert lines == [f"run 1 of 2: {data}-small-seed0, done", f"run 2 of 2: {data}-l1-seed0, done"]
    assert "SSIM ↑" in printed.out and str(folder / "ablation.md") in printed.out


def test_variants_share_the_limit_and_keep_their_size(images, tmp_path):
    found = all_variants(config(images, tmp_path, variants=("wide=small --size 32 --resize 36",)))
    assert [each.jitter.size for each in found.values()] == [16, 32]
    assert all(each.limit.steps == 6 and not each.limit.minutes for each in found.values())


def test_a_curve_ends_with_the_scores_of_the_table(done):
    (table,) = done.data
    for name, by_seed in table.curves.items():
        curve, scores = by_seed[0], table.variants[name].scores
        assert len(curve.points) == 3 and not (done.folder / "runs" / f"{table.data}-{name}-seed0" / "curve").exists()
        assert {"l1", "psnr", "ssim"} <= curve.final.keys()
        for metric in ("l1", "psnr", "ssim"):
            assert curve.final[metric] == pytest.approx(scores[metric].mean)
            assert curve.final[metric] in [pytest.approx(each[metric]) for _, each in curve.points]


def test_shares_of_the_images_give_a_curve_of_scores_against_pairs(images, tmp_path):
    result = ablate(config(images, tmp_path / "out", variants=(), shares=(0.25, 1.0), steps=2))
    (table,) = result.data
    assert {name: each.pairs for name, each in table.variants.items()} == {"small@0.25": 2, "small@1": 9}
    scores = {name: each.scores["psnr"].mean for name, each in table.variants.items()}
    assert table.by_pairs["psnr"] == {"small": [(2, scores["small@0.25"]), (9, scores["small@1"])]}
    assert "| small@0.25 | 1 | 2 |" in markdown_table(table)
    assert f"![scores against pairs]({table.data}-pairs.svg)" in result.report.read_text()
    drawn = ElementTree.parse(result.folder / f"{table.data}-pairs.svg")
    assert len(drawn.findall(f".//{SVG}g[@class='panel']")) == len(table.by_pairs)


def test_variants_of_one_number_of_pairs_have_no_such_curve(done):
    assert not done.data[0].by_pairs and not list(done.folder.glob("*-pairs.svg"))


def test_variants_that_train_on_other_pairs_are_scored_on_the_same_and_a_line_says_so(images, tmp_path):
    options = TINY.replace("colorize", "sketch")
    styles = ("thick=small --line-weight 2 2",)
    result = ablate(config(images, tmp_path / "out", variants=styles, options=options, steps=2))
    cards = [Scorecard.load(folder) for folder in (result.folder / "scores").iterdir()]
    assert cards[0].setting == cards[1].setting and "sketch.line_weight" in cards[0].setting
    (note,) = result.data[0].notes
    reason = "sketch.line_weight (2.0, 2.0) (scored: (1.0, 1.0))"
    assert note == f"thick was trained on other pairs than it is scored on: {reason}"
    # The other way round, no score of the first call counts any more.
    again = ablate(config(images, tmp_path / "out", presets=(), variants=(*styles, "small=small"), options=options,
                          steps=2))  # fmt: skip
    cards = [Scorecard.load(folder) for folder in (result.folder / "scores").iterdir()]
    assert {card.setting["sketch.line_weight"] for card in cards} == {"(2.0, 2.0)"}
    assert again.data[0].notes[0].startswith("small was trained on other pairs")


def test_a_model_that_learned_from_the_network_of_st_lpips_is_marked(images, tmp_path, capsys):
    pupil = "pupil=small --size 32 --resize 36 --objective.perceptual alexnet --objective.perceptual-weight 1"
    result = ablate(config(images, tmp_path / "out", variants=(pupil,), steps=2))
    said = "ST-LPIPS flatters this model, and so does the judge `faces`"
    assert [note.partition(": ")[0] for note in result.data[0].notes if said in note] == ["pupil"]
    assert f"- pupil: {said}" in result.report.read_text()
    run = result.folder / "runs" / f"{result.data[0].data}-pupil-seed0"
    main(["evaluate", str(run)])
    assert said in " ".join(capsys.readouterr().err.split())
    assert said in (run / "report" / "report.html").read_text()


def curve(*points: tuple[float, float], style: str = "pencil") -> Curve:
    """A curve of the mean error from minutes and values; the model of the last point is kept."""
    return Curve(setting={"style": style}, points=[(m, {"l1": v}) for m, v in points], final={"l1": points[-1][1]})


def test_minutes_until_a_variant_reached_what_another_ended_with():
    first = {0: curve((1, 0.3), (2, 0.2), (3, 0.1)), 1: curve((1, 0.3), (2, 0.2), (3, 0.2))}
    other = {0: curve((2, 0.15), (4, 0.05)), 1: curve((2, 0.3), (4, 0.25))}
    ours, theirs = times_to_quality({"first": first, "other": other})
    assert (ours.variant, ours.other, theirs.variant, theirs.other) == ("other", "first", "first", "other")
    assert ours.text("l1") == "4.00 (1 of 2 seeds)"
    assert theirs.text("l1") == "2.00 (1 of 2 seeds)", "seed 0 never came to 0.05, seed 1 to 0.25 after two minutes"
    (never, _) = times_to_quality({"first": {0: curve((1, 0.1))}, "other": {0: curve((1, 0.2))}})
    assert never.text("l1") == "not reached"


def test_curves_of_other_pairs_are_left_out_with_a_note():
    cards = {name: {0: card({"a": 0.1, "b": 0.3})} for name in ("first", "other")}
    curves = {"first": {0: curve((1, 0.1))}, "other": {0: curve((1, 0.2), style="ink")}}
    table = summarise("set", cards, curves=curves)
    assert [*table.curves] == ["first"] and not table.times
    assert table.notes[0].startswith("other, seed 0: scored on other pairs in an earlier call")


@pytest.mark.slow
def test_models_of_two_sizes_are_scored_on_the_same_pairs(images, tmp_path):
    result = ablate(config(images, tmp_path / "out", variants=("wide=small --size 32 --resize 36",), steps=2))
    cards = [Scorecard.load(folder) for folder in (result.folder / "scores").iterdir()]
    assert {card.setting["size"] for card in cards} == {"32 pixels, stretch"}


def card(values: dict[str, float], groups: dict[str, str] | None = None) -> Scorecard:
    """A scorecard of one metric from the values of its images."""
    rows = [
        ImageScores(key=key, group=(groups or {}).get(key, key), seen=False, scores={MODEL: {"l1": value}})
        for key, value in values.items()
    ]
    mean = Score(float(np.mean([*values.values()])))
    return Scorecard(name="x", recipe="", systems={MODEL: {"l1": mean}}, gains={}, images=rows)


def test_differences_are_paired_by_image():
    rng = np.random.default_rng(0)
    first = {f"{n}": float(rng.uniform(0, 1)) for n in range(20)}
    other = {key: value - 0.01 for key, value in first.items()}
    table = summarise("set", {"first": {0: card(first)}, "other": {0: card(other)}})
    lead = table.variants["other"].differences["l1"]
    assert (lead.mean, lead.low, lead.high) == pytest.approx((-0.01, -0.01, -0.01), abs=1e-12)
    spread = table.variants["first"].scores["l1"]
    assert spread.high - spread.low > 0.1, "while the images differ far more"
    assert "| other | -0.0100 |" in markdown_differences(table)


def test_baselines_are_compared_in_pairs_too():
    rng = np.random.default_rng(0)
    values = {f"{n}": float(rng.uniform(0, 1)) for n in range(20)}
    only = card(values)
    for row in only.images:
        row.scores["input copied"] = {"l1": row.scores[MODEL]["l1"] + 0.02}
    only.systems["input copied"] = {"l1": Score(float(np.mean([*values.values()])) + 0.02)}
    table = summarise("set", {"first": {0: only}})
    lead = table.baseline_differences["input copied"]["l1"]
    assert (lead.mean, lead.low, lead.high) == pytest.approx((0.02, 0.02, 0.02), abs=1e-12)
    assert "| input copied | +0.0200 |" in markdown_differences(table)
    assert table.record()["baseline_differences"]["input copied"]["l1"]["mean"] == pytest.approx(0.02)


def test_an_image_counts_with_its_mean_over_the_seeds():
    first = {0: card({"a": 0.1, "b": 0.3}), 1: card({"a": 0.3, "b": 0.5})}
    table = summarise("set", {"first": first, "other": {0: card({"a": 0.2, "b": 0.2})}})
    first = table.variants["first"]
    assert first.scores["l1"].mean == pytest.approx(0.3)
    assert first.by_seed["l1"] == pytest.approx((0.2, 0.4))
    assert (first.scores["l1"].low, first.scores["l1"].high) == pytest.approx((0.2, 0.4))
    assert table.variants["other"].differences["l1"].mean == pytest.approx(-0.1)
    assert "| first | 1 | 0.4000 |" in markdown_seeds(table)


def test_images_that_a_run_lacks_count_for_none_and_one_image_shows_nothing():
    table = summarise("set", {"first": {0: card({"a": 0.1, "b": 0.3})}, "other": {0: card({"a": 0.2})}})
    assert table.num_images == 1
    assert table.variants["first"].scores["l1"].mean == pytest.approx(0.1)
    assert table.notes == ["the means are over 1 image that all runs could score; the others do not count"]
    assert table.winners() == "against first, other is not clearly different"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": ()}, "no data set was named"),
        ({"images": ("nowhere",)}, "nowhere"),
        ({"presets": ("big",)}, "there is no preset big; choose one of best"),
        ({"presets": (), "variants": ()}, "there is nothing to compare; give --presets"),
        ({"variants": ("l1",)}, "variant l1 is not NAME=OPTIONS"),
        ({"variants": ("a/b=small",)}, "is not NAME=OPTIONS"),
        ({"variants": ("l1=small --blurred 3",)}, "variant l1: .*--blurred.*give options that calco train takes"),
        ({"variants": ("l1=small --batch many",)}, "variant l1: .*many"),
        ({"variants": ("l1=small --batch 0",)}, "variant l1: batch 0"),
        ({"variants": ("l1=huge",)}, "variant l1: there is no preset huge"),
        ({"variants": ("l1=small --minutes 3",)}, "variant l1: --minutes is the same for all runs"),
        ({"variants": ("l1=small --resume runs/x",)}, "variant l1: --resume is not for an ablation"),
        ({"variants": ("l1=--config nowhere.yaml",)}, "variant l1: .*nowhere.yaml"),
        ({"variants": ("l1=small 'x",)}, "ends within a quotation"),
        ({"variants": ("small=small --batch 2",)}, "there are two variants small"),
        ({"variants": ("l1=small --split.validation 0.2",)}, "have another split, so their scores would not compare"),
        ({"variants": ("l1=small --recipe erase",)}, "have another recipe"),
        ({"variants": ("l1=small --split.training 0.5",), "shares": (0.5, 1.0)}, "variant l1 sets --split.training"),
    ],
)
def test_what_cannot_be_is_one_line_before_anything_is_trained(images, tmp_path, changes, reason, untrained):
    with pytest.raises(CalcoError, match=reason) as met:
        ablate(replace(config(images, tmp_path / "out"), **changes))
    assert "\n" not in str(met.value)
    assert untrained == []
    assert not (tmp_path / "out").exists()


def test_an_option_that_stands_twice_counts_as_the_later_one(images, tmp_path):
    found = all_variants(config(images, tmp_path, variants=("more=small --batch 2", "paper=--generator.depth 4")))
    assert [each.optimiser.batch for each in found.values()] == [4, 2, 4]
    assert found["paper"].preset == "pix2pix", "as calco train without a preset"


def test_the_preset_best_follows_the_recipe_of_its_variant(images, tmp_path):
    asked = config(images, tmp_path, presets=("best",), variants=("again=--preset best",), options="--recipe sketch")
    for each in all_variants(asked).values():
        asked_for = preset("best", "sketch")
        recipe = replace(asked_for.recipe, recipe="sketch")
        assert each == replace(asked_for, recipe=recipe, limit=each.limit), "as calco train --preset best"


def test_a_folder_that_holds_something_else_is_left_alone(images, tmp_path, untrained):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CalcoError, match=r"holds no ablation, but other files, such as notes.txt"):
        ablate(config(images, tmp_path))
    assert untrained == []
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"steps": 7}, "limit.steps 6, and now 7"), ({"options": f"{TINY} --batch 2"}, "optimiser.batch 4, and now 2")],
)
def test_other_options_on_resume_are_refused(images, done, tmp_path, untrained, changes, field):
    folder = Path(shutil.copytree(done.folder, tmp_path / "copied"))
    with pytest.raises(CalcoError, match=rf"was begun with other options: \S+-small-seed0 has {field} is asked for"):
        ablate(config(images, folder, **changes))
    assert untrained == []


def test_numbers_and_doubles_are_checked():
    for changes, reason in (
        ({"minutes": 0}, "minutes and steps are both 0"), ({"seeds": (1, 1)}, "1 stands twice in seeds"),
        ({"seeds": ()}, "no seeds"), ({"num_shown": 0}, "num shown is 0"),
    ):  # fmt: skip
        with pytest.raises(CalcoError, match=reason):
            AblateConfig(presets=("small",), **changes)
