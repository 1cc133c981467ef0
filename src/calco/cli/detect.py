"""The verbs of `calco detect`: parsing only."""

from collections.abc import Callable

DETECT: dict[str, Callable[[list[str]], None]] = {}
