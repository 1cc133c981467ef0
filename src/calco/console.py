"""What Calco says to the person at the terminal."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

# Progress and remarks go to stderr, so that a verb's result may be piped.
console = Console(stderr=True, highlight=False, soft_wrap=True)


class Advance(Protocol):
    """Tells a progress bar how far the work is."""

    def __call__(self, done: float, of: int | None = None) -> None:
        """`done` pieces, of `of` when that has become known."""


def say(text: str) -> None:
    """Prints a remark as it is, without interpreting markup."""
    console.print(text, markup=False)


def warn(text: str) -> None:
    """Prints a remark that the person should not miss."""
    console.print(f"note: {text}", markup=False, style="yellow")


@contextlib.contextmanager
def bar(doing: str, total: int | None = None) -> Iterator[Advance]:
    """A progress bar for work of known length; yields a function that takes how much is done, and of how much."""
    columns = (TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(doing, total=total)

        def update(done: float, of: int | None = None) -> None:
            progress.update(task, completed=done, total=of)

        yield update
