"""A camera, stream or played video as a live source: read at once in threads of its own, and tried again when lost."""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from calco.errors import CalcoError
from calco.video.frame_image import deinterlaced_alone, image_of
from calco.video.pipeline import LatestValue
from calco.video.reading import Frame
from calco.video.sources import LiveSource, OpenedSource, opened, reason

if TYPE_CHECKING:
    import av
    from av.video.codeccontext import VideoCodecContext

LOG = logging.getLogger(__name__)

LATE: Final = 0.5
"""Seconds after which a packet is not even decoded."""
_MOST_HELD: Final = 256  # packets that wait to be decoded
_MOST_HELD_BYTES: Final = 64 << 20  # and their bytes, for images that are not compressed
_READ_AHEAD: Final = 0.5  # seconds that a video is read ahead of its clock
_JUMP: Final = 10.0  # seconds; time stamps that leap further begin anew
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0  # seconds between the tries to find a lost camera
_MOST_DAMAGED: Final = 200  # packets in a row that cannot be read, after which a source counts as lost
_MOST_KNOWN: Final = 64  # packets whose arrival is remembered while they are in the decoder


@dataclass(slots=True)
class _Decoding:
    """The decoder of an open source, and its packets' times of arrival."""

    codec: "VideoCodecContext"
    paced: bool
    done: threading.Event = field(default_factory=threading.Event)
    arrivals: dict[int | None, float] = field(default_factory=dict)  # by time stamp
    behind: bool = False  # nothing is decoded until a key frame that is in time
    is_first: bool = True


# A packet, or None at the end of a source whose last frames are still in the decoder; when it came; its decoder.
_Arrival: TypeAlias = "tuple[av.Packet[av.VideoStream] | None, float, _Decoding]"
# A frame, whose colours are computed only if it is taken; when it came; whether the source was opened just before.
_Decoded: TypeAlias = "tuple[av.VideoFrame, float, bool]"


