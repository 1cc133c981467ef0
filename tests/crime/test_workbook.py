"""Workbooks: what their cells mean, what lies around them, and what none of them may do to this machine."""

import re
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from calco import CalcoError
from calco.crime import guard, workbook
from calco.crime.clean import BadCell
from calco.crime.gazetteer import gazetteer
from calco.crime.load import LoadConfig, load
from calco.crime.robberies import Cleaned, clean_robberies, read_kinds, robbery_rows
from calco.crime.workbook import read_workbook
from crime.loading import contents

NAMES = (
    "FECHA", "MODALIDAD DE ROBO", "TIPO DE ARMA", "EDAD VICTIMA", "EDAD DELINCUENTE", "GENERO VICTIMA",
    "GENERO DELINCUENTE", "DISTRITO", "MUERTOS", "HERIDOS", "OCUPACIÓN",
)  # fmt: skip
ROW = (datetime(2016, 12, 3), "Asalto", "Pistola", 35, 20, "Hombre", "Mujer", "Comas", 0, 1, "Chofer")
KINDS = [("DELITOS", "Asalto", "Con violencia"), (None, "Hurto", "Sin ella")]
SPREADSHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
CONTENT = "http://schemas.openxmlformats.org/package/2006/content-types"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def made(path: Path, rows: list[tuple[Any, ...]], title: str = "ENERO", **sheets: list[tuple[Any, ...]]) -> Any:
    """A workbook in memory, with a sheet of robberies and one of kinds."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, content in {title: rows, "CLASIFICACIONES": KINDS, **sheets}.items():
        sheet = book.create_sheet(name)
        for row in content:
            sheet.append(row)
    book.save(path)
    return book


def cleaned(path: Path, remarks: list[str] | None = None) -> Cleaned:
    rows = list(robbery_rows(path, remarks=remarks))
    return clean_robberies(rows, read_kinds(path).rows, gazetteer(), path, today=date(2026, 12, 1))


def raw(path: Path, sheet: str, *, strings: str = "", styles: str = "", titles: tuple[str, ...] = ("ENERO",)) -> Path:
    """A workbook of one part with these elements, which each of its sheets names; likewise shared texts and styles."""
    main = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    beside = {
        name: content if content.startswith("<?") else f'<{root} xmlns="{SPREADSHEET}">{content}</{root}>'
        for name, root, content in (("sharedStrings", "sst", strings), ("styles", "styleSheet", styles))
        if content
    }
    kinds = {"workbook": f"{main}.sheet.main+xml", **{name: f"{main}.{name}+xml" for name in beside}}
    types = "".join(f'<Override PartName="/xl/{name}.xml" ContentType="{kind}"/>' for name, kind in kinds.items())
    links = f'<Relationship Id="s" Type="{OFFICE}/worksheet" Target="../xl/one.xml"/>'
    sheets = "".join(f'<sheet name="{title}" sheetId="{at}" r:id="s"/>' for at, title in enumerate(titles, 1))
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{CONTENT}">{types}</Types>',
        "xl/workbook.xml": f'<workbook xmlns="{SPREADSHEET}" xmlns:r="{OFFICE}"><sheets>{sheets}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}">{links}</Relationships>',
        "xl/one.xml": sheet if sheet.startswith("<!") else f'<worksheet xmlns="{SPREADSHEET}">{sheet}</worksheet>',
        **{f"xl/{name}.xml": content for name, content in beside.items()},
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def cells(path: Path) -> dict[int, dict[int, Any]]:
    (sheet,) = read_workbook(path)
    return sheet.rows


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
        ("EDAD VICTIMA", datetime(2025, 12, 1), "which Excel made of a range"),
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
        "EDAD VICTIMA: 2026-12-10 00:00:00, which Excel made of a range, was taken for 10-12",
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
        (3, "this kind stands there twice"), (5, "an error of a spreadsheet, not a value"),
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
        ("Hoja1", 8, "no number of occurrences is told"),
    ]
    (count,) = done.sources
    assert (count.read, count.loaded, count.rejected) == (6, 2, 4)


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
        ('<sheetData><row r="1"><c r="ZZZ1"><v>1</v></c></row></sheetData>', "has a column 18,278; Excel has"),
        ('<sheetData><row r="1"><c r="AAAAAAAA1"><v>1</v></c></row></sheetData>', "has a cell 'AAAAAAAA1'; Excel"),
        ('<sheetData><row r="1048576"/><row/></sheetData>', "has a row 1,048,577; Excel has"),
        ("<a>" * 200 + "</a>" * 200, "or to deeper XML"),
        (ENTITIES, "declares a document type"),
        ('<!DOCTYPE w SYSTEM "file:///etc/passwd"><worksheet/>', "declares a document type"),
        (LONG, "more than 1,048,576 characters"),
        ('<sheetData><row><c t="s"><v>7</v></c></row></sheetData>', "is no whole workbook"),
        ('<sheetData><row r="x"/></sheetData>', "is no whole workbook"),
        ("<sheetData><row>", "is no whole workbook"),
    ],
)
def test_a_workbook_beyond_all_bounds_is_refused(tmp_path: Path, sheet: str, told: str) -> None:
    path = raw(tmp_path / "a.xlsx", sheet)
    with pytest.raises(CalcoError) as error:
        read_workbook(path)
    assert told in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_what_unpacks_without_end_is_refused_before_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_UNPACKED", 4 << 20)
    sheet = raw(tmp_path / "a.xlsx", "<sheetData>" + " " * (5 << 20) + "</sheetData>")
    strings = raw(tmp_path / "b.xlsx", "<sheetData/>", strings="<si><t>ha</t></si>" * 300_000)
    for path in (sheet, strings):
        assert path.stat().st_size < 200_000
        with pytest.raises(CalcoError, match="unpacks to more, or to deeper XML, than a table holds"):
            read_workbook(path)


def test_little_that_unpacks_to_much_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard.Part, "_start_row", lambda *_: pytest.fail("it was unpacked"))
    path = raw(tmp_path / "a.xlsx", "<sheetData>" + '<row r="1"/>' * 1_500_000 + "</sheetData>")
    assert path.stat().st_size < 100_000
    with pytest.raises(CalcoError, match="unpacks to more"):
        read_workbook(path)


def test_cells_and_merged_cells_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_CELLS", 1000)
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
        ("<sheetData><row " + " ".join(f'a{at}="1"' for at in range(99)) + "/></sheetData>", {}, "unpacks to"),
        (SHARED, {"strings": "<?xml version='1.0'?>" + ENTITIES.replace("worksheet", "sst")}, "declares a document"),
        (SHARED, {"strings": f"<si><t>{'x' * 1_100_000}</t></si>"}, "more than 1,048,576 characters"),
        (SHARED, {"titles": ("ENERO", "FEBRERO", "MARZO")}, "has two sheets, or other parts, in one place"),
        (SHARED, {"strings": "<si>"}, "is no whole workbook"),
        (SHARED, {"styles": "<fills><fill/></fills>"}, "is no whole workbook"),
        ('<sheetData><row><c><v>nan</v></c></row></sheetData>', {}, "is no whole workbook"),
    ],
)  # fmt: skip
def test_what_openpyxl_would_drop_or_hold_is_refused(
    tmp_path: Path, sheet: str, more: dict[str, Any], told: str
) -> None:
    with pytest.raises(CalcoError) as error:
        read_workbook(raw(tmp_path / "a.xlsx", sheet, **more))
    assert told in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_what_is_held_at_once_is_bounded_and_rows_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_HELD", 100)
    rows = "<sheetData>" + "<row><c><v>1</v></c></row>" * 200 + "</sheetData>"
    path = raw(tmp_path / "a.xlsx", rows, strings="<si><t>a</t></si>" * 200)
    assert len(cells(path)) == 200
    for sheet, styles in (("<mergeCells>" + '<mergeCell ref="A1:A2"/>' * 101 + "</mergeCells>", ""),
                          ("<sheetData/>", "<fonts>" + "<font/>" * 101 + "</fonts>")):  # fmt: skip
        with pytest.raises(CalcoError, match="unpacks to more"):
            read_workbook(raw(tmp_path / "b.xlsx", sheet, styles=styles))


def test_texts_that_many_cells_share_are_counted_in_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MOST_TEXT", 10_000)
    one = '<c t="s"><v>0</v></c>'
    path = raw(
        tmp_path / "a.xlsx", f"<sheetData><row>{one * 101}</row></sheetData>", strings=f"<si><t>{'x' * 100}</t></si>"
    )
    with pytest.raises(CalcoError, match="unpacks to more"):
        read_workbook(path)


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
    monkeypatch.setattr(guard, "MOST_UNPACKED", 1 << 18)
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
        ("styles.xml", "formats.xml", "has the formats of its cells in /xl/formats.xml, where they are not read"),
        ("../xl/one.xml", "../xl/two.xml", "its sheet 'ENERO' is missing"),
        ('r:id="s"', "", "its sheet 'ENERO' is missing"),
        ("sheet.main+xml", "text+xml", "is no whole workbook (File contains no valid workbook part)"),
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
