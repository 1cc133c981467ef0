"""`calco bench`: the rows, one after another, beside the reference loop."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from calco.benchmarks import boxes, crime, exactness, large, machine, memory, processes, speed, video
from calco.benchmarks.chart import draw_chart
from calco.benchmarks.config import BenchConfig, Sizes
from calco.benchmarks.machine import Machine
from calco.benchmarks.setting import Setting
from calco.benchmarks.timing import Row, Skipped
from calco.benchmarks.words import check_page, told, write_page
from calco.console import say
from calco.files import explain, write_json
from calco.locks import locked_file
from calco.networks.machine import choose_device, make_ready
from calco.outputs import writing_file

FORMAT = 1

# In the order of `config.GROUPS`; each yields its rows as they are measured.
ROWS: Final[dict[str, Callable[[Setting], Iterator[Row | Skipped]]]] = {
    "training": speed.training,
    "inference": speed.inference,
    "video": video.video,
    "data": speed.data,
    "build": speed.build,
    "memory": memory.peaks,
    "large": large.images,
    "processes": processes.two_against_one,
    "boxes": boxes.boxes,
    "crime": crime.questions,
    "start": speed.start,
    "exact": exactness.curves,
}


@dataclass(frozen=True)
class Bench:
    """What was measured, on what, and what was not, with the reason."""

    machine: Machine
    rows: list[Row]
    skipped: dict[str, str]

    def head(self) -> list[str]:
        """What the table must be read with."""
        return [*self.machine.lines(), *(f"not measured: {group}, {why}" for group, why in self.skipped.items())]

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        rows = [asdict(row) for row in self.rows]
        return {"format": FORMAT, "machine": asdict(self.machine), "rows": rows, "skipped": self.skipped}


def bench(config: BenchConfig, sizes: Sizes | None = None) -> Bench:
    """Measures what is asked for, and writes the files that are asked for.

    Args:
        config: What to measure, how often, and where to write.
        sizes: How large the work is; by default that of the published pix2pix.

    Raises:
        CalcoError: When the device is not there, a page or folder for the results is not (before anything is measured),
            or the disk for temporary files is full.
    """
    if config.markdown is None:
        return _measured(config, sizes)
    with locked_file(config.markdown, "calco bench"):
        check_page(config.markdown)
        done = _measured(config, sizes)
        # The page is somebody's own: only the table in it is replaced, so it is no output like the others.
        write_page(config.markdown, done.rows, done.head())
    return done


def _measured(config: BenchConfig, sizes: Sizes | None) -> Bench:
    with ExitStack() as held:
        for path in filter(None, (config.json, config.plot)):
            held.enter_context(writing_file(path, "calco bench"))
        return _bench(config, sizes)


def _bench(config: BenchConfig, sizes: Sizes | None) -> Bench:
    load_before = machine.load_now()
    device = choose_device(config.device)
    make_ready(device)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(config.threads or len(os.sched_getaffinity(0)))
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="calco-bench-") as folder:
            setting = Setting(config, sizes or Sizes(), device, Path(folder))
            for group in config.groups:
                for row in ROWS[group](setting):
                    say(told(row))
                    if isinstance(row, Skipped):
                        skipped[row.group] = row.reason
                    else:
                        rows.append(row)
            done = Bench(machine.describe(setting.compute, device, load_before), rows, skipped)
    except BrokenPipeError:
        raise  # whoever read what is said has left
    except OSError as error:
        raise explain(error, tempfile.gettempdir(), "work in") from error
    finally:
        torch.set_num_threads(threads_before)
    if config.json is not None:
        write_json(config.json, done.record())
    if config.plot is not None:
        draw_chart(config.plot, rows, done.head())
    return done
