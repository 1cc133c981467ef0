"""What the machine offers: devices, bfloat16, and memory that is kept instead of given back."""

import ctypes
import os
import sys

import torch

from calco.errors import CalcoError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_MADV_HUGEPAGE = 14
_HUGE = 2 << 20  # bytes of a huge page on x86-64 and of the common one on ARM
_kept = False


def choose_device(name: str) -> torch.device:
    """Return the device of a name; "auto" takes the GPU if there is one, and one that does not exist is an error."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise CalcoError(f"the device {name} cannot be used ({reason}); choose cpu, cuda or auto") from error
    return device


def choose_precision(asked: str, device: torch.device) -> torch.dtype:
    """Return the precision of convolutions on a device; "auto" takes bfloat16 if the hardware has it, else float32.

    Raises:
        CalcoError: If the device lacks it.
    """
    if asked == "int8":
        raise CalcoError("precision int8 needs a backend; choose openvino or onnxruntime, or another precision")
    if asked == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    if asked == "fp16" and device.type != "cuda":
        raise CalcoError(f"precision fp16 is for GPUs, and the device is {device}; choose auto, bf16 or fp32")
    if asked == "bf16" and device.type == "cuda" and not has_bfloat16(device):
        raise CalcoError(f"precision bf16 is not in the hardware of {device}; choose auto, fp16 or fp32")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[asked]


NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16", torch.int8: "int8"}


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 in hardware (on a CPU: AVX512-BF16 or AMX)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes)


def make_ready(device: torch.device, *, exact: bool = False, deterministic: bool = False) -> None:
    """Set what torch holds once for the whole process.

    On a GPU, `exact` multiplies float32 in full, not by TF32's ten bits, and `deterministic` takes only kernels that
    give the same bits each time.
    """
    if device.type == "cpu":
        keep_memory()
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not exact
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)


def keep_memory() -> bool:
    """Let this process keep the memory that it frees, in huge pages, for the next step; return whether it could.

    By default glibc hands large blocks back to the system at once, and every step pays for a new, zeroed page for
    each 4096 bytes that it touches. Here one stretch of addresses is reserved (no memory is taken before it is
    written), and what is freed stays in it. It works on Linux with glibc only; `CALCO_KEEP_MEMORY=0` turns it off.
    """
    global _kept  # noqa: PLW0603  (the heap is the process's own, and there is one)
    if _kept:
        return True
    if not sys.platform.startswith("linux") or os.environ.get("CALCO_KEEP_MEMORY") == "0":
        return False
    libc = ctypes.CDLL(None)
    if not all(hasattr(libc, name) for name in ("gnu_get_libc_version", "mallopt", "malloc_usable_size")):
        return False
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 64 << 20), (_M_ARENA_MAX, 1))
    _kept = all(libc.mallopt(name, value) for name, value in settings)
    reserve = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    block = libc.malloc(reserve)
    if block:
        start = -(-block // _HUGE) * _HUGE
        libc.madvise(start, (block + reserve - start) // _HUGE * _HUGE, _MADV_HUGEPAGE)
        libc.free(block)
    return _kept
