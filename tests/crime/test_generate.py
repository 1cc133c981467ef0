"""Rows like DataCrim's: the same columns, real names, the same ones from the same seed, in bounded memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from calco import CalcoError
from calco.crime.datacrim import COLUMNS
from calco.crime.generate import BLOCK, GenerateConfig, generate

pq = pytest.importorskip("pyarrow.parquet")


def rows_of(path: Path, **options: object) -> list[dict[str, object]]:
    generate(GenerateConfig(out=str(path), **options))
    rows: list[dict[str, object]] = pq.read_table(path).to_pylist()
    return rows


def test_columns_names_and_sizes_are_datacrims(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "rows.parquet", rows=20_000, dirty=0.0)
    assert len(rows) == 20_000
    assert list(rows[0]) == list(COLUMNS)
    assert {row["Año"] for row in rows} == {2015, 2016, 2017, 2018, 2019}
    numbers = [int(str(row["Numero"])) for row in rows]
    assert min(numbers) == 1
    assert max(numbers) <= 1732
    assert sorted(numbers)[len(numbers) // 2] * 2 < sum(numbers) / len(numbers)  # skewed: few rows hold most
    assert {"BREÑA", "SAN JUAN DE LURIGANCHO"} <= {row["Distrito"] for row in rows}
    totals: dict[object, int] = {}
    for row, number in zip(rows, numbers, strict=True):
        place = row["Departamento"], row["Provincia"], row["Distrito"]
        totals[place] = totals.get(place, 0) + number
    assert max(totals, key=lambda place: totals[place]) == ("LIMA", "LIMA", "SAN JUAN DE LURIGANCHO")


def test_the_same_seed_gives_the_same_rows_for_any_number(tmp_path: Path) -> None:
    few = rows_of(tmp_path / "few.parquet", rows=1000, seed=3)
    generate(GenerateConfig(out=str(tmp_path / "many.parquet"), rows=BLOCK + 1000, seed=3))
    assert pq.read_table(tmp_path / "many.parquet").slice(0, 1000).to_pylist() == few
    assert rows_of(tmp_path / "others.parquet", rows=1000, seed=4) != few


def test_csv_and_parquet_hold_the_same(tmp_path: Path) -> None:
    import csv

    rows = rows_of(tmp_path / "rows.parquet", rows=500, dirty=0.5)
    generate(GenerateConfig(out=str(tmp_path / "rows.csv"), rows=500, dirty=0.5))
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == [{name: str(value) for name, value in row.items()} for row in rows]


def test_dirty_texts_come_clean_again(tmp_path: Path) -> None:
    from calco.crime.clean import letters

    clean = rows_of(tmp_path / "clean.parquet", rows=2000, dirty=0.0)
    dirty = rows_of(tmp_path / "dirty.parquet", rows=2000, dirty=1.0)
    for before, after in zip(clean, dirty, strict=True):
        assert before["Distrito"] != after["Distrito"]
        assert letters(str(after["Distrito"])) == letters(str(before["Distrito"]))
        assert letters(str(after["Modalidad"])) == letters(str(before["Modalidad"]))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        code = (
            "import resource, sys\nfrom calco.crime.generate import GenerateConfig, generate\n"
            "generate(GenerateConfig(out=sys.argv[1], rows=int(sys.argv[2])))\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        out = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "rows.parquet"), str(rows)], capture_output=True, check=True
        )
        return int(out.stdout)

    few = peak(BLOCK)
    assert peak(4 * BLOCK) < few * 1.25


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"out": "rows.txt"}, "must end in .parquet or .csv"),
        ({"out": "rows.csv", "rows": 0}, "rows is 0; it must lie between 1 and 2147483647"),
        ({"out": "rows.csv", "dirty": 2.0}, "dirty is 2.0; it must lie between 0 and 1"),
    ],
)
def test_options_that_do_not_fit_are_told(options: dict[str, object], told: str) -> None:
    with pytest.raises(CalcoError) as error:
        GenerateConfig(**options)
    assert told in str(error.value)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="there is no folder"):
        generate(GenerateConfig(out=str(tmp_path / "nowhere" / "rows.csv"), rows=10))
