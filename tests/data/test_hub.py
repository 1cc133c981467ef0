"""Data sets of the Hugging Face library, from files that it wrote itself."""

import sys
from importlib.util import find_spec
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calco import imaging
from calco.data.config import SourceConfig
from calco.data.sources import open_source
from calco.errors import CalcoError
from support import requires


@pytest.fixture(autouse=True)
def _library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requires(find_spec("datasets"), "datasets", "pip install 'calco[hub]'")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def cell(seed: int, channels: int = 3, dtype: str = "uint8", side: int = 12) -> dict[str, Any]:
    peak = int(imaging.PEAKS[dtype])
    image = np.random.default_rng(seed).integers(0, peak + 1, (side, side, channels)).astype(dtype)
    return {"bytes": imaging.encode(image, "x.png"), "path": None}


def table(**columns: list[Any]) -> Any:
    import datasets

    features = {
        name: datasets.Image() if isinstance(cells[0], dict) or cells[0] is None else datasets.Value("string")
        for name, cells in columns.items()
    }
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def refusal(name: str, **options: Any) -> str:
    with pytest.raises(CalcoError) as caught:
        open_source(name, SourceConfig(source="hub", **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_column_is_photographs_with_their_depth(tmp_path: Path) -> None:
    cells = [cell(i, dtype="uint16") for i in range(3)]
    table(image=cells, caption=["a"] * 3).to_parquet(tmp_path / "a.parquet")
    source = open_source(f"hub:{tmp_path / 'a.parquet'}")
    assert (source.kind, [item.key for item in source.items]) == ("photographs", ["train/0", "train/1", "train/2"])
    image = source.load(source.items[1]).image
    assert np.array_equal(image, imaging.decode(cells[1]["bytes"], "x"))
    assert image.dtype == np.uint16
    assert "photographs (image): 3 images" in source.summary()
    assert len({source.digest(item) for item in source.items}) == 3


def test_two_columns_are_pairs_their_splits_stay_and_copies_join(tmp_path: Path) -> None:
    import datasets

    parts = {"train": [0, 1, 2], "validation": [3, 1], "test": [4]}
    made = {
        name: table(photo=[cell(i) for i in seeds], sketch=[cell(9 * i, 1) for i in seeds])
        for name, seeds in parts.items()
    }
    datasets.DatasetDict(made).save_to_disk(tmp_path / "set")
    source = open_source(tmp_path / "set", SourceConfig(source="hub"))
    assert (source.kind, source.channels) == ("parallel", (1, 3))
    splits = {item.key: item.split for item in source.items}
    assert splits == {
        "test/0": "test", "train/0": "train", "train/1": "train", "train/2": "train", "validation/0": "val",
        "validation/1": "val",
    }  # fmt: skip
    groups = {item.key: item.group for item in source.items}
    assert groups["validation/1"] == groups["train/1"] == "train/1"
    assert len(set(groups.values())) == 5
    far = ForkingPickler.loads(ForkingPickler.dumps(source))
    image = far.load(far.items[1])
    assert image.partner is not None
    assert np.array_equal(image.partner, imaging.decode(cell(0)["bytes"], "x"))
    turned = open_source(tmp_path / "set", SourceConfig(source="hub", direction="BtoA"))
    assert turned.load(turned.items[1]).image.shape[2] == 3


def test_masks_by_the_name_of_their_column_are_resized(tmp_path: Path) -> None:
    mask = np.zeros((6, 6, 1), np.uint8)
    mask[:3] = 1
    cells = [{"bytes": imaging.encode(mask, "x.png"), "path": None}] * 2
    table(annotation=cells, image=[cell(1), cell(2)]).to_parquet(tmp_path / "a.parquet")
    source = open_source(f"hub:{tmp_path / 'a.parquet'}")
    assert source.kind == "masks"
    found = source.load(source.items[0]).mask
    assert found is not None
    assert found.shape == (12, 12, 1)
    assert set(np.unique(found)) == {0, 1}
    assert len({item.group for item in source.items}) == 2


def test_columns_are_chosen_and_wrong_ones_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table(a=[cell(1)] * 2, b=[cell(2)] * 2, c=[cell(3)] * 2, text=["x"] * 2).to_parquet(path)
    assert "a, b, c; choose two" in refusal(str(path))
    assert "no column text" in refusal(str(path), input="text")
    assert "without --input" in refusal(str(path), target="a")
    source = open_source(path, SourceConfig(source="hub", input="c", target="a"))
    assert np.array_equal(source.load(source.items[0]).image, imaging.decode(cell(3)["bytes"], "x"))
    assert open_source(path, SourceConfig(source="hub", input="b")).kind == "photographs"
    assert "BtoA" in refusal(str(path), input="b", direction="BtoA")
    table(text=["x"]).to_parquet(path)
    assert "no column of images, only text" in refusal(str(path))


def test_rows_without_a_image_or_with_a_damaged_one_fail_alone(tmp_path: Path) -> None:
    bad = {"bytes": b"no image", "path": None}
    table(image=[cell(1), None, bad]).to_parquet(tmp_path / "a.parquet")
    source = open_source(f"hub:{tmp_path / 'a.parquet'}")
    assert source.load(source.items[0]).image.shape == (12, 12, 3)
    for item, told in zip(source.items[1:], ("no image", "not an image"), strict=True):
        with pytest.raises(CalcoError, match=f"train {item.key[-1]} image.*{told}"):
            source.load(item)


def test_what_cannot_be_had_is_told(tmp_path: Path) -> None:
    assert "HF_HUB_OFFLINE is set" in refusal("nobody/nothing")
    assert "cannot load" in refusal(f"{tmp_path}/absent.parquet")
    (tmp_path / "bad.parquet").write_text("no table")
    assert "cannot load" in refusal(str(tmp_path / "bad.parquet"))
    table(image=[cell(1)]).to_parquet(tmp_path / "a.parquet")


def test_without_the_library_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CalcoError, match=r"pip install 'calco\[hub\]'"):
        open_source("hub:owner/name")
