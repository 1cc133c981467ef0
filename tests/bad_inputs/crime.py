"""The statistics of crime: servers that refuse or die, workbooks, tables and the rows in them."""

import csv
import io
import threading
import time
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from bad_inputs.making import Bad, Impossible
from crime.servers import MariaDB, shared

LOAD = "crime load --to crime.duckdb --robberies "
ROBBERIES = LOAD + "robberies.csv --kinds kinds.csv"
WORKBOOK = LOAD + "crimes.xlsx"
DATACRIM = "crime load --to crime.duckdb --datacrim datacrim.csv"
SERVER = "crime load --datacrim datacrim.csv --to @url"
NAMES = (
    "FECHA", "MODALIDAD DE ROBO", "TIPO DE ARMA", "EDAD VICTIMA", "EDAD DELINCUENTE", "GENERO VICTIMA",
    "GENERO DELINCUENTE", "DISTRITO", "MUERTOS", "HERIDOS", "OCUPACIÓN",
)  # fmt: skip
GOOD = ("3/12/2016", "Asalto", "Pistola", "", "", "Hombre", "", "Ate", "0", "1", "Chofer")
HEADER = "Año,Numero,Generica,Especifica,Modalidad,Departamento,Provincia,Distrito\n"
ROW = "2019,7,CONTRA EL PATRIMONIO,ROBO,ROBO AGRAVADO,LIMA,LIMA,{}\n"


def robberies(
    line: str = "", names: tuple[str, ...] = NAMES, encoding: str = "utf-8", **cells: str
) -> Callable[[Path], None]:
    """A good robbery, one with other cells, or a line as it stands, and a good one."""

    def make(folder: Path) -> None:
        (folder / "kinds.csv").write_text("Crimen;Descripcion\nAsalto;Con violencia\n", encoding="utf-8")
        text = io.StringIO()
        out = csv.writer(text, delimiter=";", lineterminator="\n")
        out.writerow(names)
        out.writerow(GOOD)
        if line:
            text.write(line)
        else:
            out.writerow([cells.get(name, cell) for name, cell in zip(names, GOOD, strict=True)])
        out.writerow(GOOD)
        (folder / "robberies.csv").write_bytes(text.getvalue().encode(encoding, "surrogateescape"))

    return make


def robberies_alone(line: str) -> Callable[[Path], None]:
    """One robbery, as it stands."""

    def make(folder: Path) -> None:
        robberies()(folder)
        (folder / "robberies.csv").write_text(";".join(NAMES) + "\n" + line, encoding="utf-8")

    return make


def titled(folder: Path) -> None:
    robberies()(folder)
    path = folder / "robberies.csv"
    path.write_text("ROBOS EN LIMA;;\n" + path.read_text(encoding="utf-8"), encoding="utf-8")


def datacrim(*rows: str) -> Callable[[Path], None]:
    """A good row of DataCrim, and others."""
    return lambda folder: (folder / "datacrim.csv").write_text(HEADER + ROW.format("ATE") + "".join(rows)) and None


def workbook(*sheets: str) -> Callable[[Path], None]:
    """A workbook with these sheets."""

    def make(folder: Path) -> None:
        try:
            import openpyxl
        except ImportError as error:
            raise Impossible("openpyxl is missing") from error
        book = openpyxl.Workbook()
        book.remove(book.worksheets[0])
        for title in sheets:
            sheet = book.create_sheet(title)
            if title == "CLASIFICACIONES":
                sheet.append(["DELITOS", "Asalto", "Con violencia"])
                continue
            sheet.append(NAMES)
            sheet.append(GOOD)
        book.save(folder / "crimes.xlsx")

    return make


def renumbered(old: int, new: int) -> Callable[[Path], None]:
    """A small workbook, of whose sheet of robberies a row has another number."""

    def make(folder: Path) -> None:
        changed_workbook(lambda _: None)(folder)
        path = folder / "crimes.xlsx"
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        name = "xl/worksheets/sheet1.xml"
        parts[name] = parts[name].replace(b'<row r="%d"' % old, b'<row r="%d"' % new)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for part, content in parts.items():
                archive.writestr(part, content)

    return make


