"""Which place a name means, checked against what an atlas says."""

import csv
from importlib.resources import files

import pytest

from calco.crime.clean import UnusableCell, fold
from calco.crime.gazetteer import METROPOLIS, gazetteer

PLACES = gazetteer()


def test_all_of_peru_is_there() -> None:
    assert (len(PLACES.departments), len(PLACES.provinces), len(PLACES.districts)) == (25, 196, 1891)
    assert {key // 100 for key in PLACES.districts} == set(PLACES.provinces)
    assert {key // 100 for key in PLACES.provinces} == set(PLACES.departments)
    assert sum(key // 100 == 1501 for key in PLACES.districts) == 43  # Lima's
    assert sum(key // 100 == 701 for key in PLACES.districts) == 7  # Callao's


def test_no_two_districts_of_a_province_have_one_name() -> None:
    names = [(key // 100, fold(name)) for key, name in PLACES.districts.items()]
    assert len(set(names)) == len(names)


def test_every_alias_means_a_place_that_is_there() -> None:
    with files("calco.crime.gazetteer").joinpath("aliases.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    known = {"departamento": PLACES.departments, "provincia": PLACES.provinces, "distrito": PLACES.districts}
    assert [row for row in rows if int(row["ubigeo"]) not in known[row["level"]]] == []
    assert [row for row in rows if not fold(row["alias"])] == []


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("Cercado de Lima", 150101),
        ("LIMA", 150101),
        ("Surco", 150140),
        ("Santiago de Surco", 150140),
        ("Chosica", 150118),
        ("Lurigancho-Chosica", 150118),
        ("San Martín de Porres", 150135),
        ("San Martin de Porres", 150135),
        ("SAN MARTIN DE PORRES", 150135),
        ("Villa el Salvador", 150142),
        ("San Luis", 150134),
        ("Rímac", 150128),
        ("Magdalena", 150120),
        ("Mi Perú", 70107),
        ("Carmen de la Legua", 70103),
        ("Bellavista", 70102),
        ("Callao", 70101),
        ("Manchay", 150123),
        ("Huachipa", 150118),
    ],
)
def test_districts_of_the_metropolis(told: str, meant: int) -> None:
    assert PLACES.district(told, within=METROPOLIS) == meant


def test_a_name_that_provinces_share_is_resolved_by_province_or_told() -> None:
    assert PLACES.district("SAN LUIS", "LIMA", "LIMA") == 150134
    assert PLACES.district("San Luis", "Cañete", "Lima") == 150514
    assert PLACES.district("Surco", "Huarochirí", "Lima") == 150732
    assert PLACES.district("Surco", "Lima") == 150140
    with pytest.raises(UnusableCell, match=r"ambiguous: .*Lima \(Lima\), Cañete \(Lima\)"):
        PLACES.district("San Luis", "", "Lima")


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (("Atlántida", "", ""), "no district of Peru has this name"),
        (("", "Lima", "Lima"), "no district is given"),
        (("Comas", "Atlántida", "Lima"), "no province of Peru is called 'Atlántida'"),
        (("Comas", "Lima", "Atlántida"), "no department of Peru is called 'Atlántida'"),
        (("Comas", "Cañete", "Lima"), r"not in Cañete, Lima: .* in Concepción \(Junín\), Lima \(Lima\)"),
        (("'; DROP TABLE Distrito; --", "", ""), "no district of Peru has this name"),
    ],
)
def test_what_cannot_be_found_is_told(told: tuple[str, str, str], reason: str) -> None:
    with pytest.raises(UnusableCell, match=reason):
        PLACES.district(*told)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (("26 DE OCTUBRE", "PIURA", "PIURA"), 200115),
        (("DE OCTUBRE", "PIURA", "PIURA"), 200115),  # as it is left when figures are taken out
        (("CALLAO", "PROV. CONST. DEL CALLAO", "PROV. CONST. DEL CALLAO"), 70101),
        (("NAZCA", "NAZCA", "ICA"), 110301),
        (("CUZCO", "CUZCO", "CUZCO"), 80101),
        (("COMAS", "LIMA", "LIMA METROPOLITANA"), 150110),
    ],
)
def test_spellings_of_the_panel(told: tuple[str, str, str], meant: int) -> None:
    assert PLACES.district(*told) == meant
