"""Findings on masks and boxes."""

import os
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Final

import numpy as np

from calco.annotations.record import COSTS_A_IMAGE
from calco.checking.result import Case, Finding, finding_of
from calco.checking.survey import STRETCHED, TURNED, Facts
from calco.data.mask_encoding import MaskDecision, value_name
from calco.data.mask_recognition import areas_of
from calco.data.source import Source

_OF_ALL: Final = ("order", "unit")  # faults of the whole set


def mask_findings(facts: Sequence[Facts]) -> Iterator[Finding]:
    """Yield the findings on single masks: how they lie on their images."""
    remarks = [(fact.key, remark) for fact in facts if fact.labels for remark in fact.labels.remarks]
    for kind, start in (("mask-proportions", STRETCHED), ("mask-turned", TURNED)):
        yield finding_of(kind, (Case((key,), remark) for key, remark in remarks if remark.startswith(start)))


def box_findings(source: Source, facts: Sequence[Facts]) -> Iterator[Finding]:
    """Yield the findings on boxes: as they were read, and as the reader of the annotations corrected them."""
    lost = {fact.key: list(fact.labels.faults) for fact in facts if fact.labels}
    odd = {
        fact.key: [remark for remark in fact.labels.remarks if remark.startswith("the box")]
        for fact in facts
        if fact.labels
    }
    keys = {os.path.relpath(item.paths[0], source.root): item.key for item in source.items if source.problems}
    stems = {PurePath(name).stem: key for name, key in keys.items()}
    reasons = {
        PurePath(problem.image).stem: str(problem) for problem in source.problems if problem.fault == "incomplete"
    }
    unused: dict[str, list[str]] = {stem: [] for stem in reasons}
    for problem in source.problems:
        if problem.fault in (*COSTS_A_IMAGE, *_OF_ALL):
            continue  # its image stands among what was left out, or it concerns all images
        # What could not be read often names its image without folder and ending, or does not name it at all.
        stem = PurePath(problem.image).stem
        key = keys.get(problem.image) or stems.get(stem)
        if not key and stem in unused:
            unused[stem].append(str(problem))
        elif key and problem.reason.endswith("left out"):
            lost.setdefault(key, []).append(str(problem))
        else:
            odd.setdefault(key or problem.where, []).append(str(problem))
    of_all = (problem for problem in source.problems if problem.fault in _OF_ALL)
    yield finding_of("boxes-order", (Case((problem.where,), problem.reason) for problem in of_all))
    yield finding_of("boxes-outside", (Case((key,), "; ".join(each)) for key, each in lost.items() if each))
    yield finding_of("boxes-lost", (Case((stem,), "; ".join(each or [reasons[stem]])) for stem, each in unused.items()))
    yield finding_of("boxes-beyond", (Case((key,), "; ".join(each)) for key, each in odd.items() if each))


def mask_set_findings(decision: MaskDecision | None, problem: str = "") -> Iterator[Finding]:
    """Yield the findings on all masks of a data set together; `problem` says why nothing could be decided."""
    if problem:
        yield finding_of("masks-unknown", [Case((), problem)])
    if decision is None or problem:
        return
    survey, encoding = decision.survey, decision.encoding
    areas = areas_of(survey, encoding)
    held = [place for place in range(len(decision.names)) if areas[place]]
    single = {key: values for key, values in survey.files.items() if values is not None}
    if len(held) < 2:
        values = f"values {', '.join(map(value_name, sorted(survey.total)))[:200]}"
        yield finding_of("masks-empty", [Case((), values)], decision.names[held[0]] if held else "void")
    else:
        yield from _classes(decision, held)
        even = {key: values[0] for key, values in single.items() if len(values) == 1}
        yield finding_of("masks-even", (Case((key,), f"all {value_name(value)}") for key, value in even.items()))
    codes = np.array([code for code in survey.total if survey.solid[code] or encoding.by == "number"], np.int64)
    foreign = set(codes[encoding.known(codes)[1]].tolist())
    odd = {key: [value for value in values if value in foreign] for key, values in single.items()}
    cases = (Case((key,), f"values {', '.join(map(value_name, each[:4]))}") for key, each in odd.items() if each)
    yield finding_of("mask-colours", cases, encoding)
    if void := areas[-1]:
        words = f"{void / survey.pixels:.1%} of all pixels: {', '.join(map(value_name, encoding.void))}"
        yield finding_of("masks-void", [Case((), words)])


def _classes(decision: MaskDecision, held: Sequence[int]) -> Iterator[Finding]:
    """Find classes that no mask has, or that one mask alone has."""
    names, files = decision.names, decision.survey.files
    yield finding_of("classes-absent", (Case((name,)) for place, name in enumerate(names) if place not in held))
    if len(files) < 3 or any(values is None for values in files.values()):
        return  # too few masks, or too many values for their classes to be known
    masks_of: dict[int, list[str]] = {}
    classes: dict[tuple[int, ...], set[int]] = {}
    for key, values in files.items():
        assert values is not None
        if values not in classes:
            places, unknown = decision.encoding.known(np.array(values, np.int64))
            classes[values] = set(places[~unknown].tolist())
        for place in classes[values]:
            masks_of.setdefault(place, []).append(key)
    once = {place: keys[0] for place, keys in masks_of.items() if len(keys) == 1 and place in held}
    yield finding_of("classes-rare", (Case((key,), f"class {names[place]}") for place, key in once.items()))