class Decoder(threading.Thread):
    """Decodes packets in a thread of its own and keeps the newest frame, until `stop` is set.

    `count` includes the frames that were not decoded; `damaged` counts the packets that could not be.
    """

    def __init__(self, stop: threading.Event) -> None:
        super().__init__(name="calco-decode", daemon=True)
        self.latest: LatestValue[_Decoded] = LatestValue()
        self.count = self.damaged = 0
        self._stop_event = stop
        self._queue: deque[_Arrival] = deque()
        self._changed = threading.Condition()

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be decoded."""
        return not self._queue

    def wait_for_room(self, due: float) -> None:
        """Wait while as many packets wait as may, or while the last one is due much later."""
        with self._changed:
            while self._queue and not self._stop_event.is_set():
                if not self._is_full() and due <= time.monotonic() + _READ_AHEAD:
                    return
                self._changed.wait(0.1)

    def _is_full(self) -> bool:
        sizes = [packet.size for packet, _, _ in self._queue if packet is not None]
        return len(sizes) > _MOST_HELD or sum(sizes) > _MOST_HELD_BYTES

    def hold(self, packet: "av.Packet[av.VideoStream] | None", arrived: float, source: _Decoding) -> None:
        """Add a packet; the oldest ones give way if too many wait."""
        with self._changed:
            # Only what is not paced can overflow: the decoder is then far behind, and skips what is late anyway.
            while packet is not None and self._is_full() and self._queue[0][0] is not None:
                self._queue.popleft()[2].behind = True
                self.count += 1
            self._queue.append((packet, arrived, source))
            self._changed.notify_all()

    def run(self) -> None:
        """Decode until it is stopped."""
        while not self._stop_event.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._stop_event.is_set(), 0.1)
                arrival = self._queue.popleft() if self._queue else None
                self._changed.notify_all()
            if arrival is not None:
                self._decode(*arrival)

    def _decode(self, packet: "av.Packet[av.VideoStream] | None", came: float, source: _Decoding) -> None:
        import av

        if packet is not None:
            is_late = time.monotonic() - came > LATE
            source.behind = source.behind or is_late
            if source.behind:
                if not packet.is_keyframe or is_late:
                    self.count += 1
                    return
                source.behind = False
                source.codec.flush_buffers()
                source.arrivals.clear()
            source.arrivals[packet.pts] = came
            if len(source.arrivals) > _MOST_KNOWN:
                source.arrivals.pop(next(iter(source.arrivals)))
        try:
            for frame in source.codec.decode(packet):
                arrived = source.arrivals.pop(frame.pts, came or time.monotonic())
                if source.paced:
                    self._stop_event.wait(max(0.0, arrived - time.monotonic()))
                self.count += 1
                self.latest.put((frame, arrived, source.is_first))
                source.is_first = False
        except (av.FFmpegError, ValueError):
            self.damaged += 1
        if packet is None:
            source.done.set()


class Capture:
    """Reads a live source in threads of its own, and tries again when it is lost.

    One thread takes what comes at once, so that nothing grows old in the system's buffers and its arrival is known;
    another decodes. A packet that is more than `LATE` seconds old is skipped up to the next key frame, so a machine too
    slow to decode everything shows fewer images, not older ones.
    """

    live = True

    def __init__(self, source: LiveSource, *, patience: float = 60.0, seconds: float = 0.0) -> None:
        """Prepare it; `start` opens the source.

        A lost camera is looked for during `patience` seconds, 0 for ever; it ends `seconds` after the first frame, 0
        for never.
        """
        # Its modules import each other, so it must be there before several threads ask for it.
        import av

        self.source, self.patience, self.seconds = source, patience, seconds
        self.rate = 0.0
        self.lost = 0
        self._began: float | None = None
        self._number = 0
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._failure: CalcoError | None = None
        self._reason, self._has_ended = "", False  # why it was lost; whether that was the end
        self._stop = threading.Event()
        self.decoder = Decoder(self._stop)
        self._thread = threading.Thread(target=self._read, name="calco-read", daemon=True)

    def start(self) -> None:
        """Begin."""
        self.decoder.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop reading; a read that hangs is left to its time limit."""
        self._stop.set()
        if self._thread.ident is not None:
            self.decoder.join(2)
            self._thread.join(0.5)

    @property
    def over(self) -> bool:
        """Whether no frame will come any more."""
        return self.decoder.latest.over and self._failure is None

    def take(self, timeout: float) -> Frame | None:
        """Return the newest frame that was not taken yet, timed from the first one; None if none came in time."""
        decoded = self.decoder.latest.take(timeout)
        if decoded is None:
            if self._failure is not None and self.decoder.latest.over:
                raise self._failure
            return None
        frame, arrived, restarted = decoded
        self._began = arrived if self._began is None else self._began
        if self.seconds and time.monotonic() - self._began >= self.seconds:
            self.decoder.latest.abandon()
            return None
        image = image_of(deinterlaced_alone(frame), self._reformatter, "the source")
        self._number += 1
        return Frame(image, Fraction(max(0.0, arrived - self._began)), frame.pts,
                     frame.time_base or Fraction(1, 90_000), self._number - 1, arrived=arrived,
                     restarted=restarted)  # fmt: skip

    def _read(self) -> None:
        try:
            self._read_until_lost()
            while not self._stop.is_set() and self.source.kind in ("camera", "address") and not self._found_again():
                pass
        except CalcoError as error:
            self._failure = error
        finally:
            self.decoder.latest.end()

    def _read_until_lost(self, found: Callable[[], None] = lambda: None) -> None:
        """Read the source to its end."""
        with opened(self.source, self._stop.is_set) as source:
            self.rate = float(source.stream.average_rate or source.stream.guessed_rate or 0)
            # Frame threads would hold back as many images; where the clock leads, they come before their time.
            source.stream.thread_type = "AUTO" if source.paced else "SLICE"
            decoding = _Decoding(source.stream.codec_context, source.paced)
            self._reason = "the stream ended"
            try:
                for packet, arrived in self._packets(source):
                    found()
                    self.decoder.hold(packet, arrived, decoding)
            finally:
                # FFmpeg's source may not go while its packets are decoded.
                self.decoder.hold(None, 0, decoding)
                while not decoding.done.wait(0.1) and not self._stop.is_set():
                    pass
                if self._stop.is_set():
                    self.decoder.join()
            if source.finite:
                self._has_ended = True

    def _packets(self, source: OpenedSource) -> "Iterator[tuple[av.Packet[av.VideoStream], float]]":
        """Yield the packets as fast as they come, or as they are wanted, each with when it came or is due."""
        import av

        packets: Any = source.container.demux(source.stream)
        clock, damaged = _Clock(source), 0
        while not self._stop.is_set():
            if source.paced:
                self.decoder.wait_for_room(clock.last)
            clock.decoder_waits = self.decoder.idle
            try:
                packet = next(packets)
            except (StopIteration, EOFError):
                return
            except av.InvalidDataError:
                damaged += 1
                self.decoder.damaged += 1
                if damaged > _MOST_DAMAGED:
                    self._reason = "its data are damaged"
                    return
                continue
            except (av.FFmpegError, OSError) as error:
                self._reason = reason(error)
                return
            if packet.size:
                damaged = 0
                clock.set(packet)
                yield packet, clock.last

    def _found_again(self) -> bool:
        """Look for a lost source until it is found and lost again; return whether that was the end."""
        if self._has_ended:
            return True
        self.lost += 1
        limit = f" for {self.patience:g} s" if self.patience else " until it is back"
        LOG.warning(f"{self.source.name} is lost ({self._reason}); trying again{limit}")
        since, pause, back = time.monotonic(), _FIRST_PAUSE, False

        def found() -> None:
            nonlocal back
            if not back:
                LOG.info(f"{self.source.name} is back after {time.monotonic() - since:.1f} s")
            back = True

        while not self._stop.wait(pause):
            with contextlib.suppress(CalcoError):
                self._read_until_lost(found)
                if back or self._has_ended:
                    return self._has_ended
            if self.patience and time.monotonic() - since > self.patience:
                raise CalcoError(
                    f"{self.source.name} was lost ({self._reason}) and has not come back in {self.patience:g} s; "
                    "--patience 0 waits for ever"
                )
            pause = min(2 * pause, _LONGEST_PAUSE)
        return True


@dataclass
class _Clock:
    """Times at which the packets of a source came or, where it is faster than time, are due."""

    source: OpenedSource
    began: float | None = None
    last: float = 0.0
    decoder_waits: bool = True

    def set(self, packet: Any) -> None:
        """Compute when a packet that came just now is due."""
        now = time.monotonic()
        if not self.source.paced or packet.pts is None:
            self.last = now
            return
        seconds = float(packet.pts * packet.time_base)
        self.last = (now if self.began is None else self.began) + seconds
        # A source that had to be waited for sets the clock: a pipe whose writer makes images as they come, a
        # line that is slower than the video.
        has_waited = self.source.waited is not None and self.source.waited()
        waited = has_waited or (self.decoder_waits and now > self.last)
        if self.began is None or waited or abs(self.last - now) > _JUMP:
            self.began, self.last = now - seconds, now
