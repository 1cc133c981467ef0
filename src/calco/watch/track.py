"""What is followed, and how."""

from dataclasses import dataclass, field

from calco.errors import CalcoError
from calco.records import check_numbers
from calco.watch.kalman import Floats


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """How objects are followed."""

    gap: float = 2.0
    """Seconds for which something may be hidden and keep its number."""

    weak: float = 0.4
    """What scores less than the threshold still goes on with a track, down to this share of the threshold."""

    overlap: float = 0.2
    """The least overlap (IoU) of a track's expected place and what was found, in the first round."""

    overlap_weak: float = 0.5
    """The same for what scores less."""

    return_like: float = 0.75
    """How alike colours must be for something hidden to be known again, from 0 to 1; above 1 knows nothing again."""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_numbers(self)
        if not 0 <= self.gap < float("inf"):
            raise CalcoError(f"gap is {self.gap:g}; it must be 0 or more seconds")
        for name in ("weak", "overlap", "overlap_weak"):
            if not 0 < getattr(self, name) <= 1:
                raise CalcoError(f"{name} is {getattr(self, name):g}; it must be above 0 and at most 1")
        if not self.return_like > 0:
            raise CalcoError(f"return_like is {self.return_like:g}; it must be above 0")


@dataclass(slots=True)
class Track:
    """A thing that is followed.

    Attributes:
        id: Its number, from 1; never given twice.
        name: Its class.
        box: Left, top, right, bottom in pixels, where it is, or is expected while it is hidden.
        score: Of its detections, smoothed.
        first: Seconds at which it was first seen.
        last: Seconds at which it was last seen.
        hits: Detections so far.
        best: The highest score of one detection.
        confirmed: Whether it was seen often enough to be believed.
        look: Its colours, 64 shares.
        trail: Middles of its lower edge, the newest last.
    """

    id: int
    name: str
    box: Floats
    score: float
    first: float
    last: float
    hits: int = 1
    best: float = 0.0
    confirmed: bool = False
    look: Floats | None = None
    trail: list[tuple[float, float]] = field(default_factory=list)
