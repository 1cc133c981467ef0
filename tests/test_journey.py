"""The whole way as a person goes it: train, evaluate, compare, translate, demo, by the command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import calco
from calco import CalcoError, imaging
from calco.cli import main
from calco.evaluation import CompareConfig
from calco.evaluation.evaluate import compare
from calco.training.translation import load_config

SMALL = ["--preset", "small", "--size", "32", "--resize", "36", "--generator.depth", "3", "--generator.filters", "4"]
SMALL += [
    "--discriminator.filters",
    "4",
    "--discriminator.patch",
    "16",
    "--batch",
    "2",
    "--minutes",
    "0",
    "--steps",
    "6",
]


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Twenty photographs, of which a hash keeps some for testing."""
    folder = tmp_path_factory.mktemp("images")
    chance = np.random.default_rng(1)
    for number in range(20):
        sky = np.linspace(0, 200, 40)[:, None, None] + chance.integers(0, 50, 3)
        imaging.write(folder / f"p{number:02d}.png", np.broadcast_to(sky, (40, 50, 3)).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def run(images, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "colour"
    main(["train", str(images), "--recipe", "colorize", *SMALL, "--out", str(folder)])
    return folder


def test_evaluate_scores_what_was_kept_apart_and_writes_the_report(run, capsys):
    main(["evaluate", str(run)])
    printed = capsys.readouterr().out
    assert "input copied" in printed
    assert "that it never saw" in printed
    scores = json.loads((run / "report" / "scores.json").read_text())
    kept = json.loads((run / "model" / "model.json").read_text())["provenance"]["splits"]
    assert scores["num_images"] == kept["test"] > 0
    assert scores["num_seen"] == 0
    page = (run / "report" / "report.html").read_text()
    assert "Learning" in page
    assert "recipe" in page.lower()


@pytest.mark.slow
def test_images_of_the_training_are_marked_even_under_another_name(run, images, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in imaging.list_images(images):
        (copies / f"renamed {path.name}").write_bytes(path.read_bytes())
    imaging.write(copies / "new.png", np.full((40, 50, 3), 90, np.uint8))
    card = calco.evaluate(calco.EvaluateConfig(model=run, images=copies, out=tmp_path / "report"))
    splits = json.loads((run / "model" / "model.json").read_text())["provenance"]["splits"]
    assert card.num_images == 21
    assert card.num_seen == splits["train"]
    assert card.num_counted == 21 - splits["train"]


def test_a_damaged_image_is_named_and_not_counted(run, tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    for number in range(3):
        imaging.write(folder / f"{number}.png", np.full((40, 50, 3), 40 * number, np.uint8))
    (folder / "text.jpg").write_text("no image")
    card = calco.evaluate(calco.EvaluateConfig(model=run, images=folder, out=tmp_path / "report"))
    assert card.num_images == 3
    assert "text" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.slow
def test_compare_needs_scores_and_makes_one_page(run, images, tmp_path, capsys):
    other = tmp_path / "other"
    main(["train", str(images), "--recipe", "colorize", *SMALL, "--seed", "1", "--out", str(other)])
    with pytest.raises(SystemExit) as left:
        main(["compare", str(run), str(other)])
    assert left.value.code == 2
    assert f"calco evaluate {other}" in capsys.readouterr().err
    main(["evaluate", str(run)])
    main(["evaluate", str(other)])
    main(["compare", str(run), str(other), "--out", str(tmp_path / "both.html")])
    printed = capsys.readouterr().out
    assert "colour" in printed
    assert "other" in printed
    assert (tmp_path / "both.html").stat().st_size > 1000
    with pytest.raises(CalcoError, match="two or more"):
        compare(CompareConfig(runs=(run,), out=tmp_path / "one.html"))


def test_translate_by_the_command_line(run, images, tmp_path, capsys):
    main(["translate", str(run), str(images), "--out", str(tmp_path / "out")])
    assert "20 images written" in capsys.readouterr().err
    out = imaging.read(tmp_path / "out" / "p00.png")
    grey = imaging.luminance(imaging.read(images / "p00.png"))
    assert out.shape == (40, 50, 3)
    # Colour was added; the luminance is the image's own, but for what left the range of bytes.
    assert np.abs(imaging.luminance(out).astype(int) - grey.astype(int)).mean() < 2
    main(["translate", str(run), str(images), "--out", str(tmp_path / "out")])
    assert "20 kept from before" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "nowhere"], "there is no nowhere"),
        (["evaluate", "RUN", "nowhere"], "nowhere"),
        (["evaluate", "RUN", "--inception", "nothing.pth"], "nothing.pth"),
        (["compare", "nowhere", "RUN"], "nowhere has no scores yet"),
        (["train", "EMPTY", "--recipe", "colorize"], "EMPTY"),
        (["train", "SPOILED", "--recipe", "colorize"], "none of the"),
        (["train", "UNMATCHED", "--input", "a", "--target", "b"], "UNMATCHED"),
        (["train", "openmoji", "--recipe", "segment"], "segment"),
    ],
)
def test_bad_input_is_answered_in_one_line(run, tmp_path, capsys, words, message):
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "SPOILED").mkdir()
    for name in "abcdefgh":
        (tmp_path / "SPOILED" / f"{name}.jpg").write_text(f"no image {name}")
    for side, name in (("a", "cat"), ("b", "dog")):
        (tmp_path / "UNMATCHED" / side).mkdir(parents=True)
        imaging.write(tmp_path / "UNMATCHED" / side / f"{name}.png", np.zeros((40, 40, 3), np.uint8))
    places = {"RUN": str(run)} | {name: str(tmp_path / name) for name in ("EMPTY", "SPOILED", "UNMATCHED")}
    with pytest.raises(SystemExit) as left:
        main([places.get(word, word) for word in words])
    assert left.value.code == 2
    error = capsys.readouterr().err.strip()
    assert places.get(message, message) in error
    assert "Traceback" not in error
    assert [line for line in error.splitlines() if line.startswith("calco:")] == error.splitlines()[-1:]


def test_python_does_what_the_command_line_does(run, images, tmp_path):
    translator = calco.load(run, precision="auto")  # as the command takes it
    image = imaging.read(images / "p01.png")
    done = calco.translate(calco.TranslateConfig(model=run, images=images / "p01.png", out=tmp_path / "one.png"))
    assert done.written == 1
    assert np.array_equal(imaging.read(tmp_path / "one.png"), translator(image))


def test_the_demo_learns_from_as_many_drawings_as_it_says():
    with pytest.raises(CalcoError, match="900 and scored 3900 are 4800 together.*--scored 3100"):
        calco.DemoConfig(scored=3900)


@pytest.mark.slow
def test_the_demo_goes_the_whole_way(tmp_path):
    """Real drawings, a real process, seconds instead of minutes: what it makes is looked at, not how good it is."""
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "calco", "demo", "--minutes", "0.1", "--out", str(out)]
    command += ["--drawings", "60", "--scored", "20", "--precision", "fp32"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    scores = json.loads((out / "run/report/scores.json").read_text())
    assert 5 <= scores["systems"]["model"]["l1"]["num"] <= 60  # variants of a drawing stay together
    assert load_config(out / "run" / "config.yaml").compute.precision == "fp32"
    for name in ("report/report.html", "evolution.mp4", "model/model.safetensors"):
        assert (out / "run" / name).is_file()
        assert str((out / "run" / name).parent if "model" in name else out / "run" / name) in done.stdout
    assert len(imaging.list_images(out / "coloured")) == len(imaging.list_images(out / "sketches")) > 0
