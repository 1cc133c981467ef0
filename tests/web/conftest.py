"""A studio with a translator, one that repairs, and a detector, shared by the tests of a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from web.studios import Site, make_detector, make_translator, opened


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: faces, scratches and people."""
    folder = tmp_path_factory.mktemp("runs")
    make_translator(folder / "faces")
    make_translator(folder / "scratches", "erase")
    make_detector(folder / "people")
    return folder


@pytest.fixture(scope="module")
def site(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    names = ("faces", "scratches", "people")
    with opened(tmp_path_factory.mktemp("state"), *(runs / name for name in names)) as found:
        yield found
