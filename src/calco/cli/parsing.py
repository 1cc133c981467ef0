"""Arguments of a verb to its configuration: one frozen dataclass, parsed by tyro."""

import ast
import contextlib
import functools
import inspect
import io
import itertools
import sys
from collections.abc import Callable, Collection
from dataclasses import MISSING, field, fields, is_dataclass, make_dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_origin, get_type_hints

from calco.cli.verbs import COMMANDS, listed_examples
from calco.console import emit
from calco.errors import UsageError, printable
from calco.records import to_record

Config = TypeVar("Config")

_EPILOGUE: Final = (
    "--config FILE: repeats the run of a config.yaml. --resume RUN: resumes a run where it stopped. "
    "--dry-run: prints the whole configuration, a summary of the images and the {size}, then exits."
)


_DESCRIBE: Final = "\0"  # in place of arguments: no program can be called with it


class _Described(Exception):
    """Raised in place of parsing, with the class that holds all options of a verb."""


def configuration_of(command: str) -> type:
    """Return a dataclass with the options of a command such as "detect train", their values and texts.

    The text of a field is in its metadata, under "help". Nothing is parsed, and no verb runs.
    """
    try:
        COMMANDS[command]([_DESCRIBE])
    except _Described as described:
        kind: type = described.args[0]
        return kind
    raise AssertionError(f"{command} does something before it parses its arguments")


def parse(
    kind: type[Config], args: list[str], command: str, note: str = "", *, default: Config | None = None
) -> Config:
    """Parse the arguments of a command such as "detect train" into a dataclass, starting from `default`.

    `--help` shows what the table of verbs says of it, then `note`. tyro's complaints repeat the arguments, so they
    reach the terminal as printable text.
    """
    if args == [_DESCRIBE]:
        raise _Described(_described(kind, default, None)[0])
    import tyro

    shown: Any = kind
    about = ""
    if {"-h", "--help", "--help-all"} & set(args):
        verb = COMMANDS[command]
        common = "" if "--help-all" in args else verb.common
        shown, num_hidden = _described(kind, default, common.replace("-", "_").split() or None)
        hidden = f"calco {command} --help-all shows {num_hidden} more options." if num_hidden else ""
        about = "\n\n".join(filter(None, (f"{verb.about}\n\n{listed_examples(verb.examples)}", note.strip(), hidden)))
        args, default = ["--help"], None
    options: dict[str, Any] = {} if default is None else {"default": default}
    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):
            parsed: Config = tyro.cli(shown, args=args, prog=f"calco {command}", description=about, **options)
            return parsed
    finally:
        for line in complaints.getvalue().splitlines():
            print(printable(line), file=sys.stderr)


def _described(
    kind: type, default: Any, names: Collection[str] | None, prefix: str = "", *, bare: bool = False
) -> tuple[type, int]:
    """Return a class with the options that a help shows.

    tyro takes most of its time for options that it hides, and for reading the source of each class several times.

    Args:
        kind: Class of a configuration.
        default: Configuration whose values are the defaults; None for those of the class.
        names: Names of options to show, with underscores, such as "generator.depth"; None for all.
        prefix: Prefix of the names of its fields.
        bare: The names of parts are left out of those of options, there and below.

    Returns:
        A dataclass of plain data with these fields, their values and texts, and the number of hidden options.
    """
    from tyro.conf import OmitArgPrefixes, Suppress, arg

    hints, plain = get_type_hints(kind, include_extras=True), get_type_hints(kind)
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        texts |= _field_texts(base.__module__).get(base.__qualname__, {}) if is_dataclass(base) else {}
    members: list[tuple[str, Any, Any]] = []
    num_hidden = 0
    # Options that verbs share, of classes such as `LiveOptions`, come last.
    shared = {each.name for base in kind.__bases__ if base.__name__.endswith("Options") for each in fields(base)}
    for each in sorted(fields(kind), key=lambda each: each.name in shared):
        hint, value = hints[each.name], each.default
        markers = getattr(hint, "__metadata__", ())
        if default is not None:
            value = getattr(default, each.name)
        elif each.default_factory is not MISSING:
            value = each.default_factory()
        is_shown = names is None or prefix + each.name in names
        text = texts.get(each.name, "")
        if is_dataclass(value):
            text = text or inspect.getdoc(type(value)) or ""
            without = bare or OmitArgPrefixes in markers
            inner = prefix if without else f"{prefix}{each.name}."
            part, hidden_inside = _described(type(value), value, names, inner, bare=without)
            hint, value = Annotated[(part, *markers)] if markers else part, part()
            num_hidden, is_shown = num_hidden + hidden_inside, bool(fields(part))
        elif not is_shown:
            num_hidden += Suppress not in markers
        if is_shown:
            if value in (None, "", ()):
                # "(default: None)" says nothing: the sentence says what happens without the option.
                hint = Annotated[hint, arg(help_behavior_hint="")]
            elif value is MISSING and get_origin(plain[each.name]) is tuple:
                hint = Annotated[hint, arg(help_behavior_hint="(required)")]  # to tyro, none is enough
            members.append((each.name, hint, field(default=value, metadata={"help": text})))
    part = make_dataclass(kind.__name__, members, frozen=True, kw_only=True, namespace={"__doc__": kind.__doc__})
    return part, num_hidden


