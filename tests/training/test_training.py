"""Training: exactness, resumption, limits, and what a run leaves behind."""

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from calco import CalcoError, imaging
from calco.cli import main
from calco.data.config import SplitConfig
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.training.checkpoint import list_checkpoints, load_checkpoint
from calco.training.config import (
    ComputeConfig,
    KeepConfig,
    LimitConfig,
    ObjectiveConfig,
    OptimiserConfig,
)
from calco.training.run_folder import write_config
from calco.training.trainer import Trainer
from calco.training.translation import load_config, train
from support import requires
from training.tiny import cut_short, same, tiny, weights


def test_a_run_leaves_everything_that_it_promises(done):
    run = done
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "train" in row] == [2, 4, 6, 8, 10, 12]
    assert all(math.isfinite(v) for row in rows if "train" in row for v in row["train"].values())
    assert {"l1", "psnr", "ssim"} == set(next(row["validation"] for row in rows if "validation" in row))
    assert len(list_checkpoints(run / "checkpoints")) == 2
    assert list((run / "samples").glob("*.png"))
    assert list((run / "tensorboard").iterdir())
    import av

    with av.open(str(run / "evolution.mp4")) as video:
        assert video.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in video.decode(video=0)) >= 2
    model = json.loads((run / "model" / "model.json").read_text())
    assert model["recipe"]["recipe"] == "colorize+erase"
    assert len(model["provenance"]["trained_on"]) >= 15
    assert not list(run.rglob("*.tmp*"))


def test_a_configuration_names_its_folder_until_that_holds_a_run(images, done, tmp_path, capsys):
    for folder, expected in ((tmp_path / "mine", str(tmp_path / "mine")), (done, "")):
        write_config(tmp_path / "c.yaml", tiny(images, folder), "translator", "test")
        main(["train", "--config", str(tmp_path / "c.yaml"), "--dry-run"])
        assert yaml.safe_load(capsys.readouterr().out.split("\n\n")[0])["out"] == expected


def test_the_best_model_is_the_one_with_the_best_validation_score(images, tmp_path):
    run = train(tiny(images, tmp_path / "run", limit=LimitConfig(epochs=0, steps=30)), progress=False)
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    scores = [row["validation"]["l1"] for row in rows if "validation" in row]
    assert len(scores) > 2
    kept = json.loads((run / "model" / "model.json").read_text())["scores"]["l1"]
    assert kept == min(scores)


def test_the_same_seed_gives_the_same_weights_and_another_one_others(images, done, tmp_path):
    other = train(tiny(images, tmp_path / "other", seed=1), progress=False)
    assert not same(weights(done), weights(other))
    again = replace(load_config(done / "config.yaml"), out=str(tmp_path / "again"))
    assert same(weights(done), weights(train(again, progress=False)))


def test_the_number_of_workers_changes_no_weight(images, done, tmp_path):
    none = train(tiny(images, tmp_path / "none", compute=ComputeConfig(threads=1, workers=0)), progress=False)
    assert same(weights(none), weights(done))


@pytest.mark.parametrize("order", ["d-then-g", pytest.param("together", marks=pytest.mark.slow)])
def test_resumed_in_python_equals_uninterrupted(images, done, tmp_path, monkeypatch, order):
    objective, whole = ObjectiveConfig(order=order), done
    if order == "together":
        whole = train(tiny(images, tmp_path / "whole", objective=objective), progress=False)
    config = tiny(images, tmp_path / "parts", objective=objective)
    # The rate falls with the share of the run that is done: the interrupted run has the same limit, and is cut short.
    cut_short(config, 7, monkeypatch)
    assert load_checkpoint(list_checkpoints(tmp_path / "parts" / "checkpoints")[-1])[1]["step"] == 8
    train(load_config(tmp_path / "parts" / "config.yaml"), resume=True, progress=False)
    assert same(weights(whole), weights(tmp_path / "parts"))
    logs = [(run / "log.jsonl").read_text().splitlines() for run in (whole, tmp_path / "parts")]
    bare = [
        [{k: v for k, v in json.loads(row).items() if k not in ("time", "images_per_s", "end")} for row in log]
        for log in logs
    ]
    assert bare[0] == bare[1]


