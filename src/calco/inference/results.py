"""Results of translations, in a folder or at an address: which are done, and which files Calco did not write."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from calco.addresses import is_url
from calco.data import storage
from calco.errors import CalcoError
from calco.files import sweep_files
from calco.outputs import Outputs, Stamp, is_unchanged, new_file, stamp_of, writing_folder

REMOTE_LOG: Final = ".calco-outputs.json"
_FORMAT: Final = 1
_EVERY: Final = 64  # results between two versions of the log at an address
VERB: Final = "calco translate"
MANIFEST: Final = "translation.json"
VERSION: Final = 2


@dataclass
class Translation:
    """Result of translating images."""

    out: Path | str  # folder or file; a string if it is an address
    written: int = 0  # images written now
    kept: int = 0  # images that an earlier call with the same model had written
    left_out: dict[str, str] = field(default_factory=dict)  # reason by name
    notes: list[str] = field(default_factory=list)  # sentences on what is not used, such as further pages
    computed_on: str = ""  # such as "cpu in bf16"


@dataclass
class VideoResult:
    """Result of translating a video."""

    out: Path
    frames: int = 0  # translated now
    kept: int = 0  # frames from before an interruption
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)  # sentences on damage and on differences from the source
    psnr: float | None = None  # mean over the frames, dB, of a side-by-side video
    page: Path | None = None  # of the report of a side-by-side video


@dataclass
class VideosResult:
    """Result of translating several videos."""

    out: Path
    done: list[VideoResult] = field(default_factory=list)
    kept: int = 0  # videos that an earlier call with the same model had written
    left_out: dict[str, str] = field(default_factory=dict)  # reason by name
    computed_on: str = ""  # such as "cpu in bf16"


class Results:
    """One result that is named by its file: it was checked when it was locked, and is never kept."""

    def check(self, places: Sequence[str]) -> None:
        """Refuse names of files that Calco did not write, before anything is written, and claim the others."""

    def owns(self, _place: str) -> bool:
        """Return whether a file is as a command of Calco has left it."""
        return False

    def is_done(self, _place: str, _settings: str, _inputs: Sequence[str]) -> bool:
        """Return whether a result is there, made with these settings from these inputs as they are now."""
        return False

    def note_done(self, place: str, settings: str, stamps: Sequence[Stamp]) -> None:
        """Note the settings and the versions of the inputs of a result."""

    def remove(self, place: str) -> None:
        """Remove a result of Calco."""

    def sweep(self, places: Sequence[str]) -> None:
        """Remove what killed commands left half written of these files."""
        sweep_files(places)


@contextlib.contextmanager
def results_in(base: str | None, target: str, *, overwrite: bool) -> Iterator[Results]:
    """Hold the folder or address `base`, or, where that is None, the one file `target`, while a call writes there."""
    if base is None:
        with new_file(target, VERB, overwrite=overwrite):
            yield Results()
    elif is_url(base):
        with contextlib.closing(_RemoteResults(base, overwrite=overwrite)) as there:
            yield there
    else:
        with writing_folder(base, VERB, overwrite=overwrite) as outputs:
            yield _FolderResults(outputs)


class _FolderResults(Results):
    """Results in a folder on this disk; whichever process writes a file logs it."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs

    def check(self, places: Sequence[str]) -> None:
        self.outputs.check(places)

    def owns(self, place: str) -> bool:
        return self.outputs.owns(place)

    def is_done(self, place: str, settings: str, inputs: Sequence[str]) -> bool:
        stamps = self.outputs.stamps(self._key(place), settings)
        return stamps is not None and same_inputs(inputs, stamps) and self.outputs.owns(place)

    def note_done(self, place: str, settings: str, stamps: Sequence[Stamp]) -> None:
        self.outputs.note_done(self._key(place), settings, stamps)

    def remove(self, place: str) -> None:
        self.outputs.check([place])
        self.outputs.remove(place)

    def _key(self, place: str) -> str:
        return self.outputs.name_of(place) or place


