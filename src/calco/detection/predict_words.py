"""What `calco detect predict` says while it works and at its end."""

import contextlib
from types import TracebackType
from typing import Final

from calco.annotations.detections import Detections
from calco.console import Advance, Table, bar, say, warn
from calco.detection.predict import Prediction
from calco.detection.predict_video import VideoPrediction

_SAID: Final = 5


class Bars:
    """One progress bar after the other: of the images, and of each video."""

    def __init__(self) -> None:
        self._what: str | None = None
        self._held = contextlib.ExitStack()
        self._advance: Advance | None = None

    def __enter__(self) -> "Bars":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def progress(self, what: str, done: float, of: int | None) -> None:
        """Moves the bar of what is looked at."""
        if self._what != what or self._advance is None:
            self._held.close()
            unit = "images/s" if what == "images" else "frames/s"
            self._advance = self._held.enter_context(bar(what, unit=unit))
            self._what = what
        self._advance(done, of)


def found_table(found: Detections) -> Table:
    """What is in one image."""
    table = Table(box=None)
    for name, justify in (("class", "left"), ("score", "right"), ("left, top, right, bottom", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for i, name in enumerate(found.classes):
        score = "" if found.scores is None else f"{found.scores[i]:.2f}"
        table.add_row(name, score, ", ".join(f"{value:.0f}" for value in found.boxes[i]))
    return table


def tell(done: Prediction) -> None:
    """What came of a call."""
    if done.summary:
        say(done.summary)
    for path in done.files:
        say(f"{path} is written")
    for video in done.videos:
        _tell_video(video)
    if done.images.seen:
        say(f"images: {done.images.words()}")
    if done.frames.seen:
        say(f"frames: {done.frames.words('frames')}")
    if done.written or done.kept:
        kept = f", {done.kept} kept from before" if done.kept else ""
        say(f"{done.written} image{'' if done.written == 1 else 's'} looked at, written to {done.out}{kept}")
    for note in done.notes:
        warn(note)
    for name, reason in list(done.left_out.items())[:_SAID]:
        warn(f"left out {name}: {reason}")
    if len(done.left_out) > _SAID:
        warn(f"{len(done.left_out)} left out in all; prediction.json lists them")


def _tell_video(video: VideoPrediction) -> None:
    kept = f", {video.kept} more kept from before" if video.kept else ""
    rate = f"; {video.frames / video.seconds:.1f} frames/s" if video.seconds else ""
    say(f"{video.frames} frames looked at{kept}{rate}; written: {', '.join(map(str, video.written))}")
    for note in video.notes[:_SAID]:
        warn(note)
