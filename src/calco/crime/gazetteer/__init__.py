"""Peru's departments, provinces and districts, and which of them a name means.

The keys are INEI's UBIGEO codes as numbers: 15 is the department of Lima, 1501 its province of Lima, 150101 the
district that is called Cercado de Lima. SOURCES.txt names the sources and their licence.
"""

import csv
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Final

from calco.crime.clean import UnusableCell, fold

# Where the robberies of Data Criminal happened: the provinces of Lima and Callao.
METROPOLIS: Final = frozenset({1501, 701})


@dataclass(frozen=True, slots=True)
class Gazetteer:
    """The places by key, and for each level the keys that a folded name may mean: official names and aliases.

    The key of a province is that of a district without the last two digits, and that of a department likewise.
    """

    departments: dict[int, str] = field(default_factory=dict)
    provinces: dict[int, str] = field(default_factory=dict)
    districts: dict[int, str] = field(default_factory=dict)
    names: dict[str, dict[str, set[int]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))

    def district(
        self, name: str, province: str = "", department: str = "", *, within: Collection[int] | None = None
    ) -> int:
        """Return the one district that a name means, with or without its province and department.

        `within` limits the provinces, by their keys.
        """
        if not fold(name):
            raise UnusableCell("no district is given")
        every = self.names["distrito"].get(fold(name), set())
        if not every:
            raise UnusableCell("no district of Peru has this name")
        left = set(every)
        if fold(department):
            left &= {key for key in every if key // 10_000 in self._keys("departamento", department, "department")}
        if fold(province):
            left &= {key for key in every if key // 100 in self._keys("provincia", province, "province")}
        if within is not None:
            left &= {key for key in every if key // 100 in within}
        if len(left) == 1:
            return left.pop()
        if left:
            raise UnusableCell(f"ambiguous: there are districts of this name in {self._where(left)}")
        listed = " or ".join(self.provinces[key] for key in sorted(within or (), reverse=True))
        asked = ", ".join(filter(None, (province.strip(), department.strip()))) or listed
        raise UnusableCell(f"not in {asked}: the districts of this name are in {self._where(every)}")

    def _keys(self, level: str, name: str, word: str) -> set[int]:
        keys = self.names[level].get(fold(name))
        if not keys:
            raise UnusableCell(f"no {word} of Peru is called {name.strip()!r}")
        return keys

    def _where(self, districts: Collection[int]) -> str:
        places = [f"{self.provinces[key // 100]} ({self.departments[key // 10_000]})" for key in sorted(districts)]
        return ", ".join(places[:4]) + (f" and {len(places) - 4} more provinces" if len(places) > 4 else "")


@cache
def gazetteer() -> Gazetteer:
    """Return the gazetteer that ships with Calco; it is read once."""
    places = Gazetteer()
    folder = files("calco.crime.gazetteer")
    with (folder / "districts.csv").open(encoding="utf-8") as file:
        for code, department, province, district in list(csv.reader(file))[1:]:
            for level, table, key, name in (
                ("departamento", places.departments, int(code[:2]), department),
                ("provincia", places.provinces, int(code[:4]), province),
                ("distrito", places.districts, int(code), district),
            ):
                table[key] = name
                places.names[level][fold(name)].add(key)
    with (folder / "aliases.csv").open(encoding="utf-8") as file:
        for level, code, alias, _why in list(csv.reader(file))[1:]:
            places.names[level][fold(alias)].add(int(code))
    return places
