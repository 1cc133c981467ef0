"""From a list of addresses and boxes to photographs and crops."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

import calco
from calco import CalcoError, imaging
from calco.cli import main
from calco.collecting.collect import Collection, window
from collecting.test_download import encoded
from collecting.web import Web, serving, status, whole

Box = tuple[str, tuple[float, float, float, float]]
FACE: Box = ("Face", (0.25, 0.25, 0.5, 0.75))


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        yield server


def line(address: str, *boxes: Box) -> str:
    entries = [
        {"label": [label], "points": [{"x": left, "y": top}, {"x": right, "y": bottom}]}
        for label, (left, top, right, bottom) in boxes
    ]
    return json.dumps({"content": address, "annotation": entries})


def listed(folder: Path, *lines: str) -> Path:
    path = folder / "list.json"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Images 0, 2 (of 16 bits), 7 (a copy of 0), 9 (no image), 10 (cut short): 1, 3 and 8 are missing."""
    folder = tmp_path / "raw"
    folder.mkdir()
    chance = np.random.default_rng(0)
    imaging.write(folder / "img0.png", chance.integers(0, 256, (200, 400, 3), dtype=np.uint8))
    imaging.write(folder / "img2.png", chance.integers(0, 65536, (100, 200, 3), dtype=np.uint16))
    (folder / "img7.png").write_bytes((folder / "img0.png").read_bytes())
    (folder / "img9.png").write_text("<html>Not found</html>")
    (folder / "img10.png").write_bytes((folder / "img0.png").read_bytes()[:3000])
    imaging.write(folder / "img99.png", np.zeros((9, 9, 3), np.uint8))
    return folder


def crops(
    there: Path, out: Path, *boxes: tuple[str, tuple[float, float, float, float]], **options: object
) -> Collection:
    lines = [line(f"http://nowhere.example/{number}.jpg", *(boxes or (FACE,))) for number in range(11)]
    return calco.collect(
        calco.CollectConfig(annotations=listed(out.parent, *lines), out=out, images=there, crop=("Face",), **options)
    )


def groups(folder: Path) -> dict[str, str]:
    with (folder / "groups.csv").open(encoding="utf-8", newline="") as table:
        return {row["key"]: row["group"] for row in csv.DictReader(table)}


