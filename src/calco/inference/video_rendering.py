"""What becomes of a frame: the model's output alone, or truth, input and output side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import cv2
import numpy as np

from calco import imaging
from calco.data.augmentation import fit_image, whole_side
from calco.data.recipes import NEEDS, build_recipe, recipe_here, recipe_title, steps_of
from calco.data.recipes.colorize import grey_of
from calco.data.recipes.strokes import Bools
from calco.data.sample import Sample, generator
from calco.errors import CalcoError
from calco.imaging import Image
from calco.inference.folder import ModelInfo
from calco.inference.inputs import adapted, input_maker
from calco.inference.steady import Steadier
from calco.inference.translator import Translator
from calco.video.pipeline import RenderedFrame
from calco.video.reading import Frame, Video
from calco.video.recorded import VideoStep

NAMES: Final = ("truth", "input", "output")
IDENTICAL: Final = 100.0  # dB, as in the evaluation
GAP: Final = 4
_DARK, _LINE, _TEXT, _CURVE = (22, 24, 28), (58, 62, 70), (226, 226, 222), (130, 183, 234)
_LOW, _HIGH = 10.0, 45.0  # dB, of the curve
_LOOKBACK: Final = 8  # frames before the place where it resumes, from which steadying takes its memory


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """How frames are rendered.

    Attributes:
        mask: What is redrawn in every frame, HWC; for a model that learned `erase`.
        noise_seed: As of the Translator, the same for all frames; also seeds the inputs that are made.
        native: As of the Translator.
        make_input: Makes the input of each frame by the model's recipe.
        side_by_side: The same, and shows truth, input and output beside each other.
        holes_per_frame: Draws the recipe's random numbers anew for each frame, and not once for the video.
        recipe: File of a custom recipe.
        allow_code: Runs that file although nobody has named it here.
    """

    mask: Image | None = None
    noise_seed: int | None = None
    native: bool = False
    make_input: bool = False
    side_by_side: bool = False
    holes_per_frame: bool = False
    recipe: str | None = None
    allow_code: bool = False


class VideoRenderer(VideoStep):
    """A model that renders the frames of a video.

    Attributes:
        size: Width and height of what is written, pixels.
        sheet: The layout of a side-by-side video; None for another.
    """

    def __init__(self, translator: Translator, video: Video, options: RenderOptions, steadier: Steadier | None = None,
                 frames: int | None = None) -> None:  # fmt: skip
        """Prepare it.

        Args:
            translator: The model.
            video: Whose frames come.
            options: How they are rendered.
            steadier: Steadies each output by the frames that were shown.
            frames: Number of frames, where it is known.

        Raises:
            CalcoError: If an input must be made and the model's recipe makes none, or its code may not run.
        """
        self.translator, self.options, self.steadier = translator, options, steadier
        self.lookback = _LOOKBACK / video.rate if steadier is not None else Fraction(0)
        makes = options.make_input or options.side_by_side
        self._make = _maker(translator.info, options, video) if makes else None
        self.sheet = ComparisonSheet(video.size, frames or 0) if options.side_by_side else None
        self.size = self.sheet.size if self.sheet is not None else video.size
        self.first, self.start = 0, Fraction(0)  # number and seconds of the first frame that is written

    def __call__(self, frames: Sequence[Frame]) -> list[RenderedFrame]:
        """Render frames; they come in order."""
        return [self._rendered(frame) for frame in frames]

    def _rendered(self, frame: Frame) -> RenderedFrame:
        options, image = self.options, frame.image
        if self._make is None:
            shown = image
            output = self.translator(image, mask=options.mask, noise_seed=options.noise_seed, native=options.native)
        else:
            shown, mask, scaled = self._make(frame)
            if scaled is not None:  # made at the scale of training, and so shown as it is
                small = self.translator(scaled, noise_seed=options.noise_seed, native=True)
                output = imaging.resize(small, (image.shape[1], image.shape[0]))
            else:
                output = self.translator(image, mask=mask, noise_seed=options.noise_seed, native=options.native)
        output = _rgb(output)
        if self.steadier is not None:
            output = self.steadier(_rgb(shown), output)
        if self.sheet is None or frame.number < self.first:
            return RenderedFrame(frame, output)
        score = psnr(output, image)
        seconds = float(max(Fraction(0), frame.time - self.start))
        return RenderedFrame(frame, self.sheet.render(image, _rgb(shown), output, score), [score, seconds])


class LiveRenderer:
    """A model that renders live frames."""

    def __init__(self, translator: Translator, options: RenderOptions, steadier: Steadier | None = None) -> None:
        """Prepare it; see `VideoRenderer`. Inputs are made as those of images."""
        self.translator, self.options, self.steadier = translator, options, steadier
        self._shape: tuple[int, ...] = ()
        self._make = None
        if options.make_input:
            self._make = input_maker(translator.info, recipe=options.recipe, allow_code=options.allow_code,
                                     seed=options.noise_seed or 0)  # fmt: skip

    def warm_up(self) -> None:
        """Render one small image, so that the first frame does not wait for weight packing."""
        self._output(np.zeros((64, 64, 3), np.uint8))

    def __call__(self, frame: Frame) -> Image:
        """Render a frame: HWC of the model's channels and type."""
        output = self._output(frame.image)
        if self.steadier is None:
            return output
        if frame.restarted or frame.image.shape != self._shape:
            self.steadier.reset()
        self._shape = frame.image.shape
        return self.steadier(frame.image, _rgb(output))

    def _output(self, image: Image) -> Image:
        options = self.options
        if self._make is None:
            mask = _fitting(options.mask, image)
            return self.translator(image, mask=mask, noise_seed=options.noise_seed, native=options.native)
        # One name for all frames, so that random holes and scratches stand still.
        output = self.translator(self._make(image, "live"), noise_seed=options.noise_seed, native=True)
        return imaging.resize(output, (image.shape[1], image.shape[0]))


