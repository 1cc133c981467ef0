"""Several films, or folders of them, into a folder."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from calco.errors import CalcoError, DiskError
from calco.files import list_files, read_json, write_json
from calco.film.codecs import written_as
from calco.film.translate import FilmDone, FilmOptions, Progress, translate_film
from calco.inference.model import Translator
from calco.pairs.frames import is_film, result_folder
from calco.pairs.layout import nothing_in

MANIFEST: Final = "translation.json"  # as for pictures


@dataclass
class FilmsDone:
    """What came of several films.

    Attributes:
        out: The folder.
        done: What came of each that was translated now.
        kept: Films that an earlier call with the same model had written.
        left_out: Name and reason of every film that could not be translated.
    """

    out: Path
    done: list[FilmDone] = field(default_factory=list)
    kept: int = 0
    left_out: dict[str, str] = field(default_factory=dict)


def list_films(sources: list[str], out: Path) -> list[tuple[str, str]]:
    """Films and their names in the folder `out`, of single films and of folders with all below them.

    Raises:
        CalcoError: When there is none, or two would get one name.
    """
    found: list[tuple[str, str]] = []
    for source in sources:
        if not os.path.isdir(source):
            found.append((source, os.path.basename(source)))
            continue
        listing = list_files(source, is_film)
        inside = os.path.join(os.path.realpath(out), "")
        paths = [path for path in listing.paths if not os.path.realpath(path).startswith(inside)]
        if not paths:
            raise CalcoError(nothing_in(Path(source), listing.left_out, "film"))
        found += [(path, path[len(listing.root) :]) for path in paths]
    names = [name for _, name in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CalcoError(f"two films would be written as {twice[0]}; translate them into two folders")
    return found


def translate_films(
    translator: Translator, sources: list[str], out: str | os.PathLike[str], options: FilmOptions | None = None, *,
    progress: Progress | None = None,
) -> FilmsDone:  # fmt: skip
    """Translates films into a folder, under their own names; one that cannot be read is left out.

    What the folder holds from the same model and options is kept.

    Args:
        translator: The model.
        sources: Films, and folders of films.
        out: The folder.
        options: How.
        progress: Is told of each frame.

    Raises:
        CalcoError: When there is no film, the folder holds what another model wrote, or none could be translated.
    """
    options = options or FilmOptions()
    folder = result_folder(out)
    films = list_films(sources, folder)
    record = options.record()
    manifest = folder / MANIFEST
    if manifest.exists() and not options.overwrite:
        before = read_json(manifest)
        before.pop("left_out", None)
        if before != record:
            raise CalcoError(
                f"{folder} holds what another model or other options made; choose another --out, or --overwrite"
            )
    write_json(manifest, record)
    result = FilmsDone(folder)
    for source, name in films:
        target = folder / written_as(name, options.codec)
        if target.exists() and not options.overwrite and not os.path.samefile(source, target):
            result.kept += 1
            continue
        try:
            result.done.append(translate_film(translator, source, target, replace(options), progress=progress))
        except DiskError:  # nor can those that follow be written
            raise
        except CalcoError as error:
            result.left_out[name] = str(error)
    write_json(manifest, {**record, "left_out": result.left_out})
    if not result.done and not result.kept:
        name, reason = next(iter(result.left_out.items()))
        raise CalcoError(f"none of the {len(films)} films could be translated; the first, {name}: {reason}")
    return result
