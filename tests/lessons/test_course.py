"""The course: every lesson is there in both languages, runs from start to end, and answers in a browser."""

import ast
import contextlib
import functools
import itertools
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import calco.cli
from calco.errors import CalcoError
from calco.lessons import ExportLessonsConfig, OpenLessonConfig, RunLessonsConfig, export_lessons, run_lessons
from calco.lessons.outline import LESSONS, NOTEBOOKS, Lesson, lesson_of

QUIZZES = tuple(each for each in LESSONS if each.es.startswith("Cuestionario"))
# Those whose controls a browser moves: what is on the page before and after is compared.
SLIDERS = ("2.1", "2.3", "2.4", "2.11", "3.3", "3.5", "3.6", "5.1", "5.2")
# Milliseconds that a browser waits for a cell: on a loaded machine the first one imports torch for more than a minute.
PATIENCE = 240_000


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the lessons' data that the processes of a test run share."""
    return Path(os.environ.setdefault("CALCO_LESSONS_DATA", str(tmp_path_factory.getbasetemp().parent / "lessons")))


def texts_of(lesson: Lesson) -> list[tuple[str, str]]:
    """The texts of a lesson, Spanish and English, wherever it gives both; what is computed in them is left out."""
    tree = ast.parse(lesson.path.read_text(encoding="utf-8"))
    found = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        pair = {each.arg: written_in(each.value) for each in call.keywords if each.arg in ("es", "en")}
        if pair:
            assert pair.keys() == {"es", "en"}, f"{lesson.number}, line {call.lineno}: one language alone"
            found.append((pair["es"], pair["en"]))
    return found


def written_in(value: ast.expr) -> str:
    """The strings of an expression."""
    strings = (node.value for node in ast.walk(value) if isinstance(node, ast.Constant))
    return "".join(each for each in strings if isinstance(each, str))


def test_every_lesson_of_the_outline_is_a_notebook() -> None:
    assert [each.number for each in LESSONS if not each.path.is_file()] == []
    assert sorted(NOTEBOOKS.glob("*.py")) == sorted(each.path for each in LESSONS)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda each: each.number)
def test_a_lesson_teaches_the_same_in_both_languages(lesson: Lesson) -> None:
    texts = texts_of(lesson)
    assert [es for es, en in texts if es == en and re.search(r"[a-z]{4} [a-z]{4}", es)] == [], "not translated"
    heads = [[len(re.findall(r"(?m)^\s*##+ ", pair[language])) for pair in texts] for language in (0, 1)]
    assert heads[0] == heads[1]
    if lesson not in QUIZZES:
        assert len(texts) > 5
        assert "t.solution(" in lesson.path.read_text(encoding="utf-8")


@pytest.mark.parametrize("lesson", QUIZZES, ids=lambda each: each.number)
def test_a_quiz_explains_every_choice(lesson: Lesson) -> None:
    app = runpy.run_path(str(lesson.path))["app"]
    _outputs, names = app.run()
    questions = names["QUESTIONS"]
    assert len(questions) >= 10
    for question in questions:
        assert len(question.choices) >= 3
        assert all(len(why) > 10 for choice in question.choices for why in (choice.why_es, choice.why_en))
    assert len({[choice.right for choice in question.choices].index(True) for question in questions}) > 1


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda each: each.number)
def test_no_heading_of_a_lesson_is_empty(lesson: Lesson) -> None:
    for pair in texts_of(lesson):
        for text in pair:
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            empty = [a for a, b in itertools.pairwise(lines) if a.startswith("##") and b.startswith("##")]
            assert empty == []


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda each: each.number)
def test_no_line_of_a_paragraph_begins_like_a_list(lesson: Lesson) -> None:
    """Markdown would make one of it: "… de zancada" and "8. Por eso …" in the next line."""
    for text in itertools.chain(*texts_of(lesson)):
        for paragraph in re.split(r"\n\s*\n", re.sub(r"(?s)```.*?```", "", text)):
            lines = [line.strip() for line in paragraph.splitlines() if line.strip()]
            listed = [line for line in lines if re.match(r"(\d+\.|[-+*])\s", line)]
            assert not listed or lines[0] in listed, listed


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda each: each.number)
def test_an_english_percentage_has_no_space(lesson: Lesson) -> None:
    written = [english for _, english in texts_of(lesson)]
    assert [text for text in written if re.search(r"\d\s%", text)] == []


