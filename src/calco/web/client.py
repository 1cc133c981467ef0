"""`calco.Client`: the models of a studio as if they were loaded here."""

import contextlib
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from calco import imaging
from calco.annotations.detections import Detections
from calco.detection.prediction import from_rows
from calco.errors import CalcoError, MissingExtraError
from calco.files import explained, replacing
from calco.imaging import Image

if TYPE_CHECKING:
    import httpx

_ROOT: Final = "/api/v1"
_POLL: Final = 0.5  # seconds between two looks at a job


class Client:
    """The models of a studio, reached by its REST API.

    A studio that is busy is asked again until `patience` is over. Images travel without loss, so that the result is
    that of `calco.load`, bit by bit.

    Args:
        url: Address of the studio, such as http://127.0.0.1:7860.
        token: Its token, if it asks for one.
        patience: Seconds for which a busy studio is asked again.
        timeout: Seconds without a byte after which a request is given up.

    Raises:
        CalcoError: If the address is not one, or the studio cannot be reached or refuses (by the methods).
    """

    def __init__(self, url: str, *, token: str = "", patience: float = 60.0, timeout: float = 120.0) -> None:
        if importlib.util.find_spec("httpx") is None:
            raise MissingExtraError("calco.Client needs httpx, which is missing: pip install 'calco[web]'")
        import httpx

        base = url.split("?", maxsplit=1)[0].rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url, self.patience = base, patience
        try:
            if not base.startswith(("http://", "https://")):
                raise httpx.InvalidURL(base)
            self._http = httpx.Client(base_url=base, headers=headers, timeout=timeout)
        except (httpx.InvalidURL, ValueError) as error:  # ValueError: a token that no header can hold
            raise CalcoError(
                f"{base!r} is not the address of a studio; give one such as http://127.0.0.1:7860"
            ) from error

    def __enter__(self) -> "Client":
        """Return the client; its connections are closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def models(self) -> dict[str, dict[str, Any]]:
        """Return what the studio tells of each of its models, by name."""
        return {each["name"]: each for each in self.ask("GET", "/models").json()}

    def load(self, name: str) -> "RemoteModel":
        """Return a model of the studio.

        Args:
            name: Its name, as of `models`.

        Returns:
            The model: called with an image it returns an image, as `calco.load` does; of a detector, see `detect`.

        Raises:
            CalcoError: If there is none of that name.
        """
        return RemoteModel(self, name, self.ask("GET", f"/models/{name}").json())

    def submit(self, name: str, file: str | Path, *, mask: str | Path | None = None, **options: Any) -> "RemoteJob":
        """Give the studio a video, or a ZIP of images, to be worked on.

        Args:
            name: Name of the model.
            file: The video or the ZIP.
            mask: What a model that fills holes redraws, white: an image for all, or a ZIP of masks with the names of
                the images.
            options: Options of the job, such as noise_seed=7; docs/serve.md lists them.

        Returns:
            The job, which goes on if this program ends.

        Raises:
            CalcoError: If the studio does not take it.
        """
        with contextlib.ExitStack() as held:
            files = {"file": ("upload", _opened(file, held))}
            if mask is not None:
                files["mask"] = ("mask", _opened(mask, held))
            fields = {"model": name, **{key: str(value).lower() if isinstance(value, bool) else str(value)
                                        for key, value in options.items() if value is not None}}  # fmt: skip
            answer = self.ask("POST", "/jobs", data=fields, files=files)
        return RemoteJob(self, str(answer.json()["id"]))

    def ask(self, method: str, path: str, *, into: Path | None = None, **options: Any) -> "httpx.Response":
        """Send a request below /api/v1 and return its answer; a refusal is an error in the studio's words.

        Args:
            method: Method of HTTP.
            path: Path below /api/v1.
            into: File to write the answer's content into as it comes; None to keep it in the answer.
            options: Content of the request, as of `httpx.Client.build_request`.

        Raises:
            CalcoError: If the studio cannot be reached, refuses, or is busy beyond the patience.
        """
        until = time.monotonic() + self.patience
        while True:
            answer = self._once(self._http.build_request(method, f"{_ROOT}{path}", **options), into)
            wait = answer.headers.get("retry-after", "")
            if answer.status_code != 503 or not wait.isdecimal() or time.monotonic() + int(wait) > until:
                break
            time.sleep(int(wait))
            for _, content in options.get("files", {}).values():
                if not isinstance(content, bytes):
                    content.seek(0)
        if answer.status_code >= 400:
            raise CalcoError(f"the studio at {self.url} refuses: {_detail(answer)}")
        return answer

    def _once(self, request: "httpx.Request", into: Path | None) -> "httpx.Response":
        """Send a request once."""
        import httpx

        try:
            answer = self._http.send(request, stream=True)
            with contextlib.closing(answer):
                if into is None or answer.status_code >= 400:
                    answer.read()
                else:
                    with explained(into, "write"), into.open("wb") as file:
                        for part in answer.iter_bytes():
                            file.write(part)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise CalcoError(
                f"the studio at {self.url} does not answer ({reason}); start it with calco serve, or check the address"
            ) from error
        return answer


def _opened(path: str | Path, held: contextlib.ExitStack) -> BinaryIO:
    with explained(path, "read"):
        return held.enter_context(Path(path).open("rb"))


def _detail(answer: "httpx.Response") -> str:
    """Return the sentence of a refusal."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.reason_phrase}"


