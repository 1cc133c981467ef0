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


class OtherStreams:
    """What a video holds beside its images, from one time to another.

    Attributes:
        notes: What was done beside copying, and what is left out, a sentence each.
        tags: Kind of stream, name and value of the tags that its streams have got.
    """

    def __init__(
        self, video: Video, out: "OutputContainer", ending: str, start: Fraction, stop: Fraction | None
    ) -> None:
        """Opens the video and gives the file that is written its streams and chapters.

        Args:
            video: Where it comes from.
            out: Where it goes; no packet is written yet.
            ending: Of the name of that file.
            start: Seconds of the video from which it is taken.
            stop: Where it ends; None takes all.
        """
        self.notes: list[str] = []
        self.tags: list[tuple[str, str, str]] = []
        self._held = contextlib.ExitStack()
        container, _ = self._held.enter_context(opened(video.path))
        self._container, self._video, self._out = container, video, out
        self._start, self._stop = start, stop
        # These keep the lead-in of sound, which decoders need and players do not play, before the beginning.
        matroska = "matroska" in container.format.name and ending in (".mkv", ".webm")
        self._signed = ending in (".mp4", ".m4v", ".mov") or matroska
        self._copied: dict[int, Any] = {}
        self._coded: dict[int, Any] = {}
        for stream in container.streams.audio:
            self._add(stream, ending)
        for subtitles in container.streams.subtitles:
            self._add_subtitles(subtitles, ending)
        self._add_chapters(ending)
        self._note_others()

    def _note_others(self) -> None:
        """Reports the streams that nothing here copies."""
        from av.stream import Disposition

        streams = self._container.streams
        covers = [s for s in streams.video if Disposition.attached_pic in s.disposition]
        mov = "mov" in self._container.format.name and bool(self._container.chapters())
        data = streams.data[1:] if mov else streams.data  # in MP4 and MOV the names of chapters are a stream of data
        kinds = {"the cover image": covers, "attached files": streams.attachments, "data (timecodes)": data}
        if left := [f"{name} ({len(found)})" if len(found) > 1 else name for name, found in kinds.items() if found]:
            self.notes.append(f"{' and '.join(left)} of {self._video.path} is left out")

    def _add_subtitles(self, stream: Any, ending: str) -> None:
        import av

        name = None if stream.codec_context is None else stream.codec_context.codec.canonical_name
        if name in self._out.supported_codecs:
            with contextlib.suppress(ValueError, av.FFmpegError):
                self._copied[stream.index] = copy = self._out.add_stream_from_template(stream)
                copy.time_base = stream.time_base
                self._tag(copy, stream)
                return
        self.notes.append(
            f"the subtitles ({name or 'of unknown coding'}) are left out: a {ending} file cannot hold them; "
            "an .mkv file can"
        )

    def _add_chapters(self, ending: str) -> None:
        chapters: list[Any] = self._container.chapters()
        if chapters and ending not in _CHAPTERS:
            self.notes.append(f"{len(chapters)} chapters are left out: a {ending} file cannot hold them")
            return
        kept: list[Any] = []
        for chapter in chapters:
            base = Fraction(chapter["time_base"] or Fraction(1, 1000))
            begin, end = (chapter[side] * base - self._video.start - self._start for side in ("start", "end"))
            if end > 0 and not self._late(begin):
                stop = end if self._stop is None else min(end, self._stop - self._start)
                kept.append({**chapter, "start": round(max(begin, Fraction(0)) / base), "end": round(stop / base)})
        if kept:
            self._out.set_chapters(kept)

    def _tag(self, copy: Any, stream: Any) -> None:
        tags = {k: v for k, v in stream.metadata.items() if k in _TAGS and v != "und"}
        self.tags += [(stream.type, name, value) for name, value in tags.items()]
        copy.metadata.update(tags)
        copy.disposition = stream.disposition

    def _add(self, stream: Any, ending: str) -> None:
        import av

        name = None if stream.codec_context is None else stream.codec_context.codec.canonical_name
        streams = "mpegts" in self._out.format.name and name in ("aac", "mp3", "mp2", "ac3")  # which it does not list
        if name is not None and (streams or name in self._out.supported_codecs):
            with contextlib.suppress(ValueError, av.FFmpegError):
                self._copied[stream.index] = copy = self._out.add_stream_from_template(stream)
                copy.time_base = stream.time_base
                self._tag(copy, stream)
                return
        other = "libopus" if ending in (".webm", ".ogv") else "mp2" if ending in (".mpg", ".mpeg") else "aac"
        if name is None or other not in av.codecs_available or other not in {*self._out.supported_codecs, "libopus"}:
            self.notes.append(f"the sound ({name or 'of unknown coding'}) is left out: {ending} cannot hold it")
            return
        rate = 48_000 if other == "libopus" else stream.rate
        layout = (
            "mono"
            if stream.channels == 1
            else "stereo"
            if other != "aac" or stream.channels > 6
            else stream.layout.name
        )
        self._coded[stream.index] = coded = self._out.add_stream(other, rate=rate, layout=layout)
        self._tag(coded, stream)
        said = other.removeprefix("lib")
        self.notes.append(f"the sound ({name}) cannot lie in a {ending} file as it is: coded anew as {said}")

    def packets(self) -> Iterator[tuple[float, "av.Packet[Any]"]]:
        """Packets with the seconds at which they are heard, in order."""
        import av

        both = (*self._container.streams.audio, *self._container.streams.subtitles)
        streams = [s for s in both if s.index in self._copied or s.index in self._coded]
        demuxed = self._container.demux(streams) if streams else iter(())
        while True:
            try:
                packet = next(demuxed, None)
            except (av.InvalidDataError, EOFError):
                self.notes.append(f"the sound of {self._video.path} ends where the file is damaged")
                packet = None
            if packet is None:
                break
            if packet.stream.index in self._copied:
                yield from self._copy(packet)
            else:
                yield from self._coded_anew(packet)
        for stream in self._coded.values():
            yield from self._out_of(stream.encode(None), stream)

    def close(self) -> None:
        """Closes the video."""
        self._held.close()

    def _copy(self, packet: "av.Packet[Any]") -> "Iterator[tuple[float, av.Packet[Any]]]":
        if packet.pts is None or not packet.size:
            return
        base = Fraction(packet.time_base)
        time = packet.pts * base - self._video.start - self._start
        shift = round((self._video.start + self._start) / base)
        if self._late(time):
            return
        rest = time + (packet.duration or 0) * base
        if time < 0 and not (self._signed and not self._start):
            if rest <= 0:
                return
            # What is still heard or seen when the result begins, begins with it.
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
                time = frame.pts * frame.time_base - self._video.start - self._start
                if time < 0 or self._late(time):
                    continue
                frame.pts = round(time / frame.time_base)
                yield from self._out_of(stream.encode(frame), stream)

    def _late(self, time: Fraction) -> bool:
        return self._stop is not None and time >= self._stop - self._start

    @staticmethod
    def _out_of(packets: Any, stream: Any) -> "Iterator[tuple[float, av.Packet[Any]]]":
        for packet in packets:
            if packet.pts is not None:
                yield float(packet.pts * (packet.time_base or stream.time_base)), packet
