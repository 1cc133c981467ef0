"""Which of two sides is the input, the target or the mask: by their names, then by what their images show."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from calco import imaging
from calco.data.config import SourceConfig
from calco.data.sources.matching import Side
from calco.data.sources.names import role_of
from calco.errors import CalcoError

_RANKS: Final = {"input": 0, "label": 0, None: 1, "target": 2, "mask": 2}  # the input first
_FLAT: Final = 8  # colours of masks that JPEG has blurred
_MOST: Final = 0.95  # of the pixels have one of them
_THUMBNAIL: Final = re.compile(r"(?:thumb|thumbnail|tn|\dx\d{2,4})\Z", re.IGNORECASE)


def which_parts(first: Side, second: Side, wanted: SourceConfig, root: Path) -> tuple[str, bool]:
    """The kind, and whether the second side is the input (or the image)."""
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
    return looks_like_masks(paths, named=role == "mask")


def looks_like_masks(paths: list[str], *, named: bool = False) -> bool:
    """Whether a few of the images have few colours, or black and white alone.

    Args:
        paths: Of the images.
        named: Whether their folder is called after masks; then a few colours that JPEG has blurred suffice.
    """
    return all(_few_colours(path, named) for path in sorted(paths)[:: max(1, len(paths) // 5)][:6])


def _few_colours(path: str, named: bool) -> bool:
    """A palette file, at most 32 colours, or (as JPEG leaves them) almost nothing between black and white."""
    try:
        image = imaging.read(path)
    except CalcoError:
        return True  # a damaged file tells nothing; the others decide
    if len(np.unique(image.reshape(-1, image.shape[2])[:: max(1, image[..., 0].size // 200_000)], axis=0)) <= 32:
        return True
    if named:
        # Steps of 32 levels whose middle is 0, so that what JPEG makes of a flat colour stays in one of them.
        coarse = (imaging.as_dtype(image, np.uint8).astype(int) + 16) // 32
        counts = np.unique(coarse.reshape(-1, image.shape[2]), axis=0, return_counts=True)[1]
        if np.sort(counts)[-_FLAT:].sum() > _MOST * counts.sum():
            return True
    grey = imaging.as_dtype(imaging.luminance(image), np.uint8).astype(int)
    return bool(np.mean((grey < 16) | (grey > 239)) > 0.98 and np.ptp(image.astype(int), axis=2).mean() < 4)


def thumbnail_of(path: str, by_stem: Mapping[str, str]) -> str | None:
    """The image that a file is certainly a thumbnail of, by its name beside that image and its smaller size; else None.

    Args:
        path: The file.
        by_stem: Paths of images without their endings => paths.
    """
    stem = os.path.splitext(path)[0]
    if not _THUMBNAIL.search(stem[-12:]):
        return None
    found = re.fullmatch(r"(.+)[ _.-](?:thumb|thumbnail|tn|(\d{2,4})x(\d{2,4}))", stem, re.IGNORECASE | re.DOTALL)
    original = by_stem.get(found[1]) if found else None
    if found is None or original is None:
        return None
    small, large = imaging.header_size_wh(path), imaging.header_size_wh(original)
    if small is None or large is None or small[0] >= large[0] or small[1] >= large[1]:
        return None
    if found[2] and small != (int(found[2]), int(found[3])):
        return None
    return original
