"""The table of all verbs: what each does, examples, the options of its short help, and the function behind it.

It imports nothing of what the verbs need, so that `calco --help` costs no more than Python itself.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A verb of the command line, or a group of verbs; called with the arguments after its name, it does its work."""

    about: str  # one sentence, the first of its --help
    examples: tuple[str, ...]  # one to three commands
    home: str = ""  # "module:function" below `calco.cli`; of a group, what it does without a verb, if anything
    common: str = ""  # options that --help shows of a verb with many, where --help-all shows all of them
    verbs: "Mapping[str, Verb]" = field(default_factory=dict)  # of a group

    def __call__(self, args: list[str]) -> None:
        """Parse the arguments and do the work."""
        module, _, name = self.home.partition(":")
        function: Callable[[list[str]], None] = getattr(import_module(f"calco.cli.{module}"), name)
        function(args)


_DETECT: Final[dict[str, Verb]] = {
    "train": Verb(
        home="detect:train",
        about="Train a detector on images with boxes.",
        examples=(
            "calco detect train ../guns --classes gun --minutes 20 --out runs/guns",
            "calco detect train ../guns --model rt-detr-v2 --dry-run",
        ),
        common="images model weights start out seed size source annotations classes limit batch learning-rate epochs "
        "minutes patience validate-every best-by device precision processes",
    ),
    "explore": Verb(
        home="detect:explore",
        about="Describe a set of images with boxes on one page: counts, sizes, places, duplicates, faults.",
        examples=("calco detect explore ../guns --classes gun --out guns-page",),
    ),
    "evaluate": Verb(
        home="detect:evaluate",
        about="Score a detector beside baselines: mAP, curves, confusions, errors in people per hour; with a report.",
        examples=(
            "calco detect evaluate runs/guns",
            "calco detect evaluate runs/guns --people-per-hour 200 --frames-per-second 5",
        ),
    ),
    "predict": Verb(
        home="detect:predict",
        about="Find objects in images, videos and cameras: drawn, and as tables.",
        examples=(
            "calco detect predict runs/guns photo.jpg --out seen.png",
            "calco detect predict runs/guns street.mp4 --out seen.mp4 --threshold 0.4",
        ),
    ),
    "export": Verb(
        home="detect:export",
        about="Write a detector as one file for other programs.",
        examples=("calco detect export runs/guns --to onnx --out guns.onnx",),
    ),
    "slide": Verb(
        home="detect:slide",
        about="Show a sliding window as a video, with a classifier that looks through it.",
        examples=(
            "calco detect slide photo.jpg --window 96x64 --step 16 --out window.gif",
            "calco detect slide photo.jpg --window 96x64 --scales 1 1.5 --examples ../guns --out guns.mp4",
        ),
    ),
    "watch": Verb(
        home="detect:watch",
        about="Watch a video or a camera: track objects, apply rules, report events.",
        examples=(
            "calco detect watch door.mp4 --model runs/guns --rules rules.yaml --out watched",
            "calco detect watch --paint door.mp4 --rules rules.yaml",
        ),
        common="source model out rules paint score every blur-faces people hook webhook video resume overwrite live "
        "page device",
    ),
}

