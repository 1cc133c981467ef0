"""Entries of a data set that show one image: the same bytes, near-duplicates, variants; by content and by name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from calco.checking.image_statistics import THUMB, ImageStatistics, entry_images, grey_of
from calco.checking.similarity import SIMILAR, SimilarPair, find_cuts, find_similar, oriented
from calco.checking.survey import Facts
from calco.data.source import Item, Source
from calco.errors import CalcoError

Floats = npt.NDArray[np.float32]
Grey = npt.NDArray[np.uint8]  # HW
How = Literal["identical", "duplicate", "variant"]
SAME_TONES: Final = 8.0  # levels between the tones of two images, on the average, up to which they are duplicates
OTHER_TONES: Final = 14.0
"""Levels that may remain after one change of colours for all pixels, so that two images are variants."""
DOUBTFUL: Final = 0.55  # similarity from which on two images are compared more closely
MOST_DOUBTFUL: Final = 400
"""Pairs that are compared more closely, at most: those of one name first, then the most similar."""
_SUFFIX: Final = re.compile(
    r"[\s_\-.]*(?:\(\d+\)|copy|copia|flip(?:ped)?|flop|mirror(?:ed)?|hflip|vflip|rot(?:ated?)?[_\-]?\d*|crop(?:ped)?\d*|"
    r"gr[ae]y(?:scale)?|bw|aug(?:mented)?\d*|bright(?:er)?|dark(?:er)?|edit(?:ed)?|resized?|small|large|thumb|scaled|"
    r"v\d|\d{2,5}x\d{2,5}|[_\-]\d)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two entries that show one image."""

    first: str
    second: str
    how: How  # the same bytes, the same image, or a variant of it: other colours, another cut
    words: str  # how they differ, as far as that is known


def stem_of(key: str) -> str:
    """Return a key without the suffixes that programs add to the name of a variant.

    >>> [stem_of(key) for key in ("lake_flip", "lake (2)", "a/lake-crop_rot90", "0012")]
    ['lake', 'lake', 'a/lake', '0012']
    """
    while (shorter := _SUFFIX.sub("", key)) not in ("", key) and not shorter.endswith("/"):
        key = shorter
    return key


def find_duplicates(source: Source, facts: Sequence[Facts]) -> list[Duplicate]:
    """Return all pairs of entries that show one image; of several equal ones each is paired with the first."""
    keys, sides, side = _comparable(facts)
    similar = find_similar(_thumbs(sides), DOUBTFUL)
    certain = [pair for pair in similar if pair.similarity >= SIMILAR]
    found = {(pair.first, pair.second): each for pair in certain if (each := _classified(keys, sides, pair))}
    nearly = [(pair.first, pair.second) for pair in sorted(similar, key=lambda pair: -pair.similarity)]
    cuts = np.stack([each.cuts for each in sides]) if sides else np.zeros((0, 0, 8, 8), np.float16)
    doubtful = dict.fromkeys([*_of_one_name(keys), *nearly, *find_cuts(_thumbs(sides), cuts)])
    items = {item.key: item for item in source.items}
    entries = [
        (items[keys[one]], items[keys[other]])
        for one, other in doubtful
        if (one, other) not in found and (other, one) not in found
    ]
    # The frames of one video are alike anyway.
    parted = [(a, b) for a, b in entries if a.group != b.group and not (a.when and a.paths == b.paths)]
    variants = [
        Duplicate(a.key, b.key, "variant", words)
        for a, b in parted[:MOST_DOUBTFUL]
        if (words := _variant(source, a, b, side))
    ]
    return sorted([*found.values(), *variants], key=lambda each: (each.first, each.second))


def find_certain_duplicates(facts: Sequence[Facts]) -> list[Duplicate]:
    """Return the pairs of entries that thumbnails alone show to be one image."""
    keys, sides, _ = _comparable(facts)
    classified = (_classified(keys, sides, pair) for pair in find_similar(_thumbs(sides)))
    return [each for each in classified if each]


def _comparable(facts: Sequence[Facts]) -> tuple[list[str], list[ImageStatistics], str]:
    """Return the keys of entries that can be compared, and of each the pair side with more information, with its name.

    Two line drawings are easily similar, two photographs are not.
    """
    names = sorted({name for fact in facts for name in fact.sides})

    def richness(name: str) -> float:
        traits = [fact.sides[name].traits for fact in facts if name in fact.sides]
        saturation, _, _, white, black, bits = np.mean(traits, axis=0)
        return float(bits + min(saturation, 0.1) - white - black)

    side = max(names, key=richness, default="")
    shown = {fact.key: fact.sides[side] for fact in facts if side in fact.sides and not fact.sides[side].constant}
    return list(shown), list(shown.values()), side


