"""Where live images come from: what the words of a user mean."""

import contextlib
import os
import re
import stat
from dataclasses import dataclass, replace
from typing import Final, Literal

from calco import imaging
from calco.errors import CalcoError

STREAMS: Final = frozenset(
    {"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srtp", "srt", "udp", "tcp", "mms", "mmsh", "mmst"}
)
"""Kinds of addresses under which there is always a stream."""
WEB: Final = frozenset({"http", "https"})
"""Kinds of addresses under which there may be images or a stream."""
_CAMERA: Final = re.compile(r"camera(?::(\d+))?|/dev/video(\d+)")
_ADDRESS: Final = re.compile(r"([a-z][a-z0-9+.-]*)://")
Kind = Literal["camera", "address", "file", "pipe"]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A source of live images.

    Attributes:
        kind: A camera of this machine, an address, a file, or a pipe.
        place: What is opened: a device, an address, a path, or "-" for stdin.
        size_wh: What the camera is asked for; of a pipe, that it holds bare RGB images of this size. Pixels.
        rate: Frames in a second that the camera is asked for, or that bare images in a pipe have; 0 asks nothing.
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


def origin_of(images: str, *, live: bool, watched: bool = False) -> Origin | None:
    """The live source that a word, an address or a path means, or None where it means images or a video.

    Args:
        images: As the user wrote it.
        live: Whether the user asked for playing.
        watched: Whether the result goes where only moving images go: a window, a page, a video, a pipe.
    """
    if images == "-":
        return Origin(kind="pipe", place="-")
    if scheme := _ADDRESS.match(images.lower()):
        if scheme[1] in STREAMS or (scheme[1] in WEB and (live or watched)):
            return Origin(kind="address", place=images)
        if live:
            raise CalcoError(
                f"{images} cannot be played; give an address that starts with rtsp:// or http://, or a file"
            )
        return None
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.stat(images).st_mode):
            return Origin(kind="pipe", place=images)
    if (camera := _CAMERA.fullmatch(images)) and (images.startswith("/dev/") or not os.path.exists(images)):
        number = camera[1] or camera[2]
        return Origin(kind="camera", place="" if number is None else f"/dev/video{number}")
    if not live:
        return None
    if os.path.isdir(images):
        raise CalcoError(f"{images} is a folder, and one video is played at a time; name a video in it")
    return Origin(kind="file", place=images)


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
            "of bare images in a pipe"
        )
    parts = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size or "1x1")
    size_wh = (int(parts[1]), int(parts[2])) if parts else (0, 0)
    if not 0 < size_wh[0] * size_wh[1] <= imaging.MAX_PIXELS:
        raise CalcoError(f"--size {size} is no size; give width and height in pixels, such as --size 1280x720")
    if not 0 <= rate <= 1000:
        raise CalcoError(f"--rate {rate:g} is no rate; give frames in a second, such as --rate 30")
    if origin.kind == "pipe" and size is None:
        raise CalcoError("--rate alone tells nothing of a pipe; give --size too where it holds bare RGB images")
    return replace(origin, size_wh=size_wh if size else None, rate=rate)
