"""The verbs of `calco crime`: parsing only."""

from collections.abc import Callable


def load(args: list[str]) -> None:
    """Cleans the sources and loads them into a database, each row into a table or into the rejects."""
    import tyro
    from rich.console import Console

    from calco.console import bar, say, warn
    from calco.crime.load import LoadConfig
    from calco.crime.load import load as run
    from calco.crime.words import counts_table, reasons_table, tables_line

    config = tyro.cli(LoadConfig, args=args, prog="calco crime load", description=load.__doc__)
    with bar("rows of DataCrim") as advance:
        done = run(config, progress=advance)
    out = Console(highlight=False)
    out.width = max(out.width, 120)
    out.print(counts_table(done))
    if done.reasons:
        out.print(reasons_table(done))
    out.print(tables_line(done), markup=False, soft_wrap=True)
    for remark in done.remarks:
        warn(remark)
    if not done.keys:
        warn("the table of DataCrim's crimes has no keys, for the sake of memory; --keys yes makes them")
    say(
        f"{done.to} is loaded in {done.seconds:.1f} s; the rejects, row by row, are in {done.rejects} and in the table Rechazos"
    )


CRIME: dict[str, Callable[[list[str]], None]] = {
    "load": load,
}
