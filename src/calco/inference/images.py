"""A model over a folder of images: reading, computing and writing overlap, and nothing is done twice."""

import hashlib
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

from calco import imaging
from calco.addresses import is_url
from calco.data import storage
from calco.data.mask_encoding import MaskCounts, count_file, survey_masks
from calco.data.mask_recognition import areas_of, marks_of
from calco.errors import CalcoError, DiskError
from calco.files import make_folder
from calco.imaging.formats import exact_name, matching_name
from calco.imaging.reading import read_labels
from calco.inference.backends import Name as BackendName
from calco.inference.backends import Workload, spread, use_backend
from calco.inference.folder import is_exported
from calco.inference.network import Overlay
from calco.inference.results import MANIFEST, VERSION, Results, Translation, claim, results_in, write_manifest
from calco.inference.translator import Translator, model_folder, weights_digest
from calco.inference.working import (
    INDEX,
    Format,
    Job,
    Outcome,
    Shard,
    Work,
    Worker,
    Written,
    on_disk,
    shards_of,
    written_before,
)  # fmt: skip
from calco.outputs import check_not_input, settings_digest
from calco.video.names import result_folder
from calco.work import Engine, results

_log = logging.getLogger(__name__)

HERE: Final = Engine(jobs=1)
_LOT: Final = 64  # images that another process is given at once
_INDEX: Final = re.compile(r"images-(\d{6})\.json")


def translate_images(
    model: str | Path | Translator, images: str | Path, out: str | Path, *, masks: str | Path | None = None,
    noise_seed: int | None = None, native: bool = False, overwrite: bool = False, make_input: bool = False,
    recipe: str | None = None, allow_code: bool = False, precision: str = "fp32", device: str = "auto",
    steps: int | None = None, overlay: Overlay | None = None, format: Format = "folder", shard_images: int = 1000,
    engine: Engine = HERE, progress: Callable[[float, int], None] = lambda _done, _total: None,
    loaded: Translator | None = None, backend: BackendName = "calco",
) -> Translation:  # fmt: skip
    """Translate an image or a folder of images; names, sub-folders, formats and EXIF are kept.

    Class maps, and images made of lossless files, become PNG where their format cannot keep every value. A call that
    was interrupted resumes: what `out` holds from the same model and options is kept.

    `model` is a run, a model folder, or a loaded Translator, which has its own precision, device and overlay; `loaded`
    is the model of a run or folder, if it is loaded already, whose network `backend` may compute. `images` and `out`
    may also be at addresses that fsspec opens, and for one image `out` may be the file to write. `masks` is a folder of
    masks with the names of the images, or the mask of one image. The random numbers of each image derive from
    `noise_seed` and its name. `engine` says
    which processes do the work; others load the model from its folder. `progress` is called with the number of images
    done (a fraction within a large one) and that in all. Other arguments are those of `TranslateConfig`.
    """
    jobs, base = _jobs(str(images), str(out), format)
    if make_input and masks is not None:
        raise CalcoError("--masks tells what to redraw, and --make-input erases by itself; give one of them")
    if not make_input and (recipe is not None or allow_code):
        raise CalcoError("--recipe and --allow-code serve --make-input; give that too, or leave them out")
    if shard_images < 1:
        raise CalcoError(f"shard_images is {shard_images}; a tar file holds one image at least")
    if isinstance(model, Translator) and engine != HERE:
        raise CalcoError("other processes cannot be given a loaded model; name its folder")
    if masks is not None:
        jobs = _with_masks(jobs, str(masks), str(images))
    work = Work(
        model=model if isinstance(model, Translator) else str(model), digest=weights_digest(model),
        masked=masks is not None, noise_seed=noise_seed, native=native, make_input=make_input, recipe=recipe,
        allow_code=allow_code, precision=precision, device=device, steps=steps, overlay=overlay,
        overwrite=overwrite, out="" if base is None or is_url(base) else base,
    )  # fmt: skip
    worker = work.loaded(loaded)
    done = Translation(out if base is not None and is_url(base) else Path(out))
    here = [job.source for job in jobs if not is_url(job.source)]
    remedy = "--out NAME.mp4 translates all frames of one animation" if here else ""
    if note := imaging.note_on_several(here, remedy):
        done.notes.append(note)
    if masks is not None:
        worker.work = work = replace(work, mask_encoding=_encoding(jobs))
    if backend != "calco":
        work = _with_backend(worker, jobs, base, engine, backend)
    made_by = _made_by(work, worker.translator)
    if masks is not None:
        made_by |= {"masks": str(masks), "mask_encoding": work.mask_encoding}
    if format == "folder":
        jobs = _kept_exact(jobs, named=base is None, classes=worker.paints_classes)
    else:
        made_by |= {"format": format, "shard_images": shard_images}
    with results_in(base, jobs[0].target, overwrite=overwrite) as results:
        call = _Call(
            done=done, base=base, jobs=jobs, worker=worker, engine=engine, overwrite=overwrite, progress=progress,
            results=results, settings=settings_digest(made_by),
            # What may run here may run where the work is done.
            elsewhere=None if engine == HERE else replace(work, allow_code=make_input),
        )  # fmt: skip
        call.run(made_by, shard_images if format == "webdataset" else 0)
    if not done.written and not done.kept:
        name, reason = next(iter(done.left_out.items()))
        raise CalcoError(f"none of the {len(jobs)} images could be translated; the first, {name}: {reason}")
    return done


