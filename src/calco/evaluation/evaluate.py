"""`calco evaluate` and `calco compare`: a model's scores and its report, on images it was not trained on."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from calco import journal
from calco.addresses import redact_address
from calco.checking.check import report_masks
from calco.data.augmentation import whole_side
from calco.data.config import JitterConfig, SourceConfig
from calco.data.curation import limited
from calco.data.dataset import PairDataset
from calco.data.recipe_config import RecipeConfig
from calco.data.recipes import build_recipe, has_class_targets, recipe_here, recipe_title, steps_of
from calco.data.sample import Pair
from calco.data.source import Item, Source, settled
from calco.data.sources import is_elsewhere, open_source, remembered
from calco.data.splits import split_items
from calco.errors import CalcoError, UsageError
from calco.evaluation import CompareConfig, EvaluateConfig, scoring
from calco.evaluation.baselines import MODEL
from calco.evaluation.judges import open_judge
from calco.evaluation.metrics import METRICS
from calco.evaluation.scorecard import SCORES, Scorecard
from calco.evaluation.scores import score_table
from calco.evaluation.scoring import Examiner, Found
from calco.evaluation.steadiness import measure, stretches
from calco.imaging import Image
from calco.inference.folder import ModelInfo, is_exported
from calco.inference.steady import Steady
from calco.inference.translator import Translator, load, model_folder
from calco.outputs import writing_file, writing_folder
from calco.records import to_record
from calco.report.page import count, write_page
from calco.work import Engine, prefetched, results

HERE: Final = Engine(jobs=1)
STORED: Final = "aligned"
_OF_SOURCE: Final = ("source", "input", "target", "direction")
_log = logging.getLogger(__name__)


def evaluate(config: EvaluateConfig, *, progress: Callable[[str, float, int], None] | None = None) -> Scorecard:
    """Score a model beside the baselines, and write `scores.json` and `report.html`.

    Args:
        config: Model, images and options.
        progress: Called with the name of a stage, the number of images or frames done, and their number in all.

    Returns:
        The scorecard; its cases hold the images of the report.

    Raises:
        CalcoError: When model or images cannot be used, or no image could be scored.
    """
    from calco.evaluation.report import write_report

    report = progress or (lambda _stage, _done, _total: None)
    model, images, seed, engine = config.model, config.images, config.seed, config.workers()
    translator = _loaded(model, config.steps)
    info = _info_here(translator.info, config)
    given = {name: value for name in _OF_SOURCE if (value := getattr(config, name)) is not None}
    source = replace(info.source, **given)  # as in training, except for what is named
    found, items = _items(info, images, source, config.limit)
    _log.info(found.summary())
    if config.steady and found.kind != "video":
        raise UsageError(f"--steady goes with videos, and these are {found.kind}; leave it out")
    found, recipe_config = settled(found, info.recipe, items, resolved=True)
    info = replace(info, recipe=recipe_config)
    report_masks(found)
    make = build_recipe(info.recipe, found.kind, found.recipe, allow_code=config.allow_code)
    dataset = PairDataset(found, items, make, info.jitter, seed, train=False)
    home = (Path(model) if is_exported(model) else model_folder(model)).parent
    folder = Path(config.out or home / (f"{Path(model).stem}-report" if is_exported(model) else "report"))
    by_key = {item.key: item for item in items}
    # Without the digests of the training images, any image may be one of them.
    trained_on = set(info.provenance["trained_on"]) if "trained_on" in info.provenance else None
    judge = None if config.judge is None else open_judge(config, info.recipe.recipe, dataset, found)
    with writing_folder(folder, "calco evaluate") as outputs:
        outputs.check(folder / name for name in (SCORES, "report.html"))
        spread = None
        if engine != HERE:
            bare = PairDataset(replace(found, items=(), masks=None), [], make, info.jitter, seed, train=False)
            one = _One(model=str(model), steps=config.steps, dataset=bare)
            spread = partial(_spread, engine, one, dataset)
        card = scoring.evaluate(
            lambda image: translator(image, native=True),
            _read_ahead(dataset.scored_pairs(), len(items)),
            name=Path(model).resolve().name,
            recipe=recipe_title(info.recipe.recipe),
            palette=info.recipe.segment.palette if info.palette is not None else None,
            seen=None if trained_on is None else lambda key: not trained_on.isdisjoint(found.digests(by_key[key])),
            digest=lambda key: found.digest(by_key[key]),
            setting=pair_setting(info.recipe, info.jitter) | {"seed": str(seed)},
            mean_target=None if translator.mean_target is None else (translator.mean_target / 255).astype(np.float32),
            inception=config.inception,
            learned_from_alexnet=info.provenance.get("perceptual") == "alexnet",
            judge=judge,
            seed=seed,
            progress=lambda done, _key: report("scoring", done, len(items)),
            out=folder,
            spread=spread,
        )
        if found.kind == "video":
            again = open_source(found.root, replace(source, frames="1", limit=0))
            runs = stretches(again.items, items if images is None else None, config.video_frames)
            steadier = Steady.of(info) if config.steady else None
            total = sum(map(len, runs))
            video = measure(runs, again, make, translator, steady=steadier, seed=seed,
                            progress=lambda done: report("following frames", done, total))  # fmt: skip
            card = replace(card, video=video)
            card.save(folder)
        log = [] if is_exported(model) else journal.read(home / "log.jsonl")
        write_report(card, folder / "report.html", log=log, about=about(info, found, dataset.damaged))
    return card


def _loaded(model: str | Path, steps: int | None) -> Translator:
    """Load a model that refines its output in so many steps if it is a bridge."""
    translator = load(model)
    translator.refine_in(steps)
    return translator


def _info_here(info: ModelInfo, config: EvaluateConfig) -> ModelInfo:
    """Return the description of a model with the recipe and the masks of this machine."""
    recipe = _as_stored(info.recipe) if config.recipe == STORED else recipe_here(info.recipe, config.recipe)
    steps_here = steps_of(recipe.recipe)
    for option, given, step in (("--masks", config.masks, "erase"), ("--style", config.style, "sketch")):
        if given is not None and step not in steps_here:
            raise UsageError(
                f"{option} {given} is of the recipe {step}, and the model is scored on pairs of "
                f"{recipe_title(recipe.recipe)}; leave {option} out"
            )
    if config.style is not None:
        recipe = replace(recipe, sketch=replace(recipe.sketch, style=config.style))
    if config.masks is not None:
        holes = recipe.erase.holes if recipe.erase.masks else "masks"
        recipe = replace(recipe, erase=replace(recipe.erase, masks=config.masks, holes=holes))
    steps = info.generator.bridge_steps if config.steps is None else config.steps
    return replace(info, recipe=recipe, generator=replace(info.generator, bridge_steps=steps))


def _as_stored(recipe: RecipeConfig) -> RecipeConfig:
    """Return the recipe that takes pairs as they are stored, for a model whose own recipe makes its inputs."""
    if has_class_targets(recipe):
        raise UsageError(
            f"--recipe {STORED} takes pairs as they are stored, and the model paints classes, which its own recipe "
            f"{recipe_title(recipe.recipe)} reads from masks; leave --recipe out"
        )
    return replace(recipe, recipe=STORED)


def compare(config: CompareConfig) -> tuple[dict[str, Scorecard], Path]:
    """Put the scores and images of evaluated runs side by side, on one page.

    Args:
        config: Runs (or folders with `scores.json`), and the page to write.

    Returns:
        The scorecards by the runs' shortest names that tell them apart, and the page.

    Raises:
        CalcoError: When there are fewer than two, or one has no scores yet.
    """
    from calco.evaluation.evaluate import compare_report

    cards: dict[str, Scorecard] = {}
    for run in map(Path, config.runs):
        report = next((f for f in (run / "report", run) if (f / "scores.json").is_file()), None)
        if report is None:
            raise CalcoError(f"{run} has no scores yet; make them with: calco evaluate {run}")
        name = run.resolve().name
        cards[name if name not in cards else str(run)] = Scorecard.load(report)
    out = Path(config.out)
    page = out / "report.html" if out.is_dir() else out
    with writing_file(page, "calco compare"):
        return cards, compare_report(cards, page)


def _items(
    info: ModelInfo, images: str | Path | None, config: SourceConfig, limit: int
) -> tuple[Source, Sequence[Item]]:
    """Return the source, and its images to score; the limit comes last, so that it moves no split."""
    # A model's own address is not opened unasked; given again, it stands for the images of the training.
    given = "" if images is None else os.fspath(images)
    if given and (redact_address(given) != info.provenance.get("images") or not is_elsewhere(given)):
        source = open_source(given, replace(config, limit=0))
        return source, limited(source.items, limit)
    root = given or remembered(info.provenance, "to score it on: calco evaluate MODEL IMAGES")
    try:
        source = open_source(root, config)
    except CalcoError as error:
        raise CalcoError(
            f"the training images are needed for their test split: {error}; or name other images"
        ) from error
    splits = split_items(source.items, info.split)
    kept_apart = splits["test"] or splits["val"]
    if not kept_apart:
        raise CalcoError(
            "the model was trained on all of its images, with none for test or validation; name the images to "
            "score it on: calco evaluate MODEL IMAGES"
        )
    if not splits["test"]:
        note = "there is no test split: scored on validation, by which the best step was chosen"
        _log.warning(note)
        source = replace(source, notes=(*source.notes, note))
    return source, limited(tuple(kept_apart), limit)


def _read_ahead(pairs: Iterator[Pair], most: int) -> Iterator[Pair]:
    """Yield pairs, at most so many, that a thread reads while those before are translated and scored."""
    for pair in prefetched(lambda _: next(pairs, None), range(most), threads=1):
        if pair is not None:
            yield pair


@dataclass(frozen=True, kw_only=True)
class _One:
    """Work of another process, which scores images; called there, it loads the model."""

    model: str
    steps: int | None  # of a bridge
    dataset: PairDataset  # makes pairs of items; has none itself
    examiner: Examiner | None = None  # scores the pairs

    def __call__(self) -> Callable[[Item], Found | str]:
        return partial(self.found, _loaded(self.model, self.steps))

    def found(self, translator: Translator, item: Item) -> Found | str:
        """Return the scores of an image, or why it could not be read."""
        assert self.examiner is not None
        parts = self.dataset
        dataset = PairDataset(parts.source, [item], parts.recipe, parts.jitter, parts.seed, train=False)
        try:
            pair = dataset.pair(0, 0)
        except CalcoError:
            return dataset.damaged[item.key]
        return next(self.examiner.each([pair], lambda image: translator(image, native=True)))


def _spread(engine: Engine, one: _One, dataset: PairDataset, examiner: Examiner) -> Iterator[Found]:
    """Let free processes score the images, and yield the scores in the order of the images."""
    examiner.settle(dataset.pair(0, 0))  # all processes take the same baselines
    waiting: dict[int, Found | str] = {}
    turn = 0
    with closing(results(engine, replace(one, examiner=examiner), dataset.items, on_gpu=True)) as done:
        for place, found in done:
            waiting[place] = found
            while turn in waiting:
                if isinstance(now := waiting.pop(turn), str):
                    dataset.damaged[dataset.items[turn].key] = now
                else:
                    yield now
                turn += 1


def pair_setting(recipe: RecipeConfig, jitter: JitterConfig) -> dict[str, str]:
    """Return how inputs are made of images, name and value: must be equal if the scores of two runs are compared."""
    setting = {"recipe": recipe_title(recipe.recipe)}
    record = to_record(recipe)
    for step in steps_of(recipe.recipe):
        setting |= {f"{step}.{name}": str(value) for name, value in record.get(step, {}).items()}
    return setting | {"size": f"{whole_side(jitter) or 'native'} pixels, {jitter.fit}"}


def about(info: ModelInfo, source: Source, damaged: dict[str, str]) -> dict[str, str]:
    """Return facts on the model and its images for the report."""
    known = info.provenance
    splits = known.get("splits", {})
    learned = f"{splits.get('train', '?')} pairs, source {known.get('source', '?')}"
    learned += "" if "trained_on" in known else "; the model does not name them"
    return {
        "Recipe": info.recipe.recipe,
        "Trained on": f"{known.get('images', 'unknown')} ({learned})",
        "Training": f"{info.step} steps, epoch {known.get('epoch', '?')}, seed {info.seed}",
        "Generator": f"{info.generator.architecture}, {info.generator.filters} filters, depth {info.generator.depth}, "
        f"composition {info.generator.composition}"
        + (f", a bridge of {steps} steps" if (steps := info.generator.bridge_steps) else ""),
        "Size": f"{info.jitter.size} pixels ({info.jitter.fit})",
        "Scored on": source.summary(),
        "Could not be read": "; ".join(f"{key}: {reason}" for key, reason in damaged.items()) or "none",
        "Made with": f"Calco {known.get('calco', '?')}, torch {known.get('torch', '?')}",
    }


NUM_IMAGES = 24


def compare_report(cards: Mapping[str, Scorecard], out: str | Path) -> Path:
    """Write a page with several runs side by side: their scores in one table, and the same images in rows."""
    if len(cards) < 2:
        raise CalcoError(
            f"{count(len(cards), 'run')} to compare; two or more are needed: name them one after the other"
        )
    differ = differences(cards)
    systems = {name: card.systems[MODEL] for name, card in cards.items()}
    if not differ:
        first = next(iter(cards.values()))
        systems |= {name: first.systems[name] for name in first.baselines if name not in systems}
    metrics = {key: metric for key, metric in METRICS.items() if any(key in scores for scores in systems.values())}
    highlight = [] if differ else list(cards)
    return write_page(
        out,
        "comparison",
        title=f"{' · '.join(cards)} · Calco",
        runs=list(cards),
        verdict=" ".join(["" if differ else _winners(cards), *notes(cards)]).strip(),
        warnings=differ,
        scores=score_table(systems, metrics, "Scores of the runs", highlight, mark=not differ),
        numbers="; ".join(f"{name}: {count(card.num_counted)}" for name, card in cards.items()) + ".",
        images=_compared_images(cards),
    )


def notes(cards: Mapping[str, Scorecard]) -> list[str]:
    """Return what limits the trust in the scores of single runs, a sentence each."""
    return [f"{name}: {note}" for name, card in cards.items() for note in card.notes]


def differences(cards: Mapping[str, Scorecard]) -> list[str]:
    """Describe why the runs' scores do not compare, a sentence each; nothing where they do."""
    sentences = []
    if len({card.counted for card in cards.values()}) > 1:
        sentences.append(_different_images(cards))
    for name in dict.fromkeys(name for card in cards.values() for name in card.setting):
        values = {run: card.setting.get(name, "unknown") for run, card in cards.items()}
        if len(set(values.values())) > 1:
            said = "; ".join(f"{run}: {value}" for run, value in values.items())
            sentences.append(f"The runs were scored with a different {name} ({said}): their means do not compare.")
    remembered = [run for run, card in cards.items() if card.only_seen]
    if remembered and len(remembered) < len(cards):
        sentences.append(f"{', '.join(remembered)}: scored on what it was trained on, which flatters it.")
    unknown = [run for run, card in cards.items() if not card.training_known]
    if unknown and len(unknown) < len(cards):
        sentences.append(f"{', '.join(unknown)}: not known whether it was trained on these images.")
    return sentences


