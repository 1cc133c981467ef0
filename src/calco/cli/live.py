"""`calco translate` with a camera, a stream or a video that is played: which options mean that, and what they do."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from calco import imaging
from calco.console import say
from calco.errors import CalcoError
from calco.imaging import Image
from calco.inference.adapt import marked_in
from calco.inference.making import input_maker
from calco.inference.model import Translator
from calco.inference.steady import Steady
from calco.networks.machine import NAMES
from calco.video.capture import Capture
from calco.video.pipeline import Done, live, origin_asked, sinks_of, status_line, stopping
from calco.video.sinks import as_shown
from calco.video.sources import asked

LIVE: Final[dict[str, Any]] = {
    "live": False, "window": False, "page": None, "size": None, "rate": 0.0, "patience": 60.0, "seconds": 0.0,
}  # fmt: skip
"""The options that live images alone have, with their defaults."""
_OF_FILES: Final[dict[str, Any]] = {
    "overwrite": False, "format": "folder", "jobs": None, "address": "", "engine": "local", "shard_images": 1000,
    "codec": None, "quality": None, "from_": None, "to": None, "side_by_side": False, "holes_per_frame": False,
}  # fmt: skip
"""The options that only images and videos in files have, with their defaults."""


def wants(options: dict[str, Any]) -> bool:
    """Whether a call of `calco translate` is about live images.

    Raises:
        CalcoError: When it is not, and options say that it should be.
    """
    images = options["images"]
    if origin_asked(images, options) is not None:
        return True
    if given := [f"--{name}" for name, default in LIVE.items() if options[name] != default]:
        raise CalcoError(
            f"{given[0]} is for cameras, streams and videos that are played, and {images} is none; leave it out"
        )
    if options["out"] is None:
        raise CalcoError("--out is missing; name the folder to write into")
    return False


def without(options: dict[str, Any]) -> dict[str, Any]:
    """The options that are left for images."""
    return {name: value for name, value in options.items() if name not in LIVE}


def run(options: dict[str, Any], translator: Translator) -> None:
    """Translates live images until they end, or somebody stops it.

    Args:
        options: Of `calco translate`.
        translator: The model.

    Raises:
        CalcoError: When options do not go together, or source or sinks cannot be used.
    """
    for name, default in _OF_FILES.items():
        if options.get(name, default) != default:
            shown = name.strip("_").replace("_", "-")
            raise CalcoError(f"--{shown} is for images and videos in files; leave it out for live ones")
    if more := options.get("more"):
        raise CalcoError(f"{more[0]} is one name too many: one source is shown live at a time")
    if options["out"] is None and not options["window"] and options["page"] is None:
        raise CalcoError(
            "nobody would see it; add --window, --page 8000, or --out FILE (a video, a pipe, - for stdout)"
        )
    for name in ("patience", "seconds"):
        if not 0 <= options[name] < float("inf"):
            raise CalcoError(f"--{name} is {options[name]:g}; give seconds, or 0 for no limit")
    origin = origin_asked(options["images"], options)
    assert origin is not None
    origin = asked(origin, options["size"], options["rate"])
    if origin.kind == "file" and options["out"] and _same(origin.place, options["out"]):
        raise CalcoError(f"--out {options['out']} is the video that is read; choose another name")
    draw, reset = drawing(translator, options), _nothing
    draw(np.zeros((64, 64, 3), np.uint8))  # the first call puts the weights in order, for which no image shall wait
    if options.get("steady"):
        draw, reset = steadied(draw, Steady.of(translator.info))
    capture = Capture(origin, patience=options["patience"])
    done = Done()
    with stopping() as stop, status_line(done) as progress:
        sinks = sinks_of(options, capture, done, stop.is_set)
        try:
            live(draw, capture, sinks, seconds=options["seconds"], reset=reset, progress=progress, done=done, stop=stop)
        finally:
            if done.drawn:
                how = f"{translator.device} in {NAMES[translator.precision]}"
                say(f"{done.words()}, computed on {how}")
    if isinstance(options["out"], str) and Path(options["out"]).is_file():
        say(f"{options['out']} is written")


def drawing(translator: Translator, options: dict[str, Any]) -> Callable[[Image], Image]:
    """What is done with each image, as the options say.

    Raises:
        CalcoError: When they do not go together, or a mask cannot be read.
    """
    noise_seed, native = options["noise_seed"], options["native"]
    mask = _mask(options["masks"], translator) if options["masks"] is not None else None
    if not options["make_input"]:
        if options["recipe"] is not None or options["allow_code"]:
            raise CalcoError("--recipe and --allow-code serve --make-input; give that too, or leave them out")
        return lambda image: translator(image, mask=_fitting(mask, image), noise_seed=noise_seed, native=native)
    if mask is not None:
        raise CalcoError("--masks tells what to redraw, and --make-input erases by itself; give one of them")
    make = input_maker(
        translator.info, recipe=options["recipe"], allow_code=options["allow_code"], seed=noise_seed or 0
    )

    def made(image: Image) -> Image:
        # One name for all frames: what chance makes (holes, scratches) stands still.
        drawn = translator(make(image, "live"), noise_seed=noise_seed, native=True)
        return imaging.resize(drawn, (image.shape[1], image.shape[0]))

    return made


def steadied(draw: Callable[[Image], Image], steady: Any) -> tuple[Callable[[Image], Image], Callable[[], None]]:
    """Drawing with less flicker, and what makes it begin anew, as after a source was lost."""
    before: tuple[int, ...] = ()

    def drawn(image: Image) -> Image:
        nonlocal before
        if image.shape != before:
            steady.reset()
        before = image.shape
        result: Image = steady(image, as_shown(draw(image)))
        return result

    return drawn, steady.reset


def _nothing() -> None:
    pass


def _mask(path: str, translator: Translator) -> Image:
    if Path(path).is_dir():
        raise CalcoError(f"--masks {path} is a folder, and live images have one mask for all; name an image")
    return marked_in(path, translator.info.recipe)


def _fitting(mask: Image | None, image: Image) -> Image | None:
    if mask is None or mask.shape[:2] == image.shape[:2]:
        return mask
    return imaging.resize(mask.astype(np.uint8), (image.shape[1], image.shape[0]), "nearest").astype(np.bool_)


def _same(one: str, other: str) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samefile(one, other)
    return False
