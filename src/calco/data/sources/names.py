"""Names of files and folders: the split and the side of a pair that the words in them give."""

import os
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from calco import imaging
from calco.data.splits import SPLIT_NAMES, composed, furthest, split_named
from calco.errors import printable

# Words in a name that give its role; the first role that fits counts. English, then Spanish.
WORDS: Final[dict[str, frozenset[str]]] = {
    "mask": frozenset({
        "mask", "masks", "matte", "mattes", "seg", "segm", "segmentation", "segmentations", "groundtruth", "truth",
        "gt", "alpha", "mascara", "mascaras",
    }),
    "label": frozenset({
        "label", "labels", "annot", "annots", "annotation", "annotations", "etiqueta", "etiquetas",
    }),
    "input": frozenset({
        "input", "inputs", "source", "src", "sketch", "sketches", "edge", "edges", "line", "lines", "lineart",
        "drawing", "drawings", "grey", "gray", "low", "lowres", "lr", "lq", "noisy", "blur", "blurred", "blurry",
        "hazy", "rainy", "damaged", "scratched", "before", "condition", "entrada", "entradas", "boceto", "bocetos",
        "dibujo", "dibujos", "gris",
    }),
    "target": frozenset({
        "output", "outputs", "target", "targets", "photo", "photos", "photograph", "photographs", "colour", "color",
        "coloured", "colored", "real", "high", "highres", "hr", "hq", "clean", "clear", "sharp", "restored", "after",
        "salida", "salidas", "objetivo", "objetivos", "foto", "fotos",
    }),
}  # fmt: skip
IMAGE_WORDS: Final = frozenset({
    "im", "image", "images", "imagen", "imagenes", "img", "imgs", "orig", "original", "originals", "pic", "pics",
    "picture", "pictures", "rgb",
})  # fmt: skip
"""Words for images of no particular role: beside masks, they are the inputs."""
_KNOWN: Final = IMAGE_WORDS.union({"a", "b"}, *WORDS.values())
_FILLERS: Final = frozenset({"data", "dir", "files", "folder", "set", "split"})
_INSTANCES: Final = frozenset({"instance", "instances", "object", "objects"})
_SPLIT: Final = "|".join(sorted(SPLIT_NAMES, key=len, reverse=True))
_SPLIT_FIRST: Final = re.compile(rf"({_SPLIT})[ _.-]*(.+)", re.IGNORECASE)
_SPLIT_LAST: Final = re.compile(rf"(.+?)[ _.-]*({_SPLIT})[0-9]*", re.IGNORECASE)
_SPLIT_APART: Final = re.compile(rf"(^|[ _.-])({_SPLIT})([ _.-]|$)", re.IGNORECASE)
_SPLIT_INSIDE: Final = re.compile(rf"(.+?)[ _.-]+({_SPLIT})[ _.-]+(.+)", re.IGNORECASE)
_TWO_WORDS_LAST: Final = re.compile(r"(.*[^ _.\-(])[ _.\-(]+([^\W\d_]+[ _-][^\W\d_]+)\)?", re.DOTALL)
_WORD_LAST: Final = re.compile(r"(.*[^ _.\-(])[ _.\-(]+([^\W\d_]+)\)?", re.DOTALL)
_CAMEL_LAST: Final = re.compile(r"(.*[a-z0-9])([A-Z][a-z]+|[A-Z]{2,})", re.DOTALL)
_WORD_FIRST: Final = re.compile(r"([^\W\d_]+)(?:[ _.\-]+(.+)|(\d.*))", re.DOTALL)


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case and without accents, split at separators, digits and capitals."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", plain)]


def role_of(name: str) -> str | None:
    """Return the role that the words in a name give: "input", "target", "mask", "label" or None.

    >>> [role_of(name) for name in ("sketch", "train_B", "Ground_Truth", "cats")]
    ['input', 'target', 'mask', None]
    """
    words = words_of(name)
    if words and words[-1] in ("a", "b"):
        return "input" if words[-1] == "a" else "target"
    return next((role for role, vocabulary in WORDS.items() if vocabulary & set(words)), None)


