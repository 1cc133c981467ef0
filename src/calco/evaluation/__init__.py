"""How good a translator is: scores beside baselines, intervals, and the report that shows them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from calco.data.config import Kind
from calco.errors import UsageError
from calco.networks.config import MOST_STEPS
from calco.records import check_numbers
from calco.work import EngineOptions


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(EngineOptions):
    """Score a model beside baselines, at the size of its training; write scores.json and report.html."""

    model: Annotated[str | Path, Positional, arg(metavar="MODEL")]
    """Run, model folder, or file that calco export wrote."""

    images: Annotated[str | Path | None, Positional, arg(metavar="IMAGES")] = None
    """Images to score on; by default those that the run kept apart for testing."""

    out: Annotated[str | Path | None, arg(metavar="FOLDER")] = None
    """Folder of the report; by default `report` in the run."""

    source: Kind | None = None
    """Kind of the images; by default as in training."""

    input: Annotated[str | None, arg(metavar="FOLDER")] = None
    """Folder of the inputs; by default as in training."""

    target: Annotated[str | None, arg(metavar="FOLDER")] = None
    """Folder of the targets; by default as in training."""

    direction: Literal["AtoB", "BtoA"] | None = None
    """Which half is the input; by default as in training."""

    masks: Annotated[str | None, arg(metavar="FOLDER")] = None
    """Folder of stroke masks for the recipe erase, if that of the training is not here."""

    style: Annotated[str | None, arg(metavar="STYLE")] = None
    """Style of the sketches that the recipe sketch makes, such as hatching, to score on one that the training left
    out; by default those of the training."""

    steps: Annotated[int | None, arg(metavar="INT")] = None
    """Steps in which a model of the preset bridge refines its output; by default those of its training."""

    limit: int = 0
    """Largest number of images, chosen by hash; 0 takes all."""

    steady: bool = False
    """Also measure a video with --steady, beside the model's output as it is."""

    video_frames: int = 500
    """Number of consecutive frames of videos in which flicker is measured; 0 takes all."""

    inception: Annotated[str | Path | None, arg(metavar="FILE")] = None
    """Weight file for FID, KID and the Inception score, or `download`."""

    judge: Annotated[str | Path | None, arg(metavar="JUDGE")] = None
    """Judge of the generated photographs: a translator from photographs to label maps (run, model folder or exported
    file), an ONNX network from a face to a vector, faces (comes with calco[perceptual]), or dlib or landmarks where
    they are installed."""

    judge_palette: str | None = None
    """Palette of the label maps for a judge that records none: a name or a file, as --palette of calco train."""

    judge_values: Literal["signed", "unit", "bytes"] = "signed"
    """Values that an ONNX judge takes: signed (-1 to 1), unit (0 to 1) or bytes (0 to 255)."""

    gallery: Literal["scored", "all"] = "scored"
    """Photographs among which a face is searched for: those that are scored, or the whole set."""

    seed: int = 0
    """Seed of the holes that the recipe erase makes, and of the bootstrap."""

    recipe: Annotated[str | None, arg(metavar="RECIPE")] = None
    """aligned: score on pairs as they are stored, although the model's recipe makes its inputs (sketches by hand
    instead of generated ones); or the place of a custom recipe's file on this machine, such as my.py:fade."""

    allow_code: bool = False
    """Run the code of a custom recipe although nobody has named it on this machine."""

    def __post_init__(self) -> None:
        """Check the numbers and the engine."""
        check_numbers(self, steps=(1, MOST_STEPS))
        self.workers()
        for name, default in (("judge_palette", None), ("judge_values", "signed"), ("gallery", "scored")):
            if self.judge is None and getattr(self, name) != default:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option} goes with --judge, and none is named; name one, or leave {option} out")


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Put the scores and images of evaluated runs side by side, on one page."""

    runs: Annotated[tuple[str | Path, ...], Positional, arg(metavar="RUN")]
    """Two or more runs that calco evaluate has scored."""

    out: Annotated[str | Path, arg(metavar="FILE")] = "comparison.html"
    """Page to write."""
