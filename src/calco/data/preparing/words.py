"""What was prepared and what was left out, as tables."""

import re
from collections.abc import Mapping

from calco.console import Table
from calco.data.manifest import Manifest

_EXAMPLES = 3


def counts_table(manifest: Manifest) -> Table:
    """Pairs, files and megabytes by split."""
    table = Table("split", box=None, header_style="bold")
    for column in ("pairs", "parts", "MB"):
        table.add_column(column, justify="right")
    for split, count in manifest.counts.items():
        parts = [part for part in manifest.parts if part.split == split]
        table.add_row(split, str(count), str(len(parts)), f"{sum(part.bytes for part in parts) / 1e6:.1f}")
    return table


def left_out_table(left_out: Mapping[str, str]) -> Table:
    """The reasons, how many images each has cost, and some of these."""
    reasons: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        reasons.setdefault(_without_name(name, reason), []).append(name)
    table = Table("left out, because", box=None, header_style="bold")
    table.add_column("images", justify="right")
    table.add_column("such as")
    for reason, names in sorted(reasons.items(), key=lambda entry: -len(entry[1])):
        shown = ", ".join(names[:_EXAMPLES]) + (", ..." if len(names) > _EXAMPLES else "")
        table.add_row(reason, str(len(names)), shown)
    return table


def _without_name(name: str, reason: str) -> str:
    """A reason that is the same for all images that it holds for: without the image's own name or path."""
    last = re.escape(name.rpartition("/")[2])
    return re.sub(rf"\S*{last}\.\w+|^{re.escape(name)}\b", "...", reason) if last else reason
