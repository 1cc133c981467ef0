"""The studio's pages: home, jobs, models, runs, each rendered once per language and kept.

The pages of jobs are Gradio's, inside the frame of the others. Their text is the same for every browser, so it is kept
too, and hundreds of browsers get it at once.
"""

import contextlib
import gzip
import hashlib
import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from markupsafe import Markup
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from calco.report.numbers import Language, measure_name, number
from calco.report.page import render
from calco.web.api import ROOT
from calco.web.blocks import FOR_ANY_MODEL, STAGES, JobPage, build, language_of, serves
from calco.web.gallery import Gallery, ShownRun
from calco.web.gradio_app import PATH, Gradio
from calco.web.jobs import Jobs
from calco.web.jobs_api import MEDIA, Delivered
from calco.web.refusals import RefusedError, without_paths
from calco.web.served import ServedModel, description_of
from calco.web.service import Studio
from calco.web.texts import LANGUAGES, text, words

_MOST_KEPT: Final = 200  # pages in memory
_LIVE: Final = {"Cache-Control": "no-cache"}


def is_visit(request: HTTPConnection) -> bool:
    """Return whether a person follows a link or types an address: what pages and programs ask for is no HTML."""
    return "text/html" in request.headers.get("accept", "")


class Kept:
    """A page in memory, plain and compressed.

    Args:
        html: Its text.
    """

    def __init__(self, html: str) -> None:
        self._plain = html.encode()
        self._packed = gzip.compress(self._plain, 6, mtime=0)
        self._tag = f'"{hashlib.sha256(self._plain).hexdigest()[:16]}"'

    def answer(self, request: Request) -> Response:
        """Return the page, or 304 to a browser that has it."""
        headers = {"Cache-Control": "no-cache", "ETag": self._tag, "Vary": "Accept-Encoding, Accept-Language, Cookie"}
        if request.headers.get("if-none-match") == self._tag:
            return Response(status_code=304, headers=headers)
        data = self._plain
        if "gzip" in request.headers.get("accept-encoding", ""):
            data, headers["Content-Encoding"] = self._packed, "gzip"
        return Response(data, media_type="text/html; charset=utf-8", headers=headers)


