"""ByteTrack (Zhang et al., 2022, arXiv 2110.06864), with ids that last through gaps and a state that can be saved.

Detections with a high score are matched with the tracks first, and those with a low score then with the tracks that are
left, since a half-hidden object scores low and is still there (the paper's algorithm 1). Our additions are steps of any
length in time, classes that never mix, overlaps that count less where colours differ, a wider round with grown boxes
for objects that moved further than they are wide (Yang et al., 2023, arXiv 2211.14317), and tracks that return: an
object that was hidden for a while is recognised by where it can have gone and by its colours.

Boxes move by the Kalman filter of SORT, DeepSORT and ByteTrack at constant velocity, many at once. A state is centre
x, centre y, width by height, height, and the velocity of each (Wojke et al., 2017, arXiv 1703.07402, section 2.1). The
noise is a share of the height, so that near objects may move further. Time is counted in steps of a thirtieth of a
second, for which the shares were found; a step may be any part or multiple of it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from calco.annotations.detections import Detections
from calco.detection.boxes import exact_iou
from calco.imaging import Image
from calco.watch.config import TrackConfig

Floats: TypeAlias = npt.NDArray[np.float64]

STEPS_A_SECOND: Final = 30.0
_PLACE, _VELOCITY = 1 / 20, 1 / 160  # standard deviations, as shares of the height; those of ByteTrack
_SHAPE: Final = 0.01
_SHAPE_SEEN: Final = 0.1
_SHAPE_VELOCITY: Final = 1e-5
_LEAST: Final = 1.0  # pixels of a height; smaller ones leave no noise to tell one place from another
_BINS: Final = (4, 4, 4)
_SIDE: Final = 24  # pixels to which a box is shrunk before its colours are counted
MOST: Final = 500
"""Tracks that are followed at once: bounds memory where a detector goes wild."""
TRAIL: Final = 32
"""Places that a track remembers of its way."""
_SMOOTH: Final = 0.3  # share of the newest score in a track's
_GROWN: Final = 0.5  # share of its sides by which a box is grown on each in the wider round
_CONFIRMED: Final = 2  # detections after which a track is believed; one at the first look of all


def to_state(boxes: npt.NDArray[np.floating]) -> Floats:
    """Boxes N x 4 (left, top, right, bottom) => N x 4 (centre x, centre y, width by height, height)."""
    corners = boxes.astype(np.float64)
    size = np.maximum(corners[:, 2:] - corners[:, :2], 1e-3)
    centres = (corners[:, 2:] + corners[:, :2]) / 2
    return np.column_stack([centres, size[:, 0] / size[:, 1], size[:, 1]])


def to_boxes(means: Floats) -> Floats:
    """States N x 4 or N x 8 => boxes N x 4."""
    height = np.maximum(means[:, 3], _LEAST)
    width = np.maximum(means[:, 2], 1e-3) * height
    half = np.column_stack([width, height]) / 2
    return np.column_stack([means[:, :2] - half, means[:, :2] + half])


def begun(boxes: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Boxes N x 4 of new objects, at rest => means N x 8, covariances N x 8 x 8."""
    seen = to_state(boxes)
    height = np.maximum(seen[:, 3], _LEAST)
    covariances = _diagonal(2 * _PLACE * height, _SHAPE, 10 * _VELOCITY * height, _SHAPE_VELOCITY)
    return np.concatenate([seen, np.zeros_like(seen)], axis=1), covariances


def predicted(means: Floats, covariances: Floats, steps: float) -> tuple[Floats, Floats]:
    """Move states by some steps: means N x 8, covariances N x 8 x 8 => the same."""
    move = np.eye(8)
    move[np.arange(4), np.arange(4) + 4] = steps
    height = np.maximum(means[:, 3], _LEAST)
    noise = _diagonal(_PLACE * height, _SHAPE, _VELOCITY * height, _SHAPE_VELOCITY)
    return means @ move.T, move @ covariances @ move.T + noise * steps


