"""Recipe `aligned`: an image and its partner, as the source has them."""

import numpy as np

from calco.data.sample import Pair, Sample
from calco.errors import CalcoError


def aligned_pair(sample: Sample, _rng: np.random.Generator) -> Pair:
    """Return the image as the input and its partner as the target.

    Raises:
        CalcoError: If the sample has no partner.
    """
    if sample.partner is None:
        raise CalcoError(f"{sample.key} has no partner, which the recipe aligned needs; choose another --recipe")
    return Pair(
        input=sample.image, target=sample.partner, key=sample.key, group=sample.group, weight=sample.weight,
        region=sample.region,
    )  # fmt: skip
