"""Where a run computes, and with how many threads."""

import os
import shutil
from typing import Final, Literal

import torch

from calco.errors import CalcoError
from calco.networks.machine import choose_device, make_ready
from calco.runs.config import ComputeConfig
from calco.runs.launch import cores_for_each
from calco.runs.processes import Team

_MOST: Final = 8


def ready_device(compute: ComputeConfig, team: Team) -> torch.device:
    """The device of a process, with threads and memory set as the configuration wants them.

    Raises:
        CalcoError: When it does not exist here.
    """
    device = team.device or choose_device(compute.device)
    torch.set_num_threads(compute.threads or cores_for_each(team.here))
    make_ready(device, exact=compute.precision == "fp32", deterministic=compute.deterministic)
    return device


def choose_workers(asked: int | Literal["auto"], device: torch.device) -> int:
    """The threads that make batches; "auto" takes one for each core beside a GPU, else one for four; eight at most."""
    if asked != "auto":
        return asked
    cores = len(os.sched_getaffinity(0))
    return max(1, min(_MOST, cores // 4 if device.type == "cpu" else cores))


def need_compiler(device: torch.device) -> None:
    """Makes sure that what torch.compile writes for a CPU can be compiled.

    Raises:
        CalcoError: When there is no C++ compiler.
    """
    if device.type == "cpu" and not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")):
        raise CalcoError("--compile needs a C++ compiler and there is none; install g++, or leave --compile out")
