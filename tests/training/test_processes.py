"""Several processes that learn together: real ones, on loopback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from calco import CalcoError
from calco.data.config import JitterConfig
from calco.data.dataset import EpochSampler
from calco.data.recipes import RecipeConfig
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.training.checkpoint import list_checkpoints, load_checkpoint
from calco.training.config import ComputeConfig, KeepConfig, LimitConfig, OptimiserConfig, TrainConfig
from calco.training.processes import check_several
from calco.training.run_folder import with_shared_batch, write_config
from calco.training.translation import load_config, train


def tiny(images: Path, out: Path | str, *, batch: int, processes: int = 1, steps: int = 6, **changes) -> TrainConfig:
    """A small run with batch norm in both networks, whose innermost maps are one pixel wide, and no dropout."""
    config = TrainConfig(
        images=str(images),
        out=str(out),
        recipe=RecipeConfig(recipe="colorize"),
        jitter=JitterConfig(size=16, resize=18, fit="cover"),
        generator=GeneratorConfig(depth=4, filters=4, dropout=0.0, convention="tensorflow"),
        discriminator=DiscriminatorConfig(patch=16, filters=4),
        # An epsilon's worth of difference in a gradient near 0 would become a whole step of Adam at its first one.
        optimiser=OptimiserConfig(batch=batch, learning_rate=1e-4, ema=0.9),
        limit=LimitConfig(epochs=0, steps=steps),
        keep=KeepConfig(
            log_steps=1, checkpoint_steps=3, samples=1, validate_steps=1, validation_pairs=1, tensorboard=False
        ),
        compute=ComputeConfig(threads=1, precision="fp32", device="cpu", processes=processes),
    )
    return replace(config, **changes)


def last(run: Path) -> tuple[dict[str, torch.Tensor], dict]:
    return load_checkpoint(list_checkpoints(run / "checkpoints")[-1])


def alike(one: Path, other: Path) -> None:
    """Both runs have the same networks, running statistics and averages, to the rounding of a few steps."""
    first, second = last(one)[0], last(other)[0]
    names = [name for name in first if name.split(".")[0] in ("generator", "discriminator", "averaged")]
    assert any("running_var" in name for name in names)
    assert first.keys() == second.keys()
    for name in names:
        torch.testing.assert_close(first[name], second[name], rtol=2e-4, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")


def losses(run: Path) -> list[dict]:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [row["train"] for row in rows if "train" in row]


@pytest.fixture(scope="module")
def runs(images, tmp_path_factory):
    """The folder of all runs that two processes need: started once by torchrun, since the start takes longest."""
    folder = tmp_path_factory.mktemp("runs")
    single = tiny(images, folder / "alone", batch=4)
    train(single, progress=False)
    train(tiny(images, folder / "one-two", batch=4, steps=3), progress=False)
    more = replace(single, out=str(folder / "accumulated"), limit=LimitConfig(epochs=0, steps=2))
    train(replace(more, optimiser=replace(more.optimiser, accumulate=2)), progress=False)

    half = replace(single.optimiser, batch=2)
    dropping = replace(single.generator, dropout=0.5)
    jobs = {
        "together": replace(single, optimiser=half),
        "two-one": replace(single, optimiser=half, limit=LimitConfig(epochs=0, steps=3)),
        "accumulated-together": replace(more, optimiser=replace(half, accumulate=2)),
        "dropping": replace(single, optimiser=half, generator=dropping, limit=LimitConfig(epochs=0, steps=4)),
        "in-parts": replace(single, optimiser=half, generator=dropping, limit=LimitConfig(epochs=0, steps=2)),
    }
    for name, config in jobs.items():
        write_config(folder / f"{name}.yaml", replace(config, out=str(folder / name)), "translator", "test")
    code = f"""
import os
from dataclasses import replace
from calco import CalcoError
from calco.console import print_notes
from calco.training.config import LimitConfig
from calco.training.translation import load_config, train
print_notes()
folder = {str(folder)!r}
for name in {list(jobs)}:
    train(load_config(f"{{folder}}/{{name}}.yaml"), progress=False)
