"""Which places answer for which thing, and the losses that follow."""

import pytest
import torch

from calco.detection.lite import TOP, assign, corners, dense_losses, inside, overlap
from calco.detection.network import Objects

NONE = torch.zeros(0, 4)
GRID = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="xy"), -1).reshape(-1, 2) * 8 + 4
STRIDES = torch.full((64,), 8.0)


def around(places: torch.Tensor, half: float) -> torch.Tensor:
    """A box about each place: left, top, right, bottom."""
    return torch.cat([places - half, places + half], -1)


def test_overlaps_are_those_computed_by_hand() -> None:
    box, other = torch.tensor([0.0, 0.0, 4.0, 4.0]), torch.tensor([2.0, 2.0, 6.0, 6.0])
    assert overlap(box, other).item() == pytest.approx(4 / 28)
    assert overlap(box, other, general=True).item() == pytest.approx(4 / 28 - (36 - 28) / 36)
    assert overlap(box, box, general=True).item() == pytest.approx(1)
    assert corners(torch.tensor([2.0, 3.0, 4.0, 2.0])).tolist() == [0, 2, 4, 4]


def test_a_thing_is_given_to_the_best_places_inside_it() -> None:
    objects = Objects(torch.tensor([1]), torch.tensor([[28.0, 28.0, 32.0, 32.0]]), NONE)
    scores = torch.full((64, 2), 0.1)
    given = assign(scores, around(GRID, 16), GRID, STRIDES, objects)
    mine = given.asked[:, 1] > 0
    assert 1 <= mine.sum() <= TOP
    assert inside(GRID, corners(objects.boxes))[0][mine].all()
    assert given.asked[:, 0].sum() == 0
    best = int(given.asked[:, 1].argmax())
    assert GRID[best].tolist() == [28, 28]
    assert given.asked[best, 1].item() == pytest.approx(1, abs=1e-3)
    assert given.boxes[best].tolist() == [12, 12, 44, 44]


def test_a_place_answers_for_one_thing_and_small_objects_find_one() -> None:
    objects = Objects(torch.tensor([0, 0, 1]), torch.tensor([[28.0, 28, 32, 32], [30, 28, 32, 32], [8, 8, 2, 2]]), NONE)
    given = assign(torch.full((64, 2), 0.1), around(GRID, 16), GRID, STRIDES, objects)
    assert ((given.asked > 0).sum(1) <= 1).all()
    assert (given.asked[:, 1] > 0).any()


def test_what_is_ignored_teaches_nothing() -> None:
    boxes = around(GRID, 16)[None].clone().requires_grad_()
    logits = torch.zeros(1, 64, 2, requires_grad=True)
    ignored = torch.tensor([[16.0, 16.0, 32.0, 32.0]])
    objects = Objects(torch.zeros(0, dtype=torch.int64), NONE, ignored)
    losses = dense_losses(logits, boxes, GRID, STRIDES, [objects])
    assert losses["box"].item() == 0
    sum(losses.values(), torch.zeros(())).backward()
    passed_over = inside(GRID, corners(ignored))[0]
    assert logits.grad is not None
    assert (logits.grad[0][passed_over] == 0).all()
    assert (logits.grad[0][~passed_over] > 0).all()