def test_images_match_by_number_and_what_is_missing_is_named(there: Path, tmp_path: Path) -> None:
    out = tmp_path / "crops"
    done = crops(there, out, margin=0, min_size=20)
    assert {path.name for path in out.glob("*.png")} == {"img0_0.png", "img2_0.png", "img7_0.png"}
    for number in (0, 2):
        whole_image = imaging.read(there / f"img{number}.png")
        height, width = whole_image.shape[:2]
        expected = whole_image[height // 4 : height * 3 // 4, width // 4 : width // 2]
        cut = imaging.read(out / f"img{number}_0.png")
        assert cut.dtype == whole_image.dtype
        assert np.array_equal(cut, expected)
    report = json.loads((out / "collected.json").read_text())
    assert report["left_out"] == done.left_out
    missing = {f"line {number + 1}" for number in (1, 3, 4, 5, 6, 8)}
    assert missing <= set(report["left_out"])
    assert "cannot be read" in report["left_out"]["line 10"]
    assert "cut short" in report["left_out"]["img10"]
    assert report["left_out"]["img99.png"] == "the list does not name it"
    assert report["left_out"]["img9.png"] == "it is not an image"
    assert len(report["left_out"]) == len(missing) + 4


def test_crops_of_one_photograph_are_one_group(there: Path, tmp_path: Path) -> None:
    out = tmp_path / "crops"
    crops(there, out, FACE, ("Face", (0.5, 0.5, 0.75, 1)), ("Hat", (0, 0, 1, 1)), min_size=20)
    # img7 is a copy of img0.
    assert groups(out) == {
        "img0_0": "img0", "img0_1": "img0", "img2_0": "img2", "img2_1": "img2", "img7_0": "img0", "img7_1": "img0",
    }  # fmt: skip
    source = calco.open_source(out)
    assert {item.key: item.group for item in source.items} == groups(out)


def test_small_crops_are_dropped_and_named(there: Path, tmp_path: Path) -> None:
    done = crops(there, tmp_path / "crops", FACE, min_size=80)
    assert set(done.crops) == {"img0_0", "img7_0"}
    assert done.boxes_left_out == {"img2_0": "the crop has 76x76 pixels, under 80"}


def test_all_labels_or_an_unknown_one(there: Path, tmp_path: Path) -> None:
    lines = listed(
        tmp_path, line("http://nowhere.example/0", FACE, ("Hat", (0, 0, 0.5, 0.5))), line("", FACE), line("", FACE)
    )
    assert (
        len(
            calco.collect(
                calco.CollectConfig(annotations=lines, out=tmp_path / "all", images=there, crop=("all",), min_size=9)
            ).crops
        )
        == 3
    )
    with pytest.raises(CalcoError, match="no box has the label face; the labels are Face, Hat"):
        calco.collect(calco.CollectConfig(annotations=lines, out=tmp_path / "none", images=there, crop=("face",)))


def test_the_whole_way_from_a_server(web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [encoded("JPEG", seed, 120) for seed in range(3)]
    lines = [line(web.put(f"/{number}.png", whole(data)), FACE) for number, data in enumerate(images)]
    lines.insert(1, line(web.put("/gone.jpg", status(404)), FACE))
    lines.insert(3, '{"content": "http')
    path, out = listed(tmp_path, *lines), tmp_path / "out"
    main(["collect", str(path), "--out", str(out), "--retries", "0"])
    said = capsys.readouterr()
    assert {file.name for file in out.glob("*.jpg")} == {"000000.jpg", "000002.jpg", "000004.jpg"}
    assert "3 of 5 images are there, 3 of them fetched now" in said.out
    assert "404 Not Found" in said.out
    assert "broken JSON" in json.loads((out / "collected.json").read_text())["left_out"]["line 4"]

    web.put("/gone.jpg", whole(encoded("PNG", 9, 120)))
    main(["collect", str(path), "--out", str(out)])
    assert "4 of 5 images are there, 1 of them fetched now" in capsys.readouterr().out
    assert sum(web.visits.values()) == 5

    # The same by number from the folder, and in one go.
    main(
        [
            "collect",
            str(path),
            "--images",
            str(out),
            "--crop",
            "Face",
            "--min-size",
            "9",
            "--out",
            str(tmp_path / "a"),
        ]
    )
    main(["collect", str(path), "--crop", "Face", "--min-size", "9", "--out", str(tmp_path / "b")])
    assert "4 crops in 4 groups" in capsys.readouterr().out
    for name in ("000000_0.png", "000001_0.png", "000002_0.png", "000004_0.png", "groups.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert len(calco.open_source(tmp_path / "b").items) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["LIST", "--out", "OUT"], "gave no image; the first reason: 000000: "),
        (["LIST", "--out", "OUT", "--images", "RAW"], "--crop"),
        (["LIST", "--out", "RAW"], "holds something else"),
        (["LIST", "--out", "OUT", "--images", "RAW", "--crop", "Face", "--min-size", "999"], "under 999"),
        (["LIST", "--out", "OUT", "--images", "NOWHERE", "--crop", "Face"], "NOWHERE"),
        (["NOWHERE", "--out", "OUT"], "NOWHERE"),
        (["LIST", "--out", "OUT", "--jobs", "0"], "jobs is 0"),
        (["LIST", "--out", "OUT", "--crop", "Face", "--margin", "-1"], "margin is -1"),
        (["VOC", "--out", "OUT"], "--images"),
    ],
)
def test_bad_input_is_answered_in_one_line(
    there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    path = listed(tmp_path, line("http://127.0.0.1:1/x.jpg", FACE))
    (tmp_path / "voc.xml").write_text(
        "<annotation><filename>img0.png</filename><object><name>Face</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
        "<xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
    )
    places = {"LIST": path, "OUT": tmp_path / "out", "RAW": there, "NOWHERE": tmp_path / "nowhere"}
    places |= {"VOC": tmp_path / "voc.xml"}
    with pytest.raises(SystemExit) as left:
        main(
            [
                "collect",
                *(str(places.get(word, word)) for word in words),
                *([] if "--jobs" in words else ["--retries", "0"]),
            ]
        )
    said = capsys.readouterr().err.strip()
    assert left.value.code == 2
    assert str(places.get(message, message)) in said
    assert len(said.splitlines()) == 1


def test_crops_of_other_settings_are_not_mixed(there: Path, tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="gave no crop"):
        crops(there, tmp_path / "crops", min_size=999)
    crops(there, tmp_path / "crops", min_size=20)  # nothing was there yet
    assert len(crops(there, tmp_path / "crops", min_size=20).crops) == 3
    with pytest.raises(CalcoError, match="other settings"):
        crops(there, tmp_path / "crops", min_size=10)


def test_boxes_of_other_formats_are_cut_too(tmp_path: Path) -> None:
    (tmp_path / "Images").mkdir()
    (tmp_path / "Labels").mkdir()
    Pillow.effect_noise((100, 80), 50).convert("RGB").save(tmp_path / "Images" / "7.jpeg")
    (tmp_path / "Labels" / "7.txt").write_text("1\n10 20 50 60\n")
    done = calco.collect(
        calco.CollectConfig(
            annotations=tmp_path / "Labels",
            out=tmp_path / "out",
            images=tmp_path / "Images",
            crop=("all",),
            margin=0,
            min_size=30,
        )
    )
    assert list(done.crops.values()) == ["7"]
    assert imaging.read(tmp_path / "out" / "7_0.png").shape == (40, 40, 3)


@given(
    box=st.tuples(*[st.floats(-50, 150, width=32)] * 4),
    size=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    margin=st.floats(0, 2),
    square=st.booleans(),
)
def test_a_window_lies_within_the_image_and_holds_the_box(
    box: tuple[float, ...], size: tuple[int, int], margin: float, square: bool
) -> None:
    try:
        left, top, right, bottom = window(np.array(box), size, margin=margin, min_size=1, square=square)
    except CalcoError:
        return
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]
    if square:
        assert right - left == bottom - top
    else:
        assert left <= max(0, box[0]) + 0.01
        assert right >= min(size[0], box[2]) - 0.01
        assert top <= max(0, box[1]) + 0.01
        assert bottom >= min(size[1], box[3]) - 0.01


def test_the_real_photographs(real_data: Path, tmp_path: Path) -> None:
    done = calco.collect(
        calco.CollectConfig(
            annotations=real_data / "retouch" / "face_detection.json",
            out=tmp_path / "faces",
            images=real_data / "retouch" / "raw_face_images",
            crop=("Face",),
        )
    )
    assert len(done.photographs) + len(done.left_out) == done.listed
    assert len(done.crops) > 2 * len(set(done.crops.values())) > 0
    assert all(min(imaging.read(path).shape[:2]) >= 64 for path in (tmp_path / "faces").glob("*.png"))
