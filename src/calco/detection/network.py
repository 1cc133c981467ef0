"""Interfaces of detectors, and of the networks that detect objects."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from calco.annotations.detections import Detections
from calco.errors import CalcoError
from calco.imaging import Image


class DetectorProtocol(Protocol):
    """A detector of any kind."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes."""

    @property
    def threshold(self) -> float:
        """Default threshold of the scores, found on its validation images."""

    def many(self, images: Sequence[Image], *, threshold: float | None = None) -> list[Detections]:
        """Return the objects in each image, in its pixels, with scores, the highest first, clipped to it.

        Images are HWC, of any sizes, grey or RGB, `uint8`, `uint16` or `float32`. `threshold` is the lowest score that
        is returned; None is `self.threshold`.
        """


class TargetObjects(NamedTuple):
    """Annotated objects of one image; boxes are centre and size (x, y, w, h) as shares of the square's side."""

    labels: Tensor  # K `int64`, class number of each object
    boxes: Tensor  # K, 4 in [0, 1]
    ignored: Tensor  # J, 4: boxes that count neither as found nor as a mistake (crowds, difficult objects)


class DetectionNetwork(nn.Module, ABC):
    """A network that detects objects in square images.

    Attributes:
        overlapping: Predicts several boxes for one object, so that its output needs suppression.
    """

    overlapping: bool = False

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """N, 3, S, S in [-1, 1] => logits N, Q, C and boxes N, Q, 4 (x, y, w, h of centre and size in [0, 1]).

        The sigmoid of a logit is the score of its class. For networks with a softmax over the classes, the logits are
        those whose sigmoid is the probability.
        """

    def losses(self, images: Tensor, objects: Sequence[TargetObjects]) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the weighted parts of the loss, each a scalar, whose sum training minimises; by default refuse."""
        raise CalcoError("an exported file does not learn; train the model that it was made of")

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """Return the pretrained weights, which are trained with a smaller learning rate than the others."""
        return iter(())

    def compile_steady(self) -> None:
        """Compile the parts whose shapes do not depend on the objects; nothing by default."""


class Learner(nn.Module):
    """A network as training calls it: images and objects in, losses out, as one module for several processes."""

    def __init__(self, network: DetectionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, objects: Sequence[TargetObjects]) -> dict[str, Tensor]:
        """Return the parts of the loss."""
        return self.network.losses(images, objects)
