"""Object detection: train a detector, measure it, apply it to images, videos and cameras."""

from typing import TYPE_CHECKING

from calco.lazy import lazy_names

if TYPE_CHECKING:
    from calco.annotations.detections import Detections as Detections
    from calco.detection.boxes import giou as giou
    from calco.detection.boxes import iou as iou
    from calco.detection.boxes import matrix_nms as matrix_nms
    from calco.detection.boxes import nms as nms
    from calco.detection.boxes import soft_nms as soft_nms
    from calco.detection.config import DetectEvaluateConfig as DetectEvaluateConfig
    from calco.detection.config import DetectExportConfig as DetectExportConfig
    from calco.detection.config import ExploreConfig as ExploreConfig
    from calco.detection.config import PredictConfig as PredictConfig
    from calco.detection.config import SlideConfig as SlideConfig
    from calco.detection.drawing import draw_detections as draw_detections
    from calco.detection.exploration import explore as explore
    from calco.detection.export import export_detector as export_detector
    from calco.detection.exported import open_detector as open_detector
    from calco.detection.learning import DetectTrainConfig as DetectTrainConfig
    from calco.detection.learning.train import train_detector as train_detector
    from calco.detection.model import Detector as Detector
    from calco.detection.model import load_detector as load_detector
    from calco.detection.predict import predict as predict_objects
    from calco.detection.scoring.evaluate import evaluate as evaluate
    from calco.detection.slide import slide as slide_window

_HOMES = {
    "DetectTrainConfig": "calco.detection.learning:DetectTrainConfig",
    "Detections": "calco.annotations.detections:Detections",
    "Detector": "calco.detection.model:Detector",
    "DetectEvaluateConfig": "calco.detection.config:DetectEvaluateConfig",
    "ExploreConfig": "calco.detection.config:ExploreConfig",
    "DetectExportConfig": "calco.detection.config:DetectExportConfig",
    "PredictConfig": "calco.detection.config:PredictConfig",
    "SlideConfig": "calco.detection.config:SlideConfig",
    "draw_detections": "calco.detection.drawing:draw_detections",
    "evaluate": "calco.detection.scoring.evaluate:evaluate",
    "explore": "calco.detection.exploration:explore",
    "export_detector": "calco.detection.export:export_detector",
    "giou": "calco.detection.boxes:giou",
    "iou": "calco.detection.boxes:iou",
    "load_detector": "calco.detection.model:load_detector",
    "matrix_nms": "calco.detection.boxes:matrix_nms",
    "nms": "calco.detection.boxes:nms",
    "open_detector": "calco.detection.exported:open_detector",
    "predict_objects": "calco.detection.predict:predict",
    "slide_window": "calco.detection.slide:slide",
    "soft_nms": "calco.detection.boxes:soft_nms",
    "train_detector": "calco.detection.learning.train:train_detector",
}
__all__ = [
    "DetectEvaluateConfig", "DetectExportConfig", "DetectTrainConfig", "Detections", "Detector", "ExploreConfig",
    "PredictConfig", "SlideConfig", "draw_detections", "evaluate", "explore", "export_detector", "giou", "iou",
    "load_detector", "matrix_nms", "nms", "open_detector", "predict_objects", "slide_window", "soft_nms",
    "train_detector",
]  # fmt: skip
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
