"""The same rows come out of every form that a table has, and what does not come out has a line and a reason."""

import csv
import io
import unicodedata
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calco.crime.datacrim import COLUMNS as DATACRIM
from calco.crime.datacrim import Cleaner, batches
from calco.crime.gazetteer import gazetteer
from calco.crime.robberies import COLUMNS as ROBBERIES
from calco.crime.robberies import KIND_COLUMNS, CleanedRows, clean_robberies, read_kinds, robbery_rows

TODAY = date(2026, 12, 1)
KINDS = [(1, "Asalto", "Con violencia"), (2, "Hurto", "Sin ella")]
QUICK = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
Form = dict[str, Any]
PLAIN: Form = {
    "kind": "csv", "separator": ";", "encoding": "utf-8", "titles": [], "more": [], "sep": False, "again": False,
    "names": "as they are", "trailing": 0, "blanks": 0,
}  # fmt: skip

forms = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["csv", "csv", "xlsx"]),
        "separator": st.sampled_from([";", ",", "\t", "|"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1"]),
        "end": st.sampled_from(["\n", "\r\n"]),
        "names": st.sampled_from(["as they are", "capitals", "small", "spaces", "without accents", "decomposed"]),
        "order": st.randoms(use_true_random=False),
        "more": st.lists(st.sampled_from(["LINK", "TITULO", "FUENTE", "columna 1"]), unique=True, max_size=2),
        "titles": st.lists(st.sampled_from(["ROBOS EN LIMA, 2016", "", "Fuente: diarios; y radio"]), max_size=3),
        "sep": st.booleans(),
        "trailing": st.integers(0, 2),
        "quoted": st.booleans(),
        "blanks": st.integers(0, 2),
        "again": st.booleans(),
    }
)


def renamed(name: str, how: str, encoding: str) -> str:
    plain = unicodedata.normalize("NFD", name).encode("ascii", "ignore").decode()
    return {
        "capitals": name.upper(), "small": name.lower(), "spaces": f"  {name.replace(' ', '   ')} ",
        "without accents": plain,
        "decomposed": unicodedata.normalize("NFD", name) if encoding.startswith("utf") else name,
    }.get(how, name)  # fmt: skip


