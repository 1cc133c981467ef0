"""Variants of a training: a name and the options that `calco train` would get."""

import contextlib
import io
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from calco.ablation import AblateConfig
from calco.errors import CalcoError, UsageError, shortened
from calco.training.config import PRESETS, TrainConfig, named_in, preset
from calco.training.translation import load_config

_NAME: Final = re.compile(r"\w[\w.+-]*")
_OWN: Final = {
    "--out": "--out", "--seed": "--seeds", "--minutes": "--minutes", "--steps": "--steps", "--epochs": "--steps",
    "--resume": "", "--dry-run": "",
}  # fmt: skip
"""Options of calco train that an ablation sets for all variants, and its own option for each."""
SHARE: Final = "@"
"""Stands in a variant's name before the share of the images that it learns from."""


def all_variants(config: AblateConfig, given: Mapping[str, TrainConfig] | None = None) -> dict[str, TrainConfig]:
    """Return the configuration of each variant by its name, with the limit that all of them share.

    A variant ends earlier by a limit of its own, as it would in calco train: best learns colour in 250 steps.

    Args:
        config: Presets, variants and options.
        given: Further variants as configurations.

    Raises:
        UsageError: If there is none, a name is not valid or stands twice, or options cannot be parsed.
        CalcoError: If a configuration file cannot be read, or two variants have other sources, splits or recipes.
    """
    options = _words(config.options, "--options")
    found: dict[str, TrainConfig] = {}
    for name in config.presets:
        found[name] = _parsed(name, [name, *options])
    for text in config.variants:
        name, equals, rest = text.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise UsageError(
                f"variant {shortened(text)} is not NAME=OPTIONS; give a name, a preset and options of calco train, "
                'such as "l1=small --objective.gan none"'
            )
        own = _words(rest, f"variant {name}")
        first = own[:1] if own and not own[0].startswith("--") else []
        _add(found, name, _parsed(name, [*first, *options, *own[len(first) :]]))
    for name, variant in (given or {}).items():
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"variant {shortened(name)}: a name has letters, digits, dots, dashes and plus signs alone"
            )
        _add(found, name, variant)
    if not found:
        raise UsageError(f"there is nothing to compare; give --presets (of {', '.join(PRESETS)}) or --variants")
    _check_alike(found)
    minutes = 0.0 if config.steps else config.minutes
    limited = {
        name: replace(each, limit=replace(each.limit, steps=config.steps or each.limit.steps, minutes=minutes))
        for name, each in found.items()
    }
    if config.shares == (1.0,):
        return limited
    if own := [name for name, each in limited.items() if each.split.training < 1]:
        raise UsageError(f"variant {own[0]} sets --split.training, and so does --shares; leave one of them out")
    return {
        f"{name}{SHARE}{share:g}": replace(each, split=replace(each.split, training=share))
        for name, each in limited.items()
        for share in config.shares
    }


def _add(found: dict[str, TrainConfig], name: str, variant: TrainConfig) -> None:
    if name in found:
        raise UsageError(f"there are two variants {name}; give one of them another name")
    found[name] = variant


def _words(text: str, where: str) -> list[str]:
    """Split options as a shell does."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{where}: {shortened(text)} ends within a quotation; close it") from error


def _parsed(name: str, words: Sequence[str]) -> TrainConfig:
    """Parse a preset and options of calco train; an option that stands twice counts as the later one."""
    base: TrainConfig | None = None
    rest: list[str] = []
    asked = named_in(words)
    places = iter(words)
    for number, word in enumerate(places):
        option, equals, value = word.partition("=")
        if owner := _OWN.get(option):
            raise UsageError(f"variant {name}: {option} is the same for all runs; give {owner} to calco ablate instead")
        if option in _OWN:
            raise UsageError(f"variant {name}: {option} is not for an ablation; leave it out")
        if option in ("--preset", "--config"):
            value = value if equals else next(places, "")
            if base is not None:
                raise UsageError(
                    f"variant {name}: a preset and a configuration each bring everything; give one of them"
                )
            base = preset(value, *asked) if option == "--preset" else _loaded(name, value)
        elif not number and not word.startswith("--"):
            try:
                base = preset(word, *asked)
            except UsageError as error:
                raise UsageError(f"variant {name}: {error}" if name != word else str(error)) from error
        else:
            rest.append(word)
    default = base or preset("pix2pix", *asked)
    config = _by_tyro(name, rest, default)
    if config.images != default.images:
        raise UsageError(
            f"variant {name}: {shortened(config.images)} is not an option of calco train; give the "
            "data sets to calco ablate"
        )
    return config


def _loaded(name: str, path: str) -> TrainConfig:
    try:
        return replace(load_config(path), images="", out="", seed=0)
    except CalcoError as error:
        raise UsageError(f"variant {name}: {error}") from error


def _by_tyro(name: str, words: Sequence[str], default: TrainConfig) -> TrainConfig:
    """Parse options; what tyro prints becomes an error of one line."""
    import tyro

    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
            parsed: TrainConfig = tyro.cli(TrainConfig, args=list(words), default=default, prog="calco train")
            return parsed
    except CalcoError as error:
        raise UsageError(f"variant {name}: {error}") from error
    except SystemExit as error:
        # A title, a rule, the reason, a rule, the way to the help; in a box on some terminals.
        plain = re.sub(r"[╭╮╰╯│]", " ", printed.getvalue()).replace("─", "-")
        parts = re.split(r"-{10,}", plain)
        reason = shortened(parts[1] if len(parts) > 1 else plain, 200).rstrip(".:") or "help is not an option"
        raise UsageError(f"variant {name}: {reason}; give options that calco train takes") from error


def _check_alike(variants: Mapping[str, TrainConfig]) -> None:
    """Make sure that all variants are trained and scored on the same pairs."""
    (first, reference), *others = variants.items()
    for name, each in others:
        for part, same in (
            ("source", each.source == reference.source),
            ("split", replace(each.split, training=1) == replace(reference.split, training=1)),
            ("recipe", each.recipe.recipe == reference.recipe.recipe),
        ):
            if not same:
                raise UsageError(
                    f"the variants {first} and {name} have another {part}, so their scores would not compare; give "
                    "it to all of them with --options"
                )
