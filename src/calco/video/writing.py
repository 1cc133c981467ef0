"""Writing a video: encoded into a journal beside it, which becomes the video when all of it is there."""

import base64
import contextlib
import errno
import os
from array import array
from collections.abc import Iterator
from fractions import Fraction
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from calco.errors import CalcoError, DiskError
from calco.files import explain, replacing, short_name
from calco.imaging import Image
from calco.journal import Journal
from calco.journal import remove as remove_journal
from calco.outputs import locked_file
from calco.video.encoding import FrameEncoder, choose_encoding, format_of, new_encoder, new_stream
from calco.video.frame_image import usual
from calco.video.other_streams import OtherStreams
from calco.video.reading import Video

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer

FORMAT: Final = 2
_OWN: Final = {"major_brand", "minor_version", "compatible_brands", "encoder", "software", "rotate", "duration"}
_SHOWN: Final = 5  # names in a note


class NotesWriter:
    """Notes of frames without a video; attributes and methods are those of `VideoWriter`."""

    def __init__(self, part: Path, made_by: dict[str, Any]) -> None:
        self._journal = Journal(part, {"format": FORMAT, **made_by})
        self.done, self.after = self._journal.count, None  # type: tuple[int, Fraction | None]
        self.known: dict[int, Any] = {}
        for row in self._journal.rows():
            self.after = Fraction(row["time"])

    @property
    def safe(self) -> int:
        """Number of frames that a writer which resumes after a kill at this moment would find."""
        return self._journal.count

    def write(self, image: Image | None, time: Fraction, *, duration: Fraction | None = None, note: Any = None) -> None:
        """Append a note."""
        del image, duration
        self._journal.add({"time": str(time), "note": note})

    def notes(self) -> Iterator[Any]:
        """Yield the notes of the frames, in order."""
        for row in self._journal.rows():
            yield row["note"]

    def finish(self) -> None:
        """Do nothing: there is no video to put in place."""

    def __enter__(self) -> "NotesWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not self._journal.count:
            self._journal.path.unlink(missing_ok=True)


