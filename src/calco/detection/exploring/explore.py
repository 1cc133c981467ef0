"""`calco detect explore`: the page of a set of images with boxes."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from calco.data.splits import split_names
from calco.detection.config import ExploreConfig
from calco.detection.exploring.survey import HARD, SIZES, Survey, sentences, survey
from calco.detection.marked import open_marked
from calco.errors import CalcoError
from calco.files import write_json
from calco.outputs import writing_folder

FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class Explored:
    """What exploring gives.

    Attributes:
        name: Of the set.
        found: All its boxes.
        page: The HTML page.
    """

    name: str
    found: Survey
    page: Path

    def verdict(self) -> str:
        """What the set is, and what should be looked at."""
        return " ".join(sentences(self.found))


def explore(config: ExploreConfig) -> Explored:
    """Gathers the boxes of a set, and writes explore.html and explore.json into `config.out`.

    Args:
        config: Which images, and where the page goes.

    Returns:
        Counts, faults, and the page.

    Raises:
        CalcoError: When there are no images with boxes, or the page cannot be written.
    """
    from calco.detection.exploring.page import write_explore_page

    if not config.images:
        raise CalcoError("no images were named; give a folder with boxes: calco detect explore IMAGES")
    source = open_marked(config.images, config.source)
    name = Path(config.images).resolve().name or config.images
    with writing_folder(config.out, "calco detect explore") as outputs:
        folder = outputs.folder
        outputs.check(folder / each for each in ("explore.json", "explore.html"))
        found = survey(source, split_names(source.items, config.split), config.double)
        write_json(folder / "explore.json", to_json(found))
        page = write_explore_page(found, name, folder, config.samples)
    return Explored(name=name, found=found, page=page)


def to_json(found: Survey) -> dict[str, Any]:
    """Everything that was found, as plain data."""
    parts = Counter(found.split.values())
    rows = {}
    for name in found.names:
        mine = found.classes == name
        sides = found.sides[mine]
        rows[name] = {
            "boxes": int(mine.sum()),
            "images": len(np.unique(found.images[mine])),
            "median_width": float(np.median(sides[:, 0])) if len(sides) else None,
            "median_height": float(np.median(sides[:, 1])) if len(sides) else None,
        }
    return {
        "format": FORMAT,
        "images": found.source.root,
        "source": found.source.kind,
        "story": found.source.story,
        "splits": {name: parts[name] for name in ("train", "val", "test")},
        "num_images": len(found.items),
        "num_boxes": len(found.boxes),
        "num_empty": int((found.per_image == 0).sum()),
        "classes": rows,
        "seen": {
            str(size): float((found.seen_at(size) >= HARD).mean()) if len(found.boxes) else None for size in SIZES
        },
        "crowded": found.crowded,
        "odd": [{"kind": o.kind, "image": o.key, "boxes": list(o.boxes), "words": o.words} for o in found.odd],
        "faults": [{"where": p.where, "fault": p.fault, "reason": p.reason} for p in found.faults],
        "left_out": [{"name": name, "reason": reason} for name, reason in found.left_out],
    }
