"""Scores a translator on pairs, beside the baselines."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.data.palettes import Palette, decode, named_palette
from calco.data.sample import Pair, fraction
from calco.errors import CalcoError
from calco.evaluation import metrics
from calco.evaluation.baselines import MODEL, baselines_for, can_be_copied
from calco.evaluation.inception import ABSENT as FID_ABSENT
from calco.evaluation.inception import SetScores, open_inception
from calco.evaluation.metrics import METRICS, Bootstrap, Counts, Floats, Score, interval
from calco.evaluation.perceptual import Perceptual
from calco.evaluation.scorecard import Case, Gain, ImageScores, Scorecard
from calco.imaging import Image

NUM_CHOSEN = 24
NUM_EXTREME = 6


class Showcase:
    """Keeps the few images that the report shows: the best, the worst, and some chosen by a hash of their key.

    The hash makes the choice the same for every model and every order, so that reports can be laid side by side.

    Args:
        rank_by: The metric that decides which are best and worst.
    """

    def __init__(self, rank_by: str) -> None:
        self.rank_by = rank_by
        self.sign = 1 if METRICS[rank_by].better == "higher" else -1
        self.num = 0
        self._kept: list[tuple[float, float, Case]] = []

    def add(self, pair: Pair, output: Image, row: ImageScores) -> None:
        """Takes an image in, and lets go of the ones that are now neither extreme nor chosen."""
        self.num += 1
        value = self.sign * row.scores[MODEL].get(self.rank_by, math.nan)
        source, target, made = (
            imaging.as_dtype(imaging.visible(side), np.uint8) for side in (pair.input, pair.target, output)
        )
        case = Case(key=pair.key, seen=row.seen, scores=row.scores, input=source, target=target, output=made)
        self._kept.append((value if math.isfinite(value) else 0.0, fraction("shown", pair.key), case))
        if len(self._kept) > 2 * (NUM_CHOSEN + 2 * NUM_EXTREME):
            self._kept = self._select()

    def _select(self) -> list[tuple[float, float, Case]]:
        ranked = sorted(self._kept, key=lambda entry: entry[0])
        # Seen images are no extremes unless there are no others; they may still be chosen.
        pool = [entry for entry in ranked if not entry[2].seen] or ranked
        chosen = sorted(self._kept, key=lambda entry: entry[1])[: NUM_CHOSEN + 2 * NUM_EXTREME]
        keep = {id(entry[2]): entry for entry in (*pool[:NUM_EXTREME], *pool[-NUM_EXTREME:], *chosen)}
        return list(keep.values())

    def cases(self) -> tuple[Case, ...]:
        """Best first, then worst, then chosen; each image once."""
        ranked = sorted(self._kept, key=lambda entry: entry[0])
        pool = [entry for entry in ranked if not entry[2].seen] or ranked
        extremes = min(NUM_EXTREME, len(pool) // 3)
        best = [replace(entry[2], role="best") for entry in reversed(pool[len(pool) - extremes :])]
        worst = [replace(entry[2], role="worst") for entry in pool[:extremes]]
        taken = {case.key for case in (*best, *worst)}
        chosen = [entry[2] for entry in sorted(self._kept, key=lambda entry: entry[1]) if entry[2].key not in taken]
        return (*best, *worst, *sorted(chosen[:NUM_CHOSEN], key=lambda case: case.key))


Progress = Callable[[int, str], None]
"""Called after each image with the number done so far and the image's key."""


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
    rank_by: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    out: str | Path | None = None,
    spread: "Spread | None" = None,
) -> Scorecard:
    """Scores `translator` on every pair, beside the baselines on the same images.

    Args:
        translator: Makes an image of an input, HWC, with the same height and width.
        pairs: What to score on; consumed one at a time, so that a large set need not fit in memory.
        name: What the model is called in tables.
        recipe: The recipe's name, for the report.
        palette: Name of a palette when images are class maps: adds IoU, Dice and pixel accuracy.
        seen: Tells by key whether the model was trained on an image; None where nobody knows.
        digest: Tells by key the digest of an image's contents.
        setting: How the inputs were made, name and value.
        mean_target: Mean over the training targets, HWC float32 in [0, 1], any size; None leaves this baseline out.
        inception: Weight file for FID, KID and the Inception score, "download", or None to leave them out.
        perceptual: Whether to compute ST-LPIPS where its weights are installed.
        rank_by: The metric that finds the best and worst cases; None takes IoU with a palette, else ST-LPIPS or SSIM.
        seed: Of the bootstrap.
        progress: Called after each image.
        out: Folder for `scores.json` and the images; None writes nothing.
        spread: Has other processes examine the images; neither translator nor pairs are used then.

    Returns:
        The scorecard; its cases hold the images of the report.

    Raises:
        CalcoError: When no pair could be scored, or an option is wrong.
    """
    left_out: dict[str, str] = {}
    distance = perceptual and _distance(left_out) is not None
    sets = _sets(inception, seed, left_out)
    classes = named_palette(palette) if palette else None
    judge = _Judge(palette=classes, sets=sets)
    examine = Examiner(palette=classes, mean_target=mean_target, perceptual=distance, everything=sets is not None)
    if rank_by is None:
        rank_by = "iou" if palette else "st_lpips" if distance else "ssim"
    if rank_by not in METRICS or METRICS[rank_by].better is None or rank_by in ("fid", "kid", "inception_score"):
        raise CalcoError(f"images cannot be ranked by {rank_by!r}; choose a score of single images, such as ssim")
    shown = Showcase(rank_by)
    found = spread(examine) if spread is not None else examine.each(pairs, translator)
    for num, (key, examined) in enumerate(found, 1):
        if isinstance(examined, str):
            judge.failed[key] = examined
        else:
            row = judge.add(examined, seen=seen is not None and seen(key), digest=digest(key))
            shown.add(examined.pair, examined.outputs[MODEL], row)
        if progress is not None:
            progress(num, key)
    if not judge.rows:
        reason = next(iter(judge.failed.values()), "there was none; name a folder that holds some")
        raise CalcoError(f"no image could be scored: {reason}")
    card = replace(
        judge.summary(seed, left_out), name=name, recipe=recipe, rank_by=rank_by, cases=shown.cases(),
        training_known=seen is not None, setting=setting or {},
    )  # fmt: skip
    if out is not None:
        card.save(out)
    return card