@functools.cache
def _field_texts(module: str) -> dict[str, dict[str, str]]:
    """Return the sentences under the fields of a module's classes, by class and field."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    found: dict[str, dict[str, str]] = {}
    for kind in (each for each in tree.body if isinstance(each, ast.ClassDef)):
        for pair in itertools.pairwise(kind.body):
            match pair:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found.setdefault(kind.name, {})[name] = " ".join(text.split())
    return found


def with_value(args: list[str], name: str, value: str) -> list[str]:
    """Return the arguments with a value after an option that may stand without its CSV file."""
    full: list[str] = []
    for place, word in enumerate(args):
        full.append(word)
        following = args[place + 1] if place + 1 < len(args) else "--"
        if word == name and not following.lower().endswith(".csv"):
            full.append(value)
    return full


def training_arguments(
    args: list[str], *, command: str, load: str, fresh: Callable[[str | None], Any], size: str,
    presets: str = "",
) -> tuple[Any, bool, bool]:  # fmt: skip
    """Parse the arguments of a verb that trains.

    Args:
        args: Arguments.
        command: Such as "train".
        load: Function that reads a config.yaml, as "module:name"; its module is imported when one is read.
        fresh: Function that returns the configuration to start from, given the name of a preset or None.
        size: What a dry run reports of the networks.
        presets: Help text of --preset; empty if there are none.

    Returns:
        The configuration, whether to resume the run in `config.out`, and whether to print the plan only.
    """
    names = ["--preset"] if presets else []
    chosen, rest = take(args, *names, "--config", "--resume")
    if len(chosen) > 1:
        each = ", ".join([*names, "--config"])
        raise UsageError(f"{each} and --resume each bring a whole configuration; give one of them")
    resume = chosen.get("--resume")
    if resume or "--config" in chosen:
        module, _, name = load.partition(":")
        default = getattr(import_module(module), name)(f"{resume}/config.yaml" if resume else chosen["--config"])
        # A run is repeated beside the first one, not into it.
        if resume or (Path(default.out) / "config.yaml").is_file():
            default = replace(default, out=resume or "")
    else:
        default = fresh(chosen.get("--preset"))
    note = f"{presets}{_EPILOGUE.format(size=size)}"
    config = parse(type(default), [word for word in rest if word != "--dry-run"], command, note, default=default)
    if resume:
        same_but_limits(default, config, resume)
    return config, bool(resume), "--dry-run" in rest


def print_plan(config: Any, summary: str) -> None:
    """Print a configuration and a summary of what it trains."""
    import yaml

    emit(yaml.safe_dump(to_record(config), sort_keys=False, allow_unicode=True) + f"\n{summary}\n")


def take(args: list[str], *names: str) -> tuple[dict[str, str], list[str]]:
    """Split off the options that decide the defaults of the others, before those are parsed."""
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
            raise UsageError(
                f"{name} needs a value; for example {name} {'small' if name == '--preset' else 'runs/faces'}"
            )
        chosen[name] = value
    return chosen, rest


def same_but_limits(before: Any, after: Any, run: str) -> None:
    """Make sure that a resumed run changes only its limits, what it keeps, its device and the place of its images."""
    free = {"images", "limit", "keep", "compute"}
    for name in vars(before):
        if name not in free and getattr(before, name) != getattr(after, name):
            raise UsageError(
                f"{run} goes on with the configuration it began with, and {name} differs; only the limits, what is "
                "kept, the device and the place of the images may change: train anew for the rest"
            )
