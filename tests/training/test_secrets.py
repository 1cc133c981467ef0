"""A password in the address of the images stays in the process: in no file, message, page or traceback."""

import json
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest

from calco import CalcoError, imaging
from calco.cli import main
from calco.data.config import PrepareConfig
from calco.data.prepare import prepare
from calco.data.recipes import RecipeConfig
from calco.data.sources import open_source

fsspec = pytest.importorskip("fsspec")

SECRET = "s3cret-of-mine"
ADDRESS = f"memory://ana:{SECRET}@store/shards"
CUT = "memory://ana:***@store/shards"
TINY = """
    --preset small --steps 1 --epochs 0 --minutes 0 --resize 36 --size 32 --generator.depth 3 --generator.filters 4
    --discriminator.patch 16 --discriminator.filters 4 --batch 4 --threads 1
""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Shards behind an address with a password."""
    folder = tmp_path_factory.mktemp("stored")
    (folder / "in").mkdir()
    for number in range(12):
        image = np.random.default_rng(number).integers(0, 256, (36, 36, 3), dtype=np.uint8)
        imaging.write(folder / "in" / f"{number:02d}.png", image)
    prepare(PrepareConfig(images=str(folder / "in"), out=str(folder / "out"), recipe=RecipeConfig(recipe="colorize")))
    files = fsspec.filesystem("memory")
    place = ADDRESS.removeprefix("memory://")
    files.put(f"{folder / 'out'}/", f"/{place}/", recursive=True)
    return ADDRESS


def holding(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_a_run_keeps_no_password_and_asks_for_it_again(
    stored: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    main(["train", stored, *TINY, "--out", str(run)])
    assert CUT in (run / "config.yaml").read_text()
    assert CUT in (run / "model" / "model.json").read_text()
    assert holding(run) == []
    for words in (["train", "--resume", str(run), "--steps", "2"], ["evaluate", str(run)], ["export", str(run)]):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 2
    main(["train", stored, "--resume", str(run), "--steps", "2"])
    main(["evaluate", str(run), stored])
    scores = json.loads((run / "report" / "scores.json").read_text())
    assert len(scores["images"]) == 1, "of 12 the one of the test split"
    assert holding(run) == []
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    assert f"the address {CUT} was written down without its password or token" in err
    assert "calco train ADDRESS --resume RUN" in err


def test_preparing_and_checking_keep_no_password(stored: str, tmp_path: Path) -> None:
    prepare(PrepareConfig(images=stored, out=str(tmp_path / "again"), jobs=1))
    assert CUT in (tmp_path / "again" / "manifest.json").read_text()
    main(["check", stored, "--out", str(tmp_path / "page"), "--jobs", "1"])
    assert list((tmp_path / "page").iterdir())
    assert holding(tmp_path) == []


@pytest.mark.parametrize(
    "address",
    [f"memory://ana:{SECRET}@nowhere/x", f"memory://nowhere/x?token={SECRET}", f"http://ana:{SECRET}@127.0.0.1:9/x",
     f"http://127.0.0.1:9/x?sig={SECRET}", f"nofs://ana:{SECRET}@h/x"],
)  # fmt: skip
def test_an_address_that_fails_is_named_without_its_secret(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calco.data.storage._PAUSE", 0.001)
    with pytest.raises(CalcoError) as caught:
        open_source(address)
    assert SECRET not in str(caught.value)
    assert "***" in str(caught.value)


def test_a_traceback_of_a_fault_of_ours_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fault(_args: list[str]) -> None:
        raise KeyError(f"no answer of rtsp://ana:{SECRET}@10.0.0.9/stream \x1b[31m")

    monkeypatch.setattr("calco.cli.translators.bench", fault)
    before = sys.excepthook
    try:
        with pytest.raises(KeyError) as caught:
            main(["bench"])
        sys.excepthook(KeyError, caught.value, caught.tb)
    finally:
        sys.excepthook = before
    said = capsys.readouterr().err
    assert SECRET in "".join(traceback.format_exception(caught.value))
    assert SECRET not in said
    assert "rtsp://ana:***@10.0.0.9/stream" in said
    assert "\x1b" not in said
