"""What a run says while it trains: JSON lines, TensorBoard and one line of progress."""

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from calco.console import console
from calco.files import atomic_write, explain, read_json_lines


class Journal:
    """Writes the log of a run, a row at a time.

    Args:
        folder: The run's folder; rows go to `log.jsonl` and, if asked, to `tensorboard/`.
        tensorboard: Whether TensorBoard's events are written too.
        from_step: Rows of later steps are dropped first: a run that goes on from a checkpoint writes them again.
        silent: Writes nothing at all: of several processes, one writes.
    """

    def __init__(self, folder: Path, *, tensorboard: bool, from_step: int = 0, silent: bool = False) -> None:
        self.path, self.silent = folder / "log.jsonl", silent
        self.board: Any = None
        if silent:
            return
        rows = [row for row in read_json_lines(self.path) if row.get("step", 0) <= from_step] if from_step else []
        atomic_write(self.path, "".join(json.dumps(row) + "\n" for row in rows))
        if tensorboard:
            from tensorboardX import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=from_step + 1)

    def write(self, step: int, **row: Any) -> None:
        """Adds a row; its numbers, one level deep, become TensorBoard's curves."""
        if self.silent:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **row}) + "\n")
        except OSError as error:
            raise explain(error, self.path, "write") from error
        for name, value in row.items() if self.board else ():
            for inner, number in value.items() if isinstance(value, dict) else [("", value)]:
                if isinstance(number, int | float):
                    self.board.add_scalar(f"{name}/{inner}".rstrip("/"), number, step)

    def picture(self, step: int, name: str, image: Any) -> None:
        """Shows an HWC picture in TensorBoard."""
        if self.board:
            self.board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Writes what is still held."""
        if self.board:
            self.board.close()


class Window:
    """Means of the losses since the last row of the log."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.sums: dict[str, float] = dict((state or {}).get("sums", {}))
        self.count = int((state or {}).get("count", 0))

    def add(self, losses: dict[str, float]) -> None:
        """Counts one step in."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1

    def means(self) -> dict[str, float]:
        """The means so far."""
        return {name: value / max(1, self.count) for name, value in self.sums.items()}

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"sums": self.sums, "count": self.count}


class ProgressLine:
    """One line: how far, step, pictures per second, losses, time left."""

    def __init__(self, *, shown: bool) -> None:
        columns = (BarColumn(10), TaskProgressColumn(), TextColumn("{task.fields[text]}", markup=False))
        self.progress = Progress(*columns, console=console, disable=not shown)
        self.task = self.progress.add_task("training", total=1.0, text="")

    def __enter__(self) -> "ProgressLine":
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.progress.stop()

    def update(self, share: float, step: int, images_per_s: float, losses: str, seconds_left: float) -> None:
        """Redraws the line; `losses` as words."""
        left = f"  {duration(seconds_left)} left" if math.isfinite(seconds_left) else ""
        text = f"step {step}{left}  {images_per_s:.1f} images/s" + (f"  {losses}" if losses else "")
        self.progress.update(self.task, completed=min(1.0, share), text=text)


def duration(seconds: float) -> str:
    """Seconds as 45s, 3:20 or 1:02:03."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
