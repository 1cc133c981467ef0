"""What a set of pictures with boxes is like, in the terminal."""

from typing import Any, Final

import numpy as np

from calco.detection.exploring.survey import Survey

LISTED: Final = 12
"""Classes and faults that the terminal shows; the page has more, explore.json all."""


def class_table(found: Survey) -> Any:
    """The commonest classes."""
    from rich.markup import escape
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("class", "boxes", "pictures", "median width", "median height"):
        made.add_column(title, justify="left" if title == "class" else "right")
    names = found.names
    for name in names[:LISTED]:
        mine = found.classes == name
        sides = found.sides[mine]
        middle = [f"{np.median(sides[:, axis]):.0f}" if len(sides) else "–" for axis in (0, 1)]
        made.add_row(escape(name), f"{int(mine.sum()):,}", f"{len(np.unique(found.pictures[mine])):,}", *middle)
    if len(names) > LISTED:
        made.add_row(f"[dim]and {len(names) - LISTED:,} more[/]")
    return made


def fault_table(found: Survey) -> Any:
    """The first faults, with file and line."""
    from rich.markup import escape
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title, ratio in (("fault", None), ("where", 3), ("what is wrong", 4)):
        made.add_column(title, ratio=ratio)
    root = f"{found.source.root.rstrip('/')}/"
    rows: list[tuple[str, str, str]] = [(p.fault, p.where.removeprefix(root), p.reason) for p in found.faults]
    rows += [("not used", name.removeprefix(root), reason) for name, reason in found.left_out]
    for fault, where, reason in rows[:LISTED]:
        made.add_row(f"[yellow]{fault}[/]", escape(where), escape(reason))
    if len(rows) > LISTED:
        made.add_row("[dim]...[/]", f"[dim]and {len(rows) - LISTED:,} more in explore.json[/]", "")
    return made
