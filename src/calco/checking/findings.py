"""Findings on files, duplicates, pairs, recipes, masks and boxes; `calco check` lists all, training logs them first."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

import numpy as np

from calco.annotations.record import COSTS_A_IMAGE
from calco.checking.duplicates import Duplicate, clusters
from calco.checking.mask_positions import EdgeFits, common_mask_shift, single_mask_shifts
from calco.checking.result import SEVERITIES, SMALL, Case, Finding, Severity, counted, finding_of
from calco.checking.survey import ALIGNED, STRETCHED, TURNED, Alignment, Facts
from calco.data.mask_encoding import MaskDecision, value_name
from calco.data.mask_recognition import areas_of
from calco.data.recipe_config import RecipeConfig, steps_of
from calco.data.recipes import build_recipe
from calco.data.sample import Pair, generator
from calco.data.source import Source
from calco.data.splits import SPLITS
from calco.errors import CalcoError
from calco.imaging import as_channels, converts


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Everything that was measured of a data set: all of it by `calco check`, a part of it before training."""

    source: Source
    facts: Sequence[Facts]  # of each entry that was inspected
    duplicates: Sequence[Duplicate] = ()
    split: Mapping[str, str] = field(default_factory=dict)  # key => "train", "val" or "test"
    recipe: RecipeConfig = field(default_factory=RecipeConfig)  # "auto" where the source leaves it open
    mask_problem: str = ""  # why the masks are not understood, or ""
    pairs: Sequence[Pair] = ()  # some, as the recipe makes them
    edge_fits: EdgeFits = field(default_factory=EdgeFits)  # of some masks on their images


def find(seen: Inspection) -> list[Finding]:
    """Return every finding of a data set, what must be fixed first."""
    found = [
        *_files(seen.source, seen.facts),
        *_duplicates(seen),
        *_positions(seen.facts),
        *mask_set_findings(seen.source.masks, seen.mask_problem),
        *_masks(seen.facts),
        *_mask_positions(seen.edge_fits),
        *_boxes(seen.source, seen.facts),
        *_grey(seen.facts, seen.recipe),
        *_same_images(seen.facts),
        *_sampled(seen.pairs, seen.recipe),
        *_sizes_and_modes(seen.facts),
    ]
    return sorted((f for f in found if f.cases), key=lambda finding: SEVERITIES.index(finding.severity))


def _files(source: Source, facts: Sequence[Facts]) -> Iterator[Finding]:
    yield finding_of("unreadable", (Case((fact.key,), fact.error) for fact in facts if fact.error))
    # The source names an annotation from its root on, a problem by its whole path.
    torn = {
        problem.where.removeprefix(f"{source.root}/") for problem in source.problems if problem.fault == "unreadable"
    }
    lost = {problem.image for problem in source.problems if problem.fault == "incomplete"}  # see the boxes
    unread, left_out, dropped = [], [], []
    for name, reason in source.left_out:
        case = Case((name,), reason)
        if reason.endswith(".csv)"):
            dropped.append(case)
        elif name in torn:
            unread.append(case)
        elif name not in lost:
            left_out.append(case)
    yield finding_of("unreadable-annotations", unread)
    yield finding_of("sizes-differ", (Case((fact.key,), fact.misfit) for fact in facts if fact.misfit))
    constant = {fact.key: [name for name, side in fact.sides.items() if side.constant] for fact in facts}
    yield finding_of("constant", (
        Case((key,), f"the {' and the '.join(sides)} {'shows' if len(sides) == 1 else 'show'} one colour alone")
        for key, sides in constant.items() if sides
    ))  # fmt: skip
    yield finding_of("left-out", left_out)
    yield finding_of("dropped", dropped)


def _duplicates(seen: Inspection) -> Iterator[Finding]:
    """Group duplicates, by whether a split separates them."""
    split, group = seen.split, {item.key: item.group for item in seen.source.items}
    declared = {item.key: item.split for item in seen.source.items}
    links = {frozenset((a.first, a.second)): a for a in seen.duplicates}
    piles: dict[str, list[Case]] = {
        "declared-across": [], "duplicates-across": [], "variants-across": [], "duplicates-within": [], "copies": [],
    }  # fmt: skip
    for pile in clusters((a.first, a.second) for a in seen.duplicates):
        within = [links[pair] for a in pile for b in pile if a < b and (pair := frozenset((a, b))) in links]
        how = "; ".join(dict.fromkeys(link.words for link in within if link.words))
        if len(held := sorted(filter(None, {declared[key] for key in pile}), key=SPLITS.index)) > 1:
            kept = sorted(key for key in pile if declared[key] == held[-1])
            others = tuple(sorted(key for key in pile if declared[key] != held[-1]))
            remark = f"also {', '.join(kept)}, which is declared {held[-1]}"
            piles["declared-across"].append(Case(others, "; ".join(filter(None, (remark, how)))))
            continue
        cut = len({split[key] for key in pile} - {"gap"}) > 1
        variants = all(link.how == "variant" for link in within)
        kind = ("variants-across" if variants else "duplicates-across") if cut else "duplicates-within"
        kind = "copies" if len({group[key] for key in pile}) == 1 else kind
        sides = ", ".join(f"{count} in {name}" for name, count in Counter(split[key] for key in pile).items())
        keys = tuple(sorted(pile, key=lambda key: (split[key], key)))
        piles[kind].append(Case(keys, f"{how} ({sides})" if cut else how))
    for kind, cases in piles.items():
        yield finding_of(kind, cases)


