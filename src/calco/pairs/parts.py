"""Which of two folders is the input, the target or the mask: by their names, then by their pictures."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from calco import images
from calco.errors import CalcoError
from calco.pairs.sources import SourceConfig

# What the words in a folder's name tell about its part; the first that fits counts.
WORDS: Final[dict[str, frozenset[str]]] = {
    "mask": frozenset({
        "mask", "masks", "matte", "mattes", "seg", "segmentation", "segmentations", "groundtruth", "truth",
        "gt",
    }),
    "label": frozenset({"label", "labels", "annotation", "annotations"}),
    "input": frozenset({
        "input", "inputs", "source", "src", "sketch", "sketches", "edge", "edges", "line", "lines", "lineart",
        "drawing", "drawings", "grey", "gray", "low", "lowres", "lr", "lq", "noisy", "blurred", "damaged", "scratched",
        "before", "condition",
    }),
    "target": frozenset({
        "output", "outputs", "target", "targets", "photo", "photos", "photograph", "photographs", "colour", "color",
        "coloured", "colored", "real", "high", "highres", "hr", "hq", "clean", "sharp", "restored", "after",
    }),
}  # fmt: skip


@dataclass(slots=True)
class Side:
    """One of two folders: its name, and its files by key."""

    name: str
    files: dict[str, str] = field(default_factory=dict)


def role_of(name: str) -> str | None:
    """What the words in a folder's name tell: "input", "target", "mask", "label" or None.

    >>> [role_of(name) for name in ("sketch", "train_B", "Ground_Truth", "cats")]
    ['input', 'target', 'mask', None]
    """
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    if words and words[-1] in ("a", "b"):
        return "input" if words[-1] == "a" else "target"
    return next((role for role, vocabulary in WORDS.items() if vocabulary & set(words)), None)


def which_parts(first: Side, second: Side, wanted: SourceConfig, root: Path) -> tuple[str, bool]:
    """The kind, and whether the second side is the input (or the picture)."""
    roles = role_of(first.name.split("/")[-1]), role_of(second.name.split("/")[-1])
    named = wanted.input is not None
    if wanted.source == "parallel" or set(roles) == {"input", "target"}:
        if wanted.source == "masks":
            raise CalcoError(f"{first.name} and {second.name} are no masks by their names; name them with --target")
        if named or roles in (("input", "target"), ("input", None), (None, "target")):
            return "parallel", False
        if roles in (("target", "input"), ("target", None), (None, "input")):
            return "parallel", True
        raise CalcoError(_which(first.name, second.name, root))
    if wanted.source == "masks" and not named and roles.count("mask") == 1:
        return "masks", roles[0] == "mask"
    flat = tuple(_is_mask(role, list(side.files.values())) for role, side in zip(roles, (first, second), strict=True))
    if named:
        return ("masks" if flat[1] or wanted.source == "masks" else "parallel"), False
    if flat in ((False, True), (True, False)):
        return "masks", flat[0]
    ranks = {"input": 0, None: 1, "target": 2, "mask": 2, "label": 0}
    if wanted.source != "masks" and ranks[roles[0]] != ranks[roles[1]]:
        return "parallel", ranks[roles[0]] > ranks[roles[1]]
    raise CalcoError(_which(first.name, second.name, root))


def _which(first: str, second: str, root: Path) -> str:
    return (
        f"{root} has two folders with the same file names, {first} and {second}, and nothing tells which is the input; "
        f"say it: --input {first} --target {second} (or the other way round, or --source photographs)"
    )


def _is_mask(role: str | None, paths: list[str]) -> bool:
    """Whether one side is masks: by its few colours, unless its name says that it is something else."""
    if role in ("input", "target"):
        return False
    return all(_few_colours(path) for path in sorted(paths)[:: max(1, len(paths) // 5)][:6])


def _few_colours(path: str) -> bool:
    """A palette file, at most 32 colours, or (as JPEG leaves them) almost nothing between black and white."""
    try:
        image = images.read(path)
    except CalcoError:
        return True  # a damaged file tells nothing; the others decide
    if len(np.unique(image.reshape(-1, image.shape[2])[:: max(1, image[..., 0].size // 200_000)], axis=0)) <= 32:
        return True
    grey = images.as_dtype(images.luminance(image), np.uint8).astype(int)
    return bool(np.mean((grey < 16) | (grey > 239)) > 0.98 and np.ptp(image.astype(int), axis=2).mean() < 4)
