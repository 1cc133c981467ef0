"""The same work by this process, by several, and by Ray: the same results; deaths, addresses, absent libraries."""

import json
import operator
import os
import socket
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import fsspec
import numpy as np
import pytest
import torch

from calco import CalcoError, imaging
from calco.cli import main
from calco.data import storage
from calco.data.config import JitterConfig, PrepareConfig
from calco.data.prepare import prepare
from calco.data.recipes import RecipeConfig
from calco.data.recipes.custom import pin_code
from calco.data.sources import open_source
from calco.evaluation import EvaluateConfig
from calco.evaluation.evaluate import evaluate
from calco.inference.folder import ModelInfo, save_model
from calco.inference.images import translate_images
from calco.inference.results import REMOTE_LOG
from calco.inference.translator import load, load_info
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from calco.outputs import LOG
from calco.work import Engine, results
from support import requires

# Ray itself uses names that it gives up.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore::DeprecationWarning:<string>")

RAY = Engine(name="ray")
DEADLY = """
import os, signal
from pathlib import Path

def fade(image, rng):
    note = Path({note!r})
    if image.key.startswith({key!r}) and ({always} or not note.exists()):
        note.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return image.image // 2
"""


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """A Ray with two cores, which the engine finds in this process; nothing of it is left behind."""
    requires(find_spec("ray"), "ray", "pip install 'ray[data]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL",
        object_store_memory=100 << 20,
    )  # fmt: skip
    yield
    ray.shutdown()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(14):
        small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        path = tmp_path / "p" / ("sub" if i % 2 else "") / f"pic {i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        imaging.write(path, imaging.resize(small, (30 + i, 24), "bicubic"))
    return tmp_path / "p"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    info = ModelInfo(
        generator=GeneratorConfig(depth=3, filters=4, composition="plain"), recipe=RecipeConfig(recipe="aligned"),
        jitter=JitterConfig(size=32, resize=32), in_channels=3, out_channels=3,
    )  # fmt: skip
    torch.manual_seed(0)
    save_model(tmp_path / "model", info, build_generator(info.generator, 3, 3).state_dict(), None)
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Recipes that are named are noted here, not in the folder of the person."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))


def deadly(tmp_path: Path, *, always: bool = False) -> tuple[str, Path]:
    """A recipe that kills the process that works on one image, once or always; it notes which."""
    note = tmp_path / "note"
    code = DEADLY.format(note=str(note), key="sub/pic 5", always=always)
    (tmp_path / "my.py").write_text(code)
    return f"{tmp_path / 'my.py'}:fade", note


