"""A data set on the Hugging Face hub (or in files of its library on disk) as a source."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from calco import imaging
from calco.data.config import SourceConfig
from calco.data.curation import MAX_COMPARED, equal_parts
from calco.data.mask_encoding import decode_mask
from calco.data.sample import Sample
from calco.data.source import Item, Source, common_channels
from calco.data.sources.names import role_of
from calco.data.splits import split_named
from calco.errors import CalcoError, needs
from calco.files import explained

if TYPE_CHECKING:
    from datasets import Dataset


class _Parts(NamedTuple):
    """The data by split, and the columns of input (or image) and target (or mask)."""

    tables: dict[str, "Dataset"]
    columns: tuple[str, ...]


def open(path: str, config: SourceConfig) -> Source:
    """List the rows of a data set, whose columns `config.input` and `config.target` name.

    The path is `owner/name`, with or without "hub:" before it, `#subset` and `:split` behind it; or a folder or file
    that the library reads.
    """
    tables = _tables(path.removeprefix("hub:"))
    from datasets import Image as ImageFeature

    kind, columns = _columns(path, next(iter(tables.values())), config)
    if config.direction == "BtoA" and kind == "parallel":
        columns = columns[::-1]
    elif config.direction == "BtoA":
        raise CalcoError(f"{path} has no direction BtoA, with {' and '.join(columns)} alone; leave --direction out")
    for split, table in tables.items():
        tables[split] = table.select_columns(list(columns))
        for column in columns:
            tables[split] = tables[split].cast_column(column, ImageFeature(decode=False))  # Calco itself reads images
    parts = _Parts(tables, columns)
    own = {split: split_named(split) for split in tables} if len(tables) > 1 else {}
    items = [
        Item(f"{split}/{row:0{len(str(len(table)))}d}", "", (), own.get(split), (number, row))
        for number, (split, table) in enumerate(tables.items())
        for row in range(len(table))
    ]
    story = {
        "photographs": f"photographs ({columns[0]})",
        "masks": f"images ({columns[0]}) with masks ({columns[-1]})",
        "parallel": f"pairs of {columns[0]} (input) and {columns[-1]} (target)",
    }[kind]
    source = Source(
        kind, path, _grouped(parts, items, kind), load_row, direction=config.direction, background=config.background,
        digester=digest_row, context=parts, story=f"a data set of the Hugging Face library, {story}",
    )  # fmt: skip
    ends = columns[0], columns[-1]
    read = partial(imaging.decode, background=config.background)
    return replace(source, channels=common_channels(source, lambda i: (read(*_file(parts, i.place, c)) for c in ends)))


def _tables(name: str) -> "dict[str, Dataset]":
    """Load the splits of a data set."""
    needs("datasets", extra="hub")
    import datasets

    local = Path(name)
    subset = split = None
    if not local.exists():
        name, _, split = name.partition(":")
        name, _, subset = name.partition("#")
    with _explained(name):
        if local.is_dir() and any((local / mark).is_file() for mark in ("dataset_dict.json", "state.json")):
            found = datasets.load_from_disk(str(local))
        elif local.is_file():
            found = datasets.load_dataset("parquet", data_files=str(local.resolve()))
        else:
            found = datasets.load_dataset(name, subset or None)
    tables = {"train": found} if isinstance(found, datasets.Dataset) else dict(found)
    if split and split not in tables:
        raise CalcoError(f"{name} has no split {split}; choose one of {', '.join(tables)}")
    tables = {key: table for key, table in tables.items() if len(table) and (not split or key == split)}
    if not tables:
        raise CalcoError(f"{name} has no rows; name another data set")
    return tables


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn the library's many errors into one with a remedy."""
    from datasets.exceptions import DatasetNotFoundError

    try:
        yield
    except DatasetNotFoundError as error:
        if "gated" in str(error):
            raise CalcoError(f"{name} is gated; ask for access on its page, then: hf auth login") from error
        raise CalcoError(f"there is no data set {name} that you may read; check its name: owner/name") from error
    except ConnectionError as error:
        offline = os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE")
        why = "HF_HUB_OFFLINE is set" if offline else "no connection"
        raise CalcoError(
            f"cannot fetch {name} ({why}), and no copy is kept here; fetch it once with a network"
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        remedy = "check the name, and that the library reads it"
        remedy = "name one: owner/name#subset" if "onfig name" in reason else remedy
        raise CalcoError(f"cannot load the data set {name}: {reason}; {remedy}") from error


def _columns(name: str, table: "Dataset", config: SourceConfig) -> tuple[str, tuple[str, ...]]:
    """Return the kind, and the columns of input (or image) and target (or mask)."""
    from datasets import Image as ImageFeature

    found = [column for column, feature in table.features.items() if isinstance(feature, ImageFeature)]
    listed = ", ".join(found) or "none"
    if not found:
        raise CalcoError(f"{name} has no column of images, only {', '.join(table.column_names)}; name another")
    chosen = [column for column in (config.input, config.target) if column]
    for column in chosen:
        if column not in found:
            raise CalcoError(f"{name} has no column {column} of images; choose of {listed} with --input and --target")
    if not chosen and len(found) > 2:
        raise CalcoError(f"{name} has the images {listed}; choose two with --input and --target, or one with --input")
    if config.target and not config.input:
        raise CalcoError(f"--target is given without --input; choose both of {listed}")
    columns = chosen or found
    if len(columns) == 1:
        return "photographs", tuple(columns)
    roles = [role_of(column) for column in columns]
    if not chosen and (roles[0] in ("target", "mask", "label") or roles[1] == "input") and roles[0] != roles[1]:
        columns, roles = columns[::-1], roles[::-1]
    return ("masks" if roles[1] in ("mask", "label") else "parallel"), tuple(columns)


def _grouped(parts: _Parts, items: list[Item], kind: str) -> tuple[Item, ...]:
    """Sort items by key; those with the same bytes share a group, so that none crosses a split."""
    import pyarrow.compute as pc

    groups = {item.place: item.key for item in items}

    def join(column: str) -> None:
        # Of each image the number of bytes; None where the row names a file instead.
        lengths = [
            pc.binary_length(pc.struct_field(table.data.column(column), "bytes")).to_pylist()
            for table in parts.tables.values()
        ]
        for same in equal_parts(
            [list(groups)],
            lambda place: lengths[place[0]][place[1]],
            lambda place: hashlib.blake2b(_file(parts, place, column)[0]).digest(),
        ):
            groups.update(dict.fromkeys(same, min(groups[place] for place in same)))

    if len(items) <= MAX_COMPARED:
        for column in parts.columns[:1] if kind == "masks" else parts.columns:
            join(column)
    return tuple(sorted((replace(item, group=groups[item.place]) for item in items), key=lambda item: item.key))


def _file(parts: _Parts, place: tuple[int, ...], column: str) -> tuple[bytes, str]:
    """Return the contents of an image's file and its name."""
    split = list(parts.tables)[place[0]]
    cell = parts.tables[split][place[1]][column] or {}
    name = f"{split} {place[1]} {column}"
    if cell.get("bytes"):
        return cell["bytes"], name
    if not cell.get("path"):
        raise CalcoError(f"row {name} has no image; leave it out with a table: --drop")
    with explained(cell["path"], "read"):
        return Path(cell["path"]).read_bytes(), cell["path"]


def load_row(source: Source, item: Item) -> Sample:
    """Read the image of a row, with its partner or mask where the data set has one."""
    parts: _Parts = source.context
    (data, name), *others = (_file(parts, item.place, column) for column in parts.columns)
    image = imaging.decode(data, name, channels=source.channels[0], background=source.background)
    sample = Sample(image=image, key=item.key, group=item.group)
    if not others:
        return sample
    if source.kind == "masks":
        return replace(
            sample, mask=imaging.resize(decode_mask(*others[0]), (image.shape[1], image.shape[0]), "nearest")
        )
    partner = imaging.decode(*others[0], channels=source.channels[1], background=source.background)
    return replace(sample, partner=partner)


def digest_row(source: Source, item: Item) -> str:
    """Return a digest of the files of a row."""
    files = (_file(source.context, item.place, column)[0] for column in source.context.columns)
    return hashlib.sha256(b"".join(files)).hexdigest()[:16]
