"""Rows of inference by backend: the translator's own network, ONNX Runtime and OpenVINO, on the same weights."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from calco.benchmarks.setting import Setting
from calco.benchmarks.timing import Row, Skipped, alternate, per_second, row
from calco.data.recipes import RecipeConfig
from calco.inference.model import ModelInfo, Translator
from calco.networks.build import build_generator
from calco.networks.machine import has_bfloat16
from calco.networks.packed import can_pack
from calco.training.config import small

LIBRARIES: Final = {"onnxruntime": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",)}
_CALLS: Final = 4  # in one measurement


def backends(setting: Setting) -> Iterator[Row | Skipped]:
    """What the networks alone reach in each backend of this machine, image by image, beside torch as it comes."""
    reason = _lack("onnxruntime")
    if setting.device.type != "cpu":
        reason = "they are measured on the CPU alone: --device cpu"
    if reason:
        yield Skipped(group="inference by onnxruntime and openvino", reason=reason)
    elif reason_openvino := _lack("openvino"):
        yield Skipped(group="inference by openvino", reason=reason_openvino)
    if setting.device.type != "cpu":
        return
    for title, model in _models(setting):
        yield from _rows(setting, title, model, files=not reason)


def _lack(backend: str) -> str:
    """Why a backend cannot be measured; empty where it can."""
    missing = [name for name in LIBRARIES[backend] if importlib.util.find_spec(name) is None]
    extra = "export" if backend == "onnxruntime" else "openvino"
    return f"{missing[0]} is not installed; pip install 'calco[{extra}]'" if missing else ""


def _models(setting: Setting) -> Iterator[tuple[str, Translator]]:
    """The published network, and that of the preset `small`."""
    config = setting.train_config(1)
    slim = replace(small().generator, composition="plain", depth=min(small().generator.depth, setting.sizes.depth))
    slim = replace(slim, filters=min(slim.filters, setting.sizes.filters))
    for title, generator in (("pix2pix", config.generator), ("small", slim)):
        info = ModelInfo(
            generator=generator, recipe=RecipeConfig(recipe="aligned"), jitter=config.jitter,
            in_channels=3, out_channels=3,
        )  # fmt: skip
        torch.manual_seed(setting.config.seed)
        yield title, Translator(info, build_generator(generator, 3, 3))


def _rows(setting: Setting, title: str, model: Translator, *, files: bool) -> Iterator[Row]:
    side = setting.sizes.size
    chance = torch.Generator().manual_seed(setting.config.seed)
    seen = torch.randn(1, 3, side, side, generator=chance).clamp(-1, 1)
    plain = model.generator.backbone

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(_CALLS):
                plain(seen)

    for name, network in _networks(setting, title, model, seen, files=files):

        def ours(network: Callable[[Tensor], Tensor] = network) -> None:
            with torch.inference_mode():
                for _ in range(_CALLS):
                    network(seen)

        ours()  # some make themselves ready for a size at its second coming
        seconds = alternate(ours, bare, setting.config.repeats)
        rates = [per_second(_CALLS, each) for each in seconds]
        yield row(
            "inference", f"{title} at {side}x{side}, {name}", "images/s", rates[0], rates[1], "bare torch, float32"
        )


def _networks(
    setting: Setting, title: str, model: Translator, seen: Tensor, *, files: bool
) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    """Each backend in each precision: a function of what the network sees."""
    from calco.networks.packed import packed

    dtypes = {"fp32": torch.float32, **({"bf16": torch.bfloat16} if has_bfloat16(setting.device) else {})}
    if can_pack(setting.device):
        for name, dtype in dtypes.items():
            ready = packed(model.generator.backbone, dtype)
            yield f"calco {name}", lambda x, ready=ready, dtype=dtype: ready(x.to(dtype)).float()  # type: ignore[misc]
    if not files:
        return
    from calco.export.onnx_file import onnx_network
    from calco.export.openvino_file import write_openvino
    from calco.export.precision import quantised
    from calco.inference.runtimes import OnnxFile, OpenvinoFile

    plain = onnx_network(model)
    for precision in ("fp32", "int8"):
        network = plain if precision == "fp32" else quantised(plain, [seen.numpy()])
        path = Path(setting.folder) / f"{title}-{precision}.onnx"
        path.write_bytes(network.SerializeToString())
        yield f"onnxruntime {precision}", OnnxFile(path).maps
        if _lack("openvino"):
            continue
        write_openvino(path, path.with_suffix(".zip"), "{}")
        for named in dtypes if precision == "fp32" else ("int8",):
            hint = "bf16" if named == "bf16" else "f32"
            yield f"openvino {named}", OpenvinoFile(path.with_suffix(".zip"), hint).maps
