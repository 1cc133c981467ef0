"""Findings on data that teach nothing: grey images to colour, targets equal to their inputs, one image for all."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import numpy as np

from calco.checking.finding import Case, Finding, Mend, Severity, counted
from calco.checking.survey import Facts
from calco.data.recipe_config import RecipeConfig, steps_of
from calco.data.recipes import build_recipe
from calco.data.sample import Pair, generator
from calco.data.source import Source
from calco.errors import CalcoError
from calco.imaging import as_channels, converts

SAMPLED: Final = 8
"""Pairs that are made by the recipe, to see what it leaves to learn."""
_FEW: Final = 0.05  # share of the images that may be grey where colour is learned
_SAME: Final = 4  # entries from which on it is no chance that all show one image


def lesson_findings(facts: Sequence[Facts], recipe: RecipeConfig, pairs: Sequence[Pair]) -> list[Finding]:
    """Return the findings on what there is to learn.

    Args:
        facts: Of the entries.
        recipe: What is to be learned; its recipe is "auto" where the source leaves it open.
        pairs: Some pairs as the recipe makes them.
    """
    return [*_grey(facts, recipe), *_unchanged(facts), *_one_image(facts), *_sampled(pairs, recipe)]


def sampled_pairs(source: Source, recipe: RecipeConfig) -> list[Pair]:
    """Some pairs of a source as its recipe makes them, always the same; those that cannot be made are left out."""
    if recipe.recipe == "auto" or source.kind == "shards":
        return []
    pairs = []
    with suppress(CalcoError):
        make = build_recipe(recipe, source.kind, source.recipe)
        for place in np.unique(np.linspace(0, len(source.items) - 1, SAMPLED).astype(int)):
            item = source.items[place]
            with suppress(CalcoError):
                pairs.append(make(source.load(item), generator(0, 0, item.key, "recipe")))
    return pairs


def _grey(facts: Sequence[Facts], recipe: RecipeConfig) -> list[Finding]:
    """Images without colour, where colour is what is learned or may be."""
    shown = {fact.key: fact.sides.get("target") or fact.sides.get("image") for fact in facts if not fact.error}
    hues = {key: side.hues for key, side in shown.items() if side is not None and not side.constant}
    words = {"grey": "grey", "tinted": "grey in one tint"}
    cases = tuple(Case((key,), words[each]) for key, each in hues.items() if each != "colour")
    if not cases:
        return []
    every = len(cases) == len(hues)
    steps = [] if recipe.recipe == "auto" else steps_of(recipe.recipe)
    if "colorize" in steps:
        severity: Severity = "must" if len(cases) > len(hues) * _FEW else "should"
        text = "There is no colour to learn. Take colour images." if every else (
            "They teach to leave images grey, and colours come out dull. Leave them out."
        )  # fmt: skip
        title = f"All {counted(cases, 'image')} are grey" if every else f"{counted(cases, 'image')} grey among colour"
        mend: Mend = "" if every else "drop"
        return [Finding("grey", severity, title, text, cases, mend)]
    if steps and (every or len(cases) > len(hues) / 2):
        return []  # grey is what the set is
    if any(step in ("segment", "composite") for step in steps):
        return []  # the targets are painted
    title = f"All {counted(cases, 'image')} are grey" if every else f"{counted(cases, 'image')} grey among colour"
    text = "--recipe colorize learns no colour from them." if not steps else "They teach to leave colour away."
    return [Finding("grey", "should", title, text, cases)]


def _unchanged(facts: Sequence[Facts]) -> list[Finding]:
    """Pairs whose two sides are one image."""
    cases = tuple(
        Case((fact.key,), "input and target are the same image")
        for fact in facts
        if {"input", "target"} <= fact.sides.keys()
        and not fact.misfit
        and fact.sides["input"].shown == fact.sides["target"].shown
    )
    return [
        Finding("unchanged", "must", f"{counted(cases, 'pair')} whose target is its input",
                "They teach to change nothing. Correct the target, or leave the pair out.", cases, "drop"),
    ]  # fmt: skip


def _one_image(facts: Sequence[Facts]) -> list[Finding]:
    """Sides on which all entries show the same image."""
    found = []
    for side in ("input", "target"):
        shown = Counter(fact.sides[side].shown for fact in facts if side in fact.sides)
        if len(shown) == 1 and shown.total() >= _SAME:
            found.append(
                Finding("one-image", "must", f"All {shown.total():,} entries have the same {side}",
                        "There is nothing to tell apart. Correct the files.", (Case((), f"one {side} for all"),))
            )  # fmt: skip
    return found


def _sampled(pairs: Sequence[Pair], recipe: RecipeConfig) -> list[Finding]:
    """Pairs that the recipe leaves without a task."""
    same = tuple(Case((pair.key,)) for pair in pairs if _equal(pair)) if "colorize" not in recipe.recipe else ()
    none = tuple(Case((pair.key,)) for pair in pairs if pair.region is not None and not pair.region.any())
    whole = tuple(Case((pair.key,)) for pair in pairs if pair.region is not None and pair.region.all())
    of = f"of {len(pairs)} pairs that the recipe made"
    if none:
        same = ()  # what erases nothing changes nothing
    return [
        Finding("recipe-unchanged", "must", f"{len(same)} {of} have an input that equals the target",
                "Such a pair teaches to change nothing: give the recipe something to change.", same),
        Finding("erases-nothing", "must" if len(none) == len(pairs) else "should",
                f"{len(none)} {of} have nothing erased",
                "Nothing is learned from an image without holes: correct the masks.", none),
        Finding("erases-everything", "must" if len(whole) == len(pairs) else "should",
                f"{len(whole)} {of} have everything erased",
                "A network can only guess there: correct the masks (white erases, or black with --mask-erases black).",
                whole),
    ]  # fmt: skip


def _equal(pair: Pair) -> bool:
    """Whether the input is the target, in any number of channels."""
    channels = pair.target.shape[2]
    if pair.input.dtype != pair.target.dtype or not converts(pair.input.shape[2], channels):
        return False
    return bool(np.array_equal(as_channels(pair.input, channels), pair.target))
