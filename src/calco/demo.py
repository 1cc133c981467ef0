"""`calco demo`: the whole journey on real drawings, in minutes on a laptop."""

from dataclasses import replace
from pathlib import Path

from calco import imaging
from calco.console import say, show
from calco.data.config import SourceConfig
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.errors import CalcoError
from calco.evaluation.evaluate import evaluate
from calco.files import make_folder
from calco.inference.model import load
from calco.inference.translate import translate
from calco.training.config import LimitConfig, TrainConfig, small
from calco.training.translation import train


def demo_config(out: str, minutes: float, drawings: int, seed: int) -> TrainConfig:
    """Sketch -> colour on OpenMoji drawings, at a size that minutes suffice for."""
    base = small()
    return replace(
        base,
        images="openmoji",
        out=out,
        seed=seed,
        source=SourceConfig(limit=drawings),
        jitter=replace(base.jitter, size=96, resize=104),
        generator=replace(base.generator, depth=5),
        limit=LimitConfig(epochs=0, minutes=minutes),
    )


def demo(out: str = "demo", minutes: float = 3.0, drawings: int = 900, seed: int = 0) -> Path:
    """Trains on drawings, scores on drawings never seen, translates some of them, and says where everything is.

    Args:
        out: The folder to write into; a demo that stands there is replaced when it is whole.
        minutes: Minutes of training.
        drawings: How many drawings to learn from.
        seed: From which every chance derives.

    Raises:
        CalcoError: When the drawings are not installed or the folder cannot be written.
    """
    folder = _free(Path(out))
    config = demo_config(str(folder / "run"), minutes, drawings, seed)
    say(f"1/3  training sketch -> colour on {drawings} drawings for {minutes:g} minutes")
    run = train(config)
    say("2/3  scoring on drawings that it never saw")
    card = evaluate(run)
    say("3/3  colouring sketches that it never saw")
    sketches = _write_sketches(config, folder / "sketches")
    translate(load(run), sketches, folder / "coloured")
    show(card.table())
    show(card.verdict())
    places = {"report": run / "report" / "report.html", "how it learned": run / "evolution.mp4", "model": run / "model"}
    for name, path in (*places.items(), ("sketches", sketches), ("coloured", folder / "coloured")):
        show(f"{name:>15}: {path.resolve()}")
    show("your own images: calco train FOLDER --preset small --minutes 10")
    return folder


def _free(folder: Path) -> Path:
    """The folder, or the next free name: an earlier demo is never lost."""
    if folder.exists() and not folder.is_dir():
        raise CalcoError(f"{folder} is a file; name a folder with --out")
    if not folder.exists() or not any(folder.iterdir()):
        return folder
    return next(
        path for number in range(2, 10_000) if not (path := folder.with_name(f"{folder.name}-{number}")).exists()
    )


def _write_sketches(config: TrainConfig, folder: Path, count: int = 12) -> Path:
    """Writes a few sketches of the test split, as a person would hand them in."""
    source = open_source(config.images, config.source)
    make_folder(folder)
    unseen = split_items(source.items, config.split)["test"]
    # Spread over the list: neighbours are variants of one drawing.
    for item in unseen[:: max(1, len(unseen) // count)][:count]:
        imaging.write(folder / f"{Path(item.key).name}.png", source.load(item).image)
    return folder
