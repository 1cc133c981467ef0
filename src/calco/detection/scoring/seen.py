"""Images that a detector was trained on: by their content, and by what they show."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calco.checking.likeness import find_certain
from calco.checking.survey import Wanted, look
from calco.data.sample import fraction
from calco.data.source import Item, Source
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.errors import CalcoError

if TYPE_CHECKING:
    from calco.detection.model import DetectorInfo

MOST_COMPARED: Final = 2000
"""Images of the training, and as many others, whose thumbnails are compared at most."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The images of a set that a detector was trained on.

    Attributes:
        keys: Their keys.
        known: Whether it is known of all others that it was not.
        notes: Remarks on how that is known, a sentence each without its full stop.
    """

    keys: Collection[str] = frozenset()
    known: bool = False
    notes: tuple[str, ...] = ()


def find_seen(source: Source, info: "DetectorInfo", training: Sequence[Item], *, at_home: bool) -> Seen:
    """Find the images that a detector was trained on.

    Args:
        source: The set.
        info: What the detector says of its training.
        training: The images of the set that the training's own division would train on.
        at_home: Whether the set is the one that the detector was trained on.
    """
    digests = set(info.provenance.get("trained_on", ()))
    if not digests:
        if at_home:  # the division tells what contents do not
            return Seen(keys={item.key for item in training}, known=True)
        return Seen(notes=("The detector does not tell its images of training: some may be among these",))
    keys = {item.key for item in source.items if not digests.isdisjoint(source.digests(item))}
    if at_home:
        return Seen(keys=keys, known=True)
    others = [item for item in source.items if item.key not in keys]
    copies = _copies(source, others, info)
    note = f"{len(copies):,} of them are copies of images of the training, saved anew or resized"
    return Seen(keys=keys | copies, known=True, notes=(note,) if copies else ())


def _copies(source: Source, items: Sequence[Item], info: "DetectorInfo") -> set[str]:
    """Return the keys of the images that show the same as one of the training, where that is on this disk."""
    home = str(info.provenance.get("images", ""))
    if not items or not home or not Path(home).exists():
        return set()
    try:
        trained = open_source(home, info.source)
        training = split_items(trained.items, info.split)["train"]
    except CalcoError:
        return set()  # it is not what it was
    wanted = Wanted()
    facts = [
        replace(look(each, wanted, item), key=f"{side}{item.key}")
        for side, each, chosen in (("t", trained, training), ("s", source, items))
        for item in sorted(chosen, key=lambda item: fraction("seen", item.key))[:MOST_COMPARED]
    ]
    pairs = [alike for alike in find_certain(facts) if alike.how != "variant"]
    crossing = [{alike.first, alike.second} for alike in pairs if alike.first[0] != alike.second[0]]
    return {key[1:] for pair in crossing for key in pair if key[0] == "s"}
