"""Palettes from files, painting outlines and boxes, and the way of names and colours into a model and a report."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from calco import CalcoError, imaging
from calco.annotations.detections import Detections, Outline
from calco.checking.survey import facts_of
from calco.data.config import JitterConfig, SourceConfig
from calco.data.palettes import PALETTES, decode, named_palette, paint, palette_for, written_out
from calco.data.recipes import RecipeConfig, SegmentConfig, build_recipe, resolve
from calco.data.sample import Pair, Sample, generator
from calco.data.source import settled
from calco.data.sources import open_source
from calco.evaluation.report import write_report
from calco.evaluation.scoring import evaluate
from calco.inference.folder import ModelInfo
from calco.networks.config import GeneratorConfig
from calco.records import from_record, to_record

STREET = (("background", (0, 0, 0)), ("person", (255, 0, 0)), ("traffic light", (0, 128, 255)))
TEXTS = {
    "commas.csv": "background, #000000\nperson,#ff0000\ntraffic light,   #0080FF\n",
    "header.csv": 'name,colour\n"background",#000000\n\n# of the council\n"person",#ff0000\n"traffic light",#0080ff\n',
    "numbers.txt": "\ufeffbackground 0 0 0\r\nperson\t255 0 0\r\ntraffic light 0 128 255\r\n",
    "names.json": '{"background": "#000000", "person": [255, 0, 0], "traffic light": "#0080ff"}',
}


def street() -> Sample:
    """A person in front of a bus that is only a box, and a lamp as a mask."""
    lamp = np.zeros((40, 60), np.bool_)
    lamp[2:6, 50:53] = True
    outline = np.array([(10, 10), (20, 10), (20, 30), (10, 30)], np.float32)
    objects = Detections(
        boxes=np.array([[10, 10, 20, 30], [5, 5, 45, 35], [50, 2, 53, 6]], np.float32),
        classes=("person", "bus", "lamp"),
        outlines=(Outline((outline,)), None, Outline(mask=lamp)),
    )
    return Sample(image=np.zeros((40, 60, 3), np.uint8), key="k", group="g", detections=objects)


@pytest.mark.parametrize("name", TEXTS)
def test_palette_files_in_all_their_forms(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TEXTS[name], encoding="utf-8")
    assert named_palette(str(tmp_path / name)) == STREET


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "0 classes"),
        ("a #000000", "1 classes"),
        ("a #000000\nb", "line 2"),
        ("a #000000\n\nb #12345", "line 3"),
        ("a #000000\na #ffffff", "the class a 2 times"),
        ("a #000000\nb 0 0 0", "the colour (0, 0, 0) 2 times"),
        ("a #000000\nb 0 0 256", "0 to 255"),
        ('{"a": "#000000", "a": "#ffffff"}', "the class a 2 times"),
        ('{"a": "#000000", "b"}', "not valid JSON"),
        ('{"a": null, "b": 3}', "no class and colour"),
        ("{" * 20000, "not valid JSON"),
        ("x" * 100_000 + "\nb #000000", "line 1"),
        (b"\xff\xfe\x00", "UTF-8"),
        ("\n".join(f"c{i} {i % 256} {i // 256} 7" for i in range(300)), "300 classes"),
    ],
)
def test_a_broken_palette_file_is_one_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    file = tmp_path / "p.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CalcoError) as caught:
        SegmentConfig(palette=str(file))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["pastel", "no/such.txt", "a #000000", "/tmp"])
def test_a_palette_that_is_none(name: str) -> None:
    with pytest.raises(CalcoError, match=r"palette"):
        named_palette(name)


names = st.text(
    st.characters(codec="utf-8", exclude_characters="#;\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), min_size=1
)


@given(
    st.lists(
        names.map(str.strip).filter(lambda n: n and n == n.strip(" ,\"'") and len(n) < 80), min_size=1, max_size=20
    )
)
def test_written_out_and_read_again(classes: list[str]) -> None:
    palette = palette_for(classes)
    assert named_palette(written_out(palette)) == palette
    assert palette[0][0] == "background"


def test_colours_for_classes_are_far_from_each_other() -> None:
    colours = np.array([colour for _, colour in palette_for([f"c{i}" for i in range(30)])], float)
    gaps = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1e9 * np.eye(31)
    assert gaps.min() > 60
    assert len(palette_for([f"c{i}" for i in range(254)])) == 255
    assert palette_for(["a", "b"])[:2] == palette_for(["a"])


def test_outlines_are_filled_boxes_too_and_the_small_stands_before_the_large() -> None:
    config = resolve(RecipeConfig(), "annotations", None, ("bus", "lamp", "person"))
    target = build_recipe(config, "annotations")(street(), np.random.default_rng(0)).target
    palette = named_palette(config.segment.palette)
    assert [name for name, _ in palette] == ["background", "bus", "lamp", "person"]
    indices = decode(target, palette)
    assert (indices[10:30, 10:20] == 3).all()
    assert (indices[31:35, 5:45] == 1).all()
    assert (indices[2:6, 50:53] == 2).all()
    assert np.bincount(indices.ravel()).tolist() == [40 * 60 - 40 * 30 - 12, 40 * 30 - 200, 12, 200]
    empty = replace(street(), detections=Detections(boxes=np.zeros((0, 4), np.float32), classes=()))
    assert not build_recipe(config, "annotations")(empty, np.random.default_rng(0)).target.any()


def test_a_class_without_a_colour_is_said_before_training(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("person,#ff0000\nbackground,#000000\n")
    config = RecipeConfig(recipe="segment", segment=SegmentConfig(palette=str(tmp_path / "p.csv")))
    with pytest.raises(CalcoError, match=r"no colour for bus, lamp; the annotations name it"):
        resolve(config, "annotations", None, ("bus", "lamp", "person"))
    with pytest.raises(CalcoError, match=r"^k: class 'bus' is not in the palette"):
        build_recipe(config, "annotations")(street(), np.random.default_rng(0))


def test_a_palette_travels_with_the_model_without_its_file(tmp_path: Path) -> None:
    file = tmp_path / "names.json"
    file.write_text(TEXTS["names.json"])
    config = resolve(RecipeConfig(recipe="segment", segment=SegmentConfig(palette=str(file))), "masks")
    info = ModelInfo(generator=GeneratorConfig(), recipe=config, jitter=JitterConfig(), in_channels=3, out_channels=3)
    record = json.loads(json.dumps(to_record(info)))
    file.unlink()
    assert from_record(ModelInfo, record, "model.json").palette == STREET
    assert resolve(RecipeConfig(recipe="segment"), "masks").segment.palette == "binary"
    voc = RecipeConfig(recipe="segment", segment=SegmentConfig(palette="voc"))
    assert resolve(voc, "masks").segment.palette == "voc"


def test_the_report_names_the_classes(tmp_path: Path) -> None:
    target = paint(np.repeat([[0, 1, 2, 2]], 12, axis=0).repeat(4, axis=1), STREET)
    pair = Pair(input=imaging.as_channels(target, 3), target=target, key="k", group="g")
    card = evaluate(lambda image: image, [pair], palette=written_out(STREET), perceptual=False)
    assert set(card.classes["model"]) == {"background", "person", "traffic light"}
    page = write_report(card, tmp_path).read_text(encoding="utf-8")
    assert all(f">{name}</th>" in page for name, _ in STREET)


@pytest.mark.parametrize("name", PALETTES)
def test_built_in_palettes_are_the_same_when_written_out(name: str) -> None:
    assert named_palette(written_out(named_palette(name))) == named_palette(name)


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_the_target_half_of_side_by_side_files_is_a_mask(tmp_path: Path, ending: str, direction: str) -> None:
    palette = PALETTES["facades"]
    rng = np.random.default_rng(0)
    classes = []
    for number in range(6):
        indices = np.kron(rng.integers(0, len(palette), (4, 4)), np.ones((16, 16), int)).astype(np.uint8)
        photograph = np.kron(rng.integers(0, 256, (16, 16, 3)), np.ones((4, 4, 1), int)).astype(np.uint8)
        mask = paint(indices, palette)
        if ending == "jpg":  # saved more than once
            mask = np.clip(mask + rng.integers(-7, 8, mask.shape), 0, 255).astype(np.uint8)
        halves = [photograph, mask]
        both = Pillow.fromarray(np.hstack(halves if direction == "AtoB" else halves[::-1]))
        both.save(tmp_path / f"{number}.{ending}", quality=90)
        classes.append(indices)
    asked = SourceConfig(source="side-by-side", direction=direction)
    source, recipe = settled(open_source(str(tmp_path), asked), RecipeConfig(recipe="segment"))
    make = build_recipe(recipe, source.kind)
    assert source.kind == "masks" and "the other its mask" in source.story
    for item, indices in zip(source.items, classes, strict=True):
        pair = make(source.load(item), generator(0, 0, item.key))
        if ending == "jpg":
            assert recipe.segment.palette == "facades", "few pixels have kept their colour"
            assert np.mean(decode(pair.target, palette) == indices) > 0.9
        else:
            assert np.array_equal(pair.target, paint(indices, palette))
        assert abs(pair.input.astype(int).mean() - 127) < 30, "the photograph"
    assert not facts_of(source, source.items[0]).error
    # A model's recipe is settled again where it is scored.
    again, same = settled(open_source(str(tmp_path), asked), recipe, resolved=True)
    assert same == recipe and again.kind == "masks"
    # Without the recipe, they stay pairs.
    plain, aligned = settled(open_source(str(tmp_path), asked), RecipeConfig())
    assert plain.kind == "side-by-side" and aligned.recipe == "aligned"
