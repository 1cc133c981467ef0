"""The page of the check: what must be mended, with images and commands; then what the set is like."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from calco.checking.character import character
from calco.checking.image_statistics import entry_images, grey_of, reduced
from calco.checking.play import play_section
from calco.checking.result import Case, CheckReport, Finding
from calco.data.palettes import paint, palette_for
from calco.data.sample import generator
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.imaging import Image, as_channels, as_dtype, visible
from calco.report.html import asset, img_tag, write_page

SHOWN = {"must": 18, "should": 12, "note": 6}
"""Cases of a finding that are shown with images."""
LISTED = 60
"""Further cases that are listed in words; check.json has all."""
MEMBERS = 6
"""Images of one case."""
SAMPLES = 30
SIDE = 240
"""Pixels of the longer side of an image on the page."""
_WITHOUT_IMAGES = ("unreadable", "sizes-differ", "left-out", "dropped", "boxes-order")
_BOX_COLOUR = (255, 80, 40)


def write_check_page(report: CheckReport) -> Path:
    """Writes the page of a check to `report.page`; it needs no other file."""
    sections = [
        _findings(report),
        character(report.source, report.facts, report.split),
        _samples(report),
        _play(report),
    ]
    name = Path(report.config.images).resolve().name or report.config.images
    return write_page(
        report.page, f"{name} · Calco check", _header(report, name), "\n".join(filter(None, sections)),
        name="check.html", css=asset("calco.checking", "check.css"), js=asset("calco.checking", "check.js"),
    )  # fmt: skip


def _header(report: CheckReport, name: str) -> str:
    parts = Counter(report.split.values())
    groups = len({item.group for item in report.source.items})
    facts = [
        report.source.story or report.source.kind,
        f"{len(report.facts):,} entries" + (f" in {groups:,} groups" if groups < len(report.facts) else ""),
        ", ".join(f"{parts[split]:,} {words}" for split, words in _SPLITS.items() if parts[split]),
    ]
    listed = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    verdict = f'<div class="verdict {"fine" if report.ok else "must"}"><p>{escape(report.verdict())}</p></div>'
    written = "".join(
        f"<p>Written: <b>{escape(str(path))}</b>. Training finds it beside the images, or takes it by "
        f"<code>--{mend} {escape(str(path))}</code>.</p>"
        for mend, path in report.written.items()
    )
    return f'<h1>{escape(name)}</h1><ul class="facts">{listed}</ul>{verdict}{_commands(report)}{written}'


_SPLITS = {"train": "to train", "val": "to validate", "test": "to test", "gap": "left out between them"}


def _commands(report: CheckReport) -> str:
    return "".join(
        f'<div class="command"><code>{escape(words)}</code><button type="button">Copy</button></div>'
        for words in report.commands.values()
    )


def _findings(report: CheckReport) -> str:
    if not report.findings:
        return ""
    items = {item.key: item for item in report.source.items}
    cards = "".join(_finding(report, items, finding) for finding in report.findings)
    return f"<section><h2>What was found</h2>{cards}</section>"


def _finding(report: CheckReport, items: dict[str, Item], finding: Finding) -> str:
    mended = finding.severity == "must" and finding not in report.open
    badge = "mended" if mended else finding.severity
    number = 0 if finding.kind in _WITHOUT_IMAGES else SHOWN[finding.severity]
    shown = "".join(_case(report, items, finding.kind, case) for case in finding.cases[:number])
    rest = finding.cases[number : number + LISTED]
    listed = "".join(f"<li><b>{escape(' = '.join(case.keys))}</b> {escape(case.words)}</li>" for case in rest)
    further = len(finding.cases) - number - len(rest)
    more = f"<li>and {further:,} more, all of them in check.json</li>" if further > 0 else ""
    words = f'<ul class="list">{listed}{more}</ul>' if listed else ""
    if shown and words:
        words = f"<details><summary>{len(finding.cases) - number:,} more</summary>{words}</details>"
    return (
        f'<div class="finding"><h3><span class="badge {badge}">{badge}</span>{escape(finding.title)}</h3>'
        f"<p>{escape(finding.text)}</p>"
        f"{f'<ul class=shown>{shown}</ul>' if shown else ''}{words}</div>"
    )


def _case(report: CheckReport, items: dict[str, Item], kind: str, case: Case) -> str:
    """The images of one case side by side, and its words."""
    paired = kind in ("shifted", "mirrored", "swapped", "all-shifted")
    keys = case.keys[:MEMBERS] or tuple(list(items)[:1])
    figures = "".join(_figures(report, items[key], paired, many=len(case.keys) > 1) for key in keys if key in items)
    left = len(case.keys) - MEMBERS
    more = f" and {left} more like these" if left > 0 else ""
    return f'<li><div class="row">{figures}</div><div class="words">{escape(case.words + more)}</div></li>'


def _figures(report: CheckReport, item: Item, paired: bool, *, many: bool) -> str:
    try:
        shown = shown_sides(report, item)
    except CalcoError as error:
        return f"<figure><figcaption>{escape(item.key)}: {escape(str(error))}</figcaption></figure>"
    if paired and len(shown) == 2:
        shown["one over the other"] = _overlay(*shown.values())
    where = f" · {_SPLITS[report.split[item.key]]}" if many else ""
    figures = []
    for n, (name, image) in enumerate(shown.items()):
        caption = f"{item.key}{where}" if n == 0 else name
        figures.append(
            f"<figure>{img_tag(image, f'{name} of {item.key}')}<figcaption>{escape(caption)}</figcaption></figure>"
        )
    return "".join(figures)


def shown_sides(report: CheckReport, item: Item) -> dict[str, Image]:
    """What is shown of an entry: its sides, its mask, its boxes drawn in.

    Raises:
        CalcoError: When it cannot be read.
    """
    whole = report.source.load(item)
    shown = entry_images(report.source, item, SIDE)
    if whole.mask is not None:
        shown["mask"] = reduced(visible_mask(report.source, whole.mask), SIDE)
    if whole.detections is not None:
        image = as_channels(shown["image"], 3).copy()
        scale = image.shape[1] / whole.image.shape[1]
        for box in whole.detections.boxes:
            left, top, right, bottom = (round(float(end) * scale) for end in box)
            cv2.rectangle(image, (left, top), (right, bottom), _BOX_COLOUR, 2)
        shown["image"] = image
    return shown


def visible_mask(source: Source, mask: Image) -> Image:
    """A mask as it is understood, class by class in its own colour, HW3; as it stands where it is not."""
    if source.masks is not None:
        with contextlib.suppress(CalcoError):
            return paint(source.masks.encoding.read(mask)[0], palette_for(source.masks.names))
    shown = visible(as_dtype(mask, np.uint8))
    return shown * (255 // max(1, int(shown.max()))) if shown.max() < 128 else shown


def _overlay(first: Image, second: Image) -> Image:
    """The input in red, the target in blue and green: grey where they agree."""
    a, b = grey_of(first), grey_of(second)
    b = np.asarray(cv2.resize(b, (a.shape[1], a.shape[0]), interpolation=cv2.INTER_AREA), np.uint8)
    return np.stack([a, b, b], axis=2)


def _play(report: CheckReport) -> str:
    """How training would show images with boxes."""
    facts = zip(report.source.items, report.facts, strict=True)
    items = [item for item, fact in facts if not fact.error and report.split[item.key] == "train"]
    return play_section(report.source, items, report.config.augment)


def _samples(report: CheckReport) -> str:
    readable = [item for item, fact in zip(report.source.items, report.facts, strict=True) if not fact.error]
    if not readable:
        return ""
    order = generator(0, 0, "samples").permutation(len(readable))[:SAMPLES]
    cases: Sequence[Item] = [readable[place] for place in sorted(order)]
    shown = "".join(f'<li><div class="row">{_figures(report, item, False, many=False)}</div></li>' for item in cases)
    return f'<section><h2>Samples</h2><p class="lead">Drawn by chance.</p><ul class="shown">{shown}</ul></section>'
