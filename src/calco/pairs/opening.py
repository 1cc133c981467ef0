"""`open_source`: what was named is recognised, listed, and put in order."""

from pathlib import Path

from calco.pairs import openmoji
from calco.pairs.curation import curated
from calco.pairs.folders import open_folder
from calco.pairs.sources import Source, SourceConfig


def open_source(pictures: str | Path, config: SourceConfig | None = None) -> Source:
    """Recognises what a folder (or file, or name) holds, and lists it.

    Args:
        pictures: A folder, one picture, or "openmoji".
        config: What is to be forced; None recognises everything.

    Raises:
        CalcoError: When the folder is absent, unreadable or empty, or nothing in it matches.
    """
    config = config or SourceConfig()
    if config.source == "openmoji" or (str(pictures) == "openmoji" and config.source == "auto"):
        source = openmoji.open_drawings(config)
    else:
        source = open_folder(str(pictures), config)
    return curated(source, config)
