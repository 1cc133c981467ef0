"""The network of a loaded model: what it is shown of images, its output in tiles, and the images made of that."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from calco import imaging
from calco.data.augmentation import fit_image, whole_side
from calco.data.mask_encoding import stored_values, survey_array
from calco.data.mask_recognition import marks_of
from calco.data.palettes import Indices, Palette, decode, paint
from calco.data.recipes import NEEDS, RecipeConfig, build_recipe, recipe_here, recipe_title, steps_of
from calco.data.recipes.colorize import grey_of
from calco.data.recipes.erase import erased, given_region
from calco.data.recipes.strokes import Bools
from calco.data.sample import Pair, Sample, generator
from calco.errors import CalcoError
from calco.imaging import PEAKS, Image, as_channels
from calco.imaging.arrays import in_strips
from calco.inference.folder import ModelInfo
from calco.inference.runtimes import Backend
from calco.networks import cpu
from calco.networks.bridge import Bridge
from calco.networks.config import MOST_STEPS
from calco.networks.cpu.packed import packed
from calco.networks.generator import Generator
from calco.networks.machine import NAMES
from calco.records import check_numbers


def adapted(
    image: Image, mask: Image | None, recipe: RecipeConfig, in_channels: int, background: str, *,
    holed: bool | None = None,
) -> Image:  # fmt: skip
    """Return the input that the recipe would have made of an image whose holes are given.

    Args:
        image: HWC. For a model that learned to fill holes, what is not opaque is redrawn.
        mask: What is redrawn: HW or HW1 bool, or a mask's image (white, or the recipe's choice); None for transparency,
            or for holes that the image has in the colour of the training.
        recipe: The model's recipe.
        in_channels: Channels of the inputs that it learned from.
        background: As of the source: "channel" means that transparency belongs to the images.
        holed: Of a part of an image: there are holes in the whole.
    """
    steps, config = steps_of(recipe.recipe), recipe.erase
    if "erase" not in steps:
        if mask is not None:
            raise CalcoError(f"a mask was given, but the model learned {recipe.recipe}, not erase; leave the mask out")
        return grey_of(image, recipe.colorize) if steps[0] == "colorize" else image
    shown, region = image, None
    if transparency_tells(image.shape[2], recipe, in_channels, background):
        shown, region = image[..., :-1], image[..., -1] < PEAKS[str(image.dtype)]
    if mask is not None:
        given = region_of(mask, image.shape, recipe)
        region = given if region is None else region | given
    if region is None:
        if config.mask_channel:
            raise CalcoError(
                "the model redraws what a mask tells, and there is none; give one (calco translate --masks FOLDER), or "
                "an image that is transparent there"
            )
        return image
    if steps[0] == "colorize" and (region.any() if holed is None else holed):
        shown = grey_of(shown, recipe.colorize)
    shown = shown if background == "channel" else as_channels(shown, 1 if in_channels - config.mask_channel == 1 else 3)
    return erased(shown, region, config, generator(0, 0, "translate", "fill"))


def transparency_tells(channels: int, recipe: RecipeConfig, in_channels: int, background: str) -> bool:
    """Return whether transparency in an image of so many channels marks what is redrawn; all else as in `adapted`."""
    if "erase" not in steps_of(recipe.recipe):
        return False
    return (recipe.erase.mask_channel and channels == in_channels) or (channels in (2, 4) and background != "channel")


def region_of(mask: Image, shape: tuple[int, ...], recipe: RecipeConfig) -> Bools:
    """Convert a mask of an image of this shape to HW bool."""
    if mask.shape[:2] != shape[:2]:
        raise CalcoError(
            f"the mask has {mask.shape[1]}x{mask.shape[0]} pixels and the image {shape[1]}x{shape[0]}; both need the "
            "same size: resize one of them"
        )
    planes = mask if mask.ndim == 3 else mask[..., None]
    if planes.dtype == np.bool_:
        return np.asarray(planes.any(axis=2))
    planes = stored_values(planes)
    encoding = marks_of(survey_array(planes)).encoding  # decided by the whole mask, not by each strip
    return in_strips(lambda strip: given_region(strip, recipe.erase, encoding), planes)


Maker: TypeAlias = Callable[[Image, str], Pair]


def pair_maker(info: ModelInfo, *, recipe: str | None = None, allow_code: bool = False, seed: int = 0) -> Maker:
    """Return a function of an image and its name that makes a pair by the model's recipe, as in the training.

    The image is first brought to the scale of the training, where the recipe worked: the model knows a blur of two
    pixels from there. `recipe` is the place of the file of a custom recipe, such as "my.py:fade", and `allow_code` runs
    it although nobody has named it on this machine.
    """
    config = recipe_here(info.recipe, recipe)
    if steps_of(config.recipe)[0] in NEEDS:
        raise CalcoError(
            f"the recipe {recipe_title(config.recipe)} makes no input of an image, its images come with it; "
            "leave --side-by-side and --make-input out"
        )
    make = build_recipe(config, "photographs", allow_code=allow_code)

    def made(whole: Image, name: str) -> Pair:
        image = Sample(image=imaging.as_channels(whole, info.out_channels), key=name, group=name)
        return make(fit_image(image, whole_side(info.jitter), info.jitter), generator(seed, 0, name, "recipe"))

    return made


Rows: TypeAlias = Callable[[int, int], Tensor]
"""Returns the rows of an image from the first number to before the second: 1, C, rows, W."""


class Band(NamedTuple):
    """Rows of an image and the network's output for them: 1, C, rows, W and 1, D, rows, W."""

    seen: Tensor
    maps: Tensor


