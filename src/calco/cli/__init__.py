"""The command line: parsing only; what a verb does lives in the layer it names."""

import contextlib
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn, TypeAlias

from calco import __version__
from calco.addresses import redact_addresses
from calco.cli.words import parse
from calco.errors import CalcoError, is_out_of_memory, out_of_memory, printable

Verb: TypeAlias = Callable[[list[str]], None]


def demo(args: list[str]) -> None:
    """Real drawings -> trained -> scored -> report, in minutes on a laptop."""
    from calco.demo import demo as run

    run(**_parse(args, "demo"))


def collect(args: list[str]) -> None:
    """Fetches the images that a list names, and cuts out what its boxes name."""
    from calco.collecting.collect import collect as run
    from calco.collecting.collect import left_out_table, verdict
    from calco.collecting.download import DownloadConfig
    from calco.console import bar, show

    options = _parse(args, "collect")
    limits = {name: options.pop(name) for name in ("jobs", "timeout", "patience", "retries", "largest")}
    fetch = DownloadConfig(private=options.pop("allow_private"), **limits)
    with bar("collecting") as advance:
        done = run(**options, fetch=fetch, progress=lambda _doing, count, of: advance(count, of))
    if done.left_out or done.boxes_left_out or done.remarks:
        show(left_out_table(done))
    show(verdict(done))


def prepare(args: list[str]) -> None:
    """Makes pairs once and writes them: shards, or files for other tools."""
    from calco.console import say, show
    from calco.data.prepare import counts_table, left_out_table
    from calco.data.prepare import prepare as run
    from calco.data.prepare_config import PrepareConfig

    config = parse(PrepareConfig, args, prog="calco prepare", description=prepare.__doc__)
    done = run(config)
    show(counts_table(done.manifest))
    if done.manifest.left_out:
        show(left_out_table(done.manifest.left_out))
    show(f"digest {done.manifest.digest}")
    say(f"{done.folder} is ready" + (f"; {done.kept} pairs were there from before" if done.kept else ""))


def check(args: list[str]) -> None:
    """What is wrong with a data set, before anyone trains on it."""
    from calco.checking.check import check as run
    from calco.checking.check import findings_table
    from calco.checking.config import BESIDE, CheckConfig
    from calco.console import say, show

    words = _with_default(args, "--write-groups", BESIDE)
    words = _with_default([f"--write-drop{word[6:]}" if word[:6] == "--drop" else word for word in words],
                          "--write-drop", BESIDE)  # fmt: skip
    epilogue = (
        "--write-groups [FILE.csv]: writes the groups with which no twin crosses the split; without a file, beside the "
        "images. --drop [FILE.csv]: the same for what must be left out; what the file leaves out already stays out. "
        "Leaves with exit code 1 when something must be mended."
    )
    report = run(
        parse(CheckConfig, words, prog="calco check", description=f"{(check.__doc__ or '').strip()}\n\n{epilogue}")
    )
    say(report.source.summary())
    if report.findings:
        show(findings_table(report))
    show(report.verdict())
    for path in report.written.values():
        say(f"{path} is written")
    for command in report.commands.values():
        show(f"mend it with: {command}")
    say(f"the page is {report.page}")
    if not report.ok:
        sys.exit(1)


def _with_default(args: list[str], name: str, value: str) -> list[str]:
    """The words with a value after an option that may stand without its file."""
    words: list[str] = []
    for place, word in enumerate(args):
        words.append(word)
        following = args[place + 1] if place + 1 < len(args) else "--"
        if word == name and not following.lower().endswith(".csv"):
            words.append(value)
    return words


def recipes(args: list[str]) -> None:
    """Draws what each recipe, with each of its settings, makes of an image."""
    from calco.console import say
    from calco.data.gallery import draw_sheets

    for sheet in draw_sheets(**_parse(args, "recipes")):
        say(str(sheet))


def train(args: list[str]) -> None:
    """From images to a run with a trained model in it."""
    from calco.cli.words import Training
    from calco.training.config import PRESETS, preset
    from calco.training.translation import load_config
    from calco.training.translation import train as run

    told = Training.of(
        args, train.__doc__, prog="calco train", load=load_config, fresh=lambda name: preset(name or "pix2pix"),
        size="networks' sizes", presets=f"--preset {'|'.join(PRESETS)}: the configuration to start from (pix2pix). ",
    )  # fmt: skip
    if told.dry_run:
        from calco.checking.quick import report_findings
        from calco.training.pairs import open_data, summary

        data, config = open_data(told.config)
        report_findings(data.source, data.splits, config.source, recipe=config.recipe, asked=told.config.recipe)
        told.plan(config, summary(config, data))
        return
    run(told.config, resume=told.resume)


