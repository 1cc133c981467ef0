"""Resolution of a recipe for a data set: the encoding of its masks is decided once, from all of them."""

from collections.abc import Sequence
from dataclasses import replace

from calco.console import bar, say
from calco.data.mask_encoding import (
    AUTO,
    MaskDecision,
    MaskSurvey,
    count_values,
    encoding_of,
    survey_files,
    survey_masks,
)
from calco.data.mask_recognition import BACKGROUND, areas_of, marks_of, recognise_masks
from calco.data.palettes import PALETTES, Palette, named_palette, palette_for, palette_name
from calco.data.recipe_config import SegmentConfig
from calco.data.recipes import RecipeConfig, has_class_targets, resolve, steps_of
from calco.data.source import Item, Source
from calco.errors import CalcoError


def settled(
    source: Source, config: RecipeConfig, items: Sequence[Item] | None = None, *, resolved: bool = False
) -> tuple[Source, RecipeConfig]:
    """Resolve a recipe for a source, and decides what the values of its masks mean.

    Args:
        source: The data set.
        config: What is asked for, or what a model has learned.
        items: Those of the source whose masks count; None for all.
        resolved: Whether the recipe is that of a model, whose classes stand.

    Returns:
        The source with the decision, and the recipe with palette and encoding.

    Raises:
        CalcoError: As `resolve`, and when the values of the masks are no classes, or not those of the palette.
    """
    asked = config.segment.palette
    if not resolved:
        config = resolve(config, source.kind, source.recipe, source.classes)
    classes = has_class_targets(config)
    if source.kind != "masks" or not (classes or _erases_given(config)):
        return source, config
    survey = _survey(source, source.items if items is None else items)
    if not classes:
        decision = _marks(survey, config)
        say(f"masks: {decision.story}")
        return replace(source, masks=decision), replace(config, mask_encoding=str(decision.encoding))
    palette = None if asked == AUTO else named_palette(asked)
    decision, palette = _classes(survey, config, palette, asked)
    say(f"masks: {decision.story}")
    config = replace(config, segment=SegmentConfig(palette=palette_name(palette)), mask_encoding=str(decision.encoding))
    return replace(source, masks=decision), config


def _erases_given(config: RecipeConfig) -> bool:
    return "erase" in steps_of(config.recipe) and config.erase.kinds == ("given",)


def _survey(source: Source, items: Sequence[Item]) -> MaskSurvey:
    """Return the values of the masks of some items."""
    with bar("counting the values of masks", len(items)) as advance:
        if all(len(item.paths) == 2 for item in items):
            return survey_files(((item.key, item.paths[1]) for item in items), advance)

        def count(item: Item) -> object:
            mask = source.load(item).mask
            if mask is None:
                raise CalcoError(f"{item.key} has no mask")
            return count_values(mask)

        return survey_masks(items, lambda item: item.key, count, advance)  # type: ignore[arg-type]


def _marks(survey: MaskSurvey, config: RecipeConfig) -> MaskDecision:
    """What masks mark that tell where to erase."""
    if config.mask_encoding != AUTO and _fits(survey, config.mask_encoding):
        encoding = encoding_of(config.mask_encoding)
        return MaskDecision(survey, encoding, (BACKGROUND, "object"), f"as in training, {encoding}")
    found = marks_of(survey)
    return MaskDecision(survey, found.encoding, tuple(name for name, _ in found.palette), found.story)


def _classes(
    survey: MaskSurvey, config: RecipeConfig, palette: Palette | None, name: str
) -> tuple[MaskDecision, Palette]:
    """What masks show, as it was decided before where that fits them."""
    shown = name if name in PALETTES or len(name) < 80 else f"{name[:60]}..."
    if config.mask_encoding != AUTO:
        encoding = encoding_of(config.mask_encoding)
        palette = palette or _numbered(len(encoding.classes))
        if len(palette) != len(encoding.classes):
            raise CalcoError(
                f"--mask-encoding has {len(encoding.classes)} classes and the palette {shown} {len(palette)}; "
                "give both the same number"
            )
        if _fits(survey, config.mask_encoding):
            story = f"{len(palette)} classes as in --mask-encoding or the model, {encoding}"
            return MaskDecision(survey, encoding, tuple(each for each, _ in palette), story), palette
    found = recognise_masks(survey, palette, shown)
    return MaskDecision(survey, found.encoding, tuple(each for each, _ in found.palette), found.story), found.palette


def _numbered(count: int) -> Palette:
    return PALETTES["binary"] if count == 2 else palette_for([f"class {number}" for number in range(1, count)])


def _fits(survey: MaskSurvey, encoding: str) -> bool:
    """Return whether an encoding knows the values of a set, but for a few."""
    areas = areas_of(survey, encoding_of(encoding))
    return areas[-2] <= 0.01 * survey.pixels
