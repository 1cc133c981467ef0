"""The Inception network behind FID, KID and the Inception score, as one table.

It is the network of 2015-12-05 that the published figures use (Szegedy et al., arXiv 1512.00567, with 1008 classes), whose
pooling differs from the usual InceptionV3: averages leave out the padding, and the last block takes the maximum. Names
follow the state dict that pytorch-fid and torch-fidelity distribute, so that its file loads as it is. Weights come from
the user: `calco` ships none.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from calco.errors import CalcoError

SIDE = 299
"""Pixels that the network looks at."""
NUM_FEATURES = 2048
NUM_CLASSES = 1008
_EPSILON = 0.001

Kernel = int | tuple[int, int]
Convolution = tuple[str, int, Kernel, int]
"""Name, channels out, kernel (height, width), stride. Strided ones are not padded, the others keep the size."""
Step = str | Convolution | tuple[Convolution, Convolution]
"""A pooling by name, a convolution, or two convolutions side by side."""
Block = tuple[tuple[Step, ...], ...]
"""Branches side by side, whose results are stacked."""


def _a(pool: int) -> Block:
    return (
        (("branch1x1", 64, 1, 1),),
        (("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 1)),
        (("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 1)),
        ("average", ("branch_pool", pool, 1, 1)),
    )


def _c(width: int) -> Block:
    return (
        (("branch1x1", 192, 1, 1),),
        (("branch7x7_1", width, 1, 1), ("branch7x7_2", width, (1, 7), 1), ("branch7x7_3", 192, (7, 1), 1)),
        (
            ("branch7x7dbl_1", width, 1, 1),
            ("branch7x7dbl_2", width, (7, 1), 1),
            ("branch7x7dbl_3", width, (1, 7), 1),
            ("branch7x7dbl_4", width, (7, 1), 1),
            ("branch7x7dbl_5", 192, (1, 7), 1),
        ),
        ("average", ("branch_pool", 192, 1, 1)),
    )


def _e(pooling: str) -> Block:
    return (
        (("branch1x1", 320, 1, 1),),
        (("branch3x3_1", 384, 1, 1), (("branch3x3_2a", 384, (1, 3), 1), ("branch3x3_2b", 384, (3, 1), 1))),
        (
            ("branch3x3dbl_1", 448, 1, 1),
            ("branch3x3dbl_2", 384, 3, 1),
            (("branch3x3dbl_3a", 384, (1, 3), 1), ("branch3x3dbl_3b", 384, (3, 1), 1)),
        ),
        (pooling, ("branch_pool", 192, 1, 1)),
    )


_B: Block = (
    (("branch3x3", 384, 3, 2),),
    (("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 2)),
    ("halve",),
)
_D: Block = (
    (("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 2)),
    (
        ("branch7x7x3_1", 192, 1, 1),
        ("branch7x7x3_2", 192, (1, 7), 1),
        ("branch7x7x3_3", 192, (7, 1), 1),
        ("branch7x7x3_4", 192, 3, 2),
    ),
    ("halve",),
)
_STEM: tuple[tuple[Convolution, bool], ...] = (
    # The convolution, and whether it is padded although the table's rule would say otherwise.
    (("Conv2d_1a_3x3", 32, 3, 2), False),
    (("Conv2d_2a_3x3", 32, 3, 1), False),
    (("Conv2d_2b_3x3", 64, 3, 1), True),
    (("Conv2d_3b_1x1", 80, 1, 1), False),
    (("Conv2d_4a_3x3", 192, 3, 1), False),
)
_BLOCKS: Mapping[str, Block] = {
    "Mixed_5b": _a(32),
    "Mixed_5c": _a(64),
    "Mixed_5d": _a(64),
    "Mixed_6a": _B,
    "Mixed_6b": _c(128),
    "Mixed_6c": _c(160),
    "Mixed_6d": _c(160),
    "Mixed_6e": _c(192),
    "Mixed_7a": _D,
    "Mixed_7b": _e("average"),
    "Mixed_7c": _e("maximum"),
}


def _pair(kernel: Kernel) -> tuple[int, int]:
    return (kernel, kernel) if isinstance(kernel, int) else kernel


def _block_shapes(prefix: str, block: Block, channels: int) -> Iterator[tuple[str, int, int, Kernel]]:
    for branch in block:
        inside = channels
        for step in branch:
            if isinstance(step, str):
                continue
            side_by_side = step if isinstance(step[0], tuple) else (step,)
            for name, out, kernel, _ in side_by_side:  # type: ignore[misc]
                yield f"{prefix}.{name}", inside, out, kernel
            inside = sum(convolution[1] for convolution in side_by_side)  # type: ignore[misc]


def _out_channels(block: Block, channels: int) -> int:
    total = 0
    for branch in block:
        inside = channels
        for step in branch:
            if not isinstance(step, str):
                inside = sum(part[1] for part in step) if isinstance(step[0], tuple) else step[1]  # type: ignore[misc]
        total += inside
    return total


def shapes() -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of the state dict, by name."""
    found: dict[str, tuple[int, ...]] = {}
    convolutions: list[tuple[str, int, int, Kernel]] = []
    channels = 3
    for (name, out, kernel, _), _padded in _STEM:
        convolutions.append((name, channels, out, kernel))
        channels = out
    for prefix, block in _BLOCKS.items():
        convolutions += _block_shapes(prefix, block, channels)
        channels = _out_channels(block, channels)
    for name, inside, out, kernel in convolutions:
        found[f"{name}.conv.weight"] = (out, inside, *_pair(kernel))
        found |= {f"{name}.bn.{kind}": (out,) for kind in ("weight", "bias", "running_mean", "running_var")}
    return found | {"fc.weight": (NUM_CLASSES, channels), "fc.bias": (NUM_CLASSES,)}


