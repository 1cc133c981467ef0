"""Tables of boxes as CSV: one row a box, for all images.

The names of the columns show what they hold, as TensorFlow's examples (filename, width, height, class, xmin, ymin,
xmax, ymax), Roboflow and Open Images (ImageID, LabelName, XMin, XMax, YMin, YMax: shares of width and height) have
them. Without names of columns, the rows are those of keras-retinanet: path, x1, y1, x2, y2, class. A row with an image
and no box says that nothing is in the image.
"""

import csv
import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from calco import imaging
from calco.annotations.gathering import Gathering, Order, WrittenImage, WrittenObject
from calco.annotations.parsing import class_name, flag, number
from calco.errors import CalcoError
from calco.files import read_text

_IMAGE: Final = (
    "filename", "file_name", "imageid", "image_id", "image", "image_name", "imagename", "image_path", "path", "img",
    "file", "external_id",
)  # fmt: skip
_CLASS: Final = ("class", "label", "labelname", "class_name", "classname", "category", "name", "label_name", "species")
_SPLIT: Final = ("split", "subset", "set", "usage", "partition")
_GROUP: Final = ("isgroupof", "iscrowd", "difficult")
_BOXES: Final[dict[tuple[str, str, str, str], Order]] = {
    ("xmin", "ymin", "xmax", "ymax"): "corners", ("x_min", "y_min", "x_max", "y_max"): "corners",
    ("x1", "y1", "x2", "y2"): "corners", ("left", "top", "right", "bottom"): "corners",
    ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"): "corners", ("x", "y", "width", "height"): "sized",
    ("x", "y", "w", "h"): "sized", ("left", "top", "width", "height"): "sized",
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"): "sized", ("x_min", "y_min", "width", "height"): "sized",
    ("xmin", "ymin", "width", "height"): "sized",
}  # fmt: skip
_IMAGE_SIZE: Final = (("image_width", "image_height"), ("img_width", "img_height"), ("width", "height"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Names of all columns in lower case, and of those with a meaning; empty where there is none."""

    names: tuple[str, ...]
    image: str
    box: tuple[str, str, str, str]
    label: str = ""
    size: tuple[str, ...] = ()
    split: str = ""
    group: str = ""
    delimiter: str = ","
    headed: bool = True  # by a first row with the names


def find_table(text: str) -> Table | None:
    """Recognise a table of boxes by its first lines; None for any other table."""
    lines = [line for line in text.splitlines()[:3] if line.strip()]
    if not lines:
        return None
    delimiter = max(",;\t", key=lines[0].count)
    try:
        rows = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return None
    names = [cell.strip().casefold() for cell in rows[0]]
    if "region_shape_attributes" in names:
        return None  # VIA's

    def first(wanted: tuple[str, ...]) -> str:
        return next((name for name in wanted if name in names), "")

    box = next((four for four in _BOXES if set(four) <= set(names)), None)
    if not box or not first(_IMAGE):
        retinanet = Table(
            names=("path", "x1", "y1", "x2", "y2", "class"), image="path", box=("x1", "y1", "x2", "y2"), label="class",
            delimiter=delimiter, headed=False,
        )  # fmt: skip
        return retinanet if all(map(_is_of_retinanet, rows)) else None
    sizes = (pair for pair in _IMAGE_SIZE if set(pair) <= set(names) and not set(pair) & set(box))
    return Table(
        names=tuple(names), image=first(_IMAGE), box=box, label=first(_CLASS), size=next(sizes, ()),
        split=first(_SPLIT), group=first(_GROUP), delimiter=delimiter,
    )  # fmt: skip


def _is_of_retinanet(row: list[str]) -> bool:
    """Return True for an image, four numbers or none, and a class."""
    if len(row) != 6 or not imaging.is_image(row[0].strip()):
        return False
    try:
        return len([number(cell) for cell in row[1:5] if cell.strip()]) in (0, 4)
    except CalcoError:
        return False


def read(path: Path, into: Gathering) -> None:
    """Read a table."""
    text = read_text(path)
    table = find_table(text)
    if table is None:
        raise CalcoError(
            f"{path}: its first row names no columns of a box, such as filename, class, xmin, ymin, xmax, ymax"
        )
    shares = "imageid" in table.names and table.box == ("xmin", "ymin", "xmax", "ymax")  # Open Images
    found: dict[str, WrittenImage] = {}
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=table.delimiter)
    try:
        for i, row in enumerate(rows):
            cells = {name: cell.strip() for name, cell in zip(table.names, row, strict=False)}
            where = f", line {rows.line_num}"
            if (table.headed and not i) or not any(cells.values()):
                continue
            if not (name := cells.get(table.image)):
                into.note(f"{path}{where}", "no image", "it names no image; left out")
                continue
            image = found.setdefault(name, WrittenImage(path, name, shares=shares))
            image.split = cells.get(table.split) or image.split
            if any(map(cells.get, table.box)):
                into.parse(image, [(where, cells)], partial(_object, table=table, image=image, unnamed=into.unnamed()))
    except csv.Error as error:
        raise CalcoError(f"{path}, line {rows.line_num}: {error}; export it again") from error
    for image in found.values():
        into.add(image)


def _object(cells: dict[str, str], table: Table, image: WrittenImage, unnamed: str) -> list[WrittenObject]:
    decimal_comma = table.delimiter != ","
    a, b, c, d = (number(cells[name].replace(",", ".") if decimal_comma else cells[name]) for name in table.box)
    obj = WrittenObject(
        label=class_name(cells[table.label]) if table.label else unnamed,
        box=(a, b, c, d),
        order=_BOXES[table.box],
        ignored=flag(cells.get(table.group)),
    )
    if table.size and not image.size_wh:
        width, height = (int(number(cells[name])) for name in table.size)
        image.size_wh = width, height
    return [obj]
