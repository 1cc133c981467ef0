"""`calco check`: what would spoil the training on a set of images, and what the set is like."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from calco.checking.config import CheckConfig
from calco.checking.finding import SEVERITIES, Finding
from calco.checking.findings import Inspection, find
from calco.checking.lesson_findings import sampled_pairs
from calco.checking.likeness import find_alike
from calco.checking.mending import command, drop_rows, enough_left, group_rows, place_of, table_in_force, write_table
from calco.checking.survey import Facts, survey
from calco.console import Table, bar, cell
from calco.data.config import BoxAugmentConfig, SourceConfig, SplitConfig
from calco.data.mask_encoding import EncodingError
from calco.data.recipes import AUTOMATIC, RecipeConfig, resolve
from calco.data.resolving import settled
from calco.data.source import Item, Source
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.errors import CalcoError
from calco.files import write_json
from calco.locks import locked_file
from calco.outputs import Outputs, writing_folder

FORMAT = 1
MOST_TOLD = 8
"""Images with odd boxes of which the terminal tells all words."""
MOST_NAMED = 2000
"""Letters that the cases of one finding take at the terminal, about."""


@dataclass(frozen=True)
class CheckReport:
    """What the check found.

    Attributes:
        config: What it was told.
        source: The set.
        facts: Of each entry, in the order of the source.
        split: Key => "train", "val" or "test", as training would part them, or "gap".
        findings: What must be mended first.
        written: The tables that were written, by what they mend: "groups", "drop".
        page: The HTML page.
    """

    config: CheckConfig
    source: Source
    facts: Sequence[Facts]
    split: dict[str, str]
    findings: Sequence[Finding]
    written: dict[str, Path]
    page: Path

    @property
    def open(self) -> list[Finding]:
        """What must be mended and is not mended by what was written."""
        return [f for f in self.findings if f.severity == "must" and f.mend not in self.written]

    @property
    def ok(self) -> bool:
        """Whether nothing (more) must be mended."""
        return not self.open

    @property
    def commands(self) -> dict[str, str]:
        """What mends what is open: "groups" or "drop" => the command."""
        mends = dict.fromkeys(finding.mend for finding in self.open if finding.mend)
        return {mend: command(self.config, mend) for mend in mends if mend != "drop" or self.can_drop}

    @property
    def can_drop(self) -> bool:
        """Whether something to train on is left without the entries that would be left out."""
        return enough_left(self.source, self.findings)

    def verdict(self) -> str:
        """One or two sentences."""
        count = f"{len(self.facts):,} {'entry' if len(self.facts) == 1 else 'entries'}"
        if self.open:
            left = ""
            if not self.can_drop:
                left = f" Without these entries too few are left to train on ({self._left()}): correct them."
            return f"Of {count}, something must be mended before training: {_listed(self.open)}.{left}"
        should = [finding for finding in self.findings if finding.severity == "should"]
        if should:
            return f"{count} can be trained on; something should be looked at: {_listed(should)}."
        return f"{count} can be trained on; nothing was found that would spoil it."

    def _left(self) -> str:
        dropped = drop_rows(self.findings).keys()
        return f"{sum(item.key not in dropped for item in self.source.items):,} of {len(self.source.items):,}"

    def to_json(self) -> dict[str, Any]:
        """Everything that was found, as plain data."""
        return {
            "format": FORMAT,
            "images": self.source.root,
            "source": self.source.kind,
            "ok": self.ok,
            "entries": len(self.facts),
            "splits": {name: sum(s == name for s in self.split.values()) for name in ("train", "val", "test")},
            "written": {mend: str(path) for mend, path in self.written.items()},
            "findings": [
                {
                    "kind": f.kind,
                    "severity": f.severity,
                    "title": f.title,
                    "command": self.commands.get(f.mend),
                    "cases": [{"keys": list(case.keys), "words": case.words} for case in f.cases],
                }
                for f in self.findings
            ],
        }


def _listed(findings: Sequence[Finding]) -> str:
    return "; ".join(finding.title[0].lower() + finding.title[1:] for finding in findings)


def check(config: CheckConfig) -> CheckReport:
    """Looks at every image of a set and writes check.html and check.json into `config.out`.

    Args:
        config: Which images, how they are parted, where the page goes, which tables are written.

    Returns:
        What was found; `ok` tells whether something must be mended.

    Raises:
        CalcoError: When there are no images, or the page or a table cannot be written.
    """
    if not config.images:
        raise CalcoError("no images were named; give a folder or openmoji: calco check IMAGES")
    places = {
        mend: place_of(given, config.images, mend)
        for mend, given in (("groups", config.write_groups), ("drop", config.write_drop))
        if given
    }
    config = replace(config, source=_with_tables(config.source, places))
    with ExitStack() as held:
        outputs = held.enter_context(writing_folder(config.out, "calco check"))
        outputs.check(outputs.folder / name for name in ("check.html", "check.json"))
        for mend, path in places.items():
            held.enter_context(locked_file(path, "calco check"))
            if path.is_file() and path != table_in_force(config, mend):  # rows of that one stay in the table
                Outputs(path.parent, "calco check").check([path])
        return _checked(config, places, outputs.folder)


def _checked(config: CheckConfig, places: Mapping[str, Path], folder: Path) -> CheckReport:
    """What `check` does while it holds what it writes."""
    from calco.checking.page import write_check_page

    source = open_source(config.images, config.source)
    if config.augment != BoxAugmentConfig() and source.kind != "annotations":
        raise CalcoError(f"--augment plays with images with boxes, and this is a source of {source.kind}; leave it out")
    source, recipe, problem = _settled(config.recipe, source)
    with bar("looking at images", len(source.items)) as advance:
        facts = survey(source, config.jobs or os.cpu_count() or 1, advance)
    split = splits_of(source.items, config.split)
    alike = find_alike(source, facts)
    findings = find(
        Inspection(
            source=source,
            facts=facts,
            alike=alike,
            split=split,
            recipe=recipe,
            mask_problem=problem,
            pairs=[] if problem else sampled_pairs(source, recipe),
        )
    )
    written = {}
    for mend, path in places.items():
        if mend == "drop" and not enough_left(source, findings):
            continue
        rows = group_rows(source, findings) if mend == "groups" else drop_rows(findings)
        write_table(path, mend, rows, table_in_force(config, mend))
        written[mend] = path
    report = CheckReport(config, source, facts, split, findings, written, folder / "check.html")
    write_json(folder / "check.json", report.to_json())
    write_check_page(report)
    return report


def _with_tables(source: SourceConfig, places: Mapping[str, Path]) -> SourceConfig:
    """What was mended before stays mended: tables that are to be written anew are read first."""
    found = {mend: str(path) for mend, path in places.items() if path.is_file()}
    return replace(source, groups=source.groups or found.get("groups"), drop=source.drop or found.get("drop"))


def _settled(config: RecipeConfig, source: Source) -> tuple[Source, RecipeConfig, str]:
    """The source and the recipe as training would take them, and why its masks are not understood, if they are not.

    The recipe is "auto" where the source leaves it open.
    """
    if config.recipe == "auto" and source.recipe is None and source.kind not in AUTOMATIC:
        return source, config, ""
    try:
        return *settled(source, config), ""
    except EncodingError as error:
        return source, resolve(config, source.kind, source.recipe, source.classes), str(error)


def splits_of(items: Sequence[Item], config: SplitConfig) -> dict[str, str]:
    """Key => split, as training parts them; all of a set that is too small for it are "train", frames between "gap".

    A copy that training leaves out, since its equal is declared otherwise, has the split that it is declared.
    """
    try:
        parts = split_items(items, config)
    except CalcoError:
        return {item.key: item.split or "train" for item in items}
    parted = {item.key: name for name, part in parts.items() for item in part}
    return {item.key: parted.get(item.key, item.split or "gap") for item in items}


def findings_table(report: CheckReport) -> Table:
    """The findings as a table for the terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    for title, ratio in (("", None), ("what was found", 2), ("where", 3)):
        table.add_column(title, ratio=ratio, overflow="fold")  # a file that must be corrected has its whole name
    colours = dict(zip(SEVERITIES, ("red", "yellow", "dim"), strict=True))
    for finding in report.findings:
        mended = finding.severity == "must" and finding not in report.open
        word, colour = ("mended", "green") if mended else (finding.severity, colours[finding.severity])
        table.add_row(cell(word, style=colour), finding.title, cell(*_where(finding)))
    return table


def _where(finding: Finding) -> list[str]:
    """The cases by name, as many as there is room for; of a single one, and of some with odd boxes, its words too.

    What is not used is named by its reason.
    """
    if len(finding.cases) == 1 or (finding.kind.startswith("boxes") and len(finding.cases) <= MOST_TOLD):
        # A box is corrected in its file and line, which the words name.
        return [": ".join(filter(None, ("\u00a0=\u00a0".join(case.keys), case.words))) for case in finding.cases]
    names: dict[str, list[str]] = {}
    length = 0
    for number, case in enumerate(finding.cases, 1):
        name = "\u00a0=\u00a0".join(case.keys[:6]) + ("\u00a0=\u00a0…" if len(case.keys) > 6 else "")
        words = case.words if finding.kind == "left-out" else ""
        length += len(name) + (0 if words in names else len(words))
        names.setdefault(words, []).append(name)
        if length > MOST_NAMED and number < len(finding.cases):
            names[words].append(f"and {len(finding.cases) - number:,} more in check.json")
            break
    return [", ".join(each) + (f": {words}" if words else "") for words, each in names.items()]
