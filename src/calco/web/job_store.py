"""The store of jobs: one SQLite table, which survives a kill, and every change that a job goes through."""

import json
import re
import sqlite3
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from calco.errors import CalcoError, DiskError
from calco.web.refusals import RefusedError

State: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
Kind: TypeAlias = Literal["video", "images"]
KINDS: Final[tuple[Kind, ...]] = ("video", "images")
"""Kinds of jobs. One job of each kind is at work at a time, so that a slow video does not block images."""
ID: Final = re.compile(r"[0-9a-f]{32}")
"""Ids of jobs."""

_FORMAT: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    client TEXT NOT NULL,
    task TEXT NOT NULL,
    keep INTEGER NOT NULL,
    count INTEGER NOT NULL DEFAULT 0,
    total INTEGER,
    progress REAL NOT NULL DEFAULT 0,
    code TEXT NOT NULL DEFAULT '',
    details TEXT NOT NULL DEFAULT '{}',
    result TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL,
    ended REAL,
    expires REAL
) STRICT
"""
_LIVE: Final = "state IN ('queued', 'running')"


class JobStore:
    """Rows of jobs; every method may be called from any thread.

    Args:
        path: The file; made if need be.

    Attributes:
        lock: Held by each method, and by callers around several of them.

    Raises:
        CalcoError: If the file cannot be used, or is of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, threading.RLock()
        try:
            # Its changes are in a log beside it, which survives a kill.
            store = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            store.row_factory = sqlite3.Row
            store.execute("PRAGMA journal_mode = WAL")
            store.execute("PRAGMA synchronous = NORMAL")
            version = store.execute("PRAGMA user_version").fetchone()[0]
            if version > _FORMAT:
                store.close()
                raise CalcoError(f"{path} is of format {version}, and this Calco reads {_FORMAT}; update Calco")
            store.execute(_SCHEMA)
            store.execute(f"PRAGMA user_version = {_FORMAT}")
        except sqlite3.Error as error:
            raise CalcoError(f"cannot use {path}: {error}; move it away, or name another folder") from error
        self._store = store

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    # ---- Questions ----

    def row(self, id: str) -> sqlite3.Row:
        """Return a job.

        Raises:
            RefusedError: If there is none of this id.
        """
        found = self._rows("id = ?", id) if ID.fullmatch(id) else []
        if not found:
            raise RefusedError("no_job")
        return found[0]

    def every(self) -> list[sqlite3.Row]:
        """Return all jobs in their order."""
        return self._rows("1 ORDER BY number")

    def next(self, kind: Kind) -> sqlite3.Row | None:
        """Return the oldest job of a kind that waits."""
        found = self._rows("state = 'queued' AND kind = ? ORDER BY number LIMIT 1", kind)
        return found[0] if found else None

    def live(self, client: str | None = None) -> int:
        """Return the number of jobs that wait or run, of a client or of all."""
        return self._count(_LIVE) if client is None else self._count(f"{_LIVE} AND client = ?", client)

    def ahead(self, row: sqlite3.Row) -> int:
        """Return the number of jobs that are done before one that waits."""
        if row["state"] != "queued":
            return 0
        return self._count(f"{_LIVE} AND kind = ? AND number < ?", row["kind"], row["number"])

    def counts(self) -> dict[State, int]:
        """Return the number of jobs in each state."""
        with self.lock:
            return dict(self._store.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())

    def expired(self) -> list[sqlite3.Row]:
        """Return the jobs whose results were delivered long enough ago."""
        return self._rows("expires < ?", time.time())

    def ended_before(self, when: float) -> list[sqlite3.Row]:
        """Return the jobs that ended before a time, seconds since 1970."""
        return self._rows(f"ended < ? AND NOT {_LIVE}", when)

    def with_results(self) -> list[sqlite3.Row]:
        """Return the jobs that have results, the oldest first."""
        return self._rows("result IS NOT NULL ORDER BY ended")

    def _rows(self, where: str, *values: object) -> list[sqlite3.Row]:
        with self.lock:
            return self._store.execute(f"SELECT * FROM jobs WHERE {where}", values).fetchall()

    def _count(self, where: str, *values: object) -> int:
        with self.lock:
            return int(self._store.execute(f"SELECT count(*) FROM jobs WHERE {where}", values).fetchone()[0])

    # ---- Changes; each raises DiskError if the disk takes nothing more ----

    def add(self, id: str, kind: Kind, *, model: str, client: str, task: Mapping[str, Any], keep: bool) -> None:
        """Add a job that waits."""
        self._write(
            "INSERT INTO jobs (id, state, kind, model, client, task, keep, created) VALUES (?,'queued',?,?,?,?,?,?)",
            id, kind, model, client, json.dumps(task), keep, time.time(),
        )  # fmt: skip

    def begin(self, id: str) -> bool:
        """Note that a job runs; return whether it still waited."""
        return self._change("state = 'running', attempts = attempts + 1", id, "state = 'queued'")

    def wait_again(self, id: str, *, counted: bool) -> None:
        """Let a job that ran wait again; `counted` keeps the attempt among those that it has."""
        self._change(f"state = 'queued', attempts = max(0, attempts - {0 if counted else 1})", id, "state = 'running'")

    def note_progress(self, id: str, heard: Mapping[str, Any]) -> None:
        """Note how much is done; what got further than ever before may be interrupted again."""
        share = heard["progress"]
        self._change(
            "attempts = CASE WHEN ? > progress THEN 1 ELSE attempts END, count = ?, total = ?, "
            "progress = max(progress, ?), code = ?, details = ?", id, "state = 'running'",
            share, heard["count"], heard["total"], share, heard["code"], json.dumps(heard["details"]),
        )  # fmt: skip

    def end(self, id: str, heard: Mapping[str, Any]) -> bool:
        """Note how a job that runs has ended; return False if it was cancelled before."""
        return self._change(
            "state = ?, result = ?, code = ?, details = ?, ended = ?, "
            "progress = CASE ? WHEN 'done' THEN 1 ELSE progress END", id, "state = 'running'",
            heard["state"], heard.get("result"), heard["code"], json.dumps(heard["details"]), time.time(),
            heard["state"],
        )  # fmt: skip

    def cancel(self, id: str) -> None:
        """Note that a job is not wanted, nor what it has made."""
        self._change("state = 'cancelled', ended = ?", id, _LIVE, time.time())
        self.forget_result(id, "")

    def expire(self, id: str, when: float) -> None:
        """Let the result of a job that is done go at a time, unless its client keeps it."""
        self._change("expires = ?", id, "state = 'done' AND NOT keep", when)

    def postpone(self, id: str, when: float) -> None:
        """Let a result that is to go anyway go at a later time."""
        self._change("expires = ?", id, "expires IS NOT NULL", when)

    def forget_result(self, id: str, code: str) -> None:
        """Note that a result is gone, and why."""
        self._change("result = NULL, expires = NULL, code = ?, details = '{}'", id, "1", code)

    def remove(self, id: str) -> None:
        """Remove a job."""
        self._write("DELETE FROM jobs WHERE id = ?", id)

    def _change(self, what: str, id: str, where: str, *values: object) -> bool:
        return self._write(f"UPDATE jobs SET {what} WHERE id = ? AND {where}", *values, id) > 0

    def _write(self, statement: str, *values: object) -> int:
        """Change the store; return the number of rows that were changed."""
        with self.lock:
            try:
                return self._store.execute(statement, values).rowcount
            except sqlite3.OperationalError as error:
                raise DiskError(f"cannot write {self.path}: {error}; free some space") from error
