"""Hooks: a command or an address that gets each event, in a thread of its own, with time limits and retries."""

import contextlib
import http.client
import json
import logging
import os
import queue
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from calco.errors import CalcoError, printable
from calco.journal import Journal

LOG = logging.getLogger(__name__)

WAITING: Final = 1000
"""Events that may wait for a hook; those beyond are not delivered."""
_FIRST_PAUSE: Final = 0.5  # seconds before the second try; each further one waits twice as long
_READ: Final = 4096  # bytes of an answer that are looked at


class Failed(Exception):
    """Why an event was not delivered."""


@dataclass
class Command:
    """A program, with its arguments, that gets the event on its standard input; no shell is between."""

    words: list[str]

    @classmethod
    def of(cls, text: str) -> "Command":
        """Split a command line; raise a `CalcoError` if there is no such program."""
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise CalcoError(f"--hook {text!r} is no command ({error}); close its quotes") from error
        if not words or shutil.which(words[0]) is None:
            shown = words[0] if words else text
            raise CalcoError(
                f"--hook names the program {shown!r}, which is not there or may not be run; check its path"
            )
        return cls(words)

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"the hook {self.words[0]}"

    def __call__(self, data: bytes, seconds: float) -> None:
        """Deliver an event; kill the program at its time limit with all that it started. Raise `Failed` if it fails."""
        try:
            program = subprocess.Popen(
                self.words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise Failed(f"cannot be started: {(error.strerror or str(error)).lower()}") from error
        try:
            _, errors = program.communicate(data, timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"has not ended within {seconds:g} s and was stopped") from error
        except OSError as error:
            raise Failed(f"failed: {error}") from error
        finally:
            with contextlib.suppress(OSError):
                os.killpg(program.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(1)
            if program.stderr is not None:
                program.stderr.close()
        if program.returncode:
            lines = errors[-_READ:].decode("utf-8", "replace").strip().splitlines()
            reason = f" ({printable(lines[-1].strip())[:200]})" if lines else ""
            raise Failed(f"ended with {program.returncode}{reason}")


@dataclass
class Webhook:
    """An http or https address to which the event is sent (POST, JSON)."""

    url: str

    def __post_init__(self) -> None:
        """Check the address."""
        try:
            parts = urlsplit(self.url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            good = False
        if not good or any(ord(letter) <= 32 or ord(letter) > 126 for letter in self.url):
            raise CalcoError(f"--webhook {self.url!r} is no address; give one such as https://example.org/alarm")

    @property
    def name(self) -> str:
        """Name in messages, without what may be secret."""
        parts = urlsplit(self.url)
        return f"the webhook {parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"

    def __call__(self, data: bytes, seconds: float) -> None:
        """Deliver an event within so many seconds, from finding the address to the end of the answer."""
        lines, failures = list[socket.socket](), list[Failed]()
        worker = threading.Thread(
            target=self._send, args=(data, seconds, lines, failures), name="calco-webhook", daemon=True
        )
        worker.start()
        worker.join(seconds)
        is_slow = worker.is_alive()
        for line in lines:  # whatever the worker waits for
            with contextlib.suppress(OSError), line:
                line.shutdown(socket.SHUT_RDWR)
        if is_slow:  # a limit of each read alone would let a server that sends a byte now and then hold the hook
            raise Failed(f"has not answered within {seconds:g} s")
        if failures:
            raise failures[0]

    def _send(self, data: bytes, seconds: float, lines: list[socket.socket], failures: list[Failed]) -> None:
        """Post the data without following redirects; note the connection, and why it failed."""
        parts = urlsplit(self.url)
        host, secure = str(parts.hostname), parts.scheme == "https"
        headers = {"Host": parts.netloc.rpartition("@")[2], "Content-Type": "application/json", "User-Agent": "calco"}
        try:
            line = socket.create_connection((host, parts.port or (443 if secure else 80)), seconds)
            lines.append(line.dup())  # TLS takes the socket itself away; both names stand for one connection
            connection = http.client.HTTPConnection(host)
            context = ssl.create_default_context() if secure else None
            connection.sock = line if context is None else context.wrap_socket(line, server_hostname=host)
            with contextlib.closing(connection):
                connection.request("POST", urlunsplit(("", "", parts.path or "/", parts.query, "")), data, headers)
                answer = connection.getresponse()  # the status says that it was taken; its text is not needed
            if not 200 <= answer.status < 300:
                failures.append(Failed(f"answered {answer.status} {answer.reason}"))
        except TimeoutError:
            failures.append(Failed(f"has not answered within {seconds:g} s"))
        except (OSError, ValueError) as error:
            failures.append(Failed(f"cannot be reached: {error}"))
        except http.client.HTTPException as error:
            failures.append(Failed(f"answered what is no HTTP: {error}"))


class Hooks(threading.Thread):
    """Delivers events one after the other, without holding the watch up.

    The file hooks.jsonl says what was delivered, and what was not and why: a watch that resumes delivers what is
    missing there. So an event may arrive twice, and carries its number.
    """

    def __init__(self, call: Command | Webhook, log: Path, *, seconds: float, retries: int) -> None:
        """Start it: `seconds` is the time limit of one try, `retries` the number of tries after the first."""
        super().__init__(name="calco-hook", daemon=True)
        self.call, self.seconds, self.retries = call, seconds, retries
        self.delivered = self.failed = 0
        self._lines = Journal(log, sync=True)
        self._known = {row.get("event") for row in self._lines.rows()}
        self._last = 0  # numbers grow, but what a video raises again after an interruption begins with old ones
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(WAITING)
        self._over = threading.Event()
        self._is_failing = False
        self.start()

    def put(self, event: dict[str, Any]) -> None:
        """Hand an event over; one that was handed over before an interruption is not delivered again."""
        if event["event"] in self._known or event["event"] <= self._last:
            return
        self._last = event["event"]
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._note(event, 0, 0.0, f"more than {WAITING} events were waiting")

    def run(self) -> None:
        """Deliver events until the end."""
        while (event := self._queue.get()) is not None:
            data = json.dumps(event, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
            began, reason, tries = time.monotonic(), "", 0
            for attempt in range(self.retries + 1):
                if attempt and self._over.wait(_FIRST_PAUSE * 2 ** (attempt - 1)):
                    break
                tries += 1
                try:
                    self.call(data, self.seconds)
                    reason = ""
                    break
                except Failed as failure:
                    reason = str(failure)
            self._note(event, tries, time.monotonic() - began, reason)

    def _note(self, event: dict[str, Any], tries: int, seconds: float, reason: str) -> None:
        """Write a line of the file, and log the first event that fails, until one is delivered again."""
        if reason:
            self.failed += 1
            if not self._is_failing:
                LOG.warning(f"{self.call.name} {reason}; event {event['event']} is in events.jsonl, the watch goes on")
        else:
            self.delivered += 1
            if self._is_failing:
                LOG.info(f"{self.call.name} takes events again")
        self._is_failing = bool(reason)
        record = {"event": event["event"], "delivered": not reason, "tries": tries, "seconds": round(seconds, 3)}
        try:
            self._lines.add({**record, "reason": reason} if reason else record)
        except CalcoError as error:
            LOG.warning(str(error))

    def close(self, patience: float) -> None:
        """End; events that wait are given so many seconds to be delivered."""
        until = time.monotonic() + patience
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=max(0.0, patience))
        self.join(max(0.0, until - time.monotonic()))
        self._over.set()
        if self.is_alive():
            LOG.warning(f"{self.call.name} still holds {self._queue.qsize() + 1} events up; --resume delivers them")
        elif self.failed:
            LOG.warning(
                f"{self.failed} of {self.failed + self.delivered} events were not delivered; hooks.jsonl says why"
            )
