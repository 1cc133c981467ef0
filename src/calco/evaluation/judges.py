"""Judges of generated photographs, opened from what `calco evaluate --judge` names."""

from itertools import islice
from pathlib import Path
from typing import Final

from calco.data.dataset import PairDataset
from calco.data.mask_encoding import MaskSurvey, count_values, stored_values
from calco.data.palettes import named_palette
from calco.data.recipes import steps_of
from calco.data.source import Source
from calco.errors import CalcoError, UsageError
from calco.evaluation import EvaluateConfig
from calco.evaluation.embedding import AlexNetFaces, DlibFaces, Embedding, OnnxFaces, as_rgb
from calco.evaluation.face_search import FaceJudge
from calco.evaluation.landmarks import LandmarkJudge
from calco.evaluation.readback import LabelColours, LabelJudge
from calco.evaluation.scoring import Judge
from calco.imaging import Image
from calco.inference.runtimes import described, explained
from calco.inference.translator import load

FACES: Final[dict[str, type[AlexNetFaces | DlibFaces]]] = {"faces": AlexNetFaces, "dlib": DlibFaces}
"""Judges of faces by name."""
_KINDS: Final = {
    "gallery": "of faces", "judge_values": "of faces in an ONNX file", "judge_palette": "of label maps",
}  # fmt: skip
_SURVEYED: Final = 200  # label maps whose values are counted


def open_judge(config: EvaluateConfig, recipe: str, dataset: PairDataset, found: Source) -> Judge:
    """Open the judge that a configuration names.

    Args:
        config: What is evaluated, with a judge.
        recipe: Recipe of the pairs.
        dataset: Pairs that are scored.
        found: Their source, with the images that are not scored.

    Raises:
        CalcoError: If it is no judge, or does not fit the pairs.
    """
    given = str(config.judge)
    path = Path(given)
    if given == "landmarks":
        _refuse(config, f"{given} compares images", "gallery", "judge_values", "judge_palette")
        landmarks = LandmarkJudge()
        landmarks.face(as_rgb(dataset.pair(0, 0).target))  # a package that is missing is an error before all others
        return landmarks
    if given in FACES or (path.suffix == ".onnx" and path.is_file() and not _is_translator(path)):
        _refuse(config, f"{given} searches for faces", "judge_palette")
        return _faces(config, dataset, found)
    _refuse(config, f"{given} is a translator", "gallery", "judge_values")
    return _labels(config, recipe, dataset, found)


def _refuse(config: EvaluateConfig, reason: str, *names: str) -> None:
    """Refuse options that another kind of judge takes."""
    for name in names:
        if getattr(config, name) != getattr(EvaluateConfig, name):
            option, kind = f"--{name.replace('_', '-')}", _KINDS[name]
            raise UsageError(f"{option} goes with a judge {kind}, and {reason}; leave {option} out")


def _is_translator(path: Path) -> bool:
    """Return whether an ONNX file was written by `calco export`."""
    with explained(path):
        return described(path) is not None


def _faces(config: EvaluateConfig, dataset: PairDataset, found: Source) -> FaceJudge:
    given = str(config.judge)
    if given in FACES:
        _refuse(config, f"{given} brings its own", "judge_values")
        embedding: Embedding = FACES[given]()
    else:
        embedding = OnnxFaces(name=Path(given).name, path=Path(given), values=config.judge_values)
    judge = FaceJudge(embedding=embedding, whole_set=config.gallery == "all")
    judge.face(dataset.pair(0, 0))  # a judge that takes no image fails here, before all others are scored
    if judge.whole_set:
        scored = {item.key for item in dataset.items}
        rest = [item for item in found.items if item.key not in scored]
        more = PairDataset(found, rest, dataset.recipe, dataset.jitter, dataset.seed, train=False, cache_bytes=0)
        pairs = (more.pair(place, 0) for place in range(len(rest)))
        faces = {pair.key: judge.face(pair) for pair in pairs}  # a damaged image is replaced by its neighbour
        judge.others = tuple(faces.values())
    return judge


def _labels(config: EvaluateConfig, recipe: str, dataset: PairDataset, found: Source) -> LabelJudge:
    given = str(config.judge)
    try:
        translator = load(given)
    except CalcoError as error:
        raise type(error)(f"the judge: {error}") from error
    info = translator.info
    if info.in_channels > 4 or info.out_channels > 4:
        raise CalcoError(
            f"the judge {given} translates {info.in_channels} to {info.out_channels} channels; a judge of label maps "
            "takes photographs and paints classes in colours: name one that was trained on photographs and label maps"
        )
    palette = info.palette or (named_palette(config.judge_palette) if config.judge_palette else None)
    survey = MaskSurvey()
    places = islice(range(len(dataset)), _SURVEYED)
    for place in places:
        item = dataset.items[place]
        # As they are stored where the recipe takes them so: resizing blends colours.
        as_stored = steps_of(recipe) == ["aligned"] and item.key not in dataset.damaged
        try:
            label_map: Image = found.load(item).image if as_stored else dataset.pair(place, 0).input
        except CalcoError:
            continue  # noted when it is scored
        survey.add(item.key, count_values(stored_values(label_map)))
    trained_on = info.provenance.get("trained_on")
    by_key = {item.key: item for item in dataset.items}
    seen = None if trained_on is None else set(trained_on)
    return LabelJudge(
        path=given,
        colours=LabelColours.of(survey, palette, given),
        trained_on=None if seen is None else lambda key: not seen.isdisjoint(found.digests(by_key[key])),
        translator=translator,
    )
