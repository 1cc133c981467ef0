"""Several videos, or folders of them, into a folder."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calco.data.frames import is_video, result_folder
from calco.data.layout import nothing_in
from calco.errors import CalcoError, DiskError
from calco.files import list_files, read_json, sweep_files, write_json
from calco.inference.model import Translator
from calco.inference.results import VERB, same_inputs, stamps_of
from calco.inference.translate import MANIFEST, VERSION
from calco.locks import locked_file
from calco.outputs import Outputs, settings_digest, writing_folder
from calco.video.codecs import written_as
from calco.video.translate import Progress, VideoDone, VideoOptions, check_not_input, reports_of, translated


@dataclass
class VideosDone:
    """What came of several videos.

    Attributes:
        out: The folder.
        done: What came of each that was translated now.
        kept: Videos that an earlier call with the same model had written.
        left_out: Name and reason of every video that could not be translated.
    """

    out: Path
    done: list[VideoDone] = field(default_factory=list)
    kept: int = 0
    left_out: dict[str, str] = field(default_factory=dict)


def list_videos(sources: list[str], out: Path) -> list[tuple[str, str]]:
    """Videos and their names in the folder `out`, of single videos and of folders with all below them.

    Raises:
        CalcoError: When there is none, or two would get one name.
    """
    found: list[tuple[str, str]] = []
    for source in sources:
        if not os.path.isdir(source):
            found.append((source, os.path.basename(source)))
            continue
        listing = list_files(source, is_video)
        inside = os.path.join(os.path.realpath(out), "")
        paths = [path for path in listing.paths if not os.path.realpath(path).startswith(inside)]
        if not paths:
            raise CalcoError(nothing_in(Path(source), listing.left_out, "video"))
        found += [(path, path[len(listing.root) :]) for path in paths]
    names = [name for _, name in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CalcoError(f"two videos would be written as {twice[0]}; translate them into two folders")
    return found


def translate_videos(
    translator: Translator, sources: list[str], out: str | os.PathLike[str], options: VideoOptions | None = None, *,
    progress: Progress | None = None,
) -> VideosDone:  # fmt: skip
    """Translates videos into a folder, under their own names; one that cannot be read is left out.

    What the same model made of the same videos with the same options is kept.

    Args:
        translator: The model.
        sources: Videos, and folders of videos.
        out: The folder.
        options: How.
        progress: Is told of each frame.

    Raises:
        CalcoError: When there is no video, the folder holds what another model wrote, or none could be translated.
    """
    options = options or VideoOptions()
    folder = result_folder(out)
    videos = list_videos(sources, folder)
    targets = [folder / written_as(name, options.codec) for _, name in videos]
    for (source, _), target in zip(videos, targets, strict=True):
        check_not_input(source, target)
    record = {"version": VERSION, **options.record()}
    result = VideosDone(folder)
    with writing_folder(folder, VERB, overwrite=options.overwrite) as outputs:
        # Nothing is written before it is clear that all of it may be.
        outputs.check([folder / MANIFEST, *(path for each in targets for path in (each, *reports_of(each, options)))])
        _claim(folder / MANIFEST, record, options)
        for source, name in videos:
            _translate(translator, source, name, options, outputs, result, progress)
        write_json(folder / MANIFEST, {**record, "left_out": result.left_out})
    if not result.done and not result.kept:
        name, reason = next(iter(result.left_out.items()))
        raise CalcoError(f"none of the {len(videos)} videos could be translated; the first, {name}: {reason}")
    return result


def _claim(manifest: Path, record: dict[str, Any], options: VideoOptions) -> None:
    """Notes which model writes into the folder, and refuses to mix two."""
    if manifest.exists() and not options.overwrite:
        before = read_json(manifest)
        before.pop("left_out", None)
        if before != record:
            raise CalcoError(
                f"{manifest.parent} holds what another model or other options made; choose another --out, or "
                "--overwrite"
            )
    write_json(manifest, record)


def _translate(
    translator: Translator, source: str, name: str, options: VideoOptions, outputs: Outputs, result: VideosDone,
    progress: Progress | None,
) -> None:  # fmt: skip
    """Translates one of the videos, unless its result is there."""
    target, settings = result.out / written_as(name, options.codec), settings_digest(options.record())
    before = outputs.stamps(name, settings)
    if not options.overwrite and before is not None and outputs.owns(target) and same_inputs([source], before):
        result.kept += 1
        return
    try:
        with locked_file(target, VERB):
            sweep_files([target, *reports_of(target, options)])
            stamps = stamps_of([source])
            result.done.append(translated(translator, source, target, options, progress=progress))
            outputs.note_done(name, settings, stamps)
    except DiskError:  # nor can those that follow be written
        raise
    except CalcoError as error:
        result.left_out[name] = str(error)
