"""What mends a set: tables of groups and of images to leave out, and the commands that write them."""

import csv
import io
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

from calco.checking.config import BESIDE, CheckConfig
from calco.checking.finding import Finding
from calco.checking.twins import clusters
from calco.data.config import SourceConfig
from calco.data.curation import DROPPED, GROUPS, read_table
from calco.data.recipe_config import RecipeConfig
from calco.data.source import Source
from calco.errors import CalcoError
from calco.files import atomic_write

NAMES = {"groups": GROUPS, "drop": DROPPED}
COLUMNS = {"groups": "group", "drop": "reason"}
OPTIONS = {"groups": "--write-groups", "drop": "--drop"}


def place_of(given: str, images: str, mend: str) -> Path:
    """The file that a table is written to.

    Raises:
        CalcoError: When it shall lie beside the images, and they have no folder that can be written to.
    """
    if given != BESIDE:
        return Path(given)
    folder = Path(images)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise CalcoError(
            f"{NAMES[mend]} cannot be written beside {images}; name a file: {OPTIONS[mend]} {NAMES[mend]}, and "
            f"give it to the training: --{mend} {NAMES[mend]}"
        )
    return folder / NAMES[mend]


def group_rows(source: Source, findings: Sequence[Finding]) -> dict[str, str]:
    """Key => group for every entry of every pile that one of the findings wants held together."""
    group = {item.key: item.group for item in source.items}
    piles = [case.keys for finding in findings if finding.mend == "groups" for case in finding.cases]
    links = [(group[pile[0]], group[key]) for pile in piles for key in pile[1:]]
    joined = {name: cluster[0] for cluster in clusters(links) for name in cluster}
    return {key: joined[name] for key, name in group.items() if name in joined}


def drop_rows(findings: Sequence[Finding]) -> dict[str, str]:
    """Key => reason for every entry that one of the findings wants left out."""
    rows: dict[str, str] = {}
    for finding in findings:
        if finding.mend == "drop":
            rows |= {key: rows.get(key, finding.kind) for case in finding.cases for key in case.keys}
    return rows


def enough_left(source: Source, findings: Sequence[Finding]) -> bool:
    """Whether training has something to learn from and to be checked on without the entries to leave out."""
    dropped = drop_rows(findings).keys()
    if not dropped:
        return True
    left = [item for item in source.items if item.key not in dropped]
    return len({item.group for item in left}) >= 2


def table_in_force(config: CheckConfig, mend: str) -> Path | None:
    """The table that the set was opened with: the one that was named, or the one that lies beside the images."""
    named = getattr(config.source, mend)
    beside = Path(config.images) / NAMES[mend]
    return Path(named) if named is not None else beside if beside.is_file() else None


def write_table(path: Path, mend: str, rows: Mapping[str, str], before: Path | None) -> None:
    """Writes a table of two columns; rows of the table that was in force before stay, where they do not differ.

    Raises:
        CalcoError: When the older table cannot be read, or this one not be written.
    """
    if path.is_file() and (more := set(_header(path)) - {"key", COLUMNS[mend]}):
        raise CalcoError(
            f"{path} has the column {min(more)} too, which would be lost; name another file with {OPTIONS[mend]}"
        )
    kept = {} if before is None else {row[0]: row[1] for row in read_table(before, "key", COLUMNS[mend])}
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("key", COLUMNS[mend]))
    table.writerows(sorted({**kept, **rows}.items()))
    atomic_write(path, text.getvalue())


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        first = file.readline()
        return next(csv.reader([first], delimiter=";" if ";" in first else ","), [])


def command(config: CheckConfig, mend: str) -> str:
    """The command that writes a table; where nothing can be written beside the images, it names a file."""
    folder = Path(config.images)
    beside = folder.is_dir() and os.access(folder, os.W_OK)
    source = replace(config.source, drop=None) if mend == "drop" else config.source
    options = [OPTIONS[mend], *([] if beside else [NAMES[mend]])]
    return check_command(config.images, source, *options, recipe=config.recipe)


def check_command(images: str, source: SourceConfig, *options: str, recipe: RecipeConfig | None = None) -> str:
    """The command that checks a set, for a shell."""
    usual, words = SourceConfig(), ["calco", "check", images]
    for each in fields(SourceConfig):
        value = getattr(source, each.name)
        if value != getattr(usual, each.name):
            several = value if isinstance(value, tuple) else (value,)
            words += [f"--{each.name.replace('_', '-')}", *map(str, several)]
    recipe = recipe or RecipeConfig()
    words += ["--recipe", recipe.recipe] if recipe.recipe != "auto" else []
    words += ["--palette", recipe.segment.palette] if recipe.segment.palette != "auto" else []
    return shlex.join([*words, *options])
