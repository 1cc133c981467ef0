"""Boxes, labels and tracks as a person sees them."""

import numpy as np
import numpy.typing as npt
import pytest

from calco.annotations.detections import Detections, Outline, nothing
from calco.detection.drawing import (
    Drawer,
    Sizes,
    as_scene,
    colour_of,
    draw_detections,
    draw_labels,
    enlarged,
    fitting,
    label_texts,
    numbered_colour,
)
from calco.imaging import Image

CLASSES = ("knife", "pistol")


def found(*boxes: tuple[float, float, float, float], tracks: bool = False) -> Detections:
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=tuple(CLASSES[i % 2] for i in range(len(boxes))),
        scores=np.linspace(0.9, 0.5, len(boxes)).astype(np.float32),
        track_ids=np.arange(len(boxes)) if tracks else None,
    )


def grey(height: int, width: int) -> Image:
    return np.full((height, width, 3), 96, np.uint8)


def has(image: Image, colour: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = (image == np.array(colour, np.uint8)).all(2)
    return same


def test_a_box_is_drawn_in_the_colour_of_its_class_where_it_is() -> None:
    image = grey(200, 300)
    drawn = draw_detections(image, found((60, 80, 160, 150)), CLASSES)
    line = has(drawn, colour_of("knife", CLASSES))
    assert (image == 96).all()
    assert line[80, 70:150].all() and line[149, 70:150].all() and line[90:140, 60].all() and line[90:140, 159].all()
    assert not line[100:130, 80:140].any() and not line[160:, :].any()


def test_classes_and_tracks_have_colours_of_their_own() -> None:
    assert len({numbered_colour(i) for i in range(200)}) == 200
    assert colour_of("pistol", CLASSES) != colour_of("knife", CLASSES)
    assert colour_of("rifle", CLASSES) == colour_of("rifle", CLASSES)
    drawer = Drawer(CLASSES, by="track")
    one, two = drawer.colours(found((0, 0, 9, 9), (0, 0, 9, 9), (0, 0, 9, 9), tracks=True))[::2]
    assert one != two
    one, two = Drawer(CLASSES).colours(found((0, 0, 9, 9), (0, 0, 9, 9), (0, 0, 9, 9), tracks=True))[::2]
    assert one == two


@pytest.mark.parametrize("side", [40, 160, 640, 2400])
def test_labels_stay_in_the_image_at_any_size(side: int) -> None:
    boxes = np.array([[0, 0, side, side], [side * 0.8, 0, side, side * 0.2], [0, side * 0.9, side, side]], np.float32)
    scene = grey(side, side)
    draw_labels(scene, boxes, ["knife 0.90", "pistol 0.80", "a long name of a thing 0.70"], [(255, 0, 0)] * 3)
    ground = has(scene, (255, 0, 0))
    assert ground.any()
    # Letters grow with the image: a label's ground is some part of it, and never less than letters need.
    assert ground.any(1).sum() >= min(side, 3 * 10)
    assert ground.any(1).sum() <= max(side * 0.35, 50)


def test_labels_of_boxes_that_lie_on_each_other_do_not_cover_each_other() -> None:
    scene = grey(400, 600)
    boxes = np.array([[200, 200, 320, 300]] * 3, np.float32)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    alone = grey(400, 600)
    draw_labels(alone, boxes[:1], ["knife"], colours[:1])
    draw_labels(scene, boxes, ["knife"] * 3, colours)
    whole = has(alone, colours[0]).sum()
    assert all(has(scene, colour).sum() == pytest.approx(whole, rel=0.1) for colour in colours)


def test_a_long_name_is_cut_where_the_image_ends() -> None:
    sizes = Sizes.of(grey(60, 60))
    assert fitting("a very long name 0.90", 60, sizes).endswith("..")
    assert fitting("knife", 600, sizes) == "knife"


def test_names_of_other_alphabets_are_written() -> None:
    plain, accent = (draw_detections(grey(200, 300), found((50, 50, 250, 150)), CLASSES, labels=[text])
                     for text in ("nino", "niño"))  # fmt: skip
    assert (plain != accent).any()


def test_what_is_written_beside_a_thing() -> None:
    objects = found((0, 0, 9, 9), (0, 0, 9, 9), tracks=True)
    assert label_texts(objects) == ["knife #0 0.90", "pistol #1 0.50"]
    assert label_texts(Detections(boxes=objects.boxes, classes=objects.classes)) == ["knife", "pistol"]


def test_outlines_are_shaded() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[20:60, 20:60] = True
    ring = np.array([[70, 70], [95, 70], [95, 95], [70, 95]], np.float32)
    objects = Detections(
        boxes=np.array([[20, 20, 60, 60], [70, 70, 95, 95]], np.float32), classes=CLASSES,
        outlines=(Outline(mask=mask), Outline(polygons=(ring,))),
    )  # fmt: skip
    drawn = draw_detections(grey(100, 100), objects, CLASSES, labels=["", ""])
    assert (drawn[40, 40] != 96).any() and (drawn[85, 85] != 96).any() and (drawn[40, 80] == 96).all()


def test_frames_without_objects_stay_as_they_were() -> None:
    assert (draw_detections(grey(50, 50), nothing()) == 96).all()


@pytest.mark.parametrize(
    "image",
    [
        np.full((60, 80, 1), 9, np.uint8),
        np.full((60, 80, 4), 9, np.uint8),
        np.full((60, 80, 3), 900, np.uint16),
        np.full((60, 80, 3), 0.5, np.float32),
    ],
)
def test_images_of_all_types_become_scenes(image: Image) -> None:
    scene = as_scene(image)
    assert scene.shape == (60, 80, 3) and scene.dtype == np.uint8
    assert draw_detections(image, found((5, 5, 50, 50))).shape == (60, 80, 3)


def test_small_images_are_enlarged_with_their_boxes() -> None:
    image, objects = enlarged(grey(60, 80), found((10, 10, 20, 20)), 320)
    assert image.shape == (240, 320, 3)
    assert objects.boxes[0].tolist() == [40, 40, 80, 80]
    assert enlarged(grey(600, 800), found(), 320)[0].shape == (600, 800, 3)
