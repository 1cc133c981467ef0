"""Overlaps against figures worked out by hand; the suppressions against the plain loops that they replace."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calco.detection.boxes import giou, iou, matrix_nms, nms, soft_nms
from calco.errors import CalcoError

Rows = npt.NDArray[np.float64]

# Whole numbers: many ties, many boxes that touch, nest or coincide; some are empty or inverted.
corners = arrays(np.float64, (4,), elements=st.integers(-20, 20).map(float))
lists_of_boxes = st.lists(corners, max_size=40).map(lambda rows: np.array(rows, np.float64).reshape(-1, 4))


@st.composite
def boxes_with_scores(draw: st.DrawFn) -> tuple[Rows, Rows, list[str]]:
    found = draw(lists_of_boxes)
    scores = draw(arrays(np.float64, (len(found),), elements=st.integers(0, 6).map(lambda n: n / 6)))
    names = draw(st.lists(st.sampled_from(["cat", "dog"]), min_size=len(found), max_size=len(found)))
    return found, scores, names


def plain_iou(a: Rows | list[float], b: Rows | list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    solid = all(box[2] > box[0] and box[3] > box[1] for box in (a, b))
    if not solid or width <= 0 or height <= 0:
        return 0.0
    inner = width * height
    return float(inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner))


def plain_nms(rows: Rows, marks: Rows, edge: float, names: list[str] | None = None) -> list[int]:
    kept: list[int] = []
    boxes, scores = rows.tolist(), marks.tolist()
    for i in sorted(range(len(boxes)), key=lambda place: -scores[place]):
        rivals = (j for j in kept if names is None or names[i] == names[j])
        if all(plain_iou(boxes[j], boxes[i]) <= edge for j in rivals):
            kept.append(i)
    return kept


def crowd(seed: int, count: int, objects: int, spread: float = 0.12) -> tuple[Rows, Rows]:
    """Many boxes about some objects, as a detector gives them."""
    generator = np.random.default_rng(seed)
    centre, side = generator.uniform(0, 1000, (objects, 2)), generator.uniform(10, 150, (objects, 2))
    which = generator.integers(0, objects, count)
    centre = centre[which] + generator.normal(0, spread, (count, 2)) * side[which]
    side = side[which] * np.exp(generator.normal(0, spread, (count, 2)))
    return np.hstack([centre - side / 2, centre + side / 2]), generator.uniform(0, 1, count)


def test_iou_and_giou_of_boxes_worked_out_by_hand() -> None:
    first = np.array([[0, 0, 10, 10]], np.float32)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [20, 0, 30, 10], [2, 2, 4, 4]], np.float32)
    assert iou(first, second)[0] == pytest.approx([1, 50 / 150, 0, 0, 4 / 100])
    assert giou(first, second)[0] == pytest.approx([1, 1 / 3, 0, -1 / 3, 0.04])


def test_boxes_without_an_inside_overlap_nothing() -> None:
    odd = np.array([[3, 3, 3, 9], [5, 5, 2, 9], [0, 0, 10, 10]], np.float64)
    assert iou(odd, odd).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert giou(odd[:1] * 0, odd[:1] * 0).tolist() == [[0]]
    assert nms(odd, np.ones(3), 0.0).tolist() == [0, 1, 2]


def test_no_boxes_at_all() -> None:
    assert iou([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert giou(np.zeros((2, 4)), []).shape == (2, 0)
    assert nms([], []).tolist() == []
    for places, scores in (soft_nms([], []), matrix_nms([], [])):
        assert len(places) == len(scores) == 0


@settings(deadline=None)  # a busy machine is no fault
@given(lists_of_boxes, lists_of_boxes)
def test_iou_is_the_plain_one_symmetric_and_a_share(a: Rows, b: Rows) -> None:
    found = iou(a, b)
    assert found.tolist() == [[plain_iou(x, y) for y in b] for x in a]
    assert np.array_equal(found, iou(b, a).T)
    assert ((found >= 0) & (found <= 1)).all()
    solid = (a[:, 2] > a[:, 0]) & (a[:, 3] > a[:, 1])
    assert np.array_equal(np.diag(iou(a, a)), solid.astype(np.float64))


@settings(deadline=None)  # a busy machine is no fault
@given(lists_of_boxes, lists_of_boxes)
def test_giou_is_symmetric_and_never_above_iou(a: Rows, b: Rows) -> None:
    found = giou(a, b)
    assert np.array_equal(found, giou(b, a).T)
    assert (found <= iou(a, b)).all() and (found >= -1).all()


@settings(deadline=None)  # a busy machine is no fault
@given(boxes_with_scores(), st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 0.7, 1.0]))
def test_nms_is_the_plain_loop(case: tuple[Rows, Rows, list[str]], edge: float) -> None:
    boxes, scores, names = case
    assert nms(boxes, scores, edge).tolist() == plain_nms(boxes, scores, edge)
    assert nms(boxes, scores, edge, names).tolist() == plain_nms(boxes, scores, edge, names)


@pytest.mark.parametrize(("objects", "spread"), [(1, 0.1), (20, 0.1), (300, 0.3), (3000, 0.1)])
def test_nms_of_thousands_is_the_plain_loop(objects: int, spread: float) -> None:
    boxes, scores = crowd(1, 1500, objects, spread)
    names = ["cat" if place % 3 else "dog" for place in range(len(boxes))]
    assert nms(boxes, scores, 0.5).tolist() == plain_nms(boxes, scores, 0.5)
    assert nms(boxes, scores, 0.5, names).tolist() == plain_nms(boxes, scores, 0.5, names)


@settings(deadline=None)  # a busy machine is no fault
@given(boxes_with_scores(), st.sampled_from([2.0, 0.5, 1024.0]), st.integers(-64, 64))
def test_nms_knows_neither_scale_nor_place_and_has_nothing_left_to_do(
    case: tuple[Rows, Rows, list[str]], scale: float, shift: int
) -> None:
    boxes, scores, _ = case
    kept = nms(boxes, scores, 0.4)
    assert np.array_equal(nms(boxes * scale + shift, scores, 0.4), kept)  # exact: powers of two and whole numbers
    assert nms(boxes[kept], scores[kept], 0.4).tolist() == list(range(len(kept)))


def test_of_equal_scores_the_earlier_box_stays() -> None:
    twice = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    assert nms(twice, [0.5, 0.5, 0.9]).tolist() == [2, 0]
    assert nms(twice, [0.5, 0.5, 0.9], classes=["a", "b", "a"]).tolist() == [2, 0, 1]


def test_nms_stops_early() -> None:
    boxes, scores = crowd(2, 2000, 500)
    assert nms(boxes, scores, at_most=7).tolist() == nms(boxes, scores).tolist()[:7]
    assert nms(boxes, scores, at_most=0).tolist() == []


def plain_soft_nms(boxes: Rows, scores: Rows, edge: float, method: str, names: list[str]) -> dict[int, float]:
    now, kept = dict(enumerate(scores.tolist())), {}
    now = {place: score for place, score in now.items() if score >= 0.001}
    while now:
        best = max(now, key=lambda place: (now[place], -place))
        kept[best] = now.pop(best)
        for place in list(now):
            overlap = plain_iou(boxes[best], boxes[place]) if names[best] == names[place] else 0.0
            if method == "gaussian":
                now[place] *= math.exp(-(overlap**2) / 0.5)
            elif overlap > edge:
                now[place] *= 1 - overlap
            if now[place] < 0.001:
                del now[place]
    return kept


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_nms_is_the_plain_loop(method: str) -> None:
    for seed in range(5):
        boxes, scores = crowd(seed, 200, 20)
        names = ["cat" if place % 3 else "dog" for place in range(len(boxes))]
        places, now = soft_nms(boxes, scores, 0.3, names, method=method)
        plain = plain_soft_nms(boxes, scores, 0.3, method, names)
        assert places.tolist() == list(plain)
        assert now == pytest.approx(list(plain.values()))
        assert (np.diff(now) <= 0).all()


def test_soft_nms_lowers_where_nms_drops() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [30, 0, 40, 10]], np.float32)
    places, scores = soft_nms(boxes, [0.9, 0.8, 0.3], 0.5, method="linear")
    assert places.tolist() == [0, 2, 1]
    assert scores == pytest.approx([0.9, 0.3, 0.8 * (1 - 0.8)])


def plain_matrix_nms(boxes: Rows, scores: Rows, names: list[str], method: str) -> list[float]:
    """Equation 5 of SOLOv2 read aloud."""

    def fade(overlap: float) -> float:
        return 1 - overlap if method == "linear" else math.exp(-(overlap**2) / 0.5)

    def overlap(i: int, j: int) -> float:
        return plain_iou(boxes[i], boxes[j]) if names[i] == names[j] else 0.0

    order = sorted(range(len(boxes)), key=lambda place: -scores[place])
    worst = {j: max((overlap(i, j) for i in order[:n]), default=0.0) for n, j in enumerate(order)}
    now = list(scores)
    for n, j in enumerate(order):
        factors = [fade(overlap(i, j)) / fade(worst[i]) for i in order[:n] if fade(worst[i])]
        now[j] = scores[j] * min([1.0, *factors])
    return [float(score) for score in now]


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_matrix_nms_is_its_equation(method: str) -> None:
    for count in (1, 60, 400):
        boxes, scores = crowd(count, count, 1 + count // 8)
        boxes[count // 2 :] = boxes[: count - count // 2]  # some lie exactly on others
        names = ["cat" if place % 3 else "dog" for place in range(count)]
        places, now = matrix_nms(boxes, scores, names, method=method)
        plain = plain_matrix_nms(boxes, scores, names, method)
        assert sorted(places.tolist()) == list(range(count))
        assert now == pytest.approx([plain[place] for place in places])
        assert (np.diff(now) <= 0).all()
    few, _ = matrix_nms(boxes, scores, names, method=method, least=0.5)
    assert len(few) == sum(score >= 0.5 for score in now)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: iou([[1, 2, 3]], []), "boxes have the shape (1, 3); they need N x 4"),
        (lambda: nms([[0, 0, 1, math.nan]], [1]), "box 0 is [0.0, 0.0, 1.0, nan]; a box needs four finite numbers"),
        (lambda: nms([[0, 0, 1, 1]], [1, 2]), "1 boxes have scores of the shape (2,); each box needs one score"),
        (lambda: nms([[0, 0, 1, 1]], [math.nan]), "a score is nan; scores must be finite"),
        (lambda: nms([[0, 0, 1, 1]], [1], 1.5), "iou is 1.5; an overlap is between 0 and 1"),
        (lambda: nms([[0, 0, 1, 1]], [1], classes=["a", "b"]), "1 boxes have 2 classes; each box needs one"),
        (lambda: nms([[0, 0, 1, 1]], [1], at_most=-1), "at_most is -1"),
        (lambda: soft_nms([[0, 0, 1, 1]], [-1]), "a score is -1; scores that are to be lowered must not be negative"),
        (lambda: soft_nms([[0, 0, 1, 1]], [1], sigma=0), "sigma is 0; it must be above 0"),
        (lambda: matrix_nms([[0, 0, 1, 1]], [1], method="hard"), "method is 'hard'; it is linear or gaussian"),
    ],
)
def test_what_does_not_fit_is_said(call, complaint: str) -> None:
    with pytest.raises(CalcoError) as error:
        call()
    assert complaint in str(error.value)
