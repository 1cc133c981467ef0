"""The processes of jobs: one job of each kind at a time, in a process that reports by lines of JSON.

A process ends when the studio does. A job whose process or studio was killed begins again where it stopped, and fails
when that has led nowhere too often.
"""

import contextlib
import json
import logging
import os
import selectors
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from calco.errors import CalcoError, DiskError
from calco.journal import decode, encode
from calco.web.archives import Limits
from calco.web.job_store import KINDS, JobStore, Kind
from calco.web.refusals import Said

PREVIEW: Final = "preview.jpg"
"""Name of a job's preview, in its folder."""
TABLES: Final = (".csv", ".jsonl")
"""Endings of the files beside a detector's video: a row for each object, a line for each frame."""
_ATTEMPTS: Final = 3  # times that a job may be interrupted without having got further
_STALLED: Final = 900.0  # seconds without a sign of a job's process, after which it is ended
_AGAIN: Final = 5.0  # seconds after which a job that could not begin is tried again
_NICE: Final = 10  # lower priority of the jobs' processes: images that a person waits for go first

LOG = logging.getLogger(__name__)


class JobProcesses:
    """Does the jobs of a store, each in a process of its own.

    Args:
        folder: Folder in which each job has one.
        store: The jobs.
        limits: What one upload may hold.
        threads: CPU threads of a process.
    """

    def __init__(self, folder: Path, store: JobStore, limits: Limits, threads: int) -> None:
        self._folder, self._store, self._limits, self._number = folder, store, limits, threads
        self._lock = store.lock
        self._changed = threading.Condition(self._lock)
        self._closing = False
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._threads = [
            threading.Thread(target=self._serve, name=f"calco-{kind}", args=(kind,), daemon=True) for kind in KINDS
        ]

    def start(self) -> None:
        """Put jobs that a killed studio left at work into the queue again, and begin."""
        for row in self._store.every():
            if row["state"] == "running":
                self._interrupted(row["id"], row["attempts"], ("end_studio", {}))
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look into the store again: it has another job."""
        with self._lock:
            self._changed.notify_all()

    def has(self, id: str) -> bool:
        """Return whether a job has a process, which may be ending; its thread then removes its files."""
        with self._lock:
            return id in self._processes

    def kill(self, id: str) -> None:
        """End the process of a job, if it has one."""
        with self._lock:
            if id in self._processes:
                self._processes[id].kill()
            self._changed.notify_all()

    def close(self) -> None:
        """End the processes and the threads; jobs at work wait for the next start."""
        with self._lock:
            self._closing = True
            self._changed.notify_all()
            for process in self._processes.values():
                process.kill()
        for thread in self._threads:
            thread.join()

    def _serve(self, kind: Kind) -> None:
        """Do the jobs of a kind, one after the other."""
        while True:
            with self._lock:
                if self._closing:
                    return
                row = self._store.next(kind)
                if row is None:
                    self._changed.wait()
                    continue
            try:
                self._do(row)
            except (CalcoError, OSError) as error:  # such as a full disk: the job still waits, or is at work again soon
                LOG.warning("job %s waits: %s", row["id"], error)
                with self._lock:
                    self._changed.wait(_AGAIN)

    def _do(self, row: sqlite3.Row) -> None:
        """Do one job in a process of its own."""
        id = row["id"]
        with self._lock:
            if not self._store.begin(id):
                return  # cancelled meanwhile
            try:
                process = self._processes[id] = self._begun()
            except OSError:
                self._store.wait_again(id, counted=False)
                raise
        heard: dict[str, Any] | None = None
        try:
            heard = self._listen(id, process, row["task"])
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            with self._lock:
                del self._processes[id]
                closing = self._closing
        self._insist(lambda: self._note_end(id, process.returncode, heard, closing=closing))

    def _begun(self) -> "subprocess.Popen[bytes]":
        """Begin a process for a job: it hears nothing of a Ctrl-C, and imports nothing from the present folder."""
        threads = str(self._number)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "calco.web.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}, start_new_session=True,
        )  # fmt: skip

    def _listen(self, id: str, process: "subprocess.Popen[bytes]", task: str) -> dict[str, Any] | None:
        """Give a process its job, and note its progress; return how the job ended, None if the process just did."""
        assert process.stdin is not None
        assert process.stdout is not None
        order = {**json.loads(task), "folder": str((self._folder / id).absolute()), "limits": asdict(self._limits),
                 "threads": self._number, "nice": _NICE}  # fmt: skip
        with contextlib.suppress(OSError):  # it has ended already
            process.stdin.write(encode(order))
            process.stdin.flush()
        last, rest = time.monotonic(), b""
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not ready.select(1.0):
                    if time.monotonic() - last > _STALLED:
                        return {"state": "failed", "code": "stalled", "details": {"minutes": _STALLED / 60}}
                    continue
                data = os.read(process.stdout.fileno(), 1 << 16)
                if not data:
                    return None
                last = time.monotonic()
                *lines, rest = (rest + data).split(b"\n")
                for heard in filter(None, map(decode, lines)):
                    if "state" in heard:
                        return heard
                    with contextlib.suppress(DiskError):  # the next one may fit
                        self._store.note_progress(id, heard)

    def _note_end(self, id: str, returncode: int, heard: dict[str, Any] | None, *, closing: bool) -> None:
        """Note how a job's process ended."""
        row = self._store.row(id)
        if row["state"] != "running":
            tidy(self._folder / id, None)
        elif heard is not None:
            self._end(id, heard)
        elif closing:
            self._store.wait_again(id, counted=False)
        else:
            self._interrupted(id, row["attempts"], _cause(returncode))

    def _insist(self, call: Callable[[], object]) -> None:
        """Call a function that writes the store until the disk takes it."""
        while True:
            try:
                call()
            except DiskError as error:
                LOG.warning("%s", error)
                with self._lock:
                    if self._closing:
                        return  # the next start finds the job at work, and begins it again
                    self._changed.wait(1.0)
            else:
                return

    def _interrupted(self, id: str, attempts: int, reason: Said) -> None:
        """Let an interrupted job begin again where it stopped, unless that has led nowhere too often."""
        if attempts < _ATTEMPTS:
            self._store.wait_again(id, counted=True)
            return
        self._end(id, {"state": "failed", "code": "interrupted", "details": {"times": attempts, "reason": reason}})

    def _end(self, id: str, heard: Mapping[str, Any]) -> None:
        """Note the end of a job, unless it was cancelled before."""
        state, result = heard["state"], heard.get("result")
        if state != "done":
            tidy(self._folder / id, None)  # first: it makes room for what follows where the disk is full
        changed = self._store.end(id, heard)
        tidy(self._folder / id, result if changed and state == "done" else None)


def tidy(folder: Path, result: str | None) -> None:
    """Remove a job's folder; with a result all in it but that, its tables and the preview."""
    if result is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    stem = result.partition(".")[0]
    kept = {result, PREVIEW, *(f"{stem}{ending}" for ending in TABLES)}
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.name not in kept:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _cause(returncode: int) -> Said:
    """Return why a process ended without a word."""
    if returncode == -signal.SIGKILL:
        return "end_killed", {}
    if returncode < 0:
        return "end_signal", {"signal": signal.Signals(-returncode).name}
    return "end_status", {"status": returncode}
