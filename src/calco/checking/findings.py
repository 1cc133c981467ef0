"""Findings: what would spoil training on a data set. `calco check` lists them, training prints them first."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from calco.checking.alignment import common_shift, mirrored, shifted, swapped
from calco.checking.finding import SEVERITIES, Case, Finding, counted
from calco.checking.label_findings import box_findings, mask_findings
from calco.checking.lesson_findings import lesson_findings
from calco.checking.likeness import Alike
from calco.checking.mask_findings import mask_set_findings
from calco.checking.survey import Facts, modes
from calco.checking.twins import clusters
from calco.data.declared import SPLITS
from calco.data.recipe_config import RecipeConfig
from calco.data.sample import Pair
from calco.data.source import Source

SMALL: Final = 64
"""Pixels of the shorter side under which an image is small."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Everything that was measured of a data set.

    Attributes:
        source: The data set.
        facts: Of each entry that was looked at.
        alike: Entries that show one image.
        split: Key => "train", "val" or "test".
        recipe: What is to be learned, resolved; its recipe is "auto" where the source leaves it open.
        mask_problem: Why the masks are not understood, or "".
        pairs: Some pairs as the recipe makes them.
    """

    source: Source
    facts: Sequence[Facts]
    alike: Sequence[Alike] = ()
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
        *_alike(seen.alike, seen.split, group, {item.key: item.split for item in seen.source.items}),
        *_positions(seen.facts),
        *mask_set_findings(seen.source.masks, seen.mask_problem),
        *mask_findings(seen.facts),
        *box_findings(seen.source, seen.facts),
        *lesson_findings(seen.facts, seen.recipe, seen.pairs),
        *_character(seen.facts),
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
                "What it says is lost, and its image is not used. Mend it or export it again, or remove it.", unread),
        Finding("sizes-differ", "must", f"{counted(misfit, 'pair')} whose sides differ in size",
                "Such a pair cannot be used: crop or resize one of its sides, or leave it out.", misfit, "drop"),
        Finding("constant", "must", f"{counted(constant, 'entry', 'entries')} with nothing to see",
                "An image of one colour teaches the network to guess.", constant, "drop"),
        Finding("left-out", "should", f"{counted(left, 'file')} found but not used",
                "A name that stands on one side only is left out; correct the name, or bring its partner.", left),
        Finding("dropped", "note", f"{counted(by_table, 'entry', 'entries')} left out by a table",
                "Take its line out of the table to use an entry again.", by_table),
    ]  # fmt: skip


def _alike(
    alike: Sequence[Alike], split: Mapping[str, str], group: Mapping[str, str], declared: Mapping[str, str | None]
) -> list[Finding]:
    """Piles of images that are one, by whether a split cuts them."""
    words = {frozenset((a.first, a.second)): a for a in alike}
    piles: dict[str, list[Case]] = {
        "twins-across": [], "variants-across": [], "twins-within": [], "copies": [], "declared-across": [],
    }  # fmt: skip
    for pile in clusters((a.first, a.second) for a in alike):
        within = [words[pair] for a in pile for b in pile if a < b and (pair := frozenset((a, b))) in words]
        cut = len({split[key] for key in pile} - {"gap"}) > 1
        kind = "variants" if all(link.how == "variant" for link in within) else "twins"
        place = f"{kind}-across" if cut else "twins-within"
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
        Finding("twins-across", "must", f"{counted(across, 'image')} on more than one side of the split",
                "The model is scored on what it has learnt by heart. Put each image and its twins in one group, "
                "which stays on one side.", across, "groups"),
        Finding("variants-across", "must", f"{counted(variants, 'photo')} whose variants the split parts",
                "Another cut or other colours of an image that was learnt are no test. Put them in one group.",
                variants, "groups"),
        Finding("twins-within", "note", f"{counted(inside, 'image')} more than once on one side of the split",
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


def _character(facts: Sequence[Facts]) -> list[Finding]:
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
