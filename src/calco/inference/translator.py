"""The Translator: a model loaded from a run, a model folder or an exported file, applied to one image."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco import imaging
from calco.data.augmentation import fitted_size, whole_side
from calco.errors import CalcoError, enough_memory
from calco.files import digest
from calco.imaging import Image
from calco.imaging.strips import Whole
from calco.inference.backends import Name as BackendName
from calco.inference.backends import Workload, newest, use_backend
from calco.inference.folder import (
    DESCRIPTION,
    EXPORTED,
    FORMAT,
    ModelInfo,
    find_folder,
    fitting,
    info_of,
    is_exported,
    mean_name,
    read_description,
)
from calco.inference.large import draw
from calco.inference.network import Network, adapted, varied
from calco.inference.runtimes import OnnxFile, OpenvinoFile, Runtime, as_description, explained, read_record
from calco.networks.build import build_generator
from calco.networks.generator import Generator, output_channels
from calco.networks.machine import choose_device, choose_precision
from calco.records import to_record


class Translator(Network):
    """A loaded model: `translator(image) -> image`, any size in, the same size and type out, deterministic.

    A network recognises objects at the size at which it learned them. An image is therefore resized to the scale of the
    training, and the network's output to the image's own size, where it is composed with the untouched input; a model
    trained at native scale (`resize` 0) sees images as they are, in tiles if they are large.

    Attributes:
        info: Description of the model.
        device: Device of the computation.
        overlay: How painted masks are laid over the image; None gives the masks alone.
    """

    def __init__(
        self, info: ModelInfo, generator: Generator, *, mean_target: Callable[[], Image | None] = lambda: None,
        device: str | torch.device = "cpu", precision: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        super().__init__(info, generator, torch.device(device), precision)
        self._mean_target = mean_target

    @cached_property
    def mean_target(self) -> Image | None:
        """Mean of the targets of the training, HWC uint8; None if the model does not hold it."""
        return self._mean_target()

    def _repr_html_(self) -> str:
        """Return what the model is, as a notebook shows it."""
        from calco.report import display  # for notebooks: images are translated without it
        from calco.report.numbers import measure_name, number

        info, language = self.info, display.chosen_language()
        words = ("translator", "recipe", "network", "step", "channels", "to", "device", "validation")
        if language == "es":
            words = ("traductor", "receta", "red", "paso", "canales", "a", "dispositivo", "validación")
        title, recipe, network, step, channels, to, device, validation = words
        rows = [
            (recipe, info.recipe.recipe), (network, info.generator.architecture), (step, number(info.step, language)),
            (channels, f"{info.in_channels} {to} {info.out_channels}"), (device, str(self.device)),
            *((f"{measure_name(name, language)} ({validation})", number(value, language, ".4g"))
              for name, value in info.scores.items()),
        ]  # fmt: skip
        return display.table([(title, ""), *rows])

    def __call__(
        self, image: Image, *, mask: Image | None = None, noise_seed: int | None = None, native: bool = False
    ) -> Image:
        """Translate one image.

        Args:
            image: HWC or HW, uint8, uint16 or float32 in [0, 1], of any size; grey and RGB, with or without alpha, are
                converted to each other, while a model of bands needs as many as it learned from.
            mask: Area to redraw, for a model that learned to fill holes: HW bool, or an image that is white there.
                Without it, transparent pixels and those of the fill colour of the training are redrawn.
            noise_seed: Keep dropout on, with random numbers from this seed, for variety; None for the deterministic
                result.
            native: Show the network the image at its own scale, whatever the scale of the training was.

        Returns:
            HWC of the same height, width and dtype, with the channels of the training targets.

        Raises:
            CalcoError: If the array is not an image (see `imaging.as_image`), the mask does not fit, or there is not
                enough memory.
        """
        image = imaging.as_image(image)
        if noise_seed is not None and not 0 <= noise_seed < 1 << 63:
            raise CalcoError(f"noise seed is {noise_seed}; it must lie between 0 and 2**63 - 1: for example 7")
        if noise_seed is not None and self.backend is not None:
            raise CalcoError(f"{self.backend.name} has no dropout, so there is no variety; leave the noise seed out")
        mask = _as_mask(mask)
        height, width = image.shape[:2]
        with enough_memory(f"the image has {width}x{height} pixels: close other programs, or give a smaller one"):
            if height * width > imaging.LARGE:
                return draw(self, Whole(image), mask=mask, noise_seed=noise_seed, native=native).whole()
            with torch.inference_mode(), varied(self.backbone, noise_seed):
                prepared, seen = self._prepared(image, mask, native)
                return self._composed(prepared, self.maps(seen), image.dtype)

    def many(self, images: Sequence[Image], *, masks: Sequence[Image | None] = ()) -> list[Image]:
        """Translate several images to the same bits as one call for each, in less time where they can go together.

        Args:
            images: As of a call, of any sizes.
            masks: Mask of each image or None; by default no image has one.

        Returns:
            An image for each, as of a call.

        Raises:
            CalcoError: As of a call, for the first image that cannot be used.
        """
        asked = list(zip(images, masks or [None] * len(images), strict=True))
        done: dict[int, Image] = {}
        ready: dict[tuple[int, ...], list[tuple[int, Image, Tensor, Tensor]]] = {}
        with torch.inference_mode():
            for place, (given, mask) in enumerate(asked):
                image = imaging.as_image(given)
                if not self.goes_together or image.shape[0] * image.shape[1] > imaging.LARGE:
                    done[place] = self(image, mask=mask)
                    continue
                prepared, seen = self._prepared(image, _as_mask(mask), native=False)
                ready.setdefault(tuple(seen.shape), []).append((place, image, prepared, seen))
            with enough_memory(f"{len(asked)} images go through the network at once: close other programs"):
                for group in ready.values():
                    outputs = self.maps_of([seen for *_, seen in group])
                    for (place, image, prepared, _), maps in zip(group, outputs, strict=True):
                        done[place] = self._composed(prepared, maps, image.dtype)
        return [done[place] for place in range(len(asked))]

    def _prepared(self, image: Image, mask: Image | None, native: bool) -> tuple[Tensor, Tensor]:
        """Prepare an image for the network: 1, C, H, W at its own size, and 1, C, h, w at the network's."""
        height, width = image.shape[:2]
        jitter = self.info.jitter
        image = adapted(image, mask, self.info.recipe, self.info.in_channels, self.info.source.background)
        paper = imaging.background_colour(self.info.source.background) or imaging.WHITE
        image = imaging.as_channels(image, self.info.in_channels, paper)
        size = fitted_size((width, height), 0 if native else whole_side(jitter), jitter)
        prepared = self.generator.prepare(self.tensor(image))
        return prepared, prepared if size == (width, height) else self._resized(image, prepared, size)

    def _composed(self, prepared: Tensor, maps: Tensor, dtype: np.dtype[Any]) -> Image:
        """Compose the network's maps with the image, at its size."""
        size = prepared.shape[2:]
        if maps.shape[2:] != size:
            if self.resizes_classes:
                classes = self.resized_classes(
                    self.classes_of(maps),
                    lambda plane: F.interpolate(plane.contiguous(), size, mode="bicubic", antialias=True),
                )
                return self.coloured(prepared, classes, dtype)
            # Bicubic overshoots at edges; the maps' own range is [-1, 1].
            # With the channels last, torch 2 is wrong by up to a quarter where the result is one pixel wide.
            maps = F.interpolate(maps.contiguous(), size, mode="bicubic", antialias=True).clamp(-1, 1)
        return self.finished(prepared, maps, dtype)

    def _resized(self, image: Image, prepared: Tensor, size_wh: tuple[int, int]) -> Tensor:
        """Resize a prepared image for the network, resampled as the images of the training were."""
        how = self.info.jitter.resampling
        if self.generator.holes is None:
            return self.tensor(imaging.resize(image, size_wh, how))
        # The colour of the holes must not bleed into its surroundings: filled first, then resized.
        filled = imaging.resize(imaging.to_image(prepared[0, :-1].cpu(), np.float32), size_wh, how)
        holes = F.interpolate(prepared[:, -1:], size_wh[::-1], mode="area")
        return torch.cat([self.tensor(filled), holes], 1)


