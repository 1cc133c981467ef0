"""The backend behind a loaded model: the fastest of this machine whose images agree with those of Calco's own kernels.

A backend is built, measured and compared once, on images of the work at hand, and kept in the folder `backends` of the
model. Small works are not worth that, so Calco itself does them.
"""

import contextlib
import copy
import importlib.metadata
import importlib.util
import logging
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from calco import imaging
from calco.errors import CalcoError, needs
from calco.files import digest, explained, make_folder, read_json, write_json
from calco.hardware import processor
from calco.imaging import Image
from calco.inference.folder import DESCRIPTION
from calco.inference.network import Network
from calco.inference.runtimes import Backend, OnnxFile, OpenvinoFile
from calco.networks.machine import has_bfloat16
from calco.outputs import settings_digest
from calco.version import __version__

if TYPE_CHECKING:
    import onnx

_log = logging.getLogger(__name__)

Name: TypeAlias = Literal["auto", "calco", "onnxruntime", "openvino"]
FOLDER: Final = "backends"
FORMAT: Final = 1
OPENED: Final = 20.0
"""Seconds of work by Calco's own kernels from which a backend that is there already is opened."""
BUILT: Final = 120.0
"""Seconds of work from which a backend is built: that takes about half a minute of two free cores."""
FEWEST: Final = 64
"""Images or frames below which nothing is measured."""
GAIN: Final = 1.1
"""How many times as fast as Calco's own kernels a backend must be."""
LEVELS: Final = 1
"""Largest difference in fp32, levels of 255."""
DECIBELS: Final = 35.0
"""Lowest PSNR of each image in bf16 and int8 against Calco's in float32."""
CLASSES: Final = {"fp32": 0.001, "bf16": 0.01, "int8": 0.01}
"""Largest share of the pixels of class maps that have another class."""
CALIBRATED: Final = 16
CHECKED: Final = 4
SAMPLES: Final = CALIBRATED + CHECKED
_ROW: Final = ("backend", "precision", "gain", "words")
_ROUNDS: Final = 7  # in which backends are timed in turns
_LIBRARIES: Final = {
    "onnxruntime": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}
_PRECISIONS: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}
N = TypeVar("N", bound=Network)


@dataclass(frozen=True, kw_only=True)
class Workload(Generic[N]):
    """What a model is about to do."""

    samples: Sequence[Callable[[N], Image]]  # each translates one of the inputs; `spread` tells which
    count: float = math.inf  # images or frames in all
    began: Mapping[str, Any] | None = None  # `Network.settings` of the interrupted call that is resumed


def spread(count: int, most: int = SAMPLES) -> list[int]:
    """Return the numbers of up to `most` of `count` inputs, evenly distributed from the first to the last."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))}) if count else []


def use_backend(
    network: N, model: Path | None, work: Workload[N], *, backend: Name = "auto", precision: str = "auto",
    noise_seed: int | None = None,
) -> None:  # fmt: skip
    """Let the fastest backend compute a loaded network, if that is worth it and the images agree.

    Args:
        network: The model, which computes with Calco's own kernels so far.
        model: Its folder; None for an exported file, which has its own runtime.
        work: What it is about to do.
        backend: The one to take; "auto" leaves Calco's own kernels in place wherever no other can be used.
        precision: "fp32", "bf16", "int8", or "auto" for the fastest.
        noise_seed: Dropout is kept on, which only Calco's own kernels do.

    Raises:
        CalcoError: If the backend, named explicitly, cannot be used, or its images do not agree.
    """
    if model is None and backend != "auto":
        raise CalcoError(
            f"--backend {backend} is for model folders, and this file has a runtime of its own; leave it out"
        )
    if backend == "calco":
        return
    explicit = backend != "auto" or precision == "int8"
    if reason := _unsuited(network, model, noise_seed):
        if explicit and model is not None:
            asked = f"--backend {backend}" if backend != "auto" else f"--precision {precision}"
            raise CalcoError(f"{asked} cannot be used: {reason}; leave it out")
        return
    assert model is not None
    if work.began is not None and not explicit:
        if (identity := work.began.get("backend")) is not None:
            if take(network, model, str(identity)):
                _log.info(f"backend: {identity}, which the results were begun with")
            else:
                _log.warning(
                    f"the results were begun with the backend {identity}, which is not in {model / FOLDER} now"
                )
        return
    wanted = _wanted(backend, precision, network.device)
    choice = _Choice(network, model, work, wanted, explicit=explicit)
    if explicit or choice.pays():
        choice.make()


def _unsuited(network: Network, model: Path | None, noise_seed: int | None) -> str:
    """Return why only Calco's own kernels can compute this; empty if others can."""
    if model is None:
        return "an exported file is computed by its own runtime"
    if network.device.type != "cpu":
        return f"backends compute on the CPU, and the device is {network.device}"
    if network.info.generator.bridge_steps:
        return "a bridge is computed in steps, by Calco alone"
    if noise_seed is not None:
        return "a noise seed keeps dropout on, which only Calco does"
    return ""


