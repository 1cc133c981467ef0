"""What `calco detect slide` tells at the end."""

import numpy as np

from calco.console import Table
from calco.detection.sliding.slide import Slid


def rounds_table(done: Slid) -> Table:
    """How many windows of each size there were, and how many of them were hits."""
    table = Table("scale", "window", "step", "windows", *(["hits"] if done.before is not None else []), box=None)
    hits = None if done.before is None else np.round(done.before.boxes[:, 2:] - done.before.boxes[:, :2])
    for level in done.rounds:
        size = f"{level.size_wh[0]}x{level.size_wh[1]}"
        cells = [f"{level.scale:g}", size, str(level.step), f"{len(level.boxes):,}"]
        if hits is not None:
            cells.append(f"{int((hits == level.size_wh).all(1).sum()):,}")
        table.add_row(*cells)
    return table


def boxes_table(done: Slid, most: int = 20) -> Table:
    """The boxes that are left, the best first."""
    table = Table("class", "score", "left", "top", "right", "bottom", box=None)
    if done.after is not None and done.after.scores is not None:
        rows = zip(done.after.classes, done.after.scores, done.after.boxes, strict=True)
        for name, score, box in list(rows)[:most]:
            table.add_row(name, f"{score:.2f}", *(f"{value:.0f}" for value in box))
    return table


def verdict(done: Slid) -> str:
    """Windows, hits and boxes, in a sentence."""
    text = f"{done.windows:,} windows over {done.image_wh[0]}x{done.image_wh[1]} pixels"
    if done.frames < done.windows:
        text += f", of which the video shows {done.frames:,}"
    if done.too_large:
        listed = ", ".join(f"{scale:g}" for scale in done.too_large)
        text += f"; at scale {listed} the window is larger than the image and was left out"
    if done.before is not None and done.after is not None:
        rate = done.windows / max(done.seconds, 1e-9)
        text += f"; hits {len(done.before):,}, boxes after suppression {len(done.after):,} ({rate:,.0f} windows/s)"
    return text
