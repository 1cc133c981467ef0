"""`calco prepare`: what is written, that it is the same however it came about, and what goes wrong."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from webdataset.autodecode import Decoder, imagehandler
from webdataset.tariterators import group_by_keys, tar_file_expander

from calco import imaging
from calco.cli.data import left_out_table
from calco.data.config import PrepareConfig, SourceConfig, SplitConfig
from calco.data.prepare import Prepared, prepare
from calco.data.recipes import EraseConfig, RecipeConfig, build_recipe
from calco.data.sample import generator
from calco.data.shards import digest_of
from calco.data.sources import open_source
from calco.errors import CalcoError
from calco.outputs import LOCK
from support import lock_held

Make = Callable[..., Path]

ERASE = RecipeConfig(recipe="colorize+erase", erase=EraseConfig(weight=2.5))


@pytest.fixture
def images(make: Make, tmp_path: Path) -> Path:
    for i in range(14):
        make(f"p/{'sub/' if i % 2 else ''}pic.{i} ñ.png", 24 + i, 20)
    return tmp_path / "p"


def config(images: Path, out: Path, **options: Any) -> PrepareConfig:
    defaults: dict[str, Any] = {"recipe": ERASE, "jobs": 1, "shard_pairs": 4}
    return PrepareConfig(images=str(images), out=str(out), **defaults | options)


def run(images: Path, out: Path, **options: Any) -> Prepared:
    return prepare(config(images, out, **options), progress=False)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a build but the manifest and the settings."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("manifest.json", "settings.json")
    }


def test_the_bytes_do_not_depend_on_the_number_of_jobs(images: Path, tmp_path: Path) -> None:
    one, two = (run(images, tmp_path / str(jobs), jobs=jobs, variants=2) for jobs in (1, 2))
    assert one.manifest == two.manifest
    assert contents(one.folder) == contents(two.folder)
    assert sum(one.manifest.counts.values()) == 28
    assert digest_of("webdataset", one.manifest.options, one.manifest.parts) == one.manifest.digest


def test_a_moved_set_has_the_same_digest_and_another_seed_another(images: Path, tmp_path: Path) -> None:
    first = run(images, tmp_path / "a").manifest.digest
    moved = images.rename(tmp_path / "elsewhere")
    assert run(moved, tmp_path / "b").manifest.digest == first
    assert run(moved, tmp_path / "c", seed=1).manifest.digest != first


def test_webdataset_reads_the_pairs(images: Path, tmp_path: Path) -> None:
    done = run(images, tmp_path / "out", variants=2)
    tars = [done.folder / f"{part.part}.tar" for part in done.manifest.parts]
    with ExitStack() as opened:
        streams = [{"url": str(tar), "stream": opened.enter_context(tar.open("rb"))} for tar in tars]
        samples = list(group_by_keys(tar_file_expander(streams)))
    found = list(map(Decoder([imagehandler("rgb8")]), samples))
    assert len(found) == 28
    source = open_source(images)
    items = {item.key: item for item in source.items}
    recipe = build_recipe(ERASE, source.kind)
    for sample in found:
        record = sample["json"]
        key, _, variant = record["key"].rpartition("@")
        pair = recipe(source.load(items[key]), generator(0, int(variant), key, "recipe"))
        assert record["variant"] == int(variant)
        assert (record["group"], record["source_digest"]) == (pair.group, source.digest(items[key]))
        assert (record["height"], record["width"]) == pair.input.shape[:2]
        assert np.array_equal(sample["input.png"], pair.input)
        assert np.array_equal(sample["target.png"], pair.target)
        assert pair.weight is not None and pair.region is not None
        assert np.array_equal(sample["weight.png"][..., 0] * record["weight_scale"], pair.weight)
        assert np.array_equal(sample["region.png"][..., 0] > 0, pair.region)


def test_variants_differ_and_stay_in_one_group(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path / "out", variants=2)
    source = open_source(tmp_path / "out")
    pairs = {item.key: source.load(item) for item in source.items}
    assert not np.array_equal(pairs["pic.0 ñ@0"].image, pairs["pic.0 ñ@1"].image)
    assert pairs["pic.0 ñ@0"].group == pairs["pic.0 ñ@1"].group == "pic.0 ñ"
    splits = {item.group: {other.split for other in source.items if other.group == item.group} for item in source.items}
    assert {len(found) for found in splits.values()} == {1}


def test_sixteen_bits_stay_and_a_size_is_kept(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    deep = np.arange(30 * 40 * 3, dtype=np.uint16).reshape(30, 40, 3) * 17
    for i in range(2):
        imaging.write(tmp_path / "p" / f"{i}.png", deep + np.uint16(i))
    run(tmp_path / "p", tmp_path / "out", recipe=RecipeConfig(recipe="colorize"))
    source = open_source(tmp_path / "out")
    assert np.array_equal(source.load(source.items[1]).partner, deep + np.uint16(1))
    run(tmp_path / "p", tmp_path / "small", recipe=RecipeConfig(recipe="colorize"), size=15, fit="cover")
    source = open_source(tmp_path / "small")
    assert source.load(source.items[0]).image.shape == (15, 20, 1)


def test_floats_are_written_as_tiff(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    exact = np.linspace(0, 1, 20 * 30 * 3, dtype=np.float32).reshape(20, 30, 3)
    for i in range(2):
        imaging.write(tmp_path / "p" / f"{i}.tif", exact)
    run(tmp_path / "p", tmp_path / "out", recipe=RecipeConfig(recipe="erase"))
    source = open_source(tmp_path / "out")
    assert np.array_equal(source.load(source.items[0]).partner, exact)


def test_side_by_side_and_parallel_are_read_again(images: Path, tmp_path: Path) -> None:
    recipe = RecipeConfig(recipe="colorize")
    same = run(images, tmp_path / "shards", recipe=recipe, size=20)
    shards = open_source(tmp_path / "shards")
    wanted = {item.key: shards.load(item) for item in shards.items}
    for name in ("side-by-side", "parallel"):
        done = run(images, tmp_path / name, recipe=recipe, format=name, size=20)
        again = run(images, tmp_path / f"{name} again", recipe=recipe, format=name, size=20)
        assert done.manifest.digest == again.manifest.digest
        assert done.manifest.counts == same.manifest.counts
        source = open_source(tmp_path / name)
        assert source.kind == name
        assert {item.split for item in source.items} == {"train", "val", "test"}
        for item in source.items:
            image, pair = source.load(item), wanted[item.key.partition("/")[2].replace("%2E", ".")]
            assert image.partner is not None
            assert np.array_equal(image.image[..., :1], pair.image)
            assert np.array_equal(image.partner, pair.partner)


@pytest.mark.parametrize("name", ["side-by-side", "parallel"])
def test_files_for_other_tools_keep_what_belongs_together(images: Path, tmp_path: Path, name: str) -> None:
    run(images, tmp_path / "out", format=name, variants=2)
    source = open_source(tmp_path / "out", SourceConfig(source=name))
    groups: dict[str, set[str]] = {}
    for item in source.items:
        groups.setdefault(item.group, set()).add(item.key.rpartition("@")[0])
    assert len(source.items) == 28
    assert {len(keys) for keys in groups.values()} == {1}
    assert len(groups) == 14


@pytest.mark.parametrize("name", ["coco", "voc", "yolo"])
def test_annotated_images_are_written_back(make: Make, tmp_path: Path, name: str) -> None:
    boxes = {f"{i}": [[3 + i, 4, 20, 15 + i], [1, 2, 9, 9]][: i % 3] for i in range(8)}
    for key, found in boxes.items():
        make(f"p/{key}.png", 40, 30)
        lines = "".join(" ".join(map(str, box)) + "\n" for box in found)
        (tmp_path / "p" / f"{key}.txt").write_text(f"{len(found)}\n{lines}")
    (tmp_path / "p" / "7.png").write_bytes(b"damaged")
    done = run(tmp_path / "p", tmp_path / "out", format=name, recipe=RecipeConfig())
    again = run(tmp_path / "p", tmp_path / "two", format=name, recipe=RecipeConfig(), jobs=2 if name == "coco" else 1)
    assert done.manifest == again.manifest
    assert contents(done.folder) == contents(again.folder)
    assert "7" in {key.rpartition("/")[2].removesuffix(".txt") for key in done.manifest.left_out}
    source, raw = open_source(tmp_path / "out"), open_source(tmp_path / "p")
    assert source.kind == "annotations"
    wanted = {item.key: raw.load(item) for item in raw.items if item.key != "7"}
    assert len(source.items) == len(wanted)
    for item in source.items:
        image, before = source.load(item), wanted[item.key.rpartition("/")[2]]
        assert np.array_equal(image.image, before.image)
        assert image.detections is not None and before.detections is not None
        assert np.allclose(image.detections.boxes, before.detections.boxes, atol=1e-3)
        assert image.detections.classes == before.detections.classes
    anew = run(tmp_path / "p", tmp_path / "out", format=name, recipe=RecipeConfig(), overwrite=True, seed=1, size=20)
    assert len(open_source(anew.folder).items) == len(source.items)


def test_pairs_of_annotated_formats_are_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="keeps images as they are; leave --recipe out"):
        run(images, tmp_path / "out", format="coco")
    with pytest.raises(CalcoError, match="has neither boxes nor outlines"):
        run(images, tmp_path / "out", format="coco", recipe=RecipeConfig())


def test_what_is_left_out_is_told_with_its_reason(images: Path, tmp_path: Path) -> None:
    (images / "empty.png").write_bytes(b"")
    (images / "hollow.png").write_bytes(b"")
    (images / "cut.png").write_bytes((images / "pic.0 ñ.png").read_bytes()[:90])
    done = run(images, tmp_path / "out")
    assert set(done.manifest.left_out) == {"empty", "hollow", "cut"}
    table = left_out_table(done.manifest.left_out)
    reasons, counts, names = (list(column.cells) for column in table.columns)
    assert (str(reasons[0]), str(counts[0]), str(names[0])) == (
        "cannot read ...: the file is empty; replace or remove it",
        "2",
        "empty, hollow",
    )
    assert sum(done.manifest.counts.values()) == 14
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["left_out"]["empty"]


def test_a_set_of_nothing_but_damage_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.png").write_bytes(b"no image")
    with pytest.raises(CalcoError, match="none of the 1 images can be used; the first: cannot read"):
        run(tmp_path / "p", tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_the_same_command_finishes_what_is_missing_and_no_more(images: Path, tmp_path: Path) -> None:
    first = run(images, tmp_path / "out")
    whole = contents(first.folder)
    (first.folder / "train-000001.tar").unlink()
    (first.folder / "index" / "train-000000.json").write_text("{")
    again = run(images, tmp_path / "out")
    assert contents(again.folder) == whole
    assert again.manifest == first.manifest
    assert again.kept == sum(first.manifest.counts.values()) - 8


@pytest.mark.parametrize(
    ("change", "differs"),
    [({"seed": 3}, "seed"), ({"variants": 2}, "variants"), ({"recipe": RecipeConfig(recipe="sketch")}, "recipe")],
)
def test_another_configuration_is_refused_until_overwritten(
    images: Path, tmp_path: Path, change: dict[str, Any], differs: str
) -> None:
    first = run(images, tmp_path / "out")
    with pytest.raises(CalcoError, match=rf"differs: {differs}\).*--overwrite"):
        run(images, tmp_path / "out", **change)
    assert run(images, tmp_path / "out").manifest == first.manifest
    anew = run(images, tmp_path / "out", overwrite=True, **change)
    assert anew.kept == 0
    assert contents(anew.folder) == contents(run(images, tmp_path / "beside", **change).folder)


def test_images_that_were_added_are_not_mixed_with_those_from_before(images: Path, make: Make, tmp_path: Path) -> None:
    run(images, tmp_path / "out")
    make("p/new.png")
    with pytest.raises(CalcoError, match="differs: images"):
        run(images, tmp_path / "out")


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_part_whose_images_were_replaced_is_made_anew(
    images: Path, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, keep_time: bool
) -> None:
    first = run(images, tmp_path / "out")
    chosen = min(images.rglob("*.png"))
    status = chosen.stat()
    imaging.write(chosen, 255 - imaging.read(chosen))
    if keep_time:  # another length tells then
        assert chosen.stat().st_size != status.st_size
        os.utime(chosen, ns=(status.st_atime_ns, status.st_mtime_ns))
    caplog.clear()
    again = run(images, tmp_path / "out")
    assert "is made anew" in caplog.text
    assert "is not the image that it was made of" in caplog.text
    assert again.manifest.digest != first.manifest.digest
    assert 0 < again.kept < sum(first.manifest.counts.values())
    assert contents(again.folder) == contents(run(images, tmp_path / "beside").folder)


def test_images_that_are_only_touched_or_moved_are_kept(images: Path, tmp_path: Path) -> None:
    first = run(images, tmp_path / "out")
    for path in images.rglob("*.png"):
        os.utime(path, (1, 1))
    again = run(images, tmp_path / "out")
    assert again.kept == sum(first.manifest.counts.values())
    images.rename(tmp_path / "moved")
    assert run(tmp_path / "moved", tmp_path / "out").kept == again.kept


@pytest.mark.parametrize("format", ["webdataset", "side-by-side", "parallel"])
@pytest.mark.parametrize("how", ["one bit", "cut", "gone"])
def test_a_part_that_is_damaged_is_made_anew(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, format: Any, how: str
) -> None:
    first = run(images, tmp_path / "out", format=format)
    whole = contents(first.folder)
    pattern = "train-000000.tar" if format == "webdataset" else "**/*.png"
    chosen = min(first.folder.glob(pattern))
    data = bytearray(chosen.read_bytes())
    data[len(data) // 2] ^= 1
    chosen.write_bytes(data if how == "one bit" else b"")
    if how == "gone":
        chosen.unlink()
    caplog.clear()
    again = run(images, tmp_path / "out", format=format)
    assert "is made anew" in caplog.text
    assert again.kept < sum(first.manifest.counts.values())
    assert contents(again.folder) == whole
    assert again.manifest == first.manifest


def test_overwriting_leaves_what_is_not_ours(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path / "out", format="parallel")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    (tmp_path / "precious.png").write_bytes(b"")
    index = tmp_path / "out" / "index" / "train-000000.json"
    record = json.loads(index.read_text())
    record["pairs"][0]["members"]["../precious.png"] = "0" * 16
    index.write_text(json.dumps(record))
    run(images, tmp_path / "out", overwrite=True)
    assert (tmp_path / "precious.png").exists()
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert not list((tmp_path / "out").rglob("*.png"))


def test_folders_that_do_not_suit_are_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="lies in the images' folder"):
        run(images, images / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("a")
    with pytest.raises(CalcoError, match="holds other files, such as a.txt"):
        run(images, tmp_path / "full")
    with pytest.raises(CalcoError, match="no folder to write into was named"):
        prepare(PrepareConfig(images=str(images)))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"variants": 0}, "at least one variant"),
        ({"variants": 5, "shard_pairs": 4}, "must fit into one tar file"),
        ({"jobs": -1}, "jobs is -1; it must lie between 0 and 1024"),
        ({"format": "zip"}, "choose one of webdataset"),
        ({"format": "coco", "variants": 2}, "in one variant"),
    ],
)
def test_wrong_numbers_are_refused(options: dict[str, Any], rule: str) -> None:
    with pytest.raises(CalcoError, match=rule):
        PrepareConfig(**options)


def test_one_group_is_all_training(tmp_path: Path, make: Make) -> None:
    make("p/alone.png")
    assert run(tmp_path / "p", tmp_path / "out").manifest.counts == {"train": 1, "val": 0, "test": 0}


def test_shards_can_be_prepared_from_shards(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path / "a")
    done = run(tmp_path / "a", tmp_path / "b", recipe=RecipeConfig(), shard_pairs=100)
    assert done.manifest.recipe == ERASE
    first, second = open_source(tmp_path / "a"), open_source(tmp_path / "b")
    assert [item.key for item in first.items] == [item.key for item in second.items]
    assert np.array_equal(first.load(first.items[2]).image, second.load(second.items[2]).image)


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from calco.data.config import PrepareConfig
from calco.data.prepare import prepare
from calco.data.recipes import RecipeConfig
if __name__ == "__main__":
    prepare(PrepareConfig(images={images!r}, out={out!r}, jobs={jobs}, shard_pairs=4, variants=2,
                          recipe=RecipeConfig(recipe="erase")), progress=False)
"""