def evaluate(args: list[str]) -> None:
    """Scores a model beside the baselines on the same images, and writes the report."""
    from calco.console import say
    from calco.data.config import SourceConfig
    from calco.evaluation.evaluate import evaluate as run
    from calco.evaluation.scorecard import class_table, table

    options = _parse(args, "evaluate")
    engine = _engine(options)
    given = {name: options.pop(name) for name in ("source", "input", "target", "direction")}
    source = None
    if any(value is not None for value in given.values()):
        from dataclasses import replace

        from calco.inference.model import load_info

        trained: SourceConfig = load_info(options["model"]).source
        source = replace(trained, **{name: value for name, value in given.items() if value is not None})
    card = run(options.pop("model"), options.pop("images"), source=source, engine=engine, **options)
    _print_scores(table(card), card.verdict())
    if card.classes:
        _print_scores(class_table(card))
    for reason in card.left_out_metrics.values():
        say(f"left out: {reason}")
    if card.video is not None:
        from calco.evaluation.report import video_table

        _print_scores(video_table(card.video), " ".join(card.video.notes))


def compare(args: list[str]) -> None:
    """Puts the scores and images of evaluated runs side by side."""
    from calco.console import warn
    from calco.evaluation.comparison import differences
    from calco.evaluation.evaluate import compare as run
    from calco.evaluation.scorecard import comparison_table

    options = _parse(args, "compare")
    cards, page = run(options["runs"], options["out"])
    differ = differences(cards)
    _print_scores(comparison_table(cards, comparable=not differ), f"the page is {page}")
    for sentence in differ:
        warn(sentence)


def translate(args: list[str]) -> None:
    """Applies a model to images, videos and cameras; names, formats, sizes, EXIF and sound are kept."""
    from calco.cli import live as live
    from calco.cli import video as videos
    from calco.console import bar, say, warn
    from calco.inference.model import load
    from calco.inference.translate import translate as run
    from calco.networks.machine import NAMES, make_ready

    options = _parse(args, "translate")
    overlay = _overlay(options)
    way = next((each for each in (live, videos) if each.wants(options)), None)
    if way is None:
        options = videos.without(live.without(options))
        engine = _engine(options)
    # A wrong model is said before the images are listed.
    translator = load(options["model"], device=options["device"], precision=options["precision"])
    make_ready(translator.device, exact=options["precision"] == "fp32")
    translator.lay_over(overlay)
    if way is not None:
        way.run(options, translator)
        return
    with bar("translating") as advance:
        done = run(
            **options, overlay=overlay, engine=engine, progress=lambda count, total, _name: advance(count, total)
        )
    kept = f", {done.kept} kept from before" if done.kept else ""
    how = f"{translator.device} in {NAMES[translator.precision]}"
    say(f"{done.written} images written to {done.out}{kept}, computed on {how}")
    for note in done.notes:
        warn(note)
    for name, reason in list(done.left_out.items())[:5]:
        warn(f"left out {name}: {reason}")
    if len(done.left_out) > 5:
        warn(f"{len(done.left_out)} left out in all; translation.json lists them")


def export(args: list[str]) -> None:
    """Writes a model as one file for other programs."""
    from calco.export.export import export_model

    export_model(**_parse(args, "export"))


def detect(args: list[str]) -> None:
    """Finds objects in images and video: trains a detector, measures, shows and watches."""
    from calco.cli.detect import DETECT

    _group("detect", DETECT, args)


def crime(args: list[str]) -> None:
    """Crime in Peru: collects, cleans, loads, asks, draws and foretells."""
    from calco.cli.crime import CRIME

    _group("crime", CRIME, args)


def serve(args: list[str]) -> None:
    """Shows the charts of crime in browsers, from this machine."""
    from calco.crime.serve import ServeConfig
    from calco.crime.serve import serve as run

    run(parse(ServeConfig, args, prog="calco serve", description=serve.__doc__))


def bench(args: list[str]) -> None:
    """Measures speed and memory on this machine, beside a plain reference loop."""
    from calco.benchmarks.bench import bench as run
    from calco.benchmarks.bench import table
    from calco.benchmarks.config import BenchConfig
    from calco.console import say, show

    config = parse(BenchConfig, args, prog="calco bench", description=bench.__doc__)
    done = run(config)
    for line in done.head():
        show(line)
    if done.rows:
        show(table(done.rows), width=140)  # figures are not cut off where they go to a file or a narrow window
    for path in filter(None, (config.json, config.plot, config.markdown)):
        say(f"{path} is written")


