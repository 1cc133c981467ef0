"""Calco trains image-to-image translators from a few hundred pairs: from a folder of images to a shareable model.

The names here are public, and so are those of `calco.detection`, `calco.watch`, `calco.video`, `calco.annotations` and
`calco.crime`. Everything else may change between versions.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calco.benchmarks.bench import bench
    from calco.benchmarks.config import BenchConfig
    from calco.checking.check import check
    from calco.checking.config import CheckConfig
    from calco.cli.demo import DemoConfig, demo
    from calco.collecting.collect import collect
    from calco.collecting.config import CollectConfig
    from calco.data.config import RecipesConfig, SourceConfig
    from calco.data.gallery import recipes
    from calco.data.prepare import prepare
    from calco.data.prepare_config import PrepareConfig
    from calco.data.recipe_config import RecipeConfig
    from calco.data.recipes import build_recipe
    from calco.data.sample import Pair, Sample
    from calco.data.sources import open_source
    from calco.errors import (
        CalcoError,
        DataError,
        MissingExtraError,
        ModelError,
        OutOfMemoryError,
        UsageError,
        WriteError,
    )
    from calco.evaluation.config import CompareConfig, EvaluateConfig
    from calco.evaluation.evaluate import compare, evaluate
    from calco.export.config import ExportConfig
    from calco.export.export import export_model
    from calco.inference.config import TranslateConfig
    from calco.inference.model import Translator, load
    from calco.inference.translate import translate
    from calco.training.config import TrainConfig, preset
    from calco.training.translation import train
    from calco.version import __version__

# Public name => module; imported when first used, so that `calco --help` answers at once.
_HOMES = {
    "BenchConfig": "calco.benchmarks.config",
    "CalcoError": "calco.errors",
    "CheckConfig": "calco.checking.config",
    "CollectConfig": "calco.collecting.config",
    "CompareConfig": "calco.evaluation.config",
    "DataError": "calco.errors",
    "DemoConfig": "calco.cli.demo",
    "EvaluateConfig": "calco.evaluation.config",
    "ExportConfig": "calco.export.config",
    "MissingExtraError": "calco.errors",
    "ModelError": "calco.errors",
    "OutOfMemoryError": "calco.errors",
    "Pair": "calco.data.sample",
    "PrepareConfig": "calco.data.prepare_config",
    "RecipeConfig": "calco.data.recipe_config",
    "RecipesConfig": "calco.data.config",
    "Sample": "calco.data.sample",
    "SourceConfig": "calco.data.config",
    "TrainConfig": "calco.training.config",
    "TranslateConfig": "calco.inference.config",
    "Translator": "calco.inference.model",
    "UsageError": "calco.errors",
    "WriteError": "calco.errors",
    "bench": "calco.benchmarks.bench",
    "build_recipe": "calco.data.recipes",
    "check": "calco.checking.check",
    "collect": "calco.collecting.collect",
    "compare": "calco.evaluation.evaluate",
    "demo": "calco.cli.demo",
    "evaluate": "calco.evaluation.evaluate",
    "export_model": "calco.export.export",
    "load": "calco.inference.model",
    "open_source": "calco.data.sources",
    "prepare": "calco.data.prepare",
    "preset": "calco.training.config",
    "recipes": "calco.data.gallery",
    "train": "calco.training.translation",
    "translate": "calco.inference.translate",
    "__version__": "calco.version",
}
__all__ = [
    "BenchConfig",
    "CalcoError",
    "CheckConfig",
    "CollectConfig",
    "CompareConfig",
    "DataError",
    "DemoConfig",
    "EvaluateConfig",
    "ExportConfig",
    "MissingExtraError",
    "ModelError",
    "OutOfMemoryError",
    "Pair",
    "PrepareConfig",
    "RecipeConfig",
    "RecipesConfig",
    "Sample",
    "SourceConfig",
    "TrainConfig",
    "TranslateConfig",
    "Translator",
    "UsageError",
    "WriteError",
    "__version__",
    "bench",
    "build_recipe",
    "check",
    "collect",
    "compare",
    "demo",
    "evaluate",
    "export_model",
    "load",
    "open_source",
    "prepare",
    "preset",
    "recipes",
    "train",
    "translate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