def _fitting(mask: Image | None, image: Image) -> Any:
    if mask is None or mask.shape[:2] == image.shape[:2]:
        return mask
    return imaging.resize(mask.astype(np.uint8), (image.shape[1], image.shape[0]), "nearest").astype(np.bool_)


class ComparisonSheet:
    """Makes the frames of a side-by-side video.

    Attributes:
        size: Width and height of a frame, pixels, even.
    """

    def __init__(self, size: tuple[int, int], frames: int) -> None:
        """Lays it out.

        Args:
            size: Width and height of each of the three images.
            frames: How many frames the curve has place for, as far as that is known; 0 where not.
        """
        self._cell = width, height = size
        self._band = max(22, round(height / 14) // 2 * 2)
        self._strip = max(56, round(height / 4) // 2 * 2)
        full = (3 * width + 2 * GAP, self._band + height + self._strip)
        self.size = (full[0] + full[0] % 2, full[1] + full[1] % 2)
        self._frames = max(2, frames)
        self._sheet = np.full((self.size[1], self.size[0], 3), _DARK, np.uint8)
        self._last: tuple[int, int] | None = None
        self._number = 0
        self._rule()

    def _rule(self) -> None:
        """The lines of the curve's field, with their values."""
        self._write(NAMES[0], 0)
        self._write(NAMES[1], 1)
        for level in (20, 40):
            y = self._y(level)
            cv2.line(self._sheet, (0, y), (self.size[0], y), _LINE, 1)
            self._put(f"{level} dB", (4, y - 3), 0.7)

    def _write(self, text: str, place: int) -> None:
        left = place * (self._cell[0] + GAP)
        self._sheet[: self._band, left : left + self._cell[0]] = _DARK
        self._put(text, (left + 6, round(self._band * 0.72)))

    def _put(self, text: str, where: tuple[int, int], share: float = 1.0) -> None:
        scale = self._band / 44 * share
        cv2.putText(self._sheet, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT, 1, cv2.LINE_AA)

    def _y(self, score: float) -> int:
        share = (min(max(score, _LOW), _HIGH) - _LOW) / (_HIGH - _LOW)
        return round(self.size[1] - 4 - share * (self._strip - 8))

    def cells(self, frame: Image) -> list[Image]:
        """The three images in a frame that was drawn so."""
        width, height = self._cell
        return [
            frame[self._band : self._band + height, left : left + width]
            for left in range(0, 3 * (width + GAP), width + GAP)
        ]

    def recall(self, scores: list[float]) -> None:
        """Draws the curve of frames that were written before."""
        for score in scores:
            self._continue(score)

    def _continue(self, score: float) -> None:
        x = min(self.size[0] - 1, round((self.size[0] - 1) * self._number / (self._frames - 1)))
        here = (x, self._y(score))
        cv2.line(self._sheet, self._last or here, here, _CURVE, 1, cv2.LINE_AA)
        self._last, self._number = here, self._number + 1

    def render(self, truth: Image, shown: Image, output: Image, score: float) -> Image:
        """A frame of the video.

        Args:
            truth: HW3 `uint8`.
            shown: What the model saw, the same.
            output: What it drew, the same.
            score: PSNR of the output, dB.
        """
        self._continue(score)
        self._write(f"{NAMES[2]}   {score:.2f} dB", 2)
        for place, image in enumerate((truth, shown, output)):
            left = place * (self._cell[0] + GAP)
            self._sheet[self._band : self._band + self._cell[1], left : left + self._cell[0]] = image
        return self._sheet.copy()


def psnr(one: Image, other: Image) -> float:
    """Peak signal-to-noise ratio of two HWC `uint8` images, dB; 100 where they are identical."""
    error = float(cv2.norm(one, other, cv2.NORM_L2SQR)) / one.size
    return IDENTICAL if error == 0 else min(IDENTICAL, 10 * float(np.log10(255**2 / error)))


def _rgb(image: Image) -> Image:
    """What a person sees, HW3 `uint8`."""
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return image
    return imaging.as_channels(imaging.as_dtype(imaging.visible(image), np.uint8), 3)


_Made = tuple[Image, Bools | None, Image | None]
"""What is shown of the input, the mask for the translator, or the input at the scale of training."""


def _maker(info: ModelInfo, options: RenderOptions, video: Video) -> Callable[[Frame], _Made]:
    """What makes inputs of whole frames: at full size where grey and holes do it, else at the scale of training."""
    config = recipe_here(info.recipe, options.recipe)
    steps = steps_of(config.recipe)
    if steps[0] in NEEDS:
        raise CalcoError(
            f"the recipe {recipe_title(config.recipe)} makes no input of a frame, its images come with it; "
            "leave --side-by-side and --make-input out"
        )
    make = build_recipe(config, "photographs", allow_code=options.allow_code)
    background, name = info.source.background, video.path.rpartition("/")[2]

    def pair(frame: Frame) -> tuple[Image, Bools | None]:
        key = f"{name}/{frame.pts if frame.pts is not None else frame.number}" if options.holes_per_frame else name
        whole = Sample(image=imaging.as_channels(frame.image, info.out_channels), key=key, group=name)
        made = make(
            fit_image(whole, whole_side(info.jitter), info.jitter), generator(options.noise_seed or 0, 0, key, "recipe")
        )
        return made.input, made.region

    once: list[Bools] = []

    def with_holes(frame: Frame) -> _Made:
        height, width = frame.image.shape[:2]
        if not once or options.holes_per_frame:
            region = pair(frame)[1]
            assert region is not None
            flat = np.asarray(region, np.uint8).reshape(region.shape[:2])
            once[:] = [cv2.resize(flat, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)]
        shown = adapted(frame.image, once[0], info.recipe, info.in_channels, background)
        return shown, once[0], None

    def grey(frame: Frame) -> _Made:
        return grey_of(frame.image, config.colorize), None, None

    def other(frame: Frame) -> _Made:
        made = pair(frame)[0]
        return imaging.resize(made, (frame.image.shape[1], frame.image.shape[0])), None, made

    if set(steps) <= {"colorize", "erase"}:
        return with_holes if "erase" in steps else grey
    return other