def script(tmp_path: Path, images: Path, out: Path, jobs: int) -> list[str]:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(tests=str(Path(__file__).parent), images=str(images), out=str(out), jobs=jobs))
    return [sys.executable, str(path)]


@pytest.mark.slow
def test_a_killed_work_goes_on_without_a_lost_or_doubled_pair(make: Make, tmp_path: Path) -> None:
    for i in range(30):
        make(f"p/{i}.png", 160, 120)
    out, recipe = tmp_path / "out", RecipeConfig(recipe="erase")
    work = subprocess.Popen(script(tmp_path, tmp_path / "p", out, 2), stderr=subprocess.DEVNULL)
    while not list(out.glob("index/train-*.json")) and work.poll() is None:
        time.sleep(0.005)
    work.kill()
    work.wait()
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("train-*.tar")}
    assert before
    assert not (out / "manifest.json").exists()
    with pytest.raises(CalcoError, match="is not finished"):
        open_source(out)
    done = run(tmp_path / "p", out, recipe=recipe, variants=2)
    unbroken = run(tmp_path / "p", tmp_path / "unbroken", recipe=recipe, variants=2)
    assert done.manifest == unbroken.manifest
    assert contents(out) == contents(unbroken.folder)
    kept = [name for name, changed in before.items() if (out / name).stat().st_mtime_ns == changed]
    assert done.kept > 0 and kept
    keys = [item.key for item in open_source(out).items]
    assert sorted(keys) == sorted({f"{i}@{v}" for i in range(30) for v in range(2)})


