"""Robberies of Data Criminal: from CSV or the workbook to rows of `Robos_Lima`, or to the rejects."""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from calco.crime import clean, dates
from calco.crime.clean import Cell, UnusableCell, fold, shown, spelling, squeezed, stated
from calco.crime.gazetteer import METROPOLIS, Gazetteer
from calco.crime.reading import Columns, Remarks, Row, csv_rows, header_row, sheet_rows
from calco.crime.workbook import Sheet, is_workbook, read_workbook
from calco.errors import CalcoError, printable

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "FECHA": (),
    "MODALIDAD DE ROBO": ("MODALIDAD",),
    "TIPO DE ARMA": ("ARMA",),
    "EDAD VICTIMA": (),
    "EDAD DELINCUENTE": (),
    "GENERO VICTIMA": (),
    "GENERO DELINCUENTE": (),
    "DISTRITO": (),
    "MUERTOS": (),
    "HERIDOS": (),
    "OCUPACIÓN": (),
}
KIND_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {"Crimen": ("Tipo", "Delito"), "Descripcion": ()}
MONTHS: Final = (
    "ENERO", "FEBRERO", "MARZO", "ABRIL", "MAYO", "JUNIO", "JULIO", "AGOSTO", "SETIEMBRE", "OCTUBRE", "NOVIEMBRE",
    "DICIEMBRE",
)  # fmt: skip
_KINDS_SHEET: Final = "CLASIFICACIONES"
_WIDEST: Final = 255  # characters of a text in the tables


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that is in no table, with the reason.

    Attributes:
        source: "robberies", "kinds" or "datacrim".
        file: Name of the file, without folders.
        sheet: Sheet of a workbook.
        line: Line at which the record begins.
        column: Column of the value that cannot be used; empty for the row as a whole.
        value: The value.
        reason: The reason.
        record: The whole row, as JSON.
    """

    source: str
    file: str
    sheet: str
    line: int
    column: str
    value: str
    reason: str
    record: str


@dataclass
class CleanedRows:
    """Rows of a source after cleaning.

    Attributes:
        rows: Usable rows, in the order of the table's columns.
        rejects: Rows that cannot be used.
        read: Number of rows in the file.
        remarks: Notes for the user: localities that were taken for a district, addresses that occur twice.
    """

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    read: int = 0
    remarks: list[str] = field(default_factory=list)


def reject(source: str, path: str | Path, row: Row, column: str, value: Cell, reason: str) -> Reject:
    """Return the entry of a row that is left out."""
    record = json.dumps(row.raw, ensure_ascii=False, default=str)
    name = printable(Path(path).name)[:_WIDEST]
    return Reject(
        source,
        name,
        row.sheet[:_WIDEST],
        row.line,
        column,
        printable(shown(value)),
        printable(reason),
        printable(record),
    )


def read_kinds(path: str | Path, *, encoding: str = "", separator: str = "") -> CleanedRows:
    """Read the kinds of robbery with their descriptions: rows of `Tipo_Robo`, numbered in their order."""
    done = CleanedRows()
    seen: set[str] = set()
    for row in _kind_rows(path, done.remarks, encoding=encoding, separator=separator):
        done.read += 1
        value = row.cells.get("Crimen")
        try:
            kind, description = _kind(row, seen)
        except UnusableCell as error:
            done.rejects.append(reject("kinds", path, row, "" if row.problem else "Crimen", value, str(error)))
            continue
        seen.add(spelling(kind))
        done.rows.append((done.read, kind, description))
    if not done.rows:
        raise CalcoError(f"{path}: no kind of robbery was found; the file needs the columns Crimen and Descripcion")
    return done


def _kind(row: Row, seen: Collection[str]) -> tuple[str, str]:
    """A kind and its description."""
    if row.problem:
        raise UnusableCell(row.problem)
    kind, description = stated(row.cells.get("Crimen")), squeezed(row.cells.get("Descripcion"))
    if not fold(kind):
        raise UnusableCell("no kind is stated")
    if spelling(kind) in seen:
        raise UnusableCell("this kind occurs twice")
    return _fitting(kind), description


def _kind_rows(path: str | Path, remarks: Remarks, *, encoding: str, separator: str) -> Iterator[Row]:
    columns = Columns(names=KIND_COLUMNS)
    if not is_workbook(path):
        return csv_rows(path, columns, encoding=encoding, separator=separator, remarks=remarks)
    sheets = read_workbook(path)
    if found := [sheet for sheet in sheets if fold(sheet.title) == _KINDS_SHEET]:
        return _classified(found[0])
    if found := [sheet for sheet in sheets if len(columns.places(header_row(sheet, columns)[1])) == len(KIND_COLUMNS)]:
        return sheet_rows(found[0], columns, path, remarks)
    raise CalcoError(f"{path} has no sheet {_KINDS_SHEET} with the kinds of robbery; restore it, or give --kinds FILE")


def _classified(sheet: Sheet) -> Iterator[Row]:
    """The kinds of the sheet of classifications, which are in the column beside their heading."""
    for number, cells in sheet.rows.items():
        heading = shown(cells.get(0))
        if heading and fold(heading) != "DELITOS":
            return  # other classifications follow
        if shown(cells.get(1)):
            raw = {"Crimen": cells.get(1), "Descripcion": cells.get(2)}
            yield Row(number, raw, "", raw, sheet.title)


def robbery_rows(
    path: str | Path,
    *,
    encoding: str = "",
    separator: str = "",
    sheets: Sequence[str] = (),
    renamed: Mapping[str, str] | None = None,
    remarks: Remarks | None = None,
) -> Iterator[Row]:
    """Yield the records of a CSV file or of a workbook as they are; notes for the user are added to `remarks`."""
    columns = Columns(names=COLUMNS, renamed=renamed or {})
    if not is_workbook(path):
        yield from csv_rows(path, columns, encoding=encoding, separator=separator, remarks=remarks)
        return
    held = {sheet.title: sheet for sheet in read_workbook(path)}
    titles = _sheets(held, columns, sheets, path)
    if (
        unused := [title for title in held if title not in titles and fold(title) != _KINDS_SHEET]
    ) and remarks is not None:
        remarks.append(f"{path}: sheets that are not read: {', '.join(unused)}")
    for title in titles:
        yield from sheet_rows(held[title], columns, path, remarks)


def _sheets(held: Mapping[str, Sheet], columns: Columns, wanted: Sequence[str], path: str | Path) -> list[str]:
    if missing := [title for title in wanted if title not in held]:
        raise CalcoError(f"{path} has no sheet {missing[0]!r}; its sheets are {', '.join(held)}")
    if wanted:
        return list(wanted)
    # A sheet with most of the columns is one of robberies: a column that it lacks is an error.
    titles = [
        title
        for title, sheet in held.items()
        if fold(title) in MONTHS or len(columns.places(header_row(sheet, columns)[1])) > len(COLUMNS) // 2
    ]
    if not titles:
        raise CalcoError(
            f"{path} has no sheet with robberies: one with a row that names the columns {', '.join(COLUMNS)}; "
            f"its sheets are {', '.join(held) or 'empty'}"
        )
    months = [MONTHS.index(fold(title)) for title in titles if fold(title) in MONTHS]
    for before, after in pairwise(months):
        if (before + 1) % 12 != after:
            raise CalcoError(
                f"{path} lacks the sheet {MONTHS[(before + 1) % 12]} between {MONTHS[before]} and {MONTHS[after]}; "
                f"restore it, or name those to read: --sheets {' '.join(titles)}"
            )
    return titles


def clean_robberies(
    rows: Sequence[Row],
    kinds: Sequence[tuple[Any, ...]],
    places: Gazetteer,
    path: str | Path,
    *,
    today: date,
    keep_several: bool = False,
) -> CleanedRows:
    """Return rows of `Robos_Lima`, whose `id` is the number of the record in its file, and the rejects."""
    done = CleanedRows(read=len(rows))
    ids = {spelling(kind): key for key, kind, _ in kinds}
    days = dates.complete_dates([_date(row, today) for row in rows])
    links: dict[str, int] = {}
    for number, (row, day) in enumerate(zip(rows, days, strict=True), 1):
        link = shown(row.raw.get("LINK"))
        if link and (first := links.setdefault(link, row.line)) != row.line:
            done.remarks.append(f"line {row.line} has the same address as line {first}: perhaps one robbery")
        if row.problem:
            done.rejects.append(reject("robberies", path, row, "", "", row.problem))
            continue
        column = ""
        values: list[Any] = [number]
        try:
            for column, rule in _rules(ids, places, day, keep_several):
                values.append(_fitting(rule(row.cells[column])))
        except UnusableCell as error:
            done.rejects.append(reject("robberies", path, row, column, row.cells[column], str(error)))
            continue
        done.remarks += _understood(row, values, places)
        done.rows.append(tuple(values))
    done.rows = _in_one_spelling(done.rows)
    done.remarks = [f"{remark} ({count})" if count > 1 else remark for remark, count in Counter(done.remarks).items()]
    return done


def _understood(row: Row, values: Sequence[Any], places: Gazetteer) -> Iterator[str]:
    """Notes on values that were interpreted."""
    told, official = squeezed(row.cells["DISTRITO"]), places.districts[values[1]]
    if fold(told) != fold(official):
        yield f"{told} was taken for the district {official}"
    if dates.is_serial(row.cells["FECHA"]):
        yield f"FECHA: the number of days since {1904 if row.date1904 else 1900} was taken for a date"
    for column, value in zip(("EDAD VICTIMA", "EDAD DELINCUENTE"), values[5:7], strict=True):
        if clean.taken_for_date(row.cells[column]):
            yield f"{column}: {shown(row.cells[column])}, which Excel made from a range, was taken for {value}"


# Columns of the table that share their spellings: weapons, ages, genders, occupations.
_SPELLED: Final = ((3,), (5, 6), (7, 8), (11,))


def _in_one_spelling(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows with one spelling of each weapon, age, gender and occupation."""
    spelled: dict[int, dict[str, str]] = {}
    for columns in _SPELLED:
        names = [name for row in rows for column in columns for name in _names(row[column], column)]
        spelled |= dict.fromkeys(columns, clean.one_spelling(names))

    def value(cell: Any, column: int) -> Any:
        if column not in spelled:
            return cell
        return "".join(spelled[column].get(part, part) for part in re.split(r"( [/-] )", cell)) if column == 3 else (
            spelled[column][cell]
        )  # fmt: skip

    return [tuple(value(cell, column) for column, cell in enumerate(row)) for row in rows]


