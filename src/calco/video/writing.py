"""Writing a video: frames are encoded into a part beside it, which becomes the video when all of it is there."""

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

from calco.data.colours import usual
from calco.errors import CalcoError
from calco.files import explain, replacing, short_name
from calco.imaging import Image, as_channels
from calco.locks import locked_file
from calco.video.codecs import (
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
from calco.video.journal import Journal
from calco.video.other_streams import OtherStreams
from calco.video.reading import Video

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
            self._journal = Journal.open(part_of(self.path), record)
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
