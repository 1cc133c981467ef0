"""The verbs that train, score, compare, apply, export, serve and time translators."""

import contextlib
import json
import logging
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import calco
from calco.cli.parsing import parse, print_plan, training_arguments
from calco.console import Table, bar, bars, emit, say, show, status_line, warn, warn_left_out

if TYPE_CHECKING:
    from calco.inference.results import VideoResult

_MOST_NOTES: Final = 8
_CHATTY: Final = ("calco.training", "calco.checking", "calco.data")
"""Modules that describe each training by many lines, of which an ablation has several."""
_REPEATED: Final = "calco.checking.check"
"""Module that reports the same findings on the images at the start of each run."""


def train(args: list[str]) -> None:
    from calco.training.config import PRESETS, named_in

    # Presets depend on the recipe, so that it is looked for before the options are parsed.
    asked = named_in(args)
    given, resume, dry_run = training_arguments(
        args, command="train", load="calco.training.translation:load_config", size="size of the networks",
        fresh=lambda name: calco.preset(name or "pix2pix", *asked),
        presets=f"--preset {'|'.join(PRESETS)}: the configuration to start from (pix2pix). ",
    )  # fmt: skip
    if dry_run:
        from calco.checking.check import report_findings
        from calco.training.pairs import open_data
        from calco.training.translation import summary

        data, config = open_data(given)
        report_findings(data.source, data.splits, config.source, recipe=config.recipe, asked=given.recipe)
        print_plan(config, summary(config, data))
    else:
        calco.train(given, resume=resume)


def demo(args: list[str]) -> None:
    config = parse(calco.DemoConfig, args, "demo")
    calco.demo(config)


def evaluate(args: list[str]) -> None:
    config = parse(calco.EvaluateConfig, args, "evaluate")
    from calco.evaluation.face_search import FACE_METRICS
    from calco.evaluation.landmarks import LANDMARK_METRICS
    from calco.evaluation.readback import LABEL_METRICS
    from calco.evaluation.scores import terminal_table

    with bars() as progress:
        card = calco.evaluate(config, progress=progress)
    show(card.table())
    show(card.verdict())
    if card.classes:
        caption = "over all pixels; IoU and Dice above are the means of these"
        table = Table("", right=("IoU ↑", "Dice ↑", "pixels found ↑"), title="classes", caption=caption)
        for name, cells in card.class_rows():
            table.add_row(name, *cells)
        show(table)
    if note := card.colour_note():
        say(note)
    for note in card.notes:
        warn(note)
    if card.labels is not None:
        show(terminal_table(card.labels.systems, LABEL_METRICS, title="label read-back", best=False))
        show(" ".join([card.labels.sentence(), *card.labels.notes]))
    if card.faces is not None:
        show(terminal_table(card.faces.systems, FACE_METRICS, title="search for the person"))
        show(" ".join([card.faces.sentence(), *card.faces.notes]))
    if card.landmarks is not None:
        show(terminal_table(card.landmarks.systems, LANDMARK_METRICS, title="facial landmarks", best=False))
        show(" ".join([card.landmarks.sentence(), *card.landmarks.notes]))
    for reason in card.left_out_metrics.values():
        say(f"left out: {reason}")
    if card.video is not None:
        show(terminal_table(card.video.systems, card.video.measures, title="steadiness"))
        show(" ".join(card.video.notes))


def compare(args: list[str]) -> None:
    config = parse(calco.CompareConfig, args, "compare")
    from calco.evaluation.baselines import MODEL
    from calco.evaluation.evaluate import differences, notes
    from calco.evaluation.metrics import METRICS
    from calco.evaluation.scores import terminal_table
    from calco.report.page import count

    cards, page = calco.compare(config)
    differ = differences(cards)
    systems = {f"{name}\n{count(card.num_counted)}": card.systems[MODEL] for name, card in cards.items()}
    metrics = {key: metric for key, metric in METRICS.items() if all(key in row for row in systems.values())}
    caption = "mean and 95% interval; " + ("the means do not compare" if differ else "the best in bold")
    show(terminal_table(systems, metrics, caption=caption, best=not differ))
    show(f"the page is {page}")
    for sentence in [*differ, *notes(cards)]:
        warn(sentence)


