"""The compact detector: EfficientNet-Lite0, a pyramid of three feature maps, and one dense anchor-free head.

At each pixel of the three maps the head predicts the class of the object there and the distances of its four edges.
The head is that of FCOS (Tian et al., arXiv 1904.01355), shared by the maps; the pyramid goes down and up again (PANet,
arXiv 1803.01534) with depthwise convolutions. `assign` chooses its targets.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.detection.config import check_lite
from calco.detection.network import DetectionNetwork, TargetObjects
from calco.networks.cpu import depthwise, in_shares, learning_dtype
from calco.networks.cpu.packed import packed
from calco.networks.efficientnet_lite import CHANNELS, ENDS, STRIDES, EfficientNetLite

TOP: Final = 10
"""Largest number of anchor points of one object."""
SCORE_POWER: Final = 0.5
OVERLAP_POWER: Final = 6.0
CLASS_WEIGHT: Final = 1.0
BOX_WEIGHT: Final = 2.5
_ALPHA, _GAMMA = 0.75, 2.0  # of the varifocal loss
_TINY: Final = 1e-9
_USED: Final = (2, 3, 4)  # maps of the backbone that are used
_PRIOR: Final = 0.01  # first score of every class (RetinaNet, arXiv 1708.02002, section 3.3)
_WIDEST: Final = 5.0  # distances end at e^5 strides


class Assignment(NamedTuple):
    """Targets of the anchor points of one image."""

    scores: Tensor  # Q, C in [0, 1]: target score of each anchor
    boxes: Tensor  # Q, 4: target box (left, top, right, bottom in pixels), where a target score is above 0
    counted: Tensor  # Q `bool`: whether the anchor counts in the loss; anchors inside ignored boxes do not


def corners(boxes: Tensor) -> Tensor:
    """Return left, top, right, bottom of centre and size; ..., 4 each."""
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def overlap(a: Tensor, b: Tensor, *, general: bool = False) -> Tensor:
    """Return the IoU, or the generalised IoU (arXiv 1902.09630, algorithm 1), of boxes that broadcast: ..., 4 => ..."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    whole = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1) + (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1) - shared
    iou = shared / whole.clamp(min=_TINY)
    if not general:
        return iou
    around = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    return iou - (around - whole) / around.clamp(min=_TINY)


