"""Live frames through a step to sinks: what is shown is never old.

A person sees them on a page in a browser of this machine, or in a window. The page asks for one image after the other.
The window is Tk's, which comes with most Pythons, in a process of its own, so that it answers while the model computes:
the process reads images from stdin and shows the newest.
"""

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final
from urllib.parse import parse_qs, urlsplit

from calco import imaging
from calco.errors import CalcoError
from calco.imaging import Image
from calco.report.server import Handler, open_port
from calco.video.capture import Capture
from calco.video.pipeline import Gone, RenderedFrame, run
from calco.video.reading import Frame
from calco.video.sinks import LiveSink, as_shown, sink_for
from calco.video.sources import LiveStatus

LOG = logging.getLogger(__name__)
_WAITS: Final = 5.0  # seconds that a browser waits for a newer image
_BOUNDARY: Final = "calco"
_NUMBER: Final = re.compile(r"-1|[0-9]{1,18}")  # of an image that this page can have given


def play(
    capture: Capture, step: Callable[[Frame], Image], sinks: Sequence[LiveSink], *, status: LiveStatus | None = None,
    progress: Callable[[LiveStatus], None] = lambda _status: None, stop: threading.Event | None = None,
) -> LiveStatus:  # fmt: skip
    """Pass the newest frame of a live source through a step to sinks, until it ends or somebody stops it.

    A frame waits at most for the next one and is then rendered, so what is shown is as old as one call of the step, and
    stays for another. Frames that come meanwhile are dropped and counted. Each sink shows the newest image likewise.
    The step returns HWC of any type; the sinks are closed at the end, also after an error. `progress` is called after
    each frame, and now and then while none comes.
    """
    counts = LiveStatus() if status is None else status
    began: list[float] = []

    def take_over() -> None:
        counts.came, counts.damaged, counts.lost = capture.decoder.count, capture.decoder.damaged, capture.lost

    def render(frames: Sequence[Frame]) -> Iterator[RenderedFrame]:
        for frame in frames:
            assert frame.arrived is not None
            began[:] = began or [frame.arrived]
            result = RenderedFrame(frame, as_shown(step(frame)))
            counts.count_rendered(began[0])
            take_over()
            progress(counts)
            yield result

    def show(sink: LiveSink, result: RenderedFrame) -> None:
        assert result.image is not None
        assert result.frame.arrived is not None
        if sink.write(result.image, float(result.frame.time)):
            counts.count_shown(result.frame.arrived)
        else:
            counts.missed[sink.name] += 1

    with contextlib.ExitStack() as held:
        for sink in reversed(sinks):
            held.callback(sink.close)  # what a sink says at its end counts more than what stopped it
            counts.missed[sink.name] = 0
        try:
            replaced = run(
                capture, render, [partial(show, sink) for sink in sinks], stop=stop, idle=lambda: progress(counts)
            )
            for sink, count in zip(sinks, replaced, strict=True):
                counts.missed[sink.name] += count
        finally:
            take_over()
    return counts


