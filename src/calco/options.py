"""The options of each verb, as the command line shows them; the function's words are the help."""

from typing import Annotated, Any, Literal

from tyro.conf import arg

from calco.data.config import Kind
from calco.engines import Name

Model = Annotated[str, arg(metavar="MODEL")]
Images = Annotated[str, arg(metavar="IMAGES")]
Options = dict[str, Any]


def demo(out: str = "demo", minutes: float = 3.0, drawings: int = 900, seed: int = 0) -> Options:
    """Trains sketch -> colour on OpenMoji drawings, scores it on drawings it never saw, writes report and video.

    Args:
        out: The folder to write into.
        minutes: Minutes of training.
        drawings: How many drawings to learn from.
        seed: From which every chance derives.
    """
    return locals()


def collect(
    annotations: Annotated[str, arg(metavar="ANNOTATIONS")],
    /,
    out: str,
    images: str | None = None,
    crop: tuple[str, ...] = (),
    margin: float = 0.25,
    min_size: int = 64,
    square: bool = False,
    jobs: int = 8,
    timeout: float = 10.0,
    patience: float = 120.0,
    retries: int = 3,
    largest: float = 100.0,
    allow_private: bool = False,
) -> Options:
    """Fetches the images that a list names, and cuts out what its boxes name.

    Args:
        annotations: JSON lines whose `content` is an address; with --images, annotations of any kind.
        out: The folder to write into.
        images: The folder of the images, where they are there already; nothing is fetched then.
        crop: The labels to cut out; all takes every box.
        margin: What is added on each side of a box, as a share of its width and height.
        min_size: Pixels that the shorter side of a crop must have.
        square: Widens the shorter side of a crop, as far as the image reaches.
        jobs: How many images are fetched at once.
        timeout: Seconds of silence after which an attempt is given up.
        patience: Seconds that one attempt may take in all.
        retries: How often an attempt is repeated after silence, a broken connection or an error of the server.
        largest: Megabytes above which a file is refused.
        allow_private: Asks addresses of this machine's network too, where the list itself names them.
    """
    return locals()


def recipes(
    image: Annotated[str | None, arg(metavar="IMAGE")] = None, /, out: str = "recipes", only: str | None = None
) -> Options:
    """Draws what each recipe, with each of its settings, makes of an image; each under the options that give it.

    Args:
        image: Any image; without it, a drawing of the built-in set.
        out: The folder to write into, one sheet a recipe.
        only: One sheet alone: aligned, colorize, erase, sketch, degrade, segment, composite or augment.
    """
    return locals()


def evaluate(
    model: Model,
    images: Annotated[str | None, arg(metavar="IMAGES")] = None,
    /,
    out: str | None = None,
    source: Kind | None = None,
    input: str | None = None,
    target: str | None = None,
    direction: Literal["AtoB", "BtoA"] | None = None,
    masks: str | None = None,
    limit: int = 0,
    steady: bool = False,
    video_frames: int = 500,
    inception: str | None = None,
    seed: int = 0,
    recipe: str | None = None,
    allow_code: bool = False,
    engine: Name = "local",
    address: str = "",
    jobs: int | None = None,
) -> Options:
    """Scores a model on images; writes scores.json and report.html.

    Args:
        model: A run or a model folder.
        images: What to score on; without it, the images that the run kept apart for testing.
        out: The folder of the report; by default `report` in the run.
        source: What the images are; by default as in training.
        input: The folder of the inputs; by default as in training.
        target: The folder of the targets; by default as in training.
        direction: Which half is the input; by default as in training.
        masks: A folder of stroke masks for erase, in place of the one of the training.
        limit: At most so many images; 0 takes all.
        steady: Measures a video with steadying too, beside the model's drawings as they are.
        video_frames: How many consecutive frames of videos are measured for steadiness, in stretches; 0 takes all.
        inception: Weight file for FID, KID and the Inception score, or `download`.
        seed: Of the holes that erase makes and of the bootstrap.
        recipe: Where the file of a recipe of one's own lies here, such as my.py:fade.
        allow_code: Runs the recipe's own code although nobody has named it on this machine.
        engine: local works in this process, or in several with jobs; ray through Ray Data.
        address: Of a Ray cluster (auto, ray://host:10001, host:6379); without one, a Ray of its own on this machine.
        jobs: Processes that load the model; 0 for as many as cores. By default this one; with Ray, one for each core.
    """
    return locals()


def compare(runs: Annotated[list[str], arg(metavar="RUN")], /, out: str = "comparison.html") -> Options:
    """Puts evaluated runs side by side, on one page.

    Args:
        runs: Two or more runs that `calco evaluate` has scored.
        out: The page to write.
    """
    return locals()


