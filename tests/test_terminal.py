"""Text from outside reaches the terminal as text: no markup, no control characters, one line."""

import ast
import io
import os
import pty
import sys

import numpy as np
import pytest
from rich.console import Console

from calco import console as terminal
from calco.annotations.detections import Detections
from calco.cli import main
from calco.cli.data import left_out_table
from calco.cli.detect import objects_table
from calco.console import Table, bar, cell, emit, say, show, warn
from calco.errors import CalcoError, printable
from support import ROOT

SOURCE = ROOT / "src" / "calco"
SLY = "\x1b]0;title\x07\x1b[31m[/b] [red]:smile:\n\u202egnp.exe\x9b1m"
SHOWN = r"\x1b]0;title\x07\x1b[31m[/b] [red]:smile:\n\u202egnp.exe\x9b1m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (SLY, SHOWN),
        ("caf\udce9.png", r"caf\xe9.png"),
        ("tab\tand\rreturn", r"tab\tand\rreturn"),
        ("lines\u2028and\u2029paragraphs\x85", r"lines\u2028and\u2029paragraphs\x85"),
        ("\ud83d half", r"\ud83d half"),
        ("isolate\u2066 mark\u200f zero\u200b tag\U000e0041", r"isolate\u2066 mark\u200f zero\u200b tag\U000e0041"),
        ("ñandú, عربى, 猫, family 👨‍👩‍👧, می‌خواهم", "ñandú, عربى, 猫, family 👨‍👩‍👧, می‌خواهم"),
    ],
)
def test_what_a_terminal_would_obey_becomes_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
    assert str(CalcoError(f"{text}: no such file")) == f"{shown}: no such file"


def test_remarks_and_results_are_one_line_as_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    say(SLY)
    warn(SLY)
    show(SLY)
    out, err = capsys.readouterr()
    assert err == f"{SHOWN}\nnote: {SHOWN}\n"
    assert out == f"{SHOWN}\n"


def test_every_part_of_a_table_is_shown_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(SLY, title=SLY, caption=SLY)
    table.add_column(SLY)
    table.add_row(SLY, cell("first [/b]", "second \x1b", style="bold"))
    show(table, width=200)
    # Another console, as in a notebook, would interpret markup.
    Console(file=(other := io.StringIO()), width=200).print(table)
    for text in (capsys.readouterr().out, other.getvalue()):
        assert text.count(SHOWN) == 5
        assert "first [/b]" in text
        assert r"second \x1b" in text
        assert "\x1b" not in text
    assert "\x07" not in other.getvalue()


def test_tables_of_what_others_named(capsys: pytest.CaptureFixture[str]) -> None:
    show(objects_table(Detections(boxes=np.array([[1, 2, 30, 40]], np.float32), classes=(SLY,))), width=200)
    show(left_out_table({"000001": f"the server answered 404 {SLY}"}), width=200)
    assert capsys.readouterr().out.count(SHOWN) == 2


def test_the_description_of_a_progress_bar_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(terminal, "console", Console(file=stream, force_terminal=True, width=200, color_system=None))
    with bar(SLY, total=2) as advance:
        advance(1)
    assert SHOWN in stream.getvalue()


def test_the_complaints_of_the_parser_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["check", "images", f"--{SLY}"])
    assert left.value.code == 2
    err = capsys.readouterr().err
    assert r"--\x1b]0;title\x07\x1b[31m[/b] [red]:smile:" in err
    assert not set(err) & set("\x1b\x07\u202e\x9b")
    with pytest.raises(SystemExit):
        main(["\x1b[31m"])
    assert r"there is no verb \x1b[31m" in capsys.readouterr().err


def test_text_for_programs_is_exact_in_a_pipe_and_printable_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    emit("a,b\n\x1b[31m,c\n")
    assert capsys.readouterr().out == "a,b\n\x1b[31m,c\n"
    main_end, end = pty.openpty()
    with os.fdopen(end, "w") as screen:
        monkeypatch.setattr(sys, "stdout", screen)
        emit("a,b\n\x1b[31m,c\n")
        screen.flush()
        assert os.read(main_end, 100) == b"a,b\r\n\\x1b[31m,c\r\n"
    os.close(main_end)


def test_an_error_about_a_name_with_a_line_break_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["check", f"nowhere/{SLY}"])
    assert left.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_no_other_module_makes_consoles_tables_or_styled_text() -> None:
    forbidden = {"rich", "rich.console", "rich.table", "rich.text", "rich.markup", "rich.panel", "rich.pretty"}
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            wrong = forbidden.intersection(filter(None, names)) and path != SOURCE / "console.py"
            markup = isinstance(node, ast.Call) and ast.unparse(node.func) == "console.print"
            if wrong or (markup and path != SOURCE / "console.py"):
                found.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert found == [], "print through calco.console: say, warn, show, Table, cell"