class _RemoteResults(Results):
    """Results at an address, where no file can grow: the log is written anew after some results, and at the end.

    Names are claimed before anything is written, so that results after the last version of the log still count as
    Calco's; they are made again.
    """

    def __init__(self, base: str, *, overwrite: bool) -> None:
        self.base, self.overwrite = base, overwrite
        self._log = storage.joined(base, REMOTE_LOG)
        self._claimed: set[str] = set()
        self._done: dict[str, dict[str, Any]] = {}
        self._waiting = 0
        # What is there when the call begins.
        self._names = set(storage.names(base, hidden=True)) if storage.exists(base) else set()
        if storage.exists(self._log):
            record = storage.read_json(self._log)
            if record.get("format") != _FORMAT:
                raise CalcoError(f"{self._log} is not a log of this Calco's outputs; choose another --out")
            self._claimed, self._done = set(record["claimed"]), dict(record["done"])

    def check(self, places: Sequence[str]) -> None:
        names = {place: self._name(place) for place in places}
        if others := [place for place, name in names.items() if name in self._names and not self._mine(place)]:
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
        return self._name(place) in self._names and self._mine(place)

    def is_done(self, place: str, settings: str, inputs: Sequence[str]) -> bool:
        row = self._done.get(self._name(place))
        if row is None or row["settings"] != settings or self._name(place) not in self._names:
            return False
        return same_inputs(inputs, row["inputs"]) and bool(row["version"] == storage.version(place))

    def note_done(self, place: str, settings: str, stamps: Sequence[Stamp]) -> None:
        row = {"settings": settings, "inputs": list(stamps), "version": storage.version(place)}
        self._done[self._name(place)] = row
        self._waiting += 1
        if self._waiting >= _EVERY:
            self.write()

    def remove(self, place: str) -> None:
        self.check([place])
        if self._name(place) in self._names:
            storage.remove(place)

    def sweep(self, places: Sequence[str]) -> None:
        pass  # no file is half written at an address

    def close(self) -> None:
        if self._waiting:
            self.write()

    def write(self) -> None:
        self._waiting = 0
        record = {"format": _FORMAT, "claimed": sorted(self._claimed), "done": self._done}
        storage.write(self._log, json.dumps(record, ensure_ascii=False) + "\n")

    def _name(self, place: str) -> str:
        return place.removeprefix(storage.joined(self.base, ""))


def stamps_of(places: Sequence[str]) -> list[Stamp]:
    """Return the stamps of the present versions of inputs, here or at an address; empty for an unreadable one."""
    stamps: list[Stamp] = []
    for place in places:
        try:
            stamps.append({"version": storage.version(place)} if is_url(place) else stamp_of(place))
        except CalcoError:
            stamps.append({})
    return stamps


def same_inputs(places: Sequence[str], stamps: Sequence[Stamp]) -> bool:
    """Return whether inputs are what they were when they got these stamps."""
    return len(places) == len(stamps) and all(map(_is_same, places, stamps))


def _is_same(place: str, stamp: Stamp) -> bool:
    if not stamp:  # it could not be read then
        return not stamps_of([place])[0]
    try:
        return storage.version(place) == stamp.get("version") if is_url(place) else is_unchanged(place, stamp)
    except CalcoError:
        return False


def claim(manifest: str, made_by: dict[str, Any], *, overwrite: bool) -> None:
    """Note in a manifest which model writes into its folder, and refuse to mix two."""
    if storage.exists(manifest) and not overwrite:
        of_results = ("left_out", "digest", "parts")
        before = {name: value for name, value in storage.read_json(manifest).items() if name not in of_results}
        if before != made_by:
            raise CalcoError(
                f"{storage.parent(manifest)} holds what another model or other options made; choose another --out, or "
                "--overwrite"
            )
    write_manifest(manifest, made_by)


def write_manifest(manifest: str, content: dict[str, Any]) -> None:
    """Write a manifest."""
    storage.write(manifest, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
