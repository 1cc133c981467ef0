"""What was published, and why our answers differ: the study's join of names, done again upon the file of robberies.

The study wrote the names of districts in capitals without accents and joined them with the districts of the department
of Lima that DataCrim tells of. Done again, that gives its 352 rows and each of its counts; so the fault of every row is
known, not guessed.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calco.crime.clean import UNSPECIFIED, fold, squeezed
from calco.crime.gazetteer import gazetteer
from calco.crime.robberies import clean_robberies, read_kinds, robbery_rows

if TYPE_CHECKING:
    import pyarrow as pa

_LIMA: Final = 15  # the department
# Yauyos has a Miraflores too; DataCrim told of no crime there, for Miraflores stands but once in what was published.
_WITHOUT_CRIMES: Final = frozenset({151021})
_OTHERS: Final = "DataCrim's panel is not the rows that are loaded here unless they were collected from it"


@dataclass(frozen=True, slots=True)
class Published:
    """The published answer to a question.

    Attributes:
        counts: What it counts => how often; a part of the rows where only a part was published.
        key: The columns of ours that name what is counted; none where it is one figure.
        value: The column of ours that holds the count.
        why: Why ours differs.
        rows: How many rows the answer had; 0 where that was not told.
    """

    counts: Mapping[str, float]
    key: tuple[str, ...]
    value: str
    why: str
    rows: int = 0


_JOIN: Final = (
    "the study joined districts by name, within the department of Lima: Cercado de Lima, Callao and names such as "
    "Magdalena, Chosica or Huachipa found no partner and fell out, Surco was taken for the Surco of Huarochirí, and "
    "each robbery in San Luis counted twice, once for the San Luis of Cañete"
)
PUBLISHED: Final[dict[str, Published]] = {
    "kinds": Published(
        {"Asalto": 184, "Hurto": 66, "Sicariato": 31, "Raqueteo": 29, "Marcaje": 26, "Otros": 11, "Extorsión": 3,
         "Pepazo": 2},
        ("Tipo",), "Robos", _JOIN, 8,
    ),
    "districts": Published(
        {"San Juan de Lurigancho": 39, "San Martín de Porres": 25, "Comas": 24, "Los Olivos": 22, "La Victoria": 21,
         "Chorrillos": 21, "Miraflores": 17, "Carabayllo": 16, "San Luis": 6},
        ("Nombre_Distrito",), "Robos", f"{_JOIN}; it printed San Luis twice, with 3 each",
    ),
    "ages": Published(
        {}, ("id",), "",
        f"{_JOIN}; as there, \"Varios (2)\" is not taken for an age: it states how many there were, not how old", 7,
    ),
    "most-2019": Published(
        {"the most in one row": 1732}, (), "Numero_Ocurrencias",
        "the study asked for the maximum and, beside it, for names without grouping, which MySQL takes from another "
        f"row; here the names are those of the row that holds the maximum, and rows that tie are told; {_OTHERS}",
    ),
    "crimes-2019": Published(
        {"San Juan de Lurigancho": 35_304, "Lima": 28_568, "Callao": 23_976, "Chiclayo": 20_008, "Comas": 18_684},
        ("Nombre_Distrito",), "Delitos",
        f"{_OTHERS}; districts are grouped by key, so that namesakes stay apart", 1_297,
    ),
    "quarters": Published(
        {"2017 2": 185, "2017 1": 119, "2016 4": 45, "": 3}, ("Anio", "Trimestre"), "Robos",
        f"{_JOIN}; robberies without a date stood in 1900 there", 4,
    ),
    "fewest-2017": Published(
        {}, ("id",), "",
        f"as with the most of 2019, the names came from another row; a minimum is shared by many rows; {_OTHERS}",
    ),
    "means-by-district": Published({}, ("Nombre_Distrito",), "Media", _OTHERS, 1_827),
    "weapons": Published(
        {"Pistola": 255, "Otros": 48, "Sin Arma": 31, "Arma Blanca": 13, "No especifica": 2, "Comba": 1,
         "Pistola - Comba": 1, "Machete": 1},
        ("Tipo_Arma",), "Robos", _JOIN, 8,
    ),
    "means-by-generic": Published(
        {"Poderes del Estado": 1.03, "Patrimonio": 22.78}, ("Nombre_Generico",), "Media",
        f"the names were cut short in the publication; {_OTHERS}", 21,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Beside:
    """A figure that was published, and ours; None where one has none. `rebuilt` is the study's join done again."""

    name: str
    published: float | None
    ours: float | None
    rebuilt: float | None = None