def _distance(left_out: dict[str, str]) -> Perceptual | None:
    try:
        return Perceptual.load()
    except CalcoError as error:
        left_out["st_lpips"] = str(error)
        return None


def _sets(source: str | Path | None, seed: int, left_out: dict[str, str]) -> SetScores | None:
    if source is not None:
        # Asked for by name: a file that does not serve is an error, not a gap.
        return SetScores(open_inception(source), seed)
    left_out["fid"] = f"FID, KID and IS: {FID_ABSENT}"
    return None


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What the images of one pair tell.

    Attributes:
        pair: The pair.
        outputs: What the model made of it; what every baseline made too, where scores of the whole set are wanted.
        scores: System, metric, value.
        confusions: Of each system, where there is a palette.
        target_colour: How colourful the target is.
    """

    pair: Pair
    outputs: Mapping[str, Image]
    scores: dict[str, dict[str, float]]
    confusions: Mapping[str, Counts]
    target_colour: float


Found: TypeAlias = tuple[str, Examined | str]
"""An image's key, and what it tells or why it tells nothing."""


class Examiner:
    """Scores pairs one by one, and keeps nothing of them; can be sent to another process.

    Args:
        palette: When images are class maps.
        mean_target: Of the training; None leaves this baseline out.
        perceptual: Whether to compute ST-LPIPS.
        everything: Whether the baselines' images are wanted too.
    """

    def __init__(
        self,
        *,
        palette: Palette | None,
        mean_target: npt.NDArray[np.float32] | None,
        perceptual: bool,
        everything: bool,
    ) -> None:
        self.palette = palette
        self.mean_target = mean_target
        self.perceptual = perceptual
        self.everything = everything
        self.kind: tuple[bool, bool] | None = None
        self._distance: Perceptual | None = None

    def settle(self, pair: Pair) -> None:
        """Takes the baselines that suit a pair; by itself it takes those of the first one."""
        self.kind = self.kind or (pair.region is not None, can_be_copied(pair))

    def each(self, pairs: Iterable[Pair], translator: Callable[[Image], Image]) -> Iterator[Found]:
        """What each pair tells, in order."""
        for pair in pairs:
            try:
                yield pair.key, self(pair, translator(pair.input))
            except CalcoError as error:
                yield pair.key, str(error)

    def __call__(self, pair: Pair, output: Image) -> Examined:
        """Scores the model's output and every baseline on one pair."""
        self.settle(pair)
        assert self.kind is not None
        baselines = baselines_for(mean_target=self.mean_target, erased=self.kind[0], copies=self.kind[1])
        outputs = {MODEL: output} | {name: baseline(pair) for name, baseline in baselines.items()}
        scores = {name: _scores(image, pair) for name, image in outputs.items()}
        if self.perceptual:
            self._distance = self._distance or Perceptual.load()
            distances = self._distance(list(outputs.values()), pair.target)
            for name, distance in zip(outputs, distances, strict=True):
                scores[name]["st_lpips"] = distance
        confusions = self._confusions(outputs, pair)
        for name, counts in confusions.items():
            scores[name] |= {key: float(value) for key, value in metrics.mean_class_scores(counts).items()}
        return Examined(
            pair=pair, outputs=outputs if self.everything else {MODEL: output}, scores=scores, confusions=confusions,
            target_colour=metrics.colourfulness(pair.target),
        )  # fmt: skip

    def _confusions(self, outputs: Mapping[str, Image], pair: Pair) -> dict[str, Counts]:
        """The confusions of each system over the pixels that have a class: void weighs nothing."""
        if self.palette is None:
            return {}
        counted = np.ones(pair.target.shape[:2], np.bool_) if pair.weight is None else pair.weight > 0
        palette = self.palette
        true = decode(imaging.as_channels(pair.target, 3), palette)[counted]
        return {
            name: metrics.confusion(decode(imaging.as_channels(image, 3), palette)[counted], true, len(palette))
            for name, image in outputs.items()
        }


