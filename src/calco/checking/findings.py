"""Findings on files, duplicates, pairs and recipes; `calco check` lists all findings, training prints them first."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from calco.checking.alignment import common_shift, mirrored, shifted, swapped
from calco.checking.duplicates import Duplicate
from calco.checking.label_findings import box_findings, mask_findings, mask_set_findings
from calco.checking.result import SEVERITIES, Case, Finding, Fix, Severity, counted
from calco.checking.similarity import clusters
from calco.checking.survey import Facts, modes
from calco.data.declared import SPLITS
from calco.data.recipe_config import RecipeConfig, steps_of
from calco.data.recipes import build_recipe
from calco.data.sample import Pair, generator
from calco.data.source import Source
from calco.errors import CalcoError
from calco.imaging import as_channels, converts

SMALL: Final = 64
"""Pixels of the shorter side under which an image is small."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Everything that was measured of a data set.

    Attributes:
        source: The data set.
        facts: Of each entry that was looked at.
        duplicates: Entries that show one image.
        split: Key => "train", "val" or "test".
        recipe: What is to be learned, resolved; its recipe is "auto" where the source leaves it open.
        mask_problem: Why the masks are not understood, or "".
        pairs: Some pairs as the recipe makes them.
    """

    source: Source
    facts: Sequence[Facts]
    duplicates: Sequence[Duplicate] = ()
    split: Mapping[str, str] = field(default_factory=dict)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    mask_problem: str = ""
    pairs: Sequence[Pair] = ()


def find(seen: Inspection) -> list[Finding]:
    """Return every finding of a data set, what must be fixed first.

    Args:
        seen: What was measured of it: all of it by `calco check`, a part of it before training.
    """
    group = {item.key: item.group for item in seen.source.items}
    found = [
        *_files(seen.source, seen.facts),
        *_duplicates(seen.duplicates, seen.split, group, {item.key: item.split for item in seen.source.items}),
        *_positions(seen.facts),
        *mask_set_findings(seen.source.masks, seen.mask_problem),
        *mask_findings(seen.facts),
        *box_findings(seen.source, seen.facts),
        *lesson_findings(seen.facts, seen.recipe, seen.pairs),
        *_sizes_and_modes(seen.facts),
    ]
    return sorted((f for f in found if f.cases), key=lambda finding: SEVERITIES.index(finding.severity))


def _files(source: Source, facts: Sequence[Facts]) -> list[Finding]:
    damaged = tuple(Case((fact.key,), fact.error) for fact in facts if fact.error)
    misfit = tuple(Case((fact.key,), fact.misfit) for fact in facts if fact.misfit)
    constant = tuple(
        Case((fact.key,), f"the {' and the '.join(sides)} {'shows' if len(sides) == 1 else 'show'} one colour alone")
        for fact in facts
        if (sides := [name for name, side in fact.sides.items() if side.constant])
    )
    by_table = tuple(Case((name,), reason) for name, reason in source.left_out if reason.endswith(".csv)"))
    # What an annotation names by its place in full, the source names from its root on.
    torn = {
        problem.where.removeprefix(f"{source.root}/") for problem in source.problems if problem.fault == "unreadable"
    }
    left = tuple(case for name, reason in source.left_out if (case := Case((name,), reason)) not in by_table)
    unread = tuple(case for case in left if case.keys[0] in torn)
    lost = {problem.image for problem in source.problems if problem.fault == "incomplete"}  # see the boxes
    left = tuple(case for case in left if case not in unread and case.keys[0] not in lost)
    return [
        Finding("unreadable", "must", f"{counted(damaged, 'image')} cannot be read",
                "Training passes over them; repair or replace them, or leave them out.", damaged, "drop"),
        Finding("unreadable-annotations", "must", f"{counted(unread, 'annotation')} cannot be read",
                "Its content is lost, and its image is not used. Fix it or export it again, or remove it.", unread),
        Finding("sizes-differ", "must", f"{counted(misfit, 'pair')} whose sides differ in size",
                "Such a pair cannot be used: crop or resize one of its sides, or leave it out.", misfit, "drop"),
        Finding("constant", "must", f"{counted(constant, 'entry', 'entries')} with nothing to see",
                "An image of one colour teaches the network nothing but to guess.", constant, "drop"),
        Finding("left-out", "should", f"{counted(left, 'file')} found but not used",
                "A name that stands on one side only is left out; correct the name, or bring its partner.", left),
        Finding("dropped", "note", f"{counted(by_table, 'entry', 'entries')} left out by a table",
                "Take its line out of the table to use an entry again.", by_table),
    ]  # fmt: skip


def _duplicates(
    duplicates: Sequence[Duplicate],
    split: Mapping[str, str],
    group: Mapping[str, str],
    declared: Mapping[str, str | None],
) -> list[Finding]:
    """Group duplicates, by whether a split separates them."""
    words = {frozenset((a.first, a.second)): a for a in duplicates}
    piles: dict[str, list[Case]] = {
        "duplicates-across": [], "variants-across": [], "duplicates-within": [], "copies": [], "declared-across": [],
    }  # fmt: skip
    for pile in clusters((a.first, a.second) for a in duplicates):
        within = [words[pair] for a in pile for b in pile if a < b and (pair := frozenset((a, b))) in words]
        cut = len({split[key] for key in pile} - {"gap"}) > 1
        kind = "variants" if all(link.how == "variant" for link in within) else "duplicates"
        place = f"{kind}-across" if cut else "duplicates-within"
        if len({group[key] for key in pile}) == 1:
            place = "copies"
        sides = ", ".join(f"{count} in {name}" for name, count in Counter(split[key] for key in pile).items())
        how = "; ".join(dict.fromkeys(link.words for link in within if link.words))
        if len(held := sorted(filter(None, {declared[key] for key in pile}), key=SPLITS.index)) > 1:
            kept = sorted(key for key in pile if declared[key] == held[-1])
            others = tuple(sorted(key for key in pile if declared[key] != held[-1]))
            remark = f"also {', '.join(kept)}, which is declared {held[-1]}"
            piles["declared-across"].append(Case(others, "; ".join(filter(None, (remark, how)))))
            continue
        piles[place].append(
            Case(tuple(sorted(pile, key=lambda key: (split[key], key))), f"{how} ({sides})" if cut else how)
        )
    across, variants, inside, copies, two_splits = (tuple(piles[name]) for name in piles)
    return [
        Finding("declared-across", "must", f"{counted(two_splits, 'image')} in two of the declared splits",
                "A model would be scored on what it has learned. Training leaves out exact copies by itself; leave out "
                "these all.", two_splits, "drop"),
        Finding("duplicates-across", "must", f"{counted(across, 'image')} on more than one side of the split",
                "The model would be scored on images that it has seen. Put each image and its duplicates in one group, "
                "which stays on one side.", across, "groups"),
        Finding("variants-across", "must", f"{counted(variants, 'photo')} whose variants the split parts",
                "Another cut or other colours of a training image are no test. Put them in one group.",
                variants, "groups"),
        Finding("duplicates-within", "note", f"{counted(inside, 'image')} more than once on one side of the split",
                "They count more than the others, and may be parted when the set grows: groups hold them together.",
                inside, "groups"),
        Finding("copies", "note", f"{counted(copies, 'image')} more than once, held together already",
                "Copies of one group stay on one side of the split; each counts.", copies, "groups"),
    ]  # fmt: skip


def _positions(facts: Sequence[Facts]) -> list[Finding]:
    alignments = {fact.key: fact.alignment for fact in facts if fact.alignment is not None}
    traits = {
        fact.key: (fact.sides["input"].traits, fact.sides["target"].traits) for fact in facts if len(fact.sides) == 2
    }
    exchanged = tuple(
        Case((key,), "the input looks like the targets, the target like the inputs") for key in swapped(traits)
    )
    turned = tuple(Case((key,), f"the target fits when it is {words}") for key, words in mirrored(alignments).items())
    known = {case.keys[0] for case in (*exchanged, *turned)}
    moved = tuple(
        Case((key,), f"the target lies {words}") for key, words in shifted(alignments).items() if key not in known
    )
    all_moved = common_shift(alignments)
    everywhere = (Case((), f"the targets lie {all_moved} of their inputs"),) if all_moved else ()
    return [
        Finding("swapped", "must", f"{counted(exchanged, 'pair')} whose sides are exchanged",
                "Exchange the two files (or halves), or leave the pair out.", exchanged, "drop"),
        Finding("mirrored", "must", f"{counted(turned, 'pair')} with one side mirrored or turned",
                "Mirror one side back, or leave the pair out.", turned, "drop"),
        Finding("shifted", "should", f"{counted(moved, 'pair')} shifted against each other",
                "The network learns from pixels that lie on each other, and a shift teaches it to blur: move one "
                "side, or leave the pair out by hand, with a line in dropped.csv.", moved),
        Finding("all-shifted", "should", "The targets of the whole set are shifted",
                "Crop both sides so that they lie on each other.", everywhere),
    ]  # fmt: skip


def _sizes_and_modes(facts: Sequence[Facts]) -> list[Finding]:
    small = tuple(
        Case((fact.key,), "x".join(map(str, size)) + " pixels")
        for fact in facts
        if fact.sides and min(size := min((side.size_wh for side in fact.sides.values()), key=min)) < SMALL
    )
    return [
        Finding("small", "note", f"{counted(small, 'image')} of less than {SMALL} pixels",
                "They are enlarged for training, and blurred by it.", small),
        *_mixed_modes(facts),
    ]  # fmt: skip


def _mixed_modes(facts: Sequence[Facts]) -> list[Finding]:
    """Modes that few images of a side have."""
    found = []
    for side in sorted({name for fact in facts for name in fact.sides}):
        shown = [fact for fact in facts if side in fact.sides]
        usual, count = modes(shown, side).most_common(1)[0]
        others = tuple(Case((fact.key,), fact.sides[side].mode) for fact in shown if fact.sides[side].mode != usual)
        text = f"{count} are {usual}. The others are brought to the same channels and bits as they are read."
        found.append(
            Finding("modes", "note", f"{counted(others, side)} of other channels or bits than the most", text, others)
        )
    return found


SAMPLED: Final = 8
"""Pairs that are made by the recipe, to see what it leaves to learn."""
_FEW: Final = 0.05  # share of the images that may be grey where colour is learned
_SAME: Final = 4  # entries from which on one image for all of them is no coincidence


def lesson_findings(facts: Sequence[Facts], recipe: RecipeConfig, pairs: Sequence[Pair]) -> list[Finding]:
    """Return the findings on what there is to learn.

    Args:
        facts: Of the entries.
        recipe: What is to be learned; its recipe is "auto" where the source leaves it open.
        pairs: Some pairs as the recipe makes them.
    """
    return [*_grey(facts, recipe), *_unchanged(facts), *_one_image(facts), *_sampled(pairs, recipe)]


def sampled_pairs(source: Source, recipe: RecipeConfig) -> list[Pair]:
    """Return some pairs as the recipe makes them, always the same; those that cannot be made are left out."""
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
        text = "There is no colour to learn. Use colour images." if every else (
            "They teach the model to leave images grey and colours dull. Leave them out."
        )  # fmt: skip
        title = f"All {counted(cases, 'image')} are grey" if every else f"{counted(cases, 'image')} grey among colour"
        fix: Fix = "" if every else "drop"
        return [Finding("grey", severity, title, text, cases, fix)]
    if steps and (every or len(cases) > len(hues) / 2):
        return []  # grey is what the set is
    if any(step in ("segment", "composite") for step in steps):
        return []  # the targets are painted
    title = f"All {counted(cases, 'image')} are grey" if every else f"{counted(cases, 'image')} grey among colour"
    text = "--recipe colorize learns no colour from them." if not steps else "They teach the model to omit colour."
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
                "They teach the model to change nothing. Correct the target, or leave the pair out.", cases, "drop"),
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
                "Such a pair teaches the model to change nothing: give the recipe something to change.", same),
        Finding("erases-nothing", "must" if len(none) == len(pairs) else "should",
                f"{len(none)} {of} have nothing erased",
                "Nothing is learned from an image without holes: correct the masks.", none),
        Finding("erases-everything", "must" if len(whole) == len(pairs) else "should",
                f"{len(whole)} {of} have everything erased",
                "A network can only guess there: correct the masks (white erases, or black with --mask-erases black).",
                whole),
    ]  # fmt: skip


def _equal(pair: Pair) -> bool:
    """Return whether the input is the target, in any number of channels."""
    channels = pair.target.shape[2]
    if pair.input.dtype != pair.target.dtype or not converts(pair.input.shape[2], channels):
        return False
    return bool(np.array_equal(as_channels(pair.input, channels), pair.target))
