"""Translates jobs with a loaded model into files or a tar file; in this process or in any other."""

import contextlib
import hashlib
import json
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec
import numpy as np

from calco import imaging
from calco.addresses import is_url
from calco.data import storage
from calco.data.mask_encoding import encoding_of, read_mask
from calco.data.recipes import steps_of
from calco.data.recipes.erase import given_region
from calco.data.sample import generator
from calco.data.shards import END, member_bytes, member_name
from calco.errors import CalcoError, DiskError, enough_memory
from calco.files import make_folder
from calco.imaging import Image
from calco.imaging.arrays import in_strips
from calco.imaging.strips import is_large, open_large
from calco.imaging.writing import write_strips
from calco.inference.backends import take
from calco.inference.large import Drawing, Moved, draw
from calco.inference.network import Maker, Overlay, pair_maker
from calco.inference.results import VERB, same_inputs, stamps_of
from calco.inference.translator import Translator, load, model_folder, weights_digest
from calco.networks.machine import make_ready
from calco.outputs import Outputs, Stamp

_AHEAD: Final = 4  # images that are read, or wait to be written, beside the one in work
_LESS_MEMORY: Final = "close other programs, or give a smaller image"
J = TypeVar("J")
R = TypeVar("R")
T = TypeVar("T")


def pumped(
    jobs: Sequence[J],
    read: Callable[[J], R | None],
    draw: Callable[[R, J], Image],
    keep: Callable[[Image, J], T],
    large: Callable[[J], T],
) -> Iterator[tuple[J, T | None, str | None]]:
    """Translate jobs in order while one thread reads ahead and another writes.

    `read` returns the input of `draw`, or None for a large image, for which `large` does all the work. Yields each job
    with the result of `keep` or `large`, or with the error; a DiskError, if the disk takes nothing more, ends it.
    """
    coming = iter(jobs)
    reading: deque[tuple[J, Future[tuple[R | None, str | None]]]] = deque()
    writing: deque[tuple[J, Future[tuple[T | None, str | None]]]] = deque()
    with ThreadPoolExecutor(1, "calco-read") as reader, ThreadPoolExecutor(1, "calco-write") as writer:

        def finished(limit: int) -> Iterator[tuple[J, T | None, str | None]]:
            while len(writing) > limit:
                job, future = writing.popleft()
                yield job, *future.result()

        while True:
            while len(reading) < _AHEAD and (job := next(coming, None)) is not None:
                reading.append((job, reader.submit(_attempt, read, job)))
            if not reading:
                break
            job, future = reading.popleft()
            found, error = future.result()
            if error is None and found is None:
                yield from finished(0)
                yield job, *_attempt(large, job)
            else:
                image, error = (None, error) if found is None else _attempt(draw, found, job)
                if image is None:
                    yield job, None, error
                else:
                    writing.append((job, writer.submit(_attempt, keep, image, job)))
            yield from finished(_AHEAD)
        yield from finished(0)


def _attempt(work: Callable[..., T], *args: Any) -> tuple[T | None, str | None]:
    """Return the result of a call, or the error of one job; a full disk ends them all."""
    try:
        with enough_memory(_LESS_MEMORY):
            return work(*args), None
    except DiskError:
        raise
    except (CalcoError, OSError) as error:
        return None, str(error)


def keep_large(drawing: Drawing, target: str, source: str, *, exact: bool = False) -> None:
    """Write a large image with the EXIF of `source`: TIFF strip by strip, other formats from a whole array."""
    kind = imaging.FORMATS.get(PurePosixPath(target).suffix.lower())
    height, width, channels = drawing.shape
    if kind == "TIFF":
        with storage.replaced(target) as path:
            write_strips(path, drawing.strips, drawing.shape, drawing.dtype, like=source)
        return
    if height * width * max(1, channels / 4) > imaging.MAX_PIXELS:
        raise CalcoError(
            f"cannot write {target}: {width}x{height} pixels are too many for {kind or 'this ending'}; choose the "
            "ending .tif, which is written strip by strip"
        )
    deep = kind == "PNG" and drawing.dtype != np.uint8
    whole = drawing.whole(np.dtype(np.uint16 if deep else np.uint8))
    storage.write(target, imaging.encode(whole, target, like=source, exact=exact))


