"""The result of scoring a detector: plain figures, to be saved, shown and put into words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from calco.detection.metrics import ClassScores, Scores
from calco.detection.scoring.people import PlaceConfig, Rates
from calco.evaluation.intervals import Score
from calco.files import make_folder, write_json
from calco.records import to_record

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
