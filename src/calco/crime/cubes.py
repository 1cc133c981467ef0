"""Data of the page of charts: counts by everything that can be filtered, and the rows of each chart.

The database adds up and the page only sums the selected cells, so the size depends on the number of places, kinds and
years, and not on the number of rows.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from calco.crime.queries import Tables, to_arrow
from calco.errors import CalcoError

UNKNOWN_YEAR: Final = 0  # a robbery without a date
MOST: Final = 60  # ages and occupations with a name of their own; rarer ones share the last
REST: Final = "(…)"

ChartData = dict[str, Any]


def cubes(backend: Any) -> ChartData:
    """Return the counts of a database, ready for JSON: lists of equal length, names by their place in other lists."""
    held = Tables(backend)
    held.check()
    robberies, crimes = _robberies(held), _crimes(held)
    used = sorted({row[0] for row in robberies} | {row[0] for row in crimes})
    district = {key: place for place, key in enumerate(used)}
    found: ChartData = {"places": _places(held, used), **_names_of_crimes(held)}
    found |= _robbery_cubes(held, robberies, district)
    found |= _crime_cubes(found, crimes, district)
    years = {*found["robberies"][3], *found["crimes"][2]}
    found["years"] = sorted(years)
    return found


def _rows(held: Tables, expression: Any) -> list[tuple[Any, ...]]:
    answer = to_arrow(held.backend, expression)
    return list(zip(*(column.to_pylist() for column in answer.columns), strict=True))


def _robberies(held: Tables) -> list[tuple[Any, ...]]:
    """District, kind, weapon, year, age, occupation, count."""
    import ibis

    table = held["Robos_Lima"]
    rows = table.select(
        "Id_Distrito", "Id_Tipo_Robo", "Tipo_Arma", "Edad_Victima", "Ocupacion",
        Anio=ibis.coalesce(table.Fecha.year().cast("int64"), UNKNOWN_YEAR),
    )  # fmt: skip
    by = ["Id_Distrito", "Id_Tipo_Robo", "Tipo_Arma", "Anio", "Edad_Victima", "Ocupacion"]
    return sorted(_rows(held, rows.group_by(by).aggregate(n=rows.count()).select(*by, "n")))


def _crimes(held: Tables) -> list[tuple[int, int, int, int]]:
    """District, modality, year, sum."""
    table = held["Crimenes_DataCrim"]
    by = ["Id_Distrito", "Id_Modalidad", "Anio"]
    sums = table.group_by(by).aggregate(n=table.Numero_Ocurrencias.cast("int64").sum().cast("int64"))
    rows: Any = sorted(_rows(held, sums.select(*by, "n")))
    return list(rows)


def _places(held: Tables, used: Sequence[int]) -> dict[str, list[list[Any]]]:
    """The (UBIGEO, name) of the places that occur, by level; a district's code begins with its province's."""
    provinces, departments = {key // 100 for key in used}, {key // 10_000 for key in used}
    wanted = {"Distrito": set(used), "Provincia": provinces, "Departamento": departments}
    words = {"Distrito": "districts", "Provincia": "provinces", "Departamento": "departments"}
    found = {}
    for table, keys in wanted.items():
        rows = _rows(held, held[table].select("id", f"Nombre_{table}"))
        found[words[table]] = sorted([key, name] for key, name in rows if key in keys)
    return found


def _names_of_crimes(held: Tables) -> ChartData:
    generics = sorted(_rows(held, held["Crimen_Generico"].select("id", "Nombre_Generico")))
    specifics = sorted(_rows(held, held["Crimen_Especifico"].select("id", "Id_Generico", "Nombre_Especifico")))
    modalities = sorted(_rows(held, held["Modalidad_Crimen"].select("id", "Id_Especifico", "Nombre_Modalidad")))
    generic = {row[0]: place for place, row in enumerate(generics)}
    specific = {row[0]: place for place, row in enumerate(specifics)}
    return {
        "generics": [name for _, name in generics],
        "specifics": [[name, generic[of]] for _, of, name in specifics],
        "modalities": [[name, specific[of]] for _, of, name in modalities],
        "modality_ids": [row[0] for row in modalities],
    }


def _robbery_cubes(held: Tables, rows: Sequence[tuple[Any, ...]], district: dict[int, int]) -> ChartData:
    kinds = sorted(_rows(held, held["Tipo_Robo"].select("id", "Tipo")))
    kind = {row[0]: place for place, row in enumerate(kinds)}
    weapons = _names((row[2], row[6]) for row in rows)
    ages, work = _names((row[4], row[6]) for row in rows), _names((row[5], row[6]) for row in rows)
    departments = {key: place for place, key in enumerate(sorted({key // 10_000 for key in district}))}
    by_place, by_age, by_work = Counter[Any](), Counter[Any](), Counter[Any]()
    for place, of, weapon, year, age, occupation, count in rows:
        with_what = (kind[of], _index(weapons, weapon), year)
        by_place[district[place], *with_what] += count
        by_age[departments[place // 10_000], _index(ages, age), *with_what] += count
        by_work[departments[place // 10_000], _index(work, occupation), *with_what] += count
    return {
        "kinds": [name for _, name in kinds],
        "weapons": list(weapons),
        "ages": list(ages),
        "occupations": list(work),
        "robberies": _columns(by_place, 4),
        "victims": _columns(by_age, 5),
        "work": _columns(by_work, 5),
    }


def _names(counted: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Names by how often they occur, the most frequent first => their place; what is rare shares the last."""
    counts: Counter[str] = Counter()
    for name, count in counted:
        counts[name] += count
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    kept = ordered if len(ordered) <= MOST else [*ordered[: MOST - 1], REST]
    return {name: place for place, name in enumerate(kept)}


