"""What translates: a loaded model and jobs in, files or a shard out; in this process or in any other."""

import contextlib
import hashlib
import json
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

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
from calco.errors import CalcoError, DiskError, enough_memory, is_out_of_memory, out_of_memory
from calco.files import digest, make_folder
from calco.imaging import Image
from calco.imaging.arrays import in_strips
from calco.imaging.strips import is_large, open_large
from calco.imaging.writing import write_strips
from calco.inference.folder import DESCRIPTION, WEIGHTS
from calco.inference.inputs import Maker, input_maker
from calco.inference.large import Drawing, Moved, draw
from calco.inference.loading import is_exported, load, model_folder
from calco.inference.overlay import Overlay
from calco.inference.results import VERB, same_inputs, stamps_of
from calco.inference.translator import Translator
from calco.networks.machine import make_ready
from calco.outputs import Outputs, Stamp
from calco.records import to_record

AHEAD: Final = 4
_LESS_MEMORY: Final = "close other programs, or give a smaller image"
J = TypeVar("J")
R = TypeVar("R")
T = TypeVar("T")


class _Alone(Generic[J, R]):
    """Reads, and waits while a large image is under work."""

    def __init__(self, read: Callable[[J], R | None]) -> None:
        self._read, self._free = read, threading.Event()
        self._free.set()

    def read(self, job: J) -> R | None:
        self._free.wait()
        with enough_memory(_LESS_MEMORY):
            found = self._read(job)
        if found is None:
            self._free.clear()
        return found

    def over(self) -> None:
        self._free.set()


def pumped(
    jobs: Sequence[J],
    read: Callable[[J], R | None],
    draw: Callable[[R, J], Image],
    keep: Callable[[Image, J], T],
    large: Callable[[J], T],
) -> Iterator[tuple[J, T | None, str | None]]:
    """Draws in order while one thread reads ahead and another keeps.

    Of a large image nothing is read ahead, and nothing after it before it is done: it has the memory to itself.

    Args:
        jobs: What is to be done.
        read: Gives what `draw` takes, in a thread of its own; None for a large image.
        draw: Gives an image.
        keep: Puts it where it belongs, in a thread of its own.
        large: Does all of it.

    Yields:
        The job with what was kept, or with what went wrong.

    Raises:
        DiskError: When the disk takes nothing more.
    """
    alone = _Alone(read)
    reading: deque[tuple[J, Future[R | None]]] = deque()
    writing: deque[tuple[J, Future[T]]] = deque()
    coming = iter(jobs)
    with ThreadPoolExecutor(1, "calco-read") as reader, ThreadPoolExecutor(1, "calco-write") as writer:

        def read_ahead() -> None:
            while len(reading) < AHEAD and (job := next(coming, None)) is not None:
                reading.append((job, reader.submit(alone.read, job)))

        def finished(limit: int) -> Iterator[tuple[J, T | None, str | None]]:
            while len(writing) > limit:
                job, future = writing.popleft()
                try:
                    yield job, future.result(), None
                except DiskError:  # nor can what follows be written
                    raise
                except (CalcoError, OSError, MemoryError) as error:
                    yield job, None, _reason(error)

        try:
            read_ahead()
            while reading:
                job, future = reading.popleft()
                try:
                    found = future.result()
                    if found is None:
                        yield from finished(0)
                        writing.append((job, _done(large, job)))
                        alone.over()
                    read_ahead()
                    if found is not None:
                        writing.append((job, writer.submit(keep, draw(found, job), job)))
                except CalcoError as error:
                    read_ahead()
                    yield job, None, str(error)
                yield from finished(AHEAD)
            yield from finished(0)
        finally:
            alone.over()  # whoever leaves early waits for the thread that reads


def _done(work: Callable[..., T], *given: Any) -> "Future[T]":
    """What came of a call that is over."""
    future: Future[T] = Future()
    try:
        future.set_result(work(*given))
    except (CalcoError, OSError, MemoryError) as error:
        future.set_exception(error)
    return future


