"""`calco ablate`: one run for each variant, data set and seed, all scored on the same images, and set side by side."""

import logging
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from calco import imaging, journal
from calco.ablation import AblateConfig
from calco.ablation.results import (
    DataScores,
    against_minutes,
    against_pairs,
    grid,
    markdown_differences,
    markdown_seeds,
    markdown_table,
    markdown_times,
    summarise,
)
from calco.ablation.scoring import Curve, SampledTranslation, Scoring, shared_metrics
from calco.ablation.variants import all_variants
from calco.addresses import redact_record
from calco.errors import CalcoError, MissingExtraError, UsageError, WriteError, brief
from calco.evaluation.evaluate import differences
from calco.evaluation.scorecard import Scorecard
from calco.files import atomic_write, read_json, write_json
from calco.outputs import writing_folder
from calco.records import from_record, to_record
from calco.report.page import count
from calco.training.config import TrainConfig
from calco.training.log import duration
from calco.training.run_folder import load_contents
from calco.training.task import absolute_path
from calco.training.trainer import run_task
from calco.training.translation import load_config

RECORD: Final = "ablation.json"
FORMAT: Final = 1
_VERB: Final = "calco ablate"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of an ablation."""

    data: str  # short name of the data set
    variant: str
    config: TrainConfig  # with images, seed and limit

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{self.data}-{self.variant}-seed{self.config.seed}"


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What an ablation has found, and the files that show it."""

    folder: Path
    data: Sequence[DataScores]
    failed: Mapping[str, str]  # name of a run and the reason why it has no scores

    @property
    def report(self) -> Path:
        """The tables and figures, as Markdown."""
        return self.folder / "ablation.md"


def ablate(
    config: AblateConfig, *, variants: Mapping[str, TrainConfig] | None = None, progress: bool = False
) -> Ablation:
    """Train variants on the same data for the same time, one after another, and compare their scores.

    The folder holds one run for each variant, data set and seed. A call that was interrupted is resumed by the same
    call: finished runs are not repeated, a cut one is resumed. Further variants, seeds and data sets may be added.

    Args:
        config: Data sets, variants, seeds, limit, folder.
        variants: Further variants as configurations; their limit, seed, images and folder are not used.
        progress: Show the progress line of each training.

    Returns:
        Scores of each data set; the folder holds ablation.md, ablation.json, and figures.

    Raises:
        CalcoError: If data, variants or folder cannot be used, or no run could be scored.
        Interrupted: After Ctrl-C or SIGTERM, with a checkpoint written.
    """
    if not config.images:
        raise UsageError("no data set was named; give one or more, such as: calco ablate openmoji --presets small")
    found = all_variants(config, variants)
    cells = list(_cells(config, found))
    folder = Path(config.out)
    _check_folder(folder)
    for cell in {cell.data: cell for cell in reversed(cells)}.values():
        _scoring(config, cell.config).items()  # unusable data ends the ablation before anything is trained
    with writing_folder(folder, _VERB, apart="runs") as outputs:
        outputs.check([folder / "ablation.md", folder / RECORD])
        _record_cells(folder, cells)
        reached, failed = _work(config, cells, folder, progress=progress)
        if not reached:
            name, reason = next(iter(failed.items()))
            raise CalcoError(f"no run could be scored; the first, {name}: {reason}")
        ablation = Ablation(folder=folder, data=[each.summary(name) for name, each in reached.items()], failed=failed)
        _write_results(ablation, config, cells, reached)
    return ablation


def _cells(config: AblateConfig, variants: Mapping[str, TrainConfig]) -> Iterator[Cell]:
    """Yield all cells: seed by seed, so that an interrupted ablation has all variants with the first seeds."""
    names = _short_names(config.images)
    for seed in config.seeds:
        for images, data in names.items():
            for variant, each in variants.items():
                yield Cell(data=data, variant=variant, config=replace(each, images=images, seed=seed, out=""))


def _short_names(images: Sequence[str]) -> dict[str, str]:
    """Return a name that is fit for a file by data set."""
    names: dict[str, str] = {}
    for path in images:
        last = re.split(r"[/\\:]", path.rstrip("/\\"))[-1]
        base = re.sub(r"[^\w.+-]+", "-", last).strip(".-") or "data"
        name = next(
            name for number in range(1, 10_000) if (name := base if number == 1 else f"{base}-{number}") not in
            names.values()
        )  # fmt: skip
        names[absolute_path(path) or path] = name
    return names


def _check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than an ablation."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder with --out")
    ours = (folder / RECORD).is_file() or not folder.is_dir()
    others = [] if ours else sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if others:
        raise UsageError(
            f"{folder} holds no ablation, but other files, such as {others[0]}; choose a new or empty folder with --out"
        )


