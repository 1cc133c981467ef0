"""The verbs of `calco crime`: parsing and printing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from calco import crime
from calco.cli.parsing import parse
from calco.console import Table, bar, cell, emit, say, show, warn
from calco.files import atomic_write
from calco.outputs import writing_file

if TYPE_CHECKING:
    from calco.crime.answers import Answer, PublishedFigure
    from calco.crime.load import LoadResult

_REASONS = 40  # reasons of rejected rows that the terminal shows
_WIDE = 100  # characters of all headings of a table, above which they are broken


def collect(args: list[str]) -> None:
    config = parse(crime.PanelConfig, args, "crime collect")
    with bar("pages") as advance:
        done = crime.collect_panel(config, progress=advance)
    for name, reason in done.left_out.items():
        warn(f"left out {name}: {reason}")
    if done.unreadable:
        warn(f"{done.unreadable:,} records could not be read: see {done.folder / 'unreadable.csv'}")
    if done.other_years:
        warn(f"{done.other_years:,} rows are of other years than {config.years}, and left out")
    kept = f", of which {done.kept} had been fetched before" if done.kept else ""
    say(f"{done.rows:,} rows are in {done.folder}: datacrim.parquet, datacrim.csv, raw/ (pages: {done.pages}{kept})")


def load(args: list[str]) -> None:
    config = parse(crime.LoadConfig, args, "crime load")
    with bar("rows of DataCrim") as advance:
        done = crime.load_crimes(config, progress=advance)
    show(_counts_table(done), width=120)
    if done.reasons:
        show(_reasons_table(done), width=120)
    show("rows in the tables: " + ", ".join(f"{name} {count:,}" for name, count in done.tables.items()))
    for remark in done.remarks:
        warn(remark)
    if not done.keys:
        warn("the table of DataCrim's crimes has no keys, which saves memory; --keys yes makes them")
    say(f"{done.to} is loaded in {done.seconds:.1f} s; the rejects are in {done.rejects} and in the table Rechazos")


def generate(args: list[str]) -> None:
    config = parse(crime.GenerateConfig, args, "crime generate")
    with bar("rows") as advance:
        out = crime.generate_crimes(config, progress=advance)
    say(f"{out} holds {config.rows:,} rows, none of them true ({out.stat().st_size / 1e6:.1f} MB)")


def query(args: list[str]) -> None:
    from calco.crime.answers import PUBLISHED, published_figures, rebuild_study, text_of, write

    config = parse(crime.QueryConfig, args, "crime query")
    again = rebuild_study(config.robberies, config.kinds or config.robberies) if config.robberies else None
    for answer in crime.query(config):
        if config.out:
            say(f"{write(answer, config)} holds {answer.rows.num_rows:,} rows")
        elif config.format != "table":
            emit(text_of(answer.rows, config.format))
        else:
            show(_answer_table(answer, config.rows), width=140)
            if not answer.rows.num_rows:
                show(f"no answer: {answer.question.source} holds no row for it; fill it with calco crime load")
            elif config.published:
                if found := published_figures(answer.question.name, answer.rows, again):
                    show(_published_table(found), width=140)
                show(f"reason for the difference: {PUBLISHED[answer.question.name].why}")
            show("")
    if again and config.format == "table" and not config.out:
        table = Table("robberies", "effect of the study's join", title=f"the repeated join gives {again.rows} rows",
                      title_justify="left")  # fmt: skip
        table.columns[0].justify = "right"
        for fate, count in again.fates.most_common():
            table.add_row(str(count), _cell(fate, 120))
        show(table, width=140)


def dashboard(args: list[str]) -> None:
    config = parse(crime.DashboardConfig, args, "crime dashboard")
    out = crime.write_dashboard(config)
    say(f"{out} is written ({out.stat().st_size / 1e6:.1f} MB): open it in a browser")


def chart(args: list[str]) -> None:
    config = parse(crime.ChartConfig, args, "crime chart")
    files = crime.write_charts(config)
    count = "1 file is" if len(files) == 1 else f"{len(files)} files are"
    say(f"{count} in {config.out}: {', '.join(path.name for path in files)}")


def forecast(args: list[str]) -> None:
    from calco.crime.forecast import rows
    from calco.crime.reading import csv_lines

    config = parse(crime.ForecastConfig, args, "crime forecast")
    done = crime.forecast_robberies(config)
    scores: list[tuple[str, ...]] = [
        ("method", "mean absolute error", "coverage of the interval", "forecasts"),
        *((one.method, f"{one.mae:.1f}", f"{one.coverage:.0%}", str(one.origins)) for one in done.scores),
    ]
    titles = (f"known: {done.first} to {done.last}; interval of {config.level:.0%}", "on what is known")
    for title, (heads, *lines) in zip(titles, (rows(done), scores), strict=True):
        if not lines:
            continue
        table = Table(*heads, title=title, title_justify="left")
        for line in lines:
            table.add_row(*line)
        show(table)
    for remark in done.remarks:
        warn(remark)
    if config.out:
        with writing_file(config.out, "calco crime forecast"):
            atomic_write(config.out, csv_lines(rows(done)))
        say(f"{config.out} is written")


def _answer_table(answer: "Answer", most: int) -> "Table":
    """Return the first rows of an answer."""
    rows = answer.rows
    shown = rows.slice(0, most) if most else rows
    more = f" (the first {shown.num_rows:,} of {rows.num_rows:,} rows)" if shown.num_rows < rows.num_rows else ""
    title = f"{answer.question.number}. {answer.question.english}{more}"
    wide = sum(map(len, rows.column_names)) > _WIDE
    table = Table(title=_cell(title, 200), title_justify="left")
    for name, kind in zip(rows.column_names, rows.schema.types, strict=True):
        heading = cell(*(name.replace("_", "_\n").split("\n") if wide else [_cell(name)]))
        table.add_column(heading, justify="left" if str(kind) in ("string", "date32[day]") else "right")
    for row in shown.to_pylist():
        table.add_row(*map(_cell, row.values()))
    return table


def _published_table(found: "Sequence[PublishedFigure]") -> "Table":
    """Return published figures beside ours, and those of the repeated join if there are any."""
    with_join = any(one.rebuilt is not None for one in found)
    table = Table("", right=("published", *["its join repeated"] * with_join, "ours"))
    for one in found:
        values = (one.published, one.rebuilt, one.ours) if with_join else (one.published, one.ours)
        figures = ("–" if value is None else f"{round(value, 2):,.10g}" for value in values)
        table.add_row(_cell(one.name or "no date"), *figures)
    return table


def _cell(value: Any, widest: int = 60) -> str:
    text = "–" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
    return text if len(text) <= widest else f"{text[: widest - 1]}…"


def _counts_table(done: "LoadResult") -> "Table":
    """Rows of each source: read = in a table + rejected."""
    table = Table("source", "file", right=("rows", "in a table", "rejected", "seconds"))
    for one in done.sources:
        counts = (f"{one.read:,}", f"{one.loaded:,}", f"{one.rejected:,}", f"{one.seconds:.1f}")
        table.add_row(one.source, one.file, *counts)
    return table


def _reasons_table(done: "LoadResult") -> "Table":
    """Reasons of the rejected rows, the most frequent first."""
    table = Table("rejected", "source", "column", "reason")
    table.columns[0].justify = "right"
    for (source, column, reason), count in done.reasons.most_common(_REASONS):
        table.add_row(f"{count:,}", source, column, reason)
    if (more := len(done.reasons) - _REASONS) > 0:
        table.add_row("…", "", "", f"{more} more reasons, in the table Rechazos")
    return table
