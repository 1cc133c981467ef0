"""Results of translations, in a folder or at an address: which are done, and which names belong to somebody else."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from calco.addresses import is_url
from calco.data import storage
from calco.errors import CalcoError
from calco.files import sweep_files
from calco.outputs import Outputs, Stamp, is_unchanged, new_file, stamp_of, writing_folder

REMOTE_LOG: Final = ".calco-outputs.json"
_FORMAT: Final = 1
_EVERY: Final = 64  # results between two versions of the log at an address
VERB: Final = "calco translate"


class Results(Protocol):
    """What a call of `translate` asks about the results that are there."""

    def check(self, places: Sequence[str], /) -> None:
        """Makes sure that nothing of somebody else is under names that will be written; they are then claimed.

        Raises:
            CalcoError: Naming the first such file.
        """

    def owns(self, place: str, /) -> bool:
        """Whether a file is as a command of Calco has left it."""

    def is_done(self, place: str, settings: str, inputs: Sequence[str], /) -> bool:
        """Whether a result is there, made by these settings from these inputs as they are now."""

    def note_done(self, place: str, settings: str, stamps: Sequence[Stamp], /) -> None:
        """Notes by which settings and from which inputs a result was made."""

    def remove(self, place: str, /) -> None:
        """Removes a result.

        Raises:
            CalcoError: If it belongs to somebody else.
        """

    def sweep(self, places: Sequence[str], /) -> None:
        """Removes what killed commands left half written of these files."""


@contextlib.contextmanager
def results_in(base: str | None, target: str, *, overwrite: bool) -> Iterator[Results]:
    """Holds what a call writes into.

    Args:
        base: The folder or address; None where one file is named.
        target: That file.
        overwrite: Whether results are replaced that somebody has changed since.

    Raises:
        CalcoError: If another command is at work there, or the one file is there and `overwrite` is not given.
    """
    if base is None:
        with new_file(target, VERB, overwrite=overwrite):
            yield OneFile()
    elif is_url(base):
        there = RemoteResults(base, overwrite=overwrite)
        try:
            yield there
        finally:
            there.close()
    else:
        with writing_folder(base, VERB, overwrite=overwrite) as outputs:
            yield FolderResults(outputs)


class OneFile:
    """The result that is named by its file: it was checked when it was locked, and is never kept."""

    def check(self, _places: Sequence[str], /) -> None:
        """As `Results.check`."""

    def owns(self, _place: str, /) -> bool:
        """As `Results.owns`."""
        return False

    def is_done(self, _place: str, _settings: str, _inputs: Sequence[str], /) -> bool:
        """As `Results.is_done`."""
        return False

    def note_done(self, _place: str, _settings: str, _stamps: Sequence[Stamp], /) -> None:
        """As `Results.note_done`."""

    def remove(self, _place: str, /) -> None:
        """As `Results.remove`."""

    def sweep(self, places: Sequence[str], /) -> None:
        """As `Results.sweep`."""
        sweep_files(places)


class FolderResults:
    """Results in a folder on this disk; its log is written file by file, by whatever process writes the file."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs

    def check(self, places: Sequence[str]) -> None:
        """As `Results.check`."""
        self.outputs.check(places)

    def owns(self, place: str) -> bool:
        """As `Results.owns`."""
        return self.outputs.owns(place)

    def is_done(self, place: str, settings: str, inputs: Sequence[str]) -> bool:
        """As `Results.is_done`."""
        stamps = self.outputs.stamps(self._key(place), settings)
        return stamps is not None and same_inputs(inputs, stamps) and self.outputs.owns(place)

    def note_done(self, place: str, settings: str, stamps: Sequence[Stamp]) -> None:
        """As `Results.note_done`."""
        self.outputs.note_done(self._key(place), settings, stamps)

    def _key(self, place: str) -> str:
        return self.outputs.name_of(place) or place

    def remove(self, place: str) -> None:
        """As `Results.remove`."""
        self.outputs.check([place])
        self.outputs.remove(place)

    def sweep(self, places: Sequence[str]) -> None:
        """As `Results.sweep`."""
        sweep_files(places)


