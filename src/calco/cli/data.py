"""`calco collect`, `calco prepare`, `calco check` and `calco recipes`: from a list of addresses to pairs."""

import sys

from calco.cli.parsing import parse, with_value


def collect(args: list[str]) -> None:
    """Download the images of a list, and cut out what its boxes name."""
    from calco.collecting.config import CollectConfig

    config = parse(CollectConfig, args, "collect", collect.__doc__)
    from calco.collecting.collect import collect as run
    from calco.collecting.collect import left_out_table, verdict
    from calco.console import bar, show

    with bar("collecting") as advance:
        done = run(config, progress=lambda _stage, count, of: advance(count, of))
    if done.left_out or done.boxes_left_out or done.remarks:
        show(left_out_table(done))
    show(verdict(done))


def prepare(args: list[str]) -> None:
    """Make pairs once and write them: shards, or files for other tools."""
    from calco.data.prepare_config import PrepareConfig

    config = parse(PrepareConfig, args, "prepare", prepare.__doc__)
    from calco.console import say, show
    from calco.data.prepare import counts_table, left_out_table
    from calco.data.prepare import prepare as run

    done = run(config)
    show(counts_table(done.manifest))
    if done.manifest.left_out:
        show(left_out_table(done.manifest.left_out))
    show(f"digest {done.manifest.digest}")
    say(f"{done.folder} is ready" + (f"; {done.kept} pairs were there from before" if done.kept else ""))


def check(args: list[str]) -> None:
    """Find what is wrong with a data set, before training on it."""
    from calco.checking.config import BESIDE, CheckConfig

    words = with_value(args, "--write-groups", BESIDE)
    words = [f"--write-drop{word[6:]}" if word.partition("=")[0] == "--drop" else word for word in words]
    words = with_value(words, "--write-drop", BESIDE)
    epilogue = (
        "--write-groups [FILE.csv]: write groups such that no duplicates lie on both sides of the split; without a "
        "file, beside the images. --drop [FILE.csv]: write the images to leave out in the same way; training leaves "
        "out what the file names. Exits with status 1 if there are findings to fix."
    )
    config = parse(CheckConfig, words, "check", f"{check.__doc__}\n\n{epilogue}")
    from calco.checking.check import check as run
    from calco.checking.check import findings_table
    from calco.console import say, show

    report = run(config)
    say(report.source.summary())
    if report.findings:
        show(findings_table(report))
    show(report.verdict())
    for path in report.written.values():
        say(f"{path} is written")
    for command in report.commands.values():
        show(f"fix it with: {command}")
    say(f"the page is {report.page}")
    if not report.ok:
        sys.exit(1)


def recipes(args: list[str]) -> None:
    """Show what each recipe, with each of its settings, makes of an image."""
    from calco.data.config import RecipesConfig

    config = parse(RecipesConfig, args, "recipes", recipes.__doc__)
    from calco.console import say
    from calco.data.gallery import recipes as run

    for sheet in run(config):
        say(str(sheet))
