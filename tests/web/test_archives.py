"""ZIP archives of clients: what is refused, and with which line; what is unpacked, and under which names."""

import zipfile
from pathlib import Path

import pytest

from calco.web.archives import Limits, check_archive, pack, unpack
from calco.web.refusals import RefusedError, sentence
from web.archives import REFUSED, image_bytes, lying, written, zip_bytes

LIMITS = Limits()


@pytest.mark.parametrize("kind", REFUSED)
def test_an_archive_that_may_do_harm_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    make, line = REFUSED[kind]
    upload = written(tmp_path / "upload", make())
    with pytest.raises(RefusedError) as met:
        unpack(upload, tmp_path / "input", LIMITS)
    assert line in str(met.value)
    assert "\n" not in str(met.value) and str(tmp_path) not in str(met.value)
    assert met.value.spanish.startswith("el ZIP")
    assert [*tmp_path.rglob("*.png")] == []


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    upload = written(tmp_path / "upload", zip_bytes({"good.png": image_bytes(), "../bad.png": image_bytes()}))
    with pytest.raises(RefusedError):
        unpack(upload, tmp_path / "input", LIMITS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input", "upload"]


def test_a_directory_that_lies_about_sizes_costs_one_file(tmp_path: Path) -> None:
    upload = written(tmp_path / "upload", lying(100))
    found = unpack(upload, tmp_path / "input", LIMITS)
    assert found.names == {} and found.left_out["a.png"][0] == "file_damaged"
    assert [*(tmp_path / "input").iterdir()] == []


def test_unpacked_bytes_are_bounded(tmp_path: Path) -> None:
    files = {f"{number}.bmp": image_bytes(number, (300, 300), "BMP") for number in range(4)}
    upload = written(tmp_path / "upload", zip_bytes(files))
    with pytest.raises(RefusedError, match="unpacks to more than 1 MB"):
        check_archive(upload, Limits(unpacked_bytes=1 << 20))
    assert len(check_archive(upload, Limits(unpacked_bytes=2 << 20))) == 4


def test_images_are_unpacked_under_numbers_and_others_are_left_out(tmp_path: Path) -> None:
    files = {"a.png": image_bytes(1), "day 1/b.JPG": image_bytes(2, form="JPEG"), "notes.txt": b"hello",
             "named.png": image_bytes(3, form="JPEG"), "__MACOSX/._a.png": b"x"}  # fmt: skip
    found = unpack(written(tmp_path / "upload", zip_bytes(files)), tmp_path / "input", LIMITS)
    assert found.names == {"000000.png": "a.png", "000001.jpg": "day 1/b.JPG", "000003.jpg": "named.png"}
    assert set(found.left_out) >= {"notes.txt"} and "__MACOSX/._a.png" not in found.left_out
    assert sorted(path.name for path in (tmp_path / "input").iterdir()) == sorted(found.names)


def test_large_images_are_left_out_by_their_header(tmp_path: Path) -> None:
    upload = written(tmp_path / "upload", zip_bytes({"a.png": image_bytes(0, (100, 100)), "b.png": image_bytes()}))
    found = unpack(upload, tmp_path / "input", Limits(pixels=5000))
    assert [*found.names.values()] == ["b.png"] and "100 x 100" in sentence(*found.left_out["a.png"])


def test_the_same_results_are_packed_into_the_same_bytes(tmp_path: Path) -> None:
    one = written(tmp_path / "one", b"1" * 100)
    for name in ("a.zip", "b.zip"):
        pack(tmp_path / name, [("x/one.png", one)], {"left_out.txt": "two: damaged\n"})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["x/one.png", "left_out.txt"] and archive.testzip() is None
