"""The one loop over frames: a source, a step and sinks, each in a thread of its own.

A recorded source waits for the step, and the step for the sinks, so every item passes, in order. A live source never
waits: of what comes while the step or a sink is busy, the newest item alone is kept.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from calco.imaging import Image
from calco.video.reading import Frame

WAITING_BYTES: Final = 256 << 20  # of the frames between two threads
_MOST_WAITING: Final = 8
_PATIENCE: Final = 0.1  # seconds after which a thread looks whether it is still wanted
_LAST_WRITE: Final = 5.0  # seconds that a live sink is given for its last frame

T = TypeVar("T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class RenderedFrame:
    """A frame with what a step made of it.

    Attributes:
        frame: The frame.
        image: HWC `uint8`, what is written or shown; None where nothing is.
        note: Plain data that is kept with the frame.
        state: Plain data from which the step goes on behind this frame; None for most frames.
    """

    frame: Frame
    image: Image | None
    note: Any = None
    state: dict[str, Any] | None = None


class Closed(Exception):
    """Nobody takes what is put there any more."""


class WaitingLine(Generic[T]):
    """Items on their way from one thread to another, a bounded number of them.

    Attributes:
        replaced: Number of items that gave way to newer ones.
    """

    def __init__(self, length: int = 1) -> None:
        """Create an empty line.

        Args:
            length: Number of items that may wait.
        """
        self.replaced = 0
        self._length, self._items = length, deque[T]()
        self._ended = self._abandoned = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Add an item behind the others; wait for room first.

        Raises:
            Closed: If nobody takes items any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._length or self._abandoned)
            if self._abandoned:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def take(self, timeout: float | None = None) -> T | None:
        """Take the first item; wait for one if there is none.

        Args:
            timeout: Seconds; None waits until an item comes or the line has ended.

        Returns:
            The item; None if none came in time, or none will come.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._ended, timeout)
            item = self._items.popleft() if self._items else None
            self._changed.notify_all()
            return item

    @property
    def over(self) -> bool:
        """Whether no item waits and none will come."""
        with self._changed:
            return self._ended and not self._items

    def end(self) -> None:
        """Put no more; what waits can still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Take no more: what waits is dropped, and `put` fails from now on."""
        with self._changed:
            self._ended = self._abandoned = True
            self._items.clear()
            self._changed.notify_all()


class LatestValue(WaitingLine[T]):
    """A place for one item: what is put there replaces what nobody has taken."""

    def put(self, item: T) -> None:
        """Put it there; what was there counts as replaced."""
        with self._changed:
            if self._abandoned:
                return
            self.replaced += len(self._items)
            self._items.clear()
            self._items.append(item)
            self._changed.notify_all()


class Source(Protocol[T_co]):
    """Where items come from."""

    @property
    def live(self) -> bool:
        """Whether items are dropped rather than kept waiting."""

    def start(self) -> None:
        """Begin to read."""

    def take(self, timeout: float) -> T_co | None:
        """Return the next item, or None if none came within `timeout` seconds.

        Raises:
            CalcoError: If the source can no longer be read.
        """

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""

    def stop(self) -> None:
        """Stop reading."""


class Sink(Protocol[T_contra]):
    """Where results go."""

    def write(self, result: T_contra, /) -> bool:
        """Write or show a result; return whether anybody saw it.

        Raises:
            Gone: If nobody will look any more.
            CalcoError: If it cannot be written.
        """


class Gone(Exception):
    """The window is closed, or the program behind the pipe has ended: the loop ends without an error."""


