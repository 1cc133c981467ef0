"""The robberies of Data Criminal: from CSV or the workbook to rows of `Robos_Lima`, or into the rejects."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from calco.crime import clean
from calco.crime.clean import Cell, Unusable, fold, squeezed
from calco.crime.gazetteer import METROPOLIS, Gazetteer
from calco.crime.reading import Columns, Row, csv_rows, open_workbook, sheet_rows
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
    """A row that is in no table, and why.

    Attributes:
        source: Such as "robberies".
        file: Its file, without folders.
        sheet: Of a workbook.
        line: Where it begins.
        column: The column with the value that could not be used; empty where it is the row as a whole.
        value: That value.
        reason: What is wrong with it.
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
class Cleaned:
    """What became of a source's rows.

    Attributes:
        rows: In the order of the table's columns.
        rejects: What is not among them.
        read: How many there were.
        remarks: What a person should know: localities that were taken for a district, addresses that stand there twice.
    """

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    read: int = 0
    remarks: list[str] = field(default_factory=list)


def reject(source: str, path: str | Path, row: Row, column: str, value: Cell, reason: str) -> Reject:
    """A row that is left out."""
    record = json.dumps(row.raw, ensure_ascii=False, default=str)
    name = printable(Path(path).name)[:_WIDEST]
    return Reject(
        source, name, row.sheet, row.line, column, printable(squeezed(value)), printable(reason), printable(record)
    )


def read_kinds(path: str | Path, *, encoding: str = "", separator: str = "") -> Cleaned:
    """The kinds of robbery with their descriptions: rows of `Tipo_Robo`, numbered as they stand there.

    Args:
        path: A CSV file with the columns Crimen and Descripcion, or a workbook with the sheet CLASIFICACIONES.
        encoding: Of the CSV file; found out where it is empty.
        separator: Of the CSV file; found out where it is empty.

    Raises:
        CalcoError: When it cannot be read, or holds none.
    """
    done = Cleaned()
    seen: set[str] = set()
    rows = _kinds_of_workbook(path) if is_workbook(path) else csv_rows(
        path, Columns(names=KIND_COLUMNS), encoding=encoding, separator=separator
    )  # fmt: skip
    for row in rows:
        done.read += 1
        kind, description = squeezed(row.cells.get("Crimen")), squeezed(row.cells.get("Descripcion"))
        problem = row.problem or (
            "no kind is told" if not fold(kind) else "this kind stands there twice" if fold(kind) in seen
            else f"longer than {_WIDEST} characters" if len(kind) > _WIDEST else ""
        )  # fmt: skip
        if problem:
            done.rejects.append(reject("kinds", path, row, "" if row.problem else "Crimen", kind, problem))
            continue
        seen.add(fold(kind))
        done.rows.append((done.read, kind, description))
    if not done.rows:
        raise CalcoError(f"{path} holds no kind of robbery; it must have the columns Crimen and Descripcion")
    return done


def _kinds_of_workbook(path: str | Path) -> Iterator[Row]:
    with open_workbook(path) as sheets:
        rows = next((rows for title, rows in sheets.items() if fold(title) == _KINDS_SHEET), None)
    if rows is None:
        raise CalcoError(
            f"{path} has no sheet {_KINDS_SHEET}, which tells the kinds of robbery; restore it, or give --kinds FILE"
        )
    for number, cells in enumerate(rows, 1):
        heading = squeezed(cells[0]) if cells else ""
        if heading and fold(heading) != "DELITOS":
            return  # other classifications follow
        kind, description = ([*cells[1:3], None, None])[:2]
        if squeezed(kind):
            yield Row(number, {"Crimen": kind, "Descripcion": description}, "", {"Crimen": kind}, _KINDS_SHEET)


def is_workbook(path: str | Path) -> bool:
    """Whether a file's name is that of a workbook."""
    return Path(path).suffix.lower() in (".xlsx", ".xlsm")


def robbery_rows(
    path: str | Path,
    *,
    encoding: str = "",
    separator: str = "",
    sheets: Sequence[str] = (),
    renamed: Mapping[str, str] | None = None,
) -> Iterator[Row]:
    """The records of a CSV file or of a workbook, as they stand there.

    Raises:
        CalcoError: When the file cannot be read, a column is missing, or a sheet.
    """
    columns = Columns(names=COLUMNS, renamed=renamed or {})
    if not is_workbook(path):
        yield from csv_rows(path, columns, encoding=encoding, separator=separator)
        return
    with open_workbook(path) as held:
        for title in _sheets(held, columns, sheets, path):
            yield from sheet_rows(title, held[title], columns, path)


