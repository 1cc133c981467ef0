"""Training under faults: kills, damaged files, full disks, little memory, and nothing to validate on."""

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboardX.record_writer import RecordWriter

from calco import CalcoError, imaging
from calco.cli import main
from calco.data.config import SplitConfig
from calco.errors import OutOfMemoryError
from calco.files import digest
from calco.inference.translator import load
from calco.training.checkpoint import list_checkpoints, load_checkpoint
from calco.training.config import KeepConfig, LimitConfig, OptimiserConfig
from calco.training.run_folder import write_config
from calco.training.step import Networks
from calco.training.trainer import Trainer
from calco.training.translation import Translation, load_config, train
from training.tiny import same, tiny, weights

KEEP = {"log_steps": 2, "samples": 2, "validate_steps": 4, "checkpoint_steps": 4, "validation_pairs": 4}


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def killed(*_given, **_named):
    raise Killed


def resume(run: Path, **changes) -> Path:
    """Goes on with a run as the command line does."""
    config = replace(load_config(run / "config.yaml"), out=str(run), **changes)
    return train(config, resume=True, progress=False)


def rows(run: Path) -> list[dict]:
    """The log without what clocks measured."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: v for name, v in row.items() if name not in ("time", "images_per_s", "end")} for row in lines]


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """A run of 12 steps that nothing disturbed."""
    return train(tiny(images, tmp_path_factory.mktemp("whole") / "run", keep=KeepConfig(**KEEP)), progress=False)


@pytest.fixture
def copied(whole, tmp_path):
    """The same in a folder of its own."""
    return Path(shutil.copytree(whole, tmp_path / "copied"))


@pytest.mark.parametrize(("split", "tested"), [(SplitConfig(validation=0), 1), (SplitConfig(validation=0, test=0), 0)])
def test_without_validation_the_last_weights_are_kept(images, tmp_path, capsys, split, tested):
    run = train(tiny(images, tmp_path / "run", split=split), progress=False)
    said = capsys.readouterr().err
    assert "there is no validation: the last weights are kept" in said
    assert "the last model is" in said
    translator = load(run, device="cpu")
    assert translator.info.step == 12
    assert translator.info.scores == {}
    assert translator.info.provenance["splits"]["val"] == 0
    kept = translator.generator.state_dict()
    last = {name.removeprefix("averaged."): t for name, t in weights(run).items() if name.startswith("averaged.")}
    assert same(kept, last)
    if tested:
        main(["evaluate", str(run), "--out", str(tmp_path / "report")])
        assert json.loads((tmp_path / "report" / "scores.json").read_text())
    else:
        with pytest.raises(SystemExit) as left:
            main(["evaluate", str(run)])
        assert left.value.code == 2
        assert "name the images to score it on" in capsys.readouterr().err


def test_one_image_is_enough_where_nothing_is_kept_apart(tmp_path):
    (tmp_path / "set").mkdir()
    imaging.write(tmp_path / "set" / "one.png", np.full((40, 40, 3), (200, 90, 10), np.uint8))
    with pytest.raises(CalcoError, match=r"train without validation \(--split.validation 0\)"):
        train(tiny(tmp_path / "set", tmp_path / "run"), progress=False)
    split, limit = SplitConfig(validation=0, test=0), LimitConfig(epochs=0, steps=1)
    run = train(tiny(tmp_path / "set", tmp_path / "run", split=split, limit=limit), progress=False)
    assert load(run, device="cpu").info.step == 1


def some(folder: Path, num: int, side: int, start: int = 0) -> None:
    """Images of one size with a square of another colour."""
    random = np.random.default_rng(start)
    folder.mkdir(exist_ok=True)
    for number in range(start, start + num):
        image = np.full((side, side, 3), random.integers(0, 255, 3), np.uint8)
        image[side // 4 : side // 2] = 255 - image[0, 0]
        imaging.write(folder / f"{number:02d}.png", image)


@pytest.mark.parametrize(("small", "kept"), [(4, "best"), (12, "last")])
def test_an_image_that_a_metric_is_undefined_for_is_left_out_of_its_mean(tmp_path, capsys, small, kept):
    """SSIM needs 11 pixels: it is the mean over the larger images, or undefined where there are none."""
    some(tmp_path / "set", 12 - small, 48, start=20)
    some(tmp_path / "set", small, 8)
    from calco.data.config import JitterConfig

    run = train(
        tiny(
            tmp_path / "set", tmp_path / "run",
            jitter=JitterConfig(size=32, resize=0), split=SplitConfig(validation=0.5),
            keep=KeepConfig(**{**KEEP, "validation_pairs": 12}, best_by="ssim", tensorboard=False),
        ),
        progress=False,
    )  # fmt: skip
    said = capsys.readouterr().err
    validations = [row["validation"] for row in rows(run) if "validation" in row]
    assert all(("ssim" in scores) == (kept == "best") for scores in validations)
    assert "SSIM is undefined for" in said
    assert "smaller than 11 pixels" in said
    info = load(run, device="cpu").info
    assert f"the {kept} model is" in said
    if kept == "best":
        assert info.scores["ssim"] == max(scores["ssim"] for scores in validations)
    else:
        assert info.step == 12


def test_validation_images_that_cannot_be_read_leave_the_last_weights(images, tmp_path, capsys):
    from calco.data.sources import open_source
    from calco.data.splits import split_items

    folder = Path(shutil.copytree(images, tmp_path / "set"))
    config = tiny(folder, tmp_path / "run")
    for item in split_items(open_source(str(folder), config.source).items, config.split)["val"]:
        Path(item.paths[0]).write_bytes(b"no image")
    run = train(config, progress=False)
    assert "there is no validation: none of the" in capsys.readouterr().err
    assert load(run, device="cpu").info.step == 12


@pytest.mark.parametrize("point", ["validate", pytest.param("save", marks=pytest.mark.slow)])
def test_killed_around_a_validation_the_log_is_that_of_an_undisturbed_run(images, whole, tmp_path, monkeypatch, point):
    """The checkpoint of step 4 is written before the validation of that step, and again after it."""
    config = tiny(images, tmp_path / "run", keep=KeepConfig(**KEEP))
    if point == "validate":
        old = Trainer._score

        def score(self, log):
            old(self, log)
            killed()

        monkeypatch.setattr(Trainer, "_score", score)
    else:
        old_save, saved = Trainer.save, list[int]()

        def save(self):
            old_save(self)
            saved.append(self.step)
            if saved.count(8) == 1:
                killed()

        monkeypatch.setattr(Trainer, "save", save)
    with pytest.raises(Killed):
        train(config, progress=False)
    monkeypatch.undo()
    run = resume(tmp_path / "run")
    assert rows(run) == rows(whole)
    assert same(weights(run), weights(whole))
    assert digest(run / "model" / "model.safetensors") == digest(whole / "model" / "model.safetensors")
    assert board(run) == board(whole)


def board(run: Path) -> list[tuple[int, str]]:
    """Step and name of every value that TensorBoard shows: an event file makes it forget what it purges."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    shown: list[tuple[int, str]] = []
    for file in sorted((run / "tensorboard").iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data = file.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            if event.session_log.status == SessionLog.START:
                shown = [(step, name) for step, name in shown if step < event.step]
            shown += [(event.step, value.tag) for value in event.summary.value if value.tag != "images_per_s"]
    return sorted(shown)


def test_killed_before_the_last_validation_a_run_is_completed(images, whole, tmp_path, monkeypatch):
    """Its last checkpoint stands at the limit, and there is no model yet."""
    keep = KeepConfig(**{**KEEP, "validate_steps": 100})
    monkeypatch.setattr(Trainer, "_score", killed)
    with pytest.raises(Killed):
        train(tiny(images, tmp_path / "run", keep=keep), progress=False)
    monkeypatch.undo()
    assert load_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[-1])[1]["step"] == 12
    assert not (tmp_path / "run" / "model").exists()
    run = resume(tmp_path / "run")
    assert load(run, device="cpu").info.step == 12
    assert [row["step"] for row in rows(run) if "validation" in row] == [12]
    assert (run / "evolution.mp4").is_file()
    with pytest.raises(CalcoError, match=r"reached its limit at step 12.*--resume \S+ --steps 24"):
        resume(run)


