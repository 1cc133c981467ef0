"""What configurations know of videos: names, times as a user writes them, and the options of live images."""

import contextlib
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Final

from tyro.conf import arg

from calco.errors import CalcoError, printable
from calco.files import make_folder

LIVE_RANGES: Final = {"page": (0, 65_535), "rate": (0, 1000), "patience": (0, 10**9), "seconds": (0, 10**9)}
"""Least and largest values of the numbers in `LiveOptions`."""

VIDEO_SUFFIXES: Final = frozenset({
    ".mp4", ".m4v", ".mov", ".qt", ".avi", ".divx", ".mkv", ".webm", ".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".mpv",
    ".m2p", ".vob", ".mod", ".evo", ".ts", ".m2ts", ".mts", ".m2t", ".tod", ".trp", ".wmv", ".asf", ".flv", ".f4v",
    ".ogv", ".ogm", ".3gp", ".3g2", ".y4m", ".mxf", ".gxf", ".nut", ".ivf", ".dv", ".dif", ".rm", ".rmvb", ".mjpg",
    ".mjpeg", ".h264", ".264", ".avc", ".h265", ".265", ".hevc", ".obu", ".wtv", ".amv", ".fli", ".flc", ".apng",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """Options of live images, which translation, detection and watch share."""

    live: bool = False
    """Play a video, or the stream at an http address: always show its newest image; drop and count the others."""

    page: Annotated[int | None, arg(metavar="PORT")] = None
    """Show live images in a browser, on this port of this machine; 0 for any that is free."""

    size: Annotated[str | None, arg(metavar="WIDTHxHEIGHT")] = None
    """Size of images to ask the camera for, such as 1280x720; of a pipe, the size of its bare RGB images."""

    rate: float = 0.0
    """Frames per second to ask the camera for, or those of bare images in a pipe."""

    patience: float = 60.0
    """Seconds for which to look for a lost camera; 0 for ever."""

    seconds: float = 0.0
    """Seconds after which live images end; 0 for never."""


def is_video(name: str) -> bool:
    """Whether the ending is that of a video, in upper or lower case."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def is_moving(name: str, out: str | None) -> bool:
    """Whether a file is read as a video: by its ending, or an animated image whose result `out` is one video."""
    from calco.imaging import several_in  # here and below: configurations, which import no NumPy, look at names too

    return is_video(name) or (names_video(out) and several_in(name) == "frames")


def holds_videos(folder: str) -> bool:
    """Whether a folder and those below it hold videos and no image."""
    from calco.imaging import is_image

    folders, found = [folder], False
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif is_image(entry.name):
                    return False
                else:
                    found = found or is_video(entry.name)
    return found


def names_video(out: str | None) -> bool:
    """Whether a result has the name of a video, and no folder has it."""
    return out is not None and is_video(out) and not os.path.isdir(out)


def result_folder(out: str | os.PathLike[str]) -> Path:
    """Make the folder of results; raise a `CalcoError` if its name is that of an image or a video."""
    from calco.imaging import is_image

    name = os.fspath(out)
    if not os.path.isdir(name) and not name.endswith("/") and (is_video(name) or is_image(name)):
        kind = "video" if is_video(name) else "image"
        raise CalcoError(f"--out {name} is the name of one {kind}, and the result here is a folder; name a folder")
    return make_folder(name)


def seconds_of(text: str) -> Fraction:
    """Return the time that a person wrote: seconds, mm:ss or hh:mm:ss, with decimals.

    >>> seconds_of("1:02:03.5")
    """
    parts = text.strip().split(":")
    try:
        numbers = [Fraction(part) for part in parts]
    except (ValueError, ZeroDivisionError):
        numbers = [Fraction(-1)]
    if len(parts) > 3 or min(numbers) < 0 or any(number >= 60 for number in numbers[1:]):
        raise CalcoError(f"{printable(text)!r} is no time; give seconds (90), mm:ss (1:30) or hh:mm:ss (0:01:30)")
    return Fraction(sum(number * 60**place for place, number in enumerate(reversed(numbers))))
