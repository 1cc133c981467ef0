"""The pump: one thread reads ahead, the caller draws, another one writes; what waits is bounded."""

import contextlib
import os
import queue
import signal
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from rich.live import Live

from calco.console import cell, console, say
from calco.errors import CalcoError
from calco.imaging import Image
from calco.video.browser import Page
from calco.video.capture import Capture, Newest
from calco.video.names import is_video
from calco.video.sinks import Gone, Sink, as_shown, sink_for
from calco.video.sources import Origin, origin_of
from calco.video.window import Window

WAITING_BYTES: Final = 256 << 20  # of the frames between two threads
_MOST: Final = 8
_PATIENCE: Final = 0.1  # seconds after which a thread looks whether it is still wanted

T = TypeVar("T")
U = TypeVar("U")


class Steadier(Protocol):
    """What steadies a video: it is shown each frame with its drawing, in order, and finds cuts by itself."""

    def __call__(self, shown: Image, drawn: Image) -> Image:
        """The steadied drawing, HWC `uint8`.

        Args:
            shown: What the model saw, HWC `uint8`, of the drawing's size.
            drawn: What it drew, HWC `uint8`.
        """

    def reset(self) -> None:
        """Forgets the frames before, as at a cut."""


def ahead(frame_bytes: int) -> int:
    """How many frames of a size may wait between two threads."""
    return max(1, min(_MOST, WAITING_BYTES // max(1, frame_bytes)))


class _Stopped(Exception):
    """Another thread has failed, or the work is over."""


def pump(source: Iterable[T], draw: Callable[[T], U], keep: Callable[[U], None], *, length: int = _MOST) -> None:
    """Draws everything that comes and keeps it, in order; reading, drawing and keeping overlap.

    Whatever one of the three raises ends the others and is raised here; what was drawn before is kept, unless keeping
    is what failed.

    Args:
        source: Is iterated, and closed where it can be, in a thread of its own.
        draw: Is called in this thread.
        keep: Is called in a third thread.
        length: How many may wait before each of the two.
    """
    stop = threading.Event()
    coming, going = _Line(length, stop), _Line(length, stop)
    failures: list[BaseException] = []
    reader = threading.Thread(target=_read, args=(source, coming), name="calco-video-read", daemon=True)
    writer = threading.Thread(target=_write, args=(going, keep, failures), name="calco-video-write", daemon=True)
    reader.start()
    writer.start()
    try:
        with contextlib.suppress(_Stopped):
            try:
                for item in coming:
                    going.put(draw(item))
            finally:
                going.put(_END)
                writer.join()
    finally:
        stop.set()
        reader.join()
        writer.join()
    if failures:
        raise failures[0]


_END: Final = object()


class _Failure:
    """An error on its way to another thread."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Line:
    """What waits between two threads; both are freed when the work is stopped."""

    def __init__(self, length: int, stop: threading.Event) -> None:
        self.stop = stop
        self._queue: queue.Queue[Any] = queue.Queue(length)

    def put(self, item: Any) -> None:
        while not self.stop.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=_PATIENCE)
                return
        raise _Stopped

    def __iter__(self) -> Iterator[Any]:
        while not self.stop.is_set():
            with contextlib.suppress(queue.Empty):
                item = self._queue.get(timeout=_PATIENCE)
                if item is _END:
                    return
                if isinstance(item, _Failure):
                    raise item.error
                yield item
        raise _Stopped


def _read(source: Iterable[Any], coming: _Line) -> None:
    try:
        try:
            for item in source:
                coming.put(item)
        finally:
            if isinstance(source, Generator):
                source.close()
        coming.put(_END)
    except _Stopped:
        pass
    except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
        with contextlib.suppress(_Stopped):
            coming.put(_Failure(error))


def _write(going: _Line, keep: Callable[[Any], None], failures: list[BaseException]) -> None:
    try:
        for item in going:
            keep(item)
    except _Stopped:
        pass
    except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
        failures.append(error)
        going.stop.set()


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


def origin_asked(images: str, options: dict[str, Any]) -> Origin | None:
    """The live source that options mean, or None where they mean files: see `origin_of`."""
    watched = options["window"] or options["page"] is not None
    out = options["out"]
    return origin_of(images, live=options["live"] or watched, watched=out is not None and _of_videos(out))


def _of_videos(out: str) -> bool:
    """Whether a video goes there: stdout, a pipe, a device, or a name that ends as videos do."""
    with contextlib.suppress(OSError):
        mode = os.stat(out).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            return True
    return out == "-" or out.startswith("/dev/video") or is_video(out)


def sinks_of(options: dict[str, Any], capture: Capture, done: Done, stopped: Callable[[], bool]) -> list[Sink]:
    """Where live images go, as the options say: `out`, `page`, `window`; and `model` for their title.

    Raises:
        CalcoError: When one of them cannot be used.
    """
    sinks: list[Sink] = []
    title = f"{capture.origin.name} by {Path(options['model']).name}"
    try:
        if options["out"] is not None:
            sinks.append(sink_for(options["out"], lambda: capture.rate, stopped))
        if options["page"] is not None:
            page = Page(options["page"], title, done.line)
            sinks.append(page)
            say(f"the page is {page.address}")
        if options["window"]:
            sinks.append(Window(title))
    except CalcoError:
        for sink in sinks:
            sink.close()
        raise
    return sinks


@contextlib.contextmanager
def status_line(done: Done) -> Iterator[Callable[[Done], None]]:
    """A line at the terminal that tells how it goes."""
    if not console.is_terminal:
        yield lambda _done: None
        return
    with Live(console=console, transient=True, refresh_per_second=4, get_renderable=lambda: cell(done.line())):
        yield lambda _done: None
