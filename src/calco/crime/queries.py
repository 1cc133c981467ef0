"""The ten questions, each one Ibis expression, to which every database gives the same answer."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from calco.crime.clean import UNSPECIFIED
from calco.crime.schema import MARIADB, REJECTS, TABLES, Kind
from calco.errors import CalcoError

if TYPE_CHECKING:
    import pyarrow as pa

TIED_ROWS: Final = 10  # rows shown of those that share an extreme
_SEVERAL: Final = "Varios"  # states that there were several persons, not their age


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the tables.

    Attributes:
        name: Its name on the command line.
        number: From 1 to 10.
        english: The question in English.
        spanish: The question in Spanish.
        expression: Tables => the answer, as an Ibis expression.
        source: Table that it reads.
    """

    name: str
    number: int
    english: str
    spanish: str
    expression: Callable[["Tables"], Any]
    source: str


class Tables:
    """The tables of a database as Ibis expressions, by name."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend

    def __getitem__(self, name: str) -> Any:
        # Columns are selected by name and cast, so that further columns, another order, or text in place of numbers in
        # a foreign database do no harm.
        table = self.backend.table(name)
        return table.select([_of_kind(table[column.name], column.kind) for column in TABLES[name].columns])

    def check(self) -> None:
        """Check that the tables exist."""
        there = {name.lower() for name in self.backend.list_tables()}  # Spark lists them in small letters
        if missing := [name for name in TABLES if name.lower() not in there and name != REJECTS]:
            raise CalcoError(f"the database has no table {missing[0]}; make the tables with: calco crime load")


def _of_kind(column: Any, kind: Kind) -> Any:
    held = column.type()
    if kind == "int":
        return column if held.is_integer() else column.cast("int64").name(column.get_name())
    if kind == "date":
        return column if held.is_date() else column.cast("date").name(column.get_name())
    return column if held.is_string() else column.cast("string").name(column.get_name())


def _places(held: Tables) -> Any:
    """District, province and department by the district's key."""
    district, province, department = held["Distrito"], held["Provincia"], held["Departamento"]
    province = province.rename(province="id").inner_join(
        department.rename(department="id"), [("Id_Departamento", "department")]
    )
    joined = district.rename(place="id").inner_join(province, [("Id_Provincia", "province")])
    return joined.select("place", "Nombre_Distrito", "Nombre_Provincia", "Nombre_Departamento")


def _crimes(held: Tables) -> Any:
    """Modality, specific and generic crime by the modality's key."""
    modality, specific, generic = held["Modalidad_Crimen"], held["Crimen_Especifico"], held["Crimen_Generico"]
    specific = specific.rename(specific="id").inner_join(generic.rename(generic="id"), [("Id_Generico", "generic")])
    joined = modality.rename(modality="id").inner_join(specific, [("Id_Especifico", "specific")])
    return joined.select("modality", "generic", "Nombre_Modalidad", "Nombre_Especifico", "Nombre_Generico")


def _counted(table: Any, key: str, name: str = "Robos") -> Any:
    return table.group_by(key).aggregate(**{name: table.count()})


def kinds(held: Tables) -> Any:
    """1. Every kind of robbery with its description and how many there were, most first."""
    import ibis

    kind, counts = held["Tipo_Robo"], _counted(held["Robos_Lima"], "Id_Tipo_Robo")
    joined = kind.left_join(counts, [("id", "Id_Tipo_Robo")])
    rows = joined.mutate(Robos=ibis.coalesce(counts.Robos, 0).cast("int64")).order_by(ibis.desc("Robos"), "id")
    return rows.select("Tipo", "Descripcion", "Robos")


def districts(held: Tables) -> Any:
    """2. Robberies by district, most first. The key joins, not the name, so that none counts twice."""
    import ibis

    places, counts = _places(held), _counted(held["Robos_Lima"], "Id_Distrito")
    joined = counts.inner_join(places, [("Id_Distrito", "place")]).order_by(ibis.desc("Robos"), "Id_Distrito")
    return joined.select("Nombre_Distrito", "Nombre_Provincia", "Robos")


def ages(held: Tables) -> Any:
    """3. Robberies that state the victim's age and the offender's; "Varios (2)" states a number of persons, no age."""
    robberies = held["Robos_Lima"]
    told = [
        (robberies[name] != UNSPECIFIED) & ~robberies[name].startswith(_SEVERAL)
        for name in ("Edad_Victima", "Edad_Delincuente")
    ]
    rows = robberies.filter(told).rename(robbery="id")
    joined = rows.inner_join(_places(held), [("Id_Distrito", "place")])
    joined = joined.inner_join(held["Tipo_Robo"].rename(kind="id"), [("Id_Tipo_Robo", "kind")]).order_by("robbery")
    return joined.select(
        "robbery", "Fecha", "Nombre_Distrito", "Tipo", "Edad_Victima", "Edad_Delincuente",
        "Genero_Victima", "Genero_Delincuente",
    ).rename(id="robbery")  # fmt: skip


def most_2019(held: Tables) -> Any:
    """4. The row of 2019 that holds the most occurrences, with its own names; rows that tie, and how many they are."""
    return _extreme(held, 2019, "max")


def fewest_2017(held: Tables) -> Any:
    """7. The rows of 2017 that hold the fewest occurrences; how many tie, and the first of them."""
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
    return joined.select(
        "row", "Nombre_Modalidad", "Nombre_Especifico", "Nombre_Generico", "Nombre_Distrito", "Nombre_Provincia",
        "Nombre_Departamento", "Numero_Ocurrencias", "Filas_Empatadas",
    ).rename(id="row")  # fmt: skip


