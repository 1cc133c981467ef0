"""Findings of a check, the report of all of them, and the tables and commands that fix them."""

import csv
import io
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from calco.checking import BESIDE, CheckConfig
from calco.checking.duplicates import clusters
from calco.checking.survey import Facts
from calco.data.config import SourceConfig
from calco.data.curation import DROPPED, GROUPS, read_table, table_of
from calco.data.recipe_config import RecipeConfig
from calco.data.source import Source
from calco.errors import CalcoError
from calco.files import atomic_write

FORMAT: Final = 2
Severity = Literal["must", "should", "note"]
Fix = Literal["", "groups", "drop", "palette"]
SEVERITIES: Final[tuple[Severity, ...]] = ("must", "should", "note")
SHOWN: Final = 3  # cases that one line names
NAMES: Final = {"groups": GROUPS, "drop": DROPPED}
COLUMNS: Final = {"groups": "group", "drop": "reason"}
OPTIONS: Final = {"groups": "--write-groups", "drop": "--drop"}
SMALL: Final = 64  # pixels of the shorter side below which an image is small

# Severity, title, why it matters and the remedy, and the table that fixes it. The first word of a title takes the
# number of cases; one that begins with a capital stands as it is.
KINDS: Final[dict[str, tuple[Severity, str, str, Fix]]] = {
    "unreadable": ("must", "image cannot be read",
        "Training passes over them; repair or replace them, or leave them out.", "drop"),
    "unreadable-annotations": ("must", "annotation cannot be read",
        "Its content is lost, and its image is not used. Fix it or export it again, or remove it.", ""),
    "sizes-differ": ("must", "pair whose sides differ in size",
        "Such a pair cannot be used: crop or resize one of its sides, or leave it out.", "drop"),
    "constant": ("must", "entry with nothing to see",
        "An image of one colour teaches the network nothing but to guess.", "drop"),
    "left-out": ("should", "file found but not used",
        "A name that stands on one side only is left out; correct the name, or bring its partner.", ""),
    "dropped": ("note", "entry left out by a table", "Take its line out of the table to use an entry again.", ""),
    "declared-across": ("must", "image in two of the declared splits",
        "A model would be scored on what it has learned. Training leaves out exact copies by itself; leave out these "
        "all.", "drop"),
    "duplicates-across": ("must", "image on more than one side of the split",
        "The model would be scored on images that it has seen. Put each image and its duplicates in one group, which "
        "stays on one side.", "groups"),
    "variants-across": ("must", "photo whose variants the split parts",
        "Another cut or other colours of a training image are no test. Put them in one group.", "groups"),
    "duplicates-within": ("note", "image more than once on one side of the split",
        "They count more than the others, and may be parted when the set grows: groups hold them together.", "groups"),
    "copies": ("note", "image more than once, held together already",
        "Copies of one group stay on one side of the split; each counts.", "groups"),
    "swapped": ("must", "pair whose sides are exchanged",
        "Exchange the two files (or halves), or leave the pair out.", "drop"),
    "mirrored": ("must", "pair with one side mirrored or turned",
        "Mirror one side back, or leave the pair out.", "drop"),
    "shifted": ("should", "pair shifted against each other",
        "The network learns from pixels that lie on each other, and a shift teaches it to blur: move one side, or "
        "leave the pair out by hand, with a line in dropped.csv.", ""),
    "all-shifted": ("should", "The targets of the whole set are shifted",
        "Crop both sides so that they lie on each other.", ""),
    "masks-unknown": ("must", "The masks are not understood",
        "Nothing can be learned from masks whose values are not understood.", ""),
    "masks-empty": ("must", "Every pixel of every mask is {}: no mask marks an object",
        "There is nothing to learn, and a model that finds nothing has a perfect score. Export the masks again, or "
        "name what their values mean with --palette or --mask-encoding.", ""),
    "classes-absent": ("should", "class in no mask",
        "A model cannot learn a class that it never sees: take it out of the palette, or correct the masks.", ""),
    "classes-rare": ("should", "class in one mask alone",
        "If it is a stray colour, repaint it; else one image is little to learn from.", ""),
    "mask-colours": ("must", "mask with values that stand for no class",
        "The classes are {}. Training passes over these masks: correct them, add the values to the --palette, or "
        "leave them out.", "drop"),
    "masks-even": ("note", "mask of one value alone",
        "An image without any object is fine, a mask that was not exported is not.", ""),
    "masks-void": ("note", "Masks with void pixels, which belong to no class",
        "Nothing is learned from these pixels, and they do not count in scores.", ""),
    "mask-proportions": ("should", "mask of other proportions than the image",
        "A mask is stretched over its image; make sure that it is not cut.", ""),
    "masks-shifted": ("should", "The masks are shifted against their images by about {}, in {} compared pairs",
        "A network learns displaced outlines, and scores suffer. Move the masks by ({2}, {3}) px (x to the right, y "
        "downwards), or export them again.", ""),
    "mask-shifted": ("should", "mask shifted against its image",
        "Its boundaries fit the edges of the image clearly better elsewhere, unlike the other masks: move it back, or "
        "leave the pair out by hand, with a line in dropped.csv.", ""),
    "mask-turned": ("note", "mask turned as the EXIF of the image says",
        "They were drawn on the stored pixels, which EXIF turns.", ""),
    "boxes-order": ("must", "The boxes are in another order or unit than their format's",
        "A detector would learn from places where nothing is. Export the annotations again.", ""),
    "boxes-outside": ("must", "image with boxes that cannot be used",
        "They lie outside it, enclose nothing, or are of no known class: what they mark is lost. Correct the "
        "annotations, or leave the images out.", "drop"),
    "boxes-lost": ("must", "image without any box that can be used",
        "It is not known whether anything is in them, so they are not trained on. Correct the annotations.", ""),
    "boxes-beyond": ("should", "image with boxes that had to be corrected",
        "They are cut off at the image's edge, or their corners are put in order.", ""),
    "unchanged": ("must", "pair whose target is its input",
        "They teach the model to change nothing. Correct the target, or leave the pair out.", "drop"),
    "one-image": ("must", "All {} entries have the same {}", "There is nothing to tell apart. Correct the files.", ""),
    "recipe-unchanged": ("must", "{} have an input that equals the target",
        "Such a pair teaches the model to change nothing: give the recipe something to change.", ""),
    "erases-nothing": ("should", "{} have nothing erased",
        "Nothing is learned from an image without holes: correct the masks.", ""),
    "erases-everything": ("should", "{} have everything erased",
        "A network can only guess there: correct the masks (white erases, or black with --mask-erases black).", ""),
    "small": ("note", f"image of less than {SMALL} pixels", "They are enlarged for training, and blurred by it.", ""),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One instance of a finding: the entries that it concerns, and a remark on them."""

    keys: tuple[str, ...]
    words: str = ""

    def __str__(self) -> str:
        """Return the entries and the remark, such as "a = b: turned by 90 degrees"."""
        return ": ".join(filter(None, (" = ".join(self.keys), self.words)))


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of fault, with every place where it was found."""

    kind: str  # a short name, such as "duplicates-across"
    severity: Severity  # "must" be fixed before training, "should" be looked at, or a "note"
    title: str  # the fault, with the number of its cases
    text: str  # why it matters, and the remedy
    cases: tuple[Case, ...] = field(repr=False)  # where it was found
    fix: Fix = ""  # which option of the check fixes it, or ""

    def line(self) -> str:
        """Return title, some of the cases and the remedy in one line."""
        named = [str(case) for case in self.cases if case.keys or case.words]
        more = f"; and {len(named) - SHOWN:,} more" if len(named) > SHOWN else ""
        where = f" ({'; '.join(named[:SHOWN])}{more})" if named else ""
        return f"{self.title}{where}. {self.text}"


def finding_of(kind: str, cases: Iterable[Case], *words: object, severity: Severity | None = None) -> Finding:
    """Return a finding of one of `KINDS`, whose title or text may take some words."""
    usual, title, text, fix = KINDS[kind]
    cases = tuple(cases)
    noun, _, rest = title.partition(" ")
    if "{}" in title:
        title = title.format(*words)
    elif noun.islower():
        title = f"{counted(cases, noun)} {rest}"
    return Finding(kind, severity or usual, title, text.format(*words), cases, fix)


def counted(cases: Sequence[object], noun: str) -> str:
    """Return the number of cases with its noun.

    >>> counted((), "image")
    '0 images'
    """
    many = {"entry": "entries", "class": "classes"}.get(noun, f"{noun}s")
    return f"{len(cases):,} {noun if len(cases) == 1 else many}"


@dataclass(frozen=True)
class CheckReport:
    """Report of a check."""

    config: CheckConfig  # as given
    source: Source  # the data set
    facts: Sequence[Facts]  # of each entry, in the order of the source
    split: dict[str, str]  # key => "train", "val" or "test", as training would split them, or "gap"
    findings: Sequence[Finding]  # what must be fixed first
    written: dict[str, Path]  # tables that were written, by what they fix: "groups", "drop"
    page: Path  # the HTML page

    @property
    def open(self) -> list[Finding]:
        """Findings that must be fixed and that no written table fixes."""
        return [f for f in self.findings if f.severity == "must" and f.fix not in self.written]

    @property
    def ok(self) -> bool:
        """True if nothing (more) must be fixed."""
        return not self.open

    @property
    def commands(self) -> dict[str, str]:
        """Commands that fix what is open, by "groups" or "drop"; with a file if none can lie beside the images."""
        found: dict[str, str] = {}
        for fix in dict.fromkeys(finding.fix for finding in self.open if finding.fix):
            if fix != "drop" or enough_left(self.source, self.findings):
                source = replace(self.config.source, drop=None) if fix == "drop" else self.config.source
                options = [OPTIONS[fix], *([] if _writable(self.config.images) else [NAMES[fix]])]
                found[fix] = check_command(self.config.images, source, *options, recipe=self.config.recipe)
        return found

    def verdict(self) -> str:
        """Return the result in one or two sentences."""

        def listed(findings: Sequence[Finding]) -> str:
            return "; ".join(finding.title[0].lower() + finding.title[1:] for finding in findings)

        count = counted(self.facts, "entry")
        if self.open:
            left = ""
            if not enough_left(self.source, self.findings):
                dropped = drop_rows(self.findings).keys()
                num_left = sum(item.key not in dropped for item in self.source.items)
                rest = f"{num_left:,} of {len(self.source.items):,}"
                left = f" Without these entries too few are left to train on ({rest}): correct them."
            return f"Of {count}, something must be fixed before training: {listed(self.open)}.{left}"
        should = [finding for finding in self.findings if finding.severity == "should"]
        if should:
            return f"{count} can be trained on; something should be looked at: {listed(should)}."
        return f"{count} can be trained on; nothing was found that would spoil it."

    def to_json(self) -> dict[str, Any]:
        """Return everything that was found as plain data."""
        parts = Counter(self.split.values())
        return {
            "format": FORMAT, "images": self.source.root, "source": self.source.kind, "ok": self.ok,
            "entries": len(self.facts),
            "splits": {name: parts[name] for name in ("train", "val", "test")},
            "written": {fix: str(path) for fix, path in self.written.items()},
            "findings": [
                {
                    "kind": f.kind, "severity": f.severity, "title": f.title, "command": self.commands.get(f.fix),
                    "cases": [{"keys": list(case.keys), "remark": case.words} for case in f.cases],
                }
                for f in self.findings
            ],
        }  # fmt: skip


def group_rows(source: Source, findings: Sequence[Finding]) -> dict[str, str]:
    """Return key => group for every entry that a finding wants in one group with others."""
    group = {item.key: item.group for item in source.items}
    piles = [case.keys for finding in findings if finding.fix == "groups" for case in finding.cases]
    links = [(group[pile[0]], group[key]) for pile in piles for key in pile[1:]]
    joined = {name: cluster[0] for cluster in clusters(links) for name in cluster}
    return {key: joined[name] for key, name in group.items() if name in joined}


def drop_rows(findings: Sequence[Finding]) -> dict[str, str]:
    """Return key => reason for every entry that a finding wants left out."""
    rows: dict[str, str] = {}
    for finding in findings:
        if finding.fix == "drop":
            rows |= {key: rows.get(key, finding.kind) for case in finding.cases for key in case.keys}
    return rows


def enough_left(source: Source, findings: Sequence[Finding]) -> bool:
    """Return whether two groups are left to train and to validate on without the entries to leave out."""
    dropped = drop_rows(findings).keys()
    return not dropped or len({item.group for item in source.items if item.key not in dropped}) >= 2


def place_of(given: str, images: str, fix: str) -> Path:
    """Return the file that a table is written to."""
    if given != BESIDE:
        return Path(given)
    if not _writable(images):
        raise CalcoError(
            f"{NAMES[fix]} cannot be written beside {images}; name a file: {OPTIONS[fix]} {NAMES[fix]}, and "
            f"give it to the training: --{fix} {NAMES[fix]}"
        )
    return Path(images) / NAMES[fix]


def _writable(folder: str) -> bool:
    return os.path.isdir(folder) and os.access(folder, os.W_OK)


def table_in_force(config: CheckConfig, fix: str) -> Path | None:
    """Return the table that the data set was opened with."""
    return table_of(config.images, getattr(config.source, fix), NAMES[fix])


def write_table(path: Path, fix: str, rows: Mapping[str, str], before: Path | None) -> None:
    """Write a table of two columns; other rows of the table that was in force before stay."""
    if path.is_file():
        first = path.read_text(encoding="utf-8-sig", errors="replace").partition("\n")[0]
        if more := {name.strip() for name in re.split("[;,]", first)} - {"key", COLUMNS[fix]}:
            raise CalcoError(
                f"{path} has the column {min(more)} too, which would be lost; name another file with {OPTIONS[fix]}"
            )
    kept = {} if before is None else {row[0]: row[1] for row in read_table(before, "key", COLUMNS[fix])}
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("key", COLUMNS[fix]))
    table.writerows(sorted({**kept, **rows}.items()))
    atomic_write(path, text.getvalue())


def check_command(images: str, source: SourceConfig, *options: str, recipe: RecipeConfig | None = None) -> str:
    """Return the command that checks a data set, quoted for a shell."""
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