class Inception:
    """The network with its weights.

    Args:
        weights: Tensors by name, with the names and shapes of `shapes()`.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.weights = dict(weights)

    @torch.inference_mode()
    def __call__(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Features and class scores (without bias, as the Inception score is published).

        Args:
            pictures: N3HW, float32 in [0, 255].

        Returns:
            N x 2048 and N x 1008, float32.
        """
        x = F.interpolate(pictures, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        x = (x - 128) / 128
        for index, (convolution, padded) in enumerate(_STEM):
            x = self._convolve(x, "", convolution, pad=padded)
            x = F.max_pool2d(x, 3, stride=2) if index in (2, 4) else x
        for prefix, block in _BLOCKS.items():
            x = torch.cat([self._branch(x, prefix, branch) for branch in block], dim=1)
        features = x.mean(dim=(2, 3))
        return features, features @ self.weights["fc.weight"].T

    def _branch(self, x: Tensor, prefix: str, branch: tuple[Step, ...]) -> Tensor:
        for step in branch:
            match step:
                case "average":
                    x = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
                case "maximum":
                    x = F.max_pool2d(x, 3, stride=1, padding=1)
                case "halve":
                    x = F.max_pool2d(x, 3, stride=2)
                case (tuple() as left, tuple() as right):
                    x = torch.cat([self._convolve(x, f"{prefix}.", part) for part in (left, right)], dim=1)
                case _:
                    x = self._convolve(x, f"{prefix}.", step)  # type: ignore[arg-type]
        return x

    def _convolve(self, x: Tensor, prefix: str, convolution: Convolution, *, pad: bool = True) -> Tensor:
        name, _, kernel, stride = convolution
        height, width = _pair(kernel)
        padding = (height // 2, width // 2) if pad and stride == 1 else (0, 0)
        get = {key: self.weights[f"{prefix}{name}.{key}"] for key in ("conv.weight", *_NORM)}
        x = F.conv2d(x, get["conv.weight"], stride=stride, padding=padding)
        mean, variance, scale, shift = (get[key] for key in _NORM)
        return F.relu_(F.batch_norm(x, mean, variance, scale, shift, eps=_EPSILON))


_NORM = ("bn.running_mean", "bn.running_var", "bn.weight", "bn.bias")


def load(path: str | Path) -> Inception:
    """Reads the weights from a safetensors file, or from a .pth file without unpickling objects.

    Raises:
        CalcoError: When the file is absent, of another kind, or of another network.
    """
    file = Path(path)
    if not file.is_file():
        raise CalcoError(f"{file} is not a file; --inception wants the weights of the FID Inception network of 2015-12-05")
    try:
        weights: dict[str, Tensor] = (
            load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
        )
        return from_tensors(weights, str(file))
    except CalcoError:
        raise
    except Exception as error:
        raise CalcoError(
            f"{file} cannot be read as a state dict; give safetensors, or a .pth that holds tensors by name and nothing else"
        ) from error


def from_tensors(weights: Mapping[str, Tensor], origin: str) -> Inception:
    """Checks names and shapes, and leaves out what the network does not use.

    Raises:
        CalcoError: Naming the first tensor that is missing or of another shape.
    """
    expected = shapes()
    for name, shape in expected.items():
        if name not in weights:
            raise CalcoError(f"{origin} lacks {name}; it must hold the FID Inception network of 2015-12-05")
        if tuple(weights[name].shape) != shape:
            raise CalcoError(
                f"{origin}: {name} has shape {tuple(weights[name].shape)}, not {shape}; "
                "it must hold the FID Inception network of 2015-12-05 (1008 classes), not torchvision's"
            )
    return Inception({name: weights[name].float() for name in expected})
