"""Image files in an object store or on a server, as photographs; each is fetched when it is read."""

import hashlib

from calco import imaging
from calco.addresses import is_url
from calco.data import storage
from calco.data.config import SourceConfig
from calco.data.sample import Sample
from calco.data.shards import MANIFEST
from calco.data.source import Item, Source
from calco.data.sources.names import keys_of
from calco.errors import CalcoError


def matches(path: str, _config: SourceConfig) -> bool:
    """Return True if a path is the address of a folder of image files; with tar files in it, it would be shards."""
    if not is_url(path) or ".tar" in path or storage.exists(storage.joined(path, MANIFEST)):
        return False
    names = storage.names(path)
    return any(map(imaging.is_image, names)) and not any(name.endswith(".tar") for name in names)


def open(path: str, config: SourceConfig) -> Source:
    """List the image files in a folder elsewhere and below it."""
    if config.input or config.target:
        raise CalcoError(
            f"{path} is read as photographs; pairs come from there as tar files: make some with calco prepare"
        )
    keys = keys_of((name for name in storage.names(path) if imaging.is_image(name)), "")
    items = tuple(Item(key, key, (storage.joined(path, name),)) for key, name in sorted(keys.items()))
    return Source(
        "photographs", path, items, load_remote, background=config.background, digester=_digest,
        story="photographs at an address",
    )  # fmt: skip


def load_remote(source: Source, item: Item) -> Sample:
    """Return the image alone."""
    data = storage.read(item.paths[0])
    image = imaging.decode(data, item.paths[0], channels=source.channels[0], background=source.background)
    return Sample(image=image, key=item.key, group=item.group)


def _digest(_source: Source, item: Item) -> str:
    return hashlib.sha256(storage.read(item.paths[0])).hexdigest()[:16]
