"""Models of other programs, damaged ones, and ones that would do harm."""

import json
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


def sly_torchscript(folder: Path) -> None:
    """A file whose code would read another file."""
    with zipfile.ZipFile(folder / "m.pt", "w") as archive:
        archive.writestr(
            "m/code/__torch__/sly.py", 'def forward(self):\n  return torch.from_file("/etc/passwd", False, 9)\n'
        )
        archive.writestr("m/extra/calco.json", DESCRIPTION)


DESCRIPTION = json.dumps(
    {
        "format": 1,
        "calco": "0.1.0",
        "kind": "torchscript",
        "precision": "fp32",
        "model": {
            "generator": {}, "recipe": {"recipe": "aligned"}, "jitter": {}, "in_channels": 3, "out_channels": 3,
            "format": 1,
        },
    }
)  # fmt: skip


CASES = (
    Bad("an exported model cut short", file("m.onnx", b"\x08\x0a\x3a\xff\x7f" + bytes(20)), code=2,
        command=TRANSLATE.format("m.onnx"), says=("m.onnx cannot be used", "cut short")),
    Bad("an ONNX file of another program", foreign_onnx, code=2,
        command=TRANSLATE.format("m.onnx"), says=("not written by calco export",)),
    Bad("a zip file that holds no model", file("m.zip", b"PK\x05\x06" + bytes(18)), code=2,
        command=TRANSLATE.format("m.zip"), says=("no OpenVINO model",)),
    Bad("a picture named as a TorchScript file", file("m.pt", encoded("PNG")), code=2,
        command=TRANSLATE.format("m.pt"), says=("no TorchScript",)),
    Bad("a TorchScript file whose code reads a file", sly_torchscript, code=2,
        command=TRANSLATE.format("m.pt"), says=("its code calls from_file",)),
    Bad("a model of which nothing is there", file("nothing", b""), code=2,
        command="export nowhere", says=("there is no nowhere",)),
    Bad("an exported model to be exported", file("m.onnx", b"x"), code=2,
        command="export m.onnx", says=("an exported model already",)),
)  # fmt: skip
