"""Folders of image files as sources: photographs, halves side by side, parallel folders, images with masks."""

from pathlib import Path
from typing import Final

from calco import imaging
from calco.data.config import SourceConfig
from calco.data.mask_encoding import read_mask
from calco.data.sample import Sample, size_wh
from calco.data.source import Item, Loader, Source
from calco.data.sources.folders import recognise
from calco.errors import CalcoError
from calco.imaging import Image

_LOOKED_AT: Final = 64  # images of which the channels of all are told


def open_folder(root: str, config: SourceConfig) -> Source:
    """Recognises and lists a folder of image files (or one file).

    Raises:
        CalcoError: When the folder is absent, unreadable or empty, or nothing in it matches.
    """
    plan = recognise(Path(root), config)
    sample = plan.items[:: max(1, len(plan.items) // _LOOKED_AT)]
    first, second = ([item.paths[side] for item in sample] for side in (0, -1))
    channels = imaging.common_channels(first, config.background), imaging.common_channels(second, config.background)
    return Source(
        plan.kind, root, plan.items, LOADERS[plan.kind], tuple(plan.left_out), config.direction, channels,
        config.background, story=plan.story, notes=plan.notes,
    )  # fmt: skip


def _read(source: Source, path: str, side: int) -> Image:
    return imaging.read(path, channels=source.channels[side], background=source.background)


def load_photograph(source: Source, item: Item) -> Sample:
    """The image alone."""
    return Sample(image=_read(source, item.paths[0], 0), key=item.key, group=item.group)


def load_halves(source: Source, item: Item) -> Sample:
    """One half as the image, the other as its partner."""
    whole = _read(source, item.paths[0], 0)
    width = whole.shape[1]
    if width % 2:
        raise CalcoError(f"{item.paths[0]} is {size_wh(whole)} pixels; two halves need an even width: crop it")
    left, right = whole[:, : width // 2], whole[:, width // 2 :]
    if source.direction == "BtoA":
        left, right = right, left
    return Sample(image=left, partner=right, key=item.key, group=item.group)


def load_parallel(source: Source, item: Item) -> Sample:
    """The image and its partner, from two files."""
    first, second = (_read(source, path, side) for side, path in enumerate(item.paths))
    return Sample(image=first, partner=second, key=item.key, group=item.group)


def load_masked(source: Source, item: Item) -> Sample:
    """The image and its mask, which is brought to the image's size."""
    image = _read(source, item.paths[0], 0)
    height, width = image.shape[:2]
    mask = imaging.turned_with(read_mask(item.paths[1]), item.paths[0], image.shape)
    mask = imaging.resize(mask, (width, height), "nearest")
    return Sample(image=image, mask=mask, key=item.key, group=item.group)


LOADERS: Final[dict[str, Loader]] = {
    "side-by-side": load_halves,
    "parallel": load_parallel,
    "masks": load_masked,
    "photographs": load_photograph,
}
