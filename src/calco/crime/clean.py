"""Cleaning rules: pure functions from a cell as it was found to the value that a table keeps.

A rule that cannot use a cell raises `UnusableCell`; its message is the reason in the table of rejects.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeAlias

UNSPECIFIED: Final = "No Especifica"
OTHER: Final = "Otros"
LARGEST: Final = 2**31 - 1  # what an INTEGER of a database holds


@dataclass(frozen=True, slots=True)
class BadCell:
    """Cell of a workbook without a value; `shown` is the text that a person sees there."""

    shown: str
    reason: str

    def __str__(self) -> str:
        return self.shown


Cell: TypeAlias = str | int | float | Decimal | date | BadCell | None

# Entries that people write for "unknown".
_MISSING: Final = frozenset(
    ["", "-", "--", "---", "–", "—", ".", "?", "NA", "N/A", "N.A.", "N.A", "ND", "N/D", "N.D.", "N.D", "SD", "S/D",
     "S.D.", "S.D", "S/I", "S.I.", "S.I", "NULL", "NONE", "NAN", "SIN DATO", "SIN DATOS", "SIN INFORMACION",
     "NO DISPONIBLE", "NO APLICA", "NO REGISTRA"]
)  # fmt: skip
_TRUTHS: Final = frozenset({"VERDADERO", "FALSO", "TRUE", "FALSE"})
# Error values of spreadsheets in English and Spanish, and the marks of a column that is too narrow.
_ERROR: Final = re.compile(
    r"#[¡¿]?(?:N/A|N/D|REF|VALUE|VALOR|NAME|NOMBRE|DIV/0|NUM|NULL|NULO|SPILL|DESBORDAMIENTO|CALC|FIELD|CAMPO)[!?]?"
    r"|#{2,}|Err:\d+",
    re.IGNORECASE,
)


class UnusableCell(Exception):
    """A cell that a rule cannot use; the message is the reason."""


@lru_cache(maxsize=1 << 16)
def fold(text: str) -> str:
    """Return the form in which names are compared: capitals without accents, one space for all else.

    >>> fold(" San Martín de Porres (Lima)")
    'SAN MARTIN DE PORRES LIMA'
    """
    return " ".join(re.sub(r"[^A-Za-z]+", " ", _plain(text)).upper().split())


@lru_cache(maxsize=1 << 16)
def spelling(text: str) -> str:
    """Return the form that all spellings of a name share: letters without case and accents, and digits.

    >>> spelling("Revo\u0301lver  9 mm") == spelling("REVÓLVER 9 mm"), spelling("Hombre (2)") == spelling("Hombre (3)")
    (True, False)
    """
    key = " ".join(re.sub(r"[^A-Za-z0-9]+", " ", _plain(text)).upper().split())
    return key or squeezed(text).casefold()  # letters of another script


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def squeezed(cell: Cell) -> str:
    """Return the text of a cell in Unicode's composed form, with single spaces and no invisible characters."""
    if isinstance(cell, BadCell):
        raise UnusableCell(cell.reason)
    text = "" if cell is None else str(cell)
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFC", " ".join(text.split()))
        text = "".join(sign for sign in text if sign == " " or unicodedata.category(sign) not in ("Cc", "Cf"))
    return " ".join(text.split())


def shown(cell: Cell) -> str:
    """Return the text that a person sees in a cell."""
    return cell.shown if isinstance(cell, BadCell) else squeezed(cell)


def stated(cell: Cell) -> str:
    """Return the text of a cell; empty if it is empty or says that nothing is known: "-", "N.A.", "s/d"."""
    text = squeezed(cell)
    if text[:1] == "'" and "'" not in text[1:]:
        text = text[1:]  # by which spreadsheets mark a text
    if not text:
        return ""
    if _ERROR.fullmatch(text):
        raise UnusableCell("an error of a spreadsheet, not a value")
    if (plain := _plain(text).upper().strip()) in _TRUTHS:
        raise UnusableCell("a truth value, which has no meaning here")
    return "" if text in _MISSING or plain in _MISSING else text


@lru_cache(maxsize=1 << 16)
def letters(text: str) -> str:
    """Return a text of DataCrim with its letters, spaces, commas and hyphens, without stray codes and signs.

    >>> letters("  0401 - CONTRA LA VIDA, EL CUERPO  Y LA SALUD*")
    'CONTRA LA VIDA, EL CUERPO Y LA SALUD'
    """
    kept = "".join(sign if sign.isalpha() or sign in " ,-" else " " for sign in unicodedata.normalize("NFC", text))
    return re.sub(r" +,", ",", " ".join(kept.split())).strip(" ,-")