def _positions(facts: Sequence[Facts]) -> Iterator[Finding]:
    alignments = {fact.key: fact.alignment for fact in facts if fact.alignment is not None}
    traits = {
        fact.key: (fact.sides["input"].traits, fact.sides["target"].traits) for fact in facts if len(fact.sides) == 2
    }
    exchanged, turned = swapped(traits), mirrored(alignments)
    remark = "the input looks like the targets, the target like the inputs"
    yield finding_of("swapped", (Case((key,), remark) for key in exchanged))
    yield finding_of("mirrored", (Case((key,), f"the target fits when it is {how}") for key, how in turned.items()))
    moved = {key: words for key, words in shifted(alignments).items() if key not in {*exchanged, *turned}}
    yield finding_of("shifted", (Case((key,), f"the target lies {words}") for key, words in moved.items()))
    all_moved = common_shift(alignments)
    yield finding_of("all-shifted", [Case((), f"the targets lie {all_moved} of their inputs")] if all_moved else [])


_TURNS: Final = ("mirrored left to right", "upside down", "turned half round")
_APART: Final = 7.0  # squared, in standard deviations: least distance of the two sides of a data set


def shifted(alignments: dict[str, Alignment]) -> dict[str, str]:
    """Return key and words for each pair whose target, once moved, fits far better and as well as other pairs do."""
    if not alignments:
        return {}
    gain = np.array([a.fit - a.in_place for a in alignments.values()])
    usual_fit = float(np.median([a.in_place for a in alignments.values()]))
    middle = float(np.median(gain))
    spread = 1.4826 * float(np.median(np.abs(gain - middle)))  # a standard deviation that outliers do not move
    limit = max(0.15, middle + 8 * spread)
    found = {}
    for key, a in alignments.items():
        moved = max(map(abs, a.shift))
        sure = a.fit >= max(0.3, 0.75 * usual_fit, 1.3 * a.rival)
        if sure and a.fit - a.in_place > limit and 0.015 < moved < 0.2:
            found[key] = _direction(a.shift)
    return found


