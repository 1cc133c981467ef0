"""Sound, subtitles and chapters of a video on their way into another file: as they are, or sound coded anew."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from calco.video.frames import opened
from calco.video.reading import Video

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer

_CHAPTERS: Final = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
_TAGS: Final = ("language", "title")
_UNLISTED: Final = ("aac", "mp3", "mp2", "ac3")  # held by MPEG-TS, which FFmpeg does not say


class OtherStreams:
    """Sound, subtitles and chapters of a video, from one time to another.

    `notes` says what was changed or left out; `tags` holds kind of stream, name and value of the tags that were copied.
    """

    def __init__(
        self, video: Video, out: "OutputContainer", ending: str, start: Fraction, stop: Fraction | None
    ) -> None:
        """Open the video, and give the file that is written, before its first packet, its streams and chapters."""
        self.notes: list[str] = []
        self.tags: list[tuple[str, str, str]] = []
        self._held = contextlib.ExitStack()
        self._container, _ = self._held.enter_context(opened(video.path))
        self._video, self._out, self._ending = video, out, ending
        self._origin = video.start + start  # in the video's own time
        self._length = None if stop is None else stop - start
        # These keep the lead-in of sound, which decoders need and players do not play, before the beginning.
        matroska = "matroska" in self._container.format.name and ending in (".mkv", ".webm")
        self._keeps_lead = (ending in (".mp4", ".m4v", ".mov") or matroska) and not start
        self._copied: dict[int, Any] = {}
        self._coded: dict[int, Any] = {}
        for stream in self._container.streams.audio:
            if not self._copy_stream(stream):
                self._code_anew(stream)
        for subtitles in self._container.streams.subtitles:
            if not self._copy_stream(subtitles):
                name = _codec_of(subtitles) or "of unknown coding"
                self.notes.append(f"the subtitles ({name}) are left out: a {ending} file cannot hold them; "
                                  "an .mkv file can")  # fmt: skip
        self._add_chapters()
        self._note_others()

    def _copy_stream(self, stream: Any) -> bool:
        """Add a stream for packets as they are; return whether the file can hold it."""
        import av

        name = _codec_of(stream)
        is_unlisted = "mpegts" in self._out.format.name and name in _UNLISTED
        if name is not None and (is_unlisted or name in self._out.supported_codecs):
            with contextlib.suppress(ValueError, av.FFmpegError):
                self._copied[stream.index] = copy = self._out.add_stream_from_template(stream)
                copy.time_base = stream.time_base
                self._tag(copy, stream)
                return True
        return False

    def _code_anew(self, stream: Any) -> None:
        import av

        name, ending = _codec_of(stream), self._ending
        other = "libopus" if ending == ".webm" else "mp2" if ending in (".mpg", ".mpeg") else "aac"
        if name is None or other not in av.codecs_available or other not in {*self._out.supported_codecs, "libopus"}:
            self.notes.append(f"the sound ({name or 'of unknown coding'}) is left out: {ending} cannot hold it")
            return
        rate = 48_000 if other == "libopus" else stream.rate
        layout = stream.layout.name if other == "aac" and stream.channels <= 6 else "stereo"
        layout = "mono" if stream.channels == 1 else layout
        self._coded[stream.index] = coded = self._out.add_stream(other, rate=rate, layout=layout)
        self._tag(coded, stream)
        self.notes.append(f"the sound ({name}) cannot lie in a {ending} file as it is: coded anew as "
                          f"{other.removeprefix('lib')}")  # fmt: skip

    def _tag(self, copy: Any, stream: Any) -> None:
        tags = {k: v for k, v in stream.metadata.items() if k in _TAGS and v != "und"}
        self.tags += [(stream.type, name, value) for name, value in tags.items()]
        copy.metadata.update(tags)
        copy.disposition = stream.disposition

    def _add_chapters(self) -> None:
        chapters: list[Any] = self._container.chapters()
        if chapters and self._ending not in _CHAPTERS:
            self.notes.append(f"{len(chapters)} chapters are left out: a {self._ending} file cannot hold them")
            return
        kept: list[Any] = []
        for chapter in chapters:
            base = Fraction(chapter["time_base"] or Fraction(1, 1000))
            begin, end = (chapter[side] * base - self._origin for side in ("start", "end"))
            if end > 0 and not self._is_late(begin):
                end = end if self._length is None else min(end, self._length)
                kept.append({**chapter, "start": round(max(begin, Fraction(0)) / base), "end": round(end / base)})
        if kept:
            self._out.set_chapters(kept)

    def _note_others(self) -> None:
        """Report the streams that nothing here copies."""
        from av.stream import Disposition

        streams = self._container.streams
        covers = [s for s in streams.video if Disposition.attached_pic in s.disposition]
        mov = "mov" in self._container.format.name and bool(self._container.chapters())
        data = streams.data[1:] if mov else streams.data  # in MP4 and MOV the names of chapters are a stream of data
        kinds = {"the cover image": covers, "attached files": streams.attachments, "data (timecodes)": data}
        if left := [f"{name} ({len(found)})" if len(found) > 1 else name for name, found in kinds.items() if found]:
            self.notes.append(f"{' and '.join(left)} of {self._video.path} is left out")

    def packets(self) -> Iterator[tuple[float, "av.Packet[Any]"]]:
        """Yield packets with the seconds at which they are heard, in order."""
        import av

        both = (*self._container.streams.audio, *self._container.streams.subtitles)
        streams = [s for s in both if s.index in self._copied or s.index in self._coded]
        demuxed = self._container.demux(streams) if streams else iter(())
        try:
            for packet in demuxed:
                yield from self._copy(packet) if packet.stream.index in self._copied else self._coded_anew(packet)
        except (av.InvalidDataError, EOFError):
            self.notes.append(f"the sound of {self._video.path} ends where the file is damaged")
        for stream in self._coded.values():
            yield from self._out_of(stream.encode(None), stream)

    def close(self) -> None:
        """Close the video."""
        self._held.close()

    def _copy(self, packet: "av.Packet[Any]") -> "Iterator[tuple[float, av.Packet[Any]]]":
        if packet.pts is None or not packet.size:
            return
        base = Fraction(packet.time_base)
        time = packet.pts * base - self._origin
        shift = round(self._origin / base)
        if self._is_late(time):
            return
        if time < 0 and not self._keeps_lead:
            rest = time + (packet.duration or 0) * base
            if rest <= 0:
                return
            # A packet that is still heard or seen when the result begins, begins with it.
            packet.duration = round(rest / base)
            packet.pts, packet.dts, time = shift, shift, Fraction(0)
        packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        packet.stream = self._copied[packet.stream.index]
        yield float(time), packet

    def _coded_anew(self, packet: "av.Packet[Any]") -> "Iterator[tuple[float, av.Packet[Any]]]":
        import av

        stream = self._coded[packet.stream.index]
        with contextlib.suppress(av.InvalidDataError):
            for frame in packet.decode():
                if frame.pts is None or frame.time_base is None:
                    continue
                time = frame.pts * frame.time_base - self._origin
                if time >= 0 and not self._is_late(time):
                    frame.pts = round(time / frame.time_base)
                    yield from self._out_of(stream.encode(frame), stream)

    def _is_late(self, time: Fraction) -> bool:
        return self._length is not None and time >= self._length

    @staticmethod
    def _out_of(packets: Any, stream: Any) -> "Iterator[tuple[float, av.Packet[Any]]]":
        for packet in packets:
            if packet.pts is not None:
                yield float(packet.pts * (packet.time_base or stream.time_base)), packet


def _codec_of(stream: Any) -> str | None:
    return None if stream.codec_context is None else str(stream.codec_context.codec.canonical_name)
