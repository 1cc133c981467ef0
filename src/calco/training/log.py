"""Log of a run: JSON lines, TensorBoard, a progress line, and what its learning curve shows at the end."""

import contextlib
import itertools
import math
import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from calco import journal
from calco.console import console
from calco.files import explain, make_folder
from calco.report.numbers import measure_name


class RunLog:
    """Log of a run, written row by row to `log.jsonl` and `tensorboard/`.

    Args:
        folder: Folder of the run.
        tensorboard: Write TensorBoard events too.
        from_step: Step of the checkpoint; rows of later steps are dropped, as the resumed run writes them again.
        validated: Step of the last validation known to the checkpoint; rows of later validations are dropped, and so
            is the row of the end: the run goes on.
        silent: Write nothing: only one of several processes writes.

    Raises:
        WriteError: If the log cannot be written.
    """

    def __init__(
        self, folder: Path, *, tensorboard: bool, from_step: int = 0, validated: int | None = None, silent: bool = False
    ) -> None:
        self.path, self.silent = folder / "log.jsonl", silent
        self.board: TensorBoardFile | None = None
        if silent:
            return
        before = journal.read(self.path) if from_step else []
        last = from_step if validated is None else validated
        rows = [
            row
            for row in before
            if "end" not in row and row.get("step", 0) <= (last if "validation" in row else from_step)
        ]
        journal.write(self.path, rows)
        self._journal = journal.Journal(self.path)
        if tensorboard:
            # A checkpoint may stand between the two rows of its step: both go, and the one to keep is written again.
            self.board = TensorBoardFile(folder / "tensorboard", purge_from=from_step + (last >= from_step))
            for row in rows:
                if last < from_step == row.get("step"):
                    self.board.row(row["step"], row)

    def write(self, step: int, **row: Any) -> None:
        """Append a row; its numbers, one level deep, become TensorBoard's curves."""
        if self.silent:
            return
        self._journal.add({"step": step, **row})
        if self.board and "end" not in row:
            self.board.row(step, row)

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows so far."""
        return [] if self.silent else list(self._journal.rows())

    def image(self, step: int, name: str, image: Any) -> None:
        """Add an HWC image to TensorBoard."""
        if self.board:
            from tensorboardX.summary import image as image_summary

            self.board.write(step=step, summary=image_summary(name, image, dataformats="HWC"))

    def close(self) -> None:
        """Close TensorBoard's file; everything is written already."""
        if self.board:
            with contextlib.suppress(OSError):
                self.board.file.close()


class TensorBoardFile:
    """File of TensorBoard events, of which TensorBoard drops those of earlier files from step `purge_from` on.

    tensorboardX's `SummaryWriter` writes in a thread, which dies silently when the disk is full, and the run would wait
    for it without end. Here each event is written at once, and an error is raised where it happens.
    """

    def __init__(self, folder: Path, *, purge_from: int) -> None:
        from tensorboardX.proto.event_pb2 import SessionLog
        from tensorboardX.record_writer import RecordWriter

        make_folder(folder)
        # Two files of one second would have one name without the number of the process.
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{purge_from}"
        self.path = folder / name
        try:
            self.file = RecordWriter(str(self.path))
        except OSError as error:
            raise explain(error, self.path, "write") from error
        self.write(file_version="brain.Event:2")
        self.write(step=purge_from, session_log=SessionLog(status=SessionLog.START))

    def row(self, step: int, row: dict[str, Any]) -> None:
        """Add the numbers of a row of the log, one level deep."""
        from tensorboardX.summary import scalar

        for name, value in row.items():
            for inner, number in value.items() if isinstance(value, dict) else [("", value)]:
                if isinstance(number, int | float) and name != "step":
                    self.write(step=step, summary=scalar(f"{name}/{inner}".rstrip("/"), number))

    def write(self, **event: Any) -> None:
        """Write an event, such as a step with a summary."""
        from tensorboardX.proto.event_pb2 import Event

        try:
            self.file.write(Event(wall_time=time.time(), **event).SerializeToString())
            self.file.flush()
        except OSError as error:
            raise explain(error, self.path, "write") from error


class MeanLosses:
    """Mean losses since the last row of the log."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.sums: dict[str, float] = dict((state or {}).get("sums", {}))
        self.count = int((state or {}).get("count", 0))

    def add(self, losses: dict[str, float]) -> None:
        """Add the losses of one step."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1

    def means(self) -> dict[str, float]:
        """Return the means so far."""
        return {name: value / max(1, self.count) for name, value in self.sums.items()}

    def state(self) -> dict[str, Any]:
        """Return the sums, as a checkpoint holds them."""
        return {"sums": self.sums, "count": self.count}


class ProgressLine:
    """Progress line: share, step, time left, images per second, losses."""

    def __init__(self, *, shown: bool) -> None:
        columns = (BarColumn(10), TaskProgressColumn(), TextColumn("{task.fields[text]}", markup=False))
        self.progress = Progress(*columns, console=console, disable=not shown)
        self.task = self.progress.add_task("training", total=1.0, text="")

    def __enter__(self) -> "ProgressLine":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def update(self, share: float, step: int, images_per_s: float, losses: str, seconds_left: float) -> None:
        """Update the line."""
        left = f"  {duration(seconds_left)} left" if math.isfinite(seconds_left) else ""
        text = f"step {step}{left}  {images_per_s:.1f} images/s" + (f"  {losses}" if losses else "")
        self.progress.update(self.task, completed=min(1.0, share), text=text)


