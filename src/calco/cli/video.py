"""`calco translate` with videos: which calls mean them, what their options become, and what is said at the end."""

import os
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from calco.console import bar, say, warn
from calco.data.sources.videos import looks_like_video
from calco.errors import CalcoError
from calco.inference.adapt import marked_in
from calco.inference.model import Translator
from calco.inference.steady import Steady
from calco.inference.video import VideoDone, VideoOptions, translate_video, translate_videos
from calco.inference.video_rendering import Wish
from calco.inference.working import weights_digest
from calco.networks.machine import NAMES
from calco.video.frames import is_moving, names_video
from calco.video.reading import seconds_of

OPTIONS: Final[dict[str, Any]] = {
    "codec": None, "quality": None, "from_": None, "to": None, "side_by_side": False, "holes_per_frame": False,
    "steady": False,
}  # fmt: skip
"""The options that videos alone have, with their defaults."""
_OF_IMAGES: Final[dict[str, Any]] = {
    "format": "folder",
    "shard_images": 1000,
    "engine": "local",
    "address": "",
    "jobs": None,
}
_SAID: Final = 8


def wants(options: dict[str, Any]) -> bool:
    """Whether a call of `calco translate` is about videos.

    Each name ends as a video's, is a folder of videos, or is an animated image whose result is a video.
    """
    given = _given(options)
    return all(is_moving(name, options["out"]) or (os.path.isdir(name) and looks_like_video(name)) for name in given)


def _given(options: dict[str, Any]) -> list[str]:
    return [options["images"], *options["more"]]


def without(options: dict[str, Any]) -> dict[str, Any]:
    """The options that are left for images.

    Raises:
        CalcoError: When there are some that videos alone have.
    """
    for name, default in OPTIONS.items():
        if options[name] != default:
            shown = name.strip("_").replace("_", "-")
            raise CalcoError(f"--{shown} is for videos, and {options['images']} is none; leave it out")
    if options["more"]:
        raise CalcoError(f"{options['more'][0]} is one name too many: images are named by one file or one folder; "
                         "give the folder that holds them")  # fmt: skip
    return {name: value for name, value in options.items() if name not in OPTIONS and name != "more"}


def run(options: dict[str, Any], translator: Translator) -> None:
    """Translates videos, and tells what came of it.

    Args:
        options: All options of the verb, as they were given.
        translator: The model, loaded.

    Raises:
        CalcoError: When an option does not fit, or nothing could be translated.
    """
    for name, default in _OF_IMAGES.items():
        if options[name] != default:
            raise CalcoError(
                f"--{name.replace('_', '-')} is for images, and {options['images']} is a video; leave it out"
            )
    sources, out = _given(options), options["out"]
    told = video_options(options, translator)
    if translator.info.palette is not None and translator.overlay is None:
        warn("video codecs change the colours of classes; where they must be exact, translate the frames as images")
    single = len(sources) == 1 and is_moving(sources[0], out) and not os.path.isdir(sources[0])
    with bar("translating", unit="frames/s") as advance:

        def progress(done: int, total: int | None, _name: str) -> None:
            advance(done, total)

        if single and names_video(out):
            _tell(translate_video(translator, sources[0], out, told, progress=progress), translator)
            return
        result = translate_videos(translator, sources, out, told, progress=progress)
    for done in result.done:
        _tell(done, translator)
    kept = f", {result.kept} kept from before" if result.kept else ""
    say(f"{len(result.done)} videos written to {result.out}{kept}")
    for name, reason in list(result.left_out.items())[:_SAID]:
        warn(f"left out {name}: {reason}")


def video_options(options: dict[str, Any], translator: Translator) -> VideoOptions:
    """The options of the command line as those of videos.

    Raises:
        CalcoError: When they do not fit together.
    """
    masks = options["masks"]
    makes = options["make_input"] or options["side_by_side"]
    if masks is not None and makes:
        raise CalcoError("--masks tells what to redraw, and the recipe erases by itself; give one of them")
    if masks is not None and not os.path.isfile(masks):
        raise CalcoError(f"--masks {masks} must be one image, which serves for all frames of a video; name its file")
    if not makes and (options["recipe"] is not None or options["allow_code"] or options["holes_per_frame"]):
        raise CalcoError(
            "--recipe, --allow-code and --holes-per-frame serve --side-by-side and --make-input; give one of these too"
        )
    wish = Wish(
        mask=None if masks is None else marked_in(masks, translator.info.recipe), noise_seed=options["noise_seed"],
        native=options["native"], make_input=options["make_input"], side_by_side=options["side_by_side"],
        holes_per_frame=options["holes_per_frame"], recipe=options["recipe"], allow_code=options["allow_code"],
    )  # fmt: skip
    return VideoOptions(
        codec=options["codec"], quality=options["quality"], wish=wish, overwrite=options["overwrite"],
        start=seconds_of(options["from_"] or "0"), stop=None if options["to"] is None else seconds_of(options["to"]),
        steadier=partial(Steady.of, translator.info) if options["steady"] else None,
        made_by={"model": weights_digest(options["model"]),
                 "precision": str(translator.precision).removeprefix("torch."),
                 **({} if translator.overlay is None else {"overlay": asdict(translator.overlay)})},
    )  # fmt: skip


def _tell(done: VideoDone, translator: Translator) -> None:
    kept = f", {done.kept} more kept from before" if done.kept else ""
    rate = f"{done.frames / done.seconds:.1f} frames/s" if done.seconds else ""
    how = f"{translator.device} in {NAMES[translator.precision]}"
    say(f"{done.frames} frames written to {done.out}{kept}; {rate}, computed on {how}")
    if done.psnr is not None:
        say(f"PSNR {done.psnr:.2f} dB on the mean; the page is {done.page}")
    for note in done.notes[:_SAID]:
        warn(note)
    if len(done.notes) > _SAID:
        warn(f"{len(done.notes) - _SAID} more remarks on {done.out}")
