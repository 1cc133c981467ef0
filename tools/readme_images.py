"""Makes the README's images of the watch and of a report, from drawings of OpenMoji (CC BY-SA 4.0) and nothing else.

    python tools/readme_images.py --out docs/images/readme

Each command is printed before it runs, and stands in the README beside its image. The grids of the five jobs come from
tools/documentation/grids.py.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
from arguments import Arguments
from PIL import Image as Pillow

from calco import imaging
from calco.data.sources.openmoji import draw, drawings_folder
from calco.lessons.scenes import DATA_FOLDER, background, scenes
from calco.video import Video, VideoWriter

SIDE_WH = (400, 256)
FRAMES, RATE = 84, 14
# Drawing, side in pixels, where its centre is in the first and in the last frame (shares of width and height).
ACTORS = (
    ("1F697", 110, (-0.20, 0.76), (1.20, 0.74)),
    ("1F436", 96, (0.16, 0.26), (0.60, 0.28)),
    ("1F34E", 84, (0.87, 0.24), (0.87, 0.30)),
)
RULES = """zones:
  crossing: {shares: [[0.34, 0.52], [0.66, 0.52], [0.66, 0.98], [0.34, 0.98]]}
rules:
  - {name: car on the crossing, class: car, zone: crossing, seconds: 0.3, place: centre}
"""
KEPT = 2  # every second frame of the watched video goes into the animation


def calco(command: str, folder: Path) -> None:
    """Run a command in a folder."""
    print(f"$ calco {command}", flush=True)
    subprocess.run([sys.executable, "-m", "calco", *shlex.split(command)], cwd=folder, check=True)


def street(path: Path) -> None:
    """Write a video in which drawings move over a ground of soft colours."""
    width, height = SIDE_WH
    ground = imaging.resize(background("street", 256, seed=7), SIDE_WH).astype(np.float32)
    svgs = {name: (drawings_folder() / f"{name}.svg").read_text(encoding="utf-8") for name, *_ in ACTORS}
    images = [(draw(svgs[name], side, transparent=True).astype(np.float32), a, b) for name, side, a, b in ACTORS]
    with VideoWriter(path, SIDE_WH, rate=Fraction(RATE)) as writer:
        for number in range(FRAMES):
            frame, share = ground.copy(), number / (FRAMES - 1)
            for image, first, last in images:
                side = len(image)
                left, top = (
                    round((a + (b - a) * share) * length - side / 2)
                    for a, b, length in zip(first, last, (width, height), strict=True)
                )
                x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
                if x0 < x1 and y0 < y1:
                    part = image[y0 - top : y1 - top, x0 - left : x1 - left]
                    opacity = part[..., 3:] / 255
                    frame[y0:y1, x0:x1] += opacity * (part[..., :3] - frame[y0:y1, x0:x1])
            writer.write(np.rint(frame).astype(np.uint8), Fraction(number, RATE))
        writer.finish()


def animate(video: Path, out: Path) -> None:
    """Write every `KEPT`-th frame of a video as an animation that begins again at its end."""
    frames = [Pillow.fromarray(frame.image) for number, frame in enumerate(Video(video).frames()) if not number % KEPT]
    frames[0].save(
        out, save_all=True, append_images=frames[1:], duration=round(1000 * KEPT / RATE), loop=0, quality=60, method=6
    )


def watch(room: Path, out: Path, minutes: float) -> None:
    """Train a detector on scenes, and have it watch a street."""
    os.environ[DATA_FOLDER] = str(room)
    scenes(240, side=192).rename(room / "scenes")
    street(room / "street.mp4")
    (room / "rules.yaml").write_text(RULES, encoding="utf-8")
    calco(f"detect train scenes --size 224 --minutes {minutes:g} --learning-rate 1.5e-3 --ema 0.99 --out runs/objects",
          room)  # fmt: skip
    calco("detect watch street.mp4 --model runs/objects --rules rules.yaml --score 0.6 --out watched", room)
    animate(room / "watched" / "video.mp4", out / "watch.webp")


def report(room: Path, out: Path, minutes: float) -> None:
    """Train sketch to colour, score it, and take a photograph of the report's beginning."""
    from playwright.sync_api import sync_playwright

    calco(f"demo --minutes {minutes:g} --out demo", room)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1080, "height": 1180})
        page.goto((room / "demo" / "run" / "report" / "report.html").as_uri())
        page.wait_for_timeout(500)
        page.screenshot(path=str(room / "report.png"))
        browser.close()
    with Pillow.open(room / "report.png") as opened:
        opened.convert("RGB").quantize(128).save(out / "report.png", optimize=True)


def main() -> None:
    """Make the images that are asked for."""
    parser = Arguments(__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/readme"), help="folder of the images")
    parser.add_argument("--room", type=Path, help="folder for runs and videos; by default a temporary one")
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes of each training")
    parser.add_argument("--only", choices=("watch", "report"), help="make this one alone")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        room = (options.room or Path(temporary)).resolve()
        room.mkdir(parents=True, exist_ok=True)
        for name, make in (("watch", watch), ("report", report)):
            if options.only in (None, name):
                make(room, options.out.resolve(), options.minutes)


if __name__ == "__main__":
    main()