def _names(cell: str, column: int) -> list[str]:
    return re.split(r" [/-] ", cell) if column == 3 else [cell]


def _date(row: Row, today: date) -> date | int | UnusableCell | None:
    try:
        return dates.read_date(row.cells.get("FECHA"), today=today, date1904=row.date1904)
    except UnusableCell as error:
        return error


def _rules(
    kinds: Mapping[str, int], places: Gazetteer, day: date | UnusableCell | None, keep_several: bool
) -> tuple[tuple[str, Callable[[Cell], Any]], ...]:
    """Column and rule, in the order of the table's columns."""

    def date_of(_cell: Cell) -> date | None:
        if isinstance(day, UnusableCell):
            raise day
        return day

    def kind_of(cell: Cell) -> int:
        if not fold(stated(cell)):
            raise UnusableCell("no kind of robbery is stated")
        if (key := kinds.get(spelling(stated(cell)))) is None:
            raise UnusableCell("a kind of robbery that is not in the file of kinds")
        return key

    def several(rule: Callable[[Cell], str]) -> Callable[[Cell], str]:
        """Keeps a cell with several groups of persons as it is, if asked to."""

        def kept(cell: Cell) -> str:
            try:
                return rule(cell)
            except clean.SeveralGroups:
                if keep_several:
                    return stated(cell)
                raise

        return kept

    return (
        ("DISTRITO", lambda cell: places.district(stated(cell), within=METROPOLIS)),
        ("MODALIDAD DE ROBO", kind_of),
        ("TIPO DE ARMA", clean.weapon),
        ("FECHA", date_of),
        ("EDAD VICTIMA", several(clean.age)),
        ("EDAD DELINCUENTE", several(clean.age)),
        ("GENERO VICTIMA", several(clean.gender)),
        ("GENERO DELINCUENTE", several(clean.gender)),
        ("MUERTOS", clean.count),
        ("HERIDOS", clean.count),
        ("OCUPACIÓN", clean.occupation),
    )


def _fitting(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _WIDEST:
        raise UnusableCell(f"longer than {_WIDEST} characters")
    return value
