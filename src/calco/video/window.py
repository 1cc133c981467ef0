"""A window with live images: a process of its own, so that it answers while the model computes.

The window is Tk's, which comes with most Pythons. The process reads images from stdin and shows the newest.
"""

import contextlib
import os
import subprocess
import sys
import threading
from typing import Final

from calco.errors import CalcoError
from calco.imaging import Image
from calco.video.pipeline import Gone

_HEAD: Final = 8  # bytes: width and height of an image, each four, little-endian
_TICK: Final = 10  # milliseconds between two looks for a newer image


class Window:
    """Shows images in a window."""

    name = "the window"

    def __init__(self, title: str) -> None:
        """Open it, empty."""
        self._child = subprocess.Popen(
            [sys.executable, "-m", "calco.video.window", title],
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
