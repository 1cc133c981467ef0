"""Jobs of the studio: work on videos and many images that is accepted, kept, and cleaned away.

The studio alone writes the store; each job has a folder of its own.
"""

import contextlib
import json
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from calco.errors import CalcoError, DiskError
from calco.files import explained, make_folder
from calco.outputs import locked_folder
from calco.records import check_numbers, from_record
from calco.report.numbers import Language
from calco.web.archives import Limits
from calco.web.job_processes import PREVIEW, TABLES, JobProcesses, tidy
from calco.web.job_store import ID, JobStore, Kind, State
from calco.web.refusals import RefusedError, sentence
from calco.web.served import ServedModel
from calco.web.uploads import recognise, recognise_mask

_LINGER: Final = 120.0  # seconds after its delivery for which a result can be had again: a connection may break
_OFTEN: Final = 5.0  # seconds between two cleanings

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """Options of a job."""

    noise_seed: int | None = None
    """Seed of the noise, for a translator that uses it; by default the deterministic result."""
    overlay: bool = False
    """Lay the classes over the images in place of writing the mask alone, for a translator that paints masks."""
    steady: bool = False
    """Reduce the flicker of a video, for a translator."""
    threshold: float | None = None
    """Lowest score of an object, for a detector; by default the model's own."""
    keep: bool = False
    """Keep the result after it was delivered, until its age or the room removes it."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_numbers(self, noise_seed=(0, 2**63 - 1), threshold=(0, 1))


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as its client sees it."""

    id: str
    state: State
    kind: Kind
    model: str  # name of the model
    progress: float  # 0 to 1
    count: int  # frames or images done
    total: int | None  # frames or images in all, where that is known
    ahead: int  # jobs that are done before it; 0 from when it runs
    message: str  # one line: what is done now, what was left out, or why it failed
    spanish: str  # the same in Spanish
    preview: Path | None  # a small JPEG of the newest frame or image
    result: Path | None  # a video or a ZIP, until it is deleted
    boxes: Mapping[str, Path]  # "csv" and "jsonl" of a detector's video: the objects of each frame


