"""Several runs side by side: a single HTML file that opens from disk without a network."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from calco.errors import CalcoError
from calco.evaluation.baselines import MODEL
from calco.evaluation.intervals import Score
from calco.evaluation.metrics import METRICS
from calco.evaluation.page import score_table, write_report_page
from calco.evaluation.scorecard import Case, Scorecard
from calco.evaluation.words import count, number
from calco.page.html import picture

NUM_PICTURES = 24


def compare_report(cards: Mapping[str, Scorecard], out: str | Path) -> Path:
    """Writes several runs side by side: their scores in one table, and the same pictures in rows.

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
    names = " · ".join(cards)
    same = len({card.counted_keys for card in cards.values()}) == 1
    header = (
        f"<h1>{count(len(cards), 'run')} side by side</h1>"
        f'<ul class="facts"><li>{escape(names)}</li></ul><div class="verdict"><p>{escape(_winners(cards))}</p></div>'
    )
    body = _compared_scores(cards, same=same) + _compared_pictures(cards)
    return write_report_page(out, f"{names} · Calco", header, body)


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


def _compared_scores(cards: Mapping[str, Scorecard], *, same: bool) -> str:
    systems: dict[str, Mapping[str, Score]] = {name: card.systems[MODEL] for name, card in cards.items()}
    first = next(iter(cards.values()))
    if same:
        systems |= {name: first.systems[name] for name in first.baselines if name not in systems}
    metrics = [metric for metric in METRICS if any(metric in scores for scores in systems.values())]
    numbers = "; ".join(f"{name}: {count(card.num_counted)}" for name, card in cards.items())
    warning = (
        ""
        if same
        else '<p class="warn">The runs were scored on different pictures: their means do not compare. '
        "Evaluate them on the same folder.</p>"
    )
    table = score_table(systems, metrics, "Scores of the runs", highlight=list(cards))
    return (
        '<section><h2>Scores</h2><p class="lead">'
        "Means with the interval that holds them with 95% certainty, drawn on the "
        f"column's own scale. ★ marks the best; ↓ lower is better, ↑ higher is better.</p>{table}{warning}"
        f'<ul class="notes"><li>{escape(numbers)}.</li></ul></section>'
    )


def _compared_pictures(cards: Mapping[str, Scorecard]) -> str:
    by_run: dict[str, dict[str, Case]] = {name: {case.key: case for case in card.cases} for name, card in cards.items()}
    common = set.intersection(*(set(cases) for cases in by_run.values()))
    rows = []
    for key in sorted(common)[:NUM_PICTURES]:
        case = next(iter(by_run.values()))[key]
        figures = [(case.input, "input"), (case.target, "target")]
        figures += [(cases[key].output, _run_caption(name, cases[key], cards[name])) for name, cases in by_run.items()]
        shown = "".join(
            f"<figure>{picture(image, f'{text}, {key}')}<figcaption>{escape(text)}</figcaption></figure>"
            for image, text in figures
        )
        rows.append(f'<li><p class="row-label">{escape(key)}</p><div class="lineup">{shown}</div></li>')
    if not rows:
        return '<section><h2>Pictures</h2><p class="soft">The runs have no picture in common.</p></section>'
    return f'<section><h2>The same pictures</h2><ul class="lineups">{"".join(rows)}</ul></section>'


def _run_caption(name: str, case: Case, card: Scorecard) -> str:
    value = case.scores[MODEL].get(card.rank_by)
    seen = ", from training" if case.seen else ""
    return (
        name + (f" · {METRICS[card.rank_by].label} {number(card.rank_by, value)}" if value is not None else "") + seen
    )