def _thumbs(sides: Sequence[ImageStatistics]) -> npt.NDArray[np.uint8]:
    return np.array([each.thumb for each in sides], np.uint8).reshape(-1, THUMB, THUMB)


def _classified(keys: Sequence[str], sides: Sequence[ImageStatistics], pair: SimilarPair) -> Duplicate | None:
    """Classify two images with the same details; None if their tones show that they are different images."""
    first, second = keys[pair.first], keys[pair.second]
    a, b = sides[pair.first], sides[pair.second]
    if a.digest == b.digest:
        return Duplicate(first, second, "identical", "the same bytes")
    words = [pair.position_name] if pair.position_name else []
    if sorted(a.size_wh) != sorted(b.size_wh):
        words.append("{}x{} and {}x{}".format(*a.size_wh, *b.size_wh))
    laid = oriented(a.tones.transpose(2, 0, 1), pair.position).reshape(3, -1).T.astype(np.float32)
    tones = b.tones.reshape(-1, 3).astype(np.float32)
    if np.abs(laid - tones).mean() <= SAME_TONES:
        return Duplicate(first, second, "duplicate", ", ".join(words) or "saved anew")
    if min(_unexplained(laid, tones), _unexplained(tones, laid)) <= OTHER_TONES:
        return Duplicate(first, second, "variant", ", ".join([*words, "other colours"]))
    return None


def _unexplained(tones: Floats, others: Floats) -> float:
    """Return the mean residual levels after the best affine map of the colours of one (N x 3) to the other's."""
    known = np.c_[tones, np.ones(len(tones), np.float32)]
    best, *_ = np.linalg.lstsq(known, others, rcond=None)
    return float(np.sqrt(np.mean((known @ best - others) ** 2)))


def _of_one_name(keys: Sequence[str]) -> list[tuple[int, int]]:
    """Return pairs of places whose names differ only in such suffixes; each with the first of its name."""
    first: dict[str, int] = {}
    known, pairs = set(keys), []
    for place, key in enumerate(keys):
        stem = stem_of(key)
        # A bare number at the end counts only beside an image that has none: a series is numbered too.
        if stem != key and re.search(r"[_\-]\d$", key) and stem not in known:
            stem = key
        if first.setdefault(stem, place) != place:
            pairs.append((first[stem], place))
    return pairs


def _variant(source: Source, first: Item, second: Item, side: str) -> str:
    """Describe how the second is a cut or another version of the first; "" if it is not, or cannot be read."""
    try:
        a, b = (grey_of(entry_images(source, item, 480)[side]) for item in (first, second))
    except CalcoError:
        return ""
    for words, other in (("", b), ("mirrored", np.ascontiguousarray(b[:, ::-1]))):
        if overlap := _overlap(a, other):
            return ", ".join(filter(None, (words, overlap)))
    return ""


def _overlap(a: Grey, b: Grey) -> str:
    """Describe how two grey images overlap, by landmarks (SIFT) that one shift, turn and scale explains; or ""."""
    sift = cv2.SIFT.create(400)
    (points_a, marks_a), (points_b, marks_b) = (sift.detectAndCompute(image, None) for image in (a, b))
    if min(len(points_a), len(points_b)) < 8:
        return ""
    pairs = [m for m, n in cv2.BFMatcher().knnMatch(marks_b, marks_a, k=2) if m.distance < 0.75 * n.distance]
    if len(pairs) < 8:
        return ""
    origin = np.array([points_b[m.queryIdx].pt for m in pairs], np.float32)
    goal = np.array([points_a[m.trainIdx].pt for m in pairs], np.float32)
    cv2.setRNGSeed(0)
    move, kept = cv2.estimateAffinePartial2D(origin, goal, ransacReprojThreshold=3.0)
    if int(np.sum(kept)) < 12 or float(np.mean(kept)) < 0.3:  # where there is no such move, nothing is kept
        return ""
    size_wh = a.shape[1], a.shape[0]
    laid = np.asarray(cv2.warpAffine(b, move, size_wh, flags=cv2.INTER_AREA), np.uint8)
    common = cv2.warpAffine(np.full_like(b, 255), move, size_wh) > 250
    if common.mean() < 0.1 or np.corrcoef(a[common], laid[common])[0, 1] < 0.8:
        return ""
    angle = abs(float(np.degrees(np.arctan2(move[1, 0], move[0, 0]))))
    turned = f"turned by {angle:.0f}°, " if angle > 3 else ""
    return turned + ("another cut of one photo" if common.mean() < 0.93 else "another version of one photo")
