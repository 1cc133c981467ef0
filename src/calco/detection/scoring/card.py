"""The result of scoring a detector: plain figures, to be saved and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from calco.detection.metrics import Floats, Scores
from calco.detection.scoring.config import PlaceConfig
from calco.evaluation.scores import Bootstrap, Metric, Score, plain
from calco.files import make_folder, write_json
from calco.records import to_record

SECONDS = 3600
_RULE_OF_THREE: Final = 3
ENOUGH_EMPTY = 20
"""Empty images from which the share of false alarms on people who are not sought can be estimated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Error rates at the chosen threshold, each with its interval."""

    wrong: Score  # false boxes per image
    missed: Score  # missed objects per image
    miss_rate: Score  # share of the objects that are missed
    # Share of the images with a false alarm: of the empty ones if there are enough, otherwise of all images, where a
    # box counts that lies at nothing of its class
    alarm_rate: Score
    of_empty: bool  # whether the last is of empty images
    # False boxes per hour, each frame counted by itself; None without frames per second
    wrong_an_hour: Score | None = None
    people: Mapping[str, Score]  # errors per hour, by name, with each person seen once; empty without people per hour
    # Share of the people who set off an alarm that are sought; None without prevalence
    right_alarms: Score | None = None


MISSED = "missed, of as many who are sought"
ALARMED = "false alarms, of as many who are not"
MISSED_HOUR = "missed people an hour"
ALARMED_HOUR = "false alarms an hour"


def rates(
    right: Floats, wrong: Floats, nowhere: Floats, objects: Floats, bootstrap: Bootstrap, place: PlaceConfig
) -> Rates:
    """Return the error rates of a detector at its threshold from counts per image.

    `nowhere` are the false boxes at nothing of their class, which a person without such an object could set off. A
    loose box, or a second one, is an error about a person who has one.
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
    resampled = {name: bootstrap.ratios(above, below) for name, (above, below) in ratios.items()}
    whole = {name: share_of(float(above.sum()), float(below.sum())) for name, (above, below) in ratios.items()}
    most = {name: _most(bootstrap, above, below) for name, (above, below) in ratios.items()}

    def times(name: str, factor: float) -> Score:
        if whole[name] == 0 and (may := most[name]) is not None:
            return Score(0.0, 0.0, factor * may, len(objects))
        return Score.of(whole[name] * factor, resampled[name] * factor, len(objects))

    people: dict[str, Score] = {}
    passing, share = place.people_per_hour, place.prevalence
    if passing and share is None:
        people = {MISSED: times("miss_rate", passing), ALARMED: times("alarm_rate", passing)}
    elif passing and share is not None:
        missed_hour, alarmed_hour = times("miss_rate", passing * share), times("alarm_rate", passing * (1 - share))
        people = {MISSED_HOUR: missed_hour, ALARMED_HOUR: alarmed_hour}
    hourly = times("wrong", place.frames_per_second * SECONDS) if place.frames_per_second else None
    return Rates(
        **{name: times(name, 1) for name in ratios}, of_empty=of_empty, wrong_an_hour=hourly, people=people,
        right_alarms=_right(whole, resampled, most["alarm_rate"], place.prevalence, len(objects)),
    )  # fmt: skip


def _right(whole: Mapping[str, float], resampled: Mapping[str, Floats], most: float | None, share: float | None,
           num: int) -> Score | None:  # fmt: skip
    """Return the share of all alarms that are right, by Bayes' rule."""
    if share is None:
        return None
    found, alarmed = share * (1 - whole["miss_rate"]), (1 - share) * whole["alarm_rate"]
    if alarmed == 0 and most is not None:
        return Score(share_of(found, found), share_of(found, found + (1 - share) * most), 1.0, num)
    all_found, all_alarmed = share * (1 - resampled["miss_rate"]), (1 - share) * resampled["alarm_rate"]
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = all_found / (all_found + all_alarmed)
    return Score.of(share_of(found, found + alarmed), shares, num)


