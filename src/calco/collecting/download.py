"""Downloads images: several at once, within limits of time and size, tried again where that may help, and checked."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.request import getproxies

from calco import imaging
from calco.collecting.config import DownloadConfig
from calco.data.sample import fraction
from calco.errors import CalcoError, printable
from calco.files import explain, make_folder, put_in_place, short_name
from calco.journal import Journal

if TYPE_CHECKING:
    import httpx

JOURNAL: Final = "collected.jsonl"
MEGABYTE: Final = 1_000_000
WORTH_ANOTHER_TRY: Final = frozenset({408, 425, 429})  # and all from 500 on
MAX_REDIRECTS: Final = 5
MUTE_AFTER: Final = 3  # files that a host did not answer for, after which it is left alone

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image to fetch: the name that it gets, without ending, and its address."""

    name: str
    address: str


@dataclass
class Fetched:
    """Result of a download.

    Attributes:
        files: The file of each name that is there now.
        kept: How many of them an earlier call had fetched.
        failed: Name and reason of each image that could not be had.
    """

    files: dict[str, Path] = field(default_factory=dict)
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)


class Failed(Exception):
    """An attempt that failed; `wait` is the seconds until another one makes sense, None if none does."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(printable(reason))
        self.wait = wait


def download(
    wanted: Sequence[Wanted], folder: str | Path, config: DownloadConfig, progress: Progress | None = None
) -> Fetched:
    """Fetch images into a folder; each gets the ending of the format that it really has.

    What an earlier call has fetched from the same address is kept. A journal tells file, address and size of each.

    Args:
        wanted: Names and addresses; the names differ.
        folder: Where they go.
        config: Limits and repetitions.
        progress: Called with the number settled and the number in all.

    Raises:
        CalcoError: If httpx is not installed or the folder cannot be written.
    """
    try:
        from anyio.from_thread import start_blocking_portal
    except ImportError as error:
        raise CalcoError("downloads need httpx; install it: pip install 'calco[collect]'") from error
    fetcher = _Fetcher(make_folder(folder), config, progress or (lambda _done, _of: None))
    missing = fetcher.resume(wanted)
    # A loop of its own, in its own thread: this may be called from within another one, such as a notebook's.
    with start_blocking_portal() as portal:
        portal.call(fetcher.fetch_all, missing, [one.address for one in wanted])
    if fetcher.broken:
        raise fetcher.broken
    return fetcher.done


class _Fetcher:
    """One call of `download`."""

    def __init__(self, folder: Path, config: DownloadConfig, progress: Progress) -> None:
        self.folder, self.config, self.progress = folder, config, progress
        self.journal, self.done = Journal(folder / JOURNAL), Fetched()
        self.broken: CalcoError | None = None
        self.mute: Counter[str] = Counter()
        self.total = 0

    def resume(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Take over what the journal tells and the folder holds; what is left is missing."""
        for one in wanted:
            self._part(one).unlink(missing_ok=True)
        rows = {row.get("name"): row for row in self.journal.rows()}
        kept = [row for one in wanted if (row := rows.get(one.name)) and self._holds(row, one)]
        self.done.files = {row["name"]: self.folder / row["file"] for row in kept}
        self.done.kept, self.total = len(kept), len(wanted)
        return [one for one in wanted if one.name not in self.done.files]

    def _part(self, one: Wanted) -> Path:
        return self.folder / short_name(f".{one.name}", ".part")

    def _holds(self, row: dict[str, Any], one: Wanted) -> bool:
        path = self.folder / Path(str(row.get("file"))).name
        return row.get("address") == _public(one.address) and path.is_file() and path.stat().st_size == row.get("bytes")

    async def fetch_all(self, missing: Sequence[Wanted], named: Sequence[str]) -> None:
        import anyio
        import httpx

        from calco.collecting.guarded import Gate, Transport

        config = self.config
        gate = Gate(named, private=config.private)
        # A proxy looks names up itself: what it may ask is its own affair, but for what is written as an address.
        direct = None if getproxies().keys() & {"http", "https", "all"} else Transport(gate, config.jobs)
        waiting = iter(missing)
        async with (
            httpx.AsyncClient(
                timeout=config.timeout,
                follow_redirects=True,
                max_redirects=MAX_REDIRECTS,
                limits=httpx.Limits(max_connections=config.jobs),
                transport=direct,
                event_hooks={"request": [gate.look]},
                headers={"User-Agent": "calco", "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"},
            ) as client,
            anyio.create_task_group() as group,
        ):

            async def work() -> None:
                for one in waiting:
                    try:
                        await self._fetch(client, one)
                    except CalcoError as error:  # the disk: no further image would fare better
                        self.broken = error
                        group.cancel_scope.cancel()
                    self.progress(len(self.done.files) + len(self.done.failed), self.total)

            for _ in range(config.jobs):
                group.start_soon(work)

    async def _fetch(self, client: "httpx.AsyncClient", one: Wanted) -> None:
        """Try until the image is there, or no further attempt makes sense."""
        import anyio

        part = self._part(one)
        try:
            for attempt in range(self.config.retries + 1):
                try:
                    await self._attempt(client, one.address, part, attempt)
                    self._keep(one, part, await anyio.to_thread.run_sync(_checked, part))
                    return
                except Failed as failure:
                    if failure.wait is None or attempt == self.config.retries:
                        again = f", tried {attempt + 1} times" if attempt else ""
                        self.done.failed[one.name] = f"{failure}{again} ({_public(one.address)})"
                        return
                    await anyio.sleep(failure.wait)
        finally:
            part.unlink(missing_ok=True)

    async def _attempt(self, client: "httpx.AsyncClient", address: str, part: Path, attempt: int) -> None:
        import anyio
        import httpx

        pause = self.config.pause * 2**attempt * (0.5 + fraction(self.config.seed, "pause", address, attempt))
        from calco.collecting.guarded import InsideError

        host = ""
        try:
            host = _host(httpx.URL(address))
            if self.mute[host] >= MUTE_AFTER:
                raise Failed(f"{host} answered for none of the files before")
            with anyio.fail_after(self.config.patience):
                async with client.stream("GET", address) as answer:
                    self.mute[host] = 0
                    self._judge(answer, pause)
                    await self._receive(answer, part)
        except InsideError as error:
            raise Failed(str(error)) from error
        except TimeoutError as error:
            raise Failed(f"it took more than {self.config.patience:g} seconds", pause) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, ExceptionGroup) as error:
            unreachable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            self.mute[host] += unreachable and attempt == self.config.retries
            raise failure_of(error, self.config.timeout, pause, host) from error

    def _judge(self, answer: "httpx.Response", pause: float) -> None:
        """Refuse an answer by its head."""
        refuse_status(answer, self.config.patience, pause)
        packed = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if packed not in ("", "identity", "gzip", "deflate"):  # a few bytes of others may unpack to gigabytes at once
            raise Failed(f"it is packed ({packed[:40]}), which was not asked for")
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > self.config.largest * MEGABYTE:
            raise Failed(f"it has {int(length) / MEGABYTE:.1f} MB, more than {self.config.largest:g}")

    async def _receive(self, answer: "httpx.Response", part: Path) -> None:
        """The body into a file; httpx itself raises when less comes than was announced."""
        size = 0
        with self._disk(), part.open("wb") as file:
            async for block in answer.aiter_bytes():
                size += len(block)
                if size > self.config.largest * MEGABYTE:
                    raise Failed(f"it has more than {self.config.largest:g} MB")
                file.write(block)

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explain(error, self.folder, "write into") from error

    def _keep(self, one: Wanted, part: Path, ending: str) -> None:
        file = self.folder / f"{one.name}{ending}"
        with self._disk():
            row = {"name": one.name, "address": _public(one.address), "file": file.name, "bytes": part.stat().st_size}
            put_in_place(part, file)
            self.journal.add(row)
        self.done.files[one.name] = file


