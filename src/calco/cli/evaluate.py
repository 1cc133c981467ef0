"""`calco evaluate` and `calco compare`."""

from calco.cli.parsing import parse


def evaluate(args: list[str]) -> None:
    """Score a model beside the baselines on the same images, and write a report."""
    from calco.evaluation.config import EvaluateConfig

    config = parse(EvaluateConfig, args, "evaluate", evaluate.__doc__)
    from calco.console import bars, say, show
    from calco.evaluation.evaluate import evaluate as run
    from calco.evaluation.scorecard import class_table, table

    with bars() as progress:
        card = run(config, progress=progress)
    show(table(card))
    show(card.verdict())
    if card.classes:
        show(class_table(card))
    for reason in card.left_out_metrics.values():
        say(f"left out: {reason}")
    if card.video is not None:
        from calco.evaluation.report import video_table

        show(video_table(card.video))
        show(" ".join(card.video.notes))


def compare(args: list[str]) -> None:
    """Put the scores and images of evaluated runs side by side."""
    from calco.evaluation.config import CompareConfig

    config = parse(CompareConfig, args, "compare", compare.__doc__)
    from calco.console import show, warn
    from calco.evaluation.comparison import differences
    from calco.evaluation.evaluate import compare as run
    from calco.evaluation.scorecard import comparison_table

    cards, page = run(config)
    differ = differences(cards)
    show(comparison_table(cards, comparable=not differ))
    show(f"the page is {page}")
    for sentence in differ:
        warn(sentence)
