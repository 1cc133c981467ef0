"""What Calco writes to the terminal: remarks, tables, progress bars.

Text from outside (file names, class names, answers of servers) reaches the terminal through this module alone, which
takes no markup from it, shows control characters as escapes, and hides passwords and tokens of addresses. No other
module makes a console, a table or styled text of Rich.
"""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from rich.console import Console, JustifyMethod, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.table import Table as _RichTable
from rich.text import Text

from calco.addresses import redact_addresses
from calco.errors import printable


class _Remarks(Console):
    """Standard error. When nobody reads it any more, the work goes on in silence: it may be a long one."""

    def on_broken_pipe(self) -> None:
        """Write nothing from now on, where Rich would end the program."""
        self.quiet = True


# Progress and remarks go to stderr, so that a verb's result may be piped.
console = _Remarks(stderr=True, highlight=False, soft_wrap=True)


class Advance(Protocol):
    """Moves a progress bar."""

    def __call__(self, done: float, of: int | None = None) -> None:
        """Show that `done` pieces are done, of `of` where that has become known."""


def say(text: str) -> None:
    """Print a remark on stderr: one line, without interpreting markup."""
    console.print(cell(text))


def warn(text: str) -> None:
    """Print a remark on stderr that the person should not miss."""
    console.print(cell(f"note: {text}", style="yellow"))


def warn_left_out(left_out: Mapping[str, str], listed_in: str = "", most: int = 5) -> None:
    """Print the first reasons why something was left out, by name, and the file that lists them all."""
    for name, reason in list(left_out.items())[:most]:
        warn(f"left out {name}: {reason}")
    if len(left_out) > most:
        warn(f"{len(left_out)} left out in all" + (f"; {listed_in} lists them" if listed_in else ""))


def show(result: "str | Table", *, width: int = 0) -> None:
    """Print a verb's result on stdout: one line, or a table with `width` columns even where the terminal has fewer."""
    out = Console(highlight=False)
    out.width = max(out.width, width)
    if isinstance(result, Table):
        out.print(result)
    else:
        out.print(cell(result), soft_wrap=True)


def emit(text: str) -> None:
    """Write text for programs (CSV, JSON, YAML) on stdout: as it is into a file or a pipe, printable on a terminal."""
    if sys.stdout.isatty():
        text = "".join(f"{printable(line)}\n" for line in text.splitlines())
    sys.stdout.write(text)


def cell(*lines: str, style: str = "") -> Text:
    """Return lines for a table, a live line or a progress bar, without markup and control characters."""
    return Text("\n".join(redact_addresses(printable(line)) for line in lines), style)


class Table(_RichTable):
    """A table of Rich whose strings are shown as they are; `cell` gives those that have a style or several lines.

    `right` are headings of further columns, which are aligned to the right.
    """

    def __init__(self, *headers: Column | str, right: Sequence[str] = (), **options: Any) -> None:
        for name in ("title", "caption"):
            if isinstance(options.get(name), str):
                options[name] = cell(options[name], style=options.get(f"{name}_style") or f"table.{name}")
        super().__init__(*headers, **options)
        for heading in right:
            self.add_column(heading, justify="right")

    def add_column(
        self, header: RenderableType = "", footer: RenderableType = "", *, justify: JustifyMethod = "left",
        **options: Any,
    ) -> None:  # fmt: skip
        """Add a column as Rich does; a heading that is a string is shown as it is."""
        super().add_column(_plain(header), _plain(footer), justify=justify, **options)

    def add_row(self, *cells: RenderableType | None, style: Any = None, end_section: bool = False) -> None:
        """Add a row as Rich does; cells that are strings are shown as they are."""
        super().add_row(*(each if each is None else _plain(each) for each in cells), style=style,
                        end_section=end_section)  # fmt: skip


def _plain(content: RenderableType) -> RenderableType:
    return cell(content) if isinstance(content, str) else content


class _Rate(ProgressColumn):
    """Speed such as "23.4 frames/s"; nothing before it is known."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Format the speed."""
        return Text("" if task.speed is None else f"{task.speed:.1f} {self.unit}")


@contextlib.contextmanager
def bars(*, unit: str = "") -> Iterator[Callable[[str, float, int | None], None]]:
    """Show a progress bar, with a speed in `unit`; yield a function that takes the stage, what is done, and of what."""
    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False), BarColumn(24)]
    columns += [MofNCompleteColumn(), *([_Rate(unit)] if unit else []), TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def update(doing: str, done: float, of: int | None = None) -> None:
            if doing not in tasks:
                for task in tasks.values():
                    progress.update(task, visible=False)
                tasks[doing] = progress.add_task(redact_addresses(printable(doing)), total=of)
            progress.update(tasks[doing], completed=done, total=of)

        yield update


@contextlib.contextmanager
def bar(doing: str, total: int | None = None, *, unit: str = "") -> Iterator[Advance]:
    """Show a progress bar of one stage; yield a function that takes how much is done, and of how much."""
    with bars(unit=unit) as update:
        if total is not None:
            update(doing, 0, total)
        yield lambda done, of=None: update(doing, done, total if of is None else of)


@contextlib.contextmanager
def status_line() -> Iterator[Callable[[Any], None]]:
    """Show one line that is replaced; yield a function that takes an object whose `line()` returns the next one."""
    if not console.is_terminal:
        yield lambda _status: None
        return
    with Live(console=console, transient=True, refresh_per_second=4) as shown:
        yield lambda status: shown.update(cell(status.line()))


class _NotesHandler(logging.Handler):
    """Prints what the library logs as remarks."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record: as `warn` from WARNING on, else as `say`."""
        (warn if record.levelno >= logging.WARNING else say)(record.getMessage())


_NOTES: Final = _NotesHandler()


def print_notes() -> None:
    """Print what Calco's modules log, from INFO on, as remarks on stderr; further calls change nothing."""
    logger = logging.getLogger("calco")
    logger.setLevel(logging.INFO)
    logger.addHandler(_NOTES)


def prints_notes() -> bool:
    """Return whether this process prints what Calco's modules log."""
    return _NOTES in logging.getLogger("calco").handlers
