"""REST for long work: /api/v1/jobs takes videos and many images, reports progress, and returns results."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.types import Message, Receive, Scope, Send

from calco.web.api import ONE_FILE, PROBLEMS, ROOT, checked, client_of, form_of
from calco.web.jobs import Job, JobOptions, Jobs
from calco.web.refusals import RefusedError
from calco.web.service import Studio
from calco.web.texts import choose_language

MEDIA: Final = {".mp4": "video/mp4", ".zip": "application/zip"}
"""Type of a result by its ending."""
_TABLES: Final = {"csv": "text/csv", "jsonl": "application/jsonl"}
_FIELD_BYTES: Final = 10_000  # of a field of the form that is not a file
_GONE: Final[dict[int | str, dict[str, Any]]] = {
    404: PROBLEMS[404] | {"description": "There is no such job, or it has no result yet."},
    410: PROBLEMS[404] | {"description": "The result was delivered and deleted, or the job failed or was cancelled."},
}


_ACCEPTED: Final[dict[int | str, dict[str, Any]]] = {
    202: {
        "links": {
            name: {"operationId": f"{name}_job", "parameters": {"id": "$response.body#/id"}}
            for name in ("get", "cancel", "result_of", "boxes_of", "preview_of")
        }
    }
}
"""What can be asked of a job that was accepted, by its id."""


class JobFields(BaseModel, extra="forbid"):
    """Fields of a job beside its files."""

    model: Annotated[str, Field(min_length=1, max_length=100, description="Name of a model, as of /models.")]
    noise_seed: Annotated[
        int | None, Field(ge=0, le=(1 << 53) - 1, description="Seed of the noise, for variety; absent: deterministic.")
    ] = None
    overlay: Annotated[bool, Field(description="Lay the classes over the images, for a model that paints masks.")] = (
        False
    )
    steady: Annotated[bool, Field(description="Reduce the flicker of a video.")] = False
    threshold: Annotated[float | None, Field(ge=0, le=1, description="Lowest score; absent: the model's own.")] = None
    keep: Annotated[bool, Field(description="Keep the result after its delivery, until it is too old.")] = False


class JobState(BaseModel):
    """A job: its state, and the addresses of its preview and its result while there are any."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    kind: Literal["video", "images"]
    model: str
    progress: Annotated[float, Field(ge=0, le=1)]
    count: Annotated[int, Field(description="Frames or images done.")]
    total: Annotated[int | None, Field(description="Frames or images in all, where that is known.")]
    ahead: Annotated[int, Field(description="Jobs that are done before it.")]
    message: str
    preview: str | None
    result: str | None
    boxes: Annotated[str | None, Field(description="The objects of each frame, of a detector's video that is done.")]


def jobs_routes(studio: Studio, jobs: Jobs) -> APIRouter:
    """Return the routes of jobs."""
    router = APIRouter(prefix=f"{ROOT}/jobs", responses={code: PROBLEMS[code] for code in (401, 403)})
    file: dict[str, Any] = {"type": "array", "items": ONE_FILE, "minItems": 1}
    form = form_of(JobFields, {"file": file, "mask": ONE_FILE}, needed="file")
    body = {"required": True, "content": {"multipart/form-data": {"schema": form}}}

    @router.post(
        "", status_code=202, response_model=JobState, openapi_extra={"requestBody": body},
        responses=_ACCEPTED | {code: PROBLEMS[code] for code in (400, 404, 408, 413, 415, 422, 503)},
    )  # fmt: skip
    async def submit(request: Request, response: Response) -> JobState:
        """Accept a job: a video, an image, a ZIP of images, or several images, each in a field `file`.

        The field `mask` holds what a model that fills holes redraws, white: an image for all frames or images, or a ZIP
        of masks with the names of the images.
        """
        async with _form(request, jobs) as (fields, files, mask):
            served = studio.find(fields.model)
            options = JobOptions(**fields.model_dump(exclude={"model"}))
            call = partial(_submit, jobs, files, mask, model=served, options=options, client=client_of(request),
                           language=choose_language(None, request.headers.get("accept-language")))  # fmt: skip
            job = jobs.get(await run_in_threadpool(call))
        response.headers["Location"] = f"{ROOT}/jobs/{job.id}"
        return _described(job, request)

    @router.get("/{id}", operation_id="get_job", responses={404: _GONE[404], 422: PROBLEMS[422]})
    def state(id: str, request: Request) -> JobState:
        """Return the state of a job."""
        return _described(jobs.get(id), request)

    @router.delete("/{id}", operation_id="cancel_job", status_code=204, responses={404: _GONE[404], 422: PROBLEMS[422]})
    def cancel(id: str) -> None:
        """End a job, or delete the result of one that has ended; its files go at once."""
        jobs.cancel(id)

    @router.get(
        "/{id}/result",
        operation_id="result_of_job",
        response_class=Response,
        responses=_GONE | {422: PROBLEMS[422], 200: _files(*MEDIA.values())},
    )
    def result(id: str, request: Request) -> Response:
        """Return the result, a video or a ZIP; parts of it by Range. It is deleted after its delivery."""
        job = jobs.get(id)
        if job.result is None:
            if job.state in ("queued", "running"):
                raise RefusedError("no_result")
            if not job.message:
                raise RefusedError("cancelled")
            raise HTTPException(410, _message(job, request))
        name = f"{job.model}-{id[:8]}{job.result.suffix}"
        return Delivered(job.result, MEDIA[job.result.suffix], name, partial(jobs.delivered, id))

    @router.get(
        "/{id}/boxes", operation_id="boxes_of_job", response_class=Response,
        responses={404: _GONE[404], 422: PROBLEMS[422], 200: _files(*_TABLES.values())},
    )  # fmt: skip
    def boxes(id: str, format: Literal["csv", "jsonl"] = "csv") -> Response:
        """Return the objects that a detector has found in a video: a row for each, or a line of JSON for each frame."""
        job = jobs.get(id)
        if format not in job.boxes:
            raise RefusedError("no_boxes")
        return FileResponse(job.boxes[format], media_type=_TABLES[format], filename=f"{job.model}-{id[:8]}.{format}")

    @router.get(
        "/{id}/preview", operation_id="preview_of_job", response_class=Response,
        responses={404: PROBLEMS[404] | {"description": "There is no such job."}, 422: PROBLEMS[422],
                   200: _files("image/jpeg"), 204: {"description": "The job has no preview, yet or any more."}},
    )  # fmt: skip
    def preview(id: str) -> Response:
        """Return a small image of the newest frame or image; nothing while there is none, which is no fault."""
        shown = _shown(jobs.get(id))
        return Response(status_code=204) if shown is None else Response(shown, media_type="image/jpeg")

    return router


