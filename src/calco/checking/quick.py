"""The cheap part of the check, which training runs first: a few seconds, remarks only."""

import time
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Final

from calco.checking.findings import Case
from calco.checking.likeness import find_certain
from calco.checking.survey import Facts, Wanted, look
from calco.pairs.palettes import named_palette
from calco.pairs.sources import Item, Source
from calco.pairs.types import fraction

SECONDS: Final = 3.0
"""How long pictures are looked at."""
MOST: Final = 3000
"""Pictures that are looked at, at most."""
_KNOWN: Final = ("openmoji", "shards")  # checked when they were made
_NAMED: Final = 3


def quick_remarks(source: Source, splits: Mapping[str, Sequence[Item]], seconds: float = SECONDS) -> list[str]:
    """Sentences on what would spoil the training: twins on both sides of the split, entries that cannot be used.

    Looks at as many entries as the seconds allow, one of training and one kept apart in turn. Changes nothing.

    Args:
        source: The set.
        splits: Its items by split.
        seconds: How long it may look.
    """
    if source.kind in _KNOWN:
        return []
    split = {item.key: name for name, items in splits.items() for item in items}
    facts = _looked_at(source, splits, seconds)
    useless = [Case((fact.key,), fact.error or fact.misfit) for fact in facts if fact.error or fact.misfit]
    pairs = sorted((min(a.first, a.second), max(a.first, a.second)) for a in find_certain(facts))
    crossing = [pair for pair in pairs if split[pair[0]] != split[pair[1]]]
    remarks = []
    if useless:
        first = "; ".join(f"{case.keys[0]}: {case.words}" for case in useless[:_NAMED])
        remarks.append(f"{len(useless)} of {len(facts)} entries that were looked at cannot be used ({first})")
    if crossing:
        named = ", ".join(" = ".join(pair) for pair in crossing[:_NAMED])
        more = ", ..." if len(crossing) > _NAMED else ""
        pictures = "picture has" if len(crossing) == 1 else "pictures have"
        where = f"a twin on another side of the split ({named}{more})"
        remarks.append(f"{len(crossing)} {pictures} {where}, so the scores will be too good")
    return remarks


def _looked_at(source: Source, splits: Mapping[str, Sequence[Item]], seconds: float) -> list[Facts]:
    """The facts of as many entries as time allows, from both sides of the split."""
    apart = [item for name, items in splits.items() if name != "train" for item in items]
    train = sorted(splits.get("train", ()), key=lambda item: fraction("quick", item.key))
    apart = sorted(apart, key=lambda item: fraction("quick", item.key))[: MOST // 2]
    chosen = [item for both in zip_longest(apart, train) for item in both if item is not None][:MOST]
    wanted = Wanted(named_palette("auto"))
    end, facts = time.monotonic() + seconds, []
    for item in chosen:
        facts.append(look(source, wanted, item))
        if time.monotonic() > end:
            break
    return facts
