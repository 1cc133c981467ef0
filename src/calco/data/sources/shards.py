"""Tar files of pairs (WebDataset) as a source: those of `calco prepare` and others, here or elsewhere.

Nothing is unpacked: an index gives the place of each pair in a tar file, and a pair is one read of that part. Tar
files without an index are listed by their headers, once.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.addresses import is_url
from calco.data import shards, storage
from calco.data.config import SourceConfig
from calco.data.recipes import has_class_targets
from calco.data.sample import Sample
from calco.data.source import Item, Source, common_channels
from calco.data.splits import SPLIT_NAMES
from calco.errors import CalcoError
from calco.imaging import Image

PARTS: Final = ("input", "target", "weight", "region", "json")
"""Parts of a pair. `Item.place` holds the first byte and the length of each in this order, 0 0 for an absent one, then
digest and checksum of the pair as numbers, 0 where they are not known."""


@dataclass
class _Found:
    """Pairs in the tar files, and what is left out."""

    items: list[Item] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    foreign: bool = False  # from tar files without an index
    roles: tuple[str, ...] = ()  # endings of input and target in these
    unused: Counter[str] = field(default_factory=Counter)  # other endings in these

    def put(
        self, key: str, group: str, place: str, split: str | None, spans: Mapping[str, tuple[int, int]],
        digest: str = "", checksum: str = "",
    ) -> str:  # fmt: skip
        """Add a pair, or return the reason why it cannot be used."""
        if "input" not in spans or any(start < 0 or size < 0 for start, size in spans.values()):
            return "its index is damaged"
        if hollow := [part for part, (_, size) in spans.items() if not size]:
            return f"its {hollow[0]} is empty"
        marks = (int(mark, 16) if re.fullmatch("[0-9a-f]{16}", mark) else 0 for mark in (digest, checksum))
        flat = [number for part in PARTS for number in spans.get(part, (0, 0))]
        self.items.append(Item(key, group, (place,), split, (*flat, *marks)))
        return ""

    def put_indexed(self, index: shards.Index, place: str) -> None:
        """Add the pairs of a tar file that `calco prepare` wrote."""
        length = None if is_url(place) else storage.size(place)  # elsewhere, reading shows it
        for pair in index.pairs:
            spans = {kind.partition(".")[0]: span for kind, span in pair.members.items() if not isinstance(span, str)}
            if length is not None and spans and max(map(sum, spans.values())) > length:
                problem = f"{place} ends before it does; copy the tar file anew"
            else:
                problem = self.put(pair.key, pair.group, place, index.split, spans, pair.digest, pair.checksum)
            if problem:
                self.left_out[pair.key] = problem

    def put_foreign(self, places: Sequence[str], config: SourceConfig) -> None:
        """Add the pairs of tar files without an index, listed by their headers; a damaged one keeps its beginning."""
        samples: dict[tuple[str, str], dict[str, shards.Member]] = {}
        for place in places:
            refused: dict[str, str] = {}
            with storage.opened(place) as file:
                for member in shards.members(file, storage.size(place), refused):
                    try:
                        sample, kind = shards.sample_of(member.name)
                    except CalcoError as error:
                        refused[member.name] = str(error)
                    else:
                        samples.setdefault((place, sample), {}).setdefault(kind, member)
            self.left_out |= {f"{place}: {name}" if name else place: reason for name, reason in refused.items()}
        if not samples:
            return
        self.foreign, self.roles = True, _roles(samples.values(), config)
        splits: dict[str, str | None] = {}
        for place in places:  # with which the name of a tar file, or of its folder, begins
            words = (re.match("[a-zA-Z]*", name) for name in PurePosixPath(place).parts[:-3:-1])
            named = (SPLIT_NAMES.get(word[0].lower()) for word in words if word)
            splits[place] = next(filter(None, named), None)
        names = Counter(sample for _, sample in samples)
        for (place, sample), kinds in samples.items():
            # One name in several tar files is several pairs.
            key = sample if names[sample] == 1 else f"{PurePosixPath(place).stem}/{sample}"
            roles = self.roles or _images(kinds)
            absent = [role for role in roles if role not in kinds]
            problem = "" if roles and not absent else f"it has no {absent[0] if absent else 'image'}"
            if not problem:
                chosen = dict(zip(("input", "target"), roles, strict=False))
                chosen |= {part: kind for part in ("weight", "region", "json") for kind in kinds if _part(kind) == part}
                self.unused.update(kinds.keys() - set(chosen.values()))
                spans = {part: (kinds[kind].start, kinds[kind].size) for part, kind in chosen.items()}
                problem = self.put(key, key, place, splits[place], spans)
            if problem:
                self.left_out[f"{place}: {sample}"] = problem


def _part(kind: str) -> str:
    return kind.partition(".")[0]


def _images(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the endings of images, but for the weight and the region of a pair."""
    found = (kind for kind in kinds if imaging.is_image(f"x.{kind}") and _part(kind) not in ("weight", "region"))
    return tuple(sorted(found))


