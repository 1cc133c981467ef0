"""The crime dashboard as a page of the studio."""

import contextlib
import gzip
import hashlib
import logging
import threading
import time
from typing import Final, Literal

from fastapi import APIRouter, Request, Response

from calco.crime.dashboard import page, read
from calco.crime.database import duckdb_path
from calco.errors import CalcoError

LOG = logging.getLogger(__name__)
PATH: Final = "/crime"
_AGAIN: Final = 300.0  # seconds between two reads of a database whose changes cannot be detected


class CachedPage:
    """The page of a database in one language, which is rendered again when its data have changed.

    Raises:
        CalcoError: If the database cannot be read.
    """

    def __init__(self, url: str, language: Literal["es", "en"]) -> None:
        self._url, self._language, self._lock, self._reported = url, language, threading.Lock(), ""
        self._render(_state_of(url))

    def _render(self, state: object) -> None:
        html = page(read(self._url), language=self._language, home="./").encode()
        tag = f'"{hashlib.sha256(html).hexdigest()[:16]}"'
        self._state, self._page = state, (html, gzip.compress(html, 6, mtime=0), tag)

    def get(self) -> tuple[bytes, bytes, str]:
        """Return the page, the page compressed by gzip, and its ETag; the last page if it cannot be rendered."""
        with self._lock:
            state = _state_of(self._url)
            if state != self._state:
                try:
                    self._render(state)
                    self._reported = ""
                except CalcoError as error:
                    if str(error) != self._reported:
                        LOG.warning("%s; browsers see the last page", error)
                    self._reported = str(error)
            return self._page


def _state_of(url: str) -> object:
    """Return a value that changes with a database: date and size of its file, or a number that changes with time."""
    path = duckdb_path(url)
    with contextlib.suppress(OSError):
        if path:
            found = path.stat()
            return found.st_mtime_ns, found.st_size
    return int(time.monotonic() / _AGAIN)


def crime_routes(url: str, language: Literal["es", "en"]) -> APIRouter:
    """Return the route of the dashboard of a database, read once now.

    Args:
        url: Database of `calco crime load`.
        language: Language in which it opens: es or en.
    """
    router, cached = APIRouter(), CachedPage(url, language)

    @router.api_route(PATH, methods=["GET", "HEAD"], include_in_schema=False)
    def crime(request: Request) -> Response:
        html, packed, tag = cached.get()
        headers = {"Cache-Control": "no-cache", "ETag": tag, "Vary": "Accept-Encoding"}
        if request.headers.get("If-None-Match") == tag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            html, headers["Content-Encoding"] = packed, "gzip"
        return Response(html, media_type="text/html; charset=utf-8", headers=headers)

    return router