_CRIME: Final[dict[str, Verb]] = {
    "collect": Verb(
        home="crime:collect",
        about="Fetch DataCrim's panel into Parquet and CSV, and keep the raw pages.",
        examples=("calco crime collect --ids 40173 --years 2015-2019 --out datacrim",),
    ),
    "load": Verb(
        home="crime:load",
        about="Clean the sources and load them into a database; each row ends in a table or in the rejects.",
        examples=(
            "calco crime load --robberies crimenes.csv --kinds descripcion_crimen.csv --datacrim datacrim.parquet",
            "calco crime load --robberies grupo_data_criminal.xlsx --to crime.duckdb",
        ),
    ),
    "generate": Verb(
        home="crime:generate",
        about="Make rows in the format of DataCrim, any number of them, to try the other verbs.",
        examples=("calco crime generate --rows 1000000 --out rows.parquet",),
    ),
    "query": Verb(
        home="crime:query",
        about="Answer the ten questions, beside the published answers.",
        examples=(
            "calco crime query all --from crime.duckdb",
            "calco crime query 5 --format csv --out crimes-2019.csv",
        ),
    ),
    "dashboard": Verb(
        home="crime:dashboard",
        about="Write the charts with their filters on one page that needs no network.",
        examples=("calco crime dashboard --from crime.duckdb --out crime.html --language en",),
    ),
    "chart": Verb(
        home="crime:chart",
        about="Write the charts as PNG and CSV.",
        examples=("calco crime chart all --from crime.duckdb --out charts",),
    ),
    "forecast": Verb(
        home="crime:forecast",
        about="Forecast robberies by month or quarter, with a backtest on the known data.",
        examples=("calco crime forecast --every month --ahead 3 --out forecast.csv",),
    ),
}

_LESSONS: Final[dict[str, Verb]] = {
    "open": Verb(
        home="lessons:open_one",
        about="Open a lesson in the browser, to read, change and run it.",
        examples=("calco lessons open 2.4", "calco lessons open 2.4 --language en --port 8080 --no-browser"),
    ),
    "run": Verb(
        home="lessons:run",
        about="Run lessons from start to end, without a browser.",
        examples=("calco lessons run 2.4 3.7",),
    ),
    "export": Verb(
        home="lessons:export",
        about="Run lessons and write each as a page, with an index.",
        examples=("calco lessons export --language es --out course",),
    ),
}

