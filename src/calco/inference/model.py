"""The model folder, and the Translator that is loaded from it."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco import imaging
from calco.data.augmentation import fitted_size, whole_side
from calco.data.config import JitterConfig, SourceConfig, SplitConfig
from calco.data.palettes import Indices, Palette, decode, named_palette, paint
from calco.data.recipes import RecipeConfig, has_class_targets, recipe_title
from calco.errors import CalcoError, enough_memory
from calco.imaging import Image
from calco.imaging.strips import Whole
from calco.inference.adapt import adapted, as_mask
from calco.inference.folder import (
    DESCRIPTION,
    find_folder,
    fitting,
    read_description,
    save_folder,
)
from calco.inference.overlay import Overlay, overlaid
from calco.inference.tiling import Band, Padded, Rows, blended, split_tiles, whole_tiles
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from calco.networks.generator import Generator
from calco.networks.machine import choose_device, choose_precision
from calco.networks.packed import can_pack, packed
from calco.networks.pieces import Split, pieces_of
from calco.records import from_record, to_record

FORMAT = 2
MOST_CHANNELS = 4096
TILE, OVERLAP = 1024, 128


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What `model.json` says of a model."""

    generator: GeneratorConfig
    recipe: RecipeConfig
    jitter: JitterConfig
    in_channels: int
    out_channels: int
    source: SourceConfig = field(default_factory=SourceConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    seed: int = 0
    step: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Checks the ranges, before anything is allocated for what the description claims."""
        for name in ("in_channels", "out_channels"):
            if not 1 <= getattr(self, name) <= MOST_CHANNELS:
                raise CalcoError(f"{name} is {getattr(self, name)}; a model has 1 to {MOST_CHANNELS:,} channels")

    @property
    def palette(self) -> Palette | None:
        """The colours that the model paints with, when its recipe ends in `segment`."""
        return named_palette(self.recipe.segment.palette) if has_class_targets(self.recipe) else None


class _View(NamedTuple):
    """An image as the network sees it."""

    dtype: np.dtype[Any]  # of the image
    prepared: Tensor  # 1, C, H, W, at its own size
    seen: Tensor  # 1, C, h, w, at the network's


class Translator:
    """A loaded model: `translator(image) -> image`, any size in, the same size and type out, deterministic.

    A network recognises objects at the size at which it learned them. An image is therefore brought to the scale of
    training, and what the network draws back to the image's own size, where it is composed with the untouched input;
    a model trained at native scale (`resize` 0) sees images as they are, in tiles when they are large.

    Attributes:
        info: What the model is.
        device: Where it computes.
        mean_target: The mean of the targets it was trained on, HWC uint8, or None.
        overlay: How what it paints is laid over the image; None gives the painted mask alone.
    """

    overlay: Overlay | None = None

    def __init__(
        self,
        info: ModelInfo,
        generator: Generator,
        *,
        mean_target: Image | None = None,
        device: str | torch.device = "cpu",
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.info = info
        self.device = torch.device(device)
        self.precision = precision
        self.generator = generator.to(self.device).eval()
        self.mean_target = mean_target
        self._packed: nn.Module | None = None

    def __call__(
        self, image: Image, *, mask: Image | None = None, noise_seed: int | None = None, native: bool = False
    ) -> Image:
        """Translates one image.

        Args:
            image: HWC or HW, uint8, uint16 or float32 in [0, 1], of any size; grey and RGB, with alpha or without,
                become each other, while a model of bands takes as many as it learned from.
            mask: For a model that learned to fill holes, what is to be redrawn: HW bool, or an image that is white
                there. Without it, what is transparent, or has the colour of the holes of the training.
            noise_seed: Leaves dropout on, drawn from this seed, for variety; None for the one deterministic result.
            native: Shows the network the image at its own scale, whatever the scale of training was.

        Returns:
            HWC of the same height, width and dtype, with the channels of the training targets.

        Raises:
            CalcoError: When the array is not an image (see `imaging.as_image`), the mask does not fit, or the memory
                does not suffice.
        """
        image = imaging.as_image(image)
        if noise_seed is not None and not 0 <= noise_seed < 1 << 63:
            raise CalcoError(f"noise seed is {noise_seed}; it must lie between 0 and 2**63 - 1: for example 7")
        mask = None if mask is None else as_mask(mask)
        height, width = image.shape[:2]
        with enough_memory(f"the image has {width}x{height} pixels: close other programs, or give a smaller one"):
            if height * width > imaging.LARGE:
                from calco.inference.large import draw  # which knows the Translator

                return draw(self, Whole(image), mask=mask, noise_seed=noise_seed, native=native).whole()
            with torch.inference_mode(), dropout(self.backbone, noise_seed):
                view = self._view(image, mask, native)
                return self._drawn(view, self.maps(view.seen))

    def _view(self, image: Image, mask: Image | None, native: bool) -> "_View":
        """An image on its way into the network."""
        height, width = image.shape[:2]
        jitter = self.info.jitter
        image = adapted(image, mask, self.info.recipe, self.info.in_channels, self.info.source.background)
        paper = imaging.background_colour(self.info.source.background) or imaging.WHITE
        image = imaging.as_channels(image, self.info.in_channels, paper)
        size = fitted_size((width, height), 0 if native else whole_side(jitter), jitter)
        prepared = self.generator.prepare(self.tensor(image))
        seen = prepared if size == (width, height) else self._resized(image, prepared, size)
        return _View(image.dtype, prepared, seen)

    def _drawn(self, view: "_View", maps: Tensor) -> Image:
        """The image that the network's maps make, at the size that was given."""
        size = view.prepared.shape[2:]
        if maps.shape[2:] != size:
            if self.resizes_classes:
                classes = self.classes_of(maps)
                held = np.unique(classes)
                planes = class_planes(classes, held).to(self.device)
                best = torch.full((1, 1, *size), -math.inf, device=self.device)
                chosen = torch.zeros((1, 1, *size), dtype=torch.uint8, device=self.device)
                for place in range(len(held)):  # one at a time: many classes of a large image are many planes
                    plane = planes[:, place : place + 1].contiguous()
                    plane = F.interpolate(plane, size, mode="bicubic", antialias=True)
                    chosen[plane > best] = int(held[place])
                    best = torch.maximum(best, plane)
                return self.coloured(view.prepared, chosen[0, 0].cpu().numpy(), view.dtype)
            # Bicubic overshoots at edges; the maps' own range is [-1, 1].
            # With the channels last, torch 2 is wrong by up to a quarter where the result is one pixel wide.
            maps = F.interpolate(maps.contiguous(), size, mode="bicubic", antialias=True).clamp(-1, 1)
        return self.finished(view.prepared, maps, view.dtype)

    @property
    def resizes_classes(self) -> bool:
        """Whether maps become classes before they are resized: a mixture of two colours may be that of a third."""
        return self.info.palette is not None and self.info.generator.composition == "plain"

    def classes_of(self, maps: Tensor) -> Indices:
        """The class of each pixel of the maps, HW, by the nearest colour of the palette."""
        assert self.info.palette is not None
        return decode(imaging.to_image(maps[0]), self.info.palette)

    def finished(self, prepared: Tensor, maps: Tensor, dtype: np.dtype[Any]) -> Image:
        """The image, or rows of it, that maps of its size make of what was prepared: 1, C, H, W twice => HWC."""
        drawn = self.generator.compose(prepared, maps)[0]
        if self.info.palette is not None and drawn.shape[0] == 3:
            return self.coloured(prepared, decode(imaging.to_image(drawn), self.info.palette), dtype)
        return imaging.to_image(drawn, dtype)

    def coloured(self, prepared: Tensor, classes: Indices, dtype: np.dtype[Any]) -> Image:
        """Classes HW in the colours of the palette, or laid over the image: HWC."""
        assert self.info.palette is not None
        if self.overlay is not None:
            return overlaid(imaging.to_image(prepared[0], dtype), classes, self.info.palette, self.overlay)
        return imaging.as_dtype(paint(classes, self.info.palette), dtype)

    def _resized(self, image: Image, prepared: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """What the network sees of an image at another size, resampled as the images of the training were."""
        how = self.info.jitter.resampling
        if self.generator.holes is None:
            return self.tensor(imaging.resize(image, size_wh, how))
        # The colour of the holes must not bleed into its surroundings: filled first, then resized.
        filled = imaging.resize(imaging.to_image(prepared[0, :-1].cpu(), np.float32), size_wh, how)
        holes = F.interpolate(prepared[:, -1:], size_wh[::-1], mode="area")
        return torch.cat([self.tensor(filled), holes], 1)

    def tensor(self, image: Image) -> Tensor:
        """HWC => 1, C, H, W in [-1, 1] on the Translator's device."""
        return imaging.to_tensor(image)[None].to(self.device)

    def lay_over(self, overlay: Overlay | None) -> None:
        """From now on gives the image with what it paints laid over it; None for the painted mask again.

        Raises:
            CalcoError: When the model paints no classes.
        """
        if overlay is not None and (self.info.palette is None or self.info.out_channels != 3):
            raise CalcoError(
                f"--overlay lays the colours of classes over images, and the model learned "
                f"{recipe_title(self.info.recipe.recipe)}; leave it out, or take a model of --recipe segment"
            )
        self.overlay = overlay

    @property
    def backbone(self) -> nn.Module:
        """What draws: the generator's backbone, or its packed copy."""
        if self._packed is None and can_pack(self.device):
            self._packed = packed(self.generator.backbone, self.precision)
        return self._packed or self.generator.backbone

    def maps(self, seen: Tensor) -> Tensor:
        """What the network draws of what it sees: 1, C, H, W => 1, D, H, W."""
        size_wh = (seen.shape[3], seen.shape[2])
        return torch.cat([band.maps for band in self.bands(lambda top, end: seen[:, :, top:end], size_wh)], 2)

    def bands(self, rows: Rows, size_wh: tuple[int, int]) -> Iterator[Band]:
        """What the network draws of an image whose rows are asked for: some rows of it after others."""
        multiple, network = self.generator.multiple, self.backbone
        padded = Padded(rows, size_wh, multiple)
        tile = max(multiple, TILE // multiple * multiple)
        if padded.height <= tile and padded.width <= tile:
            seen = padded.rows(0, padded.height)
            yield Band(padded.cut(seen, 0), padded.cut(self._applied(network, seen).float(), 0))
            return
        pieces = pieces_of(network, padded.height * padded.width, self.precision.itemsize)
        if isinstance(pieces, Split):
            yield from split_tiles(pieces, self._applied, padded, tile=tile)
        elif pieces is not None:
            rim = -(-pieces.rim // multiple) * multiple
            yield from whole_tiles(lambda x: self._applied(network, x).float(), padded, tile=tile, rim=rim)
        else:
            yield from blended(lambda x: self._applied(network, x).float(), padded, tile=tile, overlap=OVERLAP)

    def _applied(self, part: Callable[..., Tensor], x: Tensor) -> Tensor:
        """A part of the network, or the whole, in the Translator's precision."""
        x = x.contiguous(memory_format=torch.channels_last)
        if self._packed is not None:
            return part(x.to(self.precision))
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            return part(x)


def class_planes(classes: Indices, held: npt.NDArray[np.uint8]) -> Tensor:
    """Classes HW => 1, K, H, W: a plane for each of the classes `held`, 1 where it is."""
    return torch.from_numpy((classes[None] == held[:, None, None]).astype(np.float32))[None]


@contextlib.contextmanager
def dropout(generator: nn.Module, noise_seed: int | None) -> Iterator[None]:
    """Leaves dropout on, drawn from a seed; None leaves it off."""
    if noise_seed is None:
        yield
        return
    layers = [m for m in generator.modules() if isinstance(m, nn.Dropout)]
    with torch.random.fork_rng():
        torch.manual_seed(noise_seed)
        for layer in layers:
            layer.train()
        try:
            yield
        finally:
            for layer in layers:
                layer.eval()


def save_model(folder: Path, info: ModelInfo, weights: dict[str, Tensor], mean_target: Image | None) -> None:
    """Writes a model folder whole, in place of the one that may stand there.

    Args:
        folder: The model folder.
        info: Its description.
        weights: The generator's state.
        mean_target: HWC uint8, the mean of the training targets, kept for the baselines of evaluation.

    Raises:
        CalcoError: When it cannot be written; what stood there before then still stands.
    """

    def beside(fresh: Path) -> None:
        if mean_target is not None:
            imaging.write(fresh / _mean_name(info), mean_target)

    save_folder(folder, to_record(info), weights, beside)


def _mean_name(info: ModelInfo) -> str:
    """PNG, unless it cannot hold the channels."""
    return "mean_target.png" if info.out_channels <= 4 else "mean_target.tif"


def model_folder(path: str | Path) -> Path:
    """The model folder that `path` means: itself, or the one inside a run.

    Raises:
        CalcoError: When there is none.
    """
    return find_folder(path, command="calco train", names="a run, a model folder, or a file that calco export wrote")


def load_info(path: str | Path) -> ModelInfo:
    """Reads `model.json`, or what stands in an exported file.

    Raises:
        CalcoError: When it is missing, of a newer format or damaged.
    """
    from calco.inference.exported import describe, is_exported

    if is_exported(path):
        return describe(path).info
    folder = model_folder(path)
    record = read_description(folder, FORMAT)
    file = folder / DESCRIPTION
    if record.get("kind") == "detector":
        raise CalcoError(f"{file} describes a detector, not a translator; use it by calco detect predict or evaluate")
    return info_of(record, file)


def info_of(record: dict[str, Any], where: str | Path) -> ModelInfo:
    """Return what a `model.json` of any origin says, without reading a file that it names.

    Args:
        record: Its content.
        where: The file that it is from, for the error.

    Raises:
        CalcoError: When it is damaged, or names a file.
    """
    place: Any = record
    for name in ("recipe", "segment", "palette"):
        place = place.get(name) if isinstance(place, dict) else None
    if isinstance(place, str):
        try:
            named_palette(place, files=False)
        except CalcoError as error:
            raise CalcoError(f"{where}: {error}") from error
    return from_record(ModelInfo, record, where)


def _fitting(info: ModelInfo, folder: Path) -> Generator:
    """The network that a folder describes, with its weights.

    Raises:
        CalcoError: When they are missing, damaged, or those of another network.
    """
    return fitting(folder, lambda: build_generator(info.generator, info.in_channels, info.out_channels))


def load(path: str | Path, *, device: str = "auto", precision: str = "fp32") -> Translator:
    """Loads a model for use.

    Args:
        path: A run, a model folder, or a file that `calco export` wrote.
        device: "cpu", "cuda", or "auto" for the GPU where there is one.
        precision: fp32; or bf16 (on a GPU fp16 too), where speed counts more than half a level of a byte; or auto for
            bf16 where the machine has instructions for it.

    Returns:
        The model.

    Raises:
        CalcoError: When a file is missing, damaged, of a newer format, or does not fit the description; when the device
            does not exist or lacks the precision.
    """
    from calco.inference.exported import is_exported, load_exported

    if is_exported(path):
        return load_exported(path, device=device, precision=precision)
    chosen = choose_device(device)
    dtype = choose_precision(precision, chosen)
    folder = model_folder(path)
    info = load_info(folder)
    generator = _fitting(info, folder)
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = folder / _mean_name(info)
    return Translator(
        info,
        generator,
        mean_target=imaging.read(mean, background="channel") if mean.is_file() else None,
        device=chosen,
        precision=dtype,
    )
