"""The ten questions, each one Ibis expression, to which every database gives the same answer."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from calco.crime.clean import UNSPECIFIED
from calco.crime.schema import MARIADB, REJECTS, TABLES
from calco.errors import CalcoError

if TYPE_CHECKING:
    import pyarrow as pa

TIED_ROWS: Final = 10  # rows shown of those that share an extreme
_SEVERAL: Final = "Varios"  # states that there were several persons, not their age
_PLACE: Final = ("Nombre_Distrito", "Nombre_Provincia", "Nombre_Departamento")
_CRIME: Final = ("Nombre_Modalidad", "Nombre_Especifico", "Nombre_Generico")


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the tables."""

    name: str  # on the command line
    number: int  # from 1 to 10
    english: str
    expression: Callable[["Tables"], Any]  # the answer, as an Ibis expression
    source: str  # table that it reads


class Tables:
    """The tables of a database as Ibis expressions, by name."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend

    def __getitem__(self, name: str) -> Any:
        # Columns are selected by name and cast, so that further columns, another order, or text in place of numbers in
        # a foreign database do no harm.
        table = self.backend.table(name)
        types = {"int": "int64", "date": "date"}
        selected = []
        for column in TABLES[name].columns:
            held, kind = table[column.name], types.get(column.kind, "string")
            fits = {"int64": held.type().is_integer, "date": held.type().is_date, "string": held.type().is_string}
            selected.append(held if fits[kind]() else held.cast(kind).name(column.name))
        return table.select(selected)

    def check(self) -> None:
        """Check that the tables exist."""
        there = {name.lower() for name in self.backend.list_tables()}  # Spark lists them in small letters
        if missing := [name for name in TABLES if name.lower() not in there and name != REJECTS]:
            raise CalcoError(f"the database has no table {missing[0]}; make the tables with: calco crime load")


def _places(held: Tables) -> Any:
    """Return district, province and department by the district's key, `place`."""
    province = held["Provincia"].rename(province="id")
    above = province.inner_join(held["Departamento"].rename(department="id"), [("Id_Departamento", "department")])
    joined = held["Distrito"].rename(place="id").inner_join(above, [("Id_Provincia", "province")])
    return joined.select("place", *_PLACE)


def _crimes(held: Tables) -> Any:
    """Return modality, specific and generic crime by the key of the modality."""
    specific = held["Crimen_Especifico"].rename(specific="id")
    above = specific.inner_join(held["Crimen_Generico"].rename(generic="id"), [("Id_Generico", "generic")])
    joined = held["Modalidad_Crimen"].rename(modality="id").inner_join(above, [("Id_Especifico", "specific")])
    return joined.select("modality", "generic", *_CRIME)


def _counted(table: Any, key: str) -> Any:
    return table.group_by(key).aggregate(Robos=table.count())


def kinds(held: Tables) -> Any:
    """Count each kind of robbery, also those without any."""
    counts = _counted(held["Robos_Lima"], "Id_Tipo_Robo")
    joined = held["Tipo_Robo"].left_join(counts, [("id", "Id_Tipo_Robo")])
    rows = joined.mutate(Robos=counts.Robos.fill_null(0).cast("int64"))
    return rows.order_by(rows.Robos.desc(), "id").select("Tipo", "Descripcion", "Robos")


def districts(held: Tables) -> Any:
    """Count robberies by district. The key joins, not the name, so that none counts twice."""
    joined = _counted(held["Robos_Lima"], "Id_Distrito").inner_join(_places(held), [("Id_Distrito", "place")])
    return joined.order_by(joined.Robos.desc(), "Id_Distrito").select(*_PLACE[:2], "Robos")


def ages(held: Tables) -> Any:
    """Return robberies that state two ages; "Varios (2)" states a number of persons."""
    persons = [f"{what}_{whose}" for what in ("Edad", "Genero") for whose in ("Victima", "Delincuente")]
    robberies = held["Robos_Lima"]
    stated = [(robberies[name] != UNSPECIFIED) & ~robberies[name].startswith(_SEVERAL) for name in persons[:2]]
    rows = robberies.filter(stated).rename(robbery="id").inner_join(_places(held), [("Id_Distrito", "place")])
    joined = rows.inner_join(held["Tipo_Robo"].rename(kind="id"), [("Id_Tipo_Robo", "kind")]).order_by("robbery")
    return joined.select("robbery", "Fecha", "Nombre_Distrito", "Tipo", *persons).rename(id="robbery")


def most_2019(held: Tables) -> Any:
    """Return the rows of 2019 with the most occurrences, with their own names, and the number of those that tie."""
    return _extreme(held, 2019, "max")


def fewest_2017(held: Tables) -> Any:
    """Return the first rows of 2017 with the fewest occurrences, and the number of those that tie."""
    return _extreme(held, 2017, "min")


def _extreme(held: Tables, year: int, which: str) -> Any:
    rows = held["Crimenes_DataCrim"]
    rows = rows.filter(rows.Anio == year)
    edge = getattr(rows.Numero_Ocurrencias, which)()
    tied = rows.filter(rows.Numero_Ocurrencias == edge.as_scalar())
    # Few rows are kept before names are joined to them: the rows that tie may be millions.
    few = tied.order_by("id").limit(TIED_ROWS).rename(row="id").mutate(Filas_Empatadas=tied.count().as_scalar())
    joined = few.inner_join(_crimes(held), [("Id_Modalidad", "modality")])
    joined = joined.inner_join(_places(held), [("Id_Distrito", "place")]).order_by("row")
    return joined.select("row", *_CRIME, *_PLACE, "Numero_Ocurrencias", "Filas_Empatadas").rename(id="row")


