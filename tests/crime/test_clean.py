"""One test for each rule of cleaning."""

from datetime import date, datetime
from decimal import Decimal

import pytest

from calco.crime import clean, dates
from calco.crime.clean import UnusableCell

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
        ("N.A.", None),
        ("s/d", None),
        ("-", None),
        ("3/12/2016 0:00", date(2016, 12, 3)),
        ("3/12/2016 10:30:15 p. m.", date(2016, 12, 3)),
        ("3-12-2016 a las 22:10 hrs", date(2016, 12, 3)),
        ("2016-12-03T23:59:00.000", date(2016, 12, 3)),
        ("2016-12-03T00:00:00Z", date(2016, 12, 3)),
        ("2016-12-03T23:00:00-05:00", date(2016, 12, 3)),
        ("2016-12-03T05:00:00.000Z", date(2016, 12, 3)),
        ("2016/12/3", date(2016, 12, 3)),
        ("24 12.16", date(2016, 12, 24)),
        ("20161203", date(2016, 12, 3)),
        ("03122016", date(2016, 12, 3)),
        (20161203, date(2016, 12, 3)),
        ("03-dic-16", date(2016, 12, 3)),
        ("3 de enero de 2017", date(2017, 1, 3)),
        ("3 de Setiembre del 2017", date(2017, 9, 3)),
        ("3 SEPT. 2017", date(2017, 9, 3)),
        ("3 de mayo del año 2017", date(2017, 5, 3)),
        ("Dec 3, 2016", date(2016, 12, 3)),
        ("3\u00a0dic\u200b 2016", date(2016, 12, 3)),
        ("42707", date(2016, 12, 3)),
        (42707, date(2016, 12, 3)),
        (42707.75, date(2016, 12, 3)),
        (Decimal(42707), date(2016, 12, 3)),
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
        ("3/12", "not a date"),
        ("3/12/2016 - 10.12", "not a date"),  # until the tenth, and no time of day
        ("ene-17", "the day, or the year, is missing"),
        ("3 de enero", "the day, or the year, is missing"),
        ("2016-12-04T02:30:00Z", "another day than in Peru"),
        ("2/1/2026", "the date lies in the future"),
        ("5000", "not a date"),
        ("99999", "not a date"),
        (float("inf"), "not a date"),
        ("#N/A", "an error of a spreadsheet"),
        ("#¡VALOR!", "an error of a spreadsheet"),
        ("######", "an error of a spreadsheet"),
        ("VERDADERO", "a truth value"),
        (clean.BadCell("", "a formula without a stored value"), "a formula without"),
    ],
)
def test_dates_that_cannot_be_are_told(told: str, reason: str) -> None:
    with pytest.raises(UnusableCell, match=reason):
        dates.read_date(told, today=TODAY)


def test_days_are_counted_from_1904_where_the_workbook_does() -> None:
    assert dates.read_date(41245, today=TODAY, date1904=True) == date(2016, 12, 3)
    assert dates.read_date(41245, today=TODAY) == date(2012, 12, 2)
    assert dates.read_date(24, today=TODAY, date1904=True) == 24  # a day of a month, in either


def test_a_day_alone_takes_month_and_year_of_the_next_complete_date() -> None:
    wrong = UnusableCell("no date")
    found = dates.complete_dates([24, None, 30, wrong, date(2016, 12, 2), 5, date(2017, 2, 1), 31])
    assert found[:5] == [date(2016, 12, 24), None, date(2016, 12, 30), wrong, date(2016, 12, 2)]
    assert found[5] == date(2017, 2, 5)
    assert str(found[7]) == "a day alone, without a complete date after it that gives the month"


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
    assert clean.gender(told) == kept


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (25, "25"),
        (25.0, "25"),
        ("25.0", "25"),
        ("'25", "25"),
        ("25,0", "25"),
        ("25 años", "25"),
        ("35-55", "35-55"),
        ("35 – 55", "35-55"),
        ("35 a 55 años", "35-55"),
        ("15-21 (3)", "15-21 (3)"),
        ("Varios(3)", "Varios (3)"),
        ("0-14", "0-14"),
        ("n/a", "No Especifica"),
        (datetime(2026, 12, 10), "10-12"),  # 10-12 where the day comes first
        (datetime(2026, 10, 12), "10-12"),  # and where the month does
        (datetime(2017, 5, 5), "5-5"),
        (datetime(1950, 10, 1), "10-50"),  # above 12 the second number was taken for a year
        (datetime(2012, 4, 1), "1-4"),
        ("10-dic", "10-12"),
        ("12-Oct", "10-12"),
        ("dic-50", "12-50"),
        ("10/12/2026", "10-12"),
        ("2026-12-10 00:00:00", "10-12"),
    ],
)
def test_ages(told: clean.Cell, kept: str) -> None:
    assert clean.age(told) == kept


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (datetime(2025, 12, 1), "that Excel made from a range such as 1-12 or 12-25; write it as text"),
        (datetime(1900, 1, 25), "a date, not an age"),
        ("25.5", "not a whole number"),
        (25.5, "not a whole number"),
        ("150", "not an age: above 130"),
        ("1.000", "not an age: above 130"),
        ("-5", "not a whole number"),
        ("31/31/2017", "a date, not an age"),
        ("22-34 / 35-55", "several groups"),
        ("#REF!", "an error of a spreadsheet"),
        ("FALSO", "a truth value"),
    ],
)
def test_ages_that_cannot_be_are_told(told: clean.Cell, reason: str) -> None:
    with pytest.raises(UnusableCell, match=reason):
        clean.age(told)


