"""The result of scoring a detector: plain figures, to be saved, shown and put into words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from calco.detection.metrics import ClassScores, Floats, Scores
from calco.detection.scoring.config import PlaceConfig
from calco.evaluation.metrics import Bootstrap, Score, interval
from calco.files import make_folder, write_json
from calco.records import to_record

SECONDS = 3600
_RULE_OF_THREE: Final = 3
ENOUGH_EMPTY = 20
"""Images with nothing in them from which the chance of a false alarm on a person who is not sought can be told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """The errors of one look at the chosen threshold, each with its interval.

    Attributes:
        wrong: Boxes an image that are none of the objects.
        missed: Objects an image that no box is.
        miss_rate: Of the objects, the share that is missed.
        alarm_rate: Of the images, the share with a box where nothing of the kind is: of those with nothing in them
            where there are enough.
        of_empty: Whether the last is of images with nothing in them.
        wrong_an_hour: False boxes an hour, each frame counted by itself; None where no frames were told.
        people: What happens in an hour, by name; empty where no people were told. Each of them is looked at once.
        right_alarms: Of the people who set off an alarm, the share who are sought; None without prevalence.
    """

    wrong: Score
    missed: Score
    miss_rate: Score
    alarm_rate: Score
    of_empty: bool
    wrong_an_hour: Score | None = None
    people: Mapping[str, Score]
    right_alarms: Score | None = None


MISSED = "missed, of as many who are sought"
ALARMED = "false alarms, of as many who are not"
MISSED_HOUR = "missed people an hour"
ALARMED_HOUR = "false alarms an hour"


def rates(
    right: Floats, wrong: Floats, nowhere: Floats, objects: Floats, bootstrap: Bootstrap, place: PlaceConfig
) -> Rates:
    """The errors of a detector at its threshold.

    Args:
        right: Of each image, the boxes that are objects.
        wrong: The boxes that are none.
        nowhere: Those of them that lie at nothing of their class: what somebody without such a thing could set off. A
            loose box, or a second one, is an error about somebody who has one.
        objects: The objects.
        bootstrap: Draws the images again.
        place: Where the detector is to work.
    """
    empty = objects == 0
    of_empty = int(empty.sum()) >= ENOUGH_EMPTY
    looked = np.where(empty, 1.0, 0.0) if of_empty else np.ones_like(objects)
    one = np.ones_like(objects)
    missed = objects - right
    ratios = {
        "wrong": (wrong, one), "missed": (missed, one), "miss_rate": (missed, objects),
        "alarm_rate": ((nowhere > 0) * looked, looked),
    }  # fmt: skip
    drawn = {name: _ratio(bootstrap, above, below) for name, (above, below) in ratios.items()}
    whole = {name: _share(float(above.sum()), float(below.sum())) for name, (above, below) in ratios.items()}
    most = {name: _most(bootstrap, above, below) for name, (above, below) in ratios.items()}

    def times(name: str, factor: float) -> Score:
        if whole[name] == 0 and (may := most[name]) is not None:
            return Score(0.0, 0.0, factor * may, len(objects))
        return score_of(whole[name] * factor, drawn[name] * factor, len(objects))

    people: dict[str, Score] = {}
    hourly = None
    if place.frames_per_second:
        hourly = times("wrong", place.frames_per_second * SECONDS)
    if passing := place.people_per_hour:
        share = place.prevalence
        people = {
            MISSED if share is None else MISSED_HOUR: times("miss_rate", passing * (1 if share is None else share)),
            ALARMED if share is None else ALARMED_HOUR: times("alarm_rate", passing * (1 - (share or 0))),
        }
    return Rates(
        **{name: times(name, 1) for name in ratios}, of_empty=of_empty, wrong_an_hour=hourly, people=people,
        right_alarms=_right(whole, drawn, most["alarm_rate"], place.prevalence, len(objects)),
    )  # fmt: skip


def score_of(value: float, drawn: Floats, num: int) -> Score:
    """A value with the middle 95% of its resamples."""
    low, high = interval(drawn) or (None, None)
    return Score(value, low, high, num)


def _right(whole: Mapping[str, float], drawn: Mapping[str, Floats], most: float | None, share: float | None,
           num: int) -> Score | None:  # fmt: skip
    """Bayes' rule: sought and found, of all that set off an alarm."""
    if share is None:
        return None
    found, alarmed = share * (1 - whole["miss_rate"]), (1 - share) * whole["alarm_rate"]
    if alarmed == 0 and most is not None:
        return Score(_share(found, found), _share(found, found + (1 - share) * most), 1.0, num)
    all_found, all_alarmed = share * (1 - drawn["miss_rate"]), (1 - share) * drawn["alarm_rate"]
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = all_found / (all_found + all_alarmed)
    return score_of(_share(found, found + alarmed), resampled, num)


