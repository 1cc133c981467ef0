"""Each kind of fault is planted, found, and fixed where it can be; a clean set is left in peace."""

import csv
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import calco.cli
from calco import imaging
from calco.annotations.detections import Detections
from calco.annotations.record import Problem
from calco.checking import BESIDE, CheckConfig
from calco.checking.check import check, quick_findings, report_findings
from calco.checking.findings import Inspection, find
from calco.checking.result import CheckReport
from calco.checking.survey import survey
from calco.data.config import SourceConfig, SplitConfig
from calco.data.recipes import EraseConfig, RecipeConfig, SegmentConfig
from calco.data.sample import Sample
from calco.data.source import Item, Source
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.errors import CalcoError
from calco.imaging import Image
from checking.conftest import Write, drawing, photo

Pairs = Callable[[int], None]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., CheckReport]:
    """Checks tmp_path / "set" in this process."""

    def run(**given: object) -> CheckReport:
        config = CheckConfig(images=str(tmp_path / "set"), out=str(tmp_path / "out"), jobs=1)
        return check(replace(config, **given))

    return run


def cases(report: CheckReport, kind: str) -> list[tuple[str, ...]]:
    return [case.keys for finding in report.findings if finding.kind == kind for case in finding.cases]


def kinds(report: CheckReport) -> set[str]:
    return {finding.kind for finding in report.findings}


def test_clean_pairs_have_no_finding(pairs: Pairs, run: Callable[..., CheckReport], tmp_path: Path) -> None:
    pairs(12)
    report = run()
    assert report.findings == []
    assert report.ok
    assert report.verdict() == "12 entries can be trained on; nothing was found that would spoil it."
    told = json.loads((tmp_path / "out" / "check.json").read_text())
    assert told["ok"] and told["entries"] == 12 and told["findings"] == []


def test_damaged_constant_and_misfitting_entries(write: Write, pairs: Pairs, run: Callable[..., CheckReport]) -> None:
    pairs(8)
    path = write("photo/torn.jpg", photo(50))
    path.write_bytes(path.read_bytes()[:900])
    write("sketch/torn.png", drawing(photo(50)))
    write("photo/blank.png", photo(51))
    write("sketch/blank.png", np.full((96, 96, 1), 255, np.uint8))
    write("photo/wide.png", photo(52, width=120))
    write("sketch/wide.png", drawing(photo(52)))
    write("photo/alone.png", photo(53))
    report = run()
    assert not report.ok
    assert cases(report, "unreadable") == [("torn",)]
    assert cases(report, "constant") == [("blank",)]
    assert cases(report, "sizes-differ") == [("wide",)]
    assert len(cases(report, "left-out")) == 1
    assert list(report.commands) == ["drop"]
    fixed = run(write_drop=BESIDE)
    assert fixed.ok
    with (Path(fixed.config.images) / "dropped.csv").open() as file:
        rows = {row["key"]: row["reason"] for row in csv.DictReader(file)}
    assert rows == {"torn": "unreadable", "blank": "constant", "wide": "sizes-differ"}
    after = run()
    assert after.ok
    assert {keys[0] for keys in cases(after, "dropped")} == set(rows)
    again = run(write_drop=BESIDE)
    assert again.ok and (Path(again.config.images) / "dropped.csv").read_text().count("\n") == 4


def test_pairs_that_do_not_lie_on_each_other(write: Write, pairs: Pairs, run: Callable[..., CheckReport]) -> None:
    pairs(16)
    write("photo/shifted.png", np.roll(photo(60), 7, axis=1))
    write("sketch/shifted.png", drawing(photo(60)))
    write("photo/mirrored.png", np.ascontiguousarray(photo(61)[:, ::-1]))
    write("sketch/mirrored.png", drawing(photo(61)))
    write("photo/swapped.png", np.repeat(drawing(photo(62)), 3, axis=2))
    write("sketch/swapped.png", photo(62)[..., :1])
    report = run()
    assert cases(report, "shifted") == [("shifted",)]
    assert cases(report, "mirrored") == [("mirrored",)]
    assert cases(report, "swapped") == [("swapped",)]
    assert kinds(report) <= {"shifted", "mirrored", "swapped", "modes", "grey"}
    assert "7." in next(f for f in report.findings if f.kind == "shifted").cases[0].words


def test_a_whole_set_that_is_shifted(write: Write, run: Callable[..., CheckReport]) -> None:
    for n in range(6):
        write(f"photo/{n}.png", np.roll(photo(n), 5, axis=0))
        write(f"sketch/{n}.png", drawing(photo(n)))
    report = run()
    assert kinds(report) == {"all-shifted"}
    assert "5.5% down" in report.findings[0].cases[0].words


