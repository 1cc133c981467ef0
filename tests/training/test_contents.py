"""What a run was trained on, by content: images that are replaced before a resume, and images that the model knows."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calco import imaging
from calco.data.config import JitterConfig, SourceConfig, SplitConfig
from calco.data.recipes import RecipeConfig
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.errors import CalcoError
from calco.evaluation import CompareConfig, EvaluateConfig
from calco.evaluation.evaluate import compare, evaluate
from calco.files import digest
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.training.config import ComputeConfig, KeepConfig, LimitConfig, OptimiserConfig, TrainConfig
from calco.training.run_folder import changes, contents_of, load_contents, save_contents, with_earlier
from calco.training.translation import load_config, train


def image(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    imaging.write(path, np.random.default_rng(seed).integers(0, 256, (36, 36, 3), dtype=np.uint8))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps on twelve images with declared splits, beside them in `set`."""
    home = tmp_path_factory.mktemp("home")
    for number, split in enumerate(["train"] * 8 + ["val"] * 2 + ["test"] * 2):
        image(home / "set" / split / f"{number:02d}.png", number)
    config = TrainConfig(
        images=str(home / "set"),
        out=str(home / "run"),
        recipe=RecipeConfig(recipe="colorize"),
        jitter=JitterConfig(size=32, resize=36),
        generator=GeneratorConfig(depth=3, filters=4),
        discriminator=DiscriminatorConfig(patch=16, filters=4),
        optimiser=OptimiserConfig(batch=4),
        limit=LimitConfig(epochs=0, steps=2),
        keep=KeepConfig(samples=1, validate_steps=1, validation_pairs=2, tensorboard=False),
        compute=ComputeConfig(threads=1),
    )
    return train(config, progress=False)


