"""Downloads into files, within limits of time and size, with repetitions and resumption of broken answers."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.request import getproxies

from calco.collecting import FetchConfig
from calco.errors import printable
from calco.files import explain

if TYPE_CHECKING:
    import httpx

MEGABYTE: Final = 1_000_000
MAX_REDIRECTS: Final = 5
MUTE_AFTER: Final = 3  # files for which a host did not answer, after which it is left alone
_WORTH_ANOTHER_TRY: Final = frozenset({408, 425, 429})  # and all from 500 on

T = TypeVar("T")


class Failed(Exception):
    """A download that failed; `wait` is the least number of seconds before another attempt, None if none helps."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(printable(reason))
        self.wait = wait


def run_in_loop(task: Callable[[], Awaitable[T]]) -> T:
    """Run an asynchronous function in a thread of its own: the caller may be within a loop, as in a notebook."""
    from anyio.from_thread import start_blocking_portal

    with start_blocking_portal() as portal:
        return portal.call(task)


class Fetcher:
    """Download one address after the other, or several at once, into files.

    Args:
        config: Limits and repetitions.
        named: All addresses that the user names; see `Gate`.
        private: Allow those of them that are of this machine's network.
        jobs: Number of connections.
        accept: Media types that are requested.
    """

    def __init__(
        self, config: FetchConfig, named: Iterable[str], *, private: bool = False, jobs: int = 1, accept: str = "*/*"
    ) -> None:
        import httpx

        from calco.collecting.guarded import Gate, Transport

        gate = Gate(named, private=private)
        # A proxy looks names up itself, and decides what it asks; only what is written as an address is checked then.
        behind_proxy = getproxies().keys() & {"http", "https", "all"}
        self.config, self._silent_hosts = config, Counter[str]()
        self._client = httpx.AsyncClient(
            timeout=config.timeout,
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            limits=httpx.Limits(max_connections=jobs),
            transport=None if behind_proxy else Transport(gate, jobs),
            event_hooks={"request": [gate.look]},
            headers={"User-Agent": "calco", "Accept": accept, "Accept-Encoding": "identity"},
        )

    async def __aenter__(self) -> "Fetcher":
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._client.aclose()

    async def fetch(self, address: str, part: Path, check: Callable[[Path], T]) -> T:
        """Download an address into a file; return what `check` makes of it.

        A part that is there already is completed if the server confirms, by the mark beside it, that the file is still
        the same. When the download fails, the part stays with its mark. `check` raises `Failed` if the file is not
        complete, which is worth another attempt.
        """
        import anyio

        for attempt in range(self.config.retries + 1):
            last = attempt == self.config.retries
            try:
                await self._attempt(address, part, last=last)
                try:
                    return await anyio.to_thread.run_sync(check, part)
                except Failed:
                    part.unlink(missing_ok=True)
                    raise
            except Failed as failure:
                if failure.wait is None or last:
                    raise Failed(f"{failure}, tried {attempt + 1} times" if attempt else str(failure)) from failure
                await anyio.sleep(max(failure.wait, self.config.pause * 2**attempt))
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, address: str, part: Path, *, last: bool) -> None:
        import anyio
        import httpx

        from calco.collecting.guarded import InsideError

        host = ""
        try:
            url = httpx.URL(address)
            if url.scheme not in ("http", "https") or not url.host:
                raise ValueError("an address begins with http:// or https:// and a host")
            host = url.host
            if self._silent_hosts[host] >= MUTE_AFTER:
                raise Failed(f"{host} answered for none of the files before")
            with anyio.fail_after(self.config.patience):
                await self._receive(url, part)
        except InsideError as error:
            raise Failed(str(error)) from error
        except TimeoutError as error:
            raise Failed(f"it took more than {self.config.patience:g} seconds", 0.0) from error
        except OSError as error:
            raise explain(error, part, "write") from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, ExceptionGroup) as error:
            self._silent_hosts[host] += last and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise _failure_of(error, self.config.timeout, host) from error

    async def _receive(self, url: "httpx.URL", part: Path) -> None:
        mark = part.with_suffix(".mark")
        size = part.stat().st_size if part.is_file() and mark.is_file() else 0
        headers = {"Range": f"bytes={size}-", "If-Range": mark.read_text("latin-1")} if size else {}
        async with self._client.stream("GET", url, headers=headers) as answer:
            self._silent_hosts[url.host] = 0
            resumed = answer.status_code == 206
            if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {size}-"):
                part.unlink(missing_ok=True)
                raise Failed("the server sent another range than requested", 0.0)
            size = size if resumed else 0
            self._check_head(answer, size)
            sign = answer.headers.get("ETag", "") or answer.headers.get("Last-Modified", "")
            if sign and not sign.startswith("W/") and "Content-Encoding" not in answer.headers:
                mark.write_text(sign, "latin-1")
            else:
                mark.unlink(missing_ok=True)
            with part.open("ab" if resumed else "wb") as file:
                async for block in answer.aiter_bytes():  # httpx raises if less comes than was announced
                    size += len(block)
                    if size > self.config.largest * MEGABYTE:
                        raise Failed(f"it has more than {self.config.largest:g} MB")
                    file.write(block)
        mark.unlink(missing_ok=True)

    def _check_head(self, answer: "httpx.Response", size: int) -> None:
        """Refuse an answer that is not a success, or too large; `size` bytes are there already."""
        if not answer.is_success:
            reason = f"the server answered {answer.status_code} {answer.reason_phrase}".rstrip()
            if answer.status_code not in _WORTH_ANOTHER_TRY and answer.status_code < 500:
                raise Failed(reason)
            wait = _seconds_of(answer.headers.get("Retry-After", ""))
            if wait > self.config.patience:
                raise Failed(f"{reason} and asks to come back in {wait:.0f} seconds")
            raise Failed(reason, wait)
        packed = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if packed not in ("", "identity", "gzip", "deflate"):  # a few bytes of others may unpack to gigabytes at once
            raise Failed(f"it is packed ({packed[:40]}), which was not asked for")
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and (size := size + int(length)) > self.config.largest * MEGABYTE:
            raise Failed(f"it has {size / MEGABYTE:.1f} MB, more than {self.config.largest:g}")


def _failure_of(error: Exception, timeout: float, host: str) -> Failed:
    """Return the reason why an address could not be fetched, for an error of httpx or of the address itself."""
    import httpx

    inner: Any = error
    while isinstance(inner, ExceptionGroup):  # anyio raises one for an address that the system cannot take
        inner = inner.exceptions[0]
    described = " ".join(str(inner).split()) or type(inner).__name__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Failed(f"{host} cannot be reached: {described}", 0.0)
    if isinstance(error, httpx.TimeoutException):
        return Failed(f"the server was silent for {timeout:g} seconds", 0.0)
    if isinstance(error, httpx.TooManyRedirects):
        return Failed(f"it is redirected more than {MAX_REDIRECTS} times")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.DecodingError) or not isinstance(error, httpx.HTTPError):
        return Failed(f"it cannot be asked for: {described}")
    return Failed(f"the connection broke: {described}", 0.0)


def _seconds_of(retry_after: str) -> float:
    """Return the seconds that `Retry-After` asks for, as a number or a date; 0 if it cannot be understood."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
