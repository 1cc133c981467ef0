"""Images that are alike: turned, mirrored, rescaled and recompressed ones, without comparing each with each.

A perceptual hash (Zauner 2010) tells which low frequencies of a thumbnail lie above their medians over the set. Turning
and mirroring only change signs and order of frequencies, so all eight positions come from one transform. Hashes within
seven bits of each other agree within one bit in one of four bands, by which they are looked up (multi-index hashing,
Norouzi et al. 2012). What is found so is compared in its details.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Thumbs = npt.NDArray[np.uint8]  # N x 32 x 32, grey
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

LIKE: Final = 0.9
"""Correlation of the details of two thumbnails from which on they are one image."""
PLAIN: Final = 1.0
"""Grey levels of detail under which a thumbnail is plain."""
FEW: Final = 40
"""Pixels that hold the details, under which a thumbnail is plain too: a corner of something before a wall."""
PLAIN_APART: Final = 2.5
"""Grey levels between two plain thumbnails, on the average, up to which they are one image."""
_NUM: Final = 8  # frequencies along each axis
_BANDS: Final = 4
_RADIUS: Final = 10  # bits; seven are found for certain, most of the further ones too
_BATCH: Final = 1 << 21
_MOST: Final = 1 << 32
"""Candidates beyond which only equal bands are looked up: images so alike that their hashes tell little."""

# The eight positions: exchanged axes, then mirrored left to right, then turned upside down.
POSITIONS: Final = tuple((swap, left, up) for swap in (False, True) for left in (False, True) for up in (False, True))
_MIRRORED: Final = 2
_WORDS: Final = (
    "", "mirrored upside down", "mirrored", "turned by 180°",
    "turned and mirrored", "turned by 270°", "turned by 90°", "turned and mirrored",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Twin:
    """Two places in a list of images, and how the second lies to the first.

    Attributes:
        first: A place.
        second: Another place.
        position: Which of `POSITIONS` of the first is like the second; 0 is upright.
        likeness: Correlation of their details, in [-1, 1].
    """

    first: int
    second: int
    position: int
    likeness: float

    @property
    def words(self) -> str:
        """How it is turned; "" when it is not."""
        return _WORDS[self.position]


def find_twins(thumbs: Thumbs, like: float = LIKE) -> list[Twin]:
    """All pairs of images that are alike in one of the eight positions.

    Of a pile of many equal images each is paired with the first only.

    Args:
        thumbs: N x 32 x 32 `uint8`.
        like: Correlation of details from which on two are alike.
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
    return list(_confirmed(thumbs, np.unique(np.concatenate(found), axis=0), like))


def find_cuts(thumbs: Thumbs, cuts: npt.NDArray[np.float16]) -> list[tuple[int, int]]:
    """Pairs of which the second may be cut out of the first, mirrored or not; the likeliest first, none is certain.

    Args:
        thumbs: N x 32 x 32 `uint8`.
        cuts: N x K x 8 x 8, the `frequencies` of parts of each image.
    """
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


def _hashes(views: Sequence[Floats], thresholds: Floats) -> npt.NDArray[np.uint64]:
    """Frequencies of N images in P views => P x N hashes."""
    return np.stack([_packed(view > thresholds) for view in views])


def frequencies(thumbs: Thumbs) -> Floats:
    """The lowest frequencies of the cosine transform, whatever light and contrast. N x 32 x 32 => N x 8 x 8, norm 1."""
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


def turned(thumb: npt.NDArray[np.generic], position: int) -> npt.NDArray[np.generic]:
    """Images (... x H x W) in one of the eight positions."""
    swap, left, up = POSITIONS[position]
    thumb = thumb.swapaxes(-1, -2) if swap else thumb
    thumb = thumb[..., ::-1] if left else thumb
    return thumb[..., ::-1, :] if up else thumb


def _packed(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """N x 8 x 8 => N numbers of 64 bits. Frequencies are dealt to the bands in turn: low ones to each."""
    order = np.argsort(np.add.outer(np.arange(_NUM), np.arange(_NUM)).ravel(), kind="stable")
    dealt = np.concatenate([order[start::_BANDS] for start in range(_BANDS)])
    flat = bits.reshape(len(bits), -1)[:, dealt]
    return np.ascontiguousarray(np.packbits(flat, axis=1)).view(np.uint64)[:, 0]


def _neighbours(hashes: npt.NDArray[np.uint64]) -> Iterator[Ints]:
    """Pairs of places whose hashes are near, the first one's in some view. P x N => K x 3: place, place, view."""
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
    """The pairs that one probe of one band finds, in batches."""
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


def _confirmed(thumbs: Thumbs, candidates: Ints, like: float) -> Iterator[Twin]:
    """Those candidates that are alike in their details; of several positions the best."""
    best: dict[tuple[int, int], Twin] = {}
    for part in np.array_split(candidates, len(candidates) // 8192 + 1):
        for position in np.unique(part[:, 2]) if len(part) else ():
            pairs = part[part[:, 2] == position]
            likeness = _likeness(turned(thumbs[pairs[:, 0]], int(position)), thumbs[pairs[:, 1]], like)
            for (first, second, _), value in zip(pairs.tolist(), likeness.tolist(), strict=True):
                key = first, second
                if value >= like and (key not in best or value > best[key].likeness):
                    best[key] = Twin(first, second, int(position), value)
    yield from (best[key] for key in sorted(best))


def _likeness(first: npt.NDArray[np.generic], second: npt.NDArray[np.generic], like: float) -> Floats:
    """Correlation of the details of thumbnails; where they have next to none, the grey levels themselves must agree."""
    (a, a_plain), (b, b_plain) = _details(first), _details(second)
    detailed = np.einsum("nij,nij->n", a, b)
    plain = a_plain | b_plain
    if plain.any():
        apart = np.abs(np.asarray(first[plain], np.float32) - np.asarray(second[plain], np.float32)).mean(axis=(1, 2))
        detailed[plain] = np.where(apart <= PLAIN_APART, np.maximum(detailed[plain], like), -1)
    return np.asarray(detailed, np.float32)


def _details(thumbs: npt.NDArray[np.generic]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Thumbnails less their blurred selves, with mean 0 and norm 1, and which have them in a few places alone."""
    exact = np.asarray(thumbs, np.float32)
    blur = _blur(thumbs.shape[1])
    raw = exact - blur @ exact @ blur.T
    raw -= raw.mean(axis=(1, 2), keepdims=True)
    norms = np.sqrt(np.einsum("nij,nij->n", raw, raw))
    details = np.asarray(raw / np.maximum(norms, 1e-6)[:, None, None], np.float32)
    num_pixels = 1 / np.maximum(np.einsum("nij,nij->n", details**2, details**2), 1e-9)  # that hold them, about
    return details, np.asarray((norms < PLAIN * thumbs.shape[1]) | (num_pixels < FEW))


def _blur(side: int, sigma: float = 2.0) -> Floats:
    """A Gaussian blur along one axis as a matrix, with weights that sum to 1 at the borders too."""
    places = np.arange(side)
    weights = np.exp(-((places[:, None] - places) ** 2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def clusters(links: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Names that are linked, directly or by others, each list sorted; by their first names."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for first, second in links:
        a, b = sorted((root(first), root(second)))
        parent[b] = a
    members: dict[str, list[str]] = {}
    for name in sorted(parent):
        members.setdefault(root(name), []).append(name)
    return sorted(members.values())
