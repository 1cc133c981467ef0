"""Download of one address at a time into a file, with pauses, repetitions and resumption of a broken answer."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calco.collecting.download import MAX_REDIRECTS, MEGABYTE, Failed, failure_of, refuse_status
from calco.errors import CalcoError
from calco.files import explain
from calco.records import check_numbers

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, kw_only=True)
class FetchConfig:
    """Limits and pauses of downloads."""

    pause: float = 1.0
    """Seconds between two requests; doubled with each failure."""

    timeout: float = 30.0
    """Seconds of silence after which an attempt fails."""

    patience: float = 900.0
    """Seconds that one attempt may take in all."""

    retries: int = 4
    """Repetitions after silence, a broken connection, an error of the server or an incomplete page."""

    largest: float = 2000.0
    """Megabytes above which an answer is refused."""

    def __post_init__(self) -> None:
        check_numbers(self)
        for name in ("timeout", "patience", "largest"):
            if not 0 < getattr(self, name) < math.inf:
                raise CalcoError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("retries", "pause"):
            if not 0 <= getattr(self, name) < math.inf:
                raise CalcoError(f"{name} is {getattr(self, name)}; it must be 0 or more")


class Fetcher:
    """Fetch one address after the other over one connection."""

    def __init__(self, config: FetchConfig) -> None:
        """Args: config: Limits, repetitions, pauses."""
        import httpx

        self.config = config
        self.client = httpx.Client(
            timeout=config.timeout,
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            headers={"User-Agent": "calco", "Accept": "text/csv,text/html,*/*;q=0.5", "Accept-Encoding": "identity"},
        )
        self.last = -math.inf

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    def fetch(self, address: str, part: Path, whole: Callable[[Path], bool]) -> None:
        """Download an address into a file; a part that is there is completed if the server can.

        Args:
            address: Address with http:// or https://.
            part: The file; it stays, with its mark beside it, when the answer breaks off.
            whole: Returns whether a file is complete.

        Raises:
            Failed: The download failed.
            CalcoError: The file cannot be written.
        """
        for attempt in range(self.config.retries + 1):
            try:
                self._wait(0 if attempt == 0 else self.config.pause * 2 ** (attempt - 1))
                self._attempt(address, part)
                if not whole(part):
                    part.unlink()
                    raise Failed("the page is incomplete", 0.0)
                return
            except Failed as failure:
                if failure.wait is None or attempt == self.config.retries:
                    raise Failed(f"{failure}, tried {attempt + 1} times" if attempt else str(failure)) from failure
                time.sleep(failure.wait)

    def _wait(self, extra: float) -> None:
        """Keep the distance to the last request."""
        time.sleep(max(0.0, self.last + self.config.pause + extra - time.monotonic()))
        self.last = time.monotonic()

    def _attempt(self, address: str, part: Path) -> None:
        import httpx

        try:
            # The part that is there is kept if the server confirms, by the mark, that the page is the same.
            mark = part.with_suffix(".mark")
            had = part.stat().st_size if part.is_file() and mark.is_file() else 0
            asked = {"Range": f"bytes={had}-", "If-Range": mark.read_text("latin-1")} if had else {}
            with self.client.stream("GET", address, headers=asked) as answer:
                refuse_status(answer, self.config.patience)
                goes_on = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(
                    f"bytes {had}-"
                )
                if answer.status_code == 206 and not goes_on:
                    part.unlink()
                    raise Failed("the server sent another range than requested", 0.0)
                sign = answer.headers.get("ETag", "") or answer.headers.get("Last-Modified", "")
                mark.write_text(sign, "latin-1") if sign and not sign.startswith("W/") else mark.unlink(missing_ok=True)
                self._receive(answer, part, had if goes_on else 0)
            mark.unlink(missing_ok=True)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise failure_of(error, self.config.timeout) from error
        except OSError as error:
            raise explain(error, part, "write") from error

    def _receive(self, answer: "httpx.Response", part: Path, had: int) -> None:
        until = time.monotonic() + self.config.patience
        with part.open("ab" if had else "wb") as file:
            for block in answer.iter_bytes():
                file.write(block)
                had += len(block)
                if had > self.config.largest * MEGABYTE:
                    raise Failed(f"it has more than {self.config.largest:g} MB")
                if time.monotonic() > until:
                    raise Failed(f"it took more than {self.config.patience:g} seconds", 0.0)
