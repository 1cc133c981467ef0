"""The images of a detector's report: the worst ones, and some by chance, with what was found and what was missed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from calco.annotations.detections import Detections
from calco.data.sample import fraction
from calco.detection.boxed import Look, Mark, boxed, card, cards
from calco.detection.scoring.card import ImageCounts
from calco.detection.scoring.confusion import Told, Verdict
from calco.errors import CalcoError

if TYPE_CHECKING:
    from calco.detection.scoring.evaluate import Evaluated

WORST: Final = 12
CHOSEN: Final = 9
_BOXES: Final = 100  # in one image
_LOOKS: Final[dict[Verdict, Look]] = {"right": "right", "passed": "passed"}


def gallery(done: "Evaluated") -> str:
    """The worst images first, then some that chance chose, the same ones for every detector."""
    images = done.card.images
    order = sorted(range(len(images)), key=lambda place: _badness(images[place], done.told[place]))
    worst = [place for place in order if images[place].errors][:WORST]
    chance = sorted(range(len(images)), key=lambda place: fraction("shown", images[place].key))[:CHOSEN]
    return cards("Worst", _made(done, worst), "most errors first") + cards(
        "Chosen by chance", _made(done, chance), "the same images for every detector"
    )


def _badness(counts: ImageCounts, told: Told) -> tuple[float, float, str]:
    """More errors come first; of as many, the false alarms that were surest."""
    scores = told.found.scores
    wrong = [verdict not in ("right", "passed") for verdict in told.verdicts]
    surest = float(scores[np.array(wrong)].max(initial=0.0)) if scores is not None and len(scores) else 0.0
    return -counts.errors, -surest, counts.key


def _made(done: "Evaluated", places: Sequence[int]) -> list[str]:
    made = []
    for place in places:
        item, counts = done.items[place], done.card.images[place]
        try:
            image = done.source.load(item).image
        except CalcoError:
            continue  # it could be read a moment ago; the figures stand
        inner = boxed(image, marks(done.truth[place], done.told[place]), f"{item.key} with its boxes")
        made.append(card(item.key, inner, _words(counts)))
    return made


def _words(counts: ImageCounts) -> str:
    missed = counts.objects - counts.right
    parts = [f"{counts.right} of {counts.objects} found"] if counts.objects else ["nothing to find"]
    parts += [f"{counts.wrong} false alarm{'' if counts.wrong == 1 else 's'}"] if counts.wrong else []
    return ", ".join(parts) if missed or counts.wrong or not counts.objects else "all found"


def marks(truth: Detections, told: Told) -> list[Mark]:
    """The boxes of one image: what is there, what was missed, what was found; the surest on top."""
    ignored = np.zeros(len(truth), np.bool_) if truth.ignored is None else truth.ignored
    drawn = [
        Mark(
            box.tolist(),
            f"{name} missed" if missed else f"{name} (not counted)" if passed else name,
            "missed" if missed else "passed" if passed else "thing",
        )
        for box, name, missed, passed in zip(truth.boxes, truth.classes, told.missed, ignored, strict=True)
    ][:_BOXES]
    found = told.found
    scores = np.zeros(len(found)) if found.scores is None else found.scores
    for i in np.argsort(-scores)[:_BOXES][::-1]:
        verdict = told.verdicts[i]
        said = f"{found.classes[i]} {scores[i]:.2f}" + ("" if verdict in _LOOKS else f", {verdict}")
        drawn.append(Mark(found.boxes[i].tolist(), said, _LOOKS.get(verdict, "wrong")))
    return drawn
