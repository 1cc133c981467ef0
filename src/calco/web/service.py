"""The studio's models at work: loaded in the background, and one thread in which all networks run."""

import contextlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from calco import imaging
from calco.annotations.detections import Detections
from calco.errors import CalcoError, is_out_of_memory, out_of_memory
from calco.imaging import Image
from calco.networks.machine import choose_device, make_ready
from calco.web.refusals import RefusedError
from calco.web.served import ServedModel, describe

if TYPE_CHECKING:
    from calco.detection.model import Detector
    from calco.inference.translator import Translator

LOG = logging.getLogger(__name__)
_TOGETHER: Final = 8  # requests to one model that are taken at once
_WAITING_IMAGES: Final = 8  # images of the largest size whose pixels may wait


@dataclass(eq=False, kw_only=True)
class _Ask:
    """One image that waits for a network."""

    model: str
    image: Image
    mask: Image | None = None
    seed: int | None = None
    threshold: float | None = None
    done: "Future[Any]" = field(default_factory=Future)

    @property
    def is_plain(self) -> bool:
        """True if it may go through the network with others."""
        return self.seed is None and self.threshold is None


@dataclass(kw_only=True)
class Counts:
    """What the studio has done since its start."""

    images: Counter[str] = field(default_factory=Counter)  # by model
    refused: Counter[str] = field(default_factory=Counter)  # by reason: queue, client, pixels, time
    rounds: int = 0  # times that images went to a network, some of them together
    busy_seconds: float = 0.0  # of the thread in which the networks run


