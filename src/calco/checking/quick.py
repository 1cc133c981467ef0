"""The findings of `calco check` before training begins, from a look at a part of a large data set."""

import time
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Final

from calco.checking.finding import Finding
from calco.checking.findings import Inspection, find
from calco.checking.lesson_findings import sampled_pairs
from calco.checking.likeness import find_certain
from calco.checking.mask_findings import mask_set_findings
from calco.checking.mending import check_command
from calco.checking.survey import Facts, Wanted, look, wanted_masks
from calco.console import say, warn
from calco.data.config import SourceConfig
from calco.data.recipe_config import RecipeConfig
from calco.data.sample import fraction
from calco.data.source import Item, Source

SECONDS: Final = 3.0
"""How long entries are looked at, once `LEAST` of them were."""
LEAST: Final = 64
"""Entries that are looked at, however long it takes."""
MOST: Final = 3000
"""Entries that are looked at, at most."""


def report_findings(
    source: Source,
    splits: Mapping[str, Sequence[Item]],
    source_config: SourceConfig,
    *,
    recipe: RecipeConfig | None = None,
    asked: RecipeConfig | None = None,
) -> list[Finding]:
    """Print what `calco check` would find, before a training begins.

    Args:
        source: The data set.
        splits: Its items by split.
        source_config: How it was opened.
        recipe: What is to be learned, resolved; None where the task has no recipe.
        asked: The recipe as it was given, for the command that repeats the check.

    Returns:
        The findings, what must be fixed first.
    """
    if source.kind == "openmoji":  # the built-in drawings
        return []
    findings, seen = quick_findings(source, splits, recipe or RecipeConfig())
    if recipe is None:
        findings = [finding for finding in findings if finding.kind != "grey"]  # a detector learns no colour
    for finding in findings:
        (say if finding.severity == "note" else warn)(finding.line())
    if findings:
        part = f"{seen:,} of {len(source.items):,} entries were looked at; " if seen < len(source.items) else ""
        say(f"{part}all findings, with images: {check_command(source.root, source_config, recipe=asked)}")
    return findings


def report_masks(source: Source) -> None:
    """Print the findings on the masks of a source, what must be fixed first."""
    for finding in mask_set_findings(source.masks):
        if finding.cases:
            (say if finding.severity == "note" else warn)(finding.line())


def quick_findings(
    source: Source, splits: Mapping[str, Sequence[Item]], recipe: RecipeConfig, seconds: float = SECONDS
) -> tuple[list[Finding], int]:
    """Return the findings of a data set from a look at a part of it, and the number of entries that were looked at.

    Args:
        source: The data set.
        splits: Its items by split; entries of training and others are looked at in turn.
        recipe: What is to be learned, resolved.
        seconds: How long it may look, beyond the first `LEAST` entries.
    """
    split = {item.key: name for name, items in splits.items() for item in items}
    facts = _looked_at(source, splits, seconds)
    pairs = sampled_pairs(source, recipe)
    seen = Inspection(
        source=source, facts=facts, alike=find_certain(facts), split=split, recipe=recipe, pairs=pairs
    )  # fmt: skip
    return find(seen), len(facts)


def _looked_at(source: Source, splits: Mapping[str, Sequence[Item]], seconds: float) -> list[Facts]:
    """The facts of as many entries as time allows, from both sides of the split."""
    apart = [item for name, items in splits.items() if name != "train" for item in items]
    train = sorted(splits.get("train", ()), key=lambda item: fraction("quick", item.key))
    apart = sorted(apart, key=lambda item: fraction("quick", item.key))[: MOST // 2]
    chosen = [item for both in zip_longest(apart, train) for item in both if item is not None][:MOST]
    wanted = Wanted(wanted_masks(source))
    end, facts = time.monotonic() + seconds, list[Facts]()
    for item in chosen:
        facts.append(look(source, wanted, item))
        if len(facts) >= LEAST and time.monotonic() > end:
            break
    return facts
