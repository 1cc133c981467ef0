"""What the three writers share."""

import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from calco.annotations.record import Record, Size
from calco.errors import CalcoError
from calco.files import explain, make_folder, replacing


def classes_of(records: Sequence[Record], classes: Sequence[str]) -> tuple[str, ...]:
    """The classes that are given, or those that occur, sorted.

    Raises:
        CalcoError: When one occurs that is not given.
    """
    found = {name for record in records for name in record.objects.classes}
    if classes and (strange := sorted(found - set(classes))):
        raise CalcoError(f"the class {strange[0]!r} is none of {', '.join(classes)}; name all classes that occur")
    return tuple(classes) or tuple(sorted(found))


def size_of(record: Record) -> Size:
    """Width and height of a record's image.

    Raises:
        CalcoError: When nobody told.
    """
    if record.size_wh is None or record.size_wh == (1, 1):
        raise CalcoError(f"{record.name}: the size of the image is not known; read it together with its image")
    return record.size_wh


def places(folder: Path, records: Sequence[Record], suffix: str) -> list[Path]:
    """One file a record in a folder, named after its image; the folders are made.

    Raises:
        CalcoError: When a name leads out of the folder, or two names differ in their ending only.
    """
    found: dict[Path, str] = {}
    for record in records:
        name = PurePosixPath(record.name)
        if name.is_absolute() or ".." in name.parts or not name.name:
            raise CalcoError(f"{record.name!r} leads out of the folder {folder}; name images relative to theirs")
        path = folder / name.with_suffix(suffix)
        if path in found:
            raise CalcoError(f"{found[path]} and {record.name} would both be {path.name}; rename one of the images")
        found[path] = record.name
    for parent in {path.parent for path in found} | {folder}:
        make_folder(parent)
    return list(found)


def copy_images(folder: Path, records: Sequence[Record]) -> None:
    """Copies the images of the records into a folder, under the records' names.

    Raises:
        CalcoError: When a record has no image, or it cannot be copied.
    """
    for record in records:
        if record.image is None:
            raise CalcoError(f"{record.name}: its image is not known; read the annotations together with them")
        make_folder((folder / record.name).parent)
        with replacing(folder / record.name) as temporary:
            try:
                shutil.copyfile(record.image, temporary)
            except OSError as error:
                raise explain(error, record.image, "copy") from error