def _as_mask(mask: Image | None) -> Image | None:
    """Check a mask that a caller gives: HW or HWC bool, or an image."""
    if mask is None or (getattr(mask, "dtype", None) == np.bool_ and mask.ndim in (2, 3)):
        return mask
    return imaging.as_image(mask, "the mask")


def model_folder(path: str | Path) -> Path:
    """Return the model folder that `path` means: itself, or the one inside a run."""
    return find_folder(path, command="calco train", names="a run, a model folder, or a file that calco export wrote")


def load_info(path: str | Path) -> ModelInfo:
    """Read `model.json`, or the description in an exported file."""
    if is_exported(path):
        return describe(path).info
    folder = model_folder(path)
    record = read_description(folder, FORMAT)
    file = folder / DESCRIPTION
    if record.get("kind") == "detector":
        raise CalcoError(f"{file} describes a detector, not a translator; use it by calco detect predict or evaluate")
    return info_of(record, file)


def load(
    path: str | Path, *, device: str = "auto", precision: str = "fp32", backend: BackendName = "calco",
    examples: Sequence[Image] = (),
) -> Translator:  # fmt: skip
    """Load a model for use.

    Args:
        path: A run, a model folder, or a file that `calco export` wrote.
        device: "cpu", "cuda", or "auto" for the GPU if there is one.
        precision: "fp32"; "bf16" (on a GPU also "fp16"), which is faster and differs by about half a level of a byte;
            or "auto" for bf16 where the machine has instructions for it. With a backend also "int8", which "auto" may
            take.
        backend: "calco" for Calco's own kernels; "openvino" or "onnxruntime"; or "auto" for the fastest whose images
            agree. What is built is kept in the model's folder. Without examples, only what was built before is taken.
        examples: Images as the model will get them, HWC; 20 are enough. Backends are compared on some of them, and
            calibrated on the others for int8.

    Returns:
        The model.

    Raises:
        CalcoError: If a file is missing, damaged, of a newer format, or does not fit the description; if the device
            does not exist or lacks the precision; if a backend that is named cannot be used, or its images differ.
    """
    if is_exported(path):
        if backend != "calco":
            raise CalcoError(f"{path} is computed by its own runtime; leave backend {backend} out, or name a folder")
        return load_exported(path, device=device, precision=precision)
    translator = _loaded(path, device, "fp32" if precision == "int8" and backend != "calco" else precision)
    folder = model_folder(path)
    samples = [partial(_translated, image) for image in examples]
    taken = backend == "calco" or (not samples and newest(translator, folder, precision, backend))
    if not taken and (samples or backend != "auto"):
        use_backend(translator, folder, Workload(samples=samples), backend=backend, precision=precision)
    return translator