def _different_images(cards: Mapping[str, Scorecard]) -> str:
    """Describe how the images differ, by name or by content."""
    counted = [card.counted for card in cards.values()]
    common = frozenset.intersection(*counted)
    keys = [{key for key, _ in each} for each in counted]
    contents = [{digest for _, digest in each if digest} for each in counted]
    text = f"The runs were scored on different images ({len(common):,} in common)"
    if renamed := len(set.intersection(*contents)) - len({digest for _, digest in common if digest}):
        text += f"; {renamed:,} are the same under another name"
    if same_name := len(set.intersection(*keys)) - len({key for key, _ in common}):
        text += f"; {same_name:,} have equal names and different contents"
    return f"{text}: their means do not compare. Evaluate them on the same folder."


def _winners(cards: Mapping[str, Scorecard]) -> str:
    """Describe in one sentence which run is best on which scores."""
    won: dict[str, list[str]] = {}
    for key, metric in METRICS.items():
        means = {name: card.systems[MODEL][key].mean for name, card in cards.items() if key in card.systems[MODEL]}
        if metric.better is not None and len(means) == len(cards):
            best = (min if metric.better == "lower" else max)(means, key=lambda name: means[name])
            # If the shown digits are equal, no run wins.
            if len({metric.text(mean) for mean in means.values()}) > 1:
                won.setdefault(best, []).append(metric.label)
    if not won:
        return "No score tells the runs apart."
    return "; ".join(f"{name} is best on {', '.join(labels)}" for name, labels in won.items()) + "."


def _compared_images(cards: Mapping[str, Scorecard]) -> list[tuple[str, list[tuple[str, Image, str]]]]:
    """Return key and figures of the images whose names, contents and inputs are equal in all runs."""
    by_run = {name: {case.key: case for case in card.cases} for name, card in cards.items()}
    images = [frozenset((row.key, row.digest) for row in card.images) for card in cards.values()]
    same = {key for key, _ in frozenset.intersection(*images)}
    if len({tuple(sorted(card.setting.items())) for card in cards.values()}) > 1:
        same = set()  # the inputs of one run are not those of the other
    common = set.intersection(same, *(set(cases) for cases in by_run.values()))
    rows = []
    for key in sorted(common)[:NUM_IMAGES]:
        case = next(iter(by_run.values()))[key]
        figures = [("input", case.input), ("target", case.target)]
        for name, cases in by_run.items():
            value, rank_by = cases[key].scores[MODEL].get(cards[name].rank_by), METRICS[cards[name].rank_by]
            score = "" if value is None else f" · {rank_by.label} {rank_by.text(value)}"
            figures.append((f"{name}{score}{', from training' if cases[key].seen else ''}", cases[key].output))
        rows.append((key, [(text, image, f"{text}, {key}") for text, image in figures]))
    return rows