def folder_names(name: str, rests: Collection[str] = ()) -> tuple[tuple[str, str | None], ...]:
    """Return the parts of a folder's name, each with the split that it gives.

    Beside a split may stand known words, and `rests`: see `shared_rests`.

    >>> folder_names("trainA"), folder_names("test_set"), folder_names("train_station")
    ((('train', 'train'), ('A', None)), (('test_set', 'test'),), (('train_station', None),))
    """
    if split := split_named(name):
        return ((name, split),)
    if found := _split_and_rest(name):
        split_name, rest = found
        words = words_of(rest)
        if words and set(words) <= _FILLERS:
            return ((name, split_named(split_name)),)
        if rest.lower() in ("a", "b", *rests) or set(words) & IMAGE_WORDS or role_of(rest):
            return ((split_name, split_named(split_name)), (rest, None))
    return ((name, None),)


def shared_rests(names: Iterable[str]) -> set[str]:
    """Return the words that stand beside two different splits in the names of folders, in lower case.

    >>> shared_rests(["places_train", "places_val", "train_station", "trainers", "testers"])
    {'places'}
    """
    splits: dict[str, set[str | None]] = {}
    for name in names:
        if _SPLIT_APART.search(name) and not split_named(name) and (found := _split_and_rest(name)):
            splits.setdefault(found[1].lower(), set()).add(split_named(found[0]))
    return {rest for rest, found in splits.items() if len(found) > 1}


def _split_and_rest(name: str) -> tuple[str, str] | None:
    """Return the word of a split at the beginning, at the end or within a name, and the rest of the name."""
    if found := _SPLIT_FIRST.fullmatch(name):
        return found[1], found[2]
    if found := _SPLIT_LAST.fullmatch(name):
        return found[2], found[1]
    found = _SPLIT_INSIDE.fullmatch(name)
    return (found[2], f"{found[1]}_{found[3]}") if found else None


def file_name(stem: str) -> tuple[str, str]:
    """Return the name of a file without the word that gives its role, and that word, if there is one.

    >>> [file_name(stem) for stem in ("x_mask", "img_1", "car 00 (GT)", "x_A", "fooMask", "x.label", "beach_2")]
    [('x', 'mask'), ('1', 'img'), ('car 00', 'gt'), ('x', 'a'), ('foo', 'mask'), ('x', 'label'), ('beach_2', '')]
    """
    stem = _without_ending(stem)
    if stem[-1:].isalpha() or stem[-1:] == ")":
        for pattern in (_TWO_WORDS_LAST, _WORD_LAST, _CAMEL_LAST):
            if (found := pattern.fullmatch(stem)) and _is_known(found[2]):
                return _without_ending(found[1]), found[2].lower()
    # Series are often called a1, a2, b1: a single letter gives a side at the end only.
    if (found := _WORD_FIRST.fullmatch(stem)) and len(found[1]) > 1 and _is_known(found[1]):
        return found[2] or found[3], found[1].lower()
    return stem, ""


def _without_ending(stem: str) -> str:
    """Return a name such as x.jpg, of x.jpg.png or x.jpg_mask.png, without its ending."""
    return os.path.splitext(stem)[0] if "." in stem and imaging.is_image(stem) else stem


@lru_cache(maxsize=4096)
def _is_known(word: str) -> bool:
    """Return True if a word is known, as a whole."""
    return "".join(words_of(word)) in _KNOWN and (len(word) > 1 or word in "abAB")


