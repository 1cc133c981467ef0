"""Opening of images with boxes."""

from dataclasses import replace
from typing import Final

from calco.data.config import SourceConfig
from calco.data.source import Source
from calco.data.sources import open_source

_WITHOUT_BOXES: Final = ("photographs", "side-by-side", "parallel", "masks")


def open_annotated(images: str, config: SourceConfig) -> Source:
    """Open images with boxes; a folder that seems to have none is read for its annotations, to report their faults."""
    source = open_source(images, config)
    if config.source == "auto" and source.kind in _WITHOUT_BOXES:
        return open_source(images, replace(config, source="annotations", input=None, target=None))
    return source
