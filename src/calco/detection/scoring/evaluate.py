"""`calco detect evaluate`: a detector's scores and its report, on images it was not trained on."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from calco import journal
from calco.addresses import redact_address
from calco.annotations.detections import Boxes, Detections, nothing
from calco.checking.duplicates import find_certain_duplicates
from calco.checking.survey import facts_of
from calco.console import bar
from calco.data.config import SourceConfig
from calco.data.curation import limited
from calco.data.sample import fraction
from calco.data.source import Item, Source
from calco.data.sources import open_annotated, open_source, remembered
from calco.data.splits import split_items
from calco.detection.config import DetectEvaluateConfig, PlaceConfig
from calco.detection.network import DetectorProtocol
from calco.detection.scoring.score import MEAN_BOX, MODEL, NOTHING, SCORES, DetectorOutputs, EvaluationResult, scorecard
from calco.errors import CalcoError
from calco.imaging import Image
from calco.outputs import writing_folder

if TYPE_CHECKING:
    from calco.detection.model import DetectorInfo

LEARNT: Final = 1000
"""Largest number of training images for the mean box."""
MOST_COMPARED: Final = 2000
"""Largest number of training images, and of others, whose thumbnails are compared."""
FLOOR: Final = 0.001
"""Lowest score of the boxes that are requested; the curve of precision ends there."""
_NAMED: Final = 8  # classes that a sentence names


def evaluate(config: DetectEvaluateConfig) -> EvaluationResult:
    """Score a detector beside the baselines, and write `scores.json` and `report.html`.

    Args:
        config: Detector, images and place.

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
    """Score any detector on any images with boxes.

    Without training images the mean box is that of the scored images, which favours this baseline. `threshold` and
    `place` are by default the detector's own and none: errors per image.
    """
    notes = [] if training else ["The mean box is that of the scored images, since none of the training are here"]
    first = sorted(training or items, key=lambda item: fraction("mean box", item.key))[:LEARNT]
    seen = []
    for item in first:
        with suppress(CalcoError):
            image = source.load(item)
            height, width = image.image.shape[:2]
            seen.append((width, height, image.detections or nothing()))
    systems: dict[str, DetectorProtocol] = {MODEL: detector, MEAN_BOX: MeanBox(seen), NOTHING: MeanBox(())}
    with bar("scoring", len(items), unit="images/s") as advance:
        outputs = run_detectors(systems, source, items, batch=batch, advance=advance)
    classes, strange = counted_classes(detector, outputs.truth, source.root)
    thresholds = {system: each.threshold for system, each in systems.items()}
    if threshold is not None:
        thresholds[MODEL] = threshold
    card, judgements = scorecard(
        outputs, classes, thresholds, name=name, place=place or PlaceConfig(), seed=seed, resamples=resamples
    )
    card = replace(card, notes=(*notes, *strange, *_odd(outputs, systems[MEAN_BOX])))
    return EvaluationResult(card=card, source=source, items=outputs.items, truth=outputs.truth, judgements=judgements)


def _odd(outputs: DetectorOutputs, mean: DetectorProtocol) -> list[str]:
    """Return remarks on the images that a reader of the scores should know."""
    notes = []
    if empty := sum(not len(objects) for objects in outputs.truth):
        notes.append(f"{empty:,} of the images have nothing in them")
    if any(map(len, outputs.truth)) and all(each.is_ignored.all() for each in outputs.truth):
        notes.append("All boxes of these images are crowds or difficult, so that nothing is to be found in them")
    if not mean.classes:
        notes.append("No box was there to take a mean of")
    return notes


