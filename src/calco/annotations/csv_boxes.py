"""Tables of boxes as CSV: one row a box, for all images.

The names of the columns tell what they hold, as TensorFlow's examples (filename, width, height, class, xmin, ymin,
xmax, ymax), Roboflow and Open Images (ImageID, LabelName, XMin, XMax, YMin, YMax: shares of width and height) have
them. Without names of columns, the rows are those of keras-retinanet: path, x1, y1, x2, y2, class. A row with an image
and no box says that nothing is in the image.
"""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from calco import imaging
from calco.annotations.gathering import UNNAMED, Corners, Gathering, Order, WrittenObject
from calco.annotations.parsing import class_name, flag, number, read_text
from calco.annotations.record import Size
from calco.errors import CalcoError

_IMAGE: Final = (
    "filename", "file_name", "imageid", "image_id", "image", "image_name", "imagename", "image_path", "path", "img",
    "file", "external_id",
)  # fmt: skip
_CLASS: Final = ("class", "label", "labelname", "class_name", "classname", "category", "name", "label_name", "species")
_CORNERS: Final = (
    ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"), ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"), ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
)  # fmt: skip
_SIZED: Final = (
    ("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"),
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"), ("x_min", "y_min", "width", "height"),
    ("xmin", "ymin", "width", "height"),
)  # fmt: skip
_IMAGE_SIZE: Final = (("image_width", "image_height"), ("img_width", "img_height"), ("width", "height"))
_RETINANET: Final = ("path", "x1", "y1", "x2", "y2", "class")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Meaning of the columns.

    Attributes:
        image: Column of the image's name.
        label: Column of the class, or None.
        box: The four columns of the box.
        order: What these four are.
        size: Columns of the image's width and height, or none.
        split: Column of the image's use, or None.
        group: Column that marks groups and crowds, or None.
        shares: Whether the box is in shares of width and height.
        delimiter: What stands between two cells.
        named: Whether the first row names the columns.
    """

    image: int
    label: int | None
    box: tuple[int, ...]
    order: Order = "corners"
    size: tuple[int, ...] = ()
    split: int | None = None
    group: int | None = None
    shares: bool = False
    delimiter: str = ","
    named: bool = True


@dataclass(slots=True)
class _Image:
    """The rows of one image."""

    objects: list[WrittenObject] = field(default_factory=list)
    said: Size | None = None
    split: str = ""
    lost: int = 0


def find_columns(text: str) -> Columns | None:
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
    image = _first(names, _IMAGE)
    found = next((four for four in (*_CORNERS, *_SIZED) if set(four) <= set(names)), None)
    if image is None or found is None:
        return _of_retinanet(rows, delimiter)
    sizes = (pair for pair in _IMAGE_SIZE if set(pair) <= set(names) and not set(pair) & set(found))
    return Columns(
        image=image,
        label=_first(names, _CLASS),
        box=tuple(map(names.index, found)),
        order="corners" if found in _CORNERS else "sized",
        size=tuple(map(names.index, next(sizes, ()))),
        split=_first(names, ("split", "subset", "set", "usage", "partition")),
        group=_first(names, ("isgroupof", "iscrowd", "difficult")),
        shares="imageid" in names and found == _CORNERS[0],
        delimiter=delimiter,
    )


def _first(names: list[str], wanted: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _of_retinanet(rows: list[list[str]], delimiter: str) -> Columns | None:
    """Recognise rows without names of columns: an image, then four numbers and a class, or nothing."""
    for row in rows:
        if len(row) != len(_RETINANET) or not imaging.is_image(row[0].strip()):
            return None
        try:
            numbers = [number(cell) for cell in row[1:5] if cell.strip()]
        except CalcoError:
            return None
        if len(numbers) not in (0, 4):
            return None
    return Columns(image=0, label=5, box=(1, 2, 3, 4), delimiter=delimiter, named=False)


def read(path: Path, into: Gathering) -> set[str]:
    """Read a file, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    text = read_text(path)
    columns = find_columns(text)
    if columns is None:
        raise CalcoError(
            f"{path}: its first row names no columns of a box, such as filename, class, xmin, ymin, xmax, ymax"
        )
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=columns.delimiter)
    found: dict[str, _Image] = {}
    try:
        for i, row in enumerate(rows):
            if (i or not columns.named) and any(cell.strip() for cell in row):
                _take(row, columns, f"{path}, line {rows.line_num}", into, found)
    except csv.Error as error:
        raise CalcoError(f"{path}, line {rows.line_num}: {error}; export it again") from error
    for name, image in found.items():
        into.add(
            name, image.objects, file=path, said=image.said, shares=columns.shares, lost=image.lost, split=image.split
        )
    return {obj.label for image in found.values() for obj in image.objects}


def _take(row: list[str], columns: Columns, where: str, into: Gathering, found: dict[str, _Image]) -> None:
    """Read one row."""
    name = row[columns.image].strip() if columns.image < len(row) else ""
    if not name:
        into.note(where, "no image", "it names no image; left out")
        return
    image = found.setdefault(name, _Image())
    if columns.split is not None and columns.split < len(row):
        image.split = row[columns.split].strip()
    cells = [row[place].strip() if place < len(row) else "" for place in columns.box]
    if not any(cells):
        return  # nothing is in the image
    try:
        decimal = columns.delimiter != ","
        a, b, c, d = (number(cell.replace(",", ".") if decimal else cell) for cell in cells)
        label = row[columns.label] if columns.label is not None and columns.label < len(row) else None
        obj = WrittenObject(
            where=where.removeprefix(where.partition(", line")[0]),
            label=class_name(label) if label is not None else (into.classes or (UNNAMED,))[0],
            corners=_corners(a, b, c, d, columns.order),
            order=columns.order,
            ignored=columns.group is not None and columns.group < len(row) and flag(row[columns.group]),
        )
        if columns.size and not image.said:
            width, height = (int(number(row[place])) for place in columns.size)
            image.said = width, height
    except (CalcoError, IndexError) as error:
        image.lost += 1
        reason = str(error) if isinstance(error, CalcoError) else "it has too few cells"
        into.note(where, "damaged", f"{reason}; left out", name)
    else:
        image.objects.append(obj)


def _corners(a: float, b: float, c: float, d: float, order: Order) -> Corners:
    return (a, b, a + c, b + d) if order == "sized" else (a, b, c, d)
