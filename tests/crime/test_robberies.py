"""The real robberies, against counts made by hand, and workbooks that lack something."""

import csv
from collections import Counter
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import pytest

from calco import CalcoError
from calco.crime.gazetteer import gazetteer
from calco.crime.robberies import CleanedRows, clean_robberies, read_kinds, robbery_rows
from support import requires

TODAY = date(2026, 1, 1)
HEADER = (
    "LINK", "TITULO", "FECHA", "MEDIO", "MODALIDAD DE ROBO", "TIPO DE ARMA", "EDAD VICTIMA", "EDAD DELINCUENTE",
    "GENERO VICTIMA", "GENERO DELINCUENTE", "DISTRITO", "MUERTOS", "HERIDOS", "OCUPACIÓN",
)  # fmt: skip
ROW = ("http://a", "Asalto", "3/12/2016", "Ojo", "Asalto", "Pistola", "", "", "Hombre", "", "Ate", "0", "1", "Chofer")


def cleaned(robberies: Path, kinds: Path, **options: bool) -> CleanedRows:
    rows = list(robbery_rows(robberies))
    return clean_robberies(rows, read_kinds(kinds).rows, gazetteer(), robberies, today=TODAY, **options)


@pytest.fixture(scope="module")
def real(real_data: Path) -> CleanedRows:
    return cleaned(real_data / "crime" / "crimenes.csv", real_data / "crime" / "descripcion_crimen.csv")


def test_all_476_are_accounted_for(real: CleanedRows) -> None:
    assert real.read == 476
    assert len(real.rows) + len(real.rejects) == 476
    assert Counter(one.column for one in real.rejects) == {
        "EDAD DELINCUENTE": 18,
        "EDAD VICTIMA": 6,
        "GENERO VICTIMA": 4,
        "GENERO DELINCUENTE": 4,
        "DISTRITO": 1,
    }
    # Line 28: the one row without a district. Line 205 is no 205th record: titles before it span lines.
    assert [one.line for one in real.rejects if one.column == "DISTRITO"] == [28]
    assert all(("/" in one.value) == ("several groups" in one.reason) for one in real.rejects)


def test_no_district_falls_out_and_none_counts_twice(real: CleanedRows, real_data: Path) -> None:
    """Against the cells themselves, counted without any of Calco's rules."""
    with (real_data / "crime" / "crimenes.csv").open(encoding="cp1252", newline="") as file:
        told = [row for row in csv.DictReader(file, delimiter=";") if "/" not in "".join(list(row.values())[6:10])]
    names = Counter(row["DISTRITO"] for row in told)
    ours = Counter(gazetteer().districts[row[1]] for row in real.rows)
    assert ours["Lima"] == names["Cercado de Lima"] == 42
    assert ours["San Martín de Porres"] == names["San Martín de Porres"] + names["San Martin de Porres"] == 25
    assert ours["Santiago de Surco"] == names["Surco"] == 13
    assert ours["Callao"] == names["Callao"] == 36
    assert ours["Lurigancho"] == names["Chosica"] + names["Huachipa"] + names["Lurigancho-Chosica"] == 5
    assert ours["San Luis"] == names["San Luis"] == 3
    assert ours.total() == names.total() - names[""] == 443


def test_days_that_stand_alone_and_slips_of_the_year_are_dated(real: CleanedRows) -> None:
    dates = {row[0]: row[4] for row in real.rows}
    assert dates[2] == date(2016, 12, 24)  # "24", before "2/12/2016"
    assert sum(day is None for day in dates.values()) == 3
    assert {day.year for day in dates.values() if day} == {2016, 2017}
    assert min(filter(None, dates.values())) == date(2016, 12, 1)
    assert max(filter(None, dates.values())) == date(2017, 6, 30)


def test_rows_with_several_groups_may_be_kept(real_data: Path) -> None:
    folder = real_data / "crime"
    kept = cleaned(folder / "crimenes.csv", folder / "descripcion_crimen.csv", keep_several=True)
    assert (len(kept.rows), len(kept.rejects)) == (475, 1)


def test_the_workbook_gives_the_same_robberies(real: CleanedRows, real_data: Path) -> None:
    requires(find_spec("openpyxl"), "openpyxl", "pip install 'calco[crime]'")
    book = real_data / "crime" / "grupo_data_criminal.xlsx"
    ours = cleaned(book, book)
    assert ours.read == 476
    # The months stand in another order there, so that the numbers of the records differ.
    assert Counter(row[1:] for row in ours.rows) == Counter(row[1:] for row in real.rows)
    assert Counter((one.column, one.value, one.reason) for one in ours.rejects) == Counter(
        (one.column, one.value, one.reason) for one in real.rejects
    )
    assert {one.sheet for one in ours.rejects if one.column == "DISTRITO"} == {"DICIEMBRE"}


@pytest.fixture
def kinds(tmp_path: Path) -> Path:
    path = tmp_path / "kinds.csv"
    path.write_text('Crimen;Descripcion\nAsalto;"Con violencia"\nHurto;Sin ella\n', encoding="utf-8")
    return path


def written(folder: Path, *changes: dict[str, str]) -> Path:
    path = folder / "robberies.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, delimiter=";")
        out.writerow(HEADER)
        for change in changes:
            out.writerow({**dict(zip(HEADER, ROW, strict=True)), **change}.values())
    return path


