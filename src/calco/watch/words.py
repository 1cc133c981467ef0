"""A watch in the terminal: where the time went, and what was raised."""

from calco.console import Table, cell
from calco.watch.run import Watched


def stages_table(done: Watched) -> Table:
    """Seconds and shares of each stage; those that run beside in threads of their own have no share of the whole."""
    table = Table(title="where the time went", title_style="bold")
    for name in ("stage", "seconds", "ms a frame", "share"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    frames = max(1, done.frames)
    inside = {name: seconds for name, seconds in done.stages.items() if "beside" not in name}
    waiting = max(0.0, done.seconds - sum(inside.values()))
    for name, seconds in [*inside.items(), ("waiting", waiting)]:
        share = f"{seconds / done.seconds:.0%}" if done.seconds else "–"
        table.add_row(name, f"{seconds:.2f}", f"{1000 * seconds / frames:.1f}", share)
    table.add_section()
    for name, seconds in done.stages.items():
        if name not in inside:
            table.add_row(name, f"{seconds:.2f}", f"{1000 * seconds / frames:.1f}", "")
    if len(done.memory) > 1:
        table.caption = cell(f"memory after each pass: {', '.join(f'{mb:.0f}' for mb in done.memory)} MB", style="dim")
    return table


def events_table(done: Watched) -> Table:
    """Events by rule."""
    table = Table(title="events", title_style="bold")
    table.add_column("rule")
    table.add_column("events", justify="right")
    for rule, count in done.events.items():
        table.add_row(rule, str(count))
    return table
