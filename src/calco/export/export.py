"""`calco export`: a model as one file for other programs, tried on real images before it gets its name."""

import base64
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from calco import imaging
from calco.export.comparing import Loss, check, compare, loss
from calco.export.config import ExportConfig, Kind
from calco.export.examples import Examples, examples
from calco.export.target import Exported, target
from calco.files import explain, replacing
from calco.inference.graph_files import needs
from calco.inference.loading import (
    ENDINGS,
    EXPORT_FORMAT,
    Description,
    ExportedTranslator,
    load,
    load_exported,
    model_folder,
)
from calco.inference.tiling import Padded
from calco.inference.translator import Translator
from calco.outputs import writing_file
from calco.records import to_record
from calco.version import __version__

LIBRARIES: Final = {
    "onnx": ("export", ("onnx", "onnxscript", "onnxruntime")),
    "openvino": ("export,openvino", ("onnx", "onnxscript", "onnxruntime", "openvino")),
}


def export_model(config: ExportConfig) -> Exported[Description]:
    """Write a model as one file, with all that stands before and behind the network, and with its description.

    File and model are compared on real images; the file gets its name only when both give the same.

    Args:
        config: Model, format and options.

    Returns:
        The file, its description, and how far both lie apart.

    Raises:
        CalcoError: When the model or the images cannot be used, a library is missing, the file cannot be written, or
            the two differ by more than the tolerance.
    """
    path = target(config.model, config.to, config.out, ENDINGS, model_folder)
    extra, libraries = LIBRARIES[config.to]
    needs(*libraries, extra=extra)
    with writing_file(path, "calco export"):
        return _export(load(config.model, device="cpu"), path, config)


def _export(translator: Translator, path: Path, config: ExportConfig) -> Exported[Description]:
    to, precision = config.to, config.precision
    found = examples(translator.info, config.images)
    described = Description(
        format=EXPORT_FORMAT, calco=__version__, model=to_record(translator.info), kind=to, precision="fp32",
        licence=config.licence, mean_target=_mean(translator),
    )  # fmt: skip
    writer = _Writer(translator, to, found)
    try:
        with tempfile.TemporaryDirectory(prefix="calco-export-") as folder:
            plain_path = Path(folder) / f"plain{path.suffix}"
            writer.write(plain_path, described)
            plain = load_exported(plain_path, device="cpu")
            words = check(
                apart := compare(translator, plain, found.inputs), painted=translator.info.palette is not None
            )
            said = [f"on {found.where}, {words}"]
            described = replace(described, precision=precision, compared={"fp32": asdict(apart), "on": found.where})
            if precision != "fp32":
                fewer_path = Path(folder) / f"fewer{path.suffix}"
                writer.write(fewer_path, described)
                cost = _cost(plain, plain_path, load_exported(fewer_path, device="cpu"), fewer_path, found)
                said.append(f"{precision}: {cost.words()}")
                described = replace(described, compared={**described.compared, precision: cost.record()})
            with replacing(path) as temporary:
                writer.write(temporary, described)
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) or "write" in str(error).lower():
            known = error if isinstance(error, OSError) else OSError(str(error).splitlines()[0])
            raise explain(known, path, "write") from error
        raise
    said.append(f"{path} is written")
    return Exported(path, described, tuple(said))


def _cost(plain: ExportedTranslator, plain_path: Path, fewer: ExportedTranslator, path: Path, found: Examples) -> Loss:
    sizes = (plain_path.stat().st_size, path.stat().st_size)
    return loss(plain, fewer, found.inputs, found.targets, sizes)


class _Writer:
    """Writes a model as one kind of file, as often as it is asked for; what is slow is done once."""

    def __init__(self, model: Translator, kind: Kind, found: Examples) -> None:
        self._model, self._kind, self._found = model, kind, found
        self._made: dict[str, Any] = {}

    def write(self, path: Path, description: Description) -> None:
        """The file, with its description."""
        text = json.dumps(asdict(description), ensure_ascii=False)
        import onnx

        from calco.export.graph import joined

        parts = self._once("parts", self._parts)
        network = self._once(f"network {description.precision}", lambda: self._network(parts, description.precision))
        whole = joined({**parts, "network": network}, text)
        if self._kind == "onnx":
            path.write_bytes(whole.SerializeToString())
            return
        from calco.export.graph import write_openvino

        with tempfile.TemporaryDirectory(prefix="calco-export-") as folder:
            onnx.save(whole, Path(folder) / "model.onnx")
            write_openvino(Path(folder) / "model.onnx", path, text)

    def _parts(self) -> Any:
        from calco.export.graph import onnx_parts

        return onnx_parts(self._model)

    def _network(self, parts: Any, precision: str) -> Any:
        from calco.export.graph import halved, quantised

        if precision == "int8":
            return quantised(parts["network"], self._seen())
        # OpenVINO narrows by itself when it opens a file: there bf16 is a setting.
        return halved(parts["network"]) if precision == "bf16" and self._kind == "onnx" else parts["network"]

    def _seen(self) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
        """What the network sees of the images of the training."""
        model = self._model
        multiple = model.generator.multiple
        with torch.inference_mode():
            views = [model._view(image, None, native=False).seen for image in self._found.training]
            all_padded = [_padded(seen, multiple) for seen in views]
            return [padded.rows(0, padded.height).contiguous().numpy() for padded in all_padded]

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


def _mean(model: Translator) -> str | None:
    mean = model.mean_target
    if mean is None or mean.shape[2] > 4:
        return None
    return base64.b64encode(imaging.encode(mean, "mean_target.png")).decode()


def _padded(seen: torch.Tensor, multiple: int) -> Padded:
    """What a network sees, with its mirrored border."""
    return Padded(lambda top, end: seen[:, :, top:end], (seen.shape[3], seen.shape[2]), multiple)