def test_killed_while_the_model_is_replaced_the_former_one_comes_back(copied):
    (copied / "model").rename(copied / ".model.old")
    (copied / ".model.1234.tmp").mkdir()
    resume(copied, limit=LimitConfig(epochs=0, steps=13))
    assert load(copied, device="cpu").info.scores
    assert not list(copied.glob(".model*"))


def test_samples_of_steps_that_come_again_are_removed(copied):
    stale = copied / "samples" / "step-000000099.png"
    shutil.copy(next((copied / "samples").glob("*.png")), stale)
    resume(copied, limit=LimitConfig(epochs=0, steps=13))
    assert not stale.exists()


def flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 0x10
    file.write_bytes(data)


DAMAGES = {
    "a flipped bit in a weight": lambda file: flip(file, -5000),
    "a flipped bit in the position": lambda file: flip(file, file.read_bytes().index(b'"step') + 12),
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "empty": lambda file: file.write_bytes(b""),
    "something else": lambda file: file.write_bytes(b"\x10\0\0\0\0\0\0\0{}" + b" " * 14),
}


@pytest.mark.parametrize(
    "damage", [pytest.param(name, marks=[] if "in a weight" in name else pytest.mark.slow) for name in DAMAGES]
)
def test_from_a_damaged_checkpoint_the_run_goes_back_to_the_one_before(copied, whole, capsys, damage):
    """The run then makes the steps again, and ends like one that nothing disturbed."""
    before, newest = list_checkpoints(copied / "checkpoints")
    DAMAGES[damage](newest)
    resume(copied)
    assert "is damaged" in (said := capsys.readouterr().err)
    assert f"the run resumes from {before.name}" in said
    assert same(weights(copied), weights(whole))
    assert rows(copied) == rows(whole)
    assert newest.with_name(f"{newest.name}.damaged").exists()


