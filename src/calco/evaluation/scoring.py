"""Scores a translator on pairs, beside the baselines."""

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.data.palettes import Palette, decode, named_palette
from calco.data.sample import Pair, fraction
from calco.errors import CalcoError
from calco.evaluation import metrics
from calco.evaluation.baselines import MEAN_TARGET, MODEL, baselines_for, can_be_copied
from calco.evaluation.face_search import FaceScores
from calco.evaluation.inception import ABSENT as FID_ABSENT
from calco.evaluation.inception import SetScores, open_inception
from calco.evaluation.landmarks import LandmarkScores
from calco.evaluation.metrics import METRICS, Counts
from calco.evaluation.perceptual import Features, Perceptual
from calco.evaluation.readback import LabelScores
from calco.evaluation.scorecard import Case, Gain, ImageScores, Scorecard
from calco.evaluation.scores import Bootstrap, Floats, Score, interval
from calco.imaging import Image

FLATTERED = (
    "ST-LPIPS flatters this model, and so does the judge `faces`: it was trained on the network that ST-LPIPS scores "
    "with (--objective.perceptual alexnet)."
)
NUM_CHOSEN = 24
NUM_EXTREME = 6
_log = logging.getLogger(__name__)


class Judge(Protocol):
    """A network beside the translator that says what it recognises in the outputs; can be sent to another process."""

    def examined(self, pair: Pair, output: Image) -> Any:
        """Return what the judge recognises in one output and in its target."""

    def summary(
        self, found: Sequence[Any], keys: Sequence[str], groups: Sequence[str], counted: Sequence[int], seed: int
    ) -> LabelScores | FaceScores | LandmarkScores:
        """Return the scores over the images that count.

        Args:
            found: Results of `examined`, one for each image.
            keys: Names of the images.
            groups: Their groups.
            counted: Places of the images that count.
            seed: Seed of the bootstrap.

        Raises:
            CalcoError: If the images do not suffice for scores.
        """