def on_both_sides(tmp_path: Path) -> tuple[str, str]:
    """A name that training learns from, and one that it is tested on."""
    items = [Item(f"n{n}", f"n{n}", ()) for n in range(20)]
    parts = split_items(items, SplitConfig())
    return parts["train"][0].key, parts["test"][0].key


def test_duplicates_across_the_split_are_grouped(
    write: Write, run: Callable[..., CheckReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt, tested = on_both_sides(tmp_path)
    for n in range(20):
        write(f"n{n}.png", photo(n))
    small = cv2.resize(np.rot90(photo(1000)), (64, 64), interpolation=cv2.INTER_AREA)
    write(f"{learnt}.png", photo(1000))
    (tmp_path / "set" / f"{tested}.png").unlink()
    write(f"{tested}.jpg", small)
    report = run()
    assert cases(report, "duplicates-across") == [tuple(sorted((learnt, tested), key=lambda key: report.split[key]))]
    words = next(f for f in report.findings if f.kind == "duplicates-across").cases[0].words
    assert "turned by" in words and "64x64" in words
    assert report.commands == {"groups": f"calco check {tmp_path / 'set'} --write-groups"}
    table = tmp_path / "groups.csv"
    fixed = run(write_groups=str(table))
    assert fixed.ok
    assert not run().ok
    again = run(source=SourceConfig(groups=str(table)))
    assert again.ok
    assert again.split[learnt] == again.split[tested]
    assert cases(again, "copies") == [tuple(sorted((learnt, tested)))]
    assert run(write_groups=BESIDE).ok
    assert run().ok


def test_one_image_in_two_declared_splits_is_dropped_from_the_one_nearer_to_training(
    write: Write, run: Callable[..., CheckReport], tmp_path: Path
) -> None:
    for n in range(8):
        write(f"train/{n}.png", photo(n))
    for n in range(3):
        write(f"val/v{n}.png", photo(20 + n))
        write(f"test/t{n}.png", photo(40 + n))
    write("test/copy.png", photo(3))  # the same bytes
    write("train/small.jpg", cv2.resize(np.rot90(photo(41)), (64, 64), interpolation=cv2.INTER_AREA))
    write("val/twice.png", photo(42))
    report = run()
    assert not report.ok
    assert cases(report, "declared-across") == [("train/3",), ("train/small",), ("val/twice",)]
    words = [case.words for finding in report.findings if finding.kind == "declared-across" for case in finding.cases]
    assert words[0].startswith("also test/copy, which is declared test")
    assert cases(report, "duplicates-across") == []
    dropped = run(write_drop=str(tmp_path / "dropped.csv"))
    assert dropped.ok
    again = run(source=SourceConfig(drop=str(tmp_path / "dropped.csv")))
    assert again.ok
    assert {"test/copy", "test/t1", "test/t2"} <= again.split.keys()
    assert again.split.keys().isdisjoint({"train/3", "train/small", "val/twice"})


def test_variants_are_found_by_their_landmarks(write: Write, run: Callable[..., CheckReport]) -> None:
    for n in range(6):
        write(f"photo{n}.png", photo(n, 200, 200))
    whole = photo(77, 300, 260)
    write("lake.png", whole)
    write("lake_crop.png", np.ascontiguousarray(whole[40:240, 30:260]))
    write("unrelated name.png", (whole * 0.6 + 90).astype(np.uint8))
    write("zzz.jpg", np.ascontiguousarray(whole[26:234, 30:270][:, ::-1]))
    report = run(split=SplitConfig(validation=0.4, test=0.3))
    found = {
        key
        for kind in ("variants-across", "duplicates-across", "duplicates-within")
        for keys in cases(report, kind)
        for key in keys
    }
    assert found == {"lake", "lake_crop", "unrelated name", "zzz"}


def test_names_alone_make_no_variant(write: Write, run: Callable[..., CheckReport]) -> None:
    for n, name in enumerate(("lake", "lake_flip", "lake (2)", "hill", "hill_1", "hill_2")):
        write(f"{name}.png", photo(n))
    assert run().findings == []


def test_masks_with_foreign_colours(write: Write, run: Callable[..., CheckReport]) -> None:
    for n in range(6):
        write(f"images/{n}.png", photo(n))
        mask = np.zeros((96, 96, 3), np.uint8)
        cv2.circle(mask, (48, 48), 20 + n, (255, 255, 255), -1, cv2.LINE_AA)
        write(f"masks/{n}.png", mask)
    masks = SourceConfig(source="masks", input="images", target="masks")
    assert run(source=masks).findings == []
    mask[:30, :30] = (0, 200, 0)
    write("masks/5.png", mask)
    binary = RecipeConfig(segment=SegmentConfig(palette="binary"))
    report = run(source=masks, recipe=binary)
    assert cases(report, "mask-colours") == [("5",)]
    assert report.findings[0].cases[0].words == "values #00c800"
    assert not report.ok
    assert cases(run(source=masks), "classes-rare") == [("5",)]


def test_a_remedy_leaves_something_to_train_on(write: Write, run: Callable[..., CheckReport], tmp_path: Path) -> None:
    for n in range(8):
        write(f"flat/{n}.png", np.full((96, 96, 1), 9 + n, np.uint8))
    report = run(images=str(tmp_path / "set" / "flat"), write_drop=str(tmp_path / "dropped.csv"))
    assert not report.ok and report.commands == {}
    assert "Without these entries too few are left to train on (0 of 8): correct them." in report.verdict()
    assert not (tmp_path / "dropped.csv").exists()


def test_masks_that_mark_nothing(write: Write, run: Callable[..., CheckReport]) -> None:
    for n in range(6):
        write(f"images/{n}.png", photo(n))
        write(f"masks/{n}.png", np.zeros((96, 96, 1), np.uint8))
    report = run()
    assert [(f.kind, f.severity, f.fix) for f in report.findings] == [("masks-empty", "must", "")]
    assert "no mask marks an object" in report.findings[0].title
    write("masks/0.png", np.pad(np.full((20, 20, 1), 255, np.uint8), ((30, 46), (30, 46), (0, 0))))
    report = run(recipe=RecipeConfig(segment=SegmentConfig(palette="voc")))
    assert cases(report, "mask-colours") == [("0",)] and not report.ok
    report = run()
    assert report.ok and len(cases(report, "masks-even")) == 5


def test_classes_of_the_palette_that_no_mask_has(write: Write, run: Callable[..., CheckReport]) -> None:
    for n in range(6):
        mask = np.zeros((96, 96, 1), np.uint8)
        mask[10:40, 10 + n : 50] = 15
        mask[60:80, 10 + n : 50] = 7
        write(f"images/{n}.png", photo(n))
        write(f"masks/{n}.png", mask)
    report = run(recipe=RecipeConfig(segment=SegmentConfig(palette="voc")))
    absent = {keys[0] for keys in cases(report, "classes-absent")}
    assert len(absent) == 18 and not absent & {"background", "car", "person"}


def boxed(source: Source, item: Item) -> Sample:
    x = 10 if item.key == "fine" else 200 if item.key == "outside" else 80
    boxes = np.array([[x, 10, x + 40, 30]], np.float32)
    return Sample(image=photo(x), key=item.key, group=item.group, detections=Detections(boxes=boxes, classes=("gun",)))


def test_boxes_outside_the_image() -> None:
    items = tuple(Item(key, key, ()) for key in ("beyond", "fine", "outside"))
    source = Source("annotations", "boxes", items, boxed)
    facts = survey(source, 1)
    found = {f.kind: [case.keys for case in f.cases] for f in find(Inspection(source=source, facts=facts))}
    assert found == {"boxes-outside": [("outside",)], "boxes-beyond": [("beyond",)]}


def test_a_box_of_an_image_that_is_not_used_is_named_once() -> None:
    problem = Problem("labels/70.txt, line 2", "outside", "the box reaches outside; clipped", "70")
    source = Source("annotations", "boxes", (Item("fine", "fine", ("fine.png",)),), boxed, problems=(problem,))
    (finding,) = find(Inspection(source=source, facts=survey(source, 1)))
    assert [str(case) for case in finding.cases] == ["labels/70.txt, line 2: the box reaches outside; clipped"]


def test_the_same_facts_with_any_number_of_processes(write: Write, tmp_path: Path) -> None:
    for n in range(140):
        write(f"{n:03}.png", photo(n, 40, 40))
    source = open_source(tmp_path / "set")
    one, two = (survey(source, jobs) for jobs in (1, 2))
    assert [fact.key for fact in one] == [item.key for item in source.items]
    assert all(a.sides["image"].digest == b.sides["image"].digest for a, b in zip(one, two, strict=True))


def test_no_place_beside_the_images(run: Callable[..., CheckReport]) -> None:
    with pytest.raises(CalcoError, match=r"groups.csv cannot be written beside nowhere; name a file: --write-groups"):
        run(images="nowhere", write_groups=BESIDE)


def test_the_command_line(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(6):
        write(f"{n}.png", photo(n))
    folder, out = str(tmp_path / "set"), str(tmp_path / "out")
    calco.cli.main(["check", folder, "--out", out])
    write("grey.png", np.full((96, 96, 3), 120, np.uint8))
    with pytest.raises(SystemExit) as end:
        calco.cli.main(["check", folder, "--out", out])
    assert end.value.code == 1
    told = capsys.readouterr().out
    assert "1 entry with nothing to see" in told
    assert f"fix it with: calco check {folder} --drop" in told
    table = str(tmp_path / "left out.csv")
    calco.cli.main(["check", folder, "--drop", table, "--out", out])
    calco.cli.main(["check", folder, "--out", out, f"--drop={table}"])
    calco.cli.main(["check", "--drop", folder, "--out", out])
    assert (tmp_path / "set" / "dropped.csv").read_text() == "key,reason\ngrey,constant\n"


def test_what_is_not_used_has_its_reason_and_classes_stay_in_the_command(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(6):
        write(f"{n}.png", photo(n))
        (tmp_path / "set" / f"{n}.txt").write_text("1\n10 10 60 60 gun\n")
    (tmp_path / "set" / "5.txt").write_text("1\n10 10 60 60 dragon\n")
    (tmp_path / "set" / "lost.txt").write_text("1\n10 10 60 60 gun\n")
    (tmp_path / "set" / "4.txt").unlink()
    with pytest.raises(SystemExit):
        calco.cli.main(["check", str(tmp_path / "set"), "--out", str(tmp_path / "out"), "--classes", "gun", "knife"])
    told = "".join(capsys.readouterr().out.split())
    assert "lost.txt:noimageisnamedlost" in told and "4.png:ithasnoannotations" in told
    assert "5.txt,line2:'dragon'isnoneoftheclassesgun,knife" in told
    assert "--classesgunknife--drop" in told


def test_training_prints_the_findings_of_the_check(
    write: Write, run: Callable[..., CheckReport], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "calco")
    learnt, tested = on_both_sides(tmp_path)
    for n in range(20):
        write(f"n{n}.png", photo(n, 64, 64))
    source = open_source(tmp_path / "set")
    splits = split_items(source.items, SplitConfig())
    assert quick_findings(source, splits, RecipeConfig()) == ([], 20)
    assert report_findings(source, splits, SourceConfig()) == []
    assert caplog.text == ""
    write(f"{tested}.png", np.ascontiguousarray(photo(int(learnt[1:]), 64, 64)[:, ::-1]))
    path = write("n41.png", photo(41, 64, 64))
    path.write_bytes(path.read_bytes()[:300])
    source = open_source(tmp_path / "set")
    config = RecipeConfig(recipe="colorize")
    found = report_findings(source, split_items(source.items, SplitConfig()), SourceConfig(), asked=config)
    assert [f.title for f in found] == [f.title for f in run().findings]
    told = caplog.text
    assert "1 image cannot be read (n41: " in told
    assert f"1 image on more than one side of the split ({tested} = {learnt}: " in told
    assert f"all findings, with images: calco check {tmp_path / 'set'} --recipe colorize" in told


@pytest.mark.slow
def test_training_prints_what_the_source_left_out(
    write: Write, pairs: Pairs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs(4)
    write("photo/alone.png", photo(53))
    calco.cli.main(["train", str(tmp_path / "set"), "--dry-run"])
    assert "note: 1 file found but not used (photo/alone.png: no partner in sketch)." in capsys.readouterr().err


def test_the_check_needs_no_torch() -> None:
    code = "import sys, calco.checking.check, calco.checking.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.slow
def test_the_duplicates_of_the_faces(real_data: Path, tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    report = check(
        CheckConfig(
            images=str(real_data / "faces"),
            source=SourceConfig(input="sketch", target="photo"),
            out=str(tmp_path / "out"),
            write_groups=str(table),
            jobs=2,
        )
    )
    assert report.ok
    piles = cases(report, "copies")
    assert 70 < len(piles) < 90
    assert all(first.removeprefix("AR_") == second.removeprefix("AR_") for first, second in piles)
    with table.open() as file:
        groups = {row["key"]: row["group"] for row in csv.DictReader(file)}
    assert all(len({groups[key] for key in pile}) == 1 for pile in piles)


def grey(image: Image) -> Image:
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def sepia(image: Image) -> Image:
    return np.clip(grey(image) * np.array([1.1, 0.9, 0.7]), 0, 255).astype(np.uint8)


COLORIZE = RecipeConfig(recipe="colorize")


@pytest.mark.parametrize(
    ("name", "make"), [("a.png", lambda p: grey(p)[..., :1]), ("a.png", grey), ("a.jpg", grey), ("a.jpg", sepia)]
)
def test_colour_is_not_learned_from_grey_images(
    write: Write, run: Callable[..., CheckReport], tmp_path: Path, name: str, make: Callable[[Image], Image],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for n in range(6):
        write(f"{n}{name}", make(photo(n)))
    report = run(recipe=COLORIZE)
    assert [(f.kind, f.severity, f.title) for f in report.findings if f.kind == "grey"] == [
        ("grey", "must", "All 6 images are grey")
    ]
    assert report.commands == {}
    if make is not sepia:  # how it came to be known changes nothing of what follows
        return
    assert [f.severity for f in run().findings if f.kind == "grey"] == ["should"]
    assert "grey" not in kinds(run(recipe=RecipeConfig(recipe="erase")))
    calco.cli.main(["train", str(tmp_path / "set"), "--recipe", "colorize", "--preset", "small", "--dry-run"])
    assert "note: All 6 images are grey" in capsys.readouterr().err


def test_grey_images_among_colour_are_named(write: Write, run: Callable[..., CheckReport]) -> None:
    for n in range(8):
        write(f"{n}.jpg", grey(photo(n)) if n in (2, 5) else photo(n))
    assert cases(run(recipe=COLORIZE), "grey") == [("2",), ("5",)]
    assert run(recipe=COLORIZE, write_drop=BESIDE).ok
    assert run(recipe=COLORIZE).ok


def test_targets_that_are_their_inputs(write: Write, pairs: Pairs, run: Callable[..., CheckReport]) -> None:
    pairs(6)
    assert "unchanged" not in kinds(run())
    write("photo/same.png", photo(70))
    write("sketch/same.bmp", photo(70))
    assert cases(run(), "unchanged") == [("same",)]


def test_one_target_for_all(write: Write, pairs: Pairs, run: Callable[..., CheckReport]) -> None:
    pairs(6)
    for n in range(6):
        write(f"photo/p{n:02}.png", photo(99))
    found = [f for f in run().findings if f.kind == "one-image"]
    assert [f.title for f in found] == ["All 6 entries have the same target"]


@pytest.mark.parametrize(("level", "kind"), [(0, "erases-nothing"), (255, "erases-everything")])
def test_masks_that_erase_nothing_or_everything(
    write: Write, run: Callable[..., CheckReport], level: int, kind: str
) -> None:
    for n in range(6):
        mask = np.zeros((96, 96, 1), np.uint8)
        mask[10:30, 10:30] = 255
        write(f"images/{n}.png", photo(n))
        write(f"masks/{n}.png", mask if n < 4 else np.full_like(mask, level))
    given = RecipeConfig(recipe="erase", erase=EraseConfig(holes="given"))
    assert cases(run(recipe=given), kind) == [("4",), ("5",)]


def test_a_recipe_that_changes_nothing(write: Write, run: Callable[..., CheckReport], tmp_path: Path) -> None:
    code = tmp_path / "same.py"
    code.write_text(
        "from calco import Pair\n\n\ndef same(image, rng):\n"
        "    return Pair(input=image.image, target=image.image.copy(), key=image.key, group=image.group)\n"
    )
    for n in range(4):
        write(f"{n}.png", photo(n))
    report = run(recipe=RecipeConfig(recipe=f"{code}:same"))
    assert [f.title for f in report.findings] == [
        "4 of 4 pairs that the recipe made have an input that equals the target"
    ]


def test_a_detector_prints_the_findings_of_the_check_before_it_learns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "set"
    folder.mkdir()
    names = [f"{number}.png" for number in range(8)]
    for name in names:
        imaging.write(folder / name, rng.integers(0, 256, (80, 80, 3), dtype=np.uint8))
    boxes = [[10, 10, 30, 30]] * 7 + [["ten", 10, 30, 30]]
    content = {
        "images": [{"id": i, "file_name": name, "width": 80, "height": 80} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": box} for i, box in enumerate(boxes)],
        "categories": [{"id": 1, "name": "dog"}],
    }
    (folder / "boxes.json").write_text(json.dumps(content))
    report = check(CheckConfig(images=str(folder), out=str(tmp_path / "page"), jobs=1))
    (found,) = [finding for finding in report.findings if finding.kind == "boxes-lost"]
    capsys.readouterr()
    calco.cli.main(["detect", "train", str(folder), "--dry-run"])
    printed = capsys.readouterr().err
    assert found.title in printed and "7" in "".join(found.cases[0].keys)