@dataclass(frozen=True)
class RemoteModel:
    """A model of a studio.

    Attributes:
        client: The studio.
        name: Name of the model.
        info: What the studio tells of it: kind, job, classes, whether it uses noise.
    """

    client: Client
    name: str
    info: dict[str, Any]

    def __call__(self, image: Image, *, mask: Image | None = None, noise_seed: int | None = None) -> Image:
        """Translate one image.

        Args:
            image: HWC or HW, `uint8`, `uint16` or `float32` in [0, 1].
            mask: Area to redraw, HW bool, or an image that is white there.
            noise_seed: Seed of the noise, for variety; None for the deterministic result.

        Returns:
            HWC of the same height, width and dtype.

        Raises:
            CalcoError: If the studio refuses, in its words.
        """
        files = {"image": _file(image)}
        if mask is not None:
            files["mask"] = _file(np.asarray(mask, np.uint8) * 255 if np.asarray(mask).dtype == np.bool_ else mask)
        fields = {"model": self.name} | ({} if noise_seed is None else {"noise_seed": str(noise_seed)})
        answer = self.client.ask("POST", "/translate", data=fields, files=files)
        return imaging.decode(answer.content, "the studio's answer", background="channel")

    def detect(self, image: Image, *, threshold: float | None = None) -> Detections:
        """Find objects in one image.

        Args:
            image: HWC or HW, `uint8`, `uint16` or `float32` in [0, 1].
            threshold: Lowest score, in [0, 1]; None for the detector's own.

        Returns:
            The objects, the highest score first; boxes N x 4 in pixels, rounded to hundredths.

        Raises:
            CalcoError: If the studio refuses, in its words.
        """
        fields = {"model": self.name} | ({} if threshold is None else {"threshold": repr(float(threshold))})
        answer = self.client.ask("POST", "/detect", data=fields, files={"image": _file(image)})
        return from_rows(answer.json()["detections"])


def _file(image: Image) -> tuple[str, bytes]:
    """Encode an image without loss, as the file of a form."""
    image = imaging.as_image(image)
    ending = ".tif" if image.dtype == np.float32 or image.shape[2] > 4 else ".png"
    return f"image{ending}", imaging.encode(image, ending, fast=True)


@dataclass(frozen=True)
class RemoteJob:
    """A job of a studio.

    Attributes:
        client: The studio.
        id: Id of the job; a client that knows it may see and cancel the job.
    """

    client: Client
    id: str

    def state(self) -> dict[str, Any]:
        """Return the job as the studio tells it: state, progress from 0 to 1, message."""
        state: dict[str, Any] = self.client.ask("GET", f"/jobs/{self.id}").json()
        return state

    def wait(self, progress: Callable[[float, str], None] = lambda _done, _message: None) -> "RemoteJob":
        """Wait until the job is done.

        Args:
            progress: Called with the share that is done, from 0 to 1, and what is done now.

        Returns:
            The job.

        Raises:
            CalcoError: If it failed or was cancelled.
        """
        while True:
            state = self.state()
            progress(float(state["progress"]), str(state["message"]))
            if state["state"] == "done":
                return self
            if state["state"] in ("failed", "cancelled"):
                verb = "failed" if state["state"] == "failed" else "was cancelled"
                raise CalcoError(f"the job {verb}: {state['message'] or 'no reason was given'}")
            time.sleep(_POLL)

    def result(self, out: str | Path) -> Path:
        """Write the result, a video or a ZIP, into a file, and return its path.

        Args:
            out: The file to write.

        Raises:
            CalcoError: If there is no result, or it cannot be written.
        """
        with replacing(out) as temporary:
            self.client.ask("GET", f"/jobs/{self.id}/result", into=temporary)
        return Path(out)

    def boxes(self, out: str | Path) -> Path:
        """Write the objects that a detector has found in a video into a table, and return its path.

        Args:
            out: The file to write: .csv has a row for each object, .jsonl a line for each frame.

        Raises:
            CalcoError: If the job has no such table, or it cannot be written.
        """
        form = Path(out).suffix.removeprefix(".")
        with replacing(out) as temporary:
            self.client.ask("GET", f"/jobs/{self.id}/boxes", into=temporary, params={"format": form})
        return Path(out)

    def cancel(self) -> None:
        """End the job, and delete what it has written."""
        self.client.ask("DELETE", f"/jobs/{self.id}")
