"""`calco prepare`: from images to shards, or to files for other tools."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from calco.addresses import is_url
from calco.console import Table, bar, say, warn
from calco.data import storage
from calco.data.config import JitterConfig
from calco.data.making import Job, in_order, outcomes
from calco.data.prepare_config import PrepareConfig
from calco.data.recipe_config import CompositeConfig
from calco.data.recipes import Recipe, build_recipe, resolve
from calco.data.recipes.composite import check_cutouts, cutouts_of
from calco.data.recipes.cutouts import cutouts_digest, unusable
from calco.data.resolving import settled
from calco.data.sample import fraction
from calco.data.shards import INDEX, MANIFEST, SETTINGS, VERSION, Index, Manifest, Part, as_json, digest_of
from calco.data.source import Item, Source
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.data.writing import Lot, clear, kept_part, write_annotations, write_groups, write_part
from calco.errors import CalcoError
from calco.files import make_folder, sweep
from calco.locks import is_lock
from calco.records import to_record
from calco.version import __version__
from calco.work import Engine, results


@dataclass(frozen=True)
class Prepared:
    """Result of `prepare`.

    Attributes:
        folder: Where it lies; a string when that is the address of a place elsewhere.
        manifest: What it is.
        kept: How many of its pairs were there from before.
    """

    folder: Path | str
    manifest: Manifest
    kept: int


def prepare(config: PrepareConfig, *, progress: bool = True) -> Prepared:
    """Make all pairs of a set once, and writes them.

    The same images, configuration and seed give the same bytes with any number of processes. What a work that was
    interrupted has left is kept, and gone on with.

    Args:
        config: The whole configuration; `images` and `out` must be named.
        progress: Whether the bar of progress is shown.

    Returns:
        Folder, manifest, and how many pairs were kept from before.

    Raises:
        CalcoError: If images or configuration cannot be used, the folder holds something else, the disk is full, or
            no image at all could be used.
    """
    source = _open(config)
    say(source.summary())
    source, config, recipe = _recipe(config, source)
    source = noted(source, config.recipe.composite) if config.composes else source
    lots = _lots(config, source)
    side = JitterConfig(size=max(1, config.size), resize=config.size, fit=config.fit)
    job = Job(
        source=replace(source, items=(), masks=None), recipe=recipe,
        scenes=config.recipe if config.composes else None, fit=side, side=config.size, variants=config.variants,
        seed=config.seed, format=config.written,
    )  # fmt: skip
    place = config.out if is_url(config.out) else str(make_folder(config.out))
    with storage.locked(place, "calco prepare"):
        _begin(place, config, _settings(config, source))
        parts = _kept(place, lots, config.written, source)
        kept = sum(len(index.pairs) for index in parts.values())
        parts |= _make(place, job, [lot for lot in lots if lot.part not in parts], config, progress=progress)
        _sweep(place)  # what dead workers left half written
        indexes = [parts[lot.part] for lot in lots]
        manifest = _manifest(config, source, indexes)
        if config.annotated:
            named = [(part.part, part.split) for part in manifest.parts]
            pasted = cutouts_of(config.recipe.composite).classes if config.composes else ()
            write_annotations(Path(place), config.written, named, pasted or source.classes)
            if config.composes and config.written == "coco":
                tell_crowded(Path(place), [split for _, split in named], config.recipe.composite.pasted[0])
        elif config.written != "webdataset":
            write_groups(Path(place), indexes)
        storage.write(storage.joined(place, MANIFEST), as_json(manifest, indent=2))
    return Prepared(place if is_url(place) else Path(place), manifest, kept)


def _kept(place: str, lots: list[Lot], format: str, source: Source) -> dict[str, Index]:
    """The parts that earlier calls wrote and that are still what they were; why others are not is reported."""

    def look(lot: Lot) -> tuple[Index | None, str]:
        return kept_part(place, lot.part, lot.items, format, source)

    kept: dict[str, Index] = {}
    with ThreadPoolExecutor() as pool:  # what takes its time is reading and hashing
        for lot, (index, reason) in zip(lots, pool.map(look, lots), strict=True):
            if index is not None:
                kept[lot.part] = index
            elif reason:
                warn(f"{lot.part} is made anew: {reason}")
    return kept


def _open(config: PrepareConfig) -> Source:
    if not config.images or not config.out:
        missing = "images" if not config.images else "folder to write into"
        raise CalcoError(f"no {missing} was named; for example: calco prepare IMAGES --out shards")
    if is_url(config.out):
        if config.written != "webdataset":
            raise CalcoError(
                f"{config.out} is an address, where {config.written} cannot be written; take --format webdataset, or a "
                "folder"
            )
    elif Path(config.out).resolve().is_relative_to(Path(config.images).resolve()) and Path(config.images).is_dir():
        raise CalcoError(f"{config.out} lies in the images' folder and would be read as images; choose another --out")
    return open_source(config.images, config.source)


def _recipe(config: PrepareConfig, source: Source) -> tuple[Source, PrepareConfig, Recipe | None]:
    """The source with what its masks mean, the concrete configuration, and what makes pairs; None where none are."""
    if config.annotated:
        if config.recipe.recipe == "composite":
            recipe = resolve(config.recipe, source.kind)
            check_cutouts(recipe.composite)
            return source, replace(config, recipe=recipe), None
        if config.recipe.recipe != "auto":
            raise CalcoError(f"{config.written} keeps images as they are; leave --recipe out, or take another --format")
        return source, config, None
    source, recipe = settled(source, config.recipe)
    return source, replace(config, recipe=recipe), build_recipe(recipe, source.kind, source.recipe)


def _lots(config: PrepareConfig, source: Source) -> list[Lot]:
    """Return the images of each part, which depend on their keys and splits alone."""
    if len({item.group for item in source.items}) > 1:
        splits = split_items(source.items, config.split)
    else:
        splits = {"train": list(source.items)}  # one video is no set to be split, but may be shipped
    if config.count:
        splits = spread(splits, config.count)
    length = config.shard_pairs // config.variants
    lots = []
    for split, items in splits.items():
        # With its split, an image takes the cut-outs of that side alone.
        named = [replace(item, split=split) for item in items] if config.composes else items
        ordered = sorted(named, key=lambda item: item.key)
        for number, start in enumerate(range(0, len(ordered), length)):
            lots.append(Lot(f"{split}-{number:06d}", split, tuple(ordered[start : start + length])))
    return lots


def _settings(config: PrepareConfig, source: Source) -> dict[str, Any]:
    """Return the settings that decide the pairs, without any path; calls with equal settings continue each other.

    What the images hold is compared part by part: see `kept_part`.
    """
    seen = hashlib.sha256()
    for item in source.items:
        seen.update(repr((item.key, item.group, item.split, item.place)).encode("utf-8", "backslashreplace"))
    settings = {"version": VERSION, "calco": __version__, "format": config.written, "recipe": to_record(config.recipe)}
    if config.composes:
        settings["cutouts"] = cutouts_digest(cutouts_of(config.recipe.composite))
    settings |= {**_options(config), "shard_pairs": config.shard_pairs, "kind": source.kind}
    settings |= {"direction": source.direction, "background": source.background, "images": seen.hexdigest()}
    return dict(json.loads(as_json(settings)))


def _options(config: PrepareConfig) -> dict[str, Any]:
    """Return the options besides the recipe that decide the pairs, for the manifest and its digest."""
    options = {
        "seed": config.seed, "size": config.size, "fit": config.fit, "variants": config.variants,
        "split": to_record(config.split),
    }  # fmt: skip
    return options | ({"count": config.count} if config.count else {})


def _begin(place: str, config: PrepareConfig, settings: dict[str, Any]) -> None:
    """Settle whether the folder is gone on with, begun anew, or left alone.

    Raises:
        CalcoError: If it holds other files, or pairs that were prepared otherwise.
    """
    there = storage.joined(place, SETTINGS)
    away = is_url(place)
    _sweep(place)
    if storage.exists(there):
        before = storage.read_json(there)
        if not config.overwrite and before != settings:
            differ = ", ".join(name for name in {**before, **settings} if before.get(name) != settings.get(name))
            raise CalcoError(
                f"{place} holds what was prepared otherwise (what differs: {differ}); "
                + ("" if away else "begin anew with --overwrite, or ")
                + "choose another --out"
            )
        if config.overwrite:
            if away:
                raise CalcoError(f"--overwrite removes nothing at {place}; remove it there, or choose another --out")
            clear(Path(place), str(before.get("format")))
    elif others := _others(place):
        raise CalcoError(f"{place} holds other files, such as {others[0]}; choose a new or empty folder with --out")
    if not away:
        make_folder(Path(place, INDEX))
    manifest = storage.joined(place, MANIFEST)
    if storage.exists(manifest):
        storage.remove(manifest)
    storage.write(there, as_json(settings, indent=2))


def _sweep(place: str) -> None:
    if not is_url(place):
        sweep(place)
        sweep(Path(place, INDEX))


def _others(place: str) -> list[str]:
    """Return the names of other files where shards are to be written."""
    if is_url(place):
        return storage.listed(place, "") if storage.exists(place) else []
    found = [path for path in Path(place).iterdir() if not is_lock(path.name)]
    return sorted(path.name for path in found if path.name != INDEX or not path.is_dir() or any(path.iterdir()))


def _make(place: str, job: Job, lots: list[Lot], config: PrepareConfig, *, progress: bool) -> dict[str, Index]:
    """Write the parts that are missing."""
    items = [item for lot in lots for item in lot.items]
    engine = config.workers()
    shown = bar("preparing", len(items)) if progress and items else nullcontext(lambda _done: None)
    with shown as tell:
        done = iter(range(1, len(items) + 1))
        try:
            if config.engine == "ray":
                return _parts_elsewhere(place, job, lots, engine, lambda: tell(next(done)))
            with closing(in_order(job, items, engine)) as made:
                return {
                    lot.part: write_part(place, lot, config.written, made, lambda: tell(next(done))) for lot in lots
                }
        except CalcoError as error:
            if isinstance(error.__cause__, OSError):
                raise CalcoError(f"{error}; the same command goes on where it stopped") from error
            raise


def _parts_elsewhere(
    place: str, job: Job, lots: list[Lot], engine: Engine, advance: Callable[[], None]
) -> dict[str, Index]:
    """Have each part made and written as a whole by one worker, so that no image travels."""
    place = place if is_url(place) else str(Path(place).resolve())
    parts: dict[str, Index] = {}
    with closing(results(engine, partial(partial, _part, place, job), lots)) as indexes:
        for number, index in indexes:
            parts[lots[number].part] = index
            for _ in lots[number].items:
                advance()
    return parts


def _part(place: str, job: Job, lot: Lot) -> Index:
    """A part, made and written; as it stands there already when a worker died after writing it."""
    made = (outcome for item in lot.items for outcome in outcomes(job, [item]))
    kept, _ = kept_part(place, lot.part, lot.items, job.format, job.source)
    return kept or write_part(place, lot, job.format, made, lambda: None)


def _manifest(config: PrepareConfig, source: Source, indexes: list[Index]) -> Manifest:
    parts = tuple(
        Part(part=index.part, split=index.split, pairs=len(index.pairs), bytes=index.bytes, sha256=index.sha256)
        for index in indexes
        if index.pairs
    )
    left_out = dict(source.left_out) | {key: reason for index in indexes for key, reason in index.left_out.items()}
    if not parts:
        reason = next(iter(left_out.values()), "there are none")
        raise CalcoError(f"none of the {len(source.items)} images can be used; the first: {reason}")
    counts = dict.fromkeys(("train", "val", "test"), 0)
    for part in parts:
        counts[part.split] += part.pairs
    options = _options(config)
    return Manifest(
        format=config.written, digest=digest_of(config.written, options, parts), recipe=config.recipe,
        source={"kind": source.kind, "root": source.root, "read_as": to_record(config.source)}, options=options,
        channels=(max(i.channels[0] for i in indexes), max(i.channels[1] for i in indexes)), counts=counts,
        parts=parts, left_out=left_out, calco=__version__,
    )  # fmt: skip


def spread(splits: dict[str, list[Item]], count: int) -> dict[str, list[Item]]:
    """So many entries of the photographs, each about as often as any other; which of them more often, a hash tells.

    Args:
        splits: Items by split.
        count: Number of entries to make.

    Returns:
        By split; of what is there several times, each has a key of its own.
    """
    items = [item for some in splits.values() for item in some]
    times, more = divmod(count, len(items))
    order = sorted(items, key=lambda item: fraction("spread", item.key))
    number = {item.key: times + (place < more) for place, item in enumerate(order)}
    digits = len(str(times))

    def entries(item: Item) -> list[Item]:
        if number[item.key] == 1 and times <= 1 and count <= len(items):
            return [item]
        return [replace(item, key=f"{item.key}@{n:0{digits}d}") for n in range(number[item.key])]

    return {split: [entry for item in some for entry in entries(item)] for split, some in splits.items()}


def noted(source: Source, config: CompositeConfig) -> Source:
    """The source with the cut-outs that cannot be pasted among what is left out."""
    reasons = unusable(cutouts_of(config)).items()
    left_out = tuple((f"cut-out {name}", reason) for name, reason in reasons)
    return replace(source, left_out=(*source.left_out, *left_out))


def tell_crowded(folder: Path, splits: Sequence[str], fewest: int) -> None:
    """Warn where images have fewer objects in them than was asked for: there was no room for more.

    Args:
        folder: With COCO's files.
        splits: Whose.
        fewest: Objects that each image should have.
    """
    few = total = 0
    for split in dict.fromkeys(splits):
        content = json.loads((folder / "annotations" / f"{split}.json").read_text(encoding="utf-8"))
        numbers = dict.fromkeys((entry["id"] for entry in content["images"]), 0)
        for entry in content["annotations"]:
            numbers[entry["image_id"]] += 1
        few += sum(number < fewest for number in numbers.values())
        total += len(numbers)
    if few:
        warn(
            f"{few} of {total} images have fewer than {fewest} objects in them, for want of room; make them smaller "
            "(--cutout-size), or let more of them be hidden (--least-visible)"
        )


_EXAMPLES = 3


def counts_table(manifest: Manifest) -> Table:
    """Pairs, files and megabytes by split."""
    table = Table("split", box=None, header_style="bold")
    for column in ("pairs", "parts", "MB"):
        table.add_column(column, justify="right")
    for split, count in manifest.counts.items():
        parts = [part for part in manifest.parts if part.split == split]
        table.add_row(split, str(count), str(len(parts)), f"{sum(part.bytes for part in parts) / 1e6:.1f}")
    return table


def left_out_table(left_out: Mapping[str, str]) -> Table:
    """The reasons, how many images each has cost, and some of these."""
    reasons: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        reasons.setdefault(_without_name(name, reason), []).append(name)
    table = Table("left out, because", box=None, header_style="bold")
    table.add_column("images", justify="right")
    table.add_column("such as")
    for reason, names in sorted(reasons.items(), key=lambda entry: -len(entry[1])):
        shown = ", ".join(names[:_EXAMPLES]) + (", ..." if len(names) > _EXAMPLES else "")
        table.add_row(reason, str(len(names)), shown)
    return table


def _without_name(name: str, reason: str) -> str:
    """A reason that is the same for all images that it holds for: without the image's own name or path."""
    last = re.escape(name.rpartition("/")[2])
    return re.sub(rf"\S*{last}\.\w+|^{re.escape(name)}\b", "...", reason) if last else reason
