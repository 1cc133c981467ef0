"""Pascal VOC's XML: one file an image, boxes in whole pixels.

Everingham et al., "The Pascal Visual Object Classes Challenge" (2010). Pixels are counted from 1 and the last belongs
to the box: 1 to 10 covers what is 0 to 10 here. A difficult object is an ignored one. The rotated boxes of roLabelImg
(`robndbox`) become outlines.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree
from xml.parsers import expat

from calco.annotations.gathering import Gathering, WrittenObject
from calco.annotations.geometry import Polygon, rotated
from calco.annotations.parsing import class_name, flag, number
from calco.annotations.record import Record, classes_of, copy_images, places, size_of
from calco.errors import CalcoError
from calco.files import atomic_write, explain

_SIDES: Final = ("xmin", "ymin", "xmax", "ymax")


def read(path: Path, into: Gathering) -> set[str]:
    """Read a file, and return the classes that occur.

    Raises:
        CalcoError: If it cannot be read as a whole.
    """
    root = parse_xml(path)
    if root.tag != "annotation":
        raise CalcoError(f"{path} is a {root.tag!r}; VOC's files are an 'annotation': export it again")
    entries = [(f", object {i}", entry) for i, entry in enumerate(root.findall("object"), 1)]
    try:
        said = int(number(root.findtext("size/width"))), int(number(root.findtext("size/height")))
    except CalcoError:
        said = None
    # Files are renamed more often than what stands in them: the file's own name comes first.
    named = (root.findtext("filename") or "").strip()
    own = into.images and into.images.find(path.stem, path)[0]
    name = path.stem if own or not named else named
    return into.add_parsed(path, name, entries, _object, said=said)


def _object(entry: ElementTree.Element, where: str) -> list[WrittenObject]:
    obj = WrittenObject(where=where, label=class_name(entry.findtext("name") or ""))
    obj.ignored = flag(entry.findtext("difficult"))
    if entry.find("bndbox") is None and entry.find("robndbox") is not None:
        obj.polygons = (_rotated(entry),)
        return [obj]
    left, top, right, bottom = (number(_text(entry, f"bndbox/{side}")) for side in _SIDES)
    turned = entry.findtext("bndbox/rotation") or entry.findtext("bndbox/angle") or "0"
    if number(turned):
        raise CalcoError(f"its box is rotated by {turned.strip()}, in a way that VOC does not define; write a polygon")
    # The last pixel belongs to the box, whichever way round it is written.
    left, right = (left - 1, right) if left <= right else (left, right - 1)
    top, bottom = (top - 1, bottom) if top <= bottom else (top, bottom - 1)
    obj.corners = left, top, right, bottom
    return [obj]


def _rotated(entry: ElementTree.Element) -> Polygon:
    """Return the corners of a rotated box as roLabelImg writes it: centre, size, radians clockwise."""
    x, y, width, height, angle = (number(_text(entry, f"robndbox/{part}")) for part in ("cx", "cy", "w", "h", "angle"))
    return rotated((x - width / 2, y - height / 2, x + width / 2, y + height / 2), angle, (x, y))


def _text(entry: ElementTree.Element, path: str) -> str:
    text = entry.findtext(path)
    if text is None:
        raise CalcoError(f"{path} is missing")
    return text


def parse_xml(path: Path) -> ElementTree.Element:
    """An XML file without a document type: none of its entities, which bombs are built of, is ever expanded.

    Raises:
        CalcoError: If it cannot be read, is broken (names line and column), or has a document type.
    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise CalcoError(
            f"{path}, line {parser.CurrentLineNumber}: it defines a document type, which may hide a bomb and is not "
            "read; remove the lines of <!DOCTYPE ...>"
        )

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
        return builder.close()
    except OSError as error:
        raise explain(error, path, "read") from error
    except (expat.ExpatError, LookupError, ValueError) as error:
        place = f"line {parser.ErrorLineNumber}, column {parser.ErrorColumnNumber + 1}"
        reason = expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else error
        remedy = "correct it or export it again"
        if reason == expat.errors.XML_ERROR_INVALID_TOKEN and not _is_utf8(path):
            remedy = "save it as UTF-8, or declare its encoding in its first line"
        raise CalcoError(f"{path}, {place}: broken XML ({reason}); {remedy}") from error


def _is_utf8(path: Path) -> bool:
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError:
        return False
    return True


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
        images: Whether their images are copied, into `JPEGImages`.

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
        for i, box in enumerate(objects.boxes):
            entry = ElementTree.SubElement(root, "object")
            hard = objects.ignored is not None and bool(objects.ignored[i])
            _put(entry, name=objects.classes[i], pose="Unspecified", truncated=0, difficult=int(hard))
            _put(ElementTree.SubElement(entry, "bndbox"), **_whole(box.tolist(), width, height))
        ElementTree.indent(root)
        atomic_write(path, _encoded(root, record.name) + "\n")
    if images:
        copy_images(Path(folder) / "JPEGImages", records)


def _put(parent: ElementTree.Element, **texts: object) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = str(text)


def _whole(box: list[float], width: int, height: int) -> dict[str, int]:
    """The four sides as VOC counts them, one pixel wide and high at least."""
    left, top = (min(max(round(low), 0), most - 1) for low, most in zip(box[:2], (width, height), strict=True))
    right, bottom = max(round(box[2]), left + 1), max(round(box[3]), top + 1)
    return dict(zip(_SIDES, (left + 1, top + 1, right, bottom), strict=True))


def _encoded(root: ElementTree.Element, name: str) -> str:
    """The XML as text; names with characters that XML cannot hold are refused, for no reader would take them."""
    text = ElementTree.tostring(root, encoding="unicode")
    try:
        expat.ParserCreate().Parse(text.encode(), True)
    except (expat.ExpatError, UnicodeEncodeError) as error:
        raise CalcoError(f"{name}: a name holds what XML cannot write ({error}); rename the class or file") from error
    return text