INDEX: Final = ".index"  # hidden: the folder holds tar files and nothing else, and is a source as it is

Format: TypeAlias = Literal["folder", "webdataset"]


class Job(NamedTuple):
    """An image to be translated."""

    source: str  # a path, or an address that fsspec opens
    target: str  # file to write; in a shard the name of the image
    name: str  # path below the folder of the images
    mask: str | None = None

    @property
    def inputs(self) -> list[str]:
        """Files from which its result is made."""
        return [self.source] if self.mask is None else [self.source, self.mask]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """The images of one tar file."""

    place: str  # without ".tar"
    index: str
    jobs: tuple[Job, ...]


@dataclass(frozen=True, kw_only=True)
class Written:
    """The index of a shard."""

    part: str
    images: tuple[str, ...]
    bytes: int
    sha256: str
    left_out: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, list[Stamp]] = field(default_factory=dict)  # version of the inputs of each image


class Outcome(NamedTuple):
    """Result of one job."""

    job: Job
    error: str | None
    stamps: list[Stamp]  # versions of its inputs


@dataclass(frozen=True, kw_only=True)
class Work:
    """All that a process needs to translate."""

    model: str | Translator  # a path, or the loaded model
    digest: str  # of its weights, so that another model under the same name is noticed
    masked: bool = False  # each image needs its mask
    mask_encoding: str = ""  # values of the masks that are redrawn; "" lets each mask decide
    out: str = ""  # folder that is written, whose log knows the files; empty for another place
    overwrite: bool = False
    noise_seed: int | None = None
    steps: int | None = None
    native: bool = False
    make_input: bool = False
    recipe: str | None = None
    allow_code: bool = False
    precision: str = "fp32"
    device: str = "auto"
    overlay: Overlay | None = None
    backend: str = ""  # identity of the one that computes the network; empty for Calco's own kernels

    def loaded(self, translator: Translator | None = None) -> "Worker":
        """Return the worker; `translator` is the model at the path in `model`, if it is loaded already."""
        model = translator or self.model
        if not isinstance(model, Translator):
            model = load(model, device=self.device, precision=self.precision)
            if self.backend and not take(model, model_folder(str(self.model)), self.backend):
                raise CalcoError(f"the backend {self.backend} cannot be opened in another process; add --backend calco")
        if not isinstance(self.model, Translator) and weights_digest(self.model) != self.digest:
            raise CalcoError(f"{self.model} is another model in another process; let all see the same folder")
        if self.overlay is not None or not isinstance(self.model, Translator):
            model.lay_over(self.overlay)
        if self.steps is not None or not isinstance(self.model, Translator):
            model.refine_in(self.steps)
        maker = None
        if self.make_input:
            maker = pair_maker(model.info, recipe=self.recipe, allow_code=self.allow_code, seed=self.noise_seed or 0)
        return Worker(self, model, maker)

    def files(self) -> Callable[[Sequence[Job]], list[Outcome]]:
        """Return the function that writes a file for each image."""
        worker = self._elsewhere()
        return lambda jobs: list(worker.files(jobs))

    def shards(self) -> Callable[[Shard], Written]:
        """Return the function that writes shards."""
        return self._elsewhere().shard

    def _elsewhere(self) -> "Worker":
        """Return the worker of another process."""
        worker = self.loaded()
        if self.out:
            worker.held.enter_context(Outputs(self.out, VERB, overwrite=self.overwrite).active())
        make_ready(worker.translator.device, exact=self.precision == "fp32")
        return worker