def crimes_2019(held: Tables) -> Any:
    """5. Crimes of 2019 by district, with province and department, most first."""
    import ibis

    rows = held["Crimenes_DataCrim"]
    rows = rows.filter(rows.Anio == 2019)
    sums = rows.group_by("Id_Distrito").aggregate(Delitos=rows.Numero_Ocurrencias.cast("int64").sum().cast("int64"))
    joined = sums.inner_join(_places(held), [("Id_Distrito", "place")]).order_by(ibis.desc("Delitos"), "Id_Distrito")
    return joined.select("Nombre_Distrito", "Nombre_Provincia", "Nombre_Departamento", "Delitos")


def quarters(held: Tables) -> Any:
    """6. Robberies by quarter, most first; those without a date stand as such."""
    import ibis

    robberies = held["Robos_Lima"]
    rows = robberies.select(
        Anio=robberies.Fecha.year().cast("int64"), Trimestre=robberies.Fecha.quarter().cast("int64")
    )
    counts = rows.group_by("Anio", "Trimestre").aggregate(Robos=rows.count())
    when = ibis.coalesce(counts.Anio * 10 + counts.Trimestre, 0)
    return counts.order_by(counts.Robos.desc(), when.asc())


def means_by_district(held: Tables) -> Any:
    """8. The mean of occurrences in a row by district, most first."""
    import ibis

    joined = _means(held["Crimenes_DataCrim"], "Id_Distrito").inner_join(_places(held), [("Id_Distrito", "place")])
    means = joined.mutate(Media=joined.total.cast("float64") / joined.Filas.cast("float64"))
    rows = means.order_by(ibis.desc("Media"), "Id_Distrito")
    return rows.select("Nombre_Distrito", "Nombre_Provincia", "Nombre_Departamento", "Media", "Filas")


def weapons(held: Tables) -> Any:
    """9. Robberies by weapon, most first."""
    import ibis

    return _counted(held["Robos_Lima"], "Tipo_Arma").order_by(ibis.desc("Robos"), "Tipo_Arma")


def means_by_generic(held: Tables) -> Any:
    """10. The mean of occurrences in a row by generic crime, least first."""
    import ibis

    joined = _means(held["Crimenes_DataCrim"], "Id_Modalidad").inner_join(_crimes(held), [("Id_Modalidad", "modality")])
    by_generic = joined.group_by("generic", "Nombre_Generico").aggregate(
        total=joined.total.sum().cast("float64"), Filas=joined.Filas.sum().cast("int64")
    )
    means = by_generic.mutate(Media=by_generic.total / by_generic.Filas.cast("float64"))
    return means.order_by(ibis.asc("Media"), "generic").select("Nombre_Generico", "Media", "Filas")


def _means(rows: Any, key: str) -> Any:
    """What means are made of: whole numbers, which add up to the same in any order and any database."""
    total = rows.Numero_Ocurrencias.cast("int64").sum().cast("int64")
    return rows.group_by(key).aggregate(total=total, Filas=rows.count())


_ROBBERIES, _DATACRIM = "Robos_Lima", "Crimenes_DataCrim"
QUESTIONS: Final[dict[str, Question]] = {
    question.name: question
    for question in (
        Question("kinds", 1, "Which kinds of robbery are there, and how many of each?",
                 "¿Qué tipos de robo hay y cuántos de cada uno?", kinds, _ROBBERIES),
        Question("districts", 2, "How many robberies are there in each district of Lima and Callao?",
                 "¿Cuántos robos hay en cada distrito de Lima y Callao?", districts, _ROBBERIES),
        Question("ages", 3, "Which robberies state the age of both the victim and the offender?",
                 "¿Qué robos indican la edad de la víctima y la del delincuente?", ages, _ROBBERIES),
        Question("most-2019", 4, "Which modality had the most occurrences in 2019, and where?",
                 "¿Qué modalidad tuvo más ocurrencias en 2019, y dónde?", most_2019, _DATACRIM),
        Question("crimes-2019", 5, "How many crimes were there in each district in 2019?",
                 "¿Cuántos delitos hubo en cada distrito en 2019?", crimes_2019, _DATACRIM),
        Question("quarters", 6, "How many robberies were there in each quarter?",
                 "¿Cuántos robos hubo en cada trimestre?", quarters, _ROBBERIES),
        Question("fewest-2017", 7, "Which modality had the fewest occurrences in 2017, and where?",
                 "¿Qué modalidad tuvo menos ocurrencias en 2017, y dónde?", fewest_2017, _DATACRIM),
        Question("means-by-district", 8, "How many occurrences does a row hold on average, by district?",
                 "¿Cuántas ocurrencias tiene en promedio una fila, por distrito?", means_by_district, _DATACRIM),
        Question("weapons", 9, "Which weapons are used in robberies?",
                 "¿Qué armas se usan en los robos?", weapons, _ROBBERIES),
        Question("means-by-generic", 10, "How many occurrences does a row hold on average, by generic crime?",
                 "¿Cuántas ocurrencias tiene en promedio una fila, por delito genérico?", means_by_generic, _DATACRIM),
    )
}  # fmt: skip


def questions_named(name: str) -> list[Question]:
    """Return the question of a name or a number, or all of them."""
    if name == "all":
        return list(QUESTIONS.values())
    found = [one for one in QUESTIONS.values() if name in (one.name, str(one.number))]
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


if TYPE_CHECKING:
    import pyarrow as pa
