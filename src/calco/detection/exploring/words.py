"""What a set of images with boxes is like, in the terminal."""

from typing import Final

import numpy as np

from calco.console import Table, cell
from calco.detection.exploring.survey import Survey

LISTED: Final = 12
"""Classes and faults that the terminal shows; the page has more, explore.json all."""


def class_table(found: Survey) -> Table:
    """The commonest classes."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("class", "boxes", "images", "median width", "median height"):
        made.add_column(title, justify="left" if title == "class" else "right")
    names = found.names
    for name in names[:LISTED]:
        mine = found.classes == name
        sides = found.sides[mine]
        middle = [f"{np.median(sides[:, axis]):.0f}" if len(sides) else "–" for axis in (0, 1)]
        made.add_row(name, f"{int(mine.sum()):,}", f"{len(np.unique(found.images[mine])):,}", *middle)
    if len(names) > LISTED:
        made.add_row(cell(f"and {len(names) - LISTED:,} more", style="dim"))
    return made


def fault_table(found: Survey) -> Table:
    """The first faults, with file and line."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title, ratio in (("fault", None), ("where", 3), ("what is wrong", 4)):
        made.add_column(title, ratio=ratio)
    root = f"{found.source.root.rstrip('/')}/"
    rows: list[tuple[str, str, str]] = [(p.fault, p.where.removeprefix(root), p.reason) for p in found.faults]
    rows += [("not used", name.removeprefix(root), reason) for name, reason in found.left_out]
    for fault, where, reason in rows[:LISTED]:
        made.add_row(cell(fault, style="yellow"), where, reason)
    if len(rows) > LISTED:
        made.add_row(*(cell(text, style="dim") for text in ("...", f"and {len(rows) - LISTED:,} more in explore.json")))
    return made
