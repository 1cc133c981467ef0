"""The studio as one application: pages and API behind a guard that knows hosts, tokens, limits and headers."""

import asyncio
import errno
import hmac
import json
import logging
import os
import resource
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from calco.errors import CalcoError
from calco.files import make_folder
from calco.report.server import HostRule
from calco.version import __version__
from calco.web import ServeConfig
from calco.web.api import ROOT, api_routes, problem, refusal
from calco.web.blocks import language_of
from calco.web.dashboard import crime_routes
from calco.web.gradio_app import PATH
from calco.web.jobs import Jobs
from calco.web.jobs_api import jobs_routes
from calco.web.pages import Pages, is_visit
from calco.web.refusals import RefusedError, complaint
from calco.web.service import Studio
from calco.web.texts import text

LOG = logging.getLogger(__name__)
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE: Final = "calco_token"
_SLOWEST: Final = 100_000  # bytes a second of an upload, beyond the time of a request
_BESIDE_IMAGE: Final = 2_000_000  # bytes of a mask and of JSON around the image of a page
_LOG_BYTES: Final = 10_000_000  # of the access log, before it begins anew; the one before is kept
_BOUNDS: Final = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # seconds, of the histogram

_PAGES_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob: data:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
}


_DOOR: Final = """<!doctype html>
<html lang="{language}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Calco</title><body style="font-family: sans-serif; margin: 3rem; color-scheme: light dark">
<form><p><label>{label}<br>
<input name="token" type="password" required autofocus autocomplete="off"></label> <button>OK</button></p>
<p role="alert">{wrong}</p></form>
"""
"""Asks a person for the token, at the address of the page that was asked for."""


