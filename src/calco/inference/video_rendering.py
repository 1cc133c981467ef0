"""What becomes of a frame: its drawing alone, or truth, input and drawing side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

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
from calco.inference.adapt import adapted
from calco.inference.model import ModelInfo, Translator
from calco.video.pipeline import Steadier
from calco.video.reading import Frame, Video

NAMES: Final = ("truth", "input", "output")
GAP: Final = 4
_DARK, _LINE, _TEXT, _CURVE = (22, 24, 28), (58, 62, 70), (226, 226, 222), (130, 183, 234)
_LOW, _HIGH = 10.0, 45.0  # dB, of the curve


class Sheet:
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

    def drawn(self, truth: Image, shown: Image, output: Image, score: float) -> Image:
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


IDENTICAL: Final = 100.0  # dB, as in the evaluation


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How frames are drawn, as the command line has it.

    Attributes:
        mask: What is to be redrawn in every frame, HWC; for a model that learned `erase`.
        noise_seed: As of the Translator, the same for all frames; also of the chance of the inputs that are made.
        native: As of the Translator.
        make_input: Makes the input of each frame by the model's recipe.
        side_by_side: The same, and shows truth, input and drawing beside each other.
        holes_per_frame: Draws the recipe's chance anew for each frame, and not once for the video.
        recipe: Where the file of a recipe of one's own lies.
        allow_code: Runs it although nobody has named it here.
    """

    mask: Image | None = None
    noise_seed: int | None = None
    native: bool = False
    make_input: bool = False
    side_by_side: bool = False
    holes_per_frame: bool = False
    recipe: str | None = None
    allow_code: bool = False


class Drawn(NamedTuple):
    """What is written of a frame: the image, the frame, and its PSNR in dB where there is a truth."""

    image: Image
    frame: Frame
    psnr: float | None = None


class Drawing:
    """A model that draws the frames of a video.

    Attributes:
        size: Of what is written, pixels.
    """

    def __init__(self, translator: Translator, video: Video, wish: Wish, steady: Steadier | None = None,
                 frames: int | None = None) -> None:  # fmt: skip
        """Prepares it.

        Args:
            translator: The model.
            video: Whose frames come.
            wish: How they are drawn.
            steady: Is shown each frame with its drawing.
            frames: How many there will be, where that is known.

        Raises:
            CalcoError: When an input shall be made and the model's recipe makes none, or its code may not run.
        """
        self.translator, self.wish, self.steady = translator, wish, steady
        makes = wish.make_input or wish.side_by_side
        self._make = _maker(translator.info, wish, video) if makes else None
        self.sheet = Sheet(video.size, frames or 0) if wish.side_by_side else None
        self.size = self.sheet.size if self.sheet is not None else video.size

    def __call__(self, frame: Frame) -> Drawn:
        """Draws a frame; they come in order."""
        wish, image = self.wish, frame.image
        if self._make is None:
            shown = image
            drawn = self.translator(image, mask=wish.mask, noise_seed=wish.noise_seed, native=wish.native)
        else:
            shown, mask, scaled = self._make(frame)
            if scaled is not None:  # made at the scale of training, and so shown as it is
                small = self.translator(scaled, noise_seed=wish.noise_seed, native=True)
                drawn = imaging.resize(small, (image.shape[1], image.shape[0]))
            else:
                drawn = self.translator(image, mask=mask, noise_seed=wish.noise_seed, native=wish.native)
        drawn = _rgb(drawn)
        if self.steady is not None:
            drawn = self.steady(_rgb(shown), drawn)
        if self.sheet is None:
            return Drawn(drawn, frame)
        score = psnr(drawn, image)
        return Drawn(self.sheet.drawn(image, _rgb(shown), drawn, score), frame, score)


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


def _maker(info: ModelInfo, wish: Wish, video: Video) -> Callable[[Frame], _Made]:
    """What makes inputs of whole frames: at full size where grey and holes do it, else at the scale of training."""
    config = recipe_here(info.recipe, wish.recipe)
    steps = steps_of(config.recipe)
    if steps[0] in NEEDS:
        raise CalcoError(
            f"the recipe {recipe_title(config.recipe)} makes no input of a frame, its images come with it; "
            "leave --side-by-side and --make-input out"
        )
    make = build_recipe(config, "photographs", allow_code=wish.allow_code)
    background, name = info.source.background, video.path.rpartition("/")[2]

    def pair(frame: Frame) -> tuple[Image, Bools | None]:
        key = f"{name}/{frame.pts if frame.pts is not None else frame.number}" if wish.holes_per_frame else name
        whole = Sample(image=imaging.as_channels(frame.image, info.out_channels), key=key, group=name)
        made = make(
            fit_image(whole, whole_side(info.jitter), info.jitter), generator(wish.noise_seed or 0, 0, key, "recipe")
        )
        return made.input, made.region

    once: list[Bools] = []

    def with_holes(frame: Frame) -> _Made:
        height, width = frame.image.shape[:2]
        if not once or wish.holes_per_frame:
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
