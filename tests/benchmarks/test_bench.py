"""The bench: an honest reference, and figures that can be read again."""

import errno
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

import calco.cli
from calco import CalcoError, imaging
from calco.benchmarks import GROUPS, BenchConfig, Sizes
from calco.benchmarks import bench as benches
from calco.benchmarks.answers import crowd, plain_nms, row_nms, take_weights
from calco.benchmarks.bench import BEGIN, END, Bench, bench, times
from calco.benchmarks.reference import Reference, batches, build, patchgan, unet
from calco.benchmarks.setting import Row, Timed, count_operations, grey, scene, write_images
from calco.benchmarks.steps import boxed_scenes, torch_kernels
from calco.data.config import JitterConfig
from calco.detection.boxes import nms
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.networks.cpu import enabled
from calco.networks.layers import count_parameters
from calco.training.config import ComputeConfig, ObjectiveConfig, OptimiserConfig, TrainConfig
from calco.training.pairs import Batch
from calco.training.step import Networks, training_step

TINY = Sizes(
    size=32, product=64, depth=5, filters=4, batches=(2,), preset_sizes=(64, 64), detector=(64, 2), large=64, drawn=8,
    pairs=24, together=(2,), steps=4, photographs=4,
    photograph_wh=(48, 40), video_wh=(64, 48), video_frames=6, large_wh=(90, 60), boxes=100, crime_rows=500,
    scored=3, exact_size=32, exact_filters=4, exact_steps=4, exact_seeds=2, quality_size=32,
    quality_depth=5, quality_depth_reference=5, quality_drawings=24, quality_steps=2, quality_seconds=60,
    started=("--help",),
)  # fmt: skip


def both(depth: int = 5) -> tuple[Reference, Networks]:
    """The reference and ours in plain single precision, with the same weights."""
    config = TrainConfig(
        jitter=JitterConfig(size=2**depth, resize=2**depth),
        generator=GeneratorConfig(depth=depth, filters=4, composition="plain"),
        discriminator=DiscriminatorConfig(patch=34, filters=4),
        optimiser=OptimiserConfig(batch=2),
        compute=ComputeConfig(device="cpu", precision="fp32", channels_last=False),
    )
    loop, networks = Reference(depth, 4, layers=2), Networks(config, 3, 3, torch.device("cpu"))
    take_weights(loop, networks)
    return loop, networks


def test_the_reference_has_the_published_sizes() -> None:
    with torch.device("meta"):
        assert count_parameters(unet()) == 54_413_955
        assert count_parameters(patchgan()) == 2_768_705


@pytest.mark.parametrize("training", [False, True])
def test_the_same_weights_give_the_same_images_and_judgements(training: bool) -> None:
    loop, networks = both()
    x, y = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    assert networks.discriminator is not None
    with torch.no_grad():
        for network in (loop.generator, loop.discriminator, networks.generator, networks.discriminator):
            network.train(training)
        torch.testing.assert_close(loop.generator(x), networks.generator(x), rtol=1e-4, atol=1e-5)
        theirs = loop.discriminator(torch.cat([x, y], 1))
        torch.testing.assert_close(theirs, networks.discriminator(x, y)[0][-1], rtol=1e-4, atol=1e-5)


def test_steps_of_both_learn_the_same() -> None:
    loop, networks = both(depth=5)
    rng = np.random.default_rng(3)
    for _ in range(3):
        pairs = [torch.from_numpy(rng.integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)) for _ in range(2)]
        ours = training_step(networks, [Batch(*pairs, torch.ones(2, 1, 32, 32))])
        theirs = loop.step(*((pair.float().div(255) - 0.5) / 0.5 for pair in pairs))
        halves = {"d_real": 2, "d_fake": 2}  # ours are told as they are halved
        assert ours == {name: pytest.approx(loss / halves.get(name, 1), rel=2e-3) for name, loss in theirs.items()}
    assert ObjectiveConfig().d_loss == "halved"