class Metrics:
    """Requests counted, for Prometheus."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: Counter[tuple[str, float]] = Counter()
        self._seconds: dict[str, float] = {}

    def add(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        with self._lock:
            self._requests[method, route, status] += 1
            self._seconds[route] = self._seconds.get(route, 0.0) + seconds
            for bound in _BOUNDS:
                self._buckets[route, bound] += seconds <= bound

    def text(self, studio: Studio, jobs: Jobs | None) -> str:
        """Return all numbers in the text format of Prometheus."""
        lines: list[str] = []

        def metric(name: str, kind: str, about: str, values: Mapping[str, float]) -> None:
            lines.extend([f"# HELP calco_{name} {about}", f"# TYPE calco_{name} {kind}"])
            lines.extend(f"calco_{name}{labels} {value:g}" for labels, value in values.items())

        with self._lock:
            requests, buckets, seconds = Counter(self._requests), Counter(self._buckets), dict(self._seconds)
        metric("requests_total", "counter", "Requests answered.", {
            f'{{method="{method}",route="{route}",status="{status}"}}': count
            for (method, route, status), count in sorted(requests.items())
        })  # fmt: skip
        histogram: dict[str, float] = {}
        for route, total in sorted(seconds.items()):
            count = sum(number for (_, each, _), number in requests.items() if each == route)
            histogram |= {f'_bucket{{route="{route}",le="{bound:g}"}}': buckets[route, bound] for bound in _BOUNDS}
            histogram |= {f'_bucket{{route="{route}",le="+Inf"}}': count, f'_sum{{route="{route}"}}': total,
                          f'_count{{route="{route}"}}': count}  # fmt: skip
        metric("request_seconds", "histogram", "Seconds from a request's head to the end of its answer.", histogram)
        counts = studio.counts
        metric("images_total", "counter", "Images that went through a network.", {
            f'{{model="{name}"}}': counts.images[name] for name in studio.models
        })  # fmt: skip
        metric("refused_total", "counter", "Requests refused for want of room or time.", {
            f'{{reason="{reason}"}}': count for reason, count in sorted(counts.refused.items())
        })  # fmt: skip
        metric("network_rounds_total", "counter", "Calls of a network; one may hold several images.",
               {"": counts.rounds})  # fmt: skip
        metric("network_seconds_total", "counter", "Seconds in which a network was at work.",
               {"": counts.busy_seconds})  # fmt: skip
        metric("queue_places", "gauge", "Largest number of requests that wait or are in work.", {"": studio.queue})
        metric("queue_taken", "gauge", "Requests that wait or are in work.", {"": studio.waiting()})
        metric("jobs", "gauge", "Jobs by state.", {
            f'{{state="{state}"}}': count for state, count in sorted((jobs.counts() if jobs else {}).items())
        })  # fmt: skip
        metric("models", "gauge", "Models by state.", {
            f'{{state="{state}"}}': count for state, count in sorted(Counter(studio.states().values()).items())
        })  # fmt: skip
        metric("memory_peak_bytes", "gauge", "Largest resident memory of the process.",
               {"": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})  # fmt: skip
        return "\n".join(lines) + "\n"


class AccessLog:
    """A line of JSON for each request, without its query and its content.

    Args:
        path: The file; at ten megabytes it is renamed to end in .1, in place of the one before.
    """

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        self.path, self._lock, self._is_reported = path, threading.Lock(), False

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a line; a disk that takes nothing more is reported once, and the studio goes on."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **row}) + "\n"
        with self._lock:
            try:
                if self.path.exists() and self.path.stat().st_size > _LOG_BYTES:
                    self.path.replace(self.path.with_name(f"{self.path.name}.1"))
                with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a") as file:
                    file.write(line)
            except OSError as error:
                if not self._is_reported:
                    LOG.warning("the access log %s cannot be written: %s", self.path, error.strerror)
                self._is_reported = True


class Guard:
    """Lets a request through to the application if it may come in, within its limits, and records it.

    Args:
        app: The application.
        config: Hosts and limits.
        token: Secret that every request must bring; "" for none.
        metrics: Counts the requests.
        log: Records them; None for no record.
    """

    def __init__(self, app: App, config: ServeConfig, *, token: str, metrics: Metrics, log: AccessLog | None) -> None:
        self._app, self._config, self._token, self._metrics, self._log = app, config, token, metrics, log
        self._hosts = HostRule.of(config.host, config.names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI 3 has it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request = _Request(scope, receive, send, self._most_bytes(scope["path"]), self._config.seconds)
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        try:
            if refusal is not None:
                await request.refuse(refusal)
            else:
                await request.run(self._app)
        finally:
            self._record(scope, request)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that may not come in; None if it may."""
        headers = Headers(scope=scope)
        if not self._hosts.allows(headers.getlist("host")):
            return refusal(headers, RefusedError("host"))
        origin = headers.get("origin", "")
        # Forms of other sites reach this machine too; browsers say where they stand.
        if (
            origin
            and scope.get("method") not in ("GET", "HEAD")
            and not self._hosts.allows([origin.partition("//")[2]])
        ):
            return refusal(headers, RefusedError("origin"))
        if not self._token:
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        bearer = headers.get("authorization", "").partition(" ")
        if bearer[0].lower() == "bearer" and self._is_token(bearer[2].strip()):
            return None
        if self._is_token(_cookie(headers)):
            return None
        given = query.pop("token", "")
        if self._is_token(given):
            to = quote(scope["path"], safe="/") + (f"?{urlencode(query)}" if query else "")
            answer = RedirectResponse(to, 303)
            answer.set_cookie(COOKIE, self._token, httponly=True, samesite="lax", max_age=30 * 86_400)
            return answer
        if is_visit(HTTPConnection(scope)):
            language = language_of(HTTPConnection(scope), self._config.language)
            wrong = text("token_wrong", language) if given else ""
            door = _DOOR.format(language=language, label=text("token", language), wrong=wrong)
            return HTMLResponse(door, 401, {"WWW-Authenticate": "Bearer"})
        return refusal(headers, RefusedError("token"), {"WWW-Authenticate": "Bearer"})

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _most_bytes(self, path: str) -> int:
        """Return the largest body of a request: that of a job where jobs and files are sent.

        A page sends an image within JSON, in base 64 and perhaps with a mask.
        """
        if path.startswith(f"{ROOT}/jobs") or path.endswith("/upload"):
            return round(self._config.video_megabytes * 1e6)
        image = round(self._config.image_megabytes * 1e6)
        return image * 4 // 3 + _BESIDE_IMAGE if path.startswith(f"{PATH}/") else image

    def _record(self, scope: Scope, request: "_Request") -> None:
        seconds, status = time.monotonic() - request.start, request.status or 499  # 499: it left before an answer
        route = getattr(scope.get("route"), "path", "") if scope["path"].startswith(ROOT) else "pages"
        self._metrics.add(_known(scope["method"]), route or "unknown", status, seconds)
        if self._log is not None:
            self._log.add({
                "client": (scope.get("client") or ("",))[0], "method": scope["method"],
                "path": scope["path"].partition("=")[0][:200], "status": status, "ms": round(1000 * seconds, 1),
                "bytes_in": request.received, "bytes_out": request.sent,
            })  # fmt: skip


