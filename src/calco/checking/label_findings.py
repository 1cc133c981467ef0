"""Findings on what marks the objects of an image: masks and boxes."""

import os
from collections.abc import Sequence
from typing import Final

from calco.annotations.record import COSTS_A_IMAGE
from calco.checking.finding import Case, Finding, counted
from calco.checking.labels import STRETCHED, TURNED
from calco.checking.survey import Facts
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
        Finding("boxes-beyond", "should", f"{counted(beyond, 'image')} with boxes that had to be mended",
                "They are cut off at the image's edge, or their corners are put in order.", beyond),
    ]  # fmt: skip
