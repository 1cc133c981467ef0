"""Rows of `calco bench` on answers: boxes that are kept, questions to a database, scores, what a fast step learns."""

import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from calco import imaging
from calco.benchmarks.reference import Reference
from calco.benchmarks.setting import LOOP, Row, Setting, Skipped, Timed, as_loaded, grey, scene, write_images
from calco.benchmarks.speed import Rows
from calco.data.config import JitterConfig, SourceConfig, SplitConfig
from calco.data.sample import Pair, generator
from calco.detection.boxes import nms
from calco.errors import CalcoError
from calco.evaluation import EvaluateConfig
from calco.evaluation.evaluate import evaluate
from calco.inference.folder import save_model
from calco.inference.translator import load
from calco.networks.build import build_generator
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.training.config import ComputeConfig, KeepConfig, LimitConfig, OptimiserConfig, pix2pix, preset
from calco.training.pairs import Batch, Data, open_data
from calco.training.step import Networks, training_step

Floats = npt.NDArray[np.float64]
Numbers = Sequence[tuple[int, int, int, int, int]]  # id, district, modality, occurrences, year
Step = Callable[[Batch], float]
EDGE: Final = 0.5
"""IoU above which the box with the lower score is suppressed."""
_BATCH, _PAIRS = 4, 64


def boxes(setting: Setting) -> Rows:
    """Boxes and scores as arrays => indices of those that non-maximum suppression keeps."""
    count = setting.sizes.boxes
    found, scores = crowd(setting.config.seed, count)
    loops: dict[str, Callable[[], object]] = {
        "plain Python loop": lambda: plain_nms(found.tolist(), scores.tolist()),
        "each kept box against all that are left": lambda: row_nms(found, scores),
    }
    for against, loop in loops.items():
        yield Timed(
            name=f"NMS of {count:,} boxes", unit="boxes/s", count=count, ours=lambda: nms(found, scores, EDGE),
            reference=loop, against=against,
        )  # fmt: skip