class MeanBox:
    """Returns the mean box of each class for every image, with the class's share of the training boxes as the score.

    At its own threshold it returns the box of the most frequent class alone. `learnt` are width, height and objects of
    the training images; without any it finds nothing.
    """

    def __init__(self, learnt: Iterable[tuple[int, int, Detections]]) -> None:
        sums: dict[str, Boxes] = {}
        number: Counter[str] = Counter()
        for width, height, objects in learnt:
            kept = objects.select(~objects.is_ignored)
            for box, name in zip(kept.boxes / np.array([width, height] * 2, np.float32), kept.classes, strict=True):
                sums[name] = sums.get(name, np.zeros(4, np.float32)) + box
                number[name] += 1
        order = [name for name, _ in number.most_common()]
        self.classes = tuple(order)
        self._boxes = np.array([sums[name] / number[name] for name in order], np.float32).reshape(-1, 4)
        self._scores = np.array([number[name] / number.total() for name in order], np.float32)
        self.threshold = float(self._scores.max(initial=0.0)) or 1.0

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """As `DetectorProtocol.many`."""
        least = self.threshold if threshold is None else threshold
        kept = np.flatnonzero(self._scores >= least)
        names = tuple(self.classes[place] for place in kept)
        return [
            Detections(
                boxes=self._boxes[kept] * np.array([each.shape[1], each.shape[0]] * 2, np.float32),
                classes=names,
                scores=self._scores[kept],
            )
            for each in images
        ]


def run_detectors(
    systems: Mapping[str, DetectorProtocol],
    source: Source,
    items: Sequence[Item],
    *,
    batch: int,
    advance: Callable[[int], None],
) -> DetectorOutputs:
    """Run detectors on images, `batch` at a time; damaged images are left out."""
    outputs = DetectorOutputs(found={name: [] for name in systems})
    for start in range(0, len(items), batch):
        images = []
        for item in items[start : start + batch]:
            try:
                sample = source.load(item)
            except CalcoError as error:
                outputs.left_out[item.key] = str(error)
                continue
            if sample.detections is None:
                raise CalcoError(
                    f"{source.root} was read as {source.kind}, which has no boxes, and a detector is scored on boxes; "
                    "name their file or folder: --annotations FILE"
                )
            images.append(sample.image)
            outputs.items.append(item)
            outputs.truth.append(sample.detections)
        for number, (name, system) in enumerate(systems.items()):
            begun = time.perf_counter()
            outputs.found[name] += system.many(images, threshold=FLOOR) if images else []
            outputs.seconds += time.perf_counter() - begun if number == 0 else 0
        advance(min(start + batch, len(items)))
    return outputs


def counted_classes(
    detector: DetectorProtocol, truth: Sequence[Detections], root: str
) -> tuple[tuple[str, ...], list[str]]:
    """Return the classes that are scored, which are those of the detector, and remarks on the others."""
    there = Counter(name for objects in truth for name in objects.classes)
    strange = {name: number for name, number in there.items() if name not in detector.classes}
    if there and len(strange) == len(there):
        raise CalcoError(
            f"the detector finds {_listed(detector.classes)}, and {root} marks {_listed(sorted(there))}; name the "
            "classes as the training did: --classes NAME"
        )
    listed = _listed([f"{name} ({number:,})" for name, number in strange.items()])
    return tuple(detector.classes), [f"The detector does not know {listed}; these are not counted"] if strange else []


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """Images to score."""

    source: Source
    items: Sequence[Item]  # images that are scored
    training: Sequence[Item]  # images for the mean box
    notes: Sequence[str] = ()  # remarks on the choice
    num_seen: int = 0  # number of images left out because the detector was trained on them
    unseen: bool = False  # whether it is known that it was trained on none


def _chosen(config: DetectEvaluateConfig, info: "DetectorInfo") -> _Chosen:
    """Choose the images that are scored, and those of the training beside them."""
    home = str(info.provenance.get("images", ""))
    root = config.images or remembered(info.provenance, "to score it on: calco detect evaluate MODEL IMAGES")
    given = {name: getattr(config, name) for name in ("source", "annotations", "classes")}
    reading: SourceConfig = replace(info.source, **{k: v for k, v in given.items() if v is not None}, limit=0)
    if config.images and config.annotations is None:
        reading = replace(reading, annotations=None)  # those of the training's images, not of these
    source = open_annotated(root, reading)
    part = ("unseen" if config.images else "test") if config.part == "auto" else config.part
    # Where the images are too few to be split, all are the test split.
    parts = {"train": [], "val": [], "test": list(source.items)}
    with suppress(CalcoError):
        parts = split_items(source.items, info.split)
    if part == "train":
        return _of_part(source, part, parts, set(), [], known=False)
    same = Path(root).exists() and Path(home).exists() and Path(root).samefile(home)
    at_home = same or redact_address(root) == home
    seen, known, notes = find_seen(source, info, parts["train"], at_home=at_home)
    if part == "all":
        note = f"The detector was trained on {len(seen):,} of the {len(source.items):,} images of the set"
        return _Chosen(source=source, items=source.items, training=parts["train"], notes=[note] if seen else [])
    return _of_part(source, part, parts, seen, notes, known=known)


