"""What Calco says to the person at the terminal."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

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


class _Rate(ProgressColumn):
    """Pieces a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Such as "23.4 frames/s"; nothing before it is known."""
        return Text("" if task.speed is None else f"{task.speed:.1f} {self.unit}")


@contextlib.contextmanager
def bar(doing: str, total: int | None = None, *, unit: str = "") -> Iterator[Advance]:
    """A progress bar; yields a function that takes how much is done, and of how much.

    Args:
        doing: What is done.
        total: Of how much, where that is known.
        unit: Of the speed, such as "frames/s"; empty shows none.
    """
    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn()]
    columns += [_Rate(unit), TimeRemainingColumn()] if unit else [TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(doing, total=total)

        def update(done: float, of: int | None = None) -> None:
            progress.update(task, completed=done, total=of)

        yield update
