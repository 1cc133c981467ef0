"""Public names of packages, imported when they are first used."""

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

around_imports: Callable[[], AbstractContextManager[None]] = nullcontext
"""Context in which the modules of public names are imported; the command line sets it."""


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package (PEP 562).

    Args:
        package: Name of the package.
        homes: Public name => its module, or "module:name" if it has another name there.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = homes[name].partition(":")
        with around_imports():
            value = getattr(import_module(module), attribute or name)
        return vars(sys.modules[package]).setdefault(name, value)  # from now on without this function

    return get, lambda: [*homes]
