"""A live source: read at once in a thread of its own, and tried again when it is lost."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from calco.console import say, warn
from calco.errors import CalcoError
from calco.video.decoding import Come, Decoder, Decoding
from calco.video.opening import Opened, opened, reason
from calco.video.origins import Origin

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
