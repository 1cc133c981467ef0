"""Several runs side by side: a single HTML file that opens from disk without a network."""

from collections.abc import Mapping
from pathlib import Path

from calco.errors import CalcoError
from calco.evaluation.baselines import MODEL
from calco.evaluation.metrics import METRICS, Score
from calco.evaluation.report import score_table
from calco.evaluation.scorecard import Case, Scorecard, number
from calco.imaging import Image
from calco.report.page import count, write_page
from calco.report.tables import Table

NUM_IMAGES = 24


def compare_report(cards: Mapping[str, Scorecard], out: str | Path) -> Path:
    """Writes several runs side by side: their scores in one table, and the same images in rows.

    Args:
        cards: The run's name and its scores, in the order to be shown.
        out: The file, or a folder to put `report.html` in.

    Raises:
        CalcoError: When there are fewer than two runs.
    """
    if len(cards) < 2:
        raise CalcoError(
            f"{count(len(cards), 'run')} to compare; two or more are needed: name them one after the other"
        )
    differ = differences(cards)
    return write_page(
        out,
        "comparison",
        title=f"{' · '.join(cards)} · Calco",
        runs=list(cards),
        verdict="" if differ else _winners(cards),
        warnings=differ,
        scores=_compared_scores(cards, comparable=not differ),
        numbers="; ".join(f"{name}: {count(card.num_counted)}" for name, card in cards.items()) + ".",
        images=_compared_images(cards),
    )


def differences(cards: Mapping[str, Scorecard]) -> list[str]:
    """Describe why the runs' scores do not compare, a sentence each; nothing where they do."""
    sentences = []
    if len({card.counted for card in cards.values()}) > 1:
        sentences.append(_different_images(cards))
    for name in dict.fromkeys(name for card in cards.values() for name in card.setting):
        values = {run: card.setting.get(name, "unknown") for run, card in cards.items()}
        if len(set(values.values())) > 1:
            said = "; ".join(f"{run}: {value}" for run, value in values.items())
            sentences.append(f"The runs were scored with a different {name} ({said}): their means do not compare.")
    remembered = [run for run, card in cards.items() if card.only_seen]
    if remembered and len(remembered) < len(cards):
        sentences.append(f"{', '.join(remembered)}: scored on what it was trained on, which flatters it.")
    unknown = [run for run, card in cards.items() if not card.training_known]
    if unknown and len(unknown) < len(cards):
        sentences.append(f"{', '.join(unknown)}: not known whether it was trained on these images.")
    return sentences


def _different_images(cards: Mapping[str, Scorecard]) -> str:
    """In which way the images differ, by name or by content."""
    counted = [card.counted for card in cards.values()]
    common = frozenset.intersection(*counted)
    keys = [{key for key, _ in each} for each in counted]
    contents = [{digest for _, digest in each if digest} for each in counted]
    text = f"The runs were scored on different images ({len(common):,} in common)"
    if renamed := len(set.intersection(*contents)) - len({digest for _, digest in common if digest}):
        text += f"; {renamed:,} are the same under another name"
    if same_name := len(set.intersection(*keys)) - len({key for key, _ in common}):
        text += f"; {same_name:,} have equal names and different contents"
    return f"{text}: their means do not compare. Evaluate them on the same folder."


def _winners(cards: Mapping[str, Scorecard]) -> str:
    """Which run is best on what, in one sentence."""
    won: dict[str, list[str]] = {}
    for metric in METRICS:
        means = {
            name: card.systems[MODEL][metric].mean for name, card in cards.items() if metric in card.systems[MODEL]
        }
        better = METRICS[metric].better
        if better is not None and len(means) == len(cards):
            best = (min if better == "lower" else max)(means, key=lambda name: means[name])
            # What the shown digits cannot tell apart is won by nobody.
            if len({number(metric, mean) for mean in means.values()}) > 1:
                won.setdefault(best, []).append(METRICS[metric].label)
    if not won:
        return "No score tells the runs apart."
    parts = [f"{name} is best on {', '.join(labels)}" for name, labels in won.items()]
    return "; ".join(parts) + "."


def _compared_scores(cards: Mapping[str, Scorecard], *, comparable: bool) -> Table:
    systems: dict[str, Mapping[str, Score]] = {name: card.systems[MODEL] for name, card in cards.items()}
    first = next(iter(cards.values()))
    if comparable:
        systems |= {name: first.systems[name] for name in first.baselines if name not in systems}
    metrics = [metric for metric in METRICS if any(metric in scores for scores in systems.values())]
    return score_table(systems, metrics, "Scores of the runs", highlight=list(cards) if comparable else [])


def _compared_images(cards: Mapping[str, Scorecard]) -> list[tuple[str, list[tuple[str, Image, str]]]]:
    """Key and figures of the images whose names, contents and inputs are equal in all runs."""
    by_run: dict[str, dict[str, Case]] = {name: {case.key: case for case in card.cases} for name, card in cards.items()}
    images = [frozenset((row.key, row.digest) for row in card.images) for card in cards.values()]
    same = {key for key, _ in frozenset.intersection(*images)}
    if len({tuple(sorted(card.setting.items())) for card in cards.values()}) > 1:
        same = set()  # the inputs of one run are not those of the other
    common = set.intersection(same, *(set(cases) for cases in by_run.values()))
    rows = []
    for key in sorted(common)[:NUM_IMAGES]:
        case = next(iter(by_run.values()))[key]
        figures = [("input", case.input), ("target", case.target)]
        figures += [(_run_caption(name, cases[key], cards[name]), cases[key].output) for name, cases in by_run.items()]
        rows.append((key, [(text, image, f"{text}, {key}") for text, image in figures]))
    return rows


def _run_caption(name: str, case: Case, card: Scorecard) -> str:
    value = case.scores[MODEL].get(card.rank_by)
    score = "" if value is None else f" · {METRICS[card.rank_by].label} {number(card.rank_by, value)}"
    return f"{name}{score}{', from training' if case.seen else ''}"
