"""The row of crime: the questions to DataCrim's rows in DuckDB, beside plain Python over the same rows."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from calco.benchmarks.setting import Setting
from calco.benchmarks.timing import Row, Skipped, alternate, per_second, row

Numbers = Sequence[tuple[int, int, int, int, int]]  # id, district, modality, occurrences, year


def questions(setting: Setting) -> Iterator[Row | Skipped]:
    """Made-up rows of DataCrim in a file of DuckDB => the five answers that rest on them."""
    if missing := [name for name in ("ibis", "duckdb", "pyarrow") if find_spec(name) is None]:
        yield Skipped(group="crime", reason=f"{missing[0]} is not installed; pip install 'calco[crime]'")
        return
    from calco.crime.database import connect
    from calco.crime.generate import GenerateConfig, generate
    from calco.crime.load import LoadConfig, load
    from calco.crime.queries import QUESTIONS, ask
    from calco.crime.schema import DATACRIM

    count, folder = setting.sizes.crime_rows, setting.folder
    source, to = str(folder / "datacrim.parquet"), str(folder / "crime.duckdb")
    generate(GenerateConfig(out=source, rows=count, seed=setting.config.seed))
    load(LoadConfig(datacrim=source, to=to))
    backend = connect(to)
    try:
        rows = backend.con.execute('SELECT * FROM "Crimenes_DataCrim" ORDER BY id').fetchall()
        generic = dict(
            backend.con.execute(
                'SELECT m.id, e."Id_Generico" FROM "Modalidad_Crimen" m '
                'JOIN "Crimen_Especifico" e ON m."Id_Especifico" = e.id'
            ).fetchall()
        )
        seconds = alternate(
            lambda: [ask(backend, question) for question in QUESTIONS.values() if question.source == DATACRIM[-1]],
            lambda: plain_answers(rows, generic),
            setting.config.repeats,
        )
    finally:
        backend.disconnect()
    rates = [per_second(count, each) for each in seconds]
    yield row("crime", f"five questions to {count:,} rows", "rows/s", rates[0], rates[1], "plain Python over lists")


def plain_answers(rows: Numbers, generic: dict[int, int]) -> dict[str, Any]:
    """The five questions to DataCrim by loops, without the names."""
    most = max((row[3] for row in rows if row[4] == 2019), default=0)
    fewest = min((row[3] for row in rows if row[4] == 2017), default=0)
    sums: dict[int, int] = defaultdict(int)
    districts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    generics: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for _, district, modality, number, year in rows:
        if year == 2019:
            sums[district] += number
        for counted in (districts[district], generics[generic[modality]]):
            counted[0] += number
            counted[1] += 1
    return {
        "most-2019": [row for row in rows if row[4] == 2019 and row[3] == most],
        "fewest-2017": [row for row in rows if row[4] == 2017 and row[3] == fewest],
        "crimes-2019": sorted(sums.items(), key=lambda item: (-item[1], item[0])),
        "means-by-district": sorted(
            ((key, total / count) for key, (total, count) in districts.items()), key=lambda item: (-item[1], item[0])
        ),
        "means-by-generic": sorted(
            ((key, total / count) for key, (total, count) in generics.items()), key=lambda item: (item[1], item[0])
        ),
    }
