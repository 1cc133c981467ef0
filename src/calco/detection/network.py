"""What every network that finds objects has in common: how it is asked, and how it is taught."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor, nn


class Objects(NamedTuple):
    """What there is to find in one image; boxes are centre and size (x, y, w, h) in shares of the square's side.

    Attributes:
        labels: K `int64`, the number of each thing's class.
        boxes: K, 4 in [0, 1].
        ignored: J, 4: where something is that counts neither as found nor as a mistake.
    """

    labels: Tensor
    boxes: Tensor
    ignored: Tensor


class DetectionNetwork(nn.Module, ABC):
    """A network that finds objects in square images.

    Attributes:
        overlapping: Whether it answers one thing with several boxes, of which all but the best must be suppressed.
    """

    overlapping: bool = False

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """N, 3, S, S in [-1, 1] => logits N, Q, C and boxes N, Q, 4 (x, y, w, h of centre and size in [0, 1]).

        The sigmoid of a logit is the score of its class. Of networks that judge all classes against each other
        (softmax), the logits are those whose sigmoid is that probability.
        """

    @abstractmethod
    def losses(self, images: Tensor, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """The weighted parts of the loss, each a scalar; their sum is what training brings down."""

    @abstractmethod
    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """The weights that have learned elsewhere to see, and are changed more carefully than the others."""

    def compile_steady(self) -> None:
        """Compiles what is given the same shapes whatever is in the images, the loss left out; nothing by itself."""


class Learner(nn.Module):
    """A network as training calls it: images and objects in, losses out.

    Several processes exchange the gradients of what they call, so it must be one module.
    """

    def __init__(self, network: DetectionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """The parts of the loss, as the network tells them."""
        return self.network.losses(images, objects)
