"""The log of what commands wrote: files of others are neither replaced, removed nor counted, whatever the command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Pillow

from bad_inputs.making import photo
from calco.cli import main
from calco.errors import CalcoError
from calco.files import atomic_write, sweep, temporary_path
from calco.outputs import LOG, Outputs, is_unchanged, stamp_of, writing_file, writing_folder


def test_files_are_recorded_before_they_get_their_names(tmp_path: Path) -> None:
    with writing_folder(tmp_path, "calco check") as outputs:
        atomic_write(tmp_path / "a.txt", "one")
        (tmp_path / "sub").mkdir()
        atomic_write(tmp_path / "sub" / "b.txt", "two")
        atomic_write(tmp_path / "a.txt", "three")  # its own
    assert outputs.names() == ["a.txt", "sub/b.txt"]
    again = Outputs(tmp_path, "calco check")
    assert again.owns(tmp_path / "a.txt") and again.owns(tmp_path / "sub" / "b.txt")
    (tmp_path / "a.txt").write_text("edits")
    assert not again.owns(tmp_path / "a.txt")


def test_a_file_of_somebody_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    with writing_folder(tmp_path, "calco check", overwrite=True) as outputs:
        with pytest.raises(CalcoError, match="a.txt is there already and was not written by Calco; move it away"):
            outputs.check([tmp_path / "b.txt", tmp_path / "a.txt"])
        with pytest.raises(CalcoError, match="a.txt is there already"):
            atomic_write(tmp_path / "a.txt", "other")
        assert not outputs.remove(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "mine"
    assert not [path for path in tmp_path.iterdir() if ".tmp" in path.name]


def test_a_folder_of_somebody_under_a_recorded_name_is_not_removed(tmp_path: Path) -> None:
    with writing_folder(tmp_path, "calco check", overwrite=True) as outputs:
        atomic_write(tmp_path / "a", "one")
        (tmp_path / "a").unlink()
        (tmp_path / "a").mkdir()
        assert not outputs.remove(tmp_path / "a")
        with pytest.raises(CalcoError, match="a is there already"):
            outputs.check([tmp_path / "a"])


def test_the_log_of_something_else_is_refused_and_a_cut_line_is_not(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("my notes\n")
    with pytest.raises(CalcoError, match="is not a log of Calco's outputs; move it away"):
        Outputs(tmp_path, "calco check")
    (tmp_path / LOG).write_text(json.dumps({"format": 99}) + "\n")
    with pytest.raises(CalcoError, match="newer format"):
        Outputs(tmp_path, "calco check")
    (tmp_path / LOG).unlink()
    with writing_folder(tmp_path, "calco check"):
        atomic_write(tmp_path / "a.txt", "one")
    with (tmp_path / LOG).open("a") as log:
        log.write('{"file": "b.tx')
    with writing_folder(tmp_path, "calco check"):
        atomic_write(tmp_path / "c.txt", "one")
    assert Outputs(tmp_path, "calco check").names() == ["a.txt", "c.txt"]


def test_the_log_does_not_grow_for_ever(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    outputs = Outputs(tmp_path, "calco check")
    for _ in range(1010):
        outputs.record(tmp_path / "a.txt")
    assert len((tmp_path / LOG).read_text().splitlines()) == 1011
    assert Outputs(tmp_path, "calco check").owns(tmp_path / "a.txt")
    assert len((tmp_path / LOG).read_text().splitlines()) == 2


def test_an_input_with_the_old_size_and_time_and_other_bytes_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    stamp = json.loads(json.dumps(stamp_of(path)))
    status = os.stat(path)
    assert is_unchanged(path, stamp)
    path.write_text("two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not is_unchanged(path, stamp)
    path.write_text("one")
    assert is_unchanged(path, stamp)


def test_only_names_of_half_written_files_are_swept(tmp_path: Path) -> None:
    half = temporary_path(tmp_path / "a.png")
    theirs = [
        tmp_path / name for name in (".a.tmp.png", ".x.tmp.y", ".a.12345678.tmp.png", "a.0123456789abcdef.tmp.png")
    ]
    for path in (half, *theirs):
        path.write_text("x")
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(theirs)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("page/check.html", "check set --out page --jobs 1"),
        ("page/check.json", "check set --out page --jobs 1"),
        ("sheets/colorize.png", "recipes set/a.png --only colorize --out sheets"),
        ("rows.csv", "crime generate --rows 3 --out rows.csv"),
        ("rows.csv", "crime generate --rows 3 --out link.csv"),
        ("w.gif", "detect slide set/a.png --window 48x48 --step 48 --scales 1 --out w.gif"),
    ],
)
def test_no_command_replaces_a_file_that_it_did_not_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("set").mkdir()
    for number, letter in enumerate("abcdef"):
        Pillow.fromarray(photo(number)).save(f"set/{letter}.png")
    Path("link.csv").symlink_to("rows.csv")
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("mine")
    with pytest.raises(SystemExit) as left:
        main(command.split())
    assert left.value.code == 2
    assert "is there already and was not written by Calco" in capsys.readouterr().err
    assert Path(name).read_text() == "mine"
    assert Path("link.csv").is_symlink()
    Path(name).unlink()
    if "link" not in command:
        for _ in range(2):  # what the command wrote itself it replaces
            main(command.split())


HALF = """
import sys
from calco.files import replacing
from calco.outputs import writing_file
with writing_file(sys.argv[1], "calco test"), replacing(sys.argv[1]) as path:
    path.write_text("half")
    print("written", flush=True)
    sys.stdin.read()
"""


def test_the_next_command_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    command = [sys.executable, "-c", HALF, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.kill()
    assert [path for path in tmp_path.iterdir() if ".tmp." in path.name]
    with writing_file(out, "calco test"):
        atomic_write(out, "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOG, "a.txt"]


def test_no_column_of_somebody_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("set").mkdir()
    for number, letter in enumerate("aabcdef"):
        Pillow.fromarray(photo(number)).save(f"set/{letter}{number}.png")
    table = "key,group,note\na0,one,mine\n"
    Path("groups.csv").write_text(table)
    with pytest.raises(SystemExit) as left:
        main(["check", "set", "--out", "page", "--jobs", "1", "--write-groups", "groups.csv"])
    assert left.value.code == 2
    assert "groups.csv has the column note too, which would be lost" in capsys.readouterr().err
    assert Path("groups.csv").read_text() == table
