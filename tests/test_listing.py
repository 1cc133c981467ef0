"""What lies in a folder is listed once, whatever links, names and permissions there are."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from calco.errors import CalcoError, DiskError, WriteError
from calco.files import Listing, explain, list_files, replacing, short_name, temporary_path


def png(name: str) -> bool:
    return name.lower().endswith(".png")


def listed(folder: Path) -> tuple[list[str], dict[str, str]]:
    found: Listing = list_files(folder, png)
    return [path.removeprefix(found.root) for path in found.paths], dict(found.left_out)


def test_all_below_but_hidden_ones_in_order(tmp_path: Path) -> None:
    for name in ("b/2.png", "a b.PNG", "b/deep/er/Año.png", ".hidden.png", ".git/x.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    assert listed(tmp_path) == (["a b.PNG", "b/2.png", "b/deep/er/Año.png"], {})
    assert list_files(f"{tmp_path}/", png).paths == list_files(tmp_path, png).paths


def test_links_are_followed_once_and_circles_are_told(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root / "z", elsewhere / "inner"):
        folder.mkdir(parents=True)
        (folder / "1.png").touch()
    (root / "loop").symlink_to(root)
    (root / "a second way").symlink_to(root / "z")
    (root / "far").symlink_to(elsewhere)
    (root / "far again").symlink_to(elsewhere / "inner")
    (elsewhere / "back").symlink_to(root)
    (root / "file.png").symlink_to(elsewhere / "inner" / "1.png")
    (root / "nothing.png").symlink_to(tmp_path / "nowhere")
    (root / "self.png").symlink_to(root / "self.png")
    os.mkfifo(root / "pipe.png")
    paths, left_out = listed(root)
    assert paths == ["far/inner/1.png", "file.png", "z/1.png"]
    twice = "leads to a folder that is listed already"
    assert left_out == {
        "loop": twice,
        "a second way": twice,
        "far again": twice,
        "far/back": twice,
        "nothing.png": "a link to nothing",
        "self.png": "too many levels of symbolic links",
        "pipe.png": "not a file",
    }


def test_a_folder_without_permission_is_told_unless_it_is_the_whole(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir(mode=0)
    (tmp_path / "a.png").touch()
    code = (
        "import sys; from calco.files import list_files; from calco.errors import CalcoError\n"
        f"found = list_files({str(tmp_path)!r}, lambda name: True); print(len(found.paths), found.left_out)\n"
        f"try: list_files({str(inner)!r}, lambda name: True)\nexcept CalcoError as error: print(error)"
    )
    # Root may read everything: without that capability it is like everybody else.
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if os.getuid() == 0 else []
    run = subprocess.run([*drop, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    inner.chmod(0o700)
    first, second = run.stdout.splitlines()
    assert first == "1 [('inner', 'permission denied')]"
    assert f"cannot read the folder {inner}: Permission denied" in second


def test_absent_folders_and_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("absent", "file"):
        with pytest.raises(CalcoError, match=name):
            list_files(tmp_path / name, png)


@pytest.mark.parametrize("stem", ["漢" * 84, "😀" * 63, "a" * 252, "e\u0301" * 84, "\udce9" * 250])
def test_a_name_with_an_ending_fits_into_255_bytes_and_meets_no_other(stem: str) -> None:
    """What is cut is told apart by a digest of the whole name; characters stay whole, and endings too."""
    names = [f"{stem}a", f"{stem}b"]
    made = [short_name(name, ".part") for name in names]
    assert len(set(made)) == 2
    for name in made:
        assert len(os.fsencode(name)) <= 255
        assert name.endswith(".part")
        if "\udce9" not in stem:
            assert name.partition("~")[0] in stem
    assert short_name("plain.png", ".part") == "plain.png.part"
    final = Path(f"{stem[:80]}.{'x' * 40}")
    temporary = {temporary_path(final) for _ in range(20)}
    assert len(temporary) == 20
    assert all(len(os.fsencode(path.name)) <= 255 and path.parent == final.parent for path in temporary)


@pytest.mark.parametrize(
    ("number", "kind", "remedy"),
    [
        (errno.ENOSPC, DiskError, "free some space or choose another disk"),
        (errno.EDQUOT, DiskError, "free some space of the quota"),
        (errno.EROFS, DiskError, "choose another disk"),
        (errno.EFBIG, WriteError, "ulimit -f"),
        (errno.ENAMETOOLONG, WriteError, "shorten the name"),
    ],
)
def test_an_error_of_writing_has_its_remedy(tmp_path: Path, number: int, kind: type[CalcoError], remedy: str) -> None:
    with pytest.raises(WriteError, match=f"cannot write .*a.txt: .*{remedy}") as met, replacing(tmp_path / "a.txt"):
        raise OSError(number, os.strerror(number))
    assert type(met.value) is kind
    assert type(explain(OSError(number, os.strerror(number)), "a", "read")) is CalcoError