Candidate: TypeAlias = tuple[str, str]
"""Backend and precision."""


def _wanted(backend: Name, precision: str, device: torch.device) -> list[Candidate]:
    """Return the backends and precisions that may be taken, those that are not installed included."""
    names = ("openvino", "onnxruntime") if backend == "auto" else (backend,)
    precisions = [precision] if precision != "auto" else ["fp32", *["bf16"] * has_bfloat16(device), "int8"]
    found = [(name, each) for name in names for each in precisions if (name, each) != ("onnxruntime", "bf16")]
    found = [(name, each) for name, each in found if each in _PRECISIONS]
    if not found:
        raise CalcoError(f"--backend {backend} does not compute in {precision} on a CPU; choose fp32 or int8")
    return found


def take(network: Network, model: Path, identity: str) -> bool:
    """Take the backend of an identity, which an earlier call or another process built; return whether it is there."""
    for file in sorted((model / FOLDER).glob("*.json")):
        with contextlib.suppress(CalcoError):
            record = _read(file)
            if (chosen := record["chosen"]) and chosen["identity"] == identity:
                network.backend = _opened(model / FOLDER, chosen)
                return True
    return False


def newest(network: Network, model: Path | None, precision: str, backend: Name = "auto") -> bool:
    """Take a backend that an earlier work built for this model on this machine; return whether there is one.

    It is not compared on the present images, and serves where these cannot be looked at first.
    """
    if _unsuited(network, model, None) or model is None:
        return False
    wanted = _wanted(backend, precision, network.device)
    for file in sorted((model / FOLDER).glob(f"{_key(model, wanted)[1]}-*.json")):
        with contextlib.suppress(CalcoError):
            if chosen := _read(file)["chosen"]:
                network.backend = _opened(model / FOLDER, chosen)
                _log.info(f"backend: {_title(chosen)}, {chosen['gain']:.1f} times as fast as Calco's own kernels "
                          "when it was built; --backend calco turns it off")  # fmt: skip
                return True
    return False


def _mean_seconds(samples: Sequence[Callable[[N], Image]], network: N) -> float:
    """Return the mean seconds of samples, without the first, which warms up."""
    times = []
    for sample in samples:
        began = time.perf_counter()
        with contextlib.suppress(CalcoError, OSError):  # the work itself reports it
            sample(network)
        times.append(time.perf_counter() - began)
    return sum(times[1:]) / len(times[1:])


def keeps_up(sample: Callable[[N], Image], network: N, rate: float) -> bool:
    """Return whether a network translates an image in the time between two frames, at `rate` frames per second."""
    return _mean_seconds([sample] * 3, network) * rate < 1


