"""The nine tables and the rejects, with their keys, for every database."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["int", "text", "long text", "date"]
MARIADB: Final = "mysql"  # what Ibis and SQLGlot call it

_TYPES: Final[dict[Kind, str]] = {"int": "INTEGER", "text": "VARCHAR(255)", "date": "DATE"}
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
        """Names of the columns, in order."""
        return [column.name for column in self.columns]

    def create(self, dialect: str = "duckdb", *, keys: bool = True) -> str:
        """Return the statement that creates the table unless it exists, with or without its keys."""
        quote = quoting(dialect)
        types = {**_TYPES, "long text": _LONG.get(dialect, "TEXT")}
        lines = [
            f"{quote(column.name)} {types[column.kind]}{'' if column.optional else ' NOT NULL'}"
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


def quoting(dialect: str) -> Callable[[str], str]:
    """Return the function that quotes a name as the database requires."""
    sign = "`" if dialect in (MARIADB, "pyspark", "bigquery", "databricks", "impala") else '"'
    return lambda name: f"{sign}{name}{sign}"


_ID: Final = Column("id", "int")


def _key(refers_to: str) -> Column:
    return Column(f"Id_{refers_to.removeprefix('Crimen_').removesuffix('_Crimen')}", "int", refers_to)


def _columns(kind: Kind, *names: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name in names)


# Each table comes after those that it refers to.
TABLES: Final[dict[str, Table]] = {
    name: Table(name, (_ID, *columns))
    for name, columns in {
        "Departamento": _columns("text", "Nombre_Departamento"),
        "Provincia": (_key("Departamento"), *_columns("text", "Nombre_Provincia")),
        "Distrito": (_key("Provincia"), *_columns("text", "Nombre_Distrito")),
        "Tipo_Robo": (*_columns("text", "Tipo"), *_columns("long text", "Descripcion")),
        "Robos_Lima": (
            _key("Distrito"),
            _key("Tipo_Robo"),
            *_columns("text", "Tipo_Arma"),
            Column("Fecha", "date", optional=True),
            *_columns("text", "Edad_Victima", "Edad_Delincuente", "Genero_Victima", "Genero_Delincuente"),
            *_columns("int", "Nro_Muertos", "Nro_Heridos"),
            *_columns("text", "Ocupacion"),
        ),
        "Crimen_Generico": _columns("text", "Nombre_Generico"),
        "Crimen_Especifico": (_key("Crimen_Generico"), *_columns("text", "Nombre_Especifico")),
        "Modalidad_Crimen": (_key("Crimen_Especifico"), *_columns("text", "Nombre_Modalidad")),
        "Crimenes_DataCrim": (
            _key("Distrito"),
            _key("Modalidad_Crimen"),
            *_columns("int", "Numero_Ocurrencias", "Anio"),
        ),
        # Source (robberies, kinds or datacrim), file, sheet, first line, column, value, reason, the record as JSON.
        "Rechazos": (
            *_columns("text", "Fuente", "Archivo", "Hoja"),
            *_columns("int", "Linea"),
            *_columns("text", "Campo"),
            *_columns("long text", "Valor", "Motivo", "Registro"),
        ),
    }.items()
}
ROBBERIES: Final = ("Tipo_Robo", "Robos_Lima")
DATACRIM: Final = ("Crimen_Generico", "Crimen_Especifico", "Modalidad_Crimen", "Crimenes_DataCrim")
REJECTS: Final = "Rechazos"
