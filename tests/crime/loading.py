"""Sources to load, and what a database holds afterwards."""

from datetime import date
from pathlib import Path
from typing import Any

from calco.crime.database import connect
from calco.crime.load import LoadConfig
from calco.crime.schema import TABLES, quoting

ROWS = 4_000
DIRTY = [
    ("2019", "7", "CONTRA EL PATRIMONIO", "ROBO", "ROBO AGRAVADO", "LIMA", "LIMA", "SURCO"),
    ("2019", " 3 ", "0401 - CONTRA EL PATRIMONIO", "ROBO*", "ROBO  AGRAVADO 2/", "LIMA", "LIMA", "Santiago de Surco"),
    ("2018", "1", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "CAÑETE", "SAN LUIS"),
    ("2018", "1", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "LIMA", "SAN LUIS"),
    ("2018", "1", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "", "SAN LUIS"),
    ("2107", "1", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "LIMA", "ATE"),
    ("2018", "muchos", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "LIMA", "ATE"),
    ("2018", "", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "LIMA", "ATE"),
    ("2018", "1", "CONTRA EL PATRIMONIO", "HURTO", "12", "LIMA", "LIMA", "ATE"),
    ("2018", "1", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "LIMA", "'); DROP TABLE Distrito; --"),
    ("2018", "1", "CONTRA EL PATRIMONIO", "HURTO", "HURTO", "LIMA", "LIMA"),
]


def config(sources: Path, to: object, datacrim: str = "datacrim.parquet", **options: Any) -> LoadConfig:
    return LoadConfig(
        robberies=str(sources / "robberies.csv"),
        kinds=str(sources / "kinds.csv"),
        datacrim=str(sources / datacrim),
        to=str(to),
        rejects=str(sources / "rejects.csv"),
        **options,
    )


def contents(url: object) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, as another program reads them."""
    backend = connect(str(url))
    try:
        cursor = backend.con.cursor()
        found: dict[str, list[tuple[Any, ...]]] = {}
        for name, table in TABLES.items():
            quote = quoting(backend.name)
            cursor.execute(f"SELECT {', '.join(map(quote, table.names))} FROM {quote(name)} ORDER BY {quote('id')}")
            found[name] = [
                tuple(str(cell) if isinstance(cell, date) else cell for cell in row) for row in cursor.fetchall()
            ]
        return found
    finally:
        backend.disconnect()