class Padded:
    """An image mirrored at its right and lower border until both sides are multiples of a number."""

    def __init__(self, rows: Rows, size_wh: tuple[int, int], multiple: int) -> None:
        self._rows, self._real = rows, size_wh
        # Pixel of the image at each place of a side; what is too short is mirrored again and again.
        self._columns, self._lines = (
            torch.from_numpy(np.pad(np.arange(side), (0, -side % multiple), mode="reflect")) for side in size_wh
        )
        self.width, self.height = len(self._columns), len(self._lines)

    def rows(self, top: int, bottom: int) -> Tensor:
        """Return the rows from `top` to before `bottom`, 1, C, rows, width."""
        lines = self._lines[top:bottom]
        first = int(lines.min())
        x = self._rows(first, int(lines.max()) + 1)
        if bottom > self._real[1]:
            x = x[:, :, (lines - first).to(x.device)]
        return x if self.width == self._real[0] else x[..., self._columns.to(x.device)]

    def cut(self, x: Tensor, top: int) -> Tensor:
        """Remove the mirrored pixels from rows that begin at `top`."""
        width, height = self._real
        return x[:, :, : max(0, height - top), :width]


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return where tiles of one side begin so that they cover `length` and overlap by at least `overlap`."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def window(tile: int, overlap: int, at_start: bool, at_end: bool) -> Tensor:
    """Return weights of one side of a tile: 1 inside, a raised cosine over the overlap with another tile."""
    weights = torch.ones(tile)
    ramp = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(overlap) + 0.5) / overlap)
    if not at_start:
        weights[:overlap] = ramp
    if not at_end:
        weights[-overlap:] = ramp.flip(0)
    return weights