class VideoWriter:
    """A video that is being written; nothing stands under its name before all of it is there.

    Encoded frames go at once into a hidden journal beside it. With `made_by` the journal outlives an interruption of
    any kind, and the next writer of the same video with the same `made_by` resumes after its last finished group of
    images.

    Attributes:
        path: The video.
        encoding: Settings of the encoder.
        done: Number of frames that are there from before.
        after: Time of the last of these, seconds; None where there is none.
        known: Notes of frames behind these, by number, which an interruption left.
        safe: Number of frames that a writer which resumes after a kill at this moment would find.
        remarks: What is not as in the video `like`, a sentence each.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        *,
        codec: str | None = None,
        rate: Fraction = Fraction(25),
        like: Video | None = None,
        quality: int | None = None,
        start: Fraction = Fraction(0),
        stop: Fraction | None = None,
        made_by: dict[str, Any] | None = None,
        again: str = "the same command",
    ) -> None:
        """Choose the encoder, and open the journal.

        Args:
            path: The video; its ending names the container.
            size: Width and height of the frames, pixels.
            codec: h264, h265, vp9 or av1; None for the container's usual one.
            rate: Frames a second, on the mean; `like` overrides it.
            like: The video whose sound, colours, pixel aspect, time stamps and title it gets.
            quality: The encoder's constant rate factor, lower is better; None for one without visible loss.
            start: Seconds of `like` at which it begins, for the sound.
            stop: Seconds of `like` at which it ends; None for its end.
            made_by: Plain data that the frames depend on; None for a writer that does not resume.
            again: How to continue after an interruption, for messages.

        Raises:
            CalcoError: If the encoder is missing, the container cannot hold it, or the place cannot be written.
        """
        self.path = Path(path)
        given: dict[str, Any] = {"rate": rate, "time_base": Fraction(1, 90_000), "colours": usual(size[1])}
        if like is not None:
            given = {"rate": like.rate, "time_base": like.time_base, "colours": like.colours, "aspect": like.aspect,
                     "full_chroma": like.full_chroma}  # fmt: skip
        self.encoding, remark = choose_encoding(str(path), size, codec=codec, quality=quality, **given)
        self.remarks = [remark] if remark else []
        self._like, self._start, self._stop = like, start, stop
        self._keeps, self._again = made_by is not None, again
        self._stamps = array("q")  # of the packets, in the order of decoding
        record = {"format": FORMAT, "made_by": made_by, "encoding": repr(self.encoding),
                  "options": self.encoding.options}  # fmt: skip
        # The caller may hold the lock already, under the name of its command.
        with contextlib.ExitStack() as held, self._explained():
            held.enter_context(locked_file(self.path, "calco"))
            if made_by is None:
                remove_journal(part_of(self.path))
            self._journal = Journal(part_of(self.path), record)
            self._held = held.pop_all()
        self._last = self._resume()
        self.after = None if self._last is None else self._last * self.encoding.time_base
        self.safe = self._number = self.done = len(self._stamps)
        self._span: int | None = None
        self._encoder: FrameEncoder | None = None
        self._finished = False

    def _resume(self) -> int | None:
        """Go back to the end of the last whole group of images; return its last time stamp."""
        whole, stamps, keep = 0, array("q"), self._journal.start
        notes: dict[int, Any] = {}
        for state, row in self._journal.entries():
            if "note" in row:
                notes[row["frame"]] = row["note"]
                continue
            if stamps and (row.get("key") or "frames" in row):
                whole, keep = len(stamps), state
            if "packet" in row:
                stamps.append(row["pts"])
        self._stamps = stamps[:whole]
        self.known = {number: note for number, note in notes.items() if number >= whole}
        self._journal.recall(keep)
        return max(self._stamps, default=None)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_whole = False
        with self._held:
            try:
                if kind is None:
                    self.finish()
                    is_whole = True
            finally:
                if is_whole or not (self._keeps and self._stamps):
                    self._journal.path.unlink(missing_ok=True)

    def write(self, image: Image | None, time: Fraction, *, duration: Fraction | None = None, note: Any = None) -> None:
        """Encode a frame.

        Args:
            image: HWC `uint8`, RGB or grey, of the video's size.
            time: Seconds from the video's beginning; later than that of the frame before.
            duration: Seconds for which it is shown, which matters for the last one.
            note: Plain data that is kept with the frame until the video is finished, also for a writer that resumes.

        Raises:
            CalcoError: If the disk is full, or the image has another size.
        """
        assert image is not None
        if image.shape[1::-1] != self.encoding.size:
            raise CalcoError(f"a frame of {image.shape[1]}x{image.shape[0]} does not fit a video of "
                             f"{self.encoding.size[0]}x{self.encoding.size[1]}; bring it to that size")  # fmt: skip
        if self._encoder is None:
            self._encoder = FrameEncoder(self.encoding, new_encoder(self.encoding, str(self.path)), self._last)
        self._span = None if duration is None else round(duration / self.encoding.time_base)
        with self._explained():
            if note is not None:
                self._journal.add({"frame": self._number, "note": note})
            self._number += 1
            self._keep(self._encoder.encode(image, time))

    def _keep(self, packets: "list[av.Packet[Any]]") -> None:
        for packet in packets:
            assert packet.pts is not None
            if packet.is_keyframe:
                self.safe = len(self._stamps)
            data = base64.b64encode(bytes(packet)).decode()
            self._journal.add({"pts": packet.pts, "key": packet.is_keyframe, "packet": data})
            self._stamps.append(packet.pts)

    def notes(self) -> Iterator[Any]:
        """Yield the notes of the frames, in order; a frame without one is skipped."""
        following = 0
        for row in self._journal.rows():
            # An encoder holds frames back, so after an interruption some were noted twice.
            if "note" in row and row["frame"] >= following:
                following = row["frame"] + 1
                yield row["note"]

    def finish(self) -> None:
        """Put the whole video under its name, with its sound; the notes can be read until the writer is left.

        Raises:
            CalcoError: If it holds no frame, or the disk is full; a journal with `made_by` stays then.
        """
        if self._finished:
            return
        with self._explained():
            if self._encoder is not None:
                self._keep(self._encoder.flush())
                self._encoder = None
            self._journal.add({"frames": len(self._stamps)})
        if not self._stamps:
            raise CalcoError(f"{self.path} would hold no frame; choose other times, or another video")
        self._assemble()
        self._finished = True

    def close(self) -> None:
        """Finish the video, and remove the journal."""
        self.__exit__(None, None, None)

    def _assemble(self) -> None:
        """Put the packets of the journal and of the sound into one file."""
        import av

        ending, like = self.path.suffix.lower(), self._like
        options = {"movflags": "+faststart"} if ending in (".mp4", ".m4v", ".mov") else {}
        with self._explained(), replacing(self.path) as temporary:
            out = av.open(str(temporary), "w", format=format_of(str(self.path)), options=options)
            others: OtherStreams | None = None
            try:
                stream = new_stream(out, self.encoding)
                if like is not None:
                    out.metadata.update({k: v for k, v in like.metadata.items() if k.lower() not in _OWN})
                    stream.metadata.update(like.tags)
                    others = OtherStreams(like, out, ending, self._start, self._stop)
                out.start_encoding()
                beside = others.packets() if others is not None else iter(())
                for _, packet in merge(self._packets(out, stream), beside, key=lambda timed: timed[0]):
                    out.mux_one(packet)
                out.close()
            finally:
                with contextlib.suppress(av.FFmpegError, OSError):
                    out.close()
                if others is not None:
                    others.close()
                    self.remarks += others.notes
            if like is not None and others is not None:
                tags = [*(("video", *tag) for tag in like.tags.items()), *others.tags]
                self._note_lost_tags(temporary, like.metadata, tags)
            self.remarks = list(dict.fromkeys(self.remarks))

    def _note_lost_tags(self, written: Path, metadata: dict[str, str], tags: list[tuple[str, str, str]]) -> None:
        """Report titles and the like that the container dropped without a word."""
        import av

        with av.open(str(written)) as container:
            kept = {name.lower() for name in container.metadata}
            found = {(s.type, name.lower(), value) for s in container.streams for name, value in s.metadata.items()}
        lost = [name for name in metadata if name.lower() not in _OWN and name.lower() not in kept]
        lost += [f"the {name} of the {kind}" for kind, name, value in tags if (kind, name, value) not in found]
        if lost := list(dict.fromkeys(lost)):
            shown = ", ".join(lost[:_SHOWN]) + (f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else "")
            self.remarks.append(f"tags that a {self.path.suffix.lower()} file cannot hold are left out: {shown}")

    def _packets(self, out: "OutputContainer", stream: Any) -> "Iterator[tuple[float, av.Packet[Any]]]":
        """Yield the packets of the journal, each after the time at which it is decoded.

        These times are made anew: those of the encoder need not fit together where it began anew after an interruption.
        """
        import av

        coded, base = self._stamps, self.encoding.time_base
        shown = array("q", sorted(coded))
        place = {stamp: number for number, stamp in enumerate(shown)} if coded != shown else {}
        delay = max((number - place[stamp] for number, stamp in enumerate(coded)), default=0) if place else 0
        step = max(1, round(1 / self.encoding.rate / base))
        negative = "mov" in out.format.name or "mp4" in out.format.name
        for number, row in enumerate(row for row in self._journal.rows() if "packet" in row):
            early, pts = max(0, delay - number), row["pts"]
            packet: av.Packet[Any] = av.Packet(base64.b64decode(row["packet"]))
            packet.pts, packet.time_base = pts, base
            packet.dts = shown[max(0, number - delay)] - (early * step if negative else 0)
            packet.is_keyframe, packet.stream = row["key"], stream
            here = place.get(pts, number)
            following = shown[here + 1] if here + 1 < len(shown) else pts + (self._span or step)
            packet.duration = following - pts
            yield float(packet.dts * base), packet

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise errors of FFmpeg and of the system as ours, with what is kept."""
        import av

        kept = ""
        try:
            yield
        except (av.FFmpegError, OSError, DiskError) as error:
            if self._keeps and self._stamps:
                kept = f"; what is done ({len(self._stamps)} frames) is kept, and {self._again} continues from there"
            if isinstance(error, DiskError):
                raise DiskError(f"{error}{kept}") from error
            number = error.errno if error.errno in errno.errorcode else errno.EIO
            problem = explain(OSError(number, error.strerror or str(error)), self.path, "write")
            raise type(problem)(f"{problem}{kept}") from error


def part_of(path: Path) -> Path:
    """Return the path of the part of a video: hidden, beside it."""
    return path.with_name(short_name(f".{path.name}", ".part"))
