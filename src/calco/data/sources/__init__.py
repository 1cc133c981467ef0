"""Sources: `open_source` recognises what was named, lists it, and puts it in order.

Each kind has two functions: one that recognises a path, and one that opens it.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from calco import imaging
from calco.addresses import is_cut, is_url
from calco.data.config import SourceConfig
from calco.data.curation import curated
from calco.data.source import Source
from calco.data.sources import annotated, folders, hub, openmoji, shards, videos
from calco.errors import CalcoError

_AUTO: Final = SourceConfig()

# The first kind that matches counts. The first three are names, never paths on this disk.
_KINDS: Final[dict[str, tuple[Callable[[str, SourceConfig], bool], Callable[[str, SourceConfig], Source]]]] = {
    "openmoji": (lambda path, _: path == "openmoji", openmoji.open),
    "hub": (lambda path, _: path.startswith("hub:"), hub.open),
    "address": (lambda path, _: folders.is_remote(path), folders.open_remote),
    "shards": (lambda path, _: shards.matches(path), shards.open),
    "annotations": (annotated.matches, annotated.open),
    "video": (lambda path, _: videos.matches(path), videos.open),
    "files": (lambda *_: True, folders.open),
}
_NAMES: Final = ("openmoji", "hub", "address")


def is_elsewhere(images: str) -> bool:
    """Return True for an address or a name on the hub, which contact a network when they are opened."""
    return is_url(images) or images.startswith("hub:")


def remembered(provenance: Mapping[str, Any], purpose: str) -> str:
    """Return the folder that a model was trained on by its provenance, if that is on this machine.

    A model does not choose what is fetched. The purpose, such as "to try it on: --images FOLDER", ends an error.
    """
    root = provenance.get("images")
    if not root or not isinstance(root, str):
        raise CalcoError(f"the model does not record its training images; name images {purpose}")
    if is_elsewhere(root):
        raise CalcoError(
            f"the model says that it was trained on {root}, and nothing is fetched because a model names it; "
            f"name images {purpose}"
        )
    return root


def open_source(images: str | Path, config: SourceConfig | None = None) -> Source:
    """Recognise what a folder (or file, or name) holds, and list it.

    Args:
        images: A folder, an image or video, shards, a data set of the hub ("hub:owner/name"), or "openmoji".
        config: What is forced; None recognises everything.

    Returns:
        The source with its items, not yet read.

    Raises:
        CalcoError: If the folder is absent, unreadable or empty, or nothing in it matches.
    """
    config, path = config or _AUTO, os.fspath(images)
    if is_cut(path):
        raise CalcoError(
            f"the address {path} was written down without its password or token; give the whole address "
            "again, in place of the images (with --resume too: calco train ADDRESS --resume RUN)"
        )
    kind = _kind_of(path, config)
    _refuse_strangers(kind if config.source == "auto" else config.source, config)
    source = _KINDS[kind][1](path, config)
    if kind == "files" and config.source == "auto":
        source = annotated.doubted(source)
    if kind != "address" and (note := imaging.note_on_several({p: None for item in source.items for p in item.paths})):
        source = replace(source, notes=(*source.notes, note))
    return curated(source, config)


def open_annotated(images: str, config: SourceConfig) -> Source:
    """Open images with boxes; a folder that seems to have none is read for its annotations, to report their faults."""
    source = open_source(images, config)
    if config.source == "auto" and source.kind in ("photographs", "side-by-side", "parallel", "masks"):
        return open_source(images, replace(config, source="annotations", input=None, target=None))
    return source


def _kind_of(path: str, config: SourceConfig) -> str:
    """Return the key of the kind in `_KINDS`."""
    if config.source == "auto":
        named = path == "openmoji" or not os.path.exists(path)
        kinds = {kind: matches for kind, (matches, _) in _KINDS.items() if named or kind not in _NAMES}
        return next(kind for kind, matches in kinds.items() if matches(path, config))
    if config.source == "photographs" and folders.is_remote(path):
        return "address"
    return config.source if config.source in _KINDS else "files"


def _refuse_strangers(kind: str, config: SourceConfig) -> None:
    """Refuse options that a kind has no use for."""
    if config.annotations and kind != "annotations":
        raise CalcoError(f"--annotations {config.annotations} does not go with --source {kind}; leave one of them out")
    if config.classes and kind != "annotations":
        given = " ".join(config.classes)
        raise CalcoError(f"--classes {given} goes with annotations, and there are none; name them: --annotations FILE")
    if (config.input or config.target) and kind in ("video", "openmoji"):
        raise CalcoError(f"--input and --target do not go with --source {kind}; leave them out")
    if config.direction == "BtoA" and kind in ("video", "annotations"):
        raise CalcoError(f"--direction BtoA does not go with --source {kind}, which has no other side; leave it out")
