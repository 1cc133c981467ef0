"""Entries of a data set that show one image: the same bytes, near-duplicates, variants; by content and by name.

Similar thumbnails are found without comparing each with each. A perceptual hash (Zauner 2010) records which low
frequencies of a thumbnail lie above their medians over the set. Turning and mirroring only change signs and order of
frequencies, so all eight positions come from one transform. Hashes within seven bits of each other agree within one bit
in one of four bands, by which they are looked up (multi-index hashing, Norouzi et al. 2012). The candidates are
compared in their details.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from calco.checking.survey import (
    NUM_FREQUENCIES,
    THUMB,
    Bytes,
    Facts,
    Floats,
    ImageStatistics,
    entry_images,
    frequencies,
    grey_of,
)
from calco.data.curation import Groups
from calco.data.source import Item, Source
from calco.errors import CalcoError

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

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
SIMILAR: Final = 0.9  # correlation of the details of two thumbnails from which on they are one image
PLAIN: Final = 1.0  # grey levels of detail under which a thumbnail is plain
FEW: Final = 40
"""Pixels that hold the details, under which a thumbnail is plain too: a corner of something before a wall."""
PLAIN_APART: Final = 2.5  # grey levels between two plain thumbnails, on the average, up to which they are one image
_BANDS: Final = 4
_RADIUS: Final = 10  # bits; seven are found for certain, most of the further ones too
_BATCH: Final = 1 << 21
_MOST: Final = 1 << 32
"""Candidates beyond which only equal bands are looked up: images so similar that their hashes say little."""

# The eight positions: exchanged axes, then mirrored left to right, then turned upside down.
POSITIONS: Final = tuple((swap, left, up) for swap in (False, True) for left in (False, True) for up in (False, True))
_MIRRORED: Final = 2
POSITION_NAMES: Final = (
    "", "mirrored upside down", "mirrored", "turned by 180°",
    "turned and mirrored", "turned by 270°", "turned by 90°", "turned and mirrored",
)  # fmt: skip


class Duplicate(NamedTuple):
    """Two entries that show one image."""

    first: str
    second: str
    how: Literal["identical", "duplicate", "variant"]  # the same bytes, the same image, other colours or another cut
    words: str  # how they differ, as far as that is known


class SimilarPair(NamedTuple):
    """Two images of a list, and the position of the second relative to the first."""

    first: int  # a place
    second: int  # another place
    position: int  # index into `POSITIONS` at which the first is similar to the second; 0 is upright
    similarity: float  # correlation of their details, in [-1, 1]


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
    words = list(filter(None, [POSITION_NAMES[pair.position]]))
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


def _overlap(a: Bytes, b: Bytes) -> str:
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


def find_similar(thumbs: Bytes, threshold: float = SIMILAR) -> list[SimilarPair]:
    """Return all pairs of images that are similar in one of the eight positions.

    Of many equal images each is paired with the first only.
    """
    if len(thumbs) < 2:
        return []
    whole = frequencies(thumbs)
    hashes = _hashes([_in_position(whole, position) for position in POSITIONS], np.median(whole, axis=0))
    _, first, where = np.unique(hashes[0], return_index=True, return_inverse=True)
    same = np.stack([first[where], np.arange(len(thumbs)), np.zeros(len(thumbs), np.int64)], axis=1)
    same = same[same[:, 0] != same[:, 1]]
    found = [same]
    for part in _neighbours(np.ascontiguousarray(hashes[:, first])):
        once = part[part[:, 0] < part[:, 1]]  # each pair turns up from both sides
        found.append(np.stack([first[once[:, 0]], first[once[:, 1]], once[:, 2]], axis=1))
    return list(_confirmed(thumbs, np.unique(np.concatenate(found), axis=0), threshold))


def find_cuts(thumbs: Bytes, cuts: npt.NDArray[np.float16]) -> list[tuple[int, int]]:
    """Return pairs whose second may be cut out of the first, mirrored or not; the likeliest first, none is certain."""
    if len(thumbs) < 2:
        return []
    whole = frequencies(thumbs)
    parts = [np.asarray(cuts[:, place], np.float32) for place in range(cuts.shape[1])]
    views = [whole, *parts, *(_in_position(part, POSITIONS[_MIRRORED]) for part in parts)]
    hashes = _hashes(views, np.median(whole, axis=0))
    best: dict[tuple[int, int], int] = {}
    for found in _neighbours(hashes):
        apart = np.bitwise_count(hashes[found[:, 2], found[:, 0]] ^ hashes[0, found[:, 1]])
        for (first, second, view), bits in zip(found.tolist(), apart.tolist(), strict=True):
            if view:
                best[first, second] = min(bits, best.get((first, second), _RADIUS))
    return sorted(best, key=lambda pair: (best[pair], pair))


def _in_position(frequencies: Floats, position: tuple[bool, bool, bool]) -> Floats:
    swap, left, up = position
    signs = np.where(np.arange(NUM_FREQUENCIES) % 2, -1, 1).astype(np.float32)
    moved = frequencies.transpose(0, 2, 1) if swap else frequencies
    moved = moved * signs if left else moved
    return moved * signs[:, None] if up else moved


def oriented(thumb: npt.NDArray[np.generic], position: int) -> npt.NDArray[np.generic]:
    """Return images (... x H x W) in one of the eight positions."""
    swap, left, up = POSITIONS[position]
    thumb = thumb.swapaxes(-1, -2) if swap else thumb
    thumb = thumb[..., ::-1] if left else thumb
    return thumb[..., ::-1, :] if up else thumb


def _hashes(views: Sequence[Floats], thresholds: Floats) -> Hashes:
    """Frequencies of N images in P views => P x N hashes of 64 bits; low frequencies are dealt to each band in turn."""
    order = np.argsort(np.add.outer(np.arange(NUM_FREQUENCIES), np.arange(NUM_FREQUENCIES)).ravel(), kind="stable")
    dealt = np.concatenate([order[start::_BANDS] for start in range(_BANDS)])
    bits = np.stack([view > thresholds for view in views]).reshape(len(views), -1, NUM_FREQUENCIES * NUM_FREQUENCIES)[
        ..., dealt
    ]
    return np.ascontiguousarray(np.packbits(bits, axis=-1)).view(np.uint64)[..., 0]


def _neighbours(hashes: Hashes) -> Iterator[Ints]:
    """Yield pairs of places whose hashes are near, the first one's in some view. P x N => K x 3: place, place, view."""
    bands = hashes.view(np.uint16).reshape(len(hashes), -1, _BANDS)
    flips = np.array([0, *(1 << bit for bit in range(16))], np.uint16)
    for band in range(_BANDS):
        keys = bands[..., band]
        order = np.argsort(keys[0], kind="stable")
        starts = np.searchsorted(keys[0][order], np.arange(1 << 16 | 1))
        sizes = np.diff(starts)
        probes = flips if sum(int(sizes[keys ^ flip].sum()) for flip in flips) < _MOST else flips[:1]
        for view in range(len(hashes)):
            for flip in probes:
                yield from _looked_up(hashes, keys[view] ^ flip, order, starts, view)