def test_spanish_texts_have_decimal_commas_outside_code_and_formulas() -> None:
    mo = pytest.importorskip("marimo")
    from calco.lessons import kit

    assert isinstance(kit.language(), mo.ui.radio)
    spanish = kit.Texts(kit.language())
    shown = spanish(es="IoU 0.75, lección 2.14, `0.5`, 34.1%, [OpenMoji](https://a.org/0.5)", en="").text
    assert all(
        each in shown for each in ("IoU 0,75", "lección 2.14", ">0.5<", "34,1\N{NO-BREAK SPACE}%", "https://a.org/0.5")
    )
    row = {
        "AP": 0.25,
        "lección": "2.15 Ajuste fino",
        "ms": "1.6 ms",
        "pesos": "82,250",
        "parte": "26%",
        "otra": "2.15%",
    }
    wanted = ("0,25", "2.15 Ajuste fino", "1,6 ms", "82 250", "26 %", "2,15 %")
    table = spanish.table([row]).text.replace("\N{NO-BREAK SPACE}", " ")
    assert all(each in table for each in wanted)
    assert "`30%` <p style='width: 30%'>30 %" in kit._with_commas("`30%` <p style='width: 30%'>30%").replace(
        "\xa0", " "
    )
    assert "0,86 [0,80; 0,91]" in spanish(es="0.86 [0.80, 0.91]", en="").text


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda each: each.number)
def test_a_lesson_runs_and_exports(lesson: Lesson, tmp_path: Path, data: Path) -> None:
    data.mkdir(exist_ok=True, parents=True)
    [done] = run_lessons(RunLessonsConfig(numbers=(lesson.number,), language="es"))
    assert done.error == ""
    [made] = export_lessons(ExportLessonsConfig(numbers=(lesson.number,), language="en", out=str(tmp_path)))
    assert made.error == ""
    assert made.page is not None
    page = made.page.read_text(encoding="utf-8")
    assert '<html lang="en">' in page
    assert lesson.en in page
    assert not re.search(r"(src|href)=\"https?://", page)
    assert done.seconds < 180 and made.seconds < 180


@pytest.mark.slow
def test_an_export_is_kept_while_it_is_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ExportLessonsConfig(numbers=("2.4",), language="es", out=str(tmp_path / "course"))
    first, second = export_lessons(config), export_lessons(config)
    assert first[0].seconds > 0 == second[0].seconds
    index = (tmp_path / "course" / "index.html").read_text(encoding="utf-8")
    assert 'href="lesson_2_04.es.html"' in index and "lesson_2_05" not in index
    page = tmp_path / "course" / "lesson_2_04.es.html"
    page.write_text("mine")
    with pytest.raises(CalcoError, match="changed since Calco wrote it"):
        export_lessons(config)
    assert page.read_text() == "mine"


@pytest.mark.slow
def test_exported_pages_lead_to_the_ones_beside_them(tmp_path: Path) -> None:
    for number in ("2.4", "2.5"):  # one after the other: the page that was there before leads to the new one too
        export_lessons(ExportLessonsConfig(numbers=(number,), language="es", out=str(tmp_path)))
    pages = [(tmp_path / f"lesson_2_0{each}.es.html").read_text(encoding="utf-8") for each in (4, 5)]
    assert 'href=\\"lesson_2_05.es.html\\"\\u003E2.5 Tipos' in pages[0] and "lesson_2_03.es.html" not in pages[0]
    assert 'href=\\"lesson_2_04.es.html\\"\\u003E2.4 Ver' in pages[1] and "lesson_2_06.es.html" not in pages[1]


