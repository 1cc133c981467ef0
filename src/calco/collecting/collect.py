"""`calco collect`: from a list of annotations to a folder of photographs, or of what their boxes name.

Images are downloaded several at once and read to the last pixel; the crops of one photograph are one group.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.annotations.reading import read_annotations
from calco.annotations.record import Annotations, Record
from calco.collecting import CollectConfig, FetchConfig
from calco.collecting.fetch import Failed, Fetcher, run_in_loop
from calco.errors import CalcoError, needs
from calco.files import (
    atomic_write,
    digest,
    explain,
    list_files,
    make_folder,
    put_in_place,
    read_json,
    short_name,
    write_json,
)
from calco.journal import Journal
from calco.outputs import LOG, Outputs, is_lock, writing_folder

JOURNAL: Final = "collected.jsonl"
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


@dataclass
class Fetched:
    """Result of a download: the file of each name, how many were there before, and why others failed."""

    files: dict[str, Path] = field(default_factory=dict)
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def download(
    wanted: Mapping[str, str],
    folder: Path,
    config: FetchConfig,
    *,
    jobs: int = 8,
    private: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Fetched:
    """Download images (name without suffix => address) into a folder; each gets the suffix of its real format.

    Files that an earlier call downloaded from the same address are kept: a journal holds the address, file and size of
    each. `private` allows addresses of this machine's network; `progress` takes the number of images done, and of all.
    """
    needs("anyio", "httpx", extra="collect")
    import anyio

    folder = make_folder(folder)
    journal, done, broken = Journal(folder / JOURNAL), Fetched(), list[CalcoError]()
    rows = {row.get("name"): row for row in journal.rows()}
    for name, address in wanted.items():
        _remove_part(folder, name)
        row = rows.get(name, {})
        file = folder / Path(str(row.get("file"))).name
        if row.get("address") == _public(address) and file.is_file() and file.stat().st_size == row.get("bytes"):
            done.files[name] = file
    done.kept = len(done.files)
    missing = iter([item for item in wanted.items() if item[0] not in done.files])

    async def fetch_all() -> None:
        fetcher = Fetcher(config, wanted.values(), private=private, jobs=jobs, accept="image/*,*/*;q=0.5")
        async with fetcher, anyio.create_task_group() as group:

            async def work() -> None:
                for name, address in missing:
                    part = _part(folder, name)
                    try:
                        suffix = await fetcher.fetch(address, part, _checked)
                        done.files[name] = _keep(folder, name, address, suffix, journal)
                    except Failed as failure:
                        done.failed[name] = f"{failure} ({_public(address)})"
                    except CalcoError as error:  # of the disk, so further images would fail as well
                        broken.append(error)
                        group.cancel_scope.cancel()
                    finally:
                        _remove_part(folder, name)
                    if progress:
                        progress(len(done.files) + len(done.failed), len(wanted))

            for _ in range(jobs):
                group.start_soon(work)

    run_in_loop(fetch_all)
    if broken:
        raise broken[0]
    return done


def _part(folder: Path, name: str) -> Path:
    return folder / short_name(f".{name}", ".part")


def _remove_part(folder: Path, name: str) -> None:
    for path in (_part(folder, name), _part(folder, name).with_suffix(".mark")):
        path.unlink(missing_ok=True)


def _keep(folder: Path, name: str, address: str, suffix: str, journal: Journal) -> Path:
    """Give a downloaded image its name, and note it in the journal."""
    part, file = _part(folder, name), folder / f"{name}{suffix}"
    try:
        row = {"name": name, "address": _public(address), "file": file.name, "bytes": part.stat().st_size}
        put_in_place(part, file)
    except OSError as error:
        raise explain(error, folder, "write into") from error
    journal.add(row)
    return file


def _checked(path: Path) -> str:
    """Read all pixels of an image; return the suffix of its real format."""
    try:
        imaging.read(path)
        return imaging.true_ending(path)
    except CalcoError as error:
        raise Failed(str(error).removeprefix(f"cannot read {path}: ").removesuffix("; replace or remove it")) from error


def _public(address: str) -> str:
    """Return an address without the user and password that may be in it."""
    scheme, separator, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


@dataclass
class Cut:
    """Crops of the boxes: the group of each crop, and the reasons why photographs and boxes were left out."""

    groups: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    boxes_left_out: dict[str, str] = field(default_factory=dict)


def check_labels(records: Sequence[Record], labels: Sequence[str]) -> None:
    """Refuse a label that no box has, before anything is downloaded or cut."""
    known = sorted({label for record in records for label in record.objects.classes})
    for label in labels:
        if known and label != "all" and label not in known:
            raise CalcoError(f"no box has the label {label}; the labels are {', '.join(known[:12])}, or take all")


def window(
    box: npt.NDArray[Any], size_wh: tuple[int, int], *, margin: float, min_size: int, square: bool = False
) -> tuple[int, int, int, int]:
    """Return the pixels of a crop: left, top, right, bottom, the last two exclusive, within the image.

    The box (left, top, right, bottom in pixels) may reach beyond the image. A box that is empty, inverted or outside
    the image, and a crop whose shorter side is below `min_size` pixels, are refused.

    >>> window(np.array([10, 10, 30, 50]), (100, 100), margin=0.5, min_size=9)
    (0, 0, 40, 70)
    """
    low, high = np.asarray(box, np.float64).reshape(2, 2)
    size = np.array(size_wh, np.float64)
    if not (high > low).all():
        raise CalcoError("the box is empty or inverted")
    if not (np.minimum(high, size) > np.maximum(low, 0)).all():
        raise CalcoError("the box lies outside the image")
    middle, sides = (low + high) / 2, (high - low) * (1 + 2 * margin)
    if square:
        sides = np.full(2, min(sides.max(), size.min()))
        middle = np.clip(middle, sides / 2, size - sides / 2)
    # A float32 corner may lie a hair beside its pixel.
    first = np.floor(np.clip(middle - sides / 2, 0, size) + 1e-3).astype(int)
    last = np.ceil(np.clip(middle + sides / 2, 0, size) - 1e-3).astype(int)
    if square:
        last = first + (last - first).min()
    if (last - first).min() < min_size:
        raise CalcoError(f"the crop has {last[0] - first[0]}x{last[1] - first[1]} pixels, under {min_size}")
    return int(first[0]), int(first[1]), int(last[0]), int(last[1])


def cut(
    photographs: Mapping[str, Path],
    records: Mapping[str, Record],
    out: Path,
    config: CollectConfig,
    progress: Callable[[int, int], None],
) -> Cut:
    """Write a crop of each box, as `NAME_BOX.png`, and `groups.csv`.

    Photographs with the same bytes are one group, whatever their names.
    """
    folder, done = make_folder(out), Cut()
    first_with: dict[str, str] = {}
    with ThreadPoolExecutor(config.jobs) as pool:
        results = pool.map(lambda name: _crops_of(name, photographs[name], records[name], folder, config), records)
        for count, (name, (content, crops)) in enumerate(zip(records, results, strict=True), 1):
            group = first_with.setdefault(content, name)
            done.groups |= dict.fromkeys(crops.groups, group)
            done.left_out |= crops.left_out
            done.boxes_left_out |= crops.boxes_left_out
            progress(count, len(records))
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("key", "group"), *done.groups.items()])
    atomic_write(folder / "groups.csv", table.getvalue())
    return done


def _crops_of(photograph: str, path: Path, record: Record, out: Path, config: CollectConfig) -> tuple[str, Cut]:
    """Write the crops of one photograph; return the digest of its bytes and the result."""
    crops = Cut()
    try:
        image = imaging.read(path, background="channel")
        size = image.shape[1], image.shape[0]
        objects = record.at(*size).objects
        content = digest(path)
    except CalcoError as error:
        crops.left_out[photograph] = str(error)
        return "", crops
    # PNG loses nothing of most images; TIFF holds floats and more than four channels.
    suffix = ".tif" if image.dtype == np.float32 or image.shape[2] > 4 else ".png"
    for number, (label, box) in enumerate(zip(objects.classes, objects.boxes, strict=True)):
        if label not in config.crop and "all" not in config.crop:
            continue
        name = f"{photograph}_{number}"
        try:
            left, top, right, bottom = window(
                box, size, margin=config.margin, min_size=config.min_size, square=config.square
            )
        except CalcoError as error:
            crops.boxes_left_out[name] = str(error)
            continue
        file = out / f"{name}{suffix}"
        make_folder(file.parent)
        imaging.write(file, image[top:bottom, left:right])
        crops.groups[name] = photograph
    return content, crops
