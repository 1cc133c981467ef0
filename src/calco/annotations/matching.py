"""Images that annotations name: by the name and the folders around it, or by a number."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias
from urllib.parse import unquote

from calco.annotations.record import Record

_UPLOADED: Final = re.compile(r"(?i)^[0-9a-f]{8}-(?=.)")


Closeness: TypeAlias = tuple[int, int, int, int]


class Images:
    """Finds the images that annotations name.

    Args:
        paths: The image files.
        root: The folder that their names are told relative to.
    """

    def __init__(self, paths: Iterable[Path], root: Path) -> None:
        self.paths, self.root = tuple(paths), root
        self._of_stem: dict[str, list[Path]] = {}
        for path in self.paths:
            self._of_stem.setdefault(plain(path.stem), []).append(path)
        self._of_number: dict[int, Path] | None = None

    def name(self, path: Path) -> str:
        """The path relative to the images' folder, with forward slashes."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    def find(self, name: str, near: Path) -> tuple[Path | None, str]:
        """Find the image of a name, or say why there is none.

        A name may have any folders and any ending, may be percent-encoded, and may begin with the eight digits that
        Label Studio puts before the names of what it is given. Of several images with one stem, those with the very
        name count first, then those whose folders share most with the name and with the path of the file that names it.

        Args:
            name: As the annotation gives it, with or without folders and ending.
            near: The annotation's file.
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
        ranks = {path: self.closeness(path, str(named), near) for path in dict.fromkeys(found)}
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
        """The image of a number, or why there is none."""
        if self._of_number is None:
            self._of_number = _by_number(self.paths)
        path = self._of_number.get(number)
        return path, "" if path else f"no image has the number {number}"


def match_by_number(
    records: Iterable[Record], images: Iterable[Path]
) -> tuple[list[tuple[Record, Path]], list[tuple[str, str]]]:
    """Give the records of JSON lines the images that are named after their lines: line 7, from 0, is "img7.png".

    Args:
        records: With their numbers.
        images: Of which those are looked at that are named as most of them are, but for the number.

    Returns:
        Record and image, and the names and reasons of the records and images that are left over.
    """
    paths = list(images)
    of_number = _by_number(paths)
    matched, left_out = [], []
    for record in records:
        path = None if record.number is None else of_number.pop(record.number, None)
        if path is None:
            left_out.append((f"line {record.number} ({record.name})", f"no image has the number {record.number}"))
        else:
            matched.append((record, path))
    used = {path for _, path in matched}
    left_out += [(path.name, "no line has its number") for path in paths if path not in used]
    return matched, left_out


def _by_number(paths: Iterable[Path]) -> dict[int, Path]:
    """The images that are named as most are, but for the last number in their name."""
    families: dict[tuple[Path, str], dict[int, Path]] = {}
    for path in paths:
        if found := re.fullmatch(r"(.*?)([0-9]{1,9})([^0-9]*)", path.stem):
            family = families.setdefault((path.parent, f"{found[1]}#{found[3]}"), {})
            family.setdefault(int(found[2]), path)
    sizes = Counter({key: len(family) for key, family in families.items()})
    return families[sizes.most_common(1)[0][0]] if families else {}


def _parts(name: str) -> PurePosixPath:
    return PurePosixPath(name.strip().replace("\\", "/"))


def plain(text: str) -> str:
    """Return what is equal for names that a person takes for the same: in Unicode's composed form, without capitals."""
    return unicodedata.normalize("NFC", text).casefold()
