"""Whole files or none: writing under a temporary name, digests, JSON."""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calco.errors import CalcoError


def explain(error: OSError, path: str | Path, doing: str) -> CalcoError:
    """Turns an error of the operating system into a sentence with the path and a remedy.

    Args:
        error: What the system answered.
        path: The file or folder that was asked for.
        doing: The verb, such as "write" or "read".
    """
    remedies = {
        "PermissionError": "check who owns it, or choose another folder",
        "FileNotFoundError": "check the path",
        "IsADirectoryError": "name a file, not a folder",
        "NotADirectoryError": "a part of the path is a file: choose another path",
        "FileExistsError": "a file stands where a folder is needed: choose another path",
    }
    remedy = remedies.get(type(error).__name__, "free some space or choose another disk" if error.errno == 28 else "")
    reason = error.strerror or str(error)
    return CalcoError(f"cannot {doing} {path}: {reason}" + (f"; {remedy}" if remedy else ""))


def make_folder(path: str | Path) -> Path:
    """Makes a folder and its parents, and returns it.

    Raises:
        CalcoError: When it cannot be made or cannot be written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, folder, "make the folder") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CalcoError(f"cannot write into {folder}: permission denied; check who owns it, or choose another folder")
    return folder


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, with its suffix; renames it at the end, or removes it on failure.

    Raises:
        CalcoError: When the disk or the permissions do not allow it.
    """
    final = Path(path)
    temporary = final.with_name(f".{final.stem[:80]}.{uuid.uuid4().hex[:8]}.tmp{final.suffix}")
    try:
        yield temporary
        # Without fsync a power cut may leave the new name with the old or no contents.
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, final)
    except OSError as error:
        raise explain(error, final, "write") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Writes a whole file, or leaves what was there."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def write_json(path: str | Path, content: Any) -> None:
    """Writes JSON with two spaces of indentation, whole or not at all."""
    atomic_write(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        CalcoError: When the file is absent, unreadable or holds no JSON object.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise explain(error, path, "read") from error
    except ValueError as error:
        raise CalcoError(f"{path} is not valid JSON ({error}); restore it from a copy or make it anew") from error
    if not isinstance(content, dict):
        raise CalcoError(f"{path} holds a {type(content).__name__}, not a JSON object; restore it or make it anew")
    return content


def digest(*paths: str | Path) -> str:
    """The first 16 hex digits of the SHA-256 over the contents of the files, in order."""
    total = hashlib.sha256()
    for path in paths:
        try:
            with Path(path).open("rb") as handle:
                while block := handle.read(1 << 20):
                    total.update(block)
        except OSError as error:
            raise explain(error, path, "read") from error
    return total.hexdigest()[:16]


def read_json_lines(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file; none when it is absent, and a line cut off by a kill is left out."""
    rows: list[dict[str, Any]] = []
    with contextlib.suppress(OSError):
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    return rows
