"""The verbs of `calco crime`: parsing only."""

from collections.abc import Callable


def collect(args: list[str]) -> None:
    """Fetches DataCrim's panel into Parquet and CSV, and keeps the answers beside."""
    import tyro

    from calco.console import bar, say, warn
    from calco.crime.collect import CollectConfig
    from calco.crime.collect import collect as run

    config = tyro.cli(CollectConfig, args=args, prog="calco crime collect", description=collect.__doc__)
    with bar("pages") as advance:
        done = run(config, progress=advance)
    for name, reason in done.left_out.items():
        warn(f"left out {name}: {reason}")
    if done.unreadable:
        warn(f"{done.unreadable:,} records could not be read: see {done.folder / 'unreadable.csv'}")
    if done.other_years:
        warn(f"{done.other_years:,} rows are of other years than {config.years}, and left out")
    kept = f", {done.kept} of them kept from before" if done.kept else ""
    say(f"{done.rows:,} rows of {done.pages} pages{kept} are in {done.folder}: datacrim.parquet, datacrim.csv, raw/")


def load(args: list[str]) -> None:
    """Cleans the sources and loads them into a database; each row ends in a table or in the rejects."""
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
    say(f"{done.to} is loaded in {done.seconds:.1f} s; the rejects are in {done.rejects} and in the table Rechazos")


def generate(args: list[str]) -> None:
    """Makes rows like DataCrim's, any number of them, for trying what comes after."""
    import tyro

    from calco.console import bar, say
    from calco.crime.generate import GenerateConfig
    from calco.crime.generate import generate as run

    config = tyro.cli(GenerateConfig, args=args, prog="calco crime generate", description=generate.__doc__)
    with bar("rows") as advance:
        out = run(config, progress=advance)
    say(f"{out} holds {config.rows:,} rows, none of them true ({out.stat().st_size / 1e6:.1f} MB)")


CRIME: dict[str, Callable[[list[str]], None]] = {
    "collect": collect,
    "load": load,
    "generate": generate,
}
