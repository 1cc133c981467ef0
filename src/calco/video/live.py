"""Live frames through a step to sinks: what is shown is never old."""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from calco.imaging import Image
from calco.video.capture import Capture
from calco.video.pipeline import RenderedFrame, run
from calco.video.reading import Frame
from calco.video.sinks import LiveSink, as_shown, sink_for
from calco.video.sources import LiveStatus
from calco.video.viewers import Page, Window

LOG = logging.getLogger(__name__)


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

    def take_over() -> None:
        counts.came, counts.damaged, counts.lost = capture.decoder.count, capture.decoder.damaged, capture.lost

    def render(frames: Sequence[Frame]) -> Iterator[RenderedFrame]:
        for frame in frames:
            assert frame.arrived is not None
            began[:] = began or [frame.arrived]
            result = RenderedFrame(frame, as_shown(step(frame)))
            counts.count_rendered(began[0])
            take_over()
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
            take_over()
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


def open_sinks(
    capture: Capture, status: LiveStatus, title: str, *, page: int | None, out: str | None = None, window: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> list[LiveSink]:  # fmt: skip
    """Open the sinks of live frames; `stopped` returns whether a pipe that waits for its reader is to give up."""
    with contextlib.ExitStack() as held:
        sinks: list[LiveSink] = []
        if out is not None:
            sinks.append(sink_for(out, lambda: capture.rate, stopped))
            held.callback(sinks[-1].close)
        if page is not None:
            sinks.append(shown := Page(page, title, status.line))
            held.callback(shown.close)
            LOG.info(f"the page is {shown.address}")
        if window:
            sinks.append(Window(title))
        held.pop_all()
    return sinks
