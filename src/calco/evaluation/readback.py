"""Label read-back: a translator of the other direction finds the label map again in generated photographs.

This is the FCN score of Isola et al. (arXiv 1611.07004, section 4) with a segmenter of the user's own: if photographs
that were generated of label maps look real, a segmenter that learned from real photographs recognises in them what the
label map says. Its scores on the real photographs are the reference: higher ones cannot be expected.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.data.mask_encoding import COMPRESSED, MaskEncoding, MaskSurvey, colours_of
from calco.data.mask_recognition import recognise_masks
from calco.data.palettes import Colour, Indices, Palette, decode
from calco.data.sample import Pair
from calco.errors import CalcoError
from calco.evaluation.metrics import Counts, class_scores, confusion, nan_mean
from calco.evaluation.scores import Bootstrap, Floats, Metric, Score
from calco.imaging import Image
from calco.inference.translator import Translator, load

GENERATED: Final = "generated"
REAL: Final = "real photographs"
LABEL_METRICS: Final[dict[str, Metric]] = {
    "pixel_accuracy": Metric(
        "Pixel acc.", "higher", 4, "Share of the pixels in which the judge finds the class of the label map."),
    "class_accuracy": Metric(
        "Class acc.", "higher", 4, "The same share within each class, mean over the classes of the label maps."),
    "class_iou": Metric(
        "Class IoU", "higher", 4, "Intersection over union of each class, mean over the classes of either side."),
}  # fmt: skip
_NEAR: Final = COMPRESSED * 3**0.5  # distance in RGB up to which a value is that of a class
_LEAST: Final = 0.5  # share of the pixels of label maps that are so
_AT_ONCE: Final = 4096  # values whose distances are in memory
_WIDE: Final = 1 << 24  # codes of masks from here on are numbers above 255, which are no colours


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelImage:
    """Read-back of one image, metric and value."""

    key: str
    generated: Mapping[str, float]
    real: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """Scores of a judge that reads label maps in generated and in real photographs."""

    judge: str  # what was given
    systems: Mapping[str, Mapping[str, Score]]  # GENERATED and REAL, metric, score
    classes: Mapping[str, Mapping[str, Mapping[str, float]]]  # system, class, "accuracy" or "iou", value
    images: Sequence[LabelImage]  # every image's own scores
    notes: Sequence[str] = ()

    def sentence(self) -> str:
        """Describe in words how near the generated photographs come to the real ones."""
        text = LABEL_METRICS["pixel_accuracy"].text
        ours, real = (self.systems[system]["pixel_accuracy"].mean for system in (GENERATED, REAL))
        return (
            f"The judge finds the class of {text(ours)} of the pixels in generated photographs, and of {text(real)} in "
            "the real ones."
        )


def readback_scores(counts: npt.NDArray[Any]) -> dict[str, Floats]:
    """Return the scores of `LABEL_METRICS` from confusions with the true class in rows. ...KK => ... each."""
    table = np.asarray(counts, dtype=np.float64)
    each = class_scores(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        pixels = np.trace(table, axis1=-2, axis2=-1) / table.sum((-2, -1))
    return {
        "pixel_accuracy": pixels, "class_accuracy": nan_mean(each["accuracy"]), "class_iou": nan_mean(each["iou"]),
    }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LabelColours:
    """Classes of label maps, the colours that show each in them, and those that the judge paints."""

    names: tuple[str, ...]
    shown: tuple[tuple[int, Colour], ...]  # class and colour; -1 for colours of no class
    painted: Palette  # of the judge: as many, in the same order

    @classmethod
    def of(cls, survey: MaskSurvey, palette: Palette | None, judge: str) -> "LabelColours":
        """Recognise the classes of label maps from their values.

        Args:
            survey: Values of the label maps.
            palette: Classes of the judge; None if it does not record them.
            judge: Name of the judge for messages.

        Raises:
            CalcoError: If the values are no classes, or not those of the judge.
        """
        remedy = "train the judge on such label maps" if palette else "name their palette with --judge-palette"
        refusal = (
            f"the inputs cannot be read as label maps of the judge {judge}: {{}}; a judge needs label maps: {remedy}"
        )
        try:
            found = recognise_masks(survey, palette, f"of the judge {judge}")
        except CalcoError as error:
            raise CalcoError(refusal.format(error)) from error
        shown = tuple((place, _colour(code)) for place, code in _codes(found.encoding) if 0 <= code < _WIDE)
        if len({place for place, _ in shown if place >= 0}) < 2:
            raise CalcoError(
                f"the inputs show {found.story}, which is fewer than two classes in colours; a judge needs inputs that "
                "are label maps of two classes or more"
            )
        if (share := _share_near(survey, [colour for _, colour in shown])) < _LEAST:
            raise CalcoError(refusal.format(f"only {share:.0%} of their pixels are near a colour of its classes"))
        colours = dict(reversed(shown))  # the first colour of each class
        own = tuple((name, colours.get(place, colour)) for place, (name, colour) in enumerate(found.palette))
        return cls(names=found.names, shown=shown, painted=palette or own)

    def true(self, label_map: Image) -> tuple[Indices, npt.NDArray[np.bool_]]:
        """Return the class of each pixel of a label map, HW, by the nearest colour, and which pixels have a class."""
        places = np.array([place for place, _ in self.shown])
        found = places[decode(label_map, tuple(("", colour) for _, colour in self.shown))]
        return np.where(found < 0, 0, found).astype(np.uint8), found >= 0


def _codes(encoding: MaskEncoding) -> list[tuple[int, int]]:
    """Return class and code of each value; -1 for those of no class."""
    return [(place, code) for place, codes in enumerate(encoding.classes) for code in codes] + [
        (-1, code) for code in encoding.void
    ]


def _share_near(survey: MaskSurvey, colours: Sequence[Colour]) -> float:
    """Return the share of all pixels whose value lies near one of some colours."""
    values = list(survey.total)
    known = np.array(colours, np.float32)
    near = 0
    for start in range(0, len(values), _AT_ONCE):
        some = values[start : start + _AT_ONCE]
        away = np.linalg.norm(colours_of(some)[:, None] - known, axis=-1).min(axis=1)
        near += sum(survey.total[value] for value, each in zip(some, away, strict=True) if each <= _NEAR)
    return near / max(1, survey.pixels)


def _colour(code: int) -> Colour:
    return code >> 16 & 255, code >> 8 & 255, code & 255


@dataclass(kw_only=True)
class LabelJudge:
    """Finds label maps in photographs; can be sent to another process, which loads the translator anew."""

    path: str
    colours: LabelColours
    trained_on: Callable[[str], bool] | None = None  # tells by key whether the judge was trained on an image
    translator: Translator | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"translator": None, "trained_on": None}

    def examined(self, pair: Pair, output: Image) -> tuple[Counts, Counts]:
        """Return the confusions of the generated and of the real photograph, KK, true class in rows."""
        self.translator = self.translator or load(self.path)
        true, counted = self.colours.true(imaging.visible(pair.input))
        if pair.weight is not None:
            counted = counted & (pair.weight > 0)
        generated, real = (
            confusion(self._read(image)[counted], true[counted], len(self.colours.names))
            for image in (output, pair.target)
        )
        return generated, real

    def _read(self, photograph: Image) -> Indices:
        """Return the class of each pixel of a photograph, HW, as the judge sees it."""
        assert self.translator is not None
        shown = imaging.as_dtype(imaging.visible(photograph), np.uint8)
        return decode(self.translator(shown), self.colours.painted)

    def summary(
        self, found: Sequence[tuple[Counts, Counts]], keys: Sequence[str], groups: Sequence[str],
        counted: Sequence[int], seed: int,
    ) -> LabelScores:  # fmt: skip
        """Return the scores over the images that count, with their intervals."""
        bootstrap = Bootstrap([groups[place] for place in counted], seed)
        systems: dict[str, dict[str, Score]] = {}
        classes: dict[str, dict[str, dict[str, float]]] = {}
        totals: dict[str, Counts] = {}
        for number, system in enumerate((GENERATED, REAL)):
            counts = np.stack([found[place][number] for place in counted])
            totals[system] = counts.sum(0)
            means = readback_scores(totals[system])
            resampled = readback_scores(np.tensordot(bootstrap.weights, counts.astype(np.float64), axes=1))
            systems[system] = {
                key: Score.of(float(value), None if bootstrap.alone else resampled[key], len(counted))
                for key, value in means.items()
            }
            each = class_scores(totals[system])
            classes[system] = {
                name: {key: float(each[key][place]) for key in ("accuracy", "iou")}
                for place, name in enumerate(self.colours.names)
            }
        rows = [
            LabelImage(key=key, generated=_plain(readback_scores(ours)), real=_plain(readback_scores(theirs)))
            for key, (ours, theirs) in zip(keys, found, strict=True)
        ]
        notes = self._notes([keys[place] for place in counted], totals[REAL])
        return LabelScores(judge=self.path, systems=systems, classes=classes, images=rows, notes=notes)

    def _notes(self, keys: Sequence[str], real: Counts) -> list[str]:
        """Describe what limits the trust in the judge."""
        notes = []
        if self.trained_on is None:
            notes.append("The judge does not record what it was trained on: these photographs may be among it.")
        elif num := sum(map(self.trained_on, keys)):
            notes.append(
                f"The judge was trained on {num} of the {len(keys)} photographs, which flatters the real ones."
            )
        commonest = float(real.sum(1).max() / max(1, real.sum()))
        if float(np.trace(real) / max(1, real.sum())) <= commonest:
            notes.append(
                "On real photographs the judge finds no more pixels than the commonest class alone has "
                f"({commonest:.4f}): train it longer, and from photographs to label maps."
            )
        return notes


def _plain(scores: Mapping[str, Floats]) -> dict[str, float]:
    return {key: float(value) for key, value in scores.items()}
