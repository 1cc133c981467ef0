"""Pictures with boxes, for whoever has no use for others."""

from dataclasses import replace
from typing import Final

from calco.pairs.opening import open_source
from calco.pairs.sources import Source, SourceConfig

_WITHOUT_BOXES: Final = ("photographs", "side-by-side", "parallel", "masks")


def open_marked(pictures: str, config: SourceConfig) -> Source:
    """Opens pictures with boxes.

    Args:
        pictures: A folder, or what else `open_source` takes.
        config: How they are read; what is recognised as a folder without boxes is read for its annotations all the
            same, so that what is wrong with these is said.

    Raises:
        CalcoError: When there are no pictures, or no boxes.
    """
    source = open_source(pictures, config)
    if config.source == "auto" and source.kind in _WITHOUT_BOXES:
        return open_source(pictures, replace(config, source="annotations", input=None, target=None))
    return source
