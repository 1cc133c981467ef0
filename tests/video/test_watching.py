"""Live images in a real browser, and in a real window."""

import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import av
import numpy as np
import pytest

from calco.errors import CalcoError
from calco.video.live import Page, Window
from calco.video.pipeline import Gone
from support import requires
from video.streams import HEIGHT, WIDTH, number_in, numbered


@pytest.fixture
def page() -> Iterator[Page]:
    shown = Page(0, "camera by <faces>", lambda: "7 frames in, 3 processed")
    yield shown
    shown.close()


@pytest.fixture
def feed() -> Iterator[Callable[[Callable[[int], object]], None]]:
    """Something that is done ten times a second with rising numbers, until the test ends."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def begin(give: Callable[[int], object]) -> None:
        def work() -> None:
            number = 0
            while not over.wait(0.1):
                number += 1
                give(number % 256)

        threads.append(threading.Thread(target=work))
        threads[0].start()

    yield begin
    over.set()
    for thread in threads:
        thread.join()


SEEN = """() => {
  const image = document.getElementById("image"), canvas = document.createElement("canvas");
  if (!image.naturalWidth) return -1;
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  let number = 0;
  for (let bit = 0; bit < 8; bit++) {
    const x = Math.floor((2 * bit + 1) * canvas.width / 16);
    if (context.getImageData(x, canvas.height / 4, 1, 1).data[0] > 128) number |= 1 << bit;
  }
  return number;
}"""


def test_a_browser_shows_the_newest_image(browser: object, page: Page, feed: Callable[..., None]) -> None:
    newest = [0]

    def give(number: int) -> None:
        page.write(numbered(number), 0)
        newest[0] = number

    opened = browser.new_page(viewport={"width": 360, "height": 740})
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text))
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(page.address)
    assert opened.title() == "camera by <faces>"
    feed(give)
    seen = []
    for _ in range(8):
        opened.wait_for_timeout(250)
        number = opened.evaluate(SEEN)
        seen.append(number)
        # At most a second old, and that only on a machine that is busy with other tests.
        assert number == -1 or (newest[0] - number) % 256 <= 10
    assert len(set(seen)) > 4 and seen == sorted(seen)
    assert opened.locator("#line").inner_text() == "7 frames in, 3 processed"
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    assert problems == []


def test_other_programs_read_the_stream(page: Page, feed: Callable[..., None]) -> None:
    feed(lambda number: page.write(numbered(number), 0))
    numbers = []
    with av.open(page.address + "stream", "r", timeout=10) as container:
        for frame in container.decode(video=0):
            numbers.append(number_in(frame.to_ndarray(format="rgb24")))
            if len(numbers) == 8:
                break
    assert numbers == list(range(numbers[0], numbers[0] + 8))


def test_only_this_machine_may_look_and_a_taken_port_is_told(page: Page) -> None:
    port = int(page.address.rstrip("/").rpartition(":")[2])
    with pytest.raises(CalcoError, match=f"cannot serve a page on port {port}: .*in use; choose another, or --page 0"):
        Page(port, "", str)
    strange = urllib.request.Request(page.address, headers={"Host": "evil.example:80"})
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(strange, timeout=5)
    refused.value.close()
    with pytest.raises(CalcoError, match="--page 70000 is no port"):
        Page(70000, "", str)
    with socket.socket() as elsewhere:
        elsewhere.settimeout(0.5)
        assert elsewhere.connect_ex(("127.0.0.2", port)) != 0, "it listens on one address alone"


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An X server without a screen, with a name that nobody else has."""
    server = shutil.which("Xvfb")
    requires(server, "Xvfb", "apt-get install xvfb")
    requires(find_spec("_tkinter"), "tkinter", "apt-get install python3-tk")
    read, write = os.pipe()
    running = subprocess.Popen(
        [str(server), "-displayfd", str(write), "-screen", "0", "400x300x24", "-nolisten", "tcp"],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as told:
        monkeypatch.setenv("DISPLAY", f":{told.readline().strip()}")
    yield os.environ["DISPLAY"]
    running.terminate()
    running.wait()


def on_screen(display: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with av.open(display, "r", format="x11grab", options={"video_size": "400x300", "draw_mouse": "0"}) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def test_a_window_shows_the_newest_image_and_can_be_closed(screen: str) -> None:
    window = Window("camera")
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, :, 0] = 200
    for number in range(20):
        window.write(numbered(number), 0)
    window.write(image, 0)
    for _ in range(50):
        time.sleep(0.1)
        grabbed = on_screen(screen)
        red = (grabbed[..., 0] > 190) & (grabbed[..., 1] < 20)
        if red.sum() == HEIGHT * WIDTH:
            break
    assert red.sum() == HEIGHT * WIDTH
    os.kill(window._child.pid, 15)
    window._child.wait()
    with pytest.raises(Gone):
        window.write(image, 0)
    window.close()


def test_without_a_screen_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(CalcoError, match="look at it in a browser: --page 8000 instead of --window"):
        Window("camera")


@pytest.mark.parametrize(
    "path",
    [
        "/image?after=" + "9" * 5000,
        "/image?after=abc",
        "/image?after=-2",
        "/image?after=%D9%A3",  # an Arabic digit
        "http://[/image",
    ],
)
def test_a_request_that_makes_no_sense_is_answered_400(
    page: Page, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    with socket.create_connection(("127.0.0.1", int(page.address.rpartition(":")[2].rstrip("/")))) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert capsys.readouterr().err == ""
