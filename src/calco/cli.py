"""The command line: parsing only; what a verb does lives in the layer it names."""

import sys
from collections.abc import Callable
from typing import Any

from calco import __version__
from calco.errors import CalcoError


def demo(args: list[str]) -> None:
    """Real drawings -> trained -> scored -> report, in minutes on a laptop."""
    from calco.demo import demo as run

    run(**_parse(args, "demo"))


def train(args: list[str]) -> None:
    """From pictures to a run with a trained model in it."""
    from dataclasses import replace

    import tyro

    from calco.training.config import TrainConfig
    from calco.training.presets import PRESETS, preset
    from calco.training.train import load_config
    from calco.training.train import train as run

    chosen, rest = _take(args, "--preset", "--config", "--resume")
    given = [name for name in ("--config", "--resume") if chosen.get(name)]
    if len(given) == 2 or (given and chosen.get("--preset")):
        raise CalcoError("--preset, --config and --resume each bring a whole configuration; give one of them")
    dry_run = "--dry-run" in rest
    rest = [word for word in rest if word != "--dry-run"]
    if resume := chosen.get("--resume"):
        default = replace(load_config(f"{resume}/config.yaml"), out=resume)
    elif path := chosen.get("--config"):
        # A run is repeated beside the first one, not into it.
        default = replace(load_config(path), out="")
    else:
        default = preset(chosen.get("--preset") or "pix2pix")
    epilogue = (
        f"--preset {'|'.join(PRESETS)}: the configuration to start from (pix2pix). --config FILE: repeats the run of a "
        "config.yaml. --resume RUN: goes on with a run as if it had not been interrupted. --dry-run: prints the whole "
        "configuration, the pictures' summary and the networks' sizes, and leaves."
    )
    description = f"{(train.__doc__ or '').strip()}\n\n{epilogue}"
    config = tyro.cli(TrainConfig, args=rest, default=default, prog="calco train", description=description)
    if resume:
        _same_but_limits(default, config, resume)
    if dry_run:
        _print_plan(config)
        return
    run(config, resume=bool(resume))


def _take(args: list[str], *names: str) -> tuple[dict[str, str], list[str]]:
    """Options that decide the defaults of the others, taken out of the words before those are parsed."""
    chosen: dict[str, str] = {}
    rest: list[str] = []
    words = iter(args)
    for word in words:
        name, has_value, value = word.partition("=")
        if name not in names:
            rest.append(word)
            continue
        value = value if has_value else next(words, "")
        if not value or value.startswith("--"):
            raise CalcoError(
                f"{name} needs a value; for example {name} {'small' if name == '--preset' else 'runs/faces'}"
            )
        chosen[name] = value
    return chosen, rest


def _same_but_limits(before: Any, after: Any, run: str) -> None:
    """A run that goes on may be given other limits, another place of its pictures or another device: nothing else."""
    free = {"pictures", "limit", "keep", "compute"}
    for name in vars(before):
        if name not in free and getattr(before, name) != getattr(after, name):
            raise CalcoError(
                f"{run} goes on with the configuration it began with, and {name} differs; only the limits, what is "
                "kept, the device and the place of the pictures may change: train anew for the rest"
            )


def _print_plan(config: Any) -> None:
    import yaml

    from calco.records import to_record
    from calco.training.setup import open_data, summary

    data, config = open_data(config)
    print(yaml.safe_dump(to_record(config), sort_keys=False, allow_unicode=True))
    print(summary(config, data))


def evaluate(args: list[str]) -> None:
    """Scores a model beside the baselines on the same pictures, and writes the report."""
    from calco.evaluation.evaluate import evaluate as run
    from calco.evaluation.words import table
    from calco.pairs.sources import SourceConfig

    options = _parse(args, "evaluate")
    given = {name: options.pop(name) for name in ("source", "input", "target", "direction")}
    source = None
    if any(value is not None for value in given.values()):
        from dataclasses import replace

        from calco.inference.model import load_info

        trained: SourceConfig = load_info(options["model"]).source
        source = replace(trained, **{name: value for name, value in given.items() if value is not None})
    card = run(options.pop("model"), options.pop("pictures"), source=source, **options)
    _print_scores(table(card), card.verdict())


def compare(args: list[str]) -> None:
    """Puts the scores and pictures of evaluated runs side by side."""
    from calco.evaluation.evaluate import compare as run
    from calco.evaluation.words import comparison_table

    options = _parse(args, "compare")
    cards, page = run(options["runs"], options["out"])
    _print_scores(comparison_table(cards), f"the page is {page}")


def translate(args: list[str]) -> None:
    """Applies a model to pictures; names, formats, sizes and EXIF are kept."""
    from calco.console import bar, say, warn
    from calco.inference.model import load
    from calco.inference.translate import translate as run

    options = _parse(args, "translate")
    load(options["model"])  # a wrong model is said before the pictures are listed
    with bar("translating") as advance:
        done = run(**options, progress=lambda count, total, _name: advance(count, total))
    kept = f", {done.kept} kept from before" if done.kept else ""
    say(f"{done.written} pictures written to {done.out}{kept}")
    for name, reason in list(done.left_out.items())[:5]:
        warn(f"left out {name}: {reason}")
    if len(done.left_out) > 5:
        warn(f"{len(done.left_out)} left out in all; translation.json lists them")


def _print_scores(table: Any, words: str) -> None:
    from rich.console import Console

    out = Console(highlight=False)
    out.print(table)
    out.print(words, markup=False)


def _parse(args: list[str], verb: str) -> dict[str, Any]:
    import tyro

    from calco import options

    parsed: dict[str, Any] = tyro.cli(getattr(options, verb), args=args, prog=f"calco {verb}")
    return parsed


VERBS: dict[str, Callable[[list[str]], None]] = {
    "demo": demo,
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
    "translate": translate,
}


def usage() -> str:
    """What `calco --help` prints."""
    verbs = "\n".join(f"  {name:<10} {(verb.__doc__ or '').splitlines()[0]}" for name, verb in VERBS.items())
    return (
        "Calco teaches a computer to redraw pictures.\n\n"
        f"usage: calco VERB [OPTIONS]\n\n{verbs}\n\n"
        "calco VERB --help tells a verb's options; calco --version the version.\n"
    )


def main(args: list[str] | None = None) -> None:
    """Runs a verb; what a user can cause is one line and exit code 2."""
    words = sys.argv[1:] if args is None else args
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        sys.exit(0 if words else 2)
    if words[0] == "--version":
        print(f"calco {__version__}")
        return
    if words[0] not in VERBS:
        print(f"calco: there is no verb {words[0]}; choose one of {', '.join(VERBS)}", file=sys.stderr)
        sys.exit(2)
    try:
        VERBS[words[0]](words[1:])
    except CalcoError as error:
        print(f"calco: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("calco: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
