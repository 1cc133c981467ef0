"""Frames of recorded and live videos, rendered by a model: its output alone, or truth, input and output together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import cv2
import numpy as np

from calco import imaging
from calco.data.recipes import recipe_here, steps_of
from calco.data.recipes.colorize import grey_of
from calco.data.recipes.strokes import Bools
from calco.data.sample import Pair
from calco.imaging import Image
from calco.inference.comparison import ComparisonSheet, psnr
from calco.inference.folder import ModelInfo
from calco.inference.inputs import adapted, pair_maker
from calco.inference.steady import Steady
from calco.inference.translator import Translator
from calco.video.pipeline import RenderedFrame
from calco.video.reading import Frame, Video
from calco.video.recorded import VideoStep

_LOOKBACK: Final = 8  # frames before the place where it resumes, from which steadying takes its memory


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """How frames are rendered."""

    mask: Image | None = None  # HWC, redrawn in every frame
    noise_seed: int | None = None  # as of the Translator, for all frames; also seeds inputs that are made
    native: bool = False  # as of the Translator
    make_input: bool = False  # make the input of each frame by the model's recipe
    side_by_side: bool = False  # the same, and show truth, input and output together
    holes_per_frame: bool = False  # the recipe's random numbers differ from frame to frame
    recipe: str | None = None  # file of a custom recipe
    allow_code: bool = False  # run that file although nobody has named it here


class VideoRenderer(VideoStep):
    """A model that renders the frames of a video; `sheet` is the layout of a side-by-side video."""

    def __init__(self, translator: Translator, video: Video, options: RenderOptions, steadier: Steady | None = None,
                 frames: int | None = None) -> None:  # fmt: skip
        """Prepare for a video of a number of frames, where that is known."""
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
        return RenderedFrame(frame, self.sheet.render((image, _rgb(shown), output), score), [score, seconds])


class LiveRenderer:
    """A model that renders live frames."""

    def __init__(self, translator: Translator, options: RenderOptions, steadier: Steady | None = None) -> None:
        """Prepare it; inputs are made as those of images."""
        self.translator, self.options, self.steadier = translator, options, steadier
        self._shape: tuple[int, ...] = ()
        self._make = None
        if options.make_input:
            self._make = pair_maker(translator.info, recipe=options.recipe, allow_code=options.allow_code,
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
        output = self.translator(self._make(image, "live").input, noise_seed=options.noise_seed, native=True)
        return imaging.resize(output, (image.shape[1], image.shape[0]))


def _fitting(mask: Image | None, image: Image) -> Any:
    if mask is None or mask.shape[:2] == image.shape[:2]:
        return mask
    return imaging.resize(mask.astype(np.uint8), (image.shape[1], image.shape[0]), "nearest").astype(np.bool_)


def _rgb(image: Image) -> Image:
    """Return an image as a person sees it, HW3 `uint8`."""
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return image
    return imaging.as_channels(imaging.as_dtype(imaging.visible(image), np.uint8), 3)


_Made = tuple[Image, Bools | None, Image | None]  # shown input, mask for the translator, input at the training's scale


def _maker(info: ModelInfo, options: RenderOptions, video: Video) -> Callable[[Frame], _Made]:
    """Return what makes inputs of frames: at full size where grey and holes do it, else at the scale of training."""
    config = recipe_here(info.recipe, options.recipe)
    steps, name = steps_of(config.recipe), video.path.rpartition("/")[2]
    make = pair_maker(info, recipe=options.recipe, allow_code=options.allow_code, seed=options.noise_seed or 0)

    def pair(frame: Frame) -> Pair:
        number = frame.pts if frame.pts is not None else frame.number
        return make(frame.image, f"{name}/{number}" if options.holes_per_frame else name)

    once: list[Bools] = []

    def with_holes(frame: Frame) -> _Made:
        height, width = frame.image.shape[:2]
        if not once or options.holes_per_frame:
            region = pair(frame).region
            assert region is not None
            flat = np.asarray(region, np.uint8).reshape(region.shape[:2])
            once[:] = [cv2.resize(flat, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)]
        shown = adapted(frame.image, once[0], info.recipe, info.in_channels, info.source.background)
        return shown, once[0], None

    def grey(frame: Frame) -> _Made:
        return grey_of(frame.image, config.colorize), None, None

    def other(frame: Frame) -> _Made:
        made = pair(frame).input
        return imaging.resize(made, (frame.image.shape[1], frame.image.shape[0])), None, made

    if set(steps) <= {"colorize", "erase"}:
        return with_holes if "erase" in steps else grey
    return other