def test_a_run_whose_checkpoints_are_all_damaged_says_so(copied):
    for file in (found := list_checkpoints(copied / "checkpoints")):
        flip(file, -5000)
    with pytest.raises(CalcoError, match="is damaged .* no other one that is sound; train anew with another --out"):
        resume(copied)
    assert list_checkpoints(copied / "checkpoints") == found


def test_a_checkpoint_of_another_network_is_refused_in_one_line(copied):
    config = (copied / "config.yaml").read_text().replace("filters: 4", "filters: 8")
    (copied / "config.yaml").write_text(config)
    with pytest.raises(CalcoError, match="does not fit .*config.yaml") as met:
        resume(copied, limit=LimitConfig(epochs=0, steps=13))
    assert "\n" not in str(met.value)


@pytest.mark.parametrize("damage", ["a flipped bit in a weight", "cut short", "empty"])
def test_a_model_with_other_weights_than_were_written_is_refused(copied, damage):
    DAMAGES[damage](copied / "model" / "model.safetensors")
    with pytest.raises(CalcoError, match="model.safetensors is damaged .*; copy the whole folder again"):
        load(copied, device="cpu")


def test_weights_that_are_not_finite_are_never_kept(images, tmp_path, monkeypatch):
    """A step from finite losses can lead to infinite weights: they are neither a checkpoint nor a model."""
    old = Networks.average

    def average(self, step):
        if step == 5:
            with torch.no_grad():
                next(self.generator.parameters())[0] = float("inf")
        old(self, step)

    monkeypatch.setattr(Networks, "average", average)
    keep = KeepConfig(**{**KEEP, "checkpoint_steps": 5})
    with pytest.raises(CalcoError, match=r"step 5: the weights generator\S+ are not finite numbers; the last good"):
        train(tiny(images, tmp_path / "run", keep=keep), progress=False)
    for file in list_checkpoints(tmp_path / "run" / "checkpoints"):
        assert load_checkpoint(file)[1]["step"] < 5


def test_however_short_the_time_a_finished_run_has_a_model(images, tmp_path):
    run = train(tiny(images, tmp_path / "run", limit=LimitConfig(epochs=0, minutes=1e-9)), progress=False)
    assert load(run, device="cpu").info.step == 1


