"""ByteTrack (Zhang et al., 2022, arXiv 2110.06864), with ids that last through gaps and a state that can be saved.

Nothing is thrown away for a low score: what scores high is matched with the tracks first, and what scores low then with
those that are left, since a thing half hidden scores low and is still there (the paper's algorithm 1). Of our own are
steps of any length in time, classes that never mix, overlaps that count less where colours differ, a wider round with
grown boxes for what moved further than it is wide (Yang et al., 2023, arXiv 2211.14317), and tracks that come back:
what was hidden for a while is known again by where it can have gone and by its colours.

Boxes move by the Kalman filter of SORT, DeepSORT and ByteTrack at constant velocity, many at once. A state is centre
x, centre y, width by height, height, and the velocity of each (Wojke et al., 2017, arXiv 1703.07402, section 2.1). The
noise is a share of the height, so that near objects may move further. Time is counted in steps of a thirtieth of a
second, for which the shares were found; a step may be any part or multiple of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
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
_LEAST: Final = 1.0  # pixels of a height; what is smaller has no noise left to tell one place from another


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
    """States of what was just found, at rest: N x 4 => means N x 8, covariances N x 8 x 8."""
    seen = to_state(boxes)
    height = np.maximum(seen[:, 3], _LEAST)
    deviations = _columns(2 * _PLACE * height, _SHAPE, 10 * _VELOCITY * height, _SHAPE_VELOCITY)
    return np.concatenate([seen, np.zeros_like(seen)], axis=1), _diagonal(deviations**2)


def predicted(means: Floats, covariances: Floats, steps: float) -> tuple[Floats, Floats]:
    """Where boxes will be after some steps: means N x 8, covariances N x 8 x 8 => the same."""
    move = np.eye(8)
    move[np.arange(4), np.arange(4) + 4] = steps
    height = np.maximum(means[:, 3], _LEAST)
    noise = _columns(_PLACE * height, _SHAPE, _VELOCITY * height, _SHAPE_VELOCITY)
    return means @ move.T, move @ covariances @ move.T + _diagonal(noise**2) * steps


def corrected(means: Floats, covariances: Floats, boxes: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
    """States with what was seen of them: means N x 8, covariances N x 8 x 8, boxes N x 4 => means, covariances."""
    if not len(means):
        return means, covariances
    height = np.maximum(means[:, 3], _LEAST)
    noise = np.column_stack([_PLACE * height, _PLACE * height, np.full_like(height, _SHAPE_SEEN), _PLACE * height])
    expected = covariances[:, :4, :4] + _diagonal(noise**2)
    gain = np.linalg.solve(expected, covariances[:, :4, :]).transpose(0, 2, 1)  # N x 8 x 4
    difference = to_state(boxes) - means[:, :4]
    updated = means + np.einsum("nij,nj->ni", gain, difference)
    shrunk = covariances - gain @ expected @ gain.transpose(0, 2, 1)
    return updated, (shrunk + shrunk.transpose(0, 2, 1)) / 2  # rounding must not make it lopsided over hours


def _columns(place: Floats, shape: float, velocity: Floats, shape_velocity: float) -> Floats:
    shapes, shape_velocities = np.full_like(place, shape), np.full_like(place, shape_velocity)
    return np.column_stack([place, place, shapes, place, velocity, velocity, shape_velocities, velocity])


def _diagonal(variances: Floats) -> Floats:
    """N x K => N x K x K."""
    result: Floats = variances[:, :, None] * np.eye(variances.shape[1])
    return result


@dataclass(slots=True)
class Track:
    """A object that is followed.

    Attributes:
        id: Its number, from 1; never given twice.
        name: Its class.
        box: Left, top, right, bottom in pixels, where it is, or is expected while it is hidden.
        score: Of its detections, smoothed.
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


_BINS: Final = (4, 4, 4)
_SIDE: Final = 24  # pixels to which a box is shrunk before it is counted


def look_of(image: Image, box: npt.NDArray[np.floating]) -> Floats:
    """The shares of 64 colours in the inner part of a box.

    Args:
        image: HWC `uint8`.
        box: Left, top, right, bottom in pixels; it may reach beyond the image.

    Returns:
        64 shares that add up to 1; zeros where nothing of the box lies in the image.
    """
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
    """How alike looks (... x 64) are, from 0 to 1: the Bhattacharyya coefficient of their shares."""
    return np.asarray(np.sqrt(one * other).sum(axis=-1), np.float64)


def larger(boxes: Floats, share: float) -> Floats:
    """Boxes N x 4 with a share of their width and height more on each side."""
    more = (boxes[:, 2:] - boxes[:, :2]) * share
    return np.concatenate([boxes[:, :2] - more, boxes[:, 2:] + more], axis=1)


