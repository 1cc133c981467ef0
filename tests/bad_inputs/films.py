"""Films that are damaged, strange, or in the way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from bad_inputs.making import Bad, mount_small
from film.containers import with_matrix
from film.films import film, model, packet_places, picture, silent_film

HLG = {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": 18}
FILM = "translate model {} --out out.mp4"


def noisy_frames(count: int) -> list[np.ndarray]:
    chance = np.random.default_rng(0)
    return [np.clip(picture(n).astype(int) + chance.integers(-40, 40, (48, 64, 3)), 0, 255).astype(np.uint8)
            for n in range(count)]  # fmt: skip


def a_film(name: str, change: Callable[[Path], None] | None = None, **how: Any) -> Callable[[Path], None]:
    """A film and a model that could translate it."""

    def make(folder: Path) -> None:
        model(folder / "model")
        path = film(folder / name, **{"frames": noisy_frames(40), **how})
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
    other = film(path.with_name("larger.m2ts"), [picture(n, (96, 64)) for n in range(10)], options={"bf": "0"})
    path.write_bytes(path.read_bytes() + other.read_bytes())


def slanted(path: Path) -> None:
    angle = np.radians(98)
    with_matrix(path, path, (np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)))


def animated(folder: Path) -> None:
    model(folder / "model")
    shown = [Pillow.fromarray(picture(number)) for number in range(3)]
    shown[0].save(folder / "set" / "moving.gif", save_all=True, append_images=shown[1:], duration=100)


def silent(folder: Path) -> None:
    model(folder / "model")
    silent_film(folder / "film.mp4")


def film_on_a_small_disk(folder: Path) -> None:
    a_film("film.mp4")(folder)
    mount_small(folder / "pairs", 48)


CASES = (
    Bad("a film cut short", a_film("film.mkv", cut_short), command=FILM.format("film.mkv"), code=0,
        says=("film.mkv", "cut short")),
    Bad("a film whose index is cut off", a_film("film.mp4", cut_short), command=FILM.format("film.mp4"), code=2,
        says=("no film, or damaged",)),
    Bad("a film with damaged packets", a_film("film.mp4", damaged), command=FILM.format("film.mp4"), code=0,
        says=("undecodable packets from 2.",)),
    Bad("a film of sound alone", silent, command=FILM.format("film.mp4"), code=2, says=("only sound",)),
    Bad("a film of odd size", a_film("film.mkv", frames=[picture(n, (65, 49)) for n in range(5)], codec="ffv1"),
        command=FILM.format("film.mkv"), code=0, says=("the size is odd",)),
    Bad("a film of ten bits", a_film("film.mkv", pixels="yuv420p10le"), command=FILM.format("film.mkv"), code=0,
        says=("10 bits",)),
    Bad("a film with a colour for each pixel", a_film("film.mkv", pixels="yuv444p"), command=FILM.format("film.mkv"),
        code=0, says=("4:4:4",)),
    Bad("a transparent film", a_film("film.mov", frames=[np.dstack([picture(n), picture(n)[..., :1]]) for n in (1, 2)],
        codec="png", pixels="rgba"), command=FILM.format("film.mov"), code=0, says=("transparent",)),
    Bad("a film whose frames become larger", a_film("film.m2ts", grown, options={"bf": "0"}),
        command=FILM.format("film.m2ts"), code=0, says=("96x64 from",)),
    Bad("an encoder that is not there", a_film("film.mp4"), command=FILM.format("film.mp4") + " --codec h266", code=2,
        says=("no encoder for h266",)),
    Bad("a film that its result would replace", a_film("film.mp4"), command="translate model film.mp4 --out film.mp4",
        code=2, says=("would replace",)),
    Bad("an interlaced video", a_film("film.mkv", options={"x264-params": "tff=1"}), command=FILM.format("film.mkv"),
        code=0, says=("interlaced", "bwdif")),
    Bad("a video in HDR", a_film("film.mkv", pixels="yuv420p10le", tags=HLG), command=FILM.format("film.mkv"), code=0,
        says=("HDR (HLG)", "tone-mapped"), about="HDR"),
    Bad("a video that asks for an odd angle", a_film("film.mp4", slanted), command=FILM.format("film.mp4"), code=0,
        says=("98.0 degrees",)),
    Bad("a folder of images whose result has a video's name", a_film("film.mp4"),
        command="translate model set --out all.mp4", code=2, says=("all.mp4 is the name of one video",)),
    Bad("a video whose result has an image's name", a_film("film.mp4"), command="translate model film.mp4 --out a.png",
        code=2, says=("a.png is the name of one image",)),
    Bad("a result of a kind of video that is not written", a_film("film.mp4"),
        command="translate model film.mp4 --out a.mxf", code=2, says=("read and not written",)),
    Bad("an animation among the images", animated, command="translate model set --out out", code=0,
        says=("moving.gif holds several frames", "only the first")),
    Bad("a disk that fills while a film is written", film_on_a_small_disk, code=2,
        command="translate model film.mp4 --out pairs/out.mp4 --quality 2", says=("No space left", "is kept")),
)  # fmt: skip
