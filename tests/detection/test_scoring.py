"""Scoring a detector: what is counted, told and drawn."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calco.annotations.detections import nothing
from calco.data.sources import open_source
from calco.detection.config import PlaceConfig
from calco.detection.metrics import error_kinds, judge_boxes, match
from calco.detection.scoring.evaluate import MeanBox, evaluate_detector
from calco.detection.scoring.report import verdict, write_report
from calco.detection.scoring.score import (
    ALARMED,
    ALARMED_HOUR,
    MEAN_BOX,
    MISSED,
    MISSED_HOUR,
    MODEL,
    NOTHING,
    EvaluationResult,
    rates,
)
from calco.errors import CalcoError
from calco.evaluation.scores import Bootstrap
from detection.bright import Bright, draw
from detection.scenes import found, objects

PLACE = PlaceConfig(people_per_hour=300, frames_per_second=2, prevalence=0.01)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> EvaluationResult:
    folder = draw(tmp_path_factory.mktemp("bright"))
    source = open_source(folder)
    return evaluate_detector(
        Bright(), source, source.items[:18], source.items[18:], name="bright", place=PLACE, resamples=200
    )


def test_the_counts_add_up(scored: EvaluationResult) -> None:
    card = scored.card
    right, wrong = (sum(getattr(each, name) for each in card.images) for name in ("right", "wrong"))
    objects_there = sum(each.objects for each in card.images)
    assert objects_there == card.scores.num_objects == sum(card.sizes.values())
    matrix = np.array(card.confusion)
    assert np.trace(matrix[:2, :2]) == right
    assert matrix[:2].sum() == objects_there
    assert matrix[:, :2].sum() == right + wrong
    assert sum(card.kinds.values()) == wrong
    assert card.systems[MODEL]["recall"].mean == pytest.approx(right / objects_there)
    assert card.rates.wrong.mean == pytest.approx(wrong / 18)


def test_the_detector_is_ahead_of_what_learns_nothing(scored: EvaluationResult) -> None:
    systems = scored.card.systems
    assert list(systems) == [MODEL, MEAN_BOX, NOTHING]
    ours = systems[MODEL]["map50"]
    assert ours.low is not None and ours.high is not None
    assert ours.low <= ours.mean <= ours.high
    assert ours.low > systems[MEAN_BOX]["map50"].mean
    assert (systems[NOTHING]["map"].mean, systems[NOTHING]["wrong"].mean) == (0, 0)


def test_the_same_seed_gives_the_same_intervals(scored: EvaluationResult) -> None:
    again = evaluate_detector(
        Bright(), scored.source, scored.items, scored.source.items[18:], name="bright", place=PLACE, resamples=200
    )
    assert again.card.systems[MODEL] == scored.card.systems[MODEL]
    assert again.card.rates == scored.card.rates


def test_a_disc_that_nobody_marked_and_a_wrong_class_are_told_apart(scored: EvaluationResult) -> None:
    assert scored.card.kinds["nothing there"] == 3  # the discs of images 2, 9 and 16
    assert scored.card.kinds["other class"] == 1  # image 4


def test_scores_are_written_as_plain_json(scored: EvaluationResult, tmp_path: Path) -> None:
    content = json.loads(scored.card.save(tmp_path).read_text(encoding="utf-8"))
    assert (content["kind"], content["format"], content["name"]) == ("detection", 1, "bright")
    assert content["systems"][MODEL]["map50"]["mean"] == scored.card.scores.ap50
    assert content["systems"][NOTHING]["precision"]["mean"] is None  # nothing was said, so no share of it is right


def test_the_words_tell_errors_by_the_hour(scored: EvaluationResult) -> None:
    told = verdict(scored.card)
    assert "On 18 images, the detector's mAP50 is" in told
    assert "Of 300 people an hour, each looked at once:" in told
    assert "At 2 frames a second, each by itself" in told
    assert "nan" not in told


def test_damaged_images_are_left_out(tmp_path: Path) -> None:
    source = open_source(draw(tmp_path, 8))
    (tmp_path / "images" / "p03.png").write_bytes(b"\x89PNG no more")
    done = evaluate_detector(Bright(), source, source.items, (), resamples=20, batch=3)
    assert list(done.card.left_out) == ["images/p03"]
    assert len(done.card.images) == 7
    assert any("mean box is that of the scored images" in note for note in done.card.notes)


def test_a_detector_of_other_classes_is_refused(tmp_path: Path) -> None:
    source = open_source(draw(tmp_path, 4))
    with pytest.raises(CalcoError, match=r"the detector finds gun, and .* marks blue, red; .*--classes"):
        evaluate_detector(MeanBox([(9, 9, objects((0, 0, 5, 5, "gun")))]), source, source.items, (), resamples=0)


def test_errors_by_the_hour_of_a_hand_computed_case() -> None:
    """Four images, five objects of which one is missed, two false boxes in one of them, one of them at nothing."""
    right, wrong, there = np.array([1.0, 1, 2, 0]), np.array([0.0, 2, 0, 0]), np.array([1.0, 1, 2, 1])
    told = rates(right, wrong, wrong / 2, there, Bootstrap("abcd", 0, 50), PLACE)
    assert (told.wrong.mean, told.missed.mean) == (0.5, 0.25)
    assert told.miss_rate.mean == pytest.approx(0.2)
    assert (told.alarm_rate.mean, told.of_empty) == (0.25, False)
    assert told.wrong_an_hour is not None and told.wrong_an_hour.mean == 0.5 * 2 * 3600
    assert told.people[MISSED_HOUR].mean == pytest.approx(300 * 0.01 * 0.2)
    assert told.people[ALARMED_HOUR].mean == pytest.approx(300 * 0.99 * 0.25)
    assert told.right_alarms is not None
    assert told.right_alarms.mean == pytest.approx(0.008 / (0.008 + 0.2475))  # Bayes
    unknown = rates(right, wrong, wrong, there, Bootstrap("abcd", 0, 50), PlaceConfig(people_per_hour=100))
    assert [unknown.people[name].mean for name in (MISSED, ALARMED)] == pytest.approx([20, 25])
    assert (unknown.right_alarms, unknown.wrong_an_hour) == (None, None)


def test_false_alarms_on_people_are_those_of_empty_images() -> None:
    there = np.array([1.0] * 5 + [0.0] * 40)
    wrong = np.array([1.0] * 5 + [1.0] * 4 + [0.0] * 36)
    told = rates(there, wrong, wrong, there, Bootstrap([str(n) for n in range(45)], 0, 50), PlaceConfig())
    assert (told.alarm_rate.mean, told.of_empty) == (0.1, True)


def test_a_second_box_on_a_thing_is_no_alarm_about_somebody_without_one() -> None:
    one, wrong = np.ones(6), np.array([1.0, 1, 1, 1, 0, 0])
    told = rates(one, wrong, np.zeros(6), one, Bootstrap("abcdef", 0, 50), PLACE)
    assert told.wrong.mean == pytest.approx(4 / 6)
    assert told.people[ALARMED_HOUR].mean == 0


def test_what_was_never_seen_may_still_happen_to_three_of_n() -> None:
    """The rule of three, by groups: thirty images of which ten are copies are twenty looks."""
    one, none = np.ones(30), np.zeros(30)
    told = rates(one, none, none, one, Bootstrap([str(min(n, 19)) for n in range(30)], 0, 50), PLACE)
    assert (told.alarm_rate.low, told.alarm_rate.high) == (0, 3 / 20)
    assert told.people[ALARMED_HOUR].high == pytest.approx(300 * 0.99 * 3 / 20)
    assert told.people[MISSED_HOUR].high == pytest.approx(300 * 0.01 * 3 / 20)
    assert told.right_alarms is not None
    assert told.right_alarms.mean == 1
    assert told.right_alarms.low == pytest.approx(0.01 / (0.01 + 0.99 * 3 / 20))


def test_one_video_gives_no_interval() -> None:
    told = rates(np.ones(3), np.ones(3), np.ones(3), np.ones(3), Bootstrap(["video"] * 3, 0, 50), PLACE)
    assert (told.wrong.mean, told.wrong.low) == (1, None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"people_per_hour": -1}, "people per hour is -1; it must lie between 0 and"),
        ({"frames_per_second": math.nan}, "frames per second is nan"),
        ({"people_per_hour": 5, "prevalence": 2}, "prevalence is 2; it must lie between 0 and 1"),
        ({"prevalence": 0.1}, "give their number: --people-per-hour"),
    ],
)
def test_a_place_that_cannot_be(given: dict[str, float], message: str) -> None:
    with pytest.raises(CalcoError, match=re.escape(message)):
        PlaceConfig(**given)


def test_what_was_taken_for_what() -> None:
    there = [
        objects((0, 0, 40, 40, "cat"), (60, 0, 100, 40, "dog"), (0, 60, 40, 100, "cat")),
        objects((0, 0, 40, 40, "dog"), ignored=[True]),
    ]
    said = [
        found(
            (0, 0, 40, 40, "cat", 0.9), (2, 0, 42, 40, "cat", 0.8),  # the second box on one cat
            (60, 0, 100, 40, "cat", 0.7),  # a dog that is said to be a cat
            (0, 85, 40, 125, "cat", 0.6),  # beside the second cat
            (200, 200, 240, 240, "dog", 0.5),
            (200, 0, 240, 40, "dog", 0.1),  # below the threshold
        ),
        found((0, 0, 40, 40, "dog", 0.9)),
    ]  # fmt: skip
    told, matrix = judge_boxes(there, said, match(there, said, ["cat", "dog"]), 0.4)
    assert told[0].verdicts == ("right", "second box", "other class", "loose", "nothing there")
    assert told[0].missed.tolist() == [False, True, True]  # nothing said dog
    assert told[1].verdicts == ("passed",)
    assert matrix.tolist() == [[1, 0, 1], [1, 0, 0], [2, 1, 0]]
    assert error_kinds(told) == {"other class": 1, "second box": 1, "loose": 1, "nothing there": 1}


def test_the_mean_box_fits_each_image() -> None:
    learnt = [
        (100, 100, objects((10, 10, 30, 30, "cat"), (0, 0, 100, 100, "dog"))),
        (200, 100, objects((60, 20, 100, 40, "cat"))),
    ]
    detector = MeanBox(learnt)
    assert detector.classes == ("cat", "dog")
    (every,) = detector.many([np.zeros((50, 100, 3), np.uint8)], threshold=0)
    assert every.boxes.tolist() == pytest.approx(np.array([[20, 7.5, 40, 17.5], [0, 0, 100, 50]]))
    assert np.asarray(every.scores).tolist() == pytest.approx([2 / 3, 1 / 3])
    (believed,) = detector.many([np.zeros((50, 100, 3), np.uint8)])
    assert believed.classes == ("cat",)
    assert len(MeanBox([(5, 5, nothing())]).many([np.zeros((9, 9, 1), np.uint8)], threshold=0)[0]) == 0
    assert len(MeanBox(()).many([np.zeros((9, 9, 1), np.uint8)])[0]) == 0


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_the_report_opens_in_a_browser(scored: EvaluationResult, tmp_path: Path, browser: Any, scheme: str) -> None:
    path = write_report(scored, tmp_path)
    page = browser.new_page(color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request", lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:")) else 0
    )
    page.goto(path.as_uri())
    assert page.locator("h1").inner_text() == "bright"
    assert page.locator("section h2").all_inner_texts() == [
        "Scores", "In use", "Curves", "By class and by size", "Confusions", "Images",
        "What it was trained on", "How it was measured",
    ]  # fmt: skip
    first = page.locator(".case").first
    assert "false alarm" in first.inner_text()
    missed = page.locator(".mark.missed").first
    assert missed.is_visible()
    page.get_by_role("button", name="missed").click()
    assert not missed.is_visible()
    first.locator("button.title").click()
    assert page.locator("dialog .boxed img").is_visible()
    page.get_by_role("button", name="Close").click()
    assert not page.locator("dialog").is_visible()
    assert said == []
    page.close()


def test_a_image_with_nothing_found_and_nothing_there(tmp_path: Path) -> None:
    source = open_source(draw(tmp_path, 12))
    empty = [item for item in source.items if item.key.endswith(("05", "11"))]
    done = evaluate_detector(FindsNothingOf(("red", "blue")), source, empty, (), resamples=10)
    assert math.isnan(done.card.scores.ap)
    assert "nothing is to be found" in verdict(done.card)
    assert write_report(done, tmp_path / "out").is_file()


class FindsNothingOf(MeanBox):
    """Knows classes, and sees none of them."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        super().__init__(())
        self.classes = classes