def test_genders_have_one_spelling() -> None:
    assert [clean.gender(told) for told in ("HOMBRE", "hombres (2)", "MUJERES(3)", "varios")] == [
        "Hombre", "Hombre (2)", "Mujer (3)", "Varios",
    ]  # fmt: skip
    with pytest.raises(UnusableCell, match="a date, not a gender"):
        clean.gender(datetime(2017, 1, 1))


def test_several_groups_in_one_cell_are_told() -> None:
    with pytest.raises(UnusableCell, match="several groups of persons in one cell"):
        clean.gender("Hombre / Mujer")


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
        ("PISTOLA", "Pistola"),
        ("pistola/ARMA BLANCA", "Pistola / Arma Blanca"),
        ("Pistola-Comba", "Pistola - Comba"),
        ("Semi-automática", "Semi-automática"),
        ("Pistola 9", "Pistola 9"),
        ("s/d", "Otros"),
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
    for wrong in ("-1", "dos", "1.5", "99999999999", datetime(1900, 1, 1)):
        with pytest.raises(UnusableCell, match="not a whole number"):
            clean.count(wrong)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("1.000", 1000),
        ("1.732", 1732),
        ("1,000", 1000),
        ("1 000", 1000),
        ("1\u202f000", 1000),
        ("1.234.567", 1234567),
        ("1,234,567", 1234567),
        ("1'234,567", 1234567),
        ("1.000,00", 1000),
        ("1,000.00", 1000),
        ("12,0", 12),
        ("0.000", 0),
        (1000.0, 1000),
        (Decimal("1000.000"), 1000),
        ("2147483647", 2**31 - 1),
    ],
)
def test_whole_numbers(told: clean.Cell, meant: int) -> None:
    assert clean.whole_number(told) == meant


@pytest.mark.parametrize(
    "told",
    ["12,5", "1.5", "1.00,0", "1.000,000", "1.234,567", "1.0000.000", "12.34.567", "0.123", "1E3", "1,73E+03", "-5",
     "(5)", "1.000.00", "2147483648", "2.147.483.648", "12.", "tres", "3 casos", 1.732, 12.5, float("nan"),
     Decimal("1.5"), True],
)  # fmt: skip
def test_what_is_not_whole_or_may_mean_two_numbers_is_refused(told: clean.Cell) -> None:
    with pytest.raises(UnusableCell, match="not a whole number from 0 on"):
        clean.whole_number(told)


def test_one_spelling_has_small_letters_then_is_the_most_frequent_then_has_accents() -> None:
    names = ["CUCHILLO", "cuchillo", "Cuchillo", "Revolver", "Revo\u0301lver", "Revólver", *["Policia"] * 2, "Policía"]
    found = clean.one_spelling(map(clean.squeezed, names))
    assert {clean.spelling(name): name for name in found.values()} == {
        "CUCHILLO": "Cuchillo", "REVOLVER": "Revólver", "POLICIA": "Policia",
    }  # fmt: skip
    assert clean.one_spelling(["Hombre (2)", "Hombre (3)"]) == {name: name for name in ("Hombre (2)", "Hombre (3)")}
    assert clean.one_spelling(["警察", "学生"]) == {name: name for name in ("警察", "学生")}


def test_signs_that_nobody_sees_are_left_out() -> None:
    assert clean.squeezed("San\u00a0Juan\u200b de\tLurigancho\x00\x1b\u202e\ufeff") == "San Juan de Lurigancho"
    assert clean.squeezed("Revo\u0301lver") == "Revólver"


def test_texts_of_datacrim_keep_letters_spaces_commas_and_hyphens() -> None:
    assert clean.letters(" 0123 - CONTRA LA VIDA, EL CUERPO  Y LA SALUD* 4/") == "CONTRA LA VIDA, EL CUERPO Y LA SALUD"
    assert clean.letters("HOMICIDIO CALIFICADO - ASESINATO") == "HOMICIDIO CALIFICADO - ASESINATO"
    assert clean.letters("BREÑA  (7)") == "BREÑA"
    assert clean.letters("12345") == ""


def test_years_of_datacrim() -> None:
    assert [dates.year(told, today=TODAY) for told in ("2019", 2015, " 2017.0 ")] == [2019, 2015, 2017]
    with pytest.raises(UnusableCell, match="the year 2107 lies in the future"):
        dates.year("2107", today=TODAY)
    assert dates.year("2.019", today=TODAY) == 2019
    with pytest.raises(UnusableCell, match="not a whole number"):
        dates.year("", today=TODAY)


def test_names_are_compared_without_accents() -> None:
    assert clean.fold("San Martín  de Porres") == clean.fold("SAN MARTIN DE PORRES")
    assert clean.fold("Breña") == "BRENA"
