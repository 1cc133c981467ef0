"""What is wrong with a set, and what mends it."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from calco.annotations.record import COSTS_A_PICTURE
from calco.checking.alignment import common_shift, mirrored, shifted, swapped
from calco.checking.labels import FOREIGN
from calco.checking.likeness import Alike
from calco.checking.survey import Facts, modes
from calco.checking.twins import clusters
from calco.pairs.palettes import PALETTES
from calco.pairs.sources import Source

Severity = Literal["must", "should", "note"]
Mend = Literal["", "groups", "drop", "palette"]
SEVERITIES: Final[tuple[Severity, ...]] = ("must", "should", "note")
_OF_ALL: Final = ("order", "unit")  # faults of the whole set
SMALL: Final = 64
"""Pixels of the shorter side under which a picture is small."""


@dataclass(frozen=True, slots=True)
class Case:
    """One instance of a finding: the entries that it concerns, and what is to be said of them."""

    keys: tuple[str, ...]
    words: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: A short name, such as "twins-across".
        severity: "must" be mended before training, "should" be looked at, or a "note".
        title: What it is, with its number.
        text: Why it matters and what can be done.
        cases: Where.
        mend: Which option of the check mends it, or "".
    """

    kind: str
    severity: Severity
    title: str
    text: str
    cases: tuple[Case, ...] = field(repr=False)
    mend: Mend = ""