def _files(*kinds: str) -> dict[str, Any]:
    return {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}}


def _message(job: Job, request: Request) -> str:
    is_spanish = choose_language(None, request.headers.get("accept-language")) == "es"
    return job.spanish if is_spanish else job.message


def _shown(job: Job) -> bytes | None:
    """Return the preview of a job; None before the first one, and once its files are gone."""
    if job.preview is not None:
        with contextlib.suppress(OSError):  # removed meanwhile: the job was cancelled, or is too old
            return job.preview.read_bytes()
    return None


def _described(job: Job, request: Request) -> JobState:
    here = f"{ROOT}/jobs/{job.id}"
    return JobState(
        id=job.id, state=job.state, kind=job.kind, model=job.model, progress=job.progress, count=job.count,
        total=job.total, ahead=job.ahead, message=_message(job, request),
        preview=f"{here}/preview" if job.preview else None, result=f"{here}/result" if job.result else None,
        boxes=f"{here}/boxes" if job.boxes else None,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def _form(request: Request, jobs: Jobs) -> AsyncIterator[tuple[JobFields, list[UploadFile], UploadFile | None]]:
    """Read the form of a job: its fields, its files, and its mask; the files are gone at the end."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise RefusedError("body", types="multipart/form-data")
    most = jobs.limits.images
    try:
        form = await request.form(
            max_files=most + 1, max_fields=len(JobFields.model_fields), max_part_size=_FIELD_BYTES
        )
    except OSError as error:  # of the folder for temporary files
        raise RefusedError("disk") from error
    try:
        texts, files, masks = dict[str, str](), list[UploadFile](), list[UploadFile]()
        for name, value in form.multi_items():
            if (name in ("file", "mask")) != isinstance(value, UploadFile):
                raise RefusedError("field_file" if isinstance(value, UploadFile) else "field_text", name=name[:60])
            if isinstance(value, UploadFile):
                (files if name == "file" else masks).append(value)
            else:
                texts[name] = value
        if not files:
            raise RefusedError("field_missing", name="file")
        if len(masks) > 1:
            raise RefusedError("masks", count=len(masks))
        yield checked(partial(JobFields.model_validate, texts)), files, masks[0] if masks else None
    finally:
        await form.close()


def _submit(jobs: Jobs, files: list[UploadFile], mask: UploadFile | None, **how: Any) -> str:
    """Write the files of a form where jobs are, and accept the job."""
    with contextlib.ExitStack() as held:

        def copied(file: UploadFile) -> Path:
            path = held.enter_context(jobs.incoming())
            try:
                with path.open("wb") as copy:
                    shutil.copyfileobj(file.file, copy, 1 << 20)
            except OSError as error:
                raise RefusedError("disk") from error
            return path

        paths: dict[str, Path] = {}
        for number, file in enumerate(files, 1):
            name = (file.filename or "image").replace("\\", "/").rpartition("/")[2][:200]
            paths[name if name not in paths else f"{number}-{name}"] = copied(file)
        upload = next(iter(paths.values())) if len(paths) == 1 else paths
        return jobs.submit(upload=upload, mask=None if mask is None else copied(mask), **how)


class Delivered(FileResponse):
    """A file in whole or in parts, and a call when its end has been sent to a client that is still there.

    Args:
        path: The file.
        media_type: Its type.
        filename: Name under which it is saved.
        delivered: Is called.
    """

    def __init__(self, path: Path, media_type: str, filename: str, delivered: Callable[[], None]) -> None:
        super().__init__(path, media_type=media_type, filename=filename)
        self._delivered = delivered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI 3 has it."""
        left = asyncio.ensure_future(_left(receive))
        holds_end = is_whole = False

        async def watched(message: Message) -> None:
            nonlocal holds_end, is_whole
            if message["type"] == "http.response.start":
                part = dict(message["headers"]).get(b"content-range", b"").decode()
                span, _, size = part.removeprefix("bytes ").partition("/")
                end = span.rpartition("-")[2]
                holds_end = message["status"] == 200 or (size.isdecimal() and end == str(int(size) - 1))
            elif not message.get("more_body", False):
                is_whole = holds_end and not left.done()
                left.cancel()
            await send(message)

        try:
            await super().__call__(scope, receive, watched)
        finally:
            left.cancel()
        if is_whole:
            await run_in_threadpool(self._delivered)


async def _left(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
