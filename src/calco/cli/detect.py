"""The verbs of `calco detect`: parsing only."""

from collections.abc import Callable
from typing import Any

from calco.cli.parsing import parse


def train(args: list[str]) -> None:
    """Train a detector on images with boxes."""
    from calco.cli.parsing import TrainingArguments
    from calco.detection.learning.config import DetectTrainConfig

    def load(path: str) -> Any:
        from calco.detection.learning.train import load_detect_config

        return load_detect_config(path)

    told = TrainingArguments.of(args, train.__doc__, verb="detect train", load=load, size="network's size",
                       fresh=lambda _preset: DetectTrainConfig())  # fmt: skip
    if told.dry_run:
        from calco.checking.check import report_findings
        from calco.detection.learning.setup import open_boxes
        from calco.detection.learning.train import summary

        data, config = open_boxes(told.config)
        report_findings(data.source, data.splits, config.source)
        told.print_plan(config, summary(config, data))
        return
    from calco.detection.learning.train import train_detector

    train_detector(told.config, resume=told.resume)


def explore(args: list[str]) -> None:
    """Describe a set of images with boxes on one page: counts, sizes, places, duplicates, faults."""
    from calco.detection.config import ExploreConfig

    config = parse(ExploreConfig, args, "detect explore", explore.__doc__)
    from calco.console import say, show
    from calco.detection.exploring.explore import explore as run
    from calco.detection.exploring.words import class_table, fault_table

    done = run(config)
    show(class_table(done.found))
    if done.found.faults or done.found.left_out:
        show(fault_table(done.found))
    show(done.verdict())
    say(f"the page is {done.page}")


def evaluate(args: list[str]) -> None:
    """Score a detector beside baselines: mAP, curves, confusions, errors in people per hour; with a report."""
    from calco.detection.scoring.config import DetectEvaluateConfig

    config = parse(DetectEvaluateConfig, args, "detect evaluate", evaluate.__doc__)
    from calco.console import say, show
    from calco.detection.scoring.evaluate import evaluate as run
    from calco.detection.scoring.report import class_table, table, verdict

    done = run(config)
    show(table(done.card), width=140)  # figures are not cut off where they go to a file or a narrow window
    if len(done.card.classes) > 1:
        show(class_table(done.card))
    show(verdict(done.card))
    say(f"the report is {done.page}")


def predict(args: list[str]) -> None:
    """Find objects in images, videos and cameras: drawn, and as tables."""
    from calco.detection.config import PredictConfig

    config = parse(PredictConfig, args, "detect predict", predict.__doc__)
    from calco.console import show, status_line
    from calco.detection.predict import predict as run
    from calco.detection.predict_words import Bars, found_table, tell

    with Bars() as bars, status_line() as status:
        done = run(config, progress=bars.progress, status=status)
    if done.only is not None:
        show(found_table(done.only))
    tell(done)


def slide(args: list[str]) -> None:
    """Show a sliding window as a video, with a classifier that looks through it."""
    from calco.detection.config import SlideConfig

    config = parse(SlideConfig, args, "detect slide", slide.__doc__)
    import numpy as np

    from calco.console import Table, say, show, warn
    from calco.detection.predict_words import Bars, found_table
    from calco.detection.slide import slide as run

    with Bars() as bars:
        done = run(config, progress=bars.progress)
    for note in done.notes[:3]:
        warn(f"left out {note}")
    if made := done.classifier:
        say(
            f"learned {', '.join(made.classes)} from {made.examples} windows; accuracy on {made.held_out} windows of "
            f"other images: {made.accuracy:.1%} (always answering background: {made.background:.1%})"
        )
    table = Table("scale", "window", "step", "windows", *(["hits"] if done.hits is not None else []), box=None)
    for level in done.levels:
        cells = [f"{level.scale:g}", "x".join(map(str, level.size_wh)), str(level.step), f"{len(level.boxes):,}"]
        if done.hits is not None:
            sizes = done.hits.boxes[:, 2:] - done.hits.boxes[:, :2]
            cells.append(f"{int((np.round(sizes) == level.size_wh).all(1).sum()):,}")
        table.add_row(*cells)
    show(table)
    if done.boxes is not None and len(done.boxes):
        show(found_table(done.boxes.select(np.arange(min(20, len(done.boxes))))))
    text = f"{done.windows:,} windows over {done.image_wh[0]}x{done.image_wh[1]} pixels"
    if done.frames < done.windows:
        text += f", of which the video shows {done.frames:,}"
    if done.hits is not None and done.boxes is not None:
        text += f"; {len(done.hits):,} hits, {len(done.boxes):,} boxes after suppression"
    show(text)
    if done.too_large:
        scales = ", ".join(f"{scale:g}" for scale in done.too_large)
        warn(f"scale {scales}: the window is larger than the image, and was left out")
    say(f"{config.out} is written" + (f", and {config.boxes_path}" if done.boxes is not None else ""))


def export(args: list[str]) -> None:
    """Write a detector as one file for other programs."""
    from calco.detection.config import DetectExportConfig

    config = parse(DetectExportConfig, args, "detect export", export.__doc__)
    from calco.console import say
    from calco.detection.export import export_detector

    done = export_detector(config)
    for sentence in done.said:
        say(sentence)


def watch(args: list[str]) -> None:
    """Watch a video or a camera: track objects, apply rules, report events."""
    from calco.watch.config import WatchConfig

    config = parse(WatchConfig, args, "detect watch", watch.__doc__)
    import contextlib

    from rich.live import Live

    from calco.console import bar, cell, console, show
    from calco.watch.run import asked_origin, events_table, stages_table, tell
    from calco.watch.run import watch as run

    with contextlib.ExitStack() as held:
        if config.source and asked_origin(config) is None:
            advance = held.enter_context(bar("watching", unit="frames/s"))
            done = run(config, progress=lambda count, of: advance(count, of))
        else:
            line = Live(console=console, transient=True, refresh_per_second=4) if console.is_terminal else None
            if line is not None:
                held.enter_context(line)
            done = run(config, status=lambda now: line.update(cell(now.line())) if line is not None else None)
    if done.frames:
        show(stages_table(done))
    if done.events:
        show(events_table(done))
    tell(done)


DETECT: dict[str, Callable[[list[str]], None]] = {
    "train": train,
    "explore": explore,
    "evaluate": evaluate,
    "predict": predict,
    "export": export,
    "slide": slide,
    "watch": watch,
}
