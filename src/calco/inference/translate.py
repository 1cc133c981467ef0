"""A model over a folder of pictures: reading, computing and writing overlap, and nothing is done twice."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calco import images
from calco.errors import CalcoError
from calco.files import digest, make_folder, read_json, write_json
from calco.images import Image
from calco.inference.model import Translator, load, model_folder
from calco.pairs.types import generator

MANIFEST = "translation.json"
AHEAD = 4


@dataclass
class Translation:
    """What came of a call.

    Attributes:
        out: The folder or file that was written.
        written: Pictures written now.
        kept: Pictures that an earlier call with the same model had written.
        left_out: Name and reason of every picture that could not be translated.
    """

    out: Path
    written: int = 0
    kept: int = 0
    left_out: dict[str, str] = field(default_factory=dict)


def translate(
    model: str | Path | Translator,
    pictures: str | Path,
    out: str | Path,
    *,
    noise_seed: int | None = None,
    native: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> Translation:
    """Translates a picture or a folder of pictures; names, sub-folders, formats and EXIF are kept.

    A call that was interrupted goes on where it stopped: what `out` holds from the same model and options is kept.

    Args:
        model: A run, a model folder, or a loaded Translator.
        pictures: A file, or a folder that is read with its sub-folders.
        out: The folder to write into; for one file also the file to write.
        noise_seed: As in `Translator`; each picture draws its own chance from this seed and its name.
        native: As in `Translator`.
        overwrite: Translates again what stands in `out`.
        progress: Called after each picture with the number done, the number in all and the name.

    Raises:
        CalcoError: When model or pictures cannot be used, `out` holds what another model wrote, or nothing was written.
    """
    translator = model if isinstance(model, Translator) else load(model)
    jobs, base = _jobs(Path(pictures), Path(out))
    done = Translation(Path(out))
    if base is not None:
        made_by = {
            "model": digest(model_folder(model) / "model.safetensors")
            if not isinstance(model, Translator)
            else "python",
            "noise_seed": noise_seed,
            "native": native,
        }
        _claim(base, made_by, overwrite)
    waiting = jobs if overwrite or base is None else [job for job in jobs if not job[1].exists()]
    done.kept = len(jobs) - len(waiting)
    count = done.kept
    for name, error in _pump(translator, waiting, noise_seed, native):
        count += 1
        if error is None:
            done.written += 1
        else:
            done.left_out[name] = error
        if progress is not None:
            progress(count, len(jobs), name)
    if base is not None:
        write_json(base / MANIFEST, {**made_by, "left_out": done.left_out})
    if not done.written and not done.kept:
        name, reason = next(iter(done.left_out.items()))
        raise CalcoError(f"none of the {len(jobs)} pictures could be translated; the first, {name}: {reason}")
    return done


Job = tuple[Path, Path, str]  # picture, output, name


def _jobs(pictures: Path, out: Path) -> tuple[list[Job], Path | None]:
    """What is to be done, and the folder that keeps the manifest (None when one file is written by name)."""
    if not pictures.exists():
        raise CalcoError(f"there is no {pictures}; name a picture or a folder of pictures")
    if pictures.is_file():
        if not images.is_picture(pictures):
            raise CalcoError(
                f"{pictures} is no picture by its ending; known are {', '.join(sorted(images.PICTURE_SUFFIXES))}"
            )
        if images.is_picture(out):
            _not_itself(pictures, out)
            make_folder(out.parent)
            return [(pictures, out, pictures.name)], None
        make_folder(out)
        _not_itself(pictures, out / pictures.name)
        return [(pictures, out / pictures.name, pictures.name)], out
    found = images.list_pictures(pictures)
    if not found:
        raise CalcoError(f"{pictures} holds no picture; known endings are {', '.join(sorted(images.PICTURE_SUFFIXES))}")
    make_folder(out)
    _not_itself(pictures, out)
    # A folder of results inside the folder of pictures is no input.
    inside = [p for p in found if out.resolve() not in p.resolve().parents]
    return [(p, out / p.relative_to(pictures), p.relative_to(pictures).as_posix()) for p in inside], out


def _not_itself(source: Path, target: Path) -> None:
    if source.resolve() == target.resolve():
        raise CalcoError(f"the result would replace {source}; choose another --out")


def _claim(out: Path, made_by: dict[str, Any], overwrite: bool) -> None:
    """Notes which model writes into `out`, and refuses to mix two."""
    manifest = out / MANIFEST
    if manifest.is_file() and not overwrite:
        before = {name: value for name, value in read_json(manifest).items() if name != "left_out"}
        if before != made_by:
            raise CalcoError(
                f"{out} holds what another model or other options made; choose another --out, or --overwrite"
            )
    write_json(manifest, made_by)


def _pump(
    translator: Translator, jobs: list[Job], noise_seed: int | None, native: bool
) -> Iterator[tuple[str, str | None]]:
    """Translates in order while one thread reads ahead and another writes behind; yields names and what went wrong."""

    def write(image: Image, job: Job) -> None:
        job[1].parent.mkdir(parents=True, exist_ok=True)
        images.write(job[1], image, like=job[0])

    reading: deque[tuple[Job, Future[Image]]] = deque()
    writing: deque[tuple[Job, Future[None]]] = deque()
    coming = iter(jobs)
    with ThreadPoolExecutor(1, "calco-read") as reader, ThreadPoolExecutor(1, "calco-write") as writer:

        def read_ahead() -> None:
            while len(reading) < AHEAD and (job := next(coming, None)) is not None:
                reading.append((job, reader.submit(images.read, job[0])))

        def finished(limit: int) -> Iterator[tuple[str, str | None]]:
            while len(writing) > limit:
                job, future = writing.popleft()
                try:
                    future.result()
                    yield job[2], None
                except (CalcoError, OSError) as error:
                    yield job[2], str(error)

        read_ahead()
        while reading:
            job, future = reading.popleft()
            try:
                picture = future.result()
                read_ahead()
                seed = None if noise_seed is None else int(generator(noise_seed, 0, job[2], "noise").integers(2**31))
                writing.append((job, writer.submit(write, translator(picture, noise_seed=seed, native=native), job)))
            except CalcoError as error:
                read_ahead()
                yield job[2], str(error)
            yield from finished(AHEAD)
        yield from finished(0)
