"""Packets to images, in time: what comes too late is passed over, and the newest image alone is kept."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from calco.data.frame_image import image_of
from calco.data.interlacing import deinterlaced_alone
from calco.imaging import Image

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