def test_a_resumed_run_reports_replaced_images_and_knows_what_it_saw_before(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    shutil.copytree(run.parent, home)
    config = load_config(home / "run" / "config.yaml")
    config = replace(config, images=str(home / "set"), out=str(home / "run"), limit=LimitConfig(epochs=0, steps=4))
    before = digest(home / "set" / "train" / "03.png")
    times = (home / "set" / "train" / "03.png").stat()
    image(home / "set" / "train" / "03.png", 77)
    os.utime(home / "set" / "train" / "03.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    image(home / "set" / "val" / "08.png", 78)
    image(home / "set" / "train" / "new.png", 79)
    (home / "set" / "train" / "00.png").unlink()
    train(config, resume=True, progress=False)
    said = capsys.readouterr().err
    assert "1 training images are replaced, such as train/03" in said
    assert "1 training images are new, such as train/new; 1 training images are gone, such as train/00" in said
    assert "1 validation images are replaced, such as val/08" in said
    contents = load_contents(home / "run")
    assert contents is not None
    trained_on = set(contents.trained_on or ())
    assert {before, digest(home / "set" / "train" / "03.png")} <= trained_on
    train(replace(config, limit=LimitConfig(epochs=0, steps=5)), resume=True, progress=False)
    assert "are replaced" not in capsys.readouterr().err


def test_an_evaluation_leaves_out_what_was_trained_on_under_any_name_and_beside_any_mask(
    run: Path, tmp_path: Path
) -> None:
    for number, name in enumerate(["train/01.png", "train/02.png", "test/10.png"]):
        (tmp_path / "other").mkdir(exist_ok=True)
        shutil.copy(run.parent / "set" / name, tmp_path / "other" / f"renamed {number}.png")
    card = evaluate(EvaluateConfig(model=run, images=tmp_path / "other", out=tmp_path / "report"))
    assert {row.key: row.seen for row in card.images} == {
        "renamed 0": True, "renamed 1": True, "renamed 2": False,
    }  # fmt: skip
    assert "On 1 image that it never saw" in card.verdict()


def test_a_model_that_does_not_name_its_images_claims_nothing(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "model", tmp_path / "model")
    record = json.loads((tmp_path / "model" / "model.json").read_text())
    del record["provenance"]["trained_on"]
    (tmp_path / "model" / "model.json").write_text(json.dumps(record))
    card = evaluate(EvaluateConfig(model=tmp_path / "model", images=run.parent / "set", out=tmp_path / "report"))
    assert "never saw" not in card.verdict()
    assert "may have been trained on" in card.verdict()
    page = (tmp_path / "report" / "report.html").read_text()
    assert "does not record what it was trained on" in page
    assert "trained on none of them" not in page


def test_runs_that_were_scored_on_other_images_of_the_same_names_are_not_compared(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from calco.cli import main

    for number in range(3):
        image(tmp_path / "one" / f"{number}.png", 100 + number)
        image(tmp_path / "two" / f"{number}.png", 200 + number)
    shutil.copy(tmp_path / "one" / "2.png", tmp_path / "two" / "other name.png")
    for name in ("one", "two"):
        evaluate(EvaluateConfig(model=run, images=tmp_path / name, out=tmp_path / f"report-{name}"))
    evaluate(EvaluateConfig(model=run, images=tmp_path / "one", out=tmp_path / "again"))
    names = [str(tmp_path / f"report-{name}") for name in ("one", "two")]
    main(["compare", *names, "--out", str(tmp_path / "page.html")])
    printed = capsys.readouterr()
    heads = [line for line in printed.out.splitlines() if "report-one" in line or "images" in line]
    assert ["report-one" in line for line in heads[:2]] == [True, False]  # a run's number of images below its name
    said = " ".join(printed.err.split())
    page = (tmp_path / "page.html").read_text()
    for text in (said, page):
        assert "different images (0 in common); 1 are the same under another name; 3 have equal names" in text
        assert "is best on" not in text
        assert "the best in bold" not in text
    assert "The same images" not in page
    assert 'class="best"' not in page
    compare(
        CompareConfig(
            runs=(
                names[0],
                str(tmp_path / "again"),
            ),
            out=tmp_path / "same.html",
        )
    )
    assert "different images" not in (tmp_path / "same.html").read_text()
    assert "The same images" in (tmp_path / "same.html").read_text()


def test_runs_of_other_jobs_are_not_compared(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "model", tmp_path / "model")
    record = json.loads((tmp_path / "model" / "model.json").read_text())
    record["recipe"]["recipe"] = "sketch"
    (tmp_path / "model" / "model.json").write_text(json.dumps(record))
    test = run.parent / "set" / "test"
    evaluate(EvaluateConfig(model=run, images=test, out=tmp_path / "colours"))
    evaluate(EvaluateConfig(model=tmp_path / "model", images=test, out=tmp_path / "sketches"))
    evaluate(EvaluateConfig(model=run, images=test, out=tmp_path / "seed", seed=3))
    compare(
        CompareConfig(
            runs=(
                tmp_path / "colours",
                tmp_path / "sketches",
            ),
            out=tmp_path / "page.html",
        )
    )
    page = (tmp_path / "page.html").read_text()
    assert "a different recipe (colours: colorize; sketches: sketch)" in page
    assert "is best on" not in page
    assert "The same images" not in page
    compare(
        CompareConfig(
            runs=(
                tmp_path / "colours",
                tmp_path / "seed",
            ),
            out=tmp_path / "page.html",
        )
    )
    assert "a different seed (colours: 0; seed: 3)" in (tmp_path / "page.html").read_text()


def test_the_record_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        image(tmp_path / "set" / f"{number}.png", number)
    source = open_source(tmp_path / "set")
    splits = split_items(source.items, SplitConfig())
    assert load_contents(tmp_path) is None
    first = contents_of(source, splits)
    save_contents(tmp_path, first)
    loaded = load_contents(tmp_path)
    assert loaded == first
    assert changes(first, first) == ""
    key = splits["train"][0].key
    old = first.splits["train"][key]
    image(tmp_path / "set" / f"{key}.png", 99)
    second = contents_of(source, splits)
    assert changes(first, second) == f"1 training images are replaced, such as {key}"
    assert with_earlier(second, first).earlier == old
    monkeypatch.setattr("calco.training.run_folder.MAX_COMPARED", 1)
    by_time = contents_of(source, splits)
    assert by_time.trained_on is None
    assert changes(first, by_time) == ""
    image(tmp_path / "set" / f"{key}.png", 98)
    os.utime(tmp_path / "set" / f"{key}.png", (1, 1))
    assert "replaced" in changes(by_time, contents_of(source, splits))
    (tmp_path / "contents.json").write_text('{"format": 1}')
    with pytest.raises(CalcoError, match="is damaged"):
        load_contents(tmp_path)


def test_an_image_is_known_beside_another_mask_or_target(tmp_path: Path) -> None:
    for folder in ("masks", "other masks"):
        image(tmp_path / "images" / "a.png", 0)
        image(tmp_path / folder / "a.png", len(folder))
    sources = [
        open_source(tmp_path, SourceConfig(source=kind, input="images", target=folder))
        for kind, folder in (("masks", "masks"), ("masks", "other masks"), ("parallel", "masks"))
    ] + [open_source(tmp_path / "images")]
    first, *others = [set(source.digests(source.items[0])) for source in sources]
    assert all(first & other for other in others)
    assert digest(tmp_path / "masks" / "a.png") not in first  # empty masks are equal and tell nothing