class _Choice(Generic[N]):
    """The choice of a backend for one work."""

    def __init__(self, network: N, model: Path, work: Workload[N], wanted: list[Candidate], *, explicit: bool) -> None:
        self.network, self.model, self.work, self.wanted, self.explicit = network, model, work, wanted, explicit
        self.folder = model / FOLDER
        self.seconds = math.inf  # that Calco would take
        self.plain = copy.copy(network)  # Calco in float32, with which the others are compared
        self.plain.precision, self.plain._packed = torch.float32, None
        self.seen: dict[int, Tensor] = {}  # inputs of the network, by the number of the sample
        self.expected: dict[int, Image] = {}
        self.failed = set[int]()

    def pays(self) -> bool:
        """Return whether the work is long enough to open a backend, as far as a few samples tell."""
        if self.work.count < FEWEST or len(self.work.samples) < 3:
            return False
        self.seconds = _mean_seconds(self.work.samples[:3], self.network) * self.work.count
        return self.seconds >= OPENED

    def make(self) -> None:
        """Open the backend, or build it."""
        size = self._size()
        if size is None:
            if self.explicit:
                raise CalcoError("the backend needs an image to be compared on, and none can be read; name others")
            return
        key, name = _key(self.model, self.wanted)
        file = self.folder / f"{name}-{size[0]}x{size[1]}.json"
        record: dict[str, Any] | None = None
        with contextlib.suppress(CalcoError):
            record = _read(file) if file.exists() else None
        if record is None:
            if not self.explicit and (self.seconds < BUILT or not self._installed()):
                return
            try:
                record = self._built(key, file)
            except CalcoError as error:
                if self.explicit:
                    raise
                _log.warning(f"backend: no faster one can be built: {error}; going on with Calco")
                return
        elif record["chosen"] is not None:
            self._open(record["chosen"])
            return
        if self.explicit and record["chosen"] is None:
            reasons = "; ".join(f"{_title(each)}: {each['words']}" for each in record["tried"])
            raise CalcoError(f"no backend that was asked for can be used ({reasons}); leave --backend out, or take "
                             "another --precision")  # fmt: skip

    def _open(self, chosen: dict[str, Any]) -> None:
        """Open a backend that an earlier work has built, and compare it on images of this one."""
        try:
            backend = _opened(self.folder, chosen)
        except CalcoError as error:
            if self.explicit:
                raise
            _log.warning(f"backend: {error}; going on with Calco")
            return
        agrees, words = self._agreement(backend, chosen["precision"], spread(len(self.work.samples), CHECKED))
        if not agrees:
            text = f"{_title(chosen)} does not agree with Calco on these images ({words})"
            if self.explicit:
                raise CalcoError(f"{text}; leave --backend out, or take --precision fp32")
            _log.warning(f"backend: {text}; going on with Calco")
            return
        self.network.backend = backend
        _log.info(f"backend: {_title(chosen)}, {chosen['gain']:.1f} times as fast as Calco's own kernels when it was "
                  f"built; {words}; --backend calco turns it off")  # fmt: skip

    def _installed(self) -> bool:
        """Return whether a wanted backend is installed, and tell once what would be faster."""
        missing = {name: _missing(name) for name, _ in self.wanted}
        if missing.get("openvino"):
            _log.info(f"{missing['openvino']} is not installed; a backend would make this several times as fast: "
                      "pip install 'calco[export,openvino]'")  # fmt: skip
        self.wanted = [each for each in self.wanted if not missing[each[0]]]
        return bool(self.wanted)

    def _sample(self, number: int) -> None:
        """Run a sample through Calco in float32, once; keep what its network saw, and the image."""
        if number in self.expected or number in self.failed:
            return
        seen: list[Tensor] = []

        def noted(x: Tensor) -> Tensor:
            seen.append(x.contiguous().clone())
            return self.plain._applied(self.plain.backbone, x).float()

        noting = copy.copy(self.plain)
        noting.backend = Backend(name="calco", precision=torch.float32, identity="", maps=noted)
        try:
            self.expected[number] = self.work.samples[number](noting)
            self.seen[number] = seen[0]
        except (CalcoError, OSError, IndexError):  # the work itself reports it
            self.failed.add(number)

    def _size(self) -> tuple[int, int] | None:
        """Return the height and width of what the network sees of the first image."""
        for number in range(len(self.work.samples)):
            self._sample(number)
            if number in self.seen:
                height, width = self.seen[number].shape[2:]
                return height, width
        return None

    def _agreement(self, backend: Backend, precision: str, numbers: Sequence[int]) -> tuple[bool, str]:
        """Compare the images of a backend with Calco's in float32; return whether they agree, and how far."""
        other = copy.copy(self.plain)
        other.backend = backend
        pairs = []
        for number in numbers:
            self._sample(number)
            if number in self.expected:
                try:
                    made = self.work.samples[number](other)
                except CalcoError as error:
                    return False, str(error)
                pairs.append([imaging.as_dtype(each, np.uint8) for each in (self.expected[number], made)])
        if not pairs:
            return False, "no image could be compared"
        if self.network.info.palette is not None:
            share = float(np.mean([(one != two).any(axis=2).mean() for one, two in pairs]))
            most = CLASSES[precision]
            words = f"other classes at {share:.2%} of the pixels of {len(pairs)} images, of at most {most:.1%}"
            return share <= most, words
        if precision == "fp32":
            largest = max(int(np.abs(one.astype(np.int16) - two).max()) for one, two in pairs)
            words = f"largest difference {largest} levels of 255 on {len(pairs)} images, of at most {LEVELS}"
            return largest <= LEVELS, words
        lowest = min(min(100.0, cv2.PSNR(one, two)) for one, two in pairs)
        words = f"PSNR against float32 at least {lowest:.1f} dB on {len(pairs)} images, {DECIBELS:.0f} dB are needed"
        return lowest >= DECIBELS, words

    def _built(self, key: dict[str, Any], file: Path) -> dict[str, Any]:
        """Build, time and compare the wanted backends, and take and keep the fastest that agrees."""
        for library in dict.fromkeys(name for name, _ in self.wanted):
            needs(*_LIBRARIES[library], extra="export,openvino" if library == "openvino" else "export")
        with explained(self.folder, "write"):
            make_folder(self.folder)
            room = tempfile.TemporaryDirectory(prefix=".", dir=self.folder)
        with room as place, explained(self.folder, "write"):
            _log.info("backend: building those of this machine and comparing them, once for this model; --backend "
                      "calco starts at once")  # fmt: skip
            built = self._timed(Path(place))
            record: dict[str, Any] = {"format": FORMAT, **key, "tried": [each.row for each in built], "chosen": None}
            for each in sorted(built, key=lambda each: -each.row["gain"]):
                if each.backend is None or (each.row["gain"] < GAIN and not self.explicit):
                    continue
                checked = spread(len(self.work.samples), CHECKED)
                agrees, each.row["words"] = self._agreement(each.backend, each.row["precision"], checked)
                if not agrees:
                    _log.info(f"backend: {each} does not agree with Calco on this machine ({each.row['words']})")
                    continue
                kept = file.with_suffix(each.file.suffix)
                each.file.replace(kept)
                record["chosen"] = {**each.row, "identity": each.backend.identity, "file": kept.name,
                                    "digest": digest(kept)}  # fmt: skip
                self.network.backend = each.backend
                _log.info(f"backend: {each}, {each.row['gain']:.1f} times as fast as Calco's own kernels; "
                          f"{each.row['words']}; --backend calco turns it off")  # fmt: skip
                break
            else:
                if not self.explicit:
                    _log.info("backend: Calco's own kernels are the fastest here whose images agree")
            write_json(file, record)
        return record

    def _graphs(self) -> "dict[str, onnx.ModelProto]":
        """Return the network as ONNX in fp32, and in int8 if that is wanted and can be calibrated."""
        from calco.inference.graphs import network_graph, quantised  # imports ONNX

        checked = set(spread(len(self.work.samples), CHECKED))
        for number in range(len(self.work.samples)):
            self._sample(number)
        calibrated = [seen.numpy() for number, seen in self.seen.items() if number not in checked]
        generator, channels = self.network.generator, self._first().shape[1]
        try:
            graphs = {"fp32": network_graph(generator.backbone, channels, generator.multiple)}
            if any(precision == "int8" for _, precision in self.wanted) and calibrated and not _missing("onnxruntime"):
                graphs["int8"] = quantised(graphs["fp32"], calibrated)
        except (CalcoError, OSError):
            raise
        except Exception as error:  # the exporters' own kinds of errors have no name in common
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise CalcoError(f"the network cannot be written as a graph ({reason}); take --backend calco") from error
        return graphs

    def _first(self) -> Tensor:
        """Return what the network sees of the first sample."""
        return self.seen[min(self.seen)]

    def _timed(self, place: Path) -> "list[_Built]":
        """Build the wanted backends, and time their networks and Calco's in turns, on the input of the first sample."""
        from calco.inference.graphs import write_openvino

        graphs, first = self._graphs(), self._first()
        built = []
        for name, precision in self.wanted:
            graph = graphs.get("int8" if precision == "int8" else "fp32")
            file = place / f"{name}-{precision}{'.onnx' if name == 'onnxruntime' else '.zip'}"
            each = _Built(file, dict(zip(_ROW, (name, precision, 0.0, "slower than Calco"), strict=True)))
            built.append(each)
            if graph is None:
                each.row["words"] = "int8 needs onnxruntime, and images to calibrate it on beside those to compare"
                continue
            if name == "onnxruntime":
                file.write_bytes(graph.SerializeToString())
            else:
                write_openvino(graph, file, "{}")
            try:
                backend = _running(name, precision, file)
                each.backend = backend if backend.maps(first).shape[2:] == first.shape[2:] else None
            except CalcoError as error:
                each.row["words"] = str(error)
        ready = [(each, each.backend) for each in built if each.backend is not None]
        with torch.inference_mode():
            calls = [partial(self.network._applied, self.network.backbone, first)]
            calls += [partial(backend.maps, first) for _, backend in ready]
            seconds = [[_seconds(call) for call in calls] for _ in range(_ROUNDS)]
        # The fastest of several rounds: other work on the machine only ever slows one down.
        own, *others = np.min(seconds, axis=0)
        for (each, _), value in zip(ready, others, strict=True):
            each.row["gain"] = round(float(own / value), 2)
        return built


