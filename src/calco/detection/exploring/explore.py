"""`calco detect explore`: statistics and oddities of a set of images with boxes, as a page and as JSON."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from calco.data.splits import split_names
from calco.detection.annotated import open_annotated
from calco.detection.config import ExploreConfig
from calco.detection.exploring.survey import HARD, SIZES, Survey, sentences, survey
from calco.errors import CalcoError
from calco.files import write_json
from calco.outputs import writing_folder

FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class ExploreResult:
    """Result of `explore`."""

    name: str
    found: Survey
    page: Path

    def verdict(self) -> str:
        """Return the summary of the set and its oddities."""
        return " ".join(sentences(self.found))


def explore(config: ExploreConfig) -> ExploreResult:
    """Collect the boxes of a set, and write explore.html and explore.json into `config.out`.

    Args:
        config: The images and the folder.

    Returns:
        Counts, faults, and the page.

    Raises:
        CalcoError: There are no images with boxes, or the page cannot be written.
    """
    from calco.detection.exploring.page import write_explore_page

    if not config.images:
        raise CalcoError("no images are named; give a folder with boxes: calco detect explore IMAGES")
    source = open_annotated(config.images, config.source)
    name = Path(config.images).resolve().name or config.images
    with writing_folder(config.out, "calco detect explore") as outputs:
        folder = outputs.folder
        outputs.check(folder / each for each in ("explore.json", "explore.html"))
        found = survey(source, split_names(source.items, config.split), config.double)
        write_json(folder / "explore.json", to_json(found))
        page = write_explore_page(found, name, folder, config.samples)
    return ExploreResult(name=name, found=found, page=page)


def to_json(found: Survey) -> dict[str, Any]:
    """Return the statistics as plain data."""
    parts = Counter(found.split.values())
    rows = {
        name: {"boxes": each.boxes, "images": each.images, "median_width": each.median[0],
               "median_height": each.median[1]}
        for name, each in found.by_class.items()
    }  # fmt: skip
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