class Studio:
    """Models at work for many people at once.

    All networks run in one thread: torch's own threads are as many as there are cores, and a second team of them would
    only slow the first one down. It loads the models one after the other, whatever is asked for first.

    Args:
        models: Runs, model folders or exported files. Only their descriptions are read; the weights follow in the
            background.
        device: As of `calco.load`.
        precision: As of `calco.load`.
        queue: Largest number of requests that wait or are in work.
        per_client: Largest number of these of one client.
        seconds: Time after which a request is given up.
        megapixels: Largest image, in 1,000,000 pixels; eight of that size may wait.

    Attributes:
        models: The models by name, in the order in which they were given.
        counts: What was done since the start.

    Raises:
        CalcoError: If a path is not a model.
    """

    def __init__(
        self, models: Sequence[str | Path], *, device: str = "auto", precision: str = "fp32", queue: int = 64,
        per_client: int = 32, seconds: float = 60.0, megapixels: float = 16.0,
    ) -> None:  # fmt: skip
        found: dict[str, ServedModel] = {}
        for path in models:
            served = describe(path, tuple(found))
            found[served.name] = served
        self.models: Mapping[str, ServedModel] = found
        self.counts = Counts()
        self.queue, self.per_client, self.seconds = queue, per_client, seconds
        self.most_pixels = round(megapixels * 1e6)
        self._device, self._precision = device, precision
        self._changed = threading.Condition()
        self._asks: deque[_Ask] = deque()
        self._places: Counter[str] = Counter()
        self._pixels = 0  # of the images that wait or are in work
        self._networks: dict[str, Translator | Detector | CalcoError] = {}
        self._is_closed = False
        # Before any thread has a heap of its own: all of them then share the one whose memory is kept.
        with contextlib.suppress(CalcoError):  # loading a model reports it
            make_ready(choose_device(device), exact=precision == "fp32")
        self._thread = threading.Thread(target=self._run, name="calco-networks", daemon=True)
        self._thread.start()

    def states(self) -> dict[str, str]:
        """Return the state of each model: loading, ready or failed."""
        networks = dict(self._networks)
        return {
            name: "loading" if name not in networks else "failed" if isinstance(networks[name], CalcoError) else "ready"
            for name in self.models
        }

    def waiting(self) -> int:
        """Return the number of requests that wait or are in work."""
        with self._changed:
            return self._places.total()

    def find(self, name: str, kind: Literal["translator", "detector"] | None = None) -> ServedModel:
        """Return a model by its name.

        Raises:
            RefusedError: If there is none, or it is not of the `kind` that is asked for.
        """
        served = self.models.get(name)
        if served is None or kind not in (None, served.kind):
            fitting = [each.name for each in self.models.values() if kind in (None, each.kind)]
            known = ", ".join(fitting) or "-"
            raise RefusedError("no_model", kind=kind or "model", name=name[:60], known=known)
        return served

    @contextlib.contextmanager
    def place(self, client: str = "") -> Iterator[None]:
        """Hold one of the places of the queue for a request, from before its upload is read to its answer.

        Raises:
            RefusedError: If none is free, or the client has as many as one may have.
        """
        with self._changed:
            if self._is_closed:
                raise RefusedError("stopping")
            if self._places.total() >= self.queue:
                self.counts.refused["queue"] += 1
                raise RefusedError("queue", most=self.queue)
            if client and self._places[client] >= self.per_client:
                self.counts.refused["client"] += 1
                raise RefusedError("client", most=self.per_client)
            self._places[client] += 1
        try:
            yield
        finally:
            with self._changed:
                self._places[client] -= 1
                self._places += Counter()  # drops clients without a place

    def translate(
        self, model: str, image: Image, *, mask: Image | None = None, seed: int | None = None, client: str = ""
    ) -> Image:
        """Translate an image; waits for its turn.

        Args:
            model: Name of a translator.
            image: HWC or HW, `uint8`, `uint16` or `float32` in [0, 1].
            mask: Area to redraw, HW bool or an image that is white there, for a model that fills holes.
            seed: Seed of the noise, for variety; None for the deterministic result.
            client: Who asks, for the limit of places; "" has no limit of its own.

        Returns:
            The image that `calco.load(...)(image)` gives, bit by bit.

        Raises:
            RefusedError: If there is no place, the time is over, or there is no such translator.
            CalcoError: If the model cannot use the image or the mask.
        """
        with self.place(client):
            done: Image = self.result(self.submit(model, "translator", image, mask=mask, seed=seed))
            return done

    def detect(self, model: str, image: Image, *, threshold: float | None = None, client: str = "") -> Detections:
        """Find objects in an image; waits for its turn.

        Args:
            model: Name of a detector.
            image: HWC or HW, `uint8`, `uint16` or `float32` in [0, 1].
            threshold: Lowest score, in [0, 1]; None for the detector's own.
            client: As of `translate`.

        Returns:
            The objects, with the highest score first; boxes N x 4 in pixels of the image.

        Raises:
            CalcoError: As of `translate`.
        """
        with self.place(client):
            done: Detections = self.result(self.submit(model, "detector", image, threshold=threshold))
            return done

    def submit(
        self, model: str, kind: Literal["translator", "detector"], image: Image, *, mask: Image | None = None,
        seed: int | None = None, threshold: float | None = None,
    ) -> "Future[Any]":  # fmt: skip
        """Queue an image without waiting, inside a `place`; cancelling the future takes it out again."""
        self.find(model, kind)
        image = imaging.as_image(image)
        pixels = image.shape[0] * image.shape[1]
        if pixels > self.most_pixels:
            raise RefusedError("pixels", width=image.shape[1], height=image.shape[0], most=self.most_pixels)
        ask = _Ask(model=model, image=image, mask=mask, seed=seed, threshold=threshold)
        with self._changed:
            if self._pixels and self._pixels + pixels > _WAITING_IMAGES * self.most_pixels:
                self.counts.refused["pixels"] += 1
                raise RefusedError("large")
            self._pixels += pixels
            self._asks.append(ask)
            self._changed.notify_all()
        ask.done.add_done_callback(lambda _: self._give_back(pixels))
        return ask.done

    def result(self, done: "Future[Any]") -> Any:
        """Wait for a submitted image within the time that is allowed."""
        try:
            return done.result(self.seconds)
        except TimeoutError as error:
            done.cancel()
            raise self.too_slow() from error

    def too_slow(self) -> RefusedError:
        """Count a request that was given up, and return its error."""
        self.counts.refused["time"] += 1
        return RefusedError("time", seconds=self.seconds)

    def close(self) -> None:
        """Refuse what waits, and end the thread after the images in work."""
        with self._changed:
            self._is_closed = True
            left, self._asks = list(self._asks), deque()
            self._changed.notify_all()
        for ask in left:
            if ask.done.set_running_or_notify_cancel():
                ask.done.set_exception(RefusedError("stopping"))
        self._thread.join(10)

    def _give_back(self, pixels: int) -> None:
        with self._changed:
            self._pixels -= pixels

    def _run(self) -> None:
        """Answer what is asked, the oldest first; load models while nothing is."""
        while True:
            with self._changed:
                unloaded = [name for name in self.models if name not in self._networks]
                while not self._asks and not unloaded and not self._is_closed:
                    self._changed.wait()
                if self._is_closed:
                    return
                asks = self._taken()
            if asks:
                self._answer(asks)
            else:
                self._network(unloaded[0])

    def _taken(self) -> list[_Ask]:
        """Take the oldest request out of the queue, and others that may go through the same network with it."""
        if not self._asks:
            return []
        first, rest = self._asks.popleft(), deque[_Ask]()
        asks = [first]
        for ask in self._asks:
            fits = first.is_plain and ask.is_plain and ask.model == first.model and len(asks) < _TOGETHER
            (asks if fits else rest).append(ask)
        self._asks = rest
        return asks

    def _answer(self, asks: list[_Ask]) -> None:
        """Give each request its image, its detections or its error."""
        asks = [ask for ask in asks if ask.done.set_running_or_notify_cancel()]
        if not asks:
            return
        start = time.monotonic()
        network = self._network(asks[0].model)
        try:
            outputs = _together(network, asks)
        except Exception as error:  # noqa: BLE001  (of one of them: each is asked again by itself)
            for ask in asks:
                _settle(ask, error if len(asks) == 1 else None, network)
        else:
            for ask, output in zip(asks, outputs, strict=True):
                ask.done.set_result(output)
        self.counts.images[asks[0].model] += len(asks)
        self.counts.rounds += 1
        self.counts.busy_seconds += time.monotonic() - start

    def _network(self, name: str) -> "Translator | Detector | CalcoError":
        """Return a model, loaded at its first use, or the reason why it cannot be."""
        if name not in self._networks:
            try:
                self._networks[name] = _loaded(self.models[name], self._device, self._precision)
            except Exception as error:  # noqa: BLE001  (the other models stay)
                reason = error if isinstance(error, CalcoError) else CalcoError(f"{name} cannot be loaded: {error}")
                LOG.warning("%s is not served: %s", name, reason)
                self._networks[name] = reason
        return self._networks[name]