Spread: TypeAlias = Callable[[Examiner], Iterable[Found]]
"""Has images examined elsewhere, and gives what is found in the order of the images."""


class _Judge:
    """Keeps the numbers, and makes the scorecard of them."""

    def __init__(self, *, palette: Palette | None, sets: SetScores | None) -> None:
        self.palette = palette
        self.sets = sets
        self.rows: list[ImageScores] = []
        self.confusions: dict[str, list[Counts]] = {}
        self.target_colours: list[float] = []
        self.failed: dict[str, str] = {}

    def add(self, examined: Examined, *, seen: bool, digest: str) -> ImageScores:
        """Takes in what a pair tells."""
        for name, counts in examined.confusions.items():
            self.confusions.setdefault(name, []).append(counts)
        if self.sets is not None:
            self.sets.add(dict(examined.outputs), examined.pair.target)
        self.target_colours.append(examined.target_colour)
        pair = examined.pair
        row = ImageScores(key=pair.key, group=pair.group, seen=seen, scores=examined.scores, digest=digest)
        self.rows.append(row)
        return self.rows[-1]

    def summary(self, seed: int, left_out: Mapping[str, str]) -> Scorecard:
        """Means, intervals and gains over the images that count."""
        unseen = [index for index, row in enumerate(self.rows) if not row.seen]
        counted = unseen or list(range(len(self.rows)))
        bootstrap = Bootstrap([self.rows[index].group for index in counted], seed)
        means, resampled = self._means(counted, bootstrap)
        gaps = dict(left_out)
        for metric in ("ms_ssim", "ssim"):
            if math.isnan(means[MODEL][metric]):
                side = metrics.MS_SSIM_MIN_SIDE if metric == "ms_ssim" else metrics.SSIM_MIN_SIDE
                gaps[metric] = f"{METRICS[metric].label} needs images of {side} pixels or more on both sides"
        systems = {
            system: {
                metric: _score(value, resampled[system].get(metric), self._num(metric, counted))
                for metric, value in row.items()
                if not math.isnan(value)
            }
            for system, row in means.items()
        }
        return Scorecard(
            name=MODEL,
            recipe="",
            systems=systems,
            gains=_gains(means, resampled),
            images=tuple(self.rows),
            classes=self._classes(counted),
            left_out_metrics=gaps,
            left_out_images=self.failed,
            target_colourfulness=float(np.mean([self.target_colours[index] for index in counted])),
            seed=seed,
        )

    def _num(self, metric: str, counted: Sequence[int]) -> int:
        """Images that have this score; all of them for scores of the whole set."""
        values = [self.rows[index].scores[MODEL].get(metric, math.nan) for index in counted]
        return sum(not math.isnan(value) for value in values) or len(counted)

    def _means(
        self, counted: Sequence[int], bootstrap: Bootstrap
    ) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, Floats]]]:
        """The means of each system and metric, and those of each resample."""
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
                resampled[system] |= bootstrap.class_means(counts)
        if self.sets is not None:
            for system, values_of in self.sets.compute(counted).items():
                means[system] |= values_of
        return means, resampled

    def _classes(self, counted: Sequence[int]) -> dict[str, dict[str, dict[str, float]]]:
        if self.palette is None:
            return {}
        names = [name for name, _ in self.palette]
        found = {}
        for system, all_counts in self.confusions.items():
            each = metrics.class_scores(np.sum([all_counts[index] for index in counted], axis=0))
            found[system] = {
                name: {key: float(values[place]) for key, values in each.items()} for place, name in enumerate(names)
            }
        return found


