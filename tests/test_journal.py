"""Journals: what a kill, a full disk or a damaged line leaves, and how work goes on from there."""

import logging
import os
from pathlib import Path

import pytest

from calco import journal
from calco.errors import CalcoError
from calco.journal import Journal


def test_a_journal_resumes_after_the_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    first = Journal(path)
    assert not path.exists() and first.count == 0
    first.add({"n": 1, "name": "año \udce9"})
    first.add({"n": 2})
    with path.open("ab") as file:
        file.write(b'{"n": 3')  # a kill in the middle of a line
    assert [row["n"] for row in journal.read(path)] == [1, 2]
    again = Journal(path)
    assert again.count == 2
    again.add({"n": 4})
    assert [row["n"] for row in again.rows()] == [1, 2, 4]


def test_what_made_the_rows_tells_journals_apart(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    Journal(path, {"model": 1, "size": 2}).add({"n": 1})
    again = Journal(path, {"size": 2, "model": 1})
    assert again.count == 1 and list(again.rows()) == [{"n": 1}]
    with pytest.raises(CalcoError, match="interrupted call with another model.*--overwrite"):
        Journal(path, {"model": 2})
    again.finish(tmp_path / "whole.jsonl")
    assert journal.read(tmp_path / "whole.jsonl") == [{"n": 1}] and not path.exists()


@pytest.mark.parametrize("begun", [b"", b'{"made_', b'{"made_by": {"model": 1}}\n'])
def test_a_journal_without_rows_begins_anew(tmp_path: Path, begun: bytes) -> None:
    path = tmp_path / "part.jsonl"
    path.write_bytes(begun)
    assert Journal(path, {"model": 2}).count == 0
    assert journal.read(path) == [{"made_by": {"model": 2}}]


def test_a_file_of_somebody_else_is_neither_continued_nor_removed(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    path.write_bytes(b"my own notes, which are longer than the first line of any journal\n")
    with pytest.raises(CalcoError, match="not written by Calco"):
        Journal(path, {"model": 2})
    with pytest.raises(CalcoError, match="not written by Calco"):
        journal.remove(path)
    assert path.exists()
    path.write_bytes(b'{"made_by": {}}\n{"n": 1}\n')
    journal.remove(path)
    journal.remove(path)
    assert not path.exists()


def test_a_damaged_line_is_an_error_to_readers_and_a_logged_restart_to_writers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n": 1}\nnot JSON\n{"n": 3}\n')
    with pytest.raises(CalcoError, match="rows.jsonl, line 2: not a JSON object; remove"):
        journal.read(path)
    with caplog.at_level(logging.WARNING):
        again = Journal(path)
    assert "line 2 is damaged" in caplog.text
    again.add({"n": 2})
    assert journal.read(path) == [{"n": 1}, {"n": 2}]


def test_an_unreadable_journal_is_never_taken_for_an_empty_one(tmp_path: Path) -> None:
    assert journal.read(tmp_path / "absent.jsonl") == []
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(CalcoError, match="cannot read"):
        journal.read(tmp_path / "folder.jsonl")


def test_rows_after_a_checkpoint_are_written_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = Journal(path, sync=True)
    rows.add({"n": 1})
    state = rows.state()
    rows.add({"n": 2})
    rows.recall(state)
    rows.add({"n": 3})
    assert journal.read(path) == [{"n": 1}, {"n": 3}]
    path.write_bytes(b"")
    with pytest.raises(CalcoError, match="has 0 bytes and had 9; restore it"):
        rows.recall(state)


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Journal(tmp_path / "rows.jsonl", sync=True)
    rows.add({"n": 1})

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CalcoError, match="No space left"):
            rows.add({"n": 2})
    rows.add({"n": 3})
    assert journal.read(rows.path) == [{"n": 1}, {"n": 3}]
