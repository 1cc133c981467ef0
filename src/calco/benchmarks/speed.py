"""The groups of `calco bench`: each prepares its work and yields its rows, timed or measured."""

import collections
import itertools
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, ParamSpec, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Pillow
from torch import Tensor

from calco import imaging
from calco.benchmarks import reference
from calco.benchmarks.setting import Row, Setting, Skipped, Timed, count_operations, one_thread, scene, write_images
from calco.console import console
from calco.data.config import PrepareConfig
from calco.data.dataset import PairDataset, batches
from calco.data.prepare import prepare
from calco.data.recipes import RecipeConfig
from calco.data.sample import generator
from calco.errors import CalcoError
from calco.imaging.writing import write_strips
from calco.inference.backends import SAMPLES
from calco.inference.folder import save_model
from calco.inference.images import translate_images
from calco.inference.translator import Translator, load
from calco.inference.video import VideoOptions, translate_video
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from calco.networks.machine import NAMES, has_bfloat16, make_ready
from calco.training.config import KeepConfig, LimitConfig, small
from calco.training.pairs import Batch, load_batch, open_data
from calco.training.step import Networks, training_step
from calco.video.reading import Video
from calco.video.writing import VideoWriter

Rows: TypeAlias = Iterator[Row | Timed | Skipped]
P = ParamSpec("P")
T = TypeVar("T")
Floats = npt.NDArray[np.float64]