def start(said: Path, *words: str) -> subprocess.Popen[bytes]:
    """A real `calco train` whose remarks go to a file."""
    with said.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", "calco", "train", *words], stdout=file, stderr=file)


@pytest.mark.slow
def test_killed_at_random_moments_the_weights_are_those_of_an_uninterrupted_run(images, tmp_path):
    """A real process, killed without warning, while it writes too; then resumed until it ends."""
    limit = LimitConfig(epochs=0, steps=60)
    keep = KeepConfig(
        log_steps=5, checkpoint_steps=1, samples=1, validate_steps=1, validation_pairs=1, tensorboard=False
    )
    whole = train(tiny(images, tmp_path / "whole", limit=limit, keep=keep), progress=False)
    killed = tmp_path / "killed"
    write_config(tmp_path / "c.yaml", tiny(images, "", limit=limit, keep=keep), "translator", "test")
    chance, kills, said = random.Random(0), 0, tmp_path / "said"
    process = start(said, "--config", str(tmp_path / "c.yaml"), "--out", str(killed))
    for _ in range(20):
        deadline = time.monotonic() + 60
        while not list_checkpoints(killed / "checkpoints") and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        marker = list_checkpoints(killed / "checkpoints")[-1:]
        while list_checkpoints(killed / "checkpoints")[-1:] == marker and process.poll() is None:
            time.sleep(0.002)  # until it writes again: a checkpoint a step makes most kills hit a write
        time.sleep(chance.uniform(0, 0.25))
        if kills >= 3 or process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        process = start(said, "--resume", str(killed))
    assert process.wait(timeout=120) == 0, said.read_text()
    assert kills >= 2
    assert same(weights(whole), weights(killed))
    assert same(load_file(whole / "model/model.safetensors"), load_file(killed / "model/model.safetensors"))


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_killed_before_its_first_checkpoint_starts_at_step_0(images, tmp_path, monkeypatch, capsys, resume):
    limit = LimitConfig(epochs=0, steps=3)
    whole = train(tiny(images, tmp_path / "whole", limit=limit), progress=False)
    config = tiny(images, tmp_path / "run", limit=limit)

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", killed)
        with pytest.raises(Killed):
            train(config, progress=False)
    assert (tmp_path / "run" / "config.yaml").is_file()
    train(load_config(tmp_path / "run" / "config.yaml"), resume=resume, progress=False)
    assert same(weights(whole), weights(tmp_path / "run"))
    assert ("training starts anew" in capsys.readouterr().err) == resume


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ("samples/step-000000003.png", "holds a run already; choose another --out"),
        ("model/model.json", "holds a run already; choose another --out"),
        ("model.json", "holds a run already; choose another --out"),
        ("config.yaml", "not of a training; choose another --out"),
    ],
)
def test_a_folder_with_results_of_something_else_is_not_overwritten(images, tmp_path, left, words):
    file = tmp_path / left
    file.parent.mkdir(exist_ok=True)
    file.write_text("model: x\n")
    with pytest.raises(CalcoError, match=words):
        train(tiny(images, tmp_path), progress=False)
    assert file.read_text() == "model: x\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step(images, tmp_path, monkeypatch, capsys, signum):
    run, update, before = tmp_path / "run", Trainer._update, signal.getsignal(signum)
    write_config(tmp_path / "c.yaml", tiny(images, ""), "translator", "test")

    def signalled(self, *given):
        if self.step == 2:
            os.kill(os.getpid(), signum)
        update(self, *given)

    monkeypatch.setattr(Trainer, "_update", signalled)
    with pytest.raises(SystemExit) as ended:
        main(["train", "--config", str(tmp_path / "c.yaml"), "--out", str(run)])
    assert ended.value.code == 130
    assert f"calco train --resume {run}" in " ".join(capsys.readouterr().err.split())
    assert load_checkpoint(list_checkpoints(run / "checkpoints")[-1])[1]["step"] == 3
    assert signal.getsignal(signum) is before


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_a_checkpoint_and_says_how_to_go_on(images, tmp_path, signum):
    run = tmp_path / "run"
    keep = KeepConfig(checkpoint_steps=10**6, validate_every=10**6, samples=1, validation_pairs=1, tensorboard=False)
    config = tiny(images, "", limit=LimitConfig(epochs=0, steps=10**6), keep=keep)
    write_config(tmp_path / "c.yaml", config, "translator", "test")
    said = tmp_path / "said"
    process = start(said, "--config", str(tmp_path / "c.yaml"), "--out", str(run))
    while len(list_checkpoints(run / "checkpoints")) < 1 and process.poll() is None:
        time.sleep(0.05)
    while not (run / "log.jsonl").exists() or not (run / "log.jsonl").read_text():
        time.sleep(0.05)
    process.send_signal(signum)
    assert process.wait(timeout=60) == 130
    assert f"calco train --resume {run}" in said.read_text()
    assert "Traceback" not in said.read_text()
    assert load_checkpoint(list_checkpoints(run / "checkpoints")[-1])[1]["step"] > 0


