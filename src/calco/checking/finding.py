"""One kind of fault of a data set: what it is, where it occurs, and which option of the check fixes it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

Severity = Literal["must", "should", "note"]
Mend = Literal["", "groups", "drop", "palette"]
SEVERITIES: Final[tuple[Severity, ...]] = ("must", "should", "note")
SHOWN: Final = 3
"""Cases that one line names."""


@dataclass(frozen=True, slots=True)
class Case:
    """One instance of a finding: the entries that it concerns, and a remark on them."""

    keys: tuple[str, ...]
    words: str = ""

    def __str__(self) -> str:
        """The entries and the remark, such as "a = b: turned by 90 degrees"."""
        return ": ".join(filter(None, (" = ".join(self.keys), self.words)))


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of fault, with every place where it was found.

    Attributes:
        kind: A short name, such as "twins-across".
        severity: "must" be fixed before training, "should" be looked at, or a "note".
        title: The fault, with the number of its cases.
        text: Why it matters, and the remedy.
        cases: Where it was found.
        mend: Which option of the check fixes it, or "".
    """

    kind: str
    severity: Severity
    title: str
    text: str
    cases: tuple[Case, ...] = field(repr=False)
    mend: Mend = ""

    def line(self) -> str:
        """Title, some of the cases and the remedy in one line."""
        named = [str(case) for case in self.cases if case.keys or case.words]
        more = f"; and {len(named) - SHOWN:,} more" if len(named) > SHOWN else ""
        where = f" ({'; '.join(named[:SHOWN])}{more})" if named else ""
        return f"{self.title}{where}. {self.text}"


def counted(cases: Sequence[Case], one: str, many: str = "") -> str:
    """Return the number of cases with its noun.

    >>> counted((), "image")
    '0 images'
    """
    return f"{len(cases):,} {one if len(cases) == 1 else many or one + 's'}"
