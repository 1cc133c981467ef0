"""The pages of the jobs in Gradio: what its events do with `Studio` and `Jobs`, and its theme out of report.css.

What a person gives and what comes back are parts of the reports' style (`studio_stage`, `studio_result`); Gradio has
the controls, the events, and the uploads of files. Images go to the server inside the event and back inside the page:
neither is written to the disk.
"""

import base64
import binascii
import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from calco import imaging
from calco.errors import CalcoError
from calco.imaging import Image
from calco.inference.network import overlay_colours
from calco.records import from_record
from calco.report.numbers import Language
from calco.report.page import Mark, marks_over, render
from calco.web.jobs import JobOptions, Jobs
from calco.web.refusals import RefusedError, without_paths
from calco.web.served import ServedModel
from calco.web.service import Studio
from calco.web.texts import COOKIE, LANGUAGES, choose_language, words
from calco.web.uploads import read_image, write_image

if TYPE_CHECKING:
    import gradio as gr

Stage: TypeAlias = Literal["sketch", "repair", "photo", "camera", "files"]
STAGES: Final[dict[str, Stage]] = {
    "sketch": "sketch", "repair": "repair", "colour": "photo", "colour-repair": "repair", "segment": "photo",
    "translate": "photo", "detect": "photo", "video": "files", "camera": "camera", "many": "files",
}  # fmt: skip
"""Pages in the order of the home page => what a person gives there."""
FOR_ANY_MODEL: Final = ("video", "camera", "many")
"""Pages that stand apart on the home page: any model is for them, but that nobody brushes over a camera."""
_SHOWN_SIDE: Final = 1600  # pixels of the longer side of an input that stands beside its result
_MOST_VARIANTS = 6
_LEAST_SCORE: Final = 0.05  # of the boxes that a page gets; its slider hides some of them
_OFFERED: Final[dict[str, tuple[str, ...]]] = {
    "video": ("threshold", "noise_seed", "overlay", "steady", "mask"),
    "many": ("threshold", "noise_seed", "overlay", "mask"), "camera": ("threshold", "opacity"),
}  # fmt: skip
"""Pages => what can be chosen there for models that it serves: the fields of `JobOptions`, a mask, and how strong
painted classes are shown. Other pages have variants of models that use noise."""
_ACCEPTED: Final = {"video": "video/*,.mkv,.gif,.webp", "many": "image/*,.tif,.tiff,.heic,.zip"}


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """A page and the models that are offered on it."""

    job: str
    models: tuple[ServedModel, ...]


def serves(model: ServedModel, job: str) -> bool:
    """Return whether a model is offered on the page of a job."""
    return not (job == "camera" and model.takes_mask) if job in FOR_ANY_MODEL else model.job == job


def language_of(request: Any, default: Language) -> Language:
    """Return the language in which a browser gets its answer; takes requests of Starlette and of Gradio."""
    return choose_language(request.cookies.get(COOKIE), request.headers.get("accept-language"), default)


def fragment(template: str, language: Language, **values: Any) -> str:
    """Return a part of a page in a language."""
    return render(template, language=language, words=words(language), **values)


def build(pages: Sequence[JobPage], studio: Studio, jobs: Jobs | None, default: Language) -> "gr.Blocks":
    """Return all pages of jobs as one application of Gradio.

    Args:
        pages: The pages, each under its job's name.
        studio: Does images.
        jobs: Does videos and many images; None where no page needs it.
        default: Language of browsers that ask for neither.
    """
    import gradio as gr

    # What was uploaded for jobs is deleted within an hour; images are not uploaded.
    blocks: gr.Blocks = gr.Blocks(analytics_enabled=False, title="Calco", delete_cache=(600, 3600))
    with blocks:
        pass
    for page in pages:
        with blocks.route(page.job, f"/{page.job}", show_in_navbar=False):
            if STAGES[page.job] == "files":
                assert jobs is not None
                _job_page(page, studio, jobs, default)
            else:
                _image_page(page, studio, default)
    return blocks


_QUIETLY: Final[dict[str, Any]] = {
    "queue": False, "show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None,
}  # fmt: skip
"""Of all events: the queue, its limit and its signs of progress are the studio's own."""


_PLAIN: Final[dict[str, Any]] = {"apply_default_css": False, "js_on_load": None}
"""Of all parts in the reports' style: Gradio's own style for text, and its clicks, stay out."""


def labels() -> "gr.I18n":
    """Return the words of all pages, as Gradio takes them."""
    import gradio as gr

    return gr.I18n(**{language: words(language) for language in LANGUAGES})


