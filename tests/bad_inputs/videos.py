"""Videos that are damaged, strange, or in the way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from bad_inputs.making import Bad, mount_small
from video.containers import with_matrix
from video.videos import make_image, make_video, model, packet_places, silent_video

HLG = {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": 18}
VIDEO = "translate model {} --out out.mp4"


def noisy_frames(count: int) -> list[np.ndarray]:
    chance = np.random.default_rng(0)
    return [np.clip(make_image(n).astype(int) + chance.integers(-40, 40, (48, 64, 3)), 0, 255).astype(np.uint8)
            for n in range(count)]  # fmt: skip


def a_video(name: str, change: Callable[[Path], None] | None = None, **how: Any) -> Callable[[Path], None]:
    """A video and a model that could translate it."""

    def make(folder: Path) -> None:
        model(folder / "model")
        path = make_video(folder / name, **{"frames": noisy_frames(40), **how})
        if change is not None:
            change(path)

    return make


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: packet_places(path)[24][0] + 9])


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place, length in packet_places(path)[25:28]:
        data[place : place + length] = bytes(length)
    path.write_bytes(data)


def grown(path: Path) -> None:
    other = make_video(path.with_name("larger.m2ts"), [make_image(n, (96, 64)) for n in range(10)], options={"bf": "0"})
    path.write_bytes(path.read_bytes() + other.read_bytes())


def slanted(path: Path) -> None:
    angle = np.radians(98)
    with_matrix(path, path, (np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)))


def animated(folder: Path) -> None:
    model(folder / "model")
    shown = [Pillow.fromarray(make_image(number)) for number in range(3)]
    shown[0].save(folder / "set" / "moving.gif", save_all=True, append_images=shown[1:], duration=100)


def silent(folder: Path) -> None:
    model(folder / "model")
    silent_video(folder / "v.mp4")


def video_on_a_small_disk(folder: Path) -> None:
    a_video("v.mp4")(folder)
    mount_small(folder / "pairs", 48)


CASES = (
    Bad("a video cut short", a_video("v.mkv", cut_short), command=VIDEO.format("v.mkv"), code=0,
        says=("v.mkv", "cut short")),
    Bad("a video whose index is cut off", a_video("v.mp4", cut_short), command=VIDEO.format("v.mp4"), code=2,
        says=("no video, or damaged",)),
    Bad("a video with damaged packets", a_video("v.mp4", damaged), command=VIDEO.format("v.mp4"), code=0,
        says=("undecodable packets from 2.",)),
    Bad("a video of sound alone", silent, command=VIDEO.format("v.mp4"), code=2, says=("only sound",)),
    Bad("a video of odd size", a_video("v.mkv", frames=[make_image(n, (65, 49)) for n in range(5)], codec="ffv1"),
        command=VIDEO.format("v.mkv"), code=0, says=("the size is odd",)),
    Bad("a video of ten bits", a_video("v.mkv", pixels="yuv420p10le"), command=VIDEO.format("v.mkv"), code=0,
        says=("10 bits",)),
    Bad("a video with a colour for each pixel", a_video("v.mkv", pixels="yuv444p"), command=VIDEO.format("v.mkv"),
        code=0, says=("4:4:4",)),
    Bad("a transparent video", a_video("v.mov",
        frames=[np.dstack([make_image(n), make_image(n)[..., :1]]) for n in (1, 2)],
        codec="png", pixels="rgba"), command=VIDEO.format("v.mov"), code=0, says=("transparent",)),
    Bad("a video whose frames become larger", a_video("video.m2ts", grown, options={"bf": "0"}),
        command=VIDEO.format("video.m2ts"), code=0, says=("96x64 from",)),
    Bad("an encoder that is not there", a_video("v.mp4"), command=VIDEO.format("v.mp4") + " --codec h266", code=2,
        says=("no encoder for h266",)),
    Bad("a video that its result would replace", a_video("v.mp4"), command="translate model v.mp4 --out v.mp4",
        code=2, says=("would replace",)),
    Bad("an interlaced video", a_video("v.mkv", options={"x264-params": "tff=1"}), command=VIDEO.format("v.mkv"),
        code=0, says=("interlaced", "bwdif")),
    Bad("a video in HDR", a_video("v.mkv", pixels="yuv420p10le", tags=HLG), command=VIDEO.format("v.mkv"), code=0,
        says=("HDR (HLG)", "tone-mapped"), about="HDR"),
    Bad("a video that asks for an odd angle", a_video("v.mp4", slanted), command=VIDEO.format("v.mp4"), code=0,
        says=("98.0 degrees",)),
    Bad("a folder of images whose result has a video's name", a_video("v.mp4"),
        command="translate model set --out all.mp4", code=2, says=("all.mp4 is the name of one video",)),
    Bad("a video whose result has an image's name", a_video("v.mp4"), command="translate model v.mp4 --out a.png",
        code=2, says=("a.png is the name of one image",)),
    Bad("a result of a kind of video that is not written", a_video("v.mp4"),
        command="translate model v.mp4 --out a.mxf", code=2, says=("read and not written",)),
    Bad("an animation among the images", animated, command="translate model set --out out", code=0,
        says=("moving.gif holds several frames", "only the first")),
    Bad("a disk that fills while a video is written", video_on_a_small_disk, code=2,
        command="translate model v.mp4 --out pairs/out.mp4 --quality 2", says=("No space left", "is kept")),
)  # fmt: skip