def duration(seconds: float) -> str:
    """Format seconds as 45s, 3:20 or 1:02:03."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


LEAST: Final = 3
"""Validations that each of the last two thirds of a run must have."""
CERTAIN: Final = 2.0
"""Standard errors by which the means of two thirds must differ."""
WORTHWHILE: Final = 0.05
"""Share of the whole improvement of the validation score that the last third must bring."""
FALLING: Final = 0.02
"""Share of its own level by which the training loss must fall."""

Points: TypeAlias = Sequence[tuple[int, float]]
"""Steps and values, in order."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What the curve of a run shows: the validation that is best, what would help, and why in one sentence."""

    helps: Literal["minutes", "pairs", "unclear"]
    remark: str
    best: float | None = None
    best_step: int | None = None
    best_time: float | None = None  # seconds of training

    def record(self) -> dict[str, Any]:
        """Return plain data without what is unknown."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def advise(
    rows: Iterable[Mapping[str, Any]], metric: str, *, lower_is_better: bool, loss: str = "", items: str = "pairs"
) -> Advice:
    """Read the log of a run that has ended.

    The last third of the run is compared with the third before, by steps. The validation score still improves if its
    mean is better by more than two standard errors, and by a twentieth of all improvement since the first validation or
    more: then more minutes would help. If it does not, and the mean training loss fell by more than two standard errors
    and 2%, more pairs would help. Standard errors come from the differences between neighbours, which a slow trend
    hardly changes.

    Args:
        rows: Rows of `log.jsonl`; validations that count for nothing (`provisional`) are passed over.
        metric: Validation score that selects the best model.
        lower_is_better: Of this score.
        loss: Training loss that shows how well the training items are fitted; empty for the sum of all.
        items: Plural noun for the training items.

    Returns:
        What would help, with one sentence that holds the figures.
    """
    rows = [row for row in rows if "provisional" not in row]
    label = measure_name(metric)
    scores = [(row["step"], value) for row in rows if (value := _number(row.get("validation"), metric)) is not None]
    losses = [(row["step"], value) for row in rows if (value := _number(row.get("train"), loss)) is not None]
    neither = f"whether more minutes or more {items} would help"
    if not scores:
        return Advice(helps="unclear", remark=f"there is no validation score that shows {neither}")
    sign = -1.0 if lower_is_better else 1.0
    step, best = max(scores, key=lambda point: sign * point[1])
    seconds = next((row.get("time") for row in rows if "validation" in row and row["step"] == step), None)
    known = {"best": best, "best_step": step, "best_time": seconds}
    end = max(row["step"] for row in rows)
    when = f"at step {step:,} of {end:,}" + ("" if seconds is None else f", after {duration(seconds)}")
    reached = f"validation {label} was best ({best:.4g}) {when}"
    if (change := _change(scores, end, LEAST)) is None:
        remark = f"{reached}; {len(scores)} validations are too few to show {neither}"
        return Advice(helps="unclear", remark=remark, **known)
    before, after, error = change
    gain, whole = sign * (after - before), abs(best - scores[0][1])
    between = f"{before:.4g} on average in the second third of the run, {after:.4g} in the last"
    if gain > CERTAIN * error and gain >= WORTHWHILE * whole:
        remark = f"{reached}, and was still improving ({between}): more minutes are likely to help"
        return Advice(helps="minutes", remark=remark, **known)
    stalled = f"{'got worse' if -gain > CERTAIN * error else 'hardly changed'} at the end ({between})"
    fitted = _change(losses, end, 2)
    if fitted is None:
        remark = f"{reached}, and {stalled}: nothing shows {neither}"
        return Advice(helps="unclear", remark=remark, **known)
    loss_before, loss_after, loss_error = fitted
    fall = loss_before - loss_after
    falls = fall > CERTAIN * loss_error and fall > FALLING * abs(loss_before)
    course = f"the training loss {'still fell' if falls else 'did not fall'} ({loss_before:.4g}, {loss_after:.4g})"
    remark = f"{reached}, and {stalled}, while {course}: "
    if falls:
        return Advice(helps="pairs", remark=f"{remark}more {items} are likely to help, more minutes are not", **known)
    return Advice(helps="unclear", remark=f"{remark}nothing shows {neither}", **known)


def _number(values: Any, name: str) -> float | None:
    """Return a value of a row by name, or the sum of all without a name; None if there is none."""
    if not isinstance(values, Mapping) or not values:
        return None
    value = values.get(name) if name else sum(values.values())
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _change(points: Points, end: int, least: int) -> tuple[float, float, float] | None:
    """Return the means of the last two thirds of a run, and the standard error of their difference.

    None if one of the thirds has fewer than `least` points.
    """
    early = [value for step, value in points if end / 3 < step <= 2 * end / 3]
    late = [value for step, value in points if step > 2 * end / 3]
    if min(len(early), len(late)) < least:
        return None
    both = [*early, *late]
    # Von Neumann's estimate of the variance, by neighbours.
    variance = sum((b - a) ** 2 for a, b in itertools.pairwise(both)) / (2 * (len(both) - 1))
    error = math.sqrt(variance * (1 / len(early) + 1 / len(late)))
    return sum(early) / len(early), sum(late) / len(late), error
