"""CSV as people have it: any encoding, any separator, quotes that nobody closed."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calco import CalcoError
from calco.crime.reading import Columns, Row, csv_rows, guess_encoding, split_record

NAMES = Columns(names={"Año": ("Anio",), "Distrito": ()})


def rows_of(folder: Path, text: str | bytes, **options: str) -> list[Row]:
    path = folder / "some.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(csv_rows(path, NAMES, **options))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1", "cp850", "mac_roman"])
def test_any_encoding_separator_and_end_of_line(tmp_path: Path, encoding: str) -> None:
    for separator, end in product([",", ";", "\t", "|"], ["\n", "\r\n", "\r"]):
        text = end.join(
            separator.join(row) for row in (("AÑO", "otra", "Distrito"), ("2017", "x", "Ancón"), ("2018", "", "Breña"))
        )
        rows = rows_of(tmp_path, text.encode(encoding))
        assert [(row.line, dict(row.cells)) for row in rows] == [
            (2, {"Año": "2017", "Distrito": "Ancón"}),
            (3, {"Año": "2018", "Distrito": "Breña"}),
        ], (separator, end)


def test_quotes_hold_separators_ends_of_lines_and_quotes(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 'Año;Distrito\n2017;"El ""Agustino""; sí"\n\n2018;"dos\nlíneas"\n2019;Ate\n')
    assert [(row.line, row.cells["Distrito"]) for row in rows] == [
        (2, 'El "Agustino"; sí'),
        (4, "dos\nlíneas"),
        (6, "Ate"),
    ]


@pytest.mark.parametrize("after", ['2018;"Lurín"', '2018;"dos\nlíneas"', "2018;Lurín", '2018;"""Lurín"""'])
def test_a_quote_that_nobody_closes_costs_its_own_line_and_no_other(tmp_path: Path, after: str) -> None:
    rows = rows_of(tmp_path, f'Año;Distrito\n2016;Ancón\n2017;"Ate\n{after}\n2019;Comas\n')
    assert [(row.line, row.problem) for row in rows if row.problem] == [(3, "a quote is opened and not closed")]
    assert [row.cells["Año"] for row in rows if not row.problem] == ["2016", "2018", "2019"]


def test_rows_with_too_few_or_too_many_fields_are_told(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "Año;Distrito\n2017\n2018;Ate;más\n2019;Ate\n")
    assert [row.problem for row in rows] == [
        "1 fields, where the header has 2",
        "3 fields, where the header has 2",
        "",
    ]


def test_bytes_that_are_not_the_encoding_cost_their_row(tmp_path: Path) -> None:
    text = "Año;Distrito\n2017;Ancón\n2018;BreXa\n2019;Lurín\n".encode().replace(b"X", b"\xf1")
    rows = rows_of(tmp_path, text)
    assert [row.problem for row in rows] == ["", "bytes that are not utf-8", ""]
    with pytest.raises(CalcoError, match="--encoding 'utf-99': there is no such encoding"):
        rows_of(tmp_path, text, encoding="utf-99")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("Año;Barrio\n2017;Ate\n", "has no column 'Distrito'; it has Año, Barrio: rename it, or give --columns"),
        ("Año;Distrito;Distrito\n2017;Ate;Ate\n", "has the column 'Distrito' twice"),
    ],
)
def test_a_header_that_does_not_serve_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(CalcoError) as error:
        rows_of(tmp_path, text)
    assert told in str(error.value)


def test_what_stands_above_the_names_of_the_columns_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    text = 'ROBOS EN LIMA;;\n"Fuente: ""diarios"";\n\nAÑO;"otra\ncosa";  distrito \n2017;x;Ancón\n'
    path.write_text(text)
    remarks: list[str] = []
    (row,) = csv_rows(path, NAMES, remarks=remarks)
    assert (row.line, dict(row.cells)) == (6, {"Año": "2017", "Distrito": "Ancón"})
    assert row.raw == {"AÑO": "2017", "otra cosa": "x", "distrito": "Ancón"}
    assert remarks == [f"{path}: lines above the names of the columns are not used (3)"]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "sep=;;;;", "\ufeffsep=;"])
def test_the_line_by_which_excel_names_the_separator(tmp_path: Path, first: str) -> None:
    """Otherwise the comma, of which there are more, would be taken."""
    path = tmp_path / "some.csv"
    path.write_text(f"{first}\nAño;Distrito;a,b,c,d\n2017;Ancón;1,2,3,4\n")
    remarks: list[str] = []
    (row,) = csv_rows(path, NAMES, remarks=remarks)
    assert (row.line, dict(row.cells), remarks) == (3, {"Año": "2017", "Distrito": "Ancón"}, [])


@pytest.mark.parametrize(
    "text",
    [
        "Año;Distrito\n2017;Ate;\n2018;Lima;;;\n",
        "Año;Distrito;;\n2017;Ate\n2018;Lima;;\n",
        'Año;Distrito\n2017;"Ate";\n2018;"Lima"\n',
    ],
)
def test_separators_behind_the_last_column_do_no_harm(tmp_path: Path, text: str) -> None:
    assert [row.cells["Distrito"] for row in rows_of(tmp_path, text)] == ["Ate", "Lima"]


def test_empty_records_and_repeated_names_are_no_rows(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 'Año;Distrito\n2017;Ate\n;\n  ;"" \n\nAño;Distrito\n2018;Lima\n;;;\n')
    assert [(row.line, row.problem) for row in rows] == [(2, ""), (6, "the names of the columns again"), (7, "")]


def test_a_record_with_too_many_fields_is_kept_whole(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "Año;Distrito\n2018;Ate;más\n")
    assert row.raw == {"Año": "2018", "Distrito": "Ate", "column 3": "más"}


def test_the_name_itself_is_meant_before_another_and_before_one_with_a_number(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "Anio;Distrito 2;Año;Distrito\n1;2;3;4\n")
    assert row.cells == {"Año": "3", "Distrito": "4"}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_of_several_bytes_without_a_mark(tmp_path: Path, encoding: str) -> None:
    (row,) = rows_of(tmp_path, "Año;Distrito\n2017;Ancón\n".encode(encoding))
    assert row.cells["Distrito"] == "Ancón"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PK\x03\x04...", "is a workbook or a ZIP archive; the name of a workbook must end in .xlsx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1...", "is a workbook of the old format .xls; save it as .xlsx or as CSV"),
        (b"PAR1...", "is a Parquet file; its name must end in .parquet"),
        (b"\x1f\x8b...", "is compressed; unpack it"),
        (b"Anio;Distrito\n2017;" + b"x" * 2_000_000, "line 2: more than 1,048,576 characters without an end of line"),
        (b"x" * 2_000_000, "line 1: more than 1,048,576 characters without an end of line"),
    ],
)
def test_a_file_that_is_no_csv_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(CalcoError) as error:
        rows_of(tmp_path, content)
    assert told in str(error.value)


def test_half_a_million_columns_are_none(tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="has no column 'Año'"):
        rows_of(tmp_path, "Año;Distrito;" + "a;" * 500_000 + "\n2017;Ate\n")


def test_a_record_of_many_long_lines_is_not_put_together(tmp_path: Path) -> None:
    line = '2017;"' + "x" * 900_000 + "\n"
    rows = rows_of(tmp_path, "Año;Distrito\n" + line * 3 + '2018;Ate\n"2019";"a"\n')
    assert [(row.line, row.problem) for row in rows] == [
        *((number, "a quote is opened and not closed") for number in (2, 3, 4)), (5, ""), (6, ""),
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["hex", "rot13", "undefined", "utf-99", "zip"])
def test_a_codec_that_is_no_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(CalcoError, match="there is no such encoding"):
        rows_of(tmp_path, "Año;Distrito\n", encoding=encoding)


def test_a_renamed_column_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("anio,Barrio\n2017,Ate\n")
    columns = Columns(names=NAMES.names, renamed={"barrio": "Distrito"})
    (row,) = csv_rows(tmp_path / "some.csv", columns)
    assert row.cells == {"Año": "2017", "Distrito": "Ate"}


def test_a_damaged_byte_does_not_make_another_encoding_of_utf8() -> None:
    assert guess_encoding("OCUPACIÓN;Chofer ".encode() + b"\xf1") == "utf-8"
    assert guess_encoding("Ocupación;Año;Ñaña".encode("cp1252") + "ó".encode()) == "cp1252"


def test_a_sample_that_ends_within_a_character_is_utf8() -> None:
    assert guess_encoding("Ancón".encode()[:-2]) == "utf-8"


@given(st.lists(st.text('a"; ñ,', max_size=8), min_size=1, max_size=6))
def test_what_is_quoted_comes_back(fields: list[str]) -> None:
    record = ";".join('"' + value.replace('"', '""') + '"' for value in fields)
    assert split_record(record, ";") == fields
    assert split_record(record, ";", strict=True) == fields
