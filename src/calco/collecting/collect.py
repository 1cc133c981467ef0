"""`calco collect`: from a list of annotations to a folder of photographs, or of what their boxes name."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from calco import imaging
from calco.annotations.reading import read_annotations
from calco.annotations.record import Annotations, Record
from calco.collecting.config import CollectConfig, DownloadConfig
from calco.collecting.crops import Photograph, check_labels, cut
from calco.collecting.download import JOURNAL, Wanted, download
from calco.console import Table
from calco.errors import CalcoError
from calco.files import digest, list_files, read_json, write_json
from calco.locks import is_lock
from calco.outputs import LOG, Outputs, writing_folder
from calco.records import to_record

FORMAT: Final = 1
REPORT: Final = "collected.json"
WHOLE: Final = ("no image", "other size", "unreadable", "incomplete")  # faults that cost an image, not a box
PHOTOGRAPHS: Final = ".photographs"  # hidden, so that readers of the crops do not take them for images of the set

Progress = Callable[[str, int, int], None]


@dataclass
class Collection:
    """Result of collecting a list.

    Attributes:
        out: The folder.
        listed: How many images the list names.
        photographs: Those that are there, by name.
        fetched: How many of them were fetched now.
        crops: The group of each crop; empty when none were asked for.
        left_out: Name and reason of each image that could not be had or used.
        boxes_left_out: Name and reason of each box that gave no crop.
        remarks: What was wrong with the annotations, and what was done about it.
    """

    out: Path
    listed: int = 0
    photographs: dict[str, Path] = field(default_factory=dict)
    fetched: int = 0
    crops: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    boxes_left_out: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def collect(config: CollectConfig, *, progress: Progress | None = None) -> Collection:
    """Download the images that a list names, and cut out what its boxes name.

    A call that was interrupted, or missed some images, is repeated to download what is missing. `collected.json` in
    the folder describes what was left out and why.

    Args:
        config: List, folder, what to cut out, and how patiently images are downloaded.
        progress: Called with the name of a stage, the number of images done, and their number in all.

    Returns:
        What is in the folder, and what was left out.

    Raises:
        CalcoError: If the list cannot be read, the folder holds something else, or no image or crop was made.
    """
    annotations, images, out = config.annotations, config.images, config.out
    cropping, fetch = config.cropping(), config.download()
    told = progress or (lambda _doing, _done, _of: None)
    listed = read_annotations(annotations, images)
    if cropping:
        check_labels(listed.records, cropping.labels)
    growing = (JOURNAL, f"{PHOTOGRAPHS}/{JOURNAL}")
    # What was fetched and has been spoiled since is fetched again.
    with writing_folder(out, "calco collect", overwrite=True, growing=growing) as outputs:
        done = Collection(outputs.folder, len(listed.records))
        made_by: dict[str, object] = {"format": FORMAT, "annotations": str(annotations), "crop": None}
        if cropping:
            made_by["crop"] = {"list": _digest(annotations), **to_record(cropping), "labels": [*cropping.labels]}
        _claim(outputs, made_by)
        _note_problems(listed, annotations, done)
        records = (
            _there(listed, Path(images), done) if images else _fetched(listed, done, fetch, cropping is not None, told)
        )
        if cropping and records:
            photographs = [Photograph(name, done.photographs[name], record) for name, record in records.items()]
            cuts = cut(photographs, done.out, cropping, fetch.jobs, lambda count, of: told("cutting", count, of))
            done.crops, done.boxes_left_out = cuts.groups, cuts.boxes_left_out
            done.left_out |= cuts.left_out
        write_json(done.out / REPORT, made_by | _report(done))
        if not (done.crops if cropping else done.photographs):
            reasons = [*done.boxes_left_out.items(), *done.left_out.items(), ("the list", "it names nothing")]
            first = ": ".join(reasons[0])
            raise CalcoError(f"{annotations} gave no {'crop' if cropping else 'image'}; the first reason: {first}")
    return done


def _claim(outputs: Outputs, made_by: dict[str, object]) -> None:
    """Make sure that the folder holds nothing but what a call like this one left there."""
    out = outputs.folder
    if outputs.owns(out / REPORT):
        before = read_json(out / REPORT)
        count = before.get("crops" if before.get("crop") else "photographs")  # None after a call that was killed
        if before.get("crop") != made_by["crop"] and count != 0:
            raise CalcoError(f"{out} holds what came of another list or other settings; choose another --out")
    elif any(path.name != LOG and not is_lock(path.name) for path in out.iterdir()):
        raise CalcoError(f"{out} holds something else; choose an empty or a new folder for --out")
    # Before the first image: a call that is killed can be repeated.
    write_json(out / REPORT, made_by)


def _digest(annotations: str | Path) -> str:
    """Of the file, or of all that a folder holds."""
    path = Path(annotations)
    return digest(path) if path.is_file() else digest(*list_files(path, lambda _name: True).paths)


def _note_problems(listed: Annotations, annotations: str | Path, done: Collection) -> None:
    """Note the problems of the list: images that are left out, or remarks."""
    for problem in listed.problems:
        if problem.fault in WHOLE:
            done.listed += 1
            place = problem.where.removeprefix(f"{annotations}, ")
            done.left_out[place] = problem.reason.removesuffix("; left out")
        else:
            done.remarks.append(str(problem))


def _there(listed: Annotations, folder: Path, done: Collection) -> dict[str, Record]:
    """The records whose images are in a folder; images that no record is about are noted."""
    records: dict[str, Record] = {}
    for record in listed.records:
        if record.image:
            stem = Path(record.name).with_suffix("").as_posix()
            name = record.name if stem in records else stem
            records[name], done.photographs[name] = record, record.image
    known = {record.image for record in records.values()}
    for path in imaging.list_images(folder):
        if path not in known:
            reason = "nothing in the list speaks of it" if imaging.header_size_wh(path) else "it is no image"
            done.left_out[path.relative_to(folder).as_posix()] = reason
    return records


def _fetched(
    listed: Annotations, done: Collection, config: DownloadConfig, hidden: bool, told: Progress
) -> dict[str, Record]:
    """The records whose images could be fetched, named after their lines."""
    records = {f"{record.number:06d}": record for record in listed.records if record.address}
    if not records:
        raise CalcoError(
            f"nothing in this list ({listed.format}) has an address to fetch from; name the folder of the images: "
            "--images DIR"
        )
    wanted = [Wanted(name, record.address) for name, record in records.items()]
    folder = done.out / PHOTOGRAPHS if hidden else done.out
    fetched = download(wanted, folder, config, lambda count, of: told("fetching", count, of))
    done.photographs, done.fetched = fetched.files, len(fetched.files) - fetched.kept
    done.left_out |= fetched.failed
    return {name: record for name, record in records.items() if name in fetched.files}


def _report(done: Collection) -> dict[str, object]:
    return {
        "listed": done.listed,
        "photographs": len(done.photographs),
        "fetched": done.fetched,
        "crops": len(done.crops),
        "left_out": done.left_out,
        "boxes_left_out": done.boxes_left_out,
        "remarks": done.remarks,
    }


def verdict(done: Collection) -> str:
    """One or two sentences: what there is now, and where the whole report is."""
    text = f"{len(done.photographs)} of {done.listed} images are there"
    text += f", {done.fetched} of them fetched now" if done.fetched else ""
    if done.crops:
        groups = len(set(done.crops.values()))
        text += f"; {len(done.crops)} crops in {groups} groups are in {done.out}"
        text += f", the photographs in {done.out / PHOTOGRAPHS}" if (done.out / PHOTOGRAPHS).is_dir() else ""
    return f"{text}; {done.out / REPORT} names what was left out"


def left_out_table(done: Collection) -> Table:
    """Return a table of the images and boxes that were left out, by reason, each with an example."""
    table = Table(title="left out", title_justify="left")
    for heading in ("what", "how many", "why", "for example"):
        table.add_column(heading, justify="right" if heading == "how many" else "left", overflow="fold")
    for what, entries in (("images", done.left_out.items()), ("boxes", done.boxes_left_out.items())):
        for reason, names in _by_reason(entries):
            table.add_row(what, f"{len(names):,}", reason, names[0])
    for remark in done.remarks[:5]:
        table.add_row("remark", "", remark, "")
    if len(done.remarks) > 5:
        table.add_row("remarks", f"{len(done.remarks):,}", f"all of them stand in {REPORT}", "")
    return table


def _by_reason(entries: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """The names of each reason, the most frequent first; reasons that differ in numbers and addresses are one."""
    found: dict[str, tuple[set[str], list[str]]] = {}
    for name, reason in entries:
        alike = re.sub(r"\d+|\(http[^)]*\)|/\S+", "…", reason)
        reasons, names = found.setdefault(alike, (set(), []))
        reasons.add(reason)
        names.append(name)
    told = [(min(reasons) if len(reasons) == 1 else alike, names) for alike, (reasons, names) in found.items()]
    return sorted(told, key=lambda entry: -len(entry[1]))
