"""A judge in the loop: label read-back against a plain loop, ranks in a constructed gallery, and whole evaluations."""

import contextlib
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from calco import imaging
from calco.cli import main
from calco.data.config import JitterConfig, SourceConfig
from calco.data.mask_encoding import survey_array
from calco.data.palettes import PALETTES, paint
from calco.data.recipe_config import RecipeConfig
from calco.data.sample import Pair
from calco.errors import CalcoError
from calco.evaluation import EvaluateConfig
from calco.evaluation.embedding import Embedding, OnnxFaces
from calco.evaluation.evaluate import evaluate
from calco.evaluation.face_search import CHANCE, INPUT, FaceJudge, match_curve, person_ranks
from calco.evaluation.face_search import GENERATED as FACE
from calco.evaluation.landmarks import OTHER, LandmarkJudge
from calco.evaluation.readback import GENERATED, REAL, LabelColours, readback_scores
from calco.evaluation.scorecard import Scorecard
from calco.evaluation.scores import Floats
from calco.evaluation.scoring import evaluate as score
from calco.imaging import Image
from calco.inference.folder import ModelInfo, save_model
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from support import requires

FACADES = PALETTES["facades"]
SHOWN = {"background", "facade", "window", "door"}


def label_map(number: int, side: int = 32) -> Image:
    """A wall, a window whose size depends on the number, and a door, before a background of sky."""
    classes = np.ones((side, side), np.intp)
    classes[:3] = 0
    classes[4 : 10 + number, 6:20] = 2
    classes[20:, 12 : 16 + number] = 3
    return paint(classes, FACADES)


