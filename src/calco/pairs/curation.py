"""What is settled before pictures are used: which belong together, which are left out, how many are taken."""

import hashlib
from dataclasses import replace
from pathlib import Path

from calco.pairs.sources import Item, Source, SourceConfig
from calco.pairs.types import fraction

_OF_FILES = {"side-by-side": 2, "parallel": 2, "masks": 1, "photographs": 1}  # how many of an item's files count


def curated(source: Source, config: SourceConfig) -> Source:
    """Puts copies and named groups together, leaves out what is to be dropped, and takes no more than the limit."""
    items = source.items
    if source.kind in _OF_FILES:
        groups = _groups({item.key: tuple(map(Path, item.paths[: _OF_FILES[source.kind]])) for item in items})
        items = tuple(replace(item, group=groups[item.key]) for item in items)
    return replace(source, items=_limited(items, config.limit))


def _groups(entries: dict[str, tuple[Path, ...]]) -> dict[str, str]:
    """The group of each key: its own, or that of the first picture with the same bytes: copies never cross a split."""
    sizes: dict[tuple[int, int], int] = {}
    for paths in entries.values():
        for side, path in enumerate(paths):
            size = side, _length(path)
            sizes[size] = sizes.get(size, 0) + 1
    first_seen: dict[tuple[int, str], str] = {}
    groups: dict[str, str] = {}
    for key, paths in entries.items():
        # Only files of equal length can be equal: the others are not read.
        same = [(side, _hash(path)) for side, path in enumerate(paths) if sizes[side, _length(path)] > 1]
        groups[key] = next((first_seen[content] for content in same if content in first_seen), key)
        for content in same:
            first_seen.setdefault(content, groups[key])
    return groups


def _length(path: Path) -> int:
    """Bytes of a file; -1 for one that cannot be asked, such as a broken link."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _hash(path: Path) -> str:
    """A digest of the contents; an unreadable file equals none, and is reported when it is loaded."""
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return str(path)


def _limited(items: tuple[Item, ...], limit: int) -> tuple[Item, ...]:
    """At most `limit` items, whole groups in the order of their hash; one group at least."""
    if not limit or limit >= len(items):
        return items
    members: dict[str, list[Item]] = {}
    for item in items:
        members.setdefault(item.group, []).append(item)
    chosen: list[Item] = []
    for group in sorted(members, key=lambda name: fraction("limit", name)):
        if not chosen or len(chosen) + len(members[group]) <= limit:
            chosen += members[group]
    return tuple(sorted(chosen, key=lambda item: item.key))