class Worker:
    """A loaded model at work."""

    def __init__(self, work: Work, translator: Translator, maker: Maker | None) -> None:
        self.work = work
        self.translator = translator
        self.maker = maker
        self.moved: Moved | None = None  # progress within a large image
        self.held = contextlib.ExitStack()  # in another process, until that ends
        self._stamps: dict[str, list[Stamp]] = {}  # by the names of images that are being read
        redraws = "erase" in steps_of(translator.info.recipe.recipe) and maker is None
        # Transparency marks what is redrawn.
        self.background = "channel" if redraws else translator.info.source.background

    @property
    def paints_classes(self) -> bool:
        """True if the results are maps of classes, whose colours must be kept."""
        return self.translator.info.palette is not None and self.translator.overlay is None

    def files(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Write a file for each image, in its format; yields the outcomes in order."""

        def keep(image: Image | Drawing, job: Job, source: str) -> None:
            if not is_url(job.target):
                make_folder(Path(job.target).parent)
            if isinstance(image, Drawing):
                keep_large(image, job.target, source, exact=self.paints_classes)
            else:
                storage.write(job.target, imaging.encode(image, job.target, like=source, exact=self.paints_classes))

        for job, _, error in self._pump(jobs, keep):
            yield Outcome(job, error, self._stamps.pop(job.name, [{} for _ in job.inputs]))

    def shard(self, shard: Shard) -> Written:
        """Write a tar file of all that can be translated, then its index; one that is whole already is kept."""
        if (there := written_before(shard)) is not None:
            return there
        names, left_out, inputs = list[str](), dict[str, str](), dict[str, list[Stamp]]()
        with storage.replaced(f"{shard.place}.tar") as path, path.open("w+b") as file:
            for job, members, error in self._pump(shard.jobs, _members):
                inputs[job.name] = self._stamps.pop(job.name, [{} for _ in job.inputs])
                if members is None:
                    left_out[job.name] = str(error)
                    continue
                names.append(job.name)
                for kind, data in members.items():
                    file.write(member_bytes(f"{member_name(job.target)}.{kind}", data)[0])
            file.write(END)
            length = file.tell()
            file.seek(0)
            total = hashlib.file_digest(file, "sha256")
        written = Written(
            part=shard.place.rpartition("/")[2], images=tuple(names), bytes=length, sha256=total.hexdigest(),
            left_out=left_out, inputs=inputs,
        )  # fmt: skip
        storage.write(shard.index, json.dumps(msgspec.to_builtins(written)) + "\n")
        return written

    def sample(self, job: Job, translator: Translator) -> Image:
        """Translate the image of a job by another translator of the same model, and write nothing."""
        with on_disk(job.source) as source:
            if is_large(source):
                raise CalcoError(f"{job.name} is too large for a sample")
            image = imaging.read(source, background=self.background)
            mask = self._mask(job, source, image.shape)
        return Worker(self.work, translator, self.maker)._draw(image, mask, job.name)

    def _mask(self, job: Job, source: str, shape: tuple[int, ...]) -> Image | None:
        """Read the mask of an image of this shape, and turn it with the image."""
        if not self.work.masked:
            return None
        if job.mask is None:
            raise CalcoError(
                f"there is no mask for {job.name}; give it one of that name, all black if nothing is damaged"
            )
        with on_disk(job.mask) as path:
            mask = read_mask(path)
        if self.work.mask_encoding:
            encoding, config = encoding_of(self.work.mask_encoding), self.translator.info.recipe.erase
            mask = in_strips(lambda strip: given_region(strip, config, encoding), mask)
        return imaging.turned_with(mask if mask.ndim == 3 else mask[..., None], source, shape)

    def _draw(self, image: Image, mask: Image | None, name: str) -> Image:
        """Translate an image, or the input that is first made of it."""
        seed = self._seed(name)
        if self.maker is None:
            return self.translator(image, mask=mask, noise_seed=seed, native=self.work.native)
        # Made at the scale of training, and so shown as it is.
        output = self.translator(self.maker(image, name).input, noise_seed=seed, native=True)
        return imaging.resize(output, (image.shape[1], image.shape[0]))

    def _seed(self, name: str) -> int | None:
        noise_seed = self.work.noise_seed
        return None if noise_seed is None else int(generator(noise_seed, 0, name, "noise").integers(2**31))

    def _large(self, job: Job, keep: Callable[[Image | Drawing, Job, str], T]) -> T:
        """Read, translate and write a large image, strip by strip."""
        with on_disk(job.source) as source, open_large(source, background=self.background) as strips:
            drawing = draw(
                self.translator, strips, mask=self._mask(job, source, strips.shape), noise_seed=self._seed(job.name),
                native=self.work.native, moved=self.moved,
            )  # fmt: skip
            with contextlib.closing(drawing.strips):
                return keep(drawing, job, source)

    def _pump(
        self, jobs: Sequence[Job], keep: Callable[[Image | Drawing, Job, str], T]
    ) -> Iterator[tuple[Job, T | None, str | None]]:
        """Translate in order; yields the result of `keep` or the error of each job."""

        def read(job: Job) -> tuple[Image, Image | None] | None:
            # Before it is read: a version that comes meanwhile is translated again by the next call.
            self._stamps[job.name] = stamps_of(job.inputs)
            with on_disk(job.source) as source:
                if self.maker is None and is_large(source):  # a maker needs the whole image
                    return None
                image = imaging.read(source, background=self.background)
                return image, self._mask(job, source, image.shape)

        def kept(image: Image, job: Job) -> T:
            with on_disk(job.source) as source:
                return keep(image, job, source)

        return pumped(
            jobs, read, lambda found, job: self._draw(*found, job.name), kept, lambda job: self._large(job, keep)
        )


def _members(image: Image | Drawing, job: Job, source: str) -> dict[str, bytes]:
    """Return the members of a shard for an image: itself without loss, and its name."""
    image = image.whole() if isinstance(image, Drawing) else image
    kind = "png" if image.dtype != np.float32 and image.shape[2] <= 4 else "tif"
    return {kind: imaging.encode(image, f".{kind}", like=source), "json": json.dumps({"name": job.name}).encode()}


@contextlib.contextmanager
def on_disk(place: str) -> Iterator[str]:
    """Yield the path of a file, which is copied to this disk from an address."""
    if not is_url(place):
        yield place
        return
    with tempfile.NamedTemporaryFile(prefix="calco-", suffix=PurePosixPath(place).suffix) as file:
        file.write(storage.read(place))
        file.flush()
        yield file.name


def shards_of(place: str, jobs: Sequence[Job], length: int) -> list[Shard]:
    """Divide images into tar files, by their names alone."""
    stems = Counter(PurePosixPath(job.name).with_suffix("").as_posix() for job in jobs)
    keyed = []
    for job in jobs:
        stem = PurePosixPath(job.name).with_suffix("").as_posix()
        keyed.append(job._replace(target=stem if stems[stem] == 1 else job.name))
    shards = []
    for number, start in enumerate(range(0, len(keyed), length)):
        part, some = f"images-{number:06d}", tuple(keyed[start : start + length])
        index = storage.joined(place, f"{INDEX}/{part}.json")
        shards.append(Shard(place=storage.joined(place, part), index=index, jobs=some))
    return shards


def written_before(shard: Shard) -> Written | None:
    """Return the index of a shard that is there, whole, and of the same images as now; None otherwise."""
    try:
        if not storage.exists(shard.index):
            return None
        record: dict[str, Any] = storage.read_json(shard.index)
        index = msgspec.convert(record, Written)
        names = {*index.images, *index.left_out}
        whole = storage.size(f"{shard.place}.tar") == index.bytes and names == {job.name for job in shard.jobs}
        same = whole and all(same_inputs(job.inputs, index.inputs.get(job.name, [])) for job in shard.jobs)
        return index if same else None
    except (CalcoError, msgspec.ValidationError):
        return None
