"""Tar files of pairs as a source: ours and those of others, here and elsewhere, whole and damaged."""

import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec
import numpy as np
import pytest

from calco import imaging
from calco.data.augmentation import fit_image
from calco.data.config import JitterConfig, PrepareConfig, SourceConfig
from calco.data.dataset import PairDataset
from calco.data.prepare import prepare
from calco.data.recipes import RecipeConfig, build_recipe
from calco.data.sample import Sample
from calco.data.shards import member_name
from calco.data.sources import open_source
from calco.data.sources.shards import PARTS, matches
from calco.errors import CalcoError
from calco.imaging import Image
from support import requires

Make = Callable[..., Path]
RECIPE = RecipeConfig(recipe="colorize+erase")


@pytest.fixture
def shards(make: Make, tmp_path: Path) -> Path:
    """Prepared pairs of twelve images, in several tar files."""
    for i in range(12):
        make(f"p/{'sub/' if i % 2 else ''}pic.{i}.png", 30 + i, 24)
    wanted = PrepareConfig(images=str(tmp_path / "p"), out=str(tmp_path / "s"), recipe=RECIPE, jobs=1, shard_pairs=4)
    prepare(wanted, progress=False)
    return tmp_path / "s"


def make_image(seed: int, channels: int = 3) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (12, 16, channels), dtype=np.uint8)


