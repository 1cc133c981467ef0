"""Custom recipes: functions in Python files, `my.py:fade`, and the permission to run them.

A model only names such a recipe, with the digest of its file: loading one never runs code. Code runs when the person at
the machine names it, when its digest is that of a file which that person named before, or when it is allowed by hand.
"""

import hashlib
import logging
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from calco.data.recipe_config import CODE_STEP
from calco.data.sample import Pair, Sample
from calco.errors import CalcoError
from calco.files import explain, make_folder, read_json, write_json
from calco.imaging import PEAKS, Image

LOG = logging.getLogger(__name__)
FORMAT: Final = 1
_NAMED_HERE: set[str] = set()  # the digests that were named in this process, where the file of them cannot be written


def is_pinned(step: str) -> bool:
    """Return True for a function that is named with the digest of its file."""
    return _parts(step)[2] is not None


def pin_code(step: str) -> str:
    """Return a step as it goes into a model: with the whole path and the digest of the file.

    A step without a digest was named by the person at this machine, who thereby allows that file, as it is now, to run
    here; the digest is noted in `trusted.json` in the user's folder of settings.
    """
    path, name, digest = _parts(step)
    if digest:
        return step
    path = path.expanduser().resolve()
    digest = _digest(_read(path))
    _NAMED_HERE.add(digest)
    try:
        file, known = _trusted()
        if digest not in known:
            make_folder(file.parent)
            write_json(file, {"format": FORMAT, "recipes": {**known, digest: str(path)}})
    except CalcoError as error:
        LOG.warning(f"{error}; the recipe runs now, but must be named again to evaluate its model")
    return f"{path}:{name}@{digest}"


def move_code(step: str, here: str) -> str:
    """Return a pinned step of a model, with the place of its file on this machine: `here` is such as `my.py:fade`."""
    _, name, digest = _parts(step)
    path, name_here, _ = _parts(here)
    found = _digest(_read(path))
    if (name_here, found) != (name, digest):
        raise CalcoError(
            f"{here} (digest {found}) is not the recipe that the model was trained with, {name} of a file with digest "
            f"{digest}; name that file, unchanged"
        )
    return pin_code(here)


def permit_code(step: str, *, allow_code: bool = False) -> None:
    """Refuse a pinned step whose file is absent or changed, that nobody here has named, or that does not load."""
    path, name, digest = _parts(step)
    if digest is None:
        raise CalcoError(f"recipe {step} has no digest of its file; name it on the command line: --recipe {step}")
    if not path.is_file():
        raise CalcoError(
            f"recipe {name}: its file {path} is not here; give its place: --recipe PLACE/{path.name}:{name}"
        )
    found = _digest(_read(path))
    if found != digest:
        raise CalcoError(
            f"recipe {name}: {path} has the digest {found}, and {digest} was used in training; bring that file back "
            f"and give its place by --recipe FILE.py:{name}, or train anew"
        )
    if not (allow_code or digest in _NAMED_HERE or digest in _trusted()[1]):
        raise CalcoError(
            f"recipe {name} is code ({path}) that nobody has run on this machine yet; read it, and if you trust it, "
            f"name it: --recipe {path}:{name}, or give --allow-code"
        )
    _function(str(path), name, digest)


def run_code(step: str, sample: Sample, rng: np.random.Generator) -> Pair:
    """Make the pair; an image that the function returns is the input, the whole image the target."""
    path, name, digest = _parts(step)
    function = _function(str(path), name, str(digest))
    whole = sample.image if sample.partner is None else sample.partner
    try:
        # Copies: what is kept in memory must not change, whatever the function does with its image.
        parts = {name: getattr(sample, name) for name in ("image", "partner", "mask", "weight", "region")}
        made = function(replace(sample, **{n: part.copy() for n, part in parts.items() if part is not None}), rng)
    except Exception as error:
        raise CalcoError(f"{sample.key}: {_described(error, path)}; correct the recipe {name}") from error
    if isinstance(made, Pair):
        where = f"{sample.key}: recipe {name}"
        sides = {"input": _image(made.input, where), "target": _image(made.target, where)}
        return replace(made, **sides, key=sample.key, group=sample.group)
    return Pair(input=_image(made, f"{sample.key}: recipe {name}"), target=whole, key=sample.key, group=sample.group)


def _parts(step: str) -> tuple[Path, str, str | None]:
    """Return path, name of the function and digest."""
    found = CODE_STEP.fullmatch(step)
    if found is None:
        raise CalcoError(f"recipe {step!r} is not a function in a file; write it as my.py:fade")
    return Path(found["path"]), found["name"], found["digest"]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise explain(error, path, "read the recipe") from error


def _digest(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()[:16]


@cache
def _function(path: str, name: str, digest: str) -> Callable[[Sample, np.random.Generator], Any]:
    """Return the function, loaded once a process from the very bytes that have this digest."""
    code = _read(Path(path))
    if _digest(code) != digest:
        raise CalcoError(f"recipe {name}: {path} was changed in the meantime; start again with the final file")
    module = ModuleType(f"calco_recipe_{digest}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # dataclasses in the file look their module up
    try:
        exec(compile(code, path, "exec"), module.__dict__)
    except Exception as error:
        raise CalcoError(f"{_described(error, Path(path))}; correct the recipe {name}") from error
    function: Callable[[Sample, np.random.Generator], Any] | None = getattr(module, name, None)
    if not callable(function):
        known = ", ".join(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise CalcoError(f"{path} has no function {name}; it has {known or 'none'}: write --recipe {path}:NAME")
    return function


def _described(error: Exception, path: Path) -> str:
    """Describe an error in somebody's code in one line: file, line and message."""
    text, line = str(error), None
    if isinstance(error, SyntaxError):
        text, line = error.msg, error.lineno
    elif frames := [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]:
        line = frames[-1].lineno
    message = " ".join(text.split()) or "no message"
    return f"{path}{f':{line}' if line else ''}: {type(error).__name__}: {message}"


def _image(made: Any, where: str) -> Image:
    """Return the result of custom code as HWC of one of Calco's types."""
    if not isinstance(made, np.ndarray):
        raise CalcoError(
            f"{where} returned {type(made).__name__}; return an array height x width x channels, or a Pair"
        )
    image = made[..., None] if made.ndim == 2 else made
    if image.dtype == np.float64:
        image = image.astype(np.float32)
    if image.ndim != 3 or str(image.dtype) not in PEAKS or not image.size:
        raise CalcoError(
            f"{where} returned an array of shape {made.shape} and type {made.dtype}; "
            f"return height x width x channels of {', '.join(PEAKS)}"
        )
    if image.dtype == np.float32 and not (float(image.min()) >= 0 and float(image.max()) <= 1):
        raise CalcoError(f"{where} returned numbers outside 0 to 1; clip them, or return uint8 from 0 to 255")
    return np.ascontiguousarray(image)


def _trusted() -> tuple[Path, dict[str, str]]:
    """Return the file of all recipes that were named on this machine, and their digests and paths."""
    settings = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    file = Path(settings) / "calco" / "trusted.json"
    return file, dict(read_json(file).get("recipes", {})) if file.is_file() else {}