def test_the_reference_reads_both_halves_alike(tmp_path: Path) -> None:
    write_images(tmp_path / "pairs", 0, 4, (32, 32), pairs=True)
    paths = sorted((tmp_path / "pairs").iterdir())
    given, wanted = next(batches(paths, 32, 36, 4, np.random.default_rng(0)))
    assert given.shape == wanted.shape == (4, 3, 32, 32)
    assert float(given.min()) >= -1 and float(given.max()) <= 1
    # The input is the grey of the target: cut or mirrored otherwise they would differ everywhere.
    luminance = (wanted * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    assert float((given - luminance).abs().mean()) < 0.02


def test_the_reference_builds_pairs(tmp_path: Path) -> None:
    image = scene(0, "a", (48, 40))
    imaging.write(tmp_path / "a.png", image)
    build([tmp_path / "a.png"], tmp_path / "out", 32)
    assert imaging.read(tmp_path / "out" / "input" / "a.png").shape == (32, 32, 1)
    assert imaging.read(tmp_path / "out" / "target" / "a.png").shape == (32, 32, 3)


def test_scenes_depend_on_seed_and_key_alone() -> None:
    assert np.array_equal(scene(1, "a", (40, 30)), scene(1, "a", (40, 30)))
    assert not np.array_equal(scene(1, "a", (40, 30)), scene(2, "a", (40, 30)))
    assert grey(scene(1, "a", (40, 30))).shape == (30, 40, 3)


def test_boxes_lie_around_their_rectangles() -> None:
    batch = boxed_scenes(0, 3, 64)
    again = boxed_scenes(0, 3, 64)
    assert torch.equal(batch.images, again.images)
    assert {int(label) for each in batch.objects for label in each.labels} == {0, 1}
    for image, objects in zip(batch.images, batch.objects, strict=True):
        # The last rectangle hides the others where they meet.
        x, y, width, height = (objects.boxes[-1] * 64).tolist()
        seen = image[:, round(y - height / 2) : round(y + height / 2), round(x - width / 2) : round(x + width / 2)]
        assert seen.flatten(1).unique(dim=1).shape[1] == 1
        assert bool((objects.boxes[:, 2:] > 0).all())


def test_the_reference_detector_uses_no_kernels_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALCO_CPU_KERNELS", raising=False)
    assert enabled(torch.device("cpu"))
    with torch_kernels():
        assert not enabled(torch.device("cpu"))
    assert enabled(torch.device("cpu"))


def test_both_are_measured_in_turns_after_a_round_that_does_not_count() -> None:
    done: list[str] = []
    ours, theirs = (lambda: done.append("ours")), (lambda: done.append("reference"))
    timed = Timed(name="step", unit="images/s", count=2, ours=ours, reference=theirs)
    measured = timed.measure(3, torch.device("cpu"))
    assert done == ["ours", "reference"] * 4
    assert measured.low <= measured.ratio <= measured.high


def test_a_ratio_is_that_of_neighbours() -> None:
    # The machine became four times as slow after the first repeat.
    line = Row.of("step", "images/s", [40, 10, 10], [20, 5, 5])
    assert (line.ratio, line.low, line.high) == (2, 2, 2)
    assert (line.ours, line.reference) == (10, 5)
    assert (times(6.21), times(41.4), times(0.0041)) == ("6.21×", "41×", "0.0041×")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Path]:
    """Every group, as small as it can be, with all files."""
    folder = tmp_path_factory.mktemp("bench")
    page = folder / "page.md"
    page.write_text(f"before `{BEGIN}` and `{END}`\n{BEGIN}\nearlier rows\n{END}\nafter\n")
    config = BenchConfig(
        repeats=1, threads=1, device="cpu", json=f"{folder}/bench.json", plot=f"{folder}/bench.svg", markdown=str(page)
    )
    return bench(config, TINY), folder


