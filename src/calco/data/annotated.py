"""Images with boxes or outlines as a source: the recipe `segment` learns to draw who is where."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final

from calco import imaging
from calco.annotations.detections import nothing
from calco.annotations.matching import Images, plain
from calco.annotations.reading import FORMATS, holds_annotations, read_annotations, unread_labels
from calco.annotations.record import COSTS_A_IMAGE, Annotations, Problem, Record
from calco.data.annotated_splits import with_declared_splits
from calco.data.config import SourceConfig
from calco.data.layout import nothing_in
from calco.data.names import role_of
from calco.data.places import key_of
from calco.data.sources import Item, Source
from calco.data.types import Sample
from calco.errors import CalcoError
from calco.files import digest as content_digest
from calco.files import list_files

_UNMARKED: Final = "nothing is said about it"
_ELSEWHERE: Final = "only annotations of another format, which are not read, speak of it"


def looks_annotated(root: Path, config: SourceConfig) -> bool:
    """Whether a folder holds annotations in a known format; a few files are looked into."""
    return not (config.input or config.target) and root.is_dir() and holds_annotations(root)


def doubted(source: Source) -> Source:
    """Photographs beside which labels lie that nobody reads, since their numbers are no shares: that is said."""
    if source.kind != "photographs" or not Path(source.root).is_dir():
        return source
    stems = {PurePosixPath(item.key).stem for item in source.items}
    problem = unread_labels(source.root, stems)
    if problem is None:
        return source
    return replace(source, problems=(problem,), notes=(*source.notes, f"labels are not read: {problem}"))


def open_annotated(root: str, config: SourceConfig) -> Source:
    """Lists the images of a folder about which something is said, there or in `config.annotations`.

    Images of which nothing is said are left out; beside YOLO's labels, an image without any has nothing in it.

    Raises:
        CalcoError: When there are no images or no annotations, or they do not belong together.
    """
    folder = Path(root)
    listing = list_files(folder, imaging.is_image)
    if not listing.paths:
        raise CalcoError(nothing_in(folder, listing.left_out))
    paths = _without_masks(listing.paths, listing.root)
    where = folder
    if config.annotations:
        where = folder / config.annotations if (folder / config.annotations).exists() else Path(config.annotations)
    if not where.exists():
        raise CalcoError(f"there is no {config.annotations}, neither in {root} nor here; check --annotations")
    images = Images(map(Path, paths), folder)
    found = read_annotations(where, images, classes=config.classes)
    records = {str(record.image): record for record in found.records}
    if not records:
        problems = sorted(found.problems, key=lambda problem: problem.fault == "unused")
        reason = f"; the first reason: {problems[0]}" if problems else ""
        raise CalcoError(f"no image in {root} is annotated by {where}{reason}; name the file with --annotations")
    if found.format == FORMATS["yolo"]:
        records |= {str(record.image): record for record in _backgrounds(images, found, where)}
    left_out = [(_name(p, listing.root), p.reason) for p in found.problems if p.fault in COSTS_A_IMAGE]
    left_out += [
        (images.name(path), _ELSEWHERE if path in found.passed else _UNMARKED)
        for path in images.paths
        if str(path) not in records and path not in found.lost
    ]
    items, chosen = _items(records, listing.root)
    items, undeclared, remarks = with_declared_splits(items, chosen, found, listing.root)
    classes = tuple(name for name in found.classes if name != "background")
    paths = list(records)
    return Source(
        "annotations", root, items, load_annotated, (*listing.left_out, *left_out, *undeclared),
        channels=(imaging.common_channels(paths, config.background), 3), background=config.background,
        digester=_digest, context=chosen, classes=classes, notes=(*remarks, *_notes(found, chosen)),
        problems=tuple(found.problems),
        story=f"images with boxes or outlines ({found.format}; classes: {_listed(classes)})",
    )  # fmt: skip


def _name(problem: Problem, root: str) -> str:
    """Return what is left out for a problem: the image that lost its boxes, or else the file or line."""
    return problem.image if problem.fault == "incomplete" else problem.where.removeprefix(root)


def _without_masks(paths: Sequence[str], start: str) -> list[str]:
    """The images; what has the name of one and lies in a folder that is named after masks is its mask."""
    places = {path: PurePosixPath(path.removeprefix(start)) for path in paths}
    masks = {path for path, place in places.items() if "mask" in map(role_of, place.parts[:-1])}
    names = {places[path].stem for path in paths if path not in masks}
    return [path for path in paths if path not in masks or places[path].stem not in names]


def load_annotated(source: Source, item: Item) -> Sample:
    """The image and what is in it."""
    image = imaging.read(item.paths[0], channels=source.channels[0], background=source.background)
    height, width = image.shape[:2]
    objects = record_of(source, item).at(width, height).detections
    return Sample(image=image, key=item.key, group=item.group, detections=objects)


def record_of(source: Source, item: Item) -> Record:
    """What is said about an image, without reading its pixels."""
    record: Record = source.context[item.place[0]]
    return record


def _digest(source: Source, item: Item) -> str:
    """Return a digest of the image and of what is said about it."""
    objects = record_of(source, item).detections
    total = sha256(content_digest(item.paths[0]).encode())
    total.update(repr((objects.classes, objects.boxes.tolist())).encode())
    total.update(repr(None if objects.ignored is None else objects.ignored.tolist()).encode())
    for outline in objects.outlines:
        if outline is not None:
            total.update(repr([ring.tolist() for ring in outline.polygons]).encode())
            total.update(b"" if outline.mask is None else outline.mask.tobytes())
    return total.hexdigest()[:16]


def _items(records: dict[str, Record], start: str) -> tuple[tuple[Item, ...], tuple[Record, ...]]:
    """One item an image, sorted by key, and the records at their places."""
    keys: dict[str, str] = {}
    for path in sorted(records):
        key = key_of(path.removeprefix(start))
        while key in keys:
            key += Path(path).suffix
        keys[key] = path
    items = (Item(key, key, (keys[key],), None, (place,)) for place, key in enumerate(sorted(keys)))
    return tuple(items), tuple(records[keys[key]] for key in sorted(keys))


def _backgrounds(images: Images, found: Annotations, labels: Path) -> Iterator[Record]:
    """Yield the images beside YOLO's labels that have no label, not even one that cannot be read: nothing is in them.

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
    """How many boxes were mended or left out, and how many images have nothing in them."""
    faults = Counter(problem.fault for problem in found.problems if problem.fault not in COSTS_A_IMAGE)
    notes = []
    if faults:
        # What is wrong with the whole set counts more than a slip.
        order = sorted(found.problems, key=lambda problem: problem.fault not in ("unit", "order"))
        first = next(problem for problem in order if problem.fault in faults)
        counted = ", ".join(f"{count} {fault}" for fault, count in faults.most_common())
        notes.append(f"boxes were mended or left out ({counted}), such as {first}".removesuffix("."))
    if empty := sum(not len(record.objects) for record in records):
        notes.append(f"{empty} images have nothing in them")
    boxes = sum(len(record.objects) for record in records)
    if boxes and boxes == sum(0 if r.objects.ignored is None else int(r.objects.ignored.sum()) for r in records):
        notes.append(f"all {boxes:,} boxes are crowds or difficult, which are neither learned nor scored")
    return (*notes, "if the images alone are meant: --source photographs")


def _listed(classes: Sequence[str]) -> str:
    return ", ".join(classes[:6]) + (f" and {len(classes) - 6} more" if len(classes) > 6 else "")
