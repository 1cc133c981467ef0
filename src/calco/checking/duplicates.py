"""Entries of a data set that show one image: the same bytes, near-duplicates, variants; by content and by name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from calco.checking.image_statistics import THUMB, entry_images, grey_of
from calco.checking.similarity import SIMILAR, SimilarPair, find_cuts, find_similar, oriented
from calco.checking.survey import Facts
from calco.data.source import Item, Source
from calco.errors import CalcoError

Floats = npt.NDArray[np.float32]
Grey = npt.NDArray[np.uint8]  # HW
How = Literal["identical", "duplicate", "variant"]
SAME_TONES: Final = 8.0
"""Levels between the tones of two images, on the average, up to which they are duplicates."""
OTHER_TONES: Final = 14.0
"""Levels that may remain after one change of colours for all pixels, so that two images are variants."""
DOUBTFUL: Final = 0.55
"""Similarity from which on two images are compared more closely."""
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

    first: str  # the key of one
    second: str  # the key of the other
    how: How  # the same bytes, the same image, or a variant of it: other colours, another cut
    words: str  # how they differ, as far as that is known; may be ""


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
    shown, side = comparable(facts)
    similar = find_similar(_thumbs(shown, side), DOUBTFUL)
    found: dict[tuple[int, int], Duplicate] = {}
    for pair in similar:
        if pair.similarity >= SIMILAR and (found_pair := _classified(shown, side, pair)):
            found[pair.first, pair.second] = found_pair
    nearly = [(pair.first, pair.second) for pair in sorted(similar, key=_most_similar_first)]
    doubtful = [*_of_one_name(shown), *nearly, *find_cuts(_thumbs(shown, side), _cuts(shown, side))]
    doubtful = [both for both in dict.fromkeys(doubtful) if both not in found and both[::-1] not in found]
    items = {item.key: item for item in source.items}
    entries = [(items[shown[one].key], items[shown[other].key]) for one, other in doubtful]
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
    shown, side = comparable(facts)
    classified = (_classified(shown, side, pair) for pair in find_similar(_thumbs(shown, side)))
    return [each for each in classified if each]


def comparable(facts: Sequence[Facts]) -> tuple[list[Facts], str]:
    """Return the entries that can be compared, and the pair side to compare: the one with more information.

    Two line drawings are easily similar, two photographs are not.
    """
    seen = [fact for fact in facts if fact.sides]
    side = richer_side(seen)
    return [fact for fact in seen if side in fact.sides and not fact.sides[side].constant], side


def _thumbs(shown: Sequence[Facts], side: str) -> npt.NDArray[np.uint8]:
    return np.array([fact.sides[side].thumb for fact in shown], np.uint8).reshape(-1, THUMB, THUMB)


def _cuts(shown: Sequence[Facts], side: str) -> npt.NDArray[np.float16]:
    return np.stack([fact.sides[side].cuts for fact in shown]) if shown else np.zeros((0, 0, 8, 8), np.float16)


def _most_similar_first(pair: SimilarPair) -> float:
    return -pair.similarity


def richer_side(facts: Sequence[Facts]) -> str:
    """Return the name of the side whose images have more colours and grey levels."""
    names = {name for fact in facts for name in fact.sides}

    def richness(name: str) -> float:
        traits = [fact.sides[name].traits for fact in facts if name in fact.sides]
        saturation, _, _, white, black, bits = np.mean(traits, axis=0)
        return float(bits + min(saturation, 0.1) - white - black)

    return max(sorted(names), key=richness) if names else ""


def _classified(shown: Sequence[Facts], side: str, pair: SimilarPair) -> Duplicate | None:
    """Classify two images with the same details; None if their tones show that they are different images."""
    first, second = shown[pair.first], shown[pair.second]
    a, b = first.sides[side], second.sides[side]
    if a.digest == b.digest:
        return Duplicate(first.key, second.key, "identical", "the same bytes")
    words = [pair.position_name] if pair.position_name else []
    if sorted(a.size_wh) != sorted(b.size_wh):
        words.append("{}x{} and {}x{}".format(*a.size_wh, *b.size_wh))
    laid = oriented(a.tones.transpose(2, 0, 1), pair.position).reshape(3, -1).T.astype(np.float32)
    tones = b.tones.reshape(-1, 3).astype(np.float32)
    if np.abs(laid - tones).mean() <= SAME_TONES:
        return Duplicate(first.key, second.key, "duplicate", ", ".join(words) or "saved anew")
    if min(_unexplained(laid, tones), _unexplained(tones, laid)) <= OTHER_TONES:
        return Duplicate(first.key, second.key, "variant", ", ".join([*words, "other colours"]))
    return None


def _unexplained(tones: Floats, others: Floats) -> float:
    """Return the mean residual levels after the best affine map of the colours of one (N x 3) to the other's."""
    known = np.c_[tones, np.ones(len(tones), np.float32)]
    best, *_ = np.linalg.lstsq(known, others, rcond=None)
    return float(np.sqrt(np.mean((known @ best - others) ** 2)))


def _of_one_name(shown: Sequence[Facts]) -> list[tuple[int, int]]:
    """Return pairs of places whose names differ only in such suffixes; each with the first of its name."""
    first: dict[str, int] = {}
    keys = {fact.key for fact in shown}
    pairs = []
    for n, fact in enumerate(shown):
        stem = stem_of(fact.key)
        # A bare number at the end counts only beside an image that has none: a series is numbered too.
        if stem != fact.key and re.search(r"[_\-]\d$", fact.key) and stem not in keys:
            stem = fact.key
        if first.setdefault(stem, n) != n:
            pairs.append((first[stem], n))
    return pairs


def _variant(source: Source, first: Item, second: Item, side: str) -> str:
    """Describe how the second is a cut or another version of the first; "" if it is not, or cannot be read."""
    try:
        a, b = (grey_of(entry_images(source, item, 480)[side]) for item in (first, second))
    except CalcoError:
        return ""
    for words, other in (("", b), ("mirrored", np.ascontiguousarray(b[:, ::-1]))):
        overlap = _overlap(a, other)
        if overlap:
            return ", ".join(part for part in (words, overlap) if part)
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
    if common.mean() < 0.1 or _correlation(a[common], laid[common]) < 0.8:
        return ""
    angle = abs(float(np.degrees(np.arctan2(move[1, 0], move[0, 0]))))
    turned = f"turned by {angle:.0f}°, " if angle > 3 else ""
    return turned + ("another cut of one photo" if common.mean() < 0.93 else "another version of one photo")


def _correlation(a: Grey, b: Grey) -> float:
    return float(np.corrcoef(a.astype(np.float32), b.astype(np.float32))[0, 1])
