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


def export(args: list[str]) -> None:
    """Writes a detector as one file for other programs."""
    import tyro

    from calco.console import say
    from calco.detection.export import export_detector
    from calco.detection.predict_config import ExportConfig

    config = tyro.cli(ExportConfig, args=args, prog="calco detect export", description=export.__doc__)
    done = export_detector(
        config.model, config.to, config.out or None, pictures=config.pictures or None, licence=config.licence
    )
    for sentence in done.said:
        say(sentence)


DETECT: dict[str, Callable[[list[str]], None]] = {
    "predict": predict,
    "export": export,
}
"""Finding things in pictures and film: boxes, detectors, their scores, and the watch."""
