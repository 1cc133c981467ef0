"""Cut-outs: objects on a transparent ground (or with a mask beside them), listed by class and read when needed."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.data.mask_encoding import EncodingError, read_mask, survey_array
from calco.data.mask_recognition import marks_of
from calco.data.sample import fraction
from calco.errors import CalcoError
from calco.files import digest, list_files
from calco.imaging import Image

_LARGEST: Final = 768  # pixels of a side that are kept: no object is pasted larger
_LEAST: Final = 4  # pixels of a side; a smaller object cannot be recognised
_CLEAR: Final = 250  # opacity up to which a pixel counts as not opaque
_PARTED: Final = 10  # cut-outs of a class from which on validation and test have their own
_HELD_OUT: Final = 0.1  # of the cut-outs of such a class, for each of validation and test


@dataclass(frozen=True)
class Cutout:
    """One file of the folder."""

    name: str  # its path in the folder, without suffix
    label: str  # its class
    path: str
    mask: str = ""  # the file of its mask; none where the image itself is transparent
    stamp: tuple[int, ...] = ()  # when both were changed last: `read_cutout` is cached


@dataclass(frozen=True)
class Cutouts:
    """All cut-outs of a folder, not read yet."""

    entries: tuple[Cutout, ...]  # sorted by name
    left_out: tuple[tuple[str, str], ...] = ()  # name and reason, as far as the names show it

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted."""
        return tuple(sorted({entry.label for entry in self.entries}))

    def of_class(self, label: str, split: str | None = None) -> list[Cutout]:
        """Return the cut-outs of a class for a split or all; of ten or more, validation and test get a tenth each."""
        chosen = [entry for entry in self.entries if entry.label == label]
        if split is None or len(chosen) < _PARTED:
            return chosen
        chosen.sort(key=lambda entry: fraction("cutout", entry.name))
        num = max(1, round(len(chosen) * _HELD_OUT))
        first, last = {"test": (0, num), "val": (num, 2 * num), "train": (2 * num, len(chosen))}[split]
        return chosen[first:last]


@cache
def list_cutouts(folder: str, masks: str, label: str) -> Cutouts:
    """List a folder of cut-outs, once per process; no label takes the classes from their names."""
    listing = list_files(folder, imaging.is_image)
    beside: dict[str, str] = {}
    if masks:
        found = list_files(masks, imaging.is_image)
        beside = {Path(each.removeprefix(found.root)).with_suffix("").as_posix(): each for each in found.paths}
    entries: list[Cutout] = []
    left_out = [(f"{folder}: {name}", reason) for name, reason in listing.left_out]
    for path in listing.paths:
        place = Path(path.removeprefix(listing.root))
        name = place.with_suffix("").as_posix()
        said = label or _class_of(place)
        if not said:
            left_out.append((name, "its name gives no class; put it in a folder of that name, or give --cutout-class"))
        elif masks and name not in beside:
            left_out.append((name, f"there is no mask of this name in {masks}"))
        else:
            files = path, *filter(None, [beside.get(name)])
            stamp = tuple(Path(file).stat().st_mtime_ns for file in files)
            entries.append(Cutout(name, said, path, beside.get(name, ""), stamp))
    if not entries:
        reason = f"; the first, {left_out[0][0]}: {left_out[0][1]}" if left_out else ""
        raise CalcoError(f"composite cutouts: {folder} holds no usable cut-out{reason}")
    return Cutouts(tuple(entries), tuple(left_out))


def _class_of(place: Path) -> str:
    """Return the folder's name, or the beginning of the file's up to a digit, an underscore, a hyphen or a dot.

    >>> _class_of(Path("dog/rex.png")), _class_of(Path("fire engine_2.png")), _class_of(Path("7.png"))
    ('dog', 'fire engine', '')
    """
    if len(place.parts) > 1:
        return place.parts[0]
    return re.split(r"[\d_\-.]", place.stem)[0].strip()


