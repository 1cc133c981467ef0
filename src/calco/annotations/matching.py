"""Images that annotations name: by the name and the folders around it, or by a number."""

import re
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias
from urllib.parse import unquote

_UPLOADED: Final = re.compile(r"(?i)^[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the names of files

Closeness: TypeAlias = tuple[int, int, int, int]


class Images:
    """Finds the images that annotations name.

    Args:
        paths: The image files.
        root: Folder to which their names are relative.
    """

    def __init__(self, paths: Iterable[Path], root: Path) -> None:
        self.paths, self.root = tuple(paths), root
        self._of_stem: dict[str, list[Path]] = {}
        for path in self.paths:
            self._of_stem.setdefault(plain(path.stem), []).append(path)

    def name(self, path: Path) -> str:
        """Return the path relative to the images' folder, with forward slashes."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    def find(self, name: str, near: Path) -> tuple[Path | None, str]:
        """Find the image of a name in the file `near`; return it, or None and the reason.

        A name may have any folders and any ending, and may be percent-encoded. Of several images with one stem, those
        with the very name count first, then those whose folders share most with the name and with the file's path.
        """
        named, found = _parts(name), list[Path]()
        for each in dict.fromkeys((named, _parts(unquote(name)), _parts(_UPLOADED.sub("", named.name)))):
            # A dot in a name without ending is no ending: "a.b" of "a.b.txt" is the stem of "a.b.jpg".
            stems = dict.fromkeys((plain(each.stem), plain(each.name)))
            if found := [path for stem in stems for path in self._of_stem.get(stem, ())]:
                named = each
                break
        if not found:
            return None, f"no image is named {named.name}"
        ranks = {path: self.closeness(path, str(named), near) for path in found}
        best = [path for path, rank in ranks.items() if rank == max(ranks.values())]
        if len(best) > 1:
            return None, f"{len(best)} images are named {named.name}: {', '.join(map(self.name, best[:3]))}"
        return best[0], ""

    def closeness(self, path: Path, name: str, near: Path) -> Closeness:
        """Rank how well an image fits a name: by the name itself, then by their folders."""
        named = _parts(name)
        words = {plain(part) for part in (*named.parts, *near.parts, *near.stem.split("_"))}
        folders = {plain(part) for part in path.parent.parts}
        same = named.name in (path.name, path.stem)
        alike = plain(named.name) in (plain(path.name), plain(path.stem))
        strange, apart = ({plain(part) for part in parts} - folders for parts in (named.parts[:-1], near.parent.parts))
        return same + alike, len(words & folders), -len(strange), -len(apart)

    def numbered(self, number: int) -> tuple[Path | None, str]:
        """Return the image of a number, or None and the reason."""
        path = self._of_number.get(number)
        return path, "" if path else f"no image has the number {number}"

    @cached_property
    def _of_number(self) -> dict[int, Path]:
        """Images by the last number in their name, of those that are named as most are but for this number."""
        families: dict[tuple[Path, str], dict[int, Path]] = {}
        for path in self.paths:
            if found := re.fullmatch(r"(.*?)([0-9]{1,9})([^0-9]*)", path.stem):
                family = families.setdefault((path.parent, f"{found[1]}#{found[3]}"), {})
                family.setdefault(int(found[2]), path)
        return max(families.values(), key=len, default={})


def _parts(name: str) -> PurePosixPath:
    return PurePosixPath(name.strip().replace("\\", "/"))


def plain(text: str) -> str:
    """Return text in composed Unicode and without capitals: the same for names that a person takes for the same."""
    return unicodedata.normalize("NFC", text).casefold()
