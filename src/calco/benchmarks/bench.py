"""`calco bench`: the rows, one after another, beside the reference loop."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from calco.benchmarks import speed
from calco.benchmarks.config import BenchConfig, Sizes
from calco.benchmarks.setting import Machine, Row, Setting, Skipped, describe, load_now
from calco.console import Table, say
from calco.errors import CalcoError
from calco.files import atomic_write, explain, write_json
from calco.locks import locked_file
from calco.networks.machine import choose_device, make_ready
from calco.outputs import writing_file
from calco.report.charts import ratios

BEGIN: Final = "<!-- calco bench: begin -->"
END: Final = "<!-- calco bench: end -->"
# Lines of their own: prose may name the markers too.
_PLACE: Final = re.compile(rf"^{BEGIN}$.*?^{END}$", re.MULTILINE | re.DOTALL)
_HEAD: Final = ("measured", "ours", "reference", "ratio", "lowest to highest", "the reference is")


def number(value: float) -> str:
    """Three digits that count: 1,234, 56.7, 0.089."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def times(ratio: float, sign: str = "×") -> str:
    """Such as "6.2×" or "0.0041×"."""
    return f"{ratio:.3g}{sign}" if ratio < 0.1 else f"{ratio:.2f}{sign}" if ratio < 10 else f"{ratio:.0f}{sign}"


def sentence(row: Row | Skipped) -> str:
    """A row in one line."""
    if isinstance(row, Skipped):
        return f"{row.group} is not measured: {row.reason}"
    return (
        f"{row.name}: {number(row.ours)} {row.unit} against {number(row.reference)} ({row.against}), {times(row.ratio)}"
    )


def _beside(row: Row) -> str:
    return f"{times(row.ratio)}  {number(row.ours)} / {number(row.reference)} {row.unit}"


def _cells(row: Row) -> tuple[str, ...]:
    spread = f"{times(row.low)} to {times(row.high)}" if row.high > row.low else "–"
    values = (f"{number(row.ours)} {row.unit}", f"{number(row.reference)} {row.unit}", times(row.ratio))
    return (row.name, *values, spread, row.against)


def table(rows: Sequence[Row]) -> Table:
    """The table for the terminal."""
    drawn = Table(box=None, header_style="bold")
    for place, head in enumerate(_HEAD):
        drawn.add_column(head, justify="right" if 0 < place < 5 else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*_cells(row))
    return drawn


def markdown(rows: Sequence[Row], head: Sequence[str]) -> str:
    """The head as a list, and the table."""
    lines = [*(f"- {line}" for line in head), "", f"| {' | '.join(_HEAD)} |", "|---|--:|--:|--:|--:|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(row))} |" for row in rows)])


def check_page(path: str | Path) -> str:
    """The text of a page that has a place for the table.

    Raises:
        CalcoError: When it cannot be read, or has no place for it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise explain(error, path, "read") from error
    except UnicodeDecodeError as error:
        raise CalcoError(f"{path} is not UTF-8 text; name a Markdown page") from error
    if not _PLACE.search(text):
        raise CalcoError(f"{path} has no place for the table; put the lines {BEGIN} and {END} into it")
    return text


def write_page(path: str | Path, rows: Sequence[Row], head: Sequence[str]) -> None:
    """Puts head and table between the two markers of a page."""
    table = f"{BEGIN}\n\n{markdown(rows, head)}\n\n{END}"
    atomic_write(path, _PLACE.sub(lambda _: table, check_page(path), count=1))


FORMAT = 1

# In the order of `config.GROUPS`; each yields its rows as they are measured.
ROWS: Final[dict[str, Callable[[Setting], Iterator[Row | Skipped]]]] = {
    "training": speed.training,
    "inference": speed.inference,
    "video": speed.video,
    "data": speed.data,
    "build": speed.build,
    "memory": speed.peaks,
    "large": speed.images,
    "processes": speed.two_against_one,
    "boxes": speed.boxes,
    "crime": speed.questions,
    "start": speed.start,
    "exact": speed.curves,
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

    Returns:
        The rows, and what this machine is.

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
    load_before = load_now()
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
                    say(sentence(row))
                    if isinstance(row, Skipped):
                        skipped[row.group] = row.reason
                    else:
                        rows.append(row)
            done = Bench(describe(setting.compute, device, load_before), rows, skipped)
    except BrokenPipeError:
        raise  # whoever read what is said has left
    except OSError as error:
        raise explain(error, tempfile.gettempdir(), "work in") from error
    finally:
        torch.set_num_threads(threads_before)
    if config.json is not None:
        write_json(config.json, done.record())
    if config.plot is not None:
        bars = [(row.name, row.ratio, row.low, row.high, _beside(row)) for row in rows]
        atomic_write(config.plot, ratios(bars, done.head()))
    return done
