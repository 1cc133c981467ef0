"""Files of graphs from anybody: nothing outside them is read, nothing larger than they are is unpacked."""

import json
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import calco
from calco import CalcoError
from calco.cli import main
from calco.detection.exported import open_detector
from calco.inference.runtimes import BIN, XML, read_onnx, read_openvino
from support import requires

onnx = pytest.importorskip("onnx")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto


def tensor(name: str = "w", *, external: bool = False, dims: tuple[int, ...] = (2, 2)) -> Any:
    made = numpy_helper.from_array(np.ones((2, 2), np.float32), name)
    made.ClearField("dims")
    made.dims.extend(dims)
    if external:
        made.ClearField("raw_data")
        made.data_location = TensorProto.EXTERNAL
        entry = made.external_data.add()
        entry.key, entry.value = "location", "secret.bin"
    return made


def sparse(values: Any) -> Any:
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([0, 1], np.int64), "places"), [4])


def constant(values: Any) -> Any:
    node = helper.make_node("Constant", [], ["c"])
    node.attribute.append(helper.make_attribute("value", values))
    return node


def graph_of(nodes: list[Any], initializers: list[Any] = (), name: str = "g") -> Any:
    side = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_graph(nodes, name, [], [side], list(initializers))


def model_of(nodes: list[Any], initializers: list[Any] = (), functions: list[Any] = ()) -> Any:
    domains = {"": 20, **{function.domain: 1 for function in functions}}
    return helper.make_model(
        graph_of(nodes, initializers), functions=list(functions),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in domains.items()],
    )  # fmt: skip


def function_of(node: Any) -> Any:
    return helper.make_function("own", "f", [], ["c"], [node], [helper.make_opsetid("", 20)])


def branch(values: Any) -> Any:
    """A node whose graph holds a node whose graph holds the tensor."""
    inner = helper.make_node("If", ["b"], ["y"], then_branch=graph_of([constant(values)]))
    return helper.make_node("If", ["b"], ["y"], then_branch=graph_of([inner]))


def with_default(values: Any) -> Any:
    function = function_of(helper.make_node("Identity", ["x"], ["c"]))
    function.attribute_proto.append(helper.make_attribute("value", values))
    return function


def with_training() -> Any:
    model = model_of([])
    model.training_info.add().initialization.CopyFrom(graph_of([constant(tensor(external=True))]))
    return model


OUTSIDE = tensor(external=True)
FOREIGN: dict[str, tuple[Callable[[], Any], str]] = {
    "an initialiser": (lambda: model_of([], [OUTSIDE]), "other files"),
    "a constant": (lambda: model_of([constant(OUTSIDE)]), "other files"),
    "a constant in a branch of a branch": (lambda: model_of([branch(OUTSIDE)]), "other files"),
    "an initialiser in a branch": (
        lambda: model_of([helper.make_node("If", ["b"], ["y"], then_branch=graph_of([], [OUTSIDE]))]), "other files"),
    "a function": (lambda: model_of([], functions=[function_of(constant(OUTSIDE))]), "other files"),
    "a function's default": (lambda: model_of([], functions=[with_default(OUTSIDE)]), "other files"),
    "a list of tensors": (lambda: model_of([helper.make_node("X", [], ["y"], ts=[tensor(), OUTSIDE])]), "other files"),
    "a sparse constant": (
        lambda: model_of([helper.make_node("Constant", [], ["y"], sparse_value=sparse(OUTSIDE))]), "other files"),
    "an address without the mark": (lambda: model_of([], [_unmarked()]), "other files"),
    "a training": (with_training, "training"),
    "an operator of a library": (
        lambda: model_of([helper.make_node("Run", [], ["y"], domain="com.evil")]), "operators of com.evil"),
    "an operator of a library in a branch": (
        lambda: model_of([helper.make_node("If", ["b"], ["y"], then_branch=graph_of(
            [helper.make_node("Run", [], ["y"], domain="com.evil")]))]), "operators of com.evil"),
    "more values than it holds": (lambda: model_of([], [tensor(dims=(1 << 30, 1 << 10))]), "more values"),
    "a side below 0": (lambda: model_of([], [tensor(dims=(-1, 4))]), "below 0"),
    "a shape of a terabyte": (
        lambda: model_of([helper.make_node("ConstantOfShape", ["s"], ["y"])],
                         [numpy_helper.from_array(np.array([1 << 20, 1 << 20], np.int64), "s")]), "makes more than"),
    "a constant shape of a terabyte": (
        lambda: model_of([constant(numpy_helper.from_array(np.array([1 << 40], np.int64))),
                          helper.make_node("Expand", ["x", "c"], ["y"])]), "makes more than"),
}  # fmt: skip