def _image_page(page: JobPage, studio: Studio, default: Language) -> None:
    """Lay out a page for single images, and connect its events."""
    import gradio as gr

    job, stage, label = page.job, STAGES[page.job], labels()
    named: dict[Any, dict[str, str]] = {}
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            model = _model_choice(page, label, named)
            gr.HTML(fragment("studio_stage", "en", kind=stage, job=job, **_choices(page)), **_PLAIN)
        with gr.Column(min_width=300):
            count: Any = 1
            if any(each.uses_noise for each in page.models) and job not in FOR_ANY_MODEL:
                count = gr.Slider(1, _MOST_VARIANTS, 4 if job == "sketch" else 1, step=1, label=label("variants"),
                                  info=label("variants_info"), elem_classes=["controls", "of-variants"])  # fmt: skip
                named[count] = {"label": "variants", "info": "variants_info"}
            if job == "detect":
                first = max(_LEAST_SCORE, page.models[0].threshold)
                least = gr.Slider(_LEAST_SCORE, 1, first, step=0.01, label=label("threshold"),
                                  info=label("threshold_info"), elem_classes="controls")  # fmt: skip
                named[least] = {"label": "threshold", "info": "threshold_info"}
                least.change(None, [least], js="(least) => { calco.threshold(least); }")
            empty = "empty_sketch" if job == "sketch" else "empty"
            result = gr.HTML(fragment("studio_result", "en", kind="empty", key=empty), **_PLAIN)
    run, given = gr.Button("run", elem_classes=["go", "go-run"]), gr.Textbox(visible=False)
    number = count if isinstance(count, gr.Slider) else gr.Number(1, visible=False)

    def answer(given: str, model: str, count: float | None, request: gr.Request) -> str:
        language = language_of(request, default)
        client = request.client.host if request.client else ""
        work = Work(studio, studio.models.get(model), client=client, is_camera=job == "camera")
        return _explained(language, lambda: work.result(given, round(count or 1), language))

    event = run.click(
        answer, [given, model, number], [result], trigger_mode="always_last", **_QUIETLY,
        js="async (given, model, count) => [await calco.given(), model, count]",
    )  # fmt: skip
    event.success(None, js="() => { calco.answered(true); }")
    event.failure(None, js="() => { calco.answered(false); }")
    model.change(None, [model], js="(model) => { calco.model(model); calco.again(); }")
    if isinstance(count, gr.Slider):
        count.release(None, js="() => { calco.again(); }")
    _language_switch(named)


def _choices(page: JobPage) -> dict[str, Any]:
    """Return what the stage of a page offers for each of its models: options of a job, a mask, classes to lay over."""
    here = _OFFERED.get(page.job, ("variants",))
    offered: dict[str, dict[str, Any]] = {}
    for model in page.models:
        having = {*model.options, *(["mask"] if model.takes_mask else [])}
        having |= {also for name, also in (("overlay", "opacity"), ("noise_seed", "variants")) if name in having}
        offered[model.name] = {"options": [name for name in here if name in having],
                               "threshold": max(_LEAST_SCORE, model.threshold)}  # fmt: skip
    options = [name for name in here if any(name in each["options"] for each in offered.values())]
    return {"offered": offered, "options": options}


def _job_page(page: JobPage, studio: Studio, jobs: Jobs, default: Language) -> None:
    """Lay out a page for videos or many images, and connect its event."""
    import gradio as gr

    job, label = page.job, labels()
    named: dict[Any, dict[str, str]] = {}
    with gr.Column():
        model = _model_choice(page, label, named)
        choose = "choose_video" if job == "video" else "choose_images"
        gr.HTML(
            fragment("studio_stage", "en", kind="files", job=job, accept=_ACCEPTED[job], choose=choose,
                     multiple=job == "many", **_choices(page)), **_PLAIN,
        )  # fmt: skip
    run = gr.Button("run", elem_classes=["go", "go-run"])
    files, told = gr.File(file_count="multiple", visible=False), gr.Textbox(elem_classes="go")
    mask, options = gr.File(visible=False), gr.Textbox(visible=False)

    def submit(files: list[str] | None, mask: str | None, options: str, model: str, request: gr.Request) -> str:
        paths = [Path(file) for file in files or ()]
        if not paths:
            return json.dumps({"error": "error_no_file"})
        upload: Any = paths[0] if len(paths) == 1 else _by_name(paths)
        drawn = Path(mask) if mask else None
        try:
            served = studio.models.get(model)
            if served is None:
                raise RefusedError("page_model")
            client = request.client.host if request.client else ""
            chosen = from_record(JobOptions, json.loads(options or "{}"), "the options of the page")
            return json.dumps({"id": jobs.submit(
                model=served, upload=upload, options=chosen, client=client, mask=drawn,
                language=language_of(request, default),
            )})  # fmt: skip
        except CalcoError as error:
            return json.dumps({"error": "refused", "values": said_of(error)})
        finally:
            for path in (*paths, *([drawn] if drawn else [])):
                with contextlib.suppress(OSError):
                    path.unlink()

    event = run.click(
        submit, [files, mask, options, model], [told], **_QUIETLY,
        js="(files, mask, options, model) => [calco.uploaded, calco.mask, calco.options(), model]",
    )  # fmt: skip
    event.success(None, [told], js="(told) => { calco.submitted(told); }")
    event.failure(None, js="() => { calco.submitted(null); }")
    model.change(None, [model], js="(model) => { calco.model(model); }")
    _language_switch(named)


