"""Configuration objects as plain data, and back, checked."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints

import msgspec
import yaml

from calco.addresses import redact_record
from calco.errors import CalcoError, UsageError, shortened
from calco.files import atomic_write, read_text

MOST_VALUES: Final = 1_000_000  # of the largest YAML file that is read, aliases unfolded
T = TypeVar("T")
_LARGEST: Final = 2**31 - 1  # of a count
_SEEDS: Final = 0, 2**63 - 1


def check_numbers(config: Any, **ranges: int | tuple[float, float]) -> None:
    """Check every number of a dataclass, in tuples too: NaN and infinity are refused, and counts have an end.

    `ranges` gives by field the largest number that is allowed, or the least and the largest.
    """
    for each in fields(config):
        value, allowed = getattr(config, each.name), ranges.get(each.name)
        if isinstance(allowed, int):
            allowed = -_LARGEST, allowed
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                _check_number(each.name, number, allowed)


def _check_number(name: str, number: float, allowed: tuple[float, float] | None) -> None:
    shown = name.rstrip("_").replace("_", " ")
    if not math.isfinite(number):
        raise UsageError(f"{shown} is {number}; it must be a finite number")
    if allowed is None:
        allowed = _SEEDS if name == "seed" else (-_LARGEST, _LARGEST) if isinstance(number, int) else None
    if allowed is not None and not allowed[0] <= number <= allowed[1]:
        rule = f"lie between {allowed[0]} and {allowed[1]}"
        if allowed[0] == -_LARGEST:
            rule = f"be at most {allowed[1]}" if number > 0 else f"be at least {allowed[0]}"
        raise UsageError(f"{shown} is {number}; it must {rule}")


def to_record(config: Any) -> dict[str, Any]:
    """Turn a dataclass into nested dictionaries, lists and plain values."""
    plain: dict[str, Any] = msgspec.to_builtins(asdict(config))
    return plain


def from_record(kind: type[T], record: Any, where: str | Path) -> T:
    """Build a dataclass from plain data of the file `where`; unknown names and values of the wrong type are refused."""
    try:
        # Not strict: 10 is a fine number of minutes where 10.0 is meant.
        config = msgspec.convert(record, kind, strict=False)
    except CalcoError as error:  # of a check in the dataclass itself
        raise CalcoError(f"{where}: {error}") from error
    # Half a character, a circle in YAML, an integer of a hundred digits.
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError, ArithmeticError) as error:
        reason = shortened(str(error), 300)
        raise CalcoError(f"{where}: {reason}; correct the field, or remove it to take its default") from error
    if unknown := _unknown(kind, record):
        raise CalcoError(f"{where} has the unknown field {shortened(unknown)}; correct its name, or remove it")
    return config


def _unknown(kind: Any, record: Any, path: str = "") -> str | None:
    if not (is_dataclass(kind) and isinstance(record, dict)):
        return None
    known = {f.name: f for f in fields(kind)}
    hints = get_type_hints(kind)
    for name, value in record.items():
        if name not in known:
            return f"{path}{name}"
        if deeper := _unknown(hints[name], value, f"{path}{name}."):
            return deeper
    return None


def write_yaml(path: str | Path, record: dict[str, Any], comment: str) -> None:
    """Write plain data as YAML under a line of comment, without passwords and tokens of addresses."""
    atomic_write(path, f"# {comment}\n" + yaml.safe_dump(redact_record(record), sort_keys=False, allow_unicode=True))


def read_yaml(path: str | Path, form: str = "see a run's config.yaml for the form") -> dict[str, Any]:
    """Read a YAML mapping; a file that is absent, unreadable or holds something else is an error.

    `form` is the remedy where it holds no mapping.
    """
    content = parse_yaml(read_text(path), path)
    if not isinstance(content, dict):
        raise CalcoError(f"{path} holds no mapping of fields to values; {form}")
    return content


def parse_yaml(text: str, where: str | Path) -> Any:
    """Parse the YAML of the file `where` into plain data.

    Raises:
        CalcoError: If it is not valid YAML, a name occurs twice in one mapping (PyYAML keeps the last one silently), or
            its aliases unfold to more than `MOST_VALUES` values: a few hundred bytes may stand for gigabytes.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None and _unfolded(node, {}) > MOST_VALUES:
                raise CalcoError(
                    f"{where} unfolds to more than {MOST_VALUES:,} values, since its aliases (*name) repeat what they "
                    "stand for; write the values out"
                )
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise CalcoError(f"{where} is not valid YAML ({shortened(reason, 200)}); correct it") from error


class _Loader(yaml.SafeLoader):
    """Plain data alone; a name that occurs twice in one mapping is an error."""


def _unique(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    counts = Counter(names)
    for (key, _), name in zip(node.value, names, strict=False):
        if counts[name] > 1:
            raise yaml.constructor.ConstructorError(None, None, f"{shortened(name)} occurs twice", key.start_mark)
    content: dict[Any, Any] = yaml.SafeLoader.construct_mapping(loader, node, deep=True)
    return content


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique)


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """The number of values that a node stands for, aliases unfolded; a node that contains itself has no end."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # while it is counted: whoever meets it now lies within it
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + sum(_unfolded(part, known) for part in parts)
    return known[id(node)]


def check_ranges(owner: object, what: str, bounds: Mapping[str, tuple[float, float, str]]) -> None:
    """Check fields of the configuration `what` that hold (lowest, highest): (least, most, example) by field."""
    for name, (least, most, example) in bounds.items():
        low, high = getattr(owner, name)
        if not least <= low <= high <= most:
            raise UsageError(
                f"{what} {name} is {low} to {high}; give two rising numbers from {least} to {most}, such as {example}"
            )
