"""Boxes and outlines of objects in images, and the formats in which they are kept."""

from typing import TYPE_CHECKING

from calco.lazy import lazy_names

if TYPE_CHECKING:
    from calco.annotations.coco import write_coco as write_coco
    from calco.annotations.detections import Detections as Detections
    from calco.annotations.detections import Outline as Outline
    from calco.annotations.reading import read_annotations as read_annotations
    from calco.annotations.record import Annotations as Annotations
    from calco.annotations.record import Problem as Problem
    from calco.annotations.record import Record as Record
    from calco.annotations.voc import write_voc as write_voc
    from calco.annotations.yolo import write_yolo as write_yolo

_HOMES = {
    "Annotations": "calco.annotations.record:Annotations",
    "Detections": "calco.annotations.detections:Detections",
    "Outline": "calco.annotations.detections:Outline",
    "Problem": "calco.annotations.record:Problem",
    "Record": "calco.annotations.record:Record",
    "read_annotations": "calco.annotations.reading:read_annotations",
    "write_coco": "calco.annotations.coco:write_coco",
    "write_voc": "calco.annotations.voc:write_voc",
    "write_yolo": "calco.annotations.yolo:write_yolo",
}
__all__ = [
    "Annotations", "Detections", "Outline", "Problem", "Record", "read_annotations", "write_coco", "write_voc",
    "write_yolo",
]  # fmt: skip
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