def refuse_status(answer: "httpx.Response", patience: float, pause: float = 0.0) -> None:
    """Refuse an answer that is not a success.

    Args:
        answer: Its head suffices.
        patience: Seconds that the server may ask to wait.
        pause: Seconds to wait at least before another attempt.

    Raises:
        Failed: With the reason, and the seconds until another attempt makes sense.
    """
    if answer.is_success:
        return
    reason = f"the server answered {answer.status_code} {answer.reason_phrase}".rstrip()
    if answer.status_code not in WORTH_ANOTHER_TRY and answer.status_code < 500:
        raise Failed(reason)
    asked = seconds_asked(answer.headers.get("Retry-After", ""))
    if asked > patience:
        raise Failed(f"{reason} and asks to come back in {asked:.0f} seconds")
    raise Failed(reason, max(pause, asked))


def failure_of(error: Exception, timeout: float, pause: float = 0.0, server: str = "the server") -> Failed:
    """Return the reason why an address could not be fetched, for an error of httpx or of the address itself.

    Args:
        error: What was raised.
        timeout: Seconds of silence that were allowed.
        pause: Seconds until another attempt makes sense, where one does.
        server: Name of the server in the message.
    """
    import httpx

    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Failed(f"{server} cannot be reached: {_described(error)}", pause)
    if isinstance(error, httpx.TimeoutException):
        return Failed(f"the server was silent for {timeout:g} seconds", pause)
    if isinstance(error, httpx.TooManyRedirects):
        return Failed(f"it is redirected more than {MAX_REDIRECTS} times")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.DecodingError) or not isinstance(error, httpx.HTTPError):
        return Failed(f"it cannot be asked for: {_described(error)}")
    return Failed(f"the connection broke: {_described(error)}", pause)


def _checked(path: Path) -> str:
    """Read all pixels, and gives the ending of the format that the file really has."""
    try:
        imaging.read(path)
        return imaging.true_ending(path)
    except CalcoError as error:
        raise Failed(str(error).removeprefix(f"cannot read {path}: ").removesuffix("; replace or remove it")) from error


def _host(url: "httpx.URL") -> str:
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("an address begins with http:// or https:// and a host")
    return url.host


def _public(address: str) -> str:
    """The address without the name and password that may stand in it."""
    scheme, separator, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def _described(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):  # what anyio makes of an address that the system cannot take
        error = error.exceptions[0]
    return " ".join(str(error).split()) or type(error).__name__


def seconds_asked(retry_after: str) -> float:
    """Return the seconds that `Retry-After` asks for, as a number or a date; 0 if it cannot be understood."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