def pick_sides(names: Collection[str]) -> tuple[str, str] | None:
    """Return the two names that are the sides of pairs by the words in them, or None; "" is no name at all.

    Input and target go before images and masks, masks before labels; masks of classes before masks of instances.

    >>> pick_sides(["sketch", "photo", "thumbs"]), pick_sides(["images", "masks", "labels"]), pick_sides(["a", "cats"])
    (('sketch', 'photo'), ('images', 'masks'), None)
    """
    by_role: dict[str | None, list[str]] = {}
    for name in sorted(names):
        role = role_of(name)
        plain = role is None and (not name or bool(set(words_of(name)) & IMAGE_WORDS))
        by_role.setdefault("image" if plain else role, []).append(name)
    if len(masks := by_role.get("mask", [])) > 1:
        by_role["mask"] = [name for name in masks if not set(words_of(name)) & _INSTANCES]
    orders = (
        ("input", "target"), ("image", "mask"), ("input", "mask"), ("target", "mask"), ("image", "label"),
        ("image", "input"), ("image", "target"), ("input", "label"), ("target", "label"), (None, "mask"),
        (None, "label"),
    )  # fmt: skip
    for first, second in orders:
        pair = by_role.get(first, []), by_role.get(second, [])
        if all(len(each) == 1 for each in pair):
            return pair[0][0], pair[1][0]
        if all(pair) and (first, second) in orders[:2]:
            return None  # several could be meant
    return None


@dataclass(frozen=True, eq=False)
class Folder:
    """Names of a folder and those around it; one object for all files in it."""

    names: tuple[str, ...] = ()  # in composed Unicode; trainA gives two, train and A
    splits: tuple[str | None, ...] = ()  # the split that each of them is named after

    @cached_property
    def split(self) -> str | None:
        """The split that the names declare; of several the one kept furthest from training."""
        return furthest(self.splits)

    @cached_property
    def plain(self) -> tuple[str, ...]:
        """The names that are of no split."""
        return tuple(name for name, split in zip(self.names, self.splits, strict=True) if split is None)

    def plain_at(self, depth: int) -> str:
        """Return one of these; empty where there are fewer."""
        return self.plain[depth] if depth < len(self.plain) else ""

    def without(self, depth: int) -> "Folder":
        """Return the folder without the name of `plain_at(depth)`."""
        plain = [place for place, split in enumerate(self.splits) if split is None]
        if depth >= len(plain):
            return self
        first, rest = plain[depth], plain[depth] + 1
        return Folder(self.names[:first] + self.names[rest:], self.splits[:first] + self.splits[rest:])


@dataclass(frozen=True, slots=True)
class Entry:
    """An image file, or one file of a side of pairs."""

    path: str
    folder: Folder  # without the name of its side
    stem: str  # without ending, in composed Unicode; without the word that gives its side

    @property
    def key(self) -> str:
        """The path without the side's folder and without ending: both sides of a pair have the same."""
        return "/".join((*self.folder.names, self.stem))


def entries_of(paths: Iterable[str], root: str) -> list[Entry]:
    """Return the image files below a root with the names of their folders."""
    paths = list(paths)
    above = {
        path: path.removeprefix(root).split("/")[:-1] for path in {path.rpartition("/")[0] + "/" for path in paths}
    }
    rests = shared_rests({composed(name) for names in above.values() for name in names})
    folders: dict[str, Folder] = {}
    for path, names in above.items():
        parts = [part for name in names for part in folder_names(composed(name), rests)]
        folders[path] = Folder(tuple(name for name, _ in parts), tuple(split for _, split in parts))
    return [Entry(path, folders[path.rpartition("/")[0] + "/"], key_of(path.rpartition("/")[2])) for path in paths]


def keys_of(paths: Iterable[str], root: str) -> dict[str, str]:
    """Return files by their keys; where two differ in their ending only, the later one keeps it in its key."""
    found: dict[str, str] = {}
    for path in paths:
        key = key_of(path.removeprefix(root))
        while key in found:
            key += printable(os.path.splitext(path)[1])
        found[key] = path
    return found


def key_of(relative: str) -> str:
    """Return a relative path without its ending, in composed Unicode."""
    return composed(os.path.splitext(relative)[0])


def name_of(path: str, root: str) -> str:
    """Return a path relative to the root, as it is shown."""
    return printable(path.removeprefix(root))
