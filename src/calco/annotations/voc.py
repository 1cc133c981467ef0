"""Pascal VOC's XML: one file an image, boxes in whole pixels.

Everingham et al., "The Pascal Visual Object Classes Challenge" (2010). Pixels are counted from 1 and the last belongs
to the box: 1 to 10 covers what is 0 to 10 here. A difficult object is an ignored one. The rotated boxes of roLabelImg
(`robndbox`) become outlines.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree
from xml.parsers import expat

from calco.annotations.gathering import Gathering, WrittenImage, WrittenObject
from calco.annotations.geometry import rotated
from calco.annotations.parsing import class_name, flag, number, read_xml, size_wh
from calco.annotations.record import Record, classes_of, copy_images, places, size_of
from calco.errors import CalcoError
from calco.files import atomic_write

_SIDES: Final = ("xmin", "ymin", "xmax", "ymax")
_ROTATED: Final = ("cx", "cy", "w", "h", "angle")


def read(path: Path, into: Gathering) -> None:
    """Read a file of one image."""
    root = read_xml(path)
    if root.tag != "annotation":
        raise CalcoError(f"{path} is a {root.tag!r}; VOC's files are an 'annotation': export it again")
    image = WrittenImage(
        path,
        into.own_name(path, (root.findtext("filename") or "").strip()),
        size_wh(root.findtext("size/width"), root.findtext("size/height")),
    )
    into.add(image, ((f", object {i}", entry) for i, entry in enumerate(root.findall("object"), 1)), _object)


def _object(entry: ElementTree.Element) -> list[WrittenObject]:
    obj = WrittenObject(label=class_name(entry.findtext("name") or ""), ignored=flag(entry.findtext("difficult")))
    if entry.find("bndbox") is None and entry.find("robndbox") is not None:
        # As roLabelImg writes it: centre, size, radians clockwise.
        x, y, width, height, angle = _numbers(entry, "robndbox", _ROTATED)
        box = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        obj.polygons = (rotated(box, angle, (x, y)),)
        return [obj]
    left, top, right, bottom = _numbers(entry, "bndbox", _SIDES)
    turned = entry.findtext("bndbox/rotation") or entry.findtext("bndbox/angle") or "0"
    if number(turned):
        raise CalcoError(f"its box is rotated by {turned.strip()}, in a way that VOC does not define; write a polygon")
    # The last pixel belongs to the box, whichever way round it is written.
    left, right = (left - 1, right) if left <= right else (left, right - 1)
    top, bottom = (top - 1, bottom) if top <= bottom else (top, bottom - 1)
    obj.box = left, top, right, bottom
    return [obj]


def _numbers(entry: ElementTree.Element, parent: str, names: Sequence[str]) -> list[float]:
    texts = {f"{parent}/{name}": entry.findtext(f"{parent}/{name}") for name in names}
    if absent := [path for path, text in texts.items() if text is None]:
        raise CalcoError(f"{absent[0]} is missing")
    return [number(text) for text in texts.values()]


def write_voc(
    folder: str | Path, records: Sequence[Record], classes: Sequence[str] = (), *, images: bool = False
) -> None:
    """Write one XML file an image into `Annotations`, each whole or not at all.

    VOC holds boxes in whole pixels: others are rounded, to one pixel at least. It has no place for outlines, scores and
    tracks.

    Args:
        folder: Gets the folder `Annotations`.
        records: With the sizes of their images.
        classes: The only classes that may occur; by default all.
        images: Copy the images too, into `JPEGImages`.

    Raises:
        CalcoError: If a size is missing, a class is not among the classes, or something cannot be written.
    """
    classes_of(records, classes)
    for path, record in zip(places(Path(folder) / "Annotations", records, ".xml"), records, strict=True):
        width, height = size_of(record)
        root = ElementTree.Element("annotation")
        _put(root, filename=Path(record.name).name)
        _put(ElementTree.SubElement(root, "size"), width=width, height=height, depth=3)
        objects = record.objects
        for name, box, hard in zip(objects.classes, objects.boxes.tolist(), objects.is_ignored, strict=True):
            entry = ElementTree.SubElement(root, "object")
            _put(entry, name=name, pose="Unspecified", truncated=0, difficult=int(hard))
            # As VOC counts, one pixel wide and high at least.
            left, top = (min(max(round(box[0]), 0), width - 1), min(max(round(box[1]), 0), height - 1))
            right, bottom = max(round(box[2]), left + 1), max(round(box[3]), top + 1)
            sides = zip(_SIDES, (left + 1, top + 1, right, bottom), strict=True)
            _put(ElementTree.SubElement(entry, "bndbox"), **dict(sides))
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode")
        try:
            expat.ParserCreate().Parse(text.encode(), True)
        except (expat.ExpatError, UnicodeEncodeError) as error:
            raise CalcoError(
                f"{record.name}: a name holds what XML cannot write ({error}); rename the class or file"
            ) from error
        atomic_write(path, text + "\n")
    if images:
        copy_images(Path(folder) / "JPEGImages", records)


def _put(parent: ElementTree.Element, **texts: object) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = str(text)
