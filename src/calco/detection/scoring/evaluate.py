"""`calco detect evaluate`: a detector's scores and its report, on images it was not trained on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calco import journal
from calco.addresses import redact_address
from calco.checking.duplicates import find_certain_duplicates
from calco.checking.survey import Wanted, facts_of
from calco.console import bar
from calco.data.config import SourceConfig, SplitConfig
from calco.data.curation import limited
from calco.data.sample import fraction
from calco.data.source import Item, Source
from calco.data.sources import open_source, remembered
from calco.data.splits import try_split
from calco.detection.annotated import open_annotated
from calco.detection.contract import DetectorProtocol
from calco.detection.scoring.card import MEAN_BOX, MODEL, SCORES
from calco.detection.scoring.config import DetectEvaluateConfig, PlaceConfig
from calco.detection.scoring.score import (
    DetectorOutputs,
    EvaluationResult,
    baselines,
    counted_classes,
    run_detectors,
    scorecard,
)
from calco.errors import CalcoError
from calco.outputs import writing_folder

if TYPE_CHECKING:
    from calco.detection.model import DetectorInfo

LEARNT: Final = 1000
"""Images of the training that the mean box is taken from, at most."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The images of a set that a detector was trained on.

    Attributes:
        keys: Their keys.
        known: Whether it is known of all others that it was not.
        notes: Remarks on how that is known, a sentence each without its full stop.
    """

    keys: Collection[str] = frozenset()
    known: bool = False
    notes: tuple[str, ...] = ()


def evaluate(config: DetectEvaluateConfig) -> EvaluationResult:
    """Scores a detector beside the baselines, and writes `scores.json` and `report.html`.

    Args:
        config: Which detector, which images, which place.

    Returns:
        The card of scores, and the page.

    Raises:
        CalcoError: When detector or images cannot be used, or no image could be scored.
    """
    from calco.detection.model import detector_folder, load_detector
    from calco.detection.scoring.report import write_report

    if not config.model:
        raise CalcoError("no detector was named; give its run: calco detect evaluate runs/guns")
    detector = load_detector(config.model, device=config.device, precision=config.precision)
    info = detector.info
    chosen = _chosen(config, info)
    source = chosen.source
    home = detector_folder(config.model).parent
    with writing_folder(config.out or home / "report", "calco detect evaluate") as outputs:
        folder = outputs.folder
        outputs.check(folder / name for name in (SCORES, "report.html"))
        done = evaluate_detector(
            detector, source, limited(tuple(chosen.items), config.limit), chosen.training,
            name=Path(config.model).resolve().name, threshold=config.threshold, place=config.place, seed=config.seed,
            resamples=config.resamples, batch=config.batch,
        )  # fmt: skip
        card = replace(
            done.card, num_seen=chosen.num_seen, only_seen=config.part == "train", unseen=chosen.unseen,
            notes=(*chosen.notes, *done.card.notes),
        )  # fmt: skip
        done = replace(done, card=card)
        card.save(folder)
        page = write_report(done, folder, log=journal.read(home / "log.jsonl"), about=_about(info, source))
    return replace(done, page=page)


def evaluate_detector(
    detector: DetectorProtocol, source: Source, items: Sequence[Item], training: Sequence[Item], *,
    name: str = "detector", threshold: float | None = None, place: PlaceConfig | None = None, seed: int = 0,
    resamples: int = 1000, batch: int = 8,
) -> EvaluationResult:  # fmt: skip
    """Scores any detector on any images with boxes.

    Args:
        detector: What finds objects.
        source: Where the images come from.
        items: Those that are scored.
        training: Those that the mean box is taken from; none takes the scored ones, to that baseline's gain.
        name: Of the detector.
        threshold: From which on its boxes are believed; None for its own.
        place: Where it is to work; None leaves errors per image.
        seed: Of the intervals.
        resamples: Their number.
        batch: Images that the detector is given at once.

    Raises:
        CalcoError: When the images have no boxes, or none could be scored.
    """
    notes = [] if training else ["The mean box is that of the scored images, since none of the training are here"]
    first = sorted(training or items, key=lambda item: fraction("mean box", item.key))[:LEARNT]
    systems: dict[str, DetectorProtocol] = {MODEL: detector, **baselines(source, first)}
    with bar("scoring", len(items), unit="images/s") as advance:
        looked = run_detectors(systems, source, items, batch=batch, advance=advance)
    classes, strange = counted_classes(detector, looked.truth, source.root)
    thresholds = {system: each.threshold for system, each in systems.items()}
    if threshold is not None:
        thresholds[MODEL] = threshold
    card, judgements = scorecard(
        looked, classes, thresholds, name=name, place=place or PlaceConfig(), seed=seed, resamples=resamples
    )
    card = replace(card, notes=(*notes, *strange, *_odd(looked, systems[MEAN_BOX])))
    return EvaluationResult(card=card, source=source, items=looked.items, truth=looked.truth, judgements=judgements)


def _odd(looked: DetectorOutputs, mean: DetectorProtocol) -> list[str]:
    """What a reader of the scores should know of the images."""
    notes = []
    if empty := sum(not len(objects) for objects in looked.truth):
        notes.append(f"{empty:,} of the images have nothing in them")
    boxes = sum(map(len, looked.truth))
    if boxes and boxes == sum(0 if each.ignored is None else int(each.ignored.sum()) for each in looked.truth):
        notes.append("All boxes of these images are crowds or difficult, so that nothing is to be found in them")
    if not mean.classes:
        notes.append("No box was there to take a mean of")
    return notes


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """What is to be scored.

    Attributes:
        source: The set.
        items: Those that are scored.
        training: Those that the mean box is taken from.
        notes: What is to be said of the choice.
        num_seen: Images that were passed over, since the detector was trained on them.
        unseen: Whether it is known that it was trained on none.
    """

    source: Source
    items: Sequence[Item]
    training: Sequence[Item]
    notes: Sequence[str] = ()
    num_seen: int = 0
    unseen: bool = False


def _chosen(config: DetectEvaluateConfig, info: "DetectorInfo") -> _Chosen:
    """Choose the images that are scored, and those of the training beside them."""
    home = str(info.provenance.get("images", ""))
    root = config.images or remembered(info.provenance, "to score it on: calco detect evaluate MODEL IMAGES")
    source = open_annotated(root, _reading(config, info))
    part = ("unseen" if config.images else "test") if config.part == "auto" else config.part
    parts = _parts(source, info.split)
    if part == "train":
        return _of_part(source, part, parts, Seen())
    seen = find_seen(source, info, parts["train"], at_home=_same_place(root, home))
    if part == "all":
        note = f"The detector was trained on {len(seen.keys):,} of the {len(source.items):,} images of the set"
        notes = [note] if seen.keys else []
        return _Chosen(source=source, items=source.items, training=parts["train"], notes=notes)
    return _of_part(source, part, parts, seen) if part in parts else _unseen(source, parts, seen)


def _same_place(root: str, home: str) -> bool:
    return redact_address(root) == home or (Path(root).exists() and Path(home).exists() and Path(root).samefile(home))


def _unseen(source: Source, parts: Mapping[str, Sequence[Item]], seen: Seen) -> _Chosen:
    """Choose all images that the detector was not trained on."""
    items = [item for item in source.items if item.key not in seen.keys]
    if not items:
        raise CalcoError(
            f"the detector was trained on all {len(source.items):,} images of {source.root}; name others, or score "
            "it on them all the same: --part all"
        )
    training = [item for item in source.items if item.key in seen.keys] or parts["train"]
    watched = sum(item.key not in seen.keys for item in parts["val"]) if seen.keys else 0
    notes = [f"{watched:,} of them are the validation's, which chose its threshold and its step"] if watched else []
    return _Chosen(
        source=source, items=items, training=training, notes=(*seen.notes, *notes), num_seen=len(seen.keys),
        unseen=seen.known,
    )  # fmt: skip


def _reading(config: DetectEvaluateConfig, info: "DetectorInfo") -> SourceConfig:
    """Configuration of the source: as in the training, but for what is given."""
    given = {name: getattr(config, name) for name in ("source", "annotations", "classes")}
    given = {name: value for name, value in given.items() if value is not None}
    reading: SourceConfig = replace(info.source, **given, limit=0)
    if config.images and "annotations" not in given and reading.annotations:
        reading = replace(reading, annotations=None)  # that of the training's images, not of these
    return reading


def _of_part(source: Source, part: str, parts: Mapping[str, Sequence[Item]], seen: Seen) -> _Chosen:
    """Choose a part of the training's own division, without images that the detector was trained on."""
    items, notes = parts[part], list(seen.notes)
    if part == "test" and not items:
        items = parts["val"]
        notes.append("There is no test part; these are the images of the validation")
    if not items:
        raise CalcoError(f"the part {part} of {source.root} is empty; choose another: --part all")
    left = [item for item in items if item.key not in seen.keys]
    if not left:
        raise CalcoError(
            f"the detector was trained on all {len(items):,} images of the part {part} of {source.root}; name "
            "others, or score it on them all the same: --part all"
        )
    if part == "val":
        notes.append("The detector's threshold and its step were chosen on these images")
    training = () if part == "train" else parts["train"]
    return _Chosen(
        source=source, items=left, training=training, notes=notes, num_seen=len(items) - len(left),
        unseen=part != "train" and seen.known,
    )  # fmt: skip


