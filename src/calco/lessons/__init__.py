"""The course: lessons as notebooks that run from start to end, in Spanish and in English."""

from typing import TYPE_CHECKING

from calco.lazy import lazy_names

if TYPE_CHECKING:
    from calco.lessons.course import ExportLessonsConfig as ExportLessonsConfig
    from calco.lessons.course import OpenLessonConfig as OpenLessonConfig
    from calco.lessons.course import RunLessonsConfig as RunLessonsConfig
    from calco.lessons.course import export_lessons as export_lessons
    from calco.lessons.course import open_lesson as open_lesson
    from calco.lessons.course import run_lessons as run_lessons
    from calco.lessons.outline import LESSONS as LESSONS
    from calco.lessons.outline import Lesson as Lesson
    from calco.lessons.scenes import scenes as make_scenes

_HOMES = {
    "ExportLessonsConfig": "calco.lessons.course", "LESSONS": "calco.lessons.outline",
    "Lesson": "calco.lessons.outline", "OpenLessonConfig": "calco.lessons.course",
    "RunLessonsConfig": "calco.lessons.course", "export_lessons": "calco.lessons.course",
    "make_scenes": "calco.lessons.scenes:scenes", "open_lesson": "calco.lessons.course",
    "run_lessons": "calco.lessons.course",
}  # fmt: skip
__all__ = [
    "LESSONS", "ExportLessonsConfig", "Lesson", "OpenLessonConfig", "RunLessonsConfig", "export_lessons", "make_scenes",
    "open_lesson", "run_lessons",
]  # fmt: skip
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
