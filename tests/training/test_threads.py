"""The number of threads: chosen by the duration of the steps, logged, resumed, and none above the cores."""

import json
import os
from pathlib import Path

import pytest
import torch

from calco.errors import UsageError
from calco.training.config import ComputeConfig
from calco.training.threads import ThreadChoice, possible_counts
from calco.training.translation import train
from training.tiny import cut_short, same, tiny, weights

CPU = torch.device("cpu")


class Machine:
    """A machine on which a step takes as many seconds as `seconds` says of each number of threads."""

    def __init__(self, counts: list[int], seconds: dict[int, float]) -> None:
        self.now, self.seconds = 0.0, seconds
        self.threads = ThreadChoice(counts, lambda: self.now)

    def run(self, steps: int) -> list[int]:
        """Make steps; return the number of threads of each."""
        used = []
        for _ in range(steps):
            self.threads.apply()
            used.append(self.threads.count)
            self.now += self.seconds[self.threads.count]
            self.threads.took(self.seconds[self.threads.count])
        return used


@pytest.fixture(autouse=True)
def _as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_fastest_number_is_kept_after_a_few_steps_in_turns():
    machine = Machine([2, 1], {2: 1.0, 1: 1.4})
    assert machine.run(8) == [2, 2, 1, 1, 2, 1, 2, 1]
    assert machine.run(40) == [2] * 40
    assert torch.get_num_threads() == 2


def test_a_number_that_is_far_too_slow_is_tried_once():
    machine = Machine([4, 2, 1], {4: 1.0, 2: 1.1, 1: 3.0})
    assert machine.run(20).count(1) == 2  # the first builds its kernels


def test_a_busy_process_that_comes_and_goes_changes_the_number():
    machine = Machine([2, 1], {2: 1.0, 1: 1.4})
    machine.run(60)
    machine.seconds = {2: 5.0, 1: 2.0}
    used = machine.run(60)
    assert used[-1] == 1
    assert used.index(1) < 10
    machine.seconds = {2: 1.0, 1: 2.0}  # one thread was not slowed by the other process, and gains nothing by its end
    assert machine.run(300)[-1] == 2


def test_comparing_takes_a_small_share_of_a_run():
    machine = Machine([2, 1], {2: 1.0, 1: 1.4})
    assert machine.run(2000).count(1) < 60


def test_which_numbers_are_possible(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert possible_counts("auto", "cpu", 2, 1) == [2, 1]
    assert possible_counts("auto", "cpu", 8, 1) == [8, 7, 4, 2, 1]
    assert possible_counts("auto", "cpu", 8, 2) == [4]  # processes wait for each other in every step
    assert possible_counts("auto", "cuda", 8, 1) == [8]
    assert possible_counts(0, "cpu", 8, 2) == [4]
    assert possible_counts(3, "cpu", 8, 2) == [3]
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert possible_counts("auto", "cpu", 8, 1) == [4, 3, 2, 1]


def test_more_threads_than_cores_are_refused_before_anything_else(tmp_path: Path):
    cores = len(os.sched_getaffinity(0))
    config = tiny(tmp_path / "nothing", tmp_path / "run", compute=ComputeConfig(threads=cores + 1))
    with pytest.raises(UsageError, match=f"threads is {cores + 1}; .* cores .{cores}.: .*give --threads auto"):
        train(config, progress=False)


def test_a_run_logs_its_number_and_resumes_with_it(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    config = tiny(images, tmp_path / "run", compute=ComputeConfig(threads="auto"))
    took = ThreadChoice.took
    monkeypatch.setattr(ThreadChoice, "took", lambda self, _: took(self, {1: 0.7, 2: 1.0}[self.count]))
    cut_short(config, 10, monkeypatch)
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    chosen = [row for row in rows if "threads" in row]
    assert [(row["step"], row["threads"]) for row in chosen] == [(8, {"count": 1, "seconds": {"2": 1.0, "1": 0.7}})]

    used = []
    monkeypatch.setattr(ThreadChoice, "apply", lambda self: used.append(self.count))
    train(config, resume=True, progress=False)
    assert set(used[1:]) == {1}  # the first is that of the process, before the checkpoint is read


def test_a_fixed_number_gives_the_same_bits_and_the_log_says_nothing_of_it(images: Path, tmp_path: Path):
    one, two = (tiny(images, tmp_path / name) for name in ("one", "two"))
    assert same(weights(train(one, progress=False)), weights(train(two, progress=False)))
    assert "threads" not in (tmp_path / "one" / "log.jsonl").read_text()