@dataclass
class _Built:
    """A backend that is tried."""

    file: Path
    row: dict[str, Any]  # what the record says of it
    backend: Backend | None = None

    def __str__(self) -> str:
        return _title(self.row)


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['backend']} in {row['precision']}"


def _missing(backend: str) -> str:
    """Return a library that a backend lacks here; empty if there is none."""
    return next((name for name in _LIBRARIES[backend] if importlib.util.find_spec(name) is None), "")


def _running(name: str, precision: str, file: Path) -> Backend:
    """Open a network in a backend."""
    version = importlib.metadata.version(name)
    runtime = OnnxFile(file) if name == "onnxruntime" else OpenvinoFile(file, "bf16" if precision == "bf16" else "f32")
    return Backend(
        name=name, precision=_PRECISIONS[precision], maps=runtime.maps,
        identity=f"{name} {version} {precision} {digest(file)}",
    )  # fmt: skip


def _opened(folder: Path, chosen: Mapping[str, Any]) -> Backend:
    """Open the backend of a record."""
    file = folder / Path(str(chosen["file"])).name
    if not file.is_file() or digest(file) != chosen["digest"]:
        raise CalcoError(f"the backend in {folder} is missing or damaged; remove that folder, and it is built again")
    needs(chosen["backend"], extra="export,openvino")
    return _running(chosen["backend"], chosen["precision"], file)