def _engine(options: dict[str, Any]) -> Any:
    """Who works, taken out of a verb's options."""
    from calco.engines import Engine

    name, jobs = options.pop("engine"), options.pop("jobs")
    # One process with all cores is the fastest that one machine can do with a model: more only when asked for.
    default = 1 if name == "local" else 0
    return Engine(name=name, jobs=default if jobs is None else jobs, address=options.pop("address"))


def _overlay(options: dict[str, Any]) -> Any:
    """How painted masks are laid over images, taken out of a verb's options; None where they are not."""
    from calco.inference.overlay import Overlay

    wanted = options.pop("overlay")
    given = {name: value for name in ("alpha", "contour") if (value := options.pop(name)) is not None}
    if given and not wanted:
        raise CalcoError(f"--{next(iter(given))} tells how --overlay looks; add --overlay, or leave it out")
    return Overlay(**given) if wanted else None


def _print_scores(table: Any, words: str = "") -> None:
    from calco.console import show

    show(table)
    if words:
        show(words)


def _parse(args: list[str], verb: str) -> dict[str, Any]:
    from calco import options

    parsed: dict[str, Any] = parse(getattr(options, verb), args, prog=f"calco {verb}")
    return parsed


VERBS: dict[str, Verb] = {
    "demo": demo,
    "collect": collect,
    "prepare": prepare,
    "check": check,
    "recipes": recipes,
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
    "translate": translate,
    "export": export,
    "detect": detect,
    "crime": crime,
    "serve": serve,
    "bench": bench,
}


def _group(name: str, verbs: dict[str, Verb], args: list[str]) -> None:
    """Runs one of a verb's own verbs."""
    if not args or args[0] in ("-h", "--help", "help"):
        print(f"{_first_line(VERBS[name])}\n\nusage: calco {name} VERB [OPTIONS]\n\n{_listed(verbs)}\n")
        print(f"calco {name} VERB --help tells a verb's options.")
        sys.exit(0 if args else 2)
    if args[0] not in verbs:
        raise CalcoError(f"there is no {name} {args[0]}; choose one of {', '.join(verbs)}")
    verbs[args[0]](args[1:])


def _first_line(verb: Verb) -> str:
    return (verb.__doc__ or "").splitlines()[0]


def _listed(verbs: dict[str, Verb]) -> str:
    return "\n".join(f"  {name:<10} {_first_line(verb)}" for name, verb in verbs.items())


def usage() -> str:
    """What `calco --help` prints."""
    return (
        "Calco teaches a computer to redraw images.\n\n"
        f"usage: calco VERB [OPTIONS]\n\n{_listed(VERBS)}\n\n"
        "calco VERB --help tells a verb's options; calco --version the version.\n"
    )


def main(args: list[str] | None = None) -> None:
    """Runs a verb; what a user can cause is one line and exit code 2."""
    from calco.console import abandon_stdout, prepare_streams

    prepare_streams()
    sys.excepthook = _report
    try:
        _run(sys.argv[1:] if args is None else args)
        sys.stdout.flush()  # an error of writing is met here, not at the interpreter's end
    except BrokenPipeError:  # such as | head, which has read enough
        abandon_stdout()
        sys.exit(1)
    except CalcoError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped", code=130)
    except OSError as error:
        from calco.files import explain

        abandon_stdout()
        _fail(str(explain(error, error.filename or "the output", "use" if error.filename else "write")))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        _fail(str(out_of_memory(error, "close other programs, or give less at a time")))


def _run(words: list[str]) -> None:
    """Runs the verb that the words name, or prints what there is."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        sys.exit(0 if words else 2)
    if words[0] == "--version":
        print(f"calco {__version__}")
        return
    if words[0] not in VERBS:
        _fail(f"there is no verb {printable(words[0])}; choose one of {', '.join(VERBS)}")
    VERBS[words[0]](words[1:])


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Prints the traceback of a fault of ours without passwords and tokens of addresses."""
    import traceback

    text = "".join(traceback.format_exception(kind, error, trace))
    with contextlib.suppress(OSError):
        for line in redact_addresses(text).splitlines():
            print(printable(line), file=sys.stderr)


def _fail(reason: str, *, code: int = 2) -> NoReturn:
    """Prints the one line, and exits."""
    with contextlib.suppress(OSError):  # where nobody reads it, the code still tells
        print(f"calco: {reason}", file=sys.stderr)
    sys.exit(code)
