"""The result of an evaluation: scores beside baselines, to be saved, read, printed and put into words."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from calco import imaging
from calco.console import Table
from calco.errors import CalcoError
from calco.evaluation.baselines import MODEL
from calco.evaluation.face_search import FaceScores
from calco.evaluation.landmarks import LandmarkScores
from calco.evaluation.metrics import METRICS
from calco.evaluation.readback import LabelScores
from calco.evaluation.scores import Metric, Score, plain, terminal_table
from calco.evaluation.steadiness import VideoScores
from calco.files import atomic_write, make_folder, read_json, write_json
from calco.imaging import Image
from calco.records import to_record
from calco.report import display
from calco.report.numbers import Language, number
from calco.report.page import count

FORMAT = 2
SCORES = "scores.json"
IMAGES = "images"
_SIDES = ("input", "target", "output")
_OPTIONAL = ("video", "labels", "faces", "landmarks")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """Lead of the model over a baseline, in the metric's unit, positive if better, with its paired 95% interval."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def certain(self) -> bool:
        """Tell whether the whole interval lies above zero."""
        return self.low is not None and self.low > 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """One image of the evaluation, to be shown."""

    key: str
    input: Image  # HWC uint8, grey or RGB
    target: Image
    output: Image  # the same: output of the model
    seen: bool  # whether the model was trained on it
    scores: Mapping[str, Mapping[str, float]]  # system, metric, value
    role: str = "chosen"  # "best", "worst", or "chosen" (at random, the same for every model)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageScores:
    """All scores of one image: system, metric, value. `digest` is that of its files' contents; empty if unknown."""

    key: str
    group: str
    seen: bool
    scores: Mapping[str, Mapping[str, float]]
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """Scores of a model and of the baselines on the same images."""

    name: str  # what the model is called in tables
    recipe: str  # the recipe's name, such as "colorize+erase"
    # System, metric, score; "model" first. Images that the model was trained on do not count here unless there are no
    # others
    systems: Mapping[str, Mapping[str, Score]]
    # Metric, baseline, how much better the model is. Only metrics that have a better side
    gains: Mapping[str, Mapping[str, Gain]]
    images: Sequence[ImageScores]  # every image's own scores
    # System, class, score name, value; empty unless there is a palette
    classes: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    left_out_metrics: Mapping[str, str] = field(default_factory=dict)  # metric, reason
    left_out_images: Mapping[str, str] = field(default_factory=dict)  # key, reason
    target_colourfulness: float = math.nan  # mean over the targets, to compare the systems' with
    rank_by: str = "ssim"  # the metric that decides which cases are best and worst
    seed: int = 0
    cases: Sequence[Case] = ()  # images of the report; saved beside the scores, not in them
    video: VideoScores | None = None  # steadiness, if videos were scored
    training_known: bool = True  # whether the model names its training images; otherwise any image may be one of them
    # How the inputs were made, name and value: recipe, size, seed. Scores of two settings do not compare
    setting: Mapping[str, str] = field(default_factory=dict)
    size: str = ""  # at which the images were scored, such as "128x128 pixels"; empty if unknown
    labels: LabelScores | None = None  # if a judge read label maps in the outputs
    notes: Sequence[str] = ()  # what limits the trust in the scores, a sentence each
    faces: FaceScores | None = None  # if a judge searched photographs with the outputs
    landmarks: LandmarkScores | None = None  # if a judge compared the landmarks of faces

    @property
    def num_images(self) -> int:
        """Number of images that were scored."""
        return len(self.images)

    @property
    def num_seen(self) -> int:
        """Number of them that the model was trained on."""
        return sum(image.seen for image in self.images)

    @property
    def only_seen(self) -> bool:
        """Tell whether the model was trained on every image, so that the means flatter it."""
        return self.num_seen == self.num_images

    @property
    def num_counted(self) -> int:
        """Number of images in the means."""
        return self.num_images if self.only_seen else self.num_images - self.num_seen

    @property
    def counted(self) -> frozenset[tuple[str, str]]:
        """Names of those images, and the digests of their contents."""
        return frozenset((row.key, row.digest) for row in self.images if self.only_seen or not row.seen)

    @property
    def metrics(self) -> dict[str, Metric]:
        """Metrics that have a value, in the order in which they are shown."""
        return {key: METRICS[key] for key in METRICS if any(key in scores for scores in self.systems.values())}

    @property
    def colourfulness_ratio(self) -> float:
        """Mean colourfulness of the outputs as a share of the targets'; NaN where these have none, or are maps."""
        ours = self.systems[MODEL].get("colourfulness")
        if ours is None or "iou" in self.metrics or not self.target_colourfulness >= 1:
            return math.nan
        return ours.mean / self.target_colourfulness

    def colour_note(self) -> str:
        """Describe the colourfulness of the outputs beside the targets'; nothing where there is none."""
        ratio, text = self.colourfulness_ratio, METRICS["colourfulness"].text
        if math.isnan(ratio):
            return ""
        ours = self.systems[MODEL]["colourfulness"].mean
        return (
            f"Colourfulness: {text(ours)} of the outputs, {text(self.target_colourfulness)} of the targets, a ratio of "
            f"{ratio:.2f}."
        )

    @property
    def baselines(self) -> list[str]:
        """Systems other than the model."""
        return [name for name in self.systems if name != MODEL]

    @property
    def beats_baselines(self) -> dict[str, bool]:
        """For each metric with a better side, tell whether the model's mean is better than every baseline's."""
        return {metric: all(gain.value > 0 for gain in gains.values()) for metric, gains in self.gains.items() if gains}

    def best_baseline(self, metric: str) -> str | None:
        """Return the baseline that is hardest to beat."""
        gains = self.gains.get(metric, {})
        return min(gains, key=lambda name: gains[name].value) if gains else None

    def class_rows(self) -> list[tuple[str, list[str]]]:
        """Return name, and IoU, Dice and share of found pixels as text, of each class that occurs."""
        text = METRICS["iou"].text
        rows = self.classes.get(MODEL, {}).items()
        return [(n, [text(s[k]) for k in ("iou", "dice", "accuracy")]) for n, s in rows if not math.isnan(s["iou"])]

    def verdict(self, language: Language = "en") -> str:
        """Describe in words on which scores the model beats every baseline, and by how much.

        Args:
            language: "es" or "en".
        """
        words = _VERDICT[language]
        sure: list[str] = []
        likely: list[str] = []
        lost: list[str] = []
        for metric, beaten in self.beats_baselines.items():
            gains = self.gains[metric].values()
            # Set scores such as FID have no interval: their sign is all there is.
            certain = all(gain.certain for gain in gains) or all(gain.low is None for gain in gains)
            (lost if not beaten else sure if certain else likely).append(_against(self, metric, language))
        images = count(self.num_counted)
        if language == "es":
            images = f"{number(self.num_counted, 'es')} {'imagen' if self.num_counted == 1 else 'imágenes'}"
        where = words["unknown" if not self.training_known else "seen" if self.only_seen else "unseen"].format(images)
        sentences = []
        if sure:
            key = "beats" if likely or lost else "beats all"
            sentences.append(words[key].format(where, _listed(sure, language)))
        if likely:
            key = "ahead too" if sure else "ahead"
            sentences.append(words[key].format(where, _listed(likely, language)))
        if lost:
            key = "behind too" if sentences else "behind"
            sentences.append(words[key].format(where, _listed(lost, language)))
        if not sentences:
            sentences.append(words["alone"].format(where))
        if self.only_seen:
            sentences.append(words["flattered"])
        return " ".join(sentences)

    def table(self) -> Table:
        """Return a table for the terminal: metrics in rows, systems in columns, the best of each in bold."""
        seen = f" ({self.num_seen} of training left out)" if self.num_seen and not self.only_seen else ""
        at = f" at {self.size}" if self.size else ""
        title = f"{self.name}: {count(self.num_counted)}{at}{seen}"
        return terminal_table(
            self.systems, self.metrics, title=title, caption="mean and 95% interval; the best in bold"
        )

    def _repr_html_(self) -> str:
        """Return verdict and scores as a notebook shows them, a row for each metric."""
        language = display.chosen_language()
        spanish = _SPANISH if language == "es" else {}
        head = ["", *(spanish.get(name, name) for name in self.systems)]
        rows = [
            [spanish.get(metric.label, metric.label) + metric.heading.removeprefix(metric.label),
             *(metric.text(row[key].mean, language) if key in row else "" for row in self.systems.values())]
            for key, metric in self.metrics.items()
        ]  # fmt: skip
        return display.table([head, *rows], self.verdict(language))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; NaN become null. The images of the cases are not included: see `save`."""
        record: dict[str, Any] = plain(to_record(dataclasses.replace(self, cases=())))
        del record["cases"]
        for name in _OPTIONAL:
            if record[name] is None:
                del record[name]
        return record | {
            "format": FORMAT,
            "colourfulness_ratio": plain(self.colourfulness_ratio),
            "num_images": self.num_images,
            "num_seen": self.num_seen,
            "num_counted": self.num_counted,
            "verdict": self.verdict(),
            "beats_baselines": self.beats_baselines,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Scorecard":
        """Return the card that `to_json` was called on."""
        if content.get("format") != FORMAT:
            raise CalcoError(
                f"scores of format {content.get('format')!r}; this version reads format {FORMAT}: upgrade calco or "
                "evaluate again"
            )
        kinds = {name: kind for name, kind in get_type_hints(cls).items() if name != "cases"}
        try:
            record = _with_nan({**dict.fromkeys(_OPTIONAL), "size": "", "notes": (), **content})
            return cls(**{name: msgspec.convert(record[name], kind) for name, kind in kinds.items()})
        except (KeyError, msgspec.ValidationError) as error:
            raise CalcoError(f"the scores lack or misstate {error}; evaluate again") from error

    def save(self, folder: str | Path) -> Path:
        """Write `scores.json` and the images of the cases (PNG), and return the path of the former."""
        home = make_folder(folder)
        try:  # the images of the last evaluation
            rows = read_json(home / SCORES).get("cases", ())
            names = {f"{IMAGES}/{index:02d}-{side}.png" for index in range(len(rows)) for side in _SIDES}
            old = [home / row[side] for row in rows for side in _SIDES if row[side] in names]
        except (CalcoError, KeyError, TypeError):
            old = []
        for path in old:
            path.unlink(missing_ok=True)
        rows = []
        for index, case in enumerate(self.cases):
            make_folder(home / IMAGES)
            files = {side: f"{IMAGES}/{index:02d}-{side}.png" for side in _SIDES}
            for side, file in files.items():
                atomic_write(home / file, imaging.encode(getattr(case, side), file, fast=True))
            rows.append({"key": case.key, "role": case.role, **files})
        write_json(home / SCORES, self.to_json() | {"cases": rows})
        return home / SCORES

    @classmethod
    def load(cls, path: str | Path) -> "Scorecard":
        """Read a card with its images from a folder or its `scores.json`."""
        file = Path(path) / SCORES if Path(path).is_dir() else Path(path)
        if not file.is_file():
            raise CalcoError(f"{path} holds no {SCORES}; run `calco evaluate` first")
        content = read_json(file)
        card = cls.from_json(content)
        by_key = {image.key: image for image in card.images}
        cases = []
        for row in content.get("cases", ()):
            sides = {side: imaging.read(file.parent / row[side]) for side in _SIDES}
            image = by_key[row["key"]]
            cases.append(Case(key=row["key"], role=row["role"], seen=image.seen, scores=image.scores, **sides))
        return dataclasses.replace(card, cases=tuple(cases))


def _with_nan(value: Any, name: str = "") -> Any:
    """Return JSON values with NaN for null, where null is not the absence of something."""
    if isinstance(value, dict):
        return {key: _with_nan(entry, key) for key, entry in value.items()}
    if isinstance(value, list):
        return [_with_nan(entry) for entry in value]
    return math.nan if value is None and name not in ("low", "high", *_OPTIONAL) else value


SYSTEM_NAMES = {
    "model": "the model", "input copied": "the copied input", "mean target": "the mean target", "Telea": "Telea",
    "Navier-Stokes": "Navier-Stokes",
}  # fmt: skip


_SPANISH = {
    "model": "modelo", "input copied": "entrada copiada", "mean target": "objetivo medio",
    "the model": "el modelo", "the copied input": "la entrada copiada", "the mean target": "el objetivo medio",
    "PSNR inside": "PSNR dentro", "Pixel acc.": "Exactitud de píxeles", "Colourfulness": "Colorido",
}  # fmt: skip
"""Names of systems and scores in Spanish; those that are the same are left out."""
_VERDICT: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "unseen": "On {} that it never saw",
        "seen": "On {} that it was trained on",
        "unknown": "On {}, some of which it may have been trained on",
        "beats all": "{}, the model beats every baseline on every measure: {}.",
        "beats": "{}, the model beats every baseline on {}.",
        "ahead": "{}, the model is ahead on {}, but by less than these images can tell for certain.",
        "ahead too": "It is ahead on {1}, but by less than these images can tell for certain.",
        "behind": "{}, the model does not beat the best baseline on {}.",
        "behind too": "It does not beat the best baseline on {1}.",
        "alone": "{}, there is no baseline to compare the model with.",
        "flattered": "Scores on training images flatter a model: evaluate it on others before you trust it.",
    },
    "es": {
        "unseen": "En {} que nunca vio",
        "seen": "En {} con las que se entrenó",
        "unknown": "En {}, algunas quizá de su entrenamiento",
        "beats all": "{}, el modelo supera a todas las líneas base en todas las medidas: {}.",
        "beats": "{}, el modelo supera a todas las líneas base en {}.",
        "ahead": "{}, el modelo va por delante en {}, pero por menos de lo que estas imágenes permiten asegurar.",
        "ahead too": "Va por delante en {1}, pero por menos de lo que estas imágenes permiten asegurar.",
        "behind": "{}, el modelo no supera a la mejor línea base en {}.",
        "behind too": "No supera a la mejor línea base en {1}.",
        "alone": "{}, no hay línea base con la que comparar el modelo.",
        "flattered": "Las medidas con imágenes de entrenamiento favorecen al modelo: evalúalo con otras antes de "
        "confiar en él.",
    },
}
"""Sentences of the verdict: on which images, and on which scores."""


def _listed(parts: list[str], language: Language) -> str:
    joint = "and" if language == "en" else "e" if parts[-1].startswith("I") else "y"  # "PSNR e IoU"
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {joint} {parts[-1]}"


def _against(card: Scorecard, key: str, language: Language) -> str:
    """Such as "L1 (0.0501 against 0.0742 for the copied input, 32% less)"."""
    baseline, metric = card.best_baseline(key), METRICS[key]
    assert baseline is not None
    ours, theirs = card.systems[MODEL][key].mean, card.systems[baseline][key].mean
    name = SYSTEM_NAMES.get(baseline, baseline)
    against, of, less, more = ("against", "for", "less", "more")
    spanish: Mapping[str, str] = {}
    if language == "es":
        against, of, less, more, spanish = "contra", "de", "menos", "más", _SPANISH
    by = less if ours < theirs else more
    text = f"{metric.text(ours, language)} {against} {metric.text(theirs, language)} {of} {spanish.get(name, name)}"
    text = text.replace(" de el ", " del ")
    # A share of decibels, or of something near zero or below, says nothing.
    if metric.unit == "dB":
        text += f", {number(abs(ours - theirs), language, '.1f')} dB {by}"
    elif theirs > 0 and abs(ours / theirs - 1) < 2:
        share = abs(ours / theirs - 1)
        text += f", {number(share, language, '.0%')} {by}" if round(share, 2) else ""
    return f"{spanish.get(metric.label, metric.label)} ({text})"
