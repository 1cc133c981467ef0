"""Workbooks: what none of them may do to this machine, and what openpyxl alone would drop without a word."""

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from calco import CalcoError
from calco.crime import workbook
from calco.crime.workbook import read_workbook
from crime.workbooks import NAMES, ROW, SPREADSHEET, cells, cleaned, made, raw

ENTITIES = (
    '<!DOCTYPE w [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    "<worksheet><sheetData><row><c><v>&b;</v></c></row></sheetData></worksheet>"
)
LONG = f'<sheetData><row><c t="str"><v>{"x" * 1_100_000}</v></c></row></sheetData>'


@pytest.mark.parametrize(
    ("sheet", "told"),
    [
        ('<sheetData><row r="2000000000"><c><v>1</v></c></row></sheetData>', "has a row 2,000,000,000; Excel"),
        ('<sheetData><row r="-1"><c><v>1</v></c></row></sheetData>', "has a row -1; Excel has"),
        (
            '<sheetData><row r="1"><c r="ZZZ1"><v>1</v></c></row></sheetData>',
            "has a cell 'ZZZ1'; Excel's columns",
        ),
        ('<sheetData><row r="1"><c r="AAAAAAAA1"><v>1</v></c></row></sheetData>', "has a cell 'AAAAAAAA1'; Excel"),
        ('<sheetData><row r="1048576"/><row/></sheetData>', "has a row 1,048,577; Excel has"),
        ("<a>" * 200 + "</a>" * 200, "or to deeper XML"),
        (ENTITIES, "declares a document type"),
        ('<!DOCTYPE w SYSTEM "file:///etc/passwd"><worksheet/>', "declares a document type"),
        (LONG, "more than 1,048,576 characters"),
        ('<sheetData><row><c t="s"><v>7</v></c></row></sheetData>', "is a damaged workbook"),
        ('<sheetData><row r="x"/></sheetData>', "is a damaged workbook"),
        ("<sheetData><row>", "is a damaged workbook"),
    ],
)
def test_a_workbook_beyond_all_bounds_is_refused(tmp_path: Path, sheet: str, told: str) -> None:
    path = raw(tmp_path / "a.xlsx", sheet)
    with pytest.raises(CalcoError) as error:
        read_workbook(path)
    assert told in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_what_unpacks_without_end_is_refused_before_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MOST_UNPACKED", 4 << 20)
    sheet = raw(tmp_path / "a.xlsx", "<sheetData>" + " " * (5 << 20) + "</sheetData>")
    strings = raw(tmp_path / "b.xlsx", "<sheetData/>", strings="<si><t>ha</t></si>" * 300_000)
    for path in (sheet, strings):
        assert path.stat().st_size < 200_000
        with pytest.raises(CalcoError, match="unpacks to more, or to deeper XML, than a table holds"):
            read_workbook(path)


def test_little_that_unpacks_to_much_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook.Part, "_start_row", lambda *_: pytest.fail("it was unpacked"))
    path = raw(tmp_path / "a.xlsx", "<sheetData>" + '<row r="1"/>' * 1_500_000 + "</sheetData>")
    assert path.stat().st_size < 100_000
    with pytest.raises(CalcoError, match="unpacks to more"):
        read_workbook(path)


def test_cells_and_merged_cells_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MOST_CELLS", 1000)
    many = raw(tmp_path / "a.xlsx", "<sheetData>" + "<row><c><v>1</v></c></row>" * 1001 + "</sheetData>")
    one = '<sheetData><row><c><v>1</v></c></row></sheetData><mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>'
    for path in (many, raw(tmp_path / "b.xlsx", one)):
        with pytest.raises(CalcoError, match="has more than 1,000 cells; save its sheets as CSV"):
            read_workbook(path)


def test_a_wide_dimension_and_links_outside_cost_nothing(tmp_path: Path) -> None:
    path = raw(
        tmp_path / "a.xlsx",
        '<dimension ref="A1:XFD1048576"/><sheetData><row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>',
    )
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xl/externalLinks/externalLink1.xml", "<externalLink/>")
    assert cells(path) == {1_048_576: {16_383: 1}}


SHARED = '<sheetData><row r="1"><c r="A1" t="s"><v>0</v></c></row></sheetData>'