def crimes_2019(held: Tables) -> Any:
    """Sum the crimes of 2019 by district."""
    rows = held["Crimenes_DataCrim"]
    rows = rows.filter(rows.Anio == 2019)
    sums = rows.group_by("Id_Distrito").aggregate(Delitos=rows.Numero_Ocurrencias.cast("int64").sum().cast("int64"))
    joined = sums.inner_join(_places(held), [("Id_Distrito", "place")])
    return joined.order_by(joined.Delitos.desc(), "Id_Distrito").select(*_PLACE, "Delitos")


def quarters(held: Tables) -> Any:
    """Count robberies by quarter; those without a date are a group of their own."""
    robberies = held["Robos_Lima"]
    rows = robberies.select(
        Anio=robberies.Fecha.year().cast("int64"), Trimestre=robberies.Fecha.quarter().cast("int64")
    )
    counts = rows.group_by("Anio", "Trimestre").aggregate(Robos=rows.count())
    return counts.order_by(counts.Robos.desc(), (counts.Anio * 10 + counts.Trimestre).fill_null(0))


def means_by_district(held: Tables) -> Any:
    """Return the mean of occurrences in a row by district."""
    joined = _sums(held["Crimenes_DataCrim"], "Id_Distrito").inner_join(_places(held), [("Id_Distrito", "place")])
    means = joined.mutate(Media=joined.total.cast("float64") / joined.Filas.cast("float64"))
    return means.order_by(means.Media.desc(), "Id_Distrito").select(*_PLACE, "Media", "Filas")


def weapons(held: Tables) -> Any:
    """Count robberies by weapon."""
    counts = _counted(held["Robos_Lima"], "Tipo_Arma")
    return counts.order_by(counts.Robos.desc(), "Tipo_Arma")


def means_by_generic(held: Tables) -> Any:
    """Return the mean of occurrences in a row by generic crime."""
    joined = _sums(held["Crimenes_DataCrim"], "Id_Modalidad").inner_join(_crimes(held), [("Id_Modalidad", "modality")])
    by_generic = joined.group_by("generic", "Nombre_Generico").aggregate(
        total=joined.total.sum().cast("float64"), Filas=joined.Filas.sum().cast("int64")
    )
    means = by_generic.mutate(Media=by_generic.total / by_generic.Filas.cast("float64"))
    return means.order_by("Media", "generic").select("Nombre_Generico", "Media", "Filas")


def _sums(rows: Any, key: str) -> Any:
    """Return whole numbers, which add up to the same in any order and any database, for means."""
    total = rows.Numero_Ocurrencias.cast("int64").sum().cast("int64")
    return rows.group_by(key).aggregate(total=total, Filas=rows.count())


_ROBBERIES, _DATACRIM = "Robos_Lima", "Crimenes_DataCrim"
QUESTIONS: Final[dict[str, Question]] = {
    name: Question(name, number, english, expression, source)
    for number, (name, expression, source, english) in enumerate((
        ("kinds", kinds, _ROBBERIES, "Which kinds of robbery are there, and how many of each?"),
        ("districts", districts, _ROBBERIES, "How many robberies are there in each district of Lima and Callao?"),
        ("ages", ages, _ROBBERIES, "Which robberies state the age of both the victim and the offender?"),
        ("most-2019", most_2019, _DATACRIM,
         "Which modality had the most occurrences in 2019, and where?"),
        ("crimes-2019", crimes_2019, _DATACRIM, "How many crimes were there in each district in 2019?"),
        ("quarters", quarters, _ROBBERIES, "How many robberies were there in each quarter?"),
        ("fewest-2017", fewest_2017, _DATACRIM,
         "Which modality had the fewest occurrences in 2017, and where?"),
        ("means-by-district", means_by_district, _DATACRIM,
         "How many occurrences does a row hold on average, by district?"),
        ("weapons", weapons, _ROBBERIES, "Which weapons are used in robberies?"),
        ("means-by-generic", means_by_generic, _DATACRIM,
         "How many occurrences does a row hold on average, by generic crime?"),
    ), 1)
}  # fmt: skip


def questions_named(name: str) -> list[Question]:
    """Return the question of a name or a number, or all of them."""
    found = [one for one in QUESTIONS.values() if name in ("all", one.name, str(one.number))]
    if not found:
        raise CalcoError(
            f"{name!r}: there is no such question; name all, a number from 1 to 10, or {', '.join(QUESTIONS)}"
        )
    return found


def ask(backend: Any, question: Question, url: str = "") -> "pa.Table":
    """Return the answer of a database.

    Args:
        backend: An Ibis backend that holds the tables.
        question: One of `QUESTIONS`.
        url: URL of the database, whose password is kept out of errors.

    Raises:
        CalcoError: The database cannot answer.
    """
    from calco.crime.database import reason

    held = Tables(backend)
    try:
        held.check()
        return to_arrow(backend, question.expression(held))
    except CalcoError:
        raise
    except Exception as error:  # each database has errors of its own
        raise CalcoError(
            f"the database cannot answer question {question.number} ({question.name}): {reason(error, url)}"
        ) from error


def to_arrow(backend: Any, expression: Any) -> "pa.Table":
    """Return the result of an Ibis expression as Arrow."""
    import pyarrow as pa

    if backend.name != MARIADB:
        answer: pa.Table = expression.to_pyarrow()
        return answer
    # Straight from the driver, without pandas between, where numbers beside an empty cell become floats.
    with contextlib.closing(backend.con.cursor()) as cursor:
        cursor.execute(backend.compile(expression))
        rows = cursor.fetchall()
    schema = expression.schema().to_pyarrow()
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema)