def write(folder: Path, names: list[str], rows: list[dict[str, str]], form: Form, title: str) -> tuple[Path, int]:
    """The rows as a table of this form; how many of its lines are no rows, though they have fields."""
    order = [*names, *form["more"]]
    form["order"].shuffle(order)
    header = [renamed(name, form["names"], form["encoding"]) for name in order]
    table = [[row.get(name, "x") for name in order] for row in rows]
    if form["again"]:
        table.insert(len(table) // 2, [" ".join(name.split()) for name in header])
    blank = [[""] * len(order)] * form["blanks"]
    lines = [*([one] for one in form["titles"]), header, *table, *blank]
    if form["kind"] == "xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        book.active.title = title
        for line in lines:
            book.active.append([cell or None for cell in line])
        book.save(folder / "table.xlsx")
        return folder / "table.xlsx", int(form["again"])
    text = io.StringIO()
    out = csv.writer(
        text, delimiter=form["separator"], lineterminator=form["end"],
        quoting=csv.QUOTE_ALL if form["quoted"] else csv.QUOTE_MINIMAL,
    )  # fmt: skip
    if form["sep"]:
        text.write(f"sep={form['separator']}{form['end']}")
    for number, line in enumerate(lines):
        out.writerow([*line, *[""] * (form["trailing"] if number > len(form["titles"]) else 0)])
    path = folder / "table.csv"
    path.write_bytes(text.getvalue().encode(form["encoding"], "replace"))
    return path, int(form["again"])


robberies = st.fixed_dictionaries(
    {
        "FECHA": st.sampled_from(["3/12/2016", "3 de enero de 2017", "42707", "", "ayer", "ene-17", "N.A."]),
        "MODALIDAD DE ROBO": st.sampled_from(["Asalto", "HURTO", "asalto ", "Piratería"]),
        "TIPO DE ARMA": st.sampled_from(["Pistola", "", "Cuchillo", "cuchillo", "a;b,c|d", 'un "x"', "dos\nlíneas"]),
        "EDAD VICTIMA": st.sampled_from(["", "25", "25.0", "35-55", "10-dic", "22-34 / 35-55", "999"]),
        "EDAD DELINCUENTE": st.sampled_from(["", "15 - 21"]),
        "GENERO VICTIMA": st.sampled_from(["Hombre", "MUJER", "(no especifica)", "Hombre / Mujer"]),
        "GENERO DELINCUENTE": st.sampled_from(["", "Hombre(2)"]),
        "DISTRITO": st.sampled_from(["Ate", "BREÑA", "San Martín de Porres", "Atlántida"]),
        "MUERTOS": st.sampled_from(["0", "", "1", "1,5", "#N/A"]),
        "HERIDOS": st.sampled_from(["0", "2.0", "1.000"]),
        "OCUPACIÓN": st.sampled_from(["Policía", "policia", "", "s/d"]),
    }
)  # fmt: skip
crimes = st.fixed_dictionaries(
    {
        "Año": st.sampled_from(["2019", "2015", "2.019", "2107", "x"]),
        "Numero": st.sampled_from(["7", "1.000", "1,732", "12,5", "", "-3"]),
        "Generica": st.sampled_from(["CONTRA EL PATRIMONIO", "0401 - Contra el patrimonio"]),
        "Especifica": st.sampled_from(["ROBO", "ROBO*", "N.A."]),
        "Modalidad": st.sampled_from(["ROBO AGRAVADO", "HURTO, SIMPLE"]),
        "Departamento": st.just("LIMA"),
        "Provincia": st.sampled_from(["LIMA", "CAÑETE"]),
        "Distrito": st.sampled_from(["SAN LUIS", "BREÑA"]),
    }
)


def robbed(path: Path) -> CleanedRows:
    return clean_robberies(list(robbery_rows(path)), KINDS, gazetteer(), path, today=TODAY)


@QUICK
@given(st.lists(robberies, min_size=1, max_size=6), forms)
def test_robberies(tmp_path: Path, rows: list[dict[str, str]], form: Form) -> None:
    expected = robbed(write(tmp_path, list(ROBBERIES), rows, {**form, **PLAIN}, "ENERO")[0])
    path, more = write(tmp_path, list(ROBBERIES), rows, form, "ENERO")
    found = robbed(path)
    assert expected.read == len(rows) == len(expected.rows) + len(expected.rejects)
    assert found.read == len(rows) + more == len(found.rows) + len(found.rejects)
    assert [row[1:] for row in found.rows] == [row[1:] for row in expected.rows]
    reasons = Counter((one.column, one.value, one.reason) for one in expected.rejects)
    ours = Counter((one.column, one.value, one.reason) for one in found.rejects)
    assert ours - reasons == ({("", "", "the names of the columns again"): 1} if more else {})
    assert reasons - ours == {}
    assert all(one.line > 1 and one.record for one in found.rejects)


def counted(path: Path) -> tuple[list[tuple[int, ...]], Counter[tuple[str, str, str]], int]:
    cleaner, rows, read = Cleaner(gazetteer(), path, TODAY), list[tuple[int, ...]](), 0
    rejects = Counter[tuple[str, str, str]]()
    for batch in batches(path):
        table, faults = cleaner.clean(batch)
        rows += list(zip(*(column.to_pylist() for column in table.columns[1:]), strict=True))
        rejects.update((one.column, one.value, one.reason) for one in faults)
        read += len(batch.lines) + len(batch.broken)
    return rows, rejects, read


@QUICK
@given(st.lists(crimes, min_size=1, max_size=6), forms)
def test_datacrim(tmp_path: Path, rows: list[dict[str, str]], form: Form) -> None:
    expected, reasons, read = counted(write(tmp_path, list(DATACRIM), rows, {**form, **PLAIN}, "Hoja1")[0])
    path, more = write(tmp_path, list(DATACRIM), rows, form, "Hoja1")
    found, ours, ours_read = counted(path)
    assert (read, ours_read) == (len(rows), len(rows) + more)
    assert ours_read == len(found) + ours.total()
    assert found == expected
    assert (ours - reasons).total() == more
    assert reasons - ours == {}


@QUICK
@given(st.lists(st.sampled_from(["Asalto", "HURTO", "Extorsión", "asalto", "", "a;b"]), min_size=1, max_size=5), forms)
def test_kinds(tmp_path: Path, names: list[str], form: Form) -> None:
    rows = [{"Crimen": "Sicariato", "Descripcion": 'Por "encargo"; o no'}]
    rows += [{"Crimen": name, "Descripcion": "x"} for name in names]
    path, more = write(tmp_path, list(KIND_COLUMNS), rows, form, "Hoja1")
    done = read_kinds(path)
    assert done.read == len(rows) + more == len(done.rows) + len(done.rejects)
    distinct = list(dict.fromkeys(name.casefold() for name in names if name))
    assert [row[1].casefold() for row in done.rows] == ["sicariato", *distinct]
    assert done.rows[0][2] == 'Por "encargo"; o no'
