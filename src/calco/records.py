"""Configuration objects as plain data, and back, checked."""

from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec
import yaml

from calco.errors import CalcoError
from calco.files import atomic_write, explain

T = TypeVar("T")


def to_record(config: Any) -> dict[str, Any]:
    """A dataclass as nested dictionaries, lists and plain values."""
    plain: dict[str, Any] = msgspec.to_builtins(asdict(config))
    return plain


def from_record(kind: type[T], record: Any, where: str | Path) -> T:
    """A dataclass from plain data; names that it does not know and values of the wrong type are refused.

    Args:
        kind: The dataclass.
        record: What `to_record` gave, or a person wrote.
        where: The file it comes from, for the error.

    Raises:
        CalcoError: Naming the file, the field and the rule.
    """
    try:
        # Not strict: 10 is a fine number of minutes where 10.0 is meant.
        config = msgspec.convert(record, kind, strict=False)
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError) as error:  # half a character, a circle in YAML
        raise CalcoError(f"{where}: {error}; correct the field, or remove it to take its default") from error
    if unknown := _unknown(kind, record):
        raise CalcoError(f"{where} has the unknown field {unknown}; correct its name, or remove it")
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
    """Writes plain data as YAML under a line of comment."""
    atomic_write(path, f"# {comment}\n" + yaml.safe_dump(record, sort_keys=False, allow_unicode=True))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Reads a YAML mapping.

    Raises:
        CalcoError: When the file is absent, unreadable or holds no mapping.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise explain(error, path, "read") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise CalcoError(f"{path} is not valid YAML ({reason}); correct it, or make it anew") from error
    if not isinstance(content, dict):
        raise CalcoError(f"{path} holds no mapping of fields to values; see a run's config.yaml for the form")
    return content
