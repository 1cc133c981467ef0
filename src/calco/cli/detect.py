"""The verbs of `calco detect`: parsing only."""

from collections.abc import Callable


def predict(args: list[str]) -> None:
    """Finds things in pictures, films and what cameras see: drawn, and as tables."""
    import tyro
    from rich.console import Console

    from calco.detection.predict import predict as run
    from calco.detection.predict_config import PredictConfig
    from calco.detection.predict_words import Bars, found_table, tell

    config = tyro.cli(PredictConfig, args=args, prog="calco detect predict", description=predict.__doc__)
    with Bars() as bars:
        done = run(config, progress=bars.progress)
    if done.only is not None:
        Console(highlight=False).print(found_table(done.only))
    tell(done)


def slide(args: list[str]) -> None:
    """Makes the film of a sliding window, and looks through it with a classifier."""
    import tyro
    from rich.console import Console

    from calco.console import say
    from calco.detection.sliding.config import SlideConfig
    from calco.detection.sliding.slide import slide as run
    from calco.detection.sliding.words import boxes_table, rounds_table, verdict

    config = tyro.cli(SlideConfig, args=args, prog="calco detect slide", description=slide.__doc__)
    done = run(config)
    out = Console(highlight=False)
    out.print(rounds_table(done))
    if done.after is not None and len(done.after):
        out.print(boxes_table(done))
    out.print(verdict(done), markup=False, soft_wrap=True)
    say(f"{config.out} is written" + (f", and {config.boxes_path}" if done.after is not None else ""))


DETECT: dict[str, Callable[[list[str]], None]] = {
    "predict": predict,
    "slide": slide,
}
"""Finding things in pictures and film: boxes, detectors, their scores, and the watch."""
