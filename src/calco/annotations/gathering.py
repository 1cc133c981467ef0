"""The rules for what people write: which boxes are mended, which are left out, and what is said about it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar

import numpy as np

from calco import imaging
from calco.annotations.detections import Detections, Outline
from calco.annotations.geometry import Polygon, Runs, clip, extent
from calco.annotations.matching import Closeness, Images
from calco.annotations.parsing import MALFORMED, class_name, plainly
from calco.annotations.record import Fault, Problem, Record, Size
from calco.errors import CalcoError, printable

Corners: TypeAlias = tuple[float, float, float, float]
Order: TypeAlias = Literal["corners", "sized", "centred", "crossed"]

_READ: Final[dict[Order, Callable[[float, float, float, float], Corners]]] = {
    "corners": lambda a, b, c, d: (a, b, c, d),
    "sized": lambda a, b, c, d: (a, b, a + c, b + d),
    "centred": lambda a, b, c, d: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
    "crossed": lambda a, b, c, d: (b, a, d, c),
}
_WORDS: Final[dict[Order, str]] = {
    "corners": "left, top, right, bottom",
    "sized": "left, top, width, height",
    "centred": "centre x, centre y, width, height",
    "crossed": "top, left, bottom, right",
}
UNNAMED: Final = "object"
"""Class of boxes whose format names none."""
_Entry = TypeVar("_Entry")
_MISFIT: Final = 0.02  # of a side, by which a box may leave its image and still fit
_SHARE: Final = 0.05  # of the boxes that do not fit, from which on the order is doubted
_LEAST: Final = 3
_MOST: Final = 0.01  # of the boxes, that may not fit in the order that is proposed
_ABOVE: Final = 2.0  # what no share of an image reaches by a slip
_PERCENT: Final = 100.0


class Suspicion:
    """Sees each box as it was written, and tells at the end what is odd about all of them."""

    def __init__(self) -> None:
        self._num = 0
        self._fit: dict[Order, int] = dict.fromkeys(_READ, 0)
        self._order: Order = "corners"
        self._first = self._far = ("", "")  # where, and which image
        self._strange, self._largest = 0, 0.0

    def see(self, corners: Corners, order: Order, frame: Size, where: str, image: str) -> None:
        """Take one box.

        Args:
            corners: As it is read.
            order: In which its format writes the four numbers.
            frame: Width and height in the same unit; 1 and 1 where coordinates are shares.
            where: Its file and line.
            image: The name of its image.
        """
        self._num += 1
        self._order = order
        written = _written(corners, order)
        for each, read in _READ.items():
            self._fit[each] += _fits(read(*written), frame)
        if not _fits(corners, frame) and not self._first[0]:
            self._first = where, image
        largest = max(map(abs, written))
        self._largest = max(self._largest, largest)
        # Pixels where shares are meant, or shares where pixels are.
        if largest > _ABOVE if frame == (1, 1) else largest <= 1 < min(frame):
            self._strange += 1
            self._far = self._far if self._far[0] else (where, image)

    def problems(self) -> Iterator[Problem]:
        """Yield each oddity, with the first box that shows it."""
        if self._strange >= max(_LEAST, self._num / 2):
            yield Problem(
                self._far[0], "unit", f"{self._strange:,} of {self._num:,} boxes {self._unit()}", self._far[1]
            )
            return
        wrong = self._num - self._fit[self._order]
        if wrong < max(_LEAST, _SHARE * self._num):
            return
        best = max(self._fit, key=lambda order: self._fit[order])
        if self._num - self._fit[best] <= _MOST * self._num:
            yield Problem(
                self._first[0],
                "order",
                f"{wrong:,} of {self._num:,} boxes do not lie in their images when they are read as "
                f"{_WORDS[self._order]}, this one first, and all do as {_WORDS[best]}: put them in order",
                self._first[1],
            )

    def _unit(self) -> str:
        """Describe the unit that the numbers look like, and the remedy."""
        if self._largest <= 1:
            return (
                "lie in the first pixel of their images, this one first: they look like shares where pixels are "
                "meant; multiply them by width and height"
            )
        # Boxes in small images have small numbers too.
        unit, by = (
            ("percent, or pixels", "100, or by width and height")
            if self._largest <= _PERCENT
            else ("pixels", "width and height")
        )
        return (
            f"have numbers above 1 where shares are meant, this one first: they look like {unit}; divide them by {by}"
        )


def _written(corners: Corners, order: Order) -> Corners:
    """The four numbers that a format wrote for a box."""
    left, top, right, bottom = corners
    if order == "sized":
        return left, top, right - left, bottom - top
    if order == "centred":
        return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    return corners


def _fits(corners: Corners, frame: Size) -> bool:
    left, top, right, bottom = corners
    across, down = _MISFIT * frame[0], _MISFIT * frame[1]
    inside = left >= -across and top >= -down and right <= frame[0] + across and bottom <= frame[1] + down
    return inside and left < right and top < bottom


_LONGEST: Final = 1000  # characters of a note
_SLACK: Final = 1e-5  # of a side: what rounding to six digits puts outside is not worth a word


@dataclass(slots=True, kw_only=True)
class WrittenObject:
    """One object as it was written, with coordinates in pixels or in shares of the image.

    Attributes:
        where: The line, entry or object in its file.
        label: Its class.
        corners: Left, top, right, bottom; None where only its outline was said.
        order: In which its format writes the four numbers of a box.
        polygons: Its rings.
        runs: Its packed mask.
        ignored: Whether it is a crowd or a difficult one.
        score: How sure somebody is.
        track_id: Which one it is in a video.
    """

    where: str
    label: str
    corners: Corners | None = None
    order: Order = "corners"
    polygons: tuple[Polygon, ...] = ()
    runs: Runs | None = None
    ignored: bool = False
    score: float | None = None
    track_id: int | None = None


class Gathering:
    """Collects records, and notes what was wrong.

    Args:
        images: Those that are spoken of; None leaves coordinates as they were written.
        classes: The only classes that are known; none takes all.
    """

    def __init__(self, images: Images | None, classes: Sequence[str] = ()) -> None:
        self.images, self.classes = images, tuple(map(class_name, classes))
        self.records: list[Record] = []
        self.problems: list[Problem] = []
        self.suspicion = Suspicion()
        self.named: set[Path] = set()  # images that an annotation names, whether it can be used or not
        self._taken: dict[Path, tuple[int, Closeness]] = {}  # its record, and how well the name fits

    def note(self, where: str, fault: Fault, reason: str, image: str = "") -> None:
        """Note what is wrong, in one line of bounded length, whatever the names in it hold."""
        where, reason = printable(where), printable(reason)
        if len(reason) > _LONGEST:
            reason = f"{reason[: _LONGEST // 2]} ... {reason[-_LONGEST // 2 :]}"
        self.problems.append(Problem(where[:_LONGEST], fault, reason, image))

    def add(
        self, name: str, objects: Sequence[WrittenObject], *, file: Path, said: Size | None = None,
        shares: bool = False, number: int | None = None, by_number: bool = False, address: str = "", lost: int = 0,
        split: str = "",
    ) -> None:  # fmt: skip
        """Take what was written about an image, correct what can be corrected, and leave out the rest.

        Args:
            name: Name of the image, as it was written.
            objects: Objects in it.
            file: File that holds them.
            said: Width and height of the image, as they were written.
            shares: Whether coordinates are shares of width and height.
            number: Line, from 0.
            by_number: Whether the image goes by that number, not by its name.
            address: Where the image can be got.
            lost: Number of its objects that could not be understood, each of which has been noted. An image that lost
                all its objects to errors is left out: nobody said that nothing is in it.
            split: What the file says of the image's use.
        """
        where = str(file) if number is None else f"{file}, line {number + 1}"
        image: Path | None = None
        size: Size | None = None
        if self.images:
            by = self.images.numbered(number) if by_number and number is not None else self.images.find(name, file)
            image, reason = by
            size = imaging.header_size_wh(image) if image else None
            if image and not size:
                reason = f"the image {self.images.name(image)} cannot be read"
            if reason:
                self.note(where, "no image", f"{reason}; left out", name)
                return
            assert image is not None
            self.named.add(image)
        written = name
        name = self.images.name(image) if self.images and image else name
        said = said if said and min(said) > 0 else None
        frame = (1, 1) if shares else said or size
        record, dropped = self._record(name, objects, frame, where)
        if dropped + lost and not len(record.objects):
            reason = f"none of its {dropped + lost} objects could be used, which does not mean that nothing is in it"
            self.note(where, "incomplete", f"{reason}; the image is left out", name)
            return
        record = replace(record, image=image, number=number, address=address, where=where, split=split)
        try:
            for goal in filter(None, (said, size)):
                record = record.at(*goal)
        except CalcoError as error:
            self.note(where, "other size", f"{error}; left out", name)
            return
        rank = self.images.closeness(image, written, file) if self.images and image else (0, 0, 0, 0)
        self._keep(record, rank)

    def add_parsed(
        self, file: Path, name: str, entries: Iterable[tuple[str, _Entry]],
        parse: Callable[[_Entry, str], Sequence[WrittenObject]], *, lost: int = 0, **about: Any,
    ) -> set[str]:  # fmt: skip
        """Parse the entries of one image, note those that cannot be understood, add the rest, and return their classes.

        Args:
            file: File that holds them.
            name: Name of the image.
            entries: Place in the file and entry of each object.
            parse: Entry and place => its objects, none for one that is not used and counts as lost; raises one of
                `MALFORMED` for what it cannot read.
            lost: As in `add`, for entries that were left out before.
            about: What else `add` takes.
        """
        objects: list[WrittenObject] = []
        for where, entry in entries:
            try:
                found = parse(entry, where)
            except MALFORMED as error:
                lost += 1
                self.note(f"{file}{where}", "damaged", f"{plainly(error)}; left out", name)
            else:
                objects += found
                lost += not found
        self.add(name, objects, file=file, lost=lost, **about)
        return {obj.label for obj in objects}

    def check_claim(self, name: str, file: Path, said: Size) -> None:
        """Refuse a size at which a mask is to be unpacked, if the image is far smaller.

        Raises:
            CalcoError: If no image of that size is read, or the image that is there has less than a hundredth of it.
        """
        path = self.images.find(name, file)[0] if self.images else None
        size = imaging.header_size_wh(path) if path else None
        most = min(imaging.MAX_PIXELS, 100 * size[0] * size[1]) if size else imaging.MAX_PIXELS
        if not 0 < said[0] * said[1] <= most:
            raise CalcoError(f"its mask needs an image of {said[0]}x{said[1]} pixels, which this is not")

    def _keep(self, record: Record, rank: Closeness) -> None:
        """Keep one record an image: the one whose name fits best, then one with boxes, then the first."""
        place, best = self._taken.get(record.image, (None, rank)) if record.image else (None, rank)
        if place is None:
            if record.image:
                self._taken[record.image] = len(self.records), rank
            self.records.append(record)
            return
        kept, other = self.records[place], record
        if (rank, len(record.objects) > 0) > (best, len(kept.objects) > 0):
            kept, other = record, kept
            self._taken[record.image or Path()] = place, rank
        self.records[place] = replace(kept, also=(*kept.also, *other.also, other.where))
        if not _same(kept, other):
            reason = f"{other.name} is annotated already, in {kept.where}"
            unused = f"its {len(other.objects)} boxes here are not used"
            self.note(other.where, "duplicate", f"{reason}; {unused}", other.name)

    def _record(
        self, name: str, objects: Sequence[WrittenObject], frame: Size | None, where: str
    ) -> tuple[Record, int]:
        """Return what can be used of the objects, and the number of those that were dropped for an error."""
        kept: list[tuple[WrittenObject, Corners, Outline | None]] = []
        seen: set[object] = set()
        unwanted = 0
        for obj in objects:
            obj.where = f"{where}{obj.where}"
            if self.classes and obj.label not in self.classes:
                unwanted += 1
                known = ", ".join(self.classes[:8]) + (", ..." if len(self.classes) > 8 else "")
                self.note(obj.where, "unknown class", f"{obj.label!r} is none of the classes {known}; left out", name)
            elif box := self._mended(obj, frame, name):
                identity = _identity(obj, box)
                if identity in seen:
                    self.note(obj.where, "duplicate", "the same object is given twice; it is taken once", name)
                    unwanted += 1
                    continue
                seen.add(identity)
                kept.append((obj, box, self._outline(obj, frame, name)))
        outlines = tuple(outline for _, _, outline in kept)
        scores, tracks = ([getattr(obj, part) for obj, _, _ in kept] for part in ("score", "track_id"))
        record = Record(
            name=name,
            objects=Detections(
                boxes=np.array([box for _, box, _ in kept], np.float32).reshape(-1, 4),
                classes=tuple(obj.label for obj, _, _ in kept),
                scores=None if not kept or None in scores else np.array(scores, np.float32),
                track_ids=None if not kept or None in tracks else np.array(tracks, np.int64),
                ignored=np.array([t.ignored for t, _, _ in kept]) if any(t.ignored for t, _, _ in kept) else None,
                outlines=outlines if any(outlines) else (),
            ),
            size_wh=frame,
            runs={i: obj.runs for i, (obj, _, _) in enumerate(kept) if obj.runs},
        )
        return record, len(objects) - unwanted - len(kept)

    def _mended(self, obj: WrittenObject, frame: Size | None, name: str) -> Corners | None:
        """The box within the image, its corners in order; None when nothing is left of it."""
        rings = tuple(ring for ring in obj.polygons if len(ring) >= 3)
        if len(rings) < len(obj.polygons):
            self.note(obj.where, "damaged", "a polygon of fewer than three corners; the polygon is left out", name)
            obj.polygons = rings
        corners = obj.corners or (obj.runs and obj.runs.extent()) or (extent(rings) if rings else None)
        if corners is None:
            self.note(obj.where, "empty", "it has neither box nor outline; left out", name)
            return None
        if obj.corners and frame:
            self.suspicion.see(obj.corners, obj.order, frame, obj.where, name)
        left, top, right, bottom = corners
        said = f"the box {left:g} {top:g} {right:g} {bottom:g}"
        if left == right or top == bottom:
            self.note(obj.where, "empty", f"{said} encloses nothing; left out", name)
            return None
        if left > right or top > bottom:
            self.note(obj.where, "inverted", f"{said} has its corners exchanged; put in order", name)
            left, top, right, bottom = min(left, right), min(top, bottom), max(left, right), max(top, bottom)
        if frame is None:
            return left, top, right, bottom
        width, height = frame
        within = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
        size = "the image" if frame == (1, 1) else f"the image of {width}x{height}"
        if within[0] >= within[2] or within[1] >= within[3]:
            self.note(obj.where, "outside", f"{said} lies outside {size}; left out", name)
            return None
        if max(-left / width, -top / height, right / width - 1, bottom / height - 1) > _SLACK:
            self.note(obj.where, "outside", f"{said} reaches outside {size}; clipped", name)
        return within

    def _outline(self, obj: WrittenObject, frame: Size | None, name: str) -> Outline | None:
        """The polygons within the image; a packed mask must have the image's size."""
        if obj.runs and frame and (obj.runs.width, obj.runs.height) != frame:
            said = f"{obj.runs.width}x{obj.runs.height}"
            reason = f"its mask of {said} lies on an image of {frame[0]}x{frame[1]}; the box alone is kept"
            self.note(obj.where, "damaged", reason, name)
            obj.runs = None
        rings = [clip(ring, *frame) if frame else ring for ring in obj.polygons]
        rings = [ring for ring in rings if len(ring)]
        if obj.polygons and not rings:
            self.note(obj.where, "empty", "its outline encloses nothing in the image; the box alone is kept", name)
        return Outline(tuple(rings)) if rings else None


def _identity(obj: WrittenObject, box: Corners) -> object:
    """Equal for two objects of which the same is written."""
    rings = tuple(ring.tobytes() for ring in obj.polygons)
    runs = obj.runs and obj.runs.counts.tobytes()
    return obj.label, box, rings, runs, obj.score, obj.track_id


def _same(one: Record, other: Record) -> bool:
    """Return whether two records of an image have the same boxes."""
    first, second = (
        sorted(zip(each.objects.classes, each.objects.boxes.tolist(), strict=True)) for each in (one, other)
    )
    return first == second
