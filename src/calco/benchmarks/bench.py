"""`calco bench`: groups of rows, measured one after another beside the reference loop."""

import logging
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from calco.benchmarks import BenchConfig, Sizes, answers, speed, steps
from calco.benchmarks.setting import Machine, Row, Setting, Skipped, Timed, peaks
from calco.errors import CalcoError
from calco.files import atomic_write, explain, read_text, write_json
from calco.networks.machine import choose_device, make_ready
from calco.outputs import locked_file, writing_file
from calco.report.charts import ratios

LOG: Final = logging.getLogger(__name__)
FORMAT: Final = 1
BEGIN: Final = "<!-- calco bench: begin -->"
END: Final = "<!-- calco bench: end -->"
# Lines of their own: prose may name the markers too.
_PLACE: Final = re.compile(rf"^{BEGIN}$.*?^{END}$", re.MULTILINE | re.DOTALL)
HEADINGS: Final = ("measured", "ours", "reference", "ratio", "lowest to highest", "of the peak", "the reference is")

# In the order of `config.GROUPS`; each yields its rows one after another.
ROWS: Final[dict[str, Callable[[Setting], speed.Rows]]] = {
    "training": speed.training,
    "presets": steps.presets,
    "detectors": steps.detectors,
    "busy": steps.busy,
    "inference": speed.inference,
    "backends": speed.backends,
    "video": speed.video,
    "data": speed.data,
    "build": speed.build,
    "memory": speed.peaks,
    "large": speed.images,
    "processes": speed.two_against_one,
    "boxes": answers.boxes,
    "crime": answers.questions,
    "start": speed.start,
    "evaluation": answers.evaluation,
    "exact": answers.curves,
    "quality": answers.quality,
}


def number(value: float) -> str:
    """Format three significant digits: 1,234, 56.7, 0.089."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def times(ratio: float) -> str:
    """Format a ratio as "6.2×" or "0.0041×"."""
    return f"{ratio:.3g}×" if ratio < 0.1 else f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.0f}×"


def cells(row: Row) -> tuple[str, ...]:
    """Format a row under `HEADINGS`."""
    spread = f"{times(row.low)} to {times(row.high)}" if row.high > row.low else "–"
    values = (f"{number(row.ours)} {row.unit}", f"{number(row.reference)} {row.unit}", times(row.ratio))
    return (row.name, *values, spread, f"{row.share:.0%}" if row.share else "–", row.against)


def check_page(path: str | Path) -> str:
    """Return the text of a page that has a place for the table.

    Raises:
        CalcoError: If it cannot be read, or has no place for it.
    """
    text = read_text(path)
    if not _PLACE.search(text):
        raise CalcoError(f"{path} has no place for the table; put the lines {BEGIN} and {END} into it")
    return text


@dataclass(frozen=True)
class Bench:
    """Rows of a bench, the machine, and the reasons of what was not measured."""

    machine: Machine
    rows: list[Row]
    skipped: dict[str, str]
    interrupted: bool = False

    def head(self) -> list[str]:
        """Describe the machine and what was not measured."""
        return [*self.machine.lines(), *(f"not measured: {what}, {why}" for what, why in self.skipped.items())]

    def record(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        rows = [asdict(row) for row in self.rows]
        return {"format": FORMAT, "machine": asdict(self.machine), "rows": rows, "skipped": self.skipped}

    def markdown(self) -> str:
        """Return the head as a list, and the table."""
        head = [
            *(f"- {line}" for line in self.head()),
            "",
            f"| {' | '.join(HEADINGS)} |",
            "|---|--:|--:|--:|--:|--:|---|",
        ]
        return "\n".join([*head, *(f"| {' | '.join(cells(row))} |" for row in self.rows)])


def bench(config: BenchConfig, sizes: Sizes | None = None) -> Bench:
    """Measure groups of rows, and write the files that the configuration names.

    Args:
        config: What to measure, how often, and where to write.
        sizes: Sizes of the work; by default those of the published pix2pix.

    Returns:
        The rows, and a description of the machine. A group that fails, as on a full disk, ends with its reason, and
        the next one is measured.

    Raises:
        CalcoError: If the device does not exist, or a page or folder for the results is missing (before anything is
            measured).
        KeyboardInterrupt: If it was interrupted, after what was measured is written.
    """
    with ExitStack() as held:
        if config.markdown is not None:
            held.enter_context(locked_file(config.markdown, "calco bench"))
            check_page(config.markdown)
        done = _written(config, sizes or Sizes())
        if config.markdown is not None:
            # The page is the user's: only the table in it is replaced, so it is no output like the others.
            table = f"{BEGIN}\n\n{done.markdown()}\n\n{END}"
            atomic_write(config.markdown, _PLACE.sub(lambda _: table, check_page(config.markdown), count=1))
    if done.interrupted:
        raise KeyboardInterrupt
    return done


def _written(config: BenchConfig, sizes: Sizes) -> Bench:
    with ExitStack() as held:
        for path in filter(None, (config.json, config.plot)):
            held.enter_context(writing_file(path, "calco bench"))
        done = _measured(config, sizes)
        if config.json is not None:
            write_json(config.json, done.record())
        if config.plot is not None:
            bars = [
                (row.name, row.ratio, row.low, row.high,
                 f"{times(row.ratio)}  {number(row.ours)} / {number(row.reference)} {row.unit}")
                for row in done.rows
            ]  # fmt: skip
            atomic_write(config.plot, ratios(bars, done.head()))
    return done


def _rows_of(group: str, setting: Setting) -> Iterator[Row | Skipped]:
    """Yield the rows of a group; one that fails ends its group, not the bench, which may have taken many minutes."""
    try:
        for each in ROWS[group](setting):
            yield each.measure(setting.config.repeats, setting.device) if isinstance(each, Timed) else each
    except BrokenPipeError:
        raise  # the reader of the output has left
    except OSError as error:
        yield Skipped(what=f"what was left of {group}", reason=str(explain(error, setting.folder, "work in")))
    except CalcoError as error:
        yield Skipped(what=f"what was left of {group}", reason=str(error))


def _measured(config: BenchConfig, sizes: Sizes) -> Bench:
    load_before, threads_before = os.getloadavg()[0], torch.get_num_threads()
    device = choose_device(config.device)
    make_ready(device)
    torch.set_num_threads(config.threads or len(os.sched_getaffinity(0)))
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="calco-bench-") as folder:
            setting = Setting(config, sizes, device, Path(folder))
            peak = peaks(device, sizes.product)
            interrupted = False
            try:
                for group, each in ((name, each) for name in config.groups for each in _rows_of(name, setting)):
                    if isinstance(each, Skipped):
                        LOG.info(f"{each.what} is not measured: {each.reason}")
                        skipped[each.what] = each.reason
                        continue
                    row = replace(each, group=group, share=each.operations / peak.get(each.precision, math.inf))
                    rows.append(row)
                    name, ours, reference, ratio, *_, against = cells(row)
                    LOG.info(f"{name}: {ours} against {reference} ({against}), {ratio}")
            except KeyboardInterrupt:
                skipped["what was left when it ended"] = "interrupted"
                interrupted = True
            return Bench(Machine.of(setting.compute, device, load_before, peak), rows, skipped, interrupted)
    except BrokenPipeError:
        raise  # the reader of the output has left
    except OSError as error:
        raise explain(error, tempfile.gettempdir(), "work in") from error
    finally:
        torch.set_num_threads(threads_before)