os.environ["LOCAL_WORLD_SIZE"] = "1"  # as if each of them ran on a machine of its own
config = load_config(f"{{folder}}/together.yaml")
train(replace(config, out=f"{{folder}}/two-machines"), progress=False)
os.environ["LOCAL_WORLD_SIZE"] = "2"
for name, steps in (("one-two", 6), ("in-parts", 4)):
    config = load_config(f"{{folder}}/{{name}}/config.yaml")
    train(replace(config, limit=LimitConfig(epochs=0, steps=steps)), resume=True, progress=False)
config = load_config(f"{{folder}}/together.yaml")
try:
    train(replace(config, out=f"{{folder}}/many", optimiser=replace(config.optimiser, batch=16)), progress=False)
except CalcoError as error:
    print(f"refused: {{error}}\\n", end="", flush=True)  # in one piece: the other process speaks too
"""
    (folder / "work.py").write_text(code)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, folder / "work.py"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    (folder / "said").write_text(done.stdout + done.stderr)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("run", ["together", "two-machines"])
def test_two_processes_learn_what_one_with_the_doubled_batch_learns(runs, run):
    alike(runs / "alone", runs / run)
    for one, two in zip(losses(runs / "alone"), losses(runs / run), strict=True):
        assert one == pytest.approx(two, rel=1e-4)


@pytest.mark.slow
def test_accumulated_gradients_are_averaged_over_the_processes_too(runs):
    alike(runs / "accumulated", runs / "accumulated-together")


@pytest.mark.slow
def test_one_process_writes_and_speaks(runs):
    rows = [json.loads(line) for line in (runs / "together" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "train" in row] == [1, 2, 3, 4, 5, 6]
    validated = [row["step"] for row in rows if "validation" in row]
    assert validated == sorted(set(validated)) and validated[-1] == 6
    assert not list(runs.rglob("*.tmp*"))
    assert load_config(runs / "together" / "config.yaml").compute.processes == 2
    assert (runs / "said").read_text().count(f"the run is {runs / 'together'}\n") == 1


@pytest.mark.slow
def test_two_processes_go_on_with_what_one_began(runs):
    """In mid-epoch, with the batch shared anew: they learn what the uninterrupted run did."""
    assert load_config(runs / "one-two" / "config.yaml").optimiser.batch == 2
    alike(runs / "alone", runs / "one-two")


@pytest.mark.slow
def test_one_process_goes_on_with_what_two_began(runs):
    config, position = load_config(runs / "two-one" / "config.yaml"), last(runs / "two-one")[1]
    assert position["items_in_epoch"] == 12
    one = replace(config, limit=LimitConfig(epochs=0, steps=6), compute=replace(config.compute, processes=1))
    train(one, resume=True, progress=False)
    assert load_config(runs / "two-one" / "config.yaml").optimiser.batch == 4
    alike(runs / "alone", runs / "two-one")


@pytest.mark.slow
def test_two_processes_with_dropout_resumed_equal_two_uninterrupted_bit_for_bit(runs):
    whole, parts = (
        {n: t for n, t in last(runs / run)[0].items() if not n.startswith("rng")} for run in ("dropping", "in-parts")
    )
    assert whole.keys() == parts.keys()
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []


@pytest.mark.slow
def test_more_processes_than_images_are_refused_in_one_line(runs):
    refused = [line for line in (runs / "said").read_text().splitlines() if line.startswith("refused: ")]
    assert len(refused) == 2  # by each of them
    for line in refused:
        assert re.match(r"refused: 2 processes with --batch 16 take 32 pairs at once, and there are \d+ to ", line)


def started(images: Path, tmp_path: Path) -> tuple[subprocess.Popen[str], Path, list[int]]:
    """A real command with two processes that trains until it is stopped; and the processes' numbers."""
    out = tmp_path / "run"
    keep = KeepConfig(validate_every=10**6, checkpoint_steps=10**6, samples=1, validation_pairs=1, tensorboard=False)
    config = tiny(images, "", batch=2, steps=10**6, keep=replace(keep, log_steps=1))
    write_config(tmp_path / "c.yaml", config, "translator", "test")
    words = ["train", "--config", str(tmp_path / "c.yaml"), "--out", str(out), "--processes", "2"]
    process = subprocess.Popen([sys.executable, "-m", "calco", *words], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "log.jsonl").exists() or (out / "log.jsonl").read_text().count("\n") < 3:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.05)
    team = members(process.pid)
    assert len(team) == 2
    return process, out, team


