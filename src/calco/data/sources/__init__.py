"""`open_source`: what was named is recognised, listed, and put in order."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from calco import imaging
from calco.addresses import is_cut
from calco.data import remote
from calco.data.config import Kind, SourceConfig
from calco.data.curation import curated
from calco.data.source import Source
from calco.data.sources import annotated, folders, hub, openmoji, shards, videos
from calco.data.sources.folders import open_folder
from calco.errors import CalcoError

_OPENERS: Final[dict[str, Callable[[str, SourceConfig], Source]]] = {
    "annotations": annotated.open_annotated,
    "video": videos.open_videos,
    "shards": shards.open_shards,
    "hub": hub.open_hub,
    "openmoji": openmoji.open_drawings,
}


def is_elsewhere(images: str) -> bool:
    """Whether images are named by an address or a name on the hub, so that opening them contacts a network."""
    return remote.is_url(images) or images.startswith("hub:")


def remembered(provenance: Mapping[str, Any], purpose: str) -> str:
    """Return the folder that a model was trained on, as it says itself; a model does not choose what is fetched.

    Args:
        provenance: What the model says of where it came from.
        purpose: What the images are named for, such as "to try it on: --images FOLDER".

    Raises:
        CalcoError: When it does not say, or names something that is not on this machine.
    """
    root = provenance.get("images")
    if not root or not isinstance(root, str):
        raise CalcoError(f"the model does not say what it was trained on; name images {purpose}")
    if is_elsewhere(root):
        raise CalcoError(
            f"the model says that it was trained on {root}, and nothing is fetched because a model names it; "
            f"name images {purpose}"
        )
    return root


def open_source(images: str | Path, config: SourceConfig | None = None) -> Source:
    """Recognises what a folder (or file, or name) holds, and lists it.

    Args:
        images: A folder, an image or video, shards, a data set of the hub ("hub:owner/name"), or "openmoji".
        config: What is to be forced; None recognises everything.

    Raises:
        CalcoError: When the folder is absent, unreadable or empty, or nothing in it matches.
    """
    config = config or SourceConfig()
    name = os.fspath(images)
    if is_cut(name):
        raise CalcoError(
            f"the address {name} was written down without its password or token; give the whole address "
            "again, in place of the images (with --resume too: calco train ADDRESS --resume RUN)"
        )
    if config.source in ("auto", "photographs") and folders.looks_distant(name):
        return curated(folders.open_distant(name, config), config)
    kind = _recognised(name, config) if config.source == "auto" else config.source
    _refuse_strangers(kind, config)
    source = _OPENERS.get(kind, open_folder)(name, config)
    source = annotated.doubted(source) if kind == "auto" else source
    if note := imaging.note_on_several(dict.fromkeys(path for item in source.items for path in item.paths)):
        source = replace(source, notes=(*source.notes, note))
    return curated(source, config)


def _recognised(images: str, config: SourceConfig) -> Kind:
    """The kind, or "auto" for those that `open_folder` tells apart."""
    if images == "openmoji":
        return "openmoji"
    if hub.looks_like_hub(images):
        return "hub"
    if shards.looks_like_shards(images):
        return "shards"
    if config.annotations or annotated.looks_annotated(Path(images), config):
        return "annotations"
    return "video" if videos.looks_like_video(images) else "auto"


def _refuse_strangers(kind: str, config: SourceConfig) -> None:
    """Options that a kind has no use for are told, not overlooked."""
    if config.annotations and kind != "annotations":
        raise CalcoError(f"--annotations {config.annotations} does not go with --source {kind}; leave one of them out")
    if config.classes and kind != "annotations":
        given = " ".join(config.classes)
        raise CalcoError(f"--classes {given} goes with annotations, and there are none; name them: --annotations FILE")
    if (config.input or config.target) and kind in ("video", "openmoji"):
        raise CalcoError(f"--input and --target do not go with --source {kind}; leave them out")
    if config.direction == "BtoA" and kind in ("video", "annotations"):
        raise CalcoError(f"--direction BtoA does not go with --source {kind}, which has no other side; leave it out")