VERBS: Final[dict[str, Verb]] = {
    "demo": Verb(
        home="translators:demo",
        about="Go from real drawings to a trained, scored model with a report, in minutes on a laptop.",
        examples=("calco demo", "calco demo --minutes 10 --out runs/demo"),
    ),
    "collect": Verb(
        home="data:collect",
        about="Download the images of a list, and cut out what its boxes name.",
        examples=(
            "calco collect faces.json --out photographs",
            "calco collect faces.json --images photographs --crop Face --out crops",
        ),
    ),
    "prepare": Verb(
        home="data:prepare",
        about="Make pairs once and write them: shards, or files for other tools.",
        examples=(
            "calco prepare ../faces --input sketch --target photo --out shards/faces",
            "calco prepare ../nature --recipe colorize --format parallel --size 256 --out pairs",
        ),
        common="images out format size fit variants count jobs overwrite seed source input target annotations classes "
        "limit recipe holes style damage palette cutouts",
    ),
    "check": Verb(
        home="data:check",
        about="Find what is wrong with a data set, before training on it.",
        examples=(
            "calco check ../faces --input sketch --target photo",
            "calco check ../nature --out nature-check --write-groups --drop",
        ),
        common="images out write-groups write-drop jobs source input target annotations classes groups drop limit "
        "recipe holes palette cutouts",
    ),
    "recipes": Verb(
        home="data:recipes",
        about="Show what each recipe, with each of its settings, makes of an image.",
        examples=("calco recipes", "calco recipes portrait.jpg --only sketch --out sheets"),
    ),
    "train": Verb(
        home="translators:train",
        about="Train a model on images.",
        examples=(
            "calco train ../faces --input sketch --target photo --preset small --minutes 10 --out runs/faces",
            "calco train ../nature --recipe colorize+erase --preset small --dry-run",
            "calco train openmoji --preset small --minutes 5 --out runs/drawings",
        ),
        common="images start out seed source input target direction limit recipe size flip generator.architecture "
        "batch learning-rate ema epochs minutes patience validate-every best-by device precision processes",
    ),
    "evaluate": Verb(
        home="translators:evaluate",
        about="Score a model beside the baselines on the same images, and write a report.",
        examples=(
            "calco evaluate runs/faces",
            "calco evaluate runs/faces ../other_faces --input sketch --target photo --out reports/other",
        ),
    ),
    "compare": Verb(
        home="translators:compare",
        about="Put the scores and images of evaluated runs side by side.",
        examples=("calco compare runs/faces runs/faces-2 --out comparison.html",),
    ),
    "ablate": Verb(
        home="translators:ablate",
        about="Train variants on the same data for the same time, and compare their scores.",
        examples=(
            "calco ablate openmoji --presets small pix2pix --seeds 0 1 --minutes 5 --out ablation",
            'calco ablate openmoji --presets small --variants "l1=small --objective.gan none" --minutes 5',
            "calco ablate ../nature --presets small pix2pix --minutes 10 -- --recipe colorize --limit 500",
        ),
    ),
    "translate": Verb(
        home="translators:translate",
        about="Apply a model to images, videos and cameras; names, formats, sizes, EXIF and sound are kept.",
        examples=(
            "calco translate runs/faces ../sketches --out coloured",
            "calco translate runs/nature grey.mp4 --out coloured.mp4 --from 1:30 --to 2:10",
            "calco translate runs/nature camera --window",
        ),
    ),
    "export": Verb(
        home="translators:export",
        about="Write a model as one file for other programs.",
        examples=(
            "calco export runs/nature --out nature.onnx",
            "calco export runs/nature --to openvino --precision bf16 --out nature.zip",
        ),
    ),
    "detect": Verb(
        about="Find objects in images and video: train a detector, measure, show and watch.",
        examples=(
            "calco detect train ../guns --classes gun --minutes 20 --out runs/guns",
            "calco detect predict runs/guns street.mp4 --out seen.mp4",
        ),
        verbs=_DETECT,
    ),
    "crime": Verb(
        about="Analyse crime in Peru: collect, clean, load, query, chart and forecast.",
        examples=(
            "calco crime load --robberies crimenes.csv --kinds descripcion_crimen.csv --datacrim datacrim.parquet",
            "calco crime query all --from crime.duckdb",
        ),
        verbs=_CRIME,
    ),
    "lessons": Verb(
        home="lessons:print_outline",
        about="Learn detection, segmentation and translation of images: the lessons of the course.",
        examples=("calco lessons", "calco lessons open 2.4"),
        verbs=_LESSONS,
    ),
    "serve": Verb(
        home="translators:serve",
        about="Serve models to browsers and to programs: draw, brush, drop a photo or a video, see the result.",
        examples=("calco serve", "calco serve runs/faces runs/nature --runs runs --browser"),
    ),
    "bench": Verb(
        home="translators:bench",
        about="Measure speed and memory on this machine, beside a plain reference loop.",
        examples=("calco bench", "calco bench --only training,inference --repeats 9 --plot bench.svg"),
    ),
    "doctor": Verb(
        home="translators:doctor",
        about="Describe this machine, its versions, devices, extras, models and threads, to paste into a report.",
        examples=("calco doctor", "calco doctor --json"),
    ),
    "completion": Verb(
        home="completion:print_completion",
        about="Print the script by which bash, zsh or fish completes verbs, options, their values and file names.",
        examples=(
            "calco completion bash > ~/.local/share/bash-completion/completions/calco",
            "calco completion zsh > ~/.zsh/completions/_calco",
            "calco completion fish > ~/.config/fish/completions/calco.fish",
        ),
    ),
}


COMMANDS: Final[dict[str, Verb]] = {
    f"{group} {name}".strip(): verb
    for group, each in VERBS.items()
    for name, verb in (each.verbs or {"": each}).items()
}
"""Each verb that is no group, by its words: "train", "detect train"."""


def listed_examples(examples: Iterable[str]) -> str:
    """Return commands as a help shows them."""
    return "\n".join(["Examples:", *(f"  {line}" for line in examples)])