def old_workbook(folder: Path) -> None:
    (folder / "crimes.xlsx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504))


def changed_workbook(change: Callable[[Any], None]) -> Callable[[Path], None]:
    """A workbook of which something in the sheet of robberies is changed."""

    def make(folder: Path) -> None:
        workbook("ENERO", "CLASIFICACIONES")(folder)
        import openpyxl

        book = openpyxl.load_workbook(folder / "crimes.xlsx")
        sheet = book["ENERO"]
        for _ in range(2):
            sheet.append(GOOD)
        change(sheet)
        book.save(folder / "crimes.xlsx")

    return make


def put(cell: str, value: object) -> Callable[[Any], None]:
    """Changes a cell."""

    def change(sheet: Any) -> None:
        sheet[cell] = value

    return change


def endless_line(folder: Path) -> None:
    (folder / "datacrim.csv").write_bytes(b"x" * 2_000_000)


def foreign_database(folder: Path) -> None:
    """A database of somebody else, with a view that reads a file of this machine."""
    import duckdb

    from calco.crime.load import LoadConfig, load

    datacrim()(folder)
    load(LoadConfig(datacrim=str(folder / "datacrim.csv"), to=str(folder / "crime.duckdb")))
    (folder / "secret.txt").write_text("secret")
    with duckdb.connect(str(folder / "crime.duckdb")) as held:
        held.execute('DROP TABLE "Robos_Lima"; DROP TABLE "Tipo_Robo"')
        held.execute(f"""CREATE VIEW "Robos_Lima" AS SELECT 1 AS id, 150101 AS "Id_Distrito", 1 AS "Id_Tipo_Robo",
            content AS "Tipo_Arma", NULL AS "Fecha", '' AS "Edad_Victima", '' AS "Edad_Delincuente",
            '' AS "Genero_Victima", '' AS "Genero_Delincuente", 0 AS "Nro_Muertos", 0 AS "Nro_Heridos",
            '' AS "Ocupacion" FROM read_text('{folder}/secret.txt')""")
        held.execute("""CREATE VIEW "Tipo_Robo" AS SELECT 1 AS id, '' AS "Tipo", '' AS "Descripcion" """)


def cut_workbook(folder: Path) -> None:
    workbook("ENERO", "CLASIFICACIONES")(folder)
    path = folder / "crimes.xlsx"
    path.write_bytes(path.read_bytes()[:2000])


def no_database(folder: Path) -> None:
    datacrim()(folder)
    (folder / "crime.duckdb").write_text("no database\n" * 9999)


def server() -> MariaDB:
    return shared(MariaDB)


def asking(**url: str) -> Callable[[Path], None]:
    """What is to be loaded, and the address of the server."""

    def make(folder: Path) -> None:
        datacrim()(folder)
        (folder / "url").write_text(server().url(**url))

    return make


def down(folder: Path) -> None:
    asking()(folder)
    path = folder / "url"
    path.write_text(path.read_text().replace(str(server().port), "1"))


def dying(folder: Path) -> None:
    """Many rows, and a server that is killed when it has taken some of them."""
    from calco.crime.generate import GenerateConfig, generate

    asking()(folder)
    (folder / "datacrim.csv").unlink()
    generate(GenerateConfig(out=str(folder / "datacrim.csv"), rows=400_000))
    held, begun = server(), server().taken()

    def kill() -> None:
        until = time.monotonic() + 60
        while held.taken() < begun + 50_000 and time.monotonic() < until:
            time.sleep(0.02)
        held.kill()
        held.start()

    threading.Thread(target=kill).start()


CASES = (
    Bad("a wrong password", asking(password="wrong"), SERVER, 2, ("Access denied", "check user and password")),
    Bad("a database server that is down", down, SERVER, 2, ("start the server",)),
    Bad("a database that the server does not have", asking(database="nothing"), SERVER, 2, ("CREATE DATABASE",)),
    Bad("a database server that is killed in mid-load", dying, SERVER, 2, ("nothing of this load was kept",)),
    Bad("a file that is no database", no_database, DATACRIM, 2, ("crime.duckdb", "choose another file")),
    Bad("a workbook that lacks a month between two others", workbook("ENERO", "MARZO", "CLASIFICACIONES"), WORKBOOK, 2,
        ("FEBRERO",)),
    Bad("a workbook without the sheet of kinds", workbook("ENERO", "FEBRERO"), WORKBOOK, 2, ("CLASIFICACIONES",)),
    Bad("a workbook without robberies", workbook("CLASIFICACIONES"), WORKBOOK, 2, ("no sheet with robberies",)),
    Bad("a workbook cut short", cut_workbook, WORKBOOK, 2, ("damaged workbook",)),
    Bad("a workbook of some kB whose row number is two billion", renumbered(4, 2_000_000_000), WORKBOOK, 2,
        ("2,000,000,000", "1,048,576 rows")),
    Bad("a workbook in which a row stands twice", renumbered(4, 3), WORKBOOK, 2, ("row 3 twice", "save it anew")),
    Bad("a workbook of the old format .xls", old_workbook, WORKBOOK, 2, ("old format .xls", ".xlsx")),
    Bad("merged cells in a workbook", changed_workbook(lambda sheet: sheet.merge_cells("A2:A4")), WORKBOOK, 0,
        ("merged cells", "ranges: 1")),
    Bad("hidden rows in a workbook", changed_workbook(lambda sheet: setattr(sheet.row_dimensions[3], "hidden", True)),
        WORKBOOK, 0, ("hidden", "read as well")),
    Bad("a formula that no spreadsheet has computed", changed_workbook(put("I3", "=1+1")), WORKBOOK, 0,
        ("line 3", "MUERTOS", "a formula without a stored value")),
    Bad("an error of a spreadsheet in a cell", changed_workbook(put("H3", "#N/A")), WORKBOOK, 0,
        ("line 3", "#N/A", "an error of a spreadsheet")),
    Bad("a range of ages that Excel turned into a date", changed_workbook(put("D3", datetime(2026, 12, 10))), WORKBOOK,
        0, ("taken for 10-12",)),
    Bad("such a date that may mean two ranges", changed_workbook(put("D3", datetime(2025, 12, 1))), WORKBOOK, 0,
        ("1-12 or 12-25",)),
    Bad("a table without one row that serves", robberies_alone("3/12/2016;Asalto;;;;;;Atlantida;;;\n"), ROBBERIES, 2,
        ("none of its 1 rows can be used", "no district of Peru", "The database is unchanged")),
    Bad("a number with a decimal part where occurrences are counted",
        datacrim(ROW.format("ATE").replace(",7,", ',"12,5",')), DATACRIM, 0, ("line 3", "12,5", "not a whole number")),
    Bad("a thousand written 1.000", datacrim(ROW.format("ATE").replace(",7,", ",1.000,")), DATACRIM, 0,
        fine="read as 1,000"),
    Bad("a month without a day among the dates", robberies(FECHA="ene-17"), ROBBERIES, 0,
        ("line 3", "ene-17", "the day, or the year, is missing")),
    Bad("a title above the names of the columns", titled, ROBBERIES, 0, ("lines above the names of the columns",)),
    Bad("a CSV file that is one endless line", endless_line, DATACRIM, 2, ("line 1", "1,048,576 characters")),
    Bad("a database of somebody else that reads files of this machine", foreign_database,
        "crime query weapons --from crime.duckdb", 2, ("reads files or loads extensions",)),
    Bad("an address whose password holds a stroke", datacrim(), "crime load --datacrim datacrim.csv --to "
        "mysql://root:se/cret@127.0.0.1/crime", 2, ("mysql://root:***@127.0.0.1/crime", "%2F")),
    Bad("an option that nothing heeds", datacrim(), DATACRIM + " --sheets MAYO", 2, ("--sheets", "workbook")),
    Bad("a table with a column renamed", robberies(names=(*NAMES[:7], "BARRIO", *NAMES[8:])), ROBBERIES, 2,
        ("DISTRITO", "--columns")),
    Bad("a quote that is never closed", robberies('3/12/2016;"Asalto;Pistola;;;Hombre;;Ate;0;1;Chofer\n'), ROBBERIES, 0,
        ("line 3", "a quote is opened and not closed")),
    Bad("bytes that are not the encoding", robberies(OCUPACIÓN="Chofer \udcf1"), ROBBERIES, 0,
        ("line 3", "bytes that are not utf-8")),
    Bad("SQL in a district's name", robberies(DISTRITO="Ate'); DROP TABLE Distrito; --"), ROBBERIES, 0,
        ("line 3", "DROP TABLE", "no district of Peru")),
    Bad("a year 2107 among robberies", robberies(FECHA="3/12/2107"), ROBBERIES, 0, fine="read as 2017"),
    Bad("a year 2107 in DataCrim", datacrim(ROW.format("ATE").replace("2019", "2107")), DATACRIM, 0,
        ("line 3", "2107 lies in the future")),
    Bad("a district whose name two provinces share, without its province", datacrim(",".join(
        ["2019", "7", "CONTRA EL PATRIMONIO", "ROBO", "ROBO", "LIMA", "", "SAN LUIS"]) + "\n"), DATACRIM, 0,
        ("line 3", "ambiguous", "Cañete")),
    Bad("a row with too few fields", datacrim("2019,7,ROBO\n"), DATACRIM, 0, ("line 3", "3 fields")),
    Bad("a question to a database that was never loaded", datacrim(), "crime query all --from crime.duckdb", 2,
        ("there is no database crime.duckdb",)),
)  # fmt: skip
