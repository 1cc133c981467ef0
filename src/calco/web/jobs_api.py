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

from calco.errors import CalcoError
from calco.web.api import PROBLEMS, ROOT, checked, client_of
from calco.web.jobs import Job, JobOptions, Jobs, disk_full
from calco.web.service import Studio
from calco.web.texts import choose_language

_MEDIA: Final = {".mp4": "video/mp4", ".zip": "application/zip"}
_FIELD_BYTES: Final = 10_000  # of a field of the form that is not a file
_GONE: Final[dict[int | str, dict[str, Any]]] = {
    404: PROBLEMS[404] | {"description": "There is no such job, or it has no result or preview yet."},
    410: PROBLEMS[404] | {"description": "The result was delivered and deleted, or the job failed or was cancelled."},
}


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


def jobs_routes(studio: Studio, jobs: Jobs) -> APIRouter:
    """Return the routes of jobs."""
    router = APIRouter(prefix=f"{ROOT}/jobs", responses={code: PROBLEMS[code] for code in (401, 403)})
    form = JobFields.model_json_schema()
    file: dict[str, Any] = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
    form |= {"properties": form["properties"] | {"file": file}, "required": [*form["required"], "file"]}
    body = {"required": True, "content": {"multipart/form-data": {"schema": form}}}

    @router.post(
        "", status_code=202, response_model=JobState, openapi_extra={"requestBody": body},
        responses={code: PROBLEMS[code] for code in (400, 404, 408, 413, 415, 422, 503)},
    )  # fmt: skip
    async def submit(request: Request, response: Response) -> JobState:
        """Accept a job: a video, an image, a ZIP of images, or several images, each in a field `file`."""
        async with _form(request, jobs) as (fields, files):
            served = studio.find(fields.model)
            options = JobOptions(**fields.model_dump(exclude={"model"}))
            call = partial(_submit, jobs, files, model=served, options=options, client=client_of(request))
            job = jobs.get(await run_in_threadpool(call))
        response.headers["Location"] = f"{ROOT}/jobs/{job.id}"
        return _described(job, request)

    @router.get("/{id}", responses={404: _GONE[404], 422: PROBLEMS[422]})
    def state(id: str, request: Request) -> JobState:
        """Return the state of a job."""
        return _described(jobs.get(id), request)

    @router.delete("/{id}", status_code=204, responses={404: _GONE[404], 422: PROBLEMS[422]})
    def cancel(id: str) -> None:
        """End a job, or delete the result of one that has ended; its files go at once."""
        jobs.cancel(id)

    @router.get(
        "/{id}/result", response_class=Response, responses=_GONE | {422: PROBLEMS[422], 200: _files(*_MEDIA.values())}
    )
    def result(id: str, request: Request) -> Response:
        """Return the result, a video or a ZIP; parts of it by Range. It is deleted after its delivery."""
        job = jobs.get(id)
        if job.result is None:
            is_over = job.state not in ("queued", "running")
            message = _message(job, request) or f"the job is {job.state}"
            raise HTTPException(410 if is_over else 404, message)
        name = f"{job.model}-{id[:8]}{job.result.suffix}"
        return _Result(job.result, _MEDIA[job.result.suffix], name, partial(jobs.delivered, id))

    @router.get(
        "/{id}/preview", response_class=Response,
        responses={404: _GONE[404], 422: PROBLEMS[422], 200: _files("image/jpeg")},
    )  # fmt: skip
    def preview(id: str) -> Response:
        """Return a small image of the newest frame or image."""
        job = jobs.get(id)
        data = None
        with contextlib.suppress(OSError):  # removed meanwhile
            data = job.preview.read_bytes() if job.preview is not None else None
        if data is None:
            raise HTTPException(404, "the job has no preview now")
        return Response(data, media_type="image/jpeg")

    return router


def _files(*kinds: str) -> dict[str, Any]:
    return {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}}


def _message(job: Job, request: Request) -> str:
    is_spanish = choose_language(None, request.headers.get("accept-language")) == "es"
    return job.spanish if is_spanish else job.message


def _described(job: Job, request: Request) -> JobState:
    here = f"{ROOT}/jobs/{job.id}"
    return JobState(
        id=job.id, state=job.state, kind=job.kind, model=job.model, progress=job.progress, count=job.count,
        total=job.total, ahead=job.ahead, message=_message(job, request),
        preview=f"{here}/preview" if job.preview else None, result=f"{here}/result" if job.result else None,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def _form(request: Request, jobs: Jobs) -> AsyncIterator[tuple[JobFields, list[UploadFile]]]:
    """Read the form of a job; its files are gone at the end."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise HTTPException(415, "the body must be multipart/form-data, with a file in the field file")
    most = jobs.limits.images
    try:
        form = await request.form(max_files=most, max_fields=len(JobFields.model_fields), max_part_size=_FIELD_BYTES)
    except OSError as error:  # of the folder for temporary files
        raise disk_full() from error
    try:
        texts, files = dict[str, str](), list[UploadFile]()
        for name, value in form.multi_items():
            if (name == "file") != isinstance(value, UploadFile):
                raise CalcoError(f"{name[:60]} is {'text' if name == 'file' else 'a file'}; it must be the other")
            if isinstance(value, UploadFile):
                files.append(value)
            else:
                texts[name] = value
        if not files:
            raise CalcoError("file is missing; send a video, images or a ZIP in the field file")
        yield checked(partial(JobFields.model_validate, texts)), files
    finally:
        await form.close()


def _submit(jobs: Jobs, files: list[UploadFile], **how: Any) -> str:
    """Write the files of a form where jobs are, and accept the job."""
    with contextlib.ExitStack() as held:
        paths: dict[str, Path] = {}
        for number, file in enumerate(files, 1):
            name = (file.filename or "image").replace("\\", "/").rpartition("/")[2][:200]
            path = held.enter_context(jobs.incoming())
            try:
                with path.open("wb") as copy:
                    shutil.copyfileobj(file.file, copy, 1 << 20)
            except OSError as error:
                raise disk_full() from error
            paths[name if name not in paths else f"{number}-{name}"] = path
        upload = next(iter(paths.values())) if len(paths) == 1 else paths
        return jobs.submit(upload=upload, **how)


class _Result(FileResponse):
    """A file in whole or in parts, and a call when its end has been sent to a client that is still there."""

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