def _index(names: dict[str, int], name: str) -> int:
    return names.get(name, len(names) - 1)


def _crime_cubes(found: ChartData, rows: Sequence[tuple[int, int, int, int]], district: dict[int, int]) -> ChartData:
    modality = {key: place for place, key in enumerate(found.pop("modality_ids"))}
    generic_of = [found["specifics"][of][1] for _, of in found["modalities"]]
    departments = {key: place for place, key in enumerate(sorted({key // 10_000 for key in district}))}
    by_place: defaultdict[Any, int] = defaultdict(int)
    by_mode: defaultdict[Any, int] = defaultdict(int)
    for place, of, year, count in rows:
        by_place[district[place], generic_of[modality[of]], year] += count
        by_mode[departments[place // 10_000], modality[of], year] += count
    return {"crimes": _columns(by_place, 3), "modes": _columns(by_mode, 3)}


def _columns(cells: dict[Any, int], keys: int) -> list[list[int]]:
    """Cells as lists: one for each key, and the counts."""
    ordered = sorted(cells.items())
    return [*([key[place] for key, _ in ordered] for place in range(keys)), [count for _, count in ordered]]


Rows = list[tuple[Any, ...]]
SAN_JUAN_DE_LURIGANCHO: Final = 150_132


def _district(cube: ChartData, place: int) -> tuple[str, str, str]:
    key, name = cube["places"]["districts"][place]
    return name, dict(cube["places"]["provinces"])[key // 100], dict(cube["places"]["departments"])[key // 10_000]


def _ranked(counts: Counter[Any]) -> list[tuple[Any, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _summed(columns: list[list[int]], *keys: int) -> Counter[Any]:
    """Count by one column, or by several."""
    found: Counter[Any] = Counter()
    for row in zip(*columns, strict=True):
        found[row[keys[0]] if len(keys) == 1 else tuple(row[key] for key in keys)] += row[-1]
    return found


def _robberies_by_district(cube: ChartData) -> Rows:
    counts = _ranked(_summed(cube["robberies"], 0))
    return [(*_district(cube, place)[:2], count) for place, count in counts]


def _named(names: str, columns: str, key: int) -> Callable[[ChartData], Rows]:
    def rows(cube: ChartData) -> Rows:
        return [(cube[names][place], count) for place, count in _ranked(_summed(cube[columns], key))]

    return rows


def _kinds_in_a_district(cube: ChartData) -> Rows:
    found: Counter[int] = Counter()
    for place, kind, _, _, count in zip(*cube["robberies"], strict=True):
        if cube["places"]["districts"][place][0] == SAN_JUAN_DE_LURIGANCHO:
            found[kind] += count
    return [(cube["kinds"][kind], count) for kind, count in _ranked(found)]


def _crimes_by_district(cube: ChartData) -> Rows:
    last = max(cube["crimes"][2], default=0)
    counts: Counter[int] = Counter()
    for place, _, year, count in zip(*cube["crimes"], strict=True):
        if year == last:
            counts[place] += count
    return [(*_district(cube, place), count) for place, count in _ranked(counts)]


def _crimes_by_year(cube: ChartData) -> Rows:
    provinces, departments = dict(cube["places"]["provinces"]), dict(cube["places"]["departments"])
    counts: Counter[tuple[int, int]] = Counter()
    for place, _, year, count in zip(*cube["crimes"], strict=True):
        counts[year, cube["places"]["districts"][place][0] // 100] += count
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return [(year, provinces[key], departments[key // 100], count) for (year, key), count in ordered]


def _crimes_by_place(cube: ChartData) -> Rows:
    counts = _summed(cube["crimes"], 0)
    return [(*_district(cube, place)[::-1], count) for place, count in sorted(counts.items())]


def _modalities(cube: ChartData) -> Rows:
    rows = []
    for place, count in _ranked(_summed(cube["modes"], 1)):
        name, specific = cube["modalities"][place]
        rows.append((name, cube["specifics"][specific][0], cube["generics"][cube["specifics"][specific][1]], count))
    return rows


def _generics(cube: ChartData) -> Rows:
    counts = _summed(cube["crimes"], 2, 1)
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return [(year, cube["generics"][generic], count) for (year, generic), count in ordered]


def _map(cube: ChartData) -> Rows:
    crimes, robberies = Counter[int](), Counter[int]()
    for columns, counts in ((cube["crimes"], crimes), (cube["robberies"], robberies)):
        for place, count in _summed(columns, 0).items():
            counts[cube["places"]["districts"][place][0] // 10_000] += count
    names = cube["places"]["departments"]
    return sorted(
        ((name, crimes[key], robberies[key]) for key, name in names), key=lambda row: (-row[1], -row[2], row[0])
    )


# Name => the headers of its columns, and its rows; in the order of the page.
CHARTS: Final[dict[str, tuple[tuple[str, ...], Callable[[ChartData], Rows]]]] = {
    "robberies-by-district": (("Distrito", "Provincia", "Robos"), _robberies_by_district),
    "ages": (("Edad de la víctima", "Robos"), _named("ages", "victims", 1)),
    "kinds-in-san-juan": (("Tipo de robo", "Robos"), _kinds_in_a_district),
    "kinds": (("Tipo de robo", "Robos"), _named("kinds", "robberies", 1)),
    "crimes-by-district": (("Distrito", "Provincia", "Departamento", "Delitos"), _crimes_by_district),
    "crimes-by-year": (("Año", "Provincia", "Departamento", "Delitos"), _crimes_by_year),
    "occupations": (("Ocupación de la víctima", "Robos"), _named("occupations", "work", 1)),
    "places": (("Departamento", "Provincia", "Distrito", "Delitos"), _crimes_by_place),
    "modalities": (("Modalidad", "Específico", "Genérico", "Delitos"), _modalities),
    "generics-by-year": (("Año", "Genérico", "Delitos"), _generics),
    "map": (("Departamento", "Delitos", "Robos"), _map),
}


def chart_names(name: str) -> list[str]:
    """Return the chart of a name, or all."""
    if name == "all":
        return list(CHARTS)
    if name not in CHARTS:
        raise CalcoError(f"{name!r}: there is no such chart; name all, or {', '.join(CHARTS)}")
    return [name]
