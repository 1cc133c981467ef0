"""The result of an evaluation: scores beside baselines, to be saved, read, printed and put into words."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calco import imaging
from calco.console import Table, cell
from calco.errors import CalcoError
from calco.evaluation.baselines import MODEL
from calco.evaluation.metrics import METRICS, Metric, Score
from calco.evaluation.steadiness import VideoScores
from calco.files import make_folder, read_json, write_json
from calco.imaging import Image
from calco.report.page import count

if TYPE_CHECKING:
    from calco.console import Table

FORMAT = 2
SCORES = "scores.json"
IMAGES = "images"
_SIDES = ("input", "target", "output")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """How much better the model is than one baseline, in the metric's own unit; positive is better whatever the metric.

    Attributes:
        value: The difference of the means.
        low: Lower end of the paired 95% bootstrap interval, or None.
        high: Its upper end, or None.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def certain(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low is not None and self.low > 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """One image of the evaluation, to be shown.

    Attributes:
        key: The image's name.
        input: HWC uint8, as it is shown: grey or RGB.
        target: The same.
        output: The same: what the model made of the input.
        seen: Whether the model was trained on it.
        scores: System, metric, value.
        role: "best", "worst", or "chosen" (by chance that falls the same for everyone).
    """

    key: str
    input: Image
    target: Image
    output: Image
    seen: bool
    scores: Mapping[str, Mapping[str, float]]
    role: str = "chosen"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageScores:
    """All scores of one image.

    Attributes:
        key: Its name.
        group: Its group.
        seen: Whether the model was trained on it.
        scores: System, metric, value.
        digest: Of its files' contents; empty where nobody told.
    """

    key: str
    group: str
    seen: bool
    scores: Mapping[str, Mapping[str, float]]
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """Scores of a model and of the baselines on the same images.

    Attributes:
        name: What the model is called in tables.
        recipe: The recipe's name, such as "colorize+erase".
        systems: System, metric, score; "model" first. Images that the model was trained on do not count here unless
            there are no others.
        gains: Metric, baseline, how much better the model is. Only metrics that have a better side.
        classes: System, class, score name, value; empty unless there is a palette.
        images: Every image's own scores.
        left_out_metrics: Metric, reason.
        left_out_images: Key, reason.
        target_colourfulness: Mean over the targets, to read the systems' against.
        rank_by: The metric that decides which cases are best and worst.
        seed: Of the bootstrap.
        cases: Images kept for the report; saved beside the scores, not in them.
        video: How steady it is, where videos were scored.
        training_known: Whether the model names what it was trained on: without that, any image may be among it.
        setting: How the inputs were made, name and value: recipe, size, seed. Scores of two settings do not compare.
    """

    name: str
    recipe: str
    systems: Mapping[str, Mapping[str, Score]]
    gains: Mapping[str, Mapping[str, Gain]]
    images: Sequence[ImageScores]
    classes: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    left_out_metrics: Mapping[str, str] = field(default_factory=dict)
    left_out_images: Mapping[str, str] = field(default_factory=dict)
    target_colourfulness: float = math.nan
    rank_by: str = "ssim"
    seed: int = 0
    cases: Sequence[Case] = ()
    video: VideoScores | None = None
    training_known: bool = True
    setting: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_images(self) -> int:
        """Images that were scored."""
        return len(self.images)

    @property
    def num_seen(self) -> int:
        """How many of them the model was trained on."""
        return sum(image.seen for image in self.images)

    @property
    def only_seen(self) -> bool:
        """Whether the model was trained on every image, so that the means flatter it."""
        return self.num_seen == self.num_images

    @property
    def num_counted(self) -> int:
        """Images that the means are made of."""
        return self.num_images if self.only_seen else self.num_images - self.num_seen

    @property
    def counted(self) -> frozenset[tuple[str, str]]:
        """The names of those images, and the digests of their contents."""
        return frozenset((row.key, row.digest) for row in self.images if self.only_seen or not row.seen)

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics that have a value, in the order in which they are shown."""
        return {key: METRICS[key] for key in METRICS if any(key in scores for scores in self.systems.values())}

    @property
    def baselines(self) -> list[str]:
        """The systems other than the model."""
        return [name for name in self.systems if name != MODEL]

    @property
    def beats_baselines(self) -> dict[str, bool]:
        """For each metric with a better side: whether the model's mean is better than every baseline's."""
        return {metric: all(gain.value > 0 for gain in gains.values()) for metric, gains in self.gains.items() if gains}

    def best_system(self, metric: str) -> str | None:
        """The system with the best mean; None where neither side is better or nothing is a number."""
        better = METRICS[metric].better
        means = {name: scores[metric].mean for name, scores in self.systems.items() if metric in scores}
        means = {name: mean for name, mean in means.items() if not math.isnan(mean)}
        if better is None or not means:
            return None
        return (min if better == "lower" else max)(means, key=lambda name: means[name])

    def best_baseline(self, metric: str) -> str | None:
        """The baseline that is hardest to beat."""
        gains = self.gains.get(metric, {})
        return min(gains, key=lambda name: gains[name].value) if gains else None

    def verdict(self) -> str:
        """In plain words: on what the model beats every baseline, and by how much."""
        return verdict(self)

    def table(self) -> "Table":
        """For the terminal: systems in rows, metrics in columns, the best of each in bold, intervals below."""
        return table(self)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; NaN become null. The cases' images are not in it: see `save`."""
        return {
            "format": FORMAT,
            "name": self.name,
            "recipe": self.recipe,
            "num_images": self.num_images,
            "num_seen": self.num_seen,
            "num_counted": self.num_counted,
            "training_known": self.training_known,
            "setting": dict(self.setting),
            "verdict": self.verdict(),
            "systems": _plain(self.systems),
            "gains": _plain(self.gains),
            "beats_baselines": self.beats_baselines,
            "classes": _plain(self.classes),
            "target_colourfulness": _plain(self.target_colourfulness),
            "rank_by": self.rank_by,
            "seed": self.seed,
            "left_out_metrics": dict(self.left_out_metrics),
            "left_out_images": dict(self.left_out_images),
            "images": _plain(self.images),
        } | ({} if self.video is None else {"video": _plain(self.video)})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Scorecard":
        """The inverse of `to_json`.

        Raises:
            CalcoError: When the format is newer than this version knows, or something is missing.
        """
        if content.get("format") != FORMAT:
            raise CalcoError(
                f"scores of format {content.get('format')!r}; this version reads format {FORMAT}: upgrade calco or "
                "evaluate again"
            )
        try:
            return cls(
                name=content["name"],
                recipe=content["recipe"],
                systems=_scores(content["systems"]),
                gains={m: {b: Gain(**gain) for b, gain in row.items()} for m, row in content["gains"].items()},
                classes={s: {c: _numbers(v) for c, v in row.items()} for s, row in content["classes"].items()},
                images=tuple(_image(row) for row in content["images"]),
                left_out_metrics=content["left_out_metrics"],
                left_out_images=content["left_out_images"],
                target_colourfulness=_number(content["target_colourfulness"]),
                rank_by=content["rank_by"],
                seed=content["seed"],
                training_known=content["training_known"],
                setting=content["setting"],
                video=VideoScores.from_json(content["video"]) if content.get("video") else None,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CalcoError(f"the scores lack or misstate {error}; evaluate again") from error

    def save(self, folder: str | Path) -> Path:
        """Writes `scores.json` and the cases' images (PNG), and returns the path of the former.

        Raises:
            CalcoError: When the folder cannot be written.
        """
        home = make_folder(folder)
        for old in _images_before(home):
            old.unlink(missing_ok=True)
        rows = []
        for index, case in enumerate(self.cases):
            make_folder(home / IMAGES)
            files = {side: f"{IMAGES}/{index:02d}-{side}.png" for side in _SIDES}
            for side, file in files.items():
                imaging.write(home / file, getattr(case, side))
            rows.append({"key": case.key, "role": case.role, **files})
        write_json(home / SCORES, self.to_json() | {"cases": rows})
        return home / SCORES

    @classmethod
    def load(cls, path: str | Path) -> "Scorecard":
        """Reads what `save` wrote, images included. `path` is the folder or its `scores.json`.

        Raises:
            CalcoError: When there are no scores, or an image is missing.
        """
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


def _images_before(home: Path) -> list[Path]:
    """The images that the scores in a folder name: those of its last evaluation."""
    try:
        rows = read_json(home / SCORES).get("cases", ())
        names = {f"{IMAGES}/{index:02d}-{side}.png" for index in range(len(rows)) for side in _SIDES}
        return [home / row[side] for row in rows for side in _SIDES if row[side] in names]
    except (CalcoError, KeyError, TypeError):
        return []


def _plain(value: Any) -> Any:
    """Dataclasses, mappings and sequences as JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, Iterable):
        return [_plain(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _numbers(row: Mapping[str, float | None]) -> dict[str, float]:
    return {key: _number(value) for key, value in row.items()}


def _scores(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Score]]:
    return {
        name: {metric: Score(**(score | {"mean": _number(score["mean"])})) for metric, score in row.items()}
        for name, row in systems.items()
    }


def _image(row: Mapping[str, Any]) -> ImageScores:
    scores = {system: _numbers(values) for system, values in row["scores"].items()}
    return ImageScores(key=row["key"], group=row["group"], seen=row["seen"], scores=scores, digest=row["digest"])


if TYPE_CHECKING:
    from collections.abc import Mapping

    from calco.evaluation.metrics import Score

SYSTEM_NAMES = {
    "model": "the model",
    "input copied": "the copied input",
    "mean target": "the mean target",
    "Telea": "Telea",
    "Navier-Stokes": "Navier-Stokes",
}


def number(metric: str, value: float) -> str:
    """A value with the digits that suit its metric; an en dash for what is not a number."""
    return "–" if math.isnan(value) else f"{value:.{METRICS[metric].decimals}f}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _against(card: "Scorecard", metric: str) -> str:
    """Such as "L1 (0.0501 against 0.0742 for the copied input, 32% less)"."""
    baseline = card.best_baseline(metric)
    assert baseline is not None
    ours, theirs = card.systems[MODEL][metric].mean, card.systems[baseline][metric].mean
    text = f"{number(metric, ours)} against {number(metric, theirs)} for {SYSTEM_NAMES.get(baseline, baseline)}"
    # A share of decibels, or of something near zero or below, says nothing.
    if METRICS[metric].unit != "dB" and theirs > 0 and abs(ours / theirs - 1) < 2:
        share = round(abs(ours / theirs - 1) * 100)
        text += f", {share}% {'less' if ours < theirs else 'more'}" if share else ""
    elif METRICS[metric].unit == "dB":
        text += f", {abs(ours - theirs):.1f} dB {'less' if ours < theirs else 'more'}"
    return f"{METRICS[metric].label} ({text})"


def verdict(card: "Scorecard") -> str:
    """On what the model beats every baseline and by how much, in two to four sentences."""
    sure: list[str] = []
    likely: list[str] = []
    lost: list[str] = []
    for metric, beaten in card.beats_baselines.items():
        gains = card.gains[metric].values()
        # Set scores such as FID have no interval: their sign is all there is.
        certain = all(gain.certain for gain in gains) or all(gain.low is None for gain in gains)
        (lost if not beaten else sure if certain else likely).append(metric)
    where = f"On {count(card.num_counted)} that it " + ("was trained on" if card.only_seen else "never saw")
    if not card.training_known:
        where = f"On {count(card.num_counted)}, some of which it may have been trained on"
    sentences = []
    if sure:
        everything = "" if likely or lost else "every baseline on every measure: "
        head = f"{where}, the model beats " + (everything or "every baseline on ")
        sentences.append(head + _listed([_against(card, metric) for metric in sure]) + ".")
    if likely:
        head = "It is ahead" if sure else f"{where}, the model is ahead"
        names = _listed([_against(card, metric) for metric in likely])
        sentences.append(f"{head} on {names}, but by less than these images can tell for certain.")
    if lost:
        head = "It does not beat" if sentences else f"{where}, the model does not beat"
        sentences.append(f"{head} the best baseline on {_listed([_against(card, metric) for metric in lost])}.")
    if not sentences:
        sentences.append(f"{where}, there is no baseline to compare the model with.")
    if card.only_seen:
        sentences.append("Scores on images from training flatter a model: evaluate it on others before you trust it.")
    return " ".join(sentences)


def interval_text(metric: str, score: "Score") -> str:
    """Such as "0.0471–0.0533"; empty without an interval."""
    if score.low is None or score.high is None:
        return ""
    return f"{number(metric, score.low)} – {number(metric, score.high)}"


def arrow(metric: str) -> str:
    """↓ where lower is better, ↑ where higher is, nothing where neither is."""
    return {"lower": "↓", "higher": "↑", None: ""}[METRICS[metric].better]


def table(card: "Scorecard") -> Table:
    """Metrics in rows, systems in columns, the best of each in bold, 95% intervals below the means."""
    seen = f" ({card.num_seen} of training left out)" if card.num_seen and not card.only_seen else ""
    title = f"{card.name}: {count(card.num_counted)}{seen}"
    result = Table(title=title, caption="mean and 95% interval; the best in bold", title_style="bold")
    result.add_column("")
    for system in card.systems:
        result.add_column(system, justify="right")
    for metric in card.metrics:
        best = card.best_system(metric)
        cells = [cell(f"{METRICS[metric].label} {arrow(metric)}".strip())]
        for system, scores in card.systems.items():
            shown = cell()
            if metric in scores:
                shown.append(number(metric, scores[metric].mean), style="bold green" if best == system else "")
                if text := interval_text(metric, scores[metric]):
                    shown.append("\n" + text.replace(" ", ""), style="dim")
            cells.append(shown)
        result.add_row(*cells)
    return result


def class_table(card: "Scorecard") -> Table:
    """Each class that occurs: its IoU, its Dice, and how many of its pixels the model found."""
    result = Table(title="classes", caption="over all pixels; IoU and Dice above are the means of these")
    for heading in ("", "IoU ↑", "Dice ↑", "pixels found ↑"):
        result.add_column(heading, justify="right" if heading else "left")
    for name, scores in card.classes[MODEL].items():
        if not math.isnan(scores["iou"]):
            result.add_row(name, *(number("iou", scores[key]) for key in ("iou", "dice", "accuracy")))
    return result


def comparison_table(cards: "Mapping[str, Scorecard]", *, comparable: bool) -> Table:
    """Metrics in rows, runs in columns; where the runs can be compared, the best of each in bold."""
    result = Table(caption="means; the best in bold" if comparable else "means, which do not compare")
    result.add_column("")
    for name, card in cards.items():
        result.add_column(cell(name, count(card.num_counted)), justify="right")
    shared = [metric for metric in METRICS if all(metric in card.systems[MODEL] for card in cards.values())]
    for metric in shared:
        means = [card.systems[MODEL][metric].mean for card in cards.values()]
        better = METRICS[metric].better if comparable else None
        best = {"lower": min(means), "higher": max(means), None: None}[better]
        style = ["bold green" if mean == best else "" for mean in means]
        cells = (cell(number(metric, mean), style=look) for mean, look in zip(means, style, strict=True))
        result.add_row(f"{METRICS[metric].label} {arrow(metric)}".strip(), *cells)
    return result
