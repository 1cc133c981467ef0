"""Copies and named groups stay together, and what is to be dropped is left out."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from calco.data import curation
from calco.data.config import SourceConfig
from calco.data.sources import open_source
from calco.errors import CalcoError

Make = Callable[..., Path]


def groups(root: Path, **options: object) -> dict[str, str]:
    return {item.key: item.group for item in open_source(root, SourceConfig(**options)).items}


def test_copies_of_a_image_share_its_group(make: Make, tmp_path: Path) -> None:
    make("a.png")
    make("c.png")
    shutil.copy(tmp_path / "a.png", tmp_path / "b.png")
    assert groups(tmp_path) == {"a": "a", "b": "a", "c": "c"}


def test_files_that_differ_in_the_middle_alone_are_no_copies(tmp_path: Path) -> None:
    for name, middle in (("a", b"x"), ("b", b"y"), ("c", b"x")):
        (tmp_path / f"{name}.png").write_bytes(b"." * 5000 + middle + b"." * 5000)
    assert groups(tmp_path) == {"a": "a", "b": "b", "c": "a"}


def test_a_copy_on_either_side_joins_and_joining_goes_on(make: Make, tmp_path: Path) -> None:
    for name in ("sketch/1", "photo/1", "sketch/2", "photo/3", "sketch/4", "photo/4"):
        make(f"{name}.png")
    shutil.copy(tmp_path / "photo/1.png", tmp_path / "photo/2.png")
    shutil.copy(tmp_path / "sketch/2.png", tmp_path / "sketch/3.png")
    assert groups(tmp_path) == {"1": "1", "2": "1", "3": "1", "4": "4"}


def test_the_table_of_groups_is_found_and_said(make: Make, tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        make(f"{name}.png")
    shutil.copy(tmp_path / "c.png", tmp_path / "e.png")
    table = "key,group\nb,Ana\nc,Ana\nzzz,Ana\n"
    (tmp_path / "groups.csv").write_text(table)
    assert groups(tmp_path) == {"a": "a", "b": "Ana", "c": "Ana", "d": "d", "e": "Ana"}
    summary = open_source(tmp_path).summary()
    assert "groups.csv puts 2 images into 1 groups" in summary
    assert "1 keys" in summary and "such as zzz" in summary
    elsewhere = tmp_path / "other.csv"
    elsewhere.write_text("\ufeffgroup;remark;key\nLuz;;a\nLuz;x;d\n", encoding="utf-8")
    assert groups(tmp_path, groups=str(elsewhere))["d"] == "Luz"


def test_the_table_of_what_to_drop(make: Make, tmp_path: Path) -> None:
    for name in ("a", "b", "deep/c"):
        make(f"{name}.png")
    (tmp_path / "dropped.csv").write_text('key,reason\ndeep/c,"blurred, and dark"\n')
    source = open_source(tmp_path)
    assert [item.key for item in source.items] == ["a", "b"]
    assert source.left_out == (("deep/c", "blurred, and dark (dropped.csv)"),)
    assert "dropped.csv leaves out 1" in source.summary()
    everything = tmp_path / "all.csv"
    everything.write_text("key,reason\na,x\nb,x\ndeep/c,x\n")
    with pytest.raises(CalcoError, match="leaves out all 3"):
        open_source(tmp_path, SourceConfig(drop=str(everything)))


@pytest.mark.parametrize(
    ("table", "told"),
    [(b"", "line 1: no column key"), (b"key;name\na;b\n", "line 1: no column group"),
     (b"key,group\na,b\n\nc\n", "line 4: 'c'"), (b"key,group\na,\n", "line 2"),
     (b"key,group\na,b,c\n", "line 2"), (b"key,group\na,b\n\xff,b\n", "line 3: the byte 0xff is not UTF-8"),
     (b'key,group\n"a,b\n', "line 2"), (b"key,group\na,\0\n\"", "line")],
)  # fmt: skip
def test_a_malformed_table_is_named_with_its_line(make: Make, tmp_path: Path, table: bytes, told: str) -> None:
    make("a.png")
    (tmp_path / "groups.csv").write_bytes(table)
    with pytest.raises(CalcoError, match="groups.csv, ") as caught:
        open_source(tmp_path)
    assert told in str(caught.value)


def test_an_absent_table_is_an_error(make: Make, tmp_path: Path) -> None:
    make("a.png")
    with pytest.raises(CalcoError, match="nowhere.csv"):
        open_source(tmp_path, SourceConfig(groups="nowhere.csv"))


def test_above_a_number_of_files_copies_are_not_looked_for_and_that_is_said(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("a.png")
    shutil.copy(tmp_path / "a.png", tmp_path / "b.png")
    monkeypatch.setattr(curation, "MAX_COMPARED", 1)
    source = open_source(tmp_path)
    assert len({item.group for item in source.items}) == 2
    assert "calco check --write-groups" in source.summary()
