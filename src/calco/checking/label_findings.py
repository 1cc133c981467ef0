"""Findings on masks and boxes."""

import os
from collections.abc import Sequence
from typing import Final

import numpy as np

from calco.annotations.record import COSTS_A_IMAGE
from calco.checking.result import Case, Finding, counted
from calco.checking.survey import STRETCHED, TURNED, Facts
from calco.data.mask_encoding import MaskDecision, MaskEncoding, MaskSurvey, value_name
from calco.data.mask_recognition import areas_of
from calco.data.source import Source

_OF_ALL: Final = ("order", "unit")  # faults of the whole set


def mask_findings(facts: Sequence[Facts]) -> list[Finding]:
    """Return the findings on single masks: how they lie on their images."""
    remarks = {fact.key: fact.labels.remarks for fact in facts if fact.labels is not None}
    stretched, turned = (
        tuple(Case((key,), remark) for key, each in remarks.items() for remark in each if remark.startswith(start))
        for start in (STRETCHED, TURNED)
    )
    return [
        Finding("mask-proportions", "should", f"{counted(stretched, 'mask')} of other proportions than the image",
                "A mask is stretched over its image; make sure that it is not cut.", stretched),
        Finding("mask-turned", "note", f"{counted(turned, 'mask')} turned as the EXIF of the image says",
                "They were drawn on the stored pixels, which EXIF turns.", turned),
    ]  # fmt: skip


def box_findings(source: Source, facts: Sequence[Facts]) -> list[Finding]:
    """Return the findings on boxes: as they were read, and as the reader of the annotations corrected them."""
    lost: dict[str, list[str]] = {fact.key: list(fact.labels.faults) for fact in facts if fact.labels}
    odd: dict[str, list[str]] = {
        fact.key: [remark for remark in fact.labels.remarks if remark.startswith("the box")]
        for fact in facts
        if fact.labels
    }
    keys = {os.path.relpath(item.paths[0], source.root): item.key for item in source.items if source.problems}
    stems = {os.path.splitext(os.path.basename(name))[0]: key for name, key in keys.items()}
    reasons_of = {
        os.path.splitext(os.path.basename(problem.image))[0]: str(problem)
        for problem in source.problems
        if problem.fault == "incomplete"
    }
    unused: dict[str, list[str]] = {stem: [] for stem in reasons_of}
    for problem in source.problems:
        if problem.fault in COSTS_A_IMAGE:
            continue  # its image stands among what was left out
        if problem.fault in _OF_ALL:
            continue
        # What could not be read often names its image without folder and ending, or does not name it at all.
        stem = os.path.splitext(os.path.basename(problem.image))[0]
        key = keys.get(problem.image) or stems.get(stem)
        if not key and stem in unused:
            unused[stem].append(str(problem))
        elif key and problem.reason.endswith("left out"):
            lost.setdefault(key, []).append(str(problem))
        else:
            odd.setdefault(key or problem.where, []).append(str(problem))
    wrong, beyond = (
        tuple(Case((key,), "; ".join(reasons)) for key, reasons in each.items() if reasons) for each in (lost, odd)
    )
    without = tuple(Case((stem,), "; ".join(reasons or [reasons_of[stem]])) for stem, reasons in unused.items())
    of_all = tuple(Case((problem.where,), problem.reason) for problem in source.problems if problem.fault in _OF_ALL)
    return [
        Finding("boxes-order", "must", "The boxes are in another order or unit than their format's",
                "A detector would learn from places where nothing is. Export the annotations again.", of_all),
        Finding("boxes-outside", "must", f"{counted(wrong, 'image')} with boxes that cannot be used",
                "They lie outside it, enclose nothing, or are of no known class: what they mark is lost. Correct the "
                "annotations, or leave the images out.", wrong, "drop"),
        Finding("boxes-lost", "must", f"{counted(without, 'image')} without any box that can be used",
                "It is not known whether anything is in them, so they are not trained on. Correct the annotations.",
                without),
        Finding("boxes-beyond", "should", f"{counted(beyond, 'image')} with boxes that had to be corrected",
                "They are cut off at the image's edge, or their corners are put in order.", beyond),
    ]  # fmt: skip


_VOID: Final = -1


