"""Cleaning as pure functions: one rule each, from a cell as it was found to the value that a table keeps.

A rule that cannot make sense of a cell raises `Unusable`, with the reason that goes beside the row into the rejects.
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
    """A cell of a workbook that holds no value: `shown` is what a person sees there."""

    shown: str
    reason: str

    def __str__(self) -> str:
        return self.shown


Cell: TypeAlias = str | int | float | Decimal | date | BadCell | None

_WEAPONS: Final = {
    "PISTOLA": "Pistola",
    "SIN ARMA": "Sin Arma",
    "ARMA BLANCA": "Arma Blanca",
    "NO ESPECIFICA": "No especifica",
    "OTROS": OTHER,
    "COMBA": "Comba",
    "MACHETE": "Machete",
}
# What people write where they have nothing to write.
_MISSING: Final = frozenset(
    ["", "-", "--", "---", "–", "—", ".", "?", "NA", "N/A", "N.A.", "N.A", "ND", "N/D", "N.D.", "N.D", "SD", "S/D",
     "S.D.", "S.D", "S/I", "S.I.", "S.I", "NULL", "NONE", "NAN", "SIN DATO", "SIN DATOS", "SIN INFORMACION",
     "NO DISPONIBLE", "NO APLICA", "NO REGISTRA"]
)  # fmt: skip
_TRUTHS: Final = frozenset({"VERDADERO", "FALSO", "TRUE", "FALSE"})
# What spreadsheets show for an error, in English and in Spanish, and where a column is too narrow.
_ERROR: Final = re.compile(
    r"#[¡¿]?(?:N/A|N/D|REF|VALUE|VALOR|NAME|NOMBRE|DIV/0|NUM|NULL|NULO|SPILL|DESBORDAMIENTO|CALC|FIELD|CAMPO)[!?]?"
    r"|#{2,}|Err:\d+",
    re.IGNORECASE,
)


class Unusable(Exception):
    """A cell of which a rule can make nothing; the message is the reason."""


@lru_cache(maxsize=1 << 16)
def fold(text: str) -> str:
    """What names are compared by: capitals without accents, with one space for whatever is no letter.

    >>> fold(" San Martín de Porres (Lima)")
    'SAN MARTIN DE PORRES LIMA'
    """
    return " ".join(re.sub(r"[^A-Za-z]+", " ", _plain(text)).upper().split())


@lru_cache(maxsize=1 << 16)
def spelling(text: str) -> str:
    """What two spellings of one name share: letters without case and accents, and digits.

    >>> spelling("Revo\u0301lver  9 mm") == spelling("REVÓLVER 9 mm"), spelling("Hombre (2)") == spelling("Hombre (3)")
    (True, False)
    """
    key = " ".join(re.sub(r"[^A-Za-z0-9]+", " ", _plain(text)).upper().split())
    return key or squeezed(text).casefold()  # letters of another script


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def squeezed(cell: Cell) -> str:
    """The text of a cell in Unicode's composed form, with single spaces and no invisible characters; or empty.

    Raises:
        Unusable: When it holds no value, such as #N/A.
    """
    if isinstance(cell, BadCell):
        raise Unusable(cell.reason)
    text = "" if cell is None else str(cell)
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFC", " ".join(text.split()))
        text = "".join(sign for sign in text if sign == " " or unicodedata.category(sign) not in ("Cc", "Cf"))
    return " ".join(text.split())


def shown(cell: Cell) -> str:
    """What a person sees in a cell."""
    return cell.shown if isinstance(cell, BadCell) else squeezed(cell)


def stated(cell: Cell) -> str:
    """The text of a cell; empty where it is empty, or says that nothing is known: "-", "N.A.", "s/d".

    Raises:
        Unusable: When it holds an error of a spreadsheet, or a truth value.
    """
    text = squeezed(cell)
    if text[:1] == "'" and "'" not in text[1:]:
        text = text[1:]  # by which spreadsheets mark a text
    if not text:
        return ""
    if _ERROR.fullmatch(text):
        raise Unusable("an error of a spreadsheet, not a value")
    if (plain := _plain(text).upper().strip()) in _TRUTHS:
        raise Unusable("a truth value, which has no meaning here")
    return "" if text in _MISSING or plain in _MISSING else text


@lru_cache(maxsize=1 << 16)
def letters(text: str) -> str:
    """DataCrim's text fields: letters, spaces, commas and hyphens stay; stray codes, numbers and signs go.

    >>> letters("  0401 - CONTRA LA VIDA, EL CUERPO  Y LA SALUD*")
    'CONTRA LA VIDA, EL CUERPO Y LA SALUD'
    """
    kept = "".join(sign if sign.isalpha() or sign in " ,-" else " " for sign in unicodedata.normalize("NFC", text))
    return re.sub(r" +,", ",", " ".join(kept.split())).strip(" ,-")


def weapon(cell: Cell) -> str:
    """The weapon; a missing one is "Otros", several stand with " / " or " - " between them.

    >>> weapon(""), weapon("Sin arma"), weapon("Pistola/Arma blanca"), weapon("Pistola - comba")
    ('Otros', 'Sin Arma', 'Pistola / Arma Blanca', 'Pistola - Comba')

    Raises:
        Unusable: When it is an error of a spreadsheet, a date or a truth value.
    """
    if isinstance(cell, date):
        raise Unusable("a date, not a weapon")
    text = stated(cell)
    if not text:
        return OTHER
    parts = weapons_of(text)
    names = [_WEAPONS.get(spelling(part), part) for part in parts[::2]]
    return "".join(name + (f" {sign} " if sign else "") for name, sign in zip(names, [*parts[1::2], ""], strict=True))


def weapons_of(text: str) -> list[str]:
    """Weapons and, between them, "/" or "-"; a hyphen within a word is part of it.

    >>> weapons_of("Pistola/cuchillo - comba"), weapons_of("Semi-automática")
    (['Pistola', '/', 'cuchillo', '-', 'comba'], ['Semi-automática'])
    """
    for sign in (r"(/| [-–] )", r"(-)"):
        parts = [part.strip().replace("–", "-") for part in re.split(sign, text)]
        if (
            len(parts) > 1
            and all(parts[::2])
            and (sign != "(-)" or all(spelling(one) in _WEAPONS for one in parts[::2]))
        ):
            return parts
    return [text]


def occupation(cell: Cell) -> str:
    """The victim's occupation; "No Especifica" where none is stated.

    Raises:
        Unusable: When it is an error of a spreadsheet, a date or a truth value.
    """
    if isinstance(cell, date):
        raise Unusable("a date, not an occupation")
    text = stated(cell)
    return UNSPECIFIED if not text or "NO ESPECIF" in fold(text) else text


def one_spelling(names: Iterable[str]) -> dict[str, str]:
    """Each name => the spelling that all of its spellings get.

    That is one with a capital and small letters where there is any; among those the most frequent, then one with
    accents, then the first.

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
    """A number of dead or injured; a missing one is 0.

    Raises:
        Unusable: When it is not a whole number from 0 on.
    """
    return whole_number(cell) if stated(cell) else 0


_GROUPED: Final = re.compile(r"[1-9]\d{0,2}(?:(?P<sign>[.,'’ ])\d{3})(?:(?P=sign)\d{3})*(?P<rest>[.,]0{1,2})?")
_MILLIONS: Final = re.compile(r"[1-9]\d{0,2}['’]\d{3}[.,]\d{3}")  # 1'234,567


def whole_number(cell: Cell) -> int:
    """A whole number from 0 on, at most what the tables hold.

    Text may group thousands: "1.000" and "1,000" are a thousand. A number of a workbook or of a Parquet file is what it
    is: 1.732 is not whole.

    >>> [whole_number(cell) for cell in ("12", "3.0", 3.0, "1.000", "1,000", "1 234 567", "1.234.567,00", "1'234,567")]
    [12, 3, 3, 1000, 1000, 1234567, 1234567, 1234567]

    Raises:
        Unusable: When it is none.
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
        raise Unusable("not a whole number from 0 on")
    return value