def inside(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Return whether each anchor point lies in each box: Q, 2 and K, 4 => K, Q."""
    near = torch.cat([anchors[None] - boxes[:, None, :2], boxes[:, None, 2:] - anchors[None]], -1)
    return near.amin(-1) > 0


@torch.no_grad()
def assign(scores: Tensor, boxes: Tensor, anchors: Tensor, strides: Tensor, objects: TargetObjects) -> Assignment:
    """Assign the objects of an image to the anchor points that predict them best (TOOD, arXiv 2108.07755).

    An anchor inside an object is ranked by t = score^a * IoU^b; the best `TOP` predict the object, with target score
    t, scaled so that the largest of an object is its largest IoU. Of several objects an anchor predicts the one that
    it overlaps most. The paper has a = 1 and b = 6 with 13 anchors; here a is 0.5, so that early scores count less.

    Boxes are corners in pixels, Q, 4; scores Q, C in [0, 1]; anchors Q, 2 and strides Q in pixels; the boxes of the
    objects centre and size in pixels.
    """
    targets, wanted = torch.zeros_like(scores), torch.zeros_like(boxes)
    counted = torch.ones(len(anchors), dtype=torch.bool, device=scores.device)
    if len(objects.ignored):
        counted &= ~inside(anchors, corners(objects.ignored)).any(0)
    if not len(objects.boxes):
        return Assignment(targets, wanted, counted)
    truth = corners(objects.boxes)  # K, 4
    within = inside(anchors, truth)
    # An object between the anchors, smaller than their distance, goes to the nearest ones of the finest map.
    apart = (anchors[None] - objects.boxes[:, None, :2]).norm(dim=-1) + strides
    within |= (apart <= apart.amin(1, keepdim=True) + 1e-3) & ~within.any(1, keepdim=True)
    iou = overlap(truth[:, None], boxes[None])  # K, Q
    fit = scores[:, objects.labels].T ** SCORE_POWER * iou.clamp(min=1e-2) ** OVERLAP_POWER * within
    best = fit.topk(min(TOP, fit.shape[1]), dim=1).indices
    chosen = torch.zeros_like(within).scatter_(1, best, True) & within
    # An anchor that several objects choose predicts the one that it overlaps most.
    owner = torch.where(chosen, iou, -1.0).argmax(0)
    chosen &= torch.arange(len(truth), device=owner.device)[:, None] == owner[None]
    fit, iou = fit * chosen, iou * chosen
    quality = fit / fit.amax(1, keepdim=True).clamp(min=1e-20) * iou.amax(1, keepdim=True)
    mine = torch.nonzero(chosen.any(0)).squeeze(1)
    owner = owner[mine]
    targets[mine, objects.labels[owner]] = quality[owner, mine].clamp(min=1e-2)
    wanted[mine] = truth[owner]
    counted[mine] = True
    return Assignment(targets, wanted, counted)


def dense_losses(
    logits: Tensor, boxes: Tensor, anchors: Tensor, strides: Tensor, objects: Sequence[TargetObjects]
) -> dict[str, Tensor]:
    """Return the losses of a batch: varifocal (arXiv 2008.13367) for the scores, generalised IoU for the boxes.

    Logits are N, Q, C; boxes N, Q, 4 corners in pixels; the N objects have boxes in pixels. `class` and `box` are
    weighted, each divided by the sum of the target scores.
    """
    scores = logits.detach().sigmoid()
    parts = [
        assign(scores[number], boxes[number].detach(), anchors, strides, each) for number, each in enumerate(objects)
    ]
    targets, wanted = torch.stack([part.scores for part in parts]), torch.stack([part.boxes for part in parts])
    counted = torch.stack([part.counted for part in parts])
    total = targets.sum().clamp(min=1.0)
    # Varifocal: positive anchors are weighted by their target, the others by their error.
    weight = torch.where(targets > 0, targets, _ALPHA * scores**_GAMMA) * counted[..., None]
    named = (F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * weight).sum() / total
    taken = targets.amax(-1)
    mine = taken > 0
    off = (1 - overlap(boxes[mine], wanted[mine], general=True)) * taken[mine]
    return {"class": CLASS_WEIGHT * named, "box": BOX_WEIGHT * off.sum() / total}


class Depthwise(nn.Conv2d):
    """Depthwise 5 x 5 convolution."""

    def __init__(self, width: int, stride: int = 1) -> None:
        super().__init__(width, width, 5, stride, 2, groups=width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """N, C, H, W => N, C, ceil(H / stride), ceil(W / stride)."""
        out = depthwise(x, self.weight, (self.stride[0], self.stride[1]), (2, 2))
        return out if self.bias is None else out + self.bias.view(1, -1, 1, 1)  # of a norm that was folded into it


def _pointwise(channels: int, width: int) -> nn.Conv2d:
    """Convolution of each pixel by itself."""
    return nn.Conv2d(channels, width, 1, bias=False)


def _separable(width: int, stride: int = 1, *, groups: int = 0) -> nn.Sequential:
    """Depthwise and pointwise convolution; with group norm, or batch norm for 0 groups."""

    def norm() -> nn.Module:
        return nn.GroupNorm(groups, width) if groups else nn.BatchNorm2d(width)

    layers = [Depthwise(width, stride), norm(), nn.SiLU()]
    return nn.Sequential(*layers, _pointwise(width, width), norm(), nn.SiLU())


class Pyramid(nn.Module):
    """Feature pyramid: maps with `channels`, the finest first, become maps of one width, mixed down and up again."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.enter = nn.ModuleList(nn.Sequential(_pointwise(c, width), nn.BatchNorm2d(width)) for c in channels)
        self.down = nn.ModuleList(_separable(width) for _ in channels[1:])
        self.shrink = nn.ModuleList(_separable(width, 2) for _ in channels[1:])
        self.up = nn.ModuleList(_separable(width) for _ in channels[1:])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """N, C, H, W each => N, width, H, W each."""
        flow = [enter(m) for enter, m in zip(self.enter, maps, strict=True)]
        for place in range(len(flow) - 2, -1, -1):
            above = F.interpolate(flow[place + 1], size=flow[place].shape[2:], mode="nearest")
            flow[place] = self.down[place](flow[place] + above)
        for place in range(1, len(flow)):
            flow[place] = self.up[place - 1](flow[place] + self.shrink[place - 1](flow[place - 1]))
        return flow


class _PackedStages(NamedTuple):
    """Frozen parts of the backbone with their norms and activations inside the convolutions.

    While they are trained no further, their output is the same as that of the parts but for rounding, in half the time.
    """

    stages: list[nn.Module]
    dtype: torch.dtype
    made_of: tuple[int, ...]  # states of the weights

    @classmethod
    def of(cls, parts: Sequence[nn.Module], dtype: torch.dtype, before: "_PackedStages | None") -> "_PackedStages":
        """Pack the parts in a precision, unless `before` has them already."""
        weights = [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]
        made_of = tuple(number for tensor in weights for number in (id(tensor), tensor._version))
        if before is not None and (before.dtype, before.made_of) == (dtype, made_of):
            return before
        with torch.no_grad():
            return cls(list(packed(nn.ModuleList(parts), dtype).children()), dtype, made_of)


class LiteDetector(DetectionNetwork):
    """The compact detector; `width` is the channels of pyramid and head, `depth` the convolutions of a head's tower."""

    overlapping = True

    def __init__(self, num_classes: int, *, width: int = 96, depth: int = 2) -> None:
        super().__init__()
        check_lite(width, depth)
        self.backbone = EfficientNetLite()
        self.frozen, self.fixed_norms = 0, False
        self._packed: _PackedStages | None = None
        self.pyramid = Pyramid([CHANNELS[place] for place in _USED], width)
        self.strides = tuple(STRIDES[place] for place in _USED)
        self.naming, self.measuring = (
            nn.Sequential(*(_separable(width, groups=width // 8) for _ in range(depth))) for _ in range(2)
        )
        self.classes, self.edges = nn.Conv2d(width, num_classes, 3, padding=1), nn.Conv2d(width, 4, 3, padding=1)
        self.scales = nn.Parameter(torch.ones(len(_USED)))
        for layer, start in ((self.classes, -math.log(1 / _PRIOR - 1)), (self.edges, 1.0)):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, start)  # type: ignore[arg-type]

    def freeze(self, stages: int, *, norms: bool = True) -> None:
        """Keep the stem and the first stages of the backbone as they are; 0 trains all of it.

        Edges and textures need not be learned from a few hundred images, and the large maps, which cost most of the
        backward pass, are left out of it.

        Args:
            stages: Number of stages.
            norms: Keep the statistics of all norms of the backbone, which eight images estimate badly. Their factors
                and shifts are trained where the convolutions are.
        """
        self.frozen, self.fixed_norms = stages, norms
        for part in self._fixed():
            part.requires_grad_(False)
        self.train(self.training)

    def _fixed(self) -> list[nn.Module]:
        return [self.backbone.stem, *self.backbone.stages[: self.frozen]] if self.frozen else []

    def train(self, mode: bool = True) -> "LiteDetector":
        """Set the mode of all but the norms that stay as they are, and the frozen parts."""
        super().train(mode)
        norms = [each for each in self.backbone.modules() if self.fixed_norms and isinstance(each, nn.BatchNorm2d)]
        for part in (*self._fixed(), *norms):
            part.eval()
        return self

    def _maps(self, images: Tensor) -> Sequence[Tensor]:
        """Return the backbone's maps; frozen parts record nothing for the backward pass."""
        fixed = self._fixed()
        dtype = learning_dtype(images) if self.training else None
        if fixed and dtype is not None:
            self._packed = _PackedStages.of(fixed, dtype, self._packed)
            fixed = self._packed.stages
            images = images.to(dtype)
        parts = [*fixed, *[self.backbone.stem, *self.backbone.stages][len(fixed) :]]

        def maps(x: Tensor) -> list[Tensor]:
            found = list[Tensor]()
            for number, part in enumerate(parts, -1):
                with torch.set_grad_enabled(torch.is_grad_enabled() and number + 1 >= len(fixed)):
                    x = part(x)
                if number in ENDS:
                    found.append(x)
            return [found[place] for place in _USED]

        # Norms that take the statistics of the batch need all of its images.
        return in_shares(maps, [images], self.backbone.parameters()) if self.fixed_norms else maps(images)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the packed stages, which cannot be copied and are made again when they are needed."""
        return {**self.__dict__, "_packed": None}

    def _heads(self, *maps: Tensor) -> list[Tensor]:
        """Scores and distances at each pixel of each map, by turns."""
        towers = ((self.naming, self.classes), (self.measuring, self.edges))
        return [last(tower(features)) for features in maps for tower, last in towers]

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the head's output at each anchor point.

        Returns:
            Logits N, Q, C; boxes N, Q, 4 (left, top, right, bottom) in pixels; the anchor points Q, 2 (x, y) in pixels;
            and the stride of each, Q.
        """
        logits, boxes, places, strides = [], [], [], []
        heads = (self.naming, self.classes, self.measuring, self.edges)
        weights = [weight for part in heads for weight in part.parameters()]
        found = in_shares(self._heads, self.pyramid(self._maps(images)), weights)
        for number, (named, measured) in enumerate(zip(found[::2], found[1::2], strict=True)):
            stride = self.strides[number]
            height, width = named.shape[2:]
            where = _centres(height, width, stride, images.device)
            # In float32: half the digits would move edges by pixels.
            reach = (measured.float() * self.scales[number]).clamp(max=_WIDEST).exp() * stride
            reach = reach.flatten(2).transpose(1, 2)
            boxes.append(torch.cat([where - reach[..., :2], where + reach[..., 2:]], -1))
            logits.append(named.float().flatten(2).transpose(1, 2))
            places.append(where)
            strides.append(where.new_full((height * width,), stride))
        return torch.cat(logits, 1), torch.cat(boxes, 1), torch.cat(places), torch.cat(strides)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See `DetectionNetwork.forward`; Q counts every pixel of the three maps."""
        logits, boxes, _, _ = self.raw(images)
        low, high = boxes[..., :2], boxes[..., 2:]
        return logits, torch.cat([(low + high) / 2, high - low], -1) / images.shape[-1]

    def losses(self, images: Tensor, objects: Sequence[TargetObjects]) -> dict[str, Tensor]:
        """See `DetectionNetwork.losses`: `class` and `box`."""
        side = images.shape[-1]
        scaled = [each._replace(boxes=each.boxes * side, ignored=each.ignored * side) for each in objects]
        logits, boxes, places, strides = self.raw(images)
        with torch.autocast(images.device.type, enabled=False):
            return dense_losses(logits, boxes, places, strides, scaled)

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """Return the weights of EfficientNet-Lite0."""
        return self.backbone.parameters()

    def compile_steady(self) -> None:
        """Compile all but the loss."""
        self.raw = torch.compile(self.raw)  # type: ignore[method-assign]


def _centres(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    """Return the centre of every pixel of a map, in pixels of the image: H * W, 2 (x, y)."""
    rows, columns = (torch.arange(side, device=device, dtype=torch.float32) for side in (height, width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return (torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride
