"""The number of CPU threads of a run, chosen by the time that its own steps take."""

import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

_ROUNDS: Final = 3
"""Steps that each number is timed for at least."""
_MOST_ROUNDS: Final = 20
_LEAST_SECONDS: Final = 2.0
"""Seconds that a comparison takes at least, unless that needs more than `_MOST_ROUNDS`: short steps vary more."""
_HOPELESS: Final = 1.5
"""Times the fastest step from which a number is not timed further."""
_SLOWER: Final = 1.25
"""Times the usual step from which the machine has changed."""
_WINDOW: Final = 5
"""Steps whose median is compared with the usual step."""
_REST: Final = 20.0
"""Times the duration of a comparison until the next one; a fifth of it if the steps become slower."""
_LEAST_REST: Final = 60.0
"""Seconds until the next comparison, at least; a fifth of it if the steps become slower."""


class ThreadChoice:
    """The number of threads for the next step: that whose steps were the fastest.

    The numbers take turns, step by step, so that what slows the machine for a while slows all of them. They are
    compared again when the steps become slower, and from time to time, since a number that was too high becomes the
    best one without a sign when other work ends.

    Args:
        counts: Possible numbers; a single one is never compared.
        clock: Seconds of a clock that only rises.
    """

    def __init__(self, counts: Sequence[int], clock: Callable[[], float] = time.monotonic) -> None:
        self.counts, self._clock = tuple(counts), clock
        self.count = self.counts[0]
        self.chosen = self.count if len(self.counts) == 1 else 0  # the number chosen last; 0 before
        self._usual = 0.0  # seconds of a step with the chosen number; 0 while none is chosen
        self._recent: deque[float] = deque(maxlen=_WINDOW)
        self._known: set[int] = set()  # numbers whose kernels are built
        self._compare()

    def _compare(self) -> None:
        """Begin a comparison."""
        self._times: dict[int, list[float]] = {count: [] for count in self.counts}
        self._left = list(self.counts) if len(self.counts) > 1 else []  # of this round
        self._began, self._spent = self._clock(), 0.0

    def apply(self) -> None:
        """Let torch compute the next step with the number whose turn it is."""
        import torch  # here, since `calco doctor` counts threads without it

        self.count = self._left[0] if self._left else self.count
        torch.set_num_threads(self.count)

    def took(self, seconds: float) -> dict[int, float]:
        """Note the duration of a step; return the seconds of a step by number if one has just been chosen.

        The first step with a number is not counted: it builds kernels.
        """
        if len(self.counts) == 1:
            return {}
        if not self._left:
            self._watch(seconds)
            return {}
        self._spent += seconds
        if self.count not in self._known:
            self._known.add(self.count)
            return {}
        self._times[self.count].append(seconds)
        self._left.pop(0)
        if self._left:
            return {}
        medians = {count: statistics.median(times) for count, times in self._times.items()}
        least, rounds = min(medians.values()), max(map(len, self._times.values()))
        self._left = [count for count in self.counts if medians[count] < _HOPELESS * least]
        enough = rounds >= _ROUNDS and self._spent >= _LEAST_SECONDS
        if len(self._left) > 1 and not enough and rounds < _MOST_ROUNDS:
            return {}
        self._left = []
        self.count = self.chosen = min(medians, key=medians.__getitem__)
        self._usual = least
        self._recent.clear()
        self._began = self._clock()
        return medians

    def _watch(self, seconds: float) -> None:
        """Begin another comparison if the steps are slower than usual, or if it is time."""
        self._recent.append(seconds)
        slower = len(self._recent) == _WINDOW and statistics.median(self._recent) > _SLOWER * self._usual
        rest = max(_REST * self._spent, _LEAST_REST) / (5 if slower else 1)
        if self._clock() - self._began > rest:
            self._compare()

    def state(self) -> dict[str, Any]:
        """Return the chosen number and its seconds per step, as a checkpoint holds them."""
        return {"count": self.chosen, "seconds": self._usual}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on with the number of a checkpoint, if it is possible here, until the steps are slower."""
        if state.get("seconds") and state["count"] in self.counts and len(self.counts) > 1:
            self.count = self.chosen = state["count"]
            self._usual, self._left = state["seconds"], []


def possible_counts(asked: int | str, device: str, cores: int, processes: int) -> list[int]:
    """Numbers of threads to choose from, the highest first.

    Several processes wait for each other in every step, and a GPU does the work itself: there the cores are divided.

    Args:
        asked: A number, 0 for a fair share of the cores, or "auto".
        device: Kind of the networks' device, such as cpu.
        cores: Number of cores of this process and the others.
        processes: Number of processes on this machine that train together.
    """
    share = max(1, cores // processes)
    if asked != "auto":
        return [int(asked) or share]
    if device != "cpu" or processes > 1:
        return [share]
    limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    share = min(share, int(limit)) if limit.isdigit() and int(limit) else share
    halves = {share >> shift for shift in range(share.bit_length())}
    return sorted({share, max(1, share - 1)} | halves, reverse=True)
