"""Images of the studio's pages for the docs: `python tools/studio_images.py MODEL DRAWING --out docs/images`.

MODEL turns sketches into images, such as src/calco/web/drawings, which comes with Calco; DRAWING is a sketch for it. A
browser opens the home page and the page of the model in English and in Spanish; what it shows is written with few
colours.
"""

import contextlib
import io
import socket
import tempfile
import threading
import time
from pathlib import Path

import uvicorn
from arguments import Arguments
from PIL import Image as Pillow
from playwright.sync_api import sync_playwright

from calco.files import atomic_write, make_folder
from calco.web import ServeConfig
from calco.web.app import build_app
from calco.web.service import Studio

COLOURS = 128


def main() -> None:
    """Write studio-home.png and studio-job.png, and the same in Spanish: studio-home-es.png and studio-job-es.png."""
    parser = Arguments(__doc__)
    parser.add_argument("model", type=Path, help="model or run that the pages show")
    parser.add_argument("drawing", type=Path, help="image that is given to it")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder of the images")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="browser")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as state, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = ServeConfig(models=(str(given.model),), runs=state)
        with contextlib.closing(Studio(config.models)) as studio:
            server = uvicorn.Server(uvicorn.Config(build_app(config, studio), log_config=None))
            threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
            while not server.started:
                time.sleep(0.05)
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
                for locale, ending in (("en-GB", ""), ("es-PE", "-es")):
                    page = browser.new_page(locale=locale, viewport={"width": 1120, "height": 700})
                    page.set_default_timeout(120_000)
                    page.goto(address)
                    write(given.out / f"studio-home{ending}.png", page.screenshot())
                    page.locator(".card a").first.click()
                    page.locator(".stage input[type=file]").first.set_input_files(given.drawing)
                    page.locator(".outcome:not([data-kind=empty])").wait_for()
                    page.wait_for_function("!document.body.classList.contains('busy')")
                    write(given.out / f"studio-job{ending}.png", page.screenshot())
                browser.close()
            server.should_exit = True


def write(path: Path, data: bytes) -> None:
    """Write a PNG with a palette."""
    image = Pillow.open(io.BytesIO(data)).convert("RGB").quantize(COLOURS, dither=Pillow.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    make_folder(path.parent)
    atomic_write(path, buffer.getvalue())


if __name__ == "__main__":
    main()