def _loaded(served: ServedModel, device: str, precision: str) -> "Translator | Detector":
    """Load a model, and let it see one image, so that the first person does not wait for weights to be packed."""
    import numpy as np

    if served.kind == "detector":
        from calco.detection.exported import open_detector

        detector = open_detector(str(served.path), device=device, precision=precision)
        detector(np.zeros((64, 64, 3), np.uint8))
        return detector
    from calco.data.augmentation import whole_side
    from calco.inference.translator import load

    translator = load(served.path, device=device, precision=precision)
    side = whole_side(translator.info.jitter) or 256
    channels = translator.info.in_channels if translator.info.in_channels > 4 else 3
    holes = np.ones((side, side), np.bool_) if served.takes_mask else None
    translator(np.zeros((side, side, channels), np.uint8), mask=holes)
    return translator


def _together(network: "Translator | Detector | CalcoError", asks: Sequence[_Ask]) -> list[Any]:
    """Return what a network makes of the images of some requests: of one, or of several plain ones."""
    from calco.inference.translator import Translator

    if isinstance(network, CalcoError):
        raise CalcoError(f"the model {asks[0].model} is not available: its files cannot be used; see the terminal")
    first = asks[0]
    if not isinstance(network, Translator):
        return [network(ask.image, threshold=ask.threshold) for ask in asks]
    if len(asks) == 1:
        return [network(first.image, mask=first.mask, noise_seed=first.seed)]
    return network.many([ask.image for ask in asks], masks=[ask.mask for ask in asks])


def _settle(ask: _Ask, error: Exception | None, network: "Translator | Detector | CalcoError") -> None:
    """Give one request its answer by itself, or its error."""
    if error is None:
        try:
            ask.done.set_result(_together(network, [ask])[0])
            return
        except Exception as own:  # noqa: BLE001  (it is the requester's)
            error = own
    if is_out_of_memory(error):
        error = out_of_memory(error, "send a smaller image")
    ask.done.set_exception(error)