def _unmarked() -> Any:
    made = tensor()
    entry = made.external_data.add()
    entry.key, entry.value = "location", "secret.bin"
    return made


@pytest.mark.parametrize("what", FOREIGN)
def test_a_graph_that_needs_more_than_its_file_is_refused(what: str, tmp_path: Path) -> None:
    make, says = FOREIGN[what]
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    path = tmp_path / "m.onnx"
    path.write_bytes(make().SerializeToString())
    with pytest.raises(ValueError, match=says):
        read_onnx(path)
    for reads in (calco.load, open_detector):
        with pytest.raises(CalcoError, match=rf"m\.onnx cannot be used: .*{says}"):
            reads(path)


def test_a_graph_that_holds_its_values_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    model = model_of([constant(tensor()), branch(tensor())], [tensor("v")], [function_of(constant(tensor()))])
    path.write_bytes(model.SerializeToString())
    assert read_onnx(path) == model


def test_a_sparse_file_larger_than_any_graph_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 32)
    with pytest.raises(ValueError, match="larger than 2 GB"):
        read_onnx(path)


XML_TEXT = '<net name="n" version="11"><layers></layers><edges></edges></net>'


@pytest.mark.parametrize(
    ("entries", "how", "says"),
    [
        ({XML: XML_TEXT, BIN: "", "../../evil": "x"}, zipfile.ZIP_STORED, "alone"),
        ({f"/tmp/{XML}": XML_TEXT, BIN: ""}, zipfile.ZIP_STORED, "alone"),
        ({XML: XML_TEXT, BIN: ""}, zipfile.ZIP_DEFLATED, "compressed"),
        ({XML: XML_TEXT, BIN: ""}, zipfile.ZIP_BZIP2, "compressed"),
        ({XML.upper(): XML_TEXT, BIN: ""}, zipfile.ZIP_STORED, "alone"),
        ({"code/__torch__.py": "torch.save(x, 'victim')", "data.pkl": ""}, zipfile.ZIP_STORED, "alone"),
        ({XML: "<net", BIN: ""}, zipfile.ZIP_STORED, "damaged"),
    ],
)
def test_a_zip_file_that_is_not_a_model_is_refused(
    entries: dict[str, str], how: int, says: str, tmp_path: Path
) -> None:
    _needs_openvino()
    with zipfile.ZipFile(tmp_path / "m.zip", "w", how) as file:
        for name, text in entries.items():
            file.writestr(name, text)
    with pytest.raises(ValueError, match=says):
        read_openvino(tmp_path / "m.zip")
    for reads in (calco.load, open_detector):
        with pytest.raises(CalcoError, match=rf"m\.zip cannot be used: .*{says}"):
            reads(tmp_path / "m.zip")


def test_a_zip_file_with_an_entry_twice_is_refused(tmp_path: Path) -> None:
    _needs_openvino()
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as file:
        for name in (XML, BIN):
            file.writestr(name, XML_TEXT)
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr(XML, XML_TEXT)
    with pytest.raises(ValueError, match="alone"):
        read_openvino(tmp_path / "m.zip")


@pytest.mark.parametrize("name", ["m.pt", "M.PT", "m.pth", "m.ts", "m.ckpt", "m.pkl", "m.pt2"])
def test_files_that_torch_would_run_are_never_opened(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as file:
        file.writestr("m/code/__torch__/x.py", "def forward(self, x):\n    torch.save (x, 'victim')\n")
        file.writestr("m/extra/calco.json", json.dumps({"format": 1}))
    for reads in (calco.load, open_detector):
        with pytest.raises(CalcoError, match=r"may run code .* model folder .*ONNX .*OpenVINO"):
            reads(tmp_path / name)
    with pytest.raises(SystemExit) as left:
        main(["translate", str(tmp_path / name), str(tmp_path), "--out", str(tmp_path / "out")])
    assert left.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def _needs_openvino() -> None:
    requires(find_spec("openvino"), "openvino", "pip install -e '.[dev]'")
