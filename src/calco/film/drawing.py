"""What becomes of a frame: its drawing alone, or truth, input and drawing side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np

from calco import images
from calco.errors import CalcoError
from calco.film.reading import Film, Frame
from calco.film.sheet import Sheet
from calco.film.stream import Steadier
from calco.images import Image
from calco.inference.adapt import adapted
from calco.inference.model import ModelInfo, Translator
from calco.pairs.colouring import grey_of
from calco.pairs.jitter import fit_picture, whole_side
from calco.pairs.recipes import NEEDS, build_recipe, recipe_here, recipe_title, steps_of
from calco.pairs.strokes import Bools
from calco.pairs.types import Picture, generator

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
        holes_per_frame: Draws the recipe's chance anew for each frame, and not once for the film.
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
    """What is written of a frame: the picture, the frame, and its PSNR in dB where there is a truth."""

    picture: Image
    frame: Frame
    psnr: float | None = None


class Drawing:
    """A model that draws the frames of a film.

    Attributes:
        size: Of what is written, pixels.
    """

    def __init__(self, translator: Translator, film: Film, wish: Wish, steady: Steadier | None = None,
                 frames: int | None = None) -> None:  # fmt: skip
        """Prepares it.

        Args:
            translator: The model.
            film: Whose frames come.
            wish: How they are drawn.
            steady: Is shown each frame with its drawing.
            frames: How many there will be, where that is known.

        Raises:
            CalcoError: When an input shall be made and the model's recipe makes none, or its code may not run.
        """
        self.translator, self.wish, self.steady = translator, wish, steady
        makes = wish.make_input or wish.side_by_side
        self._make = _maker(translator.info, wish, film) if makes else None
        self.sheet = Sheet(film.size, frames or 0) if wish.side_by_side else None
        self.size = self.sheet.size if self.sheet is not None else film.size

    def __call__(self, frame: Frame) -> Drawn:
        """Draws a frame; they come in order."""
        wish, picture = self.wish, frame.picture
        if self._make is None:
            shown = picture
            drawn = self.translator(picture, mask=wish.mask, noise_seed=wish.noise_seed, native=wish.native)
        else:
            shown, mask, scaled = self._make(frame)
            if scaled is not None:  # made at the scale of training, and so shown as it is
                small = self.translator(scaled, noise_seed=wish.noise_seed, native=True)
                drawn = images.resize(small, (picture.shape[1], picture.shape[0]))
            else:
                drawn = self.translator(picture, mask=mask, noise_seed=wish.noise_seed, native=wish.native)
        drawn = _rgb(drawn)
        if self.steady is not None:
            drawn = self.steady(_rgb(shown), drawn)
        if self.sheet is None:
            return Drawn(drawn, frame)
        score = psnr(drawn, picture)
        return Drawn(self.sheet.drawn(picture, _rgb(shown), drawn, score), frame, score)


def psnr(one: Image, other: Image) -> float:
    """Peak signal-to-noise ratio of two HWC `uint8` pictures, dB; 100 where they are identical."""
    error = float(cv2.norm(one, other, cv2.NORM_L2SQR)) / one.size
    return IDENTICAL if error == 0 else min(IDENTICAL, 10 * float(np.log10(255**2 / error)))


def _rgb(picture: Image) -> Image:
    """What a person sees, HW3 `uint8`."""
    if picture.dtype == np.uint8 and picture.shape[2] == 3:
        return picture
    return images.as_channels(images.as_dtype(images.visible(picture), np.uint8), 3)


_Made = tuple[Image, Bools | None, Image | None]
"""What is shown of the input, the mask for the translator, or the input at the scale of training."""


def _maker(info: ModelInfo, wish: Wish, film: Film) -> Callable[[Frame], _Made]:
    """What makes inputs of whole frames: at full size where grey and holes do it, else at the scale of training."""
    config = recipe_here(info.recipe, wish.recipe)
    steps = steps_of(config.recipe)
    if steps[0] in NEEDS:
        raise CalcoError(
            f"the recipe {recipe_title(config.recipe)} makes no input of a frame, its pictures come with it; "
            "leave --side-by-side and --make-input out"
        )
    make = build_recipe(config, "photographs", allow_code=wish.allow_code)
    background, name = info.source.background, film.path.rpartition("/")[2]

    def pair(frame: Frame) -> tuple[Image, Bools | None]:
        key = f"{name}/{frame.pts if frame.pts is not None else frame.number}" if wish.holes_per_frame else name
        whole = Picture(image=images.as_channels(frame.picture, info.out_channels), key=key, group=name)
        made = make(
            fit_picture(whole, whole_side(info.jitter), info.jitter), generator(wish.noise_seed or 0, 0, key, "recipe")
        )
        return made.input, made.region

    once: list[Bools] = []

    def with_holes(frame: Frame) -> _Made:
        height, width = frame.picture.shape[:2]
        if not once or wish.holes_per_frame:
            region = pair(frame)[1]
            assert region is not None
            flat = np.asarray(region, np.uint8).reshape(region.shape[:2])
            once[:] = [cv2.resize(flat, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)]
        shown = adapted(frame.picture, once[0], info.recipe, info.in_channels, background)
        return shown, once[0], None

    def grey(frame: Frame) -> _Made:
        return grey_of(frame.picture, config.colorize), None, None

    def other(frame: Frame) -> _Made:
        made = pair(frame)[0]
        return images.resize(made, (frame.picture.shape[1], frame.picture.shape[0])), None, made

    if set(steps) <= {"colorize", "erase"}:
        return with_holes if "erase" in steps else grey
    return other
