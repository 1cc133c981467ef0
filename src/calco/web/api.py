"""REST under /api/v1: what is served, images translated, objects detected, health and numbers."""

import asyncio
import base64
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, UploadFile
from starlette.requests import ClientDisconnect

from calco.detection.prediction import as_rows
from calco.imaging import Image
from calco.version import __version__
from calco.web.refusals import RefusedError, complaint, without_paths
from calco.web.served import ServedModel
from calco.web.service import Studio
from calco.web.texts import choose_language
from calco.web.uploads import Format, read_image, read_mask, write_image

ROOT: Final = "/api/v1"
_FIELD_BYTES: Final = 10_000  # of a field of a form that is not a file
T = TypeVar("T")
B = TypeVar("B", bound=BaseModel)

# Of whole groups of four, so that what fits it can be decoded.
Base64: Final = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$"


ONE_FILE: Final = {"type": "string", "format": "binary"}
"""JSON Schema of a file in a form."""


class Problem(BaseModel):
    """Why a request was refused: the value, the rule and the remedy, in one line."""

    detail: str


class Health(BaseModel):
    """State of the studio."""

    status: Literal["ok"]
    version: str
    models: dict[str, Literal["loading", "ready", "failed"]]


class Class(BaseModel):
    """A class of a mask or of a detector's boxes."""

    name: str
    colour: tuple[int, int, int]


class Model(BaseModel):
    """A model that is served."""

    name: str
    kind: Literal["translator", "detector"]
    job: Literal["sketch", "repair", "colour", "colour-repair", "segment", "translate", "detect"]
    uses_noise: bool
    classes: list[Class]
    state: Literal["loading", "ready", "failed"]


class _Ask(BaseModel):
    """Fields that every request for an image has."""

    model_config = ConfigDict(extra="forbid")
    model: Annotated[str, Field(min_length=1, max_length=100, description="Name of a model, as of /models.")]


class TranslateFields(_Ask):
    """Fields of a request for a translation, beside its images."""

    noise_seed: Annotated[
        int | None,
        Field(ge=0, le=(1 << 53) - 1, description="Seed of the noise, for variety; absent: deterministic."),
        # JSON Schema counts 7.0 as whole. It stands last: the constraints before it then spare null.
        BeforeValidator(lambda given: int(given) if isinstance(given, float) and given.is_integer() else given),
    ] = None
    format: Annotated[Format | None, Field(description="Format of the answer; absent: PNG, TIFF for floats.")] = None


class TranslateBody(TranslateFields):
    """A request for a translation as JSON."""

    image: Annotated[str, Field(pattern=Base64, description="The image's file in base 64.")]
    mask: Annotated[str | None, Field(pattern=Base64, description="The mask's file in base 64: white is redrawn.")] = (
        None
    )


class DetectFields(_Ask):
    """Fields of a request for detections, beside its image."""

    threshold: Annotated[float | None, Field(ge=0, le=1, description="Lowest score; absent: the model's own.")] = None


class DetectBody(DetectFields):
    """A request for detections as JSON."""

    image: Annotated[str, Field(pattern=Base64, description="The image's file in base 64.")]


class Translated(BaseModel):
    """A translated image as JSON."""

    image: Annotated[str, Field(description="The image's file in base 64.")]
    media_type: str
    width: int
    height: int


class Detection(BaseModel):
    """An object: its class, its score, and left, top, right and bottom of its box in pixels."""

    model_config = ConfigDict(populate_by_name=True)
    class_: Annotated[str, Field(alias="class")]
    score: float
    box: tuple[float, float, float, float]


