"""Where the time goes: seconds of each stage, and the memory that is held."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path


class Stages:
    """Counts the seconds of each stage; threads may count at once."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Counts what is done within."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)

    def add(self, name: str, seconds: float) -> None:
        """Adds to a stage."""
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def memory_mb() -> float:
    """Megabytes of memory that this process holds now; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0
