"""Live frames through a step to sinks: what is shown is never old."""

import contextlib
import logging
import os
import signal
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from calco.imaging import Image
from calco.video.capture import Capture
from calco.video.names import is_video
from calco.video.pipeline import RenderedFrame, run
from calco.video.reading import Frame
from calco.video.sinks import LiveSink, as_shown, sink_for
from calco.video.sources import LiveSource, find_live_source
from calco.video.window import Window

LOG = logging.getLogger(__name__)

_RECENT: Final = 2.0  # seconds over which rate and delay are averaged


@dataclass
class LiveStatus:
    """Counts of a live run so far."""

    came: int = 0  # frames that the source gave
    rendered: int = 0  # frames that the step was given
    # by sink, rendered frames that it did not show: it was still busy, or nobody was there
    missed: dict[str, int] = field(default_factory=dict)
    longest: float = 0.0  # the longest delay from the arrival of a frame to its being shown, seconds
    total: float = 0.0  # sum of all delays, seconds
    shown: int = 0  # number of these delays
    damaged: int = 0  # packets that could not be read
    lost: int = 0  # number of times that the source was lost
    seconds: float = 0.0  # seconds since the first frame
    _delays: deque[tuple[float, float]] = field(default_factory=deque)  # when shown, and the delay
    _rendered_at: deque[float] = field(default_factory=deque)

    @property
    def dropped(self) -> int:
        """Frames that came and were not rendered, since a newer one was there."""
        return self.came - self.rendered

    def line(self) -> str:
        """Return a line for the terminal or a page, such as "75 frames in, 70 drawn, 5 dropped, 23.1 frames/s"."""
        rate = len(self._rendered_at) / min(_RECENT, max(self.seconds, 0.1))
        delays = [delay for _, delay in list(self._delays)]
        delay = f", delay {1000 * sum(delays) / len(delays):.0f} ms" if delays else ""
        return f"{self.came} frames in, {self.rendered} drawn, {self.dropped} dropped, {rate:.1f} frames/s{delay}"

    def summary(self) -> str:
        """Return a sentence for the end."""
        rate = self.rendered / max(self.seconds, 1e-3)
        text = f"{self.came} frames in, {self.rendered} drawn, {self.dropped} dropped; {rate:.1f} frames/s"
        if self.shown:
            text += f", delay {1000 * self.total / self.shown:.0f} ms, at most {1000 * self.longest:.0f} ms"
        text += "".join(f"; {name} missed {count}" for name, count in self.missed.items() if count)
        text += f"; damaged packets: {self.damaged}" if self.damaged else ""
        return text + (f"; lost {self.lost} times" if self.lost > 1 else "; lost once" if self.lost else "")

    def count_rendered(self, began: float) -> None:
        """Count a frame that was rendered just now."""
        now = time.monotonic()
        self.rendered += 1
        self.seconds = now - began
        self._rendered_at.append(now)
        while self._rendered_at and self._rendered_at[0] < now - _RECENT:
            self._rendered_at.popleft()
        while self._delays and self._delays[0][0] < now - _RECENT:
            self._delays.popleft()

    def count_shown(self, arrived: float) -> None:
        """Count a frame that was shown just now."""
        now = time.monotonic()
        self.longest = max(self.longest, now - arrived)
        self.total, self.shown = self.total + now - arrived, self.shown + 1
        self._delays.append((now, now - arrived))

    def read(self, capture: Capture) -> None:
        """Take over the counts of a source."""
        self.came, self.damaged, self.lost = capture.decoder.count, capture.decoder.damaged, capture.lost


def play(
    capture: Capture, step: Callable[[Frame], Image], sinks: Sequence[LiveSink], *, status: LiveStatus | None = None,
    progress: Callable[[LiveStatus], None] = lambda _status: None, stop: threading.Event | None = None,
) -> LiveStatus:  # fmt: skip
    """Pass the newest frame of a live source through a step to sinks, until it ends or somebody stops it.

    A frame waits at most for the next one and is then rendered, so what is shown is as old as one call of the step, and
    stays for another. Frames that come meanwhile are dropped and counted. Each sink shows the newest image likewise.
    The step returns HWC of any type; the sinks are closed at the end, also after an error. `progress` is called after
    each frame, and now and then while none comes.
    """
    counts = LiveStatus() if status is None else status
    began: list[float] = []

    def render(frames: Sequence[Frame]) -> Iterator[RenderedFrame]:
        for frame in frames:
            assert frame.arrived is not None
            began[:] = began or [frame.arrived]
            result = RenderedFrame(frame, as_shown(step(frame)))
            counts.count_rendered(began[0])
            counts.read(capture)
            progress(counts)
            yield result

    def show(sink: LiveSink, result: RenderedFrame) -> None:
        assert result.image is not None
        assert result.frame.arrived is not None
        if sink.write(result.image, float(result.frame.time)):
            counts.count_shown(result.frame.arrived)
        else:
            counts.missed[sink.name] += 1

    with contextlib.ExitStack() as held:
        for sink in reversed(sinks):
            held.callback(sink.close)  # what a sink says at its end counts more than what stopped it
            counts.missed[sink.name] = 0
        try:
            replaced = run(
                capture, render, [partial(show, sink) for sink in sinks], stop=stop, idle=lambda: progress(counts)
            )
            for sink, count in zip(sinks, replaced, strict=True):
                counts.missed[sink.name] += count
        finally:
            counts.read(capture)
    return counts


@contextlib.contextmanager
def stopping() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set; a second Ctrl-C ends at once."""
    asked = threading.Event()

    def ask(number: int, _frame: object) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():  # Python lets the main thread alone handle signals
        yield asked
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def live_source_of(name: str, out: str | None, *, live: bool, window: bool, page: int | None) -> LiveSource | None:
    """Return the live source that a name means, given where its images are to go; None if it means files."""
    is_moving = out is not None and (out == "-" or out.startswith("/dev/video") or is_video(out))
    with contextlib.suppress(OSError):
        mode = 0 if out is None else os.stat(out).st_mode
        is_moving = is_moving or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
    return find_live_source(name, live=live or window or page is not None, watched=is_moving)


def open_sinks(
    capture: Capture, status: LiveStatus, title: str, *, out: str | None, page: int | None, window: bool,
    stopped: Callable[[], bool] = lambda: False,
) -> list[LiveSink]:  # fmt: skip
    """Open the sinks of live frames; `stopped` returns whether a pipe that waits for its reader is to give up."""
    with contextlib.ExitStack() as held:
        sinks: list[LiveSink] = []
        if out is not None:
            sinks.append(sink_for(out, lambda: capture.rate, stopped))
            held.callback(sinks[-1].close)
        if page is not None:
            from calco.video.browser import Page  # with Jinja2: only where a page is shown

            sinks.append(shown := Page(page, title, status.line))
            held.callback(shown.close)
            LOG.info(f"the page is {shown.address}")
        if window:
            sinks.append(Window(title))
        held.pop_all()
    return sinks
