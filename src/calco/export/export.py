"""`calco export`: a translator as one file, compared with the model on real images before it gets its name."""

import base64
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import torch

from calco import imaging
from calco.data.dataset import PairDataset
from calco.data.recipes import build_recipe
from calco.data.source import settled
from calco.data.sources import open_source
from calco.data.splits import split_items
from calco.errors import CalcoError
from calco.export import ExportConfig
from calco.export.graph import (
    Comparison,
    Exported,
    export_graph,
    named_images,
    target_path,
    training_images,
    write,
)
from calco.export.parts import image_channels, joined, onnx_parts
from calco.imaging import Image
from calco.inference.folder import ModelInfo
from calco.inference.graphs import halved, quantised
from calco.inference.network import Padded
from calco.inference.translator import (
    EXPORT_FORMAT,
    Description,
    ExportedTranslator,
    Translator,
    load,
    load_exported,
    model_folder,
)
from calco.outputs import writing_file
from calco.records import to_record
from calco.version import __version__

if TYPE_CHECKING:
    import onnx

TOLERANCE: Final = 1  # levels of 255, for files that compute in fp32
LEAST: Final = {"bf16": 35.0, "int8": 25.0}  # dB of PSNR against the images of fp32
CLASSES: Final = 0.001  # share of the pixels of a class map that may fall to another class
COMPARED: Final = 6
CALIBRATED: Final = 32
_SIDE: Final = 512  # largest side of the images that the whole file gets at once


