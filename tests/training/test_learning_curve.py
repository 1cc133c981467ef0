"""When to stop, and what a learning curve says of it."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from calco import CalcoError
from calco.cli import main
from calco.data.config import SplitConfig
from calco.report.charts import learning_curves
from calco.training.config import LimitConfig, OptimiserConfig
from calco.training.log import Advice, advise
from calco.training.trainer import Trainer
from calco.training.translation import train
from training.tiny import tiny


def curve(score, loss, *, num: int = 30, noise: float = 0.0, seed: int = 0) -> list[dict]:
    """The log of a run of 100 steps to each validation, from functions of the share of the run that is done."""
    rng = random.Random(seed)
    rows = []
    for number in range(1, num + 1):
        share, step = number / num, 100 * number
        rows.append({"step": step, "time": 3.0 * number, "train": {"g_pixel": loss(share), "d_real": rng.random()}})
        rows.append({"step": step, "time": 3.0 * number, "validation": {"l1": score(share) + noise * rng.gauss(0, 1)}})
    return rows


def read(rows: list[dict], **options) -> Advice:
    return advise(rows, "l1", lower_is_better=True, loss="g_pixel", **options)


def falling(share: float) -> float:
    return 0.04 + 0.02 / math.sqrt(30 * share)


@pytest.mark.parametrize("noise", [0.0, 0.0002])
def test_a_score_that_still_improves_asks_for_minutes(noise):
    advice = read(curve(falling, falling, noise=noise))
    assert advice.helps == "minutes"
    assert "was still improving" in advice.remark and advice.remark.endswith("more minutes are likely to help")


@pytest.mark.parametrize("score", [lambda s: 0.05, lambda s: 0.05 + 0.01 * max(0, s - 0.3)], ids=["stalls", "rises"])
def test_a_falling_loss_beside_a_score_that_does_not_improve_asks_for_pairs(score):
    advice = read(curve(lambda s: score(s) if s > 0.2 else 0.1, lambda s: 0.08 - 0.04 * s, noise=0.0003))
    assert advice.helps == "pairs"
    assert "more pairs are likely to help, more minutes are not" in advice.remark
    assert "0.05933, 0.046" in advice.remark, "the loss in the second third and in the last"


def test_nothing_is_claimed_of_two_flat_curves():
    flat = curve(lambda s: 0.05 if s > 0.2 else 0.1, lambda s: 0.04, noise=0.0005)
    advice = read(flat)
    assert advice.helps == "unclear"
    assert "nothing shows whether more minutes or more pairs would help" in advice.remark


def test_noise_alone_is_seldom_taken_for_an_improvement():
    found = [read(curve(lambda s: 0.05, lambda s: 0.04, noise=0.002, seed=seed)).helps for seed in range(200)]
    assert found.count("minutes") <= 10


def test_the_best_validation_is_named_with_step_and_time():
    advice = read(curve(lambda s: 0.05 + abs(s - 0.5), lambda s: 0.08 - 0.04 * s))
    assert (advice.best, advice.best_step, advice.best_time) == (0.05, 1500, 45.0)
    assert "was best (0.05) at step 1,500 of 3,000, after 45s" in advice.remark
    assert "got worse at the end" in advice.remark


def test_of_scores_that_rise_the_highest_is_best():
    rows = [{"step": row["step"], "validation": {"map50": -row["validation"]["l1"]}} for row in
            curve(falling, falling) if "validation" in row]  # fmt: skip
    advice = advise(rows, "map50", lower_is_better=False, items="images")
    assert (advice.helps, advice.best_step) == ("minutes", 3000)
    assert "validation mAP50" in advice.remark


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (curve(falling, falling, num=6), "6 validations are too few"),
        ([{"step": 3, "train": {"g_pixel": 0.1}}], "there is no validation score"),
        ([], "there is no validation score"),
    ],
)
def test_short_curves_show_nothing(rows, reason):
    advice = read(rows)
    assert advice.helps == "unclear"
    assert reason in advice.remark


def test_without_training_losses_a_stalled_score_shows_nothing():
    rows = [row for row in curve(lambda s: 0.05, lambda s: 0.04) if "validation" in row]
    assert read(rows).helps == "unclear"


def rows_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_run_records_why_it_ended_and_what_would_help(done, caplog, images, tmp_path):
    end = rows_of(done)[-1]["end"]
    assert end["reason"] == "--steps 12 are done"
    assert end["metric"] == "l1"
    scores = {row["step"]: row["validation"]["l1"] for row in rows_of(done) if "validation" in row}
    assert end["best"] == min(scores.values()) == scores[end["best_step"]]
    caplog.set_level("INFO", "calco")
    train(tiny(images, tmp_path / "run"), progress=False)
    assert "the run ended at step 12: --steps 12 are done" in caplog.messages
    assert rows_of(tmp_path / "run")[-1]["end"]["remark"] in caplog.messages
    charts = [str(chart) for chart in learning_curves(rows_of(done))]
    assert [end["reason"] in chart for chart in charts] == ["Validation L1" in chart for chart in charts]


@pytest.fixture
def still(images, tmp_path):
    """A configuration whose weights hardly move, so that few validations are better than the first."""
    config = tiny(images, tmp_path / "run", optimiser=OptimiserConfig(batch=4, learning_rate=1e-30))
    return replace(config, limit=LimitConfig(epochs=0, steps=200, patience=3))


def test_patience_ends_a_run_that_does_not_improve(still, caplog):
    caplog.set_level("INFO", "calco")
    run = train(still, progress=False)
    scores = [row["validation"]["l1"] for row in rows_of(run) if "validation" in row]
    first = scores.index(min(scores))
    assert len(scores) == first + 1 + 3
    reason = "validation L1 has not improved in 3 validations (--patience 3)"
    assert rows_of(run)[-1]["end"]["reason"] == reason
    assert any("or 3 validations without a better score" in text for text in caplog.messages)
    with pytest.raises(CalcoError, match=r"reached its limit at step \d+: .*--resume \S+ --patience 6"):
        train(still, resume=True, progress=False)


def test_patience_goes_on_where_an_interrupted_run_stopped(still, tmp_path, monkeypatch):
    whole = train(replace(still, out=str(tmp_path / "whole")), progress=False)
    save = Trainer.save

    def stop(self):
        save(self)
        if self.stale == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        train(still, progress=False)
    monkeypatch.undo()
    run = train(still, resume=True, progress=False)
    assert [row["step"] for row in rows_of(run)] == [row["step"] for row in rows_of(whole)]


def test_with_more_patience_a_run_goes_on_and_its_end_is_recorded_once(still):
    run = train(still, progress=False)
    ended = rows_of(run)[-1]["step"]
    train(replace(still, limit=replace(still.limit, patience=4)), resume=True, progress=False)
    ends = [row for row in rows_of(run) if "end" in row]
    assert len(ends) == 1
    assert ends[0]["step"] > ended


def test_patience_without_validation_is_reported(still, caplog):
    caplog.set_level("INFO", "calco")
    limit = LimitConfig(epochs=0, steps=3, patience=1)
    train(replace(still, split=SplitConfig(validation=0), limit=limit), progress=False)
    assert any(text.endswith("the last weights are kept; --patience has no effect") for text in caplog.messages)


def test_patience_is_a_number_of_validations(capsys):
    with pytest.raises(SystemExit) as left:
        main(["train", "nowhere", "--patience", "-1"])
    assert left.value.code == 2
    assert "patience is -1; it must be 0 (off) or a number of validations" in capsys.readouterr().err
