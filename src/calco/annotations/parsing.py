"""Texts and numbers that people and programs wrote: read whole, or refused by file and line."""

import json
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from calco.errors import CalcoError
from calco.files import explain

# What comes of entries that are not built as their format wants it.
MALFORMED: Final = (ArithmeticError, AttributeError, CalcoError, LookupError, TypeError, ValueError)

_FARTHEST: Final = 1e9  # pixels that no place in a picture reaches


def plainly(error: Exception) -> str:
    """What is wrong with an entry, in words that do not speak of Python."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error) if isinstance(error, CalcoError) else "it is not built as its format wants it"


def read_text(path: str | Path) -> str:
    """A text in UTF-8, or in UTF-16 when it says so at its beginning.

    Raises:
        CalcoError: When it cannot be read, or is neither.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise explain(error, path, "read") from error
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"0x{data[error.start]:02x}"
        raise CalcoError(f"{path}, line {line}: the byte {byte} is not UTF-8; save the file as UTF-8") from error


def parse_json(text: str, where: str) -> Any:
    """What a JSON text says.

    Raises:
        CalcoError: When it is broken; names line and column.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{where}, line {error.lineno}, column {error.colno}"
        raise CalcoError(f"{place}: broken JSON ({error.msg}); mend it or export it again") from error
    except (RecursionError, ValueError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CalcoError(f"{where}: JSON that cannot be read ({reason}); export it again") from error


def number(value: object) -> float:
    """A finite number, from a number or its text.

    Raises:
        CalcoError: When it is none, or too large for a place in a picture.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise CalcoError(f"{str(value)[:40]!r} is no number")
    try:
        found = float(value)
    except (OverflowError, ValueError):
        found = math.nan
    if not abs(found) < _FARTHEST:
        raise CalcoError(f"{str(value)[:40]!r} is no number that could lie in a picture")
    return found


def numbers(values: Any) -> npt.NDArray[np.float64]:
    """Many finite numbers at once, in lists of one length.

    Raises:
        CalcoError: When one of them is none, or too large for a place in a picture.
        TypeError: When they are no lists of numbers.
        ValueError: The same.
    """
    found = np.array(values, np.float64)
    if not (np.abs(found) < _FARTHEST).all():
        raise CalcoError("one of its numbers is none that could lie in a picture")
    return found