@pytest.mark.parametrize(
    "part",
    [
        "checkpoints",
        *(pytest.param(part, marks=pytest.mark.slow) for part in ("samples", "model", "tensorboard", "log.jsonl")),
    ],
)
def test_what_a_full_disk_refuses_is_one_line_and_the_way_on_works(images, whole, tmp_path, monkeypatch, part):
    """The disk is full for whatever is written there after a step; then there is room, and the run resumes."""
    run, refused = tmp_path / "a run", list[str]()
    since = 4 if part == "model" else 8  # the first validation, at step 5, is sure to keep a model

    def full(path: Path | str) -> None:
        if refused and (run / part) in (Path(path), *Path(path).parents, Path(path).parent / "model"):
            raise OSError(errno.ENOSPC, "No space left on device")

    old_learn, old_replace = Translation.learn, os.replace

    def learn(self, group):
        if any(row["step"] == since for row in rows(run)):
            refused.append(part)
        return old_learn(self, group)

    monkeypatch.setattr(Translation, "learn", learn)
    monkeypatch.setattr(os, "replace", lambda one, two: (full(two), old_replace(one, two))[1])
    old_append = Path.open

    def opened(self, mode="r", *given, **named):
        if mode in ("a", "ab"):
            full(self)
        return old_append(self, mode, *given, **named)

    monkeypatch.setattr(Path, "open", opened)
    old_flush = RecordWriter.flush
    monkeypatch.setattr(RecordWriter, "flush", lambda self: (full(self.path), old_flush(self))[1])
    with pytest.raises(
        CalcoError, match=r"cannot write .*No space left.*free some space.*; then resume with: (.*)"
    ) as met:
        train(tiny(images, run, keep=KeepConfig(**KEEP)), progress=False)
    assert "\n" not in str(met.value)
    monkeypatch.undo()
    command = shlex.split(str(met.value).rpartition("resume with: ")[2])
    assert command[0] == "calco"
    main(command[1:])
    assert rows(run) == rows(whole)
    assert same(weights(run), weights(whole))
    assert digest(run / "model" / "model.safetensors") == digest(whole / "model" / "model.safetensors")
    assert not list(run.rglob("*.tmp*"))


@pytest.mark.slow
def test_a_file_size_limit_is_one_line(images, tmp_path):
    """A quota that free space does not show: the limit of a file's size, which safetensors meets by itself."""
    write_config(tmp_path / "c.yaml", tiny(images, ""), "translator", "test")
    words = f"ulimit -f 100; exec {sys.executable} -m calco train --config {tmp_path}/c.yaml --out {tmp_path}/run"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert re.search(r"calco: cannot write .*: File too large; raise the limit .*; then resume with: calco train", last)
    assert "Traceback" not in done.stderr


def test_a_video_that_cannot_be_written_is_noted_and_the_model_stays(images, tmp_path, capsys, monkeypatch):
    finish = Trainer.finish

    def blocked(self: Trainer, remark: str) -> None:
        (self.folder / "evolution.mp4").mkdir()
        finish(self, remark)

    monkeypatch.setattr(Trainer, "finish", blocked)
    run = train(tiny(images, tmp_path / "run"), progress=False)
    assert "the video of the samples is missing: cannot write" in capsys.readouterr().err
    assert load(run, device="cpu").info.scores


@pytest.mark.parametrize(
    ("allocate", "resumed"),
    [(lambda: torch.empty(1 << 50, dtype=torch.uint8), False), (lambda: np.empty(1 << 50, "u1"), True)],
    ids=["torch", "NumPy"],
)
def test_too_little_memory_is_one_line_with_the_options_that_need_less(
    images, whole, tmp_path, monkeypatch, allocate, resumed
):
    if resumed:
        copied = Path(shutil.copytree(whole, tmp_path / "run"))
    monkeypatch.setattr(Translation, "learn", lambda *_: allocate())
    config = replace(tiny(images, tmp_path / "run"), limit=LimitConfig(epochs=0, steps=13))
    with pytest.raises(OutOfMemoryError, match=r"not enough memory for another 1,125,899\.\d GB; ") as met:
        train(config, resume=resumed, progress=False)
    said = str(met.value)
    assert "\n" not in said
    assert "smaller --batch (now 4) or --size (now 32)" in said
    assert ("resume with --activation-checkpointing, or train anew" in said) == resumed
    monkeypatch.undo()
    if resumed:
        main(["train", "--resume", str(copied), "--steps", "13", "--activation-checkpointing"])
    else:  # the same folder serves, since nothing was trained
        smaller = OptimiserConfig(batch=2)
        train(tiny(images, tmp_path / "run", optimiser=smaller, limit=LimitConfig(epochs=0, steps=1)), progress=False)
    last = list_checkpoints(tmp_path / "run" / "checkpoints")[-1]
    assert load_checkpoint(last)[1]["step"] == (13 if resumed else 1)
    assert load(tmp_path / "run", device="cpu").info.scores