@pytest.mark.parametrize(
    ("change", "column", "reason"),
    [
        ({"DISTRITO": ""}, "DISTRITO", "no district is given"),
        ({"DISTRITO": "Atlántida"}, "DISTRITO", "no district of Peru has this name"),
        (
            {"DISTRITO": "Cayma"},
            "DISTRITO",
            "not in Lima or Callao: the districts of this name are in Arequipa (Arequipa)",
        ),
        ({"DISTRITO": "Ate'); DROP TABLE Robos_Lima; --"}, "DISTRITO", "no district of Peru has this name"),
        ({"MODALIDAD DE ROBO": "Piratería"}, "MODALIDAD DE ROBO", "a kind of robbery that is not in the file of kinds"),
        ({"MODALIDAD DE ROBO": ""}, "MODALIDAD DE ROBO", "no kind of robbery is stated"),
        ({"FECHA": "3/12/2099"}, "FECHA", "the year 2099 lies in the future"),
        ({"FECHA": "31"}, "FECHA", "a day alone, without a complete date after it that gives the month"),
        ({"MUERTOS": "dos"}, "MUERTOS", "not a whole number from 0 on"),
        ({"GENERO VICTIMA": "Hombre / Mujer"}, "GENERO VICTIMA", "several groups of persons in one cell"),
        ({"OCUPACIÓN": "x" * 300}, "OCUPACIÓN", "longer than 255 characters"),
    ],
)
def test_a_row_that_does_not_serve_is_told(
    tmp_path: Path, kinds: Path, change: dict[str, str], column: str, reason: str
) -> None:
    done = cleaned(written(tmp_path, {}, change), kinds)
    assert len(done.rows) == 1
    (one,) = done.rejects
    assert (one.column, one.line, one.value) == (column, 3, change[column])
    assert one.reason.startswith(reason)
    assert change[column][:50] in one.record


def test_2107_is_a_slip_for_2017(tmp_path: Path, kinds: Path) -> None:
    done = cleaned(written(tmp_path, {"FECHA": "11/02/2107"}), kinds)
    assert done.rows[0][4] == date(2017, 2, 11)


def test_what_was_taken_for_a_district_and_what_stands_there_twice_is_said(tmp_path: Path, kinds: Path) -> None:
    done = cleaned(written(tmp_path, {}, {"DISTRITO": "Manchay"}, {"LINK": "b", "DISTRITO": "Manchay"}), kinds)
    assert done.remarks == [
        "line 3 has the same address as line 2: perhaps one robbery",
        "Manchay was taken for the district Pachacámac (2)",
    ]


def workbook(folder: Path, **sheets: list[tuple[object, ...]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    path = folder / "book.xlsx"
    book.save(path)
    return path


def test_a_workbook_without_a_month_between_others_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path, DICIEMBRE=[HEADER, ROW], FEBRERO=[HEADER, ROW])
    with pytest.raises(CalcoError, match="lacks the sheet ENERO between DICIEMBRE and FEBRERO; restore it, or name"):
        list(robbery_rows(path))
    assert len(list(robbery_rows(path, sheets=("DICIEMBRE", "FEBRERO")))) == 2
    with pytest.raises(CalcoError, match="has no sheet 'ENERO'; its sheets are DICIEMBRE, FEBRERO"):
        list(robbery_rows(path, sheets=("ENERO",)))


def test_the_same_address_in_the_same_row_of_two_sheets_is_said(tmp_path: Path, kinds: Path) -> None:
    done = cleaned(workbook(tmp_path, ENERO=[HEADER, ROW], FEBRERO=[HEADER, ROW]), kinds)
    assert "sheet FEBRERO, row 2 has the same address as sheet ENERO, row 2: perhaps one robbery" in done.remarks


@pytest.mark.parametrize(
    ("sheets", "told"),
    [
        ({"Hoja1": [("a", "b")]}, "has no sheet with robberies: one with a row that names the columns FECHA"),
        ({"MAYO": [(*HEADER[:10], "BARRIO", *HEADER[11:]), ROW]}, "sheet MAYO, has no column 'DISTRITO'"),
    ],
)
def test_a_workbook_with_other_sheets_or_columns_is_refused(
    tmp_path: Path, sheets: dict[str, list[tuple[object, ...]]], told: str
) -> None:
    with pytest.raises(CalcoError) as error:
        list(robbery_rows(workbook(tmp_path, **sheets)))
    assert told in str(error.value)


def test_a_workbook_without_the_kinds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="has no sheet CLASIFICACIONES with the kinds of robbery"):
        read_kinds(workbook(tmp_path, MAYO=[HEADER, ROW]))


@pytest.mark.parametrize("content", [b"PK\x03\x04 broken", b"", b"FECHA;DISTRITO\n"])
def test_a_file_that_is_no_workbook_is_refused(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("openpyxl")
    (tmp_path / "book.xlsx").write_bytes(content)
    with pytest.raises(CalcoError, match="is a damaged workbook"):
        list(robbery_rows(tmp_path / "book.xlsx"))


def test_kinds_that_stand_there_twice_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "kinds.csv"
    path.write_text("Crimen,Descripcion\nAsalto,a\nASALTO,b\n,c\n")
    done = read_kinds(path)
    assert done.rows == [(1, "Asalto", "a")]
    assert [one.reason for one in done.rejects] == ["this kind occurs twice", "no kind is stated"]