@pytest.mark.slow
def test_an_exported_page_leads_to_the_other_language_and_is_as_dark_as_its_reader_s_system(
    tmp_path: Path, browser: Any
) -> None:
    for language in ("es", "en"):
        export_lessons(ExportLessonsConfig(numbers=("2.4",), language=language, out=str(tmp_path)))
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/lesson_2_04.es.html"
        ground = "getComputedStyle(document.body).backgroundColor"
        grounds = []
        for scheme in ("light", "dark"):
            page = browser.new_page(color_scheme=scheme)
            page.goto(address)
            page.get_by_role("heading", name="2.4 Ver la IoU").wait_for(timeout=PATIENCE)
            page.locator(f"body.{scheme}").wait_for(timeout=PATIENCE)
            grounds.append(page.evaluate(ground))
            assert page.get_by_role("radio").count() == 0, "a switch that does nothing"
            page.get_by_role("link", name="English").click()
            page.get_by_role("heading", name="2.4 Seeing IoU").wait_for(timeout=PATIENCE)
            page.get_by_role("link", name="Español").click()
            page.get_by_role("heading", name="2.4 Ver la IoU").wait_for(timeout=PATIENCE)
            page.close()
        server.shutdown()
    assert grounds[0] != grounds[1]


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder without a line for each file."""

    def log_message(self, *_args: Any) -> None:
        """Print nothing."""


def test_a_lesson_that_fails_is_reported_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "lesson_2_04.py"
    broken.write_text("raise ValueError('the data are gone')\n")
    monkeypatch.setattr("calco.lessons.outline.NOTEBOOKS", tmp_path)
    with pytest.raises(SystemExit) as end:
        calco.cli.main(["lessons", "run", "2.4"])
    assert end.value.code == 1
    printed = capsys.readouterr()
    assert "the data are gone" in printed.out + printed.err
    assert "1 of 1 failed" in printed.out + printed.err


@pytest.mark.parametrize(("args", "said"), [
    (["open", "9.9"], "there is no lesson '9.9'"), (["run", "2.4", "7"], "there is no lesson '7'"),
])  # fmt: skip
def test_an_unknown_lesson_is_refused(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        calco.cli.main(["lessons", *args])
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_a_port_in_use_and_a_missing_extra_are_a_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(SystemExit):
            calco.cli.main(["lessons", "open", "2.4", "--port", port, "--out", str(tmp_path)])
    assert f"port {port}" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "marimo", None)
    with pytest.raises(SystemExit):
        calco.cli.main(["lessons", "run", "2.4"])
    assert "pip install 'calco[lessons]'" in capsys.readouterr().err


def test_data_that_were_deleted_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from calco.lessons.scenes import scenes

    monkeypatch.setenv("CALCO_LESSONS_DATA", str(tmp_path))
    folder = scenes(12, side=64)
    before = {path.relative_to(folder): path.read_bytes() for path in (folder / "images").rglob("*.png")}
    next(iter((folder / "images").rglob("*.png"))).unlink()
    again = scenes(12, side=64)
    assert {path.relative_to(again): path.read_bytes() for path in (again / "images").rglob("*.png")} == before
    assert len(before) == 12


def test_what_other_code_made_is_not_taken_for_what_this_one_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from calco.lessons import scenes

    monkeypatch.setenv("CALCO_LESSONS_DATA", str(tmp_path))
    before = scenes.kept("scenes", [12])
    assert scenes.kept("scenes", [12]) == before != scenes.kept("scenes", [13])
    monkeypatch.setattr(scenes, "_code", lambda: "changed")
    assert scenes.kept("scenes", [12]) != before


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda each: each.number)
def test_each_control_of_a_lesson_has_a_name_of_its_own(lesson: Lesson) -> None:
    """What a control is set to is kept under its English name while the language changes."""
    controls = ("slider", "switch", "checkbox", "radio", "dropdown")
    names = [
        next(ast.unparse(each.value) for each in call.keywords if each.arg == "en")
        for call in ast.walk(ast.parse(lesson.path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in {f"t.{name}" for name in controls}
    ]
    assert len(set(names)) == len(names)


@contextlib.contextmanager
def opened(number: str, folder: Path, *, language: str = "es") -> Iterator[str]:
    """The address of a lesson, opened as a user opens it, but for the browser."""
    command = [sys.executable, "-m", "calco", "lessons", "open", number, "--out", str(folder), "--no-browser",
               "--language", language]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    printed = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            printed += line
            if found := re.search(r"http://[\w.]+:\d+\S*", line):
                yield found[0]
                break
        else:
            pytest.fail(f"no address was printed: {printed}")
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise


class Seen:
    """A page of a lesson, and what it asked of the network."""

    def __init__(self, browser: Any, address: str) -> None:
        self.page = browser.new_page()
        self.errors: list[str] = []
        self.outside: list[str] = []
        self.page.on("console", self._note_error)
        self.page.on("request", lambda request: self._note(request.url))
        self.page.goto(address)

    def close(self) -> None:
        self.page.close()
        assert self.outside == []
        assert self.errors == []

    def _note_error(self, message: Any) -> None:
        # An image of a cell that ran again is gone while the browser still reads it.
        replaced = "/@file/" in message.location.get("url", "") and message.text.startswith("Failed to load resource")
        if message.type == "error" and not replaced:
            self.errors.append(f"{message.text} ({message.location.get('url')})")

    def _note(self, url: str) -> None:
        if not re.match(r"(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|data:|blob:", url):
            self.outside.append(url)


@pytest.mark.slow
def test_boxes_are_moved_by_the_keyboard_and_the_mouse(browser: Any, tmp_path: Path, data: Path) -> None:
    with opened("2.4", tmp_path) as address:
        seen = Seen(browser, address)
        value = seen.page.get_by_text(re.compile(r"IoU = 0,\d{3} · GIoU")).first
        value.wait_for(timeout=PATIENCE)
        before = value.inner_text()
        box = seen.page.locator("[data-box='1']").first
        box.focus()
        for _ in range(5):
            seen.page.keyboard.press("ArrowLeft")
        changed(value, before)
        keyed = value.inner_text()
        place = box.locator("rect").bounding_box()
        assert place is not None
        seen.page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
        seen.page.mouse.down()
        seen.page.mouse.move(place["x"] + place["width"] / 2 - 40, place["y"] + place["height"] / 2, steps=4)
        seen.page.mouse.up()
        changed(value, keyed)
        seen.page.get_by_text("English", exact=True).first.click()
        seen.page.get_by_role("heading", name="2.4 Seeing IoU").wait_for(timeout=PATIENCE)
        seen.close()
        assert [path.name for path in tmp_path.glob("*.py")] == ["2.4 Ver la IoU.py"]


def changed(where: Any, before: str, seconds: float = PATIENCE / 1000) -> None:
    """Waits until a text is another one."""
    end = time.monotonic() + seconds
    while where.inner_text() == before:
        assert time.monotonic() < end, f"still {before[:200]!r}"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("number", SLIDERS)
def test_a_slider_changes_what_the_lesson_shows(browser: Any, tmp_path: Path, data: Path, number: str) -> None:
    with opened(number, tmp_path, language="en") as address:
        seen = Seen(browser, address)
        seen.page.get_by_role("heading", name=f"{number} {lesson_of(number).en}").wait_for(timeout=PATIENCE)
        sliders = seen.page.get_by_role("slider")
        sliders.first.wait_for(timeout=PATIENCE)
        shown = "[...document.querySelectorAll('.output-area')].map(each => each.innerHTML).join('')"
        for _ in range(150):  # until all cells have run
            before = seen.page.evaluate(shown)
            seen.page.wait_for_timeout(1000)
            if before == seen.page.evaluate(shown):
                break
        sliders.first.focus()
        seen.page.keyboard.press("ArrowRight")
        seen.page.wait_for_function("before => " + shown + " !== before", arg=before, timeout=PATIENCE)
        chosen = sliders.first.get_attribute("aria-valuenow")
        seen.page.get_by_text("Español", exact=True).first.click()
        seen.page.get_by_role("heading", name=f"{number} {lesson_of(number).es}").wait_for(timeout=PATIENCE)
        seen.page.wait_for_timeout(1000)
        assert sliders.first.get_attribute("aria-valuenow") == chosen
        seen.close()


def test_the_copy_of_a_lesson_keeps_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    class Ended:
        def __init__(self, command: list[str], **_options: Any) -> None:
            started.append(command)

        def wait(self) -> int:
            return 0

    monkeypatch.setattr("calco.lessons.course.subprocess.Popen", Ended)
    from calco.lessons import open_lesson

    config = OpenLessonConfig(number="2.4", language="en", out=str(tmp_path), browser=False)
    copy = open_lesson(config)
    copy.write_text("mine")
    assert open_lesson(config).read_text() == "mine"
    assert copy.name == "2.4 Seeing IoU.py"
    overwriting = OpenLessonConfig(number="2.4", language="en", out=str(tmp_path), browser=False, overwrite=True)
    assert "kit.boxes" in open_lesson(overwriting).read_text(encoding="utf-8")
    assert all("--headless" in command and copy.name in command for command in started)