def members(pid: int) -> list[int]:
    """The processes that this one has started to learn together."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def gone(pids: list[int], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(os.path.exists(f"/proc/{pid}") for pid in pids):
        time.sleep(0.05)
    return not any(os.path.exists(f"/proc/{pid}") for pid in pids)


@pytest.mark.slow
def test_a_killed_process_ends_all_with_one_line_and_a_checkpoint_to_go_on_from(images, tmp_path):
    process, out, team = started(images, tmp_path)
    os.kill(team[1], signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    line = said.strip().splitlines()[-1]
    assert re.fullmatch(
        rf"calco: process \d of 2 was ended by SIGKILL, as when memory runs out; resume from the last checkpoint with: "
        rf"calco train --resume {out}",
        line,
    ), said
    assert "Traceback" not in said and said.count("calco: ") == 1
    assert gone(team)
    assert last(out)[1]["step"] == 0
    config = load_config(out / "config.yaml")
    train(replace(config, limit=LimitConfig(epochs=0, steps=2)), resume=True, progress=False)


@pytest.mark.slow
def test_a_signal_stops_all_after_one_step_with_one_checkpoint(images, tmp_path):
    process, out, team = started(images, tmp_path)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert said.count(f"resume with: calco train --resume {out}") == 1
    assert "Traceback" not in said
    assert gone(team)
    assert last(out)[1]["step"] > 0


@pytest.mark.slow
def test_the_processes_end_with_the_one_that_started_them(tmp_path):
    code = """
import functools, time
from calco.training.processes import launch
if __name__ == "__main__":
    launch(functools.partial(time.sleep, 60), 2)
"""
    (tmp_path / "work.py").write_text(code)
    process = subprocess.Popen([sys.executable, tmp_path / "work.py"])
    deadline = time.monotonic() + 30
    while len(team := members(process.pid)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)  # until they are at work
    process.kill()
    process.wait()
    assert gone(team)


@pytest.mark.slow
def test_what_all_processes_refuse_is_said_once(tmp_path):
    code = """
from calco import CalcoError
from calco.training.processes import launch
def refuse():
    raise CalcoError("there is no paper; buy some")
if __name__ == "__main__":
    try:
        launch(refuse, 2)
    except CalcoError as error:
        print(error)
"""
    (tmp_path / "work.py").write_text(code)
    done = subprocess.run([sys.executable, tmp_path / "work.py"], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("there is no paper; buy some\n", "")


@pytest.mark.slow
def test_what_cannot_be_shared_evenly_is_refused(runs):
    config = load_config(runs / "alone" / "config.yaml")
    more = replace(config, limit=LimitConfig(epochs=9), compute=replace(config.compute, processes=3))
    with pytest.raises(CalcoError, match="takes 4 pairs at once, which 3 processes cannot share evenly; resume with"):
        with_shared_batch(more, 3, "pairs")


@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_processes_share_each_batch_without_overlap(world):
    """At each step they take together what one process with the larger batch takes."""
    whole = list(EpochSampler(50, 2 * world, seed=3, epoch=1, start=1))
    parts = [list(EpochSampler(50, 2, 3, 1, start=1, rank=rank, world=world)) for rank in range(world)]
    steps = zip(*[[part[i : i + 2] for i in range(0, len(part), 2)] for part in parts], strict=True)
    assert [place for step in steps for mine in step for place in mine] == whole
    assert all(len(EpochSampler(50, 2, 3, 1, start=1, rank=r, world=world)) == len(parts[0]) for r in range(world))


def test_what_the_machine_lacks_for_several_processes_is_said(monkeypatch):
    gpus = torch.cuda.device_count()
    with pytest.raises(CalcoError, match=f"need a GPU each, and this machine has {gpus}; give fewer --processes"):
        check_several(gpus + 1, torch.device("cuda"))
    with pytest.raises(CalcoError, match="compute on cpu or cuda, not on meta"):
        check_several(2, torch.device("meta"))
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(CalcoError, match=r"need accelerate; pip install 'calco\[processes\]', or train without"):
        check_several(2, torch.device("cpu"))


@pytest.mark.parametrize("counts", [{"processes": 0}, {"threads": -1}])
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(CalcoError, match="must be at least"):
        ComputeConfig(**counts)
