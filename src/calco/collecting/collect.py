"""`calco collect`: from a list of annotations to a folder of photographs, or of what their boxes name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from calco import imaging
from calco.annotations.reading import read_annotations
from calco.annotations.record import Annotations, Record
from calco.collecting.config import CollectConfig
from calco.collecting.crops import check_labels, cut
from calco.collecting.download import JOURNAL, download
from calco.errors import CalcoError
from calco.files import digest, list_files, read_json, write_json
from calco.locks import is_lock
from calco.outputs import LOG, Outputs, writing_folder

FORMAT: Final = 1
REPORT: Final = "collected.json"
WHOLE: Final = ("no image", "other size", "unreadable", "incomplete")  # faults that cost an image, not a box
PHOTOGRAPHS: Final = ".photographs"  # hidden, so that readers of the crops do not take them for images of the set

Progress = Callable[[str, int, int], None]


@dataclass
class Collection:
    """Result of collecting a list: what is in the folder `out`, and what was left out with the reasons."""

    out: Path
    listed: int = 0  # images that the list names
    photographs: dict[str, Path] = field(default_factory=dict)  # name => file
    fetched: int = 0  # images downloaded by this call
    crops: dict[str, str] = field(default_factory=dict)  # name => group
    left_out: dict[str, str] = field(default_factory=dict)  # name of an image => reason
    boxes_left_out: dict[str, str] = field(default_factory=dict)  # name of a box => reason
    remarks: list[str] = field(default_factory=list)  # problems of the annotations, and how they were resolved


def collect(config: CollectConfig, *, progress: Progress | None = None) -> Collection:
    """Download the images that a list names, and cut out what its boxes name.

    A call that was interrupted, or missed some images, is repeated to download what is missing. `collected.json` in
    the folder describes what was left out and why.

    Args:
        config: List, folder, what to cut out, and limits of downloads.
        progress: Called with the name of a stage, the number of images done, and their number in all.

    Returns:
        What is in the folder, and what was left out.

    Raises:
        CalcoError: If the list cannot be read, the folder holds something else, or no image or crop was made.
    """
    annotations, images = config.annotations, config.images
    report = progress or (lambda _doing, _done, _of: None)
    listed = read_annotations(annotations, images)
    check_labels(listed.records, config.crop)
    growing = (JOURNAL, f"{PHOTOGRAPHS}/{JOURNAL}")
    # Downloaded files that were changed since are downloaded again.
    with writing_folder(config.out, "calco collect", overwrite=True, growing=growing) as outputs:
        done = Collection(outputs.folder, len(listed.records))
        made_by: dict[str, object] = {"format": FORMAT, "annotations": str(annotations), "crop": None}
        if config.crop:
            path = Path(annotations)
            content = digest(path) if path.is_file() else digest(*list_files(path, lambda _name: True).paths)
            made_by["crop"] = {"list": content, "labels": [*config.crop], "margin": config.margin,
                               "min_size": config.min_size, "square": config.square}  # fmt: skip
        _claim(outputs, made_by)
        for problem in listed.problems:
            if problem.fault in WHOLE:
                done.listed += 1
                place = problem.where.removeprefix(f"{annotations}, ")
                done.left_out[place] = problem.reason.removesuffix("; left out")
            else:
                done.remarks.append(str(problem))
        records = _present(listed, Path(images), done) if images else _downloaded(listed, done, config, report)
        if config.crop and records:
            cuts = cut(done.photographs, records, done.out, config, lambda count, of: report("cutting", count, of))
            done.crops, done.boxes_left_out = cuts.groups, cuts.boxes_left_out
            done.left_out |= cuts.left_out
        counts = {"listed": done.listed, "photographs": len(done.photographs), "fetched": done.fetched,
                  "crops": len(done.crops)}  # fmt: skip
        left_out = {"left_out": done.left_out, "boxes_left_out": done.boxes_left_out, "remarks": done.remarks}
        write_json(done.out / REPORT, made_by | counts | left_out)
        if not (done.crops if config.crop else done.photographs):
            reasons = [*done.boxes_left_out.items(), *done.left_out.items(), ("the list", "it names nothing")]
            first = ": ".join(reasons[0])
            raise CalcoError(f"{annotations} gave no {'crop' if config.crop else 'image'}; the first reason: {first}")
    return done


def _claim(outputs: Outputs, made_by: dict[str, object]) -> None:
    """Check that the folder holds only results of a call like this one."""
    out = outputs.folder
    if outputs.owns(out / REPORT):
        before = read_json(out / REPORT)
        count = before.get("crops" if before.get("crop") else "photographs")  # None after a call that was killed
        if before.get("crop") != made_by["crop"] and count != 0:
            raise CalcoError(f"{out} holds the result of another list or other settings; choose another --out")
    elif any(path.name != LOG and not is_lock(path.name) for path in out.iterdir()):
        raise CalcoError(f"{out} holds something else; choose an empty or a new folder for --out")
    # Before the first image, so that a call that is killed can be repeated.
    write_json(out / REPORT, made_by)


def _present(listed: Annotations, folder: Path, done: Collection) -> dict[str, Record]:
    """Return the records whose images are in a folder; note images without a record."""
    records: dict[str, Record] = {}
    for record in listed.records:
        if record.image:
            stem = Path(record.name).with_suffix("").as_posix()
            name = record.name if stem in records else stem
            records[name], done.photographs[name] = record, record.image
    known = {record.image for record in records.values()}
    for path in imaging.list_images(folder):
        if path not in known:
            reason = "the list does not name it" if imaging.header_size_wh(path) else "it is not an image"
            done.left_out[path.relative_to(folder).as_posix()] = reason
    return records


def _downloaded(listed: Annotations, done: Collection, config: CollectConfig, report: Progress) -> dict[str, Record]:
    """Return the records whose images could be downloaded, named after their lines."""
    records = {f"{record.number:06d}": record for record in listed.records if record.address}
    if not records:
        raise CalcoError(
            f"nothing in this list ({listed.format}) has an address to fetch from; name the folder of the images: "
            "--images DIR"
        )
    fetched = download(
        {name: record.address for name, record in records.items()},
        done.out / PHOTOGRAPHS if config.crop else done.out,
        config,
        jobs=config.jobs,
        private=config.allow_private,
        progress=lambda count, of: report("fetching", count, of),
    )
    done.photographs, done.fetched = fetched.files, len(fetched.files) - fetched.kept
    done.left_out |= fetched.failed
    return {name: record for name, record in records.items() if name in fetched.files}