@pytest.mark.parametrize(
    ("sheet", "more", "told"),
    [
        ('<sheetData><row r="5"/><row r="3"><c><v>1</v></c></row></sheetData>', {}, "row 3 twice, or behind a later"),
        ('<sheetData><row r="2"/><row r="2"><c><v>1</v></c></row></sheetData>', {}, "row 2 twice, or behind a later"),
        ('<sheetData><row><c r="B1"/><c r="A1"><v>1</v></c></row></sheetData>', {}, "cell 'A1' in row 1 twice, or out"),
        ('<sheetData><row r="1"><c r="A9"><v>1</v></c></row></sheetData>', {}, "cell 'A9' in row 1 twice, or out of"),
        ("<sheetData><row><row/></row></sheetData>", {}, "row 2 twice, or behind"),
        (SHARED, {"strings": "<?xml version='1.0'?>" + ENTITIES.replace("worksheet", "sst")}, "declares a document"),
        (SHARED, {"strings": f"<si><t>{'x' * 1_100_000}</t></si>"}, "more than 1,048,576 characters"),
        (SHARED, {"strings": "<si>"}, "is a damaged workbook"),
        (SHARED, {"styles": "<fills><fill/></fills>"}, "is a damaged workbook"),
        ('<sheetData><row><c><v>nan</v></c></row></sheetData>', {}, "is a damaged workbook"),
    ],
)  # fmt: skip
def test_what_openpyxl_would_drop_or_hold_is_refused(
    tmp_path: Path, sheet: str, more: dict[str, Any], told: str
) -> None:
    with pytest.raises(CalcoError) as error:
        read_workbook(raw(tmp_path / "a.xlsx", sheet, **more))
    assert told in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_parts_that_hold_no_table_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pivot's cache may be larger than the bounds; charts, properties and other workbooks may be damaged."""
    from openpyxl.chart import BarChart, Reference

    book = made(tmp_path / "a.xlsx", [NAMES, ROW])
    chart = BarChart()
    chart.add_data(Reference(book["ENERO"], min_col=4, min_row=1, max_row=2))
    book.create_chartsheet("Gráfico").add_chart(chart)
    book.save(tmp_path / "a.xlsx")
    damaged = {"docProps/core.xml", "xl/charts/chart1.xml", "xl/chartsheets/sheet1.xml", "xl/theme/theme1.xml"}
    with zipfile.ZipFile(tmp_path / "a.xlsx") as old, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as new:
        assert damaged < set(old.namelist())
        for name in old.namelist():
            new.writestr(name, "<!DOCTYPE x>" if name in damaged else old.read(name))
        new.writestr("xl/pivotCache/pivotCacheRecords1.xml", "<r>" + "<x/>" * 200_000 + "</r>")
    monkeypatch.setattr(workbook, "MOST_UNPACKED", 1 << 18)
    assert len(cleaned(tmp_path / "b.xlsx").rows) == 1


def changed(path: Path, to: Path, old: str, new: str) -> Path:
    """A workbook in whose parts, and their names, a text is replaced."""
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(to, "w") as after:
        for name in before.namelist():
            after.writestr(name.replace(old, new), before.read(name).replace(old.encode(), new.encode()))
    return to


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (SPREADSHEET, "http://purl.oclc.org/ooxml/spreadsheetml/main", "is a Strict Open XML workbook; save it as"),
        ("../xl/one.xml", "../xl/two.xml", "its sheet 'ENERO' is missing"),
        ('r:id="s"', "", "its sheet 'ENERO' is missing"),
        ("sheet.main+xml", "text+xml", "is a damaged workbook (File contains no valid workbook part)"),
    ],
)
def test_values_that_openpyxl_would_not_find_are_not_passed_over(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = raw(tmp_path / "a.xlsx", "<sheetData><row><c><v>1</v></c></row></sheetData>", styles="<numFmts/>")
    with pytest.raises(CalcoError, match=re.escape(told)):
        read_workbook(changed(path, tmp_path / "b.xlsx", old, new))


def test_a_method_of_packing_that_unpacks_in_one_piece_is_refused(tmp_path: Path) -> None:
    path = raw(tmp_path / "a.xlsx", "<sheetData/>")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "b.xlsx", "w", zipfile.ZIP_LZMA) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(CalcoError, match="is packed in a way that workbooks are not"):
        read_workbook(tmp_path / "b.xlsx")
