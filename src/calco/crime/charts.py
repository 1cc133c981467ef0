"""The ten charts and the map: what each shows, as rows; and as images, drawn by a browser from the page itself."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from calco.crime.cubes import Cube
from calco.errors import CalcoError

Rows = list[tuple[Any, ...]]
SAN_JUAN_DE_LURIGANCHO: Final = 150_132


def _district(cube: Cube, place: int) -> tuple[str, str, str]:
    key, name = cube["places"]["districts"][place]
    return name, dict(cube["places"]["provinces"])[key // 100], dict(cube["places"]["departments"])[key // 10_000]


def _ranked(counts: Counter[Any]) -> list[tuple[Any, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _summed(columns: list[list[int]], *keys: int) -> Counter[Any]:
    """Counts by one column, or by several."""
    found: Counter[Any] = Counter()
    for row in zip(*columns, strict=True):
        found[row[keys[0]] if len(keys) == 1 else tuple(row[key] for key in keys)] += row[-1]
    return found


def _robberies_by_district(cube: Cube) -> Rows:
    counts = _ranked(_summed(cube["robberies"], 0))
    return [(*_district(cube, place)[:2], count) for place, count in counts]


def _named(names: str, columns: str, key: int) -> Callable[[Cube], Rows]:
    def rows(cube: Cube) -> Rows:
        return [(cube[names][place], count) for place, count in _ranked(_summed(cube[columns], key))]

    return rows


def _kinds_in_a_district(cube: Cube) -> Rows:
    found: Counter[int] = Counter()
    for place, kind, _, _, count in zip(*cube["robberies"], strict=True):
        if cube["places"]["districts"][place][0] == SAN_JUAN_DE_LURIGANCHO:
            found[kind] += count
    return [(cube["kinds"][kind], count) for kind, count in _ranked(found)]


def _crimes_by_district(cube: Cube) -> Rows:
    last = max(cube["crimes"][2], default=0)
    counts: Counter[int] = Counter()
    for place, _, year, count in zip(*cube["crimes"], strict=True):
        if year == last:
            counts[place] += count
    return [(*_district(cube, place), count) for place, count in _ranked(counts)]


def _crimes_by_year(cube: Cube) -> Rows:
    provinces, departments = dict(cube["places"]["provinces"]), dict(cube["places"]["departments"])
    counts: Counter[tuple[int, int]] = Counter()
    for place, _, year, count in zip(*cube["crimes"], strict=True):
        counts[year, cube["places"]["districts"][place][0] // 100] += count
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return [(year, provinces[key], departments[key // 100], count) for (year, key), count in ordered]


def _places(cube: Cube) -> Rows:
    counts = _summed(cube["crimes"], 0)
    return [(*_district(cube, place)[::-1], count) for place, count in sorted(counts.items())]


def _modalities(cube: Cube) -> Rows:
    rows = []
    for place, count in _ranked(_summed(cube["modes"], 1)):
        name, specific = cube["modalities"][place]
        rows.append((name, cube["specifics"][specific][0], cube["generics"][cube["specifics"][specific][1]], count))
    return rows


def _generics(cube: Cube) -> Rows:
    counts = _summed(cube["crimes"], 2, 1)
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return [(year, cube["generics"][generic], count) for (year, generic), count in ordered]


def _map(cube: Cube) -> Rows:
    crimes, robberies = Counter[int](), Counter[int]()
    for columns, counts in ((cube["crimes"], crimes), (cube["robberies"], robberies)):
        for place, count in _summed(columns, 0).items():
            counts[cube["places"]["districts"][place][0] // 10_000] += count
    names = cube["places"]["departments"]
    return sorted(
        ((name, crimes[key], robberies[key]) for key, name in names), key=lambda row: (-row[1], -row[2], row[0])
    )


# Name => the heads of its columns, and its rows; in the order of the page.
CHARTS: Final[dict[str, tuple[tuple[str, ...], Callable[[Cube], Rows]]]] = {
    "robberies-by-district": (("Distrito", "Provincia", "Robos"), _robberies_by_district),
    "ages": (("Edad de la víctima", "Robos"), _named("ages", "victims", 1)),
    "kinds-in-san-juan": (("Tipo de robo", "Robos"), _kinds_in_a_district),
    "kinds": (("Tipo de robo", "Robos"), _named("kinds", "robberies", 1)),
    "crimes-by-district": (("Distrito", "Provincia", "Departamento", "Delitos"), _crimes_by_district),
    "crimes-by-year": (("Año", "Provincia", "Departamento", "Delitos"), _crimes_by_year),
    "occupations": (("Ocupación de la víctima", "Robos"), _named("occupations", "work", 1)),
    "places": (("Departamento", "Provincia", "Distrito", "Delitos"), _places),
    "modalities": (("Modalidad", "Específico", "Genérico", "Delitos"), _modalities),
    "generics-by-year": (("Año", "Genérico", "Delitos"), _generics),
    "map": (("Departamento", "Delitos", "Robos"), _map),
}


def named(name: str) -> list[str]:
    """The chart of a name, or all.

    Raises:
        CalcoError: When there is none.
    """
    if name == "all":
        return list(CHARTS)
    if name not in CHARTS:
        raise CalcoError(f"there is no chart {name!r}; draw all, or {', '.join(CHARTS)}")
    return [name]
