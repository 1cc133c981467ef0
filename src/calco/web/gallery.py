"""Runs of a folder as the gallery shows them: state, newest score, samples, learning curves, while they train."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from calco import journal
from calco.errors import CalcoError
from calco.report.charts import learning_curves
from calco.report.numbers import Language, measure_name
from calco.training.run import LOG_NAME, RunSummary, step_of, summarise
from calco.training.run_folder import sheets

_DEEP: Final = 3  # levels of folders below the given one in which runs are searched
_MOST: Final = 200  # runs that are shown, the newest first
_AGAIN: Final = 2.0  # seconds for which what was found stays


@dataclass(frozen=True, kw_only=True)
class ShownRun(RunSummary):
    """A run as it is shown.

    Attributes:
        address: What stands for it in addresses; folders below folders are joined by ~.
        name: Its path below the folder of runs.
        path: Its folder.
        samples: Names of the sheets of samples, oldest first.
    """

    address: str
    name: str
    path: Path
    samples: tuple[str, ...]

    step_of = staticmethod(step_of)

    def score_name(self, language: Language) -> str:
        """Return the name of the newest score as a page shows it; empty if there is none."""
        return measure_name(self.score[0], language) if self.score else ""

    @property
    def minutes(self) -> int:
        """Minutes of training."""
        return round(self.seconds / 60)


class Gallery:
    """The runs of a folder, read again when their logs have grown.

    Args:
        folder: Folder that holds runs, directly or some levels deep.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._read: dict[Path, tuple[tuple[int, int], list[dict[str, Any]]]] = {}
        self._found: tuple[float, dict[str, ShownRun]] = (-_AGAIN, {})

    def runs(self) -> list[ShownRun]:
        """Return the runs, the newest first."""
        with self._lock:
            return list(self._runs().values())

    def find(self, address: str) -> ShownRun | None:
        """Return a run by its address; None if there is none."""
        with self._lock:
            return self._runs().get(address)

    def curves(self, run: ShownRun, language: Language) -> list[Markup]:
        """Return the learning curves of a run, with their words in a language."""
        with self._lock:
            return learning_curves(self._rows(run.path / LOG_NAME), language)

    def _runs(self) -> dict[str, ShownRun]:
        now = time.monotonic()
        if now - self._found[0] >= _AGAIN:
            logs = {path for depth in range(_DEEP) for path in self.folder.glob("*/" * (depth + 1) + LOG_NAME)}
            dated = []
            for path in logs:
                try:
                    dated.append((path.stat().st_mtime, path))
                except OSError:  # removed meanwhile
                    continue
            newest = sorted(dated, reverse=True)[:_MOST]
            self._read = {path: rows for path, rows in self._read.items() if path in logs}
            shown = [self._shown(path.parent, modified) for modified, path in newest]
            self._found = (now, {run.address: run for run in shown})
        return self._found[1]

    def _rows(self, path: Path) -> list[dict[str, Any]]:
        """Return the rows of a log, from memory while the file is the same; what cannot be read has none."""
        try:
            state = path.stat()
            key = (state.st_mtime_ns, state.st_size)
            if path not in self._read or self._read[path][0] != key:
                self._read[path] = (key, journal.read(path))
        except (CalcoError, OSError):
            return []
        return self._read[path][1]

    def _shown(self, folder: Path, modified: float) -> ShownRun:
        below = folder.relative_to(self.folder)
        return ShownRun(
            address="~".join(below.parts), name=below.as_posix(), path=folder,
            samples=tuple(path.name for path in sheets(folder)),
            **vars(summarise(self._rows(folder / LOG_NAME), modified)),
        )  # fmt: skip