def blended(
    network: Callable[[Tensor, tuple[int, int]], Tensor], padded: Padded, *, tile_wh: tuple[int, int], overlap: int
) -> Iterator[Band]:
    """Apply a network (N, C, h, w => N, D, h, w) to overlapping tiles, blended so that no border shows.

    Args:
        network: The network, of a tile and the row and column of its first pixel.
        padded: The image.
        tile_wh: Width and height of a tile, pixels, of which the network takes multiples.
        overlap: Pixels that neighbours share at least; at most half a tile.

    Yields:
        Rows in order, as soon as no further tile reaches them.
    """
    rows, columns = padded.height, padded.width
    tile_w, tile_h = min(tile_wh[0], columns), min(tile_wh[1], rows)
    overlap = min(overlap, *(side // 2 for side in tile_wh))
    tops, lefts = starts(rows, tile_h, overlap), starts(columns, tile_w, overlap)
    rest: tuple[Tensor, Tensor] | None = None  # sums and weights that the next tiles add to
    for top, following in zip(tops, [*tops[1:], rows], strict=True):
        seen = padded.rows(top, top + tile_h)
        fade_h = window(tile_h, overlap, top == 0, top + tile_h == rows).to(seen.device)[:, None]
        total, weight = torch.zeros(0), torch.zeros(tile_h, columns, device=seen.device)
        for left in lefts:
            output = network(seen[..., left : left + tile_w], (top, left))
            fade = fade_h * window(tile_w, overlap, left == 0, left + tile_w == columns).to(seen.device)
            if not left:
                total = torch.zeros(*output.shape[:2], tile_h, columns, device=seen.device)
            total[..., left : left + tile_w] += output * fade
            weight[:, left : left + tile_w] += fade
        if rest is not None:
            shared = rest[1].shape[0]
            total[:, :, :shared] += rest[0]
            weight[:shared] += rest[1]
        done = following - top
        rest = total[:, :, done:].clone(), weight[done:].clone()
        yield Band(padded.cut(seen[:, :, :done], top), padded.cut(total[:, :, :done] / weight[:done], top))


BACKGROUND: Final = ("background", "unlabelled")
ACCENTS: Final = ((230, 57, 70), (29, 133, 231), (242, 169, 0), (46, 160, 67), (163, 76, 201), (0, 176, 176))
"""Colours in place of grey, which looks like haze on a photograph."""


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """How painted masks are laid over images."""

    alpha: float = 0.45  # opacity of the colours, 0 to 1
    contour: int = 2  # width of the line around each area, pixels where the short side has 480; 0 for none

    def __post_init__(self) -> None:
        check_numbers(self, alpha=(0, 1), contour=(0, 100))


def overlay_colours(palette: Palette) -> list[tuple[int, int, int] | None]:
    """Return the colour of each class over a photograph: its own, another for grey, None for the background."""
    accents = iter(ACCENTS * len(palette))
    own: list[tuple[int, int, int] | None] = []
    for name, (red, green, blue) in palette:
        grey = max(red, green, blue) - min(red, green, blue) < 32
        own.append(None if name in BACKGROUND else next(accents) if grey else (red, green, blue))
    return own


def overlaid(image: Image, indices: Indices, palette: Palette, overlay: Overlay) -> Image:
    """Blend the colours of classes, HW, over an image, HWC of any depth without its transparency: HW3.

    The background is left as it is; where the palette names none, every class has a colour.
    """
    own = overlay_colours(palette)
    shown = imaging.as_dtype(imaging.as_channels(imaging.visible(image), 3), np.float32)
    colours = paint(indices, tuple((name, own[i] or (0, 0, 0)) for i, (name, _) in enumerate(palette)))
    tinted = np.isin(indices, [i for i, colour in enumerate(own) if colour is not None])
    opacity = np.where(tinted, np.float32(overlay.alpha), np.float32(0))
    if overlay.contour:
        width = max(1, round(overlay.contour * min(indices.shape) / 480))
        opacity[_edges(indices, width) & tinted] = 1
    mixed = shown + (imaging.as_dtype(colours, np.float32) - shown) * opacity[..., None]
    return imaging.as_dtype(np.clip(mixed, 0, 1), image.dtype)


def _edges(indices: Indices, width: int) -> npt.NDArray[np.bool_]:
    """Return the pixels within a distance of another class, HW."""
    # In eight directions, and not over the image's border, where nothing ends.
    kernel: Any = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    low, high = (move(indices, kernel, borderType=cv2.BORDER_REPLICATE) for move in (cv2.erode, cv2.dilate))
    return np.asarray(low != high)


TILE: Final = 1024  # pixels of a tile's side
OVERLAP: Final = 128  # pixels that tiles share where their borders are blended
_TOGETHER: Final = (8, 4, 2, 1)  # images that go through the network at once
_TOGETHER_PIXELS: Final = 1 << 19  # of these images, at most
_SHAPES: Final = 64  # of images that are tried together
_BAND: Final = 1 << 24  # pixels of a band of tiles, about: those of a wide image are lower


class Network:
    """The network of a loaded model, and the way from its maps to an image."""

    overlay: Overlay | None = None  # how painted masks are laid over the image; None gives the masks alone
    backend: Backend | None = None  # what computes the network; None for Calco's own kernels

    def __init__(self, info: ModelInfo, generator: Generator, device: torch.device, precision: torch.dtype) -> None:
        self.info = info
        self.device = device
        self.precision = precision
        self.generator = generator.to(device).eval()
        self.steps = info.generator.bridge_steps
        self._packed: nn.Module | None = None
        self._same_bits: dict[tuple[int, ...], bool] = {}  # by number, C, H, W of images that went together

    @property
    def computed_on(self) -> str:
        """Device and precision, such as "cpu in bfloat16", and the backend unless that is Calco."""
        if self.backend is not None:
            return f"{self.device} in {NAMES[self.backend.precision]} by {self.backend.name}"
        return f"{self.device} in {NAMES[self.precision]}"

    @property
    def settings(self) -> dict[str, Any]:
        """What images depend on beside the weights, as plain data."""
        overlay = {} if self.overlay is None else {"overlay": asdict(self.overlay)}
        steps = {"steps": self.steps} if self.steps else {}
        backend = {} if self.backend is None else {"backend": self.backend.identity}
        precision = self.precision if self.backend is None else self.backend.precision
        return {"precision": str(precision).removeprefix("torch."), **backend, **steps, **overlay}

    @property
    def resizes_classes(self) -> bool:
        """True if maps become classes before they are resized: a mixture of two colours may be that of a third."""
        return self.info.palette is not None and self.info.generator.composition == "plain"

    def classes_of(self, maps: Tensor) -> Indices:
        """Return the class of each pixel of the maps, HW, by the nearest colour of the palette."""
        assert self.info.palette is not None
        return decode(imaging.to_image(maps[0]), self.info.palette)

    def resized_classes(self, classes: Indices, resize: Callable[[Tensor], Tensor]) -> Indices:
        """Resize classes, HW, by a function that resizes a plane, 1, 1, H, W, for each of them; the largest wins."""
        best, chosen = torch.zeros(0), torch.zeros(0)
        for number, value in enumerate(np.unique(classes)):  # one at a time: all planes would take much memory
            plane = resize(torch.from_numpy((classes == value).astype(np.float32))[None, None].to(self.device))
            if not number:
                best, chosen = plane, torch.full(plane.shape, int(value), dtype=torch.uint8, device=self.device)
            chosen[plane > best] = int(value)
            best = torch.maximum(best, plane)
        return np.asarray(chosen[0, 0].cpu().numpy())

    def finished(self, prepared: Tensor, maps: Tensor, dtype: np.dtype[Any]) -> Image:
        """Compose an image, or rows of it, from what was prepared and maps of its size: 1, C, H, W twice => HWC."""
        composed = self.generator.compose(prepared, maps)[0]
        if self.info.palette is not None and composed.shape[0] == 3:
            return self.coloured(prepared, decode(imaging.to_image(composed), self.info.palette), dtype)
        return imaging.to_image(composed, dtype)

    def coloured(self, prepared: Tensor, classes: Indices, dtype: np.dtype[Any]) -> Image:
        """Return classes HW in the colours of the palette, or laid over the image: HWC."""
        assert self.info.palette is not None
        if self.overlay is not None:
            return overlaid(imaging.to_image(prepared[0], dtype), classes, self.info.palette, self.overlay)
        return imaging.as_dtype(paint(classes, self.info.palette), dtype)

    def tensor(self, image: Image) -> Tensor:
        """Convert HWC to 1, C, H, W in [-1, 1] on the device."""
        return imaging.to_tensor(image)[None].to(self.device)

    def lay_over(self, overlay: Overlay | None) -> None:
        """Lay painted classes over the images from now on; None gives the painted mask alone again."""
        if overlay is not None and (self.info.palette is None or self.info.out_channels != 3):
            raise CalcoError(
                f"--overlay lays the colours of classes over images, and the model learned "
                f"{recipe_title(self.info.recipe.recipe)}; leave it out, or take a model of --recipe segment"
            )
        self.overlay = overlay

    def refine_in(self, steps: int | None) -> None:
        """Refine the output in so many steps from now on, if the model is a bridge; None takes those of the training.

        Raises:
            CalcoError: If the model is not a bridge, or has no such number of steps.
        """
        known = self.info.generator.bridge_steps
        if steps is not None and not (known and isinstance(self.generator.backbone, Bridge)):
            raise CalcoError(
                f"--steps {steps} is for models of the preset bridge, and this one generates in one step; leave it out"
            )
        if steps is not None and not 1 <= steps <= MOST_STEPS:
            raise CalcoError(f"steps is {steps}; it must lie between 1 and {MOST_STEPS}")
        self.steps = steps or known

    @property
    def backbone(self) -> nn.Module:
        """The generator's backbone, or its packed copy."""
        if self._packed is None and self.backend is None and cpu.applies(self.device, self.precision):
            self._packed = packed(self.generator.backbone, self.precision)
        return self._packed or self.generator.backbone

    def maps(self, seen: Tensor) -> Tensor:
        """Apply the network to what it sees of an image: 1, C, H, W => 1, D, H, W."""
        size_wh = (seen.shape[3], seen.shape[2])
        return torch.cat([band.maps for band in self.bands(lambda top, end: seen[:, :, top:end], size_wh)], 2)

    @property
    def goes_together(self) -> bool:
        """True if several images may go through the network at once: Calco's own kernels on a CPU, without noise."""
        own = self.backend is None and self.device.type == "cpu"
        return own and not isinstance(self.generator.backbone, Bridge)

    def maps_of(self, seen: Sequence[Tensor]) -> list[Tensor]:
        """Apply the network to what it sees of several images, each 1, C, H, W of one shape: to the bits of `maps`.

        They go through it eight, four or two at once where that changes no bit. The order in which a kernel adds
        depends on shapes alone, so both ways are compared once for each shape and number.
        """
        done: list[Tensor] = []
        pixels = seen[0].shape[2] * seen[0].shape[3] if seen else 0
        while len(done) < len(seen):
            rest = seen[len(done) :]
            number = next(n for n in _TOGETHER if n == 1 or (n <= len(rest) and n * pixels <= _TOGETHER_PIXELS))
            key = (number, *rest[0].shape[1:])
            is_known = key in self._same_bits
            if number == 1 or not self.goes_together or not self._same_bits.get(key, len(self._same_bits) < _SHAPES):
                done.append(self.maps(rest[0]))
                continue
            maps = list(self.maps(torch.cat(list(rest[:number]))).split(1))
            if not is_known:
                alone = [self.maps(each) for each in rest[:number]]
                self._same_bits[key] = all(map(torch.equal, maps, alone))
                maps = alone
            done += maps
        return done

    def bands(self, rows: Rows, size_wh: tuple[int, int]) -> Iterator[Band]:
        """Apply the network to an image whose rows are asked for; yields bands of rows."""
        multiple, network = self.generator.multiple, self.backbone
        padded = Padded(rows, size_wh, multiple)
        width, height = (max(multiple, side // multiple * multiple) for side in (TILE, min(TILE, _BAND // size_wh[0])))
        if padded.height <= height and padded.width <= width:
            seen = padded.rows(0, padded.height)
            yield Band(padded.cut(seen, 0), padded.cut(self._applied(network, seen).float(), 0))
            return
        tile_wh = width, height
        yield from blended(
            lambda x, origin: self._applied(network, x, origin).float(), padded, tile_wh=tile_wh, overlap=OVERLAP
        )

    def _applied(self, network: nn.Module, x: Tensor, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """Apply the backbone in its precision; `origin` is the row and column of the first pixel of a tile."""
        if self.backend is not None:
            return self.backend.maps(x)
        x = x.contiguous(memory_format=torch.channels_last)
        apply: Callable[[Tensor], Tensor] = network
        if isinstance(network, Bridge):
            apply = partial(network.sample, steps=self.steps, origin=origin)
        if self._packed is not None:
            return torch.as_tensor(apply(x.to(self.precision)))
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            return torch.as_tensor(apply(x))


@contextlib.contextmanager
def varied(backbone: nn.Module, noise_seed: int | None) -> Iterator[None]:
    """Take the noise of a bridge from a seed inside, or keep dropout on; None leaves dropout off, and the seed at 0."""
    if noise_seed is None:
        yield
        return
    if isinstance(backbone, Bridge):
        before, backbone.seed = backbone.seed, noise_seed
        try:
            yield
        finally:
            backbone.seed = before
        return
    layers = [m for m in backbone.modules() if isinstance(m, nn.Dropout)]
    with torch.random.fork_rng():
        torch.manual_seed(noise_seed)
        for layer in layers:
            layer.train()
        try:
            yield
        finally:
            for layer in layers:
                layer.eval()
