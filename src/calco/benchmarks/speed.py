"""Rows of speed: the training step, inference, the data pipeline, the build of a data set, the start."""

import collections
import dataclasses
import importlib.util
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Pillow
from torch import Tensor

from calco import imaging, journal
from calco.benchmarks import reference
from calco.benchmarks.config import BenchConfig, Sizes
from calco.benchmarks.reference import EDGE, Reference, plain_answers, plain_ious, plain_nms, row_nms
from calco.benchmarks.setting import (
    Row,
    Setting,
    Skipped,
    alternate,
    as_loaded,
    core_seconds,
    grey,
    one_thread,
    per_second,
    row,
    scene,
    silent,
)
from calco.data.config import JitterConfig
from calco.data.dataset import PairDataset
from calco.data.prepare import prepare
from calco.data.prepare_config import PrepareConfig
from calco.data.recipes import RecipeConfig
from calco.data.sample import generator
from calco.detection.boxes import iou, nms
from calco.errors import CalcoError
from calco.imaging.writing import write_strips
from calco.inference.folder import ModelInfo, save_model
from calco.inference.images import translate_images
from calco.inference.loading import load
from calco.inference.translator import Translator
from calco.inference.video import VideoOptions, translate_video
from calco.networks.build import build_generator
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.networks.machine import has_bfloat16, make_ready
from calco.networks.packed import can_pack
from calco.records import from_record, to_record, write_yaml
from calco.training.batching import batches
from calco.training.config import ComputeConfig, KeepConfig, LimitConfig, OptimiserConfig, TrainConfig, pix2pix, small
from calco.training.pairs import Batch, load_batch, open_data
from calco.training.step import Networks, training_step
from calco.video.reading import Video
from calco.video.writing import VideoWriter