class _Request:
    """One request on its way to the application and back."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, most_bytes: int, seconds: float) -> None:
        self.start = time.monotonic()
        self.status, self.received, self.sent = 0, 0, 0
        self._scope, self._receive, self._send = scope, receive, send
        self._most, self._seconds = most_bytes, seconds
        self._is_whole = self._is_gone = False  # the body has come; the client has left before
        self._is_refusing = False
        self._is_faulty = False  # the application answers by a fault of its own
        self._refused: RefusedError | None = None

    async def run(self, app: App) -> None:
        """Let the application answer; a fault of it is one line on the terminal and a 500 without inner paths."""
        claimed = Headers(scope=self._scope).get("content-length", "0")
        if claimed.isdecimal() and int(claimed) > self._most:
            self._refused = RefusedError("bytes", most=self._most)
        else:
            try:
                await app(self._scope, self.receive, self.send)
            except ClientDisconnect:
                self._is_gone = True
            except Exception as error:
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    self._refused = RefusedError("disk")
                elif self._refused is None and not self._is_gone:
                    LOG.warning("%s %s failed: %s: %s", self._scope["method"], self._scope["path"],
                                type(error).__name__, error)  # fmt: skip
                    LOG.debug("its traceback", exc_info=error)
                    self._is_faulty = True
        if self.status or self._is_gone:
            return
        if self._refused is not None:
            await self.refuse(refusal(Headers(scope=self._scope), self._refused))
        elif self._is_faulty:
            await self.refuse(refusal(Headers(scope=self._scope), RefusedError("fault")))

    async def refuse(self, answer: Response) -> None:
        """Answer in the place of the application, and read no more of the body."""
        self._refused, self._is_faulty = None, False
        answer.headers["Connection"] = "close"
        self._is_refusing = True
        await answer(self._scope, self._receive, self.send)

    async def receive(self) -> Message:
        """Return the next part of the body, within the limits of bytes and time."""
        if self._is_whole:
            return await self._receive()
        until = self.start + self._seconds + self.received / _SLOWEST
        try:
            async with asyncio.timeout(until - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            self._refused = RefusedError("slow")
            raise self._refused from None
        self._is_gone = message["type"] == "http.disconnect"
        self.received += len(message.get("body", b""))
        if self.received > self._most:
            self._refused = RefusedError("bytes", most=self._most)
            raise self._refused
        self._is_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer, with the headers that every answer has; nothing after a refusal."""
        if message["type"] == "http.response.start" and message["status"] == 500 and not self._is_refusing:
            self._is_faulty = True  # its reason comes as an exception
        if self._refused is not None or self._is_gone or self._is_faulty:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            is_page = headers.get("content-type", "").startswith("text/html")
            headers.setdefault("Content-Security-Policy", _PAGES_POLICY if is_page else "frame-ancestors 'self'")
            if self._scope["path"].startswith(ROOT):
                headers.setdefault("Cache-Control", "no-store")
        self.sent += len(message.get("body", b""))
        await self._send(message)


def _cookie(headers: Headers) -> str:
    for each in headers.get("cookie", "").split(";"):
        name, _, value = each.strip().partition("=")
        if name == COOKIE:
            return value.strip('"')
    return ""


def _known(method: str) -> str:
    return method if method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH") else "other"


def build_app(
    config: ServeConfig, studio: Studio, *, jobs: Jobs | None = None, token: str = "", folder: Path | None = None
) -> Guard:
    """Return the whole studio as an ASGI application.

    Args:
        config: Hosts, limits, and what is shown.
        studio: The models.
        jobs: Does videos and many images; None takes none.
        token: Secret that every request must bring; "" for none.
        folder: Folder of the access log; None for no log.

    Raises:
        CalcoError: If the database cannot be read.
    """
    metrics = Metrics()
    app = FastAPI(
        title="Calco", version=__version__, docs_url=None, redoc_url=None, openapi_url=f"{ROOT}/openapi.json",
        description="Images translated and objects detected by the models of this studio.",
    )  # fmt: skip
    app.include_router(api_routes(studio, lambda: metrics.text(studio, jobs)))
    if jobs is not None:
        app.include_router(jobs_routes(studio, jobs))
    app.add_exception_handler(CalcoError, _answered)
    app.add_exception_handler(RequestValidationError, _answered)
    app.add_exception_handler(400, _unreadable)
    app.add_exception_handler(405, _not_allowed)
    if config.crime:
        app.include_router(crime_routes(config.crime, config.language))

    pages = Pages(
        studio, jobs, crime=bool(config.crime), runs=config.runs, most_bytes=round(config.image_megabytes * 1e6),
        most_job_bytes=round(config.video_megabytes * 1e6), api=f"{ROOT}/openapi.json", language=config.language,
    )  # fmt: skip
    pages.mount(app)
    app.add_exception_handler(404, partial(_not_there, pages=pages))
    if token:
        _document_token(app)
    return Guard(app, config, token=token, metrics=metrics, log=AccessLog(folder / "access.jsonl") if folder else None)


async def _answered(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        error = complaint(error.errors())
    return problem(request, error)


async def _unreadable(request: Request, error: Exception) -> Response:
    return refusal(request.headers, RefusedError("form", reason=str(getattr(error, "detail", error)).rstrip(".")))


async def _not_there(request: Request, _error: Exception, *, pages: Pages) -> Response:
    """Answer 404 with a page to somebody who follows a link, and in JSON to programs."""
    if is_visit(request) and not request.url.path.startswith(ROOT):
        return pages.missing(request)
    return refusal(request.headers, RefusedError("address"))


async def _not_allowed(request: Request, error: Exception) -> Response:
    """Answer 405 with all methods of the address; each route knows its own alone."""
    path = getattr(request.scope.get("route"), "path", "")
    methods = [method.upper() for method in request.app.openapi()["paths"].get(path, {})]
    headers = {"Allow": ", ".join(methods)} if methods else getattr(error, "headers", None)
    return refusal(request.headers, RefusedError("method"), headers)


def _document_token(app: FastAPI) -> None:
    """State in the OpenAPI that every request needs the token."""
    described = app.openapi()
    described.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    described["security"] = [{"token": []}]
