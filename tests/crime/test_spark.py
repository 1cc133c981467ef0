"""The same questions on Spark."""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from calco.crime.database import connect
from calco.crime.generate import GenerateConfig, generate
from calco.crime.load import LoadConfig, load
from calco.crime.queries import QUESTIONS, ask
from calco.crime.schema import TABLES
from crime.test_robberies import written
from support import requires

pytest.importorskip("ibis")

ROWS = 2_000
DAYS = ["3/12/2016", "4/1/2017", "5/6/2017", "5/6/2017", ""]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("spark")
    ages = [{"EDAD VICTIMA": "22-34", "EDAD DELINCUENTE": "15-21"}, {"EDAD VICTIMA": "", "DISTRITO": "Callao"}]
    written(folder, *({"FECHA": day, **ages[place % 2]} for place, day in enumerate(DAYS)))
    (folder / "kinds.csv").write_text("Crimen;Descripcion\nAsalto;Con violencia\nHurto;Sin violencia\n")
    generate(GenerateConfig(out=str(folder / "datacrim.parquet"), rows=ROWS))
    files = {name: str(folder / f"{name}.csv") for name in ("robberies", "kinds")}
    to = str(folder / "crime.duckdb")
    load(LoadConfig(datacrim=str(folder / "datacrim.parquet"), to=to, **files))
    backend = connect(to)
    yield backend
    backend.disconnect()


@pytest.fixture(scope="module")
def spark(tables: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    requires(find_spec("pyspark"), "PySpark", "pip install -e '.[dev]'")
    requires(shutil.which("java"), "Java", "apt-get install default-jre-headless")
    import ibis
    import pyarrow.parquet as pq
    from pyspark.sql import SparkSession

    folder: Path = tmp_path_factory.mktemp("tables")
    options = {
        "spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "1", "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1", "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }  # fmt: skip
    building = SparkSession.builder.master("local[1]")
    for name, value in options.items():
        building = building.config(name, value)
    session = building.getOrCreate()
    for name in TABLES:
        pq.write_table(tables.table(name).to_pyarrow(), f"{folder / name}.parquet")
        session.read.parquet(f"{folder / name}.parquet").createOrReplaceTempView(name)
    yield ibis.pyspark.connect(session)
    session.stop()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Spark's own of Python, pandas and sockets
def test_spark_answers_the_same(tables: Any, spark: Any) -> None:
    for question in QUESTIONS.values():
        ours, theirs = ask(tables, question), ask(spark, question)
        assert theirs.column_names == ours.column_names
        assert theirs.to_pylist() == ours.to_pylist(), question.name
        assert ours.num_rows