def _text_of(cell: Cell, what: str) -> str:
    if isinstance(cell, date):
        raise UnusableCell(f"a date, not {what}")
    return stated(cell)


_WEAPONS: Final = {
    spelling(name): name for name in ("Pistola", "Sin Arma", "Arma Blanca", "No especifica", OTHER, "Comba", "Machete")
}


def weapon(cell: Cell) -> str:
    """Return the weapon; "Otros" if none is stated, several with " / " or " - " between them.

    >>> weapon(""), weapon("Sin arma"), weapon("Pistola/Arma blanca"), weapon("Pistola - comba")
    ('Otros', 'Sin Arma', 'Pistola / Arma Blanca', 'Pistola - Comba')
    """
    text = _text_of(cell, "a weapon")
    return " ".join(_WEAPONS.get(spelling(part), part) for part in weapons_of(text)) if text else OTHER


def weapons_of(text: str) -> list[str]:
    """Return weapons and, between them, "/" or "-"; a hyphen within a word is part of it.

    >>> weapons_of("Pistola/cuchillo - comba"), weapons_of("Semi-automática")
    (['Pistola', '/', 'cuchillo', '-', 'comba'], ['Semi-automática'])
    """
    for sign in (r"(/| [-–] )", r"(-)"):
        parts = [part.strip().replace("–", "-") for part in re.split(sign, text)]
        known = sign != "(-)" or all(spelling(one) in _WEAPONS for one in parts[::2])
        if len(parts) > 1 and all(parts[::2]) and known:
            return parts
    return [text]


def occupation(cell: Cell) -> str:
    """Return the victim's occupation; "No Especifica" if none is stated."""
    text = _text_of(cell, "an occupation")
    return UNSPECIFIED if not text or "NO ESPECIF" in fold(text) else text


def one_spelling(names: Iterable[str]) -> dict[str, str]:
    """Return the one spelling that replaces each name.

    A spelling with a capital and small letters comes first, then the most frequent, then one with accents.

    >>> one_spelling(["CUCHILLO", "Cuchillo", "Revolver", "Revólver"])
    {'CUCHILLO': 'Cuchillo', 'Cuchillo': 'Cuchillo', 'Revolver': 'Revólver', 'Revólver': 'Revólver'}
    """
    counts = Counter(names)
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in counts:
        alike[spelling(name)].append(name)

    def worth(name: str) -> tuple[bool, int, int]:
        written = name[:1] == name[:1].upper() and name[1:] != name[1:].upper()
        return written, counts[name], sum(not sign.isascii() for sign in name)

    return {name: max(group, key=worth) for group in alike.values() for name in group}


def count(cell: Cell) -> int:
    """Return a number of dead or injured; 0 if none is stated."""
    return whole_number(cell) if stated(cell) else 0


_GROUPED: Final = re.compile(r"[1-9]\d{0,2}(?:(?P<sign>[.,'’ ])\d{3})(?:(?P=sign)\d{3})*(?P<rest>[.,]0{1,2})?")
_MILLIONS: Final = re.compile(r"[1-9]\d{0,2}['’]\d{3}[.,]\d{3}")  # 1'234,567


def whole_number(cell: Cell) -> int:
    """Return a whole number from 0 to the largest integer of the tables.

    Text may group thousands: "1.000" and "1,000" are a thousand. A number of a workbook or of a Parquet file is taken
    as it is: 1.732 is not whole.

    >>> [whole_number(cell) for cell in ("12", "3.0", 3.0, "1.000", "1,000", "1 234 567", "1.234.567,00", "1'234,567")]
    [12, 3, 3, 1000, 1000, 1234567, 1234567, 1234567]
    """
    value = -1
    if isinstance(cell, int | float | Decimal):
        if not isinstance(cell, bool) and math.isfinite(cell) and cell == int(cell):
            value = int(cell)
    else:
        text = stated(cell)
        grouped = _GROUPED.fullmatch(text)
        if (grouped and (grouped["rest"] or "")[:1] != grouped["sign"]) or _MILLIONS.fullmatch(text):
            value = int(re.sub(r"\D", "", text.removesuffix(grouped["rest"] or "") if grouped else text))
        elif plain := re.fullmatch(r"(\d{1,10})(?:[.,]0+)?", text):
            value = int(plain[1])
    if not 0 <= value <= LARGEST:
        raise UnusableCell("not a whole number from 0 on")
    return value


