"""Pairs of an image as the bytes of files; and the files of a part, each whole or not there, its index last."""

import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.annotations.coco import write_coco
from calco.annotations.detections import Detections
from calco.annotations.reading import read_annotations
from calco.annotations.record import Record
from calco.annotations.voc import write_voc
from calco.annotations.yolo import write_yolo
from calco.data import shards, storage
from calco.data.augmentation import fit_image
from calco.data.config import Format, JitterConfig
from calco.data.curation import GROUPS
from calco.data.palettes import named_palette
from calco.data.recipes import Recipe, RecipeConfig
from calco.data.recipes.composite import composite_image
from calco.data.recipes.segment import painted
from calco.data.sample import Pair, generator
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.files import atomic_write, explained, make_folder
from calco.imaging import Image

_SCALES: Final = (1.0, 0.5, 0.25, 0.1, 0.01, 0.001)
_BESIDE: Final = ".calco-being-written"  # a name that a file has until it is whole
_IMAGES: Final = {"coco": "images", "voc": "JPEGImages", "yolo": "images"}  # a record's name is a path in this folder
_ANNOTATIONS: Final = {"voc": "Annotations/{}.xml", "yolo": "labels/{}.txt"}  # beside each image
_OF_ALL: Final = ("annotations/train.json", "annotations/val.json", "annotations/test.json", "data.yaml", GROUPS)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Settings with which a process makes pairs: sent to it once."""

    source: Source  # without its items
    recipe: Recipe | None  # None for images that are written as they are, or with objects pasted on them
    scenes: RecipeConfig | None  # how objects are pasted and painted; None where none are
    fit: JitterConfig  # its `resize` is the size of the pairs; 0 keeps that of the images
    variants: int  # pairs of each image
    seed: int
    format: Format


@dataclass(frozen=True, kw_only=True)
class Made:
    """A pair as the bytes of its files ("input.png", "target.png", "json", ...), or an image and its objects."""

    key: str
    group: str
    digest: str
    channels: tuple[int, int]
    files: dict[str, bytes]
    objects: Detections | None = None
    size_wh: tuple[int, int] = (0, 0)


Outcome: TypeAlias = tuple[str, list[Made] | str]  # an image's key, and its pairs or the reason why there are none


def make(job: Job, item: Item) -> list[Made]:
    """Return all pairs of an image; the n-th uses the random numbers of the n-th epoch of a training.

    Without a recipe it is the image with its objects, as it is or with more of them pasted, and their painted mask.
    """
    whole = fit_image(job.source.load(item), job.fit.resize, job.fit)
    digest = job.source.digest(item)
    made = []
    for variant in range(job.variants):
        rng = generator(job.seed, variant, item.key, "recipe")
        key = item.key if job.variants == 1 else f"{item.key}@{variant}"
        if job.recipe is not None:
            pair = job.recipe(whole, rng)
            files = _FILES[job.format](pair, key, variant, digest)
            channels = pair.input.shape[2], pair.target.shape[2]
            made.append(Made(key=key, group=item.group, digest=digest, channels=channels, files=files))
            continue
        sample = whole
        masks: dict[str, bytes] = {}
        if job.scenes is not None:
            sample = composite_image(whole, job.scenes.composite, rng, split=item.split)
            mask, _ = painted(sample, named_palette(job.scenes.segment.palette))
            masks = {"masks.png": imaging.encode(mask, ".png")}  # a folder beside that of the images
        if sample.detections is None:
            raise CalcoError(f"{sample.key} has neither boxes nor outlines; name them with --annotations")
        ending, data = _without_loss(sample.image)
        height, width, depth = sample.image.shape
        made.append(Made(
            key=key, group=sample.group, digest=digest, channels=(depth, depth), files={ending: data, **masks},
            objects=sample.detections, size_wh=(width, height),
        ))  # fmt: skip
    return made


def _tar_members(pair: Pair, key: str, variant: int, digest: str) -> dict[str, bytes]:
    """Return the members of a pair in a tar file, in their order; `docs/shards.md` describes them."""
    height, width = pair.input.shape[:2]
    record: dict[str, Any] = {
        "key": key, "group": pair.group, "variant": variant, "source_digest": digest, "width": width, "height": height,
    }  # fmt: skip
    for side, image in (("input", pair.input), ("target", pair.target)):
        record[side] = {"channels": image.shape[2], "dtype": str(image.dtype)}
    files = _both(pair)
    if pair.weight is not None:
        levels, record["weight_scale"] = _as_levels(pair.weight)
        files["weight.png"] = imaging.encode(levels, ".png")
    if pair.region is not None:
        files["region.png"] = imaging.encode(pair.region[..., None].astype(np.uint8) * np.uint8(255), ".png")
    return files | {"json": json.dumps(record).encode()}


def _both(pair: Pair, *_: object) -> dict[str, bytes]:
    sides = {"input": _without_loss(pair.input), "target": _without_loss(pair.target)}
    return {f"{side}.{ending}": data for side, (ending, data) in sides.items()}


def _without_loss(image: Image) -> tuple[str, bytes]:
    """Return ending and bytes: PNG where that holds depth and channels, else TIFF."""
    ending = "png" if image.dtype != np.float32 and image.shape[2] <= 4 else "tif"
    return ending, imaging.encode(image, f".{ending}")


def _as_levels(weight: npt.NDArray[np.float32]) -> tuple[Image, float]:
    """HW `float32` => grey levels HW1 and the weight of one level: exact where some round number allows it."""
    largest = float(weight.max())
    for scale in _SCALES:
        levels = np.rint(weight / scale)
        if largest / scale <= 65535 and np.array_equal((levels * scale).astype(np.float32), weight):
            break
    else:
        scale = largest / 65535
        levels = np.rint(weight / scale)
    return levels.astype(np.uint8 if levels.max() <= 255 else np.uint16)[..., None], scale


def _halves(pair: Pair, *_: object) -> dict[str, bytes]:
    """Return input and target in one image, with the channels and the depth of whichever has more."""
    sides = [pair.input, pair.target]
    channels = max(side.shape[2] for side in sides)
    if channels > 4 or any(side.dtype == np.float32 for side in sides):
        raise CalcoError(f"{pair.key}: a PNG holds neither floats nor {channels} channels; take --format webdataset")
    depth = max((side.dtype for side in sides), key=lambda dtype: dtype.itemsize)
    whole = np.concatenate([imaging.as_channels(imaging.as_dtype(side, depth), channels) for side in sides], axis=1)
    return {"png": imaging.encode(whole, ".png")}


_FILES: Final[dict[str, Callable[[Pair, str, int, str], dict[str, bytes]]]] = {
    "webdataset": _tar_members,
    "side-by-side": _halves,
    "parallel": _both,
}


def outcomes(job: Job, items: Iterable[Item]) -> list[Outcome]:
    """Return the pairs of some images; one that cannot be used gives the reason and costs no other."""
    result: list[Outcome] = []
    for item in items:
        try:
            result.append((item.key, make(job, item)))
        except CalcoError as error:
            result.append((item.key, str(error)))
        except MemoryError:
            result.append((item.key, "it is too large for the memory; make it smaller, or give --size"))
    return result


@dataclass
class _Written:
    """A part that is being written."""

    total: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    bytes: int = 0
    pairs: list[shards.PairPlace] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    channels: tuple[int, int] = (0, 0)
    records: list[Record] = field(default_factory=list)

    def add(self, made: Made, members: shards.Members) -> None:
        checksum = hashlib.sha256(b"".join(made.files.values())).hexdigest()[:16]
        self.pairs.append(
            shards.PairPlace(key=made.key, group=made.group, digest=made.digest, members=members, checksum=checksum)
        )
        self.channels = max(self.channels[0], made.channels[0]), max(self.channels[1], made.channels[1])


def write_part(
    folder: str, lot: shards.Lot, format: str, outcomes: Iterator[Outcome], advance: Callable[[], None]
) -> shards.Index:
    """Write a part of as many outcomes as the lot has items, then its index; what was whole before stays.

    The folder may be an address that fsspec opens, where tar files are written.
    """
    done = _Written()
    stamp = shards.stamp_of(lot.items)  # before they are read: what changes later is noticed

    def pairs() -> Iterator[Made]:
        for key, outcome in islice(outcomes, len(lot.items)):
            if isinstance(outcome, str):
                done.left_out[key] = outcome
            else:
                yield from outcome
            advance()

    if format == "webdataset":
        _write_tar(folder, lot, done, pairs())
    else:
        _write_files(Path(folder), lot, format, done, pairs())
    index = shards.Index(
        part=lot.part, split=lot.split, bytes=done.bytes, sha256=done.total.hexdigest(), channels=done.channels,
        pairs=tuple(done.pairs), left_out=done.left_out,
    )  # fmt: skip
    storage.write(shards.stamp_place(folder, lot.part), stamp)
    storage.write(storage.joined(folder, f"{shards.INDEX}/{lot.part}.json"), shards.as_json(index))
    return index


def _write_tar(folder: str, lot: shards.Lot, done: _Written, pairs: Iterator[Made]) -> None:
    place = storage.joined(folder, f"{lot.part}.tar")
    with storage.replaced(place) as path, path.open("wb") as file:
        for made in pairs:
            members: shards.Members = {}
            for kind, data in made.files.items():
                block, skipped = shards.member_bytes(f"{shards.member_name(made.key)}.{kind}", data)
                members[kind] = done.bytes + skipped, len(data)
                done.total.update(block)
                done.bytes += file.write(block)
            done.add(made, members)
        done.total.update(shards.END)
        done.bytes += file.write(shards.END)
    if not done.pairs:
        storage.remove(place)


def _write_files(folder: Path, lot: shards.Lot, format: str, done: _Written, pairs: Iterator[Made]) -> None:
    for made in pairs:
        members: shards.Members = {}
        for kind, data in made.files.items():
            imaged = format in _IMAGES and "." not in kind
            # "input/train/a.png" for "input.png", "train/a.png" for "png"; images of annotated formats in their folder.
            side, dot, ending = f"{_IMAGES[format]}.{kind}".rpartition(".") if imaged else kind.rpartition(".")
            name = f"{side}{'/' if dot else ''}{lot.split}/{shards.member_name(made.key)}.{ending}"
            path = folder / name
            make_folder(path.parent)
            temporary = path.parent / f"{_BESIDE}-{lot.part}{path.suffix}"
            try:
                with explained(path, "write"):
                    temporary.write_bytes(data)
                    temporary.replace(path)
            finally:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
            members[name] = content = hashlib.sha256(data).hexdigest()[:16]
            done.total.update(f"{name}\n{content}\n".encode())
            done.bytes += len(data)
            if imaged and made.objects is not None:
                place = Path(name).relative_to(_IMAGES[format]).as_posix()
                done.records.append(Record(name=place, objects=made.objects, size_wh=made.size_wh))
        done.add(made, members)
    if done.records:
        noted = shards.records_place(folder, lot.part)
        write_coco(noted, done.records)
        done.total.update(noted.read_bytes())
    os.sync()  # once for all of them: the index must not be on the disk before its files


def write_groups(folder: Path, indexes: Iterable[shards.Index]) -> None:
    """Write which files belong together, by the keys that a reader of the folder gives them; nothing where none do."""
    pairs = [(index.split, pair) for index in indexes for pair in index.pairs]
    num = Counter(pair.group for _, pair in pairs)
    rows = [(f"{split}/{shards.member_name(pair.key)}", pair.group) for split, pair in pairs if num[pair.group] > 1]
    if rows:
        table = io.StringIO()
        csv.writer(table).writerows([("key", "group"), *rows])
        atomic_write(folder / GROUPS, table.getvalue())


def clear(folder: Path, format: str) -> None:
    """Remove what was prepared in a format before, and nothing else."""
    for path in sorted((folder / shards.INDEX).glob("*.json")):
        names = [f"{path.stem}.tar", str(shards.records_place(Path(), path.stem)), f"{shards.INDEX}/.{path.stem}.stamp"]
        with suppress(CalcoError):
            index = shards.load_index(str(folder), path.stem)
            for name in (name for pair in index.pairs for name in pair.members) if index else ():
                top, _, place = name.partition("/")
                beside = _ANNOTATIONS.get(format, "") if top == _IMAGES.get(format) else ""
                names += [] if format == "webdataset" else [name, beside.format(place.rpartition(".")[0])]
        for name in [*filter(None, names), f"{shards.INDEX}/{path.name}"]:
            # Names come from a file: one that leads elsewhere is not followed.
            if not Path(name).is_absolute() and ".." not in Path(name).parts:
                storage.remove(str(folder / name))
    for name in _OF_ALL:
        storage.remove(str(folder / name))


def write_annotations(
    folder: Path, format: str, parts: Sequence[tuple[str, str]], classes: Sequence[str]
) -> list[Record]:
    """Write the objects of all parts (each a name and a split) in the format's own files, and return them.

    The classes are in the order of their numbers; those that occur besides follow.
    """
    by_split: dict[str, list[Record]] = {}
    for part, split in parts:
        by_split.setdefault(split, []).extend(read_annotations(shards.records_place(folder, part)).records)
    records = [record for found in by_split.values() for record in found]
    occurring = sorted({name for record in records for name in record.objects.classes})
    names = tuple(dict.fromkeys([*classes, *occurring]))
    if format == "coco":
        make_folder(folder / "annotations")
        for split, found in by_split.items():
            write_coco(folder / "annotations" / f"{split}.json", found, names)
    else:
        {"voc": write_voc, "yolo": write_yolo}[format](folder, records, names)
    return records
