"""Task-aligned assignment, against a plain loop and the published rule, and the losses of the dense detector."""

import pytest
import torch

from calco.detection.lite import Assignment, assign, corners, dense_losses, inside, overlap
from calco.detection.network import TargetObjects

NONE = torch.zeros(0, 4)
GRID = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="xy"), -1).reshape(-1, 2) * 8 + 4
STRIDES = torch.full((64,), 8.0)
# Written out, so that no change of a constant goes unnoticed. TOOD (arXiv 2108.07755, section 3.2) has t = s^a * u^b
# with b = 6; the power of the score is a half here, where the paper has 1, and 10 anchors are taken, where it has 13.
SCORE_POWER, OVERLAP_POWER, TOP = 0.5, 6.0, 10


def around(anchors: torch.Tensor, half: float) -> torch.Tensor:
    """Return a box around each anchor: left, top, right, bottom."""
    return torch.cat([anchors - half, anchors + half], -1)


def iou(a: list[float], b: list[float]) -> float:
    """Return the intersection over union of two boxes, by hand."""
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(across, 0.0) * max(down, 0.0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def plain_assignment(
    scores: list[list[float]], boxes: list[list[float]], labels: list[int], truth: list[list[float]]
) -> tuple[dict[int, tuple[int, float]], int]:
    """Return anchor => (object, target score), and the number of anchors that several objects choose."""
    fit: list[dict[int, float]] = []
    for label, box in zip(labels, truth, strict=True):
        within = [place for place, (x, y) in enumerate(GRID.tolist()) if box[0] < x < box[2] and box[1] < y < box[3]]
        values = {
            place: scores[place][label] ** SCORE_POWER * max(iou(box, boxes[place]), 0.01) ** OVERLAP_POWER
            for place in within
        }
        best = sorted(values, key=lambda place: -values[place])[:TOP]
        fit.append({place: values[place] for place in best})
    owner, contested = {}, 0
    for place in sorted({place for chosen in fit for place in chosen}):
        wanting = [number for number, chosen in enumerate(fit) if place in chosen]
        contested += len(wanting) > 1
        owner[place] = max(wanting, key=lambda number: iou(truth[number], boxes[place]))  # of equal ones the first
    given = {}
    for place, number in owner.items():
        mine = [other for other, whose in owner.items() if whose == number]
        best_fit = max(fit[number][other] for other in mine)
        best_iou = max(iou(truth[number], boxes[other]) for other in mine)
        given[place] = (number, max(fit[number][place] / best_fit * best_iou, 0.01))
    return given, contested


def assigned(
    scores: torch.Tensor, boxes: torch.Tensor, labels: list[int], truth: list[list[float]]
) -> tuple[Assignment, dict[int, tuple[int, float]], int]:
    """Return the assignment, and that of the plain loop."""
    corner = torch.tensor(truth)
    centred = torch.cat([(corner[:, :2] + corner[:, 2:]) / 2, corner[:, 2:] - corner[:, :2]], -1)
    given = assign(scores, boxes, GRID, STRIDES, TargetObjects(torch.tensor(labels), centred, NONE))
    plain, contested = plain_assignment(scores.tolist(), boxes.tolist(), labels, truth)
    return given, plain, contested


@pytest.mark.parametrize("seed", range(8))
def test_the_assignment_is_that_of_a_plain_loop(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    labels, truth = [0, 1, 0], [[9.0, 9.0, 41.0, 45.0], [17.0, 13.0, 57.0, 51.0], [30.0, 20.0, 62.0, 61.0]]
    scores = torch.rand(64, 2, generator=rng) * 0.98 + 0.01
    boxes = torch.cat([GRID - 10, GRID + 10], -1) + 12 * torch.rand(64, 4, generator=rng) - 6
    boxes[:, 2:] += 14 * torch.rand(64, 2, generator=rng)
    given, plain, contested = assigned(scores, boxes, labels, truth)
    assert contested >= 3
    for place in range(64):
        if place not in plain:
            assert given.scores[place].tolist() == [0, 0]
            continue
        number, score = plain[place]
        assert given.scores[place, labels[number]].item() == pytest.approx(score, rel=1e-4)
        assert given.scores[place, 1 - labels[number]] == 0
        assert given.boxes[place].tolist() == truth[number]


def test_a_contested_anchor_goes_to_the_object_that_it_overlaps_most() -> None:
    """The score decides nothing here: the anchor's box fits the second object, its score the first."""
    truth = [[16.0, 16.0, 48.0, 48.0], [20.0, 16.0, 52.0, 48.0]]
    boxes, scores = torch.zeros(64, 4), torch.full((64, 2), 0.01)
    boxes[:, 2:] = 1.0
    place = int((torch.tensor([36.0, 36.0]) == GRID).all(-1).nonzero())
    boxes[place], scores[place] = torch.tensor([20.0, 16.0, 52.0, 48.0]), torch.tensor([0.99, 0.02])
    given, plain, _ = assigned(scores, boxes, [0, 1], truth)
    assert plain[place][0] == 1
    assert given.boxes[place].tolist() == truth[1]
    assert given.scores[place].tolist() == [0, pytest.approx(1)]


def test_of_objects_that_an_anchor_overlaps_equally_the_first_owns_it() -> None:
    truth = [[16.0, 16.0, 48.0, 48.0], [16.0, 16.0, 48.0, 48.0]]
    given, plain, _ = assigned(torch.full((64, 2), 0.5), around(GRID, 16), [1, 0], truth)
    assert {number for number, _ in plain.values()} == {0}
    assert (given.scores[:, 0] == 0).all() and (given.scores[:, 1] > 0).any()


def test_the_powers_of_score_and_overlap_are_those_written_down() -> None:
    """Target scores of two anchors of one object, computed by hand: t = s^0.5 * u^6, scaled to the best overlap."""
    truth = [[16.0, 16.0, 48.0, 48.0]]  # 32 x 32
    boxes, scores = torch.zeros(64, 4), torch.full((64, 2), 0.01)
    boxes[:, 2:] = 1.0
    first, second = (int((torch.tensor(at) == GRID).all(-1).nonzero()) for at in ([28.0, 28.0], [36.0, 36.0]))
    boxes[first], scores[first, 0] = torch.tensor([16.0, 16.0, 48.0, 40.0]), 0.25  # u = 3/4, t = 0.5 * 0.75^6
    boxes[second], scores[second, 0] = torch.tensor([16.0, 16.0, 48.0, 44.0]), 0.04  # u = 7/8, t = 0.2 * 0.875^6
    given, *_ = assigned(scores, boxes, [0], truth)
    fits = 0.5 * 0.75**6, 0.2 * 0.875**6  # 0.0890 and 0.0898: the overlap decides, just
    assert fits[1] > fits[0]
    assert given.scores[second, 0].item() == pytest.approx(0.875, rel=1e-5)
    assert given.scores[first, 0].item() == pytest.approx(fits[0] / fits[1] * 0.875, rel=1e-5)


def test_overlaps_are_those_computed_by_hand() -> None:
    box, other = torch.tensor([0.0, 0.0, 4.0, 4.0]), torch.tensor([2.0, 2.0, 6.0, 6.0])
    assert overlap(box, other).item() == pytest.approx(4 / 28)
    assert overlap(box, other, general=True).item() == pytest.approx(4 / 28 - (36 - 28) / 36)
    assert overlap(box, box, general=True).item() == pytest.approx(1)
    assert corners(torch.tensor([2.0, 3.0, 4.0, 2.0])).tolist() == [0, 2, 4, 4]


def test_an_object_between_the_anchors_gets_the_nearest_ones() -> None:
    objects = TargetObjects(torch.tensor([1]), torch.tensor([[8.0, 8.0, 2.0, 2.0]]), NONE)
    given = assign(torch.full((64, 2), 0.1), around(GRID, 16), GRID, STRIDES, objects)
    mine = (given.scores[:, 1] > 0).nonzero().flatten()
    assert sorted(GRID[mine].tolist()) == [[4, 4], [4, 12], [12, 4], [12, 12]]


def test_what_is_ignored_teaches_nothing() -> None:
    boxes = around(GRID, 16)[None].clone().requires_grad_()
    logits = torch.zeros(1, 64, 2, requires_grad=True)
    ignored = torch.tensor([[16.0, 16.0, 32.0, 32.0]])
    objects = TargetObjects(torch.zeros(0, dtype=torch.int64), NONE, ignored)
    losses = dense_losses(logits, boxes, GRID, STRIDES, [objects])
    assert losses["box"].item() == 0
    sum(losses.values(), torch.zeros(())).backward()
    passed_over = inside(GRID, corners(ignored))[0]
    assert logits.grad is not None
    assert (logits.grad[0][passed_over] == 0).all()
    assert (logits.grad[0][~passed_over] > 0).all()
