"""What `prepare` does for composites alone: how many of each photograph, and what is said about them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from calco.console import warn
from calco.data.recipe_config import CompositeConfig
from calco.data.recipes.composite import cutouts_of
from calco.data.recipes.cutouts import unusable
from calco.data.sample import fraction
from calco.data.source import Item, Source


def spread(splits: dict[str, list[Item]], count: int) -> dict[str, list[Item]]:
    """So many entries of the photographs, each about as often as any other; which of them more often, a hash tells.

    Args:
        splits: Items by split.
        count: How many entries there shall be.

    Returns:
        By split; of what is there several times, each has a key of its own.
    """
    items = [item for some in splits.values() for item in some]
    times, more = divmod(count, len(items))
    order = sorted(items, key=lambda item: fraction("spread", item.key))
    number = {item.key: times + (place < more) for place, item in enumerate(order)}
    digits = len(str(times))

    def entries(item: Item) -> list[Item]:
        if number[item.key] == 1 and times <= 1 and count <= len(items):
            return [item]
        return [replace(item, key=f"{item.key}@{n:0{digits}d}") for n in range(number[item.key])]

    return {split: [entry for item in some for entry in entries(item)] for split, some in splits.items()}


def noted(source: Source, config: CompositeConfig) -> Source:
    """The source with the cut-outs that cannot be pasted among what is left out."""
    reasons = unusable(cutouts_of(config)).items()
    left_out = tuple((f"cut-out {name}", reason) for name, reason in reasons)
    return replace(source, left_out=(*source.left_out, *left_out))


def tell_crowded(folder: Path, splits: Sequence[str], fewest: int) -> None:
    """Warns where images have fewer objects in them than was asked for: there was no room for more.

    Args:
        folder: With COCO's files.
        splits: Whose.
        fewest: Objects that each image should have.
    """
    few = total = 0
    for split in dict.fromkeys(splits):
        content = json.loads((folder / "annotations" / f"{split}.json").read_text(encoding="utf-8"))
        numbers = dict.fromkeys((entry["id"] for entry in content["images"]), 0)
        for entry in content["annotations"]:
            numbers[entry["image_id"]] += 1
        few += sum(number < fewest for number in numbers.values())
        total += len(numbers)
    if few:
        warn(
            f"{few} of {total} images have fewer than {fewest} objects in them, for want of room; make them smaller "
            "(--cutout-size), or let more of them be hidden (--least-visible)"
        )
