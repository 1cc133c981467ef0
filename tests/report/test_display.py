"""Images show themselves in a notebook, and are saved as a grid without one."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import calco
from calco.data.config import JitterConfig
from calco.inference.folder import ModelInfo
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig

RED = np.zeros((20, 30, 3), np.uint8) + np.uint8([200, 0, 0])
GREY = np.full((10, 10), 0.5, np.float32)
PAIR = calco.Pair(input=RED, target=RED, key="a", group="a")


def shown_in(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Pillow.open(io.BytesIO(base64.b64decode(each)))) for each in found]


def test_arrays_images_pairs_and_captions_are_shown_in_rows(tmp_path: Path) -> None:
    shown = calco.show([RED, Pillow.fromarray(RED), {"<grey>": GREY}, PAIR])
    page = shown._repr_html_()
    assert [image.shape for image in shown_in(page)] == [(20, 30, 3)] * 2 + [(10, 10, 3)] + [(20, 30, 3)] * 2
    assert "&lt;grey&gt;" in page and "<grey>" not in page
    grid = calco.read_image(shown.save(tmp_path / "grid.png"))
    assert grid.shape == (20 + 6 + 10 + 6 + 20, 30 + 6 + 30, 3)
    assert tuple(grid[0, 0]) == (200, 0, 0) and tuple(grid[22, 0]) == (255, 255, 255)
    assert abs(int(grid[27, 0, 0]) - 128) <= 1


def test_a_pair_shows_itself() -> None:
    assert len(shown_in(PAIR._repr_html_())) == 2


@pytest.mark.parametrize(("images", "rule"), [([], "nothing to show"), ([np.zeros((4, 4, 3))], "float64")])
def test_what_cannot_be_shown_is_one_line(images: list[object], rule: str) -> None:
    with pytest.raises(calco.CalcoError, match=rule) as caught:
        calco.show(images)
    assert "\n" not in str(caught.value)


def test_a_scorecard_shows_its_verdict_and_a_row_for_each_score() -> None:
    pairs = [calco.Pair(input=RED, target=np.roll(RED, 40 * at), key=f"{at}", group=f"{at}") for at in range(3)]
    card = calco.score(lambda image: image, pairs, perceptual=False)
    page = card._repr_html_()
    assert card.verdict()[:20] in page
    assert "<th>model</th>" in page and "<td>PSNR ↑</td>" in page


def test_a_spanish_notebook_is_shown_spanish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALCO_LANGUAGE", "es")
    assert "entrada" in PAIR._repr_html_() and "objetivo" in PAIR._repr_html_()
    pairs = [calco.Pair(input=RED, target=np.roll(RED, 40 * at), key=f"{at}", group=f"{at}") for at in range(3)]
    card = calco.score(lambda image: image, pairs, perceptual=False)
    page = card._repr_html_()
    assert "<th>modelo</th><th>entrada copiada</th>" in page and "<td>PSNR ↑</td>" in page
    assert "el modelo no supera a la mejor línea base en L1 (0,3486 contra 0,3486 de la entrada copiada)" in page
    assert card.verdict() == card.verdict("en") != card.verdict("es")
    better = calco.score(lambda image: image // 2, pairs, perceptual=False).verdict("es")
    assert "SSIM (0,5335 contra 0,5556 de la entrada copiada, 4\N{NO-BREAK SPACE}% menos)" in better
    info = ModelInfo(
        generator=GeneratorConfig(depth=2, filters=4), recipe=calco.RecipeConfig(recipe="colorize"),
        jitter=JitterConfig(size=16, resize=16), in_channels=1, out_channels=3, step=12_000, scores={"L1": 0.25},
    )  # fmt: skip
    page = calco.Translator(info, build_generator(info.generator, 1, 3))._repr_html_()
    told = ("<td>receta</td><td>colorize", "<td>1 a 3", "12\N{NO-BREAK SPACE}000", "<td>L1 (validación)</td><td>0,25<")
    assert all(row in page for row in told)
    rows = [{"step": 300, "time": 4.0, "validation": {"l1": 0.125}},
            {"step": 300, "end": {"metric": "l1", "best": 0.125, "best_step": 300}}]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = calco.Run(tmp_path)._repr_html_() or ""
    assert "terminado en el paso 300" in page and "mejor validación L1 0,125 en el paso 300" in page
    assert "<span>Validación L1<" in page
    monkeypatch.setenv("CALCO_LANGUAGE", "fr")
    with pytest.raises(calco.CalcoError, match="CALCO_LANGUAGE is 'fr'; it must be one of es, en"):
        calco.show(PAIR)


def test_a_translator_shows_its_recipe_and_network() -> None:
    info = ModelInfo(
        generator=GeneratorConfig(depth=2, filters=4), recipe=calco.RecipeConfig(recipe="colorize"),
        jitter=JitterConfig(size=16, resize=16), in_channels=1, out_channels=3,
    )  # fmt: skip
    page = calco.Translator(info, build_generator(info.generator, 1, 3))._repr_html_()
    assert "<td>colorize</td>" in page and "<td>1 to 3</td>" in page


def test_a_run_is_a_path_that_shows_state_score_samples_and_curves(tmp_path: Path) -> None:
    config = calco.preset("small")
    drawings = tmp_path / "drawings"
    drawings.mkdir()
    rng = np.random.default_rng(0)
    for name in "abcdef":
        calco.write_image(drawings / f"{name}.png", rng.integers(0, 255, (24, 24, 3), np.uint8))
    small = replace(
        config, images=str(drawings), out=str(tmp_path / "<run>"), recipe=calco.RecipeConfig(recipe="colorize"),
        jitter=JitterConfig(size=16, resize=16), generator=GeneratorConfig(depth=2, filters=4),
        limit=replace(config.limit, minutes=0, steps=3), keep=replace(config.keep, validate_steps=1, log_steps=1),
        split=replace(config.split, validation=0.3, test=0),
    )  # fmt: skip
    run = calco.train(small, progress=False)
    assert isinstance(run, calco.Run) and run == tmp_path / "<run>" and (run / "model").is_dir()
    page = run._repr_html_()
    assert page is not None
    assert "ended at step 3" in page and "best validation L1" in page and "samples at step 3" in page
    assert "<run>" not in page and "&lt;run&gt;" in page
    assert len(shown_in(page)) == 1
    assert {"Generator L1", "Discriminator", "Validation L1"} & {*re.findall("<figcaption><span>([^<]+)<", page)}
    assert calco.load(run).info.step > 0
    (run / "log.jsonl").write_text("".join((run / "log.jsonl").read_text().splitlines(keepends=True)[:-1]))
    assert "training at step 3" in (calco.Run(run)._repr_html_() or "")
    (run / "log.jsonl").write_text("damaged\n{}\n")
    assert "line 1: not a JSON object" in (calco.Run(run)._repr_html_() or "")
    assert calco.Run(tmp_path)._repr_html_() is None
