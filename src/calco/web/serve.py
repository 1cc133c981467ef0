"""`calco serve`: the studio at a port of this machine."""

import asyncio
import contextlib
import importlib.util
import logging
import os
import socket
import tempfile
import webbrowser
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calco.errors import MissingExtraError
from calco.report.server import LOOPBACK, port_error
from calco.web import ServeConfig

if TYPE_CHECKING:
    from calco.web.jobs import Jobs

LOG = logging.getLogger(__name__)
_NEEDED: Final = ("fastapi", "gradio", "httpx", "python_multipart", "uvicorn")
_HEAD_SECONDS: Final = 20.0  # for the head of a request
_READ_SECONDS: Final = 60.0  # in which a client must read something of its answer
_STOP_SECONDS: Final = 3  # for requests in work when the studio is stopped


def serve(config: ServeConfig) -> None:
    """Serve the studio until interrupted.

    Args:
        config: Models, address, token and limits.

    Raises:
        CalcoError: The extra `web` is missing, the port is taken, or a model or the database cannot be used.
    """
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise MissingExtraError(f"calco serve needs {missing[0]}, which is missing: pip install 'calco[web]'")
    # Before gradio is imported: nothing of the studio leaves this machine.
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1", DO_NOT_TRACK="1")
    token = config.secret()
    with contextlib.ExitStack() as held:
        listening = held.enter_context(listen(config))
        uploads = held.enter_context(tempfile.TemporaryDirectory(prefix="calco-studio-"))
        os.environ["GRADIO_TEMP_DIR"] = uploads  # gone with the studio
        port = listening.getsockname()[1]
        _run(config, listening, token=token, folder=config.work_folder(port))
    LOG.info("stopped")


def packaged_model() -> Path | None:
    """Return the model that comes with Calco; None if this installation has none."""
    folder = Path(str(files("calco.web"))) / "drawings"
    return folder if (folder / "model.json").is_file() else None


def listen(config: ServeConfig) -> socket.socket:
    """Listen at once, so that a port in use is known before anything heavy is loaded."""
    try:
        family, *_, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        # With its protocol named asyncio sends each answer at once, not after the client's delayed acknowledgement.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(1024)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise port_error(error, config.port, config.host, "--port") from error
    return listening


def _run(config: ServeConfig, listening: socket.socket, *, token: str, folder: Path) -> None:
    """Load what is served, say where it is, and answer until a signal comes."""
    import uvicorn

    from calco.web.app import build_app
    from calco.web.service import Studio

    models = list(config.models)
    if not models and (own := packaged_model()):
        models = [str(own)]
    if not models and not (config.crime or config.runs):
        LOG.warning("this installation has no model of its own; name one: calco serve runs/faces")
    studio = Studio(
        models, device=config.device, precision=config.precision, queue=config.queue, per_client=config.per_client,
        seconds=config.seconds, megapixels=config.megapixels,
    )  # fmt: skip
    with contextlib.closing(studio), contextlib.closing(open_jobs(config, folder / "jobs")) as jobs:
        app: Any = build_app(config, studio, jobs=jobs, token=token, folder=folder)
        host = LOOPBACK if config.host == "0.0.0.0" else f"[{config.host}]" if ":" in config.host else config.host
        address = f"http://{host}:{listening.getsockname()[1]}/"
        if token:  # by itself: what the terminal shows of an address has no secrets
            LOG.info("the token of the studio is %s", token)
        LOG.info("the studio is at %s; Ctrl-C stops", address)
        if not config.is_local and not token:
            LOG.warning("every machine that reaches port %s may use the studio", listening.getsockname()[1])
        if config.browser:
            webbrowser.open(f"{address}?token={token}" if token else address)
        server = uvicorn.Server(uvicorn.Config(
            app, http=protocol(), ws="none", log_config=None, log_level="critical", access_log=False,
            server_header=False, proxy_headers=False, timeout_keep_alive=15, backlog=1024,
            timeout_graceful_shutdown=_STOP_SECONDS,
        ))  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])


def open_jobs(config: ServeConfig, folder: Path) -> "Jobs":
    """Open the jobs of a studio, which go on where the last one left them.

    Raises:
        CalcoError: If the folder cannot be used, or another studio uses it.
    """
    from calco.web.archives import Limits
    from calco.web.jobs import Jobs

    limits = Limits(pixels=round(config.megapixels * 1e6), video_seconds=60 * config.video_minutes)
    return Jobs(
        folder, most=config.jobs, most_per_client=min(config.jobs, config.per_client), keep_hours=config.keep_hours,
        keep_bytes=round(config.keep_gigabytes * 1e9), limits=limits,
    )  # fmt: skip


def protocol() -> type[asyncio.Protocol]:
    """Return uvicorn's protocol of HTTP with two limits that it lacks: for the head, and for reading the answer."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class TimedProtocol(H11Protocol):
        """Ends connections that send the head of a request too slowly, or do not read its answer."""

        _limit: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._limit_to(_HEAD_SECONDS)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            cycle: Any = self.cycle  # None before the first request
            is_answering = cycle is not None and not cycle.response_complete
            if is_answering:
                self._limit_to(None)
            elif self._limit is None:
                self._limit_to(_HEAD_SECONDS)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._limit_to(_READ_SECONDS)

        def resume_writing(self) -> None:
            self._limit_to(None)
            super().resume_writing()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._limit_to(_READ_SECONDS)  # what is sent is not yet read

        def connection_lost(self, exc: Exception | None) -> None:
            self._limit_to(None)
            super().connection_lost(exc)

        def _limit_to(self, seconds: float | None) -> None:
            if self._limit is not None:
                self._limit.cancel()
            self._limit = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)

    return TimedProtocol