def common_shift(alignments: dict[str, Alignment]) -> str:
    """Return words for a shift that most pairs of the set share; "" if there is none."""
    sure = [a for a in alignments.values() if a.fit >= 0.3]
    if len(sure) < max(3, len(alignments) // 2):
        return ""
    x, y = (float(np.median([a.shift[axis] for a in sure])) for axis in (0, 1))
    gain = float(np.median([a.fit - a.in_place for a in sure]))
    agree = np.mean([abs(a.shift[0] - x) < 0.012 and abs(a.shift[1] - y) < 0.012 for a in sure])
    return _direction((x, y)) if max(abs(x), abs(y)) > 0.012 and gain > 0.1 and agree > 0.6 else ""


def _direction(shift: tuple[float, float]) -> str:
    parts = []
    for part, words in zip(shift, (("right", "left"), ("down", "up")), strict=True):
        if abs(part) >= 1 / ALIGNED:
            parts.append(f"{abs(part):.1%} {words[part < 0]}")
    return " and ".join(parts)


def mirrored(alignments: dict[str, Alignment]) -> dict[str, str]:
    """Return key and words for each pair whose outlines fit better when the target is mirrored or turned."""
    if not alignments:
        return {}
    usual = float(np.median([max(a.fit, *a.turned) for a in alignments.values()]))
    found = {}
    for key, a in alignments.items():
        margins = [fit - a.fit - extra for fit, extra in zip(a.turned, (0.08, 0.15, 0.15), strict=True)]
        best = int(np.argmax(margins))
        if margins[best] > 0 and a.turned[best] >= max(0.2, 0.5 * usual):
            found[key] = _TURNS[best]
    return found


def swapped(traits: dict[str, tuple[tuple[float, ...], tuple[float, ...]]]) -> list[str]:
    """Return the keys of pairs whose input looks as the targets do, and whose target as the inputs."""
    if len(traits) < 5:
        return []
    differences = np.array([np.subtract(*both) for both in traits.values()])
    usual = np.median(differences, axis=0)
    spread = 1.4826 * np.median(np.abs(differences - usual), axis=0) + 0.03
    weights = usual / spread**2
    distance = float(usual @ weights)
    if distance < _APART:
        return []
    scores = differences @ weights / distance
    return [key for key, score in zip(traits, scores, strict=True) if score < -0.5]


def _sizes_and_modes(facts: Sequence[Facts]) -> Iterator[Finding]:
    sizes = {fact.key: min((side.size_wh for side in fact.sides.values()), key=min) for fact in facts if fact.sides}
    small = {key: size for key, size in sizes.items() if min(size) < SMALL}
    yield finding_of("small", (Case((key,), "{}x{} pixels".format(*size)) for key, size in small.items()))
    for side in sorted({name for fact in facts for name in fact.sides}):
        modes = {fact.key: fact.sides[side].mode for fact in facts if side in fact.sides}
        usual, count = Counter(modes.values()).most_common(1)[0]
        cases = tuple(Case((key,), mode) for key, mode in modes.items() if mode != usual)
        title = f"{counted(cases, side)} of other channels or bits than the most"
        text = f"{count} are {usual}. The others are brought to the same channels and bits as they are read."
        yield Finding("modes", "note", title, text, cases)


SAMPLED: Final = 8  # pairs that are made by the recipe, to see what it leaves to learn
_FEW: Final = 0.05  # share of the images that may be grey where colour is learned
_SAME: Final = 4  # entries from which on one image for all of them is no coincidence


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
    """Find images without colour, where colour is what is learned or may be."""
    shown = {fact.key: fact.sides.get("target") or fact.sides.get("image") for fact in facts if not fact.error}
    hues = {key: side.hues for key, side in shown.items() if side is not None and not side.constant}
    words = {"grey": "grey", "tinted": "grey in one tint"}
    cases = tuple(Case((key,), words[each]) for key, each in hues.items() if each != "colour")
    if not cases:
        return []
    every = len(cases) == len(hues)
    title = f"All {counted(cases, 'image')} are grey" if every else f"{counted(cases, 'image')} grey among colour"
    steps = [] if recipe.recipe == "auto" else steps_of(recipe.recipe)
    if "colorize" in steps:
        severe = len(cases) > len(hues) * _FEW
        text = "They teach the model to leave images grey and colours dull. Leave them out."
        text = "There is no colour to learn. Use colour images." if every else text
        return [Finding("grey", "must" if severe else "should", title, text, cases, "" if every else "drop")]
    if {"segment", "composite"} & set(steps) or (steps and len(cases) > len(hues) / 2):
        return []  # the targets are painted, or grey is what the set is
    text = "They teach the model to omit colour." if steps else "--recipe colorize learns no colour from them."
    return [Finding("grey", "should", title, text, cases)]


def _same_images(facts: Sequence[Facts]) -> Iterator[Finding]:
    """Find pairs whose two sides are one image, and sides on which all entries show the same image."""
    pairs = [fact for fact in facts if {"input", "target"} <= fact.sides.keys() and not fact.misfit]
    same = [fact.key for fact in pairs if fact.sides["input"].shown == fact.sides["target"].shown]
    yield finding_of("unchanged", (Case((key,), "input and target are the same image") for key in same))
    for side in ("input", "target"):
        shown = Counter(fact.sides[side].shown for fact in facts if side in fact.sides)
        if len(shown) == 1 and shown.total() >= _SAME:
            yield finding_of("one-image", [Case((), f"one {side} for all")], f"{shown.total():,}", side)


def _sampled(pairs: Sequence[Pair], recipe: RecipeConfig) -> Iterator[Finding]:
    """Find pairs that the recipe leaves without a task."""
    none = [pair for pair in pairs if pair.region is not None and not pair.region.any()]
    whole = [pair for pair in pairs if pair.region is not None and pair.region.all()]
    # What erases nothing changes nothing.
    same = [
        pair
        for pair in pairs
        if pair.input.dtype == pair.target.dtype
        and converts(pair.input.shape[2], pair.target.shape[2])
        and np.array_equal(as_channels(pair.input, pair.target.shape[2]), pair.target)
    ]
    same = [] if none or "colorize" in recipe.recipe else same
    for kind, found in (("recipe-unchanged", same), ("erases-nothing", none), ("erases-everything", whole)):
        words = f"{len(found)} of {len(pairs)} pairs that the recipe made"
        severity: Severity | None = "must" if len(found) == len(pairs) else None
        yield finding_of(kind, (Case((pair.key,)) for pair in found), words, severity=severity)


_OF_ALL: Final = ("order", "unit")  # faults of the boxes of the whole set


def _masks(facts: Sequence[Facts]) -> Iterator[Finding]:
    """Yield the findings on single masks: how they lie on their images."""
    remarks = [(fact.key, remark) for fact in facts if fact.labels for remark in fact.labels.remarks]
    for kind, start in (("mask-proportions", STRETCHED), ("mask-turned", TURNED)):
        yield finding_of(kind, (Case((key,), remark) for key, remark in remarks if remark.startswith(start)))


def _mask_positions(fits: EdgeFits) -> Iterator[Finding]:
    """Yield the findings on where masks lie on their images: all of them together, or single ones."""
    if shift := common_mask_shift(fits):
        where = f"{len(shift.keys):,} of {shift.compared:,}"
        yield finding_of("masks-shifted", (Case((key,)) for key in shift.keys), shift, where, -shift.x, -shift.y)
    singles = single_mask_shifts(fits)
    yield finding_of("mask-shifted", (Case(each.keys, f"the mask lies about {each}") for each in singles))


def _boxes(source: Source, facts: Sequence[Facts]) -> Iterator[Finding]:
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
        elif key:
            odd.setdefault(key, []).append(str(problem))
        else:
            odd.setdefault(problem.where, []).append(problem.reason)
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