def _reason(error: Exception) -> str:
    """What is noted of an image."""
    return str(out_of_memory(error, _LESS_MEMORY) if is_out_of_memory(error) else error)


def keep_large(drawing: Drawing, target: str, source: str, *, exact: bool = False) -> None:
    """Writes a large image: TIFF strip by strip, what else there is from an array of the depth that it has.

    Args:
        drawing: The image.
        target: The file.
        source: Whose EXIF is copied.
        exact: Whether every value must be kept.
    """
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
    """An image to be translated.

    Attributes:
        source: Its file: a path, or an address that fsspec opens.
        target: The file to write; the name of the image in a shard.
        name: Its path below the folder of the images.
        mask: Its mask; None where there is none.
    """

    source: str
    target: str
    name: str
    mask: str | None = None

    @property
    def inputs(self) -> list[str]:
        """The files from which its result is made."""
        return [self.source] if self.mask is None else [self.source, self.mask]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """The images of one tar file: its place without ".tar", that of its index, and the jobs."""

    place: str
    index: str
    jobs: tuple[Job, ...]


@dataclass(frozen=True, kw_only=True)
class Written:
    """The index of a shard: what stands in it, what it lacks and why, and how large it is."""

    part: str
    images: tuple[str, ...]
    bytes: int
    sha256: str
    left_out: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, list[Stamp]] = field(default_factory=dict)
    """What told the inputs of each image from other versions of them."""


