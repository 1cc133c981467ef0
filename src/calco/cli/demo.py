"""`calco demo`: the whole journey on real drawings, in minutes on a laptop."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from calco.console import say, show
from calco.errors import UsageError
from calco.files import make_folder
from calco.records import check_numbers

if TYPE_CHECKING:
    from calco.training.config import TrainConfig


VALIDATION: Final = 0.05
"""Share of the drawings that validates the training."""
DRAWINGS: Final = 4000
"""Largest number of drawings to learn from and to score together: OpenMoji has a few more."""


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Train sketch to colour on OpenMoji drawings, score it on unseen drawings, write report and video."""

    out: str = "demo"
    """Folder to write into."""

    minutes: float = 3.0
    """Minutes of training."""

    drawings: int = 900
    """Number of drawings to learn from."""

    scored: int = 240
    """Number of other drawings to score; more of them narrow the intervals of the scores."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of convolutions; auto takes bf16 if the hardware has it; fp16 is for GPUs."""

    seed: int = 0
    """Seed of all random number generators."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_numbers(self, drawings=(1, DRAWINGS - 1), scored=(1, DRAWINGS - 1))
        if self.drawings + self.scored > DRAWINGS:
            raise UsageError(
                f"drawings {self.drawings} and scored {self.scored} are {self.drawings + self.scored} together, and "
                f"{DRAWINGS} of OpenMoji can be taken; give fewer, such as --scored {DRAWINGS - self.drawings}"
            )


def demo(config: DemoConfig) -> Path:
    """Train on drawings, score on unseen ones, translate some of these, and print where everything is.

    Args:
        config: Folder, minutes, numbers of drawings, precision, seed.

    Returns:
        The folder; if it holds an earlier demo, the next free name.

    Raises:
        CalcoError: If the drawings are not installed or the folder cannot be written.
    """
    from calco.evaluation import EvaluateConfig
    from calco.evaluation.evaluate import evaluate
    from calco.inference import TranslateConfig
    from calco.inference.translate import translate
    from calco.training.translation import train

    folder = _free(Path(config.out))
    training = demo_config(config, folder / "run")
    say(f"1/3  training sketch -> colour on {config.drawings} drawings for {config.minutes:g} minutes")
    run = train(training)
    say("2/3  scoring on unseen drawings")
    card = evaluate(EvaluateConfig(model=run))
    say("3/3  colouring unseen sketches")
    sketches = _write_sketches(training, folder / "sketches")
    translate(TranslateConfig(model=run, images=sketches, out=folder / "coloured", precision="fp32"))
    show(card.table())
    show(card.verdict())
    places = {"report": run / "report" / "report.html", "how it learned": run / "evolution.mp4", "model": run / "model"}
    for name, path in (*places.items(), ("sketches", sketches), ("coloured", folder / "coloured")):
        show(f"{name:>15}: {path.resolve()}")
    show(f"in a browser: calco serve {shlex.quote(str(run))}")
    show("your own images: calco train FOLDER --preset small --minutes 10")
    return folder


def demo_config(config: DemoConfig, run: Path) -> "TrainConfig":
    """Return the training of sketch to colour on OpenMoji drawings, at a size that minutes suffice for."""
    from calco.data.config import SourceConfig, SplitConfig
    from calco.training.config import LimitConfig, small

    base = small()
    # Of these, the validation takes its share.
    drawings = config.drawings + config.scored
    return replace(
        base,
        images="openmoji",
        out=str(run),
        seed=config.seed,
        source=SourceConfig(limit=round(drawings / (1 - VALIDATION))),
        split=SplitConfig(validation=VALIDATION, test=(1 - VALIDATION) * config.scored / drawings),
        compute=replace(base.compute, precision=config.precision),
        jitter=replace(base.jitter, size=96, resize=104),
        # In three minutes an adversary and dropout cost more than they bring: without them SSIM is better for certain.
        # As a loss it makes lines and edges count, and smaller batches give more steps.
        generator=replace(base.generator, depth=5, dropout=0),
        objective=replace(base.objective, gan="none", ssim_weight=60),
        optimiser=replace(base.optimiser, batch=4),
        limit=LimitConfig(epochs=0, minutes=config.minutes),
    )


def _free(folder: Path) -> Path:
    """Return the folder, or the next free name: an earlier demo is never lost."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder with --out")
    if not folder.exists() or not any(folder.iterdir()):
        return folder
    return next(
        path for number in range(2, 10_000) if not (path := folder.with_name(f"{folder.name}-{number}")).exists()
    )


def _write_sketches(config: "TrainConfig", folder: Path, count: int = 12) -> Path:
    """Write a few sketches of the test split, as a user would hand them in."""
    from calco import imaging
    from calco.data.sources import open_source
    from calco.data.splits import split_items

    source = open_source(config.images, config.source)
    make_folder(folder)
    unseen = split_items(source.items, config.split)["test"]
    # Spread over the list: neighbours are variants of one drawing.
    for item in unseen[:: max(1, len(unseen) // count)][:count]:
        imaging.write(folder / f"{Path(item.key).name}.png", source.load(item).image)
    return folder
