"""Folders of picture files as sources: photographs, halves side by side, parallel folders, pictures with masks."""

from pathlib import Path
from typing import Final

from calco import images
from calco.errors import CalcoError
from calco.images import Image
from calco.pairs.layout import recognise
from calco.pairs.mask_survey import read_mask
from calco.pairs.sources import Item, Loader, Source, SourceConfig
from calco.pairs.types import Picture, size_wh

_LOOKED_AT: Final = 64  # pictures of which the channels of all are told


def open_folder(root: str, config: SourceConfig) -> Source:
    """Recognises and lists a folder of picture files (or one file).

    Raises:
        CalcoError: When the folder is absent, unreadable or empty, or nothing in it matches.
    """
    plan = recognise(Path(root), config)
    sample = plan.items[:: max(1, len(plan.items) // _LOOKED_AT)]
    first, second = ([item.paths[side] for item in sample] for side in (0, -1))
    channels = images.common_channels(first, config.background), images.common_channels(second, config.background)
    return Source(
        plan.kind, root, plan.items, LOADERS[plan.kind], tuple(plan.left_out), config.direction, channels,
        config.background, story=plan.story, notes=plan.notes,
    )  # fmt: skip


def _read(source: Source, path: str, side: int) -> Image:
    return images.read(path, channels=source.channels[side], background=source.background)


def load_photograph(source: Source, item: Item) -> Picture:
    """The picture alone."""
    return Picture(image=_read(source, item.paths[0], 0), key=item.key, group=item.group)


def load_halves(source: Source, item: Item) -> Picture:
    """One half as the picture, the other as its partner."""
    whole = _read(source, item.paths[0], 0)
    width = whole.shape[1]
    if width % 2:
        raise CalcoError(f"{item.paths[0]} is {size_wh(whole)} pixels; two halves need an even width: crop it")
    left, right = whole[:, : width // 2], whole[:, width // 2 :]
    if source.direction == "BtoA":
        left, right = right, left
    return Picture(image=left, partner=right, key=item.key, group=item.group)


def load_parallel(source: Source, item: Item) -> Picture:
    """The picture and its partner, from two files."""
    first, second = (_read(source, path, side) for side, path in enumerate(item.paths))
    return Picture(image=first, partner=second, key=item.key, group=item.group)


def load_masked(source: Source, item: Item) -> Picture:
    """The picture and its mask, which is brought to the picture's size."""
    image = _read(source, item.paths[0], 0)
    height, width = image.shape[:2]
    mask = images.turned_with(read_mask(item.paths[1]), item.paths[0], image.shape)
    mask = images.resize(mask, (width, height), "nearest")
    return Picture(image=image, mask=mask, key=item.key, group=item.group)


LOADERS: Final[dict[str, Loader]] = {
    "side-by-side": load_halves,
    "parallel": load_parallel,
    "masks": load_masked,
    "photographs": load_photograph,
}
