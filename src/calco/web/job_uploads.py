"""What a job is made of: a video, images or a ZIP, and perhaps a mask; known by its content, checked by its header."""

from fractions import Fraction
from pathlib import Path
from typing import Final

from calco import imaging
from calco.errors import CalcoError
from calco.web.archives import MAGIC, Limits, check_archive, check_size, image_ending
from calco.web.job_store import Kind
from calco.web.refusals import RefusedError

_FRAME_RATE: Final = 120  # frames per second of the longest video, on the mean


def recognise(path: Path, limits: Limits) -> Kind:
    """Return the kind of an upload by its content, from its header; name it by the ending of its content.

    Raises:
        RefusedError: If it is empty or of no kind, holds too much, or is an archive that is refused.
    """
    _check_not_empty(path)
    if is_archive(path):
        check_archive(path, limits)
        path.rename(path.with_suffix(".zip"))
        return "images"
    ending = image_ending(path, limits)
    if ending is None:
        check_video(path, limits)
        path.rename(path.with_suffix(".video"))
        return "video"
    path = path.rename(path.with_suffix(ending))
    return "video" if imaging.several_in(path) == "frames" else "images"


def recognise_mask(path: Path, kind: Kind, limits: Limits) -> None:
    """Name a mask by the ending of its content: one image, or for a job of images a ZIP of masks by their names.

    Raises:
        RefusedError: If it is empty or neither, or holds too much.
    """
    _check_not_empty(path)
    if is_archive(path):
        if kind == "video":
            raise RefusedError("mask_archive")
        check_archive(path, limits)
        path.rename(path.with_suffix(".zip"))
        return
    ending = image_ending(path, limits)
    if ending is None:
        raise RefusedError("mask_kind")
    path.rename(path.with_suffix(ending))


def is_archive(path: Path) -> bool:
    """Return whether a file begins as a ZIP does."""
    with path.open("rb") as file:
        return file.read(4) in MAGIC


def _check_not_empty(path: Path) -> None:
    if not path.stat().st_size:
        raise RefusedError("empty")


def check_video(path: Path, limits: Limits) -> None:
    """Read the length and the size of a video from its container, and refuse what is too long or too large."""
    from calco.video.reading import Video  # without PyAV until somebody sends a video

    try:
        video = Video(path)
    except CalcoError as error:
        raise RefusedError("not_known") from error
    check_size(video.size, limits)
    check_length(video.duration or 0.0, video.frames_hint or 0, limits)


def check_length(seconds: float | Fraction, frames: int, limits: Limits) -> None:
    """Refuse a video that is too long, or has too many frames."""
    if seconds > limits.video_seconds:
        raise RefusedError("long", minutes=float(seconds) / 60, most=limits.video_seconds / 60)
    if frames > limits.video_seconds * _FRAME_RATE:
        raise RefusedError("frames", most=round(limits.video_seconds * _FRAME_RATE))
