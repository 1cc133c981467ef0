"""What the notebooks of the lessons share: two languages, images, figures, solutions, quizzes, boxes to drag.

A notebook shows one language at a time. `language = kit.language()` is the switch, and `t = kit.Texts(language)` picks
from then on; cells that compute do not use `t`, so the switch repeats no computation. Controls with a label come from
`t` too: they are made anew in the other language, and keep what they are set to.
"""

import base64
import importlib
import inspect
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Final

import anywidget
import marimo as mo
import numpy as np
import numpy.typing as npt
import traitlets
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image as Pillow

from calco import imaging
from calco.lessons.outline import LANGUAGE, LESSONS, Language, lesson_of

_NEAREST_BELOW: Final = 128  # pixels of a side below which an image is enlarged as squares, as a map of features is
_DPI: Final = 110
_LETTERS: Final = "ABCDEFGHIJ"
_LEAST_WIDTH: Final = 180  # pixels of a caption under an image that is narrower
# Code, formulas, addresses, licences (4.0) and lessons (2.14) stay; the rest are numbers, but not 1.000, a thousand.
_NUMBER: Final = re.compile(
    r"(?P<kept>```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\))"
    r"|(?<![\w.,/])(?<![A-Za-z]-)(?P<lesson>1\.1|2\.(?:1?\d|20)|3\.(?:\d|10)|4\.1|5\.[1-5])(?!\w|\.\d)"
    r"|(?<![\w.,/])(?<![A-Za-z]-)(?P<number>0\.\d+|[1-9](?:\d\d?\.|\.(?!0\b))(?:\d\d?|\d{4,}))(?!\w|\.\d)",
    re.DOTALL,
)
_PERCENT: Final = re.compile(
    r"(?P<kept>```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|<[^>]*>)|(?<=\d) ?%", re.DOTALL
)
_CELL: Final = re.compile(r"([±+\-−]?\d+)\.(\d+)(?=\s?(?:%|[a-z]{1,3})?$)")


class LanguageSwitch(mo.ui.radio):
    """Switch between Spanish and English; CALCO_LESSONS_LANGUAGE says which one comes first."""

    def __init__(self) -> None:
        names: dict[str, Language] = {"Español": "es", "English": "en"}
        first = "English" if os.environ.get(LANGUAGE) == "en" else "Español"
        super().__init__(options=names, value=first, inline=True)
        self.settings: dict[str, Any] = {}
        """What the controls of the lesson are set to, under their English labels."""


def language() -> LanguageSwitch:
    """Return the switch between the languages of a lesson."""
    return LanguageSwitch()


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An answer that a question offers, and why it is right or wrong; Markdown."""

    es: str
    en: str
    why_es: str
    why_en: str
    right: bool = False


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question of a quiz, with one right answer; Markdown."""

    es: str
    en: str
    choices: tuple[Choice, ...]

    def __post_init__(self) -> None:
        assert sum(each.right for each in self.choices) == 1, f"one answer must be right: {self.en}"