class Outcome(NamedTuple):
    """What came of an image: what went wrong if anything did, and what tells its inputs from other versions."""

    job: Job
    error: str | None
    stamps: list[Stamp]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a process must know to translate; called there, it loads the model and gives the worker.

    Attributes:
        model: Where the model lies, or the model.
        digest: Of its weights, so that another one under the same name is not taken for it; empty for a loaded one.
        masked: Whether each image needs its mask.
        mask_encoding: Which values of the masks stand for what is to be redrawn; "" lets each mask tell.
        out: The folder on this disk that is written into, by whose log its files are known; empty for another place.
        overwrite: As in `Outputs`.
        noise_seed: As in `translate`, and so are those that follow.
    """

    model: str | Translator
    digest: str
    masked: bool = False
    mask_encoding: str = ""
    out: str = ""
    overwrite: bool = False
    noise_seed: int | None = None
    native: bool = False
    make_input: bool = False
    recipe: str | None = None
    allow_code: bool = False
    precision: str = "fp32"
    device: str = "auto"
    overlay: Overlay | None = None

    def loaded(self, translator: Translator | None = None) -> "Worker":
        """The worker.

        Args:
            translator: The model at the path in `model`, if it is loaded already.

        Raises:
            CalcoError: When the model is not there, or another one; when the recipe's code may not run.
        """
        model = translator or self.model
        if not isinstance(model, Translator):
            model = load(model, device=self.device, precision=self.precision)
        if not isinstance(self.model, Translator) and weights_digest(self.model) != self.digest:
            raise CalcoError(f"{self.model} is another model in another process; let all see the same folder")
        if self.overlay is not None or not isinstance(self.model, Translator):
            model.lay_over(self.overlay)
        maker = None
        if self.make_input:
            maker = input_maker(model.info, recipe=self.recipe, allow_code=self.allow_code, seed=self.noise_seed or 0)
        return Worker(self, model, maker)

    def files(self) -> Callable[[Sequence[Job]], list[Outcome]]:
        """What writes a file for each image."""
        worker = self._elsewhere()
        return lambda jobs: list(worker.files(jobs))

    def shards(self) -> Callable[[Shard], Written]:
        """What writes shards."""
        return self._elsewhere().shard

    def _elsewhere(self) -> "Worker":
        """The worker in a process of its own."""
        worker = self.loaded()
        if self.out:
            worker.held.enter_context(Outputs(self.out, VERB, overwrite=self.overwrite).active())
        make_ready(worker.translator.device, exact=self.precision == "fp32")
        return worker


def weights_digest(model: str | Path | Translator) -> str:
    """What tells one model from another: its weights, and what `model.json` makes of their output."""
    if isinstance(model, Translator):
        total = hashlib.sha256(repr(to_record(replace(model.info, provenance={}, scores={}))).encode())
        for name, tensor in sorted(model.generator.state_dict().items()):
            total.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return total.hexdigest()[:16]
    if is_exported(model):
        return digest(model)
    folder = model_folder(model)
    return digest(folder / DESCRIPTION, folder / WEIGHTS)


class Worker:
    """A loaded model at work."""

    def __init__(self, work: Work, translator: Translator, maker: Maker | None) -> None:
        self.work = work
        self.translator = translator
        self.maker = maker
        self.moved: Moved | None = None  # is told how much of a large image is done
        self.held = contextlib.ExitStack()  # in a process of its own, until that ends
        self._stamps: dict[str, list[Stamp]] = {}  # by the names of images that are being read
        redraws = "erase" in steps_of(translator.info.recipe.recipe) and maker is None
        # What is transparent is to be redrawn.
        self.background = "channel" if redraws else translator.info.source.background

    @property
    def paints_classes(self) -> bool:
        """Whether what is written are maps of classes, whose colours must be kept."""
        return self.translator.info.palette is not None and self.translator.overlay is None

    def files(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Writes a file for each image, in its format; yields what came of each, in order."""

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
        """Writes a tar file of all that can be translated, then its index; one that is whole already is kept.

        Raises:
            CalcoError: When it cannot be written.
        """
        if (there := written_before(shard)) is not None:
            return there
        total, names, left_out, inputs = hashlib.sha256(), list[str](), dict[str, str](), dict[str, list[Stamp]]()
        length = 0
        with storage.replaced(f"{shard.place}.tar") as path, path.open("wb") as file:

            def append(block: bytes) -> None:
                nonlocal length
                file.write(block)
                total.update(block)
                length += len(block)

            for job, members, error in self._pump(shard.jobs, _members):
                inputs[job.name] = self._stamps.pop(job.name, [{} for _ in job.inputs])
                if members is None:
                    left_out[job.name] = str(error)
                    continue
                names.append(job.name)
                for kind, data in members.items():
                    append(member_bytes(f"{member_name(job.target)}.{kind}", data)[0])
            append(END)
        part = shard.place.rpartition("/")[2]
        written = Written(
            part=part, images=tuple(names), bytes=length, sha256=total.hexdigest(), left_out=left_out,
            inputs=inputs,
        )  # fmt: skip
        storage.write(shard.index, json.dumps(msgspec.to_builtins(written)) + "\n")
        return written

    def _read(self, job: Job, source: str) -> tuple[Image, Image | None]:
        image, mask = imaging.read(source, background=self.background), self._mask(job)
        if mask is not None:
            mask = imaging.turned_with(mask if mask.ndim == 3 else mask[..., None], source, image.shape)
        return image, mask

    def _mask(self, job: Job) -> Image | None:
        if not self.work.masked:
            return None
        if job.mask is None:
            raise CalcoError(
                f"there is no mask for {job.name}; give it one of that name, all black if nothing is damaged"
            )
        with on_disk(job.mask) as path:
            mask = read_mask(path)
        if not self.work.mask_encoding:
            return mask
        encoding = encoding_of(self.work.mask_encoding)
        return in_strips(lambda strip: given_region(strip, self.translator.info.recipe.erase, encoding), mask)

    def _draw(self, image: Image, mask: Image | None, name: str) -> Image:
        """Translates an image, or the input that is first made of it."""
        seed = self._seed(name)
        if self.maker is None:
            return self.translator(image, mask=mask, noise_seed=seed, native=self.work.native)
        # Made at the scale of training, and so shown as it is.
        drawn = self.translator(self.maker(image, name), noise_seed=seed, native=True)
        return imaging.resize(drawn, (image.shape[1], image.shape[0]))

    def _seed(self, name: str) -> int | None:
        noise_seed = self.work.noise_seed
        return None if noise_seed is None else int(generator(noise_seed, 0, name, "noise").integers(2**31))

    @property
    def _takes_strips(self) -> bool:
        """Whether large images are drawn in strips: what makes its input needs the whole, and exported models too."""
        return self.maker is None and isinstance(self.translator, Translator)

    def _large(self, job: Job, keep: Callable[[Image | Drawing, Job, str], T]) -> T:
        """Reads, translates and keeps a large image, strip by strip."""
        with on_disk(job.source) as source, open_large(source, background=self.background) as strips:
            if strips is None:
                raise CalcoError(f"{job.source} has changed while it was read; call again")
            mask = self._mask(job)
            if mask is not None:
                mask = imaging.turned_with(mask if mask.ndim == 3 else mask[..., None], source, strips.shape)
            drawing = draw(
                self.translator, strips, mask=mask, noise_seed=self._seed(job.name), native=self.work.native,
                moved=self.moved,
            )  # fmt: skip
            with contextlib.closing(drawing.strips):
                return keep(drawing, job, source)

    def _pump(
        self, jobs: Sequence[Job], keep: Callable[[Image | Drawing, Job, str], T]
    ) -> Iterator[tuple[Job, T | None, str | None]]:
        """Translates in order; yields what was kept or went wrong."""

        def read(job: Job) -> tuple[Image, Image | None] | None:
            # Before it is read: a version that comes meanwhile is translated again by the next call.
            self._stamps[job.name] = stamps_of(job.inputs)
            with on_disk(job.source) as source:
                return None if self._takes_strips and is_large(source) else self._read(job, source)

        def kept(image: Image, job: Job) -> T:
            with on_disk(job.source) as source:
                return keep(image, job, source)

        return pumped(
            jobs, read, lambda found, job: self._draw(*found, job.name), kept, lambda job: self._large(job, keep)
        )


