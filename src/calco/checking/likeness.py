"""Which entries of a set show one image: the same bytes, twins, variants; by what they show and by their names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from calco.checking.glance import grey_of, sides_of
from calco.checking.sides import THUMB
from calco.checking.survey import Facts
from calco.checking.twins import LIKE, Twin, find_cuts, find_twins, turned
from calco.data.source import Item, Source
from calco.errors import CalcoError

Floats = npt.NDArray[np.float32]
Grey = npt.NDArray[np.uint8]  # HW
How = Literal["identical", "twin", "variant"]
SAME_TONES: Final = 8.0
"""Levels between the tones of two images, on the average, up to which they are twins."""
OTHER_TONES: Final = 14.0
"""Levels that may remain after one change of colours for all pixels, so that two images are variants."""
DOUBTFUL: Final = 0.55
"""Likeness from which on two images are looked at more closely."""
MOST_DOUBTFUL: Final = 400
"""Pairs that are looked at more closely, at most: those of one name first, then the most alike."""
_SUFFIX: Final = re.compile(
    r"[\s_\-.]*(?:\(\d+\)|copy|copia|flip(?:ped)?|flop|mirror(?:ed)?|hflip|vflip|rot(?:ated?)?[_\-]?\d*|crop(?:ped)?\d*|"
    r"gr[ae]y(?:scale)?|bw|aug(?:mented)?\d*|bright(?:er)?|dark(?:er)?|edit(?:ed)?|resized?|small|large|thumb|scaled|"
    r"v\d|\d{2,5}x\d{2,5}|[_\-]\d)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Alike:
    """Two entries that show one image.

    Attributes:
        first: The key of one.
        second: The key of the other.
        how: The same bytes, the same image, or a variant of it: other colours, another cut.
        words: How they differ, as far as that is known; may be "".
    """

    first: str
    second: str
    how: How
    words: str


def stem_of(key: str) -> str:
    """A key without what programs add to the name of a variant.

    >>> [stem_of(key) for key in ("lake_flip", "lake (2)", "a/lake-crop_rot90", "0012")]
    ['lake', 'lake', 'a/lake', '0012']
    """
    while (shorter := _SUFFIX.sub("", key)) not in ("", key) and not shorter.endswith("/"):
        key = shorter
    return key


def find_alike(source: Source, facts: Sequence[Facts]) -> list[Alike]:
    """All pairs of entries that show one image; of a pile of equal ones each is paired with one."""
    shown, side = comparable(facts)
    twins = find_twins(_thumbs(shown, side), DOUBTFUL)
    found: dict[tuple[int, int], Alike] = {}
    for twin in twins:
        if twin.likeness >= LIKE and (alike := _judged(shown, side, twin)):
            found[twin.first, twin.second] = alike
    nearly = [(twin.first, twin.second) for twin in sorted(twins, key=_most_alike_first)]
    doubtful = [*_of_one_name(shown), *nearly, *find_cuts(_thumbs(shown, side), _cuts(shown, side))]
    doubtful = [pair for pair in dict.fromkeys(doubtful) if pair not in found and pair[::-1] not in found]
    items = {item.key: item for item in source.items}
    entries = [(items[shown[one].key], items[shown[other].key]) for one, other in doubtful]
    # The frames of one video are alike anyway.
    parted = [(a, b) for a, b in entries if a.group != b.group and not (a.when and a.paths == b.paths)]
    variants = [
        Alike(a.key, b.key, "variant", words)
        for a, b in parted[:MOST_DOUBTFUL]
        if (words := _variant(source, a, b, side))
    ]
    return sorted([*found.values(), *variants], key=lambda alike: (alike.first, alike.second))


def find_certain(facts: Sequence[Facts]) -> list[Alike]:
    """Those pairs that thumbnails alone can tell."""
    shown, side = comparable(facts)
    judged = (_judged(shown, side, twin) for twin in find_twins(_thumbs(shown, side)))
    return [alike for alike in judged if alike]


def comparable(facts: Sequence[Facts]) -> tuple[list[Facts], str]:
    """The entries that can be compared, and by which side: the one that tells more.

    Two line drawings are soon alike, two photographs are not.
    """
    seen = [fact for fact in facts if fact.sides]
    side = richer_side(seen)
    return [fact for fact in seen if side in fact.sides and not fact.sides[side].constant], side


def _thumbs(shown: Sequence[Facts], side: str) -> npt.NDArray[np.uint8]:
    return np.array([fact.sides[side].thumb for fact in shown], np.uint8).reshape(-1, THUMB, THUMB)


def _cuts(shown: Sequence[Facts], side: str) -> npt.NDArray[np.float16]:
    return np.stack([fact.sides[side].cuts for fact in shown]) if shown else np.zeros((0, 0, 8, 8), np.float16)


def _most_alike_first(twin: Twin) -> float:
    return -twin.likeness


def richer_side(facts: Sequence[Facts]) -> str:
    """The name of the side whose images hold more: more colours, more grey levels."""
    names = {name for fact in facts for name in fact.sides}

    def richness(name: str) -> float:
        traits = [fact.sides[name].traits for fact in facts if name in fact.sides]
        saturation, _, _, white, black, bits = np.mean(traits, axis=0)
        return float(bits + min(saturation, 0.1) - white - black)

    return max(sorted(names), key=richness) if names else ""


def _judged(shown: Sequence[Facts], side: str, twin: Twin) -> Alike | None:
    """What two images with the same details are to each other; None when their tones say that they are not."""
    first, second = shown[twin.first], shown[twin.second]
    a, b = first.sides[side], second.sides[side]
    if a.digest == b.digest:
        return Alike(first.key, second.key, "identical", "the same bytes")
    words = [twin.words] if twin.words else []
    if sorted(a.size_wh) != sorted(b.size_wh):
        words.append("{}x{} and {}x{}".format(*a.size_wh, *b.size_wh))
    laid = turned(a.tones.transpose(2, 0, 1), twin.position).reshape(3, -1).T.astype(np.float32)
    tones = b.tones.reshape(-1, 3).astype(np.float32)
    if np.abs(laid - tones).mean() <= SAME_TONES:
        return Alike(first.key, second.key, "twin", ", ".join(words) or "saved anew")
    if min(_unexplained(laid, tones), _unexplained(tones, laid)) <= OTHER_TONES:
        return Alike(first.key, second.key, "variant", ", ".join([*words, "other colours"]))
    return None


def _unexplained(tones: Floats, others: Floats) -> float:
    """Levels that remain, on the average, after the best affine map of the colours of one (N x 3) to the other's."""
    known = np.c_[tones, np.ones(len(tones), np.float32)]
    best, *_ = np.linalg.lstsq(known, others, rcond=None)
    return float(np.sqrt(np.mean((known @ best - others) ** 2)))


def _of_one_name(shown: Sequence[Facts]) -> list[tuple[int, int]]:
    """Pairs of places whose names differ only in what programs add; each with the first of its name."""
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
    """How the second is a cut or another version of the first; "" when it is not, or cannot be told."""
    try:
        a, b = (grey_of(sides_of(source, item, 480)[side]) for item in (first, second))
    except CalcoError:
        return ""
    for words, other in (("", b), ("mirrored", np.ascontiguousarray(b[:, ::-1]))):
        overlap = _overlap(a, other)
        if overlap:
            return ", ".join(part for part in (words, overlap) if part)
    return ""


def _overlap(a: Grey, b: Grey) -> str:
    """Words for how two grey images show one thing, by landmarks (SIFT) that one move, turn and scale explains."""
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
