"""Opens mutated files one after the other, and tells on its standard output what came of each.

    python tests/fuzz/worker.py FIRST LAST FOLDER

Before each file it prints its number and name, afterwards "fine", "refused" or what went wrong, the seconds it took,
and the most memory that the process has had, in megabytes. `test_fuzz.py` reads that, and ends what takes too long.
"""

import json
import sys
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from calco import CalcoError
from fuzz.mutations import mutate
from fuzz.subjects import Subject, subjects


def open_one(subject: Subject) -> str:
    """What came of a file."""
    try:
        subject.door()
    except CalcoError as error:
        return "refused" if "\n" not in str(error) else f"a message of several lines: {error}"
    except Exception as error:  # noqa: BLE001 - that nothing else comes is what is tested
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
    return "fine"


def peak_megabytes() -> float:
    """The most memory that this process has had; getrusage would count that of the process that started it, too."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1000


def main(first: int, last: int, folder: Path) -> None:
    # A warning would reach the person at the terminal.
    warnings.simplefilter("error", append=True)
    known = list(subjects(folder))
    whole = [subject.path.read_bytes() for subject in known]
    for subject in known:
        assert open_one(subject) == "fine", f"{subject.name} cannot be used as it is: {open_one(subject)}"
    for number in range(first, last):
        place = number % len(known)
        subject, data = known[place], whole[place]
        chance = np.random.default_rng([2026, number])
        subject.path.write_bytes(mutate(data, whole[int(chance.integers(len(whole)))], chance))
        print(json.dumps({"number": number, "name": subject.name}), flush=True)
        began = time.monotonic()
        outcome = open_one(subject)
        row = {"outcome": outcome, "seconds": time.monotonic() - began, "megabytes": peak_megabytes()}
        print(json.dumps(row), flush=True)
        if outcome not in ("fine", "refused"):
            (folder / f"{number}-{subject.path.name}").write_bytes(subject.path.read_bytes())
        subject.path.write_bytes(data)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
