"""Cuts out of photographs what boxes name, with a margin; the crops of one photograph are one group."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.annotations.record import Record
from calco.collecting.config import CollectConfig
from calco.errors import CalcoError
from calco.files import atomic_write, digest, make_folder


@dataclass
class Cut:
    """Crops of the boxes: the group of each crop, and the reasons why photographs and boxes were left out."""

    groups: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    boxes_left_out: dict[str, str] = field(default_factory=dict)


def check_labels(records: Sequence[Record], labels: Sequence[str]) -> None:
    """Refuse a label that no box has, before anything is downloaded or cut."""
    known = sorted({label for record in records for label in record.objects.classes})
    for label in labels:
        if known and label != "all" and label not in known:
            raise CalcoError(f"no box has the label {label}; the labels are {', '.join(known[:12])}, or take all")


def window(
    box: npt.NDArray[Any], size_wh: tuple[int, int], *, margin: float, min_size: int, square: bool = False
) -> tuple[int, int, int, int]:
    """Return the pixels of a crop: left, top, right, bottom, the last two exclusive, within the image.

    The box (left, top, right, bottom in pixels) may reach beyond the image. A box that is empty, inverted or outside
    the image, and a crop whose shorter side is below `min_size` pixels, are refused.

    >>> window(np.array([10, 10, 30, 50]), (100, 100), margin=0.5, min_size=9)
    (0, 0, 40, 70)
    """
    low, high = np.asarray(box, np.float64).reshape(2, 2)
    size = np.array(size_wh, np.float64)
    if not (high > low).all():
        raise CalcoError("the box is empty or inverted")
    if not (np.minimum(high, size) > np.maximum(low, 0)).all():
        raise CalcoError("the box lies outside the image")
    middle, sides = (low + high) / 2, (high - low) * (1 + 2 * margin)
    if square:
        sides = np.full(2, min(sides.max(), size.min()))
        middle = np.clip(middle, sides / 2, size - sides / 2)
    # A float32 corner may lie a hair beside its pixel.
    first = np.floor(np.clip(middle - sides / 2, 0, size) + 1e-3).astype(int)
    last = np.ceil(np.clip(middle + sides / 2, 0, size) - 1e-3).astype(int)
    if square:
        last = first + (last - first).min()
    if (last - first).min() < min_size:
        raise CalcoError(f"the crop has {last[0] - first[0]}x{last[1] - first[1]} pixels, under {min_size}")
    return int(first[0]), int(first[1]), int(last[0]), int(last[1])


def cut(
    photographs: Mapping[str, Path],
    records: Mapping[str, Record],
    out: Path,
    config: CollectConfig,
    progress: Callable[[int, int], None],
) -> Cut:
    """Write a crop of each box, as `NAME_BOX.png`, and `groups.csv`.

    Photographs with the same bytes are one group, whatever their names.
    """
    folder, done = make_folder(out), Cut()
    first_with: dict[str, str] = {}
    with ThreadPoolExecutor(config.jobs) as pool:
        results = pool.map(lambda name: _crops_of(name, photographs[name], records[name], folder, config), records)
        for count, (name, (content, crops)) in enumerate(zip(records, results, strict=True), 1):
            group = first_with.setdefault(content, name)
            done.groups |= dict.fromkeys(crops.groups, group)
            done.left_out |= crops.left_out
            done.boxes_left_out |= crops.boxes_left_out
            progress(count, len(records))
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("key", "group"), *done.groups.items()])
    atomic_write(folder / "groups.csv", table.getvalue())
    return done


def _crops_of(photograph: str, path: Path, record: Record, out: Path, config: CollectConfig) -> tuple[str, Cut]:
    """Write the crops of one photograph; return the digest of its bytes and the result."""
    crops = Cut()
    try:
        image = imaging.read(path, background="channel")
        size = image.shape[1], image.shape[0]
        objects = record.at(*size).objects
        content = digest(path)
    except CalcoError as error:
        crops.left_out[photograph] = str(error)
        return "", crops
    # PNG loses nothing of most images; TIFF holds floats and more than four channels.
    suffix = ".tif" if image.dtype == np.float32 or image.shape[2] > 4 else ".png"
    for number, (label, box) in enumerate(zip(objects.classes, objects.boxes, strict=True)):
        if label not in config.crop and "all" not in config.crop:
            continue
        name = f"{photograph}_{number}"
        try:
            left, top, right, bottom = window(
                box, size, margin=config.margin, min_size=config.min_size, square=config.square
            )
        except CalcoError as error:
            crops.boxes_left_out[name] = str(error)
            continue
        file = out / f"{name}{suffix}"
        make_folder(file.parent)
        imaging.write(file, image[top:bottom, left:right])
        crops.groups[name] = photograph
    return content, crops