def training(setting: Setting) -> Rows:
    """Steps of both networks on pairs in memory."""
    for batch in setting.sizes.batches:
        steps = max(1, 4 // batch)  # small batches are over soon: several of them make one measurement
        loop, (_, loaded), step = setting.reference(), setting.noise(batch), setting.our_step(batch)
        yield Timed(
            name=f"training step, batch {batch}", unit="images/s", count=batch * steps,
            ours=_times(steps, step), reference=_times(steps, partial(loop.step, *loaded)),
            operations=count_operations(step) / batch, precision=setting.precision,
        )  # fmt: skip


def inference(setting: Setting) -> Rows:
    """Images as arrays => translated images as arrays, in the machine's precision and in float32; then the backends."""
    sizes, config, loop = setting.sizes, setting.train_config(), setting.reference()
    networks = Networks(config, 3, 3, setting.device)
    for precision in dict.fromkeys((networks.dtype, torch.float32)):
        model = Translator(
            setting.info(config.generator), networks.generator, device=setting.device, precision=precision
        )
        for side, count in ((sizes.size, sizes.drawn), (sizes.large, max(1, sizes.drawn // 8))):
            images = [scene(setting.config.seed, f"drawn {number}", (side, side)) for number in range(count)]
            with torch.no_grad():
                shown = torch.zeros(1, 3, side, side, device=setting.device)
                operations = count_operations(partial(networks.generator, shown))
            yield Timed(
                name=f"inference at {side}x{side}, {_named(precision)}", unit="images/s", count=count,
                ours=_each(partial(model, native=True), images),
                reference=_each(loop.draw, [Pillow.fromarray(image) for image in images]),
                operations=operations, precision=NAMES[precision],
            )  # fmt: skip
    yield from _backends(setting)


def data(setting: Setting) -> Rows:
    """Files of pairs => batches, read for the first time and kept; the reference reads with one thread."""
    batch, config = max(setting.sizes.batches), setting.config
    read, paths = _data_set(setting)
    count = len(paths) // batch * batch

    def reference_pass() -> None:
        rng = generator(config.seed, 0, "reference", "bench")
        with one_thread():
            collections.deque(reference.batches(paths, setting.sizes.size, setting.resize, batch, rng), maxlen=0)

    def our_pass(pairs: PairDataset, epoch: int) -> None:
        collections.deque(_feed(setting, pairs, epoch), maxlen=0)

    yield Timed(
        name="data pipeline, first pass", unit="pairs/s", count=count,
        ours=lambda: our_pass(_data_set(setting)[0], 0), reference=reference_pass, against="reference pipeline",
    )  # fmt: skip
    our_pass(read, 0)
    yield Timed(
        name="data pipeline, later passes", unit="pairs/s", count=count, ours=lambda: our_pass(read, 1),
        reference=reference_pass, against="reference pipeline",
    )  # fmt: skip
    steps = min(3, setting.sizes.pairs // (2 * batch))
    networks = Networks(setting.train_config(batch), 3, 3, setting.device)

    def fed() -> None:
        with closing(_feed(setting, _data_set(setting)[0], 0)) as feed:
            for pairs in itertools.islice(feed, steps):
                training_step(networks, [pairs])

    yield Timed(
        name=f"training fed from files, batch {batch}", unit="images/s", count=batch * steps, ours=fed,
        reference=_times(steps, setting.our_step(batch)), against="pairs in memory",
    )  # fmt: skip


def _data_set(setting: Setting) -> tuple[PairDataset, list[str]]:
    """Pairs of a training that has not read any yet, and their files."""
    config = replace(setting.train_config(max(setting.sizes.batches)), images=str(setting.pairs))
    opened, _ = open_data(replace(config, source=replace(config.source, source="side-by-side")))
    return opened.train, [item.paths[0] for item in opened.train.items]


def _feed(setting: Setting, pairs: PairDataset, epoch: int) -> Generator[Batch, None, None]:
    """Batches of a pass, as a training gets them."""
    return batches(load_batch, pairs, seed=setting.config.seed, epoch=epoch, batch=max(setting.sizes.batches), skip=0)


def build(setting: Setting) -> Rows:
    """Photographs => pairs for colouring, on disk."""
    paths = sorted(str(path) for path in setting.photographs.iterdir())
    folders = (setting.folder / f"built {number}" for number in itertools.count())
    side = setting.sizes.size
    config = PrepareConfig(images=str(setting.photographs), size=side, recipe=RecipeConfig(recipe="colorize"))

    def ours() -> None:
        before, console.quiet = console.quiet, True
        try:
            prepare(replace(config, out=str(next(folders))), progress=False)
        finally:
            console.quiet = before

    yield Timed(
        name="building a data set", unit="pairs/s", count=len(paths), ours=ours,
        reference=lambda: reference.build(paths, next(folders), side), against="plain loop, one process",
    )  # fmt: skip


def start(setting: Setting) -> Rows:
    """From a command to its help, and to the first translated image."""
    for words in setting.sizes.started:
        yield Timed(
            name=f"start of calco {words}", unit="s", count=0, ours=partial(_run, "-m", "calco", *words.split()),
            reference=partial(_run, "-c", "pass"), against="Python alone",
        )  # fmt: skip
    model, image, out = _model(setting), setting.folder / "start.png", setting.folder / "started.png"
    imaging.write(image, scene(setting.config.seed, "start", (setting.sizes.size, setting.sizes.size)))
    command = ("-m", "calco", "translate", str(model), str(image), "--out", str(out), "--overwrite")
    yield Timed(
        name="calco translate of one image", unit="s", count=0, ours=partial(_run, *command),
        reference=partial(_run, "-c", "import torch"), against="import of torch",
    )  # fmt: skip


def _run(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)


def _times(count: int, work: Callable[[], object]) -> Callable[[], None]:
    """Repeat work in one measurement."""

    def repeated() -> None:
        for _ in range(count):
            work()

    return repeated


def _each(work: Callable[[Any], object], given: list[Any]) -> Callable[[], object]:
    return lambda: [work(each) for each in given]


def _named(precision: torch.dtype) -> str:
    return str(precision).removeprefix("torch.")


LIBRARIES: Final = {"onnxruntime": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",)}
_CALLS: Final = 4  # of a network in one measurement


def _backends(setting: Setting) -> Rows:
    """The networks alone, in each backend and precision of this machine, image by image, against plain torch."""
    if setting.device.type != "cpu":
        yield Skipped(what="inference by onnxruntime and openvino", reason="measured on the CPU only: --device cpu")
        return
    missing = {
        name: next((each for each in needed if find_spec(each) is None), "") for name, needed in LIBRARIES.items()
    }
    if lacking := [name for name, package in missing.items() if package]:
        reason = f"{missing[lacking[0]]} is not installed; pip install 'calco[export,openvino]'"
        yield Skipped(what=f"inference by {' and '.join(lacking)}", reason=reason)
    side = setting.sizes.size
    rng = torch.Generator().manual_seed(setting.config.seed)
    seen = torch.randn(1, 3, side, side, generator=rng).clamp(-1, 1)
    for title, network in _published_and_small(setting).items():
        torch.manual_seed(setting.config.seed)
        model = Translator(setting.info(network), build_generator(network, 3, 3))
        plain = _calls(model.generator.backbone, seen)
        for name, backend in _networks(setting, title, model, seen, missing):
            ours = _calls(backend, seen)
            ours()  # some prepare for a size when it comes the second time
            yield Timed(
                name=f"{title} at {side}x{side}, {name}", unit="images/s", count=_CALLS, ours=ours, reference=plain,
                against="plain torch, float32",
            )  # fmt: skip


def _published_and_small(setting: Setting) -> dict[str, GeneratorConfig]:
    """Return the generators of the published pix2pix and of the preset small."""
    slim = replace(small().generator, composition="plain", depth=min(small().generator.depth, setting.sizes.depth))
    slim = replace(slim, filters=min(slim.filters, setting.sizes.filters))
    return {"pix2pix": setting.train_config().generator, "small": slim}


def _calls(network: Callable[[Tensor], object], seen: Tensor) -> Callable[[], object]:
    def call() -> None:
        with torch.inference_mode():
            for _ in range(_CALLS):
                network(seen)

    return call


def _networks(
    setting: Setting, title: str, model: Translator, seen: Tensor, missing: Mapping[str, str]
) -> Iterator[tuple[str, Callable[[Tensor], object]]]:
    """Each backend in each precision, as a function of the network's input."""
    bfloat16 = has_bfloat16(setting.device)
    if bfloat16:
        from calco.networks.cpu.packed import packed

        ready = packed(model.generator.backbone, torch.bfloat16)
        yield "calco bf16", lambda x: ready(x.bfloat16()).float()
    if missing["onnxruntime"]:
        return
    from calco.inference.graphs import network_graph, quantised, write_openvino
    from calco.inference.runtimes import OnnxFile, OpenvinoFile

    plain = network_graph(model.generator.backbone, seen.shape[1], model.generator.multiple)
    for precision in ("fp32", "int8"):
        path = setting.folder / f"{title}-{precision}.onnx"
        graph = plain if precision == "fp32" else quantised(plain, [seen.numpy()])
        path.write_bytes(graph.SerializeToString())
        yield f"onnxruntime {precision}", OnnxFile(path).maps
        if missing["openvino"]:
            continue
        write_openvino(graph, path.with_suffix(".zip"), "{}")
        for named in ["fp32", *["bf16"] * bfloat16] if precision == "fp32" else ["int8"]:
            hint = "bf16" if named == "bf16" else "f32"
            yield f"openvino {named}", OpenvinoFile(path.with_suffix(".zip"), hint).maps


def backends(setting: Setting) -> Rows:
    """A folder and a video by the backend that the machine chooses, and by Calco's own kernels."""
    needed = itertools.chain(*LIBRARIES.values())
    missing = [name for name in needed if find_spec(name) is None]
    lacking = [f"{name} is not installed; pip install 'calco[export,openvino]'" for name in missing]
    if setting.device.type != "cpu":
        lacking.insert(0, "backends compute on the CPU: --device cpu")
    if lacking:
        yield Skipped(what="folder and video by the chosen backend", reason=lacking[0])
        return
    count, side, source = 4 * setting.sizes.drawn, setting.sizes.size, _video(setting)
    folder = write_images(setting.folder / "to translate", setting.config.seed, count, (side, side), pairs=False)
    examples = [imaging.read(path) for path in imaging.list_images(folder)[:SAMPLES]]
    for title, network in _published_and_small(setting).items():
        torch.manual_seed(setting.config.seed)
        place = setting.folder / f"model {title}"
        save_model(place, setting.info(network), build_generator(network, 3, 3).state_dict(), None)
        for precision in dict.fromkeys(("auto" if has_bfloat16(setting.device) else "fp32", "fp32", "int8")):
            named = "fp32" if precision == "int8" else precision
            plain = load(place, device="cpu", precision=named)
            try:
                chosen = load(
                    place, device="cpu", precision=precision, examples=examples,
                    backend="openvino" if precision == "int8" else "auto",
                )  # fmt: skip
            except CalcoError as error:
                yield Skipped(what=f"{title} in {precision} by a backend", reason=str(error))
                continue
            against = f"Calco's own kernels, {_named(plain.precision)}"
            yield Timed(
                name=f"folder at {side}x{side}, {title}, {chosen.computed_on}", unit="images/s", count=count,
                ours=partial(_translated, place, chosen, folder),
                reference=partial(_translated, place, plain, folder),
                against=against,
            )  # fmt: skip
            yield Timed(
                name=f"video, {title}, {chosen.computed_on}", unit="frames/s", count=setting.sizes.video_frames,
                ours=partial(_translated, place, chosen, source),
                reference=partial(_translated, place, plain, source),
                against=against,
            )  # fmt: skip


def _translated(place: Path, model: Translator, source: Path) -> None:
    """Translate a folder of images or a video to a place beside it."""
    out = source.with_name(f"translated {source.name}")
    if source.is_dir():
        translate_images(place, source, out, overwrite=True, loaded=model)
    else:
        translate_video(model, source, out, VideoOptions(overwrite=True))


def video(setting: Setting) -> Rows:
    """A video => a translated video, and the same frames as arrays through the Translator."""
    config, (width, height), count = setting.train_config(), setting.sizes.video_wh, setting.sizes.video_frames
    networks = Networks(config, 3, 3, setting.device)
    model = Translator(
        setting.info(config.generator), networks.generator, device=setting.device, precision=networks.dtype
    )
    source = _video(setting)
    yield Timed(
        name=f"video of {width}x{height}, {_named(networks.dtype)}", unit="frames/s", count=count,
        ours=lambda: translate_video(model, source, setting.folder / "drawn.mp4", VideoOptions(overwrite=True)),
        reference=_each(model, [frame.image for frame in Video(source).frames()]),
        against="the model on frames in memory",
    )  # fmt: skip


def _video(setting: Setting) -> Path:
    """Return a video of a camera that moves by two pixels a frame."""
    (width, height), count, rate = setting.sizes.video_wh, setting.sizes.video_frames, Fraction(25)
    source = setting.folder / "video.mp4"
    if source.is_file():
        return source
    wide = scene(setting.config.seed, "video", (width + 2 * count, height))
    with VideoWriter(source, (width, height), rate=rate) as writer:
        for number in range(count):
            writer.write(np.ascontiguousarray(wide[:, 2 * number : 2 * number + width]), number / rate)
    return source


_WARM = 2  # steps in which memory is taken and kernels are chosen


def two_against_one(setting: Setting) -> Rows:
    """Whole runs of `calco train`; the rate is that of their steps, without start and end."""
    totals = [batch for batch in setting.sizes.together if batch > 1]
    if setting.device.type == "cuda" or len(os.sched_getaffinity(0)) < 2 or not totals:
        yield Skipped(what="processes", reason="it takes two cores without a GPU, and batches of two")
        return
    folders = (setting.folder / f"run {number}" for number in itertools.count())
    for batch in totals:
        # Of larger batches fewer: as many pairs, but never less than three steps that count.
        steps = max(_WARM + 3, setting.sizes.steps * min(totals) // batch)
        rates = [
            [_rate(setting, next(folders), processes, batch // processes, steps) for processes in (2, 1)]
            for _ in range(setting.config.repeats)
        ]
        ours, theirs = zip(*rates, strict=True)
        yield Row.of(f"two processes, batch {batch} in all", "images/s", ours, theirs, "one process")


def _rate(setting: Setting, folder: Path, processes: int, batch: int, steps: int) -> float:
    """Images a second of a run in several processes, each with its own batch."""
    config = replace(
        setting.train_config(batch),
        images=str(setting.pairs),
        compute=replace(setting.compute, processes=processes, threads=0),
        limit=LimitConfig(epochs=0, steps=steps),
        keep=KeepConfig(log_steps=1, validation_pairs=1, samples=1, validate_steps=10 * steps, tensorboard=False),
    )
    log = setting.log_of(config, folder)
    times = [float(line["time"]) for line in log if "train" in line]
    return processes * batch * (len(times) - _WARM) / max(times[-1] - times[_WARM - 1], 0.01)


def peaks(setting: Setting) -> Rows:
    """Memory of a training beyond the libraries that it imports."""
    for batch in setting.sizes.batches:
        ours, theirs = (_in_new_process("memory", _training_peak, setting, who, batch) for who in ("ours", "theirs"))
        yield Row.of(f"memory peak, batch {batch}", "MiB", [ours], [theirs])


def _in_new_process(group: str, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Call a function in a process of its own, whose memory is measured."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(work, *args, **options).result()
        except BrokenProcessPool as error:
            raise CalcoError(
                "the process whose memory is measured was killed; close other programs, or leave "
                f"{group} out with --only"
            ) from error


def _training_peak(setting: Setting, who: str, batch: int) -> float:
    """Train a few steps; return the peak above the memory before, in MiB."""
    torch.set_num_threads(setting.config.threads or len(os.sched_getaffinity(0)))
    on_gpu = setting.device.type == "cuda"
    before = 0.0 if on_gpu else memory("VmHWM:")
    if who == "ours":
        make_ready(setting.device)
        step = setting.our_step(batch)
    else:
        step = partial(setting.reference().step, *setting.noise(batch)[1])
    for _ in range(3):  # Adam's moments come with the first, and the allocator's cache shows from the second on
        step()
    after = torch.cuda.max_memory_allocated(setting.device) / (1 << 20) if on_gpu else memory("VmHWM:")
    return after - before


def memory(field: str) -> float:
    """Memory of this process in MiB: VmRSS now, VmHWM at most; where the system does not report it, at most."""
    # Not ru_maxrss alone: that counts what the process which started this one held at that moment.
    try:
        return int(Path("/proc/self/status").read_text().partition(field)[2].split()[0]) / 1024
    except (OSError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


_BOUND = 2048.0  # MiB above the model that any image may take


def images(setting: Setting) -> Rows:
    """A TIFF and a JPEG at the scale of training, a TIFF at its own."""
    width, height = setting.sizes.large_wh
    megapixels, model = width * height / 1e6, _model(setting)
    for ending, native in ((".tif", False), (".jpg", False), (".tif", True)):
        path = _large_image(setting, ending)
        name = f"{megapixels:.3g} megapixels, {imaging.FORMATS[ending]}{', --native' if native else ''}"
        threads, precision = torch.get_num_threads(), setting.config.precision
        taken, seconds = _in_new_process(
            "large", translation_peak, model, path, native=native, device=str(setting.device), precision=precision,
            threads=threads,
        )  # fmt: skip
        yield Row.of(f"memory at {name}", "MiB", [taken], [_BOUND], "the bound")
        start = time.perf_counter()
        imaging.write(path.with_name(f"copy{ending}"), imaging.read(path))
        copied = time.perf_counter() - start
        yield Row.of(name, "MP/s", [megapixels / seconds], [megapixels / copied], "read and written alone")


def _model(setting: Setting) -> Path:
    """Folder of the published network with random weights."""
    network = setting.train_config().generator
    torch.manual_seed(setting.config.seed)
    folder = setting.folder / "model"
    save_model(folder, setting.info(network), build_generator(network, 3, 3).state_dict(), None)
    return folder


def _large_image(setting: Setting, ending: str) -> Path:
    """A large image as a file: a band of a scene repeated from the top down."""
    path = setting.folder / f"large{ending}"
    width, height = setting.sizes.large_wh
    band = scene(setting.config.seed, "large", (width, min(height, 500)))
    if ending == ".tif":
        strips = (band[: height - top] for top in range(0, height, len(band)))
        write_strips(path, strips, (height, width, 3), np.dtype(np.uint8), like=None)
    else:
        imaging.write(path, np.tile(band, (-(-height // len(band)), 1, 1))[:height])
    return path


def translation_peak(
    model: Path, image: Path, *, native: bool, device: str, precision: Literal["auto", "fp32", "bf16"], threads: int
) -> tuple[float, float]:
    """Translate a small image, then a large one; return its memory beyond the first's in MiB, and seconds."""
    torch.set_num_threads(threads)
    translator = load(model, device=device, precision=precision)
    make_ready(translator.device, exact=precision == "fp32")
    translator(np.zeros((256, 256, 3), np.uint8))
    before, start = memory("VmRSS:"), time.perf_counter()
    translate_images(translator, image, image.with_name(f"drawn{image.suffix}"), native=native, overwrite=True)
    return memory("VmHWM:") - before, time.perf_counter() - start
