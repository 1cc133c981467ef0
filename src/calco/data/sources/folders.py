"""Image files as sources: photographs, halves side by side, parallel folders, images with masks; here or elsewhere."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from calco import imaging
from calco.addresses import is_url
from calco.data import storage
from calco.data.config import SourceConfig
from calco.data.mask_encoding import read_mask
from calco.data.sample import Sample, size_wh
from calco.data.shards import INDEX, MANIFEST
from calco.data.source import Item, Source
from calco.data.sources.names import Entry, Folder, entries_of, file_name, keys_of, name_of, role_of
from calco.data.sources.pairs import Plan, Side, joined, two_endings, two_folders, two_words
from calco.data.splits import LeftOut, find_lists, listed, settled, split_named, split_of_list
from calco.errors import CalcoError, printable
from calco.files import Listing, explained, list_files
from calco.video.names import is_video

_THUMBNAIL: Final = re.compile(r"(.+)[ _.-](?:thumb|thumbnail|tn|\d{2,4}x\d{2,4})", re.IGNORECASE | re.DOTALL)
_TABLES = ("groups.csv", "dropped.csv")
_LOOKED_AT: Final = 64  # images that decide the channels of all


def _recognise(root: Path, wanted: SourceConfig) -> Plan:
    if wanted.input or wanted.target:
        return _named_folders(root, wanted)
    with explained(root, "read"):
        if root.is_file():
            if not imaging.is_image(root):
                raise CalcoError(f"{root}: its ending is not that of an image; name a folder of images or one image")
            if wanted.source in ("parallel", "masks"):
                raise CalcoError(
                    f"{root} is one file; --source {wanted.source} needs two folders: --input and --target"
                )
            listing = Listing(os.path.join(root.parent, ""), [str(root)])
            return _single_files([Entry(str(root), Folder(), root.stem)], listing, wanted)
        if not root.is_dir():
            others = "drawings (openmoji) or a data set of the hub (hub:owner/name)"
            raise CalcoError(f"there is no folder {root}; check the path, or name the built-in {others}")
    listing = list_files(root, imaging.is_image)
    if not listing.paths:
        raise CalcoError(nothing_in(root, listing.left_out))
    entries = entries_of(_without_thumbnails(listing), listing.root)
    plan = None
    if wanted.source in ("auto", "parallel", "masks"):
        looks = (look(entries, listing, wanted) for look in (two_folders, two_words, two_endings))
        plan = next(filter(None, looks), None)
    if plan is None and wanted.source in ("parallel", "masks"):
        folders = ", ".join(_subfolders(root)) or "none"
        raise CalcoError(
            f"{root} does not hold two folders of images for --source {wanted.source} (its folders: {folders}), nor "
            "files with words such as x.jpg and x_mask.png; name the folders with --input and --target"
        )
    return _finished(plan or _single_files(entries, listing, wanted), [listing])


def _finished(plan: Plan, listings: Sequence[Listing]) -> Plan:
    """Add the splits that folders and lists declare, and remarks on what was passed over."""
    parents = {item.key.rpartition("/")[0] for item in plan.items}
    folders = sorted({part for parent in parents for part in parent.split("/") if split_named(part)})
    items, left_out = settled(plan.items, f"in none of the folders {', '.join(folders)}")
    notes = list(plan.notes)
    for listing in listings:
        names = [name for name in listing.others if split_of_list(os.path.basename(name))]
        if lists := find_lists(listing.root, listing.paths, [listing.root + name for name in names]):
            items, unlisted = listed(items, lists)
            left_out += unlisted
            notes.append(lists.remark())
        if videos := [name for name in listing.others if is_video(name)]:
            found = f"{len(videos)} videos lie among the images, such as {videos[0]}"
            notes.append(printable(f"{found}; --source video takes them instead"))
        own = []  # files of calco prepare
        if MANIFEST in listing.others:
            own = [name for name in listing.others if name == MANIFEST or name.startswith(f"{INDEX}/")]
        notes += listing.remarks("images", *videos, *_TABLES, *own, *(lists.names if lists else ()))
    return replace(plan, items=items, left_out=[*plan.left_out, *left_out], notes=tuple(notes))


def _without_thumbnails(listing: Listing) -> list[str]:
    """Return the images without those that have the name of a thumbnail beside a larger image."""
    by_stem = {os.path.splitext(path)[0]: path for path in listing.paths}
    kept = []
    for path in listing.paths:
        found = _THUMBNAIL.fullmatch(os.path.splitext(path)[0])
        original = by_stem.get(found[1]) if found else None
        small, large = (imaging.header_size_wh(each) if original else None for each in (path, original or path))
        if original and small and large and small[0] < large[0] and small[1] < large[1]:
            listing.leave_out(path, printable(f"a thumbnail of {os.path.basename(original)}"))
        else:
            kept.append(path)
    return kept


def nothing_in(root: Path, left_out: LeftOut, what: str = "image") -> str:
    """Describe what a folder holds in place of images (or of another kind of file)."""
    if left_out:
        name, reason = left_out[0]
        return f"{root} holds no {what} that could be listed; left out: {len(left_out)}, such as {name} ({reason})"
    found = list_files(root, lambda _name: True)
    endings = Counter(os.path.splitext(path)[1].lower() or "no ending" for path in found.paths)
    known = ".mp4, .mov, .avi, .mkv, .webm" if what == "video" else ".jpg, .png, .webp, .tif, .bmp"
    hidden = "".join(f"; {note}" for note in found.remarks(what))
    if not endings:
        state = "holds nothing else" if hidden else "is empty"
        return f"the folder {root} {state}; put {what}s into it or name another{hidden}"
    seen = ", ".join(f"{ending} ({count})" for ending, count in endings.most_common(5))
    return f"{root} holds no {what}, only {seen}; {what}s end in {known} or the like{hidden}"


def _single_files(entries: Sequence[Entry], listing: Listing, wanted: SourceConfig) -> Plan:
    """Return the plan of photographs, or of files with an input and a target beside each other."""
    sample = entries[:: max(1, len(entries) // 64)]
    sizes = [size for entry in sample if (size := imaging.header_size_wh(entry.path))]
    num_double = sum(width == 2 * height for width, height in sizes)
    # One file alone that is twice as wide as high may be a panorama.
    if wanted.source == "side-by-side" or (wanted.source == "auto" and len(sizes) == num_double > 1):
        half = "left" if wanted.direction == "AtoB" else "right"
        story = f"side-by-side files, the {half} half is the input"
        return Plan("side-by-side", _single_items(entries, listing.root), listing.left_out, story)
    if wanted.direction == "BtoA":
        raise CalcoError(
            f"{listing.root} holds single photographs, which have no direction BtoA; if each file is an input and a "
            "target beside each other: --source side-by-side; else leave --direction out"
        )
    left_out, notes = list(listing.left_out), tuple[str, ...]()
    if wanted.source == "auto":
        by_key, photographs = {entry.key: entry.path for entry in entries}, []
        for entry in entries:
            base, word = file_name(entry.stem)
            original = by_key.get(replace(entry, stem=base).key) if role_of(word) == "mask" else None
            if original:
                mask = f"a mask of {printable(os.path.basename(original))} by its name"
                reason = f"{mask}; --source masks takes both, --source photographs each"
                left_out.append((name_of(entry.path, listing.root), reason))
            else:
                photographs.append(entry)
        entries = photographs
        if len(sizes) > num_double > len(sizes) / 2:
            found = f"{num_double} of {len(sizes)} files are exactly twice as wide as high"
            notes = (f"{found}: if each is an input and a target, --source side-by-side reads them so",)
    return Plan("photographs", _single_items(entries, listing.root), left_out, "photographs", notes)


def _single_items(entries: Iterable[Entry], root: str) -> tuple[Item, ...]:
    """Return one item a file, sorted by key."""
    splits = {entry.path: entry.folder.split for entry in entries}
    return tuple(Item(key, key, (path,), splits[path]) for key, path in sorted(keys_of(splits, root).items()))


def _subfolders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _named_folders(root: Path, wanted: SourceConfig) -> Plan:
    """Return the plan of two folders that the user names."""
    if not (wanted.input and wanted.target):
        given, missing = ("--input", "--target") if wanted.input else ("--target", "--input")
        raise CalcoError(f"{given} is given without {missing}; name both folders")
    if wanted.source not in ("auto", "parallel", "masks"):
        raise CalcoError(f"--input and --target do not go with --source {wanted.source}; leave one of them out")
    sides: list[Side] = []
    listings: list[Listing] = []
    left_out: LeftOut = []
    for name in (wanted.input, wanted.target):
        folder = root / name if (root / name).is_dir() else Path(name)
        if not folder.is_dir():
            seen = ", ".join(_subfolders(root)) if root.is_dir() else "none, for it is no folder"
            raise CalcoError(f"there is no folder {name} in {root}; its folders: {seen or 'none'}")
        listing = list_files(folder, imaging.is_image)
        if not listing.paths:
            raise CalcoError(nothing_in(folder, listing.left_out))
        entries = entries_of(_without_thumbnails(listing), listing.root)
        left_out += [(f"{name}/{inside}", reason) for inside, reason in listing.left_out]
        sides.append(Side(name, entries))
        listings.append(listing)
    # Lists of splits in the root itself may name the files of both folders.
    others = [path.name for path in root.iterdir() if path.is_file()] if root.is_dir() else []
    paths = [path for each in listings for path in each.paths]
    beside = Listing(os.path.join(root, ""), paths, others=[name for name in others if split_of_list(name)])
    return _finished(joined(sides[0], sides[1], wanted, root, left_out), [beside, *listings])


def open(path: str, config: SourceConfig) -> Source:
    """Recognise and list a folder of image files (or one file)."""
    plan = _recognise(Path(path), config)
    sample = plan.items[:: max(1, len(plan.items) // _LOOKED_AT)]
    first, second = ([item.paths[side] for item in sample] for side in (0, -1))
    channels = imaging.common_channels(first, config.background), imaging.common_channels(second, config.background)
    return Source(
        plan.kind, path, plan.items, load_files, tuple(plan.left_out), config.direction, channels,
        config.background, story=plan.story, notes=plan.notes,
    )  # fmt: skip


def load_files(source: Source, item: Item) -> Sample:
    """Read an image alone, both halves of it, or with its partner or mask from a second file."""
    channels, background = source.channels, source.background
    image = imaging.read(item.paths[0], channels=channels[0], background=background)
    sample = Sample(image=image, key=item.key, group=item.group)
    if source.kind == "side-by-side":
        half, odd = divmod(image.shape[1], 2)
        if odd:
            raise CalcoError(f"{item.paths[0]} is {size_wh(image)} pixels; two halves need an even width: crop it")
        halves = image[:, :half], image[:, half:]
        image, partner = halves if source.direction == "AtoB" else halves[::-1]
        return replace(sample, image=image, partner=partner)
    if source.kind == "parallel":
        return replace(sample, partner=imaging.read(item.paths[1], channels=channels[1], background=background))
    if source.kind == "masks":
        mask = imaging.turned_with(read_mask(item.paths[1]), item.paths[0], image.shape)
        return replace(sample, mask=imaging.resize(mask, (image.shape[1], image.shape[0]), "nearest"))
    return sample


def is_remote(path: str) -> bool:
    """Return True if a path is the address of a folder of image files; with tar files in it, it would be shards."""
    if not is_url(path) or ".tar" in path or storage.exists(storage.joined(path, MANIFEST)):
        return False
    names = storage.names(path)
    return any(map(imaging.is_image, names)) and not any(name.endswith(".tar") for name in names)


def open_remote(path: str, config: SourceConfig) -> Source:
    """List the image files in a folder elsewhere and below it."""
    if config.input or config.target:
        raise CalcoError(
            f"{path} is read as photographs; pairs come from there as tar files: make some with calco prepare"
        )
    keys = keys_of((name for name in storage.names(path) if imaging.is_image(name)), "")
    items = tuple(Item(key, key, (storage.joined(path, name),)) for key, name in sorted(keys.items()))
    return Source(
        "photographs", path, items, _load_remote, background=config.background, digester=_remote_digest,
        story="photographs at an address",
    )  # fmt: skip


def _load_remote(source: Source, item: Item) -> Sample:
    """Return the image alone."""
    data = storage.read(item.paths[0])
    image = imaging.decode(data, item.paths[0], channels=source.channels[0], background=source.background)
    return Sample(image=image, key=item.key, group=item.group)


def _remote_digest(_source: Source, item: Item) -> str:
    return hashlib.sha256(storage.read(item.paths[0])).hexdigest()[:16]
