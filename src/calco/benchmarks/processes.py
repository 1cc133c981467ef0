"""The row of several processes: two that learn together against one, with as many pairs at once."""

import dataclasses
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from calco.benchmarks.setting import Setting
from calco.benchmarks.timing import Row, Skipped, row
from calco.errors import CalcoError
from calco.files import read_json_lines
from calco.records import to_record, write_yaml
from calco.training.config import ComputeConfig, KeepConfig, LimitConfig

WARM = 2  # steps in which memory is taken and kernels are chosen


def two_against_one(setting: Setting) -> Iterator[Row | Skipped]:
    """Whole runs of `calco train`; the rate is that of their steps, without start and end."""
    batches = [batch for batch in setting.sizes.together if batch > 1]
    if "processes" not in {field.name for field in dataclasses.fields(ComputeConfig)}:
        yield Skipped(group="processes", reason="this version trains in one process")
    elif setting.device.type == "cuda" or len(os.sched_getaffinity(0)) < 2 or not batches:
        yield Skipped(group="processes", reason="it takes two cores without a GPU, and batches of two")
    else:
        folders = (setting.folder / f"run {number}" for number in itertools.count())
        for batch in batches:
            # Of larger batches fewer: as many pairs, but never less than three steps that count.
            steps = max(WARM + 3, setting.sizes.steps * min(batches) // batch)
            each = [
                [_rate(setting, next(folders), processes, batch // processes, steps) for processes in (2, 1)]
                for _ in range(setting.config.repeats)
            ]
            ours, theirs = ([pair[place] for pair in each] for place in (0, 1))
            yield row("processes", f"two processes, batch {batch} in all", "images/s", ours, theirs, "one process")


def _rate(setting: Setting, folder: Path, processes: int, batch: int, steps: int) -> float:
    """Images a second of a run of so many processes, each with its own batch."""
    config = dataclasses.replace(
        setting.train_config(batch),
        images=str(setting.pairs),
        limit=LimitConfig(epochs=0, steps=steps),
        keep=KeepConfig(log_steps=1, validation_pairs=1, samples=1, validate_steps=10 * steps, tensorboard=False),
    )
    record = to_record(config)
    record["compute"] |= {"processes": processes, "threads": 0}
    page = setting.folder / f"{folder.name}.yaml"
    write_yaml(page, record, "calco bench")
    done = subprocess.run(
        [sys.executable, "-m", "calco", "train", "--config", page, "--out", folder],
        capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise CalcoError(f"the training in {processes} processes failed ({reason}); leave processes out with --only")
    times = [float(line["time"]) for line in read_json_lines(folder / "log.jsonl") if "train" in line]
    return processes * batch * (len(times) - WARM) / max(times[-1] - times[WARM - 1], 0.01)