def _record_cells(folder: Path, cells: Sequence[Cell]) -> None:
    """Record the configurations of all cells; one that was begun with another configuration is refused."""
    path = folder / RECORD
    record: dict[str, Any] = {"format": FORMAT, "cells": {}}
    if path.is_file():
        record = read_json(path)
        if record.get("format") != FORMAT or not isinstance(record.get("cells"), dict):
            raise CalcoError(
                f"{path} is not a record of an ablation of format {FORMAT}; update Calco, or choose another --out"
            )
        for cell in cells:
            if cell.name in record["cells"]:
                before = from_record(TrainConfig, record["cells"][cell.name], path)
                if changed := _difference(*(redact_record(to_record(each)) for each in (before, cell.config))):
                    raise UsageError(
                        f"{folder} was begun with other options: {cell.name} has {changed}; repeat them, or choose "
                        "another --out"
                    )
    new = {cell.name: to_record(cell.config) for cell in cells}
    if new.items() <= record["cells"].items() and path.is_file():
        return
    write_json(path, record | {"cells": record["cells"] | new})


def _difference(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> str:
    """Describe the first field in which two configurations differ; empty if they are equal."""
    for name, value in before.items():
        other = now.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            if found := _difference(value, other, f"{prefix}{name}."):
                return found
        elif value != other:
            return f"{prefix}{name} {brief(value)}, and now {brief(other)} is asked for"
    return ""


@dataclass
class _Found:
    """What the runs on one data set have reached."""

    scoring: Scoring
    cards: dict[str, dict[int, Scorecard]] = field(default_factory=dict)  # variant, seed, scores
    curves: dict[str, dict[int, Curve]] = field(default_factory=dict)  # the same
    pairs: dict[str, int] = field(default_factory=dict)  # variant, number of pairs that it learned from
    notes: dict[str, None] = field(default_factory=dict)  # each once, in order

    def add(self, cell: Cell, run: Path, out: Path) -> None:
        """Score a run, unless its scores are there."""
        card = self.scoring.read(out) or self.scoring.score(run, out, cell.name)
        curve = self.scoring.curve(run, out)
        contents = load_contents(run)
        self.pairs[cell.variant] = len(contents.splits["train"]) if contents else 0
        self.cards.setdefault(cell.variant, {})[cell.config.seed] = card
        self.curves.setdefault(cell.variant, {})[cell.config.seed] = curve
        self.notes |= {f"{cell.variant}: {note}": None for note in card.notes}
        if differs := self.scoring.trained_otherwise(load_config(run / "config.yaml")):
            self.notes[f"{cell.variant} was trained on other pairs than it is scored on: {differs}"] = None

    def summary(self, data: str) -> DataScores:
        """Put the scores together."""
        runs = {f"{variant}, seed {seed}": card for variant, each in self.cards.items() for seed, card in each.items()}
        notes = [*differences(runs), *self.notes]
        return summarise(data, self.cards, notes, curves=self.curves, pairs=self.pairs)


def _work(
    config: AblateConfig, cells: Sequence[Cell], folder: Path, *, progress: bool
) -> tuple[dict[str, _Found], dict[str, str]]:
    """Train and score all cells that are not finished; return the scores by data set, and why others have none."""
    found: dict[str, _Found] = {}
    failed: dict[str, str] = {}
    spent: list[float] = []
    try:
        for number, cell in enumerate(cells, 1):
            run, started = folder / "runs" / cell.name, time.monotonic()
            done = _has_ended(run)
            left = _time_left(config, [run, *(folder / "runs" / each.name for each in cells[number:])], spent)
            _log.info(f"run {number} of {len(cells)}: {cell.name}{', done' if done else ''}{left}")
            try:
                if not done:
                    _train(cell, run, progress=progress)
                    spent.append(time.monotonic() - started)
                if cell.data not in found:
                    same = [each.config.jitter for each in cells if each.data == cell.data]
                    found[cell.data] = _Found(_scoring(config, load_config(run / "config.yaml"), same))
                found[cell.data].add(cell, run, folder / "scores" / cell.name)
            except (UsageError, WriteError, MissingExtraError):
                raise
            except CalcoError as error:
                failed[cell.name] = str(error)
                _log.warning(f"{cell.name} has no scores: {error}")
    except KeyboardInterrupt:
        _log.info(f"the same command resumes the ablation in {shlex.quote(str(folder))}")
        raise
    return {data: each for data, each in found.items() if each.cards}, failed


def _scoring(config: AblateConfig, first: TrainConfig, jitters: Sequence[Any] = ()) -> Scoring:
    """Return the pairs to score on: those of the first run, at the largest size of all variants."""
    largest = max([first.jitter, *jitters], key=lambda jitter: jitter.size)
    return Scoring(
        images=first.images, part=config.part, num_scored=config.num_scored, source=first.source, split=first.split,
        recipe=first.recipe, jitter=largest,
    )  # fmt: skip


def _has_ended(run: Path) -> bool:
    """Return whether a run has reached its end; its log says so in its last row."""
    if not (run / "model" / "model.json").is_file():
        return False
    rows = journal.read(run / "log.jsonl")
    return bool(rows) and "end" in rows[-1]


def _train(cell: Cell, run: Path, *, progress: bool) -> None:
    """Train a cell, from its last checkpoint if there is one."""
    resume = (run / "config.yaml").is_file()
    config = load_config(run / "config.yaml") if resume else cell.config
    run_task(SampledTranslation, replace(config, out=str(run)), resume=resume, progress=progress)


def _time_left(config: AblateConfig, runs: Sequence[Path], spent: Sequence[float]) -> str:
    """Describe the time that this run and those after it need; empty if it is unknown."""
    waiting = sum(not _has_ended(run) for run in runs)
    if not waiting:
        return ""
    if not config.steps:
        # A run that was cut has used a part of its minutes.
        used = sum(row["time"] for run in runs[:1] for row in journal.read(run / "log.jsonl")[-1:] if "time" in row)
        seconds = max(0.0, waiting * 60 * config.minutes - used)
    elif spent:
        seconds = waiting * sum(spent) / len(spent)
    else:
        return ""
    return f", about {duration(seconds)} of training left"


def _write_results(
    ablation: Ablation, config: AblateConfig, cells: Sequence[Cell], found: Mapping[str, _Found]
) -> None:
    """Write figures, Markdown and JSON."""
    folder, parts = ablation.folder, list[str]()
    limit = f"{config.steps:,} steps" if config.steps else f"{config.minutes:g} minutes"
    variants = dict.fromkeys(cell.variant for cell in cells)
    parts.append(
        f"# Ablation\n\n{count(len(variants), 'variant')} ({', '.join(variants)}), {count(len(config.seeds), 'seed')}, "
        f"{limit} of training for each run, scored on the {config.part} split.\n"
    )
    for scores in ablation.data:
        data = scores.data
        charted = bool(shared_metrics(scores.curves))
        if charted:
            atomic_write(folder / f"{data}-curves.svg", against_minutes(data, scores.curves))
        if scores.by_pairs:
            atomic_write(folder / f"{data}-pairs.svg", against_pairs(scores))
        cards = found[data].cards
        image = grid({name: next(iter(each.values())) for name, each in cards.items()}, config.num_shown)
        if image is not None:
            imaging.write(folder / f"{data}-images.png", image)
        parts.append(_markdown(scores, charted=charted, images=image is not None))
    if ablation.failed:
        parts.append("## Without scores\n\n" + "\n".join(f"- {name}: {why}" for name, why in ablation.failed.items()))
    atomic_write(ablation.report, "\n".join(parts))
    record = read_json(folder / RECORD)
    results = {scores.data: scores.record() for scores in ablation.data}
    asked = {"minutes": 0 if config.steps else config.minutes, "steps": config.steps, "part": config.part}
    write_json(folder / RECORD, record | asked | {"results": results, "failed": dict(ablation.failed)})


def _markdown(scores: DataScores, *, charted: bool, images: bool) -> str:
    """Return the section of a data set."""
    first = next(iter(scores.variants))
    parts = [
        f"## {scores.data}\n\nMeans over {count(scores.num_images)} and all seeds; in brackets the interval that holds "
        "the mean over such images with 95% certainty (bootstrap over images).\n",
        markdown_table(scores) + "\n",
    ]
    if paired := markdown_differences(scores):
        parts.append(f"Differences from {first} on the same images; an interval without 0 is clear.\n\n{paired}\n")
    if by_seed := markdown_seeds(scores):
        parts.append(f"Means of each seed: how far they lie apart is what the seed changes.\n\n{by_seed}\n")
    if times := markdown_times(scores):
        parts.append(f"Minutes of training until a variant reached the final score of another.\n\n{times}\n")
    parts += [f"- {note}" for note in scores.notes]
    if charted:
        parts.append(f"\n![scores against minutes]({scores.data}-curves.svg)\n")
    if scores.by_pairs:
        parts.append(f"![scores against pairs]({scores.data}-pairs.svg)\n")
    if images:
        parts.append(f"![the same images side by side]({scores.data}-images.png)\n")
    return "\n".join(parts)
