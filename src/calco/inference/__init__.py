"""Trained models at work; `calco translate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from calco.errors import UsageError
from calco.networks.config import MOST_STEPS
from calco.records import check_numbers
from calco.video.names import LiveOptions
from calco.work import EngineOptions


@dataclass(frozen=True, kw_only=True)
class TranslateConfig(LiveOptions, EngineOptions):
    """Translate an image or a folder of images, videos, or live what a camera sees."""

    model: Annotated[str | Path, Positional, arg(metavar="MODEL")]
    """Run, model folder, or file that calco export wrote."""

    images: Annotated[str | Path, Positional, arg(metavar="IMAGES")]
    """Image or video, or a folder of either, read with its sub-folders. Live: camera, camera:1, /dev/video0; an address
    such as rtsp://...; - for stdin, or a named pipe; with --live, a video at its own pace."""

    more: Annotated[tuple[str, ...], Positional, arg(metavar="MORE")] = ()
    """Further videos."""

    out: Annotated[str | Path | None, arg(metavar="OUT")] = None
    """Folder to write into; for one image or video also the file. Live: a video, - for stdout, a named pipe, or a
    virtual camera such as /dev/video9."""

    masks: Annotated[str | Path | None, arg(metavar="MASKS")] = None
    """Folder of masks with the names of the images, white where the image is redrawn, for the recipe erase. One image
    for all frames of a video."""

    noise_seed: Annotated[int | None, arg(metavar="INT")] = None
    """Keep dropout on, or change the noise of a bridge, with random numbers from this seed, for variety."""

    steps: Annotated[int | None, arg(metavar="INT")] = None
    """Steps in which a model of the preset bridge refines its output; by default those of its training."""

    native: bool = False
    """Show the network the images at their own scale, not at that of the training."""

    overwrite: bool = False
    """Replace existing results."""

    make_input: bool = False
    """First make the input of each image by the model's recipe: a sketch of it, a damaged copy."""

    recipe: Annotated[str | None, arg(metavar="FILE.py:NAME")] = None
    """With --make-input: place of a custom recipe's file on this machine, such as my.py:fade."""

    allow_code: bool = False
    """Run the code of a custom recipe although nobody has named it on this machine."""

    precision: Literal["auto", "fp32", "bf16", "int8", "fp16"] = "auto"
    """Precision of convolutions; auto takes bf16 where the machine has instructions for it, and int8 where a backend's
    images agree; fp16 is for GPUs."""

    backend: Literal["auto", "calco", "onnxruntime", "openvino"] = "auto"
    """What computes the network: auto builds the fastest one on this CPU once, beside the model, if the work is long;
    calco takes Calco's own kernels."""

    device: str = "auto"
    """cpu, cuda, or auto for the GPU if there is one."""

    overlay: bool = False
    """Blend the classes that a model of the recipe segment finds over the image, in place of writing the mask alone."""

    alpha: Annotated[float | None, arg(metavar="FLOAT")] = None
    """With --overlay: opacity of the colours, 0 to 1; by default 0.45."""

    contour: Annotated[int | None, arg(metavar="INT")] = None
    """With --overlay: width of the line around each area, in pixels where the short side has 480; 0 for none, by
    default 2."""

    format: Literal["folder", "webdataset"] = "folder"
    """folder writes one file per image, webdataset tar files of PNG or TIFF, without loss."""

    shard_images: int = 1000
    """Largest number of images in a tar file."""

    codec: Annotated[str | None, arg(metavar="CODEC")] = None
    """Video codec: h264, h265, vp9 or av1; by default vp9 in .webm and h264 elsewhere."""

    quality: Annotated[int | None, arg(metavar="INT")] = None
    """Constant rate factor of the encoder, 0 for the best; by default one at which the loss is hardly visible."""

    from_: Annotated[str | None, arg(name="from", metavar="TIME")] = None
    """Beginning of the part of the video to translate: seconds, mm:ss or hh:mm:ss."""

    to: Annotated[str | None, arg(metavar="TIME")] = None
    """End of that part."""

    side_by_side: bool = False
    """Make the input of each frame by the model's recipe, show truth, input and output beside each other, and write the
    PSNR of each frame beside the video."""

    holes_per_frame: bool = False
    """With --side-by-side or --make-input: other holes in each frame, in place of one set for the video."""

    steady: bool = False
    """Reduce the flicker of a video by following its motion."""

    window: bool = False
    """Show live images in a window; q closes it."""

    def __post_init__(self) -> None:
        """Check the numbers, the engine and the options of the overlay."""
        check_numbers(self, steps=(1, MOST_STEPS))
        self.workers()
        given = [name for name in ("alpha", "contour") if getattr(self, name) is not None]
        if given and not self.overlay:
            raise UsageError(f"--{given[0]} configures --overlay; add --overlay, or leave it out")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Images or videos, all of them."""
        return str(self.images), *self.more
