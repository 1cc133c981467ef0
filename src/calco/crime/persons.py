"""Ages and genders of victims and offenders: one rule each, from a cell to the value that a table keeps."""

import re
from datetime import date
from decimal import Decimal
from typing import Final

from calco.crime.clean import UNSPECIFIED, Cell, Unusable, fold, squeezed, stated, whole_number
from calco.crime.dates import month_named

OLDEST: Final = 130


class SeveralGroups(Unusable):
    """A cell that names several groups of persons, which one column cannot hold."""


def gender(cell: Cell) -> str:
    """The gender of victims or offenders: what is missing or "(no especifica)" is "No Especifica".

    >>> gender("Varios (No especifíca)"), gender("HOMBRES(2)")
    ('No Especifica', 'Hombre (2)')

    Raises:
        Unusable: When it names several groups, with a stroke between them (one column cannot hold them), or is a date.
    """
    if isinstance(cell, date):
        raise Unusable("a date, not a gender")
    text = _group(cell)
    return re.sub(r"^(hombre|mujer|varios)(?:e?s)?\b", lambda found: found[1].capitalize(), text, flags=re.IGNORECASE)


def _group(cell: Cell) -> str:
    text = stated(cell)
    if not text or "NO ESPECIF" in fold(text):
        return UNSPECIFIED
    if "/" in text:
        raise SeveralGroups("several groups of persons in one cell, with a stroke between them")
    return re.sub(r"\s*\(\s*(\d+)\s*\)", r" (\1)", text)


def age(cell: Cell) -> str:
    """The age of victims or offenders: a number, a range, or as `gender` what is missing.

    A range such as 10-12 that Excel took for a date is a range again: one part is the day or the year, the other the
    month.

    >>> age(25.0), age("35 – 55"), age("15-21(3)"), age(date(2026, 12, 10)), age("10-dic")
    ('25', '35-55', '15-21 (3)', '10-12', '10-12')

    Raises:
        Unusable: When it cannot be an age, or names several groups.
    """
    if isinstance(cell, date):
        return _range_of(cell)
    text = stated(cell)
    if found := _range_of_text(text):
        return found
    if isinstance(cell, int | float | Decimal) or re.fullmatch(r"[-+]?[\d.,]+", text):
        years = whole_number(cell)
        if years > OLDEST:
            raise Unusable(f"not an age: above {OLDEST}")
        return str(years)
    return re.sub(r"^(\d{1,3})(?: ?[-–—] ?| a )(\d{1,3})\b", r"\1-\2", re.sub(r"(?i) ?años?$", "", _group(cell)))


def taken_for_date(cell: Cell) -> bool:
    """Whether an age is a range that Excel took for a date."""
    return isinstance(cell, date) or bool(isinstance(cell, str) and _range_of_text(squeezed(cell)))


def _range_of(day: date) -> str:
    """The range of which Excel made a date: ranges ascend, whichever part the day or the month was."""
    if day.year < 1930:
        raise Unusable("a date, not an age")
    if day.day > 1:
        return f"{min(day.day, day.month)}-{max(day.day, day.month)}"
    if day.year < 2000:  # 10-50 became the 1st of October 1950: above 12 the second number is a year
        return f"{day.month}-{day.year - 1900}"
    if day.year <= 2012:
        return f"1-{day.month}"
    raise Unusable(
        f"a date, which Excel made of a range such as 1-{day.month} or {day.month}-{day.year - 2000}; write it as text"
    )


def _range_of_text(text: str) -> str:
    """The range that Excel shows as "10-dic", "dic-50" or with a year behind; empty where it is none."""
    if full := re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: 0?0:00(?::00)?)?", text):
        day, month, year = (int(part) for part in full.groups())
    elif full := re.fullmatch(r"(\d{4})-(\d{2})-(\d{2})(?:[ T]00:00(?::00)?)?", text):
        year, month, day = (int(part) for part in full.groups())
    else:
        found = re.fullmatch(r"(\d{1,2})[-/ ]([^\W\d]{3,4})\.?|([^\W\d]{3,4})\.?[-/ ](\d{2})", text)
        month = month_named((found[2] or found[3]) if found else "")
        if not found or not month:
            return ""
        other = int(found[1] or found[4])
        return f"{min(other, month)}-{max(other, month)}" if found[1] else f"{month}-{other}"
    try:
        return _range_of(date(year, month, day) if month <= 12 else date(year, day, month))
    except ValueError as error:
        raise Unusable("a date, not an age") from error
