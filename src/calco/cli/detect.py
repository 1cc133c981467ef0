"""The verbs of `calco detect`: parsing and printing."""

from typing import TYPE_CHECKING, Final

from calco import detection
from calco import watch as watching
from calco.cli.parsing import parse, print_plan, training_arguments
from calco.console import Table, bar, bars, cell, say, show, status_line, warn, warn_left_out

if TYPE_CHECKING:
    from calco.annotations.detections import Detections
    from calco.watch.run import WatchResult

_LISTED: Final = 12  # classes and faults in the terminal; the page of calco detect explore has more, explore.json all
_MOST_NOTES: Final = 5


def train(args: list[str]) -> None:
    given, resume, dry_run = training_arguments(
        args, command="detect train", load="calco.detection.learning.train:load_detect_config",
        size="network's size", fresh=lambda _preset: detection.DetectTrainConfig(),
    )  # fmt: skip
    if dry_run:
        from calco.checking.check import report_findings
        from calco.detection.learning.setup import open_boxes
        from calco.detection.learning.train import summary

        data, config = open_boxes(given)
        report_findings(data.source, data.splits, config.source)
        print_plan(config, summary(config, data))
    else:
        detection.train_detector(given, resume=resume)


def explore(args: list[str]) -> None:
    config = parse(detection.ExploreConfig, args, "detect explore")
    done = detection.explore(config)
    titles = ("boxes", "images", "median width", "median height")
    table = Table("class", right=titles, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    classes = done.found.by_class
    for name, each in list(classes.items())[:_LISTED]:
        median = ("–" if side is None else f"{side:.0f}" for side in each.median)
        table.add_row(name, f"{each.boxes:,}", f"{each.images:,}", *median)
    if len(classes) > _LISTED:
        table.add_row(cell(f"and {len(classes) - _LISTED:,} more", style="dim"))
    show(table)
    if faults := done.found.all_faults:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for title, ratio in (("fault", None), ("where", 3), ("what is wrong", 4)):
            table.add_column(title, ratio=ratio)
        for fault, where, reason in faults[:_LISTED]:
            table.add_row(cell(fault, style="yellow"), where, reason)
        if len(faults) > _LISTED:
            table.add_row("...", f"and {len(faults) - _LISTED:,} more in explore.json")
        show(table)
    show(done.verdict())
    say(f"the page is {done.page}")


def evaluate(args: list[str]) -> None:
    config = parse(detection.DetectEvaluateConfig, args, "detect evaluate")
    from calco.detection.scoring.report import CLASS_TITLES, class_rows, verdict
    from calco.detection.scoring.score import MEASURES
    from calco.evaluation.scores import terminal_table

    done = detection.evaluate(config)
    show(terminal_table(done.card.systems, MEASURES))
    if len(done.card.classes) > 1:
        table = Table("Class", right=CLASS_TITLES, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name, cells in class_rows(done.card):
            table.add_row(name, *cells)
        show(table)
    show(verdict(done.card))
    say(f"the report is {done.page}")


def predict(args: list[str]) -> None:
    config = parse(detection.PredictConfig, args, "detect predict")
    with bars(unit="per second") as progress, status_line() as status:
        done = detection.predict_objects(config, progress=progress, status=status)
    if done.only is not None and len(done.only):
        show(objects_table(done.only))
    if done.summary:
        say(done.summary)
    for path in done.files:
        say(f"{path} is written")
    for video in done.videos:
        kept = f", {video.kept} more kept from before" if video.kept else ""
        rate = f"; {video.frames / video.seconds:.1f} frames/s" if video.seconds else ""
        say(f"{video.frames} frames processed{kept}{rate}; written: {', '.join(map(str, video.written))}")
        for note in video.notes[:_MOST_NOTES]:
            warn(note)
    for counts, of in ((done.images, "images"), (done.frames, "frames")):
        if counts.seen:
            say(f"{of}: {counts.summary(of)}")
    if done.written or done.kept:
        kept = f", {done.kept} kept from before" if done.kept else ""
        say(f"{done.written} image{'' if done.written == 1 else 's'} processed, written to {done.out}{kept}")
    for note in done.notes:
        warn(note)
    warn_left_out(done.left_out, "prediction.json")


def objects_table(found: "Detections") -> Table:
    """Return a table of the objects in one image."""
    table = Table("class", right=("score", "left, top, right, bottom"), box=None)
    for i, name in enumerate(found.classes):
        score = "" if found.scores is None else f"{found.scores[i]:.2f}"
        table.add_row(name, score, ", ".join(f"{value:.0f}" for value in found.boxes[i]))
    return table


def slide(args: list[str]) -> None:
    config = parse(detection.SlideConfig, args, "detect slide")
    with bars(unit="per second") as progress:
        done = detection.slide_window(config, progress=progress)
    for note in done.notes[:_MOST_NOTES]:
        warn(f"left out {note}")
    if made := done.classifier:
        say(
            f"learned {', '.join(made.classes)} from {made.examples} windows; accuracy on {made.held_out} windows of "
            f"other images: {made.accuracy:.1%} (always answering background: {made.background:.1%})"
        )
    table = Table("scale", "window", "step", "windows", box=None)
    for level in done.levels:
        table.add_row(f"{level.scale:g}", "x".join(map(str, level.size_wh)), str(level.step), f"{len(level.boxes):,}")
    show(table)
    text = f"{done.windows:,} windows over {done.image_wh[0]}x{done.image_wh[1]} pixels"
    if done.frames < done.windows:
        text += f", of which the video shows {done.frames:,}"
    if done.hits is not None and done.boxes is not None:
        text += f"; {len(done.hits):,} hits, {len(done.boxes):,} boxes after suppression"
        if len(done.boxes):
            show(objects_table(done.boxes.select(range(min(20, len(done.boxes))))))
    show(text)
    if done.too_large:
        scales = ", ".join(f"{scale:g}" for scale in done.too_large)
        warn(f"scale {scales}: the window is larger than the image, and was left out")
    say(f"{config.out} is written" + (f", and {config.boxes_path}" if done.boxes is not None else ""))


def export(args: list[str]) -> None:
    config = parse(detection.DetectExportConfig, args, "detect export")
    for sentence in detection.export_detector(config).said:
        say(sentence)


def watch(args: list[str]) -> None:
    config = parse(watching.WatchConfig, args, "detect watch")
    from calco.video.reading import clock
    from calco.watch.run import asked_origin

    if config.source and asked_origin(config) is None:
        with bar("watching", unit="frames/s") as advance:
            done = watching.watch(config, progress=advance)
    else:
        with status_line() as status:
            done = watching.watch(config, status=status)
    if done.frames:
        show(_stages_table(done))
    if done.events:
        table = Table("rule", right=("events",), title="events", title_style="bold")
        for rule, count in done.events.items():
            table.add_row(rule, str(count))
        show(table)
    if done.summary:
        say(done.summary)
    kept = f", {done.kept} more from before" if done.kept else ""
    say(f"{done.frames} frames watched{kept}; {done.rate:.1f} frames/s; {done.tracks} tracks, "
        f"{sum(done.events.values())} events")  # fmt: skip
    if done.stopped is not None:
        say(f"stopped at {clock(done.stopped)}; the same command with --resume goes on")
    for note in done.notes:
        warn(note)
    kinds = "events, crops and video" if config.video else "events and crops"
    say(f"{kinds} are in {done.out}; the timeline is {done.page}")


def _stages_table(done: "WatchResult") -> Table:
    """Return seconds and shares of each stage of a watch; those beside, in threads of their own, have no share."""
    titles = ("seconds", "ms a frame", "share")
    table = Table("stage", right=titles, title="where the time went", title_style="bold")
    inside = {name: seconds for name, seconds in done.stages.items() if "beside" not in name}
    inside["waiting"] = max(0.0, done.seconds - sum(inside.values()))
    beside = {name: seconds for name, seconds in done.stages.items() if name not in inside}
    for name, seconds in (inside | beside).items():
        share = f"{seconds / done.seconds:.0%}" if done.seconds and name in inside else ""
        table.add_row(name, f"{seconds:.2f}", f"{1000 * seconds / max(1, done.frames):.1f}", share,
                      end_section=name == "waiting")  # fmt: skip
    if len(done.memory) > 1:
        table.caption = cell(f"memory after each pass: {', '.join(f'{mb:.0f}' for mb in done.memory)} MB", style="dim")
    return table