def write_tar(path: Path, members: dict[str, bytes], **odd: Any) -> Path:
    """A tar file as another program might write it; `odd` gives fields of the last header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for number, (name, data) in enumerate(members.items(), 1):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in odd.items() if number == len(members) else ():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(data))
    return path


def pairs_of(count: int, first: str = "a.png", second: str = "b.png") -> dict[str, bytes]:
    return {
        f"{i:04d}.{kind}": imaging.encode(make_image(2 * i + side), f".{kind}")
        for i in range(count)
        for side, kind in enumerate((first, second))
    }


def loaded(place: str | Path, config: SourceConfig | None = None) -> dict[str, Sample]:
    source = open_source(place, config)
    return {item.key: source.load(item) for item in source.items}


def equal(one: dict[str, Sample], other: dict[str, Sample]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(getattr(one[key], name), getattr(other[key], name))
        for key in one
        for name in ("image", "partner", "weight", "region", "group")
    )


def test_pairs_from_shards_are_those_of_the_images(shards: Path) -> None:
    raw, source = open_source(shards.parent / "p"), open_source(shards)
    assert source.recipe == RECIPE
    assert [item.key for item in source.items] == [item.key for item in raw.items]
    assert [source.digest(item) for item in source.items] == [raw.digest(item) for item in raw.items]
    jitter = JitterConfig(size=16, resize=0)
    made = PairDataset(
        source, source.items, build_recipe(RecipeConfig(), "shards", source.recipe), jitter, 0, train=False
    )
    anew = PairDataset(raw, raw.items, build_recipe(RECIPE, raw.kind), jitter, 0, train=False)
    for index in range(len(raw.items)):
        one, other = made.pair(index, 0), anew.pair(index, 0)
        for name in ("input", "target", "weight", "region"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_holes_keep_their_edges_when_pairs_are_brought_to_a_size(shards: Path) -> None:
    for found in loaded(shards).values():
        for side in (15, 70):
            fitted = fit_image(found, side, JitterConfig(size=8, resize=8))
            assert fitted.region is not None and fitted.weight is not None
            assert np.array_equal((fitted.image == (255, 0, 255)).all(axis=2), fitted.region)
            # The surroundings are grey: nothing of the holes' colour is in them.
            assert not np.ptp(fitted.image[~fitted.region], axis=1).any()
            assert np.array_equal(fitted.weight > 1, fitted.region)


def test_maps_of_classes_keep_their_colours_at_any_size(tmp_path: Path, make: Make) -> None:
    for i in range(3):
        make(f"p/image/{i}.png", 40, 30)
        make(f"p/mask/{i}.png", 40, 30, 1, levels=2)
    prepare(PrepareConfig(images=str(tmp_path / "p"), out=str(tmp_path / "s"), jobs=1), progress=False)
    raw, source = open_source(tmp_path / "p"), open_source(tmp_path / "s")
    jitter = JitterConfig(size=16, resize=16)
    ready = build_recipe(RecipeConfig(), "shards", source.recipe)
    made = PairDataset(source, source.items, ready, jitter, 0, train=True)
    anew = PairDataset(raw, raw.items, build_recipe(RecipeConfig(), raw.kind), jitter, 0, train=True)
    for index in range(3):
        assert np.array_equal(made.pair(index, 1).target, anew.pair(index, 1).target)
        assert set(np.unique(made.pair(index, 1).target)) == {0, 255}


def test_parts_of_shards_are_shards(shards: Path) -> None:
    whole = loaded(shards)
    tars = sorted(shards.glob("train-*.tar"))
    one = loaded(tars[0])
    assert 0 < len(one) < len(whole)
    assert all(equal({key: found}, {key: whole[key]}) for key, found in one.items())
    several = loaded(f"{shards}/train-{{000000..{len(tars) - 1:06d}}}.tar")
    assert one.keys() < several.keys() < whole.keys()
    assert open_source(tars[0]).recipe == RECIPE


def test_without_manifest_and_index_the_tar_files_themselves_tell(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    for path in shards.glob("*.tar"):
        path.rename(tmp_path / "bare" / path.name)
    source = open_source(tmp_path / "bare")
    assert source.recipe is None
    assert {item.split for item in source.items} == {"train", "val"}
    assert source.story.endswith("input.png (input) and target.png (target)")
    found = source.load(source.items[0])
    assert found.weight is not None and set(np.unique(found.weight)) == {1, 10}


def test_others_tar_files_are_read_by_their_endings(tmp_path: Path) -> None:
    members = pairs_of(3, "a.png", "b.png") | {"0000.cls": b"7", "folder/": b""}
    write_tar(tmp_path / "set" / "train" / "x-0.tar", members)
    write_tar(
        tmp_path / "set" / "val" / "x-1.tar",
        {"other/v1.2/k.b.png": members["0001.b.png"], "other/v1.2/k.a.png": members["0001.a.png"]},
    )
    found = loaded(tmp_path / "set", SourceConfig(source="shards"))
    assert list(found) == ["0000", "0001", "0002", "other/v1.2/k"]
    assert np.array_equal(found["0002"].image, make_image(4)) and np.array_equal(found["0002"].partner, make_image(5))
    turned = loaded(tmp_path / "set", SourceConfig(source="shards", direction="BtoA"))
    assert np.array_equal(turned["0002"].partner, make_image(4))
    assert {item.split for item in open_source(tmp_path / "set", SourceConfig(source="shards")).items} == {
        "train",
        "val",
    }


def test_endings_can_be_named_and_must_when_there_are_more_than_two(tmp_path: Path) -> None:
    members = pairs_of(2) | {
        "0000.c.png": imaging.encode(make_image(9), ".png"),
        "0001.c.png": imaging.encode(make_image(8), ".png"),
    }
    path = write_tar(tmp_path / "x.tar", members)
    with pytest.raises(CalcoError, match=r"a\.png \(2\), b\.png \(2\), c\.png \(2\); name those of input and target"):
        open_source(path)
    found = loaded(path, SourceConfig(input="c.png", target="a.png"))
    assert np.array_equal(found["0000"].image, make_image(9)) and np.array_equal(found["0000"].partner, make_image(0))
    with pytest.raises(CalcoError, match="no image in these tar files ends in d.png"):
        open_source(path, SourceConfig(input="c.png", target="d.png"))


def test_single_images_in_tar_files_are_photographs(tmp_path: Path) -> None:
    members = {f"{i}.{kind}": imaging.encode(make_image(i), f".{kind}") for i, kind in enumerate(("jpg", "jpg", "png"))}
    path = write_tar(tmp_path / "x.tar", members | {"0.txt": b"a cat"})
    found = loaded(path)
    assert {pic.partner is None for pic in found.values()} == {True}
    pair = build_recipe(RecipeConfig(recipe="colorize"), "shards")(found["1"], np.random.default_rng(0))
    assert pair.input.shape == (12, 16, 1)


def test_one_name_in_two_tar_files_is_two_pairs(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_tar(tmp_path / f"{name}.tar", pairs_of(2))
    assert list(loaded(tmp_path)) == ["one/0000", "one/0001", "two/0000", "two/0001"]


@pytest.mark.parametrize(
    ("name", "odd", "reason"),
    [
        ("/etc/passwd.a.png", {}, "its path leads out of the tar file"),
        ("../../climb.a.png", {}, "its path leads out of the tar file"),
        ("link.a.png", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0}, "it is a link"),
        ("hard.a.png", {"type": tarfile.LNKTYPE, "linkname": "0000.a.png", "size": 0}, "it is a link"),
        ("pipe.a.png", {"type": tarfile.FIFOTYPE, "size": 0}, "it is no plain file"),
        ("README", {}, "has no name, dot, and ending"),
    ],
)
def test_members_that_are_no_files_of_a_pair_are_left_out(
    tmp_path: Path, name: str, odd: dict[str, Any], reason: str
) -> None:
    data = b"" if odd else b"x"
    path = write_tar(tmp_path / "deep" / "x.tar", pairs_of(2) | {name: data}, **odd)
    before = sorted(tmp_path.parent.rglob("*"))
    source = open_source(path)
    assert [item.key for item in source.items] == ["0000", "0001"]
    assert [(found, why) for found, why in source.left_out if reason in why and name in found]
    assert all(source.load(item).image.any() for item in source.items)
    assert sorted(tmp_path.parent.rglob("*")) == before  # nothing was unpacked, here or beside


def test_pairs_without_a_side_are_left_out(tmp_path: Path) -> None:
    members = pairs_of(3)
    del members["0001.b.png"]
    source = open_source(write_tar(tmp_path / "x.tar", members))
    assert [item.key for item in source.items] == ["0000", "0002"]
    assert dict(source.left_out) == {f"{tmp_path}/x.tar: 0001": "it has no b.png"}


@pytest.mark.parametrize("where", [0.3, 0.62, 0.9])
def test_a_tar_file_that_is_cut_short_keeps_what_is_whole(tmp_path: Path, where: float) -> None:
    path = write_tar(tmp_path / "x.tar", pairs_of(6))
    data = path.read_bytes().rstrip(b"\0")
    path.write_bytes(data[: int(len(data) * where)])
    source = open_source(path)
    assert 0 < len(source.items) < 6
    assert any("cut short" in reason or "ends before" in reason for _, reason in source.left_out)
    assert all(source.load(item).image.any() for item in source.items)


def test_a_damaged_header_does_not_end_a_tar_file_in_silence(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", pairs_of(4))
    data = bytearray(path.read_bytes())
    at = data.index(b"0002.a.png")
    data[at + 148 : at + 156] = b"\xff" * 8  # the checksum
    path.write_bytes(data)
    source = open_source(path)
    assert [item.key for item in source.items] == ["0000", "0001"]
    assert dict(source.left_out)[str(path)] == f"it is damaged or cut short at byte {at}"


def test_a_header_cannot_ask_for_the_memory_of_the_machine(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", pairs_of(1))
    data = bytearray(path.read_bytes().rstrip(b"\0"))
    data += bytes(-len(data) % 512)
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    path.write_bytes(bytes(data) + info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    source = open_source(path)
    assert len(source.items) == 1
    assert "a header of 1099511627776 bytes" in dict(source.left_out)[str(path)]


@pytest.mark.parametrize("content", [b"", b"no tar file" * 100, b"\x1f\x8b\x08" + bytes(600)])
def test_what_is_no_tar_file_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(CalcoError, match="nothing in .*x.tar can be used; .*it is no tar file"):
        open_source(tmp_path / "x.tar")


def test_a_shard_that_is_cut_short_costs_its_own_pairs_alone(shards: Path) -> None:
    whole = loaded(shards)
    path = shards / "train-000000.tar"
    path.write_bytes(path.read_bytes()[:3000])
    source = open_source(shards)
    assert len(source.items) + len(source.left_out) == len(whole)
    assert {"ends before it does" in reason for _, reason in source.left_out} == {True}
    assert equal({item.key: source.load(item) for item in source.items}, {i.key: whole[i.key] for i in source.items})


@pytest.mark.parametrize("part", ["input", "target"])
def test_a_damaged_pair_in_a_shard_is_reported_when_it_is_read(shards: Path, part: str) -> None:
    source = open_source(shards)
    item, others = source.items[0], source.items[1:]
    whole = {other.key: source.load(other) for other in others}
    start, size = item.place[2 * PARTS.index(part) :][:2]
    data = bytearray(Path(item.paths[0]).read_bytes())
    data[start + size - 5] ^= 1  # in the checksum of the last chunk, which decoders do not look at
    Path(item.paths[0]).write_bytes(data)
    with pytest.raises(CalcoError, match=rf"\.tar: {item.key} is not as it was written: damaged, or replaced"):
        source.load(item)
    assert equal({other.key: source.load(other) for other in others}, whole)


def test_a_shard_that_was_removed_is_told(shards: Path) -> None:
    (shards / "train-000001.tar").unlink()
    with pytest.raises(CalcoError, match=r"cannot read .*train-000001.tar: No such file"):
        open_source(shards)


@pytest.mark.parametrize("name", ["manifest.json", "index/train-000000.json"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 4}, "newer format 4; update Calco"),
        ({"version": 2}, "older format 2.*--overwrite"),
        ({"version": "x"}, "not written by calco prepare"),
        ({"channels": "three"}, "channels"),
        (None, "is damaged"),
    ],
)
def test_manifests_that_do_not_serve_are_refused(
    shards: Path, name: str, change: dict[str, Any] | None, told: str
) -> None:
    path = shards / name
    record = json.loads(path.read_text())
    path.write_text(path.read_text()[:-40] if change is None else json.dumps(record | change))
    with pytest.raises(CalcoError, match=told) as error:
        open_source(shards)
    assert name.rpartition("/")[2] in str(error.value)


def test_a_manifest_cannot_lead_elsewhere(shards: Path) -> None:
    path = shards / "manifest.json"
    record = json.loads(path.read_text())
    record["parts"][0]["part"] = "../../etc/secret"
    path.write_text(json.dumps(record))
    with pytest.raises(CalcoError, match="names '../../etc/secret.tar', which is no file in this folder"):
        open_source(shards)


@pytest.mark.parametrize(
    "key", ["a", "v1.2/a.b", "../x", "/abs", "./a", "a//b", "50%", "a\\b", "ñ/é", "\udcff.x", "..", "a\n"]
)
def test_names_of_members_are_safe_and_lead_back_to_the_key(key: str) -> None:
    name = member_name(key)
    assert unquote(name, errors="surrogateescape") == key
    assert not name.startswith("/") and ".." not in name.split("/")
    assert "." not in name.rpartition("/")[2] and name.isprintable()


def test_what_looks_like_shards(shards: Path, tmp_path: Path) -> None:
    write_tar(tmp_path / "t" / "x.tar", pairs_of(1))
    yes = [shards, tmp_path / "t", tmp_path / "t" / "x.tar", "s3://bucket/x", f"{tmp_path}/t/x-{{0..9}}.tar"]
    assert [matches(str(place)) for place in yes] == [True] * len(yes)
    # A folder of images with the archive that they came in is a folder of images.
    write_tar(tmp_path / "p" / "all.tar", {})
    assert [matches(str(place)) for place in (tmp_path / "p", tmp_path / "none", "openmoji")] == [False] * 3


def test_a_range_of_tar_files_must_rise(tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match=r"\{9..0\} in .* is no rising range"):
        open_source(f"{tmp_path}/x-{{9..0}}.tar")


def test_shards_in_memory_are_read_through_fsspec(shards: Path) -> None:
    files = fsspec.filesystem("memory")
    files.put(str(shards), "/bucket/set", recursive=True)
    try:
        assert equal(loaded("memory://bucket/set"), loaded(shards))
        for path in files.find("/bucket/set"):
            if path.endswith(".json"):
                files.rm(path)
        assert len(loaded("memory://bucket/set")) == 12
    finally:
        files.rm("/bucket", recursive=True)


class Ranges(SimpleHTTPRequestHandler):
    """Serves files and parts of them; as `whole`, files alone."""

    whole = False

    def log_message(self, *_: object) -> None:
        pass

    def send_head(self) -> Any:
        asked = self.headers.get("Range")
        path = Path(self.translate_path(self.path))
        if not asked or self.whole or not path.is_file():
            return super().send_head()
        first, _, last = asked.removeprefix("bytes=").partition("-")
        size = path.stat().st_size
        data = path.read_bytes()[int(first) : (int(last) if last else size - 1) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(data) - 1}/{size}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        return io.BytesIO(data)


@pytest.fixture
def server(shards: Path) -> Iterator[Callable[[type[Ranges]], str]]:
    requires(find_spec("aiohttp"), "aiohttp", "pip install 'calco[remote]'")
    running: list[ThreadingHTTPServer] = []

    def start(handler: type[Ranges]) -> str:
        running.append(ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(shards.parent))))
        threading.Thread(target=running[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{running[-1].server_port}"

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


def test_shards_on_a_server_are_read_in_parts(server: Callable[[type[Ranges]], str], shards: Path) -> None:
    address = server(Ranges)
    assert equal(loaded(f"{address}/s"), loaded(shards))
    write_tar(shards.parent / "x.tar", pairs_of(2))
    assert list(loaded(f"{address}/x.tar")) == ["0000", "0001"]
    with pytest.raises(CalcoError, match="none.tar is not there"):
        open_source(f"{address}/none.tar")


def test_a_server_that_serves_no_parts_is_told(server: Callable[[type[Ranges]], str]) -> None:
    class Whole(Ranges):
        whole = True

    with pytest.raises(CalcoError, match="the server sends whole files where a part is asked for"):
        loaded(f"{server(Whole)}/s")


def test_an_address_that_nobody_serves_is_told() -> None:
    with pytest.raises(CalcoError, match="nosuch://x"):
        open_source("nosuch://x/y.tar")


def test_shards_that_lost_their_index_are_told(shards: Path) -> None:
    (shards / "index" / "train-000000.json").unlink()
    with pytest.raises(CalcoError, match="has lost its index, index/train-000000.json beside it"):
        open_source(shards)


def test_prepared_pairs_have_their_direction(shards: Path) -> None:
    with pytest.raises(CalcoError, match="leave --input, --target and --direction out"):
        open_source(shards, SourceConfig(direction="BtoA"))