def corrected(means: Floats, covariances: Floats, boxes: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Correct states by detections: means N x 8, covariances N x 8 x 8, boxes N x 4 => means, covariances."""
    height = np.maximum(means[:, 3], _LEAST)
    expected = covariances[:, :4, :4] + _diagonal(_PLACE * height, _SHAPE_SEEN, height, 0)[:, :4, :4]
    gain = np.linalg.solve(expected, covariances[:, :4, :]).transpose(0, 2, 1)  # N x 8 x 4
    difference = to_state(boxes) - means[:, :4]
    updated = means + np.einsum("nij,nj->ni", gain, difference)
    shrunk = covariances - gain @ expected @ gain.transpose(0, 2, 1)
    return updated, (shrunk + shrunk.transpose(0, 2, 1)) / 2  # rounding must not make it lopsided over hours


def _diagonal(place: Floats, shape: float, velocity: Floats, shape_velocity: float) -> Floats:
    """Standard deviations, N each or one for all => covariances N x 8 x 8."""
    deviations = np.zeros((len(place), 8))
    deviations[:, [0, 1, 3]] = place[:, None]
    deviations[:, [4, 5, 7]] = velocity[:, None]
    deviations[:, 2], deviations[:, 6] = shape, shape_velocity
    result: Floats = (deviations**2)[:, :, None] * np.eye(8)
    return result


@dataclass(slots=True)
class Track:
    """An object that is followed.

    Attributes:
        id: Its number, from 1; never given twice.
        name: Its class.
        box: Left, top, right, bottom in pixels; while it is hidden, the expected ones.
        score: Score of its detections, smoothed.
        first: Seconds at which it was first seen.
        last: Seconds at which it was last seen.
        hits: Detections so far.
        best: The highest score of one detection.
        confirmed: Whether it was seen often enough to be believed.
        look: Its colours, 64 shares.
        trail: Middles of its lower edge, the newest last.
    """

    id: int
    name: str
    box: Floats
    score: float
    first: float
    last: float
    hits: int = 1
    best: float = 0.0
    confirmed: bool = False
    look: Floats | None = None
    trail: list[tuple[float, float]] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Return it as a line of tracks.jsonl."""
        return {
            "track": self.id, "class": self.name, "first": round(self.first, 3), "last": round(self.last, 3),
            "seen": self.hits, "score": round(self.score, 4), "best": round(self.best, 4), "box": rounded_box(self.box),
        }  # fmt: skip


def rounded_box(box: Floats) -> list[float]:
    """Return left, top, right, bottom with a decimal."""
    return [round(float(end), 1) for end in box]


def look_of(image: Image, box: npt.NDArray[np.floating]) -> Floats:
    """Return the shares of 64 colours in the inner part of a box in an image, HWC `uint8`; zeros outside the image."""
    height, width = image.shape[:2]
    across, down = (box[2] - box[0]) * 0.2, (box[3] - box[1]) * 0.1  # less of the ground beside it
    left, right = (int(np.clip(end, 0, width)) for end in (box[0] + across, box[2] - across + 1))
    top, bottom = (int(np.clip(end, 0, height)) for end in (box[1] + down, box[3] - down + 1))
    if right <= left or bottom <= top:
        return np.zeros(64)
    inner = image[top:bottom, left:right]
    small = cv2.resize(inner, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    if small.ndim == 2:
        small = cv2.cvtColor(small, cv2.COLOR_GRAY2RGB)
    counts = cv2.calcHist([small[..., :3]], [0, 1, 2], None, list(_BINS), [0, 256] * 3).astype(np.float64).ravel()
    shares: Floats = counts / max(1.0, float(counts.sum()))
    return shares


def likeness(one: Floats, other: Floats) -> Floats:
    """Return the similarity of looks (... x 64), from 0 to 1: the Bhattacharyya coefficient of their shares."""
    return np.asarray(np.sqrt(one * other).sum(axis=-1), np.float64)


def larger(boxes: Floats, share: float) -> Floats:
    """Grow boxes N x 4 on each side by a share of their width and height."""
    more = (boxes[:, 2:] - boxes[:, :2]) * share
    return np.concatenate([boxes[:, :2] - more, boxes[:, 2:] + more], axis=1)


def matched(cost: Floats, limit: float) -> list[tuple[int, int]]:
    """Return the pairs of rows and columns that cost least together; none that alone costs more than `limit`.

    The Hungarian algorithm (Kuhn, 1955) as scipy has it.
    """
    from scipy.optimize import linear_sum_assignment

    if not cost.size:
        return []
    allowed = cost <= limit
    dear = 2 * (abs(limit) + 1) * (min(cost.shape) + 1)  # one more pair is always worth more than a better one
    rows, columns = linear_sum_assignment(np.where(allowed, cost, dear))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j]]


