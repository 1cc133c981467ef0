"""The verbs of `calco lessons`: parsing and printing."""

import sys
from typing import TYPE_CHECKING

from calco import lessons
from calco.cli.parsing import parse
from calco.console import Table, bars, cell, say, show

if TYPE_CHECKING:
    from calco.lessons.course import LessonResult


def print_outline(_args: list[str]) -> None:
    """Print the lessons of the course, by number."""
    table = Table("", "Español", "English", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for each in lessons.LESSONS:
        table.add_row(each.number, each.es, each.en)
    show(table)
    say("calco lessons open NUMBER opens one in the browser; --language en in English")


def open_one(args: list[str]) -> None:
    """Open a lesson in the browser, to read, change and run it."""
    lessons.open_lesson(parse(lessons.OpenLessonConfig, args, "lessons open"))


def run(args: list[str]) -> None:
    """Run lessons from start to end, without a browser."""
    config = parse(lessons.RunLessonsConfig, args, "lessons run")
    with bars() as progress:
        done = lessons.run_lessons(config, progress)
    _report(done)


def export(args: list[str]) -> None:
    """Run lessons and write each as a page, with an index."""
    config = parse(lessons.ExportLessonsConfig, args, "lessons export")
    with bars() as progress:
        done = lessons.export_lessons(config, progress)
    _report(done)
    say(f"the index is {config.out}/index.html; to read it: python -m http.server --directory {config.out}")


def _report(done: "tuple[LessonResult, ...]") -> None:
    """Print what became of the lessons; a failed one makes the exit status 1."""
    table = Table("", "Lesson", "", right=("seconds",), box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for each in done:
        state = cell(each.error, style="red") if each.error else "as before" if not each.seconds else ""
        seconds = f"{each.seconds:.1f}" if each.seconds else ""
        table.add_row(each.lesson.number, each.lesson.title(each.language), state, seconds)
    show(table)
    if failed := sum(bool(each.error) for each in done):
        say(f"{failed} of {len(done)} failed")
        sys.exit(1)