def _with_backend(worker: Worker, jobs: list[Job], base: str | None, engine: Engine, backend: BackendName) -> Work:
    """Let a backend compute the network if it is worth that; return the work, for other processes too."""
    work, translator = worker.work, worker.translator
    if engine.name == "ray":
        if backend != "auto":
            raise CalcoError(
                f"--backend {backend} is for this machine, and --engine ray for others; leave one of them out"
            )
        return work
    manifest = None if base is None else storage.joined(base, MANIFEST)
    began = storage.read_json(manifest) if manifest and not work.overwrite and storage.exists(manifest) else None
    use_backend(
        translator, None if is_exported(str(work.model)) else model_folder(str(work.model)),
        Workload(
            samples=[partial(worker.sample, jobs[number]) for number in spread(len(jobs))], count=len(jobs), began=began
        ),
        backend=backend, precision=work.precision, noise_seed=work.noise_seed,
    )  # fmt: skip
    if translator.backend is not None:
        worker.work = work = replace(work, backend=translator.backend.identity)
    return work


def _made_by(work: Work, translator: Translator) -> dict[str, Any]:
    """Return what the results depend on, for the manifest."""
    made = {"make_input": True, "recipe": work.recipe} if work.make_input else {}
    return {"version": VERSION, "model": work.digest, "noise_seed": work.noise_seed, "native": work.native,
            **translator.settings, **made}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One call at work."""

    done: Translation
    base: str | None
    jobs: list[Job]
    worker: Worker
    elsewhere: Work | None
    engine: Engine
    overwrite: bool
    results: Results
    settings: str
    progress: Callable[[float, int], None]

    def run(self, made_by: dict[str, Any], length: int) -> None:
        """Write all files, or tar files of at most `length` images."""
        try:
            if self.base is None:
                self.files()
            else:
                self._into(self.base, made_by, length)
        except DiskError as error:
            if self.base is None:
                raise
            command = "the same command without --overwrite" if self.overwrite else "the same command"
            there = f"{self.done.written + self.done.kept} of {len(self.jobs)} images are there"
            raise DiskError(f"{error}; {there}, and {command} goes on from them") from error

    def _into(self, base: str, made_by: dict[str, Any], length: int) -> None:
        """Write results and manifest into a folder."""
        manifest = storage.joined(base, MANIFEST)
        shards = shards_of(base, self.jobs, length) if length else []
        places = [place for shard in shards for place in (f"{shard.place}.tar", shard.index)]
        # Nothing is written before it is clear that all of it may be.
        self.results.check([manifest, *(places or [job.target for job in self.jobs])])
        claim(manifest, made_by, overwrite=self.overwrite)
        if length:
            made_by |= self.shards(base, shards)
        else:
            self.files()
        write_manifest(manifest, {**made_by, "left_out": self.done.left_out})

    def files(self) -> None:
        """Write a file for each image whose result is not there yet."""
        targets = [job.target for job in self.jobs]
        self.results.sweep(targets)
        anew = self.overwrite or self.base is None
        waiting = [job for job in self.jobs if anew or not self.results.is_done(job.target, self.settings, job.inputs)]
        self.done.kept = count = len(self.jobs) - len(waiting)
        self.worker.moved = lambda share: self.progress(count + min(share, 0.999), len(self.jobs))
        for job, error, stamps in self._outcomes(waiting):
            count += 1
            if error is None:
                self.done.written += 1
                self.results.note_done(job.target, self.settings, stamps)
            else:
                self.done.left_out[job.name] = error
            self.progress(count, len(self.jobs))
        self.results.sweep(targets)  # what dead workers left

    def _outcomes(self, jobs: list[Job]) -> Iterator[Outcome]:
        if self.elsewhere is None:
            yield from self.worker.files(jobs)
            return
        # Small sets keep all busy too; large ones lose little when a process dies.
        length = max(1, min(_LOT, len(jobs) // (4 * (self.engine.jobs or 2))))
        lots = [tuple(jobs[start : start + length]) for start in range(0, len(jobs), length)]
        with closing(results(self.engine, self.elsewhere.files, lots, on_gpu=True)) as outcomes:
            for _, some in outcomes:
                yield from some

    def shards(self, base: str, shards: list[Shard]) -> dict[str, Any]:
        """Write the tar files that are not there yet; return the manifest's entries on all of them."""
        if not is_url(base):
            make_folder(Path(base, INDEX))
        self._forget(base, 0 if self.overwrite else len(shards))
        parts: dict[int, Written] = {}
        for number, shard in enumerate(shards):
            there = written_before(shard) if self.results.owns(f"{shard.place}.tar") else None
            if there is not None:
                parts[number] = there
        self.done.kept = count = sum(len(part.images) for part in parts.values())
        waiting = [number for number in range(len(shards)) if number not in parts]
        lots = [shards[number] for number in waiting]
        names = [name for shard in lots for name in (f"{shard.place}.tar", shard.index)]
        self.results.sweep(names)
        begin = (lambda: self.worker.shard) if self.elsewhere is None else self.elsewhere.shards
        with closing(results(self.engine, begin, lots, on_gpu=True)) as written:
            for place, part in written:
                parts[waiting[place]] = part
                self.done.written += len(part.images)
                count += len(lots[place].jobs)
                self.progress(count, len(self.jobs))
        self.results.sweep(names)
        ordered = [parts[number] for number in range(len(shards))]
        for part in ordered:
            self.done.left_out |= part.left_out
        rows = [{"part": p.part, "images": len(p.images), "bytes": p.bytes, "sha256": p.sha256} for p in ordered]
        total = hashlib.sha256(json.dumps([[p.part, p.sha256] for p in ordered]).encode()).hexdigest()
        return {"digest": total, "parts": rows}

    def _forget(self, base: str, first: int) -> None:
        """Remove the shards of an earlier call from a number on: fewer are needed now, or all are made anew."""
        index = storage.joined(base, INDEX)
        if is_url(base) and not storage.exists(index):
            return
        for place in storage.listed(index, ".json"):
            name = place.rpartition("/")[2]
            if (numbered := _INDEX.fullmatch(name)) and int(numbered[1]) >= first:
                self.results.remove(storage.joined(base, f"{name.removesuffix('.json')}.tar"))
                self.results.remove(place)


