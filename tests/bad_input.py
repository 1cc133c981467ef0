"""Every bad input that Calco knows an answer to, made and given to the real command line.

    python tests/bad_input.py

writes the answers into the tables of docs/bad-input.md and its Spanish page; tests/test_bad_input.py compares them.
The inputs are in tests/bad_inputs.
"""

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent))

from PIL import Image as Pillow

from bad_inputs import (
    annotations,
    backends,
    crime,
    detectors,
    folders,
    images,
    judges,
    masks,
    models,
    requests,
    runs,
    studio,
    videos,
)
from bad_inputs.making import Bad, photo
from bad_inputs.spanish import in_spanish
from calco.cli import main
from support import ROOT

if TYPE_CHECKING:
    from web.studios import Site

PAGE = ROOT / "docs" / "bad-input.md"
SPANISH_PAGE = ROOT / "docs" / "es" / "bad-input.md"
MARKS = "<!-- the answers, by tests/bad_input.py -->", "<!-- end of the answers -->"
REQUESTS = "<!-- the studio's answers, by tests/bad_input.py -->", "<!-- end of the studio's answers -->"

CASES = tuple(
    bad
    for part in (images, masks, annotations, folders, videos, runs, models, backends, detectors, crime, judges, studio)
    for bad in part.CASES
)


@contextlib.contextmanager
def made(bad: Bad, room: Path) -> Iterator[None]:
    """The bad input in a folder, which is the present one meanwhile."""
    (room / "set").mkdir(parents=True)
    for number, letter in enumerate("abcdef"):
        Pillow.fromarray(photo(number)).save(room / "set" / f"{letter}.png")
    bad.make(room)
    with contextlib.chdir(room):
        try:
            yield
        finally:
            if os.path.ismount("pairs"):
                subprocess.run(["umount", "pairs"], check=True)
            for folder in room.rglob("*"):
                if folder.is_dir() and not folder.is_symlink():
                    folder.chmod(0o755)


def call(bad: Bad) -> tuple[int, str]:
    """Exit code, and what was said on the standard error."""
    if bad.before:
        command = [*bad.before, sys.executable, "-m", "calco", *bad.command.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stderr
    # A word @FILE stands for what is in the file.
    words = [Path(word[1:]).read_text() if word.startswith("@") else word for word in bad.command.split()]
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        try:
            main(words)
        except SystemExit as left:
            return int(left.code or 0), said.getvalue()
    return 0, said.getvalue()


def answer(bad: Bad, room: Path) -> tuple[int, str, str]:
    """Exit code, the answer in one line, and all that was said on the standard error."""
    with made(bad, room):
        code, said = call(bad)
        said = said.replace(f"{room.resolve()}/", "")  # of messages with whole paths
        if code == 2:
            return code, said.strip().splitlines()[-1].removeprefix("calco: "), said
        if bad.command.startswith("crime"):
            rejects = csv.DictReader(Path("crime.rechazos.csv").read_text(encoding="utf-8").splitlines())
            notes = [line.removeprefix("note: ") for line in said.splitlines() if line.startswith("note: ")]
            return code, "; ".join([*map(left_out, rejects), *notes]), said
        if bad.command.startswith("translate"):
            lines = [line for line in said.strip().splitlines() if bad.about in line]
            return code, lines[-1].removeprefix("note: "), said
        report = json.loads(Path("page/check.json").read_text())
        cases = [(case["keys"], case["remark"]) for finding in report["findings"] for case in finding["cases"]]
        if bad.fine:
            return code, f"{cases or report['entries']}", said
        names = (bad.about, f"images/{bad.about}", f"labels/{bad.about}")
        found = [
            words if any(Path(key).name in words for key in keys) else f"{keys[0]}: {words}"
            for keys, words in cases
            if any(key in names for key in keys)
        ]
        return code, "; ".join(found), said


def left_out(row: dict[str, str]) -> str:
    """A row of the rejects in words."""
    cell = f" {row['Campo']} {row['Valor']!r}:" if row["Campo"] else ""
    return f"{row['Archivo']}, line {row['Linea']}:{cell} {row['Motivo']}"


def table(answers: dict[str, str]) -> str:
    """The table of the page."""
    lines = ["| bad input | command | exit code | answer |", "|---|---|---|---|"]
    for bad in CASES:
        # What libraries add in brackets changes with their versions.
        plain = re.sub(r" \((?:[^()]|\([^()]*\))*\)", "", answers[bad.what])
        plain = re.sub(r"(@127\.0\.0\.1):\d{4,}", r"\1:3306", plain)  # the port of a test's own server
        plain = re.sub(r"on port \d{4,}", "on port 7860", plain)  # and the one that a test holds
        shown = bad.fine or plain.replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| {bad.what} | `{bad.command.split()[0]}` | {bad.code} | {shown} |")
    return "\n".join(lines)


@contextlib.contextmanager
def asked_studio(room: Path) -> Iterator["Site"]:
    """A studio of three small models: one of images, one that fills holes, a detector."""
    from web.studios import make_detector, make_translator, opened

    make_translator(room / "faces")
    make_translator(room / "scratches", "erase")
    make_detector(room / "people")
    names = ("faces", "scratches", "people")
    with opened(room / "state", *(room / name for name in names), per_client=64) as site:
        yield site


def requests_table(answers: Iterable[tuple[requests.BadRequest, tuple[str, str]]]) -> str:
    """The studio's table of the page."""
    lines = ["| bad request | to | status | answer | in Spanish |", "|---|---|---|---|---|"]
    for bad, said in answers:
        shown = [re.sub(r" \([^()]*\)", "", each).replace("|", "\\|") for each in said]
        lines.append(f"| {bad.what} | `/{bad.path}` | {bad.status} | {shown[0]} | {shown[1]} |")
    return "\n".join(lines)


def written(marks: tuple[str, str] = MARKS, page: Path = PAGE) -> list[str]:
    """The page: what stands before a table, the table, and what follows."""
    before, _, rest = page.read_text(encoding="utf-8").partition(marks[0])
    answers, _, after = rest.partition(marks[1])
    return [before, answers.strip(), after]


def write(marks: tuple[str, str], text: str) -> None:
    """Put a table into both pages."""
    for page, shown in ((PAGE, text), (SPANISH_PAGE, in_spanish(text))):
        start, _, end = written(marks, page)
        page.write_text(f"{start}{marks[0]}\n{shown}\n{marks[1]}{end}", encoding="utf-8")


def ask_studio() -> str:
    """Ask a studio all bad requests; return their table."""
    with tempfile.TemporaryDirectory() as folder, asked_studio(Path(folder)) as site:
        found = []
        for number, bad in enumerate(requests.CASES):
            room = Path(folder) / str(number)
            room.mkdir()
            found.append((bad, bad.answers(site, room)))
        return requests_table(found)


if __name__ == "__main__":
    found = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            exit_code, found[case.what], _ = answer(case, Path(folder) / "room")
            print(f"{case.what} [{exit_code}]: {found[case.what]}")
    write(MARKS, table(found))
    write(REQUESTS, ask_studio())
