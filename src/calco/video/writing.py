"""Writing a video: frames are encoded into a part beside it, which becomes the video when all of it is there."""

import contextlib
import errno
import json
import os
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from calco.errors import CalcoError
from calco.files import explain, replacing, short_name
from calco.imaging import Image, as_channels
from calco.locks import locked_file
from calco.video.colours import usual
from calco.video.encoding import (
    Encoding,
    choose_codec,
    choose_pixels,
    choose_quality,
    fine,
    format_of,
    keep_keys_close,
    new_encoder,
    new_stream,
)
from calco.video.other_streams import OtherStreams
from calco.video.reading import Video

FORMAT: Final = 1
_MAGIC: Final = b"calco video part\n"
_HEAD: Final = struct.Struct("<BIqI")  # kind, bytes, time stamp or number, CRC-32 of the bytes
_NOTE, _PACKET, _KEY, _END = range(4)
_NOT_OURS: Final = "is in the way and was not written by Calco; move it away, or choose another --out"
_OF_OTHERS: Final = (
    "holds the frames of an interrupted call with another model, other options or another input; repeat that call, "
    "start anew with --overwrite, or choose another --out"
)


class Piece(NamedTuple):
    """A packet: its bytes, its time stamp, and whether a player can begin there."""

    data: bytes
    pts: int
    is_key: bool


