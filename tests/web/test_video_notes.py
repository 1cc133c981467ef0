"""Notes on videos in Spanish: every one that the library can write is known."""

import ast
from pathlib import Path

import pytest

import calco.video
from calco.web.video_notes import spanish_note

FOLDER = Path(calco.video.__file__).parent


def notes_in(path: Path) -> list[str]:
    """The notes that a module writes, with 7 and 7.5 in the place of values."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if not called.endswith(("notes.append", "notes.insert", "remarks.append")):
            continue
        assert isinstance(node, ast.Call)
        if isinstance(text := node.args[-1], ast.JoinedStr):
            found.append("".join(
                str(part.value) if isinstance(part, ast.Constant) else "7.50" if part.format_spec else "7"
                for part in text.values
            ))  # fmt: skip
    return found


def test_every_note_of_the_library_is_known_in_spanish() -> None:
    notes = [note for path in sorted(FOLDER.glob("*.py")) for note in notes_in(path)]
    notes = [note for note in notes if " " in note and not note.startswith("7 77 7")]  # the last: how often and where
    assert len(notes) >= 16
    assert [note for note in notes if spanish_note(note) == note] == []


@pytest.mark.parametrize(("note", "spanish"), [
    ("3 damaged frames from 0.50 to 1.25 s", "fotogramas dañados de 0,50 a 1,25 s: 3"),
    ("1 undecodable packet at 2.00 s", "paquetes que no se pueden decodificar a los 2,00 s: 1"),
    ("the upload: 1 damaged frame at 0.04 s", "el archivo: fotogramas dañados a los 0,04 s: 1"),
    ("the cover image and attached files (2) of the upload is left out",
     "se omite, de el archivo: la carátula y los archivos adjuntos (2)"),
    ("something new", "something new"),
])  # fmt: skip
def test_notes_are_translated_with_their_values(note: str, spanish: str) -> None:
    assert spanish_note(note) == spanish