def test_accumulated_gradients_equal_the_larger_batch(images, tmp_path):
    """Without batch statistics and dropout, two batches of 2 give the step of one batch of 4."""
    from calco.training.pairs import Batch
    from calco.training.step import Networks, training_step

    config = tiny(
        images,
        tmp_path / "run",
        generator=GeneratorConfig(depth=3, filters=4, norm="none", dropout=0.0, composition="plain"),
        discriminator=DiscriminatorConfig(patch=16, filters=4, norm="none"),
        objective=ObjectiveConfig(order="together"),
        compute=ComputeConfig(precision="fp32", threads=1),
    )
    chance = torch.Generator().manual_seed(0)

    def some(channels):
        return torch.randint(0, 256, (4, channels, 32, 32), dtype=torch.uint8, generator=chance)

    x, y, w = some(3), some(3), torch.ones(4, 1, 32, 32)
    one, two = (Networks(config, 3, 3, torch.device("cpu")) for _ in range(2))
    for network in (one, two):  # Adam divides by the gradient's size: plain descent shows the gradients themselves
        for name, part in (("g_optimiser", network.generator), ("d_optimiser", network.discriminator)):
            network.optimisers[name] = torch.optim.SGD(part.parameters(), lr=1e-3)
    first = training_step(one, [Batch(x, y, w)])
    halves = [Batch(x[i : i + 2], y[i : i + 2], w[i : i + 2]) for i in (0, 2)]
    second = training_step(two, halves)
    assert first == pytest.approx(second, rel=1e-5)
    for a, b in zip(one.generator.parameters(), two.generator.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_a_loss_that_is_not_finite_stops_the_run_with_step_checkpoint_and_remedy(images, tmp_path):
    config = tiny(images, tmp_path / "run", optimiser=OptimiserConfig(batch=4, learning_rate=1e30))
    with pytest.raises(CalcoError, match=r"step \d+: .*(nan|inf).*last good checkpoint is .*lower --learning-rate"):
        train(config, progress=False)
    tensors, _ = load_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[-1])
    assert all(
        torch.isfinite(t).all() for n, t in tensors.items() if n.startswith("generator") and t.is_floating_point()
    )


def test_a_full_disk_is_foreseen(images, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1 << 20))
    with pytest.raises(CalcoError, match="the run needs about .* left; free some"):
        train(tiny(images, tmp_path / "run"), progress=False)


