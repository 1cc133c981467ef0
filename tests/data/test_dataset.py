"""The dataset: the same pair in any order and any number of workers, and what a damaged image does."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from calco import imaging
from calco.data.config import JitterConfig, SourceConfig
from calco.data.dataset import EpochSampler, PairDataset, TensorPair
from calco.data.recipes import EraseConfig, RecipeConfig, build_recipe
from calco.data.sample import Pair, Sample
from calco.data.sources import open_source
from calco.errors import CalcoError
from calco.training.pairs import load_batch

Make = Callable[..., Path]


@pytest.fixture
def folder(make: Make, tmp_path: Path) -> Path:
    for i in range(6):
        make(f"p/{i}.png", 40 + i, 30)
    return tmp_path / "p"


def dataset(folder: Path, *, train: bool = True, **options: object) -> PairDataset:
    source = open_source(folder, SourceConfig())
    jitter = options.pop("jitter", JitterConfig(size=24, resize=28))
    recipe = build_recipe(RecipeConfig(recipe="colorize+erase", erase=EraseConfig(weight=3, fill="black")), source.kind)
    return PairDataset(source, source.items, recipe, jitter, 5, train=train, **options)


def equal(one: TensorPair, other: TensorPair) -> bool:
    return one["key"] == other["key"] and all(torch.equal(one[n], other[n]) for n in ("input", "target", "weight"))


def test_a_sample_has_the_shapes_and_dtypes_of_the_contract(folder: Path) -> None:
    sample = dataset(folder)[0, 0]
    assert (sample["input"].shape, sample["input"].dtype) == ((1, 24, 24), torch.uint8)
    assert (sample["target"].shape, sample["target"].dtype) == ((3, 24, 24), torch.uint8)
    assert (sample["weight"].shape, sample["weight"].dtype) == ((1, 24, 24), torch.float32)
    assert set(sample["weight"].unique().tolist()) <= {1.0, 3.0}


def test_order_cache_and_other_epochs_change_nothing(folder: Path) -> None:
    one, other = dataset(folder), dataset(folder, cache_bytes=0)
    first = {(i, e): one[i, e] for e in (0, 1) for i in range(6)}
    assert all(equal(other[place], first[place]) for place in reversed(first))
    assert not torch.equal(first[0, 0]["input"], first[0, 1]["input"])


def test_workers_change_nothing(folder: Path) -> None:
    data = dataset(folder)
    sampler = EpochSampler(6, 2, seed=5, epoch=3)
    batches = [list(DataLoader(data, 2, sampler=sampler, num_workers=count)) for count in (0, 2)]
    assert all(torch.equal(a["input"], b["input"]) and a["key"] == b["key"] for a, b in zip(*batches, strict=True))


def test_validation_is_the_same_in_every_epoch_and_whole(folder: Path) -> None:
    data = dataset(folder, train=False)
    assert equal(data[2, 0], data[2, 9])
    pair = data.pair(2, 0)
    assert pair.input.shape == (24, 24, 1)
    assert np.array_equal(data.fitted(2).image, pair.target)


@pytest.mark.parametrize("jitter", [JitterConfig(size=24, resize=0), JitterConfig(size=24, resize=28, fit="cover")])
@pytest.mark.parametrize("train", [True, False])
def test_images_of_many_sizes_fit_into_a_batch(folder: Path, jitter: JitterConfig, train: bool) -> None:
    data = dataset(folder, train=train, jitter=jitter)
    assert {data[i, 0]["input"].shape for i in range(6)} == {(1, 24, 24)}


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_sixteen_bits_reach_the_networks_door(tmp_path: Path, channels: int) -> None:
    (tmp_path / "deep").mkdir()
    levels = np.random.default_rng(0).integers(0, 65536, (2, 24, 24, channels)).astype(np.uint16)
    for i in range(2):
        imaging.write(tmp_path / "deep" / f"{i}.tif", levels[i])
    source = open_source(tmp_path / "deep", SourceConfig())
    data = PairDataset(source, source.items, keep_both, JitterConfig(size=24, resize=0), 5, train=False)
    assert source.channels == (channels, channels)
    assert data.fitted(1).image.dtype == np.uint16
    target = data[1, 0]["target"]
    assert target.dtype == torch.float32
    assert np.array_equal(imaging.to_image(target, np.uint16), levels[1])
    assert np.abs(target.numpy().transpose(1, 2, 0) - (levels[1] / 32767.5 - 1)).max() < 1.2e-7


def keep_both(sample: Sample, _rng: np.random.Generator) -> Pair:
    return Pair(input=sample.image, target=sample.image, key=sample.key, group=sample.group)


def test_depths_may_be_mixed_in_a_batch(tmp_path: Path) -> None:
    (tmp_path / "mixed").mkdir()
    imaging.write(tmp_path / "mixed" / "0.png", np.full((24, 24, 1), 51, np.uint8))
    imaging.write(tmp_path / "mixed" / "1.tif", np.full((24, 24, 1), 51 * 257, np.uint16))
    imaging.write(tmp_path / "mixed" / "2.tif", np.full((24, 24, 1), 0.2, np.float32))
    source = open_source(tmp_path / "mixed", SourceConfig())
    data = PairDataset(source, source.items, keep_both, JitterConfig(size=24, resize=0), 5, train=False)
    batch = load_batch(data, [(i, 0) for i in range(3)])
    x, y, _ = batch.to(torch.device("cpu"), torch.contiguous_format)
    assert x.shape == (3, 1, 24, 24)
    assert torch.allclose(x, torch.tensor(-0.6), atol=1e-6)
    assert torch.equal(x, y)
    alone, _, _ = load_batch(data, [(0, 0)]).to(torch.device("cpu"), torch.contiguous_format)
    assert load_batch(data, [(0, 0)]).input.dtype == torch.uint8
    assert torch.equal(alone, x[:1])


def test_one_damaged_image_is_noted_and_replaced(folder: Path) -> None:
    (folder / "2.png").write_text("text")
    data = dataset(folder)
    sample = data[2, 0]
    assert sample["key"] == "3"
    assert equal(sample, data[3, 0])
    assert list(data.damaged) == ["2"]
    assert "2.png" in data.damaged["2"]
    assert equal(data[2, 0], sample)
    with pytest.raises(CalcoError, match=r"2\.png"):
        data.fitted(2)


def test_all_damaged_images_say_so(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(CalcoError, match=r"none of the 6 images.*empty"):
        dataset(folder)[0, 0]


def test_memory_stays_within_its_limit(folder: Path) -> None:
    data = dataset(folder, cache_bytes=2 * 28 * 28 * 3)
    for i in range(6):
        data[i, 0]
    assert data.cached_bytes == 2 * 28 * 28 * 3


def test_the_order_of_an_epoch() -> None:
    first = list(EpochSampler(10, 3, seed=1, epoch=0))
    assert len(first) == len(EpochSampler(10, 3, seed=1, epoch=0)) == 9
    assert len({index for index, _ in first}) == 9
    assert {epoch for _, epoch in first} == {0}
    assert list(EpochSampler(10, 3, seed=1, epoch=0, start=2)) == first[6:]
    assert list(EpochSampler(10, 3, seed=1, epoch=0, start=3)) == []
    assert [i for i, _ in EpochSampler(10, 3, seed=1, epoch=1)] != [i for i, _ in first]
    assert len(EpochSampler(2, 4, seed=1, epoch=0)) == 2
    seen = {index for epoch in range(9) for index, _ in EpochSampler(10, 3, seed=1, epoch=epoch)}
    assert seen == set(range(10))


def test_a_recipe_can_be_sent_to_another_process(folder: Path) -> None:
    data = dataset(folder)
    loader = DataLoader(
        data, 3, sampler=EpochSampler(6, 3, seed=5, epoch=0), num_workers=1, multiprocessing_context="spawn"
    )
    here = list(DataLoader(data, 3, sampler=EpochSampler(6, 3, seed=5, epoch=0)))
    assert all(torch.equal(a["input"], b["input"]) for a, b in zip(loader, here, strict=True))


def test_erased_places_lie_inside_every_crop_of_a_large_image(make: Make, tmp_path: Path) -> None:
    for i in range(2):
        make(f"large/{i}.png", 300, 200)
    data = dataset(tmp_path / "large", jitter=JitterConfig(size=24, resize=0))
    for epoch in range(20):
        pair = data.pair(0, epoch)
        assert pair.region is not None
        assert pair.region.any()


def test_crops_around_holes_all_hold_a_part_of_one(make: Make, tmp_path: Path) -> None:
    make("p/0.png", 300, 200)
    jitter = JitterConfig(size=16, resize=0, crop="holes")
    data = dataset(tmp_path / "p", jitter=jitter)
    regions = [data.pair(0, epoch).region for epoch in range(20)]
    assert all(region is not None and region.shape == (16, 16) and region.any() for region in regions)
    assert len({region.tobytes() for region in regions if region is not None}) > 5  # not only wholly erased ones
    assert equal(data[0, 7], dataset(tmp_path / "p", jitter=jitter)[0, 7])
    whole = dataset(tmp_path / "p", jitter=jitter, train=False).pair(0, 0)
    assert whole.region is not None
    assert whole.region.shape == (200, 300)