class Jobs:
    """Queue, store and processes of jobs; all methods may be called from any thread.

    Args:
        folder: Folder of the store, the uploads and the results; one studio at a time uses it.
        most: Largest number of jobs that wait or run.
        keep_hours: Hours after its end for which a job and its files are kept.
        keep_bytes: Bytes of all files, above which the oldest results go and no job is taken.
        most_per_client: Largest number of jobs of one client that wait or run.
        limits: What one upload may hold.
        threads: CPU threads of a job's process; by default all cores but one.

    Raises:
        CalcoError: If the folder cannot be used, another studio uses it, or its store is of a newer version.
    """

    def __init__(
        self, folder: Path, *, most: int = 100, keep_hours: float = 24, keep_bytes: int = 10 * 2**30,
        most_per_client: int = 10, limits: Limits | None = None, threads: int | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.limits = Path(folder), limits or Limits()
        self.most, self.most_per_client = most, most_per_client
        self.keep_hours, self.keep_bytes = keep_hours, keep_bytes
        self.threads = threads or max(1, len(os.sched_getaffinity(0)) - 1)
        self._held = contextlib.ExitStack()
        self._held.enter_context(locked_folder(self.folder, "calco serve"))
        os.chmod(self.folder, 0o700)  # what people upload is nobody else's
        self._closed = threading.Event()
        try:
            self._store = JobStore(self.folder / "jobs.sqlite")
            self._held.callback(self._store.close)
            self._lock = self._store.lock
            self._processes = JobProcesses(self.folder, self._store, self.limits, self.threads)
            self._remove_strays()
            self._processes.start()
        except BaseException:
            self._held.close()
            raise
        self._cleaner = threading.Thread(target=self._clean_often, name="calco-clean", daemon=True)
        self._cleaner.start()

    def close(self) -> None:
        """End the processes and the threads; jobs at work wait for the next start."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._processes.close()
        self._cleaner.join()
        self._held.close()

    # ---- What clients ask for ----

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Path]:
        """Yield the path of a file to write an upload to; it is removed at the end unless a job has taken it."""
        path = make_folder(self.folder / "uploads") / secrets.token_hex(16)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def submit(
        self, *, model: ServedModel, upload: Path | Mapping[str, Path], options: Mapping[str, Any] | JobOptions,
        client: str, mask: Path | None = None, language: Language = "en",
    ) -> str:  # fmt: skip
        """Accept a job.

        Args:
            model: The model that does it.
            upload: A video, an image or a ZIP of images, known by its content; or several images by their names. Files
                of `incoming` are moved, others copied.
            options: The fields of `JobOptions`.
            client: Address or name of the client, of which only some jobs are taken at a time.
            mask: What a model that fills holes redraws, white: an image for all frames or images, or a ZIP of masks
                with the names of the images. A file of `incoming` is moved, another copied.
            language: Of the texts in its result.

        Returns:
            Its id, which nobody can guess: a client that has it may see and cancel the job.

        Raises:
            RefusedError: If there is no room for it now, in the queue or on the disk, or the upload is not taken.
            CalcoError: If an option is unknown or out of range.
        """
        chosen = options if isinstance(options, JobOptions) else from_record(JobOptions, {**options}, "a job's options")
        if mask is not None and not model.takes_mask:
            raise RefusedError("mask_model", model=model.name)
        self._check_room(client, 0)
        job_id = secrets.token_hex(16)
        folder = make_folder(self.folder / job_id)
        try:
            kind, names = self._take(upload, folder)
            _check_fits(chosen, model, kind)
            if mask is not None:
                self._move(mask, folder / "mask")
                recognise_mask(folder / "mask", kind, self.limits)
            self._check_room(client, _bytes_of(folder))
            task = {"kind": kind, "names": names, "model": str(Path(model.path).absolute()), "does": model.kind,
                    "language": language, "options": asdict(chosen)}  # fmt: skip
            with self._lock:
                self._check_room(client, 0)  # others may have come meanwhile
                self._store.add(job_id, kind, model=model.name, client=client, task=task, keep=chosen.keep)
            self._processes.wake()
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, DiskError):
                raise RefusedError("disk") from error
            raise
        return job_id

    def get(self, id: str) -> Job:
        """Return a job.

        Raises:
            RefusedError: If there is none of this id, or it was removed for its age.
        """
        with self._lock:
            row = self._store.row(id)
            ahead = self._store.ahead(row)
        folder = self.folder / row["id"]
        preview, details = folder / PREVIEW, json.loads(row["details"])
        result = folder / row["result"] if row["result"] else None
        boxes = {ending.removeprefix("."): path for ending in TABLES
                 if result is not None and (path := result.with_suffix(ending)).is_file()}  # fmt: skip
        return Job(
            id=row["id"], state=row["state"], kind=row["kind"], model=row["model"], progress=row["progress"],
            count=row["count"], total=row["total"], ahead=ahead,
            message=sentence(row["code"], details), spanish=sentence(row["code"], details, "es"),
            preview=preview if preview.is_file() else None,
            result=result if result is not None and result.is_file() else None, boxes=boxes,
        )  # fmt: skip

    def cancel(self, id: str) -> None:
        """End a job that waits or runs, or delete the result of one that has ended; its files go at once.

        Raises:
            RefusedError: If there is none of this id.
        """
        with self._lock:
            row = self._store.row(id)
            self._store.cancel(id)
            is_at_work = self._processes.has(id)
            self._processes.kill(id)
        if not is_at_work or row["state"] not in ("queued", "running"):  # else its thread does it, after the process
            shutil.rmtree(self.folder / row["id"], ignore_errors=True)

    def delivered(self, id: str) -> None:
        """Note that a client has the whole result: it is deleted soon, unless the job's options keep it."""
        self._store.expire(id, time.time() + _LINGER)

    def shown(self, id: str) -> float:
        """Note that a page shows the result of a job: it stays while it does, delivered or not.

        Returns:
            Seconds after which the page has to say so again.
        """
        self._store.postpone(id, time.time() + _LINGER)
        return _LINGER / 4

    def counts(self) -> dict[State, int]:
        """Return the number of jobs in each state."""
        return self._store.counts()

    # ---- Uploads ----

    def _check_room(self, client: str, more: int) -> None:
        """Check that a job with so many bytes more has room."""
        with self._lock:
            if self._store.live() >= self.most:
                raise RefusedError("jobs", most=self.most)
            if self._store.live(client) >= self.most_per_client:
                raise RefusedError("jobs_client", most=self.most_per_client)
        if _bytes_of(self.folder) + more > self.keep_bytes:
            self._clean_by_size(more)
            if _bytes_of(self.folder) + more > self.keep_bytes:
                raise RefusedError("jobs_room")

    def _take(self, upload: Path | Mapping[str, Path], folder: Path) -> tuple[Kind, dict[str, str]]:
        """Move or copy an upload into a job's folder; return its kind, and the client's names of files there."""
        if isinstance(upload, Mapping):
            if len(upload) > self.limits.images:
                raise RefusedError("count", most=self.limits.images)
            names = {f"{number:06d}": name for number, name in enumerate(upload)}
            for own, path in zip(names, upload.values(), strict=True):
                self._move(path, make_folder(folder / "input") / own)
            return "images", names
        path = folder / "upload"
        self._move(upload, path)
        return recognise(path, self.limits), {}

    def _move(self, source: Path, target: Path) -> None:
        with explained(target, "write"):
            if Path(source).parent == self.folder / "uploads":
                os.replace(source, target)
            else:
                shutil.copyfile(source, target)

    def _remove_strays(self) -> None:
        """Remove what a killed studio left, and belongs to no job."""
        known = {row["id"]: row for row in self._store.every()}
        shutil.rmtree(self.folder / "uploads", ignore_errors=True)
        for path in self.folder.iterdir():
            if path.is_dir() and ID.fullmatch(path.name):
                if path.name not in known:
                    shutil.rmtree(path, ignore_errors=True)
                elif known[path.name]["state"] not in ("queued", "running"):
                    tidy(path, known[path.name]["result"])

    # ---- Cleaning ----

    def _clean_often(self) -> None:
        """Remove what is too old, was delivered, or takes too much room."""
        while not self._closed.wait(_OFTEN):
            try:
                self.clean()
            except (CalcoError, OSError) as error:
                LOG.warning("%s", error)

    def clean(self) -> None:
        """Remove jobs that ended too long ago, results that were delivered, and the oldest ones above the room."""
        with self._lock:
            for row in self._store.expired():
                self._forget_result(row["id"], "delivered")
            for row in self._store.ended_before(time.time() - self.keep_hours * 3600):
                if not self._processes.has(row["id"]):
                    shutil.rmtree(self.folder / row["id"], ignore_errors=True)
                    self._store.remove(row["id"])
        self._clean_by_size(0)

    def _clean_by_size(self, more: int) -> None:
        """Delete the oldest results until so many bytes more have room."""
        with self._lock:
            for row in self._store.with_results():
                if _bytes_of(self.folder) + more <= self.keep_bytes:
                    return
                self._forget_result(row["id"], "room")

    def _forget_result(self, id: str, code: str) -> None:
        self._store.forget_result(id, code)
        shutil.rmtree(self.folder / id, ignore_errors=True)


def _check_fits(options: JobOptions, model: ServedModel, kind: Kind) -> None:
    """Refuse options that do not serve a model or its upload, so that none is passed over silently."""
    for name, value in asdict(options).items():
        if name == "keep" or value in (None, False):
            continue
        if name not in model.options:
            raise RefusedError("option", option=name, model=model.name, known=", ".join(model.options))
        if name == "steady" and kind == "images":
            raise RefusedError("option_images", option=name)


def _bytes_of(folder: Path) -> int:
    """Return the bytes of the files in a folder and below it."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(base, name)).st_size
    return total
