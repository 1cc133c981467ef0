"""Arrays that a caller gives as images: taken by one rule, or refused in one line with the way to convert them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from calco import imaging
from calco.annotations.detections import nothing
from calco.data.config import JitterConfig
from calco.data.recipes import EraseConfig, RecipeConfig
from calco.detection.drawing import draw_detections
from calco.detection.lite import LiteDetector
from calco.detection.model import Detector, DetectorInfo
from calco.detection.slicing import Slices, find_in_slices
from calco.errors import CalcoError
from calco.inference.folder import ModelInfo
from calco.inference.translator import Translator
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig

BYTES = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
UNIT = (BYTES / 255).astype(np.float32)

BAD: dict[str, tuple[Any, str]] = {
    "float64": (BYTES / 255, r"float64.*astype\(np\.float32\)"),
    "float16": (UNIT.astype(np.float16), r"float16.*astype\(np\.float32\)"),
    "int64": (BYTES.astype(np.int64), r"int64.*astype\(np\.uint8\)"),
    "uint32": (BYTES.astype(np.uint32), r"uint32.*astype\(np\.uint8\)"),
    "bool": (BYTES > 99, r"bool.*astype\(np\.uint8\) \* 255"),
    "complex": (BYTES.astype(np.complex64), "complex64; it must be uint8"),
    "object": (BYTES.astype(object), "object; it must be uint8"),
    "text": (np.full((4, 4, 3), "a"), "must be uint8"),
    "0 to 255": (BYTES.astype(np.float32), r"from 0 to 255.*array / 255"),
    "-1 to 1": (UNIT * 2 - 1, r"from -1 to 1.*\(array \+ 1\) / 2"),
    "nan": (np.where(UNIT > 0.5, np.nan, UNIT).astype(np.float32), "NaN or infinite"),
    "inf": (np.where(UNIT > 0.5, np.inf, UNIT).astype(np.float32), "NaN or infinite"),
    "channels first": (BYTES.transpose(2, 0, 1), r"3 x 40 x 50.*array\.transpose\(1, 2, 0\)"),
    "batch": (BYTES[None], r"1 x 40 x 50 x 3.*batch\[0\]"),
    "empty": (BYTES[:0], "0 x 50 x 3.*at least 1"),
    "no channel": (BYTES[..., :0], "40 x 50 x 0.*at least 1"),
    "flat": (BYTES.ravel(), "6000; it must be height x width"),
    "a number": (np.uint8(3), "uint8; it must be a NumPy array"),
    "no dimensions": (np.array(3, np.uint8), "no dimensions"),
    "masked": (np.ma.masked_less(BYTES, 9), r"masked pixels.*filled\(0\)"),
    "list": (BYTES.tolist(), "a list; it must be a NumPy array"),
    "path": (Path("photo.png"), r"must be a NumPy array: read the file with calco\.read_image\(path\)"),
    "name": ("photo.png", r"must be a NumPy array: read the file with calco\.read_image\(path\)"),
    "Pillow": (Pillow.fromarray(BYTES), r"PIL Image.*np\.asarray\(image\.convert\(\"RGB\"\)\)"),
    "torch": (torch.from_numpy(BYTES), r"torch Tensor.*tensor\.permute\(1, 2, 0\)"),
    "None": (None, "NoneType"),
}

GOOD: dict[str, tuple[Any, np.ndarray]] = {
    "big-endian": (BYTES.astype(">u2") * 257, BYTES.astype(np.uint16) * 257),
    "big-endian floats": (UNIT.astype(">f4"), UNIT),
    "columns first": (np.asfortranarray(BYTES), BYTES),
    "turned around": (BYTES[::-1, ::-1][::-1, ::-1], BYTES),
    "every other pixel": (BYTES.repeat(2, 0).repeat(2, 1)[::2, ::2], BYTES),
    "channels turned around": (BYTES[..., ::-1].copy()[..., ::-1], BYTES),
    "nothing masked": (np.ma.masked_array(BYTES), BYTES),
    "rounding": (UNIT * np.float32(1.00001), np.minimum(UNIT * np.float32(1.00001), 1)),
    "height x width": (BYTES[..., 0], BYTES[..., :1]),
}


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


GOOD["read-only"] = (read_only(BYTES), BYTES)
GOOD["read-only floats"] = (read_only(UNIT), UNIT)


@pytest.fixture(scope="module")
def translator() -> Translator:
    torch.manual_seed(0)
    info = ModelInfo(
        generator=GeneratorConfig(depth=3, filters=4, composition="filled", hole_channel=True),
        recipe=RecipeConfig(recipe="erase", erase=EraseConfig(mask_channel=True)),
        jitter=JitterConfig(size=32, resize=36), in_channels=4, out_channels=3,
    )  # fmt: skip
    return Translator(info, build_generator(info.generator, 4, 3))


@pytest.fixture(scope="module")
def plain() -> Translator:
    torch.manual_seed(0)
    info = ModelInfo(
        generator=GeneratorConfig(depth=3, filters=4, composition="plain"), recipe=RecipeConfig(recipe="aligned"),
        jitter=JitterConfig(size=32, resize=36), in_channels=3, out_channels=3,
    )  # fmt: skip
    return Translator(info, build_generator(info.generator, 3, 3))


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.manual_seed(0)
    info = DetectorInfo(architecture="lite", settings={"width": 16, "depth": 1}, classes=("dog", "cat"), size=64)
    return Detector(info, LiteDetector(2, width=16, depth=1))


@pytest.fixture(scope="module")
def takers(translator: Translator, plain: Translator, detector: Detector) -> dict[str, Callable[[Any], Any]]:
    """Everything in Python that takes an image from a caller."""
    return {
        "translator": plain,
        "mask": lambda array: translator(BYTES, mask=array),
        "detector": detector,
        "many": lambda array: detector.many([BYTES, array]),
        "slices": lambda array: find_in_slices(detector, array, Slices(side=32)),
        "draw": lambda array: draw_detections(array, nothing()),
        "write": lambda array: imaging.encode(array, ".png"),
    }


@pytest.mark.parametrize("kind", BAD)
def test_what_is_not_an_image_is_refused_in_one_line(takers: dict[str, Callable[[Any], Any]], kind: str) -> None:
    array, rule = BAD[kind]
    for name, take in takers.items():
        if (name, kind) == ("mask", "bool"):  # that is a mask
            continue
        with pytest.raises(CalcoError) as met:
            take(array)
        said = str(met.value)
        assert re.search("there is none" if (name, kind) == ("mask", "None") else rule, said), name
        assert "\n" not in said
        assert name != "many" or "image 1 " in said


@pytest.mark.parametrize("kind", GOOD)
def test_layout_and_byte_order_change_nothing(
    plain: Translator, detector: Detector, kind: str, recwarn: pytest.WarningsRecorder
) -> None:
    array, same = GOOD[kind]
    made = plain(array)
    assert made.dtype == same.dtype
    assert np.array_equal(made, plain(same))
    one, other = (detector(each, threshold=0.0) for each in (array, same))
    assert np.array_equal(one.boxes, other.boxes)
    assert np.array_equal(draw_detections(array, nothing()), draw_detections(same, nothing()))
    assert imaging.encode(array, ".png") == imaging.encode(same, ".png")
    assert not list(recwarn)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_that_no_score_has_is_refused(detector: Detector, threshold: float) -> None:
    with pytest.raises(CalcoError, match=r"threshold is .*; scores lie in \[0, 1\]"):
        detector(BYTES, threshold=threshold)


@pytest.mark.parametrize("seed", [-1, 1 << 63, 1 << 64])
def test_a_seed_that_is_out_of_range_is_refused(plain: Translator, seed: int) -> None:
    with pytest.raises(CalcoError, match=r"noise seed is .* between 0 and 2\*\*63 - 1"):
        plain(BYTES, noise_seed=seed)


@pytest.mark.parametrize("asked", ["translator", "detector"])
def test_too_little_memory_is_one_line(
    plain: Translator, detector: Detector, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """With the error of torch's own allocator."""
    monkeypatch.setattr(Translator, "maps", lambda *_: torch.empty(1 << 50, dtype=torch.uint8))
    monkeypatch.setattr(Detector, "raw", lambda *_: torch.empty(1 << 50, dtype=torch.uint8))
    with pytest.raises(
        CalcoError, match=r"not enough memory for another .* GB; (the image has 50x40|.* 1 images of 64)"
    ):
        (plain if asked == "translator" else detector)(BYTES)
