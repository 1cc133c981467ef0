"""Images with boxes or outlines as a source."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final

from calco import imaging
from calco.annotations.detections import nothing
from calco.annotations.reading import FORMATS, read_annotations, unread_labels
from calco.annotations.record import COSTS_A_IMAGE, Annotations, DataYaml, Images, Record, plain
from calco.annotations.sniffing import holds_annotations
from calco.data import splits
from calco.data.config import SourceConfig
from calco.data.sample import Sample
from calco.data.source import Item, Source
from calco.data.sources.folders import nothing_in
from calco.data.sources.names import keys_of, role_of
from calco.errors import CalcoError
from calco.files import digest as content_digest
from calco.files import list_files

_UNMARKED: Final = "it has no annotations"
_ELSEWHERE: Final = "only a file in another format, which is not read, annotates it"


def matches(path: str, config: SourceConfig) -> bool:
    """Return True if annotations are named, or a folder holds some in a known format; a few files are looked into."""
    if config.annotations:
        return True
    return not (config.input or config.target) and os.path.isdir(path) and holds_annotations(path)


def doubted(source: Source) -> Source:
    """Note labels beside photographs that are not read."""
    if source.kind != "photographs" or not Path(source.root).is_dir():
        return source
    stems = {PurePosixPath(item.key).stem for item in source.items}
    problem = unread_labels(source.root, stems)
    if problem is None:
        return source
    return replace(source, problems=(problem,), notes=(*source.notes, f"labels are not read: {problem}"))


def open(path: str, config: SourceConfig) -> Source:
    """List the images of a folder that are annotated, there or in `config.annotations`.

    Other images are left out; beside YOLO's labels, an image without any is empty.
    """
    folder = Path(path)
    listing = list_files(folder, imaging.is_image)
    if not listing.paths:
        raise CalcoError(nothing_in(folder, listing.left_out))
    # The masks of images, in folders that are named after masks, are not images themselves.
    places = {path: PurePosixPath(path.removeprefix(listing.root)) for path in listing.paths}
    masks = {path for path, place in places.items() if "mask" in map(role_of, place.parts[:-1])}
    stems = {place.stem for path, place in places.items() if path not in masks}
    paths = [path for path, place in places.items() if path not in masks or place.stem not in stems]
    where = folder
    if config.annotations:
        where = folder / config.annotations if (folder / config.annotations).exists() else Path(config.annotations)
    if not where.exists():
        raise CalcoError(f"there is no {config.annotations}, neither in {path} nor here; check --annotations")
    images = Images(map(Path, paths), folder)
    found = read_annotations(where, images, classes=config.classes)
    records = {str(record.image): record for record in found.records}
    if not records:
        problems = sorted(found.problems, key=lambda problem: problem.fault == "unused")
        reason = f"; the first reason: {problems[0]}" if problems else ""
        raise CalcoError(f"no image in {path} is annotated by {where}{reason}; name the file with --annotations")
    if found.format == FORMATS["yolo"].title:
        records |= {str(record.image): record for record in _backgrounds(images, found, where)}
    # An image that lost its boxes is left out; else it is a file or line that names no image.
    left_out = [(problem.image if problem.fault == "incomplete" else problem.where.removeprefix(listing.root),
                 problem.reason) for problem in found.problems if problem.fault in COSTS_A_IMAGE]  # fmt: skip
    left_out += [
        (images.name(image), _ELSEWHERE if image in found.passed else _UNMARKED)
        for image in images.paths
        if str(image) not in records and image not in found.lost
    ]
    keys = sorted(keys_of(sorted(records), listing.root).items())
    items = tuple(Item(key, key, (path,), None, (place,)) for place, (key, path) in enumerate(keys))
    chosen = tuple(records[path] for _, path in keys)
    items, undeclared, remarks = _with_declared_splits(items, chosen, found, listing.root)
    classes = tuple(name for name in found.classes if name != "background")
    listed_classes = ", ".join(classes[:6]) + (f" and {len(classes) - 6} more" if len(classes) > 6 else "")
    paths = list(records)
    return Source(
        "annotations", path, items, load_annotated, (*listing.left_out, *left_out, *undeclared),
        channels=(imaging.common_channels(paths, config.background), 3), background=config.background,
        digester=_digest, context=chosen, classes=classes, notes=(*remarks, *_notes(found, chosen)),
        problems=tuple(found.problems),
        story=f"images with boxes or outlines ({found.format}; classes: {listed_classes})",
    )  # fmt: skip


def load_annotated(source: Source, item: Item) -> Sample:
    """Read an image with its detections."""
    image = imaging.read(item.paths[0], channels=source.channels[0], background=source.background)
    height, width = image.shape[:2]
    objects = record_of(source, item).at(width, height).detections
    return Sample(image=image, key=item.key, group=item.group, detections=objects)


def record_of(source: Source, item: Item) -> Record:
    """Return the annotations of an image, without reading its pixels."""
    record: Record = source.context[item.place[0]]
    return record


def _digest(source: Source, item: Item) -> str:
    """Return a digest of the image and of its annotations."""
    objects = record_of(source, item).detections
    total = sha256(content_digest(item.paths[0]).encode())
    total.update(repr((objects.classes, objects.boxes.tolist())).encode())
    total.update(repr(None if objects.ignored is None else objects.ignored.tolist()).encode())
    for outline in objects.outlines:
        if outline is not None:
            total.update(repr([ring.tolist() for ring in outline.polygons]).encode())
            total.update(b"" if outline.mask is None else outline.mask.tobytes())
    return total.hexdigest()[:16]


def _backgrounds(images: Images, found: Annotations, labels: Path) -> Iterator[Record]:
    """Yield the images beside YOLO's labels that have no label, not even one that cannot be read: they are empty.

    In a folder of which no image has a label, nobody has looked for objects: its images are none of these.
    """
    folder = labels if labels.is_dir() else labels.parent
    texts = list_files(folder, lambda name: name.lower().endswith(".txt")).paths
    labelled = {plain(Path(path).stem) for path in texts}
    used = {record.image for record in found.records if record.image}
    known = {*used, *found.lost, *found.passed}
    known |= {path for path in images.paths if {plain(path.stem), plain(path.name)} & labelled}
    looked_at = {path.parent for path in known}
    for path in images.paths:
        if path not in known and path.parent in looked_at and (size := imaging.header_size_wh(path)):
            yield Record(name=images.name(path), objects=nothing(), size_wh=size, image=path)


def _notes(found: Annotations, records: Sequence[Record]) -> tuple[str, ...]:
    """Return remarks on boxes that were corrected or left out, and on images without objects."""
    faults = Counter(problem.fault for problem in found.problems if problem.fault not in COSTS_A_IMAGE)
    notes = []
    if faults:
        # What is wrong with the whole set counts more than a slip.
        order = sorted(found.problems, key=lambda problem: problem.fault not in ("unit", "order"))
        first = next(problem for problem in order if problem.fault in faults)
        counted = ", ".join(f"{count} {fault}" for fault, count in faults.most_common())
        notes.append(f"boxes were corrected or left out ({counted}), such as {first}".removesuffix("."))
    if empty := sum(not len(record.objects) for record in records):
        notes.append("1 image is empty" if empty == 1 else f"{empty} images are empty")
    boxes = sum(len(record.objects) for record in records)
    if boxes and all(record.objects.is_ignored.all() for record in records):
        notes.append(f"all {boxes:,} boxes are crowds or difficult, which are neither learned nor scored")
    return (*notes, "if the images alone are meant: --source photographs")


def _with_declared_splits(
    items: Sequence[Item], records: Sequence[Record], found: Annotations, root: str
) -> tuple[tuple[Item, ...], splits.LeftOut, tuple[str, ...]]:
    """Return items with the splits that their data set declares, those that are left out, and remarks on both.

    The items have no split yet, and are in the order of their records; the root ends with a separator.
    """
    paths = [item.paths[0] for item in items]
    described = next((each for each in found.described if each.splits), None)
    if described and (lists := _of_data_yaml(described, paths, root)):
        return *splits.listed(items, lists), (lists.remark(),)
    texts = list_files(root, lambda name: splits.split_of_list(name) is not None).paths
    in_folders, outside = splits.by_folders(items)
    if lists := splits.find_lists(root.rstrip("/") or "/", paths, texts):
        own = {item.key: item.split for item in in_folders}
        return *splits.listed([replace(item, split=own.get(item.key)) for item in items], lists), (lists.remark(),)
    by_entry = [
        replace(item, split=splits.split_named(record.split)) for item, record in zip(items, records, strict=True)
    ]
    if len({item.split for item in by_entry} - {None}) > 1:
        return *splits.settled(by_entry, "of no split in the annotations"), (
            "the splits are those that the annotations name",
        )
    by_file = [replace(item, split=_of_files(record)) for item, record in zip(items, records, strict=True)]
    if len({item.split for item in by_file} - {None}) > 1:
        files = sorted({os.path.basename(record.where) for record in records if _of_files(record)})
        return *splits.settled(by_file, f"annotated in none of {', '.join(files)}"), (
            f"the splits are those of {', '.join(files)}",
        )
    return in_folders, outside, ()


def _of_files(record: Record) -> str | None:
    """Return the split that the file of a record is named after; of several files the one furthest from training."""
    words = [re.findall(r"[A-Za-z]+[0-9]*", Path(where).stem) for where in (record.where, *record.also)]
    return splits.furthest(splits.split_named(word) for each in words for word in each)


def _of_data_yaml(described: DataYaml, paths: Sequence[str], root: str) -> splits.SplitLists | None:
    """Return the splits of data.yaml, whose entries are folders, lists of images, or images."""
    split: dict[str, str] = {}
    sides: dict[str, set[str]] = {}
    strangers: list[str] = []
    for name, places in described.splits:
        for place in places:
            inside = _inside(place, described, paths, root, name)
            sides.setdefault(name, set()).update(inside)
            strangers += [] if inside else [f"{name}: {place}"]
    train = sides.get("train", set())
    for name in splits.SPLITS:
        # Where validation is all of training, nothing is kept apart.
        if name == "train" or sides.get(name, set()) != train:
            split |= dict.fromkeys(sides.get(name, ()), name)
    if not split:
        return None
    where = str(described.path).removeprefix(root)
    return splits.SplitLists(split, (where,), tuple(f"{each} ({where})" for each in strangers))


def _inside(place: str, described: DataYaml, paths: Sequence[str], root: str, split: str) -> set[str]:
    """Return the images that an entry of data.yaml names.

    Its paths count from its file, and those of another machine by their last parts.
    """
    named, home = PurePosixPath(place.strip().replace("\\", "/")), described.path.parent
    base = PurePosixPath(described.root.strip().replace("\\", "/"))
    found = [home / base / named, home / named, Path(root) / base / named, Path(root) / named]
    parts = [part for part in named.parts if part not in ("/", "..", ".")]
    tails = [parts[start:] for start in range(len(parts))]
    # A last part alone may be any folder, unless it is named after a split.
    tails = [tail for tail in tails if len(tail) > 1 or len(parts) == 1 or splits.split_named(tail[0])]
    found += [top.joinpath(*tail) for tail in tails for top in (home, Path(root))]
    candidates = list(dict.fromkeys(Path(os.path.normpath(path)) for path in found))
    for path in candidates:
        if path.is_file() and path.suffix.lower() in (".txt", ".lst"):
            return set(splits.read_lists(root, paths, {str(path): split}).split)
    for path in candidates:
        top = os.path.join(os.path.normpath(path), "")
        if inside := {each for each in paths if each.startswith(top) or each == str(path)}:
            return inside
    return set()
