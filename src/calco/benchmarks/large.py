"""Rows of large images: memory and speed of one that is translated strip by strip, in a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from calco import imaging
from calco.benchmarks.images import scene
from calco.benchmarks.memory import held, peak
from calco.benchmarks.setting import Setting
from calco.benchmarks.timing import Row, row
from calco.data.recipes import RecipeConfig
from calco.errors import CalcoError
from calco.imaging.writing import write_strips
from calco.inference.model import ModelInfo, load, save_model
from calco.inference.translate import translate
from calco.networks.build import build_generator
from calco.networks.machine import make_ready

BOUND = 2048.0  # MiB above the model that any image may take
_BAND = 500  # rows of the scene that is repeated


def images(setting: Setting) -> Iterator[Row]:
    """A TIFF and a JPEG at the scale of training, a TIFF at its own."""
    width, height = setting.sizes.large_wh
    megapixels = width * height / 1e6
    model = _model(setting)
    for ending, native in ((".tif", False), (".jpg", False), (".tif", True)):
        path = _image(setting, ending)
        named = f"{megapixels:.3g} megapixels, {imaging.FORMATS[ending]}{', --native' if native else ''}"
        taken, seconds = _measured(setting, model, path, native)
        yield row("large", f"memory at {named}", "MiB", [taken], [BOUND], "the bound")
        start = time.perf_counter()
        imaging.write(path.with_name(f"copy{ending}"), imaging.read(path))
        copied = time.perf_counter() - start
        yield row("large", named, "MP/s", [megapixels / seconds], [megapixels / copied], "read and written alone")


def _model(setting: Setting) -> Path:
    """The folder of the published network, with fresh weights."""
    config = setting.train_config(1)
    info = ModelInfo(
        generator=config.generator, recipe=RecipeConfig(recipe="aligned"), jitter=config.jitter, in_channels=3,
        out_channels=3,
    )  # fmt: skip
    torch.manual_seed(setting.config.seed)
    folder = setting.folder / "large model"
    save_model(folder, info, build_generator(config.generator, 3, 3).state_dict(), None)
    return folder


def _image(setting: Setting, ending: str) -> Path:
    """A large image as a file: a scene again and again, from the top down."""
    path = setting.folder / f"large{ending}"
    width, height = setting.sizes.large_wh
    band = scene(setting.config.seed, "large", (width, min(height, _BAND)))
    if ending == ".tif":
        tops = range(0, height, len(band))
        write_strips(
            path, (band[: height - top] for top in tops), (height, width, 3), np.dtype(np.uint8), like=None
        )  # fmt: skip
    else:
        imaging.write(path, np.tile(band, (-(-height // len(band)), 1, 1))[:height])
    return path


def _measured(setting: Setting, model: Path, image: Path, native: bool) -> tuple[float, float]:
    """MiB above the loaded model, and seconds."""
    job = {
        "model": str(model), "image": str(image), "native": native, "device": str(setting.device),
        "precision": setting.config.precision, "threads": torch.get_num_threads(),
    }  # fmt: skip
    words = [sys.executable, "-m", "calco.benchmarks.large", json.dumps(job)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise CalcoError(
            f"the translation of a large image ended with code {done.returncode} ({reason}); close other programs, "
            "or leave large out with --only"
        )
    taken, seconds = json.loads(done.stdout)
    return taken, seconds


def _work(model: str, image: str, native: bool, device: str, precision: str, threads: int) -> tuple[float, float]:
    """Loads the model, draws a small image, and tells what a large one takes beyond that."""
    torch.set_num_threads(threads)
    translator = load(model, device=device, precision=precision)
    make_ready(translator.device, exact=precision == "fp32")
    translator(np.zeros((256, 256, 3), np.uint8))
    before, start = held(), time.perf_counter()
    translate(translator, image, Path(image).with_name(f"drawn{Path(image).suffix}"), native=native, overwrite=True)
    return peak() - before, time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(_work(**json.loads(sys.argv[1]))))