@pytest.mark.slow
def test_every_group_gives_finite_ratios_or_a_reason(measured: tuple[Bench, Path]) -> None:
    done, folder = measured
    record = json.loads((folder / "bench.json").read_text())
    assert {row["group"] for row in record["rows"]} | set(record["skipped"]) == set(GROUPS)
    for line in record["rows"]:
        values = [line[name] for name in ("ours", "reference", "ratio", "low", "high")]
        assert all(math.isfinite(value) and value > 0 for value in values), line
    assert record["machine"]["threads"] == 1
    assert set(record["machine"]["versions"]) >= {"calco", "python", "torch"}
    assert len(done.rows) == len(record["rows"])


@pytest.mark.slow
def test_the_chart_has_a_bar_for_each_row(measured: tuple[Bench, Path]) -> None:
    chart = ElementTree.parse(measured[1] / "bench.svg").getroot()
    names = [text.text for text in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert all(line.name in names for line in measured[0].rows)


@pytest.mark.slow
def test_the_page_holds_the_table_in_its_place(measured: tuple[Bench, Path]) -> None:
    done, folder = measured
    page = (folder / "page.md").read_text()
    assert page.startswith(f"before `{BEGIN}` and `{END}`\n{BEGIN}\n\n- ") and page.endswith("after\n")
    assert "earlier rows" not in page
    assert all(f"| {line.name} |" in page for line in done.rows)
    assert done.machine.processor in page


@pytest.mark.slow
def test_a_busy_machine_is_compared_with_one_thread_and_the_head_names_the_peak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    done = bench(BenchConfig(only="training,busy", repeats=1, threads=2, device="cpu", precision="fp32"), TINY)
    step, product, copy, *rows = done.rows
    peak = done.machine.peaks["float32"]
    assert any(f"{peak / 1e9:,.0f} GFLOP/s in float32" in line for line in done.head())
    assert step.share == step.operations / peak > 0
    assert (product.name, copy.name) == ("matrix product, 2 threads", "copy in memory, 2 threads")
    assert min(product.ours, product.reference, copy.ours, copy.reference) > 0
    assert [row.name for row in rows] == [
        f"step of {name}, {threads}{beside}"
        for name in ("small", "lite")
        for threads, beside in (
            ("2 threads", ""), ("2 threads", ", beside a busy process"), ("--threads auto", ", beside a busy process")
        )
    ]  # fmt: skip
    alone = bench(BenchConfig(only="busy", repeats=1, threads=1, device="cpu"), TINY)
    assert "there is one" in alone.skipped["busy"]


def test_the_operations_of_a_step_are_counted() -> None:
    matrix = torch.ones(8, 8)
    assert count_operations(lambda: matrix @ matrix) == 2 * 8**3


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("groups", [1, 4])
def test_the_operations_of_grouped_convolutions_are_counted(groups: int, transposed: bool) -> None:
    kind = torch.nn.ConvTranspose2d if transposed else torch.nn.Conv2d
    layer, image = kind(4, 4, 3, padding=1, groups=groups), torch.ones(2, 4, 5, 5, requires_grad=True)
    forward = 2 * 2 * 25 * layer.weight.numel()  # a multiplication and a sum for each pixel of both and each weight
    assert count_operations(lambda: layer(image)) == forward
    assert count_operations(lambda: layer(image).sum().backward()) == 3 * forward  # and the gradients of both


@pytest.mark.slow
def test_the_parts_of_a_step_of_best_add_up_to_it() -> None:
    done = bench(BenchConfig(only="presets", repeats=1, threads=1, device="cpu", precision="fp32"), TINY)
    assert not done.skipped
    rates, parts = done.rows[:2], done.rows[2:]
    assert [row.name for row in rates] == ["step of best at 32x32, float32", "step of best at 64x64, float32"]
    assert all(row.unit == "images/s" and row.against == "small at 64x64, float32" for row in rates)
    assert len(parts) == 4 and all(row.ours > 0 and row.against == "the whole step of best at 64x64" for row in parts)
    assert sum(row.ratio for row in parts) >= 1 - 1e-6, "more where a part is lost in the noise"


@pytest.mark.slow
def test_quality_over_time_or_why_it_is_not_reached() -> None:
    config = BenchConfig(only="quality", repeats=1, threads=1, device="cpu", precision="fp32")
    (row,) = bench(config, replace(TINY, quality_l1=0.9)).rows
    assert row.unit == "s" and row.ours > 0 and row.name.startswith("until 0.9 L1 on ")
    never = bench(config, replace(TINY, quality_l1=0, quality_seconds=1))
    assert not never.rows and "ours and the reference did not reach it within 1 s" in never.skipped["quality"]


def test_an_evaluation_takes_longer_than_its_model() -> None:
    (row,) = bench(BenchConfig(only="evaluation", repeats=1, threads=1, device="cpu"), TINY).rows
    assert (row.name, row.unit) == ("evaluation of 3 images of 32x32", "s of CPU")
    assert row.ratio > 1 and row.reference > 0


def test_the_loops_of_boxes_keep_what_calco_keeps() -> None:
    found, scores = crowd(0, 800)
    kept = nms(found, scores, 0.5).tolist()
    assert plain_nms(found.tolist(), scores.tolist()) == row_nms(found, scores) == kept
    assert 30 < len(kept) < 400  # many boxes around each object


def test_groups_are_those_that_are_measured() -> None:
    assert tuple(benches.ROWS) == GROUPS
    assert BenchConfig(only="start, training").groups == ("training", "start")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--only", "speed"], "only names 'speed'; choose among training, presets, detectors, busy, inference,"),
        (["--only", ","], "only names 'nothing'; choose among"),
        (["--repeats", "0"], "repeats is 0; it must lie between 1 and 100000"),
        (["--threads", "100000"], "threads is 100000"),
        (["--seed", "-1"], "seed is -1"),
        (["--plot", "chart.png"], "--plot chart.png: the chart must be an SVG file"),
        (["--markdown", "absent.md"], "cannot read absent.md"),
        (["--device", "moon"], "the device moon cannot be used"),
    ],
)
def test_bad_input_is_told_in_one_line(
    words: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        calco.cli.main(["bench", *words])
    told = capsys.readouterr().err
    assert end.value.code == 2
    assert told.startswith("calco: ") and told.count("\n") == 1
    assert complaint in told


def test_a_page_without_a_place_is_refused_before_the_work(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here")
    with pytest.raises(CalcoError, match="has no place for the table"):
        bench(replace(BenchConfig(), markdown=str(page)))


def failing(rows: list[Row], error: BaseException) -> Callable[[object], Iterator[Row]]:
    """A group that measures these rows and fails."""

    def measured(_setting: object) -> Iterator[Row]:
        yield from rows
        raise error

    return measured


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CalcoError("a training of the bench failed (killed)"), "a training of the bench failed (killed)"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    ],
)
def test_a_group_that_fails_loses_neither_its_rows_nor_the_next(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = Row.of("steps", "images/s", [2.0], [1.0], "a loop")
    monkeypatch.setitem(benches.ROWS, "processes", failing([row], error))
    figures = tmp_path / "bench.json"
    done = bench(BenchConfig(only="processes,boxes", repeats=1, json=str(figures)), TINY)
    assert [row.group for row in done.rows] == ["processes", "boxes", "boxes"]
    assert reason in done.skipped["what was left of processes"]
    assert json.loads(figures.read_text())["skipped"] == done.skipped


def test_an_interrupted_bench_writes_what_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = Row.of("steps", "images/s", [2.0], [1.0], "a loop")
    monkeypatch.setitem(benches.ROWS, "training", failing([row], KeyboardInterrupt()))
    figures = tmp_path / "bench.json"
    with pytest.raises(KeyboardInterrupt):
        bench(BenchConfig(only="training,boxes", repeats=1, json=str(figures)), TINY)
    written = json.loads(figures.read_text())
    assert [row["name"] for row in written["rows"]] == ["steps"]
    assert written["skipped"] == {"what was left when it ended": "interrupted"}
