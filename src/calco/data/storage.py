"""Files that lie on this disk or, through fsspec, anywhere else: sizes, lists, and parts of them."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, TypeVar, cast

from calco.addresses import is_url, redact_address, redact_text
from calco.errors import CalcoError
from calco.files import explained, list_files, parse_json, replacing
from calco.outputs import locked_folder

T = TypeVar("T")

_TRIES: Final = 3
_PAUSE: Final = 0.5  # seconds before the second try, twice as long before the third
_RIGHTS: Final = "check the permissions of your account"
# Environment variables of credentials, which the storages' own libraries read.
_CREDENTIALS: Final = {
    **dict.fromkeys(("s3", "s3a"), "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE)"),
    **dict.fromkeys(("gs", "gcs"), "GOOGLE_APPLICATION_CREDENTIALS"),
    **dict.fromkeys(("abfs", "az"), "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"),
}
_BLOCK: Final = 1 << 20  # what is fetched at once while a file is read from its beginning


def locked(place: str, verb: str) -> contextlib.AbstractContextManager[Any]:
    """Return the lock of a folder on this disk; an address has none: equal commands write equal files."""
    return contextlib.nullcontext() if is_url(place) else locked_folder(place, verb)


def joined(folder: str, name: str) -> str:
    """Return the place of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_url(folder) else str(Path(folder, name))


def parent(place: str) -> str:
    """Return the folder of a file."""
    return place.rpartition("/")[0] if is_url(place) else str(Path(place).parent)


def exists(place: str) -> bool:
    """Return whether there is a file at a place."""
    return bool(_asked(place, lambda files, path: files.exists(path))) if is_url(place) else Path(place).is_file()


def size(place: str) -> int | None:
    """Return the bytes of a file; None where the server does not say."""
    if is_url(place):
        return _asked(place, lambda files, path: cast("int | None", files.size(path)))
    with explained(place, "read"):
        return Path(place).stat().st_size


def version(place: str) -> str:
    """Return a text that identifies the version of a file elsewhere: size, time of change, entity tag."""
    return _asked(place, lambda files, path: str(files.ukey(path)))


def read(place: str, start: int = 0, length: int | None = None) -> bytes:
    """Return a part of a file, or all of it; nothing stays open, so any number of processes and threads may read."""
    if is_url(place):
        end = None if length is None else start + length
        data = _asked(place, lambda files, path: cast(bytes, files.cat_file(path, start=start or None, end=end)))
        if length is not None and len(data) > length:
            raise CalcoError(
                f"{redact_address(place)}: the server sends whole files where a part is asked for; download them first"
            )
    else:
        with explained(place, "read"), Path(place).open("rb", buffering=0) as file:
            file.seek(start)
            data = file.read() if length is None else file.read(length)
    if length is not None and len(data) < length:
        raise CalcoError(
            f"{redact_address(place)} ends at byte {start + len(data)}, before what should stand there; copy it anew"
        )
    return data


@contextlib.contextmanager
def replaced(place: str) -> Iterator[Path]:
    """Yield a path on this disk to be written; what stands there at the end takes the place, whole or not at all."""
    if not is_url(place):
        with replacing(place) as path:
            yield path
        return

    def send(files: Any, there: str) -> None:
        # Object stores have no folders and need none; other servers do.
        files.makedirs(there.rpartition("/")[0], exist_ok=True)
        files.put_file(str(path), there)

    with explained(tempfile.gettempdir(), "write into"), tempfile.TemporaryDirectory(prefix="calco-") as folder:
        path = Path(folder, "whole")
        yield path
        _asked(place, send, "write")


def write(place: str, data: bytes | str) -> None:
    """Write a whole file, or leave what was there."""
    with replaced(place) as path:
        path.write_bytes(data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data)


def read_json(place: str) -> dict[str, Any]:
    """Read a JSON object."""
    return parse_json(read(place), place)


def remove(place: str) -> None:
    """Remove a file, which on this disk need not be there."""
    if is_url(place):
        _asked(place, lambda files, path: files.rm_file(path), "remove")
        return
    with explained(place, "remove"):
        Path(place).unlink(missing_ok=True)


@contextlib.contextmanager
def opened(place: str) -> Iterator[IO[bytes]]:
    """Open a file to be read from its beginning."""

    def ask(files: Any, path: str) -> IO[bytes]:
        return cast("IO[bytes]", files.open(path, "rb", block_size=_BLOCK, cache_type="readahead"))

    with explained(place, "read"), _asked(place, ask) if is_url(place) else Path(place).open("rb") as file:
        yield file


def listed(folder: str, ending: str) -> list[str]:
    """Return the files with an ending in a folder and below it, sorted; hidden ones are passed over."""
    if is_url(folder):
        return [joined(folder, name) for name in names(folder) if name.endswith(ending)]

    return list_files(folder, lambda name: name.endswith(ending)).paths


def names(folder: str, *, hidden: bool = False) -> list[str]:
    """Return the files in a folder elsewhere and below it, by their paths below it, sorted."""

    def ask(files: Any, path: str) -> list[str]:
        root = path.rstrip("/")
        return [found.removeprefix(root).lstrip("/") for found in files.find(path)]

    found = _asked(folder, ask)
    return sorted(name for name in found if hidden or not any(part.startswith(".") for part in name.split("/")))


def _asked(place: str, ask: Callable[[Any, str], T], doing: str = "read") -> T:
    """Ask the file system of an address; a connection that fails is tried again, a refusal is not."""
    import fsspec

    shown = redact_address(place)
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE * 2 ** (attempt - 1))
        try:
            files, path = fsspec.core.url_to_fs(place)
            return ask(files, path)
        except ImportError as error:
            scheme = place.partition("://")[0]
            raise CalcoError(f"{shown}: {scheme} needs another library; pip install 'fsspec[{scheme}]'") from error
        except FileNotFoundError as error:
            raise CalcoError(f"{shown} is not there; check the address") from error
        except Exception as error:
            reason = redact_text(" ".join(str(error).split()), place) or type(error).__name__
            if isinstance(error, ValueError):
                raise CalcoError(f"{shown}: {reason}; check the address") from error
            if isinstance(error, PermissionError) or "credential" in f"{type(error).__name__} {error}".lower():
                variables = _CREDENTIALS.get(place.partition("://")[0].lower())
                rights = f"set {variables}, here and on every node that works" if variables else _RIGHTS
                raise CalcoError(f"cannot {doing} {shown}: {reason}; {rights}") from error
    raise CalcoError(f"cannot {doing} {shown}: {reason}, {_TRIES} times; check the address and the connection")
