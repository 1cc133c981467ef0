"""`calco check`: faults of a data set that would spoil training, also printed before each training."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Final

from calco.checking import CheckConfig, result
from calco.checking.duplicates import find_certain_duplicates, find_duplicates
from calco.checking.findings import Inspection, find, mask_set_findings, sampled_pairs
from calco.checking.mask_positions import FEW_PAIRS, EdgeFits, edge_fits
from calco.checking.survey import Facts, facts_of, survey
from calco.console import bar
from calco.data.config import BoxAugmentConfig, SourceConfig
from calco.data.mask_encoding import EncodingError
from calco.data.recipe_config import RecipeConfig
from calco.data.recipes import AUTOMATIC, resolve
from calco.data.sample import fraction
from calco.data.source import Item, Source, settled, with_masks
from calco.data.sources import open_source
from calco.data.splits import split_names
from calco.errors import CalcoError
from calco.files import write_json
from calco.outputs import Outputs, locked_file, writing_folder

LOG = logging.getLogger(__name__)


def check(config: CheckConfig) -> result.CheckReport:
    """Look at every image of a data set, and write check.html and check.json into `config.out`.

    Args:
        config: Which images, how they are split, where the page goes, which tables are written.

    Returns:
        What was found; its `ok` is false while something must be fixed.

    Raises:
        CalcoError: If there are no images, or the page or a table cannot be written.
    """
    if not config.images:
        raise CalcoError("no images were named; give a folder or openmoji: calco check IMAGES")
    places = {
        fix: result.place_of(given, config.images, fix)
        for fix, given in (("groups", config.write_groups), ("drop", config.write_drop))
        if given
    }
    # The tables that are to be written again are read, so that what they fix stays fixed.
    found = {fix: str(path) for fix, path in places.items() if path.is_file()}
    groups, drop = config.source.groups or found.get("groups"), config.source.drop or found.get("drop")
    config = replace(config, source=replace(config.source, groups=groups, drop=drop))
    with ExitStack() as held:
        outputs = held.enter_context(writing_folder(config.out, "calco check"))
        outputs.check(outputs.folder / name for name in ("check.html", "check.json"))
        for fix, path in places.items():
            held.enter_context(locked_file(path, "calco check"))
            if path.is_file() and path != result.table_in_force(config, fix):  # rows of that one stay in the table
                Outputs(path.parent, "calco check").check([path])
        return _checked(config, places, outputs.folder)


def _checked(config: CheckConfig, places: Mapping[str, Path], folder: Path) -> result.CheckReport:
    """Check the data set while the output folder is locked."""
    from calco.checking.page import write_check_page

    source = open_source(config.images, config.source)
    if config.augment != BoxAugmentConfig() and source.kind != "annotations":
        raise CalcoError(f"--augment changes images with boxes, and this is a source of {source.kind}; leave it out")
    recipe, problem = config.recipe, ""  # the recipe stays "auto" where the source leaves it open
    if recipe.recipe != "auto" or source.recipe is not None or source.kind in AUTOMATIC:
        source = with_masks(source, recipe)
        try:
            source, recipe = settled(source, recipe)
        except EncodingError as error:
            recipe, problem = resolve(recipe, source.kind, source.recipe, source.classes), str(error)
    with bar("looking at images", len(source.items)) as advance:
        facts = survey(source, config.jobs, advance)
    split = split_names(source.items, config.split)
    duplicates = find_duplicates(source, facts)
    pairs = [] if problem else sampled_pairs(source, recipe)
    inspection = Inspection(
        source=source, facts=facts, duplicates=duplicates, split=split, recipe=recipe, mask_problem=problem,
        pairs=pairs, edge_fits=EdgeFits() if problem else edge_fits(source, facts, recipe, jobs=config.jobs),
    )  # fmt: skip
    findings = find(inspection)
    written = {}
    for fix, path in places.items():
        if fix == "drop" and not result.enough_left(source, findings):
            continue
        rows = result.group_rows(source, findings) if fix == "groups" else result.drop_rows(findings)
        result.write_table(path, fix, rows, result.table_in_force(config, fix))
        written[fix] = path
    report = result.CheckReport(config, source, facts, split, findings, written, folder / "check.html")
    write_json(folder / "check.json", report.to_json())
    write_check_page(report)
    return report


SECONDS: Final = 3.0  # time for which entries are read, after the first `LEAST`
LEAST: Final = 64  # entries that are read in any case
MOST: Final = 3000  # entries that are read, at most


def report_findings(
    source: Source,
    splits: Mapping[str, Sequence[Item]],
    source_config: SourceConfig,
    *,
    recipe: RecipeConfig | None = None,
    asked: RecipeConfig | None = None,
) -> list[result.Finding]:
    """Log what `calco check` would find, before a training begins; return the findings, what must be fixed first.

    Args:
        source: The data set.
        splits: Its items by split.
        source_config: How it was opened.
        recipe: What is to be learned, resolved; None where the task has no recipe.
        asked: The recipe as it was given, for the command that repeats the check.
    """
    if source.kind == "openmoji":  # the built-in drawings
        return []
    findings, seen = quick_findings(source, splits, recipe or RecipeConfig())
    if recipe is None:
        findings = [finding for finding in findings if finding.kind != "grey"]  # a detector learns no colour
    _log(findings)
    if findings:
        part = f"{seen:,} of {len(source.items):,} entries were inspected; " if seen < len(source.items) else ""
        LOG.info(f"{part}all findings, with images: {result.check_command(source.root, source_config, recipe=asked)}")
    return findings


def report_masks(source: Source) -> None:
    """Log the findings on the masks of a source, what must be fixed first."""
    _log(finding for finding in mask_set_findings(source.masks) if finding.cases)


def _log(findings: Iterable[result.Finding]) -> None:
    for finding in findings:
        LOG.log(logging.INFO if finding.severity == "note" else logging.WARNING, finding.line())


def quick_findings(
    source: Source, splits: Mapping[str, Sequence[Item]], recipe: RecipeConfig, seconds: float = SECONDS
) -> tuple[list[result.Finding], int]:
    """Inspect as many entries as time allows, from both sides of the split; return findings and number of entries."""
    apart = [item for name, items in splits.items() if name != "train" for item in items]
    train = sorted(splits.get("train", ()), key=lambda item: fraction("quick", item.key))
    apart = sorted(apart, key=lambda item: fraction("quick", item.key))[: MOST // 2]
    chosen = [item for both in zip_longest(apart, train) for item in both if item is not None][:MOST]
    end, facts = time.monotonic() + seconds, list[Facts]()
    for item in chosen:
        facts.append(facts_of(source, item))
        if len(facts) >= LEAST and time.monotonic() > end:
            break
    split = {item.key: name for name, items in splits.items() for item in items}
    seen = Inspection(
        source=source, facts=facts, duplicates=find_certain_duplicates(facts), split=split, recipe=recipe,
        pairs=sampled_pairs(source, recipe),
        edge_fits=edge_fits(source, facts, recipe, most=FEW_PAIRS, seconds=seconds),
    )  # fmt: skip
    return find(seen), len(facts)
