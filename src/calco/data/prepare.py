"""`calco prepare`: from images to shards, or to files for other tools."""

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

from calco.addresses import is_url
from calco.console import bar
from calco.data import shards, storage
from calco.data.config import JitterConfig, PrepareConfig
from calco.data.recipes import Recipe, build_recipe, resolve
from calco.data.recipes.composite import check_cutouts, cutouts_of
from calco.data.recipes.cutouts import cutouts_digest, unusable
from calco.data.sample import fraction
from calco.data.source import Item, Source, settled
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.data.writing import Job, clear, outcomes, write_annotations, write_groups, write_part
from calco.errors import CalcoError
from calco.files import make_folder, sweep
from calco.outputs import is_lock
from calco.records import to_record
from calco.version import __version__
from calco.work import results

LOG = logging.getLogger(__name__)
_CHUNK: Final = 4  # images that a process gets at once


@dataclass(frozen=True)
class Prepared:
    """Result of `prepare`."""

    folder: Path | str  # where it lies; a string when that is the address of a place elsewhere
    manifest: shards.Manifest  # its content
    kept: int  # number of pairs that were there from before


def prepare(config: PrepareConfig, *, progress: bool = True) -> Prepared:
    """Make all pairs of a data set once, and write them.

    The same images, configuration and seed give the same bytes with any number of processes. What an interrupted
    command has written is kept and continued.

    Args:
        config: The whole configuration; `images` and `out` must be named.
        progress: Show a progress bar.

    Returns:
        Folder, manifest, and how many pairs were kept from before.

    Raises:
        CalcoError: If images or configuration cannot be used, the folder holds something else, the disk is full, or
            no image at all could be used.
    """
    source, config, recipe = _opened(config)
    lots = _lots(config, source)
    job = Job(
        source=replace(source, items=(), masks=None), recipe=recipe,
        scenes=config.recipe if config.composes else None,
        fit=JitterConfig(size=max(1, config.size), resize=config.size, fit=config.fit),
        variants=config.variants, seed=config.seed, format=config.written,
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
            _annotate(Path(place), config, source, manifest)
        elif config.written != "webdataset":
            write_groups(Path(place), indexes)
        storage.write(storage.joined(place, shards.MANIFEST), shards.as_json(manifest, indent=2))
    return Prepared(place if is_url(place) else Path(place), manifest, kept)


def _opened(config: PrepareConfig) -> tuple[Source, PrepareConfig, Recipe | None]:
    """Return the source, the configuration with a concrete recipe, and the recipe; None where no pairs are made."""
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
    source = open_source(config.images, config.source)
    LOG.info(source.summary())
    if not config.annotated:
        source, chosen = settled(source, config.recipe)
        return source, replace(config, recipe=chosen), build_recipe(chosen, source.kind, source.recipe)
    if config.recipe.recipe == "composite":
        chosen = resolve(config.recipe, source.kind)
        check_cutouts(chosen.composite)
        reasons = unusable(cutouts_of(chosen.composite)).items()
        left_out = tuple((f"cut-out {name}", reason) for name, reason in reasons)
        return replace(source, left_out=(*source.left_out, *left_out)), replace(config, recipe=chosen), None
    if config.recipe.recipe != "auto":
        raise CalcoError(f"{config.written} keeps images as they are; leave --recipe out, or take another --format")
    return source, config, None


def _lots(config: PrepareConfig, source: Source) -> list[shards.Lot]:
    """Return the images of each part, which depend on their keys and splits alone."""
    if len({item.group for item in source.items}) > 1:
        splits = split_items(source.items, config.split)
    else:
        splits = {"train": list(source.items)}  # one video cannot be split, but may be shipped
    if config.count:
        splits = _spread(splits, config.count)
    length = config.shard_pairs // config.variants
    lots = []
    for split, items in splits.items():
        # With its split, an image takes the cut-outs of that side alone.
        named = [replace(item, split=split) for item in items] if config.composes else items
        ordered = sorted(named, key=lambda item: item.key)
        for number, start in enumerate(range(0, len(ordered), length)):
            lots.append(shards.Lot(f"{split}-{number:06d}", split, tuple(ordered[start : start + length])))
    return lots


def _spread(splits: dict[str, list[Item]], wanted: int) -> dict[str, list[Item]]:
    """Return so many entries of the photographs, each about as often as any other; a hash chooses those left over.

    Of a photograph with several entries, each has a key of its own.
    """
    items = [item for some in splits.values() for item in some]
    times, more = divmod(wanted, len(items))
    order = sorted(items, key=lambda item: fraction("spread", item.key))
    number = {item.key: times + (place < more) for place, item in enumerate(order)}
    if wanted <= len(items):
        return {split: [item for item in some if number[item.key]] for split, some in splits.items()}
    digits = len(str(times))
    return {
        split: [replace(item, key=f"{item.key}@{n:0{digits}d}") for item in some for n in range(number[item.key])]
        for split, some in splits.items()
    }


def _settings(config: PrepareConfig, source: Source) -> dict[str, Any]:
    """Return the settings that decide the pairs, without any path; calls with equal settings continue each other.

    The content of the images is compared part by part: see `kept_part`.
    """
    seen = hashlib.sha256()
    for item in source.items:
        seen.update(repr((item.key, item.group, item.split, item.place)).encode("utf-8", "backslashreplace"))
    settings = {
        "version": shards.VERSION,
        "calco": __version__,
        "format": config.written,
        "recipe": to_record(config.recipe),
    }
    if config.composes:
        settings["cutouts"] = cutouts_digest(cutouts_of(config.recipe.composite))
    settings |= {**_options(config), "shard_pairs": config.shard_pairs, "kind": source.kind}
    settings |= {"direction": source.direction, "background": source.background, "images": seen.hexdigest()}
    return dict(json.loads(shards.as_json(settings)))


def _options(config: PrepareConfig) -> dict[str, Any]:
    """Return the options besides the recipe that decide the pairs, for the manifest and its digest."""
    options = {
        "seed": config.seed, "size": config.size, "fit": config.fit, "variants": config.variants,
        "split": to_record(config.split),
    }  # fmt: skip
    return options | ({"count": config.count} if config.count else {})


def _begin(place: str, config: PrepareConfig, settings: dict[str, Any]) -> None:
    """Continue or clear the folder, or refuse one that holds other files or pairs that were prepared otherwise."""
    there, away = storage.joined(place, shards.SETTINGS), is_url(place)
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
        if config.overwrite and away:
            raise CalcoError(f"--overwrite removes nothing at {place}; remove it there, or choose another --out")
        if config.overwrite:
            clear(Path(place), str(before.get("format")))
    else:
        if away:
            others = storage.listed(place, "") if storage.exists(place) else []
        else:
            found = [path for path in Path(place).iterdir() if not is_lock(path.name)]
            others = [
                path.name for path in found if path.name != shards.INDEX or not path.is_dir() or any(path.iterdir())
            ]
        if others:
            raise CalcoError(
                f"{place} holds other files, such as {min(others)}; choose a new or empty folder with --out"
            )
    if not away:
        make_folder(Path(place, shards.INDEX))
    manifest = storage.joined(place, shards.MANIFEST)
    if storage.exists(manifest):
        storage.remove(manifest)
    storage.write(there, shards.as_json(settings, indent=2))


def _sweep(place: str) -> None:
    if not is_url(place):
        sweep(place)
        sweep(Path(place, shards.INDEX))


def _kept(place: str, lots: list[shards.Lot], format: str, source: Source) -> dict[str, shards.Index]:
    """Return the parts of earlier calls that are still as they were written."""
    kept: dict[str, shards.Index] = {}
    with ThreadPoolExecutor() as pool:  # reading and hashing take the time
        found = pool.map(lambda lot: shards.kept_part(place, lot, format, source), lots)
        for lot, (index, reason) in zip(lots, found, strict=True):
            if index is not None:
                kept[lot.part] = index
            elif reason:
                LOG.warning(f"{lot.part} is made anew: {reason}")
    return kept


def _make(
    place: str, job: Job, lots: list[shards.Lot], config: PrepareConfig, *, progress: bool
) -> dict[str, shards.Index]:
    """Write the parts that are missing."""
    items = [item for lot in lots for item in lot.items]
    engine = config.workers()
    with bar("preparing", len(items)) if progress else nullcontext(lambda _done: None) as show_done:
        numbers = count(1)

        def advance() -> None:
            show_done(next(numbers))

        try:
            if engine.name == "ray":  # one worker makes and writes each part as a whole, so that no image travels
                parts: dict[str, shards.Index] = {}
                home = place if is_url(place) else str(Path(place).resolve())
                with closing(results(engine, partial(partial, _part, home, job), lots)) as indexes:
                    for number, index in indexes:
                        parts[lots[number].part] = index
                        for _ in lots[number].items:
                            advance()
                return parts
            length = _CHUNK if engine.jobs != 1 and len(items) > _CHUNK else 1
            chunks = [items[start : start + length] for start in range(0, len(items), length)]
            with closing(results(engine, partial(partial, outcomes, job), chunks)) as done:
                made = (outcome for _, some in done for outcome in some)
                return {lot.part: write_part(place, lot, job.format, made, advance) for lot in lots}
        except CalcoError as error:
            if isinstance(error.__cause__, OSError):
                raise CalcoError(f"{error}; the same command goes on where it stopped") from error
            raise


def _part(place: str, job: Job, lot: shards.Lot) -> shards.Index:
    """Make and write a part, unless it is there already because a worker died after writing it."""
    made = (outcome for item in lot.items for outcome in outcomes(job, [item]))
    kept, _ = shards.kept_part(place, lot, job.format, job.source)
    return kept or write_part(place, lot, job.format, made, lambda: None)


def _manifest(config: PrepareConfig, source: Source, indexes: list[shards.Index]) -> shards.Manifest:
    parts = tuple(
        shards.Part(part=index.part, split=index.split, pairs=len(index.pairs), bytes=index.bytes, sha256=index.sha256)
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
    return shards.Manifest(
        format=config.written, digest=shards.digest_of(config.written, options, parts), recipe=config.recipe,
        source={"kind": source.kind, "root": source.root, "read_as": to_record(config.source)}, options=options,
        channels=(max(i.channels[0] for i in indexes), max(i.channels[1] for i in indexes)), counts=counts,
        parts=parts, left_out=left_out, calco=__version__,
    )  # fmt: skip


def _annotate(folder: Path, config: PrepareConfig, source: Source, manifest: shards.Manifest) -> None:
    """Write the annotations of all images, and report composites with fewer objects than were asked for."""
    parts = [(part.part, part.split) for part in manifest.parts]
    pasted = cutouts_of(config.recipe.composite).classes if config.composes else ()
    records = write_annotations(folder, config.written, parts, pasted or source.classes)
    fewest = config.recipe.composite.pasted[0] if config.composes else 0
    if few := sum(len(record.objects) < fewest for record in records):
        LOG.warning(
            f"{few} of {len(records)} images have fewer than {fewest} objects in them, for want of room; make them "
            "smaller (--cutout-size), or let more of them be hidden (--least-visible)"
        )
