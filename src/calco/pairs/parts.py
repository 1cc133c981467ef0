"""The names of files and folders: which split and which side of a pair they tell; then what the files show."""

import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from calco import images
from calco.errors import CalcoError
from calco.pairs.declared import SPLIT_NAMES, split_named
from calco.pairs.partners import Side
from calco.pairs.sources import SourceConfig

# The words in a name that tell its role; the first role that fits counts. English, then Spanish.
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
"""Words that tell nothing but that these are images: beside masks, they are the inputs."""
_KNOWN: Final = IMAGE_WORDS.union({"a", "b"}, *WORDS.values())
_FILLERS: Final = frozenset({"data", "dir", "files", "folder", "set", "split"})
_RANKS: Final = {"input": 0, "label": 0, None: 1, "target": 2, "mask": 2}  # the input first
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
    """The words of a name in lower case and without accents, parted at separators, digits and capitals."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", plain)]


def role_of(name: str) -> str | None:
    """Return what the words in a name tell: "input", "target", "mask", "label" or None.

    >>> [role_of(name) for name in ("sketch", "train_B", "Ground_Truth", "cats")]
    ['input', 'target', 'mask', None]
    """
    words = words_of(name)
    if words and words[-1] in ("a", "b"):
        return "input" if words[-1] == "a" else "target"
    return next((role for role, vocabulary in WORDS.items() if vocabulary & set(words)), None)


def folder_names(name: str, rests: Collection[str] = ()) -> tuple[tuple[str, str | None], ...]:
    """The parts of a folder's name, each with the split that it tells.

    Args:
        name: Such as trainA, val_masks or places_test.
        rests: What may stand beside the split though no known word is in it: see `shared_rests`.

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
    """What stands beside two different splits in the names of folders, in lower case.

    >>> shared_rests(["places_train", "places_val", "train_station", "trainers", "testers"])
    {'places'}
    """
    splits: dict[str, set[str | None]] = {}
    for name in names:
        if _SPLIT_APART.search(name) and not split_named(name) and (found := _split_and_rest(name)):
            splits.setdefault(found[1].lower(), set()).add(split_named(found[0]))
    return {rest for rest, found in splits.items() if len(found) > 1}


def _split_and_rest(name: str) -> tuple[str, str] | None:
    """The word of a split at the beginning, at the end or within a name, and the rest of the name."""
    if found := _SPLIT_FIRST.fullmatch(name):
        return found[1], found[2]
    if found := _SPLIT_LAST.fullmatch(name):
        return found[2], found[1]
    if found := _SPLIT_INSIDE.fullmatch(name):
        return found[2], f"{found[1]}_{found[3]}"
    return None


def file_name(stem: str) -> tuple[str, str]:
    """The name of a file without the word that tells its role, and that word; none where no word tells it.

    >>> [file_name(stem) for stem in ("x_mask", "img_1", "car 00 (GT)", "x_A", "fooMask", "x.label", "beach_2")]
    [('x', 'mask'), ('1', 'img'), ('car 00', 'gt'), ('x', 'a'), ('foo', 'mask'), ('x', 'label'), ('beach_2', '')]
    """
    stem = _without_ending(stem)
    for pattern in (_TWO_WORDS_LAST, _WORD_LAST, _CAMEL_LAST):
        if (found := pattern.fullmatch(stem)) and _tells(found[2]):
            return _without_ending(found[1]), found[2].lower()
    # Series are often called a1, a2, b1: a letter tells a side at the end alone.
    if (found := _WORD_FIRST.fullmatch(stem)) and len(found[1]) > 1 and _tells(found[1]):
        return found[2] or found[3], found[1].lower()
    return stem, ""


def _without_ending(stem: str) -> str:
    """A name such as x.jpg, of x.jpg.png or x.jpg_mask.png, without its ending."""
    return os.path.splitext(stem)[0] if images.is_picture(stem) else stem


def _tells(word: str) -> bool:
    """Whether a word is known, as a whole."""
    return "".join(words_of(word)) in _KNOWN and (len(word) > 1 or word in "abAB")


