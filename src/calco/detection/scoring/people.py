"""What errors mean where people pass: missed people and false alarms, per image and per hour.

The rates of one look are measured; how often one looks and who passes are told by whoever puts a camera up. Frames that
follow each other are not independent, so nothing here multiplies the chances of several looks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from calco.detection.metrics import Floats
from calco.errors import CalcoError
from calco.evaluation.intervals import Bootstrap, Score, interval
from calco.records import check_numbers

SECONDS = 3600
_RULE_OF_THREE: Final = 3
ENOUGH_EMPTY = 20
"""Images with nothing in them from which the chance of a false alarm on a person who is not sought can be told."""


@dataclass(frozen=True, kw_only=True)
class PlaceConfig:
    """Where the detector is to work."""

    people_per_hour: float = 0
    """People who pass there in an hour; 0 leaves errors per image."""

    frames_per_second: float = 0
    """Frames of a second that are looked at; 0 leaves errors per image."""

    prevalence: float | None = None
    """Share of those people who are sought, or carry what is sought, such as 0.001; with it, the share of alarms that
    are right is told."""

    def __post_init__(self) -> None:
        check_numbers(self)
        for name in ("people_per_hour", "frames_per_second"):
            value = getattr(self, name)
            if not 0 <= value < 1e9:
                option = "--" + name.replace("_", "-")
                raise CalcoError(f"{option} is {value:g}; it must be 0 (not told) or more: try 200 people, 5 frames")
        if self.prevalence is not None and not 0 <= self.prevalence <= 1:
            raise CalcoError(f"--prevalence is {self.prevalence:g}; it is a share, in [0, 1]: 1 in 1,000 is 0.001")
        if self.prevalence is not None and not self.people_per_hour:
            raise CalcoError("--prevalence is the share of people who pass; tell how many: --people-per-hour 200")


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
