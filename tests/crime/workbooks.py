"""Workbooks as tests need them: through openpyxl, and as bare XML that no program would write."""

import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from calco.crime.gazetteer import gazetteer
from calco.crime.robberies import CleanedRows, clean_robberies, read_kinds, robbery_rows
from calco.crime.workbook import read_workbook

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


def cleaned(path: Path, remarks: list[str] | None = None) -> CleanedRows:
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