def export_model(config: ExportConfig) -> Exported[Description]:
    """Write a model as one file, with all that stands before and behind the network, and with its description.

    File and model are compared on real images; the file gets its name only when both give the same.

    Args:
        config: Model, format and options.

    Returns:
        The file, its description, and how far both lie apart.

    Raises:
        CalcoError: When the model or the images cannot be used, a library is missing, the file cannot be written, or
            the two differ by more than the tolerance.
    """
    path = target_path(config.model, config.to, config.out, model_folder)
    with writing_file(path, "calco export"):
        model = load(config.model, device="cpu")
        if model.info.generator.bridge_steps:
            raise CalcoError(
                f"{config.model} is a bridge, whose steps and noise no exported file holds; export the model that it "
                "refines (train it with --generator.bridge-steps 0), or use the model folder as it is"
            )
        found = examples(model.info, config.images)
        mean = model.mean_target
        description = Description(
            format=EXPORT_FORMAT, calco=__version__, model=to_record(model.info), kind=config.to, precision="fp32",
            licence=config.licence, mean_target=None if mean is None or mean.shape[2] > 4
            else base64.b64encode(imaging.encode(mean, "mean_target.png")).decode(),
        )  # fmt: skip
        parts = onnx_parts(model)

        def narrow(plain: Path, described: Description) -> tuple["onnx.ModelProto", Description, str]:
            described = replace(described, precision=config.precision)
            network = _narrowed(parts["network"], config, model, found)
            graph = joined({**parts, "network": network})
            fewer = plain.with_name(f"fewer{plain.suffix}")
            write(fewer, config.to, graph, described)
            record, words = _cost(plain, fewer, found)
            compared = {**described.compared, config.precision: record}
            return graph, replace(described, compared=compared), f"{config.precision}: {words}"

        return export_graph(
            path, config.to, joined(parts), description,
            lambda trial: compare(model, load_exported(trial, device="cpu"), found.inputs), found.where,
            narrow if config.precision != "fp32" else None,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Inputs, HWC uint8 with the channels of the file, and their targets."""

    inputs: list[Image]  # inputs of the comparison
    targets: list[Image]  # their targets, HWC; empty if they are unknown
    training: list[Image]  # inputs of the training, for calibration
    where: str  # name of the images, in words


def examples(info: ModelInfo, images: str | Path | None) -> Examples:
    """Return images for the comparison: of the training, or of a folder for `calco train`, or of plain images."""
    if images is None:
        with training_images(info.provenance) as root:
            return _pairs(root, info)
    try:
        return _pairs(images, info)
    except CalcoError:  # plain images
        found = named_images(images, COMPARED + CALIBRATED)
    plain = [_shown(imaging.read(str(path), background=info.source.background), info) for path in found]
    inputs = plain[:COMPARED]
    return Examples(inputs=inputs, targets=[], training=plain, where=f"{len(inputs)} images of {images}")


def _pairs(root: str | Path, info: ModelInfo) -> Examples:
    source, recipe = settled(open_source(root, info.source), info.recipe, resolved=True)
    make = build_recipe(recipe, source.kind, source.recipe)
    splits = split_items(source.items, info.split)
    held, seen = (
        [data.pair(number, 0) for number in range(min(len(data), count))]
        for items, count in ((splits["test"] or splits["val"], COMPARED), (splits["train"], CALIBRATED))
        for data in [PairDataset(source, items, make, info.jitter, info.seed, train=False)]
    )
    return Examples(
        inputs=[_shown(pair.input, info) for pair in held], targets=[pair.target for pair in held],
        training=[_shown(pair.input, info) for pair in seen],
        where=f"{len(held)} images of {root} that were kept apart",
    )  # fmt: skip


def _shown(image: Image, info: ModelInfo) -> Image:
    paper = imaging.background_colour(info.source.background) or imaging.WHITE
    return np.ascontiguousarray(imaging.as_channels(imaging.as_dtype(image, np.uint8), image_channels(info), paper))


def compare(model: Translator, file: ExportedTranslator, inputs: Sequence[Image]) -> Comparison:
    """Compare the outputs for HWC bytes at the scale of the training, and of the whole file alone and in batches."""
    pairs: list[tuple[Image, Image]] = []
    for image in inputs:
        pairs.append((model(image), file(image)))
        height, width = (min(side, _SIDE) for side in image.shape[:2])
        # As it is, of odd sides, and small, where the mirrored border is larger than the image.
        cuts = (image[:height, :width], image[: height - 3, : max(1, width // 2)], image[:21, :34])
        pairs += [(model(cut, native=True), file.runtime.images(cut[None])[0]) for cut in cuts]
    height, width = (min(*(image.shape[axis] for image in inputs), _SIDE) for axis in (0, 1))
    batch = np.stack([image[:height, :width] for image in inputs[:3]])
    pairs += [(model(one, native=True), two) for one, two in zip(batch, file.runtime.images(batch), strict=True)]
    apart = [np.abs(one.astype(np.int16) - two) for one, two in pairs]
    largest = max(int(each.max()) for each in apart)
    mean = float(np.mean([each.mean() for each in apart]))
    differing = float(np.mean([each.any(axis=2).mean() for each in apart]))
    words = (
        f"{len(apart)} outputs of both compared, of several sizes, alone and in batches: largest difference "
        f"{largest} levels of 255, mean {mean:.5f}"
    )
    if model.info.palette is not None:  # colours stand for classes
        words += f"; other classes at {differing:.4%} of the pixels, of at most {CLASSES:.1%}"
        near = differing <= CLASSES
    else:
        words += f"; tolerance {TOLERANCE}"
        near = largest <= TOLERANCE
    record = {"runs": len(apart), "largest": largest, "mean": mean, "differing": differing}
    return Comparison(near=near, words=words, record={"fp32": record})


def _narrowed(
    network: "onnx.ModelProto", config: ExportConfig, model: Translator, found: Examples
) -> "onnx.ModelProto":
    """Return the network in the precision of the configuration."""
    if config.precision == "bf16":  # OpenVINO narrows by itself when it opens a file: there bf16 is a setting
        return halved(network) if config.to == "onnx" else network

    def seen(image: Image) -> npt.NDArray[np.float32]:
        _, view = model._prepared(image, None, native=False)
        size_wh = (view.shape[3], view.shape[2])
        padded = Padded(lambda top, end: view[:, :, top:end], size_wh, model.generator.multiple)
        return padded.rows(0, padded.height).contiguous().numpy()

    with torch.inference_mode():
        return quantised(network, [seen(image) for image in found.training])


def _cost(plain_path: Path, fewer_path: Path, found: Examples) -> tuple[dict[str, Any], str]:
    """Compare a file of fewer bits with that of fp32: quality, speed and size, as plain data and in words."""
    plain, fewer = (load_exported(path, device="cpu") for path in (plain_path, fewer_path))
    precision = fewer.description.precision
    made = [(plain(image), fewer(image)) for image in found.inputs]
    to_fp32 = statistics.fmean(min(100.0, cv2.PSNR(one, two)) for one, two in made)
    if to_fp32 < LEAST[precision]:
        raise CalcoError(
            f"in {precision} the images differ too much from those of fp32 (PSNR {to_fp32:.1f} dB; at least "
            f"{LEAST[precision]:.0f} dB are needed), so no file is written; export in fp32 or bf16"
        )
    sizes = [path.stat().st_size for path in (plain_path, fewer_path)]
    record: dict[str, Any] = {"psnr_to_fp32": to_fp32, "psnr_fp32": None, "psnr": None}
    words = f"PSNR {to_fp32:.2f} dB against the images of fp32"
    if found.targets:
        wanted = [imaging.as_channels(imaging.as_dtype(t, np.uint8), made[0][0].shape[2]) for t in found.targets]
        truth = [statistics.fmean(map(cv2.PSNR, side, wanted)) for side in zip(*made, strict=True)]
        record |= {"psnr_fp32": truth[0], "psnr": truth[1]}
        words += f"; against the targets {truth[1]:.3f} dB, fp32 {truth[0]:.3f} dB, "
        words += f"a loss of {truth[0] - truth[1]:.3f} dB"
    gain = _gain(plain, fewer, found.inputs[0])
    words += f"; the network is {gain:.2f} times as fast as fp32's, the file {sizes[1] / sizes[0]:.2f} times as large"
    return record | {"gain": gain, "bytes": sizes}, words


def _gain(plain: ExportedTranslator, fewer: ExportedTranslator, image: Image, repeats: int = 7) -> float:
    """Return how many times as fast the second file's network is: the median, measured in turns."""
    _, shown = plain._prepared(image, None, native=False)
    multiple = plain.generator.multiple
    height, width = (max(multiple, side // multiple * multiple) for side in shown.shape[2:])
    seen = torch.zeros(1, shown.shape[1], height, width).normal_(0, 0.5, generator=torch.Generator().manual_seed(0))
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 2):  # two to warm up
        for times, file in zip(seconds, (plain, fewer), strict=True):
            start = time.perf_counter()
            file.runtime.maps(seen)
            times.append(time.perf_counter() - start)
    return statistics.median(one / two for one, two in zip(seconds[0][2:], seconds[1][2:], strict=True))
