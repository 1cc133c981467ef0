"""`calco train` and `calco demo`."""

from typing import Any

from calco.cli.parsing import TrainingArguments, parse, take


def train(args: list[str]) -> None:
    """Train a model on images."""
    from calco.training.config import PRESETS, preset

    # The preset `best` depends on the recipe, so that it is looked for before the options are parsed.
    recipe = take(args, "--recipe")[0].get("--recipe", "auto")
    arguments = TrainingArguments.of(
        args, train.__doc__, verb="train", load=_load, fresh=lambda name: preset(name or "pix2pix", recipe),
        size="size of the networks",
        presets=f"--preset {'|'.join(PRESETS)}: the configuration to start from (pix2pix). ",
    )  # fmt: skip
    if arguments.dry_run:
        from calco.checking.check import report_findings
        from calco.training.pairs import open_data
        from calco.training.translation import summary

        data, config = open_data(arguments.config)
        asked = arguments.config.recipe
        report_findings(data.source, data.splits, config.source, recipe=config.recipe, asked=asked)
        arguments.print_plan(config, summary(config, data))
        return
    from calco.training.translation import train as run

    run(arguments.config, resume=arguments.resume)


def _load(path: str) -> Any:
    from calco.training.translation import load_config

    return load_config(path)


def demo(args: list[str]) -> None:
    """Go from real drawings to a trained, scored model with a report, in minutes on a laptop."""
    from calco.cli.demo import DemoConfig

    config = parse(DemoConfig, args, "demo", demo.__doc__)
    from calco.cli.demo import demo as run

    run(config)
