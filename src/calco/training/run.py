"""A run that shows itself: its state, score, newest samples and learning curves."""

import html
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PosixPath
from typing import Any, Final, Literal

from calco import imaging, journal
from calco.errors import CalcoError
from calco.report.charts import in_notebook, learning_curves
from calco.report.display import chosen_language, figure
from calco.report.numbers import Language, filled, measure_name, number
from calco.training.log import duration
from calco.training.run_folder import sheets

LOG_NAME: Final = "log.jsonl"
_QUIET: Final = 180.0  # seconds without a row after which a run counts as stopped
_WORDS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "at": " at step {step:,}", "training": "training", "ended": "ended", "stopped": "stopped",
        "best": "best validation", "newest": "validation", "samples": "samples",
    },
    "es": {
        "at": " en el paso {step:,}", "training": "entrenando", "ended": "terminado", "stopped": "detenido",
        "best": "mejor validación", "newest": "validación", "samples": "muestras",
    },
}  # fmt: skip
_SIDE: Final = 900  # pixels of the longer side of a sheet of samples in a notebook, at most


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What the log of a run says.

    Attributes:
        state: Training while rows arrive, ended after the last one, stopped if neither.
        step: Step of the newest row.
        seconds: Seconds of training.
        score: Newest validation score by its name in the log, such as ("st_lpips", 0.185), in three digits; None if
            there is none.
        best: Best one, with its step; empty until the run has ended.
        remark: What the end of the run says.
        helps: What would help by that: minutes, pairs, or unclear.
    """

    state: Literal["training", "ended", "stopped"]
    step: int
    seconds: float
    score: tuple[str, float] | None
    best: str
    remark: str
    helps: str


def summarise(rows: Sequence[Mapping[str, Any]], modified: float, language: Language = "en") -> RunSummary:
    """Return what the rows of a log say, of a file that was modified at this time (seconds since 1970).

    The best score is in the language; the remark is English.
    """
    last = rows[-1] if rows else {}
    end = next((row["end"] for row in reversed(rows) if isinstance(row.get("end"), Mapping)), None)
    metric = str((end or {}).get("metric", ""))
    values: Mapping[str, Any] = next(
        (row["validation"] for row in reversed(rows) if isinstance(row.get("validation"), Mapping)), {}
    )
    # Without the metric that selects the model, which the end of a run names: a detector's mAP50, or the last of them.
    newest = next((name for name in (metric, "map50") if name in values), next(reversed([*values]), ""))
    best = _written(_score(metric, (end or {}).get("best")), language)
    if best and (step := (end or {}).get("best_step")) is not None:
        best += filled(_WORDS[language]["at"], language, {"step": step})
    helps = (end or {}).get("helps")
    helps = helps if helps in ("minutes", "pairs") else "unclear"
    training = end is None and time.time() - modified < _QUIET
    return RunSummary(
        state="ended" if end is not None else "training" if training else "stopped",
        step=int(last.get("step", 0)), seconds=float(last.get("time", 0.0)), score=_score(newest, values.get(newest)),
        best=best, remark=str((end or {}).get("remark", "")), helps=helps,
    )  # fmt: skip


def step_of(sheet: str) -> int:
    """Return the step of a sheet of samples: step-000000152.png => 152."""
    digits = sheet.removeprefix("step-").removesuffix(".png")
    return int(digits) if digits.isdigit() else 0


def _score(name: str, number: object) -> tuple[str, float] | None:
    return (name, float(f"{number:.3g}")) if isinstance(number, int | float) else None


def _written(score: tuple[str, float] | None, language: Language) -> str:
    return f"{measure_name(score[0], language)} {number(score[1], language, '.3g')}" if score else ""


class Run(PosixPath):
    """The folder of a run: a `pathlib.Path` that a notebook shows.

    It shows the state of the run, its best validation score, the newest sheet of samples and the learning curves, of a
    run that still trains too: `calco.Run("runs/faces")` in another notebook. `calco.train` returns it.

    Args:
        *args: The folder, in one part or several, as for `pathlib.Path`.
    """

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        """Return the run as HTML that needs no file beside it; None for a folder that is not of a run."""
        log = self / LOG_NAME
        if not log.is_file():
            return None
        try:
            rows, modified = journal.read(log), log.stat().st_mtime
        except CalcoError as error:
            return f"<p>{html.escape(str(error))}</p>"
        shown = chosen_language()
        words = _WORDS[shown]
        found = summarise(rows, modified, shown)
        newest = _written(found.score, shown)
        score = f"{words['best']} {found.best}" if found.best else f"{words['newest']} {newest}" if newest else ""
        facts = [words[found.state] + filled(words["at"], shown, {"step": found.step}), duration(found.seconds), score]
        parts = [
            f"<p><b>{html.escape(str(self))}</b>: {html.escape(', '.join(filter(None, facts)))}</p>",
            *(_sheet_html(sheet, shown) for sheet in sheets(self)[-1:]),
            in_notebook(learning_curves(rows, shown)),
        ]
        return "\n".join(parts)


def _sheet_html(path: Path, language: Language) -> str:
    """Return a sheet of samples as an image with its step, or why it cannot be read."""
    try:
        image = imaging.read(path, channels=3)
    except CalcoError as error:
        return f"<p>{html.escape(str(error))}</p>"
    height, width = image.shape[:2]
    if (factor := _SIDE / max(height, width)) < 1:
        image = imaging.resize(image, (round(width * factor), round(height * factor)))
    words = _WORDS[language]
    caption = words["samples"] + filled(words["at"], language, {"step": step_of(path.name)})
    return figure(image, caption, _SIDE)