@dataclass
class VideoJournal:
    """A part at work.

    Attributes:
        path: The file.
        done: Frames that it holds.
        last: The time stamp of the last of them; None where there is none.
        safe: Frames that a journal which goes on after a kill would have.
        notes: What was noted of them, by number.
    """

    path: Path
    done: int = 0
    last: int | None = None
    safe: int = 0
    notes: dict[int, Any] = field(default_factory=dict)
    _file: BinaryIO | None = None
    _end: int = 0  # of what is kept

    @classmethod
    def open(cls, path: Path, record: dict[str, Any]) -> "VideoJournal":
        """Goes on with a part that the same record began, up to its last finished group of images; or begins one.

        Args:
            path: The file; the caller holds the lock of the video.
            record: What made it: video, model, options, all that another result would come from.

        Raises:
            CalcoError: If another record began the part, or Calco did not write the file.
            OSError: When it cannot be written.
        """
        head = json.dumps({"format": FORMAT, **record}, sort_keys=True).encode()
        start = _MAGIC + len(head).to_bytes(4, "little") + head
        journal = cls(path)
        with contextlib.suppress(OSError), path.open("rb") as file:
            if file.read(len(start)) == start:
                journal._recall(file)
        if not journal._end and (reason := _foreign(path, start)):
            raise CalcoError(f"{path} {reason}")
        end, journal.safe = journal._end, journal.done
        if end:
            os.truncate(path, end)
        journal._file = path.open("ab" if end else "wb")
        if not end:
            journal._file.write(start)
            journal._file.flush()
        return journal

    def _recall(self, file: BinaryIO) -> None:
        """Finds the end of the last group of images that is whole: where the next one begins."""
        count, last, notes = 0, None, dict[int, Any]()
        for offset, kind, number, data in _records(file):
            if kind == _NOTE:
                notes[number] = json.loads(data)
                continue
            if kind in (_KEY, _END) and count:
                self._end, self.done, self.last = offset, count, last
            if kind == _END:
                continue
            count, last = count + 1, number if last is None else max(last, number)
        self.notes = {number: note for number, note in notes.items() if number < self.done}

    def note(self, number: int, content: Any) -> None:
        """Notes something about a frame, before its packet comes."""
        self._put(_NOTE, number, json.dumps(content).encode())
        self.notes[number] = content

    def add(self, data: bytes, pts: int, *, is_key: bool) -> None:
        """Appends a packet.

        Raises:
            OSError: When the disk is full.
        """
        self._put(_KEY if is_key else _PACKET, pts, data)
        if is_key:
            self.safe = self.done
        self.done += 1
        self.last = pts if self.last is None else max(self.last, pts)

    def finish(self) -> None:
        """Notes that all packets of the frames so far are there."""
        if self._file is not None:
            self._put(_END, self.done, b"")

    def _put(self, kind: int, number: int, data: bytes) -> None:
        assert self._file is not None
        self._file.write(_HEAD.pack(kind, len(data), number, zlib.crc32(data)) + data)
        self._file.flush()

    def stamps(self) -> list[int]:
        """The time stamps of all packets, in the order of decoding."""
        with self._begun() as file:
            return [number for _, kind, number, _ in _records(file, skip=True) if kind in (_PACKET, _KEY)]

    def pieces(self) -> Iterator[Piece]:
        """All packets, in the order of decoding."""
        with self._begun() as file:
            for _, kind, number, data in _records(file):
                if kind in (_PACKET, _KEY):
                    yield Piece(data, number, kind == _KEY)

    @contextlib.contextmanager
    def _begun(self) -> Iterator[BinaryIO]:
        with self.path.open("rb") as file:
            file.seek(len(_MAGIC))
            file.seek(int.from_bytes(file.read(4), "little"), os.SEEK_CUR)
            yield file

    def close(self, *, keep: bool) -> None:
        """Closes the file, and removes it where nobody will go on with it."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        if not keep or not self.done:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)


def remove_part(path: Path) -> None:
    """Removes a part, whatever began it.

    Raises:
        CalcoError: If Calco did not write the file, or the permissions do not allow it.
    """
    try:
        if not os.path.lexists(path):
            return
        with path.open("rb") as file:
            if not _MAGIC.startswith(file.read(len(_MAGIC))):
                raise CalcoError(f"{path} {_NOT_OURS}")
        path.unlink()
    except OSError as error:
        raise explain(error, path, "remove") from error


def _foreign(path: Path, start: bytes) -> str:
    """Why a part with another beginning may not be begun anew; empty if it may."""
    if not os.path.lexists(path):
        return ""
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
        if not _MAGIC.startswith(head):
            return _NOT_OURS
        if not head or (head + file.read(len(start) - len(_MAGIC))) == start[: os.fstat(file.fileno()).st_size]:
            return ""  # nothing, or nothing but this beginning
        file.seek(len(_MAGIC))
        file.seek(int.from_bytes(file.read(4), "little"), os.SEEK_CUR)
        keys = sum(kind == _KEY for _, kind, _, _ in _records(file, skip=True))
    return _OF_OTHERS if keys > 1 else ""  # before the second key frame there is nothing that could be resumed


def _records(file: BinaryIO, *, skip: bool = False) -> Iterator[tuple[int, int, int, bytes]]:
    """Place, kind, number and bytes of each record, up to the first that is not whole."""
    size = os.fstat(file.fileno()).st_size
    offset = file.tell()
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        kind, length, number, check = _HEAD.unpack(head)
        if offset + _HEAD.size + length > size:
            return
        data = b""
        if skip:
            file.seek(length, os.SEEK_CUR)
        else:
            data = file.read(length)
            if zlib.crc32(data) != check:
                return
        yield offset, kind, number, data
        offset += _HEAD.size + length


if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.video.codeccontext import VideoCodecContext

_OWN: Final = {"major_brand", "minor_version", "compatible_brands", "encoder", "software", "rotate", "duration"}
_SHOWN: Final = 5  # names in a note


class VideoWriter:
    """A video that is being written; nothing stands under its name before all of it is there.

    What is encoded goes at once into a hidden part beside it. With `made_by` the part outlives an interruption of any
    kind, and the next writer of the same video, told the same, goes on behind its last finished group of images.

    Attributes:
        path: The video.
        encoding: What the encoder is told.
        done: Frames that are there from before.
        after: The time of the last of these, seconds; None where there is none.
        notes: What is not as in the video `like`, a sentence each.
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
        """Chooses the encoder, and opens the part.

        Args:
            path: The video; its ending tells the container.
            size: Width and height of the frames, pixels.
            codec: h264, h265, vp9 or av1; by default as the container likes it.
            rate: Frames a second, on the mean; that of `like` counts where there is one.
            like: The video whose sound, colours, shape of pixels, time stamps and title it gets.
            quality: The encoder's constant rate factor, lower is better; None for one at which little is to be seen.
            start: Seconds of `like` at which it begins, for the sound.
            stop: Where it ends; None for its end.
            made_by: What the frames come from, plain data; None for a part that ends with the writer.
            again: What continues after an interruption, for messages.

        Raises:
            CalcoError: When the encoder is missing, the container cannot hold it, or the place cannot be written.
        """
        self.path = Path(path)
        codec = choose_codec(codec, str(path))
        pixels, remark = choose_pixels(codec, size, full_chroma=like is not None and like.full_chroma)
        self.notes = [remark] if remark else []
        rate = like.rate if like is not None else rate
        self.encoding = Encoding(
            codec=codec, quality=choose_quality(codec, quality), size=size, rate=rate, pixels=pixels,
            time_base=fine(like.time_base if like is not None else Fraction(1, 90_000), rate, self._ending),
            colours=usual(size[1]) if like is None else like.colours,
            aspect=Fraction(1) if like is None else like.aspect,
        )  # fmt: skip
        self._like, self._start, self._stop = like, start, stop
        self._keeps, self._again = made_by is not None, again
        record = {"made_by": made_by, "encoding": repr(self.encoding), "options": self.encoding.options}
        # The caller may hold the lock already, under the name of its command.
        with contextlib.ExitStack() as held, self._explained():
            held.enter_context(locked_file(self.path, "calco"))
            self._journal = VideoJournal.open(part_of(self.path), record)
            self._held = held.pop_all()
        self.done, self._last = self._journal.done, self._journal.last
        self.after = None if self._last is None else self._last * self.encoding.time_base
        self.noted = dict(self._journal.notes)
        self._number = self.done
        self._span: int | None = None
        self._keys: list[Fraction] = []  # the time of the last key frame that was asked for
        self._encoder: VideoCodecContext | None = None
        self._reformatter: Any = None

    @property
    def safe(self) -> int:
        """Frames that a writer which goes on after a kill at this moment would find."""
        return self._journal.safe

    @property
    def _ending(self) -> str:
        return self.path.suffix.lower()

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            with self._held:
                self._journal.close(keep=self._keeps)

    def write(self, image: Image, time: Fraction, *, duration: Fraction | None = None, note: Any = None) -> None:
        """Encodes a frame.

        Args:
            image: HWC `uint8`, RGB or grey, of the video's size.
            time: Seconds from the video's beginning; later than that of the frame before.
            duration: Seconds for which it is shown, which matters for the last one.
            note: What shall be remembered of it in `noted` (plain data), also by a writer that goes on.

        Raises:
            CalcoError: When the disk is full, or the image has another size.
        """
        if image.shape[1::-1] != self.encoding.size:
            raise CalcoError(f"a frame of {image.shape[1]}x{image.shape[0]} does not fit a video of "
                             f"{self.encoding.size[0]}x{self.encoding.size[1]}; bring it to that size")  # fmt: skip
        import av

        if self._encoder is None:
            self._encoder = new_encoder(self.encoding, str(self.path))
            self._reformatter = av.video.reformatter.VideoReformatter()
        frame = self.encoding.colours.from_rgb(as_channels(image, 3), self._reformatter, self.encoding.pixels)
        pts = round(time / self.encoding.time_base)
        self._last = frame.pts = pts if self._last is None else max(pts, self._last + 1)
        frame.time_base = self.encoding.time_base
        keep_keys_close(frame, self._keys)
        self._span = None if duration is None else round(duration / self.encoding.time_base)
        with self._explained():
            if note is not None:
                self._journal.note(self._number, note)
                self.noted[self._number] = note
            self._number += 1
            self._keep(self._encoder.encode(frame))

    def _keep(self, packets: "list[av.Packet[Any]]") -> None:
        for packet in packets:
            assert packet.pts is not None
            self._journal.add(bytes(packet), packet.pts, is_key=packet.is_keyframe)

    def close(self) -> None:
        """Finishes the video, with its sound, and puts it under its name.

        Raises:
            CalcoError: When it holds no frame, or the disk is full; a part with `made_by` stays then.
        """
        with self._held:
            self._close()

    def _close(self) -> None:
        finished = False
        try:
            with self._explained():
                if self._encoder is not None:
                    self._keep(self._encoder.encode(None))
                self._journal.finish()
            if not self._journal.done:
                raise CalcoError(f"{self.path} would hold no frame; choose other times, or another video")
            self._assemble()
            finished = True
        finally:
            self._journal.close(keep=self._keeps and not finished)

    def _assemble(self) -> None:
        """Packets of the part and of the sound, in one file."""
        import av

        options = {"movflags": "+faststart"} if self._ending in (".mp4", ".m4v", ".mov") else {}
        with self._explained(), replacing(self.path) as temporary:
            out = av.open(str(temporary), "w", format=format_of(str(self.path)), options=options)
            others: OtherStreams | None = None
            try:
                stream = new_stream(out, self.encoding, str(self.path))
                if self._like is not None:
                    out.metadata.update({k: v for k, v in self._like.metadata.items() if k.lower() not in _OWN})
                    stream.metadata.update(self._like.tags)
                    others = OtherStreams(self._like, out, self._ending, self._start, self._stop)
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
                    self.notes += others.notes
            if self._like is not None and others is not None:
                tags = [*(("video", *tag) for tag in self._like.tags.items()), *others.tags]
                self._note_lost_tags(temporary, self._like.metadata, tags)
            self.notes = list(dict.fromkeys(self.notes))

    def _note_lost_tags(self, written: Path, metadata: dict[str, str], tags: list[tuple[str, str, str]]) -> None:
        """Reports titles and the like that the container dropped without a word."""
        import av

        with av.open(str(written)) as container:
            kept = {name.lower() for name in container.metadata}
            found = {(s.type, name.lower(), value) for s in container.streams for name, value in s.metadata.items()}
        lost = [name for name in metadata if name.lower() not in _OWN and name.lower() not in kept]
        lost += [f"the {name} of the {kind}" for kind, name, value in tags if (kind, name, value) not in found]
        if lost := list(dict.fromkeys(lost)):
            shown = ", ".join(lost[:_SHOWN]) + (f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else "")
            self.notes.append(f"tags that a {self._ending} file cannot hold are left out: {shown}")

    def _packets(self, out: "OutputContainer", stream: Any) -> "Iterator[tuple[float, av.Packet[Any]]]":
        """The packets of the part with the times at which they are decoded.

        These are made anew: those of the encoder need not fit together where it began anew after an interruption.
        """
        import av

        coded = array("q", self._journal.stamps())
        shown = array("q", sorted(coded))
        place = {stamp: number for number, stamp in enumerate(shown)} if coded != shown else {}
        delay = max((number - place[stamp] for number, stamp in enumerate(coded)), default=0) if place else 0
        step = max(1, round(1 / self.encoding.rate / self.encoding.time_base))
        negative = "mov" in out.format.name or "mp4" in out.format.name
        for number, piece in enumerate(self._journal.pieces()):
            early = max(0, delay - number)
            packet: av.Packet[Any] = av.Packet(piece.data)
            packet.pts, packet.time_base = piece.pts, self.encoding.time_base
            packet.dts = shown[max(0, number - delay)] - (early * step if negative else 0)
            packet.is_keyframe, packet.stream = piece.is_key, stream
            here = place.get(piece.pts, number)
            following = shown[here + 1] if here + 1 < len(shown) else piece.pts + (self._span or step)
            packet.duration = following - piece.pts
            yield float(packet.dts * self.encoding.time_base), packet

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """FFmpeg's and the system's errors as ours, with what is kept."""
        import av

        try:
            yield
        except CalcoError as error:
            if "No space left" in str(error):
                raise CalcoError(f"{error}{self._kept()}") from error
            raise
        except (av.FFmpegError, OSError) as error:
            number = error.errno if error.errno in errno.errorcode else errno.EIO
            reason = OSError(number, error.strerror or str(error))
            raise CalcoError(f"{explain(reason, self.path, 'write')}{self._kept()}") from error

    def _kept(self) -> str:
        journal = getattr(self, "_journal", None)
        if not self._keeps or journal is None or not journal.done:
            return ""
        return f"; what is done ({journal.done} frames) is kept, and {self._again} continues from there"


def part_of(path: Path) -> Path:
    """Where the part of a video lies: hidden, beside it."""
    return path.with_name(short_name(f".{path.name}", ".part"))