def save_translator(folder: Path, recipe: str = "aligned", **changes) -> Path:
    """A translator with random weights, as calco train leaves one."""
    generator = GeneratorConfig(depth=3, filters=4, composition="plain")
    info = ModelInfo(
        generator=generator, recipe=RecipeConfig(recipe=recipe), jitter=JitterConfig(size=32, resize=36),
        in_channels=3, out_channels=3, source=SourceConfig(input="labels", target="photos"), **changes,
    )  # fmt: skip
    torch.manual_seed(0)
    save_model(folder, info, build_generator(generator, 3, 3).state_dict(), None)
    return folder


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps and photographs, a translator of the one to the other, and a judge of the other direction."""
    home = tmp_path_factory.mktemp("town")
    rng = np.random.default_rng(0)
    for side in ("labels", "photos"):
        (home / "set" / side).mkdir(parents=True)
    for number in range(6):
        labels = label_map(number)
        imaging.write(home / "set" / "labels" / f"{number}.png", labels)
        photograph = labels // 2 + rng.integers(0, 60, labels.shape, dtype=np.uint8)
        imaging.write(home / "set" / "photos" / f"{number}.png", photograph)
    save_translator(home / "model")
    save_translator(home / "judge")
    return home


def onnx_file(path: Path, shape: tuple[int | str, ...], nodes: str = "mean", outputs: int = 1) -> Path:
    """An ONNX network that gives the mean of each channel, or the image itself."""
    try:
        from onnx import TensorProto, helper
    except ImportError:
        requires(False, "onnx", "pip install 'calco[export]'")
    given = helper.make_tensor_value_info("face", TensorProto.FLOAT, shape)
    made = [helper.make_tensor_value_info(f"vector{number}", TensorProto.FLOAT, None) for number in range(outputs)]
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    work = {
        "mean": lambda name: helper.make_node("ReduceMean", ["face"], [name], axes=axes, keepdims=0),
        "log": lambda name: helper.make_node("Log", ["face"], [name]),
    }[nodes]
    graph = helper.make_graph([work(f"vector{number}") for number in range(outputs)], "judge", [given], made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def by_loop(true: npt.NDArray[np.intp], read: npt.NDArray[np.intp], num_classes: int) -> dict[str, float]:
    """The three scores of the paper, pixel by pixel."""
    right, of_class, found, either = 0, [0] * num_classes, [0] * num_classes, [0] * num_classes
    for ours, theirs in zip(true.ravel().tolist(), read.ravel().tolist(), strict=True):
        right += ours == theirs
        of_class[ours] += 1
        found[ours] += ours == theirs
        for place in {ours, theirs}:
            either[place] += 1
    accuracies = [found[c] / of_class[c] for c in range(num_classes) if of_class[c]]
    overlaps = [found[c] / either[c] for c in range(num_classes) if either[c]]
    return {
        "pixel_accuracy": right / true.size,
        "class_accuracy": sum(accuracies) / len(accuracies),
        "class_iou": sum(overlaps) / len(overlaps),
    }


def test_label_readback_equals_a_plain_loop(town: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = EvaluateConfig(model=town / "model", images=town / "set", judge=town / "judge", out=out)
    card = evaluate(config)
    assert card.labels is not None
    from calco.data.palettes import decode
    from calco.inference.translator import load

    translator, judge = load(town / "model"), load(town / "judge")
    palette = tuple(entry for entry in FACADES if entry[0] in SHOWN)
    assert set(card.labels.classes[REAL]) == SHOWN
    totals: dict[str, list[npt.NDArray[np.intp]]] = {"true": [], GENERATED: [], REAL: []}
    for row, number in zip(card.labels.images, range(6), strict=True):
        labels, photograph = (imaging.read(town / "set" / side / f"{number}.png") for side in ("labels", "photos"))
        true = decode(labels, palette)
        read = {
            GENERATED: decode(judge(translator(labels, native=True)), palette),
            REAL: decode(judge(photograph), palette),
        }
        totals["true"].append(true)
        for name, ours in ((GENERATED, row.generated), (REAL, row.real)):
            totals[name].append(read[name])
            assert ours == pytest.approx(by_loop(true, read[name], 4))
    for name in (GENERATED, REAL):
        expected = by_loop(np.stack(totals["true"]), np.stack(totals[name]), 4)
        for key, value in expected.items():
            found = card.labels.systems[name][key]
            assert found.mean == pytest.approx(value)
            assert found.low is not None
            assert found.high is not None
            assert found.low - 1e-9 <= found.mean <= found.high + 1e-9
    kept = json.loads((out / "scores.json").read_text())["labels"]
    assert kept["systems"][REAL]["class_iou"]["mean"] == card.labels.systems[REAL]["class_iou"].mean
    assert Scorecard.load(out).labels == card.labels
    page = (out / "report.html").read_text()
    assert "Label read-back" in page
    assert "32x32 pixels" in page


def test_classes_that_occur_nowhere_do_not_count() -> None:
    rng = np.random.default_rng(1)
    true, read = rng.integers(0, 3, (2, 20, 20))
    counts = np.zeros((5, 5), int)
    for ours, theirs in zip(true.ravel(), read.ravel(), strict=True):
        counts[ours, theirs] += 1
    assert {key: float(value) for key, value in readback_scores(counts).items()} == pytest.approx(
        by_loop(true, read, 5)
    )


def test_inputs_that_are_no_label_maps_are_refused() -> None:
    photograph = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    with pytest.raises(CalcoError, match="cannot be read as label maps of the judge runs/j.*--judge-palette"):
        LabelColours.of(survey_array(photograph), None, "runs/j")
    with pytest.raises(CalcoError, match="cannot be read as label maps of the judge runs/j.*train the judge"):
        LabelColours.of(survey_array(label_map(0)), PALETTES["cityscapes"], "runs/j")


class Means(Embedding):
    """The mean of each channel: a face is its colour."""

    def __call__(self, image: Image) -> Floats:
        return imaging.as_channels(image, 3).reshape(-1, 3).mean(0) - 127.5


def face(red: int, green: int, blue: int) -> Image:
    return np.full((16, 16, 3), (red, green, blue), np.uint8)


def test_ranks_in_a_constructed_gallery() -> None:
    gallery = np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0]], float)
    persons = np.array([0, 0, 2, 3])  # two photographs of the first person
    queries = np.array([[0.95, 0.05], [0.8, 0.6], [0.8, 0.6], [1, 0]], float)
    ranks = person_ranks(queries, gallery, persons, np.array([0, 0, 2, 3]))
    assert ranks.tolist() == [1, 1, 2, 3]
    nobody = person_ranks(np.zeros((1, 2)), gallery, persons, np.array([0]))
    assert nobody.tolist() == [3]  # no difference is no find
    assert match_curve(ranks, 3, np.ones(4)).tolist() == [0.5, 0.75, 1.0]


def test_persons_are_found_and_their_copies_count_once() -> None:
    colours = [(250, 20, 20), (20, 250, 20), (20, 20, 250), (240, 240, 20), (20, 20, 250), (20, 21, 250)]
    pairs = [
        Pair(input=face(*reversed(colour)), target=face(*colour), key=f"k{n}", group=f"g{n}")
        for n, colour in enumerate(colours)
    ]
    truth = {pair.input.tobytes(): pair.target for pair in pairs}
    judge = FaceJudge(embedding=Means(name="means", centred=False))
    card = score(lambda image: truth[image.tobytes()], pairs, perceptual=False, judge=judge)
    faces = card.faces
    assert faces is not None
    assert (faces.num_persons, faces.num_photographs, faces.num_queries) == (4, 6, 4)
    assert faces.systems[FACE]["rank_1"].mean == 1
    assert [row.person for row in faces.images] == ["k0", "k1", "k2", "k3", "k2", "k2"]
    # The input has red and blue exchanged: of the four, green alone still looks like itself.
    assert [row.key for row in faces.images if row.ranks[INPUT] == 1] == ["k1"]
    assert faces.systems[INPUT]["rank_1"].mean == 0.25
    assert faces.systems[CHANCE]["rank_1"].mean == 0.25
    assert faces.sentence().endswith("finds 4 (100%), the input itself 1 (25%) and chance 25% in the first place.")
    turned = replace(faces, systems={**faces.systems, FACE: faces.systems[INPUT], INPUT: faces.systems[FACE]})
    assert turned.sentence().endswith("The input finds more: the translation loses what tells persons apart.")
    assert faces.curves[FACE] == [1.0] * 4
    assert faces.curves[CHANCE] == [0.25, 0.5, 0.75, 1.0]


def test_a_gallery_of_one_person_leaves_the_ranks_out() -> None:
    pairs = [Pair(input=face(9, 9, 9), target=face(9, 9, 9), key=f"k{n}", group=f"g{n}") for n in range(3)]
    judge = FaceJudge(embedding=Means(name="means", centred=False))
    card = score(lambda image: image, pairs, perceptual=False, judge=judge)
    assert card.faces is None
    assert "one person alone" in card.left_out_metrics["judge"]


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), ("n", 3, "h", "w"), (1, 8, 8, 3)])
def test_an_onnx_judge_gets_the_values_that_it_takes(shape: tuple[int | str, ...], tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "judge.onnx", shape)
    for values, expected in (("signed", [1, -1, -0.2]), ("unit", [1, 0, 0.4]), ("bytes", [255, 0, 102])):
        found = OnnxFaces(name="judge.onnx", path=path, values=values)(face(255, 0, 102))
        assert found.tolist() == pytest.approx(expected, abs=1e-5)


def test_an_onnx_judge_searches_the_whole_set(town: Path, tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "judge.onnx", (1, 3, 8, 8))
    config = EvaluateConfig(model=town / "model", images=town / "set", limit=3, out=tmp_path / "out", judge=path)
    few = evaluate(config).faces
    args = ["evaluate", str(town / "model"), str(town / "set"), "--limit", "3", "--judge", str(path)]
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        main([*args, "--gallery", "all", "--out", str(tmp_path / "all")])
    everyone = Scorecard.load(tmp_path / "all").faces
    assert few is not None
    assert everyone is not None
    assert (few.num_photographs, everyone.num_photographs) == (3, 6)
    assert few.num_queries <= everyone.num_queries <= 3
    assert len(few.images) == len(everyone.images) == 3
    assert "search for the person" in shown.getvalue()
    assert "Cumulative match" in (tmp_path / "all" / "report.html").read_text()
    again = evaluate(config).faces
    assert again == few


def mesh(sure: float = 5.0) -> Any:
    """A network with the inputs and outputs of the face mesh, whose face moves to the right as the image brightens."""
    try:
        import openvino
        from openvino import opset13 as op
    except ImportError:
        requires(False, "openvino", "pip install 'calco[openvino]'")
    points = np.random.default_rng(0).uniform(36, 156, (468, 3))
    points[33], points[263] = (66, 80, 0), (126, 80, 0)
    points[:2] = (36, 36, 0), (156, 156, 0)  # the box around the face is the middle of the square
    given = op.parameter([1, 192, 192, 3], np.float32)
    bright = op.reduce_mean(given, np.array([1, 2, 3]), True)
    moved = op.multiply(bright, op.constant(np.tile([24.0, 0, 0], 468).reshape(1, 1, 1, -1).astype(np.float32)))
    found = op.add(moved, op.constant(points.reshape(1, 1, 1, -1).astype(np.float32)))
    # Black shows no face.
    logit = op.add(op.multiply(op.sign(bright), op.constant(np.float32(sure + 5))), op.constant(np.float32(-5)))
    return openvino.Model([op.result(found), op.result(logit)], [given], "mesh")


def test_landmarks_of_the_generated_face_are_compared_with_the_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mesh()
    monkeypatch.setattr("calco.evaluation.landmarks._open", lambda: model)
    pairs = [Pair(input=face(n, n, n), target=face(51, 51, 51), key=f"k{n}", group=f"g{n}") for n in (51, 102, 0)]
    pairs += [Pair(input=face(9, 9, 9), target=face(0, 0, 0), key="night", group="n")]
    card = score(lambda image: image + 51, pairs, perceptual=False, judge=LandmarkJudge())
    found = card.landmarks
    assert found is not None
    # 51 levels more move the face by a fifth of 24 pixels, where the eyes stand 60 apart.
    assert [row.errors[FACE] for row in found.images] == pytest.approx([0.08, 0.16, 0, math.nan], abs=1e-5, nan_ok=True)
    inputs = [row.errors[INPUT] for row in found.images]
    assert inputs == pytest.approx([0, 0.08, math.nan, math.nan], abs=1e-5, nan_ok=True)
    ours, theirs = found.systems[FACE], found.systems[INPUT]
    assert (ours["nme"].mean, ours["nme"].num) == (pytest.approx(0.08, abs=1e-5), 3)
    assert (theirs["nme"].mean, theirs["nme"].num) == (pytest.approx(0.04, abs=1e-5), 2)
    assert ours["failure_rate"].mean == pytest.approx(1 / 3)
    assert theirs["failure_rate"].mean == pytest.approx(1 / 3)  # a face that is not found has failed
    assert found.systems[OTHER]["nme"].mean == pytest.approx(0, abs=1e-5)
    assert found.notes == ["No face is found in 1 of the 4 photographs, which do not count here."]
    assert Scorecard.from_json(json.loads(json.dumps(card.to_json()))).landmarks is not None
    dark = score(lambda image: image, pairs[3:], perceptual=False, judge=LandmarkJudge())
    assert "finds no face" in dark.left_out_metrics["judge"]


def test_an_evaluation_by_landmarks_is_printed_and_in_the_report(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = mesh()
    monkeypatch.setattr("calco.evaluation.landmarks._open", lambda: model)
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        main(["evaluate", str(town / "model"), str(town / "set"), "--judge", "landmarks", "--out", str(tmp_path)])
    assert "facial landmarks" in shown.getvalue()
    assert "Facial landmarks" in (tmp_path / "report.html").read_text()
    found = Scorecard.load(tmp_path).landmarks
    assert found is not None
    assert 0 < found.systems[FACE]["nme"].mean < 1


def test_colour_stands_beside_the_targets_colour() -> None:
    maps = [label_map(number) for number in range(4)]
    pairs = [Pair(input=each // 2, target=each, key=f"k{n}", group=f"g{n}") for n, each in enumerate(maps)]
    card = score(lambda image: image, pairs, perceptual=False)
    assert card.colourfulness_ratio == pytest.approx(0.5, abs=0.01)
    assert card.colour_note().endswith("a ratio of 0.50.")
    assert card.to_json()["colourfulness_ratio"] == card.colourfulness_ratio
    grey = [Pair(input=face(9, 9, 9), target=face(n, n, n), key=f"k{n}", group=f"g{n}") for n in range(4)]
    assert math.isnan(score(lambda image: image, grey, perceptual=False).colourfulness_ratio)
