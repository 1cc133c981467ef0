"""What tests of loading share."""

import csv
from pathlib import Path

import pytest

from calco.crime.generate import GenerateConfig, generate
from calco.crime.load import load
from crime.loading import DIRTY, ROWS, config
from crime.test_robberies import written


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kinds, two robberies of which one serves, DataCrim's rows by the thousand, and eleven dirty ones."""
    folder = tmp_path_factory.mktemp("sources")
    written(folder, {}, {"DISTRITO": "Atlántida"})
    (folder / "kinds.csv").write_text("Crimen;Descripcion\nAsalto;Con violencia\n")
    generate(GenerateConfig(out=str(folder / "datacrim.parquet"), rows=ROWS))
    with (folder / "dirty.csv").open("w", encoding="cp1252", newline="") as file:
        out = csv.writer(file)
        out.writerows(
            [("Año", "Numero", "Generica", "Especifica", "Modalidad", "Departamento", "Provincia", "Distrito")]
        )
        out.writerows(DIRTY)
    return folder


@pytest.fixture(scope="session")
def loaded(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of these sources; tests change copies of it."""
    path = tmp_path_factory.mktemp("loaded") / "crime.duckdb"
    load(config(sources, path))
    return path


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "many.parquet"
    generate(GenerateConfig(out=str(path), rows=600_000, seed=1))
    return path