class Detected(BaseModel):
    """The objects in an image, the highest score first."""

    width: int
    height: int
    detections: list[Detection]


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": Problem, "description": "The request cannot be parsed."},
    401: {"model": Problem, "description": "The token is missing or wrong."},
    403: {"model": Problem, "description": "The request names another host, or comes from a page of another site."},
    408: {"model": Problem, "description": "The upload came too slowly."},
    413: {"model": Problem, "description": "The upload or the image is too large."},
    415: {"model": Problem, "description": "The body is neither a form nor JSON, or the file is not an image."},
    422: {"model": Problem, "description": "A field or an image cannot be used."},
    404: {"model": Problem, "description": "There is no such model."},
    503: {
        "model": Problem,
        "description": "The queue is full, or there was no answer in time.",
        "headers": {"Retry-After": {"description": "Seconds after which to ask again.", "schema": {"type": "integer"}}},
    },
}


def problem(request: Request, error: Exception) -> Response:
    """Return the answer for an error that a request has caused."""
    if not isinstance(error, RefusedError):
        error = RefusedError("model", reason=without_paths(str(error)))
    return refusal(request.headers, error)


def refusal(asked: Headers, error: RefusedError, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer for a refusal in the language that the headers of the request prefer, and further headers."""
    is_spanish = choose_language(None, asked.get("accept-language")) == "es"
    again = {"Retry-After": str(error.seconds)} if error.seconds else {}
    return JSONResponse(
        {"detail": error.spanish if is_spanish else str(error)}, error.status, {**again, **(headers or {})}
    )


def api_routes(studio: Studio, metrics: Callable[[], str]) -> APIRouter:
    """Return the routes of the API.

    Args:
        studio: The models.
        metrics: Returns the numbers in the text format of Prometheus.
    """
    router = APIRouter(prefix=ROOT, responses={code: PROBLEMS[code] for code in (401, 403)})

    @router.get("/health")
    def health() -> Health:
        """Return the state of the studio and of each model."""
        return Health(status="ok", version=__version__, models=studio.states())  # type: ignore[arg-type]

    @router.get("/models")
    def models() -> list[Model]:
        """List the models that are served."""
        states = studio.states()
        return [_described(each, states[each.name]) for each in studio.models.values()]

    @router.get("/models/{name}", responses={404: PROBLEMS[404], 422: PROBLEMS[422]})
    def model(name: str) -> Model:
        """Describe a model."""
        return _described(studio.find(name), studio.states()[name])

    @router.get("/metrics", response_class=PlainTextResponse)
    def numbers() -> PlainTextResponse:
        """Return counts and times in the text format of Prometheus."""
        return PlainTextResponse(metrics(), media_type="text/plain; version=0.0.4")

    @router.post(
        "/translate",
        response_class=Response,
        responses=PROBLEMS | {200: {
            "description": "The image: as a file where a form was sent, within JSON where JSON was sent.",
            "content": {**{kind: {"schema": {"type": "string", "format": "binary"}}
                           for kind in ("image/png", "image/jpeg", "image/webp", "image/tiff")},
                        "application/json": {"schema": Translated.model_json_schema()}},
        }},
        openapi_extra=_two_bodies(TranslateFields, TranslateBody, ("image", "mask")),
    )  # fmt: skip
    async def translate(request: Request) -> Response:
        """Translate an image; a mask marks what a model that fills holes redraws."""
        with studio.place(client_of(request)):
            fields, files = await _read(request, TranslateFields, TranslateBody, ("image", "mask"))
            served = studio.find(fields.model, "translator")
            pixels = studio.most_pixels
            image = await run_in_threadpool(read_image, files["image"], most_pixels=pixels)
            mask = await run_in_threadpool(read_mask, files["mask"], most_pixels=pixels) if "mask" in files else None
            ask = studio.submit(served.name, "translator", image, mask=mask, seed=fields.noise_seed)
            output: Image = await _awaited(request, studio, ask)
            data, kind = await run_in_threadpool(write_image, output, fields.format)
        if _is_json(request):
            height, width = output.shape[:2]
            encoded = base64.b64encode(data).decode()
            return JSONResponse({"image": encoded, "media_type": kind, "width": width, "height": height})
        return Response(data, media_type=kind)

    @router.post(
        "/detect", response_model=Detected, responses=PROBLEMS,
        openapi_extra=_two_bodies(DetectFields, DetectBody, ("image",)),
    )  # fmt: skip
    async def detect(request: Request) -> Response:
        """Find objects in an image."""
        with studio.place(client_of(request)):
            fields, files = await _read(request, DetectFields, DetectBody, ("image",))
            served = studio.find(fields.model, "detector")
            image = await run_in_threadpool(read_image, files["image"], most_pixels=studio.most_pixels)
            ask = studio.submit(served.name, "detector", image, threshold=fields.threshold)
            found = await _awaited(request, studio, ask)
        return JSONResponse({"width": image.shape[1], "height": image.shape[0], "detections": as_rows(found)})

    return router


def _described(served: ServedModel, state: str) -> Model:
    classes = [Class(name=name, colour=colour) for name, colour in served.classes]
    return Model(
        name=served.name, kind=served.kind, job=served.job, uses_noise=served.uses_noise, classes=classes,
        state=state,  # type: ignore[arg-type]
    )  # fmt: skip


def _two_bodies(fields: type[BaseModel], body: type[BaseModel], files: tuple[str, ...]) -> dict[str, Any]:
    """Return the OpenAPI of a request that is a form with files, or JSON with these files in base 64."""
    form = form_of(fields, dict.fromkeys(files, ONE_FILE), needed="image")
    content = {"multipart/form-data": {"schema": form}, "application/json": {"schema": body.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def form_of(fields: type[BaseModel], files: dict[str, Any], *, needed: str) -> dict[str, Any]:
    """Return the JSON Schema of a form with fields, and files beside them of which one must be there."""
    form = fields.model_json_schema()
    # A field of a form is there or not; it cannot be null.
    own = {name: {**field, **field.pop("anyOf", [{}])[0]} for name, field in form["properties"].items()}
    return form | {"properties": own | files, "required": [*form["required"], needed]}


def client_of(request: Request) -> str:
    """Return the address of a client, of which only some requests and jobs are taken at a time."""
    return request.client.host if request.client else ""


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


async def _read(
    request: Request, fields: type[B], body: type[BaseModel], names: tuple[str, ...]
) -> tuple[B, dict[str, bytes]]:
    """Read the fields and the files of a request, sent as a form or as JSON."""
    if _is_json(request):
        given: Any = checked(partial(body.model_validate_json, await request.body(), strict=True))
        values = given.model_dump()
        files = {name: base64.b64decode(values.pop(name)) for name in names if values.get(name) is not None}
        return fields.model_validate({name: values[name] for name in fields.model_fields}), files
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise RefusedError("body", types="multipart/form-data, application/json")
    texts: dict[str, str] = {}
    parts: dict[str, bytes] = {}
    async with request.form(
        max_files=len(names), max_fields=len(fields.model_fields), max_part_size=_FIELD_BYTES
    ) as form:
        for name, value in form.multi_items():
            if name in names and isinstance(value, UploadFile):
                parts[name] = await value.read()
            elif name in names or isinstance(value, UploadFile):
                raise RefusedError("field_text" if name in names else "field_file", name=name[:60])
            else:
                texts[name] = value
    if "image" not in parts:
        raise RefusedError("field_missing", name="image")
    return checked(partial(fields.model_validate, texts)), parts


def checked(validate: Callable[[], T]) -> T:
    """Validate fields; what pydantic objects to becomes one line."""
    try:
        return validate()
    except ValidationError as error:
        raise complaint(error.errors()) from error


async def _awaited(request: Request, studio: Studio, ask: "Future[Any]") -> Any:
    """Wait for an image without holding a thread; give it up if its client leaves, or the time is over."""
    done = asyncio.wrap_future(ask)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({done, gone}, timeout=studio.seconds, return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            return done.result()
        if gone.done():
            raise ClientDisconnect
        raise studio.too_slow()
    finally:
        gone.cancel()
        done.cancel()


async def _gone(request: Request) -> None:
    """Return when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