def _of_part(
    source: Source, part: str, parts: Mapping[str, Sequence[Item]], seen: Set[str], notes: list[str], *, known: bool
) -> _Chosen:
    """Choose a split of the training, or all images ("unseen"), without those that the detector was trained on."""
    items, training = parts.get(part, source.items), parts["train"]
    if part == "test" and not items:
        items = parts["val"]
        notes.append("There is no test split; these are the images of the validation")
    if not items:
        raise CalcoError(f"the part {part} of {source.root} is empty; choose another: --part all")
    left = [item for item in items if item.key not in seen]
    if not left:
        of = source.root if part == "unseen" else f"the part {part} of {source.root}"
        raise CalcoError(
            f"the detector was trained on all {len(items):,} images of {of}; name others, or score it on them all "
            "the same: --part all"
        )
    if part == "val":
        notes.append("The detector's threshold and its step were chosen on these images")
    if part == "unseen":
        training = [item for item in items if item.key in seen] or training
        if seen and (watched := sum(item.key not in seen for item in parts["val"])):
            notes.append(f"{watched:,} of them are the validation's, which chose its threshold and its step")
    return _Chosen(
        source=source, items=left, training=() if part == "train" else training, notes=notes,
        num_seen=len(items) - len(left), unseen=part != "train" and known,
    )  # fmt: skip


def _about(info: "DetectorInfo", source: Source) -> dict[str, str]:
    """Return facts on the detector for the report."""
    known: dict[str, Any] = info.provenance
    return {
        "Architecture": info.architecture,
        "Classes": ", ".join(info.classes),
        "Size": f"each image is seen at {info.size} pixels, in a square; boxes are compared in the images' own pixels",
        "Trained on": f"{known.get('images', 'unknown')} ({known.get('splits', {}).get('train', '?')} images)",
        "Training": f"{info.step} steps, seed {info.seed}",
        "Began with": str(known.get("weights", known.get("began_with", "unknown"))),
        "Scored on": source.summary(),
        "Made with": f"Calco {known.get('calco', '?')}, torch {known.get('torch', '?')}",
    }


def find_seen(
    source: Source, info: "DetectorInfo", training: Sequence[Item], *, at_home: bool
) -> tuple[set[str], bool, list[str]]:
    """Return the keys of the images that a detector was trained on, whether these are known to be all, and remarks."""
    digests = set(info.provenance.get("trained_on", ()))
    if not digests:
        if at_home:  # the split says what contents do not
            return {item.key for item in training}, True, []
        return set(), False, ["The detector does not name its training images: some may be among these"]
    keys = {item.key for item in source.items if not digests.isdisjoint(source.digests(item))}
    if at_home:
        return keys, True, []
    others = [item for item in source.items if item.key not in keys]
    copies = _copies(source, others, info)
    note = f"{len(copies):,} of them are copies of images of the training, saved anew or resized"
    return keys | copies, True, [note] if copies else []


def _copies(source: Source, items: Sequence[Item], info: "DetectorInfo") -> set[str]:
    """Return the keys of the images that show the same as a training image, if those are on this disk."""
    home = str(info.provenance.get("images", ""))
    if not items or not home or not Path(home).exists():
        return set()
    try:
        trained = open_source(home, info.source)
        training = split_items(trained.items, info.split)["train"]
    except CalcoError:
        return set()  # it is not what it was
    facts = [
        replace(facts_of(each, item), key=f"{side}{item.key}")
        for side, each, chosen in (("t", trained, training), ("s", source, items))
        for item in sorted(chosen, key=lambda item: fraction("seen", item.key))[:MOST_COMPARED]
    ]
    pairs = [alike for alike in find_certain_duplicates(facts) if alike.how != "variant"]
    crossing = [{alike.first, alike.second} for alike in pairs if alike.first[0] != alike.second[0]]
    return {key[1:] for pair in crossing for key in pair if key[0] == "s"}
