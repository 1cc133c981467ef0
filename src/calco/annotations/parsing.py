"""Text, JSON, numbers, ids and class names as they were written: read whole, or refused with the reason."""

import json
import math
import re
import unicodedata
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError
from calco.files import explain

# What entries raise that do not have the structure of their format.
MALFORMED: Final = (ArithmeticError, AttributeError, CalcoError, LookupError, TypeError, ValueError)

_FARTHEST: Final = 1e9  # pixels; no place in an image is farther away
_LONGEST_NAME: Final = 200  # characters of a class name
_DECIMAL_COMMA: Final = re.compile(r"\s*[-+]?\d*,\d+\s*")
_TRUE: Final = frozenset({"1", "true", "yes", "t", "y"})
_FALSE: Final = frozenset({"", "0", "false", "no", "f", "n", "none", "null", "unspecified"})


def plainly(error: Exception) -> str:
    """Describe what is wrong with an entry, without words of Python."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error) if isinstance(error, CalcoError) else "its structure is not that of its format"


def read_text(path: str | Path) -> str:
    """Read a text in UTF-8 or UTF-16, with or without a byte-order mark.

    Raises:
        CalcoError: If it cannot be read, or has another encoding.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise explain(error, path, "read") from error
    try:
        return data.decode(encoding_of(data))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"0x{data[error.start]:02x}"
        raise CalcoError(f"{path}, line {line}: the byte {byte} is not UTF-8; save the file as UTF-8") from error


def encoding_of(data: bytes) -> str:
    """Return the Unicode encoding that the first bytes of a text show; UTF-8 where they show none."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    # Without a mark, the zero bytes of Latin letters and digits tell the order of the bytes.
    even, odd = data[:200:2].count(0), data[1:200:2].count(0)
    if max(even, odd) > 0.4 * len(data[:200:2]):
        return "utf-16-be" if even > odd else "utf-16-le"
    return "utf-8-sig"


def parse_json(text: str, where: str) -> Any:
    """Parse a JSON text.

    Raises:
        CalcoError: If it is broken; names line and column.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{where}, line {error.lineno}, column {error.colno}"
        raise CalcoError(f"{place}: broken JSON ({error.msg}); correct it or export it again") from error
    except (RecursionError, ValueError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CalcoError(f"{where}: JSON that cannot be read ({reason}); export it again") from error


def number(value: object) -> float:
    """Return a finite number, from a number or its text.

    Raises:
        CalcoError: If it is none, or too large for a place in an image.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise CalcoError(f"{str(value)[:40]!r} is not a number")
    if isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value):
        raise CalcoError(f"{value.strip()!r} has a decimal comma; write a decimal point")
    try:
        found = math.nan if isinstance(value, str) and "_" in value else float(value)
    except (OverflowError, ValueError):
        found = math.nan
    if not abs(found) < _FARTHEST:
        raise CalcoError(f"{str(value)[:40]!r} is not a number that can lie in an image")
    return found


def numbers(values: Any) -> npt.NDArray[np.float64]:
    """Return many finite numbers at once, from lists of one length.

    Raises:
        CalcoError: If one of them is none, or too large for a place in an image.
        TypeError: If they are not lists of numbers.
        ValueError: If the lists differ in length, or hold text that is not a number.
    """
    found = np.array(values, np.float64)
    if not (np.abs(found) < _FARTHEST).all():
        raise CalcoError("one of its numbers cannot lie in an image")
    return found


def flag(value: object) -> bool:
    """Return a yes or no that may be written as a number, a boolean or a text.

    Raises:
        CalcoError: If it is none of these.
    """
    text = "" if value is None else str(value).strip().casefold()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    return number(text) != 0


def class_name(value: object) -> str:
    """Return the name of a class with single spaces, none around it, and in Unicode's composed form.

    Raises:
        CalcoError: If it is empty, very long, holds control characters, or is neither text nor a number.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise CalcoError(f"{str(value)[:40]!r} is not a class name; a class name is text")
    name = " ".join(unicodedata.normalize("NFC", str(value)).split())
    if not name:
        raise CalcoError("it has no class name")
    if len(name) > _LONGEST_NAME or any(unicodedata.category(character) == "Cc" for character in name):
        raise CalcoError(f"{name[:40]!r}, ... is not a class name: it is too long or holds control characters")
    return name


def identity(value: object) -> str:
    """Return the id of an image or a class, the same for the number 7 and the text "7".

    Raises:
        CalcoError: If it is neither text nor a whole number.
    """
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise CalcoError(f"{str(value)[:40]!r} is not an id")
    return str(int(value))
