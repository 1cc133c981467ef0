"""Several runs side by side: a single HTML file that opens from disk without a network."""

from collections.abc import Mapping
from pathlib import Path

from calco.errors import CalcoError
from calco.evaluation.baselines import MODEL
from calco.evaluation.metrics import METRICS
from calco.evaluation.scorecard import Scorecard
from calco.evaluation.scores import score_table
from calco.imaging import Image
from calco.report.page import count, write_page

NUM_IMAGES = 24


def compare_report(cards: Mapping[str, Scorecard], out: str | Path) -> Path:
    """Write a page with several runs side by side: their scores in one table, and the same images in rows."""
    if len(cards) < 2:
        raise CalcoError(
            f"{count(len(cards), 'run')} to compare; two or more are needed: name them one after the other"
        )
    differ = differences(cards)
    systems = {name: card.systems[MODEL] for name, card in cards.items()}
    if not differ:
        first = next(iter(cards.values()))
        systems |= {name: first.systems[name] for name in first.baselines if name not in systems}
    metrics = {key: metric for key, metric in METRICS.items() if any(key in scores for scores in systems.values())}
    highlight = [] if differ else list(cards)
    return write_page(
        out,
        "comparison",
        title=f"{' · '.join(cards)} · Calco",
        runs=list(cards),
        verdict=" ".join(["" if differ else _winners(cards), *notes(cards)]).strip(),
        warnings=differ,
        scores=score_table(systems, metrics, "Scores of the runs", highlight, mark=not differ),
        numbers="; ".join(f"{name}: {count(card.num_counted)}" for name, card in cards.items()) + ".",
        images=_compared_images(cards),
    )


def notes(cards: Mapping[str, Scorecard]) -> list[str]:
    """Return what limits the trust in the scores of single runs, a sentence each."""
    return [f"{name}: {note}" for name, card in cards.items() for note in card.notes]


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
    """Describe how the images differ, by name or by content."""
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
    """Describe in one sentence which run is best on which scores."""
    won: dict[str, list[str]] = {}
    for key, metric in METRICS.items():
        means = {name: card.systems[MODEL][key].mean for name, card in cards.items() if key in card.systems[MODEL]}
        if metric.better is not None and len(means) == len(cards):
            best = (min if metric.better == "lower" else max)(means, key=lambda name: means[name])
            # If the shown digits are equal, no run wins.
            if len({metric.text(mean) for mean in means.values()}) > 1:
                won.setdefault(best, []).append(metric.label)
    if not won:
        return "No score tells the runs apart."
    return "; ".join(f"{name} is best on {', '.join(labels)}" for name, labels in won.items()) + "."


def _compared_images(cards: Mapping[str, Scorecard]) -> list[tuple[str, list[tuple[str, Image, str]]]]:
    """Return key and figures of the images whose names, contents and inputs are equal in all runs."""
    by_run = {name: {case.key: case for case in card.cases} for name, card in cards.items()}
    images = [frozenset((row.key, row.digest) for row in card.images) for card in cards.values()]
    same = {key for key, _ in frozenset.intersection(*images)}
    if len({tuple(sorted(card.setting.items())) for card in cards.values()}) > 1:
        same = set()  # the inputs of one run are not those of the other
    common = set.intersection(same, *(set(cases) for cases in by_run.values()))
    rows = []
    for key in sorted(common)[:NUM_IMAGES]:
        case = next(iter(by_run.values()))[key]
        figures = [("input", case.input), ("target", case.target)]
        for name, cases in by_run.items():
            value, rank_by = cases[key].scores[MODEL].get(cards[name].rank_by), METRICS[cards[name].rank_by]
            score = "" if value is None else f" · {rank_by.label} {rank_by.text(value)}"
            figures.append((f"{name}{score}{', from training' if cases[key].seen else ''}", cases[key].output))
        rows.append((key, [(text, image, f"{text}, {key}") for text, image in figures]))
    return rows