def _kept_exact(jobs: list[Job], *, named: bool, classes: bool) -> list[Job]:
    """Return the jobs with names whose formats lose nothing of class maps and of what is made of lossless files.

    `named` says that the user named the file to write, and `classes` that class maps are written.
    """
    names = [
        job.target if is_url(job.source) and not classes else exact_name(job.target, None if classes else job.source)
        for job in jobs
    ]
    others = [(job, name) for job, name in zip(jobs, names, strict=True) if name != job.target]
    if named and others and classes:
        raise CalcoError(
            f"{jobs[0].target}: the colours of classes must be kept, and this format changes them; give the file the "
            "ending .png"
        )
    if named or not others:
        return jobs
    # Two images that differ in their ending alone keep both of them.
    taken = Counter(names)
    changed = {job.name: name if taken[name] == 1 else f"{job.target}.png" for job, name in others}
    first = others[0][0]
    reason = "class maps" if classes else "images made of lossless files"
    _log.info(
        f"{len(others)} {reason} are written as PNG, which keeps every value: {first.name} as "
        f"{PurePosixPath(changed[first.name]).name}"
    )
    return [job._replace(target=changed.get(job.name, job.target)) for job in jobs]


def _jobs(images: str, out: str, format: Format) -> tuple[list[Job], str | None]:
    """Return the jobs, and the folder that keeps the manifest (None if one file is written by name)."""
    known = ", ".join(sorted(imaging.IMAGE_SUFFIXES))
    base = out if is_url(out) else ""
    folder = images
    if is_url(images):
        names = [name for name in storage.names(images) if imaging.is_image(name)]
        if storage.joined(out, "") == storage.joined(images, ""):
            raise CalcoError(f"the results would replace {images}; choose another --out")
        base = base or str(result_folder(out))
    elif not os.path.exists(images):
        raise CalcoError(f"there is no {Path(images)}; name an image or a folder of images")
    elif os.path.isfile(images):
        if not imaging.is_image(images):
            raise CalcoError(f"{Path(images)}: its ending is not that of an image; use one of {known}")
        folder, name = str(Path(images).parent), Path(images).name
        if format == "folder" and not base and imaging.is_image(out):
            check_not_input(images, out)
            make_folder(Path(out).parent)
            return [Job(str(Path(images)), str(Path(out)), name)], None
        base, names = base or str(result_folder(out)), [name]
        check_not_input(images, storage.joined(base, name))
    else:
        found = imaging.list_images(images)
        base = base or str(result_folder(out))
        check_not_input(images, base)
        # A folder of results inside the folder of images is no input.
        inside = None if is_url(base) else Path(base).resolve()
        names = [path.relative_to(images).as_posix() for path in found if inside not in path.resolve().parents]
    if not names:
        raise CalcoError(f"{images} holds no image; known endings are {known}")
    return [Job(storage.joined(folder, name), storage.joined(base, name), name) for name in names], base


