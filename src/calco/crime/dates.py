"""Dates as people and spreadsheets write them: from a cell to a day of the calendar."""

import math
import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final

from calco.crime.clean import Cell, UnusableCell, fold, month_named, stated, whole_number

FIRST_YEAR: Final = 1990  # nothing in either source is older
# The two slips of the year that the robberies hold.
_YEARS: Final = {217: 2017, 2107: 2017}
_BETWEEN: Final = frozenset({"DE", "DEL", "EL", "DIA", "A", "ANO"})
_PERU: Final = timezone(timedelta(hours=-5))
_DAYS_1904: Final = 1462  # between the two systems in which workbooks count days
_TIME: Final = re.compile(
    r"(?:T| |, ?)(?:a las )?(?P<time>\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?:[.,]\d{1,9})?)"
    r" ?(?:[ap]\.? ?m\.?|hrs?\.?|h\.?|horas)? ?(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?$",
    re.IGNORECASE,
)


def year(cell: Cell, *, today: date) -> int:
    """Return a year of DataCrim."""
    return _possible(whole_number(cell), today)


def _possible(year: int, today: date) -> int:
    if year > today.year:
        raise UnusableCell(f"the year {year} lies in the future")
    if year < FIRST_YEAR:
        raise UnusableCell(f"the year {year} is before {FIRST_YEAR}")
    return year


def read_date(cell: Cell, *, today: date, date1904: bool = False) -> date | int | None:
    """Return the date of a robbery, the number of a day without month and year, or None if nothing is stated.

    Dates are day, month and year, with any sign between them or with the name of the month; month and day are swapped
    if the month exceeds 12; years of two digits are of this century, and 0217 and 2107 are typing errors for 2017. Also
    accepted: ISO 8601, and the number of days by which workbooks store a date. Times of day are dropped.

    >>> today = date(2020, 1, 1)
    >>> read_date("02-14-17", today=today), read_date("11/02/2107 0:00", today=today), read_date("24", today=today)
    (datetime.date(2017, 2, 14), datetime.date(2017, 2, 11), 24)
    >>> read_date("3 de diciembre de 2016", today=today), read_date("42707", today=today)
    (datetime.date(2016, 12, 3), datetime.date(2016, 12, 3))
    """
    if isinstance(cell, date):  # of which datetime is one
        return _dated(cell.year, cell.month, cell.day, today)
    text = _without_time(stated(cell))
    if not text:
        return None
    if re.fullmatch(r"\d{8}", text):
        return _compact(text, today)
    if isinstance(cell, int | float | Decimal) or re.fullmatch(r"\d{1,5}(?:[.,]\d+)?", text):
        return _number(float(text.replace(",", ".")), today, date1904=date1904)
    if found := re.fullmatch(r"(\d{4})[-/. ](\d{1,2})[-/. ](\d{1,2})", text):
        year, month, day = map(int, found.groups())
    elif found := re.fullmatch(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4}|\d{2})", text):
        day, month, year = map(int, found.groups())
    else:
        day, month, year = _with_name(text)
    return _dated(year, month, day, today)


def is_serial(cell: Cell) -> bool:
    """Return whether a date is the number by which workbooks store it."""
    return isinstance(cell, int | float | Decimal | str) and bool(re.fullmatch(r"\d{5}(?:[.,]\d+)?", str(cell).strip()))


def _dated(year: int, month: int, day: int, today: date) -> date:
    if month > 12 and day <= 12:
        day, month = month, day
    year = _YEARS.get(year, year + 2000 if year < 100 else year)
    try:
        found = date(_possible(year, today), month, day)
    except ValueError as error:
        raise UnusableCell("not a day of the calendar") from error
    if found > today:
        raise UnusableCell("the date lies in the future")
    return found


def _without_time(text: str) -> str:
    """Return a date without the time of day after it."""
    found = _TIME.search(text)
    before = text[: found.start()].rstrip(" ,") if found else text
    if found is None or not re.search(r"\d\D+\d|\d{5}", before):  # "24 12.16" is a date, and no day with a time
        return text
    if found["zone"] and not re.fullmatch(r"[0:.,]+", found["time"]):
        try:
            there = datetime.fromisoformat(text.upper().replace("UTC", "Z"))
        except ValueError:
            return before
        if there.tzinfo and there.astimezone(_PERU).date() != there.date():
            raise UnusableCell("another day than in Peru, by its time zone; write the day alone")
    return before


def _number(value: float, today: date, *, date1904: bool) -> date | int:
    if not math.isfinite(value):
        raise UnusableCell("not a date")
    if value == int(value) and value < 100:
        if not 1 <= value <= 31:
            raise UnusableCell("not a day of a month")
        return int(value)
    days = int(value) + (_DAYS_1904 if date1904 else 0)
    found = date(1899, 12, 30) + timedelta(days=days) if 60 < days < 100_000 else date.min
    if not FIRST_YEAR <= found.year <= today.year:
        raise UnusableCell("not a date")
    return _dated(found.year, found.month, found.day, today)


def _compact(text: str, today: date) -> date:
    """Return a date of eight digits: year, month, day, or day, month, year, whichever gives a possible year."""
    for year, month, day in ((text[:4], text[4:6], text[6:]), (text[4:], text[2:4], text[:2])):
        if FIRST_YEAR <= int(year) <= today.year and int(month) <= 12:
            return _dated(int(year), int(month), int(day), today)
    raise UnusableCell("not a date")


def _with_name(text: str) -> tuple[int, int, int]:
    """Return day, month and year of a date whose month is written as a word."""
    words = [word for word in re.findall(r"[^\W\d_]+|\d+", text) if fold(word) not in _BETWEEN or word.isdecimal()]
    names, numbers = [word for word in words if not word.isdecimal()], [word for word in words if word.isdecimal()]
    month = month_named(names[0]) if len(names) == 1 else 0
    if not month or not 1 <= len(numbers) <= 2:
        raise UnusableCell("not a date")
    if len(numbers) == 1:
        raise UnusableCell("a month with one number: the day, or the year, is missing")
    return int(numbers[0]), month, int(numbers[1])


def complete_dates(found: Sequence[date | int | UnusableCell | None]) -> list[date | UnusableCell | None]:
    """Give each day without month and year those of the next complete date."""
    whole: list[date | UnusableCell | None] = []
    following: date | None = None
    for one in reversed(found):
        if not isinstance(one, int):
            following = one if isinstance(one, date) else following
            whole.append(one)
        elif following is None:
            whole.append(UnusableCell("a day alone, without a complete date after it that gives the month"))
        else:
            try:
                whole.append(following.replace(day=one))
            except ValueError:
                reason = f"a day alone, and the next complete date is of {following:%m/%Y}, which has no such day"
                whole.append(UnusableCell(reason))
    return whole[::-1]