def _roles(samples: Collection[dict[str, shards.Member]], config: SourceConfig) -> tuple[str, ...]:
    """Return the endings of the members that are input and target; none where there are single images."""
    endings = Counter(kind for kinds in samples for kind in kinds if imaging.is_image(f"x.{kind}"))
    if config.input or config.target:
        if not (config.input and config.target):
            raise CalcoError(
                "of --input and --target one is missing; name the endings of both members, such as jpg and png"
            )
        roles = tuple(name.lower().lstrip(".") for name in (config.input, config.target))
    else:
        if config.direction == "AtoB" and max(len(_images(kinds)) for kinds in samples) == 1:
            return ()
        own = tuple(kind for part in ("input", "target") for kind in _images(endings) if _part(kind) == part)
        roles = own if len(own) == 2 else _images(endings)
        if len(roles) != 2:
            seen = ", ".join(f"{kind} ({count})" for kind, count in endings.most_common(8)) or "none"
            raise CalcoError(
                f"a pair has two images, and the endings of images in these tar files are: {seen}; name those of "
                "input and target, such as --input jpg --target png"
            )
    if unknown := [role for role in roles if role not in endings]:
        raise CalcoError(f"no image in these tar files ends in {unknown[0]}, only in {', '.join(sorted(endings))}")
    return roles if config.direction == "AtoB" else roles[::-1]


_TAR: Final = re.compile(r"\.(tar|tar\.gz|tgz|tar\.bz2|tar\.xz)$", re.IGNORECASE)
_RANGE: Final = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_TARS: Final = 1_000_000
_AT_ONCE: Final = 8  # indexes that are fetched at a time


def matches(path: str) -> bool:
    """Return True for shards: an address, a tar file (or several: a-{000..009}.tar), a folder of them."""
    if is_url(path) or _TAR.search(path):
        return True
    folder = Path(path)
    if not folder.is_dir():
        return False
    if (folder / shards.SETTINGS).is_file() or (folder / shards.MANIFEST).is_file():
        return _prepared_as(path) == "webdataset"
    try:
        names = [file for file in folder.iterdir() if not file.name.startswith(".")]
    except OSError:
        return False  # the next that lists it reports it
    # Images often lie beside the archive that they came in.
    return any(_TAR.search(file.name) for file in names) and not any(
        imaging.is_image(file) or file.is_dir() for file in names
    )


def _prepared_as(folder: str) -> str:
    """Return the format that `calco prepare` wrote into a folder, or is writing; empty where it did not."""
    for name in (shards.MANIFEST, shards.SETTINGS):
        try:
            record = json.loads(storage.read(storage.joined(folder, name)))
        except (CalcoError, ValueError, RecursionError):
            continue
        if isinstance(record, dict) and "format" in record:
            return str(record["format"])
    return ""


def open(path: str, config: SourceConfig) -> Source:
    """List the pairs of a folder with a manifest or tar files, one tar file, or several (a-{000..009}.tar).

    All may be on this disk, or an address that fsspec opens (https://, s3://, ...). For tar files that others wrote,
    `config.input` and `config.target` name the endings of a pair's members, such as jpg and png.
    """
    folder = path if not _TAR.search(path) else storage.parent(path)
    manifest = shards.load_manifest(folder)
    if manifest is not None and manifest.format != "webdataset":
        raise CalcoError(f"{path} was prepared as {manifest.format} and holds no shards; leave --source shards out")
    if manifest is None and storage.exists(storage.joined(folder, shards.SETTINGS)):
        raise CalcoError(f"{path} is not finished; go on with it by the calco prepare that began it")
    if manifest is not None and (config.input or config.target or config.direction == "BtoA"):
        raise CalcoError(f"{path} was prepared with input and target; leave --input, --target and --direction out")
    places = _tars(path, folder, manifest)
    found = _Found()
    ours = {part.part for part in manifest.parts} if manifest else set()
    indexed = {place: stem for place in places if (stem := PurePosixPath(place).stem) in ours}
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # elsewhere, each takes a while to come
        for place, index in zip(indexed, pool.map(partial(shards.load_index, folder), indexed.values()), strict=True):
            if index is None:
                lost = f"{shards.INDEX}/{indexed[place]}.json"
                raise CalcoError(f"{place} has lost its index, {lost} beside it; copy the folder as a whole")
            found.put_indexed(index, place)
    found.put_foreign([place for place in places if place not in indexed], config)
    if manifest is not None and folder == path:
        found.left_out |= manifest.left_out
    if not found.items:
        name, reason = next(iter(found.left_out.items()), (path, "there is no pair in it"))
        raise CalcoError(f"nothing in {path} can be used; {name}: {reason}")
    kinds = ", ".join(f"{kind} ({count})" for kind, count in found.unused.most_common(8))
    notes = (f"members of other kinds are not used: {kinds}",) if kinds else ()
    items = sorted(found.items, key=lambda item: item.key)
    for first, second in pairwise(items):
        if first.key == second.key:
            both = " and ".join((first.paths[0], second.paths[0]))
            raise CalcoError(f"the pair {first.key} stands twice, in {both}; name shards of one build")
    made = manifest.recipe if manifest and not found.foreign else None
    shown = f"shards, {len(places)} tar files" if len(places) > 1 else "shards, a tar file"
    if found.roles:
        shown += f", {found.roles[0]} (input) and {found.roles[1]} (target)"
    else:
        shown += f", made by the recipe {made.recipe}" if made else " of single images"
    source = Source(
        "shards", path, tuple(items), load_pair, tuple(found.left_out.items()), config.direction,
        background=config.background, recipe=made,
        digester=digest_of, story=shown, notes=notes,
    )  # fmt: skip
    if manifest and source.recipe:
        return replace(source, channels=manifest.channels)
    return replace(source, channels=common_channels(source, lambda item: _Bytes(source, item).images()))