def _translated(image: Image, translator: Translator) -> Image:
    return translator(image)


def _loaded(path: str | Path, device: str, precision: str) -> Translator:
    """Load a model folder with Calco's own kernels."""
    chosen = choose_device(device)
    dtype = choose_precision(precision, chosen)
    folder = model_folder(path)
    info = load_info(folder)
    generator = fitting(
        folder, lambda: build_generator(info.generator, info.in_channels, info.out_channels), channels_last=True
    )
    mean = folder / mean_name(info)
    return Translator(
        info, generator, device=chosen, precision=dtype,
        mean_target=lambda: imaging.read(mean, background="channel") if mean.is_file() else None,
    )  # fmt: skip


def weights_digest(model: str | Path | Translator) -> str:
    """Return a digest of a model: of its weights and of its description."""
    if isinstance(model, Translator):
        total = hashlib.sha256(repr(to_record(replace(model.info, provenance={}, scores={}))).encode())
        for name, tensor in sorted(model.generator.state_dict().items()):
            total.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return total.hexdigest()[:16]
    if is_exported(model):
        return digest(model)
    folder = model_folder(model)
    return digest(folder / DESCRIPTION)  # it holds the digest of the weights, which loading checks


EXPORT_FORMAT: Final = 1
PRECISIONS: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}


@dataclass(frozen=True, kw_only=True)
class Description:
    """Description that an exported file holds beside its graph."""

    format: int
    calco: str  # version that wrote it
    model: dict[str, Any]  # the whole `model.json`
    kind: str  # onnx or openvino
    precision: str  # fp32, bf16 or int8
    licence: str = ""  # of the model, if it was given
    compared: dict[str, Any] = field(default_factory=dict)  # differences from the model's images
    mean_target: str | None = None  # PNG in base 64

    @property
    def info(self) -> ModelInfo:
        """Description of the model."""
        return info_of(self.model, "the model in it")


