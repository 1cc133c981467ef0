"""The names that a user of the library may count on, as docs/api.md lists them; each verb is one call."""

import dataclasses
import importlib
import inspect
import re
import typing
from pathlib import Path
from typing import Any

import pytest
import tyro

import calco
import calco.cli
from calco.cli.verbs import COMMANDS
from support import ROOT

PACKAGES = (
    "calco",
    "calco.annotations",
    "calco.crime",
    "calco.detection",
    "calco.lessons",
    "calco.video",
    "calco.watch",
)
PUBLIC = [(package, name) for package in PACKAGES for name in importlib.import_module(package).__all__]
NAMES = [f"{package}.{name}" for package, name in PUBLIC if not name.startswith("__")]

# Verb => the public function that does the same.
FUNCTIONS = {
    "ablate": "calco.ablate",
    "demo": "calco.demo", "collect": "calco.collect", "prepare": "calco.prepare", "check": "calco.check",
    "recipes": "calco.recipes", "train": "calco.train", "evaluate": "calco.evaluate", "compare": "calco.compare",
    "translate": "calco.translate", "export": "calco.export_model", "bench": "calco.bench",
    "detect train": "calco.detection.train_detector", "detect explore": "calco.detection.explore",
    "detect evaluate": "calco.detection.evaluate", "detect predict": "calco.detection.predict_objects",
    "detect export": "calco.detection.export_detector", "detect slide": "calco.detection.slide_window",
    "detect watch": "calco.watch.watch", "crime collect": "calco.crime.collect_panel",
    "crime load": "calco.crime.load_crimes", "crime generate": "calco.crime.generate_crimes",
    "crime query": "calco.crime.query", "crime chart": "calco.crime.write_charts",
    "crime dashboard": "calco.crime.write_dashboard", "crime forecast": "calco.crime.forecast_robberies",
    "serve": "calco.serve", "lessons open": "calco.lessons.open_lesson", "lessons run": "calco.lessons.run_lessons",
    "lessons export": "calco.lessons.export_lessons",
    "doctor": "calco.doctor", "completion": "calco.completion",
}  # fmt: skip
VERBS = {*COMMANDS}

# Public functions and classes whose docstrings do not state everything yet.
INCOMPLETE: set[str] = {"calco.detection.Detector", "calco.psnr_inside", "calco.video.Follower"}
ARRAYS = re.compile(r"ndarray|ArrayLike|\bImage\b|NDArray|Floats|Tensor")
SHAPE = re.compile(
    r"N names|As for|\bH\s?x\s?W|\bHW|\bNx?\d|\bN, |\(N|N boxes|shape|height x width|HWC|NCHW|xyxy", re.IGNORECASE
)


def of(name: str) -> Any:
    package, _, last = name.rpartition(".")
    return getattr(importlib.import_module(package), last)


def documented_names() -> set[str]:
    """The headings of docs/api.md that are a name, such as "### `calco.load`"."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    return set(re.findall(r"^#{2,4} `(calco[\w.]*)`", text, flags=re.MULTILINE))


def test_documented_names_are_the_public_names() -> None:
    assert documented_names() == set(NAMES)


def test_every_public_name_resolves_and_is_listed() -> None:
    for package, name in PUBLIC:
        module = importlib.import_module(package)
        assert getattr(module, name) is not None, name
        assert name in dir(module)


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = importlib.import_module(package).no_such_name


def lacks(name: str) -> list[str]:
    """What a docstring does not state: sections, arguments, shapes of arrays."""
    value = of(name)
    if not callable(value):
        return []
    text = inspect.getdoc(value) or ""
    if not text:
        return ["a docstring"]
    if inspect.isclass(value):
        if dataclasses.is_dataclass(value) or issubclass(value, Exception | Path):
            return []
        # What is called was made by another function, such as `calco.load`.
        return lacks_of(value.__call__ if "__call__" in vars(value) else value.__init__, text)
    return lacks_of(value, text)


def lacks_of(function: Any, text: str) -> list[str]:
    text = f"{text}\n{inspect.getdoc(function) or ''}"
    signature = inspect.signature(function)
    found: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        stated = re.search(rf"^\s+{parameter.name}: (.*(?:\n\s{{8,}}.*)*)", text, flags=re.MULTILINE)
        if not stated:
            found.append(f"Args: {parameter.name}")
        elif ARRAYS.search(str(parameter.annotation)) and not SHAPE.search(stated[1]):
            found.append(f"the shape of {parameter.name}")
    if inspect.isfunction(function) and function.__name__ != "__init__":
        if signature.return_annotation not in (None, "None") and not re.search(
            r"Returns?:|Yields:|^Return", text, re.MULTILINE
        ):
            found.append("Returns")
        if "raise " in inspect.getsource(function) and "Raises:" not in text:
            found.append("Raises")
    return found


def test_every_docstring_states_arguments_shapes_results_and_errors() -> None:
    missing = {name: lacks(name) for name in NAMES}
    assert {name: found for name, found in missing.items() if found and name not in INCOMPLETE} == {}


def test_every_verb_is_a_public_function() -> None:
    assert FUNCTIONS.keys() == VERBS
    assert {*FUNCTIONS.values()} <= {*NAMES}


class Parsed(Exception):
    """Raised in place of parsing."""


@pytest.mark.parametrize("verb", sorted(FUNCTIONS))
def test_a_verb_parses_the_configuration_that_its_function_takes(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Any] = []

    def instead(kind: Any, **_options: Any) -> None:
        parsed.append(kind)
        raise Parsed

    monkeypatch.setattr(tyro, "cli", instead)
    with pytest.raises(Parsed):
        calco.cli._run([*verb.split(), "x"])
    function = of(FUNCTIONS[verb])
    first = next(iter(inspect.signature(function).parameters))
    kind = typing.get_type_hints(function)[first]
    assert parsed == [kind]
    assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen
    assert all(field.kw_only for field in dataclasses.fields(kind))
    package = FUNCTIONS[verb].rpartition(".")[0]
    assert f"{package}.{kind.__name__}" in NAMES


def test_the_package_is_typed() -> None:
    assert (ROOT / "src" / "calco" / "py.typed").is_file()
