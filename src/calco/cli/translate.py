"""`calco translate` and `calco export`."""

from typing import TYPE_CHECKING, Final

from calco.cli.parsing import parse

if TYPE_CHECKING:
    from calco.inference.results import Translation, VideoResult, VideosResult

_NUM_IMAGES: Final = 5
_NUM_VIDEOS: Final = 8


def translate(args: list[str]) -> None:
    """Apply a model to images, videos and cameras; names, formats, sizes, EXIF and sound are kept."""
    from calco.inference.config import TranslateConfig

    config = parse(TranslateConfig, args, "translate", translate.__doc__)
    from calco.console import bar, status_line
    from calco.inference.results import Translation, VideosResult
    from calco.inference.translate import translate as run

    with bar("translating") as advance, status_line() as status:
        done = run(config, progress=advance, status=status)
    if isinstance(done, Translation):
        _report_images(done)
    elif isinstance(done, VideosResult):
        _report_videos(done)


def _report_images(done: "Translation") -> None:
    from calco.console import say, warn

    kept = f", {done.kept} kept from before" if done.kept else ""
    images = "image" if done.written == 1 else "images"
    say(f"{done.written} {images} written to {done.out}{kept}, computed on {done.computed_on}")
    for note in done.notes:
        warn(note)
    for name, reason in list(done.left_out.items())[:_NUM_IMAGES]:
        warn(f"left out {name}: {reason}")
    if len(done.left_out) > _NUM_IMAGES:
        warn(f"{len(done.left_out)} left out in all; translation.json lists them")


def _report_videos(done: "VideosResult") -> None:
    from calco.console import say, warn

    for video in done.done:
        _report_video(video, done.computed_on)
    if not done.out.is_file():
        kept = f", {done.kept} kept from before" if done.kept else ""
        say(f"{len(done.done)} videos written to {done.out}{kept}")
    for name, reason in list(done.left_out.items())[:_NUM_VIDEOS]:
        warn(f"left out {name}: {reason}")


def _report_video(done: "VideoResult", computed_on: str) -> None:
    from calco.console import say, warn

    kept = f", {done.kept} more kept from before" if done.kept else ""
    rate = f"{done.frames / done.seconds:.1f} frames/s" if done.seconds else ""
    say(f"{done.frames} frames written to {done.out}{kept}; {rate}, computed on {computed_on}")
    if done.psnr is not None:
        say(f"PSNR {done.psnr:.2f} dB on average; the page is {done.page}")
    for note in done.notes[:_NUM_VIDEOS]:
        warn(note)
    if len(done.notes) > _NUM_VIDEOS:
        warn(f"{len(done.notes) - _NUM_VIDEOS} more notes on {done.out}")


def export(args: list[str]) -> None:
    """Write a model as one file for other programs."""
    from calco.export.config import ExportConfig

    config = parse(ExportConfig, args, "export", export.__doc__)
    from calco.console import say
    from calco.export.export import export_model as run

    for sentence in run(config).said:
        say(sentence)
