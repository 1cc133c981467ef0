"""Models that are small and quick, and studios that serve them on a real port."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch

from calco.data.config import JitterConfig
from calco.data.recipes import EraseConfig, RecipeConfig
from calco.detection.model import DetectorInfo, build_network, save_detector
from calco.imaging import Image
from calco.inference.folder import ModelInfo, save_model
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from calco.web import ServeConfig


def make_translator(folder: Path, recipe: str = "aligned", **generator: Any) -> Path:
    """The run of a translator with random weights, at 32 pixels."""
    holes = "erase" in recipe
    composition: Any = "filled" if holes else "plain"
    info = ModelInfo(
        generator=GeneratorConfig(depth=3, filters=8, composition=composition, hole_channel=holes, **generator),
        recipe=RecipeConfig(recipe=recipe, erase=EraseConfig(mask_channel=holes)),
        jitter=JitterConfig(size=32, resize=36, fit="cover"),
        in_channels=3 + holes, out_channels=3,
    )  # fmt: skip
    save_untrained(folder, info)
    return folder


def save_untrained(folder: Path, info: ModelInfo) -> None:
    """Write the run of a translator with random weights."""
    torch.manual_seed(0)
    network = build_generator(info.generator, info.in_channels, info.out_channels)
    for weights in network.parameters():
        weights.data.mul_(4)  # far from grey, so that differences show
    save_model(folder / "model", info, network.state_dict(), None)


def make_detector(folder: Path) -> Path:
    """The model folder of a detector with random weights, at 64 pixels."""
    info = DetectorInfo(
        architecture="lite", classes=("person", "car"), size=64, settings={"width": 16, "depth": 1}, threshold=0.01
    )
    save_detector(folder, info, build_network("lite", info.settings, 2))
    return folder


def image(height: int = 40, width: int = 50, channels: int = 3, dtype: Any = np.uint8, seed: int = 0) -> Image:
    values = np.random.default_rng(seed).random((height, width, channels))
    made: Image = values.astype(dtype) if dtype == np.float32 else (values * np.iinfo(dtype).max).astype(dtype)
    return made


@dataclass(frozen=True)
class Site:
    """A studio that answers at an address."""

    url: str
    studio: Any
    jobs: Any
    folder: Path

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=60, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", timeout=60, **options)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextlib.contextmanager
def opened(folder: Path, *models: Path, token: str = "", **options: Any) -> Iterator[Site]:
    """A studio in a thread of this process, at a free port."""
    import uvicorn

    from calco.web.app import build_app
    from calco.web.serve import listen, open_jobs, protocol
    from calco.web.service import Studio

    config = ServeConfig(models=tuple(map(str, models)), **options)
    studio = Studio(
        config.models, device="cpu", queue=config.queue, per_client=config.per_client, seconds=config.seconds,
        megapixels=config.megapixels,
    )  # fmt: skip
    with (
        contextlib.closing(studio),
        contextlib.closing(open_jobs(config, folder / "jobs")) as jobs,
        listen(replace(config, port=options.get("port", 0))) as listening,
    ):
        app: Any = build_app(config, studio, jobs=jobs, token=token, folder=folder)
        server = uvicorn.Server(uvicorn.Config(
            app, http=protocol(), ws="none", log_config=None, log_level="critical", access_log=False,
            server_header=False, timeout_graceful_shutdown=1,
        ))  # fmt: skip
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield Site(f"http://127.0.0.1:{listening.getsockname()[1]}", studio, jobs, folder)
        server.should_exit = True
        thread.join(20)
