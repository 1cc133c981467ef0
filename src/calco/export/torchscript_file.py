"""TorchScript files: the three parts traced one by one, and called one after another."""

import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from calco.export.onnx_file import maps_like, torch_parts
from calco.inference.model import Translator
from calco.inference.runtimes import KEY


class Whole(nn.Module):
    """The three parts."""

    def __init__(self, before: nn.Module, network: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.before, self.network, self.after = before, network, after

    def forward(self, picture: Tensor) -> Tensor:
        """N, H, W, C of bytes => N, H, W, D."""
        prepared, seen = self.before(picture)
        return self.after(prepared, self.network(seen))  # type: ignore[no-any-return]


class Halved(nn.Module):
    """A network that computes in bfloat16, between float32 and float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        """As of the network."""
        return self.network(x.bfloat16()).float()  # type: ignore[no-any-return]


def torchscript(model: Translator, precision: str) -> Any:
    """A model as TorchScript, in fp32 or bf16."""
    before, network, after, picture = torch_parts(model)
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        prepared, seen = before(picture)
        maps = maps_like(model, seen)
        if precision == "bf16":
            network = Halved(network)
        parts = (
            torch.jit.trace(before, (picture,), check_trace=False),
            torch.jit.trace(network, (seen,), check_trace=False),
            torch.jit.trace(after, (prepared, maps), check_trace=False),
        )
        return torch.jit.script(Whole(*parts).eval())


def save_torchscript(whole: Any, path: Path, description: str) -> None:
    """Writes it, with its description beside the graph."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # torch would rather have people use a format of its own
        torch.jit.save(whole, buffer, _extra_files={f"{KEY}.json": description})
    path.write_bytes(buffer.getvalue())