def _members(image: Image | Drawing, job: Job, source: str) -> dict[str, bytes]:
    """What stands in a shard of an image: itself without loss, and which one it is."""
    image = image.whole() if isinstance(image, Drawing) else image
    kind = "png" if image.dtype != np.float32 and image.shape[2] <= 4 else "tif"
    return {kind: imaging.encode(image, f".{kind}", like=source), "json": json.dumps({"name": job.name}).encode()}


@contextlib.contextmanager
def on_disk(place: str) -> Iterator[str]:
    """A file that lies elsewhere, on this disk."""
    if not is_url(place):
        yield place
        return
    with tempfile.NamedTemporaryFile(prefix="calco-", suffix=PurePosixPath(place).suffix) as file:
        file.write(storage.read(place))
        file.flush()
        yield file.name


def shards_of(place: str, jobs: Sequence[Job], length: int) -> list[Shard]:
    """Images by tar files: a matter of their names alone."""
    stems = Counter(PurePosixPath(job.name).with_suffix("").as_posix() for job in jobs)

    def key(name: str) -> str:
        stem = PurePosixPath(name).with_suffix("").as_posix()
        return stem if stems[stem] == 1 else name

    keyed = [job._replace(target=key(job.name)) for job in jobs]
    shards = []
    for number, start in enumerate(range(0, len(keyed), length)):
        part = f"images-{number:06d}"
        index = storage.joined(place, f"{INDEX}/{part}.json")
        shards.append(
            Shard(place=storage.joined(place, part), index=index, jobs=tuple(keyed[start : start + length]))
        )  # fmt: skip
    return shards


def written_before(shard: Shard) -> Written | None:
    """The index of a shard that is there, whole, and of the same images as they are now; None otherwise."""
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
