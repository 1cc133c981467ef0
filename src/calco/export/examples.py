"""The real pictures that an export is tried on: those of the training, or a folder that is named."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calco import images
from calco.errors import CalcoError
from calco.export.parts import picture_channels
from calco.images import Image
from calco.inference.model import ModelInfo
from calco.pairs.dataset import PairDataset
from calco.pairs.opening import open_source, remembered
from calco.pairs.recipes import build_recipe
from calco.pairs.settling import settled
from calco.pairs.splits import split_items

COMPARED, CALIBRATED = 6, 32


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Inputs, HWC uint8 with the channels of the file, and what they shall become.

    Attributes:
        inputs: What is compared.
        targets: Beside them, HWC; empty where nobody knows.
        training: Inputs of the training, for calibration.
        where: What they are, in words.
    """

    inputs: list[Image]
    targets: list[Image]
    training: list[Image]
    where: str


def examples(info: ModelInfo, pictures: str | Path | None) -> Examples:
    """Pictures to try an export on.

    Args:
        info: Of the model.
        pictures: A folder as `calco train` takes it, or one of plain pictures; None for the pictures of the training.

    Raises:
        CalcoError: When there are none.
    """
    root = pictures or remembered(info.provenance, "to try it on: --pictures FOLDER")
    try:
        source = open_source(root, info.source)
        source, recipe = settled(source, info.recipe, resolved=True)
        make = build_recipe(recipe, source.kind, source.recipe)
        splits = split_items(source.items, info.split)
        kept = splits["test"] or splits["val"]
        sets = [
            PairDataset(source, items, make, info.jitter, info.seed, train=False) for items in (kept, splits["train"])
        ]
        held, seen = (
            [data.pair(number, 0) for number in range(min(len(data), count))]
            for data, count in zip(sets, (COMPARED, CALIBRATED), strict=True)
        )
        inputs = [_shown(pair.input, info) for pair in held]
        return Examples(
            inputs=inputs, targets=[pair.target for pair in held], training=[_shown(pair.input, info) for pair in seen],
            where=f"{len(inputs)} pictures of {root} that were kept apart",
        )  # fmt: skip
    except CalcoError as error:
        if pictures is None:
            raise CalcoError(
                f"the training pictures cannot be used: {error}; name others: --pictures FOLDER"
            ) from error
    found = images.list_pictures(Path(root))[: COMPARED + CALIBRATED]
    plain = [_shown(images.read(str(path), background=info.source.background), info) for path in found]
    if not plain:
        raise CalcoError(f"{root} holds no picture; name a folder that does")
    return Examples(
        inputs=plain[:COMPARED], targets=[], training=plain, where=f"{len(plain[:COMPARED])} pictures of {root}"
    )


def _shown(picture: Image, info: ModelInfo) -> Image:
    paper = images.background_colour(info.source.background) or images.WHITE
    return np.ascontiguousarray(images.as_channels(images.as_dtype(picture, np.uint8), picture_channels(info), paper))