def translate(
    model: Model,
    images: Images,
    more: Annotated[tuple[str, ...], arg(metavar="MORE")] = (),
    /,
    *,
    out: str | None = None,
    masks: str | None = None,
    noise_seed: int | None = None,
    native: bool = False,
    overwrite: bool = False,
    make_input: bool = False,
    recipe: str | None = None,
    allow_code: bool = False,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    device: str = "auto",
    overlay: bool = False,
    alpha: float | None = None,
    contour: int | None = None,
    format: Literal["folder", "webdataset"] = "folder",
    shard_images: int = 1000,
    engine: Name = "local",
    address: str = "",
    jobs: int | None = None,
    codec: str | None = None,
    quality: int | None = None,
    from_: Annotated[str | None, arg(name="from")] = None,
    to: str | None = None,
    side_by_side: bool = False,
    holes_per_frame: bool = False,
    steady: bool = False,
    live: bool = False,
    window: bool = False,
    page: int | None = None,
    size: str | None = None,
    rate: float = 0.0,
    patience: float = 60.0,
    seconds: float = 0.0,
) -> Options:
    """Translates an image or a folder of images; videos; or live what a camera sees.

    Args:
        model: A run, a model folder, or a file that calco export wrote.
        images: An image or a video, or a folder of either, which is read with its sub-folders. Live: camera,
            camera:1, /dev/video0; an address like rtsp://...; - for stdin, or a named pipe; with live, a video at its
            own pace.
        more: Further videos.
        out: The folder to write into; for one video also the video to write, whose ending tells the container. Live: a
            video, - for stdout, a named pipe or a virtual camera such as /dev/video9.
        masks: A folder of masks with the names of the images, white where they shall be redrawn; for erase. One
            image for all frames of a video.
        noise_seed: Leaves dropout on, drawn from this seed, for variety.
        native: Shows the network the images at their own scale, not at that of training.
        overwrite: Translates again what stands in the folder, or under the name of the video.
        make_input: First makes the input of each image by the model's recipe: a sketch of it, a damaged copy.
        recipe: With make-input, where the file of a recipe of one's own lies here, such as my.py:fade.
        allow_code: Runs the recipe's own code although nobody has named it on this machine.
        precision: What convolutions compute in; auto takes bf16 where the machine has instructions, fp16 is for GPUs.
        device: cpu, cuda, or auto for the GPU where there is one.
        overlay: Lays what a model of segment paints over the image, in place of the painted mask alone.
        alpha: With overlay, how opaque the colours are, from 0 to 1; by default 0.45.
        contour: With overlay, the width of the line around each area, in pixels where the short side has 480; 0 for
            none, by default 2.
        format: folder writes a file for each image, webdataset tar files of PNG (or TIFF), without loss.
        shard_images: Images in a tar file, at most.
        engine: local works in this process, or in several with jobs; ray through Ray Data.
        address: Of a Ray cluster (auto, ray://host:10001, host:6379); without one, a Ray of its own on this machine.
        jobs: Processes that load the model; 0 for as many as cores. By default this one; with Ray, one for each core.
        codec: Of videos: h264, h265, vp9 or av1; by default vp9 in .webm and h264 elsewhere.
        quality: The encoder's constant rate factor, 0 for the best; by default one at which little is to be seen.
        from_: Where in the video to begin: seconds, mm:ss or hh:mm:ss.
        to: Where to end.
        side_by_side: Makes the input of each frame by the model's recipe, shows truth, input and output beside each
            other, and writes the PSNR of each frame beside the video.
        holes_per_frame: With side-by-side or make-input, other holes in each frame, in place of one set for the video.
        steady: Lowers the flicker of a video by following its motion.
        live: Plays a video, or the stream at an http address: always its newest image, others are dropped and counted.
        window: Shows live images in a window; q closes it.
        page: Shows live images in a browser, on this port of this machine; 0 for any that is free.
        size: Asks the camera for images of this size, such as 1280x720; of a pipe it tells that of bare RGB images.
        rate: Asks the camera for so many frames in a second, or tells those of bare images in a pipe.
        patience: Seconds for which a lost camera is looked for; 0 for ever.
        seconds: Stops live translation after so many seconds; 0 for never.
    """
    return locals()


def export(
    model: Model,
    /,
    to: Literal["onnx", "openvino"] = "onnx",
    out: str | None = None,
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
    images: str | None = None,
    licence: str = "",
) -> Options:
    """Writes a model as one file for other programs, tried on real images before it gets its name.

    Args:
        model: A run or a model folder.
        to: What reads it: ONNX Runtime (and browsers), or OpenVINO.
        out: The file; by default the model's name in the present folder, ending in .onnx or .zip.
        precision: What the network computes in; int8 is calibrated on images of the training.
        images: What it is tried on; by default the images of the training.
        licence: Under which the model may be used; stands in the file.
    """
    return locals()
