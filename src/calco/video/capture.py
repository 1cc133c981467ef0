"""A live source: read at once in a thread of its own, and tried again when it is lost."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from calco.console import say, warn
from calco.errors import CalcoError
from calco.imaging import Image
from calco.video.frame_image import deinterlaced_alone, image_of
from calco.video.sources import Opened, Origin, opened, reason

if TYPE_CHECKING:
    import av
    from av.video.codeccontext import VideoCodecContext
    from av.video.reformatter import VideoReformatter

LATE: Final = 0.5
"""Seconds after which what has come is not even decoded."""
_HELD: Final = 256  # packets that wait to be decoded
_HELD_BYTES: Final = 64 << 20  # and their bytes, for images that are not compressed

T = TypeVar("T")


class Newest(Generic[T]):
    """A place for one thing, between two threads: what is put there replaces what nobody has taken."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._thing: T | None = None
        self.replaced = 0

    def put(self, thing: T) -> None:
        """Puts it there; what was there is counted as replaced."""
        with self._changed:
            self.replaced += self._thing is not None
            self._thing = thing
            self._changed.notify_all()

    def take(self, timeout: float) -> T | None:
        """Takes what is there, or comes within the seconds of `timeout`; None where nothing did."""
        with self._changed:
            self._changed.wait_for(lambda: self._thing is not None, timeout)
            thing, self._thing = self._thing, None
            return thing


@dataclass(frozen=True, slots=True)
class Shot:
    """An image as it came.

    Attributes:
        frame: As FFmpeg decoded it; its colours are computed only for those that are drawn.
        born: When it came here, or was due; seconds of `time.monotonic`.
        fresh: The first one after the source was opened.
    """

    frame: "av.VideoFrame"
    born: float
    fresh: bool = False

    def image(self, reformatter: "VideoReformatter") -> Image:
        """Upright, HW3 `uint8`.

        Args:
            reformatter: Of the thread that asks; it keeps its tables from one frame to the next.
        """
        return image_of(deinterlaced_alone(self.frame), reformatter, "the source")


@dataclass(slots=True)
class Come:
    """A packet and when it came; or none, where the source has ended and waits for its last frames to be decoded."""

    packet: "av.Packet[av.VideoStream] | None"
    born: float
    source: "Decoding"


@dataclass(slots=True)
class Decoding:
    """What decodes the packets of a source that is open."""

    decoder: "VideoCodecContext"
    paced: bool
    done: threading.Event = field(default_factory=threading.Event)
    borns: dict[int | None, float] = field(default_factory=dict)  # by time stamp, of what is in the decoder
    behind: bool = False  # nothing is decoded until a key frame that is in time
    fresh: bool = True


class Decoder:
    """Decodes in a thread of its own.

    Attributes:
        newest: The newest image.
        came: Frames so far, with those that were not decoded.
        damaged: Packets that could not be decoded.
    """

    def __init__(self, stop: threading.Event) -> None:
        """Prepares it.

        Args:
            stop: Ends it.
        """
        self.newest: Newest[Shot] = Newest()
        self.came = self.damaged = 0
        self._stop = stop
        self._queue: deque[Come] = deque()
        self._held_bytes = 0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._decode, name="calco-decode", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Waits until it has ended, once it was told to."""
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be decoded."""
        return not self._queue

    def wait_for_room(self, enough: Callable[[], bool]) -> None:
        """Waits while there is enough to decode: as many packets as are held, or what `enough` says."""
        with self._changed:
            while self._queue and not self._stop.is_set() and (self._full() or enough()):
                self._changed.wait(0.1)

    def _full(self) -> bool:
        return len(self._queue) > _HELD or self._held_bytes > _HELD_BYTES

    def hold(self, come: Come) -> None:
        """Takes what has come; what is most late gives way where too much waits."""
        with self._changed:
            # Only what is not paced can overflow: the decoder is then far behind, and passes over what is late anyway.
            while self._full() and self._queue[0].packet is not None and come.packet is not None:
                gone = self._queue.popleft()
                gone.source.behind = True
                self._held_bytes -= gone.packet.size if gone.packet else 0
                self.came += 1
            self._queue.append(come)
            self._held_bytes += come.packet.size if come.packet else 0
            self._changed.notify_all()

    def _decode(self) -> None:
        while not self._stop.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._stop.is_set(), 0.2)
                come = self._queue.popleft() if self._queue else None
                if come is not None and come.packet is not None:
                    self._held_bytes -= come.packet.size
                self._changed.notify_all()
            if come is not None:
                self._decode_one(come)

    def _decode_one(self, come: Come) -> None:
        import av

        packet, source = come.packet, come.source
        if packet is not None:
            source.behind = source.behind or time.monotonic() - come.born > LATE
            if source.behind:
                if not packet.is_keyframe or time.monotonic() - come.born > LATE:
                    self.came += 1
                    return
                source.behind = False
                source.decoder.flush_buffers()
                source.borns.clear()
            source.borns[packet.pts] = come.born
            if len(source.borns) > 64:
                source.borns.pop(next(iter(source.borns)))
        try:
            for frame in source.decoder.decode(packet):
                self._show(frame, source, come.born)
        except (av.FFmpegError, ValueError):
            self.damaged += 1
        if packet is None:
            source.done.set()

    def _show(self, frame: "av.VideoFrame", source: Decoding, came: float) -> None:
        born = source.borns.pop(frame.pts, came or time.monotonic())
        if source.paced:
            self._stop.wait(max(0.0, born - time.monotonic()))
        self.came += 1
        self.newest.put(Shot(frame, born, source.fresh))
        source.fresh = False


