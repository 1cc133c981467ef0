"""A window with live images: a process of its own, so that it answers while the model computes.

The window is Tk's, which comes with most Pythons. The process reads images from stdin and shows the newest.
"""

import contextlib
import os
import subprocess
import sys
import threading
from typing import IO, Final

from calco.errors import CalcoError
from calco.imaging import Image
from calco.video.pipeline import Gone

_HEAD: Final = 8  # width and height of an image, each four bytes, little-endian
_TICK: Final = 10  # milliseconds between two looks for a newer image


class Window:
    """Shows images in a window."""

    name = "the window"

    def __init__(self, title: str) -> None:
        """Opens it, empty.

        Args:
            title: Above it.

        Raises:
            CalcoError: When there is no screen, or this Python has no Tk.
        """
        self._child = subprocess.Popen(
            [sys.executable, "-m", "calco.video.window", title],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        if self._out.readline().strip() != b"open":
            said = self._errors.read().decode(errors="replace").strip().splitlines() or [""]
            self.close()
            lacks_tk = "tkinter" in said[-1] and "No module" in said[-1]
            remedy = "apt-get install python3-tk, or" if lacks_tk else "log in with a screen (ssh -X), or"
            why = "this Python has no Tk" if lacks_tk else f"no window can be opened ({said[-1].split(': ', 1)[-1]})"
            raise CalcoError(f"{why}; {remedy} look at it in a browser: --page 8000 instead of --window")

    @property
    def _out(self) -> IO[bytes]:
        assert self._child.stdout is not None
        return self._child.stdout

    @property
    def _errors(self) -> IO[bytes]:
        assert self._child.stderr is not None
        return self._child.stderr

    def write(self, image: Image, _seconds: float) -> bool:
        """Shows an image, HW3 `uint8`.

        Raises:
            Gone: When the window has been closed.
        """
        height, width = image.shape[:2]
        head = b"".join(number.to_bytes(4, "little") for number in (width, height))
        try:
            assert self._child.stdin is not None
            self._child.stdin.write(head + image.tobytes())
            self._child.stdin.flush()
        except OSError as error:
            raise Gone from error
        return True

    def close(self) -> None:
        """Closes it."""
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._child.wait(2)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def _exactly(source: IO[bytes], count: int) -> bytes:
    data = source.read(count)
    if len(data) < count:
        raise EOFError
    return data


def show(title: str) -> None:
    """The window's own process: shows what comes on stdin until that ends, or the window is closed (q or Escape)."""
    import tkinter

    root = tkinter.Tk()
    root.title(title)
    root.configure(background="black")
    label = tkinter.Label(root, borderwidth=0, background="black")
    label.pack(expand=True)
    newest: list[bytes] = []
    over = threading.Event()

    def read() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                head = _exactly(sys.stdin.buffer, _HEAD)
                width, height = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:8], "little")
                newest[:] = [b"P6 %d %d 255\n" % (width, height) + _exactly(sys.stdin.buffer, width * height * 3)]
        over.set()

    def look() -> None:
        if over.is_set():
            root.destroy()
            return
        if newest:
            shown = tkinter.PhotoImage(master=root, data=newest.pop(), format="ppm")
            label.configure(image=shown)
            label.image = shown  # type: ignore[attr-defined]  # Tk keeps no reference of its own
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
