"""What was taken for what, and what the false alarms are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from calco.annotations.detections import Detections
from calco.detection.metrics import Bools, Floats, Ints, Matches, overlap

Verdict: TypeAlias = Literal["right", "other class", "second box", "loose", "nothing there", "passed"]

SURE: Final = 0.5
"""The overlap from which on a box is a thing's."""
NEAR: Final = 0.1
"""The overlap from which on a box is near a thing's."""
MEANINGS: Final[dict[Verdict, str]] = {
    "other class": "the box is right, the class is that of something else",
    "second box": "a second box on a thing that was found already",
    "loose": f"near a thing of its class, with an overlap from {NEAR:g} to {SURE:g}",
    "nothing there": "near nothing of its class",
}


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What the boxes of one image are at a threshold.

    Attributes:
        found: The boxes that are believed.
        verdicts: N, what each of them is.
        missed: M `bool`, objects that are counted and that no box of their class is.
    """

    found: Detections
    verdicts: tuple[Verdict, ...]
    missed: Bools

    @property
    def num_wrong(self) -> int:
        """Boxes that are none of the objects."""
        return sum(verdict in MEANINGS for verdict in self.verdicts)


def judged(
    truth: Sequence[Detections], found: Sequence[Detections], matches: Matches, threshold: float
) -> tuple[list[Told], Ints]:
    """What each believed box is, and the matrix of confusions.

    A thing is first matched with a box of its own class, as for every score. Boxes and objects that are left over are
    then matched whatever their class, the largest overlap first.

    Args:
        truth: One an image.
        found: One an image.
        matches: Of these, with the overlap `SURE` first.
        threshold: The score from which on boxes are believed.

    Returns:
        One entry an image, and (C + 1) x (C + 1) counts: classes that are there in rows, classes that were said in
        columns, last of both the background: what was missed, and what was said where nothing is.
    """
    number = {name: place for place, name in enumerate(matches.classes)}
    matrix = np.zeros((len(number) + 1, len(number) + 1), np.int64)
    believed = matches.scores >= threshold
    told = []
    for place, (there, said) in enumerate(zip(truth, found, strict=True)):
        mine = np.flatnonzero(believed & (matches.images == place))
        boxes, right, passed = matches.places[mine], matches.right[0, mine], matches.passed[0, mine]
        taken = matches.partners[0, mine][right]
        one = _one(there, said.select(boxes), right, passed, taken, number, matrix)
        told.append(one)
    return told, matrix


def _one(
    there: Detections, said: Detections, right: Bools, passed: Bools, taken: Ints, number: dict[str, int], matrix: Ints
) -> Told:
    """One image; adds to the matrix."""
    background = len(number)
    counted = np.ones(len(there), np.bool_) if there.ignored is None else ~there.ignored
    their = np.array([number.get(name, -1) for name in there.classes], np.int64)
    our = np.array([number[name] for name in said.classes], np.int64)
    counted &= their >= 0
    free = counted.copy()
    free[taken] = False
    np.add.at(matrix, (our[right], our[right]), 1)
    verdicts: list[Verdict] = [
        "right" if r else "passed" if p else "nothing there" for r, p in zip(right, passed, strict=True)
    ]
    overlaps = overlap(said.boxes, there.boxes, np.zeros(len(there), np.bool_))
    left = ~(right | passed)
    missed = free.copy()
    for box, thing in _largest_first(overlaps, left, free):
        matrix[their[thing], our[box]] += 1
        verdicts[box] = "other class"
        left[box] = free[thing] = False
    np.add.at(matrix, (their[free], np.full(int(free.sum()), background)), 1)
    for box in np.flatnonzero(left).tolist():
        matrix[background, our[box]] += 1
        own = overlaps[box][counted & (their == our[box])].max(initial=0.0)
        verdicts[box] = "second box" if own >= SURE else "loose" if own >= NEAR else "nothing there"
    return Told(said, tuple(verdicts), missed)


def _largest_first(overlaps: Floats, boxes: Bools, objects: Bools) -> list[tuple[int, int]]:
    """Pairs of a box and a thing that nobody has, of an overlap that is sure."""
    pairs = np.argwhere((overlaps >= SURE) & boxes[:, None] & objects[None])
    order = np.argsort([-overlaps[box, thing] for box, thing in pairs], kind="stable")
    result: list[tuple[int, int]] = []
    for box, thing in pairs[order].tolist() if len(pairs) else []:
        if not any(box == other or thing == one for other, one in result):
            result.append((box, thing))
    return result


def kinds(told: Sequence[Told]) -> dict[str, int]:
    """How many false alarms are of which kind."""
    number = Counter(verdict for each in told for verdict in each.verdicts)
    return {kind: number[kind] for kind in MEANINGS}
