"""Similar thumbnails: turned, mirrored, rescaled and recompressed images, without comparing each with each.

A perceptual hash (Zauner 2010) records which low frequencies of a thumbnail lie above their medians over the set.
Turning and mirroring only change signs and order of frequencies, so all eight positions come from one transform. Hashes
within seven bits of each other agree within one bit in one of four bands, by which they are looked up (multi-index
hashing, Norouzi et al. 2012). The candidates are compared in their details.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from calco.data.curation import Groups

Thumbs = npt.NDArray[np.uint8]  # N x 32 x 32, grey
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

SIMILAR: Final = 0.9  # correlation of the details of two thumbnails from which on they are one image
PLAIN: Final = 1.0  # grey levels of detail under which a thumbnail is plain
FEW: Final = 40
"""Pixels that hold the details, under which a thumbnail is plain too: a corner of something before a wall."""
PLAIN_APART: Final = 2.5  # grey levels between two plain thumbnails, on the average, up to which they are one image
_NUM: Final = 8  # frequencies along each axis
_BANDS: Final = 4
_RADIUS: Final = 10  # bits; seven are found for certain, most of the further ones too
_BATCH: Final = 1 << 21
_MOST: Final = 1 << 32
"""Candidates beyond which only equal bands are looked up: images so similar that their hashes say little."""

# The eight positions: exchanged axes, then mirrored left to right, then turned upside down.
POSITIONS: Final = tuple((swap, left, up) for swap in (False, True) for left in (False, True) for up in (False, True))
_MIRRORED: Final = 2
_POSITION_NAMES: Final = (
    "", "mirrored upside down", "mirrored", "turned by 180°",
    "turned and mirrored", "turned by 270°", "turned by 90°", "turned and mirrored",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SimilarPair:
    """Two images of a list, and the position of the second relative to the first."""

    first: int  # a place
    second: int  # another place
    position: int  # index into `POSITIONS` at which the first is similar to the second; 0 is upright
    similarity: float  # correlation of their details, in [-1, 1]

    @property
    def position_name(self) -> str:
        """How the second is turned; "" if it is not."""
        return _POSITION_NAMES[self.position]


def find_similar(thumbs: Thumbs, threshold: float = SIMILAR) -> list[SimilarPair]:
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


def find_cuts(thumbs: Thumbs, cuts: npt.NDArray[np.float16]) -> list[tuple[int, int]]:
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


def frequencies(thumbs: Thumbs) -> Floats:
    """Return the lowest frequencies of the cosine transform without the mean: N x 32 x 32 => N x 8 x 8 of norm 1."""
    side = thumbs.shape[1]
    places = (np.arange(side) + 0.5) * np.pi / side
    basis = np.cos(np.outer(np.arange(_NUM), places)).astype(np.float32)
    parts = [basis @ part.astype(np.float32) @ basis.T for part in np.array_split(thumbs, len(thumbs) // 4096 + 1)]
    result = np.concatenate(parts)
    result[:, 0, 0] = 0
    return np.asarray(result / np.maximum(np.linalg.norm(result, axis=(1, 2), keepdims=True), 1e-6), np.float32)


def _in_position(frequencies: Floats, position: tuple[bool, bool, bool]) -> Floats:
    swap, left, up = position
    signs = np.where(np.arange(_NUM) % 2, -1, 1).astype(np.float32)
    moved = frequencies.transpose(0, 2, 1) if swap else frequencies
    moved = moved * signs if left else moved
    return moved * signs[:, None] if up else moved


def oriented(thumb: npt.NDArray[np.generic], position: int) -> npt.NDArray[np.generic]:
    """Return images (... x H x W) in one of the eight positions."""
    swap, left, up = POSITIONS[position]
    thumb = thumb.swapaxes(-1, -2) if swap else thumb
    thumb = thumb[..., ::-1] if left else thumb
    return thumb[..., ::-1, :] if up else thumb


def _hashes(views: Sequence[Floats], thresholds: Floats) -> npt.NDArray[np.uint64]:
    """Frequencies of N images in P views => P x N hashes of 64 bits; low frequencies are dealt to each band in turn."""
    order = np.argsort(np.add.outer(np.arange(_NUM), np.arange(_NUM)).ravel(), kind="stable")
    dealt = np.concatenate([order[start::_BANDS] for start in range(_BANDS)])
    bits = np.stack([view > thresholds for view in views]).reshape(len(views), -1, _NUM * _NUM)[..., dealt]
    return np.ascontiguousarray(np.packbits(bits, axis=-1)).view(np.uint64)[..., 0]


def _neighbours(hashes: npt.NDArray[np.uint64]) -> Iterator[Ints]:
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


def _looked_up(
    hashes: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint16], order: Ints, starts: Ints, view: int
) -> Iterator[Ints]:
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


def _confirmed(thumbs: Thumbs, candidates: Ints, threshold: float) -> Iterator[SimilarPair]:
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
