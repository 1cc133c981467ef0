"""What came of a list, in words and in a table."""

import re
from collections.abc import Iterable

from calco.collecting.collect import PHOTOGRAPHS, REPORT, Collection
from calco.console import Table


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
    """How many images and boxes were left out, by reason, each with an example."""
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