def mask_set_findings(decision: MaskDecision | None, problem: str = "") -> list[Finding]:
    """Return the findings on all masks of a data set together.

    Args:
        decision: What the masks were recognised as; None where nothing was decided.
        problem: Why nothing could be decided, or "".
    """
    if problem:
        text = "Nothing can be learned from masks whose values are not understood."
        return [Finding("masks-unknown", "must", "The masks are not understood", text, (Case((), problem),))]
    if decision is None:
        return []
    areas = areas_of(decision.survey, decision.encoding)
    held = [place for place in range(len(decision.names)) if areas[place]]
    return [
        *_classes(decision, held),
        *_foreign(decision),
        *_of_one_value(decision, held),
        *_void(decision, areas[_VOID]),
    ]


def _classes(decision: MaskDecision, held: list[int]) -> list[Finding]:
    """Classes that no mask has, or that one mask alone has."""
    names = decision.names
    if len(held) < 2:
        shown = names[held[0]] if held else "void"
        return [
            Finding("masks-empty", "must", f"Every pixel of every mask is {shown}: no mask marks an object",
                    "There is nothing to learn, and a model that finds nothing has a perfect score. Export the masks "
                    "again, or name what their values mean with --palette or --mask-encoding.",
                    (Case((), f"values {', '.join(map(value_name, sorted(decision.survey.total)))[:200]}"),))
        ]  # fmt: skip
    absent = tuple(Case((name,)) for place, name in enumerate(names) if place not in held)
    many = len(decision.survey.files) >= 3
    once = tuple(
        Case((keys[0],), f"class {names[place]}")
        for place, keys in _masks_of(decision.survey, decision.encoding).items()
        if many and len(keys) == 1 and place in held
    )
    return [
        Finding("classes-absent", "should", f"{counted(absent, 'class', 'classes')} in no mask",
                "A model cannot learn a class that it never sees: take it out of the palette, or correct the masks.",
                absent),
        Finding("classes-rare", "should", f"{counted(once, 'class', 'classes')} in one mask alone",
                "If it is a stray colour, repaint it; else one image is little to learn from.", once),
    ]  # fmt: skip


def _masks_of(survey: MaskSurvey, encoding: MaskEncoding) -> dict[int, list[str]]:
    """Keys of the masks that have each class; empty where masks have too many values for it to be known."""
    if any(values is None for values in survey.files.values()):
        return {}
    found: dict[int, list[str]] = {}
    classes: dict[tuple[int, ...], set[int]] = {}
    for key, values in survey.files.items():
        assert values is not None
        if values not in classes:
            places, unknown = encoding.known(np.array(values, np.int64))
            classes[values] = {int(place) for place, foreign in zip(places, unknown, strict=True) if not foreign}
        for place in classes[values]:
            found.setdefault(place, []).append(key)
    return found


def _foreign(decision: MaskDecision) -> list[Finding]:
    """Masks with values that stand for no class."""
    survey, encoding = decision.survey, decision.encoding
    codes = np.array([code for code in survey.total if survey.solid[code] or encoding.by == "number"], np.int64)
    if not len(codes):
        return []
    _, unknown = encoding.known(codes)
    foreign = {int(code) for code in codes[unknown]}
    cases = tuple(
        Case((key,), f"values {', '.join(map(value_name, odd[:4]))}")
        for key, values in survey.files.items()
        if values is not None and (odd := [value for value in values if value in foreign])
    )
    return [
        Finding("mask-colours", "must", f"{counted(cases, 'mask')} with values that stand for no class",
                f"The classes are {encoding}. Training passes over these masks: correct them, add the values to the "
                "--palette, or leave them out.", cases, "drop"),
    ]  # fmt: skip


def _of_one_value(decision: MaskDecision, held: list[int]) -> list[Finding]:
    """Masks that are all one class."""
    if len(held) < 2:
        return []
    even = {key: values[0] for key, values in decision.survey.files.items() if values is not None and len(values) == 1}
    cases = tuple(Case((key,), f"all {value_name(value)}") for key, value in even.items())
    return [
        Finding("masks-even", "note", f"{counted(cases, 'mask')} of one value alone",
                "An image without any object is fine, a mask that was not exported is not.", cases),
    ]  # fmt: skip


def _void(decision: MaskDecision, pixels: int) -> list[Finding]:
    """Return the share of pixels that belong to no class."""
    if not pixels:
        return []
    share = pixels / decision.survey.pixels
    case = Case((), f"{share:.1%} of all pixels: {', '.join(map(value_name, decision.encoding.void))}")
    text = "Nothing is learned from these pixels, and they do not count in scores."
    return [Finding("masks-void", "note", "Masks with void pixels, which belong to no class", text, (case,))]