class Recorded(Generic[T]):
    """Items of an iterable, read ahead in a thread of its own."""

    live = False

    def __init__(self, items: Iterable[T], length: int = _MOST_WAITING) -> None:
        """Prepare it.

        Args:
            items: Read, and closed if it is a generator, in a thread of its own.
            length: Number of items that are read ahead.
        """
        self._items, self._line = items, WaitingLine[T](length)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="calco-read", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def _read(self) -> None:
        try:
            for item in self._items:
                self._line.put(item)
        except Closed:
            pass
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
            self._failure = error
        finally:
            if isinstance(self._items, Generator):
                self._items.close()
            self._line.end()

    def take(self, timeout: float) -> T | None:
        """Return the next item, or None if none came in time; raise what reading raised, behind the last item."""
        item = self._line.take(timeout)
        if item is None and self._line.over and self._failure is not None:
            raise self._failure
        return item

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self._line.over and self._failure is None

    def stop(self) -> None:
        """Stop reading."""
        self._line.abandon()
        if self._thread.ident is not None:
            self._thread.join()


class _Outlet(threading.Thread, Generic[U]):
    """A sink in a thread of its own."""

    def __init__(self, sink: Sink[U], line: WaitingLine[U]) -> None:
        super().__init__(name=f"calco-write-{getattr(sink, 'name', 'results')}", daemon=True)
        self.sink, self.line = sink, line
        self.gone = False
        self.failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            while (result := self.line.take()) is not None:
                self.sink.write(result)
        except Gone:
            self.gone = True
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
            self.failure = error
        finally:
            self.line.abandon()


def run(
    source: Source[T],
    step: Callable[[Sequence[T]], Iterable[U]],
    sinks: Sequence[Sink[U]],
    *,
    batch: int = 1,
    length: int = _MOST_WAITING,
    stop: threading.Event | None = None,
    idle: Callable[[], None] = lambda: None,
) -> list[int]:
    """Pass what comes from a source through a step to sinks, until the source ends or somebody stops it.

    Reading, the step and each sink overlap. What the source, the step or a sink raises ends the others and is raised
    here; results from before still reach the sinks, unless a sink is what failed.

    Args:
        source: Not yet started.
        step: Called in this thread with up to `batch` items, in order; its results go to every sink.
        sinks: Each is called in a thread of its own.
        batch: Number of items that the step gets at once; fewer at the end.
        length: Number of results that may wait for a sink of a recorded source.
        stop: Set by others to stop; set at the end of a live source.
        idle: Called while nothing comes.

    Returns:
        Number of results that each sink missed, since newer ones replaced them.
    """
    stop = threading.Event() if stop is None else stop
    outlets = [_Outlet(sink, LatestValue[U]() if source.live else WaitingLine[U](length)) for sink in sinks]
    try:
        source.start()
        while not stop.is_set() and not any(outlet.gone or outlet.failure for outlet in outlets):
            items = _taken(source, batch, stop)
            if not items:
                if source.over:
                    break
                idle()
                continue
            for result in step(items):
                for outlet in outlets:
                    outlet.line.put(result)
    except Closed:
        pass  # a sink has failed or gone
    finally:
        if source.live:
            stop.set()  # a sink that waits for its reader looks at it
        source.stop()
        for outlet in outlets:
            outlet.line.end()
        for outlet in outlets:
            outlet.join(_LAST_WRITE if source.live else None)
    for outlet in outlets:
        if outlet.failure is not None:
            raise outlet.failure
    return [outlet.line.replaced for outlet in outlets]


def _taken(source: Source[T], batch: int, stop: threading.Event) -> list[T]:
    """Up to `batch` items; fewer where the source ends, is slow or fails behind them."""
    items: list[T] = []
    while len(items) < batch and not stop.is_set():
        try:
            item = source.take(_PATIENCE)
        except Exception:
            if not items:
                raise
            break  # those that came before go first; the source raises again at the next call
        if item is not None:
            items.append(item)
        elif source.over or not items or source.live:
            break
    return items


def read_ahead(frame_bytes: int, most: int = _MOST_WAITING) -> int:
    """Number of frames of so many bytes that may wait between two threads."""
    return max(1, min(most, WAITING_BYTES // max(1, frame_bytes)))


class Collected(Generic[T]):
    """A sink that calls a function with each result."""

    name = "results"

    def __init__(self, keep: Callable[[T], object]) -> None:
        """Create it from the function."""
        self._keep = keep

    def write(self, result: T, /) -> bool:
        """Pass a result on."""
        self._keep(result)
        return True