MONTHS: Final = (
    "ENERO", "FEBRERO", "MARZO", "ABRIL", "MAYO", "JUNIO", "JULIO", "AGOSTO", "SETIEMBRE", "OCTUBRE", "NOVIEMBRE",
    "DICIEMBRE",
)  # fmt: skip
_ENGLISH: Final = (
    "JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE", "JULY", "AUGUST", "SEPTEMBER", "OCTOBER", "NOVEMBER",
    "DECEMBER",
)  # fmt: skip


@lru_cache(maxsize=1 << 10)
def month_named(word: str) -> int:
    """Return the number of a month by its first three letters or more; 0 if it is none.

    >>> month_named("dic"), month_named("Setiembre"), month_named("Sept"), month_named("Jan"), month_named("martes")
    (12, 9, 9, 1, 0)
    """
    folded = fold(word)
    spanish = folded.replace("SEPTIEMBRE", "SETIEMBRE")
    both = enumerate(zip(MONTHS, _ENGLISH, strict=True), 1)
    found = (n for n, (ours, theirs) in both if ours.startswith(spanish) or theirs.startswith(folded))
    return next(found, 0) if len(folded) >= 3 else 0


OLDEST: Final = 130


class SeveralGroups(UnusableCell):
    """A cell that names several groups of persons; a column holds one."""


def gender(cell: Cell) -> str:
    """Return the gender of victims or offenders; "No Especifica" if it is missing or "(no especifica)".

    >>> gender("Varios (No especifíca)"), gender("HOMBRES(2)")
    ('No Especifica', 'Hombre (2)')
    """
    text = _group(_text_of(cell, "a gender"))
    return re.sub(r"^(hombre|mujer|varios)(?:e?s)?\b", lambda found: found[1].capitalize(), text, flags=re.IGNORECASE)


def _group(text: str) -> str:
    if not text or "NO ESPECIF" in fold(text):
        return UNSPECIFIED
    if "/" in text:
        raise SeveralGroups("several groups of persons in one cell, separated by a slash")
    return re.sub(r"\s*\(\s*(\d+)\s*\)", r" (\1)", text)


def age(cell: Cell) -> str:
    """Return the age of victims or offenders: a number or a range; "No Especifica" if it is missing.

    A range such as 10-12 that Excel turned into a date becomes a range again: one part is the day or the year, the
    other the month.

    >>> age(25.0), age("35 – 55"), age("15-21(3)"), age(date(2026, 12, 10)), age("10-dic")
    ('25', '35-55', '15-21 (3)', '10-12', '10-12')
    """
    if isinstance(cell, date):
        return _range_of(cell)
    text = stated(cell)
    if found := _range_of_text(text):
        return found
    if isinstance(cell, int | float | Decimal) or re.fullmatch(r"[-+]?[\d.,]+", text):
        years = whole_number(cell)
        if years > OLDEST:
            raise UnusableCell(f"not an age: above {OLDEST}")
        return str(years)
    return re.sub(r"^(\d{1,3})(?: ?[-–—] ?| a )(\d{1,3})\b", r"\1-\2", re.sub(r"(?i) ?años?$", "", _group(text)))


def taken_for_date(cell: Cell) -> bool:
    """Return whether an age is a range that Excel turned into a date."""
    return isinstance(cell, date) or bool(isinstance(cell, str) and _range_of_text(squeezed(cell)))


def _range_of(day: date) -> str:
    """Return the range that Excel turned into a date: ranges ascend, whichever part the day or the month was."""
    if day.year < 1930:
        raise UnusableCell("a date, not an age")
    if day.day > 1:
        return f"{min(day.day, day.month)}-{max(day.day, day.month)}"
    if day.year < 2000:  # 10-50 became the 1st of October 1950: above 12 the second number is a year
        return f"{day.month}-{day.year - 1900}"
    if day.year <= 2012:
        return f"1-{day.month}"
    raise UnusableCell(
        f"a date that Excel made from a range such as 1-{day.month} or {day.month}-{day.year - 2000}; write it as text"
    )


def _range_of_text(text: str) -> str:
    """Return the range that Excel shows as "10-dic", "dic-50" or with a year; empty if it is none."""
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
        raise UnusableCell("a date, not an age") from error
