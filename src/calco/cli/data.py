"""`calco collect`, `calco prepare`, `calco check` and `calco recipes`: from a list of addresses to pairs."""

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import calco
from calco.cli.parsing import parse, with_value
from calco.console import Table, bars, cell, say, show, warn

if TYPE_CHECKING:
    from calco.checking.result import CheckReport, Finding


def collect(args: list[str]) -> None:
    config = parse(calco.CollectConfig, args, "collect")
    from calco.collecting.collect import PHOTOGRAPHS, REPORT

    with bars() as progress:
        done = calco.collect(config, progress=progress)
    for what, left_out in (("images", done.left_out), ("boxes", done.boxes_left_out)):
        if left_out:
            show(left_out_table(left_out, what))
    for remark in done.remarks[:5]:
        warn(remark)
    text = f"{len(done.photographs)} of {done.listed} images are there"
    text += f", {done.fetched} of them fetched now" if done.fetched else ""
    if done.crops:
        text += f"; {len(done.crops)} crops in {len(set(done.crops.values()))} groups are in {done.out}"
        hidden = done.out / PHOTOGRAPHS
        text += f", the photographs in {hidden}" if hidden.is_dir() else ""
    show(f"{text}; {done.out / REPORT} lists remarks and everything that was left out")


def prepare(args: list[str]) -> None:
    config = parse(calco.PrepareConfig, args, "prepare")
    done = calco.prepare(config)
    table = Table("split", right=("pairs", "parts", "MB"), box=None, header_style="bold")
    for split, count in done.manifest.counts.items():
        parts = [part for part in done.manifest.parts if part.split == split]
        table.add_row(split, str(count), str(len(parts)), f"{sum(part.bytes for part in parts) / 1e6:.1f}")
    show(table)
    if done.manifest.left_out:
        show(left_out_table(done.manifest.left_out))
    show(f"digest {done.manifest.digest}")
    say(f"{done.folder} is ready" + (f"; {done.kept} pairs were there from before" if done.kept else ""))


def left_out_table(left_out: Mapping[str, str], what: str = "images") -> Table:
    """Return a table of the reasons, the number of images that each has cost, and some of these."""
    alike: dict[str, dict[str, str]] = {}  # reasons that differ in numbers and addresses are one
    for name, reason in left_out.items():
        # The same for all images that it holds for: without the image's own name or path.
        last = re.escape(name.rpartition("/")[2])
        general = re.sub(rf"\S*{last}\.\w+|^{re.escape(name)}\b", "...", reason) if last else reason
        alike.setdefault(re.sub(r"\d+|\(http[^)]*\)", "...", general), {})[name] = general
    table = Table("left out, because", right=(what,), box=None, header_style="bold")
    table.add_column("such as")
    for key, reasons in sorted(alike.items(), key=lambda entry: -len(entry[1])):
        reason = key if len(set(reasons.values())) > 1 else next(iter(reasons.values()))
        table.add_row(reason, str(len(reasons)), ", ".join([*reasons][:3]) + (", ..." if len(reasons) > 3 else ""))
    return table


def check(args: list[str]) -> None:
    from calco.checking import BESIDE

    words = with_value(args, "--write-groups", BESIDE)
    words = [f"--write-drop{word[6:]}" if word.partition("=")[0] == "--drop" else word for word in words]
    words = with_value(words, "--write-drop", BESIDE)
    epilogue = (
        "--write-groups [FILE.csv]: write groups such that no duplicates lie on both sides of the split; without a "
        "file, beside the images. --drop [FILE.csv]: write the images to leave out in the same way; training leaves "
        "out what the file names. Exits with status 1 if there are findings to fix."
    )
    config = parse(calco.CheckConfig, words, "check", epilogue)
    report = calco.check(config)
    say(report.source.summary())
    if report.findings:
        show(_findings_table(report))
    show(report.verdict())
    for path in report.written.values():
        say(f"{path} is written")
    for command in report.commands.values():
        show(f"fix it with: {command}")
    say(f"the page is {report.page}")
    if not report.ok:
        sys.exit(1)


_MOST_REMARKS: Final = 8  # images with odd boxes whose remarks are printed in full
_MOST_LETTERS: Final = 2000  # letters of the cases of one finding, about


def _findings_table(report: "CheckReport") -> Table:
    """Return a table of the findings."""
    from calco.checking.result import SEVERITIES

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    for title, ratio in (("", None), ("what was found", 2), ("where", 3)):
        table.add_column(title, ratio=ratio, overflow="fold")  # a file that must be corrected has its whole name
    colours = dict(zip(SEVERITIES, ("red", "yellow", "dim"), strict=True))
    for finding in report.findings:
        fixed = finding.severity == "must" and finding not in report.open
        word, colour = ("fixed", "green") if fixed else (finding.severity, colours[finding.severity])
        table.add_row(cell(word, style=colour), finding.title, cell(*_where(finding)))
    return table


def _where(finding: "Finding") -> list[str]:
    """Return the cases by name, as many as there is room for; a single one, and odd boxes, with their remarks.

    Files that are not used are grouped by their reason.
    """
    if len(finding.cases) == 1 or (finding.kind.startswith("boxes") and len(finding.cases) <= _MOST_REMARKS):
        # A box is corrected in its file and line, which the words name.
        return [": ".join(filter(None, ("\u00a0=\u00a0".join(case.keys), case.words))) for case in finding.cases]
    names: dict[str, list[str]] = {}
    length = 0
    for number, case in enumerate(finding.cases, 1):
        name = "\u00a0=\u00a0".join(case.keys[:6]) + ("\u00a0=\u00a0…" if len(case.keys) > 6 else "")
        words = case.words if finding.kind == "left-out" else ""
        length += len(name) + (0 if words in names else len(words))
        names.setdefault(words, []).append(name)
        if length > _MOST_LETTERS and number < len(finding.cases):
            names[words].append(f"and {len(finding.cases) - number:,} more in check.json")
            break
    return [", ".join(each) + (f": {words}" if words else "") for words, each in names.items()]


def recipes(args: list[str]) -> None:
    config = parse(calco.RecipesConfig, args, "recipes")
    for sheet in calco.recipes(config):
        say(str(sheet))