def _scores(image: Image, pair: Pair) -> dict[str, float]:
    """The scores that need nothing but the two images."""
    target = pair.target
    found = {
        "l1": metrics.l1(image, target),
        "psnr": metrics.psnr(image, target),
        "ssim": metrics.ssim(image, target),
        "ms_ssim": metrics.ms_ssim(image, target),
        "colourfulness": metrics.colourfulness(image),
    }
    if pair.region is not None:
        found["psnr_inside"] = metrics.psnr_inside(image, target, pair.region)
    return found


def _ends(resampled: Floats | None) -> tuple[float, float] | tuple[None, None]:
    found = interval(resampled) if resampled is not None else None
    return found or (None, None)


def _score(value: float, resampled: Floats | None, num: int) -> Score:
    low, high = _ends(resampled)
    return Score(value, low, high, num)


def _gains(
    means: Mapping[str, Mapping[str, float]], resampled: Mapping[str, Mapping[str, Floats]]
) -> dict[str, dict[str, Gain]]:
    """The model against each baseline, paired on the same resamples."""
    found: dict[str, dict[str, Gain]] = {}
    for metric, ours in means[MODEL].items():
        sign = {"higher": 1, "lower": -1, None: 0}[METRICS[metric].better]
        if not sign or math.isnan(ours):
            continue
        found[metric] = {}
        for system in means.keys() - {MODEL}:
            low = high = None
            if metric in resampled[system]:
                low, high = _ends(sign * (resampled[MODEL][metric] - resampled[system][metric]))
            found[metric][system] = Gain(value=sign * (ours - means[system][metric]), low=low, high=high)
        found[metric] = {system: found[metric][system] for system in means if system in found[metric]}
    return {metric: found[metric] for metric in METRICS if metric in found}