class Showcase:
    """Keeps the images of the report: the best, the worst, and some chosen by a hash of their key.

    The hash makes the choice the same for every model and every order, so that reports can be compared.
    """

    def __init__(self, rank_by: str) -> None:
        self.rank_by = rank_by
        self.sign = 1 if METRICS[rank_by].better == "higher" else -1
        self._kept: list[tuple[float, float, Case]] = []

    def add(self, pair: Pair, output: Image, row: ImageScores) -> None:
        """Add an image, and drop those that are now neither extreme nor chosen."""
        value = self.sign * row.scores[MODEL].get(self.rank_by, math.nan)
        source, target, made = (
            imaging.as_dtype(imaging.visible(side), np.uint8) for side in (pair.input, pair.target, output)
        )
        case = Case(key=pair.key, seen=row.seen, scores=row.scores, input=source, target=target, output=made)
        self._kept.append((value if math.isfinite(value) else 0.0, fraction("shown", pair.key), case))
        if len(self._kept) > 2 * (NUM_CHOSEN + 2 * NUM_EXTREME):
            pool = self._pool()
            chosen = sorted(self._kept, key=lambda entry: entry[1])[: NUM_CHOSEN + 2 * NUM_EXTREME]
            keep = {id(entry[2]): entry for entry in (*pool[:NUM_EXTREME], *pool[-NUM_EXTREME:], *chosen)}
            self._kept = list(keep.values())

    def _pool(self) -> list[tuple[float, float, Case]]:
        """Return the kept images from worst to best, without those of the training if there are others."""
        ranked = sorted(self._kept, key=lambda entry: entry[0])
        return [entry for entry in ranked if not entry[2].seen] or ranked

    def cases(self) -> tuple[Case, ...]:
        """Return the best, then the worst, then the chosen ones; each image once."""
        pool = self._pool()
        extremes = min(NUM_EXTREME, len(pool) // 3)
        best = [replace(entry[2], role="best") for entry in reversed(pool[len(pool) - extremes :])]
        worst = [replace(entry[2], role="worst") for entry in pool[:extremes]]
        taken = {case.key for case in (*best, *worst)}
        chosen = [entry[2] for entry in sorted(self._kept, key=lambda entry: entry[1]) if entry[2].key not in taken]
        return (*best, *worst, *sorted(chosen[:NUM_CHOSEN], key=lambda case: case.key))


def evaluate(
    translator: Callable[[Image], Image],
    pairs: Iterable[Pair],
    *,
    name: str = "model",
    recipe: str = "",
    palette: str | None = None,
    seen: Callable[[str], bool] | None = lambda _key: False,
    digest: Callable[[str], str] = lambda _key: "",
    setting: Mapping[str, str] | None = None,
    mean_target: npt.NDArray[np.float32] | None = None,
    inception: str | Path | None = None,
    perceptual: bool = True,
    learned_from_alexnet: bool = False,
    judge: Judge | None = None,
    rank_by: str | None = None,
    seed: int = 0,
    progress: Callable[[int, str], None] | None = None,
    out: str | Path | None = None,
    spread: "Spread | None" = None,
    known: "Known | None" = None,
) -> Scorecard:
    """Score `translator` on every pair, beside the baselines on the same images.

    Args:
        translator: Makes an image of an input, HWC, with the same height and width.
        pairs: Pairs to score on, read one at a time, so that a large set need not fit in memory.
        name: Name of the model in tables.
        recipe: Name of the recipe, for the report.
        palette: Name of a palette if images are class maps: adds IoU, Dice and pixel accuracy.
        seen: Returns by key whether the model was trained on an image; None if that is unknown.
        digest: Returns by key the digest of an image's contents.
        setting: How the inputs were made, name and value.
        mean_target: Mean over the training targets, HWC float32 in [0, 1], any size; None leaves this baseline out.
        inception: Weight file for FID, KID and the Inception score, "download", or None to leave them out.
        perceptual: Whether to compute ST-LPIPS if its weights are installed.
        learned_from_alexnet: Whether the model was trained on the network of ST-LPIPS, which then flatters it.
        judge: Says what it recognises in the outputs, as `calco evaluate --judge`; None leaves this out.
        rank_by: Metric that finds the best and worst cases; None takes IoU with a palette, else ST-LPIPS or SSIM.
        seed: Seed of the bootstrap.
        progress: Called after each image with the number done so far and the key of the image.
        out: Folder for `scores.json` and the images; None writes nothing.
        spread: Lets other processes examine the images; neither translator nor pairs are used then.
        known: Scores of the baselines of earlier calls, to which this call adds its own; for several models on the
            same pairs. With `inception` all outputs are needed, and it is not used.

    Returns:
        The scorecard; its cases hold the images of the report.

    Raises:
        CalcoError: No pair could be scored, or an option is wrong.
    """
    left_out: dict[str, str] = {}
    if perceptual:
        try:
            Perceptual.load()
        except CalcoError as error:
            left_out["st_lpips"], perceptual = str(error), False
    # Asked for by name: a file that cannot be used is an error, not a gap.
    sets = None if inception is None else SetScores(open_inception(inception), seed)
    if sets is None:
        left_out["fid"] = f"FID, KID and IS: {FID_ABSENT}"
    classes = named_palette(palette) if palette else None
    results = _Results(palette=classes, sets=sets)
    examine = Examiner(palette=classes, mean_target=mean_target, perceptual=perceptual, everything=sets is not None,
                       judge=judge, known=known if sets is None else None)  # fmt: skip
    if rank_by is None:
        rank_by = "iou" if palette else "st_lpips" if perceptual else "ssim"
    if rank_by not in METRICS or METRICS[rank_by].better is None or rank_by in ("fid", "kid", "inception_score"):
        raise CalcoError(f"images cannot be ranked by {rank_by!r}; choose a score of single images, such as ssim")
    shown = Showcase(rank_by)
    found = spread(examine) if spread is not None else examine.each(pairs, translator)
    for num, (key, examined) in enumerate(found, 1):
        if isinstance(examined, str):
            results.failed[key] = examined
        else:
            row = results.add(examined, seen=seen is not None and seen(key), digest=digest(key))
            shown.add(examined.pair, examined.outputs[MODEL], row)
        if progress is not None:
            progress(num, key)
    if not results.rows:
        reason = next(iter(results.failed.values()), "there was none; name a folder that holds some")
        raise CalcoError(f"no image could be scored: {reason}")
    card = replace(
        results.summary(seed, left_out), name=name, recipe=recipe, rank_by=rank_by, cases=shown.cases(),
        training_known=seen is not None, setting=setting or {},
        notes=(FLATTERED,) if perceptual and learned_from_alexnet else (),
    )  # fmt: skip
    if judge is not None:
        card = _judged(card, judge, results, seed)
    if out is not None:
        card.save(out)
    return card


def _judged(card: Scorecard, judge: Judge, results: "_Results", seed: int) -> Scorecard:
    """Return the card with the scores of the judge, or with the reason why there are none."""
    keys, groups = [row.key for row in card.images], [row.group for row in card.images]
    try:
        scores = judge.summary(results.judged, keys, groups, results.counted, seed)
    except CalcoError as error:
        _log.warning(str(error))
        return replace(card, left_out_metrics={**card.left_out_metrics, "judge": f"the judge's scores: {error}"})
    if isinstance(scores, LandmarkScores):
        return replace(card, landmarks=scores)
    return replace(card, labels=scores) if isinstance(scores, LabelScores) else replace(card, faces=scores)


@dataclass(frozen=True, kw_only=True)
class Examined:
    """Scores of one pair."""

    pair: Pair
    outputs: Mapping[str, Image]  # output of the model; also of every baseline, if scores of the whole set are wanted
    scores: dict[str, dict[str, float]]  # system, metric, value
    confusions: Mapping[str, Counts]  # confusions of each system, if there is a palette
    target_colour: float  # colourfulness of the target
    judged: Any = None  # what the judge recognised


Found: TypeAlias = tuple[str, Examined | str]
"""Key of an image, and its scores or the reason why there are none."""


Known: TypeAlias = dict[str, tuple[dict[str, float], Counts | None]]
"""Scores of baselines, and their confusions, by a digest of what they depend on."""


@dataclass(kw_only=True)
class Examiner:
    """Scores pairs one by one, and keeps nothing of them; can be sent to another process."""

    palette: Palette | None  # classes, if images are class maps
    mean_target: npt.NDArray[np.float32] | None  # mean target of the training; None leaves this baseline out
    perceptual: bool  # whether to compute ST-LPIPS
    everything: bool  # whether the outputs of the baselines are wanted too
    # Whether the pairs have an erased region, and whether their inputs can be copied
    kind: tuple[bool, bool] | None = None
    judge: Judge | None = None
    known: Known | None = None  # scores of baselines, which are not computed again; new ones are added
    _distance: Perceptual | None = None
    _mean: tuple[Image, Features] | None = None  # the last mean target that the network saw

    def settle(self, pair: Pair) -> tuple[bool, bool]:
        """Choose the baselines by a pair; by default it is the first one."""
        self.kind = self.kind or (pair.region is not None, can_be_copied(pair))
        return self.kind

    def each(self, pairs: Iterable[Pair], translator: Callable[[Image], Image]) -> Iterator[Found]:
        """Yield the scores of each pair, in order."""
        for pair in pairs:
            try:
                yield pair.key, self(pair, translator(pair.input))
            except CalcoError as error:
                yield pair.key, str(error)

    def __call__(self, pair: Pair, output: Image) -> Examined:
        """Score the output of the model and every baseline on one pair."""
        erased, copies = self.settle(pair)
        baselines = baselines_for(mean_target=self.mean_target, erased=erased, copies=copies)
        keys = {} if self.known is None else {name: self._key(pair, name) for name in baselines}
        before = {name: self.known[key] for name, key in keys.items() if key in self.known} if self.known else {}
        outputs = {MODEL: output} | {name: baseline(pair) for name, baseline in baselines.items() if name not in before}
        reference = metrics.Reference(pair.target)
        scores = {
            name: reference.scores(image, pair.region) | {"colourfulness": metrics.colourfulness(image)}
            for name, image in outputs.items()
        }
        if self.perceptual:
            for name, distance in self._distances(outputs, pair.target).items():
                scores[name]["st_lpips"] = distance
        confusions: dict[str, Counts] = {}
        if palette := self.palette:
            # Over the pixels that have a class: void has no weight.
            counted = np.ones(pair.target.shape[:2], np.bool_) if pair.weight is None else pair.weight > 0
            images = (imaging.as_channels(image, 3) for image in (pair.target, *outputs.values()))
            true, *made = (decode(image, palette)[counted] for image in images)
            for name, classes in zip(outputs, made, strict=True):
                confusions[name] = metrics.confusion(classes, true, len(palette))
                means = metrics.mean_class_scores(confusions[name])
                scores[name] |= {key: float(value) for key, value in means.items()}
        if self.known is not None:
            self.known |= {key: (scores[name], confusions.get(name)) for name, key in keys.items() if name in scores}
            scores = {MODEL: scores[MODEL]} | {name: self.known[key][0] for name, key in keys.items()}
            confusions |= {name: counts for name, (_, counts) in before.items() if counts is not None}
        return Examined(
            pair=pair, outputs=outputs if self.everything else {MODEL: output}, scores=scores, confusions=confusions,
            target_colour=metrics.colourfulness(pair.target),
            judged=None if self.judge is None else self.judge.examined(pair, output),
        )  # fmt: skip

    def _key(self, pair: Pair, baseline: str) -> str:
        """Return a digest of what the scores of a baseline depend on."""
        mean = self.mean_target if baseline == MEAN_TARGET else None
        found = hashlib.blake2b(repr((baseline, self.perceptual, self.palette)).encode(), digest_size=16)
        for array in (pair.input, pair.target, pair.region, pair.weight, mean):
            if array is None:
                found.update(b"none")
            else:
                found.update(repr((array.shape, array.dtype.str)).encode())
                found.update(array.tobytes())
        return found.hexdigest()

    def _distances(self, outputs: Mapping[str, Image], target: Image) -> dict[str, float]:
        """Return ST-LPIPS of each system. The mean target is the same image for all pairs of a size: seen once."""
        network = self._distance = self._distance or Perceptual.load()
        unseen = [name for name in outputs if name != MEAN_TARGET]
        *seen, true = network.features([*(outputs[name] for name in unseen), target])
        features = dict(zip(unseen, seen, strict=True))
        if (mean := outputs.get(MEAN_TARGET)) is not None:
            if self._mean is None or not np.array_equal(self._mean[0], mean):
                self._mean = mean, network.features([mean])[0]
            features[MEAN_TARGET] = self._mean[1]
        return {name: network.between(features[name], true) for name in outputs}


Spread: TypeAlias = Callable[[Examiner], Iterable[Found]]
"""Lets images be examined elsewhere, and yields their scores in the order of the images."""


class _Results:
    """Collects the numbers, and makes the scorecard of them."""

    def __init__(self, *, palette: Palette | None, sets: SetScores | None) -> None:
        self.palette = palette
        self.sets = sets
        self.rows: list[ImageScores] = []
        self.confusions: dict[str, list[Counts]] = {}
        self.target_colours: list[float] = []
        self.judged: list[Any] = []
        self.sizes: list[tuple[int, int]] = []
        self.failed: dict[str, str] = {}

    def add(self, examined: Examined, *, seen: bool, digest: str) -> ImageScores:
        """Add the scores of a pair."""
        for name, counts in examined.confusions.items():
            self.confusions.setdefault(name, []).append(counts)
        if self.sets is not None:
            self.sets.add(dict(examined.outputs), examined.pair.target)
        self.target_colours.append(examined.target_colour)
        self.judged.append(examined.judged)
        pair = examined.pair
        self.sizes.append((pair.target.shape[1], pair.target.shape[0]))
        row = ImageScores(key=pair.key, group=pair.group, seen=seen, scores=examined.scores, digest=digest)
        self.rows.append(row)
        return row

    @property
    def counted(self) -> list[int]:
        """Places of the images that count: those that the model was not trained on, or all."""
        unseen = [index for index, row in enumerate(self.rows) if not row.seen]
        return unseen or list(range(len(self.rows)))

    @property
    def size(self) -> str:
        """Width and height of the images, or of the smallest and the largest."""
        ends = [min(self.sizes, key=math.prod), max(self.sizes, key=math.prod)]
        return " to ".join(dict.fromkeys(f"{width}x{height}" for width, height in ends)) + " pixels"

    def summary(self, seed: int, left_out: Mapping[str, str]) -> Scorecard:
        """Return means, intervals and gains over the images that count."""
        counted = self.counted
        bootstrap = Bootstrap([self.rows[index].group for index in counted], seed)
        means, resampled = self._means(counted, bootstrap)
        gaps = dict(left_out)
        for metric in ("ms_ssim", "ssim"):
            if math.isnan(means[MODEL][metric]):
                side = metrics.MS_SSIM_MIN_SIDE if metric == "ms_ssim" else metrics.SSIM_MIN_SIDE
                gaps[metric] = f"{METRICS[metric].label} needs images of {side} pixels or more on both sides"
        # Scores of the whole set have no images of their own: they count all.
        rows = [self.rows[index].scores[MODEL] for index in counted]
        scored = Counter(metric for row in rows for metric, value in row.items() if not math.isnan(value))
        systems = {
            system: {
                metric: Score.of(value, resampled[system].get(metric), scored.get(metric) or len(counted))
                for metric, value in row.items()
                if not math.isnan(value)
            }
            for system, row in means.items()
        }
        return Scorecard(
            name=MODEL, recipe="", systems=systems, gains=_gains(means, resampled), images=tuple(self.rows),
            classes=self._classes(counted), left_out_metrics=gaps, left_out_images=self.failed,
            target_colourfulness=float(np.mean([self.target_colours[index] for index in counted])), seed=seed,
            size=self.size,
        )  # fmt: skip

    def _means(
        self, counted: Sequence[int], bootstrap: Bootstrap
    ) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, Floats]]]:
        """Return the means of each system and metric, and those of each resample."""
        means: dict[str, dict[str, float]] = {}
        resampled: dict[str, dict[str, Floats]] = {}
        for system, first in self.rows[0].scores.items():
            means[system], resampled[system] = {}, {}
            for metric in first:
                values = [self.rows[index].scores[system].get(metric, math.nan) for index in counted]
                means[system][metric] = float(metrics.nan_mean(values))
                resampled[system][metric] = bootstrap.means(values)
            if system in self.confusions:
                # Over all pixels at once, as IoU is published; the mean of images' IoU would count empty ones.
                counts = np.stack([self.confusions[system][index] for index in counted])
                means[system] |= {k: float(v) for k, v in metrics.mean_class_scores(counts.sum(0)).items()}
                resampled[system] |= metrics.resampled_class_scores(bootstrap, counts)
        if self.sets is not None:
            for system, values_of in self.sets.compute(counted).items():
                means[system] |= values_of
        return means, resampled

    def _classes(self, counted: Sequence[int]) -> dict[str, dict[str, dict[str, float]]]:
        """Return system, class, score name, value over all pixels."""
        found = {}
        for system, counts in self.confusions.items():
            each = metrics.class_scores(np.sum([counts[index] for index in counted], axis=0))
            found[system] = {
                name: {key: float(values[place]) for key, values in each.items()}
                for place, (name, _) in enumerate(self.palette or ())
            }
        return found


def _gains(
    means: Mapping[str, Mapping[str, float]], resampled: Mapping[str, Mapping[str, Floats]]
) -> dict[str, dict[str, Gain]]:
    """Return the lead of the model over each baseline, paired in the same resamples."""
    found: dict[str, dict[str, Gain]] = {}
    for metric in [metric for metric in METRICS if metric in means[MODEL]]:
        ours = means[MODEL][metric]
        sign = {"higher": 1, "lower": -1, None: 0}[METRICS[metric].better]
        if not sign or math.isnan(ours):
            continue
        found[metric] = {}
        for system in [system for system in means if system != MODEL]:
            ends = None
            if metric in resampled[system]:
                ends = interval(sign * (resampled[MODEL][metric] - resampled[system][metric]))
            low, high = ends or (None, None)
            found[metric][system] = Gain(value=sign * (ours - means[system][metric]), low=low, high=high)
    return found