def _most(bootstrap: Bootstrap, above: Floats, below: Floats) -> float | None:
    """Return how large a ratio may be that was 0 among n independent groups: 3 / n, the rule of three (95%).

    Resamples of images without an error contain none.
    """
    groups = len(np.unique(bootstrap.places[below > 0]))
    return None if bootstrap.alone or not groups or above.any() else min(1.0, _RULE_OF_THREE / groups)


def share_of(part: float, whole: float) -> float:
    """Return a ratio; NaN for a whole of 0."""
    return part / whole if whole else float("nan")


FORMAT: Final = 1
SCORES: Final = "scores.json"
MODEL: Final = "the detector"
MEAN_BOX: Final = "mean box"
NOTHING: Final = "finds nothing"
SYSTEMS: Final = {
    MEAN_BOX: "The mean box of each class of the training in every image, scored by the frequency of the class; at its "
    "threshold that of the most frequent class alone.",
    NOTHING: "No box anywhere.",
}
MEASURES: Final = {
    "map": Metric(
        "mAP 50:95", "higher", 3, "Mean average precision over the overlaps from 0.5 to 0.95, as COCO counts it."),
    "map50": Metric("mAP 50", "higher", 3, "Mean average precision where an overlap of 0.5 makes a box right."),
    "map75": Metric("mAP 75", "higher", 3, "Mean average precision where it takes an overlap of 0.75."),
    "f1": Metric("F1", "higher", 3, "Harmonic mean of precision and recall at the threshold."),
    "precision": Metric("Precision", "higher", 3, "Share of the boxes at the threshold that are right."),
    "recall": Metric("Recall", "higher", 3, "Share of the objects that are found at the threshold."),
    "wrong": Metric("False alarms", "lower", 2, "False boxes per image at the threshold."),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCounts:
    """Counts of one image at the threshold: its objects, the boxes that are right, and the false ones."""

    key: str
    group: str
    objects: int
    right: int
    wrong: int

    @property
    def errors(self) -> int:
        """Number of false boxes and missed objects."""
        return self.wrong + self.objects - self.right


@dataclass(frozen=True, kw_only=True)
class DetectionCard:
    """Scores of a detector."""

    name: str  # name of the run or model
    classes: tuple[str, ...]  # classes that were counted, in the order of the matrix
    threshold: float  # lowest score of the boxes that count
    best_threshold: float  # threshold with the best F1 on these images
    systems: Mapping[str, Mapping[str, Score]]  # system, measure (those of `MEASURES`), score with its interval
    gain: Score | None  # detector's mAP 50 as a multiple of the mean box's; None if that is 0
    scores: Scores  # scores of the detector, by class and by size
    sizes: Mapping[str, int]  # number of small, medium and large objects
    # Class => recall, precision, score, at most some hundred points
    curves: Mapping[str, Sequence[tuple[float, float, float]]]
    thresholds: Sequence[tuple[float, float, float, float]]  # threshold, precision, recall, F1, of all classes together
    confusion: Sequence[Sequence[int]]  # true classes in rows, predicted ones in columns, the background last
    kinds: Mapping[str, int]  # number of false alarms by kind
    rates: Rates  # errors per image and per hour
    place: PlaceConfig  # where the detector is used
    images: Sequence[ImageCounts]  # counts of each image
    num_seen: int = 0  # images left out because the detector was trained on them
    only_seen: bool = False  # whether it was trained on all images that were counted
    unseen: bool = False  # whether it is known that it was trained on none of them
    left_out: Mapping[str, str] = field(default_factory=dict)  # name and reason of the images that could not be scored
    notes: Sequence[str] = ()  # remarks, a sentence each
    seed: int = 0  # seed of the intervals
    seconds: float = 0.0  # seconds of the detector per image
    format: int = FORMAT  # format of the file

    def save(self, folder: str | Path) -> Path:
        """Write `scores.json`, with null for NaN, and return its path."""
        path = make_folder(folder) / SCORES
        write_json(path, {"kind": "detection", **plain(to_record(self))})
        return path
