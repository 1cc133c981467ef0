"""What `calco detect predict` is given: which files are meant, and where their results go."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from calco import imaging
from calco.data.sources.folders import nothing_in
from calco.errors import CalcoError
from calco.files import list_files
from calco.video.frames import is_moving, is_video

_KNOWN: Final = "images (.jpg, .png ...), videos (.mp4, .avi ...)"


@dataclass(frozen=True, slots=True)
class Given:
    """An image or video that is given.

    Attributes:
        path: Where it lies.
        name: In the results' folder, with forward slashes.
        moving: Whether all frames of an animated image are meant.
    """

    path: str
    name: str
    moving: bool = False

    @property
    def kind(self) -> Literal["image", "video"]:
        """What it is, by its ending."""
        return "video" if self.moving or is_video(self.path) else "image"


def listed(sources: tuple[str, ...], out: str) -> tuple[list[Given], list[tuple[str, str]]]:
    """The images and videos that are meant, and what in folders could not be read, with its reason.

    Args:
        sources: Files and folders.
        out: Where results go; what lies there is no source.

    Raises:
        CalcoError: When one is not there or is neither image nor video, a folder holds none, or two have one name.
    """
    found: list[Given] = []
    left_out: list[tuple[str, str]] = []
    inside = os.path.join(os.path.realpath(out), "")
    for source in sources:
        if not os.path.isdir(source):
            found.append(_single(source, out))
            continue
        listing = list_files(source, lambda name: imaging.is_image(name) or is_video(name))
        paths = [path for path in listing.paths if not os.path.realpath(path).startswith(inside)]
        if not paths:
            raise CalcoError(nothing_in(Path(source), listing.left_out, "image"))
        found += [Given(path, path[len(listing.root) :].replace(os.sep, "/")) for path in paths]
        left_out += listing.left_out
    seen: dict[str, str] = {}
    for given in found:
        if seen.setdefault(given.name, given.path) != given.path:
            raise CalcoError(f"{seen[given.name]} and {given.path} would both be written as {given.name}; look at them "
                             "in two calls, with another --out")  # fmt: skip
    return list({given.name: given for given in found}.values()), left_out


def _single(source: str, out: str) -> Given:
    if not os.path.exists(source):
        raise CalcoError(f"there is no {source}; name {_KNOWN} or folders of them")
    if not (imaging.is_image(source) or is_video(source)):
        raise CalcoError(f"{source} is neither image nor video by its ending; name {_KNOWN} or folders of them")
    return Given(source, os.path.basename(source), is_moving(source, out))
