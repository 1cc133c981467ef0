"""Runs of a folder as the gallery shows them: state, newest score, samples, learning curves, while they train."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from markupsafe import Markup

from calco import journal
from calco.errors import CalcoError
from calco.evaluation.metrics import METRICS
from calco.report.charts import learning_curves
from calco.web.texts import Language

LOG_NAME: Final = "log.jsonl"
_DEEP: Final = 3  # levels of folders below the given one in which runs are searched
_MOST: Final = 200  # runs that are shown, the newest first
_QUIET: Final = 180.0  # seconds without a row after which a run counts as stopped
_AGAIN: Final = 2.0  # seconds for which what was found stays
_LABELS: Final = {name: metric.label for name, metric in METRICS.items()} | {"map50": "mAP50", "map": "mAP", "f1": "F1"}


@dataclass(frozen=True, kw_only=True)
class ShownRun:
    """A run as it is shown.

    Attributes:
        address: What stands for it in addresses; folders below folders are joined by ~.
        name: Its path below the folder of runs.
        path: Its folder.
        state: Training while rows arrive, ended after the last one, stopped if neither.
        step: Step of the newest row.
        minutes: Minutes of training.
        score: Newest validation score, such as "ST-LPIPS 0.185".
        remark: What the end of the run says.
        samples: Names of the sheets of samples, oldest first.
    """

    address: str
    name: str
    path: Path
    state: Literal["training", "ended", "stopped"]
    step: int
    minutes: int
    score: str
    remark: str
    samples: tuple[str, ...]

    @staticmethod
    def step_of(sheet: str) -> int:
        """Return the step of a sheet of samples: step-000000152.png => 152."""
        digits = sheet.removeprefix("step-").removesuffix(".png")
        return int(digits) if digits.isdigit() else 0


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
            return learning_curves(self._rows(run.path / LOG_NAME), _LABELS, language)

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
        rows = self._rows(folder / LOG_NAME)
        last = rows[-1] if rows else {}
        end = next((row["end"] for row in reversed(rows) if isinstance(row.get("end"), dict)), None)
        below = folder.relative_to(self.folder)
        training = end is None and time.time() - modified < _QUIET
        return ShownRun(
            address="~".join(below.parts), name=below.as_posix(), path=folder,
            state="ended" if end is not None else "training" if training else "stopped",
            step=int(last.get("step", 0)), minutes=round(float(last.get("time", 0.0)) / 60),
            score=_score(rows), remark=str((end or {}).get("remark", "")), samples=_samples(folder),
        )  # fmt: skip


def _score(rows: list[dict[str, Any]]) -> str:
    """Return the newest validation score, of the metric that selects the model where that is known."""
    values = next((row["validation"] for row in reversed(rows) if isinstance(row.get("validation"), dict)), None)
    if not values:
        return ""
    end: Mapping[str, Any] = next((row["end"] for row in reversed(rows) if isinstance(row.get("end"), Mapping)), {})
    name = str(end["metric"]) if end.get("metric") in values else list(values)[-1]
    number = values[name]
    return f"{_LABELS.get(name, name)} {number:.3g}" if isinstance(number, int | float) else ""


def _samples(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in (folder / "samples").glob("step-*.png")))
