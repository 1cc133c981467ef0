"""Reading, drawing and writing side by side; and a large image by itself."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any, Final, Generic, TypeVar

import numpy as np

from calco import imaging
from calco.data import storage
from calco.errors import CalcoError, DiskError, enough_memory, is_out_of_memory, out_of_memory
from calco.imaging import Image
from calco.imaging.writing import write_strips
from calco.inference.large import Drawing

AHEAD: Final = 4
_LESS_MEMORY: Final = "close other programs, or give a smaller image"
J = TypeVar("J")
R = TypeVar("R")
T = TypeVar("T")


class _Alone(Generic[J, R]):
    """Reads, and waits while a large image is under work."""

    def __init__(self, read: Callable[[J], R | None]) -> None:
        self._read, self._free = read, threading.Event()
        self._free.set()

    def read(self, job: J) -> R | None:
        self._free.wait()
        with enough_memory(_LESS_MEMORY):
            found = self._read(job)
        if found is None:
            self._free.clear()
        return found

    def over(self) -> None:
        self._free.set()


def pumped(
    jobs: Sequence[J],
    read: Callable[[J], R | None],
    draw: Callable[[R, J], Image],
    keep: Callable[[Image, J], T],
    large: Callable[[J], T],
) -> Iterator[tuple[J, T | None, str | None]]:
    """Draws in order while one thread reads ahead and another keeps.

    Of a large image nothing is read ahead, and nothing after it before it is done: it has the memory to itself.

    Args:
        jobs: What is to be done.
        read: Gives what `draw` takes, in a thread of its own; None for a large image.
        draw: Gives an image.
        keep: Puts it where it belongs, in a thread of its own.
        large: Does all of it.

    Yields:
        The job with what was kept, or with what went wrong.

    Raises:
        DiskError: When the disk takes nothing more.
    """
    alone = _Alone(read)
    reading: deque[tuple[J, Future[R | None]]] = deque()
    writing: deque[tuple[J, Future[T]]] = deque()
    coming = iter(jobs)
    with ThreadPoolExecutor(1, "calco-read") as reader, ThreadPoolExecutor(1, "calco-write") as writer:

        def read_ahead() -> None:
            while len(reading) < AHEAD and (job := next(coming, None)) is not None:
                reading.append((job, reader.submit(alone.read, job)))

        def finished(limit: int) -> Iterator[tuple[J, T | None, str | None]]:
            while len(writing) > limit:
                job, future = writing.popleft()
                try:
                    yield job, future.result(), None
                except DiskError:  # nor can what follows be written
                    raise
                except (CalcoError, OSError, MemoryError) as error:
                    yield job, None, _reason(error)

        try:
            read_ahead()
            while reading:
                job, future = reading.popleft()
                try:
                    found = future.result()
                    if found is None:
                        yield from finished(0)
                        writing.append((job, _done(large, job)))
                        alone.over()
                    read_ahead()
                    if found is not None:
                        writing.append((job, writer.submit(keep, draw(found, job), job)))
                except CalcoError as error:
                    read_ahead()
                    yield job, None, str(error)
                yield from finished(AHEAD)
            yield from finished(0)
        finally:
            alone.over()  # whoever leaves early waits for the thread that reads


def _done(work: Callable[..., T], *given: Any) -> "Future[T]":
    """What came of a call that is over."""
    future: Future[T] = Future()
    try:
        future.set_result(work(*given))
    except (CalcoError, OSError, MemoryError) as error:
        future.set_exception(error)
    return future


def _reason(error: Exception) -> str:
    """What is noted of an image."""
    return str(out_of_memory(error, _LESS_MEMORY) if is_out_of_memory(error) else error)


def keep_large(drawing: Drawing, target: str, source: str, *, exact: bool = False) -> None:
    """Writes a large image: TIFF strip by strip, what else there is from an array of the depth that it has.

    Args:
        drawing: The image.
        target: The file.
        source: Whose EXIF is copied.
        exact: Whether every value must be kept.
    """
    kind = imaging.FORMATS.get(PurePosixPath(target).suffix.lower())
    height, width, channels = drawing.shape
    if kind == "TIFF":
        with storage.replaced(target) as path:
            write_strips(path, drawing.strips, drawing.shape, drawing.dtype, like=source)
        return
    if height * width * max(1, channels / 4) > imaging.MAX_PIXELS:
        raise CalcoError(
            f"cannot write {target}: {width}x{height} pixels are too many for {kind or 'this ending'}; choose the "
            "ending .tif, which is written strip by strip"
        )
    deep = kind == "PNG" and drawing.dtype != np.uint8
    whole = drawing.whole(np.dtype(np.uint16 if deep else np.uint8))
    storage.write(target, imaging.encode(whole, target, like=source, exact=exact))
