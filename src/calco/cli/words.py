"""Words of the command line that decide how the others are read."""

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from calco.errors import CalcoError, printable

_EPILOGUE = (
    "--config FILE: repeats the run of a config.yaml. --resume RUN: goes on with a run as if it had not been "
    "interrupted. --dry-run: prints the whole configuration, the images' summary and the {size}, and leaves."
)


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a verb that trains was told.

    Attributes:
        config: The whole configuration.
        resume: Whether it goes on with the run in `config.out`.
        dry_run: Whether the plan is wanted, and nothing else.
    """

    config: Any
    resume: bool
    dry_run: bool

    @classmethod
    def of(
        cls, args: list[str], about: str | None, *, prog: str, load: Callable[[str], Any],
        fresh: Callable[[str | None], Any], size: str, presets: str = "",
    ) -> "Training":  # fmt: skip
        """Reads the words of such a verb.

        Args:
            args: The words.
            about: What the verb does.
            prog: Its name.
            load: Reads a config.yaml.
            fresh: The configuration to start from; is given the name of a preset where one was named.
            size: What a dry run tells of the networks.
            presets: What is said of --preset; empty where there are none.

        Raises:
            CalcoError: When words do not go together, or something else than the limits of a run would change.
        """
        names = ["--preset"] if presets else []
        chosen, rest = take(args, *names, "--config", "--resume")
        if len(chosen) > 1:
            each = ", ".join([*names, "--config"])
            raise CalcoError(f"{each} and --resume each bring a whole configuration; give one of them")
        dry_run = "--dry-run" in rest
        rest = [word for word in rest if word != "--dry-run"]
        resume = chosen.get("--resume")
        if resume or "--config" in chosen:
            # A run is repeated beside the first one, not into it.
            default = replace(load(f"{resume}/config.yaml" if resume else chosen["--config"]), out=resume or "")
        else:
            default = fresh(chosen.get("--preset"))
        description = f"{(about or '').strip()}\n\n{presets}{_EPILOGUE.format(size=size)}"
        config = parse(type(default), rest, default=default, prog=prog, description=description)
        if resume:
            same_but_limits(default, config, resume)
        return cls(config=config, resume=bool(resume), dry_run=dry_run)

    def plan(self, config: Any, summary: str) -> None:
        """Prints what would be done."""
        import yaml

        from calco.console import emit
        from calco.records import to_record

        emit(yaml.safe_dump(to_record(config), sort_keys=False, allow_unicode=True) + f"\n{summary}\n")


def parse(kind: Any, args: list[str], **options: Any) -> Any:
    """Read the words of a verb with tyro, whose complaints repeat them: they reach the terminal as printable text.

    Args:
        kind: The dataclass or function that the words fill.
        args: The words.
        options: Of `tyro.cli`.
    """
    import tyro

    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):
            return tyro.cli(kind, args=args, **options)
    finally:
        for line in complaints.getvalue().splitlines():
            print(printable(line), file=sys.stderr)


def take(args: list[str], *names: str) -> tuple[dict[str, str], list[str]]:
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


def same_but_limits(before: Any, after: Any, run: str) -> None:
    """A run that goes on may be given other limits, another place of its images or another device: nothing else."""
    free = {"images", "limit", "keep", "compute"}
    for name in vars(before):
        if name not in free and getattr(before, name) != getattr(after, name):
            raise CalcoError(
                f"{run} goes on with the configuration it began with, and {name} differs; only the limits, what is "
                "kept, the device and the place of the images may change: train anew for the rest"
            )
