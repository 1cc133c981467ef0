"""`calco ablate`."""

import contextlib
import logging
import shlex
from collections.abc import Iterator
from typing import Final

import calco
from calco.cli.parsing import parse

_CHATTY: Final = ("calco.training", "calco.checking", "calco.data")
"""Modules that describe each training by many lines."""
_REPEATED: Final = "calco.checking.check"
"""Module that reports the same findings on the images at the start of each run."""


def ablate(args: list[str]) -> None:
    """Train variants on the same data for the same time, and compare their scores."""
    own, dashes, options = _split(args)
    # As one word: its first character is a dash.
    config = parse(
        calco.AblateConfig, [*own, f"--options={shlex.join(options)}"] if dashes else own, "ablate", ablate.__doc__
    )
    from calco.console import show, warn

    with _warnings_alone():
        found = calco.ablate(config, progress=True)
    for scores in found.data:
        show(scores.table())
        if sentence := scores.winners():
            show(f"{scores.data}: {sentence}")
        if (times := scores.times_table()) is not None:
            show(times)
        for note in scores.notes:
            warn(note)
    for name, reason in found.failed.items():
        warn(f"{name} has no scores: {reason}")
    show(f"tables and figures are in {found.report}")


def _split(args: list[str]) -> tuple[list[str], bool, list[str]]:
    """Split the arguments at the first --."""
    place = args.index("--") if "--" in args else len(args)
    return args[:place], place < len(args), args[place + 1 :]


@contextlib.contextmanager
def _warnings_alone() -> Iterator[None]:
    """Let only warnings through from modules that would describe each of the trainings."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    reported: set[str] = set()

    def once(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return not (text in reported or reported.add(text))  # type: ignore[func-returns-value]

    for logger in loggers:
        logger.setLevel(logging.WARNING)
    logging.getLogger(_REPEATED).addFilter(once)
    try:
        yield
    finally:
        logging.getLogger(_REPEATED).removeFilter(once)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
