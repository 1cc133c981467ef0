"""From images of any depth and number of channels to a model, its report, and images of the same kind."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from calco import imaging
from calco.data.config import JitterConfig, SourceConfig
from calco.data.recipes import RecipeConfig
from calco.evaluation import EvaluateConfig
from calco.evaluation.evaluate import evaluate
from calco.inference.images import translate_images
from calco.inference.translator import load
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.training.config import ComputeConfig, KeepConfig, LimitConfig, OptimiserConfig, TrainConfig
from calco.training.translation import train


def waves(number: int, channels: int, dtype: type) -> imaging.Image:
    """A smooth image 24 pixels high and 28 wide, which uses the depth it has."""
    y, x = np.mgrid[:24, :28]
    planes = [0.5 + 0.5 * np.sin(0.1 * (channel + 1) * x + 0.13 * number + 0.21 * y) for channel in range(channels)]
    return imaging.as_dtype(np.stack(planes, axis=2).astype(np.float32), dtype)


def learn(folder: Path, out: Path, background: str = "white", steps: int = 4) -> Path:
    config = TrainConfig(
        images=str(folder),
        out=str(out),
        recipe=RecipeConfig(recipe="aligned"),
        source=SourceConfig(source="parallel", input="input", target="target", background=background),
        jitter=JitterConfig(size=16, resize=20, fit="cover"),
        generator=GeneratorConfig(depth=2, filters=4),
        discriminator=DiscriminatorConfig(patch=16, filters=4),
        optimiser=OptimiserConfig(batch=2),
        limit=LimitConfig(epochs=0, steps=steps),
        keep=KeepConfig(samples=1, validate_steps=1, validation_pairs=2, tensorboard=False),
        compute=ComputeConfig(threads=1),
    )
    return train(config, progress=False)


KINDS = {
    "grey of sixteen bits": (1, 1, np.uint16, ".tif"),
    "colour and transparency": (4, 4, np.uint8, ".png"),
    "grey and transparency of sixteen bits": (2, 2, np.uint16, ".png"),
    "five bands of floats": (5, 5, np.float32, ".tif"),
    "colour to seven bands": (3, 7, np.uint16, ".tif"),
    "five bands to grey": (5, 1, np.uint16, ".tif"),
}


FAST = {"grey of sixteen bits", "five bands of floats"}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[] if kind in FAST else pytest.mark.slow) for kind in KINDS])
def test_depth_and_channels_come_out_again(tmp_path: Path, kind: str) -> None:
    ins, outs, dtype, ending = KINDS[kind]
    for side, channels in (("input", ins), ("target", outs)):
        (tmp_path / "images" / side).mkdir(parents=True)
        for number in range(8):
            imaging.write(tmp_path / "images" / side / f"{number}{ending}", waves(number, channels, dtype))
    run = learn(tmp_path / "images", tmp_path / "run", "channel")
    model = json.loads((run / "model" / "model.json").read_text())
    assert (model["in_channels"], model["out_channels"]) == (ins, outs)
    translator = load(run)
    assert translator.mean_target is not None
    assert translator.mean_target.shape[2] == outs

    new = tmp_path / "new"
    new.mkdir()
    imaging.write(new / f"a{ending}", waves(99, ins, dtype))
    translate_images(run, new, tmp_path / "out")
    made = imaging.read(tmp_path / "out" / f"a{ending}", background="channel")
    assert made.shape == (24, 28, outs)
    assert made.dtype == dtype
    if dtype is not np.uint8:  # not eight bits in a larger file
        assert not np.array_equal(imaging.as_dtype(imaging.as_dtype(made, np.uint8), dtype), made)
    assert np.array_equal(made, translator(waves(99, ins, dtype)))

    card = evaluate(EvaluateConfig(model=run))
    assert {"l1", "psnr", "ssim"} <= set(card.systems["model"])
    assert ("input copied" in card.systems) == imaging.converts(ins, outs)
    assert card.num_images > 0
    assert not card.left_out_images
    assert "mean target" in (run / "report" / "report.html").read_text()


def test_a_grey_sixteen_bit_tiff_gives_one(tmp_path: Path) -> None:
    """What a microscope or a telescope leaves: only other programs look at the files."""
    for side, shift in (("input", 0), ("target", 3)):
        (tmp_path / "images" / side).mkdir(parents=True)
        for number in range(6):
            plane = waves(number + shift, 1, np.uint16)[..., 0]
            tifffile.imwrite(tmp_path / "images" / side / f"{number}.tif", plane, photometric="minisblack")
    run = learn(tmp_path / "images", tmp_path / "run")
    translate_images(run, tmp_path / "images" / "input" / "3.tif", tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        page = file.pages.first
        assert (page.shape, page.dtype, page.samplesperpixel) == ((24, 28), np.uint16, 1)
    # Images of other depths and colours are taken too, and keep their depth.
    assert load(run)(waves(3, 3, np.uint8)).dtype == np.uint8
    assert load(run)(waves(3, 4, np.float32)).shape == (24, 28, 1)


def test_transparency_lies_over_the_background_of_the_training(tmp_path: Path) -> None:
    for side in ("input", "target"):
        (tmp_path / "images" / side).mkdir(parents=True)
        for number in range(6):
            imaging.write(tmp_path / "images" / side / f"{number}.png", waves(number, 4, np.uint8))
    run = learn(tmp_path / "images", tmp_path / "run", background="#102030")
    see_through = np.zeros((24, 28, 4), np.uint8)
    paper = np.full((24, 28, 3), (0x10, 0x20, 0x30), np.uint8)
    assert np.array_equal(load(run)(see_through), load(run)(paper))
    imaging.write(tmp_path / "a.png", see_through)
    translate_images(run, tmp_path / "a.png", tmp_path / "out.png")
    assert np.array_equal(imaging.read(tmp_path / "out.png"), load(run)(paper))


def test_names_that_are_no_utf_8_go_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What pytest records of the log travels between its processes as UTF-8.
    monkeypatch.setattr(logging.getLogger("calco"), "propagate", False)
    names = [os.fsdecode(b"p%d\xe9.png" % number) for number in range(7)]
    for side in ("input", "target"):
        folder = tmp_path / os.fsdecode(b"caf\xe9") / side
        folder.mkdir(parents=True)
        for number, name in enumerate(names):
            imaging.write(folder / name, waves(number, 1, np.uint8))
    (folder.parent / "input" / names[-1]).write_bytes(b"damaged")
    run = learn(folder.parent, tmp_path / "run")
    assert evaluate(EvaluateConfig(model=run)).num_images > 0
    translate_images(run, folder.parent / "input", tmp_path / "out")
    assert [path.name for path in imaging.list_images(tmp_path / "out")] == names[:-1]
    assert list(json.loads((tmp_path / "out" / "translation.json").read_text())["left_out"]) == [names[-1]]
