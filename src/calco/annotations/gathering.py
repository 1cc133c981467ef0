"""Rules for written annotations: which boxes are corrected, which are left out, and what is noted about them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from calco import imaging
from calco.annotations.detections import Detections, Outline
from calco.annotations.geometry import Polygon, Runs, clip, extent
from calco.annotations.parsing import MALFORMED, UnknownClassError, class_name, plainly
from calco.annotations.record import Closeness, Fault, Images, Problem, Record, Size
from calco.errors import CalcoError, printable

Four: TypeAlias = tuple[float, float, float, float]
Order: TypeAlias = Literal["corners", "sized", "centred", "crossed"]

# Orders of a box's four numbers: in words, and as left, top, right, bottom.
_ORDERS: Final[dict[Order, tuple[str, Callable[[float, float, float, float], Four]]]] = {
    "corners": ("left, top, right, bottom", lambda a, b, c, d: (a, b, c, d)),
    "sized": ("left, top, width, height", lambda a, b, c, d: (a, b, a + c, b + d)),
    "centred": ("centre x, centre y, width, height", lambda a, b, c, d: (a - c / 2, b - d / 2, a + c / 2, b + d / 2)),
    "crossed": ("top, left, bottom, right", lambda a, b, c, d: (b, a, d, c)),
}  # fmt: skip
UNNAMED: Final = "object"
"""Class of boxes whose format names none."""
_MISFIT: Final = 0.02  # of a side, by which a box may leave its image and still fit
_LEAST_DOUBTFUL: Final = 3, 0.05  # boxes that do not fit, and their share, from which on the order is doubted
_MOST_MISFITS: Final = 0.01  # of the boxes, in the order that is proposed instead
_LONGEST: Final = 1000  # characters of a note
_SLACK: Final = 1e-5  # of a side: what rounding to six digits puts outside is not reported


@dataclass(slots=True, kw_only=True)
class WrittenObject:
    """One object as it was written, with coordinates in pixels or in shares of the image."""

    label: str
    where: str = ""  # line, entry or object in its file
    box: Four | None = None  # None where only an outline was given
    order: Order = "corners"  # of the numbers of the box
    polygons: tuple[Polygon, ...] = ()
    runs: Runs | None = None
    ignored: bool = False  # a crowd or a difficult object
    score: float | None = None
    track_id: int | None = None


@dataclass(slots=True)
class WrittenImage:
    """Annotations of one image as they were written."""

    file: Path
    name: str
    size_wh: Size | None = None
    split: str = ""  # use of the image, such as "train"
    shares: bool = False  # coordinates are shares of width and height
    number: int | None = None  # line of the file, from 0, of JSON lines
    by_number: bool = False  # the image goes by that number, not by its name
    address: str = ""
    objects: list[WrittenObject] = field(default_factory=list)
    lost: int = 0  # objects that could not be read, each of which has been noted

    @property
    def where(self) -> str:
        """The file, and the line of JSON lines."""
        return str(self.file) if self.number is None else f"{self.file}, line {self.number + 1}"


Parse: TypeAlias = Callable[[Any], Sequence[WrittenObject]]
"""Makes objects of an entry of a file."""


class _Suspicion:
    """Counts of boxes that would fit their images in each order of the numbers, and of odd units."""

    def __init__(self) -> None:
        self._num = self._num_odd = 0
        self._fit: dict[Order, int] = dict.fromkeys(_ORDERS, 0)
        self._order: Order = "corners"
        self._first_misfit = self._first_odd = ("", "")  # where, and which image
        self._largest = 0.0

    def see(self, box: Four, order: Order, frame: Size, where: str, image: str) -> None:
        """Count one box; `frame` is (1, 1) where coordinates are shares."""
        self._num += 1
        self._order = order
        fits = {each: _fits(corners(*box), frame) for each, (_, corners) in _ORDERS.items()}
        for each, does in fits.items():
            self._fit[each] += does
        if not fits[order] and not self._first_misfit[0]:
            self._first_misfit = where, image
        largest = max(map(abs, box))
        self._largest = max(self._largest, largest)
        # Pixels where shares are meant (no slip makes a share of 2), or shares where pixels are.
        if largest > 2 if frame == (1, 1) else largest <= 1 < min(frame):
            self._num_odd += 1
            self._first_odd = self._first_odd if self._first_odd[0] else (where, image)

    def problems(self) -> Iterator[Problem]:
        """Yield what is odd about all boxes together, at the first box that shows it."""
        least, share = _LEAST_DOUBTFUL
        wrong = self._num - self._fit[self._order]
        best = max(self._fit, key=lambda order: self._fit[order])
        if self._num_odd >= max(least, self._num / 2):
            where, image = self._first_odd
            yield Problem(where, "unit", f"{self._num_odd:,} of {self._num:,} boxes {self._unit()}", image)
        elif wrong >= max(least, share * self._num) and self._num - self._fit[best] <= _MOST_MISFITS * self._num:
            where, image = self._first_misfit
            reason = (
                f"{wrong:,} of {self._num:,} boxes do not lie in their images when they are read as "
                f"{_ORDERS[self._order][0]}, this one first, and all do as {_ORDERS[best][0]}: put them in order"
            )
            yield Problem(where, "order", reason, image)

    def _unit(self) -> str:
        if self._largest <= 1:
            return (
                "lie in the first pixel of their images, this one first: they look like shares where pixels are meant; "
                "multiply them by width and height"
            )
        # Boxes in small images have small numbers too.
        small = self._largest <= 100
        unit, by = ("percent, or pixels", "100, or by width and height") if small else ("pixels", "width and height")
        return (
            f"have numbers above 1 where shares are meant, this one first: they look like {unit}; divide them by {by}"
        )


def _fits(corners: Four, frame: Size) -> bool:
    left, top, right, bottom = corners
    across, down = _MISFIT * frame[0], _MISFIT * frame[1]
    return -across <= left < right <= frame[0] + across and -down <= top < bottom <= frame[1] + down


class Gathering:
    """Collects records, and notes what was wrong.

    Args:
        images: Images that are annotated; None leaves coordinates as they were written.
        classes: The only classes that are known; none takes all.
    """

    def __init__(self, images: Images | None, classes: Sequence[str] = ()) -> None:
        self.images, self.classes = images, tuple(map(class_name, classes))
        self.records: list[Record] = []
        self.notes: list[Problem] = []
        self.found: dict[str, None] = {}  # classes, in the order in which they were found
        self.named: set[Path] = set()  # images that an annotation names, whether it can be used or not
        self._suspicion = _Suspicion()
        self._taken: dict[Path, tuple[int, Closeness]] = {}  # its record, and how well the name fits

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was wrong; an image that one file lost may have been found in another."""
        used = {record.name for record in self.records}
        every = (*self.notes, *self._suspicion.problems())
        return tuple(each for each in every if each.fault != "incomplete" or each.image not in used)

    def note(self, where: str, fault: Fault, reason: str, image: str = "") -> None:
        """Note what is wrong, in one line of bounded length, whatever the names in it hold."""
        where, reason = printable(where), printable(reason)
        if len(reason) > _LONGEST:
            reason = f"{reason[: _LONGEST // 2]} ... {reason[-_LONGEST // 2 :]}"
        self.notes.append(Problem(where[:_LONGEST], fault, reason, image))

    def unnamed(self) -> str:
        """Return the class of an object that names none."""
        return (self.classes or (UNNAMED,))[0]

    def own_name(self, path: Path, named: str) -> str:
        """Return the name of the image of a file: files are renamed more often than the names in them."""
        own = self.images and self.images.find(path.stem, path)[0]
        return path.stem if own or not named else named

    def parse(self, image: WrittenImage, entries: Iterable[tuple[str, Any]], parse: Parse) -> None:
        """Add to an image what `parse` makes of each entry and its place in the file, and note what it cannot read.

        An entry of which `parse` makes nothing counts as lost.
        """
        for where, entry in entries:
            try:
                objects = parse(entry)
            except MALFORMED as error:
                image.lost += 1
                fault: Fault = "unknown class" if isinstance(error, UnknownClassError) else "damaged"
                self.note(f"{image.where}{where}", fault, f"{plainly(error)}; left out", image.name)
            else:
                for obj in objects:
                    obj.where = where
                image.objects += objects
                image.lost += not objects

    def add(
        self, image: WrittenImage, entries: Iterable[tuple[str, Any]] = (), parse: Parse = lambda _entry: ()
    ) -> None:
        """Parse entries of an image, take what was written about it, correct what can be corrected, drop the rest.

        An image that lost all its objects to errors is left out: nothing says that it is empty.
        """
        self.parse(image, entries, parse)
        self.found |= dict.fromkeys(obj.label for obj in image.objects)
        path, size, name, where = None, None, image.name, image.where
        if self.images:
            if image.by_number and image.number is not None:
                path, reason = self.images.numbered(image.number)
            else:
                path, reason = self.images.find(name, image.file)
            size = imaging.header_size_wh(path) if path else None
            if path and not size:
                reason = f"the image {self.images.name(path)} cannot be read"
            if not path or not size:
                self.note(where, "no image", f"{reason}; left out", name)
                return
            self.named.add(path)
            name = self.images.name(path)
        said = image.size_wh if image.size_wh and min(image.size_wh) > 0 else None
        record, dropped = self._record(name, image.objects, (1, 1) if image.shares else said or size, where)
        if dropped + image.lost and not len(record.objects):
            reason = f"none of its {dropped + image.lost} objects could be used, which does not mean that it is empty"
            self.note(where, "incomplete", f"{reason}; the image is left out", name)
            return
        record = replace(record, image=path, number=image.number, address=image.address, where=where, split=image.split)
        try:
            for goal in filter(None, (said, size)):
                record = record.at(*goal)
        except CalcoError as error:
            self.note(where, "other size", f"{error}; left out", name)
            return
        if self.images and path:
            self._keep(record, path, self.images.closeness(path, image.name, image.file))
        else:
            self.records.append(record)

    def check_mask(self, image: WrittenImage, left: int, top: int, width: int, height: int) -> None:
        """Refuse to unpack a mask that leaves its image, or whose image is written as far larger than it is."""
        path = self.images.find(image.name, image.file)[0] if self.images else None
        size = imaging.header_size_wh(path) if path else None
        most = min(imaging.MAX_PIXELS, 100 * size[0] * size[1]) if size else imaging.MAX_PIXELS
        across, down = image.size_wh or (0, 0)
        if not 0 < across * down <= most:
            raise CalcoError(f"its mask needs an image of {across}x{down} pixels, which this is not")
        if min(left, top, width, height) < 0 or left + width > across or top + height > down:
            raise CalcoError(f"its mask of {width}x{height} at {left}, {top} leaves the image of {across}x{down}")

    def _keep(self, record: Record, path: Path, rank: Closeness) -> None:
        """Keep one record an image: the one whose name fits best, then one with boxes, then the first."""
        if path not in self._taken:
            self._taken[path] = len(self.records), rank
            self.records.append(record)
            return
        place, best = self._taken[path]
        kept, other = self.records[place], record
        if (rank, len(record.objects) > 0) > (best, len(kept.objects) > 0):
            kept, other = record, kept
            self._taken[path] = place, rank
        self.records[place] = replace(kept, also=(*kept.also, *other.also, other.where))
        one, two = (
            sorted(zip(each.objects.classes, each.objects.boxes.tolist(), strict=True)) for each in (kept, other)
        )
        if one != two:
            reason = f"is annotated already, in {kept.where}; its {len(other.objects)} boxes here are not used"
            self.note(other.where, "duplicate", f"{other.name} {reason}", other.name)

    def _record(
        self, name: str, objects: Sequence[WrittenObject], frame: Size | None, where: str
    ) -> tuple[Record, int]:
        """Return what can be used of the objects, and the number of those that were dropped for an error."""
        kept: list[tuple[WrittenObject, Four, Outline | None]] = []
        seen: set[object] = set()
        unwanted = 0
        for obj in objects:
            obj.where = f"{where}{obj.where}"
            if self.classes and obj.label not in self.classes:
                unwanted += 1
                known = ", ".join(self.classes[:8]) + (", ..." if len(self.classes) > 8 else "")
                self.note(obj.where, "unknown class", f"{obj.label!r} is none of the classes {known}; left out", name)
            elif corners := self._corners(obj, frame, name):
                rings = tuple(ring.tobytes() for ring in obj.polygons)
                runs = obj.runs and obj.runs.counts.tobytes()
                identity = obj.label, corners, rings, runs, obj.score, obj.track_id
                if identity in seen:
                    unwanted += 1
                    self.note(obj.where, "duplicate", "the same object is given twice; it is taken once", name)
                    continue
                seen.add(identity)
                kept.append((obj, corners, self._outline(obj, frame, name)))
        outlines = tuple(outline for _, _, outline in kept)
        scores, tracks = ([getattr(obj, part) for obj, _, _ in kept] for part in ("score", "track_id"))
        ignored = np.array([obj.ignored for obj, _, _ in kept], np.bool_)
        detections = Detections(
            boxes=np.array([corners for _, corners, _ in kept], np.float32).reshape(-1, 4),
            classes=tuple(obj.label for obj, _, _ in kept), ignored=ignored if ignored.any() else None,
            scores=None if not kept or None in scores else np.array(scores, np.float32),
            track_ids=None if not kept or None in tracks else np.array(tracks, np.int64),
            outlines=outlines if any(outlines) else (),
        )  # fmt: skip
        packed = {i: obj.runs for i, (obj, _, _) in enumerate(kept) if obj.runs}
        return Record(name=name, objects=detections, size_wh=frame, runs=packed), len(objects) - unwanted - len(kept)

    def _corners(self, obj: WrittenObject, frame: Size | None, name: str) -> Four | None:
        """Return the box within the image, with its corners in order; None if nothing is left of it."""
        rings = tuple(ring for ring in obj.polygons if len(ring) >= 3)
        if len(rings) < len(obj.polygons):
            self.note(obj.where, "damaged", "a polygon of fewer than three corners; the polygon is left out", name)
            obj.polygons = rings
        if obj.box:
            corners: Four | None = _ORDERS[obj.order][1](*obj.box)
            if frame:
                self._suspicion.see(obj.box, obj.order, frame, obj.where, name)
        else:
            corners = (obj.runs and obj.runs.extent()) or (extent(rings) if rings else None)
        if corners is None:
            self.note(obj.where, "empty", "it has neither box nor outline; left out", name)
            return None
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
        """Return the polygons within the image; drop a packed mask that has not the image's size."""
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
