"""Models of other programs, damaged ones, and ones that would do harm."""

import zipfile
from pathlib import Path

from bad_inputs.making import TRANSLATE, Bad, Impossible, encoded, file


def foreign_onnx(folder: Path) -> None:
    """A model of another program: one that gives what it is given."""
    try:
        from onnx import TensorProto, helper
    except ImportError as error:
        raise Impossible("onnx is missing") from error
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", sides[:1], sides[1:])
    file("m.onnx", helper.make_model(graph).SerializeToString())(folder)


def onnx_with_weights_elsewhere(folder: Path) -> None:
    """A model whose node takes its values from another file."""
    try:
        from onnx import AttributeProto, TensorProto, helper
    except ImportError as error:
        raise Impossible("onnx is missing") from error
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret.bin")
    node = helper.make_node("Constant", [], ["y"])
    node.attribute.append(AttributeProto(name="value", type=AttributeProto.TENSOR, t=tensor))
    side = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    file("m.onnx", helper.make_model(helper.make_graph([node], "g", [], [side])).SerializeToString())(folder)


def zip_bomb(folder: Path) -> None:
    """A file of kilobytes that unpacks to much more."""
    with zipfile.ZipFile(folder / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("model.xml", "model.bin"):
            archive.writestr(name, bytes(1 << 22))


CASES = (
    Bad("an exported model cut short", file("m.onnx", b"\x08\x0a\x3a\xff\x7f" + bytes(20)), code=2,
        command=TRANSLATE.format("m.onnx"), says=("m.onnx cannot be used", "cut short")),
    Bad("an ONNX file of another program", foreign_onnx, code=2,
        command=TRANSLATE.format("m.onnx"), says=("not written by calco export",)),
    Bad("a zip file that holds no model", file("m.zip", b"PK\x05\x06" + bytes(18)), code=2,
        command=TRANSLATE.format("m.zip"), says=("no OpenVINO model",)),
    Bad("an ONNX file with weights in another file", onnx_with_weights_elsewhere, code=2,
        command=TRANSLATE.format("m.onnx"), says=("its weights lie in other files",)),
    Bad("a compressed zip file as a model", zip_bomb, code=2,
        command=TRANSLATE.format("m.zip"), says=("compressed",)),
    Bad("a TorchScript file", file("m.pt", encoded("PNG")), code=2,
        command=TRANSLATE.format("m.pt"), says=("may run code", "ONNX")),
    Bad("a bridge in no step at all", file("nothing", b""), code=2, command=TRANSLATE.format("run") + " --steps 0",
        says=("steps is 0", "between 1 and 1000")),
    Bad("a model of which nothing is there", file("nothing", b""), code=2,
        command="export nowhere", says=("there is no nowhere",)),
    Bad("an exported model to be exported", file("m.onnx", b"x"), code=2,
        command="export m.onnx", says=("an exported model already",)),
)  # fmt: skip
