"""The processor, its cores and the memory that this process may use, asked of the system."""

import contextlib
import os
import platform
from pathlib import Path
from typing import Final

_FLAGS: Final = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def processor() -> str:
    """Return the name of the processor, and those of its instructions that matter here."""
    fields: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            fields[name.strip()] = value.strip()
    known = fields.get("flags", "").split()
    flags = [flag for flag in _FLAGS if flag in known]
    return fields.get("model name", platform.machine()) + (f" ({', '.join(flags)})" if flags else "")


def core_limit() -> float | None:
    """Return the number of cores that a container may use, which is not in the count of cores; None for no limit."""
    for name in ("cpu.max", "cpu/cpu.cfs_quota_us"):
        with contextlib.suppress(OSError, ValueError):
            quota, *period = (Path("/sys/fs/cgroup") / name).read_text().split()
            if quota not in ("max", "-1"):
                each = period[0] if period else Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text()
                return int(quota) / int(each)
    return None


def memory_bytes() -> tuple[int, int]:
    """Return the memory of this machine, or of the container if that is less, and what of it is available, bytes."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            whole = min(whole, int((Path("/sys/fs/cgroup") / name).read_text()))
    return whole, min(whole, free)