def _model_choice(page: JobPage, label: "gr.I18n", named: dict[Any, dict[str, str]]) -> "gr.Dropdown":
    """Return the choice of a model, which is hidden while there is only one."""
    import gradio as gr

    names = [model.name for model in page.models]
    choice = gr.Dropdown(names, value=names[0], label=label("model"), filterable=False, visible=len(names) > 1,
                         elem_classes="controls")  # fmt: skip
    if len(names) > 1:
        named[choice] = {"label": "model"}
    return choice


def _language_switch(named: dict[Any, dict[str, str]]) -> None:
    """Add what changes the labels of Gradio's parts in place when the language is switched."""
    import gradio as gr

    if named:
        switch = gr.Button("language", elem_classes=["go", "go-language"])
        keys = json.dumps(list(named.values()))
        switch.click(None, None, list(named), js=f"() => calco.labels({keys})")


def _by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """Return files by their names, each of which is there once."""
    named: dict[str, Path] = {}
    for path in paths:
        name, number = path.name, 1
        while name in named:
            number += 1
            name = f"{path.stem}-{number}{path.suffix}"
        named[name] = path
    return named


def said_of(error: CalcoError) -> dict[str, str]:
    """Return the sentence of an error for the people of a page, in both languages if it has both, without paths."""
    english = without_paths(str(error))
    spanish = error.spanish if isinstance(error, RefusedError) else english
    return {"english": english[:1].upper() + english[1:], "spanish": spanish[:1].upper() + spanish[1:]}


def _explained(language: Language, work: Callable[[], str]) -> str:
    """Return the result of some work, or the line that says why there is none."""
    try:
        return work()
    except RefusedError as error:
        return _error(language, "refused", **said_of(error))
    except CalcoError as error:
        return _error(language, "error_image", **said_of(error))


def _error(language: Language, key: str, **values: str) -> str:
    return fragment("studio_result", language, kind="error", key=key, values=values)


