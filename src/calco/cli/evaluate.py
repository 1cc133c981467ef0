"""`calco evaluate` and `calco compare`."""

from calco.cli.parsing import parse


def evaluate(args: list[str]) -> None:
    """Score a model beside the baselines on the same images, and write a report."""
    from calco.evaluation.config import EvaluateConfig

    config = parse(EvaluateConfig, args, "evaluate", evaluate.__doc__)
    from calco.console import Table, bars, say, show
    from calco.evaluation.evaluate import evaluate as run
    from calco.evaluation.face_search import FACE_METRICS
    from calco.evaluation.readback import LABEL_METRICS
    from calco.evaluation.scores import terminal_table

    with bars() as progress:
        card = run(config, progress=progress)
    show(card.table())
    show(card.verdict())
    if card.classes:
        table = Table(title="classes", caption="over all pixels; IoU and Dice above are the means of these")
        for heading in ("", "IoU ↑", "Dice ↑", "pixels found ↑"):
            table.add_column(heading, justify="right" if heading else "left")
        for name, cells in card.class_rows():
            table.add_row(name, *cells)
        show(table)
    if note := card.colour_note():
        say(note)
    if card.labels is not None:
        show(terminal_table(card.labels.systems, LABEL_METRICS, title="label read-back", best=False))
        show(" ".join([card.labels.sentence(), *card.labels.notes]))
    if card.faces is not None:
        show(terminal_table(card.faces.systems, FACE_METRICS, title="search for the person"))
        show(" ".join([card.faces.sentence(), *card.faces.notes]))
    for reason in card.left_out_metrics.values():
        say(f"left out: {reason}")
    if card.video is not None:
        show(terminal_table(card.video.systems, card.video.measures, title="steadiness"))
        show(" ".join(card.video.notes))


def compare(args: list[str]) -> None:
    """Put the scores and images of evaluated runs side by side."""
    from calco.evaluation.config import CompareConfig

    config = parse(CompareConfig, args, "compare", compare.__doc__)
    from calco.console import show, warn
    from calco.evaluation.baselines import MODEL
    from calco.evaluation.comparison import differences
    from calco.evaluation.evaluate import compare as run
    from calco.evaluation.metrics import METRICS
    from calco.evaluation.scores import terminal_table
    from calco.report.page import count

    cards, page = run(config)
    differ = differences(cards)
    systems = {f"{name}\n{count(card.num_counted)}": card.systems[MODEL] for name, card in cards.items()}
    metrics = {key: metric for key, metric in METRICS.items() if all(key in row for row in systems.values())}
    caption = "mean and 95% interval; " + ("the means do not compare" if differ else "the best in bold")
    show(terminal_table(systems, metrics, caption=caption, best=not differ))
    show(f"the page is {page}")
    for sentence in differ:
        warn(sentence)
