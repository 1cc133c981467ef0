"""What the notebooks of the lessons share: two languages, images, figures, solutions, quizzes, boxes to drag.

A notebook shows one language at a time. `language = kit.language()` is the switch, and `t = kit.Texts(language.value)`
picks from then on; cells that compute do not use `t`, so the switch repeats no computation.
"""

import base64
import importlib
import inspect
import io
import os
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


def language() -> mo.ui.radio:
    """Return the switch between Spanish and English; CALCO_LESSONS_LANGUAGE says which one comes first."""
    names: dict[str, Language] = {"Español": "es", "English": "en"}
    first = "English" if os.environ.get(LANGUAGE) == "en" else "Español"
    return mo.ui.radio(options=names, value=first, inline=True)


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
        language: "es" or "en".
    """

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, *, es: str, en: str) -> mo.Html:
        """Return a text: Markdown with formulas in LaTeX."""
        return mo.md(self.pick(es, en))

    def pick(self, es: str, en: str) -> str:
        """Return the one of two labels."""
        return es if self.language == "es" else en

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
        return mo.md("\n\n".join([f"{note}: " + ", ".join(f"`{each.replace(':', '.')}`" for each in names), *parts]))

    def image(self, what: "npt.NDArray[Any] | Figure", *, es: str, en: str, width: int | None = None) -> mo.Html:
        """Return an image (HWC or HW, `uint8` or `float32` in [0, 1]) or a figure of matplotlib with its caption.

        Small images are enlarged as squares. The caption is also what a screen reader reads. `width` is in pixels.
        """
        text = self.pick(es, en)
        return mo.image(_png(what, width), alt=text, caption=text, width=width)

    def images(self, *each: "tuple[npt.NDArray[Any] | Figure, str, str]", width: int = 200) -> mo.Html:
        """Return images side by side, each given with its caption in Spanish and in English."""
        return mo.hstack(
            [self.image(what, es=es, en=en, width=width) for what, es, en in each], wrap=True, justify="start", gap=1
        )

    def table(self, rows: Sequence[Mapping[str, Any]]) -> mo.Html:
        """Return rows as a table; the keys of the first one are its head."""
        head = list(rows[0])
        lines = [head, ["---"] * len(head), *([_cell(row[name]) for name in head] for row in rows)]
        return mo.md("\n".join("| " + " | ".join(line) + " |" for line in lines))

    def quiz(self, questions: Sequence[Question]) -> mo.ui.array:
        """Return a choice for each question; its value is the list of the numbers that were chosen, or None."""
        return mo.ui.array(
            [
                mo.ui.radio(
                    options={self.pick(choice.es, choice.en): i for i, choice in enumerate(question.choices)},
                    label=f"**{number}.** {self.pick(question.es, question.en)}",
                )
                for number, question in enumerate(questions, 1)
            ]
        )

    def marks(self, questions: Sequence[Question], answers: Sequence[int | None]) -> mo.Html:
        """Return which answers are right, and of each answered question why each choice is right or wrong."""
        right = sum(
            chosen is not None and question.choices[chosen].right
            for question, chosen in zip(questions, answers, strict=True)
        )
        answered = sum(chosen is not None for chosen in answers)
        done = self.pick(
            f"**{right} de {len(questions)}** respuestas correctas; {answered} contestadas.",
            f"**{right} of {len(questions)}** answers are right; {answered} given.",
        )
        parts = [mo.md(done)]
        for number, (question, chosen) in enumerate(zip(questions, answers, strict=True), 1):
            if chosen is None:
                continue
            lines = [
                f"- {'✅' if choice.right else '❌'} {'**' if i == chosen else ''}{self.pick(choice.es, choice.en)}"
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


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "\\|")


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