def test_limits(images, tmp_path):
    epochs = train(tiny(images, tmp_path / "e", limit=LimitConfig(epochs=2)), progress=False)
    assert load_checkpoint(list_checkpoints(epochs / "checkpoints")[-1])[1]["epoch"] == 2
    began = time.monotonic()
    train(tiny(images, tmp_path / "m", limit=LimitConfig(epochs=0, minutes=0.01)), progress=False)
    assert time.monotonic() - began > 0.6  # and it has ended, though nothing else limits it
    with pytest.raises(CalcoError, match="has reached its limit at step .* --epochs 4"):
        train(load_config(epochs / "config.yaml"), resume=True, progress=False)


def test_a_standing_run_is_not_overwritten(images, done):
    with pytest.raises(CalcoError, match="holds a run already; resume it with --resume"):
        train(tiny(images, done), progress=False)


def test_damaged_images_are_noted_and_the_run_goes_on(images, tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    for path in imaging.list_images(images):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "bad.png").write_text("text")
    run = train(tiny(folder, tmp_path / "run", split=SplitConfig(validation=0, test=0)), progress=False)
    assert list(json.loads((run / "left_out.json").read_text())) == ["bad"]
    assert load_checkpoint(list_checkpoints(run / "checkpoints")[-1])[1]["step"] == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "huge"], "there is no preset huge; choose one of best, pix2pix, tutorial, small"),
        (["--size", "100"], "size 100 is not a multiple of 256"),
        (["--epochs", "0"], "one of them must be above 0"),
        (["--recipe", "paint"], "choose one of aligned"),
        (["--recipe", "aligned"], "aligned needs"),
        (["--resume", "nowhere"], "cannot read nowhere/config.yaml"),
        (["--learning-rate", "-1"], "must be above 0"),
        (["--generator.dropout", "1"], r"a probability in [0, 1)"),
    ],
)
def test_wrong_options_are_answered_in_one_line_with_exit_code_2(images, capsys, words, message):
    with pytest.raises(SystemExit) as left:
        main(["train", str(images), *words])
    assert left.value.code == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def test_an_unknown_option_or_verb_leaves_with_2(images, capsys):
    for words in (["train", str(images), "--colour", "red"], ["paint"]):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 2
    assert "choose one of demo, collect" in capsys.readouterr().err


def test_a_folder_under_a_file_is_said(images, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CalcoError, match="cannot make the folder"):
        train(tiny(images, tmp_path / "file" / "run"), progress=False)


def test_a_folder_whose_name_is_not_utf_8_is_refused(images, tmp_path):
    with pytest.raises(CalcoError, match=r"caf\\xe9 has a name that is not UTF-8"):
        train(tiny(images, tmp_path / "caf\udce9"), progress=False)


@pytest.mark.slow
def test_a_folder_that_may_not_be_written_is_said(images, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    words = [sys.executable, "-m", "calco", "train", str(images), "--recipe", "colorize", "--preset", "small"]
    words += ["--out", str(locked / "run")]
    if os.geteuid() == 0:  # root may write everywhere, unless it lays that right down
        requires(shutil.which("setpriv"), "setpriv", "apt-get install util-linux")
        words = ["setpriv", "--bounding-set=-dac_override", *words]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Permission denied; check who owns it" in done.stderr
    assert "Traceback" not in done.stderr


def test_dry_run_prints_configuration_summary_and_sizes_and_leaves(images, tmp_path, capsys):
    main(["train", str(images), "--recipe", "colorize", "--out", str(tmp_path / "run"), "--dry-run"])
    printed = capsys.readouterr().out
    assert "54,4" in printed
    assert "2,76" in printed
    assert "recipe: colorize" in printed
    assert "24 images" in printed
    assert not (tmp_path / "run").exists()


def test_resume_refuses_another_network_but_takes_a_higher_limit(done, tmp_path, capsys):
    run = Path(shutil.copytree(done, tmp_path / "run"))
    with pytest.raises(SystemExit):
        main(["train", "--resume", str(run), "--generator.filters", "8"])
    assert "generator differs" in capsys.readouterr().err
    main(["train", "--resume", str(run), "--steps", "15"])
    assert load_checkpoint(list_checkpoints(run / "checkpoints")[-1])[1]["step"] == 15