def crowd(seed: int, count: int) -> tuple[Floats, Floats]:
    """Some 25 displaced boxes about each of many objects, as a dense detector gives them, and scores: N x 4, N."""
    rng = generator(seed, 0, "boxes", "bench")
    objects, spread = max(1, count // 25), 0.12
    centres, sides = rng.uniform(0, 1000, (objects, 2)), rng.uniform(20, 120, (objects, 2))
    which = rng.integers(0, objects, count)
    centre = centres[which] + rng.normal(0, spread, (count, 2)) * sides[which]
    half = sides[which] * np.exp(rng.normal(0, spread, (count, 2))) / 2
    return np.hstack([centre - half, centre + half]), rng.uniform(0, 1, count)


def plain_nms(rows: Sequence[Sequence[float]], scores: Sequence[float]) -> list[int]:
    """Non-maximum suppression without NumPy: each box, the best first, beside those that are kept."""
    kept: list[int] = []
    for i in sorted(range(len(rows)), key=lambda place: -scores[place]):
        left, top, right, bottom = rows[i]
        area = (right - left) * (bottom - top)
        for j in kept:
            other = rows[j]
            width = min(right, other[2]) - max(left, other[0])
            height = min(bottom, other[3]) - max(top, other[1])
            if width > 0 and height > 0:
                inner = width * height
                if inner / (area + (other[2] - other[0]) * (other[3] - other[1]) - inner) > EDGE:
                    break
        else:
            kept.append(i)
    return kept


def row_nms(found: Floats, scores: Floats) -> list[int]:
    """The loop that is often published: each kept box beside all that are left, in NumPy."""
    left, top, right, bottom = found.T
    areas = (right - left) * (bottom - top)
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
        inner = np.maximum(width, 0) * np.maximum(height, 0)
        order = rest[inner / (areas[best] + areas[rest] - inner) <= EDGE]
    return kept


def questions(setting: Setting) -> Rows:
    """Generated rows of DataCrim in a DuckDB file => the five answers that depend on them."""
    if missing := [name for name in ("ibis", "duckdb", "pyarrow") if find_spec(name) is None]:
        yield Skipped(what="crime", reason=f"{missing[0]} is not installed; pip install 'calco[crime]'")
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
        asked = [question for question in QUESTIONS.values() if question.source == DATACRIM[-1]]
        yield Timed(
            name=f"five questions to {count:,} rows", unit="rows/s", count=count,
            ours=lambda: [ask(backend, question) for question in asked],
            reference=lambda: plain_answers(rows, generic), against="plain Python over lists",
        )  # fmt: skip
    finally:
        backend.disconnect()


def plain_answers(rows: Numbers, generic: dict[int, int]) -> dict[str, Any]:
    """The five questions to DataCrim by loops, without the names."""
    most = max((row[3] for row in rows if row[4] == 2019), default=0)
    fewest = min((row[3] for row in rows if row[4] == 2017), default=0)
    sums: dict[int, int] = defaultdict(int)
    districts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    generics: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for _, district, modality, number, year in rows:
        if year == 2019:
            sums[district] += number
        for counted in (districts[district], generics[generic[modality]]):
            counted[0] += number
            counted[1] += 1
    return {
        "most-2019": [row for row in rows if row[4] == 2019 and row[3] == most],
        "fewest-2017": [row for row in rows if row[4] == 2017 and row[3] == fewest],
        "crimes-2019": sorted(sums.items(), key=lambda item: (-item[1], item[0])),
        "means-by-district": sorted(
            ((key, total / count) for key, (total, count) in districts.items()), key=lambda item: (-item[1], item[0])
        ),
        "means-by-generic": sorted(
            ((key, total / count) for key, (total, count) in generics.items()), key=lambda item: (item[1], item[0])
        ),
    }


def evaluation(setting: Setting) -> Rows:
    """Seconds of all cores in `calco evaluate` on pairs in files, and in its model alone on the same images."""
    count, side, network = setting.sizes.scored, setting.sizes.size, setting.train_config().generator
    pairs = write_images(setting.folder / "scored", setting.config.seed, count, (side, side), pairs=True)
    torch.manual_seed(setting.config.seed)
    folder = setting.folder / "evaluated" / "model"
    save_model(folder, setting.info(network), build_generator(network, 3, 3).state_dict(), None)
    config = EvaluateConfig(model=folder, images=pairs, source="side-by-side", seed=setting.config.seed)
    model = load(folder)
    images = [grey(scene(setting.config.seed, f"image {number}", (side, side))) for number in range(count)]

    def translated() -> None:
        for image in images:
            model(image, native=True)

    rounds = [
        (_cpu_seconds(partial(evaluate, config)), _cpu_seconds(translated)) for _ in range(setting.config.repeats + 1)
    ]
    ours, theirs = zip(*rounds[1:], strict=True)  # the first loads libraries and weights
    yield Row.of(f"evaluation of {count} images of {side}x{side}", "s of CPU", ours, theirs, "its model alone")


def _cpu_seconds(work: Callable[[], object]) -> float:
    """Return the time that all threads of this process spend on some work, in seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def curves(setting: Setting) -> Rows:
    """Mean L1 of the last quarter of a short training: the same pairs, the same first weights, several seeds."""
    sizes, device = setting.sizes, setting.device
    side = sizes.exact_size
    coloured = [scene(setting.config.seed, f"exact {number}", (side, side)) for number in range(_PAIRS)]
    given, wanted = (
        torch.from_numpy(np.stack(each).transpose(0, 3, 1, 2).copy())
        for each in ([grey(image) for image in coloured], coloured)
    )

    def networks(seed: int, compute: ComputeConfig) -> Networks:
        config = replace(
            pix2pix(),
            seed=seed,
            jitter=JitterConfig(size=side, resize=side),
            generator=GeneratorConfig(depth=5, filters=sizes.exact_filters, composition="plain"),
            discriminator=DiscriminatorConfig(patch=34, filters=sizes.exact_filters),
            optimiser=OptimiserConfig(batch=_BATCH),
            compute=compute,
        )
        return Networks(config, 3, 3, device)

    def last_loss(seed: int, step: Step) -> float:
        torch.manual_seed(seed)  # of the dropout
        rng, losses, weight = generator(seed, 0, "exact", "order"), list[float](), torch.ones(_BATCH, 1, side, side)
        for _ in range(sizes.exact_steps):
            chosen = torch.from_numpy(rng.choice(_PAIRS, _BATCH, replace=False))
            losses.append(step(Batch(given[chosen], wanted[chosen], weight)))
        return statistics.mean(losses[-max(1, len(losses) // 4) :])

    results: dict[str, list[float]] = {"fp32": [], "bf16": [], "default": [], "reference": []}
    computes = {name: replace(setting.compute, precision=name) for name in ("fp32", "bf16")}
    for seed in range(setting.config.seed, setting.config.seed + sizes.exact_seeds):
        for name, compute in (*computes.items(), ("default", setting.compute)):
            results[name].append(last_loss(seed, partial(_our_loss, networks(seed, compute))))
        loop = Reference(5, sizes.exact_filters, layers=2, device=device)
        take_weights(loop, networks(seed, setting.compute))
        results["reference"].append(last_loss(seed, partial(_reference_loss, loop)))
    exact = results["fp32"]
    noise = statistics.stdev(exact) / statistics.mean(exact) if len(exact) > 1 else 0.0
    against = f"fp32, whose seeds differ by {noise:.1%}"
    yield Row.of("L1 of a short training in bf16", "L1", results["bf16"], exact, against)
    yield Row.of("L1 of a short training as by default", "L1", results["default"], results["reference"])


def _our_loss(networks: Networks, batch: Batch) -> float:
    return training_step(networks, [batch])["g_pixel"]


def _reference_loss(loop: Reference, batch: Batch) -> float:
    return loop.step(as_loaded(batch.input), as_loaded(batch.target))["g_pixel"]


def take_weights(loop: Reference, networks: Networks) -> None:
    """Give the reference our weights: the same layers are in both, in the same order."""
    assert networks.discriminator is not None
    for theirs, ours in ((loop.generator, networks.generator), (loop.discriminator, networks.discriminator)):
        theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))


def quality(setting: Setting) -> Rows:
    """Seconds of training on the built-in drawings until unseen ones come out as near to their targets as asked.

    Ours is `calco train` with the preset `small`, validations included; the reference has the network that its authors
    publish for this size, and reads the same pairs from memory.
    """
    sizes = setting.sizes
    side, most = sizes.quality_size, sizes.quality_seconds
    config = replace(
        preset("small"),
        images="openmoji",
        seed=setting.config.seed,
        source=SourceConfig(limit=sizes.quality_drawings),
        split=SplitConfig(validation=0.1, test=0),
        jitter=replace(preset("small").jitter, size=side, resize=side * 9 // 8),
        generator=replace(preset("small").generator, depth=sizes.quality_depth),
        limit=LimitConfig(epochs=0, minutes=most / 60),
        keep=KeepConfig(validate_steps=sizes.quality_steps, tensorboard=False),
        compute=setting.compute,
    )
    try:
        data, config = open_data(config)
    except CalcoError as error:
        yield Skipped(what="quality", reason=str(error))
        return
    name = f"until {sizes.quality_l1:g} L1 on {len(data.validation)} unseen drawings of {side}x{side}"
    validations = [row for row in setting.log_of(config, setting.folder / "quality") if "validation" in row]
    reached = [row["time"] for row in validations if row["validation"].get("l1", 1.0) <= sizes.quality_l1]
    theirs = _reference_seconds(setting, data)
    missed = [who for who, found in (("ours", reached), ("the reference", theirs)) if not found]
    if missed:
        yield Skipped(what="quality", reason=f"{' and '.join(missed)} did not reach it within {most:g} s")
        return
    yield Row.of(name, "s", reached[:1], theirs, LOOP)


def _reference_seconds(setting: Setting, data: Data) -> list[float]:
    """Seconds after which the reference loop reaches the score; none if it does not in time."""
    sizes = setting.sizes
    torch.manual_seed(setting.config.seed)
    loop = Reference(sizes.quality_depth_reference, sizes.filters, layers=3, device=setting.device)
    unseen = _tensors([data.validation.pair(index, 0) for index in range(len(data.validation))])
    start, step = time.perf_counter(), 0
    for epoch in itertools.count():
        order = generator(setting.config.seed, epoch, "quality", "bench").permutation(len(data.train))
        for index in order:
            loop.step(*_tensors([data.train.pair(int(index), epoch)]))
            step += 1
            if step % sizes.quality_steps == 0 and _l1(loop, *unseen) <= sizes.quality_l1:
                return [time.perf_counter() - start]
            if time.perf_counter() - start > sizes.quality_seconds:
                return []
    return []


def _tensors(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """Pairs of one size => inputs and targets, N3HW float32 in [-1, 1]."""
    sides = [
        [imaging.as_channels(image, 3) for image in each]
        for each in zip(*((p.input, p.target) for p in pairs), strict=True)
    ]
    given, wanted = (as_loaded(torch.from_numpy(np.stack(each).transpose(0, 3, 1, 2).copy())) for each in sides)
    return given, wanted


def _l1(loop: Reference, given: Tensor, wanted: Tensor) -> float:
    """Mean absolute error on pairs, of values in [0, 1]; each image by its own statistics, as published."""
    with torch.no_grad():
        errors = [
            (loop.generator(one[None].to(loop.device)).cpu() - true).abs().mean() / 2
            for one, true in zip(given, wanted, strict=True)
        ]
    return float(torch.stack(errors).mean())
