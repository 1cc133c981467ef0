"""A model over a folder of pictures: reading, computing and writing overlap, and nothing is done twice."""

import unicodedata
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from calco import images
from calco.errors import CalcoError
from calco.files import digest, make_folder, read_json, write_json
from calco.images import Image
from calco.inference.making import Maker, input_maker
from calco.inference.model import Translator, load, model_folder
from calco.pairs.folders import read_mask
from calco.pairs.recipes import steps_of
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
    masks: str | Path | None = None,
    noise_seed: int | None = None,
    native: bool = False,
    overwrite: bool = False,
    make_input: bool = False,
    recipe: str | None = None,
    allow_code: bool = False,
    precision: str = "fp32",
    device: str = "auto",
    progress: Callable[[int, int, str], None] | None = None,
) -> Translation:
    """Translates a picture or a folder of pictures; names, sub-folders, formats and EXIF are kept.

    A call that was interrupted goes on where it stopped: what `out` holds from the same model and options is kept.

    Args:
        model: A run, a model folder, or a loaded Translator.
        pictures: A file, or a folder that is read with its sub-folders.
        out: The folder to write into; for one file also the file to write.
        masks: A folder of masks with the names of the pictures (for one picture also its mask): what is to be redrawn.
        noise_seed: As in `Translator`; each picture draws its own chance from this seed and its name.
        native: As in `Translator`.
        overwrite: Translates again what stands in `out`.
        make_input: Makes the input of each picture by the model's recipe, with the chance of `noise_seed` (or 0).
        recipe: As in `input_maker`.
        allow_code: As in `input_maker`.
        precision: As in `load`; of a loaded Translator its own counts.
        device: As in `load`.
        progress: Called after each picture with the number done, the number in all and the name.

    Raises:
        CalcoError: When model or pictures cannot be used, `out` holds what another model wrote, or nothing was written.
    """
    translator = model if isinstance(model, Translator) else load(model, device=device, precision=precision)
    maker = None
    if make_input:
        if masks is not None:
            raise CalcoError("--masks tells what to redraw, and --make-input erases by itself; give one of them")
        maker = input_maker(translator.info, recipe=recipe, allow_code=allow_code, seed=noise_seed or 0)
    elif recipe is not None or allow_code:
        raise CalcoError("--recipe and --allow-code serve --make-input; give that too, or leave them out")
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
        if masks is not None:
            made_by["masks"] = str(masks)
        if make_input:
            made_by["make_input"] = True
        _claim(base, made_by, overwrite)
    waiting = jobs if overwrite or base is None else [job for job in jobs if not job[1].exists()]
    done.kept = len(jobs) - len(waiting)
    count = done.kept
    masks_by_name = None if masks is None else _masks_by_name(Path(masks), Path(pictures))
    read = _reader(translator, masks_by_name, whole=make_input)
    for name, error in _pump(waiting, read, _drawer(translator, maker, noise_seed, native)):
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


def _masks_by_name(masks: Path, pictures: Path) -> dict[str, Path]:
    """The masks by the names of their pictures, without ending."""
    if masks.is_file():
        if not pictures.is_file():
            raise CalcoError(f"{masks} is one mask, and {pictures} a folder; name a folder of masks")
        return {pictures.stem: masks}
    return {_stem(path.relative_to(masks).as_posix()): path for path in images.list_pictures(masks)}


def _stem(name: str) -> str:
    """A name without its ending, in composed Unicode: that of a picture and of its mask."""
    return unicodedata.normalize("NFC", PurePosixPath(name).with_suffix("").as_posix())


def _reader(translator: Translator, masks: dict[str, Path] | None, *, whole: bool) -> "Read":
    """What reads a picture with its mask; `whole` says that holes are yet to be made in it."""
    redraws = "erase" in steps_of(translator.info.recipe.recipe) and not whole
    background = "channel" if redraws else translator.info.source.background  # what is transparent is to be redrawn

    def read(job: Job) -> tuple[Image, Image | None]:
        picture = images.read(job[0], background=background)
        if masks is None:
            return picture, None
        if _stem(job[2]) not in masks:
            raise CalcoError(
                f"there is no mask for {job[2]}; give it one of that name, all black if nothing is damaged"
            )
        return picture, read_mask(masks[_stem(job[2])])

    return read


def _drawer(translator: Translator, maker: Maker | None, noise_seed: int | None, native: bool) -> "Draw":
    """What translates a picture, or the input that is first made of it."""

    def draw(picture: Image, mask: Image | None, name: str) -> Image:
        seed = None if noise_seed is None else int(generator(noise_seed, 0, name, "noise").integers(2**31))
        if maker is None:
            return translator(picture, mask=mask, noise_seed=seed, native=native)
        # Made at the scale of training, and so shown as it is.
        drawn = translator(maker(picture, name), noise_seed=seed, native=True)
        return images.resize(drawn, (picture.shape[1], picture.shape[0]))

    return draw


Read = Callable[[Job], tuple[Image, Image | None]]
Draw = Callable[[Image, Image | None, str], Image]


def _pump(jobs: list[Job], read: Read, draw: Draw) -> Iterator[tuple[str, str | None]]:
    """Translates in order while one thread reads ahead and another writes behind; yields names and what went wrong."""

    def write(image: Image, job: Job) -> None:
        job[1].parent.mkdir(parents=True, exist_ok=True)
        images.write(job[1], image, like=job[0])

    reading: deque[tuple[Job, Future[tuple[Image, Image | None]]]] = deque()
    writing: deque[tuple[Job, Future[None]]] = deque()
    coming = iter(jobs)
    with ThreadPoolExecutor(1, "calco-read") as reader, ThreadPoolExecutor(1, "calco-write") as writer:

        def read_ahead() -> None:
            while len(reading) < AHEAD and (job := next(coming, None)) is not None:
                reading.append((job, reader.submit(read, job)))

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
                picture, mask = future.result()
                read_ahead()
                writing.append((job, writer.submit(write, draw(picture, mask, job[2]), job)))
            except CalcoError as error:
                read_ahead()
                yield job[2], str(error)
            yield from finished(AHEAD)
        yield from finished(0)