class Texts:
    """The texts of a lesson in one language.

    Args:
        switch: The switch of the lesson.
    """

    def __init__(self, switch: LanguageSwitch) -> None:
        self.language: Language = "en" if switch.value == "en" else "es"
        self._settings = switch.settings

    def __call__(self, *, es: str, en: str) -> mo.Html:
        """Return a text: Markdown with formulas in LaTeX; numbers in Spanish have a decimal comma."""
        return mo.md(self._written(es, en))

    def pick(self, es: str, en: str) -> str:
        """Return the one of two labels."""
        return es if self.language == "es" else en

    def _written(self, es: str, en: str) -> str:
        """Return the one of two texts, numbers as its language writes them."""
        return _with_commas(es) if self.language == "es" else en

    def slider(
        self, start: float | None = None, stop: float | None = None, *, value: float, es: str, en: str, **options: Any
    ) -> mo.ui.slider:
        """Return a slider with its value beside it; `options` are those of `mo.ui.slider`: `step`, or `steps`."""
        return mo.ui.slider(start, stop, **options, show_value=True, **self._kept(value, es, en))

    def switch(self, *, value: bool = False, es: str, en: str) -> mo.ui.switch:
        """Return a switch that is on or off."""
        return mo.ui.switch(**self._kept(value, es, en))

    def checkbox(self, *, value: bool = False, es: str, en: str) -> mo.ui.checkbox:
        """Return a box to tick."""
        return mo.ui.checkbox(**self._kept(value, es, en))

    def radio(self, choices: Mapping[str, tuple[str, str]], *, value: str, es: str, en: str) -> mo.ui.radio:
        """Return choices side by side, given as value => its name in Spanish and in English."""
        return mo.ui.radio({self.pick(*names): each for each, names in choices.items()}, inline=True,
                           **self._chosen(choices, value, es, en))  # fmt: skip

    def dropdown(self, choices: Mapping[str, tuple[str, str]], *, value: str, es: str, en: str) -> mo.ui.dropdown:
        """Return choices to open, given as value => its name in Spanish and in English."""
        return mo.ui.dropdown(
            {self.pick(*names): each for each, names in choices.items()}, **self._chosen(choices, value, es, en)
        )

    def _kept(self, value: Any, es: str, en: str) -> dict[str, Any]:
        """Return value, label and callback of a control: it begins where it stood before the language changed."""
        return {
            "value": self._settings.get(en, value), "label": self.pick(es, en),
            "on_change": lambda chosen: self._settings.__setitem__(en, chosen),
        }  # fmt: skip

    def _chosen(self, choices: Mapping[str, tuple[str, str]], value: str, es: str, en: str) -> dict[str, Any]:
        """Return the same for choices, whose value is the name that is shown."""
        kept = self._kept(value, es, en)
        return kept | {"value": self.pick(*choices[kept["value"]])}

    def head(self, number: str, *, es: str, en: str) -> mo.Html:
        """Return the title of a lesson, what it is about, and the lessons before and after it."""
        lesson = lesson_of(number)
        at = LESSONS.index(lesson)
        beside = [
            f"{arrow} {LESSONS[i].number} {LESSONS[i].title(self.language)}"
            for arrow, i in (("←", at - 1), ("→", at + 1))
            if 0 <= i < len(LESSONS)
        ]
        title = f"# {number} {lesson.title(self.language)}"
        return mo.md(f"{title}\n\n{inspect.cleandoc(self.pick(es, en))}\n\n<small>{' · '.join(beside)}</small>")

    def solution(self, *, es: str, en: str) -> mo.Html:
        """Return the solution of an exercise, hidden until it is opened."""
        return mo.accordion({self.pick("Solución", "Solution"): self(es=es, en=en)})

    def source(self, *names: str) -> mo.Html:
        """Return the source of functions or classes of the library, such as "calco.detection.boxes:giou"."""
        parts = []
        for name in names:
            module, _, path = name.partition(":")
            value = reduce(getattr, path.split("."), importlib.import_module(module))
            parts.append(f"```python\n{inspect.getsource(value).rstrip()}\n```")
        note = self.pick("De la biblioteca", "From the library")
        # A name may break where a phone is narrower.
        shown = [f'<code style="overflow-wrap: anywhere">{each.replace(":", ".")}</code>' for each in names]
        return mo.md("\n\n".join([f"{note}: {', '.join(shown)}", *parts]))

    def image(self, what: "npt.NDArray[Any] | Figure", *, es: str, en: str, width: int | None = None) -> mo.Html:
        """Return an image (HWC or HW, `uint8` or `float32` in [0, 1]) or a figure of matplotlib with its caption.

        Small images are enlarged as squares. The caption is also what a screen reader reads. `width` is in pixels.
        """
        text = self._written(es, en)
        file = _png(what, width)
        shown = width or Pillow.open(io.BytesIO(file)).width
        # A caption is as wide as its image, so that it stands below it, and images side by side stay so.
        figure = mo.image(file, alt=text, caption=text, width=width)
        return figure.style(width="100%", max_width=f"{max(shown, _LEAST_WIDTH)}px")

    def images(self, *each: "tuple[npt.NDArray[Any] | Figure, str, str]", width: int = 200) -> mo.Html:
        """Return images side by side, each given with its caption in Spanish and in English."""
        return mo.hstack(
            [self.image(what, es=es, en=en, width=width) for what, es, en in each], wrap=True, justify="start", gap=1
        )

    def table(self, rows: Sequence[Mapping[str, Any]]) -> mo.Html:
        """Return rows as a table; the keys of the first one are its head."""
        head = list(rows[0])
        lines = [
            [self._written(name, name) for name in head],
            ["---"] * len(head),
            *([self._cell(row[name]) for name in head] for row in rows),
        ]
        return mo.md("\n".join("| " + " | ".join(line) + " |" for line in lines))

    def _cell(self, value: Any) -> str:
        text = f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "\\|")
        if self.language == "es" and re.fullmatch(r"\d{1,3}(,\d{3})+", text):
            return text.replace(",", "\N{NO-BREAK SPACE}")
        if self.language == "es" and _CELL.match(text):
            text = _CELL.sub(r"\1,\2", text)
        return self._written(text, text)

    def quiz(self, questions: Sequence[Question]) -> mo.ui.array:
        """Return a choice for each question; its value is the list of the numbers that were chosen, or None."""
        kept = self._kept([None] * len(questions), "", "quiz")
        radios = []
        for number, (question, chosen) in enumerate(zip(questions, kept.pop("value"), strict=True), 1):
            names = [self.pick(choice.es, choice.en) for choice in question.choices]
            radios.append(
                mo.ui.radio(
                    options={name: i for i, name in enumerate(names)},
                    value=None if chosen is None else names[chosen],
                    label=f"**{number}.** {self.pick(question.es, question.en)}",
                )
            )
        return mo.ui.array(radios, on_change=kept["on_change"])

    def marks(self, questions: Sequence[Question], answers: Sequence[int | None]) -> mo.Html:
        """Return which answers are right, and of each answered question why each choice is right or wrong."""
        right = sum(
            chosen is not None and question.choices[chosen].right
            for question, chosen in zip(questions, answers, strict=True)
        )
        answered = sum(chosen is not None for chosen in answers)
        done = self.pick(
            f"**{right} de {len(questions)}** respuestas correctas; contestadas: {answered}.",
            f"**{right} of {len(questions)}** answers are right; given: {answered}.",
        )
        parts = [mo.md(done)]
        for number, (question, chosen) in enumerate(zip(questions, answers, strict=True), 1):
            if chosen is None:
                continue
            lines = [
                f"- {'✓' if choice.right else '✗'} {'**' if i == chosen else ''}{self.pick(choice.es, choice.en)}"
                f"{'**' if i == chosen else ''}: {self.pick(choice.why_es, choice.why_en)}"
                for i, choice in enumerate(question.choices)
            ]
            text = f"**{number}.** {self.pick(question.es, question.en)}\n\n" + "\n".join(lines)
            parts.append(mo.callout(mo.md(text), kind="success" if question.choices[chosen].right else "warn"))
        return mo.vstack(parts)