@contextlib.contextmanager
def stopping() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set; a second Ctrl-C ends at once."""
    asked = threading.Event()

    def ask(number: int, _frame: object) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():  # Python lets the main thread alone handle signals
        yield asked
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def open_sinks(
    capture: Capture, status: LiveStatus, title: str, *, page: int | None, out: str | None = None, window: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> list[LiveSink]:  # fmt: skip
    """Open the sinks of live frames; `stopped` returns whether a pipe that waits for its reader is to give up."""
    with contextlib.ExitStack() as held:
        sinks: list[LiveSink] = []
        if out is not None:
            sinks.append(sink_for(out, lambda: capture.rate, stopped))
            held.callback(sinks[-1].close)
        if page is not None:
            sinks.append(shown := Page(page, title, status.line))
            held.callback(shown.close)
            LOG.info(f"the page is {shown.address}")
        if window:
            sinks.append(Window(title))
        held.pop_all()
    return sinks


class Page:
    """Serves the newest image on 127.0.0.1, at `address`.

    The browser asks for each image when it has shown the one before, so a slow line shows fewer images, not older
    ones. `/stream` gives the same as one stream (MJPEG), which other programs read.
    """

    name = "the page"

    def __init__(self, port: int, title: str, status: Callable[[], str]) -> None:
        """Serve on a port of this machine, 0 for any that is free; `status` returns the line below the image."""
        self.title, self.status = title, status
        self._changed = threading.Condition()
        self._jpeg, self._number, self.over = b"", 0, False
        self._server = open_port(type("Handler", (_Handler,), {"page": self}), port, option="--page")
        self.address = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="calco-page", daemon=True)
        self._thread.start()

    def write(self, image: Image, _seconds: float) -> bool:
        """Make this the newest image, HW3 `uint8`."""
        jpeg = imaging.encode(image, ".jpg")
        with self._changed:
            self._jpeg, self._number = jpeg, self._number + 1
            self._changed.notify_all()
        return True

    def newer(self, than: int) -> tuple[bytes, int]:
        """Return the newest image as JPEG, and its number; wait for one with another number than `than`."""
        with self._changed:
            self._changed.wait_for(lambda: self._number != than or self.over, _WAITS)
            return (b"", -1) if self.over or self._number == than else (self._jpeg, self._number)

    def close(self) -> None:
        """End."""
        with self._changed:
            self.over = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)


class _Handler(Handler):
    """Answers a browser."""

    page: Page

    def do_GET(self) -> None:
        """Answer with the page, the newest image, the line below it, or the stream."""
        if not self.welcome():
            return
        try:
            place = urlsplit(self.path)
            after = parse_qs(place.query).get("after", ["0"])[0]
            if not _NUMBER.fullmatch(after):
                raise ValueError(after)
        except ValueError:  # such as an address whose brackets do not close
            self.send_error(400)
            return
        with contextlib.suppress(OSError):  # the browser was closed
            if place.path == "/":
                from calco.report.page import render  # with Jinja2, which a window does not need

                page = render("live", title=self.page.title)
                self.answer("text/html; charset=utf-8", page.encode())
            elif place.path == "/image":
                jpeg, number = self.page.newer(int(after))
                self.answer("image/jpeg", jpeg, code=200 if jpeg else 204, headers={"X-Number": str(number)})
            elif place.path == "/status":
                self.answer("application/json", json.dumps({"line": self.page.status()}).encode())
            elif place.path == "/stream":
                self._stream()
            else:
                self.send_error(404)

    def _stream(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        number = 0
        while not self.page.over:
            jpeg, number = self.page.newer(number)
            if not jpeg:
                number = 0
                continue
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")


_HEAD: Final = 8  # bytes: width and height of an image, each four, little-endian
_TICK: Final = 10  # milliseconds between two looks for a newer image


class Window:
    """Shows images in a window."""

    name = "the window"

    def __init__(self, title: str) -> None:
        """Open it, empty."""
        self._child = subprocess.Popen(
            [sys.executable, "-m", "calco.video.live", title],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self._images, self._answers, self._errors = self._child.stdin, self._child.stdout, self._child.stderr
        if self._answers.readline().strip() != b"open":
            lines = self._errors.read().decode(errors="replace").strip().splitlines() or [""]
            self.close()
            lacks_tk = "tkinter" in lines[-1] and "No module" in lines[-1]
            remedy = "apt-get install python3-tk, or" if lacks_tk else "log in with a screen (ssh -X), or"
            why = "this Python has no Tk" if lacks_tk else f"no window can be opened ({lines[-1].split(': ', 1)[-1]})"
            raise CalcoError(f"{why}; {remedy} look at it in a browser: --page 8000 instead of --window")

    def write(self, image: Image, _seconds: float) -> bool:
        """Show an image, HW3 `uint8`; raise `Gone` if the window has been closed."""
        height, width = image.shape[:2]
        try:
            self._images.write(width.to_bytes(4, "little") + height.to_bytes(4, "little") + image.tobytes())
            self._images.flush()
        except OSError as error:
            raise Gone from error
        return True

    def close(self) -> None:
        """Close it."""
        for pipe in (self._images, self._answers, self._errors):
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self._child.wait(2)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def show(title: str) -> None:
    """Run the window's own process: show what comes on stdin until that ends or the window is closed (q or Escape)."""
    import tkinter

    root = tkinter.Tk()
    root.title(title)
    root.configure(background="black")
    label = tkinter.Label(root, borderwidth=0, background="black")
    label.pack(expand=True)
    newest: list[bytes] = []
    kept: list[tkinter.PhotoImage] = []  # the image that is shown: Tk keeps no reference of its own
    over = threading.Event()

    def read() -> None:
        while len(head := sys.stdin.buffer.read(_HEAD)) == _HEAD:
            width, height = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
            pixels = sys.stdin.buffer.read(width * height * 3)
            if len(pixels) == width * height * 3:
                newest[:] = [b"P6 %d %d 255\n" % (width, height) + pixels]
        over.set()

    def look() -> None:
        if over.is_set():
            root.destroy()
            return
        if newest:
            shown = tkinter.PhotoImage(master=root, data=newest.pop(), format="ppm")
            label.configure(image=shown)
            kept[:] = [shown]
        root.after(_TICK, look)

    for key in ("q", "<Escape>"):
        root.bind(key, lambda _event: root.destroy())
    threading.Thread(target=read, daemon=True).start()
    print("open", flush=True)
    look()
    root.mainloop()
    os._exit(0)  # the reading thread may hang in stdin


if __name__ == "__main__":
    show(sys.argv[1])