def _key(model: Path, wanted: Sequence[Candidate]) -> tuple[dict[str, Any], str]:
    """Return what the choice of a backend depends on beside the size, and a name made of it."""
    names = sorted({library for name, _ in wanted for library in _LIBRARIES[name] if not _missing(name)})
    key = {
        "model": digest(model / DESCRIPTION), "calco": __version__, "torch": torch.__version__,
        "libraries": {name: importlib.metadata.version(name) for name in names}, "processor": processor(),
        "threads": torch.get_num_threads(), "wanted": [" ".join(each) for each in wanted],
    }  # fmt: skip
    return key, settings_digest(key)


def _read(file: Path) -> dict[str, Any]:
    """Read a record; CalcoError if it is damaged or of another format."""
    record = read_json(file)
    chosen = record.get("chosen")
    fields = {"backend", "precision", "gain", "identity", "file", "digest"}
    tried = record.get("tried")
    whole = isinstance(tried, list) and all(isinstance(each, dict) and {*_ROW} <= each.keys() for each in tried)
    if record.get("format") != FORMAT or not whole or not (chosen is None or fields <= chosen.keys()):
        raise CalcoError(f"{file} is damaged or of another format; remove it, and the backend is built again")
    if chosen is not None and (chosen["backend"] not in _LIBRARIES or chosen["precision"] not in _PRECISIONS):
        raise CalcoError(f"{file} names an unknown backend; remove it, and the backend is built again")
    return record