@lru_cache(maxsize=128)  # some hundred megabytes at the most
def read_cutout(cutout: Cutout) -> tuple[Image, npt.NDArray[np.uint8]]:
    """Return a cut-out without its transparent borders: RGB HW3 `uint8`, and its opacity HW `uint8`."""
    if cutout.mask:
        colour = imaging.as_dtype(imaging.read(cutout.path, channels=3), np.uint8)
        marked = imaging.turned_with(_marked(cutout.mask), cutout.path, colour.shape)
        across, down = colour.shape[1] / marked.shape[1], colour.shape[0] / marked.shape[0]
        if abs(across / down - 1) > 0.02:
            sizes = f"{marked.shape[1]}x{marked.shape[0]}, its image {colour.shape[1]}x{colour.shape[0]}"
            raise CalcoError(f"{cutout.mask} has {sizes}; they need the same proportions")
        soft = imaging.resize(marked, (colour.shape[1], colour.shape[0]), "bilinear")[..., 0]
        alpha = np.where(soft > 127, 255, 0).astype(np.uint8)
    else:
        whole = imaging.as_dtype(imaging.read(cutout.path, channels=4, background="channel"), np.uint8)
        colour, alpha = whole[..., :3], whole[..., 3]
        if alpha.min() > _CLEAR:
            raise CalcoError(f"{cutout.path} has no transparency; cut the object out, or name its mask: --cutout-masks")
    seen = alpha > 127
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        what = "its mask is black" if cutout.mask else "it is transparent everywhere"
        raise CalcoError(f"{cutout.path}: {what}, so there is nothing to paste; leave it out")
    box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    colour, alpha = colour[box], alpha[box]
    height, width = alpha.shape
    if min(height, width) < _LEAST:
        raise CalcoError(f"{cutout.path} shows {width}x{height} pixels; a cut-out needs {_LEAST} each way")
    scale = min(1.0, _LARGEST / max(height, width))
    size_wh = max(_LEAST, round(width * scale)), max(_LEAST, round(height * scale))
    return resized(np.ascontiguousarray(colour), np.ascontiguousarray(alpha), size_wh)


def _marked(path: str) -> Image:
    """Return the marked pixels of a mask as 255 in HW1 `uint8`: all but its background, or all above half."""
    mask = read_mask(path)
    with suppress(EncodingError):
        return marks_of(survey_array(mask)).encoding.read(mask)[0][..., None] * np.uint8(255)
    grey = imaging.as_dtype(imaging.as_channels(mask, 1, (0, 0, 0)), np.uint8)
    return np.where(grey > max(1, int(grey.max())) / 2, 255, 0).astype(np.uint8)


def resized(
    colour: Image, alpha: npt.NDArray[np.uint8], size_wh: tuple[int, int]
) -> tuple[Image, npt.NDArray[np.uint8]]:
    """Return a cut-out at a size; colours are weighted by opacity, so that no transparent pixel bleeds in."""
    import cv2

    if size_wh == (alpha.shape[1], alpha.shape[0]):
        return colour, alpha
    how = cv2.INTER_AREA if size_wh[0] < alpha.shape[1] else cv2.INTER_LINEAR
    share = alpha[..., None].astype(np.float32) / 255
    weighted = cv2.resize(np.concatenate([colour * share, share], axis=2), size_wh, interpolation=how)
    small = np.asarray(weighted, np.float32)
    return unweighted(small), np.rint(small[..., 3] * 255).astype(np.uint8)


def unweighted(weighted: npt.NDArray[np.float32]) -> Image:
    """Divide colours by the opacity in the fourth channel, HW4 => HW3 `uint8`."""
    import cv2

    share = 1 / np.maximum(weighted[..., 3], 1e-3)
    return np.asarray(cv2.convertScaleAbs(weighted[..., :3] * share[..., None]), np.uint8)


@cache
def unusable(cutouts: Cutouts) -> dict[str, str]:
    """Read all cut-outs, and return name and reason of those that cannot be pasted."""
    reasons = dict(cutouts.left_out)
    for entry in cutouts.entries:
        try:
            read_cutout(entry)
        except CalcoError as error:
            reasons[entry.name] = str(error)
    return reasons


def random_cutout(choices: Sequence[Cutout], rng: np.random.Generator) -> tuple[Image, npt.NDArray[np.uint8]]:
    """Return a random cut-out as `read_cutout` gives it; if it cannot be read, the next one that can."""
    first = int(rng.integers(len(choices)))
    reasons = []
    for offset in range(len(choices)):
        try:
            return read_cutout(choices[(first + offset) % len(choices)])
        except CalcoError as error:
            reasons.append(str(error))
    raise CalcoError(reasons[0])


def cutouts_digest(cutouts: Cutouts) -> str:
    """Return sixteen hex digits of the names, classes and contents of all cut-outs."""
    parts = [(entry.name, entry.label, digest(entry.path, *filter(None, [entry.mask]))) for entry in cutouts.entries]
    return f"{int(fraction('cutouts', *parts) * (1 << 56)):016x}"
