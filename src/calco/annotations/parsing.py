"""Text, JSON, XML, numbers, ids and class names as they were written: read whole, or refused with the reason."""

import json
import math
import re
import unicodedata
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError
from calco.files import explain, read_text

# Errors of entries that do not have the structure of their format.
MALFORMED: Final = (ArithmeticError, AttributeError, CalcoError, LookupError, TypeError, ValueError)

_FARTHEST: Final = 1e9  # pixels; no place in an image is farther away
_LONGEST_NAME: Final = 200  # characters of a class name
_OPEN: Final = ("point", "points", "line", "lines", "linestrip", "polyline")
_TRUE: Final = frozenset({"1", "true", "yes", "t", "y"})
_FALSE: Final = frozenset({"", "0", "false", "no", "f", "n", "none", "null", "unspecified"})


class UnknownClassError(CalcoError):
    """The number of a class has no name."""


def plainly(error: Exception) -> str:
    """Describe what is wrong with an entry, without words of Python."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error) if isinstance(error, CalcoError) else "its structure is not that of its format"


def parse_json(text: str, where: str) -> Any:
    """Parse a JSON text; an error names line and column."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{where}, line {error.lineno}, column {error.colno}"
        raise CalcoError(f"{place}: broken JSON ({error.msg}); correct it or export it again") from error
    except (RecursionError, ValueError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CalcoError(f"{where}: JSON that cannot be read ({reason}); export it again") from error


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return parse_json(read_text(path), str(path))


def list_of(content: Any, key: str, path: Path) -> list[Any]:
    """Return the list of a JSON file, or of a key in it."""
    found = content.get(key) if isinstance(content, dict) else None if key else content
    if not isinstance(found, list):
        raise CalcoError(f"{path} has no list of {key or 'images'}, which its format needs; export it again")
    return found


def unread_shape(kind: object, remedy: str = "") -> CalcoError:
    """Return the error for a shape that is not an area, or that is not known."""
    rule = "encloses nothing" if kind in _OPEN else f"is not read{remedy}"
    return CalcoError(f"a {str(kind)[:40]} {rule}")


def read_xml(path: Path) -> ElementTree.Element:
    """Read an XML file; one with a document type, whose entities bombs are built of, is refused."""
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
        if reason == expat.errors.XML_ERROR_INVALID_TOKEN:
            remedy = "correct it, or save it as UTF-8 or in the encoding of its first line"
        raise CalcoError(f"{path}, {place}: broken XML ({reason}); {remedy}") from error


def number(value: object) -> float:
    """Return a finite number that can lie in an image, from a number or its text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise CalcoError(f"{str(value)[:40]!r} is not a number")
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d*,\d+\s*", value):
        raise CalcoError(f"{value.strip()!r} has a decimal comma; write a decimal point")
    try:
        found = math.nan if isinstance(value, str) and "_" in value else float(value)
    except (OverflowError, ValueError):
        found = math.nan
    if not abs(found) < _FARTHEST:
        raise CalcoError(f"{str(value)[:40]!r} is not a number that can lie in an image")
    return found


def numbers(values: Any) -> npt.NDArray[np.float64]:
    """Return many finite numbers at once, from lists of one length; raises TypeError or ValueError for other lists."""
    found = np.array(values, np.float64)
    if not (np.abs(found) < _FARTHEST).all():
        raise CalcoError("one of its numbers cannot lie in an image")
    return found


def polygon(values: Any) -> npt.NDArray[np.float32]:
    """Return the corners of a polygon, K x 2, from a list of pairs or of x and y in turns."""
    return numbers(values).astype(np.float32).reshape(-1, 2)


def size_wh(width: object, height: object) -> tuple[int, int] | None:
    """Return the size of an image as it was written; None if it is not two numbers."""
    try:
        return int(number(width)), int(number(height))
    except CalcoError:
        return None


def flag(value: object) -> bool:
    """Return a yes or no that may be written as a number, a boolean or a text."""
    text = "" if value is None else str(value).strip().casefold()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    return number(text) != 0


def class_name(value: object) -> str:
    """Return the name of a class with single spaces, none around it, and in Unicode's composed form."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise CalcoError(f"{str(value)[:40]!r} is not a class name; a class name is text")
    name = " ".join(unicodedata.normalize("NFC", str(value)).split())
    if not name:
        raise CalcoError("it has no class name")
    if len(name) > _LONGEST_NAME or any(unicodedata.category(character) == "Cc" for character in name):
        raise CalcoError(f"{name[:40]!r}, ... is not a class name: it is too long or holds control characters")
    return name


def identity(value: object) -> str:
    """Return the id of an image or a class, the same for the number 7 and the text "7"."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise CalcoError(f"{str(value)[:40]!r} is not an id")
    return str(int(value))