def _sheets(
    held: Mapping[str, list[list[Cell]]], columns: Columns, wanted: Sequence[str], path: str | Path
) -> list[str]:
    if missing := [title for title in wanted if title not in held]:
        raise CalcoError(f"{path} has no sheet {missing[0]!r}; its sheets are {', '.join(held)}")
    if wanted:
        return list(wanted)
    # A sheet with most of the columns is one of robberies: if it misses one, that is said.
    titles = [
        title
        for title, rows in held.items()
        if fold(title) in MONTHS or len(columns.places([squeezed(cell) for cell in rows[0]])) > len(COLUMNS) // 2
    ]
    if not titles:
        raise CalcoError(
            f"{path} has no sheet with robberies: one whose first row names the columns {', '.join(COLUMNS)}; "
            f"its sheets are {', '.join(held) or 'empty'}"
        )
    months = [MONTHS.index(fold(title)) for title in titles if fold(title) in MONTHS]
    for before, after in pairwise(months):
        if (before + 1) % 12 != after:
            raise CalcoError(
                f"{path} misses the sheet {MONTHS[(before + 1) % 12]} between {MONTHS[before]} and {MONTHS[after]}; "
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
) -> Cleaned:
    """Rows of `Robos_Lima`, whose `id` is the number of the record in its file, or rejects.

    Args:
        rows: All records, in their order: a day that stands alone takes its month from a later one.
        kinds: Rows of `Tipo_Robo`.
        places: The gazetteer.
        path: The file, for the rejects.
        today: No robbery is later.
        keep_several: Keeps rows whose age or gender tells of several groups of persons ("Hombre / Mujer"), as the cell
            stands; the study left them out.
    """
    done = Cleaned(read=len(rows))
    ids = {fold(kind): key for key, kind, _ in kinds}
    dates = clean.complete_dates([_date(row, today) for row in rows])
    links: dict[str, int] = {}
    for number, (row, day) in enumerate(zip(rows, dates, strict=True), 1):
        link = squeezed(row.raw.get("LINK"))
        if link and (first := links.setdefault(link, row.line)) != row.line:
            done.remarks.append(f"line {row.line} tells of the same address as line {first}: perhaps one robbery")
        if row.problem:
            done.rejects.append(reject("robberies", path, row, "", "", row.problem))
            continue
        column = ""
        values: list[Any] = [number]
        try:
            for column, rule in _rules(ids, places, day, keep_several):
                values.append(_fitting(rule(row.cells[column])))
        except Unusable as error:
            done.rejects.append(reject("robberies", path, row, column, row.cells[column], str(error)))
            continue
        told = squeezed(row.cells["DISTRITO"])
        official = places.districts[values[1]]
        if fold(told) != fold(official):
            done.remarks.append(f"{told} was taken for the district {official}")
        done.rows.append(tuple(values))
    done.remarks = [f"{remark} ({done.remarks.count(remark)})" if done.remarks.count(remark) > 1 else remark
                    for remark in dict.fromkeys(done.remarks)]  # fmt: skip
    return done


def _date(row: Row, today: date) -> date | int | Unusable | None:
    try:
        return clean.read_date(row.cells.get("FECHA"), today=today)
    except Unusable as error:
        return error


def _rules(
    kinds: Mapping[str, int], places: Gazetteer, day: date | Unusable | None, keep_several: bool
) -> tuple[tuple[str, Callable[[Cell], Any]], ...]:
    """Column and rule, in the order of the table's columns."""

    def date_of(_cell: Cell) -> date | None:
        if isinstance(day, Unusable):
            raise day
        return day

    def kind_of(cell: Cell) -> int:
        if not fold(squeezed(cell)):
            raise Unusable("no kind of robbery is told")
        if (key := kinds.get(fold(squeezed(cell)))) is None:
            raise Unusable("no kind of robbery that is described")
        return key

    def person(cell: Cell) -> str:
        return squeezed(cell) if keep_several and "/" in squeezed(cell) else clean.person(cell)

    return (
        ("DISTRITO", lambda cell: places.district(squeezed(cell), within=METROPOLIS)),
        ("MODALIDAD DE ROBO", kind_of),
        ("TIPO DE ARMA", clean.weapon),
        ("FECHA", date_of),
        ("EDAD VICTIMA", person),
        ("EDAD DELINCUENTE", person),
        ("GENERO VICTIMA", person),
        ("GENERO DELINCUENTE", person),
        ("MUERTOS", clean.count),
        ("HERIDOS", clean.count),
        ("OCUPACIÓN", clean.occupation),
    )


def _fitting(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _WIDEST:
        raise Unusable(f"longer than {_WIDEST} characters")
    return value