if TYPE_CHECKING:
    import av

_AHEAD: Final = 0.5  # seconds that a video is read ahead of its clock
_JUMP: Final = 10.0  # seconds; time stamps that leap further begin anew
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0  # seconds between the tries to find a lost camera
_DAMAGED: Final = 200  # packets in a row that cannot be read, after which a source counts as lost


class Capture:
    """Reads a source in threads of its own, and tries again when it is lost.

    One thread takes what comes at once, so that nothing grows old in the system's buffers and it is known when it came;
    another decodes. What is later than `decoding.LATE` is passed over up to the next key frame, so a machine too slow
    to decode everything shows fewer images, not older ones.

    Attributes:
        decoder: What decodes, counts, and keeps the newest image.
        rate: Frames in a second, as the source tells it.
        lost: How often the source was lost.
        ended: Nothing more will come.
        failed: Why, where it is no ordinary end.
    """

    def __init__(self, origin: Origin, *, patience: float = 60.0) -> None:
        """Prepares it; `start` opens the source.

        Args:
            origin: The source.
            patience: Seconds for which a lost camera is looked for; 0 for ever.
        """
        # Its modules import each other, so it must be there before several threads ask for it.
        import av  # noqa: F401

        self.origin, self.patience = origin, patience
        self.rate = 0.0
        self.lost = 0
        self.ended = False
        self.failed: CalcoError | None = None
        self._reason, self._over = "", False  # why it was lost; whether it was the end
        self._stop = threading.Event()
        self.decoder = Decoder(self._stop)
        self._thread = threading.Thread(target=self._read, name="calco-read", daemon=True)

    def start(self) -> None:
        """Begins."""
        self.decoder.start()
        self._thread.start()

    def stop(self) -> None:
        """Ends; a reading that hangs is left to its time limit."""
        self._stop.set()
        self.decoder.join(2)
        self._thread.join(0.5)

    def _read(self) -> None:
        try:
            self._read_until_lost()
            while not self._stop.is_set() and self.origin.may_return and not self._found_again():
                pass
        except CalcoError as error:
            self.failed = error
        finally:
            self.ended = True

    def _read_until_lost(self, found: Callable[[], None] = lambda: None) -> None:
        """Reads the source to its end.

        Raises:
            CalcoError: When it cannot be opened.
        """
        with opened(self.origin, self._stop.is_set) as source:
            self.rate = float(source.stream.average_rate or source.stream.guessed_rate or 0)
            # Frame threads would hold back as many images; where the clock leads, they come before their time.
            source.stream.thread_type = "AUTO" if source.paced else "SLICE"
            decoding = Decoding(source.stream.codec_context, source.paced)
            self._reason = "the stream ended"
            try:
                for packet, born in self._packets(source):
                    found()
                    self.decoder.hold(Come(packet, born, decoding))
            finally:
                # FFmpeg's source may not go while its packets are decoded.
                self.decoder.hold(Come(None, 0, decoding))
                while not decoding.done.wait(0.1) and not self._stop.is_set():
                    pass
                if self._stop.is_set():
                    self.decoder.join()
            if source.finite:
                self._over = True

    def _packets(self, source: Opened) -> "Iterator[tuple[av.Packet[av.VideoStream], float]]":
        """The packets, each with when it came or, where the source is faster than time, is due."""
        import av

        coming, bad = source.container.demux(source.stream), 0
        begun, last = None, 0.0
        while not self._stop.is_set():
            if source.paced:
                due = last
                self.decoder.wait_for_room(lambda due=due: due > time.monotonic() + _AHEAD)  # type: ignore[misc]
            early = not self.decoder.idle
            try:
                packet = next(coming)
            except (StopIteration, EOFError):
                return
            except av.InvalidDataError:
                bad += 1
                self.decoder.damaged += 1
                if bad > _DAMAGED:
                    self._reason = "what it gives is damaged"
                    return
                continue
            except (av.FFmpegError, OSError) as error:
                self._reason = reason(error)
                return
            if not packet.size:
                continue
            bad, now = 0, time.monotonic()
            if source.paced and packet.pts is not None:
                seconds = float(packet.pts * packet.time_base)
                last = (now if begun is None else begun) + seconds
                # A source that had to be waited for sets the clock: a pipe whose writer makes images as they come, a
                # line that is slower than the video.
                waited = (source.waited and source.waited()) or (not early and now > last)
                if begun is None or waited or abs(last - now) > _JUMP:
                    begun, last = now - seconds, now
                yield packet, last
            else:
                last = now
                yield packet, now

    def _found_again(self) -> bool:
        """Looks for a lost source until it is found and lost again, or patience ends; whether that was the end.

        Raises:
            CalcoError: When it has not come back in time.
        """
        if self._over:
            return True
        self.lost += 1
        limit = f" for {self.patience:g} s" if self.patience else " until it is back"
        warn(f"{self.origin.name} is lost ({self._reason}); trying again{limit}")
        since, pause, back = time.monotonic(), _FIRST_PAUSE, False

        def found() -> None:
            nonlocal back
            if not back:
                say(f"{self.origin.name} is back after {time.monotonic() - since:.1f} s")
            back = True

        while not self._stop.wait(pause):
            with contextlib.suppress(CalcoError):
                self._read_until_lost(found)
                if back or self._over:
                    return self._over
            if self.patience and time.monotonic() - since > self.patience:
                raise CalcoError(
                    f"{self.origin.name} was lost ({self._reason}) and has not come back in {self.patience:g} s; "
                    "--patience 0 waits for ever"
                )
            pause = min(2 * pause, _LONGEST_PAUSE)
        return True
