"""Image files in an object store or on a server, as photographs; each is fetched when it is read."""

import hashlib
from collections import Counter
from pathlib import PurePosixPath

from calco import imaging
from calco.data import remote
from calco.data.config import SourceConfig
from calco.data.sample import Sample
from calco.data.shards import MANIFEST
from calco.data.source import Item, Source
from calco.errors import CalcoError


def looks_distant(place: str) -> bool:
    """Whether an address is that of a folder of image files; tar files in it would be shards."""
    if not remote.is_url(place) or ".tar" in place or remote.exists(remote.joined(place, MANIFEST)):
        return False
    try:
        names = remote.names(place)
    except CalcoError:
        return False  # whoever reads it as shards tells
    return any(map(imaging.is_image, names)) and not any(name.endswith(".tar") for name in names)


def open_distant(place: str, config: SourceConfig) -> Source:
    """Lists the image files in a folder elsewhere and below it.

    Raises:
        CalcoError: When it cannot be listed, or is to be read as pairs.
    """
    if config.input or config.target:
        raise CalcoError(
            f"{place} is read as photographs; pairs come from there as tar files: make some with calco prepare"
        )
    names = [name for name in remote.names(place) if imaging.is_image(name)]
    stems = Counter(PurePosixPath(name).with_suffix("").as_posix() for name in names)
    items = []
    for name in names:
        stem = PurePosixPath(name).with_suffix("").as_posix()
        key = stem if stems[stem] == 1 else name
        items.append(Item(key, key, (remote.joined(place, name),)))
    return Source(
        "photographs", place, tuple(sorted(items, key=lambda item: item.key)), load_distant,
        background=config.background, digester=digest_distant, story="photographs at an address",
    )  # fmt: skip


def load_distant(source: Source, item: Item) -> Sample:
    """The image alone."""
    data = remote.read(item.paths[0])
    image = imaging.decode(data, item.paths[0], channels=source.channels[0], background=source.background)
    return Sample(image=image, key=item.key, group=item.group)


def digest_distant(_source: Source, item: Item) -> str:
    """Sixteen hex digits of the file's contents."""
    return hashlib.sha256(remote.read(item.paths[0])).hexdigest()[:16]
