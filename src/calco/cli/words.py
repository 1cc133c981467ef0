"""Words of the command line that decide how the others are read."""

from typing import Any

from calco.errors import CalcoError


def take(args: list[str], *names: str) -> tuple[dict[str, str], list[str]]:
    """Options that decide the defaults of the others, taken out of the words before those are parsed."""
    chosen: dict[str, str] = {}
    rest: list[str] = []
    words = iter(args)
    for word in words:
        name, has_value, value = word.partition("=")
        if name not in names:
            rest.append(word)
            continue
        value = value if has_value else next(words, "")
        if not value or value.startswith("--"):
            raise CalcoError(
                f"{name} needs a value; for example {name} {'small' if name == '--preset' else 'runs/faces'}"
            )
        chosen[name] = value
    return chosen, rest


def same_but_limits(before: Any, after: Any, run: str) -> None:
    """A run that goes on may be given other limits, another place of its pictures or another device: nothing else."""
    free = {"pictures", "limit", "keep", "compute"}
    for name in vars(before):
        if name not in free and getattr(before, name) != getattr(after, name):
            raise CalcoError(
                f"{run} goes on with the configuration it began with, and {name} differs; only the limits, what is "
                "kept, the device and the place of the pictures may change: train anew for the rest"
            )
