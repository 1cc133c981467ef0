"""The names that a user of the library may count on: `calco.__all__`, as docs/api.md lists them."""

import inspect
import re

import pytest

import calco
from support import ROOT


def documented_names() -> set[str]:
    """The headings of docs/api.md that are a name, such as "## `load`"."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    return set(re.findall(r"^#{2,3} `(?:calco\.)?(\w+)", text, flags=re.MULTILINE))


def test_documented_names_are_the_public_names() -> None:
    assert documented_names() == {name for name in calco.__all__ if not name.startswith("__")}


@pytest.mark.parametrize("name", calco.__all__)
def test_every_public_name_resolves_and_is_described(name: str) -> None:
    value = getattr(calco, name)
    assert name in dir(calco)
    if not name.startswith("__"):
        assert inspect.getdoc(value), f"calco.{name} has no docstring"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        calco.no_such_name  # noqa: B018


def test_the_package_is_typed() -> None:
    assert (ROOT / "src" / "calco" / "py.typed").is_file()
