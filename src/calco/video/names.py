"""Names of video files, and times as a user writes them."""

import os
from fractions import Fraction
from typing import Final

from calco.errors import CalcoError, printable

VIDEO_SUFFIXES: Final = frozenset({
    ".mp4", ".m4v", ".mov", ".qt", ".avi", ".divx", ".mkv", ".webm", ".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".mpv",
    ".m2p", ".vob", ".mod", ".evo", ".ts", ".m2ts", ".mts", ".m2t", ".tod", ".trp", ".wmv", ".asf", ".flv", ".f4v",
    ".ogv", ".ogm", ".3gp", ".3g2", ".y4m", ".mxf", ".gxf", ".nut", ".ivf", ".dv", ".dif", ".rm", ".rmvb", ".mjpg",
    ".mjpeg", ".h264", ".264", ".avc", ".h265", ".265", ".hevc", ".obu", ".wtv", ".amv", ".fli", ".flc", ".apng",
})  # fmt: skip


def is_video(name: str) -> bool:
    """Whether the ending is that of a video, in upper or lower case."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


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