def beside(name: str, answer: "pa.Table", rebuilt: "Rebuilt | None" = None) -> list[Beside]:
    """The published figures beside ours, in their order, then what only ours has (where all was published).

    Args:
        name: The question's.
        answer: Ours.
        rebuilt: The study's join, done again.
    """
    known = PUBLISHED[name]
    if not known.value:
        theirs = float(rebuilt.ages) if rebuilt and name == "ages" else None
        return [Beside("rows", known.rows, answer.num_rows, theirs)] if known.rows else []
    ours: dict[str, float] = {}
    for row in answer.select([*known.key, known.value]).to_pylist():
        label = " ".join(str(row[key]) for key in known.key if row[key] is not None)
        label = label if known.key else next(iter(known.counts))
        ours.setdefault(_told(label, known.counts), row[known.value])  # the first of namesakes holds the most
    again: Mapping[str, float] = rebuilt.counts.get(name, {}) if rebuilt else {}
    names = [*known.counts, *(label for label in ours if label not in known.counts and len(known.counts) == known.rows)]
    found = [Beside(one, known.counts.get(one), ours.get(one), again.get(one)) for one in names]
    if known.rows:
        found.append(Beside("rows", known.rows, answer.num_rows))
    return found


def _told(label: str, published: Mapping[str, float]) -> str:
    """A name as it was published: generic crimes were cut short there."""
    short = {fold(name): name for name in published if len(name) > len("Patrimonio") - 1}
    words = fold(label).removeprefix("CONTRA ").removeprefix("EL ").removeprefix("LOS ")
    return short.get(words) or next((name for key, name in short.items() if words.startswith(f"{key} Y ")), label)


@dataclass
class Rebuilt:
    """The study's table of robberies, made again.

    Attributes:
        rows: How many it had.
        counts: Question => name => count.
        ages: The rows that state two ages.
        fates: What became of a row of the file => how many; those that differ from ours.
    """

    rows: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    ages: int = 0
    fates: Counter[str] = field(default_factory=Counter)


def rebuild(robberies: str | Path, kinds: str | Path, *, today: date | None = None) -> Rebuilt:
    """Joins the robberies by name as the study did.

    Args:
        robberies: The file of robberies.
        kinds: The file of kinds.
        today: No robbery is later.

    Raises:
        CalcoError: When a file cannot be read.
    """
    places, rows = gazetteer(), list(robbery_rows(robberies))
    described = read_kinds(kinds).rows
    names = {key: kind for key, kind, _ in described}
    cleaned = clean_robberies(rows, described, places, robberies, today=today or datetime.now(UTC).date())
    by_name: dict[str, list[int]] = defaultdict(list)
    for key, district in places.districts.items():
        if key // 10_000 == _LIMA and key not in _WITHOUT_CRIMES:
            by_name[fold(district)].append(key)
    done = Rebuilt()
    for row in cleaned.rows:
        told = squeezed(rows[row[0] - 1].cells["DISTRITO"])
        joined = by_name[fold(told)]
        done.fates.update(_fates(told, row[1], joined))
        for place in joined:
            _count(done, row, names, places.districts[place])
    return done


def _fates(told: str, ours: int, joined: Sequence[int]) -> list[str]:
    places = gazetteer()
    if not joined:
        where = (
            places.districts[ours]
            if ours // 10_000 == _LIMA
            else f"the department {places.departments[ours // 10_000]}"
        )
        return [f"fell out: {told}, which is {'in ' if ours // 10_000 != _LIMA else ''}{where}"]
    if len(joined) > 1:
        where = " and ".join(places.provinces[key // 100] for key in joined)
        return [f"counted {len(joined)} times: {told}, in {where}"]
    return (
        [f"counted elsewhere: {told}, for the one in {places.provinces[joined[0] // 100]}"]
        if ours not in joined
        else []
    )


def _count(done: Rebuilt, row: tuple[Any, ...], kinds: Mapping[int, str], district: str) -> None:
    day: date | None = row[4]
    done.rows += 1
    done.counts["kinds"][kinds[row[2]]] += 1
    done.counts["districts"][district] += 1
    done.counts["weapons"][row[3]] += 1
    done.counts["quarters"][f"{day.year} {(day.month + 2) // 3}" if day else ""] += 1
    done.ages += not any(age == UNSPECIFIED or age.startswith("Varios") for age in row[5:7])