class Tracker:
    """Follows the objects that a detector finds.

    Attributes:
        threshold: Score from which on a new object is believed.
        config: Settings.
        tracks: All tracks that are followed, hidden ones included, by age.
    """

    def __init__(self, threshold: float, config: TrackConfig | None = None) -> None:
        self.threshold, self.config = threshold, config or TrackConfig()
        self.tracks: list[Track] = []
        self._ended: list[Track] = []
        self._means, self._covariances = np.zeros((0, 8)), np.zeros((0, 8, 8))
        self._next = 1
        self._time: float | None = None
        self._looked: float | None = None  # the time of the last update

    @property
    def lowest(self) -> float:
        """Score from which on detections serve."""
        return self.threshold * self.config.weak

    def predict(self, time: float) -> None:
        """Move all tracks to a time, seconds."""
        before = time if self._time is None else self._time
        if time > before and self.tracks:
            hidden = np.array([track.last < before for track in self.tracks])
            self._means[hidden, 6:8] = 0.0  # an object that is hidden neither grows nor shrinks
            steps = (time - before) * STEPS_A_SECOND
            self._means, self._covariances = predicted(self._means, self._covariances, steps)
            self._place()
        self._time = time
        self._end([track.last < time - self.config.gap for track in self.tracks])

    def update(self, found: Detections, image: Image | None = None) -> None:
        """Match the detections at the time to which `predict` moved.

        Args:
            found: With scores, from `lowest` on.
            image: HWC `uint8`, whose colours distinguish objects; None to ignore colours.
        """
        assert self._time is not None, "predict first: it sets the time"
        config = self.config
        scores = np.ones(len(found)) if found.scores is None else found.scores.astype(np.float64)
        strong = np.flatnonzero(scores >= self.threshold)
        weak = np.flatnonzero((scores >= self.lowest) & (scores < self.threshold))
        # Time may have passed before the first track: that nothing was found yet does not make this the first look.
        first_look = self._looked is None and self._next == 1
        seen = [track.last >= self._time - min(config.gap, 0.5) for track in self.tracks]
        was_there = [self._looked is None or track.last >= self._looked for track in self.tracks]
        self._looked = self._time
        looks = {} if image is None else {int(j): look_of(image, found.boxes[j]) for j in strong}
        pairs: list[tuple[int, int]] = []

        def match(tracks: list[int], detections: npt.NDArray[np.int64], least: float, *, grown: float = 0.0,
                  by_look: bool = True) -> None:  # fmt: skip
            pairs.extend(self._match(tracks, detections, found, scores, least, looks if by_look else None, grown))

        def left(tracks: list[int], detections: npt.NDArray[np.int64]) -> tuple[list[int], npt.NDArray[np.int64]]:
            old, new = {i for i, _ in pairs}, {j for _, j in pairs}
            return [i for i in tracks if i not in old], np.array([j for j in detections if int(j) not in new], np.int64)

        known = [i for i, track in enumerate(self.tracks) if track.confirmed]
        match(known, strong, config.overlap)
        rest, strong = left(known, strong)
        match([i for i in rest if seen[i]], weak, config.overlap_weak, by_look=False)
        rest, _ = left(rest, weak)
        match([i for i in rest if was_there[i]], strong, config.overlap, grown=_GROWN)
        rest, strong = left(rest, strong)
        new = [i for i, track in enumerate(self.tracks) if not track.confirmed]
        match(new, strong, config.overlap, grown=_GROWN)
        new, strong = left(new, strong)
        if image is not None:
            looks |= {j: look_of(image, found.boxes[j]) for _, j in pairs if j not in looks}
        pairs += self._returned(rest, strong, found, looks)
        _, strong = left(rest, strong)
        self._correct(pairs, found, scores, looks)
        self._end([i in new for i in range(len(self.tracks))])  # a single detection was no object
        self._begin(strong, found, scores, looks, confirmed=first_look)

    def _match(self, tracks: Sequence[int], found: npt.NDArray[np.int64], detections: Detections, scores: Floats,
               least: float, looks: dict[int, Floats] | None, grown: float) -> list[tuple[int, int]]:  # fmt: skip
        """Return pairs of tracks and detections of one class, by their overlap (the paper's section 3).

        With looks (of detections with a high score) the overlap counts the more the higher the score and the more alike
        the colours: of two that cross, each keeps its own. A track without a better choice may look as it likes.
        """
        if not len(tracks) or not len(found):
            return []
        boxes = np.array([self.tracks[i].box for i in tracks])
        overlap = exact_iou(larger(boxes, grown), larger(detections.boxes[found].astype(np.float64), grown))
        names = np.array([self.tracks[i].name for i in tracks])
        same = names[:, None] == np.array([detections.classes[j] for j in found])[None]
        worth = overlap if looks is None else overlap * scores[found] * self._alike(tracks, found, looks)
        cost = np.where(same & (overlap >= least), 1 - worth, np.inf)
        return [(tracks[i], int(found[j])) for i, j in matched(cost, 1.0)]

    def _alike(self, tracks: Sequence[int], found: npt.NDArray[np.int64], looks: dict[int, Floats]) -> Floats:
        """Return the similarity in colour of each track and each detection, from 0 to 1; 1 where one has none."""
        alike = np.ones((len(tracks), len(found)))
        known = [a for a, i in enumerate(tracks) if self.tracks[i].look is not None]
        if known and looks:
            theirs = np.array([self.tracks[tracks[a]].look for a in known])
            alike[known] = likeness(theirs[:, None], np.array([looks[int(j)] for j in found])[None])
        return alike

    def _returned(self, tracks: Sequence[int], found: npt.NDArray[np.int64], detections: Detections,
                  looks: dict[int, Floats]) -> list[tuple[int, int]]:  # fmt: skip
        """Return pairs of hidden tracks and detections within reach, of about their size, and alike in colour."""
        if not len(tracks) or not len(found) or not looks or self._time is None:
            return []
        cost = np.full((len(tracks), len(found)), np.inf)
        for a, i in enumerate(tracks):
            track = self.tracks[i]
            left, top, right, bottom = track.box
            height, reach = bottom - top, 0.5 + 0.5 * (self._time - track.last)
            for b, j in enumerate(found):
                box = detections.boxes[j].astype(np.float64)
                far = np.hypot((box[0] + box[2] - left - right) / 2, (box[1] + box[3] - top - bottom) / 2)
                same = detections.classes[j] == track.name and 0.6 < (box[3] - box[1]) / height < 1.6
                if same and far < reach * height and track.look is not None:
                    alike = float(likeness(track.look, looks[int(j)]))
                    if alike >= self.config.return_like:
                        cost[a, b] = far / (reach * height) + (1 - alike)
        return [(tracks[i], int(found[j])) for i, j in matched(cost, 10.0)]

    def _correct(self, pairs: Sequence[tuple[int, int]], found: Detections, scores: Floats,
                 looks: dict[int, Floats]) -> None:  # fmt: skip
        if not pairs or self._time is None:
            return
        rows, columns = [i for i, _ in pairs], [j for _, j in pairs]
        self._means[rows], self._covariances[rows] = corrected(
            self._means[rows], self._covariances[rows], found.boxes[columns]
        )
        self._place()
        for i, j in pairs:
            track, score = self.tracks[i], float(scores[j])
            track.score += _SMOOTH * (score - track.score)
            track.best = max(track.best, score)
            track.last, track.hits = self._time, track.hits + 1
            track.confirmed = track.confirmed or track.hits >= _CONFIRMED
            if j in looks:
                track.look = looks[j] if track.look is None else 0.9 * track.look + 0.1 * looks[j]

    def _begin(self, strong: npt.NDArray[np.int64], found: Detections, scores: Floats, looks: dict[int, Floats], *,
               confirmed: bool) -> None:  # fmt: skip
        strong = strong[: max(0, MOST - len(self.tracks))]
        if not len(strong) or self._time is None:
            return
        means, covariances = begun(found.boxes[strong])
        self._means = np.concatenate([self._means, means])
        self._covariances = np.concatenate([self._covariances, covariances])
        for j in strong:
            score, box = float(scores[j]), found.boxes[j].astype(np.float64)
            self.tracks.append(Track(self._next, found.classes[j], box, score, self._time, self._time, best=score,
                                     confirmed=confirmed, look=looks.get(int(j))))  # fmt: skip
            self._next += 1

    def _place(self) -> None:
        for track, box in zip(self.tracks, to_boxes(self._means), strict=True):
            track.box = box

    def _end(self, over: Sequence[bool]) -> None:
        if not any(over):
            return
        self._ended += [track for track, gone in zip(self.tracks, over, strict=True) if gone and track.confirmed]
        kept = [i for i, gone in enumerate(over) if not gone]
        self.tracks = [self.tracks[i] for i in kept]
        self._means, self._covariances = self._means[kept], self._covariances[kept]

    def shown(self, pause: float) -> list[Track]:
        """Return the tracks that are believed and were seen within the last `pause` seconds."""
        since = (self._time or 0.0) - pause
        return [track for track in self.tracks if track.confirmed and track.last >= since - 1e-9]

    def step_trails(self) -> None:
        """Note where each track is now."""
        for track in self.tracks:
            track.trail.append((float(track.box[0] + track.box[2]) / 2, float(track.box[3])))
            del track.trail[:-TRAIL]

    def end_all(self) -> None:
        """End all tracks, as at the end of a video."""
        self._end([True] * len(self.tracks))

    def taken(self) -> list[Track]:
        """Return the tracks that have ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def state(self) -> dict[str, Any]:
        """Return everything that the next frame depends on, as JSON can hold it to the bit."""
        tracks = [
            asdict(track) | {"box": track.box.tolist(), "look": None if track.look is None else track.look.tolist()}
            for track in self.tracks
        ]
        return {
            "next": self._next, "time": self._time, "looked": self._looked, "means": self._means.tolist(),
            "covariances": self._covariances.tolist(), "tracks": tracks,
        }  # fmt: skip

    def recall(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self._next, self._time, self._looked = state["next"], state["time"], state["looked"]
        self._means = np.array(state["means"], np.float64).reshape(-1, 8)
        self._covariances = np.array(state["covariances"], np.float64).reshape(-1, 8, 8)
        self.tracks = [
            Track(**{**record, "box": np.array(record["box"], np.float64),
                     "look": None if record["look"] is None else np.array(record["look"], np.float64),
                     "trail": [(x, y) for x, y in record["trail"]]})
            for record in state["tracks"]
        ]  # fmt: skip