def find(
    source: Source, facts: Sequence[Facts], alike: Sequence[Alike], split: Mapping[str, str], palette: str
) -> list[Finding]:
    """Everything that is to be said of a set, what must be mended first.

    Args:
        source: The set.
        facts: Of each entry.
        alike: Entries that show one picture.
        split: Key => "train", "val" or "test".
        palette: The name of the palette that masks are held against.
    """
    group = {item.key: item.group for item in source.items}
    found = [
        *_files(source, facts),
        *_alike(alike, split, group),
        *_positions(facts),
        *_masks(facts, palette),
        *_boxes(source, facts),
        *_character(facts),
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
    left = tuple(case for case in left if case not in unread)
    return [
        Finding("unreadable", "must", f"{_n(damaged, 'picture')} cannot be read",
                "Training passes over them; repair or replace them, or leave them out.", damaged, "drop"),
        Finding("unreadable-annotations", "must", f"{_n(unread, 'annotation')} cannot be read",
                "What it says is lost, and its picture is not used. Mend it or export it again, or remove it.", unread),
        Finding("sizes-differ", "must", f"{_n(misfit, 'pair')} whose sides differ in size",
                "Such a pair cannot be used: crop or resize one of its sides, or leave it out.", misfit, "drop"),
        Finding("constant", "must", f"{_n(constant, 'entry', 'entries')} with nothing to see",
                "A picture of one colour teaches the network to guess.", constant, "drop"),
        Finding("left-out", "should", f"{_n(left, 'file')} found but not used",
                "A name that stands on one side only is left out; correct the name, or bring its partner.", left),
        Finding("dropped", "note", f"{_n(by_table, 'entry', 'entries')} left out by a table",
                "Take its line out of the table to use an entry again.", by_table),
    ]  # fmt: skip


def _alike(alike: Sequence[Alike], split: Mapping[str, str], group: Mapping[str, str]) -> list[Finding]:
    """Piles of pictures that are one, by whether a split cuts them."""
    words = {frozenset((a.first, a.second)): a for a in alike}
    piles: dict[str, list[Case]] = {"twins-across": [], "variants-across": [], "twins-within": [], "copies": []}
    for pile in clusters((a.first, a.second) for a in alike):
        within = [words[pair] for a in pile for b in pile if a < b and (pair := frozenset((a, b))) in words]
        cut = len({split[key] for key in pile} - {"gap"}) > 1
        kind = "variants" if all(link.how == "variant" for link in within) else "twins"
        place = f"{kind}-across" if cut else "twins-within"
        if len({group[key] for key in pile}) == 1:
            place = "copies"
        sides = ", ".join(f"{count} in {name}" for name, count in Counter(split[key] for key in pile).items())
        how = "; ".join(dict.fromkeys(link.words for link in within if link.words))
        piles[place].append(
            Case(tuple(sorted(pile, key=lambda key: (split[key], key))), f"{how} ({sides})" if cut else how)
        )
    across, variants, inside, copies = (tuple(piles[name]) for name in piles)
    return [
        Finding("twins-across", "must", f"{_n(across, 'picture')} on more than one side of the split",
                "The model is scored on what it has learnt by heart. Put each picture and its twins in one group, "
                "which stays on one side.", across, "groups"),
        Finding("variants-across", "must", f"{_n(variants, 'photo')} whose variants the split parts",
                "Another cut or other colours of a picture that was learnt are no test. Put them in one group.",
                variants, "groups"),
        Finding("twins-within", "note", f"{_n(inside, 'picture')} more than once on one side of the split",
                "They count more than the others, and may be parted when the set grows: groups hold them together.",
                inside, "groups"),
        Finding("copies", "note", f"{_n(copies, 'picture')} more than once, held together already",
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
        Finding("swapped", "must", f"{_n(exchanged, 'pair')} whose sides are exchanged",
                "Exchange the two files (or halves), or leave the pair out.", exchanged, "drop"),
        Finding("mirrored", "must", f"{_n(turned, 'pair')} with one side mirrored or turned",
                "Mirror one side back, or leave the pair out.", turned, "drop"),
        Finding("shifted", "should", f"{_n(moved, 'pair')} shifted against each other",
                "The network learns from pixels that lie on each other, and a shift teaches it to blur: move one "
                "side, or leave the pair out by hand, with a line in dropped.csv.", moved),
        Finding("all-shifted", "should", "The targets of the whole set are shifted",
                "Crop both sides so that they lie on each other.", everywhere),
    ]  # fmt: skip


def _masks(facts: Sequence[Facts], palette: str) -> list[Finding]:
    foreign = [(fact.key, fact.labels) for fact in facts if fact.labels is not None and fact.labels.foreign > FOREIGN]
    cases = tuple(
        Case((key,), f"{labels.foreign:.0%} in other colours; its commonest values are "
                     + ", ".join("(" + ", ".join(map(str, colour)) + ")" if len(colour) > 1 else str(colour[0])
                                 for colour in labels.colours))
        for key, labels in foreign
    )  # fmt: skip
    remarks = tuple(
        Case((fact.key,), remark)
        for fact in facts
        if fact.labels is not None
        for remark in fact.labels.remarks
        if remark.startswith("the mask")
    )
    others = ", ".join(name for name in PALETTES if name != palette)
    many = len(cases) > len(facts) // 2
    remedy = f"Name the palette they were painted with (--recipe.segment.palette: {others})" if many else "Repaint them"
    return [
        Finding("mask-colours", "must", f"{_n(cases, 'mask')} with colours outside the palette {palette}",
                f"Their pixels would go to the nearest class. {remedy}, or leave them out.", cases, "drop"),
        Finding("mask-proportions", "should", f"{_n(remarks, 'mask')} of other proportions than the picture",
                "A mask is stretched over its picture; make sure that it is not cut.", remarks),
    ]  # fmt: skip


def _boxes(source: Source, facts: Sequence[Facts]) -> list[Finding]:
    """What is wrong with boxes: as they were read, and as the reader of the annotations mended them."""
    lost: dict[str, list[str]] = {fact.key: list(fact.labels.faults) for fact in facts if fact.labels}
    odd: dict[str, list[str]] = {
        fact.key: [remark for remark in fact.labels.remarks if remark.startswith("the box")]
        for fact in facts
        if fact.labels
    }
    keys = {os.path.relpath(item.paths[0], source.root): item.key for item in source.items if source.problems}
    stems = {os.path.splitext(os.path.basename(name))[0]: key for name, key in keys.items()}
    for problem in source.problems:
        if problem.fault in COSTS_A_PICTURE:
            continue  # its picture stands among what was left out
        if problem.fault in _OF_ALL:
            continue
        # What could not be read often names its picture without folder and ending, or does not name it at all.
        key = keys.get(problem.picture) or stems.get(os.path.splitext(os.path.basename(problem.picture))[0])
        if key and problem.reason.endswith("left out"):
            lost.setdefault(key, []).append(str(problem))
        else:
            odd.setdefault(key or problem.where, []).append(str(problem))
    wrong, beyond = (
        tuple(Case((key,), "; ".join(reasons)) for key, reasons in each.items() if reasons) for each in (lost, odd)
    )
    of_all = tuple(Case((problem.where,), problem.reason) for problem in source.problems if problem.fault in _OF_ALL)
    return [
        Finding("boxes-order", "must", "The boxes are in another order or unit than their format's",
                "A detector would learn from places where nothing is. Export the annotations again.", of_all),
        Finding("boxes-outside", "must", f"{_n(wrong, 'picture')} with boxes that cannot be used",
                "They lie outside it, enclose nothing, or are of no known class: what they mark is lost. Correct the "
                "annotations, or leave the pictures out.", wrong, "drop"),
        Finding("boxes-beyond", "should", f"{_n(beyond, 'picture')} with boxes that had to be mended",
                "They are cut off at the picture's edge, or their corners are put in order.", beyond),
    ]  # fmt: skip


def _character(facts: Sequence[Facts]) -> list[Finding]:
    small = tuple(
        Case((fact.key,), "x".join(map(str, size)) + " pixels")
        for fact in facts
        if fact.sides and min(size := min((side.size_wh for side in fact.sides.values()), key=min)) < SMALL
    )
    return [
        Finding("small", "note", f"{_n(small, 'picture')} of less than {SMALL} pixels",
                "They are enlarged for training, and blurred by it.", small),
        *_mixed_modes(facts),
    ]  # fmt: skip


def _mixed_modes(facts: Sequence[Facts]) -> list[Finding]:
    """Modes that few pictures of a side have."""
    found = []
    for side in sorted({name for fact in facts for name in fact.sides}):
        shown = [fact for fact in facts if side in fact.sides]
        usual, count = modes(shown, side).most_common(1)[0]
        others = tuple(Case((fact.key,), fact.sides[side].mode) for fact in shown if fact.sides[side].mode != usual)
        text = f"{count} are {usual}. The others are brought to the same channels and bits as they are read."
        found.append(
            Finding("modes", "note", f"{_n(others, side)} of other channels or bits than the most", text, others)
        )
    return found


def _n(cases: Sequence[Case], one: str, many: str = "") -> str:
    """A number with its noun.

    >>> _n((), "picture")
    '0 pictures'
    """
    return f"{len(cases):,} {one if len(cases) == 1 else many or one + 's'}"
