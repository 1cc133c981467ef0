"""Splits stand when images are added, and no group crosses them."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calco.data.config import SplitConfig
from calco.data.source import Item
from calco.data.splits import SPLITS, split_items, split_of
from calco.errors import CalcoError

CONFIG = SplitConfig()


def items(groups: list[str], split: str | None = None) -> list[Item]:
    return [Item(f"{group}/{i}", group, (f"{group}{i}.png",), split) for group in groups for i in range(3)]


def by_key(split: dict[str, list[Item]]) -> dict[str, str]:
    return {item.key: name for name, found in split.items() for item in found}


def test_shares_and_stability() -> None:
    names = [f"image {i}" for i in range(2000)]
    few, many = (by_key(split_items(items(names[:count]), CONFIG)) for count in (1000, 2000))
    assert all(many[key] == split for key, split in few.items())
    counts = [list(many.values()).count(split) / len(many) for split in ("train", "val", "test")]
    assert counts == pytest.approx([0.8, 0.1, 0.1], abs=0.03)
    assert split_of("image 0", CONFIG) == few["image 0/0"]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(max_size=5), min_size=2, max_size=12, unique=True))
def test_no_group_crosses_and_nothing_needed_is_empty(groups: list[str]) -> None:
    split = split_items(items(groups), CONFIG)
    assert sum(map(len, split.values())) == 3 * len(groups)
    sides = [{item.group for item in found} for found in split.values()]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert split["train"]
    assert split["val"]


def test_a_smaller_share_for_training_is_a_part_of_a_larger_one_and_changes_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "calco")
    several = items([f"image {i}" for i in range(100)])
    whole, half, fifth = (split_items(several, SplitConfig(training=share)) for share in (1, 0.5, 0.2))
    keys = [{item.key for item in split["train"]} for split in (fifth, half, whole)]
    assert keys[0] < keys[1] < keys[2]
    assert [len(found) / len(keys[2]) for found in keys] == pytest.approx([0.2, 0.5, 1], abs=0.02)
    assert len({item.group for item in half["train"]}) * 3 == len(half["train"]), "groups stay whole"
    assert all(split[name] == whole[name] for split in (half, fifth) for name in ("val", "test"))
    assert f"{len(half['train'])} of {len(whole['train'])} images are trained on" in caplog.text
    assert len(split_items(items(["a", "b"]), SplitConfig(training=0.01))["train"]) == 3, "never none"


def test_no_validation_when_none_is_wanted() -> None:
    split = split_items(items(["a", "b", "c"]), SplitConfig(validation=0, test=0))
    assert [len(split[name]) for name in ("train", "val", "test")] == [9, 0, 0]


def test_the_folder_s_own_splits_win() -> None:
    mixed = items([f"a{i}" for i in range(30)], "train") + items(["b"], "val") + items(["c"], "test")
    split = split_items(mixed, CONFIG)
    assert [len(split[name]) for name in ("train", "val", "test")] == [90, 3, 3]
    without = split_items(items([f"a{i}" for i in range(30)], "train") + items(["c"], "test"), CONFIG)
    assert len(without["test"]) == 3
    assert 3 <= len(without["val"]) <= 21


def test_what_is_declared_test_is_never_trained_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "calco")
    crossing = [Item("train/1", "same", ("1",), "train"), Item("test/1", "same", ("2",), "test")]
    crossing += [Item("train/2", "other", ("3",), "train"), Item("val/2", "other", ("4",), "val")]
    split = by_key(split_items(crossing + items([f"a{i}" for i in range(9)], "train"), CONFIG))
    assert split["test/1"] == "test"
    assert split["val/2"] == "val"
    assert split.keys().isdisjoint({"train/1", "train/2"})
    assert sum(name == "train" for name in split.values()) == 27  # validation is declared: none is taken from training
    said = caplog.text
    assert "2 images are left out" in said
    assert "train/1 (test/1)" in said


def test_what_is_not_declared_is_split_off_from_training_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "calco")
    declared = items([f"a{i}" for i in range(30)], "train") + items(["b"], "test")
    split = split_items(declared, CONFIG)
    said = caplog.text
    assert [item.key for item in split["test"]] == ["b/0", "b/1", "b/2"]
    assert "90 train, 3 test" in said
    assert f"no validation: {len(split['val'])} are kept from training" in said
    split = split_items(items([f"a{i}" for i in range(30)], "train") + items(["b"], "val"), CONFIG)
    assert [len(split[name]) for name in SPLITS] == [90, 3, 0]
    assert "no test" in caplog.text


def test_undeclared_items_beside_a_declared_test_are_for_training_and_validation() -> None:
    split = split_items(items([f"a{i}" for i in range(60)]) + items(["b"], "test"), CONFIG)
    assert {item.group for item in split["test"]} == {"b"}
    assert len(split["train"]) + len(split["val"]) == 180
    assert 3 <= len(split["val"]) <= 45


@pytest.mark.parametrize(
    ("train", "held", "what"), [(0, ["val", "test"], "train"), (1, ["test"], "validate"), (0, ["test"], "train")]
)
def test_declared_splits_that_leave_nothing(train: int, held: list[str], what: str) -> None:
    chosen = [item for split in held for item in items([f"{split}{i}" for i in range(9)], split)]
    with pytest.raises(CalcoError, match=f"declares leave no image to {what} on"):
        split_items(items(["a", "b"][:train], "train") + chosen, CONFIG)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_groups(count: int) -> None:
    with pytest.raises(CalcoError, match="two groups"):
        split_items(items(["a"][:count]), CONFIG)


@pytest.mark.parametrize(
    "options",
    [{"validation": -0.1}, {"test": 1.0}, {"validation": 0.5, "test": 0.5}, {"training": 0}, {"training": 1.1}],
)
def test_wrong_shares(options: dict) -> None:
    with pytest.raises(CalcoError):
        SplitConfig(**options)
