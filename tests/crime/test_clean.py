"""One test for each rule of cleaning."""

from datetime import date, datetime

import pytest

from calco.crime import clean, dates, persons
from calco.crime.clean import Unusable

TODAY = date(2026, 1, 1)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("3/12/2016", date(2016, 12, 3)),
        ("9-1-17", date(2017, 1, 9)),
        ("05-01.2017", date(2017, 1, 5)),
        (" 5/04/2017 ", date(2017, 4, 5)),
        ("2016-12-03", date(2016, 12, 3)),
        ("2016-12-03 00:00:00", date(2016, 12, 3)),
        (datetime(2016, 12, 3), date(2016, 12, 3)),
        ("07-02-0217", date(2017, 2, 7)),
        ("11/02/2107", date(2017, 2, 11)),
        (datetime(2107, 2, 11), date(2017, 2, 11)),
        ("02-14-17", date(2017, 2, 14)),
        ("24", 24),
        (24, 24),
        (24.0, 24),
        ("", None),
        (None, None),
    ],
)
def test_dates_are_understood(told: object, meant: object) -> None:
    assert dates.read_date(told, today=TODAY) == meant


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("31/02/2017", "not a day of the calendar"),
        ("13/13/2017", "not a day of the calendar"),
        ("5/5/2099", "the year 2099 lies in the future"),
        ("5/5/1017", "the year 1017 is before 1990"),
        ("32", "not a day of a month"),
        ("0", "not a day of a month"),
        ("ayer", "not a date"),
    ],
)
def test_dates_that_cannot_be_are_told(told: str, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        dates.read_date(told, today=TODAY)


def test_a_day_alone_takes_month_and_year_of_the_next_complete_date() -> None:
    wrong = Unusable("no date")
    found = dates.complete_dates([24, None, 30, wrong, date(2016, 12, 2), 5, date(2017, 2, 1), 31])
    assert found[:5] == [date(2016, 12, 24), None, date(2016, 12, 30), wrong, date(2016, 12, 2)]
    assert found[5] == date(2017, 2, 5)
    assert str(found[7]) == "a day alone, and no complete date after it to tell its month"


def test_a_day_that_the_next_month_does_not_have_is_told() -> None:
    (day, _) = dates.complete_dates([31, date(2017, 2, 1)])
    assert "02/2017, which has no such day" in str(day)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("", "No Especifica"),
        (None, "No Especifica"),
        ("(no especifica)", "No Especifica"),
        ("Varios (No especifíca)", "No Especifica"),
        ("Varios(No especifica)", "No Especifica"),
        ("Varios (No especifricar", "No Especifica"),
        ("Varios (2)", "Varios (2)"),
        ("Hombre(2)", "Hombre (2)"),
        ("Hombres (3)", "Hombre (3)"),
        ("Hombres", "Hombre"),
        ("Mujeres (2)", "Mujer (2)"),
    ],
)
def test_age_and_gender(told: str | None, kept: str) -> None:
    assert persons.gender(told) == kept


def test_several_groups_in_one_cell_are_told() -> None:
    with pytest.raises(Unusable, match="several groups of persons in one cell"):
        persons.gender("Hombre / Mujer")


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("", "Otros"),
        ("Sin arma", "Sin Arma"),
        ("Arma  blanca", "Arma Blanca"),
        ("Pistola - Comba", "Pistola - Comba"),
        ("Pistola / Arma blanca", "Pistola / Arma Blanca"),
        ("No especifica", "No especifica"),
        ("Lanza", "Lanza"),
    ],
)
def test_weapons(told: str, kept: str) -> None:
    assert clean.weapon(told) == kept


def test_occupations() -> None:
    assert [clean.occupation(told) for told in (None, "No especifica", " Policía ")] == ["No Especifica"] * 2 + [
        "Policía"
    ]


def test_dead_and_injured() -> None:
    assert [clean.count(told) for told in ("", None, "2", 3, 4.0)] == [0, 0, 2, 3, 4]
    for wrong in ("-1", "dos", "1.5", "99999999999"):
        with pytest.raises(Unusable, match="not a whole number"):
            clean.count(wrong)


def test_texts_of_datacrim_keep_letters_spaces_commas_and_hyphens() -> None:
    assert clean.letters(" 0123 - CONTRA LA VIDA, EL CUERPO  Y LA SALUD* 4/") == "CONTRA LA VIDA, EL CUERPO Y LA SALUD"
    assert clean.letters("HOMICIDIO CALIFICADO - ASESINATO") == "HOMICIDIO CALIFICADO - ASESINATO"
    assert clean.letters("BREÑA  (7)") == "BREÑA"
    assert clean.letters("12345") == ""


def test_years_of_datacrim() -> None:
    assert [dates.year(told, today=TODAY) for told in ("2019", 2015, " 2017.0 ")] == [2019, 2015, 2017]
    with pytest.raises(Unusable, match="the year 2107 lies in the future"):
        dates.year("2107", today=TODAY)
    with pytest.raises(Unusable, match="not a whole number"):
        dates.year("", today=TODAY)


def test_names_are_compared_without_accents() -> None:
    assert clean.fold("San Martín  de Porres") == clean.fold("SAN MARTIN DE PORRES")
    assert clean.fold("Breña") == "BRENA"
