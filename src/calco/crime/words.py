"""What a load, a collection and a generation say when they are done."""

from typing import TYPE_CHECKING

from calco.console import Table

if TYPE_CHECKING:
    from calco.crime.load import Loaded

_LONGEST = 40  # reasons in the table on the terminal


def counts_table(done: "Loaded") -> Table:
    """The rows of each source: read = in a table + rejected."""
    table = Table("source", "file", *("rows", "in a table", "rejected", "seconds"))
    for column in table.columns[2:]:
        column.justify = "right"
    for one in done.sources:
        table.add_row(
            one.source, one.file, f"{one.read:,}", f"{one.loaded:,}", f"{one.rejected:,}", f"{one.seconds:.1f}"
        )
    return table


def reasons_table(done: "Loaded") -> Table:
    """Why rows were left out, the most frequent first."""
    table = Table("rejected", "source", "column", "reason")
    table.columns[0].justify = "right"
    for (source, column, reason), count in done.reasons.most_common(_LONGEST):
        table.add_row(f"{count:,}", source, column, reason)
    if (more := len(done.reasons) - _LONGEST) > 0:
        table.add_row("…", "", "", f"{more} more reasons, in the table Rechazos")
    return table


def tables_line(done: "Loaded") -> str:
    """The rows of each table afterwards."""
    return "rows in the tables: " + ", ".join(f"{name} {count:,}" for name, count in done.tables.items())
