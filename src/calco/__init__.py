"""Calco teaches a computer to redraw images: paired image-to-image translation, from images to a translator.

The names here are the public interface; everything else may change between versions.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calco.checking.check import check
    from calco.checking.config import CheckConfig
    from calco.collecting.collect import collect
    from calco.data.prepare import prepare
    from calco.data.prepare_config import PrepareConfig
    from calco.data.recipes import build_recipe
    from calco.data.sample import Pair, Sample
    from calco.data.sources import open_source
    from calco.errors import CalcoError
    from calco.evaluation.evaluate import evaluate
    from calco.export.export import export_model
    from calco.inference.model import Translator, load
    from calco.inference.translate import translate
    from calco.inference.video import VideoOptions, translate_video
    from calco.training.config import TrainConfig, preset
    from calco.training.translation import train

__version__ = "0.1.0"

# Where each public name lives. They are imported when first asked for, so that `calco --help` answers at once.
_HOMES = {
    "CalcoError": "calco.errors",
    "CheckConfig": "calco.checking.config",
    "VideoOptions": "calco.inference.video",
    "Pair": "calco.data.sample",
    "Sample": "calco.data.sample",
    "PrepareConfig": "calco.data.prepare_config",
    "Translator": "calco.inference.model",
    "TrainConfig": "calco.training.config",
    "build_recipe": "calco.data.recipes",
    "check": "calco.checking.check",
    "collect": "calco.collecting.collect",
    "evaluate": "calco.evaluation.evaluate",
    "export_model": "calco.export.export",
    "load": "calco.inference.model",
    "open_source": "calco.data.sources",
    "prepare": "calco.data.prepare",
    "preset": "calco.training.config",
    "train": "calco.training.translation",
    "translate": "calco.inference.translate",
    "translate_video": "calco.inference.video",
}
__all__ = [
    "CalcoError",
    "CheckConfig",
    "Pair",
    "PrepareConfig",
    "Sample",
    "TrainConfig",
    "Translator",
    "VideoOptions",
    "build_recipe",
    "check",
    "collect",
    "evaluate",
    "export_model",
    "load",
    "open_source",
    "prepare",
    "preset",
    "train",
    "translate",
    "translate_video",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'calco' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*_HOMES, "__version__"])