def pick_sides(names: Collection[str]) -> tuple[str, str] | None:
    """The two names that are the sides of pairs, where the words in them tell it; "" is no name at all.

    Input and target go before images and masks, masks before labels. Of masks of classes and of instances the classes
    are taken.

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


def which_parts(first: Side, second: Side, wanted: SourceConfig, root: Path) -> tuple[str, bool]:
    """The kind, and whether the second side is the input (or the picture)."""
    roles = role_of(first.name.split("/")[-1]), role_of(second.name.split("/")[-1])
    named = wanted.input is not None
    if wanted.source == "parallel" or set(roles) == {"input", "target"}:
        if wanted.source == "masks":
            raise CalcoError(f"{first.name} and {second.name} are no masks by their names; name them with --target")
        if named or roles in (("input", "target"), ("input", None), (None, "target")):
            return "parallel", False
        if roles in (("target", "input"), ("target", None), (None, "input")):
            return "parallel", True
        if _RANKS[roles[0]] != _RANKS[roles[1]]:
            return "parallel", _RANKS[roles[0]] > _RANKS[roles[1]]
        raise CalcoError(_which(first.name, second.name, root))
    if wanted.source == "masks" and not named and roles.count("mask") == 1:
        return "masks", roles[0] == "mask"
    flat = tuple(_is_mask(role, side.paths) for role, side in zip(roles, (first, second), strict=True))
    if named:
        return ("masks" if flat[1] or wanted.source == "masks" else "parallel"), False
    if flat in ((False, True), (True, False)):
        return "masks", flat[0]
    if wanted.source != "masks" and _RANKS[roles[0]] != _RANKS[roles[1]]:
        return "parallel", _RANKS[roles[0]] > _RANKS[roles[1]]
    raise CalcoError(_which(first.name, second.name, root))


def _which(first: str, second: str, root: Path) -> str:
    return (
        f"{root} has two folders with the same file names, {first} and {second}, and nothing tells which is the input; "
        f"say it: --input {first} --target {second} (or the other way round, or --source photographs)"
    )


def _is_mask(role: str | None, paths: list[str]) -> bool:
    """Whether one side is masks: by its few colours, unless its name says that it is something else."""
    if role in ("input", "target"):
        return False
    return looks_like_masks(paths)


def looks_like_masks(paths: list[str]) -> bool:
    """Whether a few of the images have few colours, or black and white alone."""
    return all(_few_colours(path) for path in sorted(paths)[:: max(1, len(paths) // 5)][:6])


def _few_colours(path: str) -> bool:
    """A palette file, at most 32 colours, or (as JPEG leaves them) almost nothing between black and white."""
    try:
        image = images.read(path)
    except CalcoError:
        return True  # a damaged file tells nothing; the others decide
    if len(np.unique(image.reshape(-1, image.shape[2])[:: max(1, image[..., 0].size // 200_000)], axis=0)) <= 32:
        return True
    grey = images.as_dtype(images.luminance(image), np.uint8).astype(int)
    return bool(np.mean((grey < 16) | (grey > 239)) > 0.98 and np.ptp(image.astype(int), axis=2).mean() < 4)


def thumbnail_of(path: str, by_stem: Mapping[str, str]) -> str | None:
    """The image that a file is certainly a thumbnail of, by its name beside that image and its smaller size; else None.

    Args:
        path: The file.
        by_stem: Paths of images without their endings => paths.
    """
    stem = os.path.splitext(path)[0]
    found = re.fullmatch(r"(.+)[ _.-](?:thumb|thumbnail|tn|(\d{2,4})x(\d{2,4}))", stem, re.IGNORECASE | re.DOTALL)
    original = by_stem.get(found[1]) if found else None
    if found is None or original is None:
        return None
    small, large = images.header_size_wh(path), images.header_size_wh(original)
    if small is None or large is None or small[0] >= large[0] or small[1] >= large[1]:
        return None
    if found[2] and small != (int(found[2]), int(found[3])):
        return None
    return original
