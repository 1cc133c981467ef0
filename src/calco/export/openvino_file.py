"""OpenVINO files: what OpenVINO makes of an ONNX file, its two files in one zip."""

import tempfile
import zipfile
from pathlib import Path

from calco.inference.graph_files import BIN, KEY, XML, needs, openvino_core


def write_openvino(onnx: Path, path: Path, description: str) -> None:
    """Writes an ONNX file as an OpenVINO model.

    Args:
        onnx: The ONNX file, with its own description.
        path: The zip file; nothing in it is compressed, so that weights are read as they lie.
        description: What is put into its `rt_info`.
    """
    needs("openvino", extra="openvino")
    import openvino

    model = openvino_core().read_model(onnx)
    model.set_rt_info(description, [KEY])
    with tempfile.TemporaryDirectory(prefix="calco-openvino-") as folder:
        openvino.save_model(model, Path(folder) / XML, compress_to_fp16=False)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
            for name in (XML, BIN):
                file.write(Path(folder) / name, name)
