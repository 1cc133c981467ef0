"""The nine tables and the rejects, with their keys, for every database."""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["int", "text", "long text", "date"]
MARIADB: Final = "mysql"  # what Ibis and SQLGlot call it

_TYPES: Final[dict[Kind, str]] = {"int": "INTEGER", "text": "VARCHAR(255)", "long text": "TEXT", "date": "DATE"}
_LONG: Final = {MARIADB: "LONGTEXT"}  # its TEXT ends at 64 KB
# By default MariaDB takes "Lurin" for "Lurín"; here names are compared as they are, as in the other databases.
_AFTER: Final = {MARIADB: " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `refers_to` names the table whose `id` it holds."""

    name: str
    kind: Kind
    refers_to: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table, whose first column `id` is its key."""

    name: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Names of its columns, in order."""
        return [column.name for column in self.columns]

    def create(self, dialect: str = "duckdb", *, keys: bool = True) -> str:
        """Return the statement that creates the table unless it exists."""
        quote = quoting(dialect)
        lines = [
            f"{quote(column.name)} {_type(column, dialect)}{'' if column.optional else ' NOT NULL'}"
            for column in self.columns
        ]
        if keys:
            lines.append(f"PRIMARY KEY ({quote('id')})")
            lines += [
                f"FOREIGN KEY ({quote(column.name)}) REFERENCES {quote(column.refers_to)} ({quote('id')})"
                for column in self.columns
                if column.refers_to
            ]
        inside = ",\n  ".join(lines)
        return f"CREATE TABLE IF NOT EXISTS {quote(self.name)} (\n  {inside}\n){_AFTER.get(dialect, '')}"


def _type(column: Column, dialect: str) -> str:
    return _LONG.get(dialect, _TYPES[column.kind]) if column.kind == "long text" else _TYPES[column.kind]


class _Quoting:
    def __init__(self, sign: str) -> None:
        self.sign = sign

    def __call__(self, name: str) -> str:
        return f"{self.sign}{name}{self.sign}"


def quoting(dialect: str) -> _Quoting:
    """What writes a name as the database wants it."""
    return _Quoting("`" if dialect in (MARIADB, "pyspark", "bigquery", "databricks", "impala") else '"')


def _key(refers_to: str = "") -> Column:
    return Column(f"Id_{refers_to.removeprefix('Crimen_').removesuffix('_Crimen')}", "int", refers_to)


_ID: Final = Column("id", "int")

# In an order in which each table stands behind those that it refers to.
TABLES: Final[dict[str, Table]] = {
    table.name: table
    for table in (
        Table("Departamento", (_ID, Column("Nombre_Departamento", "text"))),
        Table("Provincia", (_ID, _key("Departamento"), Column("Nombre_Provincia", "text"))),
        Table("Distrito", (_ID, _key("Provincia"), Column("Nombre_Distrito", "text"))),
        Table("Tipo_Robo", (_ID, Column("Tipo", "text"), Column("Descripcion", "long text"))),
        Table(
            "Robos_Lima",
            (
                _ID,
                _key("Distrito"),
                _key("Tipo_Robo"),
                Column("Tipo_Arma", "text"),
                Column("Fecha", "date", optional=True),
                Column("Edad_Victima", "text"),
                Column("Edad_Delincuente", "text"),
                Column("Genero_Victima", "text"),
                Column("Genero_Delincuente", "text"),
                Column("Nro_Muertos", "int"),
                Column("Nro_Heridos", "int"),
                Column("Ocupacion", "text"),
            ),
        ),
        Table("Crimen_Generico", (_ID, Column("Nombre_Generico", "text"))),
        Table("Crimen_Especifico", (_ID, _key("Crimen_Generico"), Column("Nombre_Especifico", "text"))),
        Table("Modalidad_Crimen", (_ID, _key("Crimen_Especifico"), Column("Nombre_Modalidad", "text"))),
        Table(
            "Crimenes_DataCrim",
            (
                _ID,
                _key("Distrito"),
                _key("Modalidad_Crimen"),
                Column("Numero_Ocurrencias", "int"),
                Column("Anio", "int"),
            ),
        ),
        Table(
            "Rechazos",
            (
                _ID,
                Column("Fuente", "text"),  # robberies, kinds or datacrim
                Column("Archivo", "text"),
                Column("Hoja", "text"),  # of a workbook
                Column("Linea", "int"),  # at which the record begins
                Column("Campo", "text"),
                Column("Valor", "long text"),
                Column("Motivo", "long text"),
                Column("Registro", "long text"),  # the whole record, as JSON
            ),
        ),
    )
}
PLACES: Final = ("Departamento", "Provincia", "Distrito")
ROBBERIES: Final = ("Tipo_Robo", "Robos_Lima")
DATACRIM: Final = ("Crimen_Generico", "Crimen_Especifico", "Modalidad_Crimen", "Crimenes_DataCrim")
REJECTS: Final = "Rechazos"