def _looked_up(hashes: Hashes, wanted: npt.NDArray[np.uint16], order: Ints, starts: Ints, view: int) -> Iterator[Ints]:
    """Yield the pairs that one probe of one band finds, in batches."""
    counts = starts[wanted.astype(np.int64) + 1] - starts[wanted]
    ends = np.cumsum(counts)
    begin = 0
    while begin < len(counts):
        done = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, done + _BATCH, side="right")))
        here = counts[begin:end]
        asking = np.repeat(np.arange(begin, end), here)
        within = np.arange(len(asking)) - np.repeat(np.cumsum(here) - here, here)
        found = order[np.repeat(starts[wanted[begin:end]], here) + within]
        near = np.bitwise_count(hashes[view, asking] ^ hashes[0, found]) <= _RADIUS
        near &= asking != found
        if near.any():
            yield np.stack([asking[near], found[near], np.full(int(near.sum()), view)], axis=1)
        begin = end


def _confirmed(thumbs: Bytes, candidates: Ints, threshold: float) -> Iterator[SimilarPair]:
    """Yield the candidates whose details are similar; of several positions the best."""
    best: dict[tuple[int, int], SimilarPair] = {}
    for part in np.array_split(candidates, len(candidates) // 8192 + 1):
        for position in np.unique(part[:, 2]) if len(part) else ():
            pairs = part[part[:, 2] == position]
            similarity = _similarity(oriented(thumbs[pairs[:, 0]], int(position)), thumbs[pairs[:, 1]], threshold)
            for (first, second, _), value in zip(pairs.tolist(), similarity.tolist(), strict=True):
                key = first, second
                if value >= threshold and (key not in best or value > best[key].similarity):
                    best[key] = SimilarPair(first, second, int(position), value)
    yield from (best[key] for key in sorted(best))


def _similarity(first: npt.NDArray[np.generic], second: npt.NDArray[np.generic], threshold: float) -> Floats:
    """Return the correlation of the details of thumbnails; where they have few, the grey levels must agree."""
    (a, a_plain), (b, b_plain) = _details(first), _details(second)
    detailed = np.einsum("nij,nij->n", a, b)
    plain = a_plain | b_plain
    if plain.any():
        apart = np.abs(np.asarray(first[plain], np.float32) - np.asarray(second[plain], np.float32)).mean(axis=(1, 2))
        detailed[plain] = np.where(apart <= PLAIN_APART, np.maximum(detailed[plain], threshold), -1)
    return np.asarray(detailed, np.float32)


def _details(thumbs: npt.NDArray[np.generic]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return thumbnails minus their blurs, with mean 0 and norm 1, and which have hardly any detail."""
    exact = np.asarray(thumbs, np.float32)
    places = np.arange(thumbs.shape[1])
    weights = np.exp(-((places[:, None] - places) ** 2) / (2 * 2.0**2))  # a Gaussian of two pixels along one axis
    blur = np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)  # sums to 1 at the borders too
    raw = exact - blur @ exact @ blur.T
    raw -= raw.mean(axis=(1, 2), keepdims=True)
    norms = np.sqrt(np.einsum("nij,nij->n", raw, raw))
    details = np.asarray(raw / np.maximum(norms, 1e-6)[:, None, None], np.float32)
    num_pixels = 1 / np.maximum(np.einsum("nij,nij->n", details**2, details**2), 1e-9)  # that hold them, about
    return details, np.asarray((norms < PLAIN * thumbs.shape[1]) | (num_pixels < FEW))


def clusters(links: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return lists of names that are linked, directly or through others, each sorted; ordered by their first names."""
    groups, names = Groups(), set[str]()
    for first, second in links:
        groups.join(first, second)
        names |= {first, second}
    members: dict[str, list[str]] = {}
    for name in sorted(names):
        members.setdefault(groups.of(name), []).append(name)
    return sorted(members.values())
