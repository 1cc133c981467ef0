"""Cleaning as pure functions: one rule each, from a cell as it was found to the value that a table keeps.

A rule that cannot make sense of a cell raises `Unusable`, with the reason that goes beside the row into the rejects.
"""

import re
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Final, TypeAlias

UNSPECIFIED: Final = "No Especifica"
OTHER: Final = "Otros"
FIRST_YEAR: Final = 1990  # nothing in either source is older
Cell: TypeAlias = str | int | float | date | datetime | None

_WEAPONS: Final = {
    "PISTOLA": "Pistola",
    "SIN ARMA": "Sin Arma",
    "ARMA BLANCA": "Arma Blanca",
    "NO ESPECIFICA": "No especifica",
    "OTROS": OTHER,
    "COMBA": "Comba",
    "MACHETE": "Machete",
}
# The two slips of the year that the robberies hold.
_YEARS: Final = {217: 2017, 2107: 2017}


class Unusable(Exception):
    """A cell of which a rule can make nothing; the message is the reason."""


@lru_cache(maxsize=1 << 16)
def fold(text: str) -> str:
    """What names are compared by: capitals without accents, with one space for whatever is no letter.

    >>> fold(" San Martín de Porres (Lima)")
    'SAN MARTIN DE PORRES LIMA'
    """
    plain = unicodedata.normalize("NFD", text).encode("ascii", "ignore").decode()
    return " ".join(re.sub(r"[^A-Za-z]+", " ", plain).upper().split())


def squeezed(cell: Cell) -> str:
    """The text of a cell without spaces around it and with single ones in it; empty where there is none."""
    return "" if cell is None else " ".join(str(cell).split())


@lru_cache(maxsize=1 << 16)
def letters(text: str) -> str:
    """DataCrim's text fields: letters, spaces, commas and hyphens stay; stray codes, numbers and signs go.

    >>> letters("  0401 - CONTRA LA VIDA, EL CUERPO  Y LA SALUD*")
    'CONTRA LA VIDA, EL CUERPO Y LA SALUD'
    """
    kept = "".join(sign if sign.isalpha() or sign in " ,-" else " " for sign in unicodedata.normalize("NFC", text))
    return re.sub(r" +,", ",", " ".join(kept.split())).strip(" ,-")


def person(cell: Cell) -> str:
    """The age or the gender of victims or offenders: what is missing or "(no especifica)" is "No Especifica".

    >>> person("Varios (No especifíca)"), person("Hombres(2)"), person("35-55")
    ('No Especifica', 'Hombre (2)', '35-55')

    Raises:
        Unusable: When it tells of several groups, with a stroke between them: one column cannot hold them.
    """
    text = squeezed(cell)
    if not text or "NO ESPECIF" in fold(text):
        return UNSPECIFIED
    if "/" in text:
        raise Unusable("several groups of persons in one cell, with a stroke between them")
    text = re.sub(r"\s*\(\s*(\d+)\s*\)", r" (\1)", text)
    return re.sub(r"^(Hombre|Mujer)(?:e?s)\b", r"\1", text)


def weapon(cell: Cell) -> str:
    """The weapon in one spelling; a missing one is "Otros".

    >>> weapon(""), weapon("Sin arma"), weapon("Pistola / Arma blanca")
    ('Otros', 'Sin Arma', 'Pistola / Arma Blanca')
    """
    text = squeezed(cell)
    if not text:
        return OTHER
    parts = re.split(r"( ?[/-] ?)", text)
    return "".join(_WEAPONS.get(fold(part), part) if fold(part) else part for part in parts)


def occupation(cell: Cell) -> str:
    """The victim's occupation; "No Especifica" where none is told."""
    text = squeezed(cell)
    return UNSPECIFIED if not text or "NO ESPECIF" in fold(text) else text


def count(cell: Cell) -> int:
    """A number of dead or injured; a missing one is 0.

    Raises:
        Unusable: When it is no whole number from 0 on.
    """
    text = squeezed(cell)
    if not text:
        return 0
    return whole_number(text)


def whole_number(text: str) -> int:
    """A whole number from 0 on, at most what the tables hold; "3.0", as workbooks write it, is one.

    Raises:
        Unusable: When it is none.
    """
    found = re.fullmatch(r"(\d{1,10})(?:\.0+)?", text.strip())
    if not found or int(found[1]) > 2**31 - 1:
        raise Unusable("no whole number from 0 on")
    return int(found[1])


def year(cell: Cell, *, today: date) -> int:
    """DataCrim's year.

    Raises:
        Unusable: When it is none, or one that cannot be.
    """
    return _possible(whole_number(squeezed(cell)), today)


def _possible(year: int, today: date) -> int:
    if year > today.year:
        raise Unusable(f"the year {year} lies in the future")
    if year < FIRST_YEAR:
        raise Unusable(f"the year {year} is before {FIRST_YEAR}")
    return year


def read_date(cell: Cell, *, today: date) -> date | int | None:
    """A date of the robberies; the number of a day that stands alone; None where nothing is told.

    Day, month and year, with any sign between them; month and day are swapped where the month exceeds 12; years of two
    digits are of this century, and 0217 and 2107 are slips for 2017. The order of ISO 8601 is understood as well.

    >>> today = date(2020, 1, 1)
    >>> read_date("02-14-17", today=today), read_date("11/02/2107", today=today), read_date("24", today=today)
    (datetime.date(2017, 2, 14), datetime.date(2017, 2, 11), 24)

    Raises:
        Unusable: When it cannot be a date.
    """
    if isinstance(cell, date):  # of which datetime is one
        return date(_possible(_YEARS.get(cell.year, cell.year), today), cell.month, cell.day)
    text = squeezed(cell).removesuffix(" 00:00:00")
    if not text:
        return None
    if alone := re.fullmatch(r"(\d{1,2})(?:\.0)?", text):
        if not 1 <= int(alone[1]) <= 31:
            raise Unusable("no day of a month")
        return int(alone[1])
    if found := re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})", text):
        year, month, day = map(int, found.groups())
    elif found := re.fullmatch(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4}|\d{2})", text):
        day, month, year = map(int, found.groups())
    else:
        raise Unusable("no date")
    if month > 12 and day <= 12:
        day, month = month, day
    year = _YEARS.get(year, year + 2000 if year < 100 else year)
    try:
        return date(_possible(year, today), month, day)
    except ValueError as error:
        raise Unusable("no day of the calendar") from error


def complete_dates(found: Sequence[date | int | Unusable | None]) -> list[date | Unusable | None]:
    """A day that stands alone takes month and year of the next complete date.

    Args:
        found: What `read_date` gave for each row, in the order of the rows, or why it gave nothing.
    """
    whole: list[date | Unusable | None] = []
    following: date | None = None
    for one in reversed(found):
        if isinstance(one, int):
            whole.append(_day_of(one, following))
            continue
        following = one if isinstance(one, date) else following
        whole.append(one)
    return whole[::-1]


def _day_of(day: int, following: date | None) -> date | Unusable:
    if following is None:
        return Unusable("a day alone, and no complete date after it to tell its month")
    try:
        return following.replace(day=day)
    except ValueError:
        return Unusable(f"a day alone, and the next complete date is of {following:%m/%Y}, which has no such day")
