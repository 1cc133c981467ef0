"""Downloads the images of a list, several at once; each is read to its last pixel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from calco import imaging
from calco.collecting.config import FetchConfig
from calco.collecting.fetch import Failed, Fetcher, run_in_loop
from calco.errors import CalcoError, MissingExtraError
from calco.files import explain, make_folder, put_in_place, short_name
from calco.journal import Journal

JOURNAL: Final = "collected.jsonl"


@dataclass
class Fetched:
    """Result of a download: the file of each name, how many were there before, and why others failed."""

    files: dict[str, Path] = field(default_factory=dict)
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def download(
    wanted: Mapping[str, str],
    folder: Path,
    config: FetchConfig,
    *,
    jobs: int = 8,
    private: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Fetched:
    """Download images (name without suffix => address) into a folder; each gets the suffix of its real format.

    Files that an earlier call downloaded from the same address are kept: a journal holds the address, file and size of
    each. `private` allows addresses of this machine's network; `progress` takes the number of images done, and of all.
    """
    try:
        import anyio
        import httpx  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("downloads need httpx; install it: pip install 'calco[collect]'") from error
    folder = make_folder(folder)
    journal, done, broken = Journal(folder / JOURNAL), Fetched(), list[CalcoError]()
    rows = {row.get("name"): row for row in journal.rows()}
    for name, address in wanted.items():
        _remove_part(folder, name)
        row = rows.get(name, {})
        file = folder / Path(str(row.get("file"))).name
        if row.get("address") == _public(address) and file.is_file() and file.stat().st_size == row.get("bytes"):
            done.files[name] = file
    done.kept = len(done.files)
    missing = iter([item for item in wanted.items() if item[0] not in done.files])

    async def fetch_all() -> None:
        fetcher = Fetcher(config, wanted.values(), private=private, jobs=jobs, accept="image/*,*/*;q=0.5")
        async with fetcher, anyio.create_task_group() as group:

            async def work() -> None:
                for name, address in missing:
                    part = _part(folder, name)
                    try:
                        suffix = await fetcher.fetch(address, part, _checked)
                        done.files[name] = _keep(folder, name, address, suffix, journal)
                    except Failed as failure:
                        done.failed[name] = f"{failure} ({_public(address)})"
                    except CalcoError as error:  # of the disk, so further images would fail as well
                        broken.append(error)
                        group.cancel_scope.cancel()
                    finally:
                        _remove_part(folder, name)
                    if progress:
                        progress(len(done.files) + len(done.failed), len(wanted))

            for _ in range(jobs):
                group.start_soon(work)

    run_in_loop(fetch_all)
    if broken:
        raise broken[0]
    return done


def _part(folder: Path, name: str) -> Path:
    return folder / short_name(f".{name}", ".part")


def _remove_part(folder: Path, name: str) -> None:
    for path in (_part(folder, name), _part(folder, name).with_suffix(".mark")):
        path.unlink(missing_ok=True)


def _keep(folder: Path, name: str, address: str, suffix: str, journal: Journal) -> Path:
    """Give a downloaded image its name, and note it in the journal."""
    part, file = _part(folder, name), folder / f"{name}{suffix}"
    try:
        row = {"name": name, "address": _public(address), "file": file.name, "bytes": part.stat().st_size}
        put_in_place(part, file)
    except OSError as error:
        raise explain(error, folder, "write into") from error
    journal.add(row)
    return file


def _checked(path: Path) -> str:
    """Read all pixels of an image; return the suffix of its real format."""
    try:
        imaging.read(path)
        return imaging.true_ending(path)
    except CalcoError as error:
        raise Failed(str(error).removeprefix(f"cannot read {path}: ").removesuffix("; replace or remove it")) from error


def _public(address: str) -> str:
    """Return an address without the user and password that may be in it."""
    scheme, separator, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