def plot(width: float = 6.0, height: float = 3.2, *, columns: int = 1) -> tuple[Figure, Any]:
    """Return a figure of matplotlib (size in inches) and its axes: one, or a list where there are more columns."""
    figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", squeeze=False)
    plt.close(figure)  # it is shown by what returns it, not by pyplot
    all_axes: list[Axes] = list(axes[0])
    for each in all_axes:
        each.grid(alpha=0.25)
        each.spines[["top", "right"]].set_visible(False)
    return figure, all_axes[0] if columns == 1 else all_axes


def _with_commas(text: str) -> str:
    """Return a Spanish text with its numbers: "0,25", "1 234 567" and "30 %" of "0.25", "1,234,567" and "30%"."""
    text = re.sub(r"\d{1,3}(?:,\d{3}){2,}(?!\d)", lambda found: found[0].replace(",", "\N{NO-BREAK SPACE}"), text)
    text = _NUMBER.sub(lambda found: (found["number"] or "").replace(".", ",") or found[0], text)
    text = _PERCENT.sub(lambda found: found["kept"] or "\N{NO-BREAK SPACE}%", text)
    return re.sub(r"(\d,\d+), (?=[-−]?\d+,\d)", r"\1; ", text)  # "0,80, 0,91" would be four numbers


def _png(what: "npt.NDArray[Any] | Figure", width: int | None) -> bytes:
    """Return an image or a figure as the bytes of a PNG."""
    file = io.BytesIO()
    if isinstance(what, Figure):
        what.savefig(file, format="png", dpi=_DPI)
        return file.getvalue()
    image = imaging.as_dtype(imaging.visible(imaging.as_image(what)), np.uint8)
    opened = Pillow.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    if width and max(opened.size) < min(width, _NEAREST_BELOW):
        scale = -(-width // opened.width)
        opened = opened.resize((opened.width * scale, opened.height * scale), Pillow.Resampling.NEAREST)
    opened.save(file, "PNG")
    return file.getvalue()


class BoxesWidget(anywidget.AnyWidget):
    """Boxes that are dragged with the mouse or moved with the arrow keys; with Shift the keys change their size."""

    _esm = (Path(__file__).parent / "boxes.js").read_text(encoding="utf-8")

    boxes: traitlets.List[Any] = traitlets.List().tag(sync=True)
    labels: traitlets.List[Any] = traitlets.List().tag(sync=True)
    size_wh: traitlets.List[Any] = traitlets.List().tag(sync=True)
    image = traitlets.Unicode().tag(sync=True)


def boxes(
    xyxy: Sequence[Sequence[float]], *, size_wh: tuple[int, int] = (320, 200), labels: Sequence[str] = (),
    image: "npt.NDArray[Any] | None" = None,
) -> Any:  # fmt: skip
    """Return boxes to drag: `.value["boxes"]` is the list of left, top, right, bottom, in pixels.

    Args:
        xyxy: Boxes to begin with.
        size_wh: Width and height of the field in which they lie; an image brings its own.
        labels: Names of the boxes; letters by default.
        image: HWC image under the boxes.
    """
    address = ""
    if image is not None:
        size_wh = (image.shape[1], image.shape[0])
        address = f"data:image/png;base64,{base64.b64encode(_png(image, None)).decode()}"
    names = list(labels) or list(_LETTERS[: len(xyxy)])
    return mo.ui.anywidget(
        BoxesWidget(boxes=[list(each) for each in xyxy], labels=names, size_wh=list(size_wh), image=address)
    )
