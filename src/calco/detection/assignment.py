"""Which places of a dense detector answer for which thing, and the losses that follow.

Task-aligned assignment (TOOD: Feng et al., arXiv 2108.07755): a thing is given to those places inside it whose score
and box together are the best already, and their score is asked to say how good the box is. The score learns by the
varifocal loss (Zhang et al., arXiv 2008.13367), the box by the generalised IoU (Rezatofighi et al., arXiv 1902.09630).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from calco.detection.network import Objects

TOP: Final = 10
"""Places that answer for one thing, at most."""
SCORE_POWER: Final = 0.5
OVERLAP_POWER: Final = 6.0
CLASS_WEIGHT: Final = 1.0
BOX_WEIGHT: Final = 2.5
_ALPHA, _GAMMA = 0.75, 2.0  # of the varifocal loss
_TINY: Final = 1e-9


class Assignment(NamedTuple):
    """Who answers for what in one image.

    Attributes:
        asked: Q, C: the score that each place is asked for.
        boxes: Q, 4: the box that it is asked for (left, top, right, bottom); only where `asked` is above 0.
        counted: Q `bool`: whether the place is judged at all; places inside ignored boxes are not.
    """

    asked: Tensor
    boxes: Tensor
    counted: Tensor


def corners(boxes: Tensor) -> Tensor:
    """Centre and size => left, top, right, bottom; ..., 4 each."""
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def overlap(a: Tensor, b: Tensor, *, general: bool = False) -> Tensor:
    """The IoU, or the generalised IoU (arXiv 1902.09630, algorithm 1), of boxes that broadcast: ..., 4 => ..."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    whole = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1) + (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1) - shared
    iou = shared / whole.clamp(min=_TINY)
    if not general:
        return iou
    around = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    return iou - (around - whole) / around.clamp(min=_TINY)


def inside(places: Tensor, boxes: Tensor) -> Tensor:
    """Whether each place lies in each box: Q, 2 and K, 4 => K, Q."""
    near = torch.cat([places[None] - boxes[:, None, :2], boxes[:, None, 2:] - places[None]], -1)
    return near.amin(-1) > 0


@torch.no_grad()
def assign(scores: Tensor, boxes: Tensor, places: Tensor, strides: Tensor, objects: Objects) -> Assignment:
    """Gives each thing of an image to the places that serve it best.

    Args:
        scores: Q, C in [0, 1].
        boxes: Q, 4 (left, top, right, bottom) in pixels, as the network has them now.
        places: Q, 2 in pixels.
        strides: Q: the distance of a place to the next.
        objects: With centre and size in pixels.
    """
    asked, wanted = torch.zeros_like(scores), torch.zeros_like(boxes)
    counted = torch.ones(len(places), dtype=torch.bool, device=scores.device)
    if len(objects.ignored):
        counted &= ~inside(places, corners(objects.ignored)).any(0)
    if not len(objects.boxes):
        return Assignment(asked, wanted, counted)
    truth = corners(objects.boxes)  # K, 4
    within = inside(places, truth)
    # A thing between the places, smaller than their distance, is given to the nearest ones of the finest map.
    apart = (places[None] - objects.boxes[:, None, :2]).norm(dim=-1) + strides
    within |= (apart <= apart.amin(1, keepdim=True) + 1e-3) & ~within.any(1, keepdim=True)
    iou = overlap(truth[:, None], boxes[None])  # K, Q
    fit = scores[:, objects.labels].T ** SCORE_POWER * iou.clamp(min=1e-2) ** OVERLAP_POWER * within
    best = fit.topk(min(TOP, fit.shape[1]), dim=1).indices
    chosen = torch.zeros_like(within).scatter_(1, best, True) & within
    # A place that several objects want goes to the one that it overlaps most.
    owner = torch.where(chosen, iou, -1.0).argmax(0)
    chosen &= torch.arange(len(truth), device=owner.device)[:, None] == owner[None]
    fit, iou = fit * chosen, iou * chosen
    quality = fit / fit.amax(1, keepdim=True).clamp(min=1e-20) * iou.amax(1, keepdim=True)
    mine = torch.nonzero(chosen.any(0)).squeeze(1)
    owner = owner[mine]
    asked[mine, objects.labels[owner]] = quality[owner, mine].clamp(min=1e-2)
    wanted[mine] = truth[owner]
    counted[mine] = True
    return Assignment(asked, wanted, counted)


def dense_losses(
    logits: Tensor, boxes: Tensor, places: Tensor, strides: Tensor, objects: Sequence[Objects]
) -> dict[str, Tensor]:
    """The losses of a batch.

    Args:
        logits: N, Q, C.
        boxes: N, Q, 4 (left, top, right, bottom) in pixels.
        places: Q, 2 in pixels.
        strides: Q.
        objects: N, with boxes in pixels.

    Returns:
        `class` and `box`, weighted, each divided by the sum of what the places are asked for.
    """
    scores = logits.detach().sigmoid()
    parts = [
        assign(scores[number], boxes[number].detach(), places, strides, each) for number, each in enumerate(objects)
    ]
    asked, wanted = torch.stack([part.asked for part in parts]), torch.stack([part.boxes for part in parts])
    counted = torch.stack([part.counted for part in parts])
    total = asked.sum().clamp(min=1.0)
    # Varifocal: what is asked for counts by how much it is, the rest by how wrong it is.
    weight = torch.where(asked > 0, asked, _ALPHA * scores**_GAMMA) * counted[..., None]
    named = (F.binary_cross_entropy_with_logits(logits, asked, reduction="none") * weight).sum() / total
    taken = asked.amax(-1)
    mine = taken > 0
    off = (1 - overlap(boxes[mine], wanted[mine], general=True)) * taken[mine]
    return {"class": CLASS_WEIGHT * named, "box": BOX_WEIGHT * off.sum() / total}