def _tars(images: str, folder: str, manifest: shards.Manifest | None) -> list[str]:
    """Return the tar files that are meant, in their order."""
    if _TAR.search(images):
        return list(_expanded(images))
    if manifest is not None:
        names = [f"{part.part}.tar" for part in manifest.parts]
        if strange := [name for name in names if "/" in name or "\\" in name]:
            raise CalcoError(
                f"{folder}/{shards.MANIFEST} names {strange[0]!r}, which is no file in this folder; prepare anew"
            )
        return [storage.joined(folder, name) for name in names]
    found = storage.listed(images, ".tar")
    if not found:
        raise CalcoError(
            f"{images} holds neither {shards.MANIFEST} nor a file that ends in .tar; name a folder of shards"
        )
    return found


def _expanded(pattern: str) -> Iterator[str]:
    """Yield the names that a-{000..009}.tar stands for."""
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < _MOST_TARS:
        raise CalcoError(
            f"{found[0]} in {pattern} is no rising range; write the first number, then the last: {{000..009}}"
        )
    for number in range(first, last + 1):
        yield from _expanded(f"{pattern[: found.start()]}{number:0{len(found[1])}}{pattern[found.end() :]}")


class _Bytes:
    """Bytes of a pair in its tar file, read at once and compared with their checksum."""

    def __init__(self, source: Source, item: Item) -> None:
        self.source, self.item = source, item
        numbers = item.place[:-2]
        self.spans = {part: numbers[2 * i : 2 * i + 2] for i, part in enumerate(PARTS) if numbers[2 * i + 1]}
        self.first = min(start for start, _ in self.spans.values())
        last = max(start + size for start, size in self.spans.values())
        self.data = storage.read(item.paths[0], self.first, last - self.first)
        # PNG and TIFF themselves do not show every damage.
        checksum = item.place[-1]
        members = b"".join(self[part] for part in sorted(self.spans, key=lambda part: self.spans[part]))
        if checksum and int(hashlib.sha256(members).hexdigest()[:16], 16) != checksum:
            raise CalcoError(
                f"{self.item.paths[0]}: {self.item.key} is not as it was written: damaged, or replaced; copy it "
                "anew, or let the calco prepare that wrote it run again"
            )

    def __getitem__(self, part: str) -> bytes:
        start, size = self.spans[part]
        return self.data[start - self.first : start - self.first + size]

    def image(self, part: str) -> Image:
        """Return one of its images, with all its channels where Calco wrote it."""
        background = "channel" if self.source.recipe is not None else self.source.background
        return imaging.decode(self[part], f"{self.item.paths[0]}: {self.item.key}.{part}", background=background)

    def images(self) -> Iterator[Image]:
        """Yield its input and its target, if it has one, with all their channels."""
        return (self.image(part) for part in ("input", "target") if part in self.spans)

    def side(self, part: str) -> Image:
        """Return its input or target, with the channels that all have."""
        found = self.image(part)
        return found if self.source.recipe else imaging.as_channels(found, self.source.channels[part == "target"])

    def weight(self) -> npt.NDArray[np.float32]:
        """Return the weight, HW: grey levels times the scale in the record."""
        try:
            scale = float(json.loads(self["json"])["weight_scale"]) if "json" in self.spans else 1.0
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CalcoError(f"{self.item.key}: its record has no weight_scale; prepare the shards anew") from error
        return (self.image("weight")[..., 0].astype(np.float64) * scale).astype(np.float32)


def load_pair(source: Source, item: Item) -> Sample:
    """Read a pair as an image with its partner, weight and region."""
    data = _Bytes(source, item)
    target = data.side("target") if "target" in data.spans else None
    # As a mask it is brought to other sizes without mixing its colours.
    classes = source.recipe is not None and has_class_targets(source.recipe)
    return Sample(
        image=data.side("input"),
        partner=None if classes else target,
        mask=target if classes else None,
        key=item.key,
        group=item.group,
        weight=data.weight() if "weight" in data.spans else None,
        region=data.image("region")[..., 0] > 0 if "region" in data.spans else None,
    )


def digest_of(source: Source, item: Item) -> str:
    """Return the digest of the image's own files that the index gives, else that of the pair."""
    if item.place[-2]:
        return f"{item.place[-2]:016x}"
    data = _Bytes(source, item)
    return hashlib.sha256(b"".join(data[part] for part in ("input", "target") if part in data.spans)).hexdigest()[:16]