def training(setting: Setting) -> Iterator[Row]:
    """Steps of both networks on pairs that are at hand."""
    for batch in setting.sizes.batches:
        # Small batches are over soon: some of them make one measurement.
        steps = max(1, 4 // batch)
        loop, (_, (given, wanted)) = setting.reference(), setting.noise(batch)
        ours = _times(steps, setting.our_step(batch))
        theirs = _times(steps, lambda loop=loop, given=given, wanted=wanted: loop.step(given, wanted))  # type: ignore[misc]
        seconds = alternate(ours, theirs, setting.config.repeats, setting.device)
        rates = [per_second(batch * steps, each) for each in seconds]
        yield row("training", f"training step, batch {batch}", "images/s", rates[0], rates[1])


def inference(setting: Setting) -> Iterator[Row | Skipped]:
    """Images as arrays => translated images as arrays, in the machine's precision and in float32."""
    sizes, config = setting.sizes, setting.train_config(1)
    networks = Networks(config, 3, 3, setting.device)
    info = ModelInfo(
        generator=config.generator, recipe=RecipeConfig(recipe="aligned"), jitter=config.jitter,
        in_channels=3, out_channels=3,
    )  # fmt: skip
    loop = setting.reference()
    for precision in dict.fromkeys((networks.dtype, torch.float32)):
        ours = Translator(info, networks.generator, device=setting.device, precision=precision)
        named = str(precision).removeprefix("torch.")
        for side, count in ((sizes.size, sizes.drawn), (sizes.large, max(1, sizes.drawn // 8))):
            images = [scene(setting.config.seed, f"drawn {number}", (side, side)) for number in range(count)]
            opened = [Pillow.fromarray(image) for image in images]
            seconds = alternate(
                lambda ours=ours, images=images: [ours(image, native=True) for image in images],  # type: ignore[misc]
                lambda opened=opened: [loop.draw(image) for image in opened],  # type: ignore[misc]
                setting.config.repeats,
                setting.device,
            )
            rates = [per_second(count, each) for each in seconds]
            yield row("inference", f"inference at {side}x{side}, {named}", "images/s", rates[0], rates[1])
    yield from backends(setting)


def data(setting: Setting) -> Iterator[Row]:
    """Files of pairs => batches; what is read for the first time, and what is kept.

    The reference reads with one thread, as the workers of a DataLoader do.
    """
    batch, repeats = max(setting.sizes.batches), setting.config.repeats
    first, paths = _data_set(setting)
    count = len(paths) // batch * batch
    fresh = [_data_set(setting)[0] for _ in range(repeats)] + [first]

    def reference_pass() -> None:
        rng = generator(setting.config.seed, 0, "reference", "bench")
        with one_thread():
            collections.deque(reference.batches(paths, setting.sizes.size, setting.resize, batch, rng), maxlen=0)

    seconds = alternate(lambda: _drain(setting, fresh.pop(), 0), reference_pass, repeats)
    ours, theirs = (per_second(count, each) for each in seconds)
    yield row("data", "data pipeline, first pass", "pairs/s", ours, theirs, "reference pipeline")
    yield row("data", "… against what the step consumes", "pairs/s", ours, [setting.need] * repeats, "our step")

    fresh = [_data_set(setting)[0] for _ in range(repeats + 1)]
    busy = _in_turns(lambda: _drain(setting, fresh.pop(), 0), lambda: _decode(paths[:count]), repeats)
    ours, theirs = (per_second(count, each) for each in busy)
    yield row("data", "… per second of a core", "pairs/s", ours, theirs, "decoding alone")

    seconds = alternate(lambda: _drain(setting, first, 1), reference_pass, repeats)
    ours, theirs = (per_second(count, each) for each in seconds)
    yield row("data", "data pipeline, later passes", "pairs/s", ours, theirs, "reference pipeline")
    yield _fed(setting, batch)


def _fed(setting: Setting, batch: int) -> Row:
    """Steps while the images are read beside them, and steps on pairs that are at hand."""
    steps = min(3, setting.sizes.pairs // (2 * batch))
    networks = Networks(setting.train_config(batch), 3, 3, setting.device)
    fresh = [_data_set(setting)[0] for _ in range(setting.config.repeats + 1)]

    def fed() -> None:
        with closing(_feed(setting, fresh.pop(), 0)) as feed:
            for pairs in itertools.islice(feed, steps):
                training_step(networks, [pairs])

    seconds = alternate(fed, _times(steps, setting.our_step(batch)), setting.config.repeats, setting.device)
    ours, theirs = (per_second(batch * steps, each) for each in seconds)
    return row("data", f"training fed from files, batch {batch}", "images/s", ours, theirs, "pairs at hand")


def _data_set(setting: Setting) -> tuple[PairDataset, list[str]]:
    """The pairs of a training that has not read any yet, and their files."""
    config = replace(setting.train_config(max(setting.sizes.batches)), images=str(setting.pairs))
    opened, _ = open_data(replace(config, source=replace(config.source, source="side-by-side")))
    return opened.train, [item.paths[0] for item in opened.train.items]


def _feed(setting: Setting, pairs: PairDataset, epoch: int) -> Generator[Batch, None, None]:
    """The batches of a pass, as a training gets them."""
    return batches(load_batch, pairs, seed=setting.config.seed, epoch=epoch, batch=max(setting.sizes.batches), skip=0)


def _drain(setting: Setting, pairs: PairDataset, epoch: int) -> None:
    collections.deque(_feed(setting, pairs, epoch), maxlen=0)


def _decode(paths: Sequence[str]) -> None:
    """Images unpacked by Pillow, and nothing more."""
    for path in paths:
        with Pillow.open(path) as file:
            file.convert("RGB")


def _in_turns(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> tuple[list[float], list[float]]:
    """As `alternate`, in seconds that cores have worked."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 1):
        for times, work in zip(seconds, (ours, theirs), strict=True):
            start = core_seconds()
            work()
            times.append(max(core_seconds() - start, 1e-3))
    return seconds[0][1:], seconds[1][1:]


def build(setting: Setting) -> Iterator[Row]:
    """Photographs => pairs for colouring, on disk."""
    paths = sorted(str(path) for path in setting.photographs.iterdir())
    folders = (setting.folder / f"built {number}" for number in itertools.count())
    side = setting.sizes.size
    config = PrepareConfig(images=str(setting.photographs), size=side, recipe=RecipeConfig(recipe="colorize"))

    def ours() -> None:
        with silent():
            prepare(replace(config, out=str(next(folders))), progress=False)

    seconds = alternate(ours, lambda: reference.build(paths, next(folders), side), setting.config.repeats)
    rates = [per_second(len(paths), each) for each in seconds]
    yield row("build", "building a data set", "pairs/s", rates[0], rates[1], "plain loop, one process")


def start(setting: Setting) -> Iterator[Row]:
    """From the command to its help, and to the first translated image."""
    for words in setting.sizes.started:
        ours = partial(_run, "-m", "calco", *words.split())
        seconds = alternate(ours, partial(_run, "-c", "pass"), setting.config.repeats)
        yield row("start", f"start of calco {words}", "s", *seconds, against="Python alone")
    model, image, out = _model(setting), setting.folder / "start.png", setting.folder / "started.png"
    imaging.write(image, scene(setting.config.seed, "start", (setting.sizes.size, setting.sizes.size)))
    command = ("-m", "calco", "translate", str(model), str(image), "--out", str(out), "--overwrite")
    seconds = alternate(partial(_run, *command), partial(_run, "-c", "import torch"), setting.config.repeats)
    yield row("start", "calco translate of one image", "s", *seconds, against="import of torch")


def _run(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env=os.environ)


def _times(count: int, work: Callable[[], object]) -> Callable[[], None]:
    """Work that is done so many times."""

    def repeated() -> None:
        for _ in range(count):
            work()

    return repeated


LIBRARIES: Final = {"onnxruntime": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",)}
_CALLS: Final = 4  # in one measurement


def backends(setting: Setting) -> Iterator[Row | Skipped]:
    """What the networks alone reach in each backend of this machine, image by image, beside torch as it comes."""
    reason = _lack("onnxruntime")
    if setting.device.type != "cpu":
        reason = "they are measured on the CPU alone: --device cpu"
    if reason:
        yield Skipped(group="inference by onnxruntime and openvino", reason=reason)
    elif reason_openvino := _lack("openvino"):
        yield Skipped(group="inference by openvino", reason=reason_openvino)
    if setting.device.type != "cpu":
        return
    for title, model in _models(setting):
        yield from _rows(setting, title, model, files=not reason)


def _lack(backend: str) -> str:
    """Why a backend cannot be measured; empty where it can."""
    missing = [name for name in LIBRARIES[backend] if importlib.util.find_spec(name) is None]
    extra = "export" if backend == "onnxruntime" else "openvino"
    return f"{missing[0]} is not installed; pip install 'calco[{extra}]'" if missing else ""


def _models(setting: Setting) -> Iterator[tuple[str, Translator]]:
    """The published network, and that of the preset `small`."""
    config = setting.train_config(1)
    slim = replace(small().generator, composition="plain", depth=min(small().generator.depth, setting.sizes.depth))
    slim = replace(slim, filters=min(slim.filters, setting.sizes.filters))
    for title, network in (("pix2pix", config.generator), ("small", slim)):
        info = ModelInfo(
            generator=network, recipe=RecipeConfig(recipe="aligned"), jitter=config.jitter,
            in_channels=3, out_channels=3,
        )  # fmt: skip
        torch.manual_seed(setting.config.seed)
        yield title, Translator(info, build_generator(network, 3, 3))


def _rows(setting: Setting, title: str, model: Translator, *, files: bool) -> Iterator[Row]:
    side = setting.sizes.size
    chance = torch.Generator().manual_seed(setting.config.seed)
    seen = torch.randn(1, 3, side, side, generator=chance).clamp(-1, 1)
    plain = model.generator.backbone

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(_CALLS):
                plain(seen)

    for name, network in _networks(setting, title, model, seen, files=files):

        def ours(network: Callable[[Tensor], Tensor] = network) -> None:
            with torch.inference_mode():
                for _ in range(_CALLS):
                    network(seen)

        ours()  # some make themselves ready for a size at its second coming
        seconds = alternate(ours, bare, setting.config.repeats)
        rates = [per_second(_CALLS, each) for each in seconds]
        yield row(
            "inference", f"{title} at {side}x{side}, {name}", "images/s", rates[0], rates[1], "bare torch, float32"
        )


def _networks(
    setting: Setting, title: str, model: Translator, seen: Tensor, *, files: bool
) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    """Each backend in each precision: a function of what the network sees."""
    from calco.networks.packed import packed

    dtypes = {"fp32": torch.float32, **({"bf16": torch.bfloat16} if has_bfloat16(setting.device) else {})}
    if can_pack(setting.device):
        for name, dtype in dtypes.items():
            ready = packed(model.generator.backbone, dtype)
            yield f"calco {name}", lambda x, ready=ready, dtype=dtype: ready(x.to(dtype)).float()  # type: ignore[misc]
    if not files:
        return
    from calco.export.graph import onnx_network, quantised, write_openvino
    from calco.inference.runtimes import OnnxFile, OpenvinoFile

    plain = onnx_network(model)
    for precision in ("fp32", "int8"):
        network = plain if precision == "fp32" else quantised(plain, [seen.numpy()])
        path = Path(setting.folder) / f"{title}-{precision}.onnx"
        path.write_bytes(network.SerializeToString())
        yield f"onnxruntime {precision}", OnnxFile(path).maps
        if _lack("openvino"):
            continue
        write_openvino(path, path.with_suffix(".zip"), "{}")
        for named in dtypes if precision == "fp32" else ("int8",):
            hint = "bf16" if named == "bf16" else "f32"
            yield f"openvino {named}", OpenvinoFile(path.with_suffix(".zip"), hint).maps


_RATE = Fraction(25)


def video(setting: Setting) -> Iterator[Row]:
    """A video => a translated video, and the same frames as arrays through the Translator."""
    sizes, config = setting.sizes, setting.train_config(1)
    (width, height), count = sizes.video_wh, sizes.video_frames
    networks = Networks(config, 3, 3, setting.device)
    info = ModelInfo(
        generator=config.generator, recipe=RecipeConfig(recipe="aligned"), jitter=config.jitter,
        in_channels=3, out_channels=3,
    )  # fmt: skip
    translator = Translator(info, networks.generator, device=setting.device, precision=networks.dtype)
    source = setting.folder / "video.mp4"
    wide = scene(setting.config.seed, "video", (width + 2 * count, height))
    with VideoWriter(source, (width, height), rate=_RATE) as writer:  # a camera that moves by two pixels a frame
        for number in range(count):
            writer.write(np.ascontiguousarray(wide[:, 2 * number : 2 * number + width]), number / _RATE)
    frames = [frame.image for frame in Video(source).frames()]
    options = VideoOptions(overwrite=True)
    seconds = alternate(
        lambda: translate_video(translator, source, setting.folder / "drawn.mp4", options),
        lambda: [translator(frame) for frame in frames],
        setting.config.repeats,
        setting.device,
    )
    rates = [per_second(count, each) for each in seconds]
    name = f"video of {width}x{height}, {str(networks.dtype).removeprefix('torch.')}"
    yield row("video", name, "frames/s", rates[0], rates[1], "the model on frames at hand")


Floats = npt.NDArray[np.float64]

# As a detector of dense heads gives them: each thing found again and again, a little displaced.
_BOXES_A_THING, _SPREAD = 25, 0.12


def boxes(setting: Setting) -> Iterator[Row]:
    """Boxes and scores as arrays => which are kept; pairs of boxes => their overlaps."""
    count, repeats = setting.sizes.boxes, setting.config.repeats
    found, scores = crowd(setting.config.seed, count)
    name = f"NMS of {count:,} boxes"
    loops: dict[str, Callable[[], object]] = {
        "plain Python loop": lambda: plain_nms(found.tolist(), scores.tolist()),
        "each kept box against all that are left": lambda: row_nms(found, scores),
    }
    for against, loop in loops.items():
        seconds = alternate(lambda: nms(found, scores, EDGE), loop, repeats)
        rates = [per_second(count, each) for each in seconds]
        yield row("boxes", name, "boxes/s", rates[0], rates[1], against)
        name = "… beside NumPy, box by box"
    few = found[: max(2, count // 20)]
    seconds = alternate(lambda: iou(few, few), lambda: plain_ious(few.tolist()), repeats)
    rates = [per_second(len(few) ** 2, each) for each in seconds]
    yield row(
        "boxes", f"IoU of {len(few):,} with {len(few):,} boxes", "pairs/s", rates[0], rates[1], "plain Python loop"
    )


def crowd(seed: int, count: int) -> tuple[Floats, Floats]:
    """Boxes about objects in an image of 1000 pixels a side, and scores: N x 4, N."""
    rng = generator(seed, 0, "boxes", "bench")
    objects = max(1, count // _BOXES_A_THING)
    centres, sides = rng.uniform(0, 1000, (objects, 2)), rng.uniform(20, 120, (objects, 2))
    which = rng.integers(0, objects, count)
    centre = centres[which] + rng.normal(0, _SPREAD, (count, 2)) * sides[which]
    half = sides[which] * np.exp(rng.normal(0, _SPREAD, (count, 2))) / 2
    return np.hstack([centre - half, centre + half]), rng.uniform(0, 1, count)


def questions(setting: Setting) -> Iterator[Row | Skipped]:
    """Made-up rows of DataCrim in a file of DuckDB => the five answers that rest on them."""
    if missing := [name for name in ("ibis", "duckdb", "pyarrow") if find_spec(name) is None]:
        yield Skipped(group="crime", reason=f"{missing[0]} is not installed; pip install 'calco[crime]'")
        return
    from calco.crime.database import connect
    from calco.crime.generate import GenerateConfig, generate
    from calco.crime.load import LoadConfig
    from calco.crime.load import load as load_rows
    from calco.crime.queries import QUESTIONS, ask
    from calco.crime.schema import DATACRIM

    count, folder = setting.sizes.crime_rows, setting.folder
    source, to = str(folder / "datacrim.parquet"), str(folder / "crime.duckdb")
    generate(GenerateConfig(out=source, rows=count, seed=setting.config.seed))
    load_rows(LoadConfig(datacrim=source, to=to))
    backend = connect(to)
    try:
        rows = backend.con.execute('SELECT * FROM "Crimenes_DataCrim" ORDER BY id').fetchall()
        generic = dict(
            backend.con.execute(
                'SELECT m.id, e."Id_Generico" FROM "Modalidad_Crimen" m '
                'JOIN "Crimen_Especifico" e ON m."Id_Especifico" = e.id'
            ).fetchall()
        )
        seconds = alternate(
            lambda: [ask(backend, question) for question in QUESTIONS.values() if question.source == DATACRIM[-1]],
            lambda: plain_answers(rows, generic),
            setting.config.repeats,
        )
    finally:
        backend.disconnect()
    rates = [per_second(count, each) for each in seconds]
    yield row("crime", f"five questions to {count:,} rows", "rows/s", rates[0], rates[1], "plain Python over lists")


BATCH, PAIRS, LAST = 4, 64, 0.25
Step = Callable[[Batch], float]


def curves(setting: Setting) -> Iterator[Row]:
    """Small networks on the same pairs from the same weights: the mean L1 of the last quarter of their steps.

    The spread of a row is that of the seeds.
    """
    kinds: dict[str, list[float]] = {"bf16": [], "fp32": [], "ours": [], "reference": []}
    images = _images(setting)
    for seed in range(setting.config.seed, setting.config.seed + setting.sizes.exact_seeds):
        steps: dict[str, Step] = {
            "fp32": _our_steps(setting, seed, replace(setting.compute, precision="fp32")),
            "bf16": _our_steps(setting, seed, replace(setting.compute, precision="bf16")),
            "ours": _our_steps(setting, seed, setting.compute),
            "reference": _reference_steps(setting, seed),
        }
        for name, step in steps.items():
            kinds[name].append(_last(setting, seed, images, step))
    noise = statistics.stdev(kinds["fp32"]) / statistics.mean(kinds["fp32"]) if len(kinds["fp32"]) > 1 else 0.0
    between = f"fp32, whose seeds differ by {noise:.1%}"
    yield row("exact", "L1 of a short training in bf16", "L1", kinds["bf16"], kinds["fp32"], between)
    yield row("exact", "L1 of a short training as by default", "L1", kinds["ours"], kinds["reference"])


def _config(setting: Setting, seed: int, compute: ComputeConfig) -> TrainConfig:
    sizes = setting.sizes
    return replace(
        pix2pix(),
        seed=seed,
        jitter=JitterConfig(size=sizes.exact_size, resize=sizes.exact_size),
        generator=GeneratorConfig(depth=5, filters=sizes.exact_filters, composition="plain"),
        discriminator=DiscriminatorConfig(patch=34, filters=sizes.exact_filters),
        optimiser=OptimiserConfig(batch=BATCH),
        compute=compute,
    )


def _our_steps(setting: Setting, seed: int, compute: ComputeConfig) -> Step:
    networks = Networks(_config(setting, seed, compute), 3, 3, setting.device)
    return lambda batch: training_step(networks, [batch])["g_pixel"]


def _reference_steps(setting: Setting, seed: int) -> Step:
    loop = Reference(5, setting.sizes.exact_filters, layers=2, device=setting.device)
    networks = Networks(_config(setting, seed, setting.compute), 3, 3, setting.device)
    take_weights(loop, networks)
    return lambda batch: loop.step(as_loaded(batch.input), as_loaded(batch.target))["g_pixel"]


def take_weights(loop: Reference, networks: Networks) -> None:
    """Gives the reference the weights of ours: the same layers stand in both in the same order."""
    assert networks.discriminator is not None
    for theirs, ours in ((loop.generator, networks.generator), (loop.discriminator, networks.discriminator)):
        theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))


def _images(setting: Setting) -> tuple[Tensor, Tensor]:
    """Grey and coloured images, N, 3, H, W, uint8."""
    side = setting.sizes.exact_size
    coloured = [scene(setting.config.seed, f"exact {number}", (side, side)) for number in range(PAIRS)]
    sides = ([grey(image) for image in coloured], coloured)
    given, wanted = (torch.from_numpy(np.stack(each).transpose(0, 3, 1, 2).copy()) for each in sides)
    return given, wanted


def _last(setting: Setting, seed: int, images: tuple[Tensor, Tensor], step: Step) -> float:
    """Trains, and gives the mean L1 of the last part of the steps."""
    torch.manual_seed(seed)  # of the dropout
    rng, losses = generator(seed, 0, "exact", "order"), []
    weight = torch.ones(BATCH, 1, *images[0].shape[-2:])
    for _ in range(setting.sizes.exact_steps):
        chosen = torch.from_numpy(rng.choice(PAIRS, BATCH, replace=False))
        losses.append(step(Batch(images[0][chosen], images[1][chosen], weight)))
    return statistics.mean(losses[-max(1, int(len(losses) * LAST)) :])


WARM = 2  # steps in which memory is taken and kernels are chosen


def two_against_one(setting: Setting) -> Iterator[Row | Skipped]:
    """Whole runs of `calco train`; the rate is that of their steps, without start and end."""
    batches = [batch for batch in setting.sizes.together if batch > 1]
    if "processes" not in {field.name for field in dataclasses.fields(ComputeConfig)}:
        yield Skipped(group="processes", reason="this version trains in one process")
    elif setting.device.type == "cuda" or len(os.sched_getaffinity(0)) < 2 or not batches:
        yield Skipped(group="processes", reason="it takes two cores without a GPU, and batches of two")
    else:
        folders = (setting.folder / f"run {number}" for number in itertools.count())
        for batch in batches:
            # Of larger batches fewer: as many pairs, but never less than three steps that count.
            steps = max(WARM + 3, setting.sizes.steps * min(batches) // batch)
            each = [
                [_rate(setting, next(folders), processes, batch // processes, steps) for processes in (2, 1)]
                for _ in range(setting.config.repeats)
            ]
            ours, theirs = ([pair[place] for pair in each] for place in (0, 1))
            yield row("processes", f"two processes, batch {batch} in all", "images/s", ours, theirs, "one process")


def _rate(setting: Setting, folder: Path, processes: int, batch: int, steps: int) -> float:
    """Images a second of a run of so many processes, each with its own batch."""
    config = dataclasses.replace(
        setting.train_config(batch),
        images=str(setting.pairs),
        limit=LimitConfig(epochs=0, steps=steps),
        keep=KeepConfig(log_steps=1, validation_pairs=1, samples=1, validate_steps=10 * steps, tensorboard=False),
    )
    record = to_record(config)
    record["compute"] |= {"processes": processes, "threads": 0}
    page = setting.folder / f"{folder.name}.yaml"
    write_yaml(page, record, "calco bench")
    done = subprocess.run(
        [sys.executable, "-m", "calco", "train", "--config", page, "--out", folder],
        capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise CalcoError(f"the training in {processes} processes failed ({reason}); leave processes out with --only")
    times = [float(line["time"]) for line in journal.read(folder / "log.jsonl") if "train" in line]
    return processes * batch * (len(times) - WARM) / max(times[-1] - times[WARM - 1], 0.01)


STEPS = 3  # Adam's moments come with the first, and what an allocator keeps shows from the second on


def peaks(setting: Setting) -> Iterator[Row]:
    """What a training takes beyond the libraries that it imports."""
    for batch in setting.sizes.batches:
        taken = {who: _measured(setting, who, batch) for who in ("ours", "reference")}
        yield row("memory", f"memory peak, batch {batch}", "MiB", [taken["ours"]], [taken["reference"]])


def _measured(setting: Setting, who: str, batch: int) -> float:
    """The peak of a fresh process, in MiB."""
    job = {
        "who": who, "batch": batch, "device": str(setting.device), "threads": torch.get_num_threads(),
        "config": to_record(setting.config), "sizes": to_record(setting.sizes),
    }  # fmt: skip
    return float(_in_a_fresh_process("memory", job, f"the training at batch {batch} whose memory was to be measured"))


def _in_a_fresh_process(group: str, job: dict[str, Any], named: str) -> Any:
    """The result of a job of `_JOBS` in a process of its own."""
    words = [sys.executable, "-m", "calco.benchmarks.speed", group, json.dumps(job)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise CalcoError(
            f"{named} ended with code {done.returncode} ({reason}); close other programs, or leave {group} out with "
            "--only"
        )
    return json.loads(done.stdout)


def _memory_work(job: dict[str, Any]) -> float:
    """Trains a few steps, and tells the peak above what was there before, in MiB."""
    torch.set_num_threads(job["threads"])
    config, sizes = from_record(BenchConfig, job["config"], "bench"), from_record(Sizes, job["sizes"], "bench")
    setting = Setting(config, sizes, torch.device(job["device"]), Path())
    on_gpu = setting.device.type == "cuda"
    before = 0.0 if on_gpu else peak()
    if job["who"] == "ours":
        make_ready(setting.device)
        step = setting.our_step(job["batch"])
    else:
        loop, (_, (given, wanted)) = setting.reference(), setting.noise(job["batch"])
        step = lambda: loop.step(given, wanted)  # noqa: E731
    for _ in range(STEPS):
        step()
    after = torch.cuda.max_memory_allocated(setting.device) / (1 << 20) if on_gpu else peak()
    return after - before


def peak() -> float:
    """The most memory that this process has held so far, in MiB."""
    # Not ru_maxrss: that counts what the process which started this one held at that moment.
    return _told("VmHWM:")


def held() -> float:
    """The memory that this process holds now, in MiB; where the system does not tell, the most so far."""
    return _told("VmRSS:")


def _told(word: str) -> float:
    try:
        told = Path("/proc/self/status").read_text().partition(word)[2]
        return int(told.split()[0]) / 1024
    except (OSError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


BOUND = 2048.0  # MiB above the model that any image may take
_BAND = 500  # rows of the scene that is repeated


def images(setting: Setting) -> Iterator[Row]:
    """A TIFF and a JPEG at the scale of training, a TIFF at its own."""
    width, height = setting.sizes.large_wh
    megapixels = width * height / 1e6
    model = _model(setting)
    for ending, native in ((".tif", False), (".jpg", False), (".tif", True)):
        path = _image(setting, ending)
        named = f"{megapixels:.3g} megapixels, {imaging.FORMATS[ending]}{', --native' if native else ''}"
        taken, seconds = _strip_peak(setting, model, path, native)
        yield row("large", f"memory at {named}", "MiB", [taken], [BOUND], "the bound")
        start = time.perf_counter()
        imaging.write(path.with_name(f"copy{ending}"), imaging.read(path))
        copied = time.perf_counter() - start
        yield row("large", named, "MP/s", [megapixels / seconds], [megapixels / copied], "read and written alone")


def _model(setting: Setting) -> Path:
    """The folder of the published network, with fresh weights."""
    config = setting.train_config(1)
    info = ModelInfo(
        generator=config.generator, recipe=RecipeConfig(recipe="aligned"), jitter=config.jitter, in_channels=3,
        out_channels=3,
    )  # fmt: skip
    torch.manual_seed(setting.config.seed)
    folder = setting.folder / "model"
    save_model(folder, info, build_generator(config.generator, 3, 3).state_dict(), None)
    return folder


def _image(setting: Setting, ending: str) -> Path:
    """A large image as a file: a scene again and again, from the top down."""
    path = setting.folder / f"large{ending}"
    width, height = setting.sizes.large_wh
    band = scene(setting.config.seed, "large", (width, min(height, _BAND)))
    if ending == ".tif":
        tops = range(0, height, len(band))
        write_strips(
            path, (band[: height - top] for top in tops), (height, width, 3), np.dtype(np.uint8), like=None
        )  # fmt: skip
    else:
        imaging.write(path, np.tile(band, (-(-height // len(band)), 1, 1))[:height])
    return path


def _strip_peak(setting: Setting, model: Path, image: Path, native: bool) -> tuple[float, float]:
    """MiB above the loaded model, and seconds."""
    job = {
        "model": str(model), "image": str(image), "native": native, "device": str(setting.device),
        "precision": setting.config.precision, "threads": torch.get_num_threads(),
    }  # fmt: skip
    taken, seconds = _in_a_fresh_process("large", job, "the translation of a large image")
    return taken, seconds


def _strip_work(job: dict[str, Any]) -> tuple[float, float]:
    """Loads the model, draws a small image, and tells what a large one takes beyond that."""
    image = Path(job["image"])
    torch.set_num_threads(job["threads"])
    translator = load(job["model"], device=job["device"], precision=job["precision"])
    make_ready(translator.device, exact=job["precision"] == "fp32")
    translator(np.zeros((256, 256, 3), np.uint8))
    before, start = held(), time.perf_counter()
    translate_images(translator, image, image.with_name(f"drawn{image.suffix}"), native=job["native"], overwrite=True)
    return peak() - before, time.perf_counter() - start


_JOBS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {"memory": _memory_work, "large": _strip_work}

if __name__ == "__main__":
    print(json.dumps(_JOBS[sys.argv[1]](json.loads(sys.argv[2]))))
