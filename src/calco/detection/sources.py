"""What `calco detect predict` is given: which files are meant, and where their results go."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from calco import images
from calco.errors import CalcoError
from calco.files import list_files
from calco.pairs.frames import is_film, is_moving
from calco.pairs.layout import nothing_in

_KNOWN: Final = "pictures (.jpg, .png ...), films (.mp4, .avi ...)"


@dataclass(frozen=True, slots=True)
class Given:
    """A picture or film that is given.

    Attributes:
        path: Where it lies.
        name: In the results' folder, with forward slashes.
        moving: Whether all frames of an animated image are meant.
    """

    path: str
    name: str
    moving: bool = False

    @property
    def kind(self) -> Literal["picture", "film"]:
        """What it is, by its ending."""
        return "film" if self.moving or is_film(self.path) else "picture"


def listed(sources: tuple[str, ...], out: str) -> tuple[list[Given], list[tuple[str, str]]]:
    """The pictures and films that are meant, and what in folders could not be read, with its reason.

    Args:
        sources: Files and folders.
        out: Where results go; what lies there is no source.

    Raises:
        CalcoError: When one is not there or is neither picture nor film, a folder holds none, or two have one name.
    """
    found: list[Given] = []
    left_out: list[tuple[str, str]] = []
    inside = os.path.join(os.path.realpath(out), "")
    for source in sources:
        if not os.path.isdir(source):
            found.append(_single(source, out))
            continue
        listing = list_files(source, lambda name: images.is_picture(name) or is_film(name))
        paths = [path for path in listing.paths if not os.path.realpath(path).startswith(inside)]
        if not paths:
            raise CalcoError(nothing_in(Path(source), listing.left_out, "picture"))
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
    if not (images.is_picture(source) or is_film(source)):
        raise CalcoError(f"{source} is neither picture nor film by its ending; name {_KNOWN} or folders of them")
    return Given(source, os.path.basename(source), is_moving(source, out))
