"""The pump: one thread reads ahead, the caller draws, another one writes; what waits is bounded."""

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Final, Protocol, TypeVar

from calco.imaging import Image

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
