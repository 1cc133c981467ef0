"""Workbooks: what their cells mean, and what lies around them."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from calco import CalcoError
from calco.crime.clean import BadCell
from calco.crime.load import LoadConfig, load
from calco.crime.robberies import read_kinds
from calco.crime.workbook import read_workbook
from crime.loading import contents
from crime.workbooks import NAMES, ROW, cells, cleaned, made, raw


def test_what_cells_hold(tmp_path: Path) -> None:
    strings = '<si><t>Ñaña</t></si><si><r><t>a</t></r><r><t> b</t></r><rPh sb="0" eb="1"><t>no</t></rPh></si>'
    styles = (
        '<numFmts><numFmt numFmtId="200" formatCode="d&quot;x&quot;mmm"/>'
        '<numFmt numFmtId="201" formatCode="0 &quot;días&quot;"/></numFmts>'
        '<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf/><xf numFmtId="14"/><xf numFmtId="200"/>'
        '<xf numFmtId="201"/></cellXfs>'
    )
    found = cells(
        raw(
            tmp_path / "a.xlsx",
            '<sheetData><row><c t="s"><v>0</v></c><c t="s"><v>1</v></c><c><v>35.0</v></c><c><v>1.5</v></c></row>'
            '<row r="4"><c r="B4" s="1"><v>42707</v></c><c s="2"><v>42707.5</v></c><c s="3"><v>42707</v></c></row>'
            '<row><c t="b"><v>1</v></c><c t="e"><v>#N/A</v></c><c><f>1+1</f></c><c><f>1+1</f><v/></c>'
            '<c t="str"><f>""</f><v></v></c><c><f>1+1</f><v>2</v></c><c t="d"><v>2016-12-03T00:00:00</v></c>'
            '<c t="inlineStr"><is><t>in_x000D_line</t></is></c><c s="1"/></row></sheetData>',
            strings=strings,
            styles=styles,
        )
    )
    formula = BadCell("", "a formula without a stored value; open the workbook in a spreadsheet program and save it")
    assert found == {
        1: {0: "Ñaña", 1: "a b", 2: 35, 3: 1.5},
        4: {1: datetime(2016, 12, 3), 2: datetime(2016, 12, 3, 12), 3: 42707},
        5: {
            0: "VERDADERO", 1: BadCell("#N/A", "an error of a spreadsheet, not a value"), 2: formula, 3: formula, 5: 2,
            6: datetime(2016, 12, 3), 7: "in\rline",
        },
    }  # fmt: skip


def test_the_same_values_as_another_reader_finds(real_data: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path = real_data / "crime" / "grupo_data_criminal.xlsx"
    book = openpyxl.load_workbook(path, data_only=True)
    theirs = {
        sheet.title: [[cell for cell in row if cell is not None] for row in sheet.iter_rows(values_only=True)]
        for sheet in book.worksheets
    }
    ours = {sheet.title: [list(row.values()) for row in sheet.rows.values()] for sheet in read_workbook(path)}
    assert ours == {title: [row for row in rows if row] for title, rows in theirs.items()}


def test_days_counted_from_1904(tmp_path: Path) -> None:
    book = made(tmp_path / "a.xlsx", [NAMES, ROW, (41245, *ROW[1:])])
    from openpyxl.utils.datetime import CALENDAR_MAC_1904

    book.epoch = CALENDAR_MAC_1904
    book.save(tmp_path / "a.xlsx")
    remarks: list[str] = []
    done = cleaned(tmp_path / "a.xlsx", remarks)
    assert [row[4] for row in done.rows] == [date(2016, 12, 3)] * 2
    assert done.remarks == ["FECHA: the number of days since 1904 was taken for a date"]


def test_merged_cells_give_their_value_to_each_row(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    gap = (None, *ROW[1:7], None, *ROW[8:])
    book = made(path, [("ROBOS",), NAMES, ROW, gap, gap, (datetime(2017, 1, 5), *ROW[1:])])
    for ref in ("A1:K1", "A3:A5", "H3:H5"):
        book["ENERO"].merge_cells(ref)
    book.save(path)
    remarks: list[str] = []
    done = cleaned(path, remarks)
    assert [row[4] for row in done.rows] == [date(2016, 12, 3)] * 3 + [date(2017, 1, 5)]
    assert {row[1] for row in done.rows} == {150110}
    assert remarks == [
        f"{path}, sheet ENERO: merged cells give their value to each of their rows (ranges: 2)",
        f"{path}, sheet ENERO: rows above the names of the columns are not used (1)",
    ]


def test_names_of_columns_that_are_merged_over_two_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    book = made(path, [NAMES, (None,), ROW])
    for letter in "ABCDEFGHIJK":
        book["ENERO"].merge_cells(f"{letter}1:{letter}2")
    book.save(path)
    done = cleaned(path)
    assert (len(done.rows), done.rejects) == (1, [])


def test_hidden_rows_and_sheets_are_read_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    book = made(path, [NAMES, ROW, ROW], FEBRERO=[NAMES, ROW], RESUMEN=[("Total", 3)])
    book["ENERO"].row_dimensions[3].hidden = True
    book["ENERO"].auto_filter.ref = "A1:K3"
    book["FEBRERO"].sheet_state = "veryHidden"
    book.save(path)
    remarks: list[str] = []
    assert len(cleaned(path, remarks).rows) == 3
    assert remarks == [
        f"{path}: sheets that are not read: RESUMEN",
        f"{path}, sheet ENERO: rows that are hidden, as by a filter, are read as well (1)",
        f"{path}, sheet FEBRERO: it is hidden, and is read as well",
    ]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("MUERTOS", "=1+1", "a formula without a stored value"),
        ("MUERTOS", True, "a truth value"),
        ("MUERTOS", "#N/A", "an error of a spreadsheet"),
        ("MUERTOS", 1.732, "not a whole number"),
        ("MUERTOS", datetime(2017, 1, 1), "not a whole number"),
        ("TIPO DE ARMA", datetime(2017, 1, 1), "a date, not a weapon"),
        ("OCUPACIÓN", "#REF!", "an error of a spreadsheet"),
        ("DISTRITO", "=A1", "a formula without a stored value"),
        ("EDAD VICTIMA", datetime(2025, 12, 1), "that Excel made from a range"),
    ],
)
def test_a_cell_without_a_value_is_never_taken_for_one(tmp_path: Path, column: str, value: Any, reason: str) -> None:
    row = tuple(value if name == column else cell for name, cell in zip(NAMES, ROW, strict=True))
    made(tmp_path / "a.xlsx", [NAMES, ROW, row])
    done = cleaned(tmp_path / "a.xlsx")
    assert len(done.rows) == 1
    assert [(one.line, one.column, reason in one.reason) for one in done.rejects] == [(3, column, True)]


def test_numbers_kept_as_text_and_ranges_kept_as_dates(tmp_path: Path) -> None:
    row = ("42707", *ROW[1:3], datetime(2026, 12, 10), "25.0", *ROW[5:8], "1", "2.0", "-")
    made(tmp_path / "a.xlsx", [NAMES, row])
    done = cleaned(tmp_path / "a.xlsx")
    assert done.rows[0][4:7] == (date(2016, 12, 3), "10-12", "25")
    assert done.rows[0][9:] == (1, 2, "No Especifica")
    assert done.remarks == [
        "FECHA: the number of days since 1900 was taken for a date",
        "EDAD VICTIMA: 2026-12-10 00:00:00, which Excel made from a range, was taken for 10-12",
    ]


def test_kinds_in_a_workbook_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "kinds.xlsx"
    rows = [("CRIMEN", "Descripción"), ("Asalto", "x"), ("ASALTO", "y"), ("Robo 1", ""), ("#N/A", ""), ("Robo 2", "")]
    book = made(path, rows, "Hoja1")
    book.remove(book["CLASIFICACIONES"])
    book.save(path)
    done = read_kinds(path)
    assert [row[1] for row in done.rows] == ["Asalto", "Robo 1", "Robo 2"]
    assert [(one.line, one.reason) for one in done.rejects] == [
        (3, "this kind occurs twice"), (5, "an error of a spreadsheet, not a value"),
    ]  # fmt: skip


def test_datacrim_in_a_workbook(tmp_path: Path) -> None:
    header = ("AÑO", "NÚMERO", "Genérica", "Específica", "Modalidad", "Departamento", "Provincia", "Distrito")
    rest = ("PATRIMONIO", "ROBO", "ASALTO", "LIMA", "LIMA")
    rows = [
        ("Denuncias",), header, (2019, 1000, *rest, "COMAS"), (2019, "1.000", *rest, "ATE"), (2019, 1.5, *rest, "ATE"),
        (2019, "#N/A", *rest, "ATE"), header, (2019, "", *rest, "ATE"),
    ]  # fmt: skip
    path, to = tmp_path / "datacrim.xlsx", tmp_path / "a.duckdb"
    made(path, rows, "Hoja1")
    done = load(LoadConfig(datacrim=str(path), to=str(to)))
    held = contents(to)
    assert [(row[0], row[3]) for row in held["Crimenes_DataCrim"]] == [(1, 1000), (2, 1000)]
    assert [(row[3], row[4], row[7]) for row in held["Rechazos"]] == [
        ("Hoja1", 5, "Numero: not a whole number from 0 on"),
        ("Hoja1", 6, "Numero: an error of a spreadsheet, not a value"),
        ("Hoja1", 7, "the names of the columns again"),
        ("Hoja1", 8, "no number of occurrences is given"),
    ]
    (count,) = done.sources
    assert (count.read, count.loaded, count.rejected) == (6, 2, 4)


def test_numbers_in_formats_of_times_and_dates_beyond_the_calendar(tmp_path: Path) -> None:
    styles = '<cellXfs><xf/><xf numFmtId="14"/><xf numFmtId="20"/><xf numFmtId="46"/></cellXfs>'
    row = '<c s="1"><v>0</v></c><c s="2"><v>0.75</v></c><c s="3"><v>2</v></c><c s="1"><v>9999999</v></c>'
    strings = "<si><t>Ate_x000D_</t></si>"
    path = raw(
        tmp_path / "a.xlsx",
        f'<sheetData><row>{row}<c t="s"><v>0</v></c><c><v>{"9" * 20}</v></c></row></sheetData>',
        strings=strings,
        styles=styles,
    )
    error = BadCell("#VALUE!", "an error of a spreadsheet, not a value")
    assert cells(path) == {1: {0: 0, 1: 0.75, 2: 2, 3: error, 4: "Ate\r", 5: 1e20}}


@pytest.mark.parametrize("name", ["a.xls", "a.xlsx"])
def test_the_old_format_and_a_password_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)
    kinds = tmp_path / "kinds.csv"
    kinds.write_text("Crimen;Descripcion\nAsalto;x\n")
    with pytest.raises(CalcoError, match=r"of the old format \.xls"):
        load(LoadConfig(robberies=str(tmp_path / name), kinds=str(kinds), to=str(tmp_path / "a.duckdb")))
    assert not (tmp_path / "a.duckdb").exists()
