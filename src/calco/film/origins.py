"""Where live pictures come from: what the words of a user mean."""

import contextlib
import os
import re
import stat
from dataclasses import dataclass, replace
from typing import Final, Literal

from calco import images
from calco.errors import CalcoError

STREAMS: Final = frozenset(
    {"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srtp", "srt", "udp", "tcp", "mms", "mmsh", "mmst"}
)
"""Kinds of addresses under which there is always a stream."""
WEB: Final = frozenset({"http", "https"})
"""Kinds of addresses under which there may be pictures or a stream."""
_CAMERA: Final = re.compile(r"camera(?::(\d+))?|/dev/video(\d+)")
_ADDRESS: Final = re.compile(r"([a-z][a-z0-9+.-]*)://")
Kind = Literal["camera", "address", "file", "pipe"]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A source of live pictures.

    Attributes:
        kind: A camera of this machine, an address, a file, or a pipe.
        place: What is opened: a device, an address, a path, or "-" for stdin.
        size_wh: What the camera is asked for; of a pipe, that it holds bare RGB pictures of this size. Pixels.
        rate: Frames in a second that the camera is asked for, or that bare pictures in a pipe have; 0 asks nothing.
    """

    kind: Kind
    place: str
    size_wh: tuple[int, int] | None = None
    rate: float = 0.0

    @property
    def name(self) -> str:
        """What messages call it, without a password."""
        return "stdin" if self.place == "-" else re.sub(r"(://[^:/@]*):[^/]*@", r"\1:***@", self.place)

    @property
    def may_return(self) -> bool:
        """Whether it is tried again when it is lost."""
        return self.kind in ("camera", "address")


def origin_of(pictures: str, *, live: bool, watched: bool = False) -> Origin | None:
    """The live source that a word, an address or a path means, or None where it means pictures or a film.

    Args:
        pictures: As the user wrote it.
        live: Whether the user asked for playing.
        watched: Whether the result goes where only moving pictures go: a window, a page, a film, a pipe.
    """
    if pictures == "-":
        return Origin(kind="pipe", place="-")
    if scheme := _ADDRESS.match(pictures.lower()):
        if scheme[1] in STREAMS or (scheme[1] in WEB and (live or watched)):
            return Origin(kind="address", place=pictures)
        if live:
            raise CalcoError(
                f"{pictures} cannot be played; give an address that starts with rtsp:// or http://, or a file"
            )
        return None
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.stat(pictures).st_mode):
            return Origin(kind="pipe", place=pictures)
    if (camera := _CAMERA.fullmatch(pictures)) and (pictures.startswith("/dev/") or not os.path.exists(pictures)):
        number = camera[1] or camera[2]
        return Origin(kind="camera", place="" if number is None else f"/dev/video{number}")
    if not live:
        return None
    if os.path.isdir(pictures):
        raise CalcoError(f"{pictures} is a folder, and one film is played at a time; name a film in it")
    return Origin(kind="file", place=pictures)


def asked(origin: Origin, size: str | None, rate: float) -> Origin:
    """The source with what is asked of it.

    Args:
        origin: The source.
        size: Width and height in pixels, such as "1280x720"; None asks nothing.
        rate: Frames in a second; 0 asks nothing.

    Raises:
        CalcoError: When they are no size and no rate, or the source cannot be asked.
    """
    if size is None and not rate:
        return origin
    if origin.kind in ("address", "file"):
        raise CalcoError(
            f"{origin.name} has its own size and rate; leave --size and --rate out: they ask a camera, and tell those "
            "of bare pictures in a pipe"
        )
    parts = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size or "1x1")
    size_wh = (int(parts[1]), int(parts[2])) if parts else (0, 0)
    if not 0 < size_wh[0] * size_wh[1] <= images.MAX_PIXELS:
        raise CalcoError(f"--size {size} is no size; give width and height in pixels, such as --size 1280x720")
    if not 0 <= rate <= 1000:
        raise CalcoError(f"--rate {rate:g} is no rate; give frames in a second, such as --rate 30")
    if origin.kind == "pipe" and size is None:
        raise CalcoError("--rate alone tells nothing of a pipe; give --size too where it holds bare RGB pictures")
    return replace(origin, size_wh=size_wh if size else None, rate=rate)
