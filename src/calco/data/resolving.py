"""Resolution of a recipe for a data set: the encoding of its masks is decided once, from all of them."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from calco.console import bar
from calco.data.mask_encoding import (
    MaskCounts,
    MaskDecision,
    MaskSurvey,
    count_values,
    encoding_of,
    survey_files,
    survey_masks,
)
from calco.data.mask_recognition import areas_of, marks_of, recognise_masks
from calco.data.palettes import PALETTES, named_palette, palette_for, palette_name
from calco.data.recipe_config import AUTO, SegmentConfig
from calco.data.recipes import RecipeConfig, has_class_targets, resolve, steps_of
from calco.data.source import Item, Source
from calco.errors import CalcoError

LOG = logging.getLogger(__name__)


def settled(
    source: Source, config: RecipeConfig, items: Sequence[Item] | None = None, *, resolved: bool = False
) -> tuple[Source, RecipeConfig]:
    """Resolve a recipe for a source, and decide what the values of its masks mean.

    Args:
        source: The data set.
        config: As given, or that of a model.
        items: Those of the source whose masks count; None for all.
        resolved: The recipe is that of a model, whose classes stand.

    Returns:
        The source with the decision, and the recipe with palette and encoding.

    Raises:
        CalcoError: As `resolve`, and if the values of the masks are no classes, or not those of the palette.
    """
    asked = config.segment.palette
    if not resolved:
        config = resolve(config, source.kind, source.recipe, source.classes)
    classes = has_class_targets(config)
    erases_given = "erase" in steps_of(config.recipe) and config.erase.kinds == ("given",)
    if source.kind != "masks" or not (classes or erases_given):
        return source, config
    survey = _survey(source, source.items if items is None else items)
    decision = _classes(survey, config.mask_encoding, asked) if classes else _marks(survey, config.mask_encoding)
    LOG.info(f"masks: {decision.story}")
    config = replace(config, mask_encoding=str(decision.encoding))
    if classes:
        config = replace(config, segment=SegmentConfig(palette=palette_name(decision.palette)))
    return replace(source, masks=decision), config


def _survey(source: Source, items: Sequence[Item]) -> MaskSurvey:
    """Return the values of the masks of some items."""

    def count(item: Item) -> MaskCounts:
        mask = source.load(item).mask
        if mask is None:
            raise CalcoError(f"{item.key} has no mask")
        return count_values(mask)

    with bar("counting the values of masks", len(items)) as advance:
        if all(len(item.paths) == 2 for item in items):
            return survey_files(((item.key, item.paths[1]) for item in items), advance)
        return survey_masks(items, lambda item: item.key, count, advance)


def _marks(survey: MaskSurvey, encoding: str) -> MaskDecision:
    """Decide which pixels masks mark for erasing."""
    if encoding != AUTO and _fits(survey, encoding):
        found = encoding_of(encoding)
        return MaskDecision(found, PALETTES["binary"], f"as in training, {found}", survey)
    return marks_of(survey)


def _classes(survey: MaskSurvey, encoding: str, asked: str) -> MaskDecision:
    """Decide the classes of masks, as before where an earlier decision fits them."""
    palette = None if asked == AUTO else named_palette(asked)
    shown = asked if asked in PALETTES or len(asked) < 80 else f"{asked[:60]}..."
    if encoding != AUTO:
        known = encoding_of(encoding)
        count = len(known.classes)
        if palette is None:
            palette = PALETTES["binary"] if count == 2 else palette_for([f"class {n}" for n in range(1, count)])
        if len(palette) != count:
            raise CalcoError(
                f"--mask-encoding has {count} classes and the palette {shown} {len(palette)}; give both the same number"
            )
        if _fits(survey, encoding):
            story = f"{count} classes as in --mask-encoding or the model, {known}"
            return MaskDecision(known, palette, story, survey)
    return recognise_masks(survey, palette, shown)


def _fits(survey: MaskSurvey, encoding: str) -> bool:
    """Return whether an encoding has the values of a set, but for a few."""
    return areas_of(survey, encoding_of(encoding))[-2] <= 0.01 * survey.pixels