def _parts(source: Source, split: SplitConfig) -> dict[str, list[Item]]:
    """The training's own division; where the images are too few to be divided, all are the last part."""
    return try_split(source.items, split) or {"train": [], "val": [], "test": list(source.items)}


def _about(info: "DetectorInfo", source: Source) -> dict[str, str]:
    """What the report says of the detector."""
    said: dict[str, Any] = info.provenance
    return {
        "Architecture": info.architecture,
        "Classes": ", ".join(info.classes),
        "Size": f"{info.size} pixels, in a square",
        "Trained on": f"{said.get('images', 'unknown')} ({said.get('splits', {}).get('train', '?')} images)",
        "Training": f"{info.step} steps, seed {info.seed}",
        "Began with": str(said.get("weights", said.get("began_with", "not told"))),
        "Scored on": source.summary(),
        "Made with": f"Calco {said.get('calco', '?')}, torch {said.get('torch', '?')}",
    }


if TYPE_CHECKING:
    from calco.detection.model import DetectorInfo

MOST_COMPARED: Final = 2000
"""Images of the training, and as many others, whose thumbnails are compared at most."""


def find_seen(source: Source, info: "DetectorInfo", training: Sequence[Item], *, at_home: bool) -> Seen:
    """Find the images that a detector was trained on.

    Args:
        source: The set.
        info: What the detector says of its training.
        training: The images of the set that the training's own division would train on.
        at_home: Whether the set is the one that the detector was trained on.
    """
    digests = set(info.provenance.get("trained_on", ()))
    if not digests:
        if at_home:  # the division tells what contents do not
            return Seen(keys={item.key for item in training}, known=True)
        return Seen(notes=("The detector does not tell its images of training: some may be among these",))
    keys = {item.key for item in source.items if not digests.isdisjoint(source.digests(item))}
    if at_home:
        return Seen(keys=keys, known=True)
    others = [item for item in source.items if item.key not in keys]
    copies = _copies(source, others, info)
    note = f"{len(copies):,} of them are copies of images of the training, saved anew or resized"
    return Seen(keys=keys | copies, known=True, notes=(note,) if copies else ())


def _copies(source: Source, items: Sequence[Item], info: "DetectorInfo") -> set[str]:
    """Return the keys of the images that show the same as one of the training, where that is on this disk."""
    home = str(info.provenance.get("images", ""))
    if not items or not home or not Path(home).exists():
        return set()
    try:
        trained = open_source(home, info.source)
    except CalcoError:
        return set()  # it is not what it was
    training = (try_split(trained.items, info.split) or {"train": []})["train"]
    wanted = Wanted()
    facts = [
        replace(facts_of(each, wanted, item), key=f"{side}{item.key}")
        for side, each, chosen in (("t", trained, training), ("s", source, items))
        for item in sorted(chosen, key=lambda item: fraction("seen", item.key))[:MOST_COMPARED]
    ]
    pairs = [alike for alike in find_certain_duplicates(facts) if alike.how != "variant"]
    crossing = [{alike.first, alike.second} for alike in pairs if alike.first[0] != alike.second[0]]
    return {key[1:] for pair in crossing for key in pair if key[0] == "s"}
