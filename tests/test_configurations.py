"""Every number of every configuration is checked when it is built: what it cannot be is one line, never a traceback."""

import dataclasses
import importlib
import math
import pkgutil
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import calco
from calco.errors import CalcoError

NEEDED: dict[str, dict[str, Any]] = {
    "AblateConfig": {"images": ("i",), "presets": ("small",)},
    "ChartConfig": {"chart": "all"}, "CollectConfig": {"annotations": "a", "out": "o"},
    "EvaluateConfig": {"model": "m"}, "GenerateConfig": {"out": "o.csv"},
    "PanelConfig": {"out": "o", "ids": ("1",)}, "PredictConfig": {"model": "m", "sources": ("s",)},
    "QueryConfig": {"question": "all"}, "Slices": {"side": 64},
    "SlideConfig": {"image": "p.png", "out": "o.gif", "window": "60x40"},
    "TranslateConfig": {"model": "m", "images": "i"},
}  # fmt: skip
NO_NUMBERS = {"DashboardConfig", "ExportConfig", "DetectExportConfig", "CompareConfig", "RecipesConfig", "LoadConfig"}
OTHERS = {"Engine", "VideoOptions", "Overlay", "Slices"}
FOREIGN = {"LiteBackboneConfig"}  # a class of transformers, built from a model's description alone
WRONG = (math.nan, math.inf, -math.inf, 10**12, -(10**12), 2**64, -(2**64))


def configurations() -> Iterator[type]:
    """Every dataclass that says how something is done."""
    for module in pkgutil.walk_packages(calco.__path__, "calco."):
        if module.name.endswith("__main__"):
            continue
        for name, kind in vars(importlib.import_module(module.name)).items():
            own = dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind.__module__ == module.name
            if own and (name.endswith("Config") or name in OTHERS) and name not in FOREIGN | NO_NUMBERS:
                yield kind


def is_number(hint: Any) -> bool:
    return hint in (int, float) or any(map(is_number, typing.get_args(hint)))


CASES = [
    (kind, field.name)
    for kind in configurations()
    for field in dataclasses.fields(kind)
    if field.init and is_number(typing.get_type_hints(kind)[field.name])
]


def test_the_configurations_are_found() -> None:
    names = {kind.__name__ for kind, _ in CASES}
    assert {
        "TrainConfig",
        "DetectTrainConfig",
        "PrepareConfig",
        "WatchConfig",
        "BenchConfig",
        "EvaluateConfig",
    } <= names
    assert names >= NEEDED.keys()


def replacements(base: Any, name: str, number: float) -> list[Any]:
    """The number itself; for several numbers, these with each replaced in turn."""
    value = getattr(base, name)
    if isinstance(value, tuple) and value:
        return [(*value[:place], number, *value[place + 1 :]) for place in range(len(value))]
    hint = typing.get_type_hints(type(base))[name]
    several = tuple in map(typing.get_origin, (hint, *typing.get_args(hint)))
    return [(number,) * 3 if several else number]


def refusals(kind: type, name: str, number: float) -> list[str]:
    """What is said of each of the configurations; an empty text where it is allowed."""
    said: list[str] = []
    base = kind(**NEEDED.get(kind.__name__, {}))
    for value in replacements(base, name, number):
        try:
            dataclasses.replace(base, **{name: value})
            said.append("")
        except CalcoError as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize("kind", dict.fromkeys(kind for kind, _ in CASES), ids=lambda kind: kind.__name__)
def test_numbers_that_cannot_be_are_refused_in_one_line(kind: type) -> None:
    for name in (name for each, name in CASES if each is kind):
        for number in WRONG:
            said = refusals(kind, name, number)
            if name not in ("seed", "seeds") or number != 10**12:
                assert all(str(number) in each or f"{number:g}" in each for each in said), (name, number, said)
            assert not any("\n" in each for each in said), (name, number, said)
        for number in (-1, 0):  # some are allowed
            assert not any("\n" in each for each in refusals(kind, name, number)), (name, number)


def test_seeds_reach_from_0_to_the_largest_that_a_generator_takes() -> None:
    for seed in (0, 2**63 - 1):
        assert calco.TrainConfig(seed=seed).seed == seed
    with pytest.raises(CalcoError, match="seed is -1; it must lie between 0 and 9223372036854775807"):
        calco.TrainConfig(seed=-1)