class RemoteResults:
    """Results at an address, where no file can grow: the log is written anew after some results, and at the end.

    Names are claimed before anything is written, so that results after the last version of the log are not taken for
    somebody else's; they are made again.
    """

    def __init__(self, base: str, *, overwrite: bool) -> None:
        self.base, self.overwrite = base, overwrite
        self._log = storage.joined(base, REMOTE_LOG)
        self._claimed: set[str] = set()
        self._done: dict[str, dict[str, Any]] = {}
        self._there: set[str] | None = None
        self._waiting = 0
        if storage.exists(self._log):
            record = storage.read_json(self._log)
            if record.get("format") != _FORMAT:
                raise CalcoError(f"{self._log} is not a log of this Calco's outputs; choose another --out")
            self._claimed, self._done = set(record["claimed"]), dict(record["done"])

    def check(self, places: Sequence[str]) -> None:
        """As `Results.check`."""
        names = {place: self._name(place) for place in places}
        if others := [place for place, name in names.items() if name in self._names() and not self._mine(place)]:
            more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
            raise CalcoError(f"{others[0]}{more} is there already and was not written by Calco, or has been changed "
                             "since; move it away, or choose another --out")  # fmt: skip
        self._claimed |= set(names.values())
        self.write()

    def _mine(self, place: str) -> bool:
        row = self._done.get(self._name(place))
        if row is None or self.overwrite:
            return self._name(place) in self._claimed
        return bool(row["version"] == storage.version(place))

    def owns(self, place: str) -> bool:
        """As `Results.owns`."""
        return self._name(place) in self._names() and self._mine(place)

    def is_done(self, place: str, settings: str, inputs: Sequence[str]) -> bool:
        """As `Results.is_done`."""
        row = self._done.get(self._name(place))
        if row is None or row["settings"] != settings or self._name(place) not in self._names():
            return False
        return same_inputs(inputs, row["inputs"]) and row["version"] == storage.version(place)

    def note_done(self, place: str, settings: str, stamps: Sequence[Stamp]) -> None:
        """As `Results.note_done`."""
        row = {"settings": settings, "inputs": list(stamps), "version": storage.version(place)}
        self._done[self._name(place)] = row
        self._waiting += 1
        if self._waiting >= _EVERY:
            self.write()

    def remove(self, place: str) -> None:
        """As `Results.remove`."""
        self.check([place])
        if self._name(place) in self._names():
            storage.remove(place)

    def sweep(self, places: Sequence[str]) -> None:
        """Nothing is half written at an address."""

    def close(self) -> None:
        """Writes the log, unless nothing has been noted since its last version."""
        if self._waiting:
            self.write()

    def write(self) -> None:
        """Writes the log.

        Raises:
            CalcoError: If it cannot be written.
        """
        self._waiting = 0
        record = {"format": _FORMAT, "claimed": sorted(self._claimed), "done": self._done}
        storage.write(self._log, json.dumps(record, ensure_ascii=False) + "\n")

    def _name(self, place: str) -> str:
        return place.removeprefix(storage.joined(self.base, ""))

    def _names(self) -> set[str]:
        """What is there when the call begins."""
        if self._there is None:
            self._there = set(storage.names(self.base, hidden=True)) if storage.exists(self.base) else set()
        return self._there


def stamps_of(places: Sequence[str]) -> list[Stamp]:
    """What tells the present versions of inputs, here or elsewhere, from others; nothing of an unreadable one."""
    stamps: list[Stamp] = []
    for place in places:
        try:
            stamps.append({"version": storage.version(place)} if is_url(place) else stamp_of(place))
        except CalcoError:
            stamps.append({})
    return stamps


def same_inputs(places: Sequence[str], stamps: Sequence[Stamp]) -> bool:
    """Whether inputs are what they were."""
    return len(places) == len(stamps) and all(map(_is_same, places, stamps))


def _is_same(place: str, stamp: Stamp) -> bool:
    if not stamp:  # it could not be read then
        return not stamps_of([place])[0]
    try:
        return storage.version(place) == stamp.get("version") if is_url(place) else is_unchanged(place, stamp)
    except CalcoError:
        return False
