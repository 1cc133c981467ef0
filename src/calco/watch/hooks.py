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
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

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


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An event goes where the user said, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class _Line:
    """The connection of one try; another thread can cut it off, whatever it waits for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._is_over = False

    def connect(self, *args: Any, **more: Any) -> socket.socket:
        """Like `socket.create_connection`, but fails once the line is cut off."""
        made = socket.create_connection(*args, **more)
        with self._lock:
            if self._is_over:
                made.close()
                raise TimeoutError
            self._ends.append(made.dup())  # TLS takes the socket itself away; both names stand for one connection
        return made

    def cut(self) -> None:
        """End whatever is read from or written to it, now and later."""
        with self._lock:
            self._is_over = True
            for end in self._ends:
                with contextlib.suppress(OSError), end:
                    end.shutdown(socket.SHUT_RDWR)

    def opener(self) -> urllib.request.OpenerDirector:
        """Return what opens addresses over this line."""

        def through(kind: type[http.client.HTTPConnection]) -> Any:
            def made(*args: Any, **more: Any) -> http.client.HTTPConnection:
                connection = kind(*args, **more)
                connection._create_connection = self.connect  # type: ignore[attr-defined]
                return connection

            return made

        class Plain(urllib.request.HTTPHandler):
            def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
                return self.do_open(through(http.client.HTTPConnection), req)

        class Secure(urllib.request.HTTPSHandler):
            def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
                return self.do_open(through(http.client.HTTPSConnection), req, context=ssl.create_default_context())

        return urllib.request.build_opener(_NoRedirect, Plain, Secure)


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
        line, failures = _Line(), list[Failed]()

        def send() -> None:
            try:
                self._send(line.opener(), data, seconds)
            except Failed as failure:
                failures.append(failure)

        worker = threading.Thread(target=send, name="calco-webhook", daemon=True)
        worker.start()
        worker.join(seconds)
        is_slow = worker.is_alive()
        line.cut()
        if is_slow:  # a limit of each read alone would let a server that sends a byte now and then hold the hook
            raise Failed(f"has not answered within {seconds:g} s")
        if failures:
            raise failures[0]

    def _send(self, opener: urllib.request.OpenerDirector, data: bytes, seconds: float) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": "calco"}
        request = urllib.request.Request(self.url, data, headers, method="POST")
        try:
            opener.open(request, timeout=seconds).close()  # the status says that it was taken; its text is not needed
        except urllib.error.HTTPError as error:
            error.close()
            raise Failed(f"answered {error.code} {error.reason}") from error
        except (OSError, ValueError) as error:  # which URLError is too
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise Failed(f"has not answered within {seconds:g} s") from error
            raise Failed(f"cannot be reached: {reason}") from error
        except http.client.HTTPException as error:
            raise Failed(f"answered what is no HTTP: {error}") from error


def hook_of(command: str, address: str) -> Command | Webhook | None:
    """Return the hook that the options `--hook` and `--webhook` name; None for none."""
    if command:
        return Command.of(command)
    return Webhook(address) if address else None


class Hooks(threading.Thread):
    """Delivers events one after the other, without holding the watch up.

    The file hooks.jsonl says what was delivered, and what was not and why: a watch that resumes delivers what is
    missing there. So an event may arrive twice, and carries its number.
    """

    def __init__(self, call: Command | Webhook, log: Path, *, seconds: float, retries: int) -> None:
        """Start it.

        Args:
            call: Delivers an event.
            log: The file of JSON lines to write.
            seconds: Time limit of one try.
            retries: Number of tries after the first.
        """
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