class Pages:
    """All pages of a studio.

    Args:
        studio: Its models; each page is shown if one of them is for it.
        jobs: Does videos and many images; None leaves their pages out.
        crime: Show the way to the crime dashboard, which stands at /crime.
        runs: Folder of runs; "" for none.
        most_bytes: Largest upload of an image.
        most_job_bytes: Largest upload of a job.
        api: Address of the documentation of the REST API; "" for none.
        language: Language of browsers that ask for neither Spanish nor English.
    """

    def __init__(
        self, studio: Studio, jobs: Jobs | None = None, *, crime: bool = False, runs: str | Path = "",
        most_bytes: int = 32_000_000, most_job_bytes: int = 1_000_000_000, api: str = "", language: Language = "en",
    ) -> None:  # fmt: skip
        self._studio, self._jobs, self._api, self._default = studio, jobs, api, language
        self._gallery = Gallery(runs) if runs else None
        self._gradio: Gradio | None = None
        self._kept: dict[tuple[str, ...], Kept] = {}
        every = tuple(studio.models.values())
        self._jobs_shown = [
            JobPage(job=job, models=models)
            for job in STAGES
            if (models := tuple(each for each in every if serves(each, job)))
            and (jobs is not None or STAGES[job] != "files")
        ]
        look = [("runs", "/runs")] if self._gallery else []
        self._look = [*look, ("crime", "/crime")] if crime else look
        self._ways = [*((page.job, f"{PATH}/{page.job}") for page in self._jobs_shown), *self._look]
        self._texts = Markup(
            json.dumps(
                {
                    "words": {each: words(each) for each in LANGUAGES},
                    "limits": {"bytes": most_bytes, "job_bytes": most_job_bytes, "pixels": studio.most_pixels},
                    "example": example(),
                }
            ).replace("<", "\\u003c")
        )

    def mount(self, app: FastAPI) -> None:
        """Add the pages to an application, Gradio's last: it answers whatever lies below its path."""
        app.include_router(self.routes())
        if self._jobs_shown:
            gradio = self._gradio = Gradio(lambda: build(self._jobs_shown, self._studio, self._jobs, self._default))
            app.mount(PATH, self._below)
            before = app.router.lifespan_context

            @contextlib.asynccontextmanager
            async def lifespan(of: Any) -> AsyncIterator[Any]:
                async with before(of) as state, contextlib.aclosing(gradio):
                    yield state

            app.router.lifespan_context = lifespan

    async def _below(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Gradio answer what its pages ask for; what it says to a person who comes here is JSON in English."""
        assert self._gradio is not None
        request = Request(scope)
        await (self.missing(request) if is_visit(request) else self._gradio)(scope, receive, send)

    def missing(self, request: Request) -> Response:
        """Answer with the page that says that there is none."""
        return self._missing(self._language(request))

    def routes(self) -> APIRouter:
        """Return the routes of the pages that are not Gradio's, and of the frame around those that are."""
        router = APIRouter(include_in_schema=False)
        get = router.get
        get("/")(self.home)
        for path in (PATH, f"{PATH}/"):
            get(path)(lambda: RedirectResponse("/"))
        for page in self._jobs_shown:
            router.add_api_route(f"{PATH}/{page.job}", partial(self._job, page=page), methods=["GET"], name=page.job)
        get("/models/{name}")(self.model)
        get("/models/{name}/report")(self.report)
        if self._jobs is not None:
            get(f"{PATH}/jobs/{{job_id}}")(self.task)
            get(f"{PATH}/jobs/{{job_id}}/result")(self.result)
        if self._gallery is not None:
            get("/runs")(self.runs)
            get("/runs/live")(self.live)
            get("/runs/{address}")(self.run)
            get("/runs/{address}/live")(self.live)
            get("/runs/{address}/samples/{sheet}")(self.sample)
        return router

    # ---- Rendering ----

    def _language(self, request: Any) -> Language:
        return language_of(request, self._default)

    def _html(self, template: str, language: Language, here: str, **values: Any) -> str:
        return render(
            template, language=language, words=words(language), texts=self._texts, root="", here=here,
            pages=self._ways, api=self._api, **values,
        )  # fmt: skip

    def _keep(self, key: tuple[str, ...], make: Callable[[], str]) -> Kept:
        if key not in self._kept:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = Kept(make())
        return self._kept[key]

    def _missing(self, language: Language) -> Response:
        return HTMLResponse(
            self._html("studio_missing", language, "", title=f"{text('error_missing', language)} · Calco"), 404
        )

    # ---- Home and models ----

    async def home(self, request: Request) -> Response:
        """Answer with the home page: a card per job."""
        language = self._language(request)
        if self._gradio is not None:
            self._gradio.start()
        return self._keep(("home", language), lambda: self._home(language)).answer(request)

    def _home(self, language: Language) -> str:
        return self._html(
            "studio_home", language, "/", title=f"Calco · {text('home_page', language)}", title_key="home_page",
            jobs=[(page.job, f"{PATH}/{page.job}", [model.name for model in page.models])
                  for page in self._jobs_shown if page.job not in FOR_ANY_MODEL],
            more=[(page.job, f"{PATH}/{page.job}") for page in self._jobs_shown if page.job in FOR_ANY_MODEL],
            look=self._look, models=list(self._studio.models.values()),
        )  # fmt: skip

    def model(self, name: str, request: Request) -> Response:
        """Answer with the description of a model."""
        language, model = self._language(request), self._studio.models.get(name)
        if model is None:
            return self._missing(language)
        return self._keep(("model", name, language), lambda: self._model(model, language)).answer(request)

    def _model(self, model: ServedModel, language: Language) -> str:
        record = description_of(model)
        scores = record.get("scores", {})
        return self._html(
            "studio_model", language, "", title=f"{model.name} · Calco", title_key="", model=model,
            use=f"{PATH}/{model.job}", facts=_facts(model, record),
            scores=[(measure_name(name, language), float(f"{value:.4g}"))
                    for name, value in scores.items() if isinstance(value, int | float) and math.isfinite(value)],
            record=without_paths(json.dumps(_shortened(record), indent=2, ensure_ascii=False)),
        )  # fmt: skip

    def report(self, name: str, request: Request) -> Response:
        """Answer with the report of the run that made a model."""
        model = self._studio.models.get(name)
        if model is None or model.report is None or not model.report.is_file():
            return self._missing(self._language(request))
        return FileResponse(model.report, media_type="text/html; charset=utf-8", headers=_LIVE)

    # ---- Jobs ----

    async def _job(self, request: Request, page: JobPage) -> Response:
        language = self._language(request)
        key = ("job", page.job, language, request.url.scheme, request.url.netloc)
        if key not in self._kept:
            assert self._gradio is not None
            head, body = await self._gradio.page(page.job, f"{request.url.scheme}://{request.url.netloc}")
            self._keep(key, lambda: self._framed(page, language, head, body))
        return self._kept[key].answer(request)

    def _framed(self, page: JobPage, language: Language, head: str, body: str) -> str:
        return self._html(
            "studio_job", language, f"{PATH}/{page.job}", title=f"{text(f'{page.job}_title', language)} · Calco",
            title_key=f"{page.job}_title", job=page.job, gradio_head=Markup(head), gradio_body=Markup(body),
            models=page.models,
        )  # fmt: skip

    def task(self, job_id: str, request: Request) -> Response:
        """Answer with the part of a page that shows a job.

        A job that is gone has one too, and no 404: it is asked for again and again, and may go at any time.
        """
        language = self._language(request)
        try:
            assert self._jobs is not None
            job = self._jobs.get(job_id)
        except RefusedError:
            return HTMLResponse(self._task(language, state="failed", key="error_job"), headers=_LIVE)
        said = {"english": without_paths(job.message), "spanish": without_paths(job.spanish)}
        if job.state == "done":
            said = {name: each[:1].upper() + each[1:] for name, each in said.items()}
            if job.result is None:  # delivered and deleted, or in the way of others
                return HTMLResponse(self._task(language, state="gone", key="refused", values=said), headers=_LIVE)
        again = self._jobs.shown(job_id) if job.state == "done" else 1.0 if job.state in ("queued", "running") else 0.0
        values: dict[str, Any] = {"key": "failed", "values": said} if job.state == "failed" else {"values": said}
        base = f"{ROOT}/jobs/{job.id}"
        html = self._task(
            language, state=job.state, again=again, percent=round(100 * job.progress),
            preview=f"{base}/preview?{job.count}" if job.preview else "",
            result=f"{PATH}/jobs/{job.id}/result" if job.result else "", itself=base,
            video=job.result is not None and job.result.suffix == ".mp4",
            boxes=f"{base}/boxes" if job.boxes else "", **values,
        )  # fmt: skip
        return HTMLResponse(html, headers=_LIVE)

    def _task(self, language: Language, **values: Any) -> str:
        nothing = {
            "again": 0,
            "percent": 0,
            "preview": "",
            "result": "",
            "itself": "",
            "video": False,
            "boxes": "",
            "values": {},
        }
        return render("studio_task", language=language, words=words(language), **{**nothing, "key": "", **values})

    def result(self, job_id: str, request: Request) -> Response:
        """Answer with the result of a job; a download of the whole lets it be deleted soon, watching it does not."""
        assert self._jobs is not None
        try:
            job = self._jobs.get(job_id)
        except RefusedError:
            return self._missing(self._language(request))
        if job.result is None:
            return self._missing(self._language(request))
        if "download" not in request.query_params:
            return FileResponse(job.result)
        name = f"calco-{job.model}{job.result.suffix}"
        return Delivered(job.result, MEDIA[job.result.suffix], name, partial(self._jobs.delivered, job_id))

    # ---- Runs ----

    def runs(self, request: Request) -> Response:
        """Answer with the gallery of runs."""
        assert self._gallery is not None
        language = self._language(request)
        title = text("runs_title", language)
        return HTMLResponse(
            self._html("studio_runs", language, "/runs", title=f"{title} · Calco", title_key="runs_title",
                       runs=self._gallery.runs()), headers=_LIVE,
        )  # fmt: skip

    def run(self, address: str, request: Request) -> Response:
        """Answer with the page of a run."""
        assert self._gallery is not None
        language, run = self._language(request), self._gallery.find(address)
        if run is None:
            return self._missing(language)
        return HTMLResponse(
            self._html("studio_run", language, "/runs", title=f"{run.name} · Calco", title_key="", run=run,
                       curves=self._gallery.curves(run, language)), headers=_LIVE,
        )  # fmt: skip

    def live(self, request: Request, address: str = "") -> Response:
        """Answer with the part of a page that changes while runs train: one run, or all; 204 for a run that is gone."""
        assert self._gallery is not None
        language = self._language(request)
        run: ShownRun | None = self._gallery.find(address) if address else None
        if address and run is None:
            return Response(status_code=204)
        html = render(
            "studio_live", language=language, words=words(language), root="", run=run, runs=self._gallery.runs(),
            curves=self._gallery.curves(run, language) if run else [],
        )  # fmt: skip
        return HTMLResponse(html, headers=_LIVE)

    def sample(self, address: str, sheet: str, request: Request) -> Response:
        """Answer with a sheet of samples, which must be among those that were found."""
        assert self._gallery is not None
        run = self._gallery.find(address)
        if run is None or sheet not in run.samples or not (run.path / "samples" / sheet).is_file():
            return self._missing(self._language(request))
        return FileResponse(run.path / "samples" / sheet, media_type="image/png", headers=_LIVE)


def _facts(model: ServedModel, record: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return what is essential of a model: (key of a text, value), numbers as numbers."""
    provenance, splits = record.get("provenance") or {}, (record.get("provenance") or {}).get("splits") or {}
    recipe = record.get("recipe") or {}
    found = {
        "fact_recipe": recipe.get("recipe") if isinstance(recipe, dict) else recipe,
        "fact_architecture": (record.get("generator") or {}).get("architecture") or record.get("architecture"),
        "fact_images": splits.get("train"),
        "fact_size": (record.get("jitter") or {}).get("size") or record.get("size"),
        "fact_classes": len(model.classes) or None,
        "fact_licence": record.get("licence") or provenance.get("licence"),
        "fact_attribution": record.get("attribution") or provenance.get("attribution"),
        "fact_version": provenance.get("calco"),
    }
    return [(key, value if isinstance(value, int) else str(value)) for key, value in found.items() if value]


def _shortened(record: Any) -> Any:
    """Return a record with long lists cut: digests of thousands of training images tell a reader nothing."""
    if isinstance(record, dict):
        return {key: _shortened(value) for key, value in record.items()}
    if isinstance(record, list):
        cut = [_shortened(value) for value in record[:12]]
        return cut if len(record) <= 12 else [*cut, f"… {number(len(record))} in all"]
    return record


def example() -> list[list[Any]]:
    """Return the strokes of the example: a width in pixels of 512, then points in hundredths of the canvas."""

    def arc(
        x: float, y: float, across: float, down: float, start: float = 0.0, end: float = 360.0
    ) -> list[list[float]]:
        steps = max(8, round(abs(end - start) / 9))
        angles = [math.radians(start + (end - start) * step / steps) for step in range(steps + 1)]
        return [[round(x + across * math.cos(a), 1), round(y + down * math.sin(a), 1)] for a in angles]

    return [
        [7, *arc(50, 50, 38, 38)],
        [7, *arc(36, 42, 4, 6)],
        [7, *arc(64, 42, 4, 6)],
        [7, *arc(50, 54, 22, 20, 15, 165)],
    ]
