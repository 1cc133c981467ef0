"""Live images in a browser: a page for this machine alone, which asks for one image after the other."""

import contextlib
import json
import re
import threading
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs, urlsplit

from calco import imaging
from calco.imaging import Image
from calco.report.page import render
from calco.report.server import Handler, open_port

_WAITS: Final = 5.0  # seconds that a browser waits for a newer image
_BOUNDARY: Final = "calco"
_NUMBER: Final = re.compile(r"-1|[0-9]{1,18}")  # of an image that this page can have given


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