def matched(cost: Floats, limit: float) -> list[tuple[int, int]]:
    """The pairs of rows and columns that cost least together; none that alone costs more than `limit`.

    The Hungarian algorithm (Kuhn, 1955) as scipy has it.
    """
    from scipy.optimize import linear_sum_assignment

    if not cost.size:
        return []
    allowed = cost <= limit
    dear = 2 * (abs(limit) + 1) * (min(cost.shape) + 1)  # one more pair is always worth more than a better one
    rows, columns = linear_sum_assignment(np.where(allowed, cost, dear))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j]]


MOST: Final = 500
"""Tracks that are followed at once: bounds memory where a detector goes wild."""
TRAIL: Final = 32
"""Places that a track remembers of its way."""
_SMOOTH: Final = 0.3  # share of the newest score in a track's
_GROWN: Final = 0.5  # share of its sides by which a box is grown on each in the wider round
_CONFIRMED: Final = 2  # detections after which a track is believed; one at the first look of all


@dataclass
class Tracker:
    """Follows what a detector finds.

    Attributes:
        threshold: From which score on something new is believed.
        config: How.
        tracks: All that are followed, hidden ones included, by age.
        ended: Those that have ended since the last call of `taken`.
    """

    threshold: float
    config: TrackConfig = field(default_factory=TrackConfig)
    tracks: list[Track] = field(default_factory=list)
    ended: list[Track] = field(default_factory=list)
    _means: Floats = field(default_factory=lambda: np.zeros((0, 8)))
    _covariances: Floats = field(default_factory=lambda: np.zeros((0, 8, 8)))
    _next: int = 1
    _time: float | None = None
    _looked: float | None = None  # the time of the last update

    @property
    def lowest(self) -> float:
        """The score from which on detections serve."""
        return self.threshold * self.config.weak

    def predict(self, time: float) -> None:
        """Moves all tracks to a time, seconds."""
        steps = 0.0 if self._time is None else max(0.0, time - self._time) * STEPS_A_SECOND
        if steps and self.tracks:
            hidden = np.array([track.last < self._time for track in self.tracks]) if self._time is not None else None
            if hidden is not None and hidden.any():
                self._means[hidden, 6:8] = 0.0  # a thing that is hidden neither grows nor shrinks
            self._means, self._covariances = predicted(self._means, self._covariances, steps)
            self._place()
        self._time = time
        self._end([track.last < time - self.config.gap for track in self.tracks])

    def update(self, found: Detections, image: Image | None = None) -> None:
        """Goes on with what was found at the time to which `predict` moved.

        Args:
            found: With scores, from `lowest` on.
            image: HWC `uint8`, whose colours tell objects apart; None to ignore colours.
        """
        assert self._time is not None, "predict first: it tells the time"
        scores = np.ones(len(found)) if found.scores is None else found.scores.astype(np.float64)
        strong = np.flatnonzero(scores >= self.threshold)
        weak = np.flatnonzero((scores >= self.lowest) & (scores < self.threshold))
        # Time may have passed before the first track: that nothing was found yet does not make this the first look.
        first_look = self._looked is None and self._next == 1
        seen = [track.last >= self._time - self._recent for track in self.tracks]
        was_there = [self._looked is None or track.last >= self._looked for track in self.tracks]
        self._looked = self._time
        looks = {} if image is None else {int(j): look_of(image, found.boxes[j]) for j in strong}
        everything = [i for i, track in enumerate(self.tracks) if track.confirmed]
        pairs = self._match(everything, strong, found, scores, self.config.overlap, looks)
        rest, strong = _without(everything, strong, pairs)
        pairs += (more := self._match([i for i in rest if seen[i]], weak, found, scores, self.config.overlap_weak))
        rest, _ = _without(rest, weak, more)
        pairs += (
            more := self._match(
                [i for i in rest if was_there[i]], strong, found, scores, self.config.overlap, looks, grown=_GROWN
            )
        )
        rest, strong = _without(rest, strong, more)
        new = [i for i, track in enumerate(self.tracks) if not track.confirmed]
        pairs += (more := self._match(new, strong, found, scores, self.config.overlap, looks, grown=_GROWN))
        new, strong = _without(new, strong, more)
        if image is not None:
            looks |= {j: look_of(image, found.boxes[j]) for _, j in pairs if j not in looks}
        pairs += (more := self._returned(rest, strong, found, looks))
        _, strong = _without(rest, strong, more)
        self._correct(pairs, found, scores, looks)
        self._end([i in set(new) for i in range(len(self.tracks))])  # one glimpse was no thing
        self._begin(strong, found, scores, looks, confirmed=first_look)

    @property
    def _recent(self) -> float:
        """Seconds within which a track counts as in view for the second round."""
        return min(self.config.gap, 0.5)

    def _match(self, tracks: Sequence[int], found: npt.NDArray[np.int64], detections: Detections, scores: Floats,
               least: float, looks: dict[int, Floats] | None = None, *,
               grown: float = 0.0) -> list[tuple[int, int]]:  # fmt: skip
        """Pairs of tracks and detections of one class, by their overlap (the paper's section 3).

        With looks (of what scores high) the overlap counts the more the higher the score and the more alike the
        colours: of two who cross, each goes on with its own. Who has no better choice may look as it likes.
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
        """How alike each track and each detection are in colour, from 0 to 1; 1 where one has none."""
        alike = np.ones((len(tracks), len(found)))
        known = [a for a, i in enumerate(tracks) if self.tracks[i].look is not None]
        if known and looks:
            theirs = np.array([self.tracks[tracks[a]].look for a in known])
            alike[known] = likeness(theirs[:, None], np.array([looks[int(j)] for j in found])[None])
        return alike

    def _returned(self, tracks: Sequence[int], found: npt.NDArray[np.int64], detections: Detections,
                  looks: dict[int, Floats]) -> list[tuple[int, int]]:  # fmt: skip
        """Hidden tracks that are known again: within reach of where they were, of about their size, alike in colour."""
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
            score = float(scores[j])
            self.tracks.append(
                Track(
                    self._next,
                    found.classes[j],
                    found.boxes[j].astype(np.float64),
                    score,
                    self._time,
                    self._time,
                    best=score,
                    confirmed=confirmed,
                    look=looks.get(int(j)),
                )
            )
            self._next += 1

    def _place(self) -> None:
        for track, box in zip(self.tracks, to_boxes(self._means), strict=True):
            track.box = box

    def _end(self, over: Sequence[bool]) -> None:
        if not any(over):
            return
        self.ended += [track for track, gone in zip(self.tracks, over, strict=True) if gone and track.confirmed]
        kept = [i for i, gone in enumerate(over) if not gone]
        self.tracks = [self.tracks[i] for i in kept]
        self._means, self._covariances = self._means[kept], self._covariances[kept]

    def shown(self, pause: float) -> list[Track]:
        """The tracks that are believed and were seen within the last `pause` seconds."""
        since = (self._time or 0.0) - pause
        return [track for track in self.tracks if track.confirmed and track.last >= since - 1e-9]

    def step_trails(self) -> None:
        """Notes where each track is now."""
        for track in self.tracks:
            track.trail.append((float(track.box[0] + track.box[2]) / 2, float(track.box[3])))
            del track.trail[:-TRAIL]

    def end_all(self) -> None:
        """Ends all tracks, as at the end of a video."""
        self._end([True] * len(self.tracks))

    def taken(self) -> list[Track]:
        """The tracks that have ended since the last call."""
        ended, self.ended = self.ended, []
        return ended

    def state(self) -> dict[str, Any]:
        """Everything that the next frame depends on, as JSON can hold it to the bit."""
        return {
            "next": self._next, "time": self._time, "looked": self._looked, "means": self._means.tolist(),
            "covariances": self._covariances.tolist(),
            "tracks": [
                {**{name: getattr(track, name) for name in ("id", "name", "score", "first", "last", "hits", "best",
                                                            "confirmed", "trail")},
                 "box": track.box.tolist(), "look": None if track.look is None else track.look.tolist()}
                for track in self.tracks
            ],
        }  # fmt: skip

    def recall(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave."""
        self._next, self._time, self._looked = state["next"], state["time"], state["looked"]
        self._means = np.array(state["means"], np.float64).reshape(-1, 8)
        self._covariances = np.array(state["covariances"], np.float64).reshape(-1, 8, 8)
        self.tracks = [
            Track(**{**record, "box": np.array(record["box"], np.float64),
                     "look": None if record["look"] is None else np.array(record["look"], np.float64),
                     "trail": [(x, y) for x, y in record["trail"]]})
            for record in state["tracks"]
        ]  # fmt: skip


def _without(tracks: Sequence[int], found: npt.NDArray[np.int64], pairs: Sequence[tuple[int, int]]
             ) -> tuple[list[int], npt.NDArray[np.int64]]:  # fmt: skip
    """What is left of tracks and detections after some were paired."""
    old, new = {i for i, _ in pairs}, {j for _, j in pairs}
    left = np.array([j for j in found if int(j) not in new], np.int64)
    return [i for i in tracks if i not in old], left