def describe(path: str | Path) -> Description:
    """Read the description in an exported file."""
    file = Path(path)
    record = read_record(file, "calco export")
    if record.get("kind") == "detector":
        raise CalcoError(f"{file} holds a detector, not a translator; calco detect predict takes it")
    found = as_description(record, file, Description, (EXPORT_FORMAT, FORMAT))
    if found.kind != EXPORTED[file.suffix]:
        raise CalcoError(f"{file} is damaged (it says that it is {found.kind}); export the model again")
    if found.precision not in PRECISIONS:
        raise CalcoError(f"{file} is of precision {found.precision}; known are {', '.join(PRECISIONS)}")
    return found


def load_exported(path: str | Path, *, device: str = "auto", precision: str = "fp32") -> "ExportedTranslator":
    """Open an exported file for use, as `load` does; fp32 and auto take the precision that it has."""
    file = Path(path)
    found = describe(file)
    if precision not in ("auto", "fp32", found.precision):
        raise CalcoError(
            f"{file} computes in {found.precision}, and {precision} was asked for; leave --precision out, or export "
            f"the model again with --precision {precision}"
        )
    if device not in ("auto", "cpu"):
        raise CalcoError(f"{file} is computed on the CPU, and the device is {device}; name the model's folder for that")
    with explained(file):
        hint = "bf16" if found.precision == "bf16" else "f32"
        return ExportedTranslator(found, OnnxFile(file) if found.kind == "onnx" else OpenvinoFile(file, hint), file)


class _Elsewhere(nn.Module):
    """A backbone whose weights another runtime holds."""

    def __init__(self, runtime: Runtime, depth: int, channels: int, file: Path) -> None:
        super().__init__()
        self.runtime, self.depth, self.channels, self.file = runtime, depth, channels, file

    def forward(self, x: Tensor) -> Tensor:
        maps = self.runtime.maps(x)
        fits = (x.shape[0], self.channels, *x.shape[2:])
        if maps.shape != fits or not maps.is_floating_point():
            given = f"{maps.dtype} {tuple(maps.shape)}"
            raise CalcoError(f"{self.file} is damaged (its network gives {given}, not {fits}); export the model again")
        return maps


class ExportedTranslator(Translator):
    """A file that `calco export` wrote, with the interface of the Translator and its images within a tolerance.

    Only the network runs elsewhere: images of any size and depth are shown at the scale of the training and composed
    at their own.
    """

    def __init__(self, description: Description, runtime: Runtime, file: Path) -> None:
        info = description.info
        with torch.device("meta"):
            like = build_generator(info.generator, info.in_channels, info.out_channels)
        channels = output_channels(like.composition, like.out_channels, like.holes)
        generator = Generator(
            _Elsewhere(runtime, like.backbone.depth, channels, file),  # type: ignore[arg-type]
            composition=like.composition, out_channels=like.out_channels, holes=like.holes,
        )  # fmt: skip
        super().__init__(
            info, generator, device=runtime.device, precision=PRECISIONS[description.precision],
            mean_target=lambda: _decoded(description.mean_target),
        )  # fmt: skip
        self.description = description
        self.runtime = runtime

    def __call__(
        self, image: Image, *, mask: Image | None = None, noise_seed: int | None = None, native: bool = False
    ) -> Image:
        """Translate an image as `Translator` does; there is no dropout."""
        if noise_seed is not None:
            raise CalcoError("an exported model has no dropout, so there is no variety; leave --noise-seed out")
        return super().__call__(image, mask=mask, native=native)

    goes_together = False

    @property
    def backbone(self) -> nn.Module:
        """The file's network."""
        return self.generator.backbone

    def _applied(self, network: nn.Module, x: Tensor, _origin: tuple[int, int] = (0, 0)) -> Tensor:
        return torch.as_tensor(network(x)).float()


def _decoded(encoded: str | None) -> Image | None:
    if encoded is None:
        return None
    try:
        return imaging.decode(base64.b64decode(encoded), "mean_target.png")
    except (binascii.Error, CalcoError):
        return None
