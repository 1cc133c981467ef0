"""Data of the page of charts: counts by everything that can be filtered, and the rows of each chart.

The database adds up and the page only sums the selected cells, so the size depends on the number of places, kinds and
years, and not on the number of rows.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from calco.crime.queries import Tables, to_arrow
from calco.errors import CalcoError

UNKNOWN_YEAR: Final = 0  # a robbery without a date
MOST: Final = 60  # ages and occupations with a name of their own; rarer ones share the last
REST: Final = "(…)"
SAN_JUAN_DE_LURIGANCHO: Final = 150_132

ChartData = dict[str, Any]
Rows = list[tuple[Any, ...]]


def cubes(backend: Any) -> ChartData:
    """Return the counts of a database, ready for JSON: lists of equal length, names by their place in other lists.

    Returns:
        `places`: lists of (UBIGEO, name) of departments, provinces and districts that occur. `kinds`, `weapons`,
        `ages`, `occupations`, `generics`, `specifics`, `modalities`: names. `robberies`: district, kind, weapon, year
        and count; `victims` and `work`: department, age or occupation, kind, weapon, year, count. `crimes`: district,
        generic, year, count; `modes`: department, modality, year, count.
    """
    import ibis

    held = Tables(backend)
    held.check()

    def frame(expression: Any) -> Any:
        return to_arrow(backend, expression).to_pandas()

    table = held["Robos_Lima"]
    rows = table.select(
        district="Id_Distrito", kind="Id_Tipo_Robo", weapon="Tipo_Arma", age="Edad_Victima", occupation="Ocupacion",
        year=ibis.coalesce(table.Fecha.year().cast("int64"), UNKNOWN_YEAR),
    )  # fmt: skip
    robberies = frame(rows.group_by(rows.columns).aggregate(n=rows.count()))
    table = held["Crimenes_DataCrim"]
    sums = table.group_by(district="Id_Distrito", modality="Id_Modalidad", year="Anio")
    crimes = frame(sums.aggregate(n=table.Numero_Ocurrencias.cast("int64").sum().cast("int64")))

    districts = sorted({*robberies["district"], *crimes["district"]})
    departments = sorted({key // 10_000 for key in districts})
    for one in (robberies, crimes):
        one["department"] = _positions(departments, one["district"] // 10_000)
        one["district"] = _positions(districts, one["district"])

    kinds = frame(held["Tipo_Robo"].order_by("id"))
    robberies["kind"] = _positions(kinds["id"], robberies["kind"])
    names = {column: _shorten(robberies, column) for column in ("weapon", "age", "occupation")}

    generics, specifics, modalities = (
        frame(held[name].order_by("id")) for name in ("Crimen_Generico", "Crimen_Especifico", "Modalidad_Crimen")
    )
    generic_of = _positions(generics["id"], specifics["Id_Generico"])
    specific_of = _positions(specifics["id"], modalities["Id_Especifico"])
    crimes["modality"] = _positions(modalities["id"], crimes["modality"])
    crimes["generic"] = generic_of[specific_of[crimes["modality"]]]
    provinces = sorted({key // 100 for key in districts})
    return {
        "places": {
            "districts": _places(held, "Distrito", districts),
            "provinces": _places(held, "Provincia", provinces),
            "departments": _places(held, "Departamento", departments),
        },
        "generics": generics["Nombre_Generico"].tolist(),
        "specifics": [list(pair) for pair in zip(specifics["Nombre_Especifico"], generic_of.tolist(), strict=True)],
        "modalities": [list(pair) for pair in zip(modalities["Nombre_Modalidad"], specific_of.tolist(), strict=True)],
        "kinds": kinds["Tipo"].tolist(),
        "weapons": names["weapon"],
        "ages": names["age"],
        "occupations": names["occupation"],
        "robberies": _columns(robberies, "district", "kind", "weapon", "year"),
        "victims": _columns(robberies, "department", "age", "kind", "weapon", "year"),
        "work": _columns(robberies, "department", "occupation", "kind", "weapon", "year"),
        "crimes": _columns(crimes, "district", "generic", "year"),
        "modes": _columns(crimes, "department", "modality", "year"),
        "years": sorted({*robberies["year"].tolist(), *crimes["year"].tolist()}),
    }  # fmt: skip


def _places(held: Tables, table: str, keys: Sequence[int]) -> list[list[Any]]:
    """Return the (UBIGEO, name) of places."""
    rows = to_arrow(held.backend, held[table].select("id", f"Nombre_{table}")).to_pylist()
    return sorted(list(row.values()) for row in rows if row["id"] in {*keys})


def _positions(keys: Any, values: Any) -> Any:
    """Return the place of each value in a list of keys."""
    import pandas as pd

    found = pd.Index(keys).get_indexer(values)
    if (found < 0).any():
        raise CalcoError("a table refers to rows that another one lacks; load the sources again")
    return found


def _shorten(frame: Any, column: str) -> list[str]:
    """Replace the names in a column by their place in the returned list: most frequent first, rare ones last."""
    counts = frame.groupby(column, as_index=False)["n"].sum()
    names: list[str] = counts.sort_values(["n", column], ascending=[False, True])[column].tolist()
    if len(names) > MOST:
        names = [*names[: MOST - 1], REST]
    places = {name: place for place, name in enumerate(names)}
    frame[column] = [places.get(name, len(names) - 1) for name in frame[column]]
    return names


def _columns(frame: Any, *keys: str) -> list[list[int]]:
    """Return the cells of a frame as lists: one for each key, and the counts."""
    cells = frame.groupby(list(keys), as_index=False)["n"].sum()
    return [cells[name].tolist() for name in (*keys, "n")]


def _ranked(cube: ChartData, columns: str, key: Callable[..., Hashable | None]) -> list[tuple[Any, int]]:
    """Return the counts by a key of each cell (None leaves it out), most first."""
    counts: Counter[Any] = Counter()
    for *cell, count in zip(*cube[columns], strict=True):
        if (found := key(*cell)) is not None:
            counts[found] += count
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _by_year(counts: Sequence[tuple[Any, int]]) -> list[tuple[Any, int]]:
    return sorted(counts, key=lambda item: int(item[0][0]))  # the order within a year stays


def _district(cube: ChartData, place: int) -> tuple[str, str, str]:
    key, name = cube["places"]["districts"][place]
    return name, dict(cube["places"]["provinces"])[key // 100], dict(cube["places"]["departments"])[key // 10_000]


def _robberies_by_district(cube: ChartData) -> Rows:
    counts = _ranked(cube, "robberies", lambda place, *_: place)
    return [(*_district(cube, place)[:2], count) for place, count in counts]


def _named(names: str, columns: str, at: int) -> Callable[[ChartData], Rows]:
    """Return what counts by the names in one column."""
    return lambda cube: [(cube[names][place], n) for place, n in _ranked(cube, columns, lambda *cell: cell[at])]


def _kinds_in_san_juan(cube: ChartData) -> Rows:
    keys = [key for key, _ in cube["places"]["districts"]]
    counts = _ranked(cube, "robberies", lambda place, kind, *_: kind if keys[place] == SAN_JUAN_DE_LURIGANCHO else None)
    return [(cube["kinds"][kind], count) for kind, count in counts]


def _crimes_by_district(cube: ChartData) -> Rows:
    last = max(cube["crimes"][2], default=0)
    counts = _ranked(cube, "crimes", lambda place, _, year: place if year == last else None)
    return [(*_district(cube, place), count) for place, count in counts]


def _crimes_by_year(cube: ChartData) -> Rows:
    provinces, departments = dict(cube["places"]["provinces"]), dict(cube["places"]["departments"])
    keys = [key // 100 for key, _ in cube["places"]["districts"]]
    counts = _by_year(_ranked(cube, "crimes", lambda place, _, year: (year, keys[place])))
    return [(year, provinces[key], departments[key // 100], count) for (year, key), count in counts]


def _crimes_by_place(cube: ChartData) -> Rows:
    counts = sorted(_ranked(cube, "crimes", lambda place, *_: place))
    return [(*_district(cube, place)[::-1], count) for place, count in counts]


def _modalities(cube: ChartData) -> Rows:
    rows: Rows = []
    for place, count in _ranked(cube, "modes", lambda _, mode, __: mode):
        name, specific = cube["modalities"][place]
        specific_name, generic = cube["specifics"][specific]
        rows.append((name, specific_name, cube["generics"][generic], count))
    return rows


def _generics_by_year(cube: ChartData) -> Rows:
    counts = _by_year(_ranked(cube, "crimes", lambda _, generic, year: (year, generic)))
    return [(year, cube["generics"][generic], count) for (year, generic), count in counts]


def _map(cube: ChartData) -> Rows:
    keys = [key // 10_000 for key, _ in cube["places"]["districts"]]
    crimes, robberies = (
        dict(_ranked(cube, columns, lambda place, *_: keys[place])) for columns in ("crimes", "robberies")
    )
    rows = [(name, crimes.get(key, 0), robberies.get(key, 0)) for key, name in cube["places"]["departments"]]
    return sorted(rows, key=lambda row: (-row[1], -row[2], row[0]))


# Name => the headers of its columns, and its rows; in the order of the page.
CHARTS: Final[dict[str, tuple[tuple[str, ...], Callable[[ChartData], Rows]]]] = {
    "robberies-by-district": (("Distrito", "Provincia", "Robos"), _robberies_by_district),
    "ages": (("Edad de la víctima", "Robos"), _named("ages", "victims", 1)),
    "kinds-in-san-juan": (("Tipo de robo", "Robos"), _kinds_in_san_juan),
    "kinds": (("Tipo de robo", "Robos"), _named("kinds", "robberies", 1)),
    "crimes-by-district": (("Distrito", "Provincia", "Departamento", "Delitos"), _crimes_by_district),
    "crimes-by-year": (("Año", "Provincia", "Departamento", "Delitos"), _crimes_by_year),
    "occupations": (("Ocupación de la víctima", "Robos"), _named("occupations", "work", 1)),
    "places": (("Departamento", "Provincia", "Distrito", "Delitos"), _crimes_by_place),
    "modalities": (("Modalidad", "Específico", "Genérico", "Delitos"), _modalities),
    "generics-by-year": (("Año", "Genérico", "Delitos"), _generics_by_year),
    "map": (("Departamento", "Delitos", "Robos"), _map),
}


def chart_names(name: str) -> list[str]:
    """Return the chart of a name, or all."""
    if name == "all":
        return list(CHARTS)
    if name not in CHARTS:
        raise CalcoError(f"{name!r}: there is no such chart; name all, or {', '.join(CHARTS)}")
    return [name]
