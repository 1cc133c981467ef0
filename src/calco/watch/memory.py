"""What a watch remembers on disk, so that it goes on where it stopped: whole states, each by the frame it stands at."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from calco.errors import CalcoError
from calco.files import atomic_write, make_folder, read_json, sweep

FORMAT: Final = 1
_DIGITS: Final = 12


@dataclass
class Memory:
    """The states in a folder.

    Attributes:
        folder: Where they lie.
        made_by: What else the states would come from: the source, the model, the options; plain data.
    """

    folder: Path
    made_by: dict[str, Any]

    def keep(self, frame: int, state: dict[str, Any], *, safe: int) -> None:
        """Writes a state, and removes those that nobody will need.

        Args:
            frame: How many frames it has seen.
            state: Plain data.
            safe: Frames that everything else (the video) has for sure: states at or before it are needed, the newest
                of them and all later ones.

        Raises:
            CalcoError: When the disk is full.
        """
        make_folder(self.folder)
        record = {"format": FORMAT, "made_by": self.made_by, "frame": frame, "state": state}
        atomic_write(self.folder / f"{frame:0{_DIGITS}d}.json", json.dumps(record))
        there = self._frames()
        needed = max((each for each in there if each <= safe), default=0)
        for each in there:
            if each < needed:
                self._path(each).unlink(missing_ok=True)

    def newest(self, most: int | None = None) -> tuple[int, dict[str, Any]] | None:
        """The newest state, or the newest that has seen at most so many frames; None where there is none.

        Raises:
            CalcoError: When it was made by something else, or is of a newer format.
        """
        frames = [frame for frame in self._frames() if most is None or frame <= most]
        if not frames:
            return None
        path = self._path(max(frames))
        record = read_json(path)
        if record.get("format") != FORMAT:
            raise CalcoError(f"{path} is of format {record.get('format')}, and this Calco reads {FORMAT}; update Calco")
        self.check(record["made_by"])
        state: dict[str, Any] = record["state"]
        return max(frames), state

    def check(self, before: dict[str, Any]) -> None:
        """Whether a watch was begun with what goes on now.

        Raises:
            CalcoError: Naming what differs.
        """
        now = json.loads(json.dumps(self.made_by))
        if differs := [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]:
            raise CalcoError(
                f"the watch in {self.folder.parent} was begun with another {differs[0].replace('_', '-')}; go on with "
                "the same, or begin anew with --overwrite"
            )

    def clear(self) -> None:
        """Removes all states."""
        for frame in self._frames():
            self._path(frame).unlink(missing_ok=True)
        sweep(self.folder)

    def _path(self, frame: int) -> Path:
        return self.folder / f"{frame:0{_DIGITS}d}.json"

    def _frames(self) -> list[int]:
        names = (path.stem for path in self.folder.glob("*.json"))
        return sorted(int(name) for name in names if name.isdecimal() and len(name) == _DIGITS)


def digest_of(path: str) -> str:
    """The first 16 hex digits of the SHA-256 of a text file's bytes; empty for no file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] if path else ""
