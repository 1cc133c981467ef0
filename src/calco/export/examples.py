"""The real images that an export is tried on: those of the training, or a folder that is named."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calco import imaging
from calco.data.dataset import PairDataset
from calco.data.recipes import build_recipe
from calco.data.source import settled
from calco.data.sources import open_source, remembered
from calco.data.splits import split_items
from calco.errors import CalcoError
from calco.export.parts import image_channels
from calco.imaging import Image
from calco.inference.folder import ModelInfo

COMPARED, CALIBRATED = 6, 32


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Inputs, HWC uint8 with the channels of the file, and their targets.

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


def examples(info: ModelInfo, images: str | Path | None) -> Examples:
    """Images to try an export on.

    Args:
        info: Of the model.
        images: A folder as `calco train` takes it, or one of plain images; None for the images of the training.

    Raises:
        CalcoError: When there are none.
    """
    root = images or remembered(info.provenance, "to try it on: --images FOLDER")
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
            where=f"{len(inputs)} images of {root} that were kept apart",
        )  # fmt: skip
    except CalcoError as error:
        if images is None:
            raise CalcoError(f"the training images cannot be used: {error}; name others: --images FOLDER") from error
    found = imaging.list_images(Path(root))[: COMPARED + CALIBRATED]
    plain = [_shown(imaging.read(str(path), background=info.source.background), info) for path in found]
    if not plain:
        raise CalcoError(f"{root} holds no image; name a folder that does")
    return Examples(
        inputs=plain[:COMPARED], targets=[], training=plain, where=f"{len(plain[:COMPARED])} images of {root}"
    )


def _shown(image: Image, info: ModelInfo) -> Image:
    paper = imaging.background_colour(info.source.background) or imaging.WHITE
    return np.ascontiguousarray(imaging.as_channels(imaging.as_dtype(image, np.uint8), image_channels(info), paper))