@pytest.mark.parametrize("name", ["webdataset", "parallel"])
def test_a_full_disk_is_told_and_leaves_nothing_half_written(make: Make, tmp_path: Path, name: str) -> None:
    for i in range(3):
        make(f"p/{i}.png", 60, 50)
    rng = np.random.default_rng(0)
    imaging.write(tmp_path / "p" / "large.png", rng.integers(0, 256, (300, 300, 3), dtype=np.uint8))
    limit = 100_000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(CalcoError, match="cannot write .*File too large.*the same command goes on"):
            run(tmp_path / "p", tmp_path / "out", shard_pairs=1, format=name, split=SplitConfig(test=0, validation=0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [path for path in left if "tmp" in path.name or "being" in path.name]
    for path in left:
        if path.suffix == ".png":
            with Pillow.open(path) as image:
                image.load()
    done = run(tmp_path / "p", tmp_path / "out", shard_pairs=1, format=name, split=SplitConfig(test=0, validation=0))
    assert done.kept == 3
    assert done.manifest.counts == {"train": 4, "val": 0, "test": 0}


def test_a_folder_that_another_command_writes_into_is_refused(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path / "out")
    with lock_held(tmp_path / "out" / LOCK, "calco prepare"), pytest.raises(CalcoError, match="calco prepare .* is at"):
        run(images, tmp_path / "out")
    assert run(images, tmp_path / "out").kept
    assert not (tmp_path / "out" / LOCK).exists()


def test_a_script_without_its_guard_is_told_what_is_missing(images: Path, tmp_path: Path) -> None:
    command = script(tmp_path, images, tmp_path / "out", 2)
    path = Path(command[1])
    path.write_text(path.read_text().replace('if __name__ == "__main__":', "if True:"))
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ)
    assert "__main__" in told.stderr.splitlines()[-1]


def test_real_pairs_are_the_same_with_any_number_of_jobs(real_data: Path, tmp_path: Path) -> None:
    wanted = PrepareConfig(
        images=str(real_data / "faces"), out=str(tmp_path / "1"), jobs=1, shard_pairs=8, size=64,
        source=SourceConfig(input="sketch", target="photo", limit=24),
    )  # fmt: skip
    one = prepare(wanted, progress=False)
    two = prepare(replace(wanted, out=str(tmp_path / "2"), jobs=2), progress=False)
    assert one.manifest.digest == two.manifest.digest
    assert sum(one.manifest.counts.values()) == 24