def _most(bootstrap: Bootstrap, above: Floats, below: Floats) -> float | None:
    """What a ratio may still be where it was 0 among n independent groups: 3 / n, the rule of three (95%).

    Drawing again images on which nothing went wrong gives none on which something does.
    """
    groups = len(np.unique(bootstrap.places[below > 0]))
    return None if bootstrap.alone or not groups or above.any() else min(1.0, _RULE_OF_THREE / groups)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _ratio(bootstrap: Bootstrap, above: Floats, below: Floats) -> Floats:
    """A ratio of sums in each resample."""
    if bootstrap.alone:
        return np.full(len(bootstrap.weights), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = (bootstrap.weights @ above) / (bootstrap.weights @ below)
    return result


FORMAT: Final = 1
SCORES: Final = "scores.json"
MODEL: Final = "the detector"
MEAN_BOX: Final = "mean box"
NOTHING: Final = "finds nothing"
SYSTEMS: Final = {
    MEAN_BOX: "The mean box of each class of the training in every image, scored by how common the class is; at its "
    "threshold that of the commonest class alone.",
    NOTHING: "No box anywhere.",
}


@dataclass(frozen=True, slots=True)
class Measure:
    """What a column of the table of scores is.

    Attributes:
        label: Its name.
        meaning: A sentence.
        better: "higher" or "lower".
        decimals: That are shown.
    """

    label: str
    meaning: str
    better: str = "higher"
    decimals: int = 3


MEASURES: Final = {
    "map": Measure("mAP 50:95", "Mean average precision over the overlaps from 0.5 to 0.95, as COCO counts it."),
    "map50": Measure("mAP 50", "Mean average precision where an overlap of 0.5 makes a box right."),
    "map75": Measure("mAP 75", "Mean average precision where it takes an overlap of 0.75."),
    "f1": Measure("F1", "The harmonic mean of precision and recall at the threshold."),
    "precision": Measure("Precision", "Of the boxes at the threshold, the share that is right."),
    "recall": Measure("Recall", "Of the objects, the share that is found at the threshold."),
    "wrong": Measure("False alarms", "Boxes an image at the threshold that are none of the objects.", "lower", 2),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCounts:
    """What came out of one image at the threshold.

    Attributes:
        key: Its name.
        group: Images of one group are drawn together.
        objects: What is to be found in it.
        right: Boxes that are one of them.
        wrong: Boxes that are none.
    """

    key: str
    group: str
    objects: int
    right: int
    wrong: int

    @property
    def errors(self) -> int:
        """Boxes that are wrong and objects that are missed."""
        return self.wrong + self.objects - self.right


@dataclass(frozen=True, kw_only=True)
class DetectionCard:
    """Everything that was measured of a detector.

    Attributes:
        name: Of the run or model.
        classes: That were counted, in the order of the matrix.
        threshold: From which on boxes were believed.
        best_threshold: With the best F1 on these very images.
        systems: System, measure (those of `MEASURES`), score with its interval.
        gain: How many times the mean box's mAP 50 the detector's is, and its interval; None where that scores nothing.
        scores: Of the detector, by class and by size.
        sizes: How many objects are small, medium, large.
        curves: Class => recall, precision, score, at most some hundred points.
        thresholds: Threshold, precision, recall, F1, of all classes together.
        confusion: Classes that are there in rows, said in columns, the background last.
        kinds: What the false alarms are.
        rates: Errors an image and an hour.
        place: Where the detector is to work.
        images: Each image's counts.
        num_seen: Images that were passed over, since the detector was trained on them.
        only_seen: Whether it was trained on all that were counted.
        unseen: Whether it is known that it was trained on none of them.
        left_out: Name and reason of what could not be scored.
        notes: Remarks, a sentence each.
        seed: Of the intervals.
        seconds: That the detector took for an image.
        format: Of the file.
    """

    name: str
    classes: tuple[str, ...]
    threshold: float
    best_threshold: float
    systems: Mapping[str, Mapping[str, Score]]
    gain: Score | None
    scores: Scores
    sizes: Mapping[str, int]
    curves: Mapping[str, Sequence[tuple[float, float, float]]]
    thresholds: Sequence[tuple[float, float, float, float]]
    confusion: Sequence[Sequence[int]]
    kinds: Mapping[str, int]
    rates: Rates
    place: PlaceConfig
    images: Sequence[ImageCounts]
    num_seen: int = 0
    only_seen: bool = False
    unseen: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    seed: int = 0
    seconds: float = 0.0
    format: int = FORMAT

    @property
    def by_class(self) -> Mapping[str, ClassScores]:
        """The detector's scores of each class."""
        return self.scores.classes

    def save(self, folder: str | Path) -> Path:
        """Writes `scores.json`, and returns its path; what is no number is null there.

        Raises:
            CalcoError: When it cannot be written.
        """
        path = make_folder(folder) / SCORES
        write_json(path, {"kind": "detection", **_plain(to_record(self))})
        return path


def _plain(value: Any) -> Any:
    """JSON knows no number for what is none."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
