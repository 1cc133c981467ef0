"""What the lessons make for themselves, once: scenes with objects, boxes and masks, and models in short trainings."""

import contextlib
import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from calco import imaging
from calco.data.config import JitterConfig, PrepareConfig
from calco.data.prepare import prepare
from calco.data.recipe_config import CompositeConfig, RecipeConfig
from calco.data.sample import generator
from calco.data.sources.openmoji import draw, drawings_folder
from calco.files import digest, make_folder
from calco.imaging import Image
from calco.journal import shared
from calco.lessons.outline import NOTEBOOKS
from calco.outputs import settings_digest
from calco.records import to_record

if TYPE_CHECKING:
    from calco.detection import DetectTrainConfig
    from calco.inference.translator import Translator
    from calco.training.config import TrainConfig

DATA_FOLDER: Final = "CALCO_LESSONS_DATA"
"""Environment variable that names the folder of the lessons' data; by default one in the temporary folder."""

DRAWINGS: Final[dict[str, tuple[str, ...]]] = {
    "animal": ("1F436", "1F431", "1F43C", "1F98A", "1F42E", "1F437"),
    "car": ("1F697", "1F699", "1F695", "1F68C", "1F69A", "1F693"),
    "fruit": ("1F34E", "1F34F", "1F34A", "1F34B", "1F350", "1F351"),
}
"""Classes of the scenes, and the drawings of OpenMoji (CC BY-SA 4.0) that stand for them."""


def data_folder() -> Path:
    """Return the folder in which the lessons keep the data that they make."""
    named = os.environ.get(DATA_FOLDER)
    return Path(named) if named else Path(tempfile.gettempdir()) / f"calco-lessons-{os.getuid()}"


@functools.cache
def _code() -> str:
    """Return a digest of Calco's code and version without the notebooks, which only show what it makes."""
    return digest(*sorted(set(Path(__file__).parents[1].rglob("*.py")) - set(NOTEBOOKS.glob("*.py"))))


def kept(name: str, settings: Any) -> Path:
    """Return the folder for what is made once with these settings; what earlier code made lies in another one."""
    return make_folder(data_folder()) / f"{name}-{settings_digest([_code(), settings])}"


def background(key: str, side: int = 256, *, seed: int = 0) -> Image:
    """Return a ground of soft colours and a little noise => `side` x `side` x 3 `uint8`."""
    rng = generator(seed, 0, f"ground {key}")
    coarse = rng.uniform(90, 235, (int(rng.integers(2, 6)), int(rng.integers(2, 6)), 3)).astype(np.float32)
    smooth = imaging.resize(np.rint(coarse).astype(np.uint8), (side, side)).astype(np.float32)
    return np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def landscape(key: str, side: int = 256, *, seed: int = 0) -> Image:
    """Return a sky over grass with a little noise, whose colours can be learned => `side` x `side` x 3 `uint8`."""
    rng = generator(seed, 0, f"landscape {key}")
    horizon = int(side * rng.uniform(0.3, 0.6))
    tops = np.array([(90, 150, 225), (135, 175, 80)]) + rng.uniform(-15, 15, (2, 3))  # of sky and grass
    ends = np.array([(205, 225, 245), (60, 110, 40)]) + rng.uniform(-15, 15, (2, 3))
    heights = horizon, side - horizon
    parts = [np.linspace(top, end, height) for top, end, height in zip(tops, ends, heights, strict=True)]
    image = np.repeat(np.concatenate(parts)[:, None], side, axis=1) + rng.normal(0, 5, (side, side, 1))
    return image.clip(0, 255).astype(np.uint8)


GROUNDS: Final = {"soft": background, "landscape": landscape}
"""What the objects of a scene stand on, by name."""


def scenes(
    count: int = 160, *, side: int = 192, most: int = 4, seed: int = 0, ground: Literal["soft", "landscape"] = "soft"
) -> Path:
    """Return a folder of scenes with objects on coloured grounds, and make it first where it is absent.

    `calco.prepare` pastes the drawings, so boxes and masks are exact. The same arguments give the same files.

    Args:
        count: Number of images, of which a tenth is for validation and a tenth for the test.
        side: Height and width of an image, pixels.
        most: Most objects in an image.
        seed: Seed of all random numbers.
        ground: What the objects stand on: soft random colours, or a landscape, whose colours can be learned.

    Returns:
        A folder with `images`, `masks` and `annotations` (COCO), which every verb of Calco takes.
    """
    out = kept("scenes", [count, side, most, seed, ground])
    with shared(out.parent / f".{out.name}.lock"):  # another lesson may be making the same
        made = (out / "manifest.json").is_file()
        if made and sum(path.is_file() for path in (out / "images").rglob("*.png")) == count:
            return out
        parts = out.parent / f"{out.name}-parts"
        for name, codepoints in DRAWINGS.items():
            make_folder(parts / "cutouts" / name)
            for each in codepoints:
                svg = (drawings_folder() / f"{each}.svg").read_text(encoding="utf-8")
                imaging.write(parts / "cutouts" / name / f"{each}.png", draw(svg, transparent=True))
        make_folder(parts / "grounds")
        for number in range(min(count, 60)):
            imaging.write(parts / "grounds" / f"{number:03}.png", GROUNDS[ground](str(number), side, seed=seed))
        composite = CompositeConfig(cutouts=str(parts / "cutouts"), pasted=(1, most), cutout_size=(0.25, 0.5))
        prepare(
            PrepareConfig(
                images=str(parts / "grounds"), out=str(out), count=count, seed=seed, jobs=1, overwrite=made,
                recipe=RecipeConfig(recipe="composite", composite=composite),
            ),
            progress=False,
        )  # fmt: skip
    return out


