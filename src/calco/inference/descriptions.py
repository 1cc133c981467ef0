"""What every exported file says of itself, whatever it holds: how that is read, and told when it cannot be."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from calco.errors import CalcoError
from calco.files import explain, parse_json
from calco.inference.graph_files import described

D = TypeVar("D")


def ends_as(path: str | Path, endings: Mapping[str, str]) -> bool:
    """Whether a path means a file of one of some endings, and no folder that is named like one."""
    given = Path(path)
    return given.suffix in endings and not given.is_dir()


@contextlib.contextmanager
def explained(file: Path) -> Iterator[None]:
    """What runtimes say of files they cannot read, in a line.

    Raises:
        CalcoError: In place of what they raise.
    """
    try:
        yield
    except CalcoError:
        raise
    except OSError as error:
        raise explain(error, file, "read") from error
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise CalcoError(f"{file} cannot be used: {reason}; export the model again, or copy the file again") from error


def read_record(file: Path, verb: str) -> dict[str, Any]:
    """The description in an exported file, as plain data.

    Args:
        file: What was exported.
        verb: The command that writes such files.

    Raises:
        CalcoError: When the file is not there, damaged, or has no description, or a library is missing.
    """
    with explained(file):
        text = described(file)
    if text is None:
        raise CalcoError(f"{file} was not written by {verb} (it has no description); name a file that was")
    return parse_json(text.encode(), file)


def as_description(record: dict[str, Any], file: Path, kind: type[D], formats: tuple[int, int]) -> D:
    """A description as a dataclass.

    Args:
        record: As `read_record` gives it.
        file: Where it stands.
        kind: The dataclass.
        formats: The newest known formats, of the description and of the model in it.

    Raises:
        CalcoError: When it names no format, is of a newer one, or is damaged.
    """
    if not isinstance(record.get("format"), int) or not isinstance(record.get("model"), dict):
        raise CalcoError(f"{file} names no format, so Calco did not write it; name a model that it did")
    inner = record["model"].get("format", 0)
    if not isinstance(inner, int):
        raise CalcoError(f"{file} is damaged (the format of its model is {inner!r}); export the model again")
    if record["format"] > formats[0] or inner > formats[1]:
        raise CalcoError(
            f"{file} is of a newer format than this Calco reads ({formats[0]}); update Calco: "
            "pip install --upgrade calco"
        )
    try:
        return msgspec.convert(record, kind)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise CalcoError(f"{file} is damaged ({error}); export the model again") from error
