"""One training at a time in a folder, fresh or resumed, in one process or in several; folders of others are refused."""

from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from calco import CalcoError
from calco.outputs import LOCK
from calco.training.config import ComputeConfig, LimitConfig
from calco.training.run_folder import run_folder
from calco.training.translation import load_config, train
from support import lock_held, requires
from training.tiny import tiny


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_in_which_a_training_is_at_work_is_left_alone(images: Path, tmp_path: Path, resume: bool) -> None:
    run = tmp_path / "run"
    config = tiny(images, run, limit=LimitConfig(epochs=0, steps=1))
    if resume:
        train(config, progress=False)
        config = replace(load_config(run / "config.yaml"), limit=LimitConfig(epochs=0, steps=2))
    else:
        run.mkdir()
    before = contents(run)
    with lock_held(run / LOCK, "calco train"):
        with pytest.raises(CalcoError, match=r"calco train \(process 1\) is at work on .*run; wait for it to end"):
            train(config, resume=resume, progress=False)
        assert contents(run) == before | {LOCK: b"calco train (process 1)\n"}
    train(config, resume=resume, progress=False)
    assert not (run / LOCK).exists()


@pytest.mark.slow
def test_of_several_processes_the_first_holds_the_lock(images: Path, tmp_path: Path) -> None:
    requires(find_spec("accelerate"), "accelerate", "pip install 'calco[processes]'")
    config = tiny(images, tmp_path / "run", limit=LimitConfig(epochs=0, steps=1))
    config = replace(config, compute=ComputeConfig(processes=2, threads=1, workers=1, device="cpu"))
    (tmp_path / "run").mkdir()
    with lock_held(tmp_path / "run" / LOCK, "calco train"), pytest.raises(CalcoError, match="calco train .* at work"):
        train(config, progress=False)
    train(config, progress=False)
    assert not (tmp_path / "run" / LOCK).exists()


@pytest.mark.parametrize("name", ["evolution.mp4", "left_out.json", "samples/mine.png", "checkpoints/mine", "report/a"])
def test_files_of_others_under_the_names_of_a_run_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with ExitStack() as held, pytest.raises(CalcoError, match="holds other files, such as .*; choose a new or empty"):
        run_folder(str(tmp_path), "x", "calco train", held, resume=False)
    assert contents(tmp_path) == {name: b"mine"}


def test_two_trainings_without_out_get_a_folder_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ExitStack() as held:
        first = run_folder("", "colorize-x", "calco train", held, resume=False)
        second = run_folder("", "colorize-x", "calco train", held, resume=False)
    assert (str(first), str(second)) == ("runs/colorize-x", "runs/colorize-x-2")
