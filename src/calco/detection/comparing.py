"""An exported detector beside its model: whether both find the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections
from calco.detection.model import Detector
from calco.detection.queries import TIE
from calco.imaging import Image

LEAST: Final = 0.01
"""The score from which on boxes are compared."""
SCORE_TOLERANCE, BOX_TOLERANCE = 0.002, 0.25
"""How far scores may lie apart, and the edges of boxes, in pixels of the square."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """How far a file lies from its model.

    Attributes:
        images: That both have looked at, alone and together.
        boxes: That both have found.
        missing: Those that one of them alone has found, though they score clearly enough.
        score: The largest difference of two scores.
        edge: The largest difference of two edges, in pixels of the square.
        otherwise: Queries that the file has chosen otherwise than its model, which has then been given the same ones.
        tie: How far those lie behind the model's own choice, at most.
    """

    images: int
    boxes: int
    missing: int
    score: float
    edge: float
    otherwise: int = 0
    tie: float = 0.0

    def words(self) -> str:
        """In one sentence."""
        said = (
            f"{self.images} images looked at by both, alone and together: {self.boxes} boxes, {self.missing} found "
            f"by one alone; largest difference of scores {self.score:.5f} (of at most {SCORE_TOLERANCE}), of edges "
            f"{self.edge:.4f} pixels (of at most {BOX_TOLERANCE})"
        )
        if self.otherwise:
            said += (
                f"; {self.otherwise} queries chosen otherwise, whose scores lie {self.tie:.6f} behind those of the "
                f"model's own (of at most {TIE})"
            )
        return said

    @property
    def near(self) -> bool:
        """Whether that is within the tolerance."""
        return not self.missing and self.score <= SCORE_TOLERANCE and self.edge <= BOX_TOLERANCE and self.tie <= TIE


def compare(model: Detector, file: Detector, images: Sequence[Image]) -> Compared:
    """Has both look at the same images, one by one and all together.

    Args:
        model: The model.
        file: Of it.
        images: HWC.
    """
    wanted, found = (
        [*(one(image, threshold=LEAST) for image in images), *one.many(images, threshold=LEAST)]
        for one in (model, file)
    )
    scales = [model.info.size / max(image.shape[:2]) for image in images]
    apart = [
        _apart(one, two, scale, model.info.most)
        for one, two, scale in zip(wanted, found, [*scales, *scales], strict=True)
    ]
    return Compared(
        images=len(images),
        boxes=sum(map(len, wanted[: len(images)])),
        missing=sum(missing for missing, _, _ in apart),
        score=max((score for _, score, _ in apart), default=0.0),
        edge=max((edge for _, _, edge in apart), default=0.0),
    )


def _apart(one: Detections, two: Detections, scale: float, most: int) -> tuple[int, float, float]:
    """How many boxes of either have none in the other, and how far scores and edges of the others lie apart."""
    score, edge = 0.0, 0.0
    assert one.scores is not None
    assert two.scores is not None
    taken, free = np.zeros(len(one), np.bool_), np.ones(len(two), np.bool_)
    for i in range(len(one)):
        away = np.abs(two.boxes - one.boxes[i]).max(1) * scale if len(two) else np.zeros(0)
        fits = free & (np.array(two.classes) == one.classes[i]) & (away <= 4 * BOX_TOLERANCE)
        if not fits.any():
            continue
        # Queries of one thing may lie on each other: the one of the same score is meant.
        order = np.where(fits, np.abs(two.scores - one.scores[i]), np.inf)
        j = int(order.argmin())
        taken[i], free[j] = True, False
        score, edge = max(score, float(order[j])), max(edge, float(away[j]))
    lone = int(
        (one.scores[~taken] > _sure(two.scores, most)).sum() + (two.scores[free] > _sure(one.scores, most)).sum()
    )
    return lone, score, edge


def _sure(told: npt.NDArray[np.float32], most: int) -> float:
    """The score from which on a box must be among those that are told: a full list ends with its last one."""
    last = max(LEAST, float(told.min())) if len(told) >= most else LEAST
    return last + 2 * SCORE_TOLERANCE