def translate(args: list[str]) -> None:
    config = parse(calco.TranslateConfig, args, "translate")
    from calco.inference.results import Translation, VideosResult

    with bar("translating") as advance, status_line() as status:
        done = calco.translate(config, progress=advance, status=status)
    if isinstance(done, Translation):
        kept = f", {done.kept} kept from before" if done.kept else ""
        images = "image" if done.written == 1 else "images"
        say(f"{done.written} {images} written to {done.out}{kept}, computed on {done.computed_on}")
        for note in done.notes:
            warn(note)
        warn_left_out(done.left_out, "translation.json")
    elif isinstance(done, VideosResult):
        for video in done.done:
            _report_video(video, done.computed_on)
        if not done.out.is_file():
            kept = f", {done.kept} kept from before" if done.kept else ""
            say(f"{len(done.done)} videos written to {done.out}{kept}")
        warn_left_out(done.left_out)


def _report_video(done: "VideoResult", computed_on: str) -> None:
    kept = f", {done.kept} more kept from before" if done.kept else ""
    rate = f"{done.frames / done.seconds:.1f} frames/s" if done.seconds else ""
    say(f"{done.frames} frames written to {done.out}{kept}; {rate}, computed on {computed_on}")
    if done.psnr is not None:
        say(f"PSNR {done.psnr:.2f} dB on average; the page is {done.page}")
    for note in done.notes[:_MOST_NOTES]:
        warn(note)
    if len(done.notes) > _MOST_NOTES:
        warn(f"{len(done.notes) - _MOST_NOTES} more notes on {done.out}")


def export(args: list[str]) -> None:
    config = parse(calco.ExportConfig, args, "export")
    for sentence in calco.export_model(config).said:
        say(sentence)


def bench(args: list[str]) -> None:
    config = parse(calco.BenchConfig, args, "bench")
    from calco.benchmarks.bench import HEADINGS, cells

    done = calco.bench(config)
    for line in done.head():
        show(line)
    if done.rows:
        table = Table(box=None, header_style="bold")
        for place, heading in enumerate(HEADINGS):
            table.add_column(heading, justify="right" if 0 < place < 6 else "left", no_wrap=True)
        for row in done.rows:
            table.add_row(*cells(row))
        show(table, width=150)  # figures are not cut off where they go to a file or a narrow window
    for path in filter(None, (config.json, config.plot, config.markdown)):
        say(f"{path} is written")


def doctor(args: list[str]) -> None:
    config = parse(calco.DoctorConfig, args, "doctor")
    found = calco.doctor(config)
    if config.json:
        emit(f"{json.dumps(found.record(), indent=2, ensure_ascii=False)}\n")
    else:
        emit(found.text())


def ablate(args: list[str]) -> None:
    own, dashes, options = _split(args)
    # As one word: its first character is a dash.
    config = parse(calco.AblateConfig, [*own, f"--options={shlex.join(options)}"] if dashes else own, "ablate")
    with _warnings_alone():
        found = calco.ablate(config, progress=True)
    for scores in found.data:
        show(scores.table())
        if sentence := scores.winners():
            show(f"{scores.data}: {sentence}")
        if (times := scores.times_table()) is not None:
            show(times)
        for note in scores.notes:
            warn(note)
    for name, reason in found.failed.items():
        warn(f"{name} has no scores: {reason}")
    show(f"tables and figures are in {found.report}")


def _split(args: list[str]) -> tuple[list[str], bool, list[str]]:
    """Split the arguments at the first --."""
    place = args.index("--") if "--" in args else len(args)
    return args[:place], place < len(args), args[place + 1 :]


@contextlib.contextmanager
def _warnings_alone() -> Iterator[None]:
    """Let only warnings through from modules that would describe each of the trainings."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    reported: set[str] = set()

    def once(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        known = text in reported
        reported.add(text)
        return not known

    for logger in loggers:
        logger.setLevel(logging.WARNING)
    logging.getLogger(_REPEATED).addFilter(once)
    try:
        yield
    finally:
        logging.getLogger(_REPEATED).removeFilter(once)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def serve(args: list[str]) -> None:
    config = parse(calco.ServeConfig, args, "serve")
    calco.serve(config)