@contextlib.contextmanager
def waiting(es: str, en: str) -> Iterator[None]:
    """Show in a lesson what it waits for, in both languages; elsewhere nothing.

    Args:
        es: What is being done, in Spanish.
        en: The same in English.
    """
    marimo = sys.modules.get("marimo")  # a lesson has imported it
    if marimo is None or not marimo.running_in_notebook():
        yield
        return
    with marimo.status.spinner(title=f"{es} · {en}", remove_on_exit=True):
        yield


def detector_config(weights: Literal["auto", "scratch"] = "auto", *, steps: int = 160) -> "DetectTrainConfig":
    """Return the training of the detector of the lessons: small images and few steps, under a minute of one core.

    Args:
        weights: "auto" begins with a backbone pretrained on ImageNet, of which two stages are frozen; "scratch" with
            random weights, all of which are trained.
        steps: Number of updates of the weights.
    """
    from calco.data.config import BoxAugmentConfig
    from calco.detection import DetectTrainConfig
    from calco.detection.learning import DetectKeepConfig, DetectOptimiserConfig, LiteConfig
    from calco.training.shared_config import ComputeConfig, LimitConfig

    return DetectTrainConfig(
        images=str(scenes()),
        size=96,
        weights=weights,
        freeze=2 if weights == "auto" else 0,
        lite=LiteConfig(width=64, depth=1),
        augment=BoxAugmentConfig(mosaic=0, scale=(0.8, 1.25)),  # mosaics pay in long runs
        optimiser=DetectOptimiserConfig(batch=8, learning_rate=4e-3, warm_up=15, ema=0.95),
        limit=LimitConfig(epochs=0, steps=steps),
        keep=DetectKeepConfig(validate_steps=40, log_steps=5, tensorboard=False),
        compute=ComputeConfig(threads=1, precision="fp32"),  # so that it repeats bit for bit
    )


def detector(weights: Literal["auto", "scratch"] = "auto", *, steps: int = 160) -> Path:
    """Return the run of a detector that was trained on `scenes`, and train it first where it is absent.

    Args:
        weights: First weights; see `detector_config`.
        steps: Number of updates of the weights.

    Returns:
        The folder of the run, for `calco.detection.load_detector`.
    """
    from calco.detection import train_detector

    config = detector_config(weights, steps=steps)
    run = kept(f"detector-{weights}", to_record(config))
    if not run.is_dir():
        # Trained elsewhere and then renamed: one that was interrupted is not taken for a whole one.
        with (
            tempfile.TemporaryDirectory(dir=data_folder()) as parts,
            waiting(
                "La primera vez se entrena el detector: un minuto", "The detector is trained the first time: a minute"
            ),
        ):
            trained = train_detector(replace(config, out=str(Path(parts) / "run")), progress=False)
            if not run.is_dir():  # another notebook may have been quicker
                shutil.move(trained, run)
    return run


def short_config(recipe: RecipeConfig, images: str, *, steps: int = 200, side: int = 64) -> "TrainConfig":
    """Return a configuration that takes well under a minute: a U-Net of 16 filters at 64 pixels, without adversary."""
    from calco.networks.config import GeneratorConfig
    from calco.training.config import KeepConfig, LimitConfig, ObjectiveConfig, OptimiserConfig, TrainConfig

    return TrainConfig(
        images=images,
        recipe=recipe,
        jitter=JitterConfig(size=side, resize=side + side // 8),
        generator=GeneratorConfig(depth=4, filters=16, up="resize", convention="paper", dropout=0),
        objective=ObjectiveConfig(gan="none", pixel_weight=100),
        optimiser=OptimiserConfig(batch=8, learning_rate=2e-3, decay_from=0.4, ema=0.98),
        limit=LimitConfig(epochs=0, steps=steps),
        keep=KeepConfig(validate_steps=steps, samples=1, checkpoints=1, tensorboard=False),
    )


def trained(name: str, config: "TrainConfig") -> "Translator":
    """Return the model of a run, and train it first where it is absent; a run that was interrupted is resumed."""
    from calco.inference.translator import load
    from calco.training.translation import train

    out = kept(name, to_record(config))
    if not (out / "finished").is_file():
        with waiting("La primera vez se entrena la red: un minuto", "The network is trained the first time: a minute"):
            train(replace(config, out=str(out)), resume=(out / "config.yaml").is_file())
        (out / "finished").touch()
    return load(out)
