"""`calco serve` and `calco bench`."""

from calco.cli.parsing import parse


def serve(args: list[str]) -> None:
    """Serve the charts of crime to browsers, from this machine."""
    from calco.crime.serve import ServeConfig

    config = parse(ServeConfig, args, "serve", serve.__doc__)
    from calco.crime.serve import serve as run

    run(config)


def bench(args: list[str]) -> None:
    """Measure speed and memory on this machine, beside a plain reference loop."""
    from calco.benchmarks.config import BenchConfig

    config = parse(BenchConfig, args, "bench", bench.__doc__)
    from calco.benchmarks.bench import HEADINGS, cells
    from calco.benchmarks.bench import bench as run
    from calco.console import Table, say, show

    done = run(config)
    for line in done.head():
        show(line)
    if done.rows:
        table = Table(box=None, header_style="bold")
        for place, heading in enumerate(HEADINGS):
            table.add_column(heading, justify="right" if 0 < place < 5 else "left", no_wrap=True)
        for row in done.rows:
            table.add_row(*cells(row))
        show(table, width=140)  # figures are not cut off where they go to a file or a narrow window
    for path in filter(None, (config.json, config.plot, config.markdown)):
        say(f"{path} is written")