def _with_masks(jobs: list[Job], masks: str, images: str) -> list[Job]:
    """Return the jobs with the masks that have their names, without ending."""
    by_name: dict[str, str]
    if is_url(masks):
        by_name = {
            matching_name(name): storage.joined(masks, name) for name in storage.names(masks) if imaging.is_image(name)
        }
    elif Path(masks).is_file():
        if not Path(images).is_file():
            raise CalcoError(f"{masks} is one mask, and {images} a folder; name a folder of masks")
        by_name = {Path(images).stem: masks}
    else:
        folder = Path(masks)
        by_name = {
            matching_name(path.relative_to(folder).as_posix()): str(path) for path in imaging.list_images(folder)
        }
    return [job._replace(mask=by_name.get(matching_name(job.name))) for job in jobs]


def _encoding(jobs: list[Job]) -> str:
    """Return which values of the masks mark what is redrawn, decided once over all of them."""

    def count(place: str) -> MaskCounts:
        with on_disk(place) as path:
            return count_file(read_labels(path))

    survey = survey_masks([job.mask for job in jobs if job.mask], str, count, lambda _done: None)
    if not survey.files:
        return ""  # each job reports what is wrong with its mask
    found = marks_of(survey)
    _log.info(f"masks: {found.story}; {found.palette[-1][0]} is redrawn")
    if not areas_of(survey, found.encoding)[1]:
        _log.warning(
            "no mask marks anything, so nothing is redrawn; a mask is white, or opaque, where the image is redrawn"
        )
    return str(found.encoding)
