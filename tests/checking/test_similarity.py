"""Near-duplicates are found in every position, and nothing else."""

import cv2
import numpy as np
import pytest

from calco.checking.duplicates import POSITION_NAMES, clusters, find_similar, oriented, stem_of
from calco.imaging import Image
from checking.conftest import photo


def thumb(image: Image) -> Image:
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)


def saved(image: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


OTHERS = [thumb(photo(seed)) for seed in range(200)]


def test_different_images_are_not_similar() -> None:
    assert find_similar(np.stack(OTHERS)) == []


@pytest.mark.parametrize("position", range(8))
def test_duplicates_are_found_in_all_positions(position: int) -> None:
    original = photo(7)
    smaller = cv2.resize(original, (64, 64), interpolation=cv2.INTER_AREA)
    moved = np.ascontiguousarray(oriented(smaller.transpose(2, 0, 1), position).transpose(1, 2, 0))
    found = find_similar(np.stack([*OTHERS, thumb(saved(moved, 40))]))
    assert [{pair.first, pair.second} for pair in found] == [{7, 200}]
    inverse = {5: 6, 6: 5}.get(position, position)
    assert found[0].position in (position, inverse)
    assert found[0].similarity > 0.95


def test_the_words_fit_the_positions() -> None:
    corner = np.arange(9).reshape(3, 3)
    by_words = {words: oriented(corner, place).tolist() for place, words in enumerate(POSITION_NAMES)}
    assert by_words["mirrored"] == corner[:, ::-1].tolist()
    assert by_words["turned by 180°"] == corner[::-1, ::-1].tolist()
    assert by_words["turned by 90°"] == np.rot90(corner, -1).tolist()
    assert by_words["turned by 270°"] == np.rot90(corner).tolist()


def test_a_pile_of_equal_images_costs_one_link_each() -> None:
    found = find_similar(np.stack([OTHERS[0]] * 500 + OTHERS[1:50]))
    assert len(found) == 499
    assert clusters((str(pair.first), str(pair.second)) for pair in found)[0] == sorted(map(str, range(500)))


def test_plain_images_are_not_taken_for_each_other() -> None:
    walls = [np.full((32, 32), level, np.uint8) for level in range(10, 250, 20)]
    for wall in walls:
        wall[28:, :4] = 255 - wall[0, 0]
    assert find_similar(np.stack(walls + OTHERS[:50])) == []


def test_names_of_variants_have_one_stem() -> None:
    assert [stem_of(name) for name in ("lake", "lake_flip", "lake (2)", "lake_rot90-copy", "a/lake-300x200")] == [
        "lake", "lake", "lake", "lake", "a/lake"
    ]  # fmt: skip
    assert [stem_of(name) for name in ("0012", "img12", "sketch/2")] == ["0012", "img12", "sketch/2"]
