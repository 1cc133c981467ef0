"""Robberies of Data Criminal: from CSV or the workbook to rows of `Robos_Lima`, or to the rejects."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from calco.crime import clean, dates
from calco.crime.clean import MONTHS, Cell, UnusableCell, fold, shown, spelling, squeezed, stated
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
_KINDS_SHEET: Final = "CLASIFICACIONES"
WIDEST: Final = 255  # characters of a text in the tables


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that is in no table, with the reason."""

    source: str  # robberies, kinds or datacrim
    file: str  # its name, without folders
    sheet: str  # of a workbook
    line: int  # at which the record begins
    column: str  # of the value that cannot be used; empty for the row as a whole
    value: str
    reason: str
    record: str  # the whole row, as JSON


@dataclass
class CleanedRows:
    """Rows of a source after cleaning."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)  # in the order of the table's columns
    rejects: list[Reject] = field(default_factory=list)
    read: int = 0  # rows in the file
    remarks: list[str] = field(default_factory=list)  # notes for the user


def reject(source: str, path: str | Path, row: Row, column: str, value: Cell, reason: str) -> Reject:
    """Return the entry of a row that is left out."""
    record = json.dumps(row.raw, ensure_ascii=False, default=str)
    file, sheet = printable(Path(path).name)[:WIDEST], row.sheet[:WIDEST]
    texts = map(printable, (shown(value), reason, record))
    return Reject(source, file, sheet, row.line, column, *texts)


def read_kinds(path: str | Path, *, encoding: str = "", separator: str = "") -> CleanedRows:
    """Read the kinds of robbery with their descriptions: rows of `Tipo_Robo`, numbered in their order."""
    done = CleanedRows()
    seen: set[str] = set()
    for row in _kind_rows(path, done.remarks, encoding=encoding, separator=separator):
        done.read += 1
        try:
            if row.problem:
                raise UnusableCell(row.problem)
            kind = _fitting(stated(row.cells.get("Crimen")))
            if not fold(kind):
                raise UnusableCell("no kind is stated")
            if spelling(kind) in seen:
                raise UnusableCell("this kind occurs twice")
            done.rows.append((done.read, kind, squeezed(row.cells.get("Descripcion"))))
            seen.add(spelling(kind))
        except UnusableCell as error:
            column = "" if row.problem else "Crimen"
            done.rejects.append(reject("kinds", path, row, column, row.cells.get("Crimen"), str(error)))
    if not done.rows:
        raise CalcoError(f"{path}: no kind of robbery was found; the file needs the columns Crimen and Descripcion")
    return done


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
    """Yield the kinds of the sheet of classifications, which are in the column beside their heading."""
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
    unused = [title for title in held if title not in titles and fold(title) != _KINDS_SHEET]
    if unused and remarks is not None:
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


def _place(row: Row) -> str:
    return f"sheet {row.sheet}, row {row.line}" if row.sheet else f"line {row.line}"


def clean_robberies(
    rows: Sequence[Row],
    kinds: Sequence[tuple[Any, ...]],
    places: Gazetteer,
    path: str | Path,
    *,
    today: date,
    keep_several: bool = False,
) -> CleanedRows:
    """Return rows of `Robos_Lima`, whose `id` is the number of the record in its file, and the rejects.

    All records are needed, in their order: a day without a month takes it from a later record. `keep_several` keeps
    rows whose age or gender names several groups of persons, with the cell as it is.
    """
    done = CleanedRows(read=len(rows))
    ids = {spelling(kind): key for key, kind, _ in kinds}
    days = dates.complete_dates([_date(row, today) for row in rows])
    links: dict[str, Row] = {}
    for number, (row, day) in enumerate(zip(rows, days, strict=True), 1):
        link = shown(row.raw.get("LINK"))
        if link and (first := links.setdefault(link, row)) is not row:
            done.remarks.append(f"{_place(row)} has the same address as {_place(first)}: perhaps one robbery")
        column, values = "", list[Any]([number])
        try:
            if row.problem:
                raise UnusableCell(row.problem)
            for column, rule in _rules(ids, places, day, keep_several):
                values.append(_fitting(rule(row.cells[column])))
        except UnusableCell as error:
            value = row.cells[column] if column else ""
            done.rejects.append(reject("robberies", path, row, column, value, str(error)))
            continue
        done.remarks += _interpreted(row, values, places)
        done.rows.append(tuple(values))
    done.rows = _in_one_spelling(done.rows)
    done.remarks = [f"{remark} ({count})" if count > 1 else remark for remark, count in Counter(done.remarks).items()]
    return done


def _interpreted(row: Row, values: Sequence[Any], places: Gazetteer) -> Iterator[str]:
    """Yield notes on values that were interpreted."""
    stated_name, official = squeezed(row.cells["DISTRITO"]), places.districts[values[1]]
    if fold(stated_name) != fold(official):
        yield f"{stated_name} was taken for the district {official}"
    if dates.is_serial(row.cells["FECHA"]):
        yield f"FECHA: the number of days since {1904 if row.date1904 else 1900} was taken for a date"
    for column, value in zip(("EDAD VICTIMA", "EDAD DELINCUENTE"), values[5:7], strict=True):
        if clean.taken_for_date(row.cells[column]):
            yield f"{column}: {shown(row.cells[column])}, which Excel made from a range, was taken for {value}"


# Columns of the table that share their spellings: weapons, ages, genders, occupations.
_SPELLED: Final = ((3,), (5, 6), (7, 8), (11,))


def _in_one_spelling(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the rows with one spelling of each weapon, age, gender and occupation; a cell may hold several weapons."""
    # Names are at even places, the signs between them at odd ones.
    parts = [
        {column: re.split(r"( [/-] )", row[column]) if column == 3 else [row[column]] for column in range(len(row))}
        for row in rows
    ]
    for columns in _SPELLED:
        one = clean.one_spelling(name for row in parts for column in columns for name in row[column][::2])
        for row in parts:
            for column in columns:
                row[column] = [one.get(part, part) for part in row[column]]
    return [tuple("".join(cell) if len(cell) > 1 else cell[0] for cell in row.values()) for row in parts]


def _date(row: Row, today: date) -> date | int | UnusableCell | None:
    try:
        return dates.read_date(row.cells.get("FECHA"), today=today, date1904=row.date1904)
    except UnusableCell as error:
        return error


def _rules(
    kinds: Mapping[str, int], places: Gazetteer, day: date | UnusableCell | None, keep_several: bool
) -> tuple[tuple[str, Callable[[Cell], Any]], ...]:
    """Return column and rule, in the order of the table's columns."""

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

    def persons(rule: Callable[[Cell], str], cell: Cell) -> str:
        try:
            return rule(cell)
        except clean.SeveralGroups:
            if keep_several:
                return stated(cell)
            raise

    age, gender = partial(persons, clean.age), partial(persons, clean.gender)
    return (
        ("DISTRITO", lambda cell: places.district(stated(cell), within=METROPOLIS)),
        ("MODALIDAD DE ROBO", kind_of),
        ("TIPO DE ARMA", clean.weapon),
        ("FECHA", date_of),
        ("EDAD VICTIMA", age),
        ("EDAD DELINCUENTE", age),
        ("GENERO VICTIMA", gender),
        ("GENERO DELINCUENTE", gender),
        ("MUERTOS", clean.count),
        ("HERIDOS", clean.count),
        ("OCUPACIÓN", clean.occupation),
    )


def _fitting(value: Any) -> Any:
    if isinstance(value, str) and len(value) > WIDEST:
        raise UnusableCell(f"longer than {WIDEST} characters")
    return value
