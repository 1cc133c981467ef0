"""Cuts what boxes name out of photographs, with a margin; crops of one photograph stay one group."""

import csv
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.annotations.record import Record
from calco.collecting.config import CropConfig
from calco.errors import CalcoError
from calco.files import atomic_write, digest, make_folder

Progress: TypeAlias = Callable[[int, int], None]  # how many are done, and of how many


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image with boxes: its name, which the names of its crops begin with, its file, and what was said of it."""

    name: str
    path: Path
    record: Record


@dataclass
class Cut:
    """Crops of the boxes.

    Attributes:
        groups: The group of each crop that was written.
        left_out: Name and reason of each photograph that could not be used.
        boxes_left_out: Name and reason of each box that gave no crop.
    """

    groups: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    boxes_left_out: dict[str, str] = field(default_factory=dict)


def check_labels(records: Sequence[Record], labels: Sequence[str]) -> None:
    """Refuse a label that no box has, before anything is fetched or cut.

    Raises:
        CalcoError: Naming the labels that there are.
    """
    known = sorted({label for record in records for label in record.objects.classes})
    for label in labels:
        if known and label != "all" and label not in known:
            raise CalcoError(f"no box has the label {label}; the labels are {', '.join(known[:12])}, or take all")


def window(box: npt.NDArray[Any], size_wh: tuple[int, int], config: CropConfig) -> tuple[int, int, int, int]:
    """The pixels of a crop: left, top, right, bottom, the last two exclusive, within the image.

    Args:
        box: Left, top, right, bottom in pixels; it may reach beyond the image.
        size_wh: Width and height of the image.
        config: Margin and shape.

    Raises:
        CalcoError: If the box is empty, inverted or outside the image, or the crop too small.

    >>> window(np.array([10, 10, 30, 50]), (100, 100), CropConfig(labels=("all",), margin=0.5, min_size=9))
    (0, 0, 40, 70)
    """
    low, high = np.asarray(box, np.float64).reshape(2, 2)
    size = np.array(size_wh, np.float64)
    if not (high > low).all():
        raise CalcoError("the box is empty or inverted")
    if not (np.minimum(high, size) > np.maximum(low, 0)).all():
        raise CalcoError("the box lies outside the image")
    middle, sides = (low + high) / 2, (high - low) * (1 + 2 * config.margin)
    if config.square:
        sides = np.full(2, min(sides.max(), size.min()))
        middle = np.clip(middle, sides / 2, size - sides / 2)
    # A float32 corner may lie a hair beside its pixel.
    first = np.floor(np.clip(middle - sides / 2, 0, size) + 1e-3).astype(int)
    last = np.ceil(np.clip(middle + sides / 2, 0, size) - 1e-3).astype(int)
    if config.square:
        last = first + (last - first).min()
    if (last - first).min() < config.min_size:
        raise CalcoError(f"the crop has {last[0] - first[0]}x{last[1] - first[1]} pixels, under {config.min_size}")
    return int(first[0]), int(first[1]), int(last[0]), int(last[1])


def cut(
    photographs: Sequence[Photograph],
    out: str | Path,
    config: CropConfig,
    jobs: int,
    progress: Callable[[int, int], None],
) -> Cut:
    """Write a crop of each box, as `NAME_BOX.png`, and `groups.csv`, which keeps those of one photograph together.

    Photographs with the same bytes are one group, whatever their names.

    Args:
        photographs: Their names differ.
        out: The folder.
        config: Which boxes, and how.
        jobs: How many photographs are read at once.
        progress: Called with the number of photographs done and in all.

    Raises:
        CalcoError: If the folder cannot be written.
    """
    folder, done = make_folder(out), Cut()
    first_with: dict[str, str] = {}
    with ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda photograph: _crops_of(photograph, folder, config), photographs)
        for count, (photograph, (content, cuts)) in enumerate(zip(photographs, results, strict=True), 1):
            group = first_with.setdefault(content, photograph.name)
            done.groups |= dict.fromkeys(cuts.groups, group)
            done.left_out |= cuts.left_out
            done.boxes_left_out |= cuts.boxes_left_out
            progress(count, len(photographs))
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerows([("key", "group"), *done.groups.items()])
    atomic_write(folder / "groups.csv", table.getvalue())
    return done


def _crops_of(photograph: Photograph, out: Path, config: CropConfig) -> tuple[str, Cut]:
    """Write the crops of one photograph: the digest of its bytes, and what came of its boxes."""
    cuts = Cut()
    try:
        image = imaging.read(photograph.path, background="channel")
        size = image.shape[1], image.shape[0]
        objects = photograph.record.at(*size).objects
        content = digest(photograph.path)
    except CalcoError as error:
        cuts.left_out[photograph.name] = str(error)
        return "", cuts
    for number, (label, box) in enumerate(zip(objects.classes, objects.boxes, strict=True)):
        if label not in config.labels and "all" not in config.labels:
            continue
        name = f"{photograph.name}_{number}"
        try:
            left, top, right, bottom = window(box, size, config)
        except CalcoError as error:
            cuts.boxes_left_out[name] = str(error)
            continue
        path = out / f"{name}{_ending(image)}"
        make_folder(path.parent)
        imaging.write(path, image[top:bottom, left:right])
        cuts.groups[name] = photograph.name
    return content, cuts


def _ending(image: imaging.Image) -> str:
    """Return the ending of a format without loss: PNG, or TIFF for floats and more than four channels."""
    return ".tif" if image.dtype == np.float32 or image.shape[2] > 4 else ".png"
