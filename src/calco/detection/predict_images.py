"""A detector over images: read, looked at and written side by side, and nothing done twice."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from calco import imaging
from calco.annotations.detections import Detections
from calco.data.sources.folders import nothing_in
from calco.detection.drawing import Drawer, enlarged
from calco.detection.slicing import ConfiguredDetector, DetectionCounts
from calco.detection.tables import as_rows, from_rows, write_csv, write_found_coco
from calco.errors import CalcoError, DiskError
from calco.files import list_files, make_folder, temporary_path
from calco.imaging import Image
from calco.inference.results import same_inputs, stamps_of
from calco.journal import Journal
from calco.journal import write as write_rows
from calco.outputs import Outputs, Stamp
from calco.video.frames import is_moving
from calco.video.names import is_video
from calco.video.pipeline import Collected, Recorded, run

_KNOWN: Final = "images (.jpg, .png ...), videos (.mp4, .avi ...)"


@dataclass(frozen=True, slots=True)
class Given:
    """An image or video that is given.

    Attributes:
        path: Where it lies.
        name: In the results' folder, with forward slashes.
        moving: Whether all frames of an animated image are meant.
    """

    path: str
    name: str
    moving: bool = False

    @property
    def kind(self) -> Literal["image", "video"]:
        """What it is, by its ending."""
        return "video" if self.moving or is_video(self.path) else "image"


def listed(sources: tuple[str, ...], out: str) -> tuple[list[Given], list[tuple[str, str]]]:
    """The images and videos that are meant, and what in folders could not be read, with its reason.

    Args:
        sources: Files and folders.
        out: Where results go; what lies there is no source.

    Raises:
        CalcoError: When one is not there or is neither image nor video, a folder holds none, or two have one name.
    """
    found: list[Given] = []
    left_out: list[tuple[str, str]] = []
    inside = os.path.join(os.path.realpath(out), "")
    for source in sources:
        if not os.path.isdir(source):
            found.append(_single(source, out))
            continue
        listing = list_files(source, lambda name: imaging.is_image(name) or is_video(name))
        paths = [path for path in listing.paths if not os.path.realpath(path).startswith(inside)]
        if not paths:
            raise CalcoError(nothing_in(Path(source), listing.left_out, "image"))
        found += [Given(path, path[len(listing.root) :].replace(os.sep, "/")) for path in paths]
        left_out += listing.left_out
    seen: dict[str, str] = {}
    for given in found:
        if seen.setdefault(given.name, given.path) != given.path:
            raise CalcoError(f"{seen[given.name]} and {given.path} would both be written as {given.name}; look at them "
                             "in two calls, with another --out")  # fmt: skip
    return list({given.name: given for given in found}.values()), left_out


def _single(source: str, out: str) -> Given:
    if not os.path.exists(source):
        raise CalcoError(f"there is no {source}; name {_KNOWN} or folders of them")
    if not (imaging.is_image(source) or is_video(source)):
        raise CalcoError(f"{source} is neither image nor video by its ending; name {_KNOWN} or folders of them")
    return Given(source, os.path.basename(source), is_moving(source, out))


LINES: Final = "detections.jsonl"
DRAWN: Final = "drawn"
_LEAST: Final = 320  # pixels of the longer side of what is drawn: a label needs some room
_AHEAD: Final = 3  # batches that wait between two threads


@dataclass
class ImagesDone:
    """What came of a call.

    Attributes:
        out: The folder, or the one image that was written.
        written: Images that were looked at now.
        kept: Those from an earlier call.
        left_out: Name and reason of every image that could not be read, or not be drawn.
        tally: What was found in all of them.
        only: What is in the image, where it was one.
    """

    out: Path
    written: int = 0
    kept: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    tally: DetectionCounts = field(default_factory=DetectionCounts)
    only: Detections | None = None


Progress = Callable[[float, int], None]
"""Is told how many images are done (with a fraction where one is looked at in slices), and of how many."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where results go.

    Attributes:
        folder: Of the tables.
        stem: Of the tables' names.
        drawn: The drawn image of a name; None where nothing is drawn.
        formats: What is written.
        lines: The JSON lines, from which the other tables are made.
    """

    folder: Path
    stem: str
    drawn: Callable[[str], Path] | None
    formats: tuple[str, ...]
    lines: Path

    @classmethod
    def in_folder(cls, out: Path, formats: tuple[str, ...]) -> "Places":
        """A folder: the tables in it, what is drawn below it, under its own names."""
        return cls(folder=out, stem="detections", formats=formats, lines=out / LINES,
                   drawn=(lambda name: out / DRAWN / name) if "drawn" in formats else None)  # fmt: skip

    @classmethod
    def one(cls, out: Path, formats: tuple[str, ...]) -> "Places":
        """One drawn image, and the tables beside it."""
        lines = out.with_name(f"{out.stem}.jsonl")
        return cls(folder=out.parent, stem=out.stem, formats=formats, drawn=lambda _name: out,
                   lines=lines if "jsonl" in formats else temporary_path(lines))  # fmt: skip

    def table(self, ending: str) -> Path:
        """Of the tables, that with this ending."""
        return self.folder / f"{self.stem}{ending}"

    def tables(self) -> list[Path]:
        """The tables that are written."""
        endings = {"csv": ".csv", "coco": ".coco.json"}
        return [self.lines, *(self.table(ending) for name, ending in endings.items() if name in self.formats)]


class _Call:
    """One call at work; `_look` runs in the caller's thread, `_read` and `_keep` each in one of their own."""

    def __init__(
        self, look: ConfiguredDetector, places: Places, drawer: Drawer | None, lines: Journal, done: ImagesDone,
        note: Callable[[str, list[Stamp]], None],
    ) -> None:  # fmt: skip
        self.look, self.places, self.drawer, self.lines, self.done = look, places, drawer, lines, done
        self.note = note
        self.known: dict[str, Detections] = {}
        self.progress: Callable[[float], None] = lambda _count: None
        self.count = 0

    def read(self, given: Given) -> "_Seen":
        """An image, or why it cannot be read."""
        stamps = stamps_of([given.path])  # before it is read: a version that comes meanwhile is looked at next time
        try:
            return _Seen(given, imaging.read(given.path), stamps=stamps)
        except CalcoError as error:
            return _Seen(given, error=str(error))

    def find(self, lot: Sequence["_Seen"]) -> Sequence["_Seen"]:
        """What is in images; where one call found it before, that."""
        new = [seen for seen in lot if seen.image is not None and seen.given.name not in self.known]
        images = [seen.image for seen in new if seen.image is not None]

        def part(share: float) -> None:
            self.progress(self.count + min(share, 0.999))

        for seen, found in zip(new, self.look.many(images, part) if images else [], strict=True):
            seen.found = found
        return lot

    def keep(self, seen: "_Seen") -> None:
        """Draws and notes what was found; an image is noted when it is there."""
        self.count += 1
        name = seen.given.name
        found = self.known.get(name, seen.found)
        if seen.image is not None and found is not None:
            try:
                self._draw(seen.given, seen.image, found)
            except DiskError:  # nor can those that follow be written
                raise
            except CalcoError as error:
                seen.error = str(error)
        if seen.error:
            self.done.left_out[name] = seen.error
        elif seen.image is not None and found is not None:
            self._note(seen.given, seen.image, found)
            self.note(name, seen.stamps)
        self.progress(self.count)

    def _draw(self, given: Given, image: Image, found: Detections) -> None:
        if self.drawer is None or self.places.drawn is None:
            return
        path = self.places.drawn(given.name)
        make_folder(path.parent)
        imaging.write(path, self.drawer(*enlarged(image, found, _LEAST)), like=given.path)

    def _note(self, given: Given, image: Image, found: Detections) -> None:
        if given.name in self.known:
            return
        height, width = image.shape[:2]
        self.lines.add({"image": given.name, "width": width, "height": height, "detections": as_rows(found)})
        self.done.written += 1
        self.done.tally.add(found)
        self.done.only = found


