"""Images with boxes, for whoever has no use for others."""

from dataclasses import replace
from typing import Final

from calco.data.config import SourceConfig
from calco.data.source import Source
from calco.data.sources import open_source

_WITHOUT_BOXES: Final = ("photographs", "side-by-side", "parallel", "masks")


def open_marked(images: str, config: SourceConfig) -> Source:
    """Opens images with boxes.

    Args:
        images: A folder, or what else `open_source` takes.
        config: How they are read; what is recognised as a folder without boxes is read for its annotations all the
            same, so that what is wrong with these is said.

    Raises:
        CalcoError: When there are no images, or no boxes.
    """
    source = open_source(images, config)
    if config.source == "auto" and source.kind in _WITHOUT_BOXES:
        return open_source(images, replace(config, source="annotations", input=None, target=None))
    return source
