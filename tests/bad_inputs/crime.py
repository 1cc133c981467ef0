"""The statistics of crime: servers that refuse or die, workbooks, tables and the rows in them."""

import atexit
import csv
import functools
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bad_inputs.making import Bad, Impossible
from crime.servers import MariaDB

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


def cut_workbook(folder: Path) -> None:
    workbook("ENERO", "CLASIFICACIONES")(folder)
    path = folder / "crimes.xlsx"
    path.write_bytes(path.read_bytes()[:2000])


def no_database(folder: Path) -> None:
    datacrim()(folder)
    (folder / "crime.duckdb").write_text("no database\n" * 9999)


@functools.cache
def server() -> MariaDB:
    """A real server, which ends with the program."""
    found = MariaDB()
    atexit.register(found.stop)
    return found


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
    Bad("a workbook cut short", cut_workbook, WORKBOOK, 2, ("no whole workbook",)),
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