@dataclass
class _Seen:
    given: Given
    image: Image | None = None
    found: Detections | None = None
    error: str = ""
    stamps: list[Stamp] = field(default_factory=list)


def predict_images(
    look: ConfiguredDetector,
    images: Sequence[Given],
    places: Places,
    *,
    scale: float = 1.0,
    outputs: Outputs | None = None,
    settings: str = "",
    progress: Progress = lambda _done, _of: None,
) -> ImagesDone:
    """Looks at images, and writes what was found; what an earlier call found in them is kept.

    The lines are written image by image, so a call that was interrupted by whatever goes on behind the last one.

    Args:
        look: How.
        images: Which.
        places: Where results go.
        scale: Of lines and letters.
        outputs: The folder, by whose log what an earlier call found is known; None where nothing is kept.
        settings: Digest of what else another result would come from.
        progress: Is told how far it is.

    Raises:
        CalcoError: When results cannot be written.
    """
    done = ImagesDone(places.folder)
    drawer = Drawer(look.detector.classes, share=scale, fit=True) if places.drawn is not None else None
    if outputs is not None:
        outputs.record(places.lines, grows=True)
    lines = Journal(places.lines)

    def note(name: str, stamps: list[Stamp]) -> None:
        if outputs is not None:
            outputs.note_done(name, settings, stamps)

    call = _Call(look, places, drawer, lines, done, note)
    wanted = {given.name for given in images if _is_known(given, outputs, settings)}
    for row in lines.rows():
        if row.get("image") in wanted:
            call.known[row["image"]] = from_rows(row["detections"])
    waiting = [given for given in images if given.name not in call.known or _undrawn(places, given, outputs)]
    call.count = len(images) - len(waiting)
    for found in call.known.values():
        done.tally.add(found)
    done.kept = len(call.known)
    call.progress = lambda count: progress(count, len(images))
    ahead = _AHEAD * look.batch
    run(Recorded(map(call.read, waiting), ahead), call.find, [Collected(call.keep)], batch=look.batch, length=ahead)
    _finish(lines, places, images, look.detector.classes)
    return done


def _is_known(given: Given, outputs: Outputs | None, settings: str) -> bool:
    """Whether an earlier call with the same settings looked at the image as it is now."""
    stamps = None if outputs is None else outputs.stamps(given.name, settings)
    return stamps is not None and same_inputs([given.path], stamps)


def _undrawn(places: Places, given: Given, outputs: Outputs | None) -> bool:
    return places.drawn is not None and (outputs is None or not outputs.owns(places.drawn(given.name)))


def _finish(lines: Journal, places: Places, images: Sequence[Given], classes: tuple[str, ...]) -> None:
    """Puts the lines into the order of the images, and makes the other tables of them."""
    order = {given.name: number for number, given in enumerate(images)}
    rows: list[dict[str, Any]] = list(lines.rows())
    newest = {row["image"]: row for row in rows if "image" in row}
    ordered = sorted(newest.values(), key=lambda row: order.get(row["image"], len(order)))
    if ordered != rows:
        write_rows(lines.path, ordered)
    # What other images are in the lines is from other calls, and stays.
    if "csv" in places.formats:
        write_csv(places.table(".csv"), ordered)
    if "coco" in places.formats:
        write_found_coco(places.table(".coco.json"), ordered, classes)
