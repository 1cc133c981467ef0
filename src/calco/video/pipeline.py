"""The one loop over frames: a source, a step and sinks, each in a thread of its own.

A recorded source waits for the step, and the step for the sinks, so every item passes, in order. A live source never
waits: of what comes while the step or a sink is busy, only the newest item is kept.
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


@dataclass(frozen=True, slots=True)
class RenderedFrame:
    """A frame with the result of a step."""

    frame: Frame
    image: Image | None  # HWC `uint8`, to be written or shown; None for nothing
    note: Any = None  # plain data that is kept with the frame
    state: dict[str, Any] | None = None  # plain data from which the step resumes after this frame; None for most frames


class Closed(Exception):
    """Nobody takes items from the line any more."""


class Gone(Exception):
    """The window is closed, or the program behind the pipe has ended: the loop ends without an error."""


class WaitingLine(Generic[T]):
    """A bounded number of items on their way from one thread to another; `replaced` counts those that gave way."""

    def __init__(self, length: int = 1) -> None:
        self.replaced = 0
        self._length, self._items = length, deque[T]()
        self._ended = self._abandoned = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Add an item behind the others, once there is room; raise `Closed` if nobody takes items any more."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._length or self._abandoned)
            if self._abandoned:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def take(self, timeout: float | None = None) -> T | None:
        """Take the first item; None if none came within `timeout` seconds, or none will come."""
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
        """Put no more; items that wait can still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Take no more: items that wait are dropped, and `put` fails from now on."""
        with self._changed:
            self._ended = self._abandoned = True
            self._items.clear()
            self._changed.notify_all()


class LatestValue(WaitingLine[T]):
    """A place for one item: a new one replaces one that nobody has taken."""

    def put(self, item: T) -> None:
        """Put an item there, unless the line is abandoned."""
        with self._changed:
            if not self._abandoned:
                self.replaced += len(self._items)
                self._items.clear()
                self._items.append(item)
                self._changed.notify_all()


class _Source(Protocol[T_co]):
    """`Recorded`, or a `Capture` of live frames; of a live one, items are dropped rather than kept waiting."""

    @property
    def live(self) -> bool: ...
    @property
    def over(self) -> bool: ...
    def start(self) -> None: ...
    def take(self, timeout: float) -> T_co | None: ...
    def stop(self) -> None: ...


class Recorded(Generic[T]):
    """Items of an iterable, read ahead in a thread; a generator is closed there at the end."""

    live = False

    def __init__(self, items: Iterable[T], length: int = _MOST_WAITING) -> None:
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
        """Return the next item, or None if none came in time; raise an error of reading after the last item."""
        item = self._line.take(timeout)
        if item is None and self._line.over and self._failure is not None:
            raise self._failure
        return item

    @property
    def over(self) -> bool:
        """Whether no item will come any more."""
        return self._line.over and self._failure is None

    def stop(self) -> None:
        """Stop reading."""
        self._line.abandon()
        if self._thread.ident is not None:
            self._thread.join()


class _Outlet(threading.Thread, Generic[U]):
    """A sink in a thread of its own."""

    def __init__(self, sink: Callable[[U], object], line: WaitingLine[U]) -> None:
        super().__init__(name="calco-write", daemon=True)
        self.sink, self.line = sink, line
        self.gone = False
        self.failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            while (result := self.line.take()) is not None:
                self.sink(result)
        except Gone:
            self.gone = True
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
            self.failure = error
        finally:
            self.line.abandon()


def run(
    source: _Source[T], step: Callable[[Sequence[T]], Iterable[U]], sinks: Sequence[Callable[[U], object]], *,
    batch: int = 1, length: int = _MOST_WAITING, stop: threading.Event | None = None,
    idle: Callable[[], None] = lambda: None,
) -> list[int]:  # fmt: skip
    """Pass the items of a source through a step to sinks, until the source ends or somebody stops it.

    Reading, the step (in this thread, with up to `batch` items) and each sink (a function of one result, in a thread of
    its own) overlap. An error of the source, the step or a sink ends the others and is raised here; results from before
    still reach the sinks, unless a sink failed. A sink that raises `Gone` ends the loop. At most `length` results wait
    for a sink of a recorded source. `stop` is set by others, and at the end of a live source. Returns the number of
    results that each sink missed, since newer ones replaced them.
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


def _taken(source: _Source[T], batch: int, stop: threading.Event) -> list[T]:
    """Take up to `batch` items; fewer if the source ends, is slow, or fails after them."""
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