def contents(folder: Path) -> dict[str, bytes]:
    """All files that do not speak of where the images lie."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("manifest.json", LOG, REMOTE_LOG)
    }


def prepared(images: object, out: object, recipe: str = "colorize", **options: Any) -> str:
    config = PrepareConfig(
        images=str(images), out=str(out), recipe=RecipeConfig(recipe=recipe), shard_pairs=4, **options
    )
    return prepare(config, progress=False).manifest.digest


# Functions that any process finds.
DOUBLED = partial(partial, operator.mul, 2)
READ = partial(partial, imaging.read)


@pytest.mark.parametrize("jobs", [1, 2])
def test_processes_give_results_in_order(jobs: int) -> None:
    assert list(results(Engine(jobs=jobs), DOUBLED, range(6))) == [(i, 2 * i) for i in range(6)]
    with pytest.raises(CalcoError, match="cannot read absent.png"):
        list(results(Engine(jobs=jobs), READ, ["absent.png", "absent.jpg"]))


@pytest.mark.slow
def test_what_a_worker_of_ray_refuses_is_told(ray: None) -> None:
    with pytest.raises(CalcoError, match="^cannot read absent.png: No such file"):
        list(results(RAY, READ, ["absent.png"]))


@pytest.mark.slow
@pytest.mark.parametrize("format", ["webdataset", "parallel"])
def test_ray_prepares_the_same_bytes_though_a_worker_dies(ray: None, images: Path, tmp_path: Path, format: Any) -> None:
    recipe, note = deadly(tmp_path)
    note.touch()
    digest = prepared(images, tmp_path / "here", recipe, format=format, jobs=1)
    note.unlink()
    assert prepared(images, tmp_path / "ray", recipe, format=format, engine="ray") == digest
    assert int(note.read_text()) != os.getpid()
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")


@pytest.mark.slow
def test_shards_are_written_elsewhere_and_gone_on_with(ray: None, images: Path, tmp_path: Path) -> None:
    digest = prepared(images, tmp_path / "here", jobs=1)
    there = f"file://{tmp_path}/there"
    assert prepared(images, there, jobs=1) == digest
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert prepared(f"file://{images}", tmp_path / "fetched", engine="ray") == digest
    (tmp_path / "there" / "train-000001.tar").unlink()
    assert prepared(images, there, engine="ray") == digest
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert len(open_source(there).items) == 14
    with pytest.raises(CalcoError, match="what differs: recipe.*; choose another --out"):
        prepared(images, there, "degrade")
    with pytest.raises(CalcoError, match="--overwrite removes nothing at file:"):
        prepared(images, there, overwrite=True)
    with pytest.raises(CalcoError, match="parallel cannot be written; take --format webdataset"):
        prepared(images, there, format="parallel")


@pytest.mark.slow
def test_a_image_that_always_kills_ends_in_one_line_and_the_rest_stays(ray: None, images: Path, tmp_path: Path) -> None:
    recipe, _ = deadly(tmp_path, always=True)
    with pytest.raises(CalcoError, match="a Ray worker ended before its work, 4 times.*what is written stays"):
        prepared(images, tmp_path / "out", recipe, engine="ray")
    assert list((tmp_path / "out").glob("*.tar"))


@pytest.mark.slow
@pytest.mark.parametrize(("format", "engine"), [("folder", Engine(jobs=2)), ("webdataset", RAY)])
def test_translation_is_the_same_by_any_engine(
    ray: None, model: Path, images: Path, tmp_path: Path, format: Any, engine: Engine
) -> None:
    (images / "bad.png").write_bytes(b"no image")
    recipe, note = deadly(tmp_path)
    info = replace(load_info(model), recipe=RecipeConfig(recipe=pin_code(recipe)))
    save_model(model, info, load(model).generator.state_dict(), None)
    options: dict[str, Any] = {"format": format, "shard_images": 6, "make_input": True}
    note.touch()
    translate_images(model, images, tmp_path / "here", **options)
    if engine is RAY:
        note.unlink()
    done = translate_images(model, images, tmp_path / "there", **options, engine=engine)
    assert (done.written, list(done.left_out)) == (14, ["bad.png"])
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    if engine is RAY:
        assert int(note.read_text()) != os.getpid()  # it was killed in the midst of it
    again = translate_images(model, images, tmp_path / "there", **options)
    assert (again.written, again.kept) == (0, 14)


def numbers_in(content: Any) -> list[float]:
    """All floats of a JSON content, in their order."""
    if isinstance(content, dict | list):
        inside = content.values() if isinstance(content, dict) else content
        return [number for part in inside for number in numbers_in(part)]
    return [content] if isinstance(content, float) else []


def shape_of(content: Any) -> Any:
    """The same content with 0 for each of its floats."""
    if isinstance(content, dict):
        return {name: shape_of(part) for name, part in content.items()}
    if isinstance(content, list):
        return [shape_of(part) for part in content]
    return 0 if isinstance(content, float) else content


@pytest.mark.slow
def test_scores_are_the_same_by_any_engine(ray: None, model: Path, images: Path, tmp_path: Path) -> None:
    for path in images.rglob("*.png"):  # two halves side by side
        imaging.write(path, np.concatenate([imaging.read(path), 255 - imaging.read(path)], axis=1))
    (images / "pic 4.png").write_bytes(b"no image")
    halves: Literal["side-by-side"] = "side-by-side"
    here = evaluate(EvaluateConfig(model=model, images=images, source=halves, out=tmp_path / "here"))
    there = evaluate(EvaluateConfig(model=model, images=images, source=halves, out=tmp_path / "ray", engine="ray"))
    assert here.num_images == 13
    said = [json.loads((tmp_path / place / "scores.json").read_text(encoding="utf-8")) for place in ("ray", "here")]
    assert shape_of(said[0]) == shape_of(said[1])
    # Processes with other numbers of threads add up in another order.
    assert numbers_in(said[0]) == pytest.approx(numbers_in(said[1]), rel=1e-4, abs=1e-6)
    assert [case.key for case in there.cases] == [case.key for case in here.cases]
    assert all(np.array_equal(a.output, b.output) for a, b in zip(there.cases, here.cases, strict=True))


def test_shards_of_results_hold_each_image_once(model: Path, images: Path, tmp_path: Path) -> None:
    imaging.write(images / "pic 0.jpg", imaging.read(images / "pic 0.png"))
    out = tmp_path / "out"
    shards: dict[str, Any] = {"format": "webdataset", "shard_images": 4}
    translate_images(model, images, out, **shards)
    translate_images(model, images, tmp_path / "files")
    names = {}
    for tar in sorted(out.glob("*.tar")):
        with tarfile.open(tar) as file:
            for member in file:
                data = file.extractfile(member)
                assert data is not None
                if member.name.endswith(".png"):
                    image = imaging.decode(data.read(), member.name)
                else:
                    names[json.load(data)["name"]] = image
    assert len(names) == 15
    assert np.array_equal(names["sub/pic 5.png"], imaging.read(tmp_path / "files" / "sub" / "pic 5.png"))
    assert len(open_source(out).items) == 15  # photographs again

    for path in list(images.glob("sub/*"))[:5]:
        path.unlink()
    fewer = translate_images(model, images, out, **shards)
    assert fewer.written + fewer.kept == 10
    assert len(open_source(out).items) == 10
    with pytest.raises(CalcoError, match="another model or other options"):
        translate_images(model, images, out)


def test_images_and_results_may_lie_elsewhere(model: Path, images: Path, tmp_path: Path) -> None:
    translate_images(model, images, tmp_path / "here")
    there = f"file://{tmp_path}/there"
    done = translate_images(model, f"file://{images}", there)
    assert (done.written, done.out) == (14, there)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert translate_images(model, f"file://{images}", there).kept == 14


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_that_does_not_answer_is_told_at_once(images: Path, tmp_path: Path, scheme: str) -> None:
    requires(find_spec("ray"), "ray", "pip install 'ray[data]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"{scheme}127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(CalcoError, match=f"no Ray answers at {address}: Connection refused; start one with"):
        list(results(Engine(name="ray", address=address), DOUBLED, range(3)))


def test_what_does_not_fit_together_is_told() -> None:
    with pytest.raises(CalcoError, match="add --engine ray, or leave it out"):
        Engine(address="auto")
    with pytest.raises(CalcoError, match="choose local or ray"):
        Engine(name="slurm")
    with pytest.raises(CalcoError, match="write auto, ray://host:10001 or host:6379"):
        list(results(Engine(name="ray", address="cluster"), DOUBLED, [1]))


def test_without_ray_the_extra_is_named(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit) as left:
        main(["prepare", str(images), "--recipe", "colorize", "--engine", "ray", "--out", str(tmp_path / "out")])
    assert left.value.code == 2
    assert "calco: --engine ray needs another library; pip install 'calco[ray]'" in capsys.readouterr().err


class Locked(fsspec.AbstractFileSystem):
    """A storage that lets nobody in, as object stores do without credentials."""

    protocol = "s3a"
    error: type[Exception] = PermissionError

    def _open(self, *args: object, **options: object) -> Any:
        raise self.error("Access Denied")

    def cat_file(self, *args: object, **options: object) -> Any:
        raise self.error("Access Denied")


def test_a_storage_that_wants_credentials_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentialsError(Exception):
        """As botocore's."""

    fsspec.register_implementation("s3a", Locked, clobber=True)
    for error in (PermissionError, NoCredentialsError):
        monkeypatch.setattr(Locked, "error", error)
        with pytest.raises(CalcoError, match="cannot read s3a://bucket/x: Access Denied; set AWS_ACCESS_KEY_ID"):
            storage.read("s3a://bucket/x")
