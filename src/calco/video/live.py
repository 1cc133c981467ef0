"""Live translation: always the newest image, so that what is shown is never old."""

import contextlib
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from calco.errors import CalcoError
from calco.imaging import Image
from calco.video.capture import Capture
from calco.video.decoding import Newest
from calco.video.recording import Gone, Sink, as_shown

_RECENT: Final = 2.0  # seconds over which rate and delay are told


@dataclass
class Done:
    """What came of it so far.

    Attributes:
        came: Frames that the source gave.
        drawn: Frames that were translated.
        missed: By sink, drawn frames that it did not show: it was still busy, or nobody was there.
        delays: Seconds from the coming of a frame to its being shown, of the last `_RECENT` seconds, with the times.
        longest: The longest of all delays, in seconds.
        damaged: Packets that could not be read.
        lost: How often the source was lost.
        seconds: Since the first frame.
    """

    came: int = 0
    drawn: int = 0
    missed: dict[str, int] = field(default_factory=dict)
    delays: deque[tuple[float, float]] = field(default_factory=deque)
    longest: float = 0.0
    total: float = 0.0
    shown: int = 0
    damaged: int = 0
    lost: int = 0
    seconds: float = 0.0
    recent: deque[float] = field(default_factory=deque)

    @property
    def dropped(self) -> int:
        """Frames that came and were not translated, since a newer one was there."""
        return self.came - self.drawn

    def line(self) -> str:
        """How it goes, in a line."""
        rate = len(self.recent) / min(_RECENT, max(self.seconds, 0.1))
        delays = [delay for _, delay in list(self.delays)]
        delay = f", delay {1000 * sum(delays) / len(delays):.0f} ms" if delays else ""
        return f"{self.came} frames in, {self.drawn} drawn, {self.dropped} dropped, {rate:.1f} frames/s{delay}"

    def words(self) -> str:
        """How it went, in a sentence."""
        rate = self.drawn / max(self.seconds, 1e-3)
        text = f"{self.came} frames in, {self.drawn} drawn, {self.dropped} dropped; {rate:.1f} frames/s"
        if self.shown:
            text += f", delay {1000 * self.total / self.shown:.0f} ms, at most {1000 * self.longest:.0f} ms"
        text += "".join(f"; {name} missed {count}" for name, count in self.missed.items() if count)
        text += f"; damaged packets: {self.damaged}" if self.damaged else ""
        return text + (f"; lost {self.lost} times" if self.lost > 1 else "; lost once" if self.lost else "")


@dataclass(frozen=True, slots=True)
class _Drawn:
    image: Image
    seconds: float
    born: float


class _Outlet(threading.Thread):
    """A sink in a thread of its own, which is given the newest drawing when it has shown the last."""

    def __init__(self, sink: Sink, done: Done) -> None:
        super().__init__(name=f"calco-{sink.name}", daemon=True)
        self.sink, self.done = sink, done
        self.newest: Newest[_Drawn] = Newest()
        self.gone, self.failed = False, None  # type: tuple[bool, CalcoError | None]
        self.over = threading.Event()
        self.unseen = 0
        self.start()

    def run(self) -> None:
        try:
            while not self.gone:
                over = self.over.is_set()  # before the look: what was put there until then is still shown
                drawn = self.newest.take(0 if over else 0.1)
                if drawn is not None:
                    self._show(drawn)
                elif over:
                    break
        except Gone:
            self.gone = True
        except CalcoError as error:
            self.failed = error

    def _show(self, drawn: _Drawn) -> None:
        if not self.sink.write(drawn.image, drawn.seconds):
            self.unseen += 1
            return
        now = time.monotonic()
        delay = now - drawn.born
        self.done.longest = max(self.done.longest, delay)
        self.done.total, self.done.shown = self.done.total + delay, self.done.shown + 1
        self.done.delays.append((now, delay))


def live(
    draw: Callable[[Image], Image],
    capture: Capture,
    sinks: Sequence[Sink],
    *,
    seconds: float = 0.0,
    reset: Callable[[], None] = lambda: None,
    progress: Callable[[Done], None] = lambda _done: None,
    done: Done | None = None,
    stop: threading.Event | None = None,
) -> Done:
    """Translates the newest image of a source, again and again, until that ends or somebody stops it.

    An image waits at most for the next frame and is then drawn, so what is shown is as old as one call of the
    translator, and stays for another. Frames that come meanwhile are dropped and counted. Each sink shows the newest
    drawing likewise.

    Args:
        draw: HWC `uint8` => HWC of any type.
        capture: The source, not yet started.
        sinks: Where the drawings go; they are closed at the end.
        seconds: After which it stops, from the first frame on; 0 for never.
        reset: Called before the first frame after the source was opened (again).
        progress: Called after each frame.
        done: Where it is counted.
        stop: Set by others to stop.

    Raises:
        CalcoError: When the source cannot be opened or has not come back, or a sink cannot be written; the sinks have
            been closed by then, with what was done.
    """
    done, stop = Done() if done is None else done, threading.Event() if stop is None else stop
    outlets = [_Outlet(sink, done) for sink in sinks]
    capture.start()
    problems: list[CalcoError] = []
    try:
        _pump(draw, capture, outlets, seconds, reset, progress, done, stop)
    finally:
        stop.set()
        capture.stop()
        _count(done, capture, outlets)
        for outlet in outlets:
            outlet.over.set()
        for outlet in outlets:
            outlet.join(5)
            try:
                outlet.sink.close()
            except CalcoError as error:
                problems.append(error)
    # What a sink says at its end tells more than what stopped it.
    for problem in (*problems, *(outlet.failed for outlet in outlets), capture.failed):
        if problem is not None:
            raise problem
    return done


def _pump(
    draw: Callable[[Image], Image],
    capture: Capture,
    outlets: Sequence[_Outlet],
    seconds: float,
    reset: Callable[[], None],
    progress: Callable[[Done], None],
    done: Done,
    stop: threading.Event,
) -> None:
    from av.video.reformatter import VideoReformatter

    began: float | None = None
    reformatter = VideoReformatter()
    while not stop.is_set() and not any(outlet.gone or outlet.failed for outlet in outlets):
        ended = capture.ended
        shot = capture.decoder.newest.take(0.1)
        now = time.monotonic()
        if shot is None:
            if ended:
                return
            progress(done)
            continue
        if began is None:
            began = shot.born
        if seconds and now - began >= seconds:
            return
        if shot.fresh:
            reset()
        drawn = _Drawn(as_shown(draw(shot.image(reformatter))), max(0.0, shot.born - began), shot.born)
        done.drawn += 1
        for outlet in outlets:
            outlet.newest.put(drawn)
        now = time.monotonic()
        done.seconds = now - began
        done.recent.append(now)
        _count(done, capture, outlets)
        progress(done)


def _count(done: Done, capture: Capture, outlets: Sequence[_Outlet]) -> None:
    since = time.monotonic() - _RECENT
    while done.recent and done.recent[0] < since:
        done.recent.popleft()
    while done.delays and done.delays[0][0] < since:
        done.delays.popleft()
    done.came, done.damaged, done.lost = capture.decoder.came, capture.decoder.damaged, capture.lost
    done.missed = {outlet.sink.name: outlet.newest.replaced + outlet.unseen for outlet in outlets}


@contextlib.contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second Ctrl-C ends at once."""
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
