"""Backends that give other images than the model, or have no place beside it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from bad_inputs.making import Bad, Impossible
from calco import imaging
from calco.files import digest, write_json
from calco.imaging import Image
from calco.inference.backends import FOLDER, FORMAT, Workload, _Choice, _key
from calco.inference.runtimes import MAPS, SEEN
from calco.inference.translator import Translator, load
from video.videos import model

ASKED = "translate model set --out out --precision fp32 --backend onnxruntime"


def _translated(image: Image, translator: Translator) -> Image:
    return translator(image)


def plant(folder: Path, image: Image, level: float = 0.5) -> str:
    """Put a backend beside a model whose network gives one value everywhere; return its identity."""
    try:
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise Impossible("onnxruntime is missing") from error
    wanted = [("onnxruntime", "fp32")]
    translator = load(folder, device="cpu")
    work = Workload(samples=[partial(_translated, image)])
    size = _Choice(translator, folder, work, wanted, explicit=True)._size()
    assert size is not None
    with torch.inference_mode():
        _, seen = translator._prepared(imaging.as_image(image), None, False)
        channels = translator.maps(seen).shape[1]
    tensors = {"weight": torch.zeros(channels, seen.shape[1], 1, 1), "bias": torch.full((channels,), level)}
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "c", "h", "w"]) for name in (SEEN, MAPS)]
    held = [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in tensors.items()]
    graph = helper.make_graph([helper.make_node("Conv", [SEEN, *tensors], [MAPS])], "g", sides[:1], sides[1:], held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    key, name = _key(folder, wanted)
    (folder / FOLDER).mkdir()
    file = folder / FOLDER / f"{name}-{size[0]}x{size[1]}.json"
    kept = file.with_suffix(".onnx")
    kept.write_bytes(made.SerializeToString())
    identity = f"onnxruntime {onnxruntime.__version__} fp32 {digest(kept)}"
    chosen = {"backend": "onnxruntime", "precision": "fp32", "gain": 3.0, "words": "", "identity": identity,
              "file": kept.name, "digest": digest(kept)}  # fmt: skip
    write_json(file, {"format": FORMAT, **key, "tried": [], "chosen": chosen})
    return identity


def disagreeing(folder: Path) -> None:
    model(folder / "model")
    plant(folder / "model", imaging.read(folder / "set" / "a.png"))


def damaged(folder: Path) -> None:
    disagreeing(folder)
    next((folder / "model" / FOLDER).glob("*.onnx")).write_bytes(b"x")


def without_place(folder: Path) -> None:
    model(folder / "model")
    (folder / "model" / FOLDER).write_text("a file in its place")


def alone(folder: Path) -> None:
    model(folder / "model")


def _bad(what: str, make: Callable[[Path], None], says: tuple[str, ...], command: str = ASKED) -> Bad:
    return Bad(what, make, code=2, command=command, says=says)


CASES = (
    _bad("a backend that disagrees with the model", disagreeing, ("does not agree with Calco", "leave --backend out")),
    _bad("a backend that is damaged", damaged, ("missing or damaged", "built again")),
    _bad("a backend that cannot be kept beside the model", without_place, (f"model/{FOLDER}",)),
    _bad("int8 of Calco's own kernels", alone, ("int8", "needs a backend"),
         "translate model set --out out --precision int8 --backend calco"),
    _bad("a backend with a noise seed", alone, ("--backend openvino cannot be used", "noise seed"),
         "translate model set --out out --backend openvino --noise-seed 7"),
)  # fmt: skip