class Work:
    """One image of a page: decoded, given to the studio, and laid out.

    Args:
        studio: Does the work.
        model: The model; None if a page names one that is not served.
        client: Address of the browser.
        is_camera: Take the fastest way to show an image: nobody downloads it.
    """

    def __init__(self, studio: Studio, model: ServedModel | None, *, client: str, is_camera: bool = False) -> None:
        if model is None:
            raise RefusedError("page_model")
        self._studio, self._model, self._client, self._is_camera = studio, model, client, is_camera

    def result(self, given: str, count: int, language: Language) -> str:
        """Return the part of the page that shows a result.

        Args:
            given: JSON of `calco.given` in studio.js: the image, perhaps a mask and the first seed.
            count: Variants of a model that uses noise.
            language: Of the page.
        """
        start = time.perf_counter()
        record = json.loads(given)
        image = self._decoded(record["image"])
        if self._model.kind == "detector":
            values = self._detected(image)
        elif self._model.job == "segment":
            values = self._segmented(image)
        else:
            mask = self._decoded(record["mask"])[..., 0] > 127 if record.get("mask") else None
            values = self._translated(image, mask, count, int(record.get("seed") or 0))
        height, width = image.shape[:2]
        seconds = round(time.perf_counter() - start, 2)
        return fragment("studio_result", language, model=self._model.name, is_camera=self._is_camera, seconds=seconds,
                        width=width, height=height, **values)  # fmt: skip

    def _decoded(self, uri: str) -> Image:
        """Decode a data URI of a browser."""
        try:
            data = base64.b64decode(uri.partition(",")[2], validate=True)
        except (binascii.Error, ValueError) as error:
            raise RefusedError("damaged") from error
        return read_image(data, most_pixels=self._studio.most_pixels)

    def _translated(self, image: Image, mask: Any, count: int, first: int) -> dict[str, Any]:
        if mask is not None and mask.shape != image.shape[:2]:
            plane = mask[..., None].astype(np.uint8) * 255
            mask = imaging.resize(plane, (image.shape[1], image.shape[0]))[..., 0] > 127
        seeds: list[int | None] = [None]
        if self._model.uses_noise and count > 1 and not self._is_camera:
            seeds = [first + number for number in range(count)]
        translate = partial(self._studio.translate, self._model.name, image, mask=mask, client=self._client)
        outputs = [(self._uri(translate(seed=seed)), seed) for seed in seeds]
        if len(outputs) > 1:
            return {"kind": "variants", "outputs": outputs}
        if self._is_camera or self._model.job == "sketch":
            return {"kind": "single", "outputs": outputs}
        return {"kind": "compare", "outputs": outputs, "before": self._before(image)}

    def _segmented(self, image: Image) -> dict[str, Any]:
        mask = self._studio.translate(self._model.name, image, client=self._client)
        found = imaging.as_dtype(imaging.visible(mask), np.uint8)
        painted = np.zeros((*found.shape[:2], 4), np.uint8)  # nothing over the background
        shares = []
        for (name, stored), colour in zip(self._model.classes, overlay_colours(self._model.classes), strict=True):
            here = (found == np.array(stored, np.uint8)).all(axis=2)
            if colour is not None:
                painted[here] = (*colour, 255)
            if here.any():
                shares.append((float(here.mean()), name, colour or stored))
        shown = [(name, colour, round(100 * share, 1 if share < 0.1 else None))
                 for share, name, colour in sorted(shares, reverse=True)]  # fmt: skip
        outputs = [] if self._is_camera else [(_png(mask), None)]
        return {"kind": "segment", "outputs": outputs, "painted": _png(painted),
                "before": self._before(image), "shares": shown}  # fmt: skip

    def _detected(self, image: Image) -> dict[str, Any]:
        found = self._studio.detect(self._model.name, image, threshold=_LEAST_SCORE, client=self._client)
        scores = np.ones(len(found)) if found.scores is None else found.scores
        height, width = image.shape[:2]
        marks = [
            Mark(box, f"{name} {score:.2f}", "found", score=float(score))
            for box, name, score in zip(found.boxes, found.classes, scores, strict=True)
        ]
        return {"kind": "detect", "before": self._before(image), "marks": marks_over(marks, width, height),
                "total": len(marks)}  # fmt: skip

    def _before(self, image: Image) -> str:
        """Return an input as a data URI, no larger than it is shown."""
        height, width = image.shape[:2]
        scale = min(1.0, _SHOWN_SIDE / max(height, width))
        if scale < 1:
            image = imaging.resize(image, (max(1, round(width * scale)), max(1, round(height * scale))))
        return _jpeg(image)

    def _uri(self, image: Image) -> str:
        return _jpeg(image) if self._is_camera else _png(image)


def _png(image: Image) -> str:
    """Return an image as a data URI without loss; of floats and bands what a browser can show of them."""
    if image.dtype == np.float32 or image.shape[2] > 4:
        image = imaging.as_dtype(imaging.visible(image), np.uint8)
    data, kind = write_image(image, "png")
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _jpeg(image: Image) -> str:
    data, kind = write_image(imaging.as_dtype(imaging.visible(image), np.uint8), "jpeg")
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def theme() -> "gr.themes.Base":
    """Return Gradio's theme in the colours and fonts of report.css.

    The variables of report.css follow light and dark by themselves. No font is fetched: Gradio's own
    default would ask a server for it.
    """
    import gradio as gr

    sans, mono = ("var(--sans)",), ("ui-monospace", "Menlo", "Consolas", "monospace")
    base = gr.themes.Base(font=sans, font_mono=mono, radius_size=gr.themes.sizes.radius_lg)
    colours = {
        "body_background_fill": "--paper", "body_text_color": "--ink", "body_text_color_subdued": "--soft",
        "background_fill_primary": "--card", "background_fill_secondary": "--paper",
        "border_color_primary": "--faint", "border_color_accent": "--accent", "color_accent_soft": "--accent-wash",
        "block_background_fill": "--paper", "block_border_color": "--faint", "block_label_text_color": "--soft",
        "block_title_text_color": "--ink", "block_info_text_color": "--soft", "panel_background_fill": "--paper",
        "input_background_fill": "--card", "input_border_color": "--faint", "input_border_color_focus": "--accent",
        "input_placeholder_color": "--soft", "slider_color": "--accent", "link_text_color": "--accent",
        "button_primary_background_fill": "--accent", "button_primary_text_color": "--card",
        "error_text_color": "--bad", "error_border_color": "--bad", "error_background_fill": "--card",
        "loader_color": "--accent",
    }  # fmt: skip
    chosen = {name: f"var({variable})" for name, variable in colours.items()}
    chosen |= {
        "block_border_width": "0px",
        "block_padding": "0px",
        "block_shadow": "none",
        "color_accent": "var(--accent)",
    }
    known = set(vars(base))
    dark = {f"{name}_dark": value for name, value in chosen.items() if f"{name}_dark" in known}
    return base.set(**chosen, **dark)
